//! What the controller tells Prometheus about itself.
//!
//! [`METRICS`] is the list. Labels are names of objects and closed sets only, never a query, a label
//! of somebody's metric or an error's text; what tells of a policy goes when the policy goes.

mod levers;
mod process;
mod series;
mod served;
mod sources;
mod table;

pub use levers::Shares;
pub use served::Access;
pub use sources::NamespaceQuery;
pub use table::{Doc, Kind, METRICS};

use crate::client::CallKind;
use flyball_core::{check::Check, evaluate::watermark::Level, signal::Quality, time::Span};
use flyball_crds::{Direction, Mode, Phase};
use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry},
};
use series::Series;
use std::{sync::atomic::AtomicU64, time::Duration};
use table::doc;

const SECONDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
const MINUTES: [f64; 11] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn minutes() -> Histogram {
    Histogram::new(MINUTES)
}

/// A share, from 0 to 1.
type Share = Gauge<f64, AtomicU64>;
/// Seconds that add up.
type Seconds = Counter<f64, AtomicU64>;

/// Which policy.
#[derive(Clone, Copy, Debug)]
pub struct PolicyName<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// How a pass over a policy went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluation {
    /// Every reading was fresh.
    Complete,
    /// A reading was not fresh.
    Incomplete,
    /// The policy is invalid.
    Invalid,
}

/// What became of an event for other systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was taken.
    Taken,
    /// It was not, however often it was tried.
    Failed,
    /// It was not tried: too many were waiting.
    Dropped,
}

/// What was asked of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// An object was created.
    Create,
    /// An object, or a subresource of it, was replaced.
    Update,
    /// An object was patched.
    Patch,
    /// An object was deleted.
    Delete,
    /// The scale subresource was replaced, in a dry run.
    DryRun,
}

impl Verb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DryRun => "dry_run",
        }
    }
}

/// All metrics. One per process; shared as an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    leader: Gauge,
    policies: Series<Gauge>,
    evaluations: Series<Counter>,
    evaluation_duration: Histogram,
    evaluation_lag: Histogram,
    alerts: Series<Gauge>,
    signal_quality: Series<Gauge>,
    signal_value: Series<Share>,
    rule_threshold: Series<Share>,
    proposals: Series<Counter>,
    check_refusals: Series<Counter>,
    changes: Series<Counter>,
    change_duration: Series<Histogram>,
    open_changes: Gauge,
    open_change_age: Gauge,
    apply_lag: Histogram,
    query_duration: Series<Histogram>,
    query_errors: Series<Counter>,
    source_circuit: Series<Gauge>,
    namespace_queries: Series<Counter>,
    namespace_wait: Series<Seconds>,
    namespace_circuit: Series<Gauge>,
    replicas_desired: Series<Gauge>,
    replicas_current: Series<Gauge>,
    weight_desired: Series<Share>,
    weight_current: Series<Share>,
    weight_base: Series<Share>,
    backends_out: Series<Gauge>,
    weight_changes: Series<Counter>,
    alerts_posted: Series<Counter>,
    watermark_level: Series<Gauge>,
    watermark_ratio: Series<Share>,
    runtime_pods: Series<Gauge>,
    runtime_lines: Series<Counter>,
    api_requests: Series<Counter>,
    ownership_conflicts: Series<Counter>,
    events_dropped: Counter,
    cloud_events: Series<Counter>,
    log_lines_dropped: Counter,
    access: Series<Counter>,
    certificates: Series<Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts `metric` under the name and the help that the table has.
fn register<M: Metric + Clone>(registry: &mut Registry, name: &'static str, metric: M) -> M {
    // The library appends this itself.
    let bare = name.trim_end_matches("_total");
    registry.register(bare, doc(name).help, metric.clone());
    metric
}

impl Metrics {
    /// All metrics, at their beginning.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("flyball_build", doc("flyball_build_info").help, version);
        registry.register_collector(Box::new(process::Process));
        let r = &mut registry;
        let metrics = Self {
            leader: register(r, "flyball_leader", Gauge::default()),
            policies: register(r, "flyball_policies", Series::new(Gauge::default)),
            evaluations: register(r, "flyball_evaluations_total", Series::new(Counter::default)),
            evaluation_duration: register(r, "flyball_evaluation_duration_seconds", seconds()),
            evaluation_lag: register(r, "flyball_evaluation_lag_seconds", seconds()),
            alerts: register(r, "flyball_alerts", Series::new(Gauge::default)),
            signal_quality: register(r, "flyball_signal_quality", Series::new(Gauge::default)),
            signal_value: register(r, "flyball_signal_value", Series::new(Share::default)),
            rule_threshold: register(r, "flyball_rule_threshold", Series::new(Share::default)),
            proposals: register(r, "flyball_proposals_total", Series::new(Counter::default)),
            check_refusals: register(r, "flyball_check_refusals_total", Series::new(Counter::default)),
            changes: register(r, "flyball_changes_total", Series::new(Counter::default)),
            change_duration: register(r, "flyball_change_duration_seconds", Series::new(minutes)),
            open_changes: register(r, "flyball_open_changes", Gauge::default()),
            open_change_age: register(r, "flyball_open_change_age_seconds", Gauge::default()),
            apply_lag: register(r, "flyball_apply_lag_seconds", seconds()),
            query_duration: register(r, "flyball_query_duration_seconds", Series::new(seconds)),
            query_errors: register(r, "flyball_query_errors_total", Series::new(Counter::default)),
            source_circuit: register(r, "flyball_source_circuit_state", Series::new(Gauge::default)),
            namespace_queries: register(r, "flyball_namespace_queries_total", Series::new(Counter::default)),
            namespace_wait: register(
                r,
                "flyball_namespace_query_wait_seconds_total",
                Series::new(Seconds::default),
            ),
            namespace_circuit: register(r, "flyball_namespace_circuit_state", Series::new(Gauge::default)),
            replicas_desired: register(r, "flyball_replicas_desired", Series::new(Gauge::default)),
            replicas_current: register(r, "flyball_replicas_current", Series::new(Gauge::default)),
            weight_desired: register(r, "flyball_weight_desired", Series::new(Share::default)),
            weight_current: register(r, "flyball_weight_current", Series::new(Share::default)),
            weight_base: register(r, "flyball_weight_base", Series::new(Share::default)),
            backends_out: register(r, "flyball_backends_out", Series::new(Gauge::default)),
            weight_changes: register(r, "flyball_weight_changes_total", Series::new(Counter::default)),
            alerts_posted: register(r, "flyball_alerts_posted_total", Series::new(Counter::default)),
            watermark_level: register(r, "flyball_watermark_level", Series::new(Gauge::default)),
            watermark_ratio: register(r, "flyball_watermark_ratio", Series::new(Share::default)),
            runtime_pods: register(r, "flyball_runtime_pods", Series::new(Gauge::default)),
            runtime_lines: register(r, "flyball_runtime_lines_total", Series::new(Counter::default)),
            api_requests: register(r, "flyball_api_requests_total", Series::new(Counter::default)),
            ownership_conflicts: register(r, "flyball_ownership_conflicts_total", Series::new(Counter::default)),
            events_dropped: register(r, "flyball_events_dropped_total", Counter::default()),
            cloud_events: register(r, "flyball_cloudevents_total", Series::new(Counter::default)),
            log_lines_dropped: register(r, "flyball_log_lines_dropped_total", Counter::default()),
            access: register(r, "flyball_metrics_requests_total", Series::new(Counter::default)),
            certificates: register(r, "flyball_certificate_reloads_total", Series::new(Counter::default)),
            registry,
        };
        // A counter that is absent until its first event hides that event from rate().
        for check in Check::of_all_levers() {
            metrics.check_refusals.of(&[("check", check.name())]);
        }
        for access in Access::ALL {
            metrics.access.of(&[("result", access.as_str())]);
        }
        for result in ["taken", "failed"] {
            metrics.certificates.of(&[("result", result)]);
        }
        metrics.policies([]);
        metrics
    }

    /// All of it, in the text format of `OpenMetrics`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String can't fail, and half an answer is better than none.
        let _ = text::encode(&mut text, &self.registry);
        text
    }

    /// Whether this process may write.
    pub fn leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The modes of all valid policies.
    pub fn policies(&self, modes: impl IntoIterator<Item = Mode>) {
        let (mut observe, mut recommend, mut enforce) = (0, 0, 0);
        for mode in modes {
            *match mode {
                Mode::Observe => &mut observe,
                Mode::Recommend => &mut recommend,
                Mode::Enforce => &mut enforce,
            } += 1;
        }
        for (mode, count) in [("Observe", observe), ("Recommend", recommend), ("Enforce", enforce)] {
            self.policies.of(&[("mode", mode)]).set(count);
        }
    }

    /// A pass over a policy ended.
    pub fn evaluated(&self, policy: PolicyName<'_>, outcome: Evaluation, took: Duration) {
        let outcome = match outcome {
            Evaluation::Complete => "complete",
            Evaluation::Incomplete => "incomplete",
            Evaluation::Invalid => "invalid",
        };
        self.evaluations.of(&policy.and([("outcome", outcome)])).inc();
        self.evaluation_duration.observe(took.as_secs_f64());
    }

    /// A pass began so much later than it was scheduled.
    pub fn late(&self, by: Duration) {
        self.evaluation_lag.observe(by.as_secs_f64());
    }

    /// How many alerts of a rule are pending and firing.
    pub fn alerts(&self, policy: PolicyName<'_>, alert: &str, pending: usize, firing: usize) {
        for (state, count) in [("pending", pending), ("firing", firing)] {
            self.alerts
                .of(&policy.and([("alert", alert), ("state", state)]))
                .set(whole(count));
        }
    }

    /// The quality of a signal's reading.
    pub fn signal(&self, policy: PolicyName<'_>, signal: &str, quality: Quality) {
        self.signal_quality.remove(&policy.and([("signal", signal)]));
        let quality = match quality {
            Quality::Fresh => "fresh",
            Quality::Stale => "stale",
            Quality::Partial => "partial",
            Quality::NotFinite => "not_finite",
            Quality::Missing => "missing",
            Quality::Error => "error",
        };
        self.signal_quality
            .of(&policy.and([("signal", signal), ("quality", quality)]))
            .set(1);
    }

    /// The worst value of a rule, or the largest of a signal; one that is not known is gone.
    pub fn value(&self, policy: PolicyName<'_>, signal: &str, value: Option<f64>) {
        let labels = policy.and([("signal", signal)]);
        match value {
            Some(value) => {
                self.signal_value.of(&labels).set(value);
            }
            None => self.signal_value.remove(&labels),
        }
    }

    /// The number with which a rule compares.
    pub fn threshold(&self, policy: PolicyName<'_>, alert: &str, threshold: f64) {
        self.rule_threshold.of(&policy.and([("alert", alert)])).set(threshold);
    }

    /// An action wants a change.
    pub fn proposed(&self, policy: PolicyName<'_>, action: &str, direction: Direction) {
        let direction = match direction {
            Direction::Up => "up",
            Direction::Down => "down",
        };
        self.proposals
            .of(&policy.and([("action", action), ("direction", direction)]))
            .inc();
    }

    /// A check refused a proposal.
    pub fn refused(&self, check: Check) {
        self.check_refusals.of(&[("check", check.name())]).inc();
    }

    /// A Change ended in `phase`, so long after it was proposed. An open phase is not counted.
    pub fn closed(&self, policy: PolicyName<'_>, phase: Phase, took: Duration) {
        let outcome = match phase {
            Phase::Applying | Phase::Verifying | Phase::RollingBack | Phase::AwaitingApproval => return,
            Phase::Committed => "Committed",
            Phase::RolledBack => "RolledBack",
            Phase::Refused => "Refused",
            Phase::Recommended => "Recommended",
            Phase::Ineffective => "Ineffective",
            Phase::Inconclusive => "Inconclusive",
            Phase::Superseded => "Superseded",
        };
        self.changes.of(&policy.and([("outcome", outcome)])).inc();
        self.change_duration
            .of(&[("outcome", outcome)])
            .observe(took.as_secs_f64());
    }

    /// Of this policy something is counted: what has not happened yet has happened 0 times, so that the first time is seen as one.
    pub fn counted(&self, policy: PolicyName<'_>) {
        for outcome in ["Committed", "RolledBack", "Ineffective", "Inconclusive", "Superseded"] {
            self.changes.of(&policy.and([("outcome", outcome)])).inc_by(0);
            drop(self.change_duration.of(&[("outcome", outcome)]));
        }
        self.ownership_conflicts.of(&policy.and([])).inc_by(0);
    }

    /// The ages of the Changes that may still write their target.
    pub fn open_changes(&self, ages: impl IntoIterator<Item = Span>) {
        let (mut count, mut oldest) = (0, Span::ZERO);
        for age in ages {
            count += 1;
            oldest = oldest.max(age);
        }
        self.open_changes.set(whole(count));
        let seconds = oldest.as_millis() / 1000;
        self.open_change_age.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// The API server accepted a write, so long after it was due.
    pub fn applied(&self, lag: Duration) {
        self.apply_lag.observe(lag.as_secs_f64());
    }

    /// So many alerts were posted, or were not taken.
    pub fn posted(&self, policy: PolicyName<'_>, alerts: usize, failed: bool) {
        let result = if failed { "error" } else { "ok" };
        let count = u64::try_from(alerts).unwrap_or(u64::MAX);
        self.alerts_posted.of(&policy.and([("result", result)])).inc_by(count);
    }

    /// How full the fullest of a watermark is, as a level and as a ratio; a ratio that is not known is gone.
    pub fn watermark(&self, policy: PolicyName<'_>, watermark: &str, level: Level, ratio: Option<f64>) {
        let labels = policy.and([("watermark", watermark)]);
        let which = Level::RAISED.iter().position(|raised| *raised == level);
        self.watermark_level
            .of(&labels)
            .set(whole(which.map_or(0, |which| which + 1)));
        match ratio {
            Some(ratio) => {
                self.watermark_ratio.of(&labels).set(ratio);
            }
            None => self.watermark_ratio.remove(&labels),
        }
    }

    /// A write was sent to the API server.
    pub fn api_request(&self, verb: Verb, result: CallKind) {
        self.api_requests
            .of(&[("verb", verb.as_str()), ("result", result.as_str())])
            .inc();
    }

    /// Another writer owns, or changed, the field of the policy's target.
    pub fn ownership_conflict(&self, policy: PolicyName<'_>) {
        self.ownership_conflicts.of(&policy.and([])).inc();
    }

    /// An Event was not published.
    pub fn event_dropped(&self) {
        self.events_dropped.inc();
    }

    /// What became of an event for other systems.
    pub fn cloud_event(&self, receiver: &str, sent: Sent) {
        self.cloud_events_with(receiver, sent).inc();
    }

    /// Events are sent to this receiver: its counters are there before the first.
    pub fn cloud_events_of(&self, receiver: &str) {
        for sent in [Sent::Taken, Sent::Failed, Sent::Dropped] {
            self.cloud_events_with(receiver, sent);
        }
    }

    fn cloud_events_with(&self, receiver: &str, sent: Sent) -> Counter {
        let result = match sent {
            Sent::Taken => "ok",
            Sent::Failed => "error",
            Sent::Dropped => "dropped",
        };
        self.cloud_events.of(&[("receiver", receiver), ("result", result)])
    }

    /// Somebody asked for the metrics.
    pub fn access(&self, result: Access) {
        self.access.of(&[("result", result.as_str())]).inc();
    }

    /// The files of the certificate were read anew; whether what was in them could be taken.
    pub fn certificate(&self, taken: bool) {
        let result = if taken { "taken" } else { "failed" };
        self.certificates.of(&[("result", result)]).inc();
    }

    /// So many log lines were lost since the process began.
    pub fn log_lines_dropped(&self, in_all: u64) {
        self.log_lines_dropped
            .inc_by(in_all.saturating_sub(self.log_lines_dropped.get()));
    }

    /// The policy is gone: so is what was told of it.
    pub fn remove_policy(&self, policy: PolicyName<'_>) {
        let labels = policy.and([]);
        for gauges in [
            &self.alerts,
            &self.signal_quality,
            &self.replicas_desired,
            &self.replicas_current,
            &self.backends_out,
            &self.runtime_pods,
            &self.watermark_level,
        ] {
            gauges.remove(&labels);
        }
        for shares in [
            &self.weight_desired,
            &self.weight_current,
            &self.weight_base,
            &self.watermark_ratio,
            &self.signal_value,
            &self.rule_threshold,
        ] {
            shares.remove(&labels);
        }
        for counters in [
            &self.evaluations,
            &self.proposals,
            &self.changes,
            &self.weight_changes,
            &self.runtime_lines,
            &self.alerts_posted,
            &self.ownership_conflicts,
        ] {
            counters.remove(&labels);
        }
    }
}

impl<'a> PolicyName<'a> {
    fn and<const N: usize>(self, more: [(&'static str, &'a str); N]) -> Vec<(&'static str, &'a str)> {
        [("namespace", self.namespace), ("policy", self.name)]
            .into_iter()
            .chain(more)
            .collect()
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

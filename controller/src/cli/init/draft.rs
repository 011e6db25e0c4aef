//! What is known of a workload in, a policy in mode Recommend out.

use crate::{
    cli::{
        doctor::settle::Readiness,
        import::{
            draft::{Draft, MOST},
            expressions::Matchers,
            hpa,
        },
        screen::number,
    },
    promql,
};
use flyball_core::{
    policy::{Comparator, Comparison},
    time::Span,
    verify::least_settle,
};
use flyball_crds::{
    AlertingRule, Demand, Duration, MetricTarget, PrometheusRuleRef, ResourceName, ResourceOf, Step, StepDown,
    TargetRef, Verify,
};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;

/// What the HorizontalPodAutoscaler takes where nothing is said.
const UTILIZATION: i32 = 80;
/// The range of the queries that are made here.
const RANGE: &str = "5m";
/// At least so long a verification may take behind its settle time.
const LEAST_ROOM: Span = Span::from_secs(4 * 60);
/// Settle times are rounded up to a multiple of this.
const GRAIN: u64 = 30_000;

/// Everything that a draft rests on.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload.
    pub target: TargetRef,
    /// How many replicas it is told to have.
    pub replicas: i32,
    /// Which resources all of its containers request.
    pub requested: Vec<ResourceName>,
    /// Its HorizontalPodAutoscaler.
    pub autoscaler: Option<HorizontalPodAutoscaler>,
    /// Alerts on it.
    pub alerts: Vec<Alert>,
    /// Its request latencies in Prometheus.
    pub load: Option<Load>,
    /// How long its pods take to be ready.
    pub readiness: Readiness,
    /// The MetricSource to ask, if it is known.
    pub source: Option<String>,
    /// What could not be read, and whatever else is to be said.
    pub notes: Vec<String>,
}

/// An alerting rule on the workload.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The PrometheusRule.
    pub object: String,
    /// Its group.
    pub group: String,
    /// The rule.
    pub rule: AlertingRule,
}

/// A histogram of latencies in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// Its name without `_bucket`.
    pub histogram: String,
    /// The label that names the workload.
    pub label: String,
    /// Its value.
    pub value: String,
    /// The mean latency now, in seconds.
    pub mean: Option<f64>,
    /// Requests per second now.
    pub rate: Option<f64>,
}

impl Load {
    fn rate_of(&self, namespace: &str, suffix: &str) -> String {
        let mut matchers = Matchers::of(Some(namespace));
        matchers.is(&self.label, &self.value);
        format!(
            "sum(rate({}[{RANGE}]))",
            matchers.series(&format!("{}{suffix}", self.histogram))
        )
    }

    /// Requests per second.
    pub fn requests(&self, namespace: &str) -> String {
        self.rate_of(namespace, "_count")
    }

    /// The mean latency in seconds.
    pub fn latency(&self, namespace: &str) -> String {
        format!("{} / {}", self.rate_of(namespace, "_sum"), self.requests(namespace))
    }
}

/// Drafts a policy: from the autoscaler, else from an alert, else from what is requested and measured.
pub fn draft(facts: &Facts) -> Draft {
    let alert = facts.alerts.first();
    let mut draft = match (&facts.autoscaler, alert) {
        (Some(autoscaler), _) => of_autoscaler(facts, autoscaler),
        (None, Some(alert)) => of_alert(facts, alert),
        (None, None) => of_metrics(facts),
    };
    draft.heading = "Drafted";
    verify(&mut draft, facts);
    for text in &facts.notes {
        draft.note("", text);
    }
    draft
}

fn of_autoscaler(facts: &Facts, autoscaler: &HorizontalPodAutoscaler) -> Draft {
    let mut draft = hpa::draft(autoscaler, facts.source.as_deref());
    draft.whence(
        Draft::lever("{min,max,metrics,behavior}"),
        "as its HorizontalPodAutoscaler has them",
    );
    draft
}

fn of_alert(facts: &Facts, alert: &Alert) -> Draft {
    let mut draft = new(facts, "PrometheusRule", &alert.object);
    draft.spec.prometheus_rule_ref = Some(PrometheusRuleRef {
        name: alert.object.clone(),
        group: Some(alert.group.clone()),
        ..PrometheusRuleRef::default()
    });
    bounds(&mut draft, facts);
    draft.replicas.step = Some(Step {
        pods: None,
        percent: Some(50),
        down: Some(StepDown {
            pods: Some(1),
            percent: None,
            after: Duration::new("10m"),
            when: Vec::new(),
        }),
    });
    draft.note(
        Draft::lever("step"),
        "half more while the alert fires, one less after 10m without it: usual steps, not measured ones",
    );
    draft.whence(
        "spec.actions[0].when",
        format!(
            "the alert {} of PrometheusRule {}, group {}, whose expression names the workload",
            alert.rule.alert, alert.object, alert.group
        ),
    );
    let mut draft = draft.finish();
    for action in &mut draft.spec.actions {
        action.when = vec![alert.rule.alert.clone()];
    }
    draft
}

fn of_metrics(facts: &Facts) -> Draft {
    let mut draft = new(facts, &facts.target.kind, &facts.target.name);
    bounds(&mut draft, facts);
    let load = facts
        .load
        .as_ref()
        .filter(|load| load.rate.is_some_and(|rate| rate > 0.0));
    // Memory rarely falls when pods are added, so it is the last to be taken.
    let resource = [ResourceName::Cpu, ResourceName::Memory]
        .into_iter()
        .find(|name| facts.requested.contains(name) && (*name == ResourceName::Cpu || load.is_none()));
    if let Some(name) = resource {
        let word = match name {
            ResourceName::Cpu => "cpu",
            ResourceName::Memory => "memory",
        };
        let target = MetricTarget {
            utilization: Some(UTILIZATION),
            ..MetricTarget::default()
        };
        draft.resource(word, ResourceOf { name, container: None }, target);
        draft.whence(
            Draft::lever("metrics"),
            format!(
                "all containers request {word}; {UTILIZATION} % of it is what a HorizontalPodAutoscaler takes where \
                 nothing is said"
            ),
        );
    } else if let Some((load, rate)) = load.and_then(|load| Some((load, load.rate?))) {
        let signal = draft.signal("requests", &load.requests(&facts.namespace), false);
        let each = two_digits(rate / f64::from(facts.replicas.max(1)));
        let target = MetricTarget {
            average_value: Some(each),
            ..MetricTarget::default()
        };
        draft.metric(&signal, target);
        draft.whence(
            Draft::lever("metrics"),
            format!(
                "{} requests per second over {} pods now; whether a pod can do more is not known",
                number(rate),
                facts.replicas
            ),
        );
    }
    draft.finish()
}

fn new(facts: &Facts, kind: &str, name: &str) -> Draft {
    let namespace = Some(facts.namespace.as_str());
    let mut draft = Draft::new(kind, name, namespace, facts.target.clone(), facts.source.as_deref());
    draft.name.clone_from(&facts.target.name);
    draft.takes_over = false;
    draft
}

/// From the replicas that are there: as few, and twice as many.
fn bounds(draft: &mut Draft, facts: &Facts) {
    let now = facts.replicas.clamp(1, MOST);
    draft.bounds(now, now.saturating_mul(2).min(MOST));
    let text = format!(
        "the {} replicas of now, and twice as many; correct them",
        facts.replicas
    );
    draft.whence(Draft::lever("{min,max}"), text);
}

/// Adds what must hold after a change, where anything says what that is.
fn verify(draft: &mut Draft, facts: &Facts) {
    let of_alert = facts.alerts.iter().find_map(|alert| {
        let threshold = promql::comparison(&alert.rule.expr).ok()?;
        let said = format!("the opposite of the alert {} ({})", alert.rule.alert, alert.object);
        Some((negated(&threshold)?, said))
    });
    let of_load = || {
        let load = facts.load.as_ref()?;
        let mean = load.mean.filter(|mean| mean.is_finite() && *mean > 0.0)?;
        let limit = two_digits(2.0 * mean);
        let said = format!(
            "twice the mean latency of now, {} s, of the histogram {}; write your own objective",
            number(mean),
            load.histogram
        );
        Some((format!("{} <= {limit}", load.latency(&facts.namespace)), said))
    };
    let Some((expr, said)) = of_alert.or_else(of_load) else {
        return;
    };
    let Ok(Comparison { left, .. }) = promql::comparison(&expr) else {
        return;
    };
    let settle = round_up(least_settle(facts.readiness.span(), &left));
    let within = settle + left.longest_range.max(LEAST_ROOM);
    let demand = facts.load.as_ref().map(|load| {
        let known = draft
            .spec
            .signals
            .iter()
            .find(|signal| signal.expr == load.requests(&facts.namespace));
        let known = known.map(|signal| signal.name.clone());
        let signal = known.unwrap_or_else(|| draft.signal("requests", &load.requests(&facts.namespace), false));
        Demand {
            signal,
            ..Demand::default()
        }
    });
    if demand.is_none() {
        draft.note(
            "spec.actions[0].verify.demand",
            "is missing: without it a surge can't be told from a change that does not help; name a signal of what comes in",
        );
    }
    for action in &mut draft.spec.actions {
        action.verify = Some(Verify {
            settle: Duration::new(settle.to_string()),
            within: Duration::new(within.to_string()),
            expr: expr.clone(),
            demand: demand.clone(),
            on_inconclusive: None,
            on_ineffective: None,
            latch: None,
        });
    }
    draft.notes.retain(|note| note.path != "spec.actions[0].verify");
    draft.whence("spec.actions[0].verify.expr", said);
    draft.whence(
        "spec.actions[0].verify.settle",
        format!(
            "{}; with the longest range of the expression, {}, and rounded up to half a minute",
            facts.readiness.words(),
            left.longest_range
        ),
    );
    draft.whence(
        "spec.actions[0].verify.within",
        format!("settle and that range once more, at least {LEAST_ROOM}"),
    );
}

/// What holds where the threshold is not passed.
fn negated(threshold: &Comparison) -> Option<String> {
    let opposite = match threshold.comparator {
        Comparator::Greater => Comparator::LessOrEqual,
        Comparator::GreaterOrEqual => Comparator::Less,
        Comparator::Less => Comparator::GreaterOrEqual,
        Comparator::LessOrEqual => Comparator::Greater,
        // A number that is met exactly is no level to come back to.
        Comparator::Equal | Comparator::NotEqual => return None,
    };
    let expr = format!("({}) {opposite} {}", threshold.left.text, threshold.right.get());
    promql::comparison(&expr).ok().map(|_| expr)
}

fn round_up(span: Span) -> Span {
    Span::from_millis(span.as_millis().div_ceil(GRAIN) * GRAIN)
}

/// Up to the next number with two significant digits.
fn two_digits(value: f64) -> f64 {
    let power = value.log10().floor();
    let unit = 10f64.powf(power - 1.0);
    let rounded = (value / unit - 1e-9).ceil() * unit;
    // Of the product's last bits nobody wants to read.
    format!("{rounded:.12}").parse().unwrap_or(rounded)
}

//! Everything that is said about a pass: status, Events, metrics, logs.

pub mod cloudevents;
pub mod events;
pub mod status;

use crate::{
    clock::from_micro_time,
    metrics::{Evaluation, Metrics, PolicyName},
    server::{Health, Policies, PolicyState},
};
use events::{Events, Told, target_reference};
use flyball_core::{check::Check, evaluate::watermark::Transition, time::Span};
use flyball_crds::{Change, ChangeField, FeedbackPolicy, Mode, Phase, Reason};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use std::{sync::Arc, time::Duration};
use tracing::{info, warn};

/// Tells of what happens, without ever holding a pass up.
#[derive(Clone)]
pub struct Recorder {
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Whether it is alive and ready.
    pub health: Arc<Health>,
    /// What the policies last came to.
    pub policies: Arc<Policies>,
    /// The Events of Kubernetes.
    pub events: Events,
}

/// A policy's name as a label.
pub fn name<'a>(namespace: &'a str, name: &'a str) -> PolicyName<'a> {
    PolicyName { namespace, name }
}

impl Recorder {
    /// The loop is alive; what is counted over all policies is counted now.
    pub fn beat(
        &self,
        leads: bool,
        modes: impl IntoIterator<Item = Mode>,
        open_changes: impl IntoIterator<Item = Span>,
    ) {
        self.health.beat();
        self.metrics.leader(leads);
        self.metrics.policies(modes);
        self.metrics.open_changes(open_changes);
    }

    /// A pass began so late.
    pub fn lateness(&self, late: Duration) {
        self.metrics.late(late);
    }

    /// A pass over a policy ended.
    pub fn passed(
        &self,
        object: &FeedbackPolicy,
        outcome: Evaluation,
        reason: Reason,
        change: Option<String>,
        took: Duration,
    ) {
        let (namespace, policy) = (object.namespace().unwrap_or_default(), object.name_any());
        self.metrics.evaluated(name(&namespace, &policy), outcome, took);
        let state = PolicyState {
            mode: object.spec.mode,
            reason,
            last_pass: jiff::Timestamp::now(),
            took_seconds: took.as_secs_f64(),
            change,
        };
        self.policies.note(&namespace, &policy, state);
    }

    /// A policy is gone, or another process leads.
    pub fn forget(&self, policy: &ObjectRef<FeedbackPolicy>) {
        let namespace = policy.namespace.as_deref().unwrap_or_default();
        self.metrics.remove_policy(name(namespace, &policy.name));
        self.policies.forget(namespace, &policy.name);
    }

    /// A Change was begun.
    pub fn begun(&self, change: &Change) {
        let spec = &change.spec;
        info!(
            change = change.name_any(),
            shift = spec.shift,
            reason = spec.reason,
            "begun"
        );
    }

    /// A Change was recorded in a phase.
    pub fn change(&self, change: &Change) {
        let Some(status) = &change.status else { return };
        let namespace = change.namespace().unwrap_or_default();
        let policy = name(&namespace, &change.spec.policy.name);
        let took = status.closed_at.as_ref().map_or(Duration::ZERO, |closed| {
            let span = from_micro_time(closed).since(from_micro_time(&change.spec.proposed_at));
            Duration::from_millis(span.as_millis())
        });
        match status.phase {
            Phase::Verifying => {
                let applied = status.applied_at.as_ref().unwrap_or(&change.spec.proposed_at);
                let lag = from_micro_time(applied).since(from_micro_time(&change.spec.proposed_at));
                self.metrics.applied(Duration::from_millis(lag.as_millis()));
            }
            Phase::Applying | Phase::RollingBack | Phase::AwaitingApproval => {}
            phase => self.metrics.closed(policy, phase, took),
        }
        // One Event when the target was written and one when it ended; a record is told by its refusal.
        if let Some(reason) = reason_of(status.phase).filter(|_| change.spec.sequence > 0) {
            let why = if status.phase == Phase::Verifying {
                &change.spec.reason
            } else {
                &status.message
            };
            self.tell(change, reason, format!("{}: {why}", shift(change)));
        }
        info!(change = change.name_any(), phase = ?status.phase, message = status.message, "recorded");
    }

    /// A check refused a proposal.
    pub fn refused(&self, policy: &FeedbackPolicy, check: Option<Check>, message: &str) {
        if let Some(check) = check {
            self.metrics.refused(check);
            if check == Check::Ownership {
                let namespace = policy.namespace().unwrap_or_default();
                self.metrics.ownership_conflict(name(&namespace, &policy.name_any()));
            }
        }
        info!(policy = policy.name_any(), message, "refused");
        self.say(policy, Reason::Refused, message.to_owned());
    }

    /// An Event of a policy, shown with its target, too.
    pub fn say(&self, policy: &FeedbackPolicy, reason: Reason, note: String) {
        let namespace = policy.namespace().unwrap_or_default();
        self.events.publish(Told {
            regarding: policy.object_ref(&()),
            related: Some(target_reference(&namespace, &policy.spec.target_ref, None)),
            reason,
            note,
        });
    }

    /// Alerts can't be posted to Alertmanager. Said once, until they can be again.
    pub fn not_posted(&self, policy: &FeedbackPolicy, reason: Reason, why: &str) {
        warn!(policy = policy.name_any(), %reason, why, "alerts are not posted; they are tried again");
        self.events.publish(Told {
            regarding: policy.object_ref(&()),
            related: None,
            reason,
            note: why.to_owned(),
        });
    }

    /// A watermark was passed, or left.
    pub fn watermark(&self, policy: &FeedbackPolicy, name: &str, transition: &Transition) {
        let (note, level) = (format!("{name}: {transition}"), transition.to);
        let reason = if transition.is_up() {
            warn!(policy = policy.name_any(), watermark = name, %level, "{transition}");
            Reason::WatermarkRaised
        } else {
            info!(policy = policy.name_any(), watermark = name, %level, "{transition}");
            Reason::WatermarkEnded
        };
        self.say(policy, reason, note);
    }

    /// Pods were told something by an annotation, or that it is over.
    pub fn told(&self, policy: &FeedbackPolicy, key: &str, pods: &[String], what: &str) {
        let first: Vec<&str> = pods.iter().take(5).map(String::as_str).collect();
        let more = match pods.len() - first.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let note = format!("{what} by {key}: {}{more}", first.join(", "));
        info!(policy = policy.name_any(), note, "pods were told");
        self.say(policy, Reason::PodsTold, note);
    }

    /// The API server refused a write.
    pub fn write_failed(&self, change: &Change, message: &str) {
        warn!(change = change.name_any(), message, "the API server refused a write");
        self.tell(change, Reason::WriteFailed, message.to_owned());
    }

    /// An Event about a Change, shown with its policy and with its target.
    fn tell(&self, change: &Change, reason: Reason, note: String) {
        let namespace = change.namespace().unwrap_or_default();
        let policy = ObjectReference {
            api_version: Some(FeedbackPolicy::api_version(&()).into_owned()),
            kind: Some(FeedbackPolicy::kind(&()).into_owned()),
            name: Some(change.spec.policy.name.clone()),
            namespace: Some(namespace.clone()),
            uid: Some(change.spec.policy.uid.clone()),
            ..ObjectReference::default()
        };
        let target = &change.spec.target;
        let related = Some(target_reference(
            &namespace,
            &target.reference,
            Some(target.uid.clone()),
        ));
        self.events.publish(Told {
            regarding: policy,
            related,
            reason,
            note,
        });
    }
}

/// What a Change moves, in words.
fn shift(change: &Change) -> String {
    match change.spec.field {
        ChangeField::Weights => format!("weights {}", change.spec.shift),
        ChangeField::Runtime => format!("knobs {}", change.spec.shift),
        ChangeField::Pod => format!("pod {}", change.spec.shift),
        // A Change of an older version has the numbers only.
        ChangeField::Replicas => format!("replicas {} -> {}", change.spec.before, change.spec.after),
    }
}

/// The reason of the Event that tells of a phase; the one before the write is not worth one.
fn reason_of(phase: Phase) -> Option<Reason> {
    Some(match phase {
        Phase::Applying | Phase::Refused | Phase::Recommended | Phase::AwaitingApproval => return None,
        Phase::Verifying => Reason::Verifying,
        Phase::RollingBack => Reason::RollingBack,
        Phase::Committed => Reason::Committed,
        Phase::RolledBack => Reason::RolledBack,
        Phase::Ineffective => Reason::Ineffective,
        Phase::Inconclusive => Reason::Inconclusive,
        Phase::Superseded => Reason::Superseded,
    })
}

//! The events of this process for other systems: CloudEvents 1.0 over HTTP, in structured mode.
//!
//! They are those that are published as Events of Kubernetes, so the same thing is said of the same object once in ten minutes,
//! and of no object more than a few. The installation's own receiver is sent all of them; the receivers that a policy names are sent
//! those of that policy which it asks for. Each has a queue with an end and a worker of its own, so nothing waits for whoever takes
//! them, and none for another; what does not fit or is not taken is counted.
//!
//! Source: CloudEvents 1.0.2, "HTTP Protocol Binding"; "Webhooks" 1.0.2 for what an answer means.

mod body;
mod pace;
mod receivers;
mod sender;

pub use receivers::{OWN, ReceiverProblem, Receivers};
pub use sender::{DEFAULT_PER_MINUTE, MOST_PER_MINUTE, QUEUE, Sender, Sink, SinkError, TRIES, url};

use super::events::is_warning;
use crate::metrics::{Metrics, Sent};
use flyball_crds::{EventSeverity, FeedbackPolicy, Notification, Reason};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::runtime::reflector::{ObjectRef, Store};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::mpsc;

/// Where events are handed over.
#[derive(Clone)]
pub struct CloudEvents {
    receivers: Arc<Receivers>,
    /// By the receivers' names.
    queues: Arc<BTreeMap<String, mpsc::Sender<Event>>>,
    policies: Store<FeedbackPolicy>,
    metrics: Arc<Metrics>,
}

impl CloudEvents {
    /// The place to hand events over, and a worker for each receiver. Tokens are among `secrets`, and who is sent what is in
    /// `policies`, as they are when an event is published.
    pub fn new(
        receivers: &Arc<Receivers>,
        policies: Store<FeedbackPolicy>,
        secrets: &Store<Secret>,
        metrics: &Arc<Metrics>,
    ) -> (Self, Vec<Sender>) {
        let (mut queues, mut senders) = (BTreeMap::new(), Vec::new());
        for (name, sink) in receivers.sinks() {
            let (queue, received) = mpsc::channel(QUEUE);
            queues.insert(name.to_owned(), queue);
            senders.push(Sender::new(
                name,
                sink.clone(),
                received,
                secrets.clone(),
                Arc::clone(metrics),
            ));
        }
        let cloud = Self {
            receivers: Arc::clone(receivers),
            queues: Arc::new(queues),
            policies,
            metrics: Arc::clone(metrics),
        };
        (cloud, senders)
    }

    /// Hands an event over to whoever is to have it, without waiting for anything.
    pub(super) fn hand(&self, event: &Event, reason: Reason) {
        self.put(OWN, event);
        let Some(policy) = self.policy(event) else { return };
        let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
        for notification in policy.spec.notifications.iter().filter(|it| wants(it, reason)) {
            if self.receivers.resolve(&notification.receiver, namespace).is_ok() {
                self.put(&notification.receiver, event);
            }
        }
    }

    fn put(&self, receiver: &str, event: &Event) {
        let Some(queue) = self.queues.get(receiver) else { return };
        if queue.try_send(event.clone()).is_err() {
            self.metrics.cloud_event(receiver, Sent::Dropped);
        }
    }

    /// The policy that the event is about. One of the same name that was made anew is another's.
    fn policy(&self, event: &Event) -> Option<Arc<FeedbackPolicy>> {
        let regarding = event.regarding.as_ref()?;
        let at = ObjectRef::new(regarding.name.as_deref()?).within(regarding.namespace.as_deref()?);
        let policy = self.policies.get(&at)?;
        let ours = regarding.kind.as_deref() == Some("FeedbackPolicy") && regarding.uid == policy.metadata.uid;
        ours.then_some(policy)
    }
}

/// Whether events of this reason are among those that a policy asks to be sent.
fn wants(notification: &Notification, reason: Reason) -> bool {
    if notification.reasons.is_empty() {
        notification.severity != Some(EventSeverity::Warning) || is_warning(reason)
    } else {
        notification.reasons.iter().any(|it| it == reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_sent_what_it_asks_for() {
        let check = |severity: Option<EventSeverity>, reasons: &[&str], expect: [bool; 3]| {
            let notification = Notification {
                receiver: "team".to_owned(),
                severity,
                reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
            };
            let found = [Reason::Committed, Reason::RolledBack, Reason::Refused].map(|it| wants(&notification, it));
            assert_eq!(found, expect, "{severity:?} {reasons:?}");
        };
        check(None, &[], [true; 3]);
        check(Some(EventSeverity::Normal), &[], [true; 3]);
        check(Some(EventSeverity::Warning), &[], [false, true, false]);
        check(None, &["Committed"], [true, false, false]);
        check(None, &["Committed", "RolledBack"], [true, true, false]);
        // Of a newer version, which this one never tells.
        check(None, &["Unheard"], [false; 3]);
    }
}

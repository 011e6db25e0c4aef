//! Events: what `kubectl describe` and `kubectl events` show.
//!
//! They are for people and never part of a decision, so they never hold a pass up: [`Events::publish`]
//! puts one into a bounded queue and returns, and what does not fit is dropped and counted. The same
//! thing is said of the same object once in ten minutes, and no object gets more than a few events in
//! that time, however lively its numbers are.
//!
//! kube's own recorder is not used: it waits for the API server, and names its events after the time
//! alone, so that two of them can collide.

use super::cloudevents::CloudEvents;
use crate::{
    client::{CallKind, chain, within},
    logging::escape,
    metrics::Metrics,
};
use flyball_crds::{FIELD_MANAGER, Reason, TargetRef};
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// How many events may wait to be published.
pub const QUEUE: usize = 512;
/// The same is not said again of the same object for so long.
pub const REPEAT_AFTER: Duration = Duration::from_secs(600);
/// How many events one object gets within [`REPEAT_AFTER`].
pub const MOST_PER_OBJECT: usize = 25;

/// The API server takes no longer note.
const NOTE_BYTES: usize = 1024;
/// The longest name of an object.
const NAME_BYTES: usize = 253;
const INSTANCE_BYTES: usize = 128;
const PUBLISH_LIMIT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the events that are left.
const LAST_EVENTS: Duration = Duration::from_secs(2);
const REPORTING_CONTROLLER: &str = "flyball.dev/controller";

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The object it is about.
    pub regarding: ObjectReference,
    /// Another object that has part in it.
    pub related: Option<ObjectReference>,
    /// Why.
    pub reason: Reason,
    /// In one or two sentences.
    pub note: String,
}

/// The reference to a policy's target. A target that was not found has no UID.
pub fn target_reference(namespace: &str, target: &TargetRef, uid: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some(target.api_version.clone()),
        kind: Some(target.kind.clone()),
        namespace: Some(namespace.to_owned()),
        name: Some(target.name.clone()),
        uid,
        ..ObjectReference::default()
    }
}

/// Where events are handed over.
#[derive(Clone, Debug)]
pub struct Events {
    queue: mpsc::Sender<Told>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// The place to hand events over, and the worker that publishes them. `instance` is this process'
    /// name; `client` should be [`Clients::write`](crate::client::Clients::write).
    pub fn new(client: Client, instance: &str, metrics: Arc<Metrics>) -> (Self, Publisher) {
        let (queue, received) = mpsc::channel(QUEUE);
        let publisher = Publisher {
            client,
            instance: cut(instance, INSTANCE_BYTES).to_owned(),
            // Part of each name, so that no other process can choose the same.
            process: crate::lease::identity()
                .chars()
                .rev()
                .filter(char::is_ascii_hexdigit)
                .take(16)
                .collect(),
            count: 0,
            received,
            said: Said::default(),
            metrics: Arc::clone(&metrics),
            cloud: None,
        };
        (Self { queue, metrics }, publisher)
    }

    /// Hands an event over, without waiting for anything.
    pub fn publish(&self, told: Told) {
        if self.queue.try_send(told).is_err() {
            self.metrics.event_dropped();
        }
    }
}

/// Publishes what was handed over.
pub struct Publisher {
    client: Client,
    instance: String,
    process: String,
    count: u64,
    received: mpsc::Receiver<Told>,
    said: Said,
    metrics: Arc<Metrics>,
    cloud: Option<CloudEvents>,
}

impl Publisher {
    /// The same publisher, which hands what it publishes to others, too.
    #[must_use]
    pub fn and(mut self, cloud: Option<CloudEvents>) -> Self {
        self.cloud = cloud;
        self
    }

    /// Publishes until `stop`, and then what is left, for a short while.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let told = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                told = self.received.recv() => told,
            };
            match told {
                Some(told) => self.publish(told).await,
                None => return,
            }
        }
        self.received.close();
        let rest = async {
            while let Some(told) = self.received.recv().await {
                self.publish(told).await;
            }
        };
        let _ = timeout(LAST_EVENTS, rest).await;
    }

    async fn publish(&mut self, mut told: Told) {
        told.note = note(&told.note);
        match self.said.admit(&told, Instant::now()) {
            Admission::New => {}
            Admission::Repeated => return,
            Admission::TooMany => {
                self.metrics.event_dropped();
                return;
            }
        }
        let event = self.event(&told, Timestamp::now());
        if let Some(cloud) = &self.cloud {
            cloud.hand(&event, told.reason);
        }
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let us = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        // Once: an event that comes late tells of something that is over.
        let result = within(Instant::now() + PUBLISH_LIMIT, api.create(&us, &event)).await;
        self.metrics
            .api_request(crate::metrics::Verb::Create, CallKind::of(&result));
        if let Err(error) = result {
            self.metrics.event_dropped();
            tracing::debug!(error = chain(&error), reason = %told.reason, "an event was not published");
        }
    }

    fn event(&mut self, told: &Told, now: Timestamp) -> Event {
        self.count += 1;
        let unique = format!(".{}{:x}", self.process, self.count);
        let name = told.regarding.name.as_deref().unwrap_or("flyball");
        let name = cut(name, NAME_BYTES - unique.len()).trim_end_matches(['.', '-']);
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}{unique}")),
                // An event about an object without a namespace is only accepted here.
                namespace: Some(told.regarding.namespace.clone().unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            action: Some(action(told.reason).to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(told.note.clone()),
            reason: Some(told.reason.as_str().to_owned()),
            regarding: Some(told.regarding.clone()),
            related: told.related.clone(),
            reporting_controller: Some(REPORTING_CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if is_warning(told.reason) { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        }
    }
}

/// What was said of which object, and when.
#[derive(Default)]
struct Said {
    objects: HashMap<Object, HashMap<(Reason, String), Instant>>,
    swept: Option<Instant>,
}

/// Kind, namespace, name and UID.
type Object = (String, String, String, String);

#[derive(Debug, PartialEq, Eq)]
enum Admission {
    New,
    Repeated,
    TooMany,
}

impl Said {
    fn admit(&mut self, told: &Told, now: Instant) -> Admission {
        self.sweep(now);
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let it = &told.regarding;
        let object = (text(&it.kind), text(&it.namespace), text(&it.name), text(&it.uid));
        let said = self.objects.entry(object).or_default();
        said.retain(|_, at| now.duration_since(*at) < REPEAT_AFTER);
        let words = (told.reason, told.note.clone());
        if said.contains_key(&words) {
            return Admission::Repeated;
        }
        if said.len() >= MOST_PER_OBJECT {
            return Admission::TooMany;
        }
        said.insert(words, now);
        Admission::New
    }

    /// Forgets objects of which nothing was said lately.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|at| now.duration_since(at) < REPEAT_AFTER) {
            return;
        }
        self.swept = Some(now);
        self.objects
            .retain(|_, said| said.values().any(|at| now.duration_since(*at) < REPEAT_AFTER));
    }
}

/// `text` as a note: on one line, and no longer than is accepted.
pub fn note(text: &str) -> String {
    let text = escape(text);
    if text.len() <= NOTE_BYTES {
        return text.into_owned();
    }
    format!("{}…", cut(&text, NOTE_BYTES - "…".len()))
}

/// The longest beginning of `text` of at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// Whether somebody should look. Exhaustive, so that a new reason is classified.
pub const fn is_warning(reason: Reason) -> bool {
    match reason {
        Reason::Invalid
        | Reason::SourceNotFound
        | Reason::SourceNotAllowed
        | Reason::SourceUnavailable
        | Reason::ExpressionRefused
        | Reason::CircuitOpen
        | Reason::SecretNotFound
        | Reason::RulesNotFound
        | Reason::RulesUnavailable
        | Reason::RulesInvalid
        | Reason::TargetNotFound
        | Reason::NoScaleSubresource
        | Reason::KindNotAllowed
        | Reason::KindNotServed
        | Reason::Conflict
        | Reason::OwnershipConflict
        | Reason::Contended
        | Reason::RouteInvalid
        | Reason::RollingBack
        | Reason::RolledBack
        | Reason::Ineffective
        | Reason::Inconclusive
        | Reason::NeedsMemory
        | Reason::NotPosted
        | Reason::NoAlertmanager
        | Reason::ReceiverNotFound
        | Reason::ReceiverNotAllowed
        | Reason::WatermarkRaised
        | Reason::WriteFailed
        | Reason::EvidenceFailed => true,
        Reason::Evaluating
        | Reason::Accepted
        | Reason::HasRoom
        | Reason::Notified
        | Reason::PodsTold
        | Reason::WatermarkEnded
        | Reason::Suspended
        | Reason::Idle
        | Reason::Proposed
        | Reason::Recommended
        // Most refusals are a cooldown or a limit that does its work.
        | Reason::Refused
        | Reason::Applying
        | Reason::Verifying
        | Reason::Committed
        | Reason::Superseded
        | Reason::EvidenceTaken => false,
    }
}

/// What was being done, for machines.
const fn action(reason: Reason) -> &'static str {
    match reason {
        Reason::Proposed | Reason::Recommended | Reason::Refused => "Decide",
        Reason::Applying | Reason::WriteFailed => "Apply",
        Reason::Verifying | Reason::Committed | Reason::Ineffective | Reason::Inconclusive | Reason::Superseded => {
            "Verify"
        }
        Reason::RollingBack | Reason::RolledBack => "RollBack",
        Reason::EvidenceTaken | Reason::EvidenceFailed => "Capture",
        _ => "Evaluate",
    }
}

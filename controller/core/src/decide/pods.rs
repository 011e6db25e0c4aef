//! The pods of a target, as far as they decide how many there should be.

use crate::{
    policy::{Resource, ResourceOf},
    time::{Span, Timestamp},
};
use std::collections::BTreeMap;

/// How far a pod has come (`status.phase`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PodPhase {
    /// Not placed, or not started.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
    /// The node does not answer.
    Unknown,
}

/// A pod's `Ready` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodReady {
    /// Whether it is `True`.
    pub ready: bool,
    /// Since when (`lastTransitionTime`).
    pub since: Timestamp,
}

/// What the containers of a pod request, by container: cores in thousandths, bytes in thousandths too,
/// so that no request is rounded.
pub type Requests = BTreeMap<String, BTreeMap<Resource, i64>>;

/// A pod of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// How far it has come.
    pub phase: PodPhase,
    /// Whether it has a `deletionTimestamp`.
    pub terminating: bool,
    /// Its `Ready` condition, if it has one.
    pub ready: Option<PodReady>,
    /// When the kubelet took it up (`status.startTime`).
    pub started_at: Option<Timestamp>,
    /// What its containers request.
    pub requests: Requests,
}

/// Why it can't be said what a pod requests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A container that counts requests nothing.
    #[error(
        "container {container} of pod {pod} requests no {resource}, so there is no percentage of it; set resources.requests.{resource}, or use an AverageValue target"
    )]
    Missing {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// The resource.
        resource: Resource,
    },
    /// The pod has no such container.
    #[error("pod {pod} has no container {container}; correct the metric's container")]
    NoContainer {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
    },
}

impl Pod {
    /// What is requested, in thousandths: by one container, or by all of them together.
    pub fn request(&self, of: &ResourceOf) -> Result<i64, RequestError> {
        let missing = |container: &String| RequestError::Missing {
            pod: self.name.clone(),
            container: container.clone(),
            resource: of.resource,
        };
        if let Some(name) = &of.container {
            let requests = self.requests.get(name).ok_or_else(|| RequestError::NoContainer {
                pod: self.name.clone(),
                container: name.clone(),
            })?;
            return requests.get(&of.resource).copied().ok_or_else(|| missing(name));
        }
        self.requests.iter().try_fold(0_i64, |sum, (name, requests)| {
            let request = requests.get(&of.resource).ok_or_else(|| missing(name))?;
            Ok(sum.saturating_add(*request))
        })
    }

    /// Whether it is in service: running, and its `Ready` condition is `True`.
    pub fn is_ready(&self) -> bool {
        self.phase == PodPhase::Running && self.ready.is_some_and(|condition| condition.ready)
    }

    /// Whether its `Ready` condition has been `True` for so long; always where no time is asked for.
    pub(crate) fn is_warm(&self, warm_up: Span, now: Timestamp) -> bool {
        warm_up.is_zero()
            || self
                .ready
                .is_some_and(|condition| condition.ready && now.since(condition.since) >= warm_up)
    }
}

/// What one pod uses of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodUsage {
    /// In thousandths of a core, or of a byte.
    pub milli: i64,
    /// The end of the window it was measured over.
    pub at: Timestamp,
    /// The length of that window.
    pub window: Span,
}

/// The pods of a target, those that were found by ownerReferences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods(pub Vec<Pod>);

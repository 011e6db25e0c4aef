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

impl Pod {
    /// What is requested, in thousandths; `None` where a container that counts requests nothing.
    pub fn request(&self, of: &ResourceOf) -> Option<i64> {
        let counted = self
            .requests
            .iter()
            .filter(|(name, _)| of.container.as_ref().is_none_or(|container| container == *name));
        let mut sum = None;
        for (_, requests) in counted {
            let request = *requests.get(&of.resource)?;
            sum = Some(sum.unwrap_or(0_i64).saturating_add(request));
        }
        sum
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

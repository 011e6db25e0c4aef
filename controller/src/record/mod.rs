//! Everything that is said about a pass: status, Events, metrics, logs.

pub mod status;

use crate::reconcile::{Pass, memory::Memory};
use flyball_core::{check::Check, policy::ReplicasAction, time::Timestamp};
use flyball_crds::{Change, FeedbackPolicy};
use kube::runtime::reflector::ObjectRef;
use std::time::Duration;

/// Tells of what happens, without ever holding a pass up.
pub struct Recorder {}

impl Recorder {
    /// The loop is alive.
    pub fn beat(&self) {}

    /// A pass began so late.
    pub fn lateness(&self, _late: Duration) {}

    /// A pass ended.
    pub(crate) fn pass(&self, _pass: &Pass<'_>, _memory: &Memory) {}

    /// A policy is gone.
    pub fn forget(&self, _policy: &ObjectRef<FeedbackPolicy>) {}

    /// A Change was recorded in a new phase.
    pub fn change(&self, _change: &Change) {}

    /// A Change was begun.
    pub fn begun(&self, _policy: &FeedbackPolicy, _change: &Change) {}

    /// A write was accepted, at this time.
    pub(crate) fn applied(&self, _pass: &Pass<'_>, _action: &ReplicasAction, _memory: &Memory, _at: Timestamp) {}

    /// A check refused a proposal.
    pub fn refused(&self, _policy: &FeedbackPolicy, _check: Option<Check>, _message: &str) {}

    /// The API server refused a write.
    pub fn write_failed(&self, _change: &Change, _message: &str) {}
}

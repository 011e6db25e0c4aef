//! What a weights action wants, before anything is checked.

use super::Inputs;
use crate::{
    evaluate::Alert,
    policy::{Weights, WeightsAction},
    signal::Reading,
    time::Timestamp,
};
use std::collections::BTreeMap;

/// What is known of the routes and of the traffic in this pass.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteFacts {
    /// The weights of the managed backends as last read.
    pub current: Weights,
    /// The sum of the weights of the other backends in the list. While it is not zero the sum of the managed
    /// ones stays as it is, or those would get another share.
    pub unmanaged: u64,
    /// The names of the other backends in the list: a reading may tell of them.
    pub others: Vec<String>,
    /// The sum that the weights must have where the kind fixes it (Istio: 100).
    pub fixed_total: Option<u32>,
    /// Requests per second by backend, as the proxy tells.
    pub requests: Reading,
    /// Failed requests per second by backend, as the proxy tells.
    pub errors: Reading,
    /// Whether a backend has a ready endpoint; one that is missing is not known. Only asked for backends that are out.
    pub ready: BTreeMap<String, bool>,
    /// What is remembered.
    pub history: WeightHistory,
}

/// What is remembered of a weights action from pass to pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WeightHistory {
    /// Since when this action has been observed without a break.
    pub observed_since: Timestamp,
    /// When the last change of ours was written.
    pub moved_at: Option<Timestamp>,
    /// The last weights whose effect was verified, or the ones found at adoption.
    pub verified: Option<Weights>,
    /// What is remembered of each backend.
    pub backends: BTreeMap<String, BackendHistory>,
}

/// What is remembered of a backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackendHistory {
    /// Its smoothed capacity, in requests per second.
    pub capacity: Option<f64>,
    /// When its signals were last all known.
    pub known_at: Option<Timestamp>,
    /// Since when it has looked bad (failover), on fresh data.
    pub bad_since: Option<Timestamp>,
    /// Since when it has had ready endpoints again while it was out.
    pub ready_since: Option<Timestamp>,
    /// Since when it is out; a weight of zero that nobody decided is no ejection.
    pub out_since: Option<Timestamp>,
    /// How many times it was taken out in a row.
    pub ejections: u32,
    /// Since when it has been coming back.
    pub returning_since: Option<Timestamp>,
}

/// Why the weights move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// As the law wants.
    Law,
    /// A backend is taken out at once: step cap and floor do not count, and it supersedes what is being verified.
    Ejection,
    /// A backend comes back slowly.
    Return,
    /// Somebody put the weights back to their base, and the last verified ones are written again.
    Reapply,
}

/// The weights that an action wants.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightProposal {
    /// The action's name.
    pub action: String,
    /// The weights on which it was decided.
    pub from: Weights,
    /// The weights wanted. Never `from`, never all zero.
    pub to: Weights,
    /// Why they move.
    pub why: Move,
    /// Why, in one sentence.
    pub reason: String,
    /// The calculation, in lines that a human can redo.
    pub arithmetic: Vec<String>,
    /// The alerts that led to it, the worst [`super::EVIDENCE_CAP`] of them.
    pub alerts: Vec<Alert>,
}

/// What comes of one pass of one weights action.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightDecision {
    /// A change is wanted.
    Propose(WeightProposal),
    /// No change is wanted.
    Stay {
        /// Why, in one sentence.
        reason: String,
        /// The calculation, as far as it went.
        arithmetic: Vec<String>,
    },
}

/// Decides what one weights action wants.
pub fn decide_weights(
    action: &WeightsAction,
    inputs: &Inputs<'_>,
    facts: &RouteFacts,
    now: Timestamp,
) -> (WeightDecision, WeightHistory) {
    let _ = (action, inputs, now);
    let stay = WeightDecision::Stay {
        reason: String::new(),
        arithmetic: Vec::new(),
    };
    (stay, facts.history.clone())
}

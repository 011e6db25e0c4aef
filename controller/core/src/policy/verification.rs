//! What must hold after a change.

use super::Comparison;
use crate::{signal::Finite, time::Span};

/// What is to be done if a verification cannot be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInconclusive {
    /// Keep the new value. The default.
    #[default]
    Hold,
    /// Go back to the last verified value.
    RollBack,
}

/// What is to be done with an increase that did not help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnIneffective {
    /// Go back to the last verified value, if the demand did not move and the present allows it.
    #[default]
    RollBack,
    /// Keep the new value.
    Hold,
}

/// The demand that a change answers to, to tell a surge from an ineffective change.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// The signal's name.
    pub signal: String,
    /// How far it may move, as a fraction of its value at the proposal, and still count as unchanged.
    pub tolerance: Finite,
}

/// The conditions that must hold after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    /// Samples before this are from before the change and are not judged.
    pub settle: Span,
    /// The deadline, counted like `settle` from the accepted write. `settle < within`.
    pub within: Span,
    /// An increase must achieve it by the deadline, a decrease maintain it from settle to deadline.
    pub condition: Comparison,
    /// The oldest sample that still counts.
    pub max_age: Span,
    /// The demand that the change answers to.
    pub demand: Option<Demand>,
    /// What an unanswered verification leads to.
    pub on_inconclusive: OnInconclusive,
    /// What an increase that did not help leads to.
    pub on_ineffective: OnIneffective,
    /// How long an ineffective change of this kind is not repeated while demand and signal stay.
    pub latch: Span,
}

//! Reasons to refuse or to shrink a proposal, before anything is written.
//!
//! Every check runs and reports, so that the record of a change shows each verdict, and not only the
//! first that refused. A check is skipped only where an earlier one left it nothing to judge.
//!
//! The order, and why:
//! 1. `Target`, `Ownership`: whether there is something that is ours to change.
//! 2. `DataQuality`, `Ineffective`, `Cooldown`: whether a change of this kind may be made now.
//! 3. `Rate`, then `Bounds`: how far. As in HPA, the bounds come last, so nothing leaves them.
//! 4. `OpenChange`: only a larger increase supersedes, so the final number must be known.
//! 5. `DryRun`: the API server is asked last, about exactly what would be written.
//!
//! A number outside of its bounds goes to the nearer bound at once, without rate, cooldown and latch:
//! the bounds are the policy author's word on what is safe, the rest are habits within.

mod bounds;
mod cooldown;
mod latch;
mod open;
mod ownership;
mod quality;
mod rate;
mod review;
mod undo;

pub use review::{Approved, Candidate, Refused};
pub use undo::{Undo, undo_decrease, undo_increase};

use crate::{
    decide::{Direction, Facts, Inputs, Proposal},
    policy::{Replicas, ReplicasAction},
    signal::Finite,
    time::Timestamp,
};
use review::{Finding, Review};
use std::fmt;

/// A check. An event's reason is its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The target exists, has a scale, may be scaled and is not paused.
    Target,
    /// Nobody else sets the field.
    Ownership,
    /// Neither the installation is frozen nor the direction paused.
    Pause,
    /// What the action reads is good enough for what it wants.
    DataQuality,
    /// The ranges that the queries look back over are filled.
    Coverage,
    /// No rollout of the target is under way.
    Rollout,
    /// No condition forbids changes of this direction.
    Veto,
    /// A change of this kind did not help, and nothing moved since.
    Ineffective,
    /// Enough time has gone by since the last change of this kind.
    Cooldown,
    /// Not too much within a period.
    Rate,
    /// Quota, nodes and disruption budgets leave room.
    Headroom,
    /// Not more than all policies together may take away in a minute.
    Budget,
    /// Within min and max, and an undoing not below what the signals ask for.
    Bounds,
    /// At most one open Change for one field of one target.
    OpenChange,
    /// Somebody approved, where the action asks for that.
    Approval,
    /// The API server accepts the write.
    DryRun,
}

impl Check {
    /// All checks, in the order in which they run.
    pub const ALL: [Self; 16] = [
        Self::Target,
        Self::Ownership,
        Self::Pause,
        Self::DataQuality,
        Self::Coverage,
        Self::Rollout,
        Self::Veto,
        Self::Ineffective,
        Self::Cooldown,
        Self::Rate,
        Self::Headroom,
        Self::Budget,
        Self::Bounds,
        Self::OpenChange,
        Self::Approval,
        Self::DryRun,
    ];

    /// The name, as it is recorded.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "Target",
            Self::Ownership => "Ownership",
            Self::Pause => "Pause",
            Self::DataQuality => "DataQuality",
            Self::Coverage => "Coverage",
            Self::Rollout => "Rollout",
            Self::Veto => "Veto",
            Self::Ineffective => "Ineffective",
            Self::Cooldown => "Cooldown",
            Self::Rate => "Rate",
            Self::Headroom => "Headroom",
            Self::Budget => "Budget",
            Self::Bounds => "Bounds",
            Self::OpenChange => "OpenChange",
            Self::Approval => "Approval",
            Self::DryRun => "DryRun",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nothing speaks against the proposal.
    Passed,
    /// A part of it may be done.
    Clamped,
    /// Nothing of it may be done.
    Refused,
    /// There was nothing to judge.
    Skipped,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "Passed",
            Self::Clamped => "Clamped",
            Self::Refused => "Refused",
            Self::Skipped => "Skipped",
        })
    }
}

/// One line of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// The check.
    pub check: Check,
    /// What it came to.
    pub verdict: Verdict,
    /// Which field and value that hangs on, and the way out.
    pub message: String,
}

/// What the API server said to a dry run of the write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// It would be accepted.
    Accepted,
    /// It would be refused, for this reason.
    Refused(String),
    /// It was not asked, for this reason.
    Skipped(String),
}

/// Runs every check that needs no API server.
///
/// `facts` and `inputs` must be those that the proposal was made from.
pub fn shape(
    proposal: Proposal,
    action: &ReplicasAction,
    inputs: &Inputs<'_>,
    facts: &Facts,
    world: &World,
    now: Timestamp,
) -> Result<Candidate, Refused> {
    let (from, direction) = (proposal.from, proposal.direction);
    let history = &facts.history;
    let mut review = Review::of(proposal);
    if let Some(why) = review.target(ownership::target(&world.target)) {
        return review.skip_rest(&why);
    }
    review.note(Check::Ownership, ownership::owners(&world.owners));
    review.note(Check::DataQuality, quality::data(direction, action, inputs));
    if let Some(bound) = bounds::nearer(from, direction, action.bounds) {
        let why = format!("{from} replicas are out of bounds: to {bound} at once, and no further");
        for check in [Check::Ineffective, Check::Cooldown, Check::Rate] {
            review.note(check, Finding::Skip(why.clone()));
        }
        review.limit(bound);
    } else {
        review.note(
            Check::Ineffective,
            latch::latch(direction, action, inputs, history, now),
        );
        review.note(Check::Cooldown, cooldown::cooldown(direction, action, history, now));
        let finding = rate::rate(from, review.to(), direction, action, history, now);
        review.note(Check::Rate, finding);
    }
    review.how_far(bounds::bounds(from, review.to(), direction, action.bounds));
    let open = open::supersede(direction, review.to(), &world.open);
    review.open(open);
    review.shaped()
}

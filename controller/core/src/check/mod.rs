//! Reasons to refuse or to shrink a proposal, before anything is written.
//!
//! Every check runs and reports, so that the record of a change shows each verdict, and not only the
//! first that refused. A check is skipped only where an earlier one left it nothing to judge.
//!
//! The order, and why:
//! 1. `Target`, `Ownership`, `Pause`: whether there is something that is ours to change, and now.
//! 2. `DataQuality`, `Coverage`, `Rollout`, `Veto`, `Ineffective`, `Cooldown`: whether a change of this
//!    kind may be made now.
//! 3. `Rate`, `Headroom`, `Budget`, then `Bounds`: how far. As in HPA, the bounds come last, so nothing
//!    leaves them.
//! 4. `OpenChange`, `Approval`: only a larger increase supersedes, and one step is approved, so the
//!    final number must be known.
//! 5. `DryRun`: the API server is asked last, about exactly what would be written.
//!
//! A number outside of its bounds goes to the nearer bound at once, without rate, cooldown and latch:
//! the bounds are the policy author's word on what is safe, the rest are habits within. What lies
//! outside of the author's power stays: a quota has no more room because `min` is higher, and the budget
//! over all policies is the operator's word. Then it goes as far towards the bound as they let it, so a
//! number that is approved can lie short of the bound it came from, never beyond the other. From zero
//! there is no latch and no cooldown either: while nobody serves, waiting is an outage.
//!
//! The bounds are those of the pass: a schedule raises the lower one, and where an action may go to
//! zero, the last replica is a bound until there has been nothing to do for long enough.

mod approval;
mod bounds;
mod budget;
mod cooldown;
mod coverage;
mod headroom;
mod latch;
mod open;
mod open_weights;
mod ownership;
mod pause;
mod quality;
mod rate;
mod relief;
mod review;
mod rollout;
mod runtime;
mod sheet;
mod surge;
mod undo;
mod veto;
mod weights;
mod world;

pub use coverage::LEAST_COVERAGE;
pub use relief::{ReliefApproved, ReliefCandidate, ReliefRefused, ReliefWorld, shape_relief};
pub use review::{Approved, Candidate, Refused};
pub use runtime::{
    OpenRuntime, RuntimeApproval, RuntimeApproved, RuntimeCandidate, RuntimeRefused, RuntimeWorld, shape_runtime,
    undo_runtime,
};
pub use surge::OpenStep;
pub use undo::{Undo, undo_decrease, undo_increase, undo_requested};
pub use weights::{
    OpenWeights, RouteWorld, Supersedable, WeightsApproval, WeightsApproved, WeightsCandidate, WeightsRefused,
    shape_weights, undo_weights,
};
pub use world::{Approval, Budget, Coverage, Headroom, OpenChange, Owner, Paused, Target, World};

use crate::{
    decide::{Direction, Facts, Inputs, Limits, Proposal},
    policy::{Replicas, ReplicasAction},
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
    /// The agents in the pods answer, and no breaker of theirs tripped.
    Agents,
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
    /// The checks of replicas, in the order in which they run.
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

    /// Those of all levers.
    pub fn of_all_levers() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain([Self::Agents])
    }

    /// The name, as it is recorded.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "Target",
            Self::Ownership => "Ownership",
            Self::Pause => "Pause",
            Self::DataQuality => "DataQuality",
            Self::Coverage => "Coverage",
            Self::Agents => "Agents",
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

/// The check that refused first, if one did.
fn first_refusal(checks: &[CheckResult]) -> Option<&CheckResult> {
    checks.iter().find(|result| result.verdict == Verdict::Refused)
}

/// What it says.
fn refusal(checks: &[CheckResult]) -> String {
    first_refusal(checks).map_or_else(
        || "refused".to_owned(),
        |first| format!("{}: {}", first.check, first.message),
    )
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
    let limits = match direction {
        Direction::Up => Limits::of(action, now),
        Direction::Down => Limits::downwards(action, inputs, history, now),
    };
    let mut review = Review::of(proposal);
    if let Some(why) = review.target(ownership::target(&world.target)) {
        return review.skip_rest(&why);
    }
    review.note(Check::Ownership, ownership::owners(&world.owners));
    review.note(Check::Pause, pause::pause(direction, &world.paused));
    review.note(Check::DataQuality, quality::data(direction, action, inputs));
    review.note(Check::Coverage, coverage::coverage(direction, &world.coverage));
    review.note(Check::Rollout, rollout::rollout(direction, facts));
    review.note(Check::Veto, veto::veto(direction, action, inputs));
    if let Some(bound) = bounds::nearer(from, direction, limits.bounds) {
        let why = format!("{from} replicas are out of bounds: to {bound} at once, and no further");
        review.note(Check::Ineffective, Finding::Skip(why.clone()));
        let spike = cooldown::spike(direction, history, now);
        review.note(Check::Cooldown, spike.unwrap_or_else(|| Finding::Skip(why.clone())));
        review.note(Check::Rate, Finding::Skip(why));
        review.limit(bound);
    } else if from.get() == 0 && action.zero.is_some() {
        // That an earlier increase did not help says nothing while nobody serves, and each moment of
        // waiting is one without service.
        for check in [Check::Ineffective, Check::Cooldown] {
            review.note(check, Finding::Skip("to leave zero waits for nothing".to_owned()));
        }
        review.of_number(Check::Rate, |to| rate::rate(from, to, direction, action, history, now));
    } else {
        review.note(
            Check::Ineffective,
            latch::latch(direction, action, inputs, history, now),
        );
        review.note(Check::Cooldown, cooldown::cooldown(direction, action, history, now));
        review.of_number(Check::Rate, |to| rate::rate(from, to, direction, action, history, now));
    }
    review.of_number(Check::Headroom, |to| {
        headroom::headroom(from, to, direction, &world.headroom)
    });
    review.of_number(Check::Budget, |to| budget::budget(from, to, direction, &world.budget));
    let room = room(from, direction, world);
    review.of_number(Check::Bounds, |to| bounds::bounds(from, to, direction, &limits, room));
    review.open(|to| open::supersede(from, direction, to, &world.open));
    review.of_number(Check::Approval, |to| approval::approval(&world.approval, from, to));
    review.shaped()
}

/// How far headroom and budget let a change go.
fn room(from: Replicas, direction: Direction, world: &World) -> Option<Replicas> {
    let headroom = headroom::narrowest(direction, &world.headroom).map(|(replicas, _)| replicas);
    match direction {
        Direction::Up => headroom,
        Direction::Down => headroom.max(budget::fewest(from, &world.budget)),
    }
}

//! Taking a change back.

use super::{
    Candidate, Check, Finding, Refused, Review, World, bounds, cooldown, coverage, headroom, open, ownership, quality,
    rollout, veto,
};
use crate::{
    decide::{Asked, Direction, Facts, Inputs, Limits, Proposal, asked},
    decimal::plain,
    policy::{Bounds, Law, Replicas, ReplicasAction},
    signal::Finite,
    time::Timestamp,
    verify::moved,
};

/// What is to be undone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Undo {
    /// The number that the change wrote.
    pub from: Replicas,
    /// The last verified number (law 7).
    pub to: Replicas,
    /// The demand when the change was proposed.
    pub demand: Option<Finite>,
}

/// Undoing an increase takes something away, so it is a proposal like any other: only with fresh data
/// over filled ranges, not during a rollout, a spike or a veto, only if the demand is known and did not
/// move, never below what the signals, a schedule or a disruption budget ask for now. Where it is
/// refused, the value is held.
///
/// It waits for neither cooldown, rate, stabilisation nor latch: these keep a policy from moving too
/// often, and this is the way back of a move that was already made. Nor does it wait for a freeze, a
/// pause, the budget or an approval: those are for what goes forward.
pub fn undo_increase(
    action: &ReplicasAction,
    undo: Undo,
    inputs: &Inputs<'_>,
    facts: &Facts,
    world: &World,
    now: Timestamp,
) -> Result<Candidate, Refused> {
    const DOWN: Direction = Direction::Down;
    let skip = |why: &str| Finding::Skip(why.to_owned());
    let mut review = Review::of(proposal(action, undo, DOWN, inputs.demand(action)));
    if let Some(why) = review.target(ownership::target(&world.target)) {
        return review.skip_rest(&why);
    }
    review.note(
        Check::Ownership,
        ownership::still_ours(&world.owners, undo.from, facts.current),
    );
    review.note(
        Check::Pause,
        skip("an undoing goes on while everything else is frozen or paused"),
    );
    review.note(Check::DataQuality, quality::data(DOWN, action, inputs));
    review.note(Check::Coverage, coverage::coverage(DOWN, &world.coverage));
    review.note(Check::Rollout, rollout::rollout(DOWN, facts));
    review.note(Check::Veto, veto::veto(DOWN, action, inputs));
    review.note(Check::Ineffective, same_demand(action, undo, inputs));
    let spike = cooldown::spike(DOWN, &facts.history, now);
    review.note(
        Check::Cooldown,
        spike.unwrap_or_else(|| skip("an undoing waits for no cooldown")),
    );
    review.note(Check::Rate, skip("an undoing has no rate"));
    review.of_number(Check::Headroom, |to| {
        headroom::headroom(undo.from, to, DOWN, &world.headroom)
    });
    review.note(Check::Budget, skip("an undoing is not counted against the budget"));
    let fewest = headroom::narrowest(DOWN, &world.headroom).map(|(replicas, _)| replicas);
    review.of_number(Check::Bounds, |to| {
        let undo = Undo { to, ..undo };
        not_below_the_signals(action, undo, inputs, facts, fewest, now)
    });
    review.open(|_| (open::own(&world.open), None));
    review.note(Check::Approval, skip("an undoing waits for no approval"));
    review.shaped()
}

/// Undoing a decrease gives back what was taken. It is immediate: neither data nor cooldown, rate or
/// latch keep it back, nor anything else that forbids increases, only a target that is gone or is
/// somebody else's, and max. Where a schedule asks for more by now, the next pass goes there.
pub fn undo_decrease(action: &ReplicasAction, undo: Undo, facts: &Facts, world: &World) -> Result<Candidate, Refused> {
    let proposal = proposal(action, undo, Direction::Up, None);
    at_once(
        action,
        undo,
        proposal,
        "giving back what was taken waits for nothing",
        facts,
        world,
    )
}

/// Undoing a change of `direction` because a person asked for it: whoever asks has looked, and answers for
/// data and demand. What is checked all the same is what is not theirs to decide: whether the field is
/// still ours, and the bounds.
pub fn undo_requested(
    action: &ReplicasAction,
    undo: Undo,
    direction: Direction,
    facts: &Facts,
    world: &World,
) -> Result<Candidate, Refused> {
    let back = match direction {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
    };
    let proposal = Proposal {
        reason: "somebody asked for the roll-back".to_owned(),
        ..proposal(action, undo, back, None)
    };
    at_once(
        action,
        undo,
        proposal,
        "somebody asked for this roll-back",
        facts,
        world,
    )
}

/// An undoing that waits for nothing, for this reason.
fn at_once(
    action: &ReplicasAction,
    undo: Undo,
    proposal: Proposal,
    why: &str,
    facts: &Facts,
    world: &World,
) -> Result<Candidate, Refused> {
    let direction = proposal.direction;
    let mut review = Review::of(proposal);
    if let Some(why) = review.target(ownership::target_of_undoing(&world.target)) {
        return review.skip_rest(&why);
    }
    review.note(
        Check::Ownership,
        ownership::still_ours(&world.owners, undo.from, facts.current),
    );
    let waits_for_nothing = || Finding::Skip(why.to_owned());
    for check in [
        Check::Pause,
        Check::DataQuality,
        Check::Coverage,
        Check::Rollout,
        Check::Veto,
        Check::Ineffective,
        Check::Cooldown,
        Check::Rate,
        Check::Headroom,
        Check::Budget,
    ] {
        review.note(check, waits_for_nothing());
    }
    let limits = Limits::unraised(action);
    review.of_number(Check::Bounds, |to| {
        bounds::bounds(undo.from, to, direction, &limits, None)
    });
    review.open(|_| (open::own(&world.open), None));
    review.note(Check::Approval, waits_for_nothing());
    review.shaped()
}

fn proposal(action: &ReplicasAction, undo: Undo, direction: Direction, demand: Option<Finite>) -> Proposal {
    let Undo { from, to, .. } = undo;
    let reason = match direction {
        Direction::Up => "undoes a decrease that did not keep its condition",
        Direction::Down => "undoes an increase that did not help",
    };
    Proposal {
        action: action.name.clone(),
        from,
        to,
        direction,
        reason: reason.to_owned(),
        arithmetic: vec![format!("back from {from} to the last verified {to}")],
        alerts: Vec::new(),
        demand,
    }
}

/// With another demand than at the proposal, nobody knows whether the increase helped.
fn same_demand(action: &ReplicasAction, undo: Undo, inputs: &Inputs<'_>) -> Finding {
    let Some(configured) = action
        .verification
        .as_ref()
        .and_then(|verification| verification.demand.as_ref())
    else {
        return Finding::Refuse("no demand signal is configured, so the value is held; set verify.demand".to_owned());
    };
    let signal = &configured.signal;
    let Some(before) = undo.demand else {
        return Finding::Refuse(format!(
            "demand signal {signal} was not known at the proposal, so the value is held"
        ));
    };
    let Some(demand) = inputs.demand(action) else {
        return Finding::Refuse(format!("demand signal {signal} is not known now, so the value is held"));
    };
    let (was, is) = (plain(before.get()), plain(demand.get()));
    if moved(before, demand, configured.tolerance) {
        let tolerance = plain(configured.tolerance.get());
        Finding::Refuse(format!(
            "demand signal {signal} moved from {was} to {is}, by more than the tolerance {tolerance}, so the value is held"
        ))
    } else {
        Finding::Pass(format!("demand signal {signal} was {was} and is {is}"))
    }
}

/// The bounds, with what the metrics ask for now as the lowest number. A step asks for no number.
fn not_below_the_signals(
    action: &ReplicasAction,
    undo: Undo,
    inputs: &Inputs<'_>,
    facts: &Facts,
    fewest: Option<Replicas>,
    now: Timestamp,
) -> Finding {
    let Undo { from, to, .. } = undo;
    let asked = match &action.law {
        Law::Step(_) => None,
        Law::Metrics(law) => match asked(action, law, inputs, facts, now) {
            Ok(asked) => Some(asked),
            Err(why) => {
                return Finding::Refuse(format!(
                    "what the metrics ask for is not known: {why}; so the {from} are held"
                ));
            }
        },
    };
    let limits = Limits::downwards(action, inputs, &facts.history, now);
    let Bounds { min, max } = limits.bounds;
    let Some(Asked { desired, reason, .. }) = asked.filter(|asked| asked.desired.min(max) > to.max(min)) else {
        return bounds::bounds(from, to, Direction::Down, &limits, fewest);
    };
    let floor = desired.min(max);
    if floor < from {
        Finding::Clamp(
            floor,
            format!("to {floor} instead of {to}: {reason}, which asks for {desired} now; max is {max}"),
        )
    } else {
        Finding::Refuse(format!(
            "{reason}, which asks for {desired} replicas now, so the {from} are held"
        ))
    }
}

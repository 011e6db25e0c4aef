//! Taking a change back.

use super::{Candidate, Check, Finding, Refused, Review, World, bounds, open, ownership, quality};
use crate::{
    decide::{Asked, Direction, Facts, Inputs, Proposal, asked},
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

/// Undoing an increase takes something away, so it is a proposal like any other: only with fresh data,
/// only if the demand is known and did not move, and never below what the signals ask for now. Where it
/// is refused, the value is held.
///
/// It waits for neither cooldown, rate, stabilisation nor latch: these keep a policy from moving too
/// often, and this is the way back of a move that was already made.
pub fn undo_increase(
    action: &ReplicasAction,
    undo: Undo,
    inputs: &Inputs<'_>,
    facts: &Facts,
    world: &World,
    now: Timestamp,
) -> Result<Candidate, Refused> {
    let mut review = Review::of(proposal(action, undo, Direction::Down, inputs.demand(action)));
    if let Some(why) = review.target(ownership::target(&world.target)) {
        return review.skip_rest(&why);
    }
    review.note(
        Check::Ownership,
        ownership::still_ours(&world.owners, undo.from, facts.current),
    );
    review.note(Check::DataQuality, quality::data(Direction::Down, action, inputs));
    review.note(Check::Ineffective, same_demand(action, undo, inputs));
    review.note(
        Check::Cooldown,
        Finding::Skip("an undoing waits for no cooldown".to_owned()),
    );
    review.note(Check::Rate, Finding::Skip("an undoing has no rate".to_owned()));
    review.how_far(not_below_the_signals(action, undo, inputs, facts, now));
    review.open((open::own(&world.open), None));
    review.shaped()
}

/// Undoing a decrease gives back what was taken. It is immediate: neither data nor cooldown, rate or
/// latch keep it back, only a target that is gone or is somebody else's, and max.
pub fn undo_decrease(action: &ReplicasAction, undo: Undo, facts: &Facts, world: &World) -> Result<Candidate, Refused> {
    let mut review = Review::of(proposal(action, undo, Direction::Up, None));
    if let Some(why) = review.target(ownership::target_of_undoing(&world.target)) {
        return review.skip_rest(&why);
    }
    review.note(
        Check::Ownership,
        ownership::still_ours(&world.owners, undo.from, facts.current),
    );
    for check in [Check::DataQuality, Check::Ineffective, Check::Cooldown, Check::Rate] {
        review.note(
            check,
            Finding::Skip("giving back what was taken waits for nothing".to_owned()),
        );
    }
    review.how_far(bounds::bounds(undo.from, undo.to, Direction::Up, action.bounds));
    review.open((open::own(&world.open), None));
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
    now: Timestamp,
) -> Finding {
    let asked = match &action.law {
        Law::Step(_) => None,
        Law::Metrics(law) => asked(action, law, inputs, facts, now).ok(),
    };
    let Undo { from, to, .. } = undo;
    let Bounds { min, max } = action.bounds;
    let Some(Asked { desired, reason, .. }) = asked.filter(|asked| asked.desired.min(max) > to.max(min)) else {
        return bounds::bounds(from, to, Direction::Down, action.bounds);
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

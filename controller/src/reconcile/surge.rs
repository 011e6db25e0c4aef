//! Whether a demand that grew lets an open Change be superseded.

use super::{Pass, memory::Memory, open::Carried};
use flyball_core::{
    check::OpenStep,
    policy::{Law, ReplicasAction},
    signal::Finite,
};

/// Whether more is asked for than when the open Change was proposed.
///
/// A metric computes how much the demand needs, so a larger number is reason enough. A step asks for
/// one more as long as its rule fires, which it does until the first step has taken effect: without
/// a demand that grew since, every pass would add a step, up to max.
pub(super) fn surges(pass: &Pass<'_>, memory: &Memory, action: &ReplicasAction, carried: &Carried) -> bool {
    if matches!(action.law, Law::Metrics(_)) {
        return true;
    }
    let now = demand_now(pass, action);
    match (open_step(pass, memory, action, carried), now) {
        (Some(step), Some(now)) => step.surge(now, pass.seen.now).is_ok(),
        _ => false,
    }
}

fn demand_now(pass: &Pass<'_>, action: &ReplicasAction) -> Option<Finite> {
    let demand = action.verification.as_ref()?.demand.as_ref()?;
    pass.seen.signals.get(&demand.signal)?.number().ok()
}

/// The open Change as far as its demand goes.
fn open_step(pass: &Pass<'_>, memory: &Memory, action: &ReplicasAction, carried: &Carried) -> Option<OpenStep> {
    let demand = action.verification.as_ref()?.demand.as_ref()?;
    let spec = &carried.change.spec;
    // The baseline may be inherited; what was read at this Change's own proposal is its evidence.
    let evidence = spec
        .evidence
        .signals
        .iter()
        .find(|signal| signal.name == demand.signal)?;
    let journal = &carried.tx.journal;
    Some(OpenStep {
        proposed_at: journal.proposed_at,
        from: journal.before,
        to: journal.after,
        demand: Finite::new(evidence.value.parse().ok()?)?,
        filled: memory
            .filled
            .filter(|(sequence, _)| *sequence == journal.sequence)
            .map(|(_, demand)| demand),
        range: pass.policy.signals.get(&demand.signal)?.query.longest_range,
        tolerance: demand.tolerance,
    })
}

/// Keeps the demand as it is first read with its range filled since the open Change was proposed.
pub(super) fn fill(pass: &Pass<'_>, memory: &mut Memory, carried: Option<&Carried>) {
    let Some(carried) = carried.filter(|carried| carried.is_open()) else {
        return;
    };
    let sequence = carried.tx.journal.sequence;
    if memory.filled.is_some_and(|(known, _)| known == sequence) {
        return;
    }
    let name = &carried.change.spec.action;
    let Some(action) = pass.policy.actions.iter().find(|action| action.name == *name) else {
        return;
    };
    if let (Some(step), Some(now)) = (open_step(pass, memory, action, carried), demand_now(pass, action))
        && pass.seen.now >= step.filled_at()
    {
        memory.filled = Some((sequence, now));
    }
}

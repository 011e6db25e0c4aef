use super::{Errors, change, names::Names};
use crate::promql::{self, MAX_BYTES};
use flyball_core::{
    policy::{Comparison, Demand, OnInconclusive, OnIneffective, Replicas, ReplicasAction, Signal, Verification},
    signal::Finite,
    time::Span,
};
use flyball_crds::{self as crds, Verify};
use std::collections::BTreeMap;

const DEFAULT_LATCH: Span = Span::from_secs(30 * 60);
const DEFAULT_DEMAND_TOLERANCE: i32 = 20;

pub(super) fn read(
    path: &str,
    written: &Verify,
    names: &Names,
    max_age: Option<Span>,
    errors: &mut Errors,
) -> Option<Verification> {
    let settle = errors.span(format!("{path}.settle"), Some(&written.settle), Span::ZERO);
    let within = errors.span(format!("{path}.within"), Some(&written.within), Span::ZERO);
    if let (Some(settle), Some(within)) = (settle, within)
        && settle >= within
    {
        errors.add(
            format!("{path}.within"),
            format!("{within} is not longer than settle, which is {settle}; nothing could be judged in between, lengthen within"),
        );
    }
    let condition = errors.expression(format!("{path}.expr"), promql::comparison(&written.expr));
    if let (Some(settle), Some(condition)) = (settle, &condition)
        && settle < condition.left.longest_range
    {
        let range = condition.left.longest_range;
        errors.add(
            format!("{path}.settle"),
            format!("{settle} is shorter than the longest range in expr, so samples from before the change would be judged; write at least {range}, plus the time a new pod needs to be ready"),
        );
    }
    if let Some(condition) = &condition {
        fits(&format!("{path}.expr"), condition, errors);
    }
    let demand = match &written.demand {
        Some(demand) => {
            let path = format!("{path}.demand");
            let known = names.number(&format!("{path}.signal"), &demand.signal, errors);
            let percent = demand.tolerance_percent.unwrap_or(DEFAULT_DEMAND_TOLERANCE);
            let tolerance = tolerance(&format!("{path}.tolerancePercent"), percent, errors);
            known.and(tolerance).map(|tolerance| {
                Some(Demand {
                    signal: demand.signal.clone(),
                    tolerance,
                })
            })
        }
        None => Some(None),
    };
    let latch = errors.span(format!("{path}.latch"), written.latch.as_ref(), DEFAULT_LATCH);
    Some(Verification {
        settle: settle?,
        within: within?,
        condition: condition?,
        max_age: max_age?,
        demand: demand?,
        on_inconclusive: on_inconclusive(written.on_inconclusive.unwrap_or_default()),
        on_ineffective: on_ineffective(written.on_ineffective.unwrap_or_default()),
        latch: latch?,
    })
}

/// A percentage as a fraction.
pub(super) fn tolerance(path: &str, percent: i32, errors: &mut Errors) -> Option<Finite> {
    if !(1..=100).contains(&percent) {
        errors.add(
            path,
            format!("{percent} is not between 1 and 100; write for example 20"),
        );
        return None;
    }
    Finite::new(f64::from(percent) / 100.0)
}

pub(super) fn on_inconclusive(written: crds::OnInconclusive) -> OnInconclusive {
    match written {
        crds::OnInconclusive::Hold => OnInconclusive::Hold,
        crds::OnInconclusive::RollBack => OnInconclusive::RollBack,
    }
}

pub(super) fn on_ineffective(written: crds::OnIneffective) -> OnIneffective {
    match written {
        crds::OnIneffective::Hold => OnIneffective::Hold,
        crds::OnIneffective::RollBack => OnIneffective::RollBack,
    }
}

/// The expression is frozen into each Change, which has the same bound.
fn fits(path: &str, condition: &Comparison, errors: &mut Errors) {
    if change::written(condition).len() > MAX_BYTES {
        errors.add(
            path,
            format!("the expression is too long by a few characters; keep it below {MAX_BYTES} bytes"),
        );
    }
}

/// The last replica's going is verified by the signal that wakes the workload, so that too must fit into a Change.
pub(super) fn of_zero(path: &str, action: &ReplicasAction, signals: &BTreeMap<String, Signal>, errors: &mut Errors) {
    if action.zero.is_none() {
        return;
    }
    let none = Replicas::new(0).and_then(|none| action.verification_to(none, signals));
    if let Some(verification) = none {
        fits(path, &verification.condition, errors);
    }
}

//! The two laws: from rules and signals to a number of replicas.

use super::{EVIDENCE_CAP, Facts, Inputs, Wish};
use crate::{
    decimal::{Decimal, plain},
    evaluate::{Alert, RuleState},
    policy::{Comparator, Condition, Law, Ratio, RatioKind, Replicas, ReplicasAction, Step, StepDown},
    signal::Finite,
    time::Timestamp,
};
use std::cmp::Ordering;

/// What the action's law asks for. `Err` says why it can't say.
pub(super) fn wish(
    action: &ReplicasAction,
    inputs: &Inputs<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Wish, String> {
    match &action.law {
        Law::Step(step) => Ok(step_wish(action, step, inputs, facts, now)),
        Law::Ratio(ratio) => ratio_wish(action, ratio, inputs, facts.current),
    }
}

/// A firing rule adds, a long quiet takes away. A rule that fires only because its query failed since
/// does neither: its alerts are those of the last answer, and steps on the strength of that alone
/// would go on to the maximum for as long as the outage lasts.
fn step_wish(action: &ReplicasAction, step: &Step, inputs: &Inputs<'_>, facts: &Facts, now: Timestamp) -> Wish {
    let current = facts.current;
    let stay = |reason: String| Wish {
        desired: current,
        reason,
        arithmetic: Vec::new(),
        alerts: Vec::new(),
    };
    let firing: Vec<&String> = action
        .when
        .iter()
        .filter(|name| state(inputs, name).is_some_and(RuleState::is_firing))
        .collect();
    let (unanswered, answered): (Vec<&String>, Vec<&String>) = firing
        .into_iter()
        .partition(|name| state(inputs, name).is_some_and(|state| state.error.is_some()));
    if !answered.is_empty() {
        let added = step.up.added_to(current);
        let desired = Replicas::nearest(i64::from(current.get()) + added);
        return Wish {
            desired,
            reason: format!("{} fires", join(&answered)),
            arithmetic: vec![format!("{current} + {} = {current} + {added} = {desired}", step.up)],
            alerts: evidence(&answered, inputs),
        };
    }
    if !unanswered.is_empty() {
        return stay(format!(
            "{} fired when its query was last answered; no step until it is again",
            join(&unanswered)
        ));
    }
    let Some(down) = &step.down else {
        return stay("no rule fires".to_owned());
    };
    if let Some(reason) = not_quiet(action, down, inputs, facts, now) {
        return stay(reason);
    }
    let wanting: Vec<&String> = down
        .when
        .iter()
        .filter(|name| state(inputs, name).is_some_and(|s| s.is_firing() && s.error.is_none()))
        .collect();
    if wanting.is_empty() && !down.when.is_empty() {
        return stay(format!(
            "quiet for {}, but of down.when none fires: {}",
            down.after,
            down.when.join(", ")
        ));
    }
    let taken = down.by.taken_from(current);
    let desired = Replicas::nearest(i64::from(current.get()) - taken);
    let quiet = format!("{} quiet for {}", action.when.join(", "), down.after);
    Wish {
        desired,
        reason: if wanting.is_empty() {
            quiet
        } else {
            format!("{quiet}, and {} fires", join(&wanting))
        },
        arithmetic: vec![format!("{current} - {} = {current} - {taken} = {desired}", down.by)],
        alerts: evidence(&wanting, inputs),
    }
}

/// Why the rules are not known to have been quiet for long enough.
fn not_quiet(
    action: &ReplicasAction,
    down: &StepDown,
    inputs: &Inputs<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Option<String> {
    if action.when.is_empty() {
        return Some("when names no rule, so quiet can't be known".to_owned());
    }
    for name in &action.when {
        let Some(since) = state(inputs, name).and_then(|state| state.quiet_since) else {
            return Some(format!("{name} {}", why_not_quiet(inputs, name)));
        };
        let quiet = now.since(since);
        if quiet < down.after {
            return Some(format!("{name} is quiet for {quiet} of {}", down.after));
        }
    }
    let observed = now.since(facts.history.observing_since);
    (observed < down.after).then(|| format!("quiet, but observed only for {observed} of {}", down.after))
}

/// Why it is not known that nothing is wrong.
fn why_not_quiet(inputs: &Inputs<'_>, name: &str) -> String {
    let Some(state) = state(inputs, name) else {
        return "was not evaluated".to_owned();
    };
    if let Some(error) = &state.error {
        return format!("was not evaluated: {error}");
    }
    if state.is_pending() {
        return "is pending".to_owned();
    }
    if matches!(
        inputs.definitions.get(name).map(|rule| &rule.condition),
        Some(Condition::Opaque(_))
    ) {
        return "compares with no number at its top, so its silence proves nothing".to_owned();
    }
    match inputs.readings.get(name) {
        Some(reading) if !reading.is_fresh() => {
            format!("has no fresh data: {} ({})", reading.quality(), reading.detail())
        }
        _ => "is not known to be quiet".to_owned(),
    }
}

fn state<'a>(inputs: &Inputs<'a>, name: &str) -> Option<&'a RuleState> {
    inputs.rules.get(name)
}

fn join(names: &[&String]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The worst firing alerts. Values of different rules can't be compared, so each gives its worst in
/// turn.
fn evidence(names: &[&String], inputs: &Inputs<'_>) -> Vec<Alert> {
    let worst = |name: &&String| {
        let comparator = match inputs.definitions.get(*name).map(|rule| &rule.condition) {
            Some(Condition::Threshold(comparison)) => comparison.comparator,
            _ => Comparator::Greater,
        };
        let state = state(inputs, name)?;
        let firing = state.firing().count();
        Some(state.worst(firing.min(EVIDENCE_CAP), comparator))
    };
    let lists: Vec<Vec<&Alert>> = names.iter().filter_map(worst).collect();
    let in_turn = (0..EVIDENCE_CAP).flat_map(|nth| lists.iter().filter_map(move |list| list.get(nth)));
    in_turn.take(EVIDENCE_CAP).map(|alert| (*alert).clone()).collect()
}

/// A signal against its target. The action's rules play no part in the number.
fn ratio_wish(action: &ReplicasAction, ratio: &Ratio, inputs: &Inputs<'_>, current: Replicas) -> Result<Wish, String> {
    let name = &ratio.signal;
    let reading = inputs
        .signals
        .get(name)
        .ok_or_else(|| format!("signal {name} was not read"))?;
    let signal = reading
        .number()
        .map_err(|error| format!("signal {name} is no usable number: {error}"))?;
    let (desired, arithmetic) = ratio_desired(ratio, current, signal).ok_or_else(|| {
        let signal = plain(signal.get());
        format!("signal {name} is {signal}, and a ratio needs 0 or more; write for example clamp_min(..., 0)")
    })?;
    let target = plain(ratio.target.get());
    let reason = match ratio.kind {
        RatioKind::AverageValue => format!(
            "signal {name} is {}, with a target of {target} for each replica",
            plain(signal.get())
        ),
        RatioKind::Value => format!("signal {name} is {}, with a target of {target}", plain(signal.get())),
    };
    let firing: Vec<&String> = action
        .when
        .iter()
        .filter(|name| state(inputs, name).is_some_and(RuleState::is_firing))
        .collect();
    Ok(Wish {
        desired,
        reason,
        arithmetic,
        alerts: evidence(&firing, inputs),
    })
}

/// The number that a ratio asks for and its calculation; `None` for a signal below zero.
///
/// As HPA 1.33 and later: nothing while `1 - tolerance_down <= ratio <= 1 + tolerance_up`, both bounds
/// included; else `ceil(signal / target)` for [`RatioKind::AverageValue`] and `ceil(current * signal /
/// target)` for [`RatioKind::Value`]. From zero replicas there is no ratio, hence no tolerance, and a
/// level asks for `ceil(signal / target)`.
pub(crate) fn ratio_desired(ratio: &Ratio, current: Replicas, signal: Finite) -> Option<(Replicas, Vec<String>)> {
    let (have, want) = (Decimal::of(signal), Decimal::of(ratio.target));
    let replicas = Decimal::replicas(current);
    let (s, t) = (plain(signal.get()), plain(ratio.target.get()));
    if have.compare(Decimal::replicas(Replicas::nearest(0))) == Ordering::Less {
        return None;
    }
    if current.get() == 0 {
        let desired = have.ceil_div(want)?;
        return Some((desired, vec![format!("ceil({s} / {t}) = {desired}")]));
    }
    // Everything is multiplied out, so that nothing has to be divided before it is compared.
    let (at_par, quotient) = match ratio.kind {
        RatioKind::AverageValue => (want.times(replicas), format!("{s} / ({t} x {current})")),
        RatioKind::Value => (want, format!("{s} / {t}")),
    };
    let above = have.compare(at_par.times(Decimal::above_one(ratio.tolerance_up))) == Ordering::Greater;
    let below = have.compare(at_par.times(Decimal::below_one(ratio.tolerance_down))) == Ordering::Less;
    if !above && !below {
        let (down, up) = (plain(ratio.tolerance_down.get()), plain(ratio.tolerance_up.get()));
        return Some((current, vec![format!("{quotient} lies from 1 - {down} to 1 + {up}")]));
    }
    let (desired, line) = match ratio.kind {
        RatioKind::AverageValue => (have.ceil_div(want)?, format!("ceil({s} / {t})")),
        RatioKind::Value => (
            have.times(replicas).ceil_div(want)?,
            format!("ceil({current} x {s} / {t})"),
        ),
    };
    let bound = if above {
        format!("{quotient} is more than 1 + {}", plain(ratio.tolerance_up.get()))
    } else {
        format!("{quotient} is less than 1 - {}", plain(ratio.tolerance_down.get()))
    };
    Some((desired, vec![bound, format!("{line} = {desired}")]))
}

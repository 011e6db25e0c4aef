//! The metrics law: HPA's arithmetic, in decimals.

use super::{
    Facts, Inputs, Wish,
    replicas::{evidence, state},
};
use crate::{
    decimal::{Decimal, plain},
    evaluate::RuleState,
    policy::{Measure, Metric, Metrics, Number, Replicas, ReplicasAction, TotalTarget},
    signal::Finite,
    time::Timestamp,
};
use std::cmp::Ordering;

/// What the metrics ask for. The action's rules play no part in the number. `Err` says why it can't be said.
pub(super) fn wish(
    action: &ReplicasAction,
    law: &Metrics,
    inputs: &Inputs<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Wish, String> {
    let (desired, reason, arithmetic) = asked(law, inputs, facts, now)?;
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

/// The number that the metrics ask for now, why, and the calculation.
pub(crate) fn asked(
    law: &Metrics,
    inputs: &Inputs<'_>,
    facts: &Facts,
    _now: Timestamp,
) -> Result<(Replicas, String, Vec<String>), String> {
    let mut best: Option<(Replicas, String, Vec<String>)> = None;
    for metric in &law.list {
        let wanted = of_metric(law, metric, inputs, facts.current)?;
        if best.as_ref().is_none_or(|best| wanted.0 > best.0) {
            best = Some(wanted);
        }
    }
    best.ok_or_else(|| "no metric is configured".to_owned())
}

fn of_metric(
    law: &Metrics,
    metric: &Metric,
    inputs: &Inputs<'_>,
    current: Replicas,
) -> Result<(Replicas, String, Vec<String>), String> {
    let Measure::Total {
        of: Number::Signal(name),
        target,
    } = &metric.measure
    else {
        return Err(format!("metric {} can't be computed yet", metric.name));
    };
    let reading = inputs
        .signals
        .get(name)
        .ok_or_else(|| format!("signal {name} was not read"))?;
    let signal = reading
        .number()
        .map_err(|error| format!("signal {name} is no usable number: {error}"))?;
    let (desired, arithmetic) = ratio_desired(law, *target, current, signal).ok_or_else(|| {
        let signal = plain(signal.get());
        format!("signal {name} is {signal}, and a ratio needs 0 or more; write for example clamp_min(..., 0)")
    })?;
    let reason = match target {
        TotalTarget::AverageValue(target) => format!(
            "signal {name} is {}, with a target of {} for each replica",
            plain(signal.get()),
            plain(target.get())
        ),
        TotalTarget::Value(target) => format!(
            "signal {name} is {}, with a target of {}",
            plain(signal.get()),
            plain(target.get())
        ),
    };
    Ok((desired, reason, arithmetic))
}

/// The number that a ratio asks for and its calculation; `None` for a signal below zero.
///
/// As HPA 1.33 and later: nothing while `1 - tolerance_down <= ratio <= 1 + tolerance_up`, both bounds
/// included; else `ceil(signal / target)` for an average and `ceil(current * signal / target)` for a
/// level. From zero replicas there is no ratio, hence no tolerance, and a level asks for
/// `ceil(signal / target)`.
fn ratio_desired(
    law: &Metrics,
    target: TotalTarget,
    current: Replicas,
    signal: Finite,
) -> Option<(Replicas, Vec<String>)> {
    let (TotalTarget::AverageValue(goal) | TotalTarget::Value(goal)) = target;
    let (have, want) = (Decimal::of(signal), Decimal::of(goal));
    let replicas = Decimal::replicas(current);
    let (s, t) = (plain(signal.get()), plain(goal.get()));
    if have.compare(Decimal::replicas(Replicas::nearest(0))) == Ordering::Less {
        return None;
    }
    if current.get() == 0 {
        let desired = have.ceil_div(want)?;
        return Some((desired, vec![format!("ceil({s} / {t}) = {desired}")]));
    }
    // Everything is multiplied out, so that nothing has to be divided before it is compared.
    let (at_par, quotient) = match target {
        TotalTarget::AverageValue(_) => (want.times(replicas), format!("{s} / ({t} x {current})")),
        TotalTarget::Value(_) => (want, format!("{s} / {t}")),
    };
    let above = have.compare(at_par.times(Decimal::above_one(law.tolerance_up))) == Ordering::Greater;
    let below = have.compare(at_par.times(Decimal::below_one(law.tolerance_down))) == Ordering::Less;
    if !above && !below {
        let (down, up) = (plain(law.tolerance_down.get()), plain(law.tolerance_up.get()));
        return Some((current, vec![format!("{quotient} lies from 1 - {down} to 1 + {up}")]));
    }
    let (desired, line) = match target {
        TotalTarget::AverageValue(_) => (have.ceil_div(want)?, format!("ceil({s} / {t})")),
        TotalTarget::Value(_) => (
            have.times(replicas).ceil_div(want)?,
            format!("ceil({current} x {s} / {t})"),
        ),
    };
    let bound = if above {
        format!("{quotient} is more than 1 + {}", plain(law.tolerance_up.get()))
    } else {
        format!("{quotient} is less than 1 - {}", plain(law.tolerance_down.get()))
    };
    Some((desired, vec![bound, format!("{line} = {desired}")]))
}

//! One number for the whole workload: HPA's Object and External metrics.

use super::{
    Ask, Present,
    ratio::{Ratio, Side, verdict},
    sure,
};
use crate::{
    decide::Pod,
    decimal::Decimal,
    policy::{Number, Replicas, TotalTarget},
};
use std::cmp::Ordering;

/// What one number, 0 or more, asks for. `Err` says why it asks for nothing.
pub(super) fn ask(present: &Present<'_>, of: &Number, target: TotalTarget, number: Decimal) -> Result<Ask, String> {
    let (goal, for_each) = match target {
        TotalTarget::AverageValue(goal) => (Decimal::of(goal), " for each replica"),
        TotalTarget::Value(goal) => (Decimal::of(goal), ""),
    };
    let (desired, lines) = match target {
        TotalTarget::AverageValue(_) => average(present, number, goal)?,
        TotalTarget::Value(_) => level(present, number, goal)?,
    };
    let what = match of {
        Number::Signal(name) => format!("signal {name}"),
        Number::Formula(formula) => format!("formula {}", formula.text()),
    };
    Ok(Ask {
        desired,
        reason: format!("{what} is {number}, with a target of {goal}{for_each}"),
        lines,
    })
}

/// A total: nothing while `number / (goal * replicas)` is within the tolerance, else
/// `ceil(number / goal)`, as in HPA's `GetExternalPerPodMetricReplicas`. The replicas are those in
/// `status.replicas`, and within the tolerance they are what is asked for. Where the status is not
/// known, `spec.replicas` takes its place. Without replicas there is no ratio and no tolerance.
fn average(present: &Present<'_>, number: Decimal, goal: Decimal) -> Result<(Replicas, Vec<String>), String> {
    let facts = present.facts;
    let replicas = facts.observed.unwrap_or(facts.current);
    let needed = sure(number.ceil_div(goal))?;
    let division = format!("ceil({number} / {goal}) = {needed}");
    if replicas.get() == 0 {
        return Ok((needed, vec![division]));
    }
    let side = Ratio {
        have: number,
        want: goal.times(Decimal::replicas(replicas)),
    }
    .side(&present.tolerances);
    let quotient = format!("{number} / ({goal} x {replicas})");
    let verdict = verdict(&quotient, side, &present.tolerances);
    if side != Side::Within {
        return Ok((needed, vec![verdict, division]));
    }
    Ok(match present.rollout_start {
        // The pods of a rollout's surge are among the replicas, and are not to stay after it.
        Some(_) if needed < replicas => (
            needed,
            vec![verdict, format!("during a rollout no more than {division}")],
        ),
        _ => (replicas, vec![verdict]),
    })
}

/// A level: nothing while `number / goal` is within the tolerance, else `ceil(ready * number / goal)`,
/// as in HPA's `getUsageRatioReplicaCount`. Ready are the pods that run and are `Ready`, the
/// terminating ones among them, as in HPA; on the way up without those that are warming up. Where the
/// pods are not known, `spec.replicas` takes their place.
fn level(present: &Present<'_>, number: Decimal, goal: Decimal) -> Result<(Replicas, Vec<String>), String> {
    let current = present.facts.current;
    if current.get() == 0 {
        let needed = sure(number.ceil_div(goal))?;
        return Ok((needed, vec![format!("ceil({number} / {goal}) = {needed}")]));
    }
    let ratio = Ratio {
        have: number,
        want: goal,
    };
    let side = ratio.side(&present.tolerances);
    let mut lines = vec![verdict(&ratio, side, &present.tolerances)];
    if side == Side::Within {
        return Ok((current, lines));
    }
    let way = ratio.against_one();
    let ready = ready(present, way)?;
    if ready == 0 {
        lines.push(format!(
            "no pod is ready, so it is not known what one of them carries: {current} stay"
        ));
        return Ok((current, lines));
    }
    let base = present.base(ready, way, &mut lines);
    let needed = sure(ratio.of(base))?;
    lines.push(format!("ceil({base} x {number} / {goal}) = {needed}"));
    Ok((present.same_way(needed, way, &mut lines), lines))
}

fn ready(present: &Present<'_>, way: Ordering) -> Result<usize, String> {
    let Some(pods) = &present.facts.pods else {
        return Ok(usize::try_from(present.facts.current.get()).unwrap_or(usize::MAX));
    };
    if pods.0.is_empty() {
        return Err("the target has no pods, so a level asks for no number; see why they are not created".to_owned());
    }
    let counts = |pod: &&Pod| pod.is_ready() && (way == Ordering::Less || pod.is_warm(present.warm_up, present.now));
    Ok(pods.0.iter().filter(counts).count())
}

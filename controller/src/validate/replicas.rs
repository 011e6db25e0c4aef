//! The replicas lever.

use super::{Errors, action, behavior, metrics, names::Names, schedule};
use flyball_core::{
    policy::{
        Amount, Bounds, Fallback, Law, Replicas, ReplicasAction, Spike, Step, StepDown, Verification, Veto, Zero,
    },
    signal::Finite,
    time::Span,
};
use flyball_crds::{self as crds, Action, ApprovalMode};

const DEFAULT_TOLERANCE: f64 = 0.1;
/// As in KEDA.
const DEFAULT_ZERO_COOLDOWN: Span = Span::from_secs(300);
/// As in Knative: a panic begins at twice the number, and ends a stable window after the last.
const DEFAULT_SPIKE_FACTOR: f64 = 2.0;
const DEFAULT_SPIKE_HOLD: Span = Span::from_secs(60);
pub(super) const MAX_PODS: i32 = 10_000;

/// What stands beside the lever in an action.
pub(super) struct Beside {
    pub verification: Option<Verification>,
    pub inhibit: Vec<Veto>,
    pub hold_down_while: Vec<Veto>,
}

pub(super) fn read(
    path: &str,
    action: &Action,
    written: &crds::Replicas,
    beside: Option<Beside>,
    names: &Names,
    errors: &mut Errors,
) -> Option<ReplicasAction> {
    let bounds = bounds(path, written, errors);
    let law = law(path, action, written, names, errors);
    let (up, down) = behavior::read(path, written, errors);
    let zero = optional(written.zero.as_ref(), |zero| {
        zero_of(path, written, zero, names, errors)
    });
    let warm_up = errors.span(format!("{path}.warmUp"), written.warm_up.as_ref(), Span::ZERO);
    if written.warm_up.is_some() && is_step(written) {
        errors.add(
            format!("{path}.warmUp"),
            "tells metrics which pods count, and a step counts none; remove it, or use ratio or metrics",
        );
    }
    let spike = optional(written.spike.as_ref(), |spike| {
        spike_of(&format!("{path}.spike"), spike, errors)
    });
    let schedules = schedule::read(&format!("{path}.schedules"), &written.schedules, written.max, errors);
    let fallback = optional(written.fallback.as_ref(), |fallback| {
        let path = format!("{path}.fallback");
        let after = errors.positive(&format!("{path}.after"), Some(&fallback.after), Span::ZERO);
        let replicas = raised_to(format!("{path}.replicas"), fallback.replicas, written.max, errors);
        Some(Fallback {
            after: after?,
            replicas: replicas?,
        })
    });
    let Beside {
        verification,
        inhibit,
        hold_down_while,
    } = beside?;
    Some(ReplicasAction {
        name: action.name.clone(),
        when: action.when.clone(),
        bounds: bounds?,
        law: law?,
        up: up?,
        down: down?,
        verification,
        zero: zero.ok()?,
        warm_up: warm_up?,
        spike: spike.ok()?,
        schedules: schedules?,
        fallback: fallback.ok()?,
        inhibit,
        hold_down_while,
        approval: action.approval.unwrap_or_default() == ApprovalMode::Required,
    })
}

/// Whether the law is a step; of several laws none is.
fn is_step(replicas: &crds::Replicas) -> bool {
    replicas.step.is_some() && replicas.ratio.is_none() && replicas.metrics.is_none()
}

/// What was written is wrong, and that was said.
struct Wrong;

/// Reads what may be absent.
fn optional<W, T>(written: Option<W>, read: impl FnOnce(W) -> Option<T>) -> Result<Option<T>, Wrong> {
    written.map(|written| read(written).ok_or(Wrong)).transpose()
}

fn bounds(path: &str, replicas: &crds::Replicas, errors: &mut Errors) -> Option<Bounds> {
    let (low, high) = (format!("{path}.min"), format!("{path}.max"));
    let min = if replicas.min == 0 && replicas.zero.is_none() {
        errors.add(
            &low,
            "0 would leave nothing that serves, and no signal to come back by; write at least 1, or add zero with a signal",
        );
        None
    } else {
        errors.within(low.clone(), replicas.min, 0, MAX_PODS)
    };
    let max = errors.within(high, replicas.max, 1, MAX_PODS);
    let (min, max) = (min?, max?);
    if min > max {
        errors.add(
            low,
            format!("{min} is above max, which is {max}; lower min or raise max"),
        );
        return None;
    }
    Some(Bounds {
        min: Replicas::new(min.into())?,
        max: Replicas::new(max.into())?,
    })
}

/// A number that something raises to, at most `max`.
pub(super) fn raised_to(path: String, replicas: i32, max: i32, errors: &mut Errors) -> Option<Replicas> {
    let number = errors.within(path.clone(), replicas, 1, MAX_PODS)?;
    if replicas > max && (1..=MAX_PODS).contains(&max) {
        errors.add(
            path,
            format!("{replicas} is above max, which is {max}; lower it or raise max"),
        );
        return None;
    }
    Replicas::new(number.into())
}

fn law(path: &str, action: &Action, replicas: &crds::Replicas, names: &Names, errors: &mut Errors) -> Option<Law> {
    match (&replicas.step, &replicas.ratio, &replicas.metrics) {
        (Some(written), None, None) => {
            if action.when.is_empty() {
                errors.add(
                    path.replace(".replicas", ".when"),
                    "is empty, but replicas.step needs a rule that drives it; name one of spec.rules",
                );
            }
            step(&format!("{path}.step"), written, names, errors).map(Law::Step)
        }
        (None, Some(written), None) => {
            metrics::ratio(&format!("{path}.ratio"), written, names, errors).map(Law::Metrics)
        }
        (None, None, Some(written)) => {
            metrics::read(&format!("{path}.metrics"), written, names, errors).map(Law::Metrics)
        }
        (None, None, None) => {
            errors.add(
                path,
                "has none of step, ratio and metrics; add for example step: {percent: 50}",
            );
            None
        }
        _ => {
            errors.add(path, "has more than one of step, ratio and metrics; keep one of them");
            None
        }
    }
}

/// Exactly one of pods and percent.
fn amount(path: &str, pods: Option<i32>, percent: Option<i32>, most: i32, errors: &mut Errors) -> Option<Amount> {
    match (pods, percent) {
        (Some(pods), None) => errors
            .within(format!("{path}.pods"), pods, 1, MAX_PODS)
            .map(Amount::Pods),
        (None, Some(percent)) => errors
            .within(format!("{path}.percent"), percent, 1, most)
            .map(Amount::Percent),
        (Some(_), Some(_)) => {
            errors.add(path, "has both pods and percent; remove one of them");
            None
        }
        (None, None) => {
            errors.add(path, "has neither pods nor percent; write for example pods: 1");
            None
        }
    }
}

fn step(path: &str, written: &crds::Step, names: &Names, errors: &mut Errors) -> Option<Step> {
    let up = amount(path, written.pods, written.percent, 1000, errors);
    let down = match &written.down {
        Some(down) => {
            let path = format!("{path}.down");
            let by = amount(&path, down.pods, down.percent, 99, errors);
            let after = errors.span(format!("{path}.after"), Some(&down.after), Span::ZERO);
            action::when(&format!("{path}.when"), &down.when, names, errors);
            Some(StepDown {
                by: by?,
                after: after?,
                when: down.when.clone(),
            })
        }
        None => None,
    };
    Some(Step { up: up?, down })
}

fn zero_of(
    path: &str,
    replicas: &crds::Replicas,
    written: &crds::Zero,
    names: &Names,
    errors: &mut Errors,
) -> Option<Zero> {
    let path = format!("{path}.zero");
    if replicas.min > 0 {
        errors.add(
            &path,
            format!(
                "goes with min 0, and min is {}; write min: 0 or remove zero",
                replicas.min
            ),
        );
    }
    if is_step(replicas) {
        errors.add(
            &path,
            "goes with ratio or metrics, a step knows no load to come back by; use one of them or remove zero",
        );
    }
    let known = names.number(&format!("{path}.signal"), &written.signal, errors);
    let activation = errors.number(
        format!("{path}.activation"),
        written.activation,
        |activation| activation >= 0.0,
        "a number of 0 or more; write the value above which there is something to do",
    );
    let cooldown = errors.positive(
        &format!("{path}.cooldown"),
        written.cooldown.as_ref(),
        DEFAULT_ZERO_COOLDOWN,
    );
    known?;
    Some(Zero {
        signal: written.signal.clone(),
        activation: activation?,
        cooldown: cooldown?,
    })
}

fn spike_of(path: &str, written: &crds::Spike, errors: &mut Errors) -> Option<Spike> {
    let factor = errors.number(
        format!("{path}.factor"),
        written.factor.unwrap_or(DEFAULT_SPIKE_FACTOR),
        |factor| (1.01..=1000.0).contains(&factor),
        "a number from 1.01 to 1000; write for example 2",
    );
    let hold = errors.positive(&format!("{path}.hold"), written.hold.as_ref(), DEFAULT_SPIKE_HOLD);
    Some(Spike {
        factor: factor?,
        hold: hold?,
    })
}

/// A fraction from 0 to 1, a tenth where it is absent.
pub(super) fn fraction(path: String, value: Option<f64>, errors: &mut Errors) -> Option<Finite> {
    let value = value.unwrap_or(DEFAULT_TOLERANCE);
    let fraction = Finite::new(value).filter(|f| (0.0..=1.0).contains(&f.get()));
    if fraction.is_none() {
        errors.add(path, format!("{value} is not between 0 and 1; write 0.1 for 10 %"));
    }
    fraction
}

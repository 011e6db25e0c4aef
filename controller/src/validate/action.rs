use super::{Errors, Names, is_label, verification};
use crate::promql::shorten;
use flyball_core::{
    policy::{
        Amount, Behavior, Bounds, Law, Measure, Metric, Metrics, Number, RateLimit, Replicas, ReplicasAction,
        SelectPolicy, Step, StepDown, TotalTarget,
    },
    signal::Finite,
    time::Span,
};
use flyball_crds::{self as crds, Action, RatioType, ScalingPolicyType, ScalingRules};

/// After a decrease nothing more is taken away for so long.
const DEFAULT_COOLDOWN_DOWN: Span = Span::from_secs(60);
/// The window over which the largest wish of the ratio law counts, as in the HorizontalPodAutoscaler.
const DEFAULT_STABILIZATION: Span = Span::from_secs(300);
const DEFAULT_TOLERANCE: f64 = 0.1;
const MAX_PODS: i32 = 10_000;

pub(super) fn read(
    path: &str,
    written: &Action,
    names: &Names,
    max_age: Option<Span>,
    errors: &mut Errors,
) -> Option<ReplicasAction> {
    if !is_label(&written.name) {
        errors.add(
            format!("{path}.name"),
            format!("{} is not a name of lower-case letters, digits and dashes, at most 63; write for example more-replicas", shorten(&written.name)),
        );
    }
    when(&format!("{path}.when"), &written.when, names, errors);
    let verification = match &written.verify {
        Some(verify) => verification::read(&format!("{path}.verify"), verify, names, max_age, errors).map(Some),
        None => Some(None),
    };
    let path = format!("{path}.replicas");
    let Some(replicas) = &written.replicas else {
        errors.add(
            path,
            "is missing; an action takes exactly one lever, today that is replicas",
        );
        return None;
    };
    let bounds = bounds(&path, replicas, errors);
    let law = law(&path, written, replicas, names, errors);
    let behavior = replicas.behavior.as_ref();
    let cooldown = replicas.cooldown.as_ref();
    let up = direction(
        &format!("{path}.behavior.scaleUp"),
        behavior.and_then(|b| b.scale_up.as_ref()),
        Span::ZERO,
        errors.span(
            format!("{path}.cooldown.up"),
            cooldown.and_then(|c| c.up.as_ref()),
            Span::ZERO,
        ),
        errors,
    );
    let stabilization = if replicas.ratio.is_some() {
        DEFAULT_STABILIZATION
    } else {
        Span::ZERO
    };
    let down = direction(
        &format!("{path}.behavior.scaleDown"),
        behavior.and_then(|b| b.scale_down.as_ref()),
        stabilization,
        errors.span(
            format!("{path}.cooldown.down"),
            cooldown.and_then(|c| c.down.as_ref()),
            DEFAULT_COOLDOWN_DOWN,
        ),
        errors,
    );
    Some(ReplicasAction {
        name: written.name.clone(),
        when: written.when.clone(),
        bounds: bounds?,
        law: law?,
        up: up?,
        down: down?,
        verification: verification?,
        zero: None,
        warm_up: Span::ZERO,
        spike: None,
        schedules: Vec::new(),
        fallback: None,
        inhibit: Vec::new(),
        hold_down_while: Vec::new(),
        approval: false,
    })
}

/// Checks references to rules.
fn when(path: &str, when: &[String], names: &Names, errors: &mut Errors) {
    errors.at_most(path, when.len(), 32);
    for (index, name) in when.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if when[..index].contains(name) {
            errors.add(path, format!("{} is listed twice; remove one", shorten(name)));
        } else {
            names.rule(&path, name, errors);
        }
    }
}

/// A whole number between `least` and `most`.
fn within(path: String, value: i32, least: i32, most: i32, errors: &mut Errors) -> Option<u32> {
    if !(least..=most).contains(&value) {
        errors.add(
            path,
            format!("{value} is not between {least} and {most}; write a number between them"),
        );
        return None;
    }
    u32::try_from(value).ok()
}

fn bounds(path: &str, replicas: &crds::Replicas, errors: &mut Errors) -> Option<Bounds> {
    let (low, high) = (format!("{path}.min"), format!("{path}.max"));
    let min = if replicas.min == 0 {
        errors.add(
            &low,
            "0 would leave nothing that serves, and no signal to come back by; write at least 1",
        );
        None
    } else {
        within(low.clone(), replicas.min, 1, MAX_PODS, errors)
    };
    let max = within(high, replicas.max, 1, MAX_PODS, errors);
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

fn law(path: &str, action: &Action, replicas: &crds::Replicas, names: &Names, errors: &mut Errors) -> Option<Law> {
    match (&replicas.step, &replicas.ratio) {
        (Some(written), None) => {
            if action.when.is_empty() {
                errors.add(
                    path.replace(".replicas", ".when"),
                    "is empty, but replicas.step needs a rule that drives it; name one of spec.rules",
                );
            }
            step(&format!("{path}.step"), written, names, errors).map(Law::Step)
        }
        (None, Some(written)) => ratio(&format!("{path}.ratio"), written, names, errors).map(Law::Metrics),
        (Some(_), Some(_)) => {
            errors.add(path, "has both step and ratio; remove one of them");
            None
        }
        (None, None) => {
            errors.add(path, "has neither step nor ratio; add for example step: {percent: 50}");
            None
        }
    }
}

/// Exactly one of pods and percent.
fn amount(path: &str, pods: Option<i32>, percent: Option<i32>, most: i32, errors: &mut Errors) -> Option<Amount> {
    match (pods, percent) {
        (Some(pods), None) => within(format!("{path}.pods"), pods, 1, MAX_PODS, errors).map(Amount::Pods),
        (None, Some(percent)) => within(format!("{path}.percent"), percent, 1, most, errors).map(Amount::Percent),
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
            when(&format!("{path}.when"), &down.when, names, errors);
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

fn ratio(path: &str, written: &crds::Ratio, names: &Names, errors: &mut Errors) -> Option<Metrics> {
    names.signal(&format!("{path}.signal"), &written.signal, errors);
    let target = Finite::new(written.target).filter(|target| target.get() > 0.0);
    if target.is_none() {
        errors.add(
            format!("{path}.target"),
            format!(
                "{} is not a number above 0; write the value at which the number of replicas is right",
                written.target
            ),
        );
    }
    let tolerance = written.tolerance.as_ref();
    let up = fraction(format!("{path}.tolerance.up"), tolerance.and_then(|t| t.up), errors);
    let down = fraction(format!("{path}.tolerance.down"), tolerance.and_then(|t| t.down), errors);
    let target = match written.kind {
        RatioType::AverageValue => TotalTarget::AverageValue(target?),
        RatioType::Value => TotalTarget::Value(target?),
    };
    Some(Metrics {
        list: vec![Metric {
            name: written.signal.clone(),
            measure: Measure::Total {
                of: Number::Signal(written.signal.clone()),
                target,
            },
        }],
        tolerance_up: up?,
        tolerance_down: down?,
    })
}

fn fraction(path: String, value: Option<f64>, errors: &mut Errors) -> Option<Finite> {
    let value = value.unwrap_or(DEFAULT_TOLERANCE);
    let fraction = Finite::new(value).filter(|f| (0.0..=1.0).contains(&f.get()));
    if fraction.is_none() {
        errors.add(path, format!("{value} is not between 0 and 1; write 0.1 for 10 %"));
    }
    fraction
}

fn direction(
    path: &str,
    written: Option<&ScalingRules>,
    stabilization: Span,
    cooldown: Option<Span>,
    errors: &mut Errors,
) -> Option<Behavior> {
    let Some(written) = written else {
        return Some(Behavior {
            limits: Vec::new(),
            select: SelectPolicy::Max,
            stabilization,
            cooldown: cooldown?,
        });
    };
    let stabilization = match written.stabilization_window_seconds {
        Some(seconds) => within(format!("{path}.stabilizationWindowSeconds"), seconds, 0, 3600, errors)
            .map(|seconds| Span::from_secs(seconds.into())),
        None => Some(stabilization),
    };
    errors.at_most(&format!("{path}.policies"), written.policies.len(), 8);
    let limits: Vec<Option<RateLimit>> = written
        .policies
        .iter()
        .enumerate()
        .map(|(index, limit)| {
            let path = format!("{path}.policies[{index}]");
            let value = within(format!("{path}.value"), limit.value, 1, MAX_PODS, errors);
            let period = within(format!("{path}.periodSeconds"), limit.period_seconds, 1, 1800, errors);
            let amount = match limit.kind {
                ScalingPolicyType::Pods => Amount::Pods(value?),
                ScalingPolicyType::Percent => Amount::Percent(value?),
            };
            Some(RateLimit {
                amount,
                period: Span::from_secs(period?.into()),
            })
        })
        .collect();
    Some(Behavior {
        limits: limits.into_iter().collect::<Option<_>>()?,
        select: match written.select_policy.unwrap_or_default() {
            crds::SelectPolicy::Max => SelectPolicy::Max,
            crds::SelectPolicy::Min => SelectPolicy::Min,
            crds::SelectPolicy::Disabled => SelectPolicy::Disabled,
        },
        stabilization: stabilization?,
        cooldown: cooldown?,
    })
}

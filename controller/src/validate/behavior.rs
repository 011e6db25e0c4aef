//! Rates of change, stabilisation and cooldowns, per direction.

use super::{Errors, replicas::MAX_PODS};
use flyball_core::{
    policy::{Amount, Behavior, RateLimit, SelectPolicy},
    time::Span,
};
use flyball_crds::{self as crds, ScalingPolicy, ScalingPolicyType, ScalingRules};

/// After a decrease nothing more is taken away for so long.
const DEFAULT_COOLDOWN_DOWN: Span = Span::from_secs(60);

/// What counts in a direction where nothing is written.
struct Defaults {
    limits: &'static [RateLimit],
    stabilization: Span,
}

/// What a step is limited by: the bounds alone.
const STEP: Defaults = Defaults {
    limits: &[],
    stabilization: Span::ZERO,
};

/// The HorizontalPodAutoscaler's period of its own limits.
const PERIOD: Span = Span::from_secs(15);

/// The HorizontalPodAutoscaler's increases: the larger of 4 pods and as many again, each 15 s.
const HPA_UP: Defaults = Defaults {
    limits: &[
        RateLimit {
            amount: Amount::Pods(4),
            period: PERIOD,
        },
        RateLimit {
            amount: Amount::Percent(100),
            period: PERIOD,
        },
    ],
    stabilization: Span::ZERO,
};

/// The HorizontalPodAutoscaler's decreases: everything in 15 s, after five minutes.
const HPA_DOWN: Defaults = Defaults {
    limits: &[RateLimit {
        amount: Amount::Percent(100),
        period: PERIOD,
    }],
    stabilization: Span::from_secs(300),
};

/// The rules of increases and of decreases; an error in one does not hide those in the other.
pub(super) fn read(path: &str, replicas: &crds::Replicas, errors: &mut Errors) -> (Option<Behavior>, Option<Behavior>) {
    let (up, down) = if replicas.step.is_some() {
        (STEP, STEP)
    } else {
        (HPA_UP, HPA_DOWN)
    };
    let behavior = replicas.behavior.as_ref();
    let cooldown = replicas.cooldown.as_ref();
    let wait = |field: &str, text, default, errors: &mut Errors| {
        errors.span(format!("{path}.cooldown.{field}"), text, default)
    };
    let up_wait = wait("up", cooldown.and_then(|c| c.up.as_ref()), Span::ZERO, errors);
    let up = direction(
        &format!("{path}.behavior.scaleUp"),
        behavior.and_then(|b| b.scale_up.as_ref()),
        &up,
        up_wait,
        errors,
    );
    let down_wait = wait(
        "down",
        cooldown.and_then(|c| c.down.as_ref()),
        DEFAULT_COOLDOWN_DOWN,
        errors,
    );
    let down = direction(
        &format!("{path}.behavior.scaleDown"),
        behavior.and_then(|b| b.scale_down.as_ref()),
        &down,
        down_wait,
        errors,
    );
    (up, down)
}

/// What is absent is filled up, field by field, as the HorizontalPodAutoscaler does it.
fn direction(
    path: &str,
    written: Option<&ScalingRules>,
    defaults: &Defaults,
    cooldown: Option<Span>,
    errors: &mut Errors,
) -> Option<Behavior> {
    let absent = ScalingRules::default();
    let written = written.unwrap_or(&absent);
    let stabilization = match written.stabilization_window_seconds {
        Some(seconds) => errors
            .within(format!("{path}.stabilizationWindowSeconds"), seconds, 0, 3600)
            .map(|seconds| Span::from_secs(seconds.into())),
        None => Some(defaults.stabilization),
    };
    errors.at_most(&format!("{path}.policies"), written.policies.len(), 8);
    let limits = if written.policies.is_empty() {
        Some(defaults.limits.to_vec())
    } else {
        let each = written.policies.iter().enumerate();
        let all: Vec<Option<RateLimit>> = each
            .map(|(index, policy)| limit(&format!("{path}.policies[{index}]"), policy, errors))
            .collect();
        all.into_iter().collect()
    };
    Some(Behavior {
        limits: limits?,
        select: match written.select_policy.unwrap_or_default() {
            crds::SelectPolicy::Max => SelectPolicy::Max,
            crds::SelectPolicy::Min => SelectPolicy::Min,
            crds::SelectPolicy::Disabled => SelectPolicy::Disabled,
        },
        stabilization: stabilization?,
        cooldown: cooldown?,
    })
}

fn limit(path: &str, written: &ScalingPolicy, errors: &mut Errors) -> Option<RateLimit> {
    let value = errors.within(format!("{path}.value"), written.value, 1, MAX_PODS);
    let period = errors.within(format!("{path}.periodSeconds"), written.period_seconds, 1, 1800);
    let amount = match written.kind {
        ScalingPolicyType::Pods => Amount::Pods(value?),
        ScalingPolicyType::Percent => Amount::Percent(value?),
    };
    Some(RateLimit {
        amount,
        period: Span::from_secs(period?.into()),
    })
}

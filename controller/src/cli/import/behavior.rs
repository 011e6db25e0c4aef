//! Rates and stabilization, which are the HorizontalPodAutoscaler's own.

use super::{
    draft::{Draft, MOST},
    quantity,
};
use flyball_crds::{Behavior, ScalingPolicy, ScalingPolicyType, ScalingRules, SelectPolicy, Tolerance};
use k8s_openapi::api::autoscaling::v2::{HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscalerBehavior};

/// One policy, in short.
const fn limit(kind: ScalingPolicyType, value: i32) -> ScalingPolicy {
    ScalingPolicy {
        kind,
        value,
        period_seconds: 15,
    }
}

/// Takes a behavior over. Where it gives no policies, those count that the API server fills in.
pub fn apply(draft: &mut Draft, written: Option<&HorizontalPodAutoscalerBehavior>) {
    let Some(written) = written else { return };
    let up = [
        limit(ScalingPolicyType::Pods, 4),
        limit(ScalingPolicyType::Percent, 100),
    ];
    let down = [limit(ScalingPolicyType::Percent, 100)];
    let scale_up = written.scale_up.as_ref().map(|it| rules(draft, "scaleUp", it, &up));
    let scale_down = written
        .scale_down
        .as_ref()
        .map(|it| rules(draft, "scaleDown", it, &down));
    if scale_up.is_some() || scale_down.is_some() {
        draft.replicas.behavior = Some(Behavior { scale_up, scale_down });
    }
    let up = written.scale_up.as_ref().and_then(|it| tolerance(draft, "up", it));
    let down = written.scale_down.as_ref().and_then(|it| tolerance(draft, "down", it));
    if up.is_some() || down.is_some() {
        draft.tolerance = Some(Tolerance { up, down });
    }
}

fn rules(draft: &mut Draft, side: &str, written: &HPAScalingRules, defaults: &[ScalingPolicy]) -> ScalingRules {
    let path = |field: &str| Draft::lever(&format!("behavior.{side}.{field}"));
    let select_policy = written.select_policy.as_deref().and_then(|text| match text {
        "Max" => Some(SelectPolicy::Max),
        "Min" => Some(SelectPolicy::Min),
        "Disabled" => Some(SelectPolicy::Disabled),
        other => {
            draft.note(path("selectPolicy"), format!("{other:?} is not known; Max counts"));
            None
        }
    });
    let policies = match &written.policies {
        Some(policies) => policies.iter().filter_map(|it| policy(draft, side, it)).collect(),
        None => defaults.to_vec(),
    };
    ScalingRules {
        stabilization_window_seconds: written.stabilization_window_seconds,
        select_policy,
        policies,
    }
}

fn policy(draft: &mut Draft, side: &str, written: &HPAScalingPolicy) -> Option<ScalingPolicy> {
    let path = Draft::lever(&format!("behavior.{side}.policies"));
    let kind = match written.type_.as_str() {
        "Pods" => ScalingPolicyType::Pods,
        "Percent" => ScalingPolicyType::Percent,
        other => {
            draft.note(path, format!("a policy of type {other:?} is not known and left out"));
            return None;
        }
    };
    let value = written.value.clamp(1, MOST);
    if value != written.value {
        let text = format!("{} is not possible here; it is {value} now", written.value);
        draft.note(path, text);
    }
    Some(ScalingPolicy {
        kind,
        value,
        period_seconds: written.period_seconds,
    })
}

fn tolerance(draft: &mut Draft, side: &str, written: &HPAScalingRules) -> Option<f64> {
    let text = &written.tolerance.as_ref()?.0;
    let path = Draft::lever(&format!("metrics.tolerance.{side}"));
    match quantity::number(text) {
        Some(number) if (0.0..=1.0).contains(&number) => Some(number),
        _ => {
            draft.note(path, format!("{text} is not between 0 and 1; a tenth counts now"));
            None
        }
    }
}

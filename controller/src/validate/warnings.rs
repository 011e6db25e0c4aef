//! What is allowed and yet rarely meant.

mod weights;

use super::{FieldError, policy, policy_with};
use crate::prometheus_rule::PrometheusRule;
use crate::promql::{self, Kept, PromqlError, Shape, shorten};
use flyball_core::{
    evaluate::Template,
    policy::{Comparator, Condition, Law, Policy, ReplicasAction, Rule},
};
use flyball_crds::FeedbackPolicySpec;
use std::collections::BTreeMap;

/// What is worth a second look in a policy that is valid; nothing for one that is not.
pub fn warnings(spec: &FeedbackPolicySpec) -> Vec<FieldError> {
    policy(spec).map(|policy| of(spec, &policy)).unwrap_or_default()
}

/// The same with the PrometheusRule that it refers to, and what is noted of the rules taken.
pub fn warnings_with(spec: &FeedbackPolicySpec, object: &PrometheusRule) -> Vec<FieldError> {
    let Ok(resolved) = policy_with(spec, object) else {
        return Vec::new();
    };
    let mut found = resolved.notes;
    found.extend(of(spec, &resolved.policy));
    found
}

/// What is only to be known of a policy that is valid.
pub fn notes(spec: &FeedbackPolicySpec) -> Vec<FieldError> {
    let mut found = Vec::new();
    for action in policy(spec).iter().flat_map(|policy| &policy.weights) {
        let index = spec.actions.iter().position(|written| written.name == action.name);
        weights::notes(&format!("spec.actions[{}]", index.unwrap_or(0)), action, &mut found);
    }
    found
}

fn of(spec: &FeedbackPolicySpec, policy: &Policy) -> Vec<FieldError> {
    let mut found = Vec::new();
    for (index, written) in spec.rules.iter().enumerate() {
        let path = format!("spec.rules[{index}]");
        let expr = format!("{path}.expr");
        if let Some(shape) = shape(&written.expr) {
            expression(&expr, &shape, policy, &mut found);
            if let Some(rule) = policy.rules.get(&written.alert) {
                templates(&format!("{path}.labels"), &rule.labels, rule, &shape.kept, &mut found);
                templates(
                    &format!("{path}.annotations"),
                    &rule.annotations,
                    rule,
                    &shape.kept,
                    &mut found,
                );
            }
        }
        if matches!(promql::comparison(&written.expr), Err(PromqlError::Bool)) {
            warn(
                &expr,
                "the modifier bool makes every series an alert, also where the comparison is false; remove bool",
                &mut found,
            );
        }
    }
    for (index, written) in spec.signals.iter().enumerate() {
        if let Some(shape) = shape(&written.expr) {
            let path = format!("spec.signals[{index}].expr");
            expression(&path, &shape, policy, &mut found);
            if written.per_backend {
                if !shape.kept.has("backend") {
                    warn(
                        &path,
                        "drops the label backend, by which the numbers of a perBackend signal are told apart; write for example sum by (backend) (...)",
                        &mut found,
                    );
                }
            } else if written.per_pod {
                if !shape.kept.has("pod") {
                    warn(
                        &path,
                        "drops the label pod, by which the numbers of a perPod signal are told apart; write for example sum by (pod) (...)",
                        &mut found,
                    );
                }
            } else if shape.kept != Kept::Only(std::collections::BTreeSet::new()) {
                warn(
                    &path,
                    "may answer several series where one number is needed; aggregate, for example with sum(...) or max(...), or write perPod: true",
                    &mut found,
                );
            }
        }
    }
    for (index, written) in spec.actions.iter().enumerate() {
        let path = format!("spec.actions[{index}]");
        if let Some(shape) = written.verify.as_ref().and_then(|verify| shape(&verify.expr)) {
            expression(&format!("{path}.verify.expr"), &shape, policy, &mut found);
        }
        for (field, vetoes) in [
            ("inhibit", &written.inhibit),
            ("holdDownWhile", &written.hold_down_while),
        ] {
            for (index, veto) in vetoes.iter().enumerate() {
                if let Some(shape) = shape(&veto.expr) {
                    expression(&format!("{path}.{field}[{index}].expr"), &shape, policy, &mut found);
                }
            }
        }
        // Both levers are never in one policy.
        if let Some(read) = policy.actions.get(index) {
            action(&path, read, policy, &mut found);
        }
        if let (Some(lever), Some(read)) = (&written.weights, policy.weights.get(index)) {
            weights::of(&path, spec, lever, read, policy, &mut found);
        }
    }
    found
}

fn warn(path: &str, message: impl Into<String>, found: &mut Vec<FieldError>) {
    found.push(FieldError {
        path: path.to_owned(),
        message: message.into(),
        position: None,
    });
}

fn shape(expr: &str) -> Option<Shape> {
    promql::shape(expr).ok()
}

fn expression(path: &str, shape: &Shape, policy: &Policy, found: &mut Vec<FieldError>) {
    for selector in &shape.unscoped {
        let selector = shorten(selector);
        warn(
            path,
            format!(
                "{selector} has no matcher, so it counts every workload that exports it; add for example {{namespace=\"...\", job=\"...\"}}"
            ),
            found,
        );
    }
    // Counters are scraped about as often as rules are evaluated: with fewer than four samples one
    // missed scrape leaves rate() without two.
    let least = policy.interval + policy.interval + policy.interval + policy.interval;
    if let Some(range) = shape.shortest_range.filter(|range| *range < least) {
        warn(
            path,
            format!(
                "the range {range} is shorter than four intervals of {}; write at least {least}",
                policy.interval
            ),
            found,
        );
    }
}

fn templates(
    path: &str,
    templates: &BTreeMap<String, Template>,
    rule: &Rule,
    kept: &Kept,
    found: &mut Vec<FieldError>,
) {
    for (name, template) in templates {
        for label in template.labels_used() {
            if !kept.has(label) && !rule.labels.contains_key(label) && label != "alertname" {
                let label = shorten(label);
                warn(
                    &format!("{path}.{name}"),
                    format!(
                        "the expression drops the label {label}, so it is always empty; keep it with by (...) or remove it"
                    ),
                    found,
                );
            }
        }
    }
}

fn action(path: &str, action: &ReplicasAction, policy: &Policy, found: &mut Vec<FieldError>) {
    floors(&format!("{path}.replicas"), action, found);
    if let Law::Step(step) = &action.law
        && let Some(down) = &step.down
        && down.after < policy.interval
    {
        let path = format!("{path}.replicas.step.down.after");
        warn(
            &path,
            format!(
                "{} is shorter than the interval {}, so one quiet evaluation takes replicas away; lengthen it",
                down.after, policy.interval
            ),
            found,
        );
    }
    let Some(verification) = &action.verification else {
        warn(
            &format!("{path}.verify"),
            "is missing, so the effect of a change can't be judged; add it before setting mode to Enforce",
            found,
        );
        return;
    };
    let path = format!("{path}.verify");
    if verification.demand.is_none() {
        warn(
            &format!("{path}.demand"),
            "is missing, so an increase that did not help can't be told from a surge and is held; name a signal such as the request rate",
            found,
        );
    }
    if verification.settle + policy.interval + policy.interval > verification.within {
        let least = verification.settle + policy.interval + policy.interval;
        warn(
            &format!("{path}.within"),
            format!("leaves fewer than two evaluations after settle; write at least {least}"),
            found,
        );
    }
    let ready = verification.condition.left.longest_range + action.warm_up;
    if !action.warm_up.is_zero() && verification.settle < ready {
        warn(
            &format!("{path}.settle"),
            format!(
                "{} is shorter than the longest range in expr and warmUp together, so pods that do not count yet would be judged; write at least {ready}",
                verification.settle
            ),
            found,
        );
    }
    for name in &action.when {
        let Some(Condition::Threshold(trigger)) = policy.rules.get(name).map(|rule| &rule.condition) else {
            continue;
        };
        let judged = &verification.condition;
        if trigger.left.text == judged.left.text && same_direction(trigger.comparator, judged.comparator) {
            let rule = shorten(name);
            warn(
                &format!("{path}.expr"),
                format!(
                    "asks for the same as the rule {rule}, so a change would count as a success while the rule fires; turn the comparison around"
                ),
                found,
            );
        }
    }
}

/// What raises the smallest number, and what does not.
fn floors(path: &str, action: &ReplicasAction, found: &mut Vec<FieldError>) {
    let min = action.bounds.min;
    let schedules = action.schedules.iter().enumerate();
    let raised = schedules
        .map(|(index, schedule)| (format!("schedules[{index}]"), schedule.replicas))
        .chain(
            action
                .fallback
                .map(|fallback| ("fallback".to_owned(), fallback.replicas)),
        );
    for (field, replicas) in raised.filter(|(_, replicas)| *replicas <= min) {
        warn(
            &format!("{path}.{field}.replicas"),
            format!(
                "{replicas} is not above min, which is {min}, so it raises nothing; write a larger number or remove it"
            ),
            found,
        );
    }
    if let Some(zero) = &action.zero
        && action.fallback.is_none()
        && action.schedules.is_empty()
    {
        let signal = shorten(&zero.signal);
        warn(
            &format!("{path}.zero"),
            format!(
                "while signal {signal} has no data nothing brings the workload back; add replicas.fallback or a schedule"
            ),
            found,
        );
    }
}

fn same_direction(one: Comparator, other: Comparator) -> bool {
    let sign = |comparator| match comparator {
        Comparator::Greater | Comparator::GreaterOrEqual => 1,
        Comparator::Less | Comparator::LessOrEqual => -1,
        Comparator::Equal => 0,
        Comparator::NotEqual => 2,
    };
    sign(one) == sign(other)
}

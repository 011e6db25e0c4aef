//! The way out of each reason of the condition Ready.

use super::{
    Facts, Step,
    commands::{doctor, edit, target},
    runtime, step, weights,
};
use crate::cli::{moves::Moved, screen::quoted};
use flyball_crds::{ConditionType, PAUSE_ANNOTATION, Reason};
use kube::ResourceExt;

/// What the condition Ready asks for.
pub(super) fn readiness(facts: &Facts) -> Option<Step> {
    let policy = &facts.policy;
    if policy.spec.suspend {
        let resume = format!("flyball resume {}", facts.on_command_line());
        return Some(step(
            "The policy is suspended, so nothing is written. To go on:",
            [resume],
        ));
    }
    let conditions = policy
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str())?;
    if ready.status == "True" {
        return None;
    }
    let is = |reason: Reason| ready.reason == reason.as_str();
    let namespace = policy.namespace().unwrap_or_default();
    let source = quoted(&policy.spec.source_ref.name);
    let (secrets, _) = facts.lease.split_once('/').unwrap_or(("flyball-system", ""));
    Some(if is(Reason::Invalid) {
        step(
            "Correct the policy; what is wrong stands in the condition Ready. Before applying a file:",
            ["flyball check policy.yaml".to_owned(), edit(facts)],
        )
    } else if is(Reason::SourceNotFound) {
        step(
            "Create the MetricSource, or name one that exists:",
            ["kubectl get metricsources".to_owned(), edit(facts)],
        )
    } else if is(Reason::SourceNotAllowed) {
        let why = format!("Let the source's owner add {namespace} to spec.allowedNamespaces.names:");
        step(why, [format!("kubectl edit metricsource {source}")])
    } else if is(Reason::SecretNotFound) {
        step(
            "Create the Secret that the source names:",
            [
                format!("kubectl get metricsource {source} -o yaml"),
                format!("kubectl get secrets -n {}", quoted(secrets)),
            ],
        )
    } else if is(Reason::SourceUnavailable) {
        step(
            "Find out why the source does not answer:",
            [doctor(facts), format!("kubectl get metricsource {source} -o yaml")],
        )
    } else if is(Reason::ExpressionRefused) {
        step(
            "Correct the expression; what the source says of it stands in the condition Ready. To ask it again:",
            [edit(facts), doctor(facts)],
        )
    } else if [Reason::RulesNotFound, Reason::RulesUnavailable, Reason::RulesInvalid]
        .into_iter()
        .any(is)
    {
        rules(facts)
    } else if is(Reason::TargetNotFound) {
        step(
            "Create the target, or correct spec.targetRef:",
            [format!("kubectl get {}", target(facts)), edit(facts)],
        )
    } else if is(Reason::NoScaleSubresource) || is(Reason::KindNotAllowed) {
        step(
            "Name a target of another kind, or let the operator of the installation allow this one (--scale-kind):",
            [edit(facts)],
        )
    } else if is(Reason::RouteInvalid) {
        step(
            "Correct the route, or the rule and the backends that the action names; what is wrong stands in the condition Ready:",
            [format!("kubectl get {} -o yaml", target(facts)), edit(facts)],
        )
    } else if is(Reason::KindNotServed) {
        step(
            "Install the definition of the target's kind, or correct spec.targetRef:",
            ["kubectl api-resources --namespaced".to_owned(), edit(facts)],
        )
    } else if is(Reason::Suspended) {
        paused(facts)
    } else if is(Reason::Conflict) {
        step(
            "Leave the target to one of the policies:",
            [format!("kubectl get feedbackpolicies -n {namespace}")],
        )
    } else if is(Reason::Contended) {
        weights::owners(facts)
    } else if is(Reason::OwnershipConflict) {
        owners(facts)
    } else {
        step("The policy is not ready. To find out why:", [doctor(facts)])
    })
}

fn rules(facts: &Facts) -> Step {
    let policy = &facts.policy;
    let reference = policy.spec.prometheus_rule_ref.as_ref();
    let name = reference.map(|reference| quoted(&reference.name)).unwrap_or_default();
    let namespace = policy.namespace().unwrap_or_default();
    step(
        "Let its rules be found; what is wrong stands in the condition Ready. Until then nothing is decided:",
        [
            format!("kubectl get prometheusrule {name} -n {namespace} -o yaml"),
            doctor(facts),
        ],
    )
}

/// Whether the namespace is what is paused: the condition Ready says so before anything else.
pub(super) fn namespace_paused(facts: &Facts) -> Option<Step> {
    let namespace = facts.policy.namespace().unwrap_or_default();
    let carries = format!("namespace {namespace} carries the annotation {PAUSE_ANNOTATION}");
    let conditions = &facts.policy.status.as_ref()?.conditions;
    let mut ready = conditions
        .iter()
        .filter(|condition| condition.type_ == ConditionType::Ready.as_str());
    ready.any(|ready| ready.message.starts_with(&carries)).then(|| {
        step(
            "The namespace is frozen, so nothing is written in it but roll-backs. To go on:",
            [format!("flyball unfreeze -n {}", quoted(&namespace))],
        )
    })
}

fn paused(facts: &Facts) -> Step {
    if let Some(step) = namespace_paused(facts) {
        return step;
    }
    let target = target(facts);
    if Moved::by(&facts.policy.spec) == Moved::Knobs {
        return step(
            "The workload is paused by the annotation. To go on:",
            [format!("kubectl annotate {target} {PAUSE_ANNOTATION}-")],
        );
    }
    if Moved::by(&facts.policy.spec) == Moved::Weights {
        // One of several routes may be the one that is paused; the condition names it.
        return step(
            "A route is paused by the annotation; the condition Ready says which. To go on:",
            [format!("kubectl annotate {target} {PAUSE_ANNOTATION}-")],
        );
    }
    step(
        "The target is paused, by the annotation or by its spec.paused. To go on, whichever it is:",
        [
            format!("kubectl annotate {target} {PAUSE_ANNOTATION}-"),
            format!("kubectl rollout resume {target}"),
        ],
    )
}

pub(super) fn owners(facts: &Facts) -> Step {
    match Moved::by(&facts.policy.spec) {
        Moved::Weights => return weights::owners(facts),
        Moved::Knobs => return runtime::owners(facts),
        Moved::Replicas | Moved::Pod => {}
    }
    let namespace = facts.policy.namespace().unwrap_or_default();
    let mut commands = vec![
        format!("kubectl get hpa -n {namespace}"),
        format!("kubectl get scaledobjects.keda.sh -n {namespace}"),
        format!("kubectl get {} -o yaml --show-managed-fields", target(facts)),
    ];
    // What can be handed over is named in the condition.
    let autoscaler = |message: &str| message.contains("HorizontalPodAutoscaler ") || message.contains("ScaledObject ");
    let mut conditions = facts.policy.status.iter().flat_map(|status| &status.conditions);
    if conditions.any(|condition| autoscaler(&condition.message)) {
        commands.push(format!("flyball takeover {}", facts.on_command_line()));
    }
    step(
        "Somebody else sets the number of replicas. Find out who, and leave the field to one of the two:",
        commands,
    )
}

//! Who else moves a policy's target.

use crate::cli::{
    doctor::finding::{Finding, Mark},
    screen::{plain, quoted},
};
use flyball_core::check::Owner;
use flyball_crds::{FeedbackPolicy, Mode};
use kube::ResourceExt;

/// Judges who else moves the target: what the controller would refuse for, and what it can't know of.
pub fn others(policy: &FeedbackPolicy, owners: &[Owner], rivals: &[String], vertical: bool) -> Vec<Finding> {
    let namespace = policy.namespace().unwrap_or_default();
    let writes = policy.spec.mode == Mode::Enforce && !policy.spec.suspend;
    // Where nothing is written nothing is fought over, but every proposal will be refused.
    let mark = if writes { Mark::Fail } else { Mark::Warn };
    let mut findings: Vec<Finding> = owners
        .iter()
        .map(|owner| {
            let (said, way_out) = words(owner, &namespace);
            Finding::new(mark, "other owners", said, way_out)
        })
        .collect();
    let told = |rival: &&String| {
        !owners
            .iter()
            .any(|owner| matches!(owner, Owner::Policy { name, .. } if name == *rival))
    };
    findings.extend(rivals.iter().filter(told).map(|rival| {
        let said = format!(
            "FeedbackPolicy {} moves the same target, and comes behind this one",
            plain(rival)
        );
        Finding::new(Mark::Warn, "other owners", said, "remove one of the two")
    }));
    let horizontal = owners
        .iter()
        .any(|owner| matches!(owner, Owner::HorizontalPodAutoscaler(_)));
    if vertical && horizontal {
        let said = "a HorizontalPodAutoscaler and a VerticalPodAutoscaler move the same target";
        let way_out = "let the one go by another metric than CPU and memory, or remove one of the two";
        findings.push(Finding::new(Mark::Warn, "other owners", said, way_out));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("other owners", "nobody else sets the number of replicas"));
    }
    findings
}

fn words(owner: &Owner, namespace: &str) -> (String, String) {
    match owner {
        Owner::HorizontalPodAutoscaler(name) => (
            format!("HorizontalPodAutoscaler {} sets the number of replicas", plain(name)),
            format!(
                "leave it to one of the two, for example: kubectl delete hpa {} -n {namespace}",
                plain(name)
            ),
        ),
        Owner::ScaledObject(name) => (
            format!("KEDA's ScaledObject {} sets the number of replicas", plain(name)),
            format!(
                "leave it to one of the two, for example: kubectl delete scaledobject {} -n {namespace}",
                quoted(name)
            ),
        ),
        Owner::Policy { name, action, .. } => (
            format!(
                "FeedbackPolicy {} moves the same target with its action {}, and comes first",
                plain(name),
                plain(action)
            ),
            "remove one of the two".to_owned(),
        ),
        Owner::FieldManager { manager, operation } => (
            format!(
                "{} owns spec.replicas ({}): it will write its own number again",
                plain(manager),
                plain(operation)
            ),
            "take spec.replicas out of what it applies, or let it ignore the field".to_owned(),
        ),
    }
}

//! Whether there is a target, and whether its field is ours.

use super::{Finding, Owner, Target};
use crate::policy::Replicas;

/// What was found of the target.
pub(super) struct TargetFinding {
    /// The finding.
    pub finding: Finding,
    /// `Some`: there is nothing that could be changed, for this reason.
    pub absent: Option<String>,
}

pub(super) fn target(target: &Target) -> TargetFinding {
    let absent = |message: String, why: &str| TargetFinding {
        finding: Finding::Refuse(message),
        absent: Some(why.to_owned()),
    };
    match target {
        Target::Present { paused: None } => TargetFinding {
            finding: Finding::Pass("present".to_owned()),
            absent: None,
        },
        Target::Present { paused: Some(why) } => {
            let refusal = format!("the target is paused: {why}; resume it to let it be scaled");
            TargetFinding {
                finding: Finding::Refuse(refusal),
                absent: None,
            }
        }
        Target::Missing => absent(
            "targetRef names an object that does not exist; create it or correct targetRef".to_owned(),
            "there is no target",
        ),
        Target::NoScale(kind) => absent(
            format!("targetRef names a {kind}, which has no scale; name a kind that has one, such as a Deployment"),
            "the target has no scale",
        ),
        Target::NotAllowed(kind) => absent(
            format!(
                "targetRef names a {kind}, which this installation may not scale; ask its operator to add the kind to the allowed ones"
            ),
            "the target may not be scaled",
        ),
        Target::NotServed(kind) => absent(
            format!(
                "targetRef names a {kind}, which the API server does not serve; install its definition, which is looked for every minute"
            ),
            "there is no such kind",
        ),
    }
}

/// For giving back what was taken away: a pause suspends what goes forward, and this goes back.
pub(super) fn target_of_undoing(state: &Target) -> TargetFinding {
    match state {
        Target::Present { paused: Some(why) } => {
            let note = format!("the target is paused ({why}), which does not keep us from giving back what we took");
            TargetFinding {
                finding: Finding::Pass(note),
                absent: None,
            }
        }
        other => target(other),
    }
}

pub(super) fn owners(owners: &[Owner]) -> Finding {
    if owners.is_empty() {
        return Finding::Pass("nobody else sets spec.replicas".to_owned());
    }
    let sentences: Vec<String> = owners.iter().map(sentence).collect();
    Finding::Refuse(sentences.join("; also: "))
}

/// For an undoing: also, whether the number is still the one that we wrote.
pub(super) fn still_ours(others: &[Owner], wrote: Replicas, current: Replicas) -> Finding {
    if others.is_empty() && wrote != current {
        return Finding::Refuse(format!(
            "spec.replicas is {current}, not the {wrote} that was written; the number is somebody else's now and is left to them"
        ));
    }
    owners(others)
}

fn sentence(owner: &Owner) -> String {
    match owner {
        Owner::HorizontalPodAutoscaler(name) => {
            format!(
                "HorizontalPodAutoscaler {name} sets spec.replicas; delete it, or take the target out of this policy"
            )
        }
        Owner::ScaledObject(name) => {
            format!("ScaledObject {name} sets spec.replicas; delete it, or take the target out of this policy")
        }
        Owner::Policy {
            namespace,
            name,
            action,
        } => format!(
            "action {action} of FeedbackPolicy {namespace}/{name} sets spec.replicas and is the older one; remove one of the two"
        ),
        Owner::FieldManager { manager, operation } => format!(
            "field manager {manager} owns spec.replicas ({operation}); let it leave the field alone, then hand the field back"
        ),
    }
}

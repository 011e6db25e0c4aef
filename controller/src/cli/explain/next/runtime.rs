//! What fits where a runtime's knobs are moved.

use super::{
    Facts, Step, awaited,
    commands::{doctor, edit, target},
    step, weights,
};
use crate::cli::screen::{plain, quoted, when};
use flyball_core::{check::Check, time::Timestamp};
use flyball_crds::{ActionStatus, DecisionStatus, RuntimeStatus};
use kube::ResourceExt;

/// Knobs that did not have their effect.
pub(super) fn latched(facts: &Facts, action: &ActionStatus, known: &RuntimeStatus, until: Timestamp) -> Step {
    let why = format!(
        "Action {}: {} did not have its effect and is not tried again before {}; another setting is. See what the agents say:",
        plain(&action.name),
        plain(&known.ineffective),
        when(until, facts.now)
    );
    step(why, [doctor(facts)])
}

/// Who else moves the knobs, or answers what they move.
pub(super) fn owners(facts: &Facts) -> Step {
    let namespace = facts.policy.namespace().unwrap_or_default();
    step(
        "Somebody else moves these knobs, or counts the memory that they move. Find out who:",
        [
            doctor(facts),
            format!("kubectl get {} -o yaml --show-managed-fields", target(facts)),
            format!(
                "kubectl get feedbackpolicies,horizontalpodautoscalers -n {}",
                quoted(&namespace)
            ),
        ],
    )
}

/// What the check that refused asks for.
pub(super) fn refused(facts: &Facts, which: Check, path: &str, decision: &DecisionStatus) -> Option<Step> {
    let path = format!("{path}.runtime");
    let namespace = facts.policy.namespace().unwrap_or_default();
    Some(match which {
        Check::Agents => step(
            "No knob moves without an agent that answers. See which pods have one, and add it where it is missing:",
            [
                doctor(facts),
                format!("flyball inject --help; kubectl get pods -n {}", quoted(&namespace)),
            ],
        ),
        Check::Rollout => step(
            "A rollout is under way, and start-up options wait until it is over. To follow it:",
            [format!("kubectl rollout status {}", target(facts))],
        ),
        Check::Headroom => step(
            "It would not fit below the container's memory limit; the check Headroom has the numbers. Give the container more memory, or ask for less:",
            [format!("kubectl edit {}", target(facts)), edit(facts)],
        ),
        Check::Bounds => step(format!("To allow it, widen {path}.gogc:"), [edit(facts)]),
        Check::Cooldown => step(format!("Wait, or shorten {path}.hold:"), [edit(facts)]),
        Check::Ownership => owners(facts),
        Check::Pause => weights::paused(facts),
        Check::OpenChange => step(
            "A Change is under way, and this one waits for it:",
            [weights::follow(facts)],
        ),
        Check::Approval => awaited(facts, decision),
        Check::DryRun => step(
            "The API server refused the write when it was tried; the check DryRun has its words. See the controller's rights:",
            [doctor(facts)],
        ),
        // The condition Ready, and the latch, have said it; the rest is not asked of knobs.
        _ => return None,
    })
}

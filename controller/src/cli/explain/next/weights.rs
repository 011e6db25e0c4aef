//! What fits where weights are moved.

use super::{
    Facts, Step, awaited,
    commands::{doctor, edit, target},
    ready, step,
};
use crate::cli::{
    moves,
    screen::{plain, quoted, when},
};
use flyball_core::{check::Check, time::Timestamp};
use flyball_crds::{ActionStatus, DecisionStatus, WeightsStatus};
use kube::ResourceExt;

/// Weights that did not have their effect.
pub(super) fn latched(facts: &Facts, action: &ActionStatus, known: &WeightsStatus, until: Timestamp) -> Step {
    let why = format!(
        "Action {}: the weights {} did not have their effect and are not tried again before {}; others are. See whether the traffic follows the weights at all:",
        plain(&action.name),
        moves::weights(&known.ineffective),
        when(until, facts.now)
    );
    step(why, [doctor(facts)])
}

/// What the check that refused asks for.
pub(super) fn refused(facts: &Facts, which: Check, path: &str, decision: &DecisionStatus) -> Option<Step> {
    let path = format!("{path}.weights");
    Some(match which {
        Check::Bounds => step(
            "The weights can't be written as they are wanted; the check Bounds says why. Give the backends larger weights, or fewer of them:",
            [format!("kubectl edit {}", target(facts)), edit(facts)],
        ),
        Check::Cooldown => step(
            format!(
                "Wait for {path}.limits.hold: what is measured is still from before the last change. To see what it waits for:"
            ),
            [follow(facts)],
        ),
        Check::DataQuality => step(
            "No backend loses its traffic until the proxy's readings are fresh. To find out what keeps them from it:",
            [doctor(facts)],
        ),
        Check::Ownership => owners(facts),
        Check::Pause => paused(facts),
        Check::OpenChange => step("A Change is under way, and this one waits for it:", [follow(facts)]),
        Check::Approval => awaited(facts, decision),
        Check::DryRun => step(
            "The API server refused the write when it was tried; the check DryRun has its words. See the controller's rights, and the route:",
            [doctor(facts), format!("kubectl get {} -o yaml", target(facts))],
        ),
        // The condition Ready, and the latch, have said it; the rest is not asked of weights.
        _ => return None,
    })
}

pub(super) fn follow(facts: &Facts) -> String {
    format!("flyball get {} --watch", facts.on_command_line())
}

/// Both directions hold weights back, because what one backend gets another loses.
pub(super) fn paused(facts: &Facts) -> Step {
    let pause = facts.policy.spec.pause.as_ref();
    let own = pause.is_some_and(|pause| pause.up.is_some() || pause.down.is_some());
    if own {
        let unpause = format!("flyball unpause {}", facts.on_command_line());
        return step(
            "The policy is paused, and what it moves has no up and down. To go on:",
            [unpause],
        );
    }
    if let Some(step) = ready::namespace_paused(facts) {
        return step;
    }
    let commands = ["flyball freeze --status".to_owned(), "flyball unfreeze".to_owned()];
    step("The installation is frozen. To see by whom, and to go on:", commands)
}

/// Who else writes the weights: another policy, or whoever applied the route.
pub(super) fn owners(facts: &Facts) -> Step {
    let namespace = facts.policy.namespace().unwrap_or_default();
    step(
        "Somebody else writes the weights. Find out who; the report says how to let Argo CD, Flux or Helm ignore them:",
        [
            doctor(facts),
            format!("kubectl get {} -o yaml --show-managed-fields", target(facts)),
            format!("kubectl get feedbackpolicies -n {}", quoted(&namespace)),
        ],
    )
}

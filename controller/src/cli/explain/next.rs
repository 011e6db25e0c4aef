//! What to do next: the facts in, steps with their commands out.

mod commands;
mod ready;
mod runtime;
mod weights;

use super::{Facts, page::noun};
use crate::{
    cli::{
        fetch::Controller,
        moves::{self, Moved},
        screen::{plain, quoted, when},
    },
    clock::{from_micro_time, read},
};
use commands::{doctor, edit, patch, target};
use flyball_core::check::Check;
use flyball_crds::{ActionStatus, Change, CheckVerdict, DecisionStatus, Mode, Phase};
use kube::ResourceExt;
use ready::{owners, readiness};

/// One thing to do, and how.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// What it is good for.
    pub why: String,
    /// The commands, ready to be copied.
    pub commands: Vec<String>,
}

fn step(why: impl Into<String>, commands: impl IntoIterator<Item = String>) -> Step {
    Step {
        why: why.into(),
        commands: commands.into_iter().collect(),
    }
}

/// The steps that fit, the most pressing first. There is always one.
pub fn next(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    steps.extend(controller(facts));
    steps.extend(readiness(facts));
    for action in facts.policy.status.iter().flat_map(|status| &status.actions) {
        steps.extend(held_back(facts, action));
        steps.extend(
            action
                .last_decision
                .as_ref()
                .and_then(|decision| refused(facts, action, decision)),
        );
        steps.extend(
            action
                .last_decision
                .as_ref()
                .and_then(|decision| at_zero(facts, action, decision)),
        );
    }
    steps.extend(facts.shown().into_iter().filter_map(|change| of_change(facts, change)));
    steps.extend(mode(facts));
    let mut seen = Vec::new();
    steps.retain(|step| {
        let new = !seen.contains(&step.commands) || step.commands.is_empty();
        seen.push(step.commands.clone());
        new
    });
    if steps.is_empty() {
        let follow = format!("flyball get {} --watch", facts.on_command_line());
        steps.push(step("Nothing needs to be done. To follow what happens:", [follow]));
    }
    steps
}

fn controller(facts: &Facts) -> Option<Step> {
    let (namespace, _) = facts.lease.split_once('/').unwrap_or((&facts.lease, ""));
    let pods = format!("kubectl get pods -n {}", quoted(namespace));
    match &facts.controller {
        Controller::Leads { .. } if facts.unseen().is_some() => Some(step(
            "The controller runs but has not looked at the last edit. If that lasts:",
            [doctor(facts)],
        )),
        Controller::Leads { .. } => None,
        Controller::Unknown(_) if facts.unseen().is_none() => None,
        Controller::Unknown(_) => Some(step("Find out whether a controller runs:", [doctor(facts)])),
        Controller::Silent { .. } | Controller::Vacant | Controller::Missing => Some(step(
            "Get the controller to run; until then nothing is decided or undone:",
            [pods, doctor(facts)],
        )),
    }
}

/// A latch, or a field that was left to somebody else.
fn held_back(facts: &Facts, action: &ActionStatus) -> Vec<Step> {
    let now = facts.now;
    let in_force = |until: Option<&_>| until.map(from_micro_time).filter(|until| *until > now);
    let mut steps = Vec::new();
    if let (Some(latch), Some(until)) = (
        &action.latch,
        action.latch.as_ref().and_then(|latch| in_force(latch.until.as_ref())),
    ) {
        let moves = if latch.demand.is_some() {
            format!(
                ", or until the demand or the verified value moves{}",
                tolerance(facts, action)
            )
        } else {
            "; with verify.demand set it could end when the demand moves".to_owned()
        };
        let noun = noun(latch.direction);
        let why = format!(
            "Action {}: no {noun} before {}{moves}. If what is verified is not what you mean, correct its verify:",
            plain(&action.name),
            when(until, now)
        );
        steps.push(step(why, [edit(facts)]));
    }
    if let (Some(known), Some(until)) = (
        &action.weights,
        action
            .weights
            .as_ref()
            .and_then(|known| in_force(known.ineffective_until.as_ref())),
    ) {
        steps.push(weights::latched(facts, action, known, until));
    }
    if let Some(known) = &action.runtime
        && let Some(until) = in_force(known.ineffective_until.as_ref())
    {
        steps.push(runtime::latched(facts, action, known, until));
    }
    if let (Some(yielded), Some(until)) = (
        &action.yielded,
        action
            .yielded
            .as_ref()
            .and_then(|yielded| in_force(yielded.until.as_ref())),
    ) {
        let why = if action.runtime.is_some() {
            format!(
                "{} wrote the knobs while Flyball held them; they are left alone until {}. See who writes them, and take them up at once by an edit of the policy's spec:",
                plain(&yielded.manager),
                when(until, now)
            )
        } else if action.weights.is_some() {
            format!(
                "{} wrote the weights while Flyball held them; they are left alone until {}. See who writes them, and take them up at once by an edit of the policy's spec:",
                plain(&yielded.manager),
                when(until, now)
            )
        } else {
            format!(
                "{} wrote the number of replicas while Flyball held it; it is left alone until {}. See who writes it, and take it up at once by an edit of the policy's spec:",
                plain(&yielded.manager),
                when(until, now)
            )
        };
        steps.push(step(
            why,
            [
                format!("kubectl get {} -o yaml --show-managed-fields", target(facts)),
                edit(facts),
            ],
        ));
    }
    steps
}

/// By how much demand and value must move to lift a latch.
fn tolerance(facts: &Facts, action: &ActionStatus) -> String {
    let written = facts
        .policy
        .spec
        .actions
        .iter()
        .find(|written| written.name == action.name);
    let demand = written.and_then(|action| action.verify.as_ref()?.demand.as_ref());
    demand
        .map(|demand| {
            format!(
                " (signal {} by more than {} %)",
                plain(&demand.signal),
                demand.tolerance_percent.unwrap_or(20)
            )
        })
        .unwrap_or_default()
}

/// What the check that refused asks for.
fn refused(facts: &Facts, action: &ActionStatus, decision: &DecisionStatus) -> Option<Step> {
    let check = decision
        .checks
        .iter()
        .find(|check| check.verdict == CheckVerdict::Refused)?;
    let which = Check::of_all_levers().find(|known| known.name() == check.name)?;
    let index = facts
        .policy
        .spec
        .actions
        .iter()
        .position(|written| written.name == action.name);
    let path = index.map_or_else(|| "spec.actions[]".to_owned(), |index| format!("spec.actions[{index}]"));
    let runtime = index
        .and_then(|index| facts.policy.spec.actions.get(index))
        .is_some_and(|action| action.runtime.is_some());
    if runtime {
        return runtime::refused(facts, which, &path, decision);
    }
    if moves::decides_in_words(decision) {
        return weights::refused(facts, which, &path, decision);
    }
    let up = decision.desired > decision.current;
    let side = if up { "up" } else { "down" };
    Some(match which {
        Check::Bounds if up => step(
            format!("To allow more replicas, raise {path}.replicas.max:"),
            [edit(facts)],
        ),
        Check::Bounds => step(
            format!("To allow fewer replicas, lower {path}.replicas.min:"),
            [edit(facts)],
        ),
        Check::Cooldown => step(
            format!("Wait, or shorten {path}.replicas.cooldown.{side}:"),
            [edit(facts)],
        ),
        Check::Rate => {
            let scale = if up { "scaleUp" } else { "scaleDown" };
            step(
                format!("Wait, or allow more in {path}.replicas.behavior.{scale}:"),
                [edit(facts)],
            )
        }
        Check::DataQuality => step(
            "Nothing is taken away until the readings are fresh. To find out what keeps them from it:",
            [doctor(facts)],
        ),
        Check::Ownership => owners(facts),
        // The condition Ready, and the latch, have said it. Agents are asked of knobs only.
        Check::Target | Check::Ineffective | Check::Agents => return None,
        Check::Pause => paused(facts, up),
        Check::Coverage => step(
            "Wait until the queries' ranges are filled again; a Prometheus that was away reads low. To see since when it answers:",
            [doctor(facts)],
        ),
        Check::Rollout => step(
            "Wait for the rollout; its pods would be counted as load or as spare ones:",
            [format!("kubectl rollout status {}", target(facts))],
        ),
        Check::Veto => {
            let field = if up { "inhibit" } else { "holdDownWhile" };
            step(
                format!("See to what {path}.{field} watches, or correct it if it is not what you mean:"),
                [edit(facts)],
            )
        }
        Check::Headroom => room(facts, &path, up),
        Check::Budget => step(
            "Wait a minute: all policies together may take away only so many replicas in that time. To see what else goes down:",
            ["flyball get -A".to_owned()],
        ),
        Check::Approval => awaited(facts, decision),
        Check::OpenChange => {
            let follow = format!("flyball get {} --watch", facts.on_command_line());
            step("A Change is under way, and this one waits for it:", [follow])
        }
        Check::DryRun => {
            let why = "The API server refused the write when it was tried; the check DryRun has its words. See the namespace's quota and the controller's rights:";
            step(
                why,
                [
                    format!(
                        "kubectl describe resourcequota -n {}",
                        facts.policy.namespace().unwrap_or_default()
                    ),
                    doctor(facts),
                ],
            )
        }
    })
}

/// The red button, or a pause of the policy's own.
fn paused(facts: &Facts, up: bool) -> Step {
    let pause = facts.policy.spec.pause.as_ref();
    let own = pause.and_then(|pause| if up { pause.up.as_ref() } else { pause.down.as_ref() });
    let until = own
        .and_then(|pause| pause.until.as_deref())
        .and_then(|until| read(until).ok());
    let in_force = own.is_some() && until.is_none_or(|until| until > facts.now);
    if !in_force {
        if let Some(step) = ready::namespace_paused(facts) {
            return step;
        }
        let commands = ["flyball freeze --status".to_owned(), "flyball unfreeze".to_owned()];
        return step("The installation is frozen. To see by whom, and to go on:", commands);
    }
    let (what, flag) = if up {
        ("Increases", "--up")
    } else {
        ("Decreases", "--down")
    };
    let over = until.map_or_else(String::new, |until| format!(" until {}", when(until, facts.now)));
    step(
        format!("{what} are paused{over}. To go on before that:"),
        [format!("flyball unpause {} {flag}", facts.on_command_line())],
    )
}

/// Who limits is said by the check itself.
fn room(facts: &Facts, path: &str, up: bool) -> Step {
    let namespace = facts.policy.namespace().unwrap_or_default();
    if up {
        let quota = format!("kubectl describe resourcequota,limitrange -n {namespace}");
        return step(
            format!(
                "There is no room for more; the check Headroom says by whom. Make room, or lower {path}.replicas.max:"
            ),
            [quota, "kubectl top nodes".to_owned()],
        );
    }
    step(
        "A disruption budget keeps the replicas; see which:",
        [format!("kubectl get poddisruptionbudgets -n {namespace}")],
    )
}

/// A decision that waits for a person.
fn awaited(facts: &Facts, decision: &DecisionStatus) -> Step {
    let namespace = facts.policy.namespace().unwrap_or_default();
    match &decision.change {
        Some(change) => {
            let what = if moves::decides_in_words(decision) {
                moves::of_decision(decision)
            } else {
                format!("from {} to {}", decision.current, decision.desired)
            };
            step(
                format!("The change {what} waits for approval. To let it be made:"),
                [format!("flyball approve {} -n {namespace}", quoted(change))],
            )
        }
        None => step(
            "The change waits for approval, and its record is not there yet. To see it:",
            [format!("flyball get {} --watch", facts.on_command_line())],
        ),
    }
}

/// A target at zero was put there by a person, and is left there.
fn at_zero(facts: &Facts, action: &ActionStatus, decision: &DecisionStatus) -> Option<Step> {
    let zero = decision.current == 0 && decision.desired == 0;
    let written = facts
        .policy
        .spec
        .actions
        .iter()
        .find(|written| written.name == action.name)?;
    let min = written.replicas.as_ref()?.min;
    zero.then(|| {
        let command = format!("kubectl scale {} --replicas {min}", target(facts));
        step(
            "The target stands at zero, and Flyball leaves it there. To hand it back:",
            [command],
        )
    })
}

fn of_change(facts: &Facts, change: &Change) -> Option<Step> {
    let name = facts.on_command_line();
    let phase = change.status.as_ref().map(|status| status.phase).unwrap_or_default();
    if crate::observe::is_open(change) {
        let what = match Moved::in_change(change) {
            Moved::Replicas => "the number as it is",
            Moved::Weights => "the weights as they are",
            Moved::Knobs => "the workload's knobs as they are",
            Moved::Pod => "the pod as it is",
        };
        let why = format!("A Change is under way. To follow it, or to keep {what} and decide nothing more:");
        let suspend = format!("flyball suspend {name}");
        return Some(step(why, [format!("flyball get {name} --watch"), suspend]));
    }
    match phase {
        Phase::Inconclusive if moves::is_of_weights(change) => Some(step(
            "The effect could not be verified, so the weights are held. See whether the proxy's queries and the verification answer now; with few requests widen weights.share.within or weights.traffic.window:",
            [doctor(facts)],
        )),
        Phase::Inconclusive if Moved::in_change(change) == Moved::Knobs => Some(step(
            "The effect could not be verified, so the knobs are held. See whether the agents, the trial's expression and the verification answer now:",
            [doctor(facts)],
        )),
        Phase::Ineffective | Phase::RolledBack if Moved::in_change(change) == Moved::Knobs => Some(step(
            "The knobs did not have their effect, or an agent did not take them; the verdict says which. See what the agents say:",
            [doctor(facts), format!("flyball get {name} --all")],
        )),
        Phase::Inconclusive | Phase::Ineffective if Moved::in_change(change) == Moved::Pod => Some(step(
            "The pod was not relieved; the verdict says why. A limit is never lowered again; the next pod has what the template says. See what else there is to do:",
            [format!("flyball get {name} --all")],
        )),
        Phase::Inconclusive => Some(step(
            "The effect could not be verified, so the value is held. See whether the verification and the demand answer now:",
            [doctor(facts)],
        )),
        Phase::Ineffective | Phase::RolledBack => Some(step(
            "The change did not help. See whether something else is the bottleneck, such as a dependency, before you allow more of it:",
            [format!("flyball get {name} --all")],
        )),
        _ => None,
    }
}

/// What the mode holds back.
fn mode(facts: &Facts) -> Option<Step> {
    let spec = &facts.policy.spec;
    let wanted = |decision: &DecisionStatus| {
        moves::wants_more(decision)
            && decision
                .checks
                .iter()
                .all(|check| check.verdict != CheckVerdict::Refused)
    };
    match spec.mode {
        Mode::Observe => {
            let decide = patch(facts, &serde_json::json!({"mode": "Recommend"}));
            Some(step(
                "The mode is Observe, so nothing is decided. To see what would be done:",
                [decide],
            ))
        }
        Mode::Recommend
            if facts
                .policy
                .status
                .iter()
                .flat_map(|status| &status.actions)
                .any(|action| action.last_decision.as_ref().is_some_and(wanted)) =>
        {
            let enforce = patch(facts, &serde_json::json!({"mode": "Enforce"}));
            let unverified: Vec<_> = spec.actions.iter().filter(|action| action.verify.is_none()).collect();
            Some(match unverified.first() {
                None => step(
                    "The mode is Recommend, so nothing was written. To let Flyball do it from now on:",
                    [enforce],
                ),
                Some(action) => step(
                    format!(
                        "The mode is Recommend. Enforce needs verify in every action, and {} has none; add it, then:",
                        plain(&action.name)
                    ),
                    [edit(facts), enforce],
                ),
            })
        }
        Mode::Recommend | Mode::Enforce => None,
    }
}

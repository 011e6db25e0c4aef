//! What must hold before a field is taken over, and what is worth a second thought.

use super::facts::{Facts, Other};
use crate::{
    cli::{
        fetch::Controller,
        import::Autoscaler,
        kept::is_paused,
        screen::{plain, quoted, span},
    },
    observe::{freeze::Frozen, target::Snapshot},
    validate,
};
use flyball_crds::{ConditionType, FeedbackPolicySpec, Mode, Reason};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

/// What is known around the policy.
pub struct Around {
    /// Whether a controller runs.
    pub controller: Controller,
    /// Where its lease is, as `namespace/name`.
    pub lease: String,
    /// Whether the installation is frozen; what can't be read is not known to be.
    pub frozen: Option<Frozen>,
    /// The target.
    pub target: Option<DynamicObject>,
}

/// Labels and annotations of tools that would make an autoscaler again.
const KEEPERS: [(&str, &str); 4] = [
    ("argocd.argoproj.io/", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/", "Flux"),
    ("helm.toolkit.fluxcd.io/", "Flux"),
    ("meta.helm.sh/release-name", "Helm"),
];

/// Refuses, with the way out, or says what is worth a second thought.
pub fn check(facts: &Facts, other: Option<&Other>, around: &Around) -> Result<Vec<String>, String> {
    let policy = facts.policy.name_any();
    let namespace = facts.policy.namespace().unwrap_or_default();
    let place = format!("{} -n {}", quoted(&policy), quoted(&namespace));
    of_policy(facts, other, &place)?;
    of_controller(around, &place)?;
    let mut warnings = of_target(facts, around, &place)?;
    if let Some(other) = other {
        of_other(other, &namespace)?;
        warnings.extend(of_numbers(facts, other, &place));
    }
    Ok(warnings)
}

/// The policy as it would be.
fn of_policy(facts: &Facts, other: Option<&Other>, place: &str) -> Result<(), String> {
    let spec = &facts.policy.spec;
    let edit = format!("kubectl edit feedbackpolicy {place}");
    let would_be = FeedbackPolicySpec {
        mode: Mode::Enforce,
        suspend: false,
        ..spec.clone()
    };
    if let Err(errors) = validate::policy(&would_be) {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        let more = errors.len().saturating_sub(1);
        let more = if more == 0 {
            String::new()
        } else {
            format!(" (and {more} more)")
        };
        return Err(format!(
            "it could not be enforced: {}{more}; correct it: {edit}",
            plain(&first)
        ));
    }
    match spec.mode {
        Mode::Observe => {
            return Err(format!(
                "its mode is Observe, so nobody has seen what it would do; let it decide first: kubectl patch \
                 feedbackpolicy {place} --type merge -p '{{\"spec\":{{\"mode\":\"Recommend\"}}}}'"
            ));
        }
        Mode::Enforce if !spec.suspend && other.is_some() => {
            return Err(format!(
                "it is in mode Enforce already, beside the other one; suspend it first, and look at what it would do: \
                 flyball suspend {place}"
            ));
        }
        Mode::Recommend | Mode::Enforce => {}
    }
    let status = facts.policy.status.clone().unwrap_or_default();
    if status.observed_generation != facts.policy.metadata.generation {
        return Err(format!(
            "no controller has looked at its last edit yet; try again in a moment, or see why: flyball explain {place}"
        ));
    }
    let ready = status
        .conditions
        .iter()
        .find(|it| it.type_ == ConditionType::Ready.as_str());
    // The other one is what is to be taken away.
    let by_other = |message: &str| message.contains("HorizontalPodAutoscaler ") || message.contains("ScaledObject ");
    match ready {
        Some(ready) if ready.status == "True" => Ok(()),
        Some(ready) if ready.reason == Reason::OwnershipConflict.as_str() && by_other(&ready.message) => Ok(()),
        Some(ready) => Err(format!(
            "it is not ready: {}; see what to do: flyball explain {place}",
            plain(&ready.message)
        )),
        None => Err(format!(
            "it is not known whether it is ready; see: flyball explain {place}"
        )),
    }
}

/// Whether anybody would scale the workload afterwards.
fn of_controller(around: &Around, place: &str) -> Result<(), String> {
    let (namespace, _) = around.lease.split_once('/').unwrap_or((&around.lease, ""));
    let pods = format!(
        "nobody would scale the workload; start it, and see: kubectl get pods -n {}",
        quoted(namespace)
    );
    match &around.controller {
        Controller::Leads { .. } => {}
        Controller::Silent { holder, renewed } => {
            let (holder, renewed) = (plain(holder), span(*renewed));
            return Err(format!(
                "no controller runs: {holder} has not renewed {} for {renewed}, so {pods}",
                around.lease
            ));
        }
        Controller::Vacant | Controller::Missing => {
            return Err(format!("no controller runs: nobody holds {}, so {pods}", around.lease));
        }
        Controller::Unknown(why) => {
            return Err(format!(
                "it is not known whether a controller runs: {}; see: flyball doctor",
                plain(why)
            ));
        }
    }
    if let Some(frozen) = &around.frozen {
        return Err(format!(
            "the installation is frozen, {}, so nobody would scale the workload; flyball unfreeze, and then flyball takeover {place}",
            plain(&frozen.to_string())
        ));
    }
    Ok(())
}

fn of_target(facts: &Facts, around: &Around, place: &str) -> Result<Vec<String>, String> {
    let spec = &facts.policy.spec;
    let (kind, name) = (plain(&spec.target_ref.kind), plain(&spec.target_ref.name));
    let edit = format!("kubectl edit feedbackpolicy {place}");
    let Some(target) = &around.target else {
        return Err(format!(
            "its target {kind} {name} is not there; correct spec.targetRef: {edit}"
        ));
    };
    let snapshot = Snapshot::of(target).map_err(|error| error.to_string())?;
    if let Some((manager, _)) = &snapshot.gitops_owner {
        return Err(format!(
            "{} sets spec.replicas of {kind} {name} and would set it again; take replicas out of the repository first",
            plain(manager)
        ));
    }
    if let Some(paused) = snapshot.paused {
        return Err(format!("its target {kind} {name} is paused: {paused}"));
    }
    let current = i64::from(snapshot.target.value.get());
    let levers = spec.actions.iter().filter_map(|action| action.replicas.as_ref());
    let (mut max, mut wakes) = (0, false);
    for lever in levers {
        max = max.max(i64::from(lever.max));
        wakes |= lever.zero.is_some();
    }
    if current > max {
        return Err(format!(
            "{kind} {name} has {current} replicas and the policy allows {max}, so it would take some away; raise \
             replicas.max: {edit}"
        ));
    }
    if current == 0 && !wakes {
        return Err(format!(
            "{kind} {name} stands at 0 replicas, and a policy without replicas.zero leaves it there; wait until it is \
             scaled up, or add zero: {edit}"
        ));
    }
    Ok(Vec::new())
}

fn of_other(other: &Other, namespace: &str) -> Result<(), String> {
    let title = plain(&other.title());
    if let Some(owner) = other
        .object
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true))
    {
        return Err(format!(
            "{title} belongs to {} {}, which would make it again; take it out there",
            plain(&owner.kind),
            plain(&owner.name)
        ));
    }
    let restores = other
        .object
        .data
        .pointer("/spec/advanced/restoreToOriginalReplicaCount");
    if other.autoscaler == Autoscaler::ScaledObject && restores.and_then(Value::as_bool) == Some(true) {
        return Err(format!(
            "{title} puts back the replicas from before KEDA when it is deleted (restoreToOriginalReplicaCount); switch \
             that off first: kubectl patch scaledobject.keda.sh {} -n {} --type merge -p \
             '{{\"spec\":{{\"advanced\":{{\"restoreToOriginalReplicaCount\":false}}}}}}'",
            quoted(&other.object.name_any()),
            quoted(namespace)
        ));
    }
    Ok(())
}

/// What may surprise.
fn of_numbers(facts: &Facts, other: &Other, place: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    let title = plain(&other.title());
    let status = facts.policy.status.clone().unwrap_or_default();
    let decided: Vec<i64> = status
        .actions
        .iter()
        .filter_map(|action| action.last_decision.as_ref())
        .map(|decision| decision.desired.into())
        .collect();
    match (decided.iter().max(), other.desired()) {
        (None, _) => warnings.push(format!(
            "the policy has not decided anything yet; see what it would do: flyball explain {place}"
        )),
        (Some(ours), Some(theirs)) if *ours != theirs => warnings.push(format!(
            "the policy's last decision was {ours} replicas, and {title} wants {theirs}; see why: flyball explain {place}"
        )),
        _ => {}
    }
    let (low, high) = other.bounds();
    for lever in facts
        .policy
        .spec
        .actions
        .iter()
        .filter_map(|action| action.replicas.as_ref())
    {
        if i64::from(lever.max) < high {
            warnings.push(format!(
                "{title} goes up to {high} replicas, and the policy only to {}",
                lever.max
            ));
        }
        if i64::from(lever.min) < low {
            warnings.push(format!(
                "{title} keeps {low} replicas, and the policy only {}",
                lever.min
            ));
        }
    }
    let (labels, annotations) = (other.object.labels(), other.object.annotations());
    let keys = labels.keys().chain(annotations.keys());
    let keeper = keys
        .flat_map(|key| KEEPERS.iter().filter(move |(start, _)| key.starts_with(start)))
        .map(|(_, keeper)| *keeper)
        .next();
    let helm = labels
        .get("app.kubernetes.io/managed-by")
        .is_some_and(|by| by == "Helm");
    if let Some(keeper) = keeper.or_else(|| helm.then_some("Helm")) {
        warnings.push(format!(
            "{title} is kept by {keeper}, which may make it again; take it out there too. The policy then stops, and says so"
        ));
    }
    if other.autoscaler == Autoscaler::ScaledObject && is_paused(&other.object) {
        warnings.push(format!("{title} is paused, and the policy would move the replicas"));
    }
    warnings
}

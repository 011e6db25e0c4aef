//! Whether a rollout of the target is under way: pods of two revisions are there, or will be.
//!
//! Scaling is none. It too makes `observedGeneration` lag and replicas unavailable for a while, so only
//! what tells revisions apart counts.

use super::pods::template_hash;
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

/// The annotation in which the controller of Deployments counts revisions.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";

/// Why a rollout is under way; `None` where there is none, or where the kind does not tell.
///
/// `templates` are the hashes of the templates of those ReplicaSets of the object that have pods;
/// `None`: not known.
pub fn of(resource: &ApiResource, object: &DynamicObject, templates: Option<&[u64]>) -> Option<String> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("apps", "Deployment") => deployment(object, templates),
        ("apps", "StatefulSet") => stateful_set(&object.data),
        ("argoproj.io", "Rollout") => argo(&object.data),
        _ => None,
    }
}

fn deployment(object: &DynamicObject, templates: Option<&[u64]>) -> Option<String> {
    let status = |field: &str| number(&object.data, &format!("/status/{field}")).unwrap_or(0);
    let (replicas, updated) = (status("replicas"), status("updatedReplicas"));
    if updated < replicas {
        return Some(format!("{updated} of {replicas} pods have the new template"));
    }
    // The controller has not seen the newest spec. A new number of replicas is no rollout, a template
    // that no pod has is one.
    if lags(object)
        && replicas > 0
        && let (Some(wanted), Some(templates)) = (template(&object.data), templates)
        && !templates.is_empty()
        && templates.iter().any(|template| *template != wanted)
    {
        return Some("the template was changed, and its controller has not taken it up".to_owned());
    }
    // Scaling leaves this reason at NewReplicaSetAvailable, so it tells whether the last new template has
    // become available. A deadline that was missed ends the waiting.
    let waits = progressing(&object.data)
        .is_some_and(|(status, reason)| status == "True" && reason != "NewReplicaSetAvailable");
    // The first revision replaces nothing: its pods are those of one revision, however long they take.
    let first = object
        .annotations()
        .get(REVISION)
        .is_none_or(|revision| revision == "1");
    let available = status("availableReplicas");
    (waits && !first && available < updated)
        .then(|| format!("{available} of {updated} pods of the new template are available"))
}

fn stateful_set(data: &Value) -> Option<String> {
    let revision = |field: &str| data.pointer(&format!("/status/{field}")).and_then(Value::as_str);
    let (current, update) = (revision("currentRevision")?, revision("updateRevision")?);
    let strategy = data.pointer("/spec/updateStrategy/type").and_then(Value::as_str);
    // With OnDelete a human replaces pods, when it suits him: nothing is under way.
    if current == update || strategy == Some("OnDelete") {
        return None;
    }
    let status = |field: &str| number(data, &format!("/status/{field}")).unwrap_or(0);
    let (replicas, updated, ready) = (status("replicas"), status("updatedReplicas"), status("readyReplicas"));
    let partition = number(data, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    // Below the partition pods stay as they are for as long as somebody likes.
    let goal = replicas.saturating_sub(partition).max(0);
    if updated < goal {
        return Some(format!("{updated} of {goal} pods have revision {update}"));
    }
    (partition == 0 && ready < replicas)
        .then(|| format!("all pods have revision {update}, {ready} of {replicas} are ready"))
}

fn argo(data: &Value) -> Option<String> {
    let text = |path: &str| {
        data.pointer(path)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let (stable, current) = (text("/status/stableRS")?, text("/status/currentPodHash")?);
    if stable == current {
        return None;
    }
    let (updated, replicas) = (
        number(data, "/status/updatedReplicas").unwrap_or(0),
        number(data, "/status/replicas").unwrap_or(0),
    );
    // What was aborted stands still at the stable revision.
    if data.pointer("/status/abort").and_then(Value::as_bool) == Some(true) && updated == 0 {
        return None;
    }
    let phase = text("/status/phase").unwrap_or("Unknown");
    Some(format!(
        "phase {phase}: {updated} of {replicas} pods have the new template"
    ))
}

/// How far a rollout has come that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rolled {
    /// All pods have the newest template, and are available.
    Done,
    /// Not yet, and why.
    Under(String),
    /// The workload's own controller has given up.
    Stuck(String),
}

/// How far the rollout of the newest template has come.
pub fn rolled(resource: &ApiResource, object: &DynamicObject) -> Rolled {
    if lags(object) {
        return Rolled::Under("the workload's controller has not taken the template up".to_owned());
    }
    let status = |field: &str| number(&object.data, &format!("/status/{field}")).unwrap_or(0);
    let wanted = number(&object.data, "/spec/replicas").unwrap_or(1);
    if resource.kind == "StatefulSet" {
        let ready = status("readyReplicas");
        return match stateful_set(&object.data) {
            Some(why) => Rolled::Under(why),
            None if ready < wanted => Rolled::Under(format!("{ready} of {wanted} pods are ready")),
            None => Rolled::Done,
        };
    }
    let (replicas, updated) = (status("replicas"), status("updatedReplicas"));
    let available = status("availableReplicas");
    let said = format!("{updated} of {wanted} pods have the new template, {available} of {replicas} are available");
    if updated >= wanted && replicas <= updated && available >= updated {
        return Rolled::Done;
    }
    match progressing(&object.data) {
        Some(("False", reason)) => Rolled::Stuck(format!("{reason}: {said}")),
        _ => Rolled::Under(said),
    }
}

/// Whether the controller of the object has not seen its newest spec.
fn lags(object: &DynamicObject) -> bool {
    let seen = number(&object.data, "/status/observedGeneration");
    matches!((object.metadata.generation, seen), (Some(written), Some(seen)) if seen < written)
}

fn number(data: &Value, path: &str) -> Option<i64> {
    data.pointer(path).and_then(Value::as_i64)
}

/// The hash of the template; a stripped object has it already.
fn template(data: &Value) -> Option<u64> {
    match data.pointer("/spec/template")? {
        Value::Number(hash) => hash.as_u64(),
        Value::Null => None,
        template => Some(template_hash(template)),
    }
}

/// Status and reason of the condition `Progressing`.
fn progressing(data: &Value) -> Option<(&str, &str)> {
    let conditions = data.pointer("/status/conditions")?.as_array()?;
    let found = conditions
        .iter()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some("Progressing"))?;
    let field = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
    Some((field("status"), field("reason")))
}

/// The fields of an object that are read here.
pub(super) const FIELDS: [&str; 12] = [
    "/spec/updateStrategy/type",
    "/spec/updateStrategy/rollingUpdate/partition",
    "/status/observedGeneration",
    "/status/replicas",
    "/status/readyReplicas",
    "/status/availableReplicas",
    "/status/updatedReplicas",
    "/status/currentRevision",
    "/status/updateRevision",
    "/status/stableRS",
    "/status/currentPodHash",
    "/status/phase",
];

/// The other fields that are read, each with a short form that reads the same: the template as its
/// hash, and only where it is looked at, which is seldom; of the conditions the one that counts.
pub(super) fn condensed(object: &DynamicObject) -> [(&'static str, Option<Value>); 3] {
    let data = &object.data;
    let template = lags(object).then(|| template(data)).flatten();
    let condition =
        progressing(data).map(|(status, reason)| json!([{"type": "Progressing", "status": status, "reason": reason}]));
    let aborted = data
        .pointer("/status/abort")
        .filter(|abort| abort.as_bool() == Some(true));
    [
        ("/spec/template", template.map(Value::from)),
        ("/status/conditions", condition),
        ("/status/abort", aborted.cloned()),
    ]
}

#[cfg(test)]
mod tests;

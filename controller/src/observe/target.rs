//! A target as the API server holds it, read from any kind with a scale subresource.

use super::rollout;
use crate::apply::KEPT;
use flyball_core::{
    policy::Replicas,
    transaction::{Stamp, Target},
};
use flyball_crds::{FIELD_MANAGER, PAUSE_ANNOTATION, RUNTIME_PREFIX, RUNTIME_STAMP_PREFIX, STAMP_ANNOTATION};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ManagedFieldsEntry};
use kube::{ResourceExt, api::DynamicObject, core::Selector};
use serde_json::{Map, Value};

/// Writers that reconcile a workload against a repository: what they own, they write again.
const GITOPS_MANAGERS: [&str; 8] = [
    "argocd-controller",
    "argocd-application-controller",
    "kustomize-controller",
    "helm-controller",
    "flux",
    "gotk",
    "fleetagent",
    "configsync",
];

/// What the loop needs to know of a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The object's UID.
    pub uid: String,
    /// Value, resourceVersion and stamp, as the transaction sees it.
    pub target: Target<Replicas, String>,
    /// Why it counts as paused.
    pub paused: Option<String>,
    /// Who wrote `spec.replicas` last, ourselves left out: manager and operation.
    pub manager: Option<(String, String)>,
    /// A manager that owns `spec.replicas`, alone or with others, and would write it again.
    pub gitops_owner: Option<(String, String)>,
    /// How many pods its controller counts (`status.replicas`); `None`: it has not counted yet.
    pub observed: Option<Replicas>,
    /// How many of them are ready (`status.readyReplicas`).
    pub ready: Option<i64>,
    /// The label selector of its pods, as a list is asked for; `None` where the kind tells none.
    pub selector: Option<String>,
    /// An annotation under our stamp's key that is none.
    pub bad_stamp: Option<String>,
}

/// Why an object can't serve as a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The number of replicas is not one we would ever write.
    #[error("spec.replicas of {object} is {value}; Flyball moves numbers from 0 to {max}", max = Replicas::MAX)]
    Replicas {
        /// The object.
        object: String,
        /// What it holds.
        value: String,
    },
}

impl Snapshot {
    /// Reads the object. An absent `spec.replicas` is 1, as the API defaults it.
    pub fn of(object: &DynamicObject) -> Result<Self, TargetError> {
        let replicas = object.data.pointer("/spec/replicas").filter(|value| !value.is_null());
        let value = match replicas {
            None => Replicas::new(1),
            Some(number) => number.as_i64().and_then(Replicas::new),
        }
        .ok_or_else(|| TargetError::Replicas {
            object: object.name_any(),
            value: replicas.map_or_else(String::new, ToString::to_string),
        })?;
        let stamp = object.annotations().get(STAMP_ANNOTATION);
        let parsed = stamp.map(|text| text.parse::<Stamp>());
        Ok(Self {
            uid: object.uid().unwrap_or_default(),
            target: Target {
                value,
                version: object.resource_version().unwrap_or_default(),
                stamp: parsed.as_ref().and_then(|stamp| stamp.as_ref().ok().copied()),
            },
            paused: paused(object),
            manager: newest(others(object)),
            gitops_owner: newest(others(object).filter(|entry| is_gitops(entry))),
            observed: observed(&object.data),
            selector: selector(&object.data),
            ready: object.data.pointer("/status/readyReplicas").and_then(Value::as_i64),
            bad_stamp: parsed.and_then(Result::err).map(|error| error.to_string()),
        })
    }
}

fn paused(object: &DynamicObject) -> Option<String> {
    let annotation = object
        .annotations()
        .get(PAUSE_ANNOTATION)
        .filter(|value| *value != "false");
    if annotation.is_some() {
        return Some(format!(
            "it carries the annotation {PAUSE_ANNOTATION}; remove it to go on"
        ));
    }
    let paused = object.data.pointer("/spec/paused").and_then(Value::as_bool) == Some(true);
    paused.then(|| "its spec.paused is true; resume its rollout to go on".to_owned())
}

/// Who owns `spec.replicas` beside us. Whoever changes the value takes it from all others, but any
/// number may have applied the same value and own it together.
fn others(object: &DynamicObject) -> impl Iterator<Item = &ManagedFieldsEntry> {
    let entries = object.managed_fields().iter();
    entries.filter(|entry| owns_replicas(entry) && entry.manager.as_deref() != Some(FIELD_MANAGER))
}

fn owns_replicas(entry: &ManagedFieldsEntry) -> bool {
    let fields = entry.fields_v1.as_ref();
    fields.is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}

pub(super) fn is_gitops(entry: &ManagedFieldsEntry) -> bool {
    let manager = entry.manager.as_deref().unwrap_or_default();
    GITOPS_MANAGERS.iter().any(|known| manager.starts_with(known))
}

/// The newest of these. What was written through the scale subresource carries no time, so beside an
/// entry with one it counts as the older.
pub(super) fn newest<'a>(entries: impl Iterator<Item = &'a ManagedFieldsEntry>) -> Option<(String, String)> {
    let newest = entries.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    Some((newest.manager.clone()?, newest.operation.clone().unwrap_or_default()))
}

/// Drops what the loop never reads, so that a large cluster's workloads fit into little memory.
pub fn strip(object: &mut DynamicObject) {
    let keep = [PAUSE_ANNOTATION, STAMP_ANNOTATION, rollout::REVISION];
    let is_runtime = |key: &str| key.starts_with(RUNTIME_PREFIX) || key.starts_with(RUNTIME_STAMP_PREFIX);
    object
        .annotations_mut()
        .retain(|key, _| keep.contains(&key.as_str()) || is_runtime(key));
    object.labels_mut().clear();
    object.managed_fields_mut().retain(owns_replicas);
    for entry in object.managed_fields_mut() {
        if let Some(fields) = &mut entry.fields_v1 {
            fields.0 = serde_json::json!({"f:spec": {"f:replicas": {}}});
        }
    }
    let condensed = rollout::condensed(object);
    let containers = crate::apply::condensed(object);
    let mut data = Value::Object(Map::new());
    for path in FIELDS.iter().chain(&rollout::FIELDS) {
        if let Some(value) = object.data.pointer(path).filter(|value| !value.is_null()) {
            insert(&mut data, path, value.clone());
        }
    }
    let condensed = condensed.into_iter().chain([(KEPT, containers)]);
    for (path, value) in condensed {
        if let Some(value) = value {
            insert(&mut data, path, value);
        }
    }
    object.data = data;
}

/// The fields that a snapshot reads beside those of [`rollout`].
const FIELDS: [&str; 4] = ["/spec/replicas", "/spec/paused", "/spec/selector", "/status/selector"];

/// Puts a value where a path leads to, and makes the objects on the way.
fn insert(data: &mut Value, path: &str, value: Value) {
    let mut place = data;
    for key in path.split('/').skip(1) {
        let Value::Object(fields) = place else { return };
        place = fields.entry(key).or_insert_with(|| Value::Object(Map::new()));
    }
    *place = value;
}

/// An absent number is 0 once the controller has looked at the object, for it leaves zeros out.
fn observed(data: &Value) -> Option<Replicas> {
    let counted = data.pointer("/status/replicas").and_then(Value::as_i64);
    let looked = data.pointer("/status/observedGeneration").is_some();
    counted.or_else(|| looked.then_some(0)).and_then(Replicas::new)
}

/// The selector as the scale subresource has it in its status, or from the spec.
fn selector(data: &Value) -> Option<String> {
    let text = |path: &str| data.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
    text("/status/selector").or_else(|| text("/spec/selector")).or_else(|| {
        let selector = data.pointer("/spec/selector")?;
        let selector: LabelSelector = serde_json::from_value(selector.clone()).ok()?;
        let selector = Selector::try_from(selector).ok()?;
        Some(selector.to_string()).filter(|text| !text.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).expect("an object")
    }

    fn deployment(spec: &Value, annotations: &Value) -> DynamicObject {
        object(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "uid": "u-1", "resourceVersion": "7", "annotations": annotations,
                "managedFields": [
                    {"manager": "kubectl", "operation": "Update", "time": "2026-01-01T00:00:00Z",
                     "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {}}}},
                    {"manager": "argocd-controller", "operation": "Apply", "time": "2026-01-02T00:00:00Z",
                     "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                    {"manager": "kubelet", "operation": "Update", "time": "2026-01-03T00:00:00Z",
                     "fieldsV1": {"f:status": {}}},
                ],
            },
            "spec": spec,
        }))
    }

    #[test]
    fn a_snapshot_reads_what_the_loop_needs() {
        let mut object = deployment(
            &json!({"replicas": 3, "template": {}, "selector": {"matchLabels": {"app": "web"}, "matchExpressions": [
                {"key": "track", "operator": "NotIn", "values": ["canary"]},
            ]}}),
            &json!({
                "flyball.dev/stamp": "sequence=4,attempt=1", "other": "x",
            }),
        );
        let before = Snapshot::of(&object).expect("a snapshot");
        assert_eq!(before.target.value.get(), 3);
        assert_eq!(before.target.version, "7");
        assert_eq!(before.selector.as_deref(), Some("app=web,track notin (canary)"));
        assert_eq!(before.observed, None, "its controller has not looked at it");
        assert_eq!(
            before.target.stamp,
            Some(Stamp {
                sequence: 4,
                attempt: 1
            })
        );
        assert_eq!(
            before.gitops_owner,
            Some(("argocd-controller".to_owned(), "Apply".to_owned()))
        );
        strip(&mut object);
        assert_eq!(
            Snapshot::of(&object),
            Ok(before),
            "stripping loses nothing that is read"
        );
    }

    /// `owners`: manager, operation, subresource, the second in which it wrote `spec.replicas`.
    fn owned(owners: &[(&str, &str, Option<&str>, Option<u8>)]) -> Snapshot {
        let entry = |(manager, operation, subresource, at): &(&str, &str, Option<&str>, Option<u8>)| {
            json!({
                "manager": manager, "operation": operation, "subresource": subresource,
                "time": at.map(|second| format!("2026-01-01T00:00:{second:02}Z")),
                "fieldsV1": {"f:spec": {"f:replicas": {}}},
            })
        };
        let mut object = deployment(&json!({"replicas": 3}), &json!({}));
        let entries = owners.iter().map(|owner| serde_json::from_value(entry(owner)));
        object.metadata.managed_fields = Some(entries.collect::<Result<_, _>>().expect("entries"));
        Snapshot::of(&object).expect("a snapshot")
    }

    #[test]
    fn any_owner_that_would_write_again_is_seen() {
        let check = |owners: &[_], expect: Option<(&str, &str)>| {
            let found = owned(owners).gitops_owner;
            let found = found.as_ref().map(|(manager, operation)| (&**manager, &**operation));
            assert_eq!(found, expect, "{owners:?}");
        };
        let argo = ("argocd-controller", "Apply", None, Some(1));
        check(&[argo], Some(("argocd-controller", "Apply")));
        check(
            &[argo, ("kubectl", "Apply", None, Some(9))],
            Some(("argocd-controller", "Apply")),
        );
        check(
            &[
                ("kubectl-edit", "Update", None, Some(9)),
                ("flux", "Update", None, None),
            ],
            Some(("flux", "Update")),
        );
        check(
            &[
                argo,
                ("kustomize-controller", "Apply", None, Some(2)),
                ("kubectl", "Update", None, Some(3)),
            ],
            Some(("kustomize-controller", "Apply")),
        );
        check(
            &[("flyball", "Update", Some("scale"), None), argo],
            Some(("argocd-controller", "Apply")),
        );
        check(&[("flyball", "Update", Some("scale"), None)], None);
        check(&[("kubectl", "Update", Some("scale"), None)], None);
        check(&[], None);
    }

    #[test]
    fn who_wrote_last_is_never_ourselves() {
        let check = |owners: &[_], expect: Option<&str>| {
            let found = owned(owners).manager;
            assert_eq!(found.as_ref().map(|(manager, _)| &**manager), expect, "{owners:?}");
        };
        check(&[("flyball", "Update", Some("scale"), None)], None);
        check(
            &[
                ("flyball", "Update", None, Some(9)),
                ("kubectl", "Update", None, Some(1)),
            ],
            Some("kubectl"),
        );
        check(&[("kubectl", "Update", Some("scale"), None)], Some("kubectl"));
        check(
            &[("kubectl", "Apply", None, Some(2)), ("helm", "Apply", None, Some(1))],
            Some("kubectl"),
        );
    }

    #[test]
    fn replicas_are_defaulted_or_refused() {
        let value = |spec: Value| {
            Snapshot::of(&deployment(&spec, &json!({})))
                .map(|seen| seen.target.value.get())
                .ok()
        };
        assert_eq!(value(json!({})), Some(1));
        assert_eq!(value(json!({"replicas": 0})), Some(0));
        assert_eq!(value(json!({"replicas": 2_147_483_647})), None);
        assert_eq!(value(json!({"replicas": -1})), None);
    }

    #[test]
    fn what_the_controller_counts_is_known_once_it_has_looked() {
        let observed = |status: Value| {
            let mut object = deployment(&json!({}), &json!({}));
            object.data["status"] = status;
            strip(&mut object);
            Snapshot::of(&object).expect("a snapshot").observed.map(Replicas::get)
        };
        assert_eq!(observed(json!({})), None);
        assert_eq!(observed(json!({"observedGeneration": 1})), Some(0));
        assert_eq!(observed(json!({"observedGeneration": 1, "replicas": 7})), Some(7));
        assert_eq!(observed(json!({"replicas": 3})), Some(3));
    }

    #[test]
    fn pauses_are_seen() {
        let paused = |spec: Value, annotations: Value| {
            Snapshot::of(&deployment(&spec, &annotations))
                .expect("a snapshot")
                .paused
                .is_some()
        };
        assert!(paused(json!({"paused": true}), json!({})));
        assert!(paused(json!({}), json!({"flyball.dev/paused": "true"})));
        assert!(!paused(json!({}), json!({"flyball.dev/paused": "false"})));
    }
}

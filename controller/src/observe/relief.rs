//! One pod as the API server has it, for what relieves it: its memory, its stamp, and what its node says of a resize.

use super::quantity::milli;
use crate::client::{CallError, CallKind, WRITE_LIMIT, within};
use flyball_core::{
    bytes::Bytes,
    decide::ReliefContainer,
    policy::{PodMemory, PodState},
    transaction::Target,
    verify::Given,
};
use flyball_crds::{FIELD_MANAGER, PAUSE_ANNOTATION, STAMP_ANNOTATION};
use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, Pod, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;
use tokio::time::Instant;

const MEMORY: &str = "memory";
/// Its node can't carry a resize out now, or never; the reason says which.
const PENDING: &str = "PodResizePending";
/// Its node is about to.
const IN_PROGRESS: &str = "PodResizeInProgress";
/// What the node has not, and never will have.
const INFEASIBLE: &str = "Infeasible";

/// Reads a pod, asked once; `None`: there is none of this name.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<Pod>, CallError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match within(Instant::now() + WRITE_LIMIT, api.get(name)).await {
        Ok(pod) => Ok(Some(pod)),
        Err(error) if error.kind() == CallKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether it has ended, or is about to.
pub fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether a person paused it.
pub fn is_paused(pod: &Pod) -> bool {
    pod.annotations()
        .get(PAUSE_ANNOTATION)
        .is_some_and(|value| value != "false")
}

/// The pod as a transaction on it sees it: the memory of a container, or whether it is there.
pub fn target_of(pod: &Pod, container: Option<&str>) -> Target<PodState, String> {
    let value = match container {
        None if is_over(pod) => PodState::Evicted,
        None => PodState::There,
        // One that has no limit any more is somebody else's doing, and no state of ours.
        Some(name) => named(pod, name)
            .and_then(memory)
            .map_or(PodState::There, PodState::Memory),
    };
    Target {
        value,
        version: pod.resource_version().unwrap_or_default(),
        stamp: pod
            .annotations()
            .get(STAMP_ANNOTATION)
            .and_then(|text| text.parse().ok()),
    }
}

/// The container that is short of memory: the one that is written, else the one that alerts name, else the only one.
pub fn container_of(pod: &Pod, written: Option<&str>, alerted: Option<&str>) -> Result<ReliefContainer, String> {
    let all = pod.spec.as_ref().map_or(&[][..], |spec| spec.containers.as_slice());
    if pod.spec.as_ref().is_some_and(|spec| spec.resources.is_some()) {
        return Err("it has resources of the pod as a whole, which are not raised".to_owned());
    }
    let names = || {
        let names: Vec<&str> = all.iter().map(|container| container.name.as_str()).collect();
        names.join(", ")
    };
    let container = match (written.or(alerted), all) {
        (Some(name), _) => named(pod, name).ok_or_else(|| format!("it has no container {name}, but {}", names()))?,
        (None, [only]) => only,
        (None, _) => {
            return Err(format!(
                "it has the containers {}, and neither resize.container nor a label container says which",
                names()
            ));
        }
    };
    let restarts = container
        .resize_policy
        .iter()
        .flatten()
        .any(|policy| policy.resource_name == MEMORY && policy.restart_policy == "RestartContainer");
    let pending = match given(pod, &container.name) {
        Given::Yes => None,
        Given::NotYet(why) | Given::Never(why) => Some(why),
    };
    Ok(ReliefContainer {
        name: container.name.clone(),
        memory: memory(container),
        restarts,
        pending,
    })
}

/// Whether its node gives a container the limit that the pod's spec has.
pub fn given(pod: &Pod, container: &str) -> Given {
    let wanted = named(pod, container).and_then(memory).map(|memory| memory.limit);
    let has = status(pod, container)
        .and_then(|status| limit(status.resources.as_ref()?))
        .map(|milli| milli.div_euclid(1000));
    let has = has.and_then(|bytes| u64::try_from(bytes).ok()).and_then(Bytes::new);
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut conditions = conditions.filter(|condition| condition.status == "True");
    let said = |condition: &k8s_openapi::api::core::v1::PodCondition| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{} {}", text(&condition.reason), text(&condition.message))
    };
    let pending = conditions.find(|condition| matches!(condition.type_.as_str(), PENDING | IN_PROGRESS));
    match pending {
        _ if wanted.is_some() && has == wanted => Given::Yes,
        Some(condition) if condition.type_ == PENDING && condition.reason.as_deref() == Some(INFEASIBLE) => {
            Given::Never(crate::text::clean(said(condition)))
        }
        Some(condition) => Given::NotYet(crate::text::clean(said(condition))),
        None => Given::NotYet(has.map_or_else(
            || "its node does not say what it has".to_owned(),
            |has| format!("it has {has}"),
        )),
    }
}

/// How often a container was restarted.
pub fn restarts(pod: &Pod, container: &str) -> i32 {
    status(pod, container).map_or(0, |status| status.restart_count)
}

/// Who resized it last, ourselves left out.
pub fn resizer(pod: &Pod) -> Option<String> {
    let all = pod.metadata.managed_fields.iter().flatten();
    let others = all.filter(|entry| {
        entry.subresource.as_deref() == Some("resize") && entry.manager.as_deref() != Some(FIELD_MANAGER)
    });
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    last.manager.clone()
}

fn named<'p>(pod: &'p Pod, name: &str) -> Option<&'p Container> {
    let mut containers = pod.spec.as_ref()?.containers.iter();
    containers.find(|container| container.name == name)
}

fn status<'p>(pod: &'p Pod, name: &str) -> Option<&'p ContainerStatus> {
    let mut statuses = pod.status.as_ref()?.container_statuses.iter().flatten();
    statuses.find(|status| status.name == name)
}

fn memory(container: &Container) -> Option<PodMemory> {
    let resources = container.resources.as_ref()?;
    let bytes = |amounts: Option<&BTreeMap<String, Quantity>>| {
        let milli = u64::try_from(milli(&amounts?.get(MEMORY)?.0)?).ok()?;
        Bytes::new(milli.div_ceil(1000))
    };
    Some(PodMemory {
        limit: bytes(resources.limits.as_ref())?,
        request: bytes(resources.requests.as_ref()),
    })
}

fn limit(resources: &ResourceRequirements) -> Option<i64> {
    milli(&resources.limits.as_ref()?.get(MEMORY)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A pod with the container `app` that may have 80Mi, and what is changed of it.
    fn pod(change: &Value) -> Pod {
        let mut whole = json!({
            "metadata": {"name": "web-1", "uid": "u-1", "resourceVersion": "7", "annotations": {}},
            "spec": {"containers": [{
                "name": "app", "resources": {"limits": {"memory": "80Mi"}, "requests": {"memory": "80Mi"}},
            }]},
            "status": {"phase": "Running", "containerStatuses": [{
                "name": "app", "ready": true, "image": "", "imageID": "", "restartCount": 2,
                "resources": {"limits": {"memory": "80Mi"}},
            }]},
        });
        for (path, value) in change.as_object().expect("an object") {
            let (parent, key) = path.rsplit_once('/').expect("a path");
            whole.pointer_mut(parent).expect("a parent")[key] = value.clone();
        }
        serde_json::from_value(whole).expect("a pod")
    }

    #[test]
    fn the_memory_is_that_of_its_container_and_the_stamp_the_pods() {
        let check = |change: Value, container: Option<&str>, expect: &str| {
            let target = target_of(&pod(&change), container);
            let stamp = target.stamp.map(|stamp| stamp.to_string()).unwrap_or_default();
            assert_eq!(format!("{} {stamp}", target.value.record()).trim(), expect, "{change}");
            assert_eq!(target.version, "7");
        };
        let of = "limit=83886080 request=83886080";
        check(json!({}), Some("app"), of);
        check(
            json!({"/metadata/annotations": {"flyball.dev/stamp": "sequence=3,attempt=1"}}),
            Some("app"),
            &format!("{of} sequence=3,attempt=1"),
        );
        check(
            json!({"/metadata/annotations": {"flyball.dev/stamp": "x"}}),
            Some("app"),
            of,
        );
        let resources = "/spec/containers/0/resources";
        check(
            json!({resources: {"limits": {"memory": "80Mi"}}}),
            Some("app"),
            "limit=83886080",
        );
        check(json!({resources: {}}), Some("app"), "there");
        check(json!({}), Some("other"), "there");
        check(json!({}), None, "there");
        check(
            json!({"/metadata/deletionTimestamp": "2026-01-01T00:00:00Z"}),
            None,
            "evicted",
        );
        check(json!({"/status/phase": "Failed"}), None, "evicted");
    }

    #[test]
    fn a_node_gives_what_its_status_says_and_nothing_less() {
        let check = |change: Value, expect: &str| {
            let found = match given(&pod(&change), "app") {
                Given::Yes => "yes".to_owned(),
                Given::NotYet(why) => format!("not yet: {why}"),
                Given::Never(why) => format!("never: {why}"),
            };
            assert_eq!(found, expect, "{change}");
        };
        check(json!({}), "yes");
        let has = "/status/containerStatuses/0/resources";
        let less = json!({"limits": {"memory": "64Mi"}});
        check(json!({has: less.clone()}), "not yet: it has 64 MiB");
        check(json!({has: {}}), "not yet: its node does not say what it has");
        let says = |kind: &str, reason: &str| {
            let condition = json!({"type": kind, "status": "True", "reason": reason, "message": "too much"});
            json!({has: less.clone(), "/status/conditions": [condition]})
        };
        check(says("PodResizePending", "Deferred"), "not yet: Deferred too much");
        check(says("PodResizePending", "Infeasible"), "never: Infeasible too much");
        check(says("PodResizeInProgress", "Error"), "not yet: Error too much");
        check(says("Ready", "Infeasible"), "not yet: it has 64 MiB");
    }

    #[test]
    fn the_container_is_the_one_that_is_written_or_named_or_the_only_one() {
        let two = json!({"/spec/containers": [{"name": "app"}, {"name": "proxy"}]});
        let check = |change: &Value, written: Option<&str>, alerted: Option<&str>, expect: Result<&str, &str>| {
            let found = container_of(&pod(change), written, alerted);
            match (&found, expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found.name, expect),
                (Err(found), Err(expect)) => assert!(found.starts_with(expect), "{found}"),
                _ => panic!("{found:?} {expect:?}"),
            }
        };
        check(&json!({}), None, None, Ok("app"));
        check(&two, Some("proxy"), Some("app"), Ok("proxy"));
        check(&two, None, Some("app"), Ok("app"));
        check(&two, None, None, Err("it has the containers app, proxy"));
        check(
            &json!({}),
            Some("other"),
            None,
            Err("it has no container other, but app"),
        );
        check(
            &json!({"/spec/resources": {"limits": {"memory": "1Gi"}}}),
            None,
            None,
            Err("it has resources of the pod as a whole"),
        );
        let restarts = |what: &str| {
            let policy = json!([{"resourceName": "memory", "restartPolicy": what}]);
            container_of(&pod(&json!({"/spec/containers/0/resizePolicy": policy})), None, None)
        };
        assert!(restarts("RestartContainer").expect("a container").restarts);
        assert!(!restarts("NotRequired").expect("a container").restarts);
    }
}

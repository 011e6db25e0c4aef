//! Who else sets a target's number of replicas.

use super::{cluster::Cluster, target::Snapshot};
use flyball_core::check::Owner;
use flyball_crds::{FeedbackPolicy, Mode, TargetRef};
use kube::{ResourceExt, api::DynamicObject, runtime::reflector::Store};
use serde_json::Value;

/// The owners of `spec.replicas` beside the policy itself.
pub fn of(cluster: &Cluster, policy: &FeedbackPolicy, snapshot: Option<&Snapshot>) -> Vec<Owner> {
    let namespace = policy.namespace().unwrap_or_default();
    let target = &policy.spec.target_ref;
    let mut owners = Vec::new();
    for autoscaler in cluster.autoscalers.state() {
        let Some(spec) = &autoscaler.spec else { continue };
        let scaled = &spec.scale_target_ref;
        let same = autoscaler.namespace().as_deref() == Some(namespace.as_str())
            && same_target(target, scaled.api_version.as_deref(), Some(&scaled.kind), &scaled.name);
        if same {
            owners.push(Owner::HorizontalPodAutoscaler(autoscaler.name_any()));
        }
    }
    for object in cluster.scaled_objects.get().iter().flat_map(Store::state) {
        if object.namespace().as_deref() == Some(namespace.as_str()) && scales(&object, target) {
            owners.push(Owner::ScaledObject(object.name_any()));
        }
    }
    let others = cluster.policies.state();
    let rivals = others.iter().filter(|other| {
        other.namespace().as_deref() == Some(namespace.as_str())
            && other.spec.target_ref == *target
            && comes_before(other, policy)
    });
    for rival in rivals {
        let action = rival.spec.actions.iter().find(|action| action.replicas.is_some());
        if let Some(action) = action {
            owners.push(Owner::Policy {
                namespace: namespace.clone(),
                name: rival.name_any(),
                action: action.name.clone(),
            });
        }
    }
    if let Some((manager, operation)) = snapshot.and_then(|snapshot| snapshot.gitops_owner.clone()) {
        owners.push(Owner::FieldManager { manager, operation });
    }
    owners
}

/// The name of a HorizontalPodAutoscaler of a target that counts memory.
pub(crate) fn counts_memory(cluster: &Cluster, namespace: &str, target: &TargetRef) -> Option<String> {
    let autoscalers = cluster.autoscalers.state();
    let one = autoscalers.iter().find(|autoscaler| {
        let Some(spec) = &autoscaler.spec else { return false };
        let scaled = &spec.scale_target_ref;
        let same = autoscaler.namespace().as_deref() == Some(namespace)
            && same_target(target, scaled.api_version.as_deref(), Some(&scaled.kind), &scaled.name);
        let mut metrics = spec.metrics.iter().flatten();
        same && metrics.any(|metric| {
            let resource = metric.resource.as_ref().map(|resource| resource.name.as_str());
            let container = metric.container_resource.as_ref();
            resource.or_else(|| container.map(|resource| resource.name.as_str())) == Some("memory")
        })
    })?;
    Some(one.name_any())
}

/// Of two policies on one field the one that may write comes before one that may not, and of two
/// that may the older one.
pub(crate) fn comes_before(other: &FeedbackPolicy, policy: &FeedbackPolicy) -> bool {
    let writes = |policy: &FeedbackPolicy| policy.spec.mode == Mode::Enforce && !policy.spec.suspend;
    let age = |policy: &FeedbackPolicy| {
        (
            policy.creation_timestamp().map(|time| time.0),
            policy.uid().unwrap_or_default(),
        )
    };
    other.uid() != policy.uid() && writes(other) && (!writes(policy) || age(other) < age(policy))
}

/// Whether a HorizontalPodAutoscaler or a ScaledObject moves this target.
pub(crate) fn scales(object: &DynamicObject, target: &TargetRef) -> bool {
    let text = |path: &str| object.data.pointer(path).and_then(Value::as_str);
    text("/spec/scaleTargetRef/name").is_some_and(|name| {
        same_target(
            target,
            text("/spec/scaleTargetRef/apiVersion"),
            text("/spec/scaleTargetRef/kind"),
            name,
        )
    })
}

/// Absent version and kind mean a Deployment, as KEDA defaults them. The version within a group is
/// the same object, so only groups are compared.
pub(crate) fn same_target(target: &TargetRef, api_version: Option<&str>, kind: Option<&str>, name: &str) -> bool {
    let group = |version: &str| version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
    target.name == name
        && target.kind == kind.unwrap_or("Deployment")
        && group(&target.api_version) == group(api_version.unwrap_or("apps/v1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_the_same_whatever_its_version() {
        let target = TargetRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "web".into(),
        };
        let check = |version, kind, name, expect| assert_eq!(same_target(&target, version, kind, name), expect);
        check(Some("apps/v1"), Some("Deployment"), "web", true);
        check(Some("apps/v1beta2"), Some("Deployment"), "web", true);
        check(None, None, "web", true);
        check(Some("apps/v1"), Some("StatefulSet"), "web", false);
        check(Some("apps/v1"), Some("Deployment"), "api", false);
        check(Some("extensions/v1"), Some("Deployment"), "web", false);
    }
}

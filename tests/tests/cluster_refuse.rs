//! What is refused leaves the target as it was, and says why.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{CheckVerdict, FIELD_MANAGER, FeedbackPolicy, Phase, STAMP_ANNOTATION};
use flyball_tests::{
    bed::{Bed, bed, eventually},
    proxy::Proxy,
    world::{World, condition, message_of, objects, phase_of},
};
use k8s_openapi::api::{
    core::v1::Event,
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

/// A policy that is slow, on a workload of its own name.
fn policy(world: &World, name: &str) -> Value {
    objects::with(
        objects::policy(name, &world.namespace),
        "/spec/targetRef/name",
        json!(name),
    )
}

/// What the policy says of itself: its condition and its last decision's refusals.
fn says(policy: &FeedbackPolicy) -> String {
    let (_, reason, message) = condition(policy, "Ready").unwrap_or_default();
    let status = policy.status.clone().unwrap_or_default();
    let decision = status.actions.first().and_then(|action| action.last_decision.clone());
    let checks = decision.into_iter().flat_map(|decision| decision.checks);
    let refused = checks
        .filter(|check| check.verdict == CheckVerdict::Refused)
        .map(|check| format!("{}: {}", check.name, check.message));
    format!(
        "{reason}: {message}; {}; {}; {}",
        status.doing,
        status.why,
        refused.collect::<Vec<_>>().join("; ")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_names_its_reason_and_writes_nothing() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "refuse").await;
    world.prometheus.value("latency", 0.9);
    for name in ["autoscaled", "shared", "stopped", "marked", "full", "zero"] {
        world.create(&objects::workload("Deployment", name, 2)).await;
    }
    let patch = async |name: &str, patch: Value| {
        let parameters = PatchParams::default();
        world
            .any("apps/v1", "Deployment")
            .patch(name, &parameters, &Patch::Merge(patch))
            .await
            .unwrap();
    };
    patch("stopped", json!({"spec": {"paused": true}})).await;
    patch(
        "marked",
        json!({"metadata": {"annotations": {"flyball.dev/paused": "true"}}}),
    )
    .await;
    patch("zero", json!({"spec": {"replicas": 0}})).await;
    world
        .create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}))
        .await;
    world
        .create(&json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "rival"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "autoscaled"},
                "minReplicas": 2, "maxReplicas": 5,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
            },
        }))
        .await;
    // The older policy has nothing to do; the younger one may not do it in its place.
    let older = objects::with(policy(&world, "older"), "/spec/targetRef/name", json!("shared"));
    world
        .apply(&objects::with(older, "/spec/rules/0/expr", json!("calm > 0.5")))
        .await;
    // Objects are as old as whole seconds tell.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for name in ["autoscaled", "shared", "stopped", "marked", "zero", "missing"] {
        world.apply(&policy(&world, name)).await;
    }
    world
        .apply(&objects::with(
            policy(&world, "full"),
            "/spec/actions/0/replicas/max",
            json!(2),
        ))
        .await;
    let other = objects::with(policy(&world, "settings"), "/spec/targetRef/kind", json!("ConfigMap"));
    // Enforce of an unknown kind is refused by the API server already, where the admission policies are installed.
    let other = objects::with(other, "/spec/mode", json!("Recommend"));
    world
        .apply(&objects::with(other, "/spec/targetRef/apiVersion", json!("v1")))
        .await;
    let _controller = world.controller("one");
    for (name, why) in [
        ("autoscaled", "HorizontalPodAutoscaler rival"),
        ("shared", "older"),
        ("stopped", "spec.paused"),
        ("marked", "flyball.dev/paused"),
        ("zero", "scaled to zero by hand"),
        ("full", "max 2"),
        ("missing", "does not exist"),
        ("settings", "ConfigMap"),
    ] {
        world
            .policy(name, why, |policy| Some(says(policy)).filter(|says| says.contains(why)))
            .await;
    }
    let not_ready = |policy: &FeedbackPolicy| {
        condition(policy, "Ready")
            .filter(|(status, ..)| status == "False")
            .map(|(_, reason, _)| reason)
    };
    assert_eq!(
        world.policy("missing", "is not ready", not_ready).await,
        "TargetNotFound"
    );
    assert_eq!(
        world.policy("settings", "is not ready", not_ready).await,
        "KindNotAllowed"
    );
    assert_eq!(world.policy("shared", "is not ready", not_ready).await, "Conflict");
    assert_eq!(
        world.policy("autoscaled", "is not ready", not_ready).await,
        "OwnershipConflict"
    );
    let counts = world.proxy.counts();
    assert!(
        !counts.contains_key("PUT deployments/scale") && !counts.contains_key("PATCH deployments"),
        "{counts:?}"
    );
    let records = world.changes().await;
    assert!(
        records
            .iter()
            .all(|change| change.spec.sequence == 0 && phase_of(change) == Phase::Refused),
        "{records:?}"
    );
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recommendation_is_recorded_whole_and_touches_nothing() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "recommend").await;
    world.web(2).await;
    world.prometheus.value("latency", 0.9);
    world
        .apply(&objects::with(
            objects::policy("web", &world.namespace),
            "/spec/mode",
            json!("Recommend"),
        ))
        .await;
    let controller = world.controller("one");
    let change = eventually("it is recorded", async || {
        world
            .changes()
            .await
            .into_iter()
            .find(|change| phase_of(change) == Phase::Recommended)
    })
    .await;
    let spec = &change.spec;
    assert_eq!((spec.sequence, spec.before, spec.after), (0, 2, 3));
    let verification = spec.verification.as_ref().unwrap();
    assert_eq!(
        (verification.baseline_value, verification.baseline_demand),
        (Some(0.9), Some(100.0))
    );
    assert_eq!(spec.evidence.alerts.len(), 1);
    assert!(!spec.evidence.arithmetic.is_empty(), "{:?}", spec.evidence);
    let checks: Vec<_> = spec
        .evidence
        .checks
        .iter()
        .map(|check| (check.name.as_str(), check.verdict))
        .collect();
    assert_eq!(checks.last(), Some(&("DryRun", CheckVerdict::Passed)), "{checks:?}");
    assert!(message_of(&change).contains("would write 3"), "{}", message_of(&change));
    // It is said once, also by a controller that was started anew.
    let once = async || {
        let asked = world.prometheus.asked();
        eventually("further passes", async || {
            (world.prometheus.asked() > asked + 18).then_some(())
        })
        .await;
        assert_eq!(world.changes().await.len(), 1);
    };
    once().await;
    controller.kill();
    let _again = world.controller("one");
    once().await;
    // The target moves by itself, through its own controller; none of it is ours.
    let target = world.any("apps/v1", "Deployment").get("web").await.unwrap();
    assert!(!target.annotations().contains_key(STAMP_ANNOTATION));
    assert!(
        target
            .managed_fields()
            .iter()
            .all(|entry| entry.manager.as_deref() != Some(FIELD_MANAGER))
    );
    let counts = world.proxy.counts();
    assert!(
        !counts.contains_key("PUT deployments/scale") && !counts.contains_key("PATCH deployments"),
        "{counts:?}"
    );
    world.laws().await;
}

/// Everything a controller needs, but for the right to scale Deployments.
async fn limited(bed: &Bed) -> &'static str {
    let name = "flyball-tests-limited";
    let all = json!(["get", "list", "watch", "create", "update", "patch", "delete"]);
    let read = json!(["get", "list", "watch"]);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
        "rules": [
            {"apiGroups": ["flyball.dev"], "resources": ["*"], "verbs": all},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": all},
            {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["get", "list", "watch", "patch"]},
            {"apiGroups": ["autoscaling"], "resources": ["*"], "verbs": read},
            {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": read},
            {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": all},
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    });
    let parameters = PatchParams::apply("flyball-tests").force();
    Api::<ClusterRole>::all(bed.client.clone())
        .patch(name, &parameters, &Patch::Apply(role))
        .await
        .unwrap();
    Api::<ClusterRoleBinding>::all(bed.client.clone())
        .patch(name, &parameters, &Patch::Apply(binding))
        .await
        .unwrap();
    name
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_scale_the_write_fails_and_says_so() {
    let Some(bed) = bed().await else { return };
    let user = limited(&bed).await;
    let world = World::behind(&bed, "rights", Proxy::start(&bed.config, Some(user)).await).await;
    world.web(2).await;
    world.prometheus.value("latency", 0.9);
    world.apply(&objects::policy("web", &world.namespace)).await;
    let _controller = world.controller("one");
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Superseded, "{}", message_of(&change));
    assert!(
        message_of(&change).contains("refused the write"),
        "{}",
        message_of(&change)
    );
    let cause = change.status.as_ref().and_then(|status| status.cause);
    assert_eq!(cause, Some(flyball_crds::Cause::WriteRefused));
    let tried = change
        .spec
        .evidence
        .checks
        .iter()
        .find(|check| check.name == "DryRun")
        .unwrap();
    assert_eq!(tried.verdict, CheckVerdict::Skipped, "{}", tried.message);
    assert!(tried.message.contains("no right to try it"), "{}", tried.message);
    assert_eq!(world.replicas("Deployment", "web").await, 2);
    let events: Api<Event> = Api::namespaced(bed.client.clone(), &world.namespace);
    eventually("an Event tells of it", async || {
        let found = events.list(&kube::api::ListParams::default()).await.unwrap();
        found
            .items
            .iter()
            .any(|event| event.reason.as_deref() == Some("WriteFailed"))
            .then_some(())
    })
    .await;
    let writes = world.proxy.writes();
    let sent = writes
        .iter()
        .filter(|write| write.label == "PUT deployments/scale")
        .count();
    assert_eq!(sent, 1, "what is refused for good is not tried again and again");
    world.laws().await;
}

//! Several routes of one policy move together or not at all.

use super::{BASE, SHIFTED, bed_with_routes, named, world};
use flyball_crds::Phase;
use flyball_tests::{
    bed::eventually,
    world::{Answer, World, message_of, routes},
};
use serde_json::{Value, json};

fn policy(world: &World) -> Value {
    let mut policy = routes::step_policy("web", &world.namespace);
    policy["spec"]["actions"][0]["weights"]["also"] = json!([
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "mobile", "rule": "main"},
    ]);
    policy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_routes_move_in_one_change() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, _split) = world(&bed, "several").await;
    world.create(&routes::route("mobile", &BASE)).await;
    world.apply(&policy(&world)).await;
    let _controller = world.controller("one");
    world
        .prometheus
        .set("slow", Answer::Backends(vec![("b".to_owned(), 0.9)]));
    let change = world.closed(1).await;
    assert_eq!(
        change.status.as_ref().unwrap().phase,
        Phase::Committed,
        "{}",
        message_of(&change)
    );
    assert_eq!(change.spec.weights.as_ref().unwrap().lists.len(), 2);
    for route in ["web", "mobile"] {
        assert_eq!(world.weights(route).await, named(&SHIFTED), "{route}");
    }
}

/// An admission policy that lets no weight of the route `mobile` be anything but its base, and does not show in a
/// dry run.
fn refusing(world: &World) -> [Value; 2] {
    let name = format!("refuse-{}", world.namespace);
    [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
                    "resourceRules": [{
                        "apiGroups": ["gateway.networking.k8s.io"], "apiVersions": ["*"],
                        "operations": ["UPDATE"], "resources": ["httproutes"],
                    }],
                },
                "matchConditions": [
                    {"name": "mobile", "expression": "object.metadata.name == 'mobile'"},
                    {"name": "for-real", "expression": "!has(request.dryRun) || !request.dryRun"},
                ],
                "validations": [{
                    "expression": "object.spec.rules[1].backendRefs[0].weight == 500",
                    "message": "mobile stays as it is",
                }],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_one_route_can_not_be_written_the_others_go_back() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, _split) = world(&bed, "torn").await;
    world.create(&routes::route("mobile", &BASE)).await;
    for object in refusing(&world) {
        world.cluster_wide(&object).await;
    }
    // It takes a moment until a new admission policy counts.
    eventually("the admission policy refuses", async || {
        let patch = json!([{"op": "replace", "path": "/spec/rules/1/backendRefs/0/weight", "value": 499}]);
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        let api = world.any("gateway.networking.k8s.io/v1", "HTTPRoute");
        let patch = kube::api::Patch::Json::<()>(patch);
        let tried = api.patch("mobile", &kube::api::PatchParams::default(), &patch).await;
        tried.is_err().then_some(())
    })
    .await;
    world.weigh_if_needed("mobile", &[500, 250, 250]).await;
    world.apply(&policy(&world)).await;
    let _controller = world.controller("one");
    world
        .prometheus
        .set("slow", Answer::Backends(vec![("b".to_owned(), 0.9)]));
    let change = world.closed(1).await;
    let status = change.status.as_ref().unwrap();
    assert_eq!(status.phase, Phase::RolledBack, "{}", status.message);
    assert_eq!(status.verdict.as_ref().unwrap().result, "Torn");
    for route in ["web", "mobile"] {
        assert_eq!(world.weights(route).await, named(&BASE), "{route}");
    }
    // It is not tried again with each pass.
    let asked = world.prometheus.asked();
    eventually("further passes", async || {
        (world.prometheus.asked() > asked + 24).then_some(())
    })
    .await;
    assert_eq!(world.changes().await.len(), 1);
    for object in refusing(&world) {
        world.remove_cluster_wide(&object).await;
    }
}

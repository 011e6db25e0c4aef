//! What the admission policy of routes holds the controller's account to.

use super::server::{Server, eventually, said};
use flyball_crds::{FIELD_MANAGER, STAMP_ANNOTATION};
use flyball_tests::{bed::bed, gateway::Gateway, world::routes};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

const ONLY: &str = "flyball changes nothing of a route but the weights of its backends";
const ANNOTATION: &str = "flyball writes no annotation but flyball.dev/stamp, and takes none away";
const LABEL: &str = "flyball changes no label, owner or finalizer";
const NEITHER: &str = "flyball neither creates nor deletes routes";

fn grpc_route() -> Value {
    let backend = |name: &str, weight: i32| json!({"name": name, "port": 80, "weight": weight});
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "web"},
        "spec": {
            "hostnames": ["web.example.com"],
            "parentRefs": [{"name": "nowhere"}],
            "rules": [
                {"backendRefs": [backend("z", 1)]},
                {"name": "main", "matches": [{"method": {"service": "shop"}}], "backendRefs": [backend("a", 1), backend("b", 1)]},
            ],
        },
    })
}

/// What each kind has in the second rule that another does not.
async fn holds(server: &Server, route: Value, more: &[(&str, Value)]) {
    let kind = route["kind"].as_str().unwrap().to_owned();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", &kind));
    let admin: Api<DynamicObject> = Api::namespaced_with(server.admin.clone(), &server.namespace, &resource);
    let ours: Api<DynamicObject> = Api::namespaced_with(server.controller.clone(), &server.namespace, &resource);
    let object: DynamicObject = serde_json::from_value(route.clone()).unwrap();
    admin.create(&PostParams::default(), &object).await.unwrap();
    let dry = PatchParams {
        dry_run: true,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let add = async |path: &str, value: &Value| {
        let patch = json!([{"op": "add", "path": path, "value": value}]);
        let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
        said(ours.patch("web", &dry, &Patch::Json::<()>(patch)).await)
    };
    eventually("the admission policy is in force", async || {
        let refusal = add("/metadata/labels", &json!({"x": "y"})).await.err()?;
        refusal.contains(LABEL).then_some(())
    })
    .await;
    assert_eq!(add("/spec/rules/1/backendRefs/0/weight", &json!(7)).await, Ok(()));
    assert_eq!(
        add(
            "/metadata/annotations",
            &json!({STAMP_ANNOTATION: "sequence=1,attempt=0"})
        )
        .await,
        Ok(())
    );
    let backend = json!({"name": "evil", "port": 80, "weight": 1});
    let common = [
        ("/spec/hostnames/0", json!("evil.example.com")),
        ("/spec/parentRefs/0/name", json!("another")),
        ("/spec/rules/1/name", json!("other")),
        ("/spec/rules/1/backendRefs/0/name", json!("evil")),
        ("/spec/rules/1/backendRefs/0/port", json!(81)),
        ("/spec/rules/1/backendRefs/0/namespace", json!("elsewhere")),
        ("/spec/rules/1/backendRefs/-", backend.clone()),
        ("/spec/rules/-", json!({"backendRefs": [backend]})),
    ];
    for (path, value) in common.iter().chain(more) {
        let refusal = add(path, value).await.expect_err(path);
        assert!(refusal.contains(ONLY), "{path}: {refusal}");
    }
    let refusal = add("/metadata/annotations", &json!({"theirs": "1"}))
        .await
        .expect_err("an annotation");
    assert!(refusal.contains(ANNOTATION), "{refusal}");
    let other: DynamicObject = serde_json::from_value({
        let mut other = route;
        other["metadata"]["name"] = json!("other");
        other
    })
    .unwrap();
    // Neither does RBAC let it; whichever is asked first refuses.
    let made = said(ours.create(&PostParams::default(), &other).await).expect_err("made");
    let gone = said(ours.delete("web", &DeleteParams::default()).await).expect_err("deleted");
    for refusal in [made, gone] {
        assert!(refusal.contains(NEITHER) || refusal.contains("cannot"), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_route_only_stamp_and_weights_are_written() {
    let Some(bed) = bed().await else { return };
    let Some(_) = Gateway::up(&bed).await else { return };
    let Some(server) = Server::connect().await else { return };
    let http = [
        ("/spec/rules/1/matches/0/path/value", json!("/evil")),
        ("/spec/rules/1/filters", json!([])),
        ("/spec/rules/1/timeouts/request", json!("1s")),
        (
            "/spec/rules/1/backendRefs/0/filters",
            json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}]),
        ),
    ];
    let route = routes::route("web", &[("a", 1), ("b", 1)]);
    holds(&server, route, &http).await;
    let grpc = [("/spec/rules/1/matches/0/method/service", json!("evil"))];
    holds(&server, grpc_route(), &grpc).await;
    server.done().await;
}

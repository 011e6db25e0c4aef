//! Kinds beside HTTPRoute that the API server serves without more: what is written, and what is left alone.

use super::bed_with_routes;
use flyball_crds::Phase;
use flyball_tests::world::{Answer, World, message_of, routes};
use serde_json::{Value, json};

/// Moves 15 points from `b` in this object and compares all of it but for the weights, which `expect` names by
/// pointer.
async fn check(name: &str, object: Value, policy: impl Fn(&mut Value), expect: &[(&str, Value)]) {
    let Some(bed) = bed_with_routes().await else { return };
    let world = World::new(&bed, name).await;
    let text = |field: &str| object[field].as_str().unwrap().to_owned();
    let api = world.any(&text("apiVersion"), &text("kind"));
    let before = world.create(&object).await;
    world
        .prometheus
        .set("slow", Answer::Backends(vec![("b".to_owned(), 0.9)]));
    let shares = [("a", 500.0), ("b", 250.0)].map(|(name, rate)| (name.to_owned(), rate));
    world
        .prometheus
        .set("proxy_requests", Answer::Backends(shares.to_vec()));
    world.prometheus.set("proxy_errors", Answer::Empty);
    world.prometheus.value("failing", 0.0);
    let mut written = routes::step_policy("web", &world.namespace);
    written["spec"]["targetRef"] = json!({"apiVersion": text("apiVersion"), "kind": text("kind"), "name": "web"});
    policy(&mut written["spec"]["actions"][0]["weights"]);
    world.apply(&written).await;
    let _controller = world.controller("one");
    let change = world.phase(1, Phase::Verifying).await;
    let found = api.get("web").await.unwrap();
    let whole = |object: &kube::api::DynamicObject| {
        let mut whole = object.data.clone();
        whole["annotations"] = json!(object.metadata.annotations.clone().unwrap_or_default());
        whole["annotations"]
            .as_object_mut()
            .unwrap()
            .remove("flyball.dev/stamp");
        whole.as_object_mut().unwrap().remove("status");
        whole
    };
    let mut wanted = whole(&before);
    for (pointer, value) in expect {
        *wanted.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
    }
    assert_eq!(whole(&found), wanted, "{}", message_of(&change));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grpc_route() {
    let backend = |name: &str, weight: i32| json!({"name": name, "port": 80, "weight": weight});
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "web"},
        "spec": {
            "hostnames": ["web.example.com"],
            "parentRefs": [{"name": "nowhere"}],
            "rules": [
                {"name": "first", "backendRefs": [backend("a", 7)]},
                {
                    "name": "main",
                    "matches": [{"method": {"service": "shop.Cart"}}],
                    "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}],
                    "backendRefs": [backend("a", 500), backend("b", 250), backend("c", 250)],
                },
            ],
        },
    });
    let weight = |index: usize| format!("/spec/rules/1/backendRefs/{index}/weight");
    let (a, b, c) = (weight(0), weight(1), weight(2));
    let expect = [(&*a, json!(600)), (&*b, json!(100)), (&*c, json!(300))];
    check("grpc", route, |_| (), &expect).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_that_is_a_canary() {
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "web", "annotations": {
            "nginx.ingress.kubernetes.io/canary": "true",
            "nginx.ingress.kubernetes.io/canary-weight": "50",
            "example.com/theirs": "kept",
        }},
        "spec": {
            "ingressClassName": "nginx",
            "rules": [{"host": "web.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "b", "port": {"number": 80}}}},
            ]}}],
        },
    });
    let two = |lever: &mut Value| {
        lever.as_object_mut().unwrap().remove("rule");
        lever["backends"] = json!([{"name": "a", "weight": 50}, {"name": "b", "weight": 50}]);
    };
    // 50 - 15 points of 100.
    let expect = [("/annotations/nginx.ingress.kubernetes.io~1canary-weight", json!("35"))];
    check("ingress", ingress, two, &expect).await;
}

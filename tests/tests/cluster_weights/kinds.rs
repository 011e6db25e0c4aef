//! Kinds beside HTTPRoute that the API server serves without more: what is written, and what is left alone.

use super::bed_with_routes;
use flyball_crds::Phase;
use flyball_tests::world::{Answer, World, message_of, routes};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
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

/// Installs a definition from a Go module, whose content has this hash.
async fn define(bed: &flyball_tests::bed::Bed, (module, sum): (&str, &str), file: &str, name: &str) {
    let folder = std::env::temp_dir();
    let out = tokio::process::Command::new("go")
        .args(["mod", "download", "-json", module])
        .env("GOFLAGS", "-mod=mod")
        .current_dir(folder)
        .output()
        .await
        .expect("go, which the test bed is built with");
    let said: Value = serde_json::from_slice(&out.stdout).expect("what go says of a module");
    assert_eq!(said["Sum"], json!(sum), "{said}");
    let path = std::path::Path::new(said["Dir"].as_str().unwrap()).join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text);
    let found = documents
        .map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap())
        .find(|document| document["metadata"]["name"] == json!(name));
    let definition = found.unwrap_or_else(|| panic!("{name} in {}", path.display()));
    let api: kube::Api<CustomResourceDefinition> = kube::Api::all(bed.client.clone());
    let parameters = kube::api::PatchParams::apply("flyball-tests").force();
    api.patch(name, &parameters, &kube::api::Patch::Apply(definition))
        .await
        .unwrap();
    flyball_tests::bed::served(&bed.client, name).await;
}

/// The weights of three backends, which add up to 100, by their places.
fn of_three(list: &str) -> [(String, Value); 3] {
    [(0, 60), (1, 10), (2, 30)].map(|(index, weight)| (format!("{list}/{index}/weight"), json!(weight)))
}

fn base_of_100(lever: &mut Value) {
    lever["backends"] = json!([{"name": "a", "weight": 50}, {"name": "b", "weight": 25}, {"name": "c", "weight": 25}]);
}

fn pointers(expect: &[(String, Value)]) -> Vec<(&str, Value)> {
    expect
        .iter()
        .map(|(pointer, value)| (pointer.as_str(), value.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_virtual_service_of_istio() {
    let Some(bed) = bed_with_routes().await else { return };
    let module = (
        "istio.io/api@v1.32.0",
        "h1:37mJvg9I0biYZAEQF+MATs4FNeCpXEIVO3LFpVb6iNM=",
    );
    define(
        &bed,
        module,
        "kubernetes/customresourcedefinitions.gen.yaml",
        "virtualservices.networking.istio.io",
    )
    .await;
    let backend =
        |host: &str, weight: i32| json!({"destination": {"host": host, "port": {"number": 80}}, "weight": weight});
    let service = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "web"},
        "spec": {
            "hosts": ["web.example.com"],
            "http": [
                {"name": "first", "match": [{"uri": {"prefix": "/first"}}], "route": [backend("a", 100)]},
                {
                    "name": "main", "timeout": "5s", "retries": {"attempts": 2},
                    "route": [backend("a", 50), backend("b", 25), backend("c", 25)],
                },
            ],
        },
    });
    check(
        "istio",
        service,
        base_of_100,
        &pointers(&of_three("/spec/http/1/route")),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_proxy_of_contour() {
    let Some(bed) = bed_with_routes().await else { return };
    let module = (
        "github.com/projectcontour/contour@v1.33.8",
        "h1:QoOfwqWws+CVRFpsRC2+f1DmB5IdurtyUtepIsiWfE0=",
    );
    define(
        &bed,
        module,
        "examples/contour/01-crds.yaml",
        "httpproxies.projectcontour.io",
    )
    .await;
    let backend = |name: &str, weight: i32| json!({"name": name, "port": 80, "weight": weight});
    let proxy = json!({
        "apiVersion": "projectcontour.io/v1", "kind": "HTTPProxy", "metadata": {"name": "web"},
        "spec": {
            "virtualhost": {"fqdn": "web.example.com"},
            "routes": [
                {"conditions": [{"prefix": "/first"}], "services": [{"name": "a", "port": 80}]},
                {
                    "conditions": [{"prefix": "/"}], "timeoutPolicy": {"response": "5s"},
                    "services": [backend("a", 500), backend("b", 250), backend("c", 250)],
                },
            ],
        },
    });
    let by_place = |lever: &mut Value| {
        lever.as_object_mut().unwrap().remove("rule");
        lever["ruleIndex"] = json!(1);
    };
    let expect =
        of_three("/spec/routes/1/services").map(|(pointer, weight)| (pointer, json!(weight.as_i64().unwrap() * 10)));
    check("contour", proxy, by_place, &pointers(&expect)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_traefik() {
    let Some(bed) = bed_with_routes().await else { return };
    let module = (
        "github.com/traefik/traefik/v3@v3.7.13",
        "h1:T8wy9KuaFzCkmXCqAzDy7t73pBDR1DHrJe3pqXpNXTw=",
    );
    let file = "docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml";
    define(&bed, module, file, "traefikservices.traefik.io").await;
    let backend = |name: &str, weight: i32| json!({"name": name, "port": 80, "weight": weight});
    let service = json!({
        "apiVersion": "traefik.io/v1alpha1", "kind": "TraefikService", "metadata": {"name": "web"},
        "spec": {"weighted": {
            "sticky": {"cookie": {"name": "lb"}},
            "services": [backend("a", 500), backend("b", 250), backend("c", 250)],
        }},
    });
    let only = |lever: &mut Value| drop(lever.as_object_mut().unwrap().remove("rule"));
    let expect =
        of_three("/spec/weighted/services").map(|(pointer, weight)| (pointer, json!(weight.as_i64().unwrap() * 10)));
    check("traefik", service, only, &pointers(&expect)).await;
}

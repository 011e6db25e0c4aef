//! Room is read from the API server only when it is asked for, and not again with every pass.

#![allow(clippy::unwrap_used)]

use flyball_controller::observe::{
    headroom::{Rooms, Workload},
    nodes::{Node, Nodes},
    pods::Pods,
    source::install_crypto_provider,
    wire::PodWire,
};
use flyball_core::{check::Headroom, policy::Replicas};
use kube::{
    Client, Config,
    api::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

const POD: &str = "7f9a2c1e-0b7d-4c58-9a55-1f0e3d2c4b6a";

fn deployment() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"))
}

fn pod(name: &str, made: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "uid": POD, "labels": {"app": "web"}, "creationTimestamp": made,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u-1", "controller": true}],
        },
        "spec": {"nodeName": "one", "containers": [{"name": "web", "resources": {
            "requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "256Mi"},
        }}]},
        "status": {"phase": "Running"},
    })
}

/// An API server that answers a GET of each path, and expects it so many times.
async fn server(answers: Vec<(&str, u16, Value, u64)>) -> (MockServer, Client) {
    install_crypto_provider();
    let server = MockServer::start().await;
    for (at, status, body, times) in answers {
        Mock::given(method("GET"))
            .and(path(at))
            .respond_with(ResponseTemplate::new(status).set_body_json(body))
            .expect(times)
            .mount(&server)
            .await;
    }
    let mut config = Config::new(server.uri().parse().unwrap());
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    (server, client)
}

fn list(items: &Value) -> Value {
    json!({"metadata": {"resourceVersion": "1"}, "items": items})
}

fn refused() -> Value {
    json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no", "metadata": {}})
}

fn lines(rooms: &[Headroom]) -> Vec<String> {
    let line = |room: &Headroom| match &room.limit {
        Ok(limit) => format!("{}: {limit}", room.by),
        Err(why) => format!("{}: {why}", room.by),
    };
    rooms.iter().map(line).collect()
}

fn nodes() -> Nodes {
    let node = Node {
        cpu: 2_000,
        memory: (8 << 30) * 1000,
        pods: 110,
        open: true,
        ..Node::default()
    };
    Nodes::fixed([("one".to_owned(), node)])
}

const QUOTAS: &str = "/api/v1/namespaces/shop/resourcequotas";
const RANGES: &str = "/api/v1/namespaces/shop/limitranges";
const BUDGETS: &str = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets";

#[tokio::test]
async fn room_is_read_once_and_used_again() {
    let quota = json!({
        "metadata": {"name": "team"}, "spec": {"hard": {"requests.cpu": "4"}},
        "status": {"hard": {"requests.cpu": "4"}, "used": {"requests.cpu": "2500m"}},
    });
    let range =
        json!({"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Pod", "max": {"memory": "128Mi"}}]}});
    let budget = json!({
        "metadata": {"name": "web", "generation": 1},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    });
    let (_server, client) = server(vec![
        (QUOTAS, 200, list(&json!([quota])), 1),
        (RANGES, 200, list(&json!([range])), 1),
        (BUDGETS, 200, list(&json!([budget])), 1),
        (
            "/api/v1/namespaces/shop/pods/web-a",
            200,
            pod("web-a", "2026-01-01T00:00:00Z"),
            1,
        ),
    ])
    .await;
    let wire: PodWire = serde_json::from_value(pod("web-a", "2026-01-01T00:00:00Z")).unwrap();
    let (pods, resource, rooms) = (Pods::fixed(&[wire], &[]), deployment(), Rooms::new(client));
    let workload = Workload {
        namespace: "shop",
        name: "web",
        uid: "u-1",
        resource: &resource,
        current: Replicas::new(1).unwrap(),
    };
    for _ in 0..3 {
        let increase = rooms.for_increase(&pods, &nodes(), &workload).await;
        // One is there; 4 - 2.5 cores hold three more, the node's 2 - 0.5 cores too.
        assert_eq!(
            lines(&increase),
            ["LimitRange small: 1", "ResourceQuota team: 4", "node allocatable: 4"]
        );
        let decrease = rooms.for_decrease(&pods, &workload).await;
        assert_eq!(lines(&decrease), ["PodDisruptionBudget web: 2"]);
    }
}

#[tokio::test]
async fn without_pods_the_template_tells_and_what_may_not_be_read_is_unknown() {
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web"}]}});
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 0, "template": template},
    });
    let (_server, client) = server(vec![
        (QUOTAS, 403, refused(), 1),
        (RANGES, 200, list(&json!([])), 1),
        (BUDGETS, 403, refused(), 1),
        ("/apis/apps/v1/namespaces/shop/deployments/web", 200, object, 1),
    ])
    .await;
    let (resource, rooms) = (deployment(), Rooms::new(client));
    let workload = Workload {
        namespace: "shop",
        name: "web",
        uid: "u-1",
        resource: &resource,
        current: Replicas::new(0).unwrap(),
    };
    for _ in 0..2 {
        let increase = rooms.for_increase(&Pods::fixed(&[], &[]), &nodes(), &workload).await;
        let quota = "quota: no right to list resourcequotas; see flyball doctor";
        assert_eq!(lines(&increase), [quota, "node allocatable: 110"]);
        let increase = rooms.for_increase(&Pods::none(), &nodes(), &workload).await;
        let nodes = "node allocatable: nodes or pods may not be read; see flyball doctor";
        assert_eq!(lines(&increase), [quota, nodes]);
        let decrease = rooms.for_decrease(&Pods::none(), &workload).await;
        let budget = "PodDisruptionBudget: no right to list poddisruptionbudgets; see flyball doctor";
        assert_eq!(lines(&decrease), [budget]);
    }
}

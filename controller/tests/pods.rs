//! Pods are watched where they may be, and otherwise not known.

#![allow(clippy::unwrap_used)]

use flyball_controller::observe::{nodes::Nodes, pods::Pods, source::install_crypto_provider};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::time::Duration;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param, query_param_is_missing},
};

fn client(server: &MockServer) -> Client {
    install_crypto_provider();
    let mut config = Config::new(server.uri().parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Lists in two pages, and a watch that says one thing and then nothing.
async fn serve(server: &MockServer, at: &str, pages: [Value; 2], change: &Value) {
    let list = |items: &Value, next: &str| {
        let metadata = json!({"resourceVersion": "5", "continue": next});
        ResponseTemplate::new(200).set_body_json(json!({"metadata": metadata, "items": items}))
    };
    let [first, second] = pages;
    let get = || Mock::given(method("GET")).and(path(at));
    get()
        .and(query_param_is_missing("watch"))
        .and(query_param("continue", "more"))
        .respond_with(list(&second, ""))
        .mount(server)
        .await;
    get()
        .and(query_param_is_missing("watch"))
        .and(query_param_is_missing("continue"))
        .respond_with(list(&first, "more"))
        .mount(server)
        .await;
    let watch = || get().and(query_param("watch", "true"));
    watch()
        .and(query_param("resourceVersion", "5"))
        .respond_with(ResponseTemplate::new(200).set_body_string(format!("{change}\n")))
        .mount(server)
        .await;
    // What begins where the change ended.
    watch()
        .and(query_param("resourceVersion", "6"))
        .respond_with(ResponseTemplate::new(200).set_delay(Duration::from_secs(600)))
        .mount(server)
        .await;
}

fn pod(name: &str, uid: &str, owner: &str, version: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "uid": uid, "resourceVersion": version,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": owner, "controller": true}],
        },
        "spec": {"nodeName": "one", "containers": [{"name": "web", "resources": {"requests": {"cpu": "250m"}}}]},
        "status": {"phase": "Running"},
    })
}

fn set(uid: &str, owner: &str, version: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": uid, "resourceVersion": version,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner, "controller": true}],
        },
        "spec": {"replicas": 2, "template": {"spec": {}}},
        "status": {"replicas": 2},
    })
}

fn names(pods: &Pods, owner: &str) -> Option<Vec<String>> {
    Some(pods.of(owner)?.0.into_iter().map(|pod| pod.name).collect())
}

#[tokio::test]
async fn pods_are_those_of_the_list_and_of_every_change() {
    let server = MockServer::start().await;
    let added = json!({"type": "ADDED", "object": pod("web-c", "p-3", "r-1", "6")});
    let pages = [
        json!([pod("web-a", "p-1", "r-1", "2")]),
        json!([pod("web-b", "p-2", "r-1", "3"), pod("other", "p-9", "r-9", "4")]),
    ];
    serve(&server, "/api/v1/pods", pages, &added).await;
    let unchanged = json!({"type": "MODIFIED", "object": set("r-1", "d-1", "6")});
    let pages = [json!([set("r-1", "d-1", "2")]), json!([])];
    serve(&server, "/apis/apps/v1/replicasets", pages, &unchanged).await;
    let pods = Pods::watch(&client(&server), None);
    assert_eq!(names(&pods, "d-1"), None, "the lists are not in");
    pods.settled().await;
    // The change comes a moment after the lists.
    for _ in 0..500 {
        if pods.count() == 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(names(&pods, "d-1").unwrap(), ["web-a", "web-b", "web-c"]);
    assert_eq!(names(&pods, "r-9").unwrap(), ["other"]);
    let held = pods.held(["one", "two"]);
    assert_eq!((held[0].pods, held[0].cpu, held[1].pods), (4, 1000, 0));
}

#[tokio::test]
async fn what_may_not_be_read_is_not_known_and_nothing_waits_for_it() {
    let server = MockServer::start().await;
    let refused = json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no", "metadata": {}});
    let refused = ResponseTemplate::new(403).set_body_json(refused);
    for at in ["/api/v1/namespaces/shop/pods", "/api/v1/nodes"] {
        Mock::given(path(at)).respond_with(refused.clone()).mount(&server).await;
    }
    let nothing = json!({"type": "MODIFIED", "object": set("r-1", "d-1", "6")});
    let sets = "/apis/apps/v1/namespaces/shop/replicasets";
    serve(&server, sets, [json!([set("r-1", "d-1", "2")]), json!([])], &nothing).await;
    let (pods, nodes) = (
        Pods::watch(&client(&server), Some("shop")),
        Nodes::watch(&client(&server)),
    );
    pods.settled().await;
    assert_eq!((names(&pods, "d-1"), pods.scope()), (None, Some("shop")));
    assert_eq!(
        pods.templates("d-1").map(|all| all.len()),
        Some(1),
        "ReplicaSets may be read"
    );
    assert!(nodes.all().is_none());
    let asked = server.received_requests().await.unwrap();
    let refused = asked
        .iter()
        .filter(|request| request.url.path().ends_with("/pods"))
        .count();
    assert_eq!(refused, 1, "a refusal is not asked for again at once");
}

//! What pods use is read from metrics.k8s.io, and belongs to the pods of the target only.

#![allow(clippy::unwrap_used)]

use flyball_controller::observe::{pods::Pods, source::install_crypto_provider, usage, wire::PodWire};
use flyball_core::{
    decide::{self, Usage},
    policy::{Resource, ResourceOf},
};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::TcpListener};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param},
};

const CPU: ResourceOf = ResourceOf {
    resource: Resource::Cpu,
    container: None,
};

/// The target's one pod, `web-a`.
fn pods() -> decide::Pods {
    let pod: PodWire = serde_json::from_value(json!({
        "metadata": {"name": "web-a", "uid": "p-1", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "u-1", "controller": true},
        ]},
        "spec": {"containers": [{"name": "web"}]},
        "status": {"phase": "Running"},
    }))
    .unwrap();
    Pods::fixed(&[pod], &[]).of("u-1").unwrap()
}

/// A client that sends every request once.
fn client(url: &str) -> Client {
    let mut config = Config::new(url.parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

async fn asked(answer: ResponseTemplate, selector: Option<&str>, pods: Option<&decide::Pods>) -> Usage {
    install_crypto_provider();
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"))
        .and(query_param("labelSelector", "app=web,track notin (canary)"))
        .respond_with(answer)
        .expect(u64::from(selector.is_some() && pods.is_some()))
        .mount(&server)
        .await;
    let client = client(&server.uri());
    let read = usage::of(&client, "shop", selector, pods, BTreeSet::from([CPU])).await;
    read.into_values().next().unwrap()
}

const SELECTOR: Option<&str> = Some("app=web,track notin (canary)");

fn item(name: &str, cpu: &str) -> Value {
    json!({
        "metadata": {"name": name}, "timestamp": "2026-01-01T00:00:30Z", "window": "30s",
        "containers": [{"name": "web", "usage": {"cpu": cpu, "memory": "1Mi"}}],
    })
}

#[tokio::test]
async fn only_the_targets_own_pods_count() {
    let list =
        json!({"kind": "PodMetricsList", "metadata": {}, "items": [item("web-a", "250m"), item("other-a", "2")]});
    let answer = ResponseTemplate::new(200).set_body_json(list);
    let usage = asked(answer, SELECTOR, Some(&pods())).await.unwrap();
    let seen: Vec<_> = usage.iter().map(|(name, usage)| (name.as_str(), usage.milli)).collect();
    assert_eq!(seen, [("web-a", 250)]);
    let others = json!({"items": [item("other-a", "2")]});
    let answer = ResponseTemplate::new(200).set_body_json(others);
    let why = asked(answer, SELECTOR, Some(&pods())).await.unwrap_err();
    assert_eq!(why, "metrics.k8s.io tells of none of the target's pods");
}

#[tokio::test]
async fn what_can_not_be_read_is_said_with_a_way_out() {
    let status = |code: u16| {
        let body =
            json!({"kind": "Status", "status": "Failure", "reason": "r", "code": code, "message": "m", "metadata": {}});
        ResponseTemplate::new(code).set_body_json(body)
    };
    let check = |why: Usage, expect: &str| {
        let why = why.unwrap_err();
        assert!(why.starts_with(expect), "{why}");
    };
    let pods = pods();
    // An API that is not installed is answered for in plain text.
    let plain = ResponseTemplate::new(404).set_body_string("404 page not found\n");
    check(
        asked(plain, SELECTOR, Some(&pods)).await,
        "the API metrics.k8s.io is not installed",
    );
    check(
        asked(status(403), SELECTOR, Some(&pods)).await,
        "no right to list pods of metrics.k8s.io",
    );
    check(
        asked(status(503), SELECTOR, Some(&pods)).await,
        "metrics.k8s.io is not available",
    );
    check(
        asked(status(200), None, Some(&pods)).await,
        "the target has no label selector",
    );
    check(
        asked(status(200), SELECTOR, None).await,
        "the target's pods are not known",
    );
}

/// The paused clock stands at the deadline as soon as everything waits for the answer.
#[tokio::test(start_paused = true)]
async fn a_pass_does_not_wait_for_ever() {
    install_crypto_provider();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(&format!("http://{}", silent.local_addr().unwrap()));
    let read = usage::of(&client, "shop", SELECTOR, Some(&pods()), BTreeSet::from([CPU])).await;
    assert_eq!(read[&CPU], Err("no answer from metrics.k8s.io within 5 s".to_owned()));
}

#[tokio::test]
async fn nothing_is_asked_where_nothing_is_needed() {
    install_crypto_provider();
    let client = client("http://127.0.0.1:9");
    let read = usage::of(&client, "shop", SELECTOR, Some(&pods()), BTreeSet::new()).await;
    assert!(read.is_empty());
}

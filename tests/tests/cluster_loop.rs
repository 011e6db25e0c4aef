//! The whole loop with nothing replaced: a service that saturates, its load, a Prometheus, and the
//! rule as people write it, with shorter times.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{Direction, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{bed, eventually, unique},
    world::{World, message_of, phase_of},
};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{path::PathBuf, process::Command};

const ACCOUNTS: &str = include_str!("../demo/manifests/namespace.yaml");
const SERVICE: &str = include_str!("../demo/manifests/checkout.yaml");
const LOAD: &str = include_str!("../demo/manifests/load.yaml");

/// The objects of a template.
fn filled(template: &str, namespace: &str, values: &[(&str, &str)]) -> Vec<Value> {
    let fixed = [
        ("NAMESPACE", namespace),
        ("IMAGE", "flyball.dev/demo:dev"),
        ("PULL", "Never"),
        ("SERVICE", "checkout"),
    ];
    let text = fixed
        .iter()
        .chain(values)
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value)
        });
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| object["kind"] != json!("Namespace"))
        .collect()
}

/// Any object, also of kinds whose plural is not just an `s` more.
async fn apply(world: &World, object: &Value) {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let (resource, _) = kube::discovery::pinned_kind(&world.bed.client, &gvk).await.unwrap();
    let api: Api<DynamicObject> = Api::namespaced_with(world.bed.client.clone(), &world.namespace, &resource);
    let name = object["metadata"]["name"].as_str().unwrap();
    api.patch(name, &PatchParams::apply("kubectl").force(), &Patch::Apply(object))
        .await
        .unwrap();
}

/// A Prometheus of the test bed for one namespace. Ends when it is dropped.
struct Server {
    testbed: PathBuf,
    name: String,
    url: String,
}

impl Server {
    fn up(testbed: PathBuf, kubeconfig: &std::path::Path, namespace: &str) -> Self {
        let name = format!("loop-{}", unique());
        let out = Command::new(&testbed)
            .args(["prometheus", "up", "--scrape-interval", "1s", "--via-apiserver"])
            .args(["--name", &name, "--namespace", namespace, "--kubeconfig"])
            .arg(kubeconfig)
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "no Prometheus: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let url = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        Self { testbed, name, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A bed that goes down takes it along.
        let _ = Command::new(&self.testbed)
            .args(["prometheus", "down", "--name", &self.name])
            .output();
    }
}

fn policy(world: &World) -> Value {
    let latency = "sum(rate(http_request_duration_seconds_sum[10s])) / sum(rate(http_requests_total[10s])) <= 0.5";
    let spec = json!({
        "mode": "Enforce",
        "sourceRef": {"name": world.namespace},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "interval": "2s",
        "maxAge": "15s",
        "rules": [
            {
                "alert": "HighRequestLatency",
                "expr": "rate(http_request_duration_seconds_sum[10s]) / rate(http_requests_total[10s]) > 0.5",
                // Longer than the window of the demand, which is level by then: else it is a surge.
                "for": "12s",
                "labels": {"severity": "warning"},
                "annotations": {"summary": "High latency detected"},
            },
            {"alert": "LowTraffic", "expr": "sum(rate(http_requests_received_total[10s])) < 40", "for": "4s"},
        ],
        "signals": [{"name": "demand", "expr": "sum(rate(http_requests_received_total[10s]))"}],
        "actions": [{
            "name": "more-replicas",
            "when": ["HighRequestLatency"],
            "replicas": {
                "min": 2, "max": 6,
                "step": {"percent": 50, "down": {"pods": 1, "after": "6s", "when": ["LowTraffic"]}},
            },
            "verify": {"settle": "15s", "within": "30s", "expr": latency, "demand": {"signal": "demand"}},
        }],
    });
    json!({"apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": "checkout"}, "spec": spec})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saturated_service_gets_a_replica_and_gives_it_back() {
    let Some(bed) = bed().await else { return };
    let Some(testbed) = bed.testbed.clone() else {
        eprintln!("skipped: FLYBALL_TESTBED does not say where the test bed's program is");
        return;
    };
    let world = World::new(&bed, "loop").await;
    for object in filled(ACCOUNTS, &world.namespace, &[])
        .iter()
        .chain(&filled(SERVICE, &world.namespace, &[]))
    {
        apply(&world, object).await;
    }
    let ready = async |wanted: i64| {
        eventually(&format!("{wanted} pods are ready"), async || {
            let object = world.any("apps/v1", "Deployment").get("checkout").await.ok()?;
            let ready = object.data.pointer("/status/readyReplicas").and_then(Value::as_i64);
            (ready == Some(wanted)).then_some(())
        })
        .await;
    };
    ready(2).await;
    let server = Server::up(testbed, &bed.kubeconfig, &world.namespace);
    world.source(&world.namespace, json!({"url": server.url})).await;
    // Above what two pods can do, and below what three can.
    for object in filled(LOAD, &world.namespace, &[("NAME", "load"), ("RATE", "95")]) {
        apply(&world, &object).await;
    }
    world.apply(&policy(&world)).await;
    let _controller = world.controller("one");
    let up = world.closed(1).await;
    assert_eq!(phase_of(&up), Phase::Committed, "{}", message_of(&up));
    assert_eq!((up.spec.before, up.spec.after), (2, 3));
    let alert = up.spec.evidence.alerts.first().unwrap();
    assert_eq!(alert.labels.get("severity").map(String::as_str), Some("warning"));
    assert!(
        alert.labels.contains_key("pod"),
        "an alert for each label set: {alert:?}"
    );
    ready(3).await;
    world
        .any("v1", "Pod")
        .delete("load", &DeleteParams::default())
        .await
        .unwrap();
    for object in filled(LOAD, &world.namespace, &[("NAME", "less"), ("RATE", "20")]) {
        apply(&world, &object).await;
    }
    let down = world.phase(2, Phase::Verifying).await;
    assert_eq!(
        (down.spec.direction, down.spec.before, down.spec.after),
        (Direction::Down, 3, 2)
    );
    let down = world.closed(2).await;
    assert_eq!(phase_of(&down), Phase::Committed, "{}", message_of(&down));
    let verified = |policy: &FeedbackPolicy| {
        policy
            .status
            .as_ref()?
            .actions
            .first()
            .filter(|it| it.verified == Some(2))
            .map(drop)
    };
    world.policy("checkout", "2 are verified", verified).await;
    world.laws().await;
}

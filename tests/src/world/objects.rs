//! The objects of a scenario.

use serde_json::{Value, json};

/// A workload whose pods are never placed on a node: it costs nothing, and its scale is as real as any.
pub fn workload(kind: &str, name: &str, replicas: i32) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "nodeSelector": {"flyball.dev/nowhere": "true"},
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": "flyball.dev/pause:1", "imagePullPolicy": "Never"}],
                },
            },
        },
    });
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
    }
    object
}

/// A policy that adds a replica to the Deployment `web` while `latency > 0.5`, in short times.
pub fn policy(name: &str, source: &str) -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": name},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": source},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "interval": "1s",
            "maxAge": "10s",
            "yieldFor": "8s",
            "rules": [{"alert": "Slow", "expr": "latency > 0.5"}],
            "signals": [{"name": "demand", "expr": "sum(demand)"}],
            "actions": [{
                "name": "more",
                "when": ["Slow"],
                "replicas": {"min": 1, "max": 6, "step": {"pods": 1}},
                "verify": {"settle": "1s", "within": "3s", "expr": "latency <= 0.5", "demand": {"signal": "demand"}},
            }],
        },
    })
}

/// The same policy with a way down: one replica after two seconds of quiet.
pub fn policy_with_way_down(name: &str, source: &str) -> Value {
    with(
        policy(name, source),
        "/spec/actions/0/replicas/step/down",
        json!({"pods": 1, "after": "2s"}),
    )
}

/// A policy that wants a replica of the Deployment `web` for each ten of `queue`, at once up and down. It is
/// verified by `waiting <= 0.5`, with a deadline far away.
pub fn policy_by_queue(name: &str, source: &str) -> Value {
    let policy = with(
        policy(name, source),
        "/spec/signals",
        json!([{"name": "queue", "expr": "sum(queue)"}]),
    );
    let policy = with(policy, "/spec/rules", json!([]));
    with(
        policy,
        "/spec/actions",
        json!([{
            "name": "follow",
            "replicas": {
                "min": 1, "max": 8,
                "metrics": {"list": [{"name": "queue", "signal": "queue", "target": {"averageValue": 10}}]},
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
                "cooldown": {"down": "0s"},
            },
            "verify": {"settle": "1s", "within": "10m", "expr": "waiting <= 0.5", "demand": {"signal": "queue"}},
        }]),
    )
}

/// An object with one value set. Missing parents are made.
pub fn with(mut object: Value, path: &str, value: Value) -> Value {
    let mut place = &mut object;
    for part in path.split('/').skip(1) {
        place = match part.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[part],
        };
    }
    *place = value;
    object
}

//! The rules of the weights lever.

use super::definitions::Case;
use serde_json::{Value, json};

/// A policy that moves weights.
pub fn weights_policy() -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "FeedbackPolicy",
        "metadata": {"name": "weights"},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "checkout"},
            "rules": [{"alert": "Slow", "expr": "x > 1"}],
            "signals": [{"name": "busy", "expr": "y", "perBackend": true}],
            "actions": [{
                "name": "shift",
                "when": ["Slow"],
                "weights": {
                    "rule": "main",
                    "also": [{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "name": "checkout"}],
                    "backends": [{"name": "a", "weight": 500}, {"name": "b", "weight": 500}],
                    "step": {"points": 20, "silenced": "Ignore"},
                    "traffic": {"proxy": "Traefik"},
                    "onReset": "Reapply",
                    "reapplyPerHour": 2,
                },
                "verify": {"settle": "2m", "within": "5m", "expr": "z <= 1"},
            }],
        },
    })
}

const LEVER: &str = "/spec/actions/0/weights";

/// What is said to a policy that differs in this from [`weights_policy`].
pub const WEIGHTS: &[Case] = &[
    ("everything of it", &[], None),
    (
        "by capacity, without rules",
        &[
            ("/spec/actions/0/weights/step", || json!(null)),
            ("/spec/actions/0/weights/capacity", || json!({"utilisation": "busy"})),
            ("/spec/actions/0/when", || json!([])),
        ],
        None,
    ),
    (
        "two laws",
        &[("/spec/actions/0/weights/failover", || json!({}))],
        Some("weights takes exactly one of capacity, step, failover and aimd"),
    ),
    (
        "no law",
        &[("/spec/actions/0/weights/step", || json!(null))],
        Some("weights takes exactly one of capacity, step, failover and aimd"),
    ),
    (
        "a step without a rule",
        &[("/spec/actions/0/when", || json!([]))],
        Some("an action with weights.step needs at least one rule in when"),
    ),
    (
        "two levers",
        &[(
            "/spec/actions/0/replicas",
            || json!({"min": 1, "max": 2, "step": {"pods": 1}}),
        )],
        Some("an action takes exactly one of replicas, weights, runtime, notify, annotate, capture and relieve"),
    ),
    (
        "no lever",
        &[(LEVER, || json!(null))],
        Some("an action takes exactly one of replicas, weights, runtime, notify, annotate, capture and relieve"),
    ),
    (
        "a second action",
        &[("/spec/actions", || {
            let first = weights_policy()["spec"]["actions"][0].clone();
            let mut second = first.clone();
            second["name"] = json!("other");
            json!([first, second])
        })],
        Some("a policy that moves weights has one action"),
    ),
    (
        "a veto",
        &[("/spec/actions/0/inhibit", || json!([{"name": "full", "expr": "x > 1"}]))],
        Some("inhibit and holdDownWhile go with replicas"),
    ),
    (
        "a rule by name and by place",
        &[("/spec/actions/0/weights/ruleIndex", || json!(1))],
        Some("weights takes rule or ruleIndex, not both"),
    ),
    (
        "one backend",
        &[(
            "/spec/actions/0/weights/backends",
            || json!([{"name": "a", "weight": 1}]),
        )],
        Some("should have at least 2 items"),
    ),
    (
        "a backend twice",
        &[("/spec/actions/0/weights/backends/1/name", || json!("a"))],
        Some("the names in weights.backends[].name must be unique"),
    ),
    (
        "no weight at all",
        &[
            ("/spec/actions/0/weights/backends/0/weight", || json!(0)),
            ("/spec/actions/0/weights/backends/1/weight", || json!(0)),
        ],
        Some("at least one of weights.backends[].weight must be above 0"),
    ),
    (
        "a weight above what Gateway API takes",
        &[("/spec/actions/0/weights/backends/0/weight", || json!(1_000_001))],
        Some("should be less than or equal to 1000000"),
    ),
    (
        "a proxy and a query",
        &[("/spec/actions/0/weights/traffic/requests", || json!("x"))],
        Some("traffic takes proxy, or both of requests and errors"),
    ),
    (
        "one query",
        &[(
            "/spec/actions/0/weights/traffic",
            || json!({"requests": "x", "window": "1m"}),
        )],
        Some("traffic takes proxy, or both of requests and errors"),
    ),
    (
        "queries without their range",
        &[(
            "/spec/actions/0/weights/traffic",
            || json!({"requests": "x", "errors": "y"}),
        )],
        Some("traffic.requests needs traffic.window"),
    ),
    (
        "a signal for each pod and each backend",
        &[("/spec/signals/0/perPod", || json!(true))],
        Some("a perBackend signal is neither perPod nor has a substitute"),
    ),
    (
        "eight further routes",
        &[("/spec/actions/0/weights/also", || {
            let route = |index| json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": format!("r-{index}")});
            (0..8).map(route).collect()
        })],
        Some("must have at most 7 items"),
    ),
];

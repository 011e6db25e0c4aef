//! Objects made by hand.

use flyball_controller::cli::screen::Style;
use flyball_core::time::Timestamp;
use flyball_crds::{Change, FeedbackPolicy, MetricSource};
use serde_json::{Value, json};

/// 2026-01-02 03:04:05 UTC.
pub const NOW: i64 = 1_767_323_045_000;

pub fn now() -> Timestamp {
    Timestamp::from_millis(NOW)
}

/// An instant so many seconds ago, as objects hold it.
pub fn ago(seconds: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(NOW - seconds * 1000).unwrap();
    at.strftime("%FT%T.%6fZ").to_string()
}

/// Without colour, with ASCII, broken at `width`.
pub const fn ascii(width: Option<usize>) -> Style {
    Style {
        colour: false,
        unicode: false,
        width,
    }
}

/// Lays `more` over `object`.
pub fn merge(object: &mut Value, more: Value) {
    match (object, more) {
        (Value::Object(object), Value::Object(more)) => {
            for (key, value) in more {
                merge(object.entry(key).or_insert(Value::Null), value);
            }
        }
        (object, more) => *object = more,
    }
}

/// `shop/checkout` in mode Enforce, verifying 2 -> 3.
pub fn policy(more: Value) -> FeedbackPolicy {
    let latency = "sum(rate(seconds_sum{job=\"c\"}[5m])) / sum(rate(seconds_count{job=\"c\"}[5m]))";
    let mut object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "p-1", "generation": 1},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "rules": [{"alert": "HighRequestLatency", "expr": format!("{latency} > 0.5"), "for": "2m"}],
            "signals": [{"name": "requests", "expr": "sum(rate(seconds_count{job=\"c\"}[5m]))"}],
            "actions": [{
                "name": "more-replicas", "when": ["HighRequestLatency"],
                "replicas": {"min": 2, "max": 20, "step": {"percent": 50}},
                "verify": {
                    "settle": "6m", "within": "10m", "expr": format!("{latency} <= 0.5"),
                    "demand": {"signal": "requests"},
                },
            }],
        },
        "status": {
            "observedGeneration": 1,
            "alerts": "HighRequestLatency firing",
            "doing": "Verifying 2 -> 3",
            "why": "HighRequestLatency fires",
            "change": "checkout-1-replicas-2",
            "conditions": [condition("Ready", "True", "Evaluating", "evaluated every 15s")],
        },
    });
    merge(&mut object, more);
    serde_json::from_value(object).unwrap()
}

pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "observedGeneration": 1, "lastTransitionTime": ago(60),
    })
}

/// A Change of `shop/checkout`, open unless `more` says otherwise.
pub fn change(sequence: i64, before: i32, after: i32, more: Value) -> Change {
    let mut object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change",
        "metadata": {"name": format!("checkout-1-replicas-{sequence}"), "namespace": "shop", "uid": format!("c-{sequence}")},
        "spec": {
            "policy": {"name": "checkout", "uid": "p-1", "generation": 1},
            "action": "more-replicas", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout", "uid": "t-1"},
            "field": "replicas", "direction": if after > before { "Up" } else { "Down" },
            "sequence": sequence, "before": before, "after": after, "verified": before,
            "proposedAt": ago(40), "reason": "HighRequestLatency fires",
            "evidence": {},
        },
    });
    merge(&mut object, more);
    serde_json::from_value(object).unwrap()
}

/// A MetricSource of this name and URL.
pub fn source(name: &str, url: &str, more: Value) -> MetricSource {
    let mut object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "MetricSource",
        "metadata": {"name": name, "generation": 1}, "spec": {"url": url},
    });
    merge(&mut object, more);
    serde_json::from_value(object).unwrap()
}

/// `shop/split` in mode Enforce, which moves the weights of the HTTPRoute `web` by capacity.
pub fn weights_policy(more: Value) -> FeedbackPolicy {
    let mut object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
        "metadata": {"name": "split", "namespace": "shop", "uid": "p-2", "generation": 1},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web"},
            "signals": [{"name": "busy", "expr": "sum by (backend) (busy{job=\"c\"})", "perBackend": true}],
            "actions": [{
                "name": "shift",
                "weights": {
                    "backends": [{"name": "web-b", "weight": 500}, {"name": "web-a", "weight": 500}],
                    "capacity": {"utilisation": "busy"},
                    "traffic": {"proxy": "Traefik"},
                },
                "verify": {"settle": "2m", "within": "5m", "expr": "sum(rate(failed{job=\"c\"}[1m])) <= 1"},
            }],
        },
        "status": {
            "observedGeneration": 1,
            "alerts": "none",
            "doing": "Steady at web-a 500, web-b 500",
            "why": "no share is off",
            "conditions": [condition("Ready", "True", "Evaluating", "evaluated every 15s")],
            "actions": [{"name": "shift", "weights": {
                "verified": weights(500, 500), "written": weights(500, 500), "movedAt": ago(600),
            }}],
        },
    });
    merge(&mut object, more);
    serde_json::from_value(object).unwrap()
}

/// The weights of `web-a` and `web-b`.
pub fn weights(a: i32, b: i32) -> Value {
    json!([{"backend": "web-a", "weight": a}, {"backend": "web-b", "weight": b}])
}

/// A Change of `shop/split`, open unless `more` says otherwise.
pub fn weights_change(sequence: i64, before: (i32, i32), after: (i32, i32), more: Value) -> Change {
    let mut object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change",
        "metadata": {"name": format!("web-1-weights-{sequence}"), "namespace": "shop", "uid": format!("w-{sequence}")},
        "spec": {
            "policy": {"name": "split", "uid": "p-2", "generation": 1},
            "action": "shift", "mode": "Enforce",
            "target": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web", "uid": "r-1"},
            "field": "weights", "direction": "Up", "sequence": sequence,
            "move": format!("web-a {} -> {}, web-b {} -> {}", before.0, after.0, before.1, after.1),
            "weights": {
                "why": "Law",
                "lists": [
                    {
                        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web", "rule": "split",
                        "uid": "r-1", "resourceVersion": "7", "before": weights(before.0, before.1),
                    },
                    {
                        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "name": "api", "ruleIndex": 1,
                        "uid": "r-2", "resourceVersion": "8", "before": weights(before.0, before.1),
                    },
                ],
                "after": weights(after.0, after.1), "verified": weights(before.0, before.1),
                "share": {
                    "requests": "sum by (backend) (rate(x[1m]))", "window": "1m", "maxAge": "1m", "settle": "65s",
                    "within": "185s",
                },
            },
            "proposedAt": ago(40), "reason": "by measured capacity web-b is to have a share of 0.600", "evidence": {},
        },
    });
    merge(&mut object, more);
    serde_json::from_value(object).unwrap()
}

/// `shop/gc` in mode Enforce, which moves GOGC in container `app` of the Deployment `web`.
pub fn runtime_policy(more: Value) -> FeedbackPolicy {
    let mut object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
        "metadata": {"name": "gc", "namespace": "shop", "uid": "p-3", "generation": 1},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "actions": [{
                "name": "peak",
                "runtime": {"container": "app", "set": {"go": {"gogc": 200}}, "lease": "20m"},
                "verify": {"settle": "2m", "within": "5m", "expr": "sum(rate(failed{job=\"c\"}[1m])) <= 1"},
            }],
        },
        "status": {
            "observedGeneration": 1,
            "alerts": "none",
            "doing": "Steady at gogc=200 on 4 of 4 pods",
            "why": "no other action applies",
            "conditions": [condition("Ready", "True", "Evaluating", "evaluated every 15s")],
        },
    });
    merge(&mut object, more);
    serde_json::from_value(object).unwrap()
}

/// A Change of `shop/gc`, open unless `more` says otherwise.
pub fn runtime_change(sequence: i64, before: &str, after: &str, more: Value) -> Change {
    let mut object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change",
        "metadata": {"name": format!("web-1-runtime-app-{sequence}"), "namespace": "shop", "uid": format!("k-{sequence}")},
        "spec": {
            "policy": {"name": "gc", "uid": "p-3", "generation": 1},
            "action": "peak", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "t-1"},
            "field": "runtime", "direction": "Up", "sequence": sequence,
            "move": format!("{before} -> {after}"), "before": 0, "after": 0, "verified": 0,
            "runtime": {
                "container": "app", "before": before, "after": after, "verified": before, "tried": ["web-1"],
                "trial": {"expr": "max(x{pod=~\"web-1\"}) < 1", "settle": "2m", "within": "5m"},
                "acknowledge": "90s", "applied": "a", "breaker": "b", "maxAge": "1m",
            },
            "proposedAt": ago(40), "reason": "no other action applies", "evidence": {},
        },
    });
    merge(&mut object, more);
    serde_json::from_value(object).unwrap()
}

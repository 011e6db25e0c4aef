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

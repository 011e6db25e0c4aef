//! Objects made by hand.

use crate::api::ago;
use serde_json::{Value, json};

/// Lays `more` over `object`.
pub fn merged(mut object: Value, more: Value) -> Value {
    fn lay(object: &mut Value, more: Value) {
        match (object, more) {
            (Value::Object(object), Value::Object(more)) => {
                for (key, value) in more {
                    lay(object.entry(key).or_insert(Value::Null), value);
                }
            }
            (object, more) => *object = more,
        }
    }
    lay(&mut object, more);
    object
}

/// `shop/checkout` in mode Enforce, and ready.
pub fn policy(more: Value) -> Value {
    let latency = "sum(rate(seconds_sum{job=\"c\"}[5m])) / sum(rate(seconds_count{job=\"c\"}[5m]))";
    let object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "p-1", "generation": 1},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "rules": [{"alert": "HighRequestLatency", "expr": format!("{latency} > 0.5"), "for": "2m"}],
            "actions": [{
                "name": "more-replicas", "when": ["HighRequestLatency"],
                "replicas": {"min": 2, "max": 20, "step": {"percent": 50}},
                "verify": {"settle": "6m", "within": "10m", "expr": format!("{latency} <= 0.5")},
            }],
        },
        "status": {
            "observedGeneration": 1, "change": "checkout-1-replicas-2",
            "conditions": [condition("Ready", "True", "Evaluating", "evaluated every 15s")],
        },
    });
    merged(object, more)
}

pub fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "observedGeneration": 1, "lastTransitionTime": ago(60),
    })
}

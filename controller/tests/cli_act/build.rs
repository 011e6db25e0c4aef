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

/// The target, with so many replicas.
pub fn deployment(name: &str, replicas: i64, more: Value) -> Value {
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("t-{name}")},
        "spec": {"replicas": replicas},
    });
    merged(object, more)
}

/// An autoscaler of Kubernetes' own on `shop/checkout`, that wants three replicas.
pub fn hpa(more: Value) -> Value {
    let object = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": "web", "namespace": "shop", "labels": {"team": "shop"}, "generation": 3,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "ours"},
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "minReplicas": 2, "maxReplicas": 20,
        },
        "status": {"currentReplicas": 3, "desiredReplicas": 3},
    });
    merged(object, more)
}

/// KEDA's object on `shop/checkout`.
pub fn scaled_object(more: Value) -> Value {
    let object = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "worker", "namespace": "shop", "finalizers": ["finalizer.keda.sh"]},
        "spec": {
            "scaleTargetRef": {"name": "checkout"}, "minReplicaCount": 2, "maxReplicaCount": 20,
            "triggers": [{"type": "prometheus", "metadata": {"query": "sum(x)", "threshold": "10"}}],
        },
    });
    merged(object, more)
}

/// The autoscaler that KEDA makes of it.
pub fn behind(more: Value) -> Value {
    let owner = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "worker", "uid": "s", "controller": true});
    let object = hpa(json!({"metadata": {"name": "keda-hpa-worker", "ownerReferences": [owner]}}));
    merged(object, more)
}

/// The controller's lease, held by `holder` and renewed so many seconds ago.
pub fn lease(holder: &str, seconds: i64) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "flyball", "namespace": "flyball-system"},
        "spec": {
            "holderIdentity": holder, "renewTime": ago(seconds), "leaseDurationSeconds": 15, "leaseTransitions": 4,
        },
    })
}

/// The controller's namespace.
pub fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flyball-system"}})
}

/// A Change of `shop/checkout`.
pub fn change(sequence: i64, before: i32, after: i32, more: Value) -> Value {
    let object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change",
        "metadata": {
            "name": format!("checkout-1-replicas-{sequence}"), "namespace": "shop",
            "labels": {"flyball.dev/policy": "checkout"},
        },
        "spec": {
            "policy": {"name": "checkout", "uid": "p-1", "generation": 1},
            "action": "more-replicas", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout", "uid": "t-checkout"},
            "field": "replicas", "direction": if after > before { "Up" } else { "Down" },
            "sequence": sequence, "before": before, "after": after, "verified": before,
            "proposedAt": ago(40), "reason": "HighRequestLatency fires", "evidence": {},
        },
    });
    merged(object, more)
}

/// A Change of `shop/checkout` that moves the weights of an HTTPRoute.
pub fn weights_change(sequence: i64, more: Value) -> Value {
    let weights = |a: i32, b: i32| json!([{"backend": "web-a", "weight": a}, {"backend": "web-b", "weight": b}]);
    let target = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web"});
    let object = json!({
        "metadata": {"name": format!("web-1-weights-{sequence}")},
        "spec": {
            "action": "shift", "target": merged(target.clone(), json!({"uid": "r-1"})), "field": "weights", "direction": "Up",
            "before": 0, "after": 0, "verified": 0, "move": "web-a 500 -> 400, web-b 500 -> 600",
            "weights": {
                "why": "Law", "after": weights(400, 600), "verified": weights(450, 550),
                "lists": [merged(target, json!({"uid": "r-1", "resourceVersion": "7", "before": weights(500, 500)}))],
                "share": {"requests": "x", "window": "1m", "maxAge": "1m", "settle": "65s", "within": "185s"},
            },
        },
    });
    merged(change(sequence, 0, 0, object), more)
}

/// The spec of a policy that moves GOGC in container `app`.
pub fn of_knobs() -> Value {
    json!({"spec": {"actions": [{
        "name": "peak", "runtime": {"container": "app", "set": {"go": {"gogc": 200}}, "lease": "20m"},
    }]}})
}

/// A Change of `shop/checkout` that moves it.
pub fn runtime_change(sequence: i64, more: Value) -> Value {
    let object = json!({
        "metadata": {"name": format!("checkout-1-runtime-app-{sequence}")},
        "spec": {
            "action": "peak", "field": "runtime", "direction": "Up", "before": 0, "after": 0, "verified": 0,
            "move": "boot -> gogc=200",
            "runtime": {
                "container": "app", "before": "boot", "after": "gogc=200", "verified": "boot", "acknowledge": "90s",
                "applied": "a", "breaker": "b", "maxAge": "1m",
            },
        },
    });
    merged(change(sequence, 0, 0, object), more)
}

//! Autoscalers as they are found in clusters, and the policies that do the same.

mod hpa;
mod keda;

use crate::build::merged;
use flyball_controller::cli::{
    check,
    import::{Autoscaler, ImportError, draft::Draft, translate},
};
use serde_json::{Value, json};
use std::path::PathBuf;

fn hpa(spec: Value) -> Value {
    let object = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2, "maxReplicas": 10,
        },
        "status": {"currentReplicas": 3, "desiredReplicas": 3, "conditions": []},
    });
    merged(object, json!({ "spec": spec }))
}

fn scaled(spec: Value) -> Value {
    let object = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": "worker", "namespace": "shop", "finalizers": ["finalizer.keda.sh"], "annotations": {"a": "b"}},
        "spec": {"scaleTargetRef": {"name": "worker"}, "triggers": []},
        "status": {"hpaName": "keda-hpa-worker", "originalReplicaCount": 1},
    });
    merged(object, json!({ "spec": spec }))
}

fn prometheus(name: &str, query: &str, more: Value) -> Value {
    let trigger = json!({
        "type": "prometheus", "name": name,
        "metadata": {"serverAddress": "http://prometheus:9090", "query": query, "threshold": "100", "ignoreNullValues": "false"},
    });
    merged(trigger, more)
}

fn of(autoscaler: Autoscaler, object: &Value) -> Draft {
    translate(autoscaler, object, Some("prometheus")).unwrap()
}

fn lever(draft: &Draft) -> Value {
    serde_json::to_value(&draft.spec).unwrap()["actions"][0]["replicas"].clone()
}

fn signals(draft: &Draft) -> Value {
    serde_json::to_value(&draft.spec).unwrap()["signals"].clone()
}

/// The notes but for the one that stands in every draft.
fn notes(draft: &Draft) -> Vec<String> {
    let notes = draft.notes.iter().filter(|note| note.path != "spec.actions[0].verify");
    notes.map(|note| format!("{}: {}", note.path, note.text)).collect()
}

/// What `flyball check` says of the printed policy: its number of errors, and its report.
fn checked(draft: &Draft, test: &str) -> (usize, String) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("import-{test}.yaml"));
    std::fs::write(&file, draft.print()).unwrap();
    let mut report = Vec::new();
    let summary = check::run(&[file], &mut report).unwrap();
    assert_eq!(summary.policies, 1);
    (summary.errors, String::from_utf8(report).unwrap())
}

fn valid(draft: &Draft, test: &str) {
    let (errors, report) = checked(draft, test);
    assert_eq!(errors, 0, "{report}\n{}", draft.print());
}

#[test]
fn the_policy_is_printed_below_what_is_to_be_looked_at() {
    let metrics = json!([{"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}}]);
    let draft = translate(Autoscaler::Hpa, &hpa(json!({ "metrics": metrics })), None).unwrap();
    assert_eq!(
        draft.print(),
        "\
# Imported from HorizontalPodAutoscaler shop/web. In mode Recommend it writes nothing.
#
# To look at:
# - spec.sourceRef.name: prometheus is a guess; name the MetricSource to ask, see kubectl get metricsources
# - spec.actions[0].verify: is missing: say what must hold after a change before you set mode Enforce, for
#   example {settle: 6m, within: 10m, expr: 'LATENCY <= 0.5', demand: {signal: requests}}
#
# Then: flyball check policy.yaml; kubectl apply -f policy.yaml; flyball explain web -n shop; and when its
# recommendations are right: flyball takeover web -n shop
apiVersion: flyball.dev/v1alpha1
kind: FeedbackPolicy
metadata:
  name: web
  namespace: shop
spec:
  mode: Recommend
  sourceRef:
    name: prometheus
  targetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: web
  actions:
  - name: replicas
    when: []
    replicas:
      min: 2
      max: 10
      metrics:
        list:
        - name: memory
          resource:
            name: memory
          target:
            utilization: 70
"
    );
}

#[test]
fn an_object_of_another_shape_is_an_error_that_names_it() {
    let error = translate(Autoscaler::Hpa, &hpa(json!({"maxReplicas": "many"})), None).unwrap_err();
    assert!(matches!(error, ImportError::Shape { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with("HorizontalPodAutoscaler web can't be read: ")
            && text.ends_with("kubectl explain horizontalpodautoscalers.spec"),
        "{text}"
    );
}

//! The HorizontalPodAutoscaler.

use super::{hpa, lever, notes, of, signals, valid};
use crate::build::merged;
use flyball_controller::cli::import::Autoscaler;
use rstest::rstest;
use serde_json::{Value, json};

#[rstest]
#[case::cpu(
    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}),
    json!({"name": "cpu", "resource": {"name": "cpu"}, "target": {"utilization": 70}})
)]
#[case::memory(
    json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "512Mi"}}}),
    json!({"name": "memory", "resource": {"name": "memory"}, "target": {"averageValue": 536_870_912.0}})
)]
#[case::cpu_of_a_container(
    json!({"type": "ContainerResource", "containerResource": {
        "name": "cpu", "container": "app", "target": {"type": "AverageValue", "averageValue": "500m"},
    }}),
    json!({"name": "cpu_of_app", "resource": {"name": "cpu", "container": "app"}, "target": {"averageValue": 0.5}})
)]
fn usage_needs_no_query(#[case] metric: Value, #[case] expect: Value) {
    let draft = of(Autoscaler::Hpa, &hpa(json!({"metrics": [metric]})));
    let found = lever(&draft);
    assert_eq!((&found["min"], &found["max"]), (&json!(2), &json!(10)));
    assert_eq!(found["metrics"], json!({"list": [expect]}));
    assert_eq!(signals(&draft), Value::Null);
    valid(&draft, expect["name"].as_str().unwrap());
}

#[rstest]
#[case::pods(
    json!({"type": "Pods", "pods": {
        "metric": {"name": "http_requests_per_second", "selector": {"matchLabels": {"verb": "GET"}}},
        "target": {"type": "AverageValue", "averageValue": "1k"},
    }}),
    json!({
        "name": "http_requests_per_second", "perPod": true,
        "expr": "sum by (pod) (rate(http_requests_total{namespace=\"shop\", pod=~\"web-[a-z0-9]+-[a-z0-9]{5}\", verb=\"GET\"}[2m]))",
    }),
    json!({"averageValue": 1000.0})
)]
#[case::object(
    json!({"type": "Object", "object": {
        "describedObject": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "main"},
        "metric": {"name": "requests"}, "target": {"type": "Value", "value": "2k"},
    }}),
    json!({"name": "requests", "expr": "sum(requests{namespace=\"shop\", ingress=\"main\"})"}),
    json!({"value": 2000.0})
)]
#[case::object_of_the_namespace(
    json!({"type": "Object", "object": {
        "describedObject": {"apiVersion": "v1", "kind": "Namespace", "name": "other"},
        "metric": {"name": "jobs"}, "target": {"type": "AverageValue", "averageValue": "30"},
    }}),
    json!({"name": "jobs", "expr": "sum(jobs{namespace=\"other\"})"}),
    json!({"averageValue": 30.0})
)]
#[case::external(
    json!({"type": "External", "external": {
        "metric": {"name": "queue-length", "selector": {"matchExpressions": [{"key": "queue", "operator": "In", "values": ["a", "b"]}]}},
        "target": {"type": "AverageValue", "averageValue": "30"},
    }}),
    json!({"name": "queue_length", "expr": "sum({__name__=\"queue-length\", namespace=\"shop\", queue=~\"a|b\"})"}),
    json!({"averageValue": 30.0})
)]
fn what_an_adapter_knows_by_name_is_a_guess(#[case] metric: Value, #[case] signal: Value, #[case] target: Value) {
    let draft = of(Autoscaler::Hpa, &hpa(json!({"metrics": [metric]})));
    assert_eq!(signals(&draft), json!([signal]));
    let found = &lever(&draft)["metrics"]["list"][0];
    assert_eq!((&found["signal"], &found["target"]), (&signal["name"], &target));
    let notes = notes(&draft);
    assert!(notes.len() == 1 && notes[0].contains("is a guess by it"), "{notes:?}");
    valid(&draft, &format!("named-{}", signal["name"].as_str().unwrap()));
}

#[test]
fn an_autoscaler_without_metrics_has_what_the_api_server_fills_in() {
    let draft = of(Autoscaler::Hpa, &hpa(json!({"minReplicas": null})));
    let found = lever(&draft);
    assert_eq!(found["min"], json!(1));
    assert_eq!(found["metrics"]["list"][0]["target"], json!({"utilization": 80}));
    assert_eq!(found["behavior"], Value::Null, "the defaults are the same");
}

#[test]
fn a_behavior_is_taken_over_and_filled_up_as_the_api_server_does() {
    let draft = of(
        Autoscaler::Hpa,
        &hpa(json!({"behavior": {
            "scaleUp": {"stabilizationWindowSeconds": 60, "tolerance": "50m"},
            "scaleDown": {
                "selectPolicy": "Min", "tolerance": "0.2",
                "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}, {"type": "Percent", "value": 10, "periodSeconds": 120}],
            },
        }})),
    );
    let found = lever(&draft);
    assert_eq!(
        found["behavior"],
        json!({
            "scaleUp": {"stabilizationWindowSeconds": 60, "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]},
            "scaleDown": {"selectPolicy": "Min", "policies": [
                {"type": "Pods", "value": 2, "periodSeconds": 60}, {"type": "Percent", "value": 10, "periodSeconds": 120},
            ]},
        })
    );
    assert_eq!(found["metrics"]["tolerance"], json!({"up": 0.05, "down": 0.2}));
    valid(&draft, "behavior");
}

#[rstest]
#[case::with_a_metric_that_is_there(
    json!({"minReplicas": 0, "metrics": [{"type": "External", "external": {
        "metric": {"name": "queue"}, "target": {"type": "Value", "value": "5"},
    }}]}),
    json!(0), json!({"signal": "queue", "activation": 0.0, "cooldown": "5m"})
)]
#[case::without(json!({"minReplicas": 0}), json!(1), Value::Null)]
fn zero_needs_a_signal_that_is_there_without_pods(#[case] spec: Value, #[case] min: Value, #[case] zero: Value) {
    let draft = of(Autoscaler::Hpa, &hpa(spec));
    let found = lever(&draft);
    assert_eq!((&found["min"], &found["zero"]), (&min, &zero));
    valid(&draft, &format!("zero-{min}"));
}

#[test]
fn what_is_behind_an_autoscaler_is_named() {
    let owned = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "worker", "uid": "u", "controller": true},
    ]}});
    let draft = of(Autoscaler::Hpa, &merged(hpa(json!({})), owned));
    assert!(
        notes(&draft)[0].ends_with("flyball import scaledobject worker"),
        "{:?}",
        notes(&draft)
    );
    let rollout = json!({"scaleTargetRef": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}});
    let draft = of(Autoscaler::Hpa, &hpa(rollout));
    assert!(
        notes(&draft)[0].contains("--scale-kind=argoproj.io/v1alpha1/Rollout"),
        "{:?}",
        notes(&draft)
    );
}

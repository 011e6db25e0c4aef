//! What a fleet becomes, and how a status is read.

use super::{Fleet, Outcome, Pod, Series};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerStatus;
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn a_fleet_becomes_the_document_of_its_metrics() {
    let mut measured = Pod::ready().uses("main", "cpu", "250m").metric("rps", "12");
    measured.measured = Some("2026-01-02T03:04:05.678Z".parse().unwrap());
    measured.window = Some(Duration::from_secs(15));
    let fleet = Fleet::new("web", 2, vec![measured, Pod::pending()])
        .object("depth", "13")
        .external("queue", vec![Series::of("30").label("name", "orders")]);
    let labels = json!({"test.flyball.dev/fleet": "web"});
    let want = json!({
        "pods": {
            "web-0": {
                "labels": labels, "timestamp": "2026-01-02T03:04:05Z", "window": "15s",
                "containers": {"main": {"cpu": "250m"}},
            },
            "web-1": {"labels": labels},
        },
        "custom": {"rps": {"web-0": "12"}},
        "objects": {"depth": {"fleets.test.flyball.dev/web": "13"}},
        "external": {"queue": [{"labels": {"name": "orders"}, "value": "30"}]},
    });
    assert_eq!(serde_json::to_value(fleet.values()).unwrap(), want);
}

#[test]
fn values_are_added_entry_by_entry() {
    let one = Fleet::new("one", 1, vec![Pod::ready().metric("rps", "1")]).object("depth", "2");
    let two = Fleet::new("two", 1, vec![Pod::ready().metric("rps", "3")]).object("depth", "4");
    let mut both = one.values();
    both.extend(two.values());
    assert_eq!(both.pods.len(), 2);
    assert_eq!(both.custom["rps"].len(), 2);
    assert_eq!(both.objects["depth"].len(), 2);
}

#[test]
fn a_pod_is_reported_as_it_is_said_to_be() {
    let mut pod = Pod::ready().unready("2026-01-02T03:04:05.9Z".parse().unwrap());
    pod.started = Some("2026-01-02T03:00:00Z".parse().unwrap());
    let want = json!({"status": {
        "phase": "Running", "startTime": "2026-01-02T03:00:00Z",
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-02T03:04:05Z"}],
    }});
    assert_eq!(pod.status(), want);
    assert_eq!(
        Pod::pending().status(),
        json!({"status": {"phase": "Pending", "conditions": []}})
    );
}

/// Checks what is read of conditions (type, status, reason), and which events must come with them.
fn check(conditions: &[[&str; 3]], metrics: &Value, desired: Option<i32>, events: &[&str]) {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|[kind, status, reason]| json!({"type": kind, "status": status, "reason": reason}))
        .collect();
    let status = json!({
        "currentReplicas": 2, "desiredReplicas": 5, "conditions": conditions, "currentMetrics": metrics,
    });
    let status: HorizontalPodAutoscalerStatus = serde_json::from_value(status).unwrap();
    let outcome = Outcome::read(&status);
    assert_eq!((outcome.current, outcome.desired), (2, desired), "{outcome:?}");
    assert_eq!(outcome.implies(), events, "{outcome:?}");
}

#[test]
fn a_status_tells_whether_there_is_a_decision_and_which_events_come() {
    let (read, unread) = (json!([{"type": "External"}]), json!([{"type": ""}]));
    let held = ["AbleToScale", "True", "ReadyForNewScale"];
    let moved = ["AbleToScale", "True", "SucceededRescale"];
    let valid = ["ScalingActive", "True", "ValidMetricFound"];
    check(&[held, valid], &read, Some(5), &[]);
    check(&[moved, valid], &read, Some(5), &["SuccessfulRescale"]);
    check(&[moved], &json!(null), Some(5), &["SuccessfulRescale"]);
    check(&[moved, valid], &unread, Some(5), &["SuccessfulRescale", "FailedGet"]);
    let stopped = ["ScalingActive", "False", "ScalingDisabled"];
    check(
        &[["AbleToScale", "True", "SucceededGetScale"], stopped],
        &json!(null),
        Some(5),
        &[],
    );
    let failed = ["ScalingActive", "False", "FailedGetExternalMetric"];
    let events = ["FailedComputeMetricsReplicas", "FailedGet"];
    check(
        &[["AbleToScale", "True", "SucceededGetScale"], failed],
        &unread,
        None,
        &events,
    );
    let refused = ["AbleToScale", "False", "FailedUpdateScale"];
    check(&[refused, valid], &read, None, &["FailedRescale"]);
    check(
        &[["AbleToScale", "False", "FailedGetScale"]],
        &json!(null),
        None,
        &["FailedGetScale"],
    );
}

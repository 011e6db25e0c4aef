//! What the expressions answer, and whether the settle time is enough.

use super::{deployment, made};
use crate::build::{ago, now, policy};
use flyball_controller::{
    cli::doctor::{
        finding::Mark,
        readings,
        settle::{self, Readiness},
    },
    validate,
};
use flyball_core::{
    signal::{Labels, Reading, Sample},
    time::Span,
};
use k8s_openapi::api::core::v1::Pod;
use rstest::rstest;
use serde_json::json;

fn reading(values: &[f64], warnings: &[&str], age: u64) -> Reading {
    let samples = values
        .iter()
        .map(|value| Sample {
            labels: Labels::new(),
            value: *value,
        })
        .collect();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    Reading::answered(
        now(),
        samples,
        &warnings,
        Some(Span::from_secs(age)),
        Span::from_secs(60),
    )
}

#[rstest]
#[case::rule("rule HighRequestLatency", reading(&[0.8, 0.1], &[], 1), Mark::Ok, "2 series, from 0.1 to 0.8: > 0.5 is true of 1 now")]
#[case::all("rule HighRequestLatency", reading(&[0.8], &[], 1), Mark::Ok, "0.8: > 0.5 is true now")]
#[case::verify("verify of more-replicas", reading(&[0.8], &[], 1), Mark::Ok, "0.8: <= 0.5 is false now")]
#[case::signal("signal requests", reading(&[40.0], &[], 1), Mark::Ok, "40")]
#[case::several("signal requests", reading(&[40.0, 41.0], &[], 1), Mark::Fail, "2 series where one number is needed")]
#[case::none("signal requests", reading(&[], &[], 1), Mark::Warn, "no series: sum(rate(seconds_count{job=\"c\"}[5m]))")]
#[case::stale("signal requests", reading(&[40.0], &[], 61), Mark::Warn, "stale: the newest sample is 1m1s old, maxAge is 1m")]
#[case::partial("signal requests", reading(&[40.0], &["a store is down"], 1), Mark::Warn, "partial: the server warned: a store is down")]
#[case::nan("signal requests", reading(&[f64::NAN], &[], 1), Mark::Warn, "not finite: a series has the value NaN")]
#[case::error("signal requests", Reading::failed(now(), "refused; look"), Mark::Fail, "refused")]
fn each_answer_is_judged(#[case] subject: &str, #[case] reading: Reading, #[case] mark: Mark, #[case] said: &str) {
    let policy = validate::policy(&policy(json!({})).spec).expect("a valid policy");
    let expressions = readings::expressions(&policy);
    let (_, expression) = expressions
        .iter()
        .find(|(name, _)| name == subject)
        .expect("an expression");
    let found = readings::judge(subject, expression, &reading);
    assert_eq!((found.mark, found.said.as_str()), (mark, said));
    assert_eq!(found.way_out.is_empty(), mark == Mark::Ok, "{found:?}");
}

#[test]
fn silence_of_a_rule_without_a_threshold_is_no_trouble() {
    let policy = policy(json!({"spec": {"rules": [{"alert": "HighRequestLatency", "expr": "ALERTS{job=\"c\"}"}]}}));
    let policy = validate::policy(&policy.spec).expect("a valid policy");
    let expressions = readings::expressions(&policy);
    let (subject, expression) = expressions.first().expect("a rule");
    let found = readings::judge(subject, expression, &reading(&[], &[], 0));
    assert_eq!(found.mark, Mark::Ok);
    assert!(
        found
            .said
            .starts_with("no series, so nothing is wrong, or nothing is measured"),
        "{found:?}"
    );
}

fn pod(seconds: i64, restarts: i32) -> Pod {
    made(json!({
        "metadata": {"name": "p", "creationTimestamp": ago(1_000)},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(1_000 - seconds)}],
            "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": true, "restartCount": restarts}],
        },
    }))
}

#[test]
fn readiness_is_measured_where_there_are_pods() {
    let pods = [pod(10, 0), pod(30, 0), pod(500, 1), pod(20, 0)];
    assert_eq!(
        Readiness::of_pods(&pods),
        Some(Readiness::Measured(Span::from_secs(20), 3))
    );
    assert_eq!(Readiness::of_pods(&[pod(500, 1)]), None);
    let template = deployment(
        json!({"spec": {"minReadySeconds": 5, "template": {"spec": {"containers": [
            {"readinessProbe": {"initialDelaySeconds": 20}, "startupProbe": {"initialDelaySeconds": 30}}, {"name": "b"},
        ]}}}}),
    );
    assert_eq!(
        Readiness::of_template(&template),
        Readiness::AtLeast(Span::from_secs(35))
    );
}

#[rstest]
#[case(
    Readiness::Measured(Span::from_secs(60), 3),
    Mark::Ok,
    "6m is enough: its longest range is 5m, and a pod takes 1m to be ready, the median of 3"
)]
#[case(
    Readiness::Measured(Span::from_secs(61), 1),
    Mark::Warn,
    "6m is too short: its longest range is 5m, and the one pod took 1m1s to be ready"
)]
#[case(
    Readiness::AtLeast(Span::from_secs(90)),
    Mark::Warn,
    "6m is too short: its longest range is 5m, and by its template a pod takes 1m30s or more to be ready"
)]
#[case(
    Readiness::Unknown,
    Mark::Ok,
    "6m is enough: its longest range is 5m, and how long a pod takes to be ready is not known"
)]
fn the_settle_time_is_judged(#[case] readiness: Readiness, #[case] mark: Mark, #[case] said: &str) {
    let policy = validate::policy(&policy(json!({})).spec).expect("a valid policy");
    let found = settle::judge(&policy, &readiness);
    let [found] = found.as_slice() else {
        panic!("one action: {found:?}")
    };
    assert_eq!((found.mark, found.said.as_str()), (mark, said));
}

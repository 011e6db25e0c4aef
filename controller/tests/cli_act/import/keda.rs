//! KEDA's ScaledObject.

use super::{checked, lever, notes, of, prometheus, scaled, signals, valid};
use crate::build::merged;
use flyball_controller::cli::import::Autoscaler;
use rstest::rstest;
use serde_json::{Value, json};

#[test]
fn a_prometheus_trigger_is_a_signal_with_its_own_query() {
    let query = "sum(rate(http_requests_total{app=\"worker\"}[2m]))";
    let draft = of(
        Autoscaler::ScaledObject,
        &scaled(json!({
            "minReplicaCount": 2, "maxReplicaCount": 40, "pollingInterval": 10,
            "triggers": [
                prometheus("rps", query, json!({})),
                prometheus("level", "max(depth)", json!({"metricType": "Value", "metadata": {"threshold": "7.5"}})),
            ],
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 120, "policies": [
                {"type": "Percent", "value": 50, "periodSeconds": 30},
            ]}}}},
        })),
    );
    assert_eq!(
        draft.spec.interval.as_ref().map(|interval| interval.0.as_str()),
        Some("10s")
    );
    assert_eq!(
        signals(&draft),
        json!([{"name": "rps", "expr": query}, {"name": "level", "expr": "max(depth)"}])
    );
    let found = lever(&draft);
    assert_eq!(
        found["metrics"]["list"],
        json!([
            {"name": "rps", "signal": "rps", "target": {"averageValue": 100.0}},
            {"name": "level", "signal": "level", "target": {"value": 7.5}},
        ])
    );
    assert_eq!(
        (&found["min"], &found["max"], &found["zero"]),
        (&json!(2), &json!(40), &Value::Null)
    );
    assert_eq!(found["behavior"]["scaleDown"]["stabilizationWindowSeconds"], json!(120));
    assert_eq!(
        notes(&draft),
        ["spec.sourceRef.name: KEDA asks http://prometheus:9090; the MetricSource must ask the same server (spec.url)"],
        "once"
    );
    valid(&draft, "prometheus");
}

#[test]
fn no_data_is_said_not_to_be_zero() {
    let said = |metadata: Value, query: &str| {
        let trigger = prometheus("rps", query, json!({ "metadata": metadata }));
        let draft = of(
            Autoscaler::ScaledObject,
            &scaled(json!({"minReplicaCount": 1, "triggers": [trigger]})),
        );
        notes(&draft).iter().any(|note| note.contains("Flyball never does"))
    };
    assert!(said(json!({"ignoreNullValues": "true"}), "sum(up)"));
    assert!(
        said(json!({"ignoreNullValues": null}), "sum(up)"),
        "that is the default"
    );
    assert!(!said(json!({"ignoreNullValues": "false"}), "sum(up)"));
    assert!(!said(json!({"ignoreNullValues": "true"}), "sum(up) or vector(0)"));
}

#[test]
fn a_trigger_that_activates_takes_the_workload_to_zero_and_back() {
    let trigger = prometheus("lag", "sum(lag)", json!({"metadata": {"activationThreshold": "5"}}));
    let one = of(
        Autoscaler::ScaledObject,
        &scaled(json!({"cooldownPeriod": 60, "triggers": [trigger]})),
    );
    let found = lever(&one);
    assert_eq!(found["min"], json!(0));
    assert_eq!(found["max"], json!(100), "KEDA's default");
    assert_eq!(
        found["zero"],
        json!({"signal": "lag", "activation": 5.0, "cooldown": "60s"})
    );
    valid(&one, "zero-of-one");

    let other = prometheus(
        "jobs",
        "max(jobs) or vector(0)",
        json!({"metadata": {"activationThreshold": "0.5"}}),
    );
    let two = of(Autoscaler::ScaledObject, &scaled(json!({"triggers": [trigger, other]})));
    assert_eq!(
        lever(&two)["zero"],
        json!({"signal": "active", "activation": 0.0, "cooldown": "300s"})
    );
    assert_eq!(
        signals(&two)[2],
        json!({"name": "active", "expr": "(sum(sum(lag)) > bool 5) + (sum(max(jobs) or vector(0)) > bool 0.5)"})
    );
    valid(&two, "zero-of-two");
}

#[rstest]
#[case::cpu_alone(json!([{"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}}]), "nothing could call it back")]
#[case::left_out(json!([prometheus("a", "sum(a)", json!({})), {"type": "kafka", "metadata": {"topic": "t"}}]), "may be active")]
fn where_nothing_says_whether_it_is_active_one_replica_stays(#[case] triggers: Value, #[case] why: &str) {
    let draft = of(Autoscaler::ScaledObject, &scaled(json!({ "triggers": triggers })));
    assert_eq!(
        (&lever(&draft)["min"], &lever(&draft)["zero"]),
        (&json!(1), &Value::Null)
    );
    assert!(
        notes(&draft)
            .iter()
            .any(|note| note.contains("is 0 there and 1 here") && note.contains(why)),
        "{:?}",
        notes(&draft)
    );
    valid(&draft, &format!("one-{}", why.len()));
}

#[test]
fn cpu_and_memory_triggers_need_no_query() {
    let draft = of(
        Autoscaler::ScaledObject,
        &scaled(json!({"minReplicaCount": 1, "triggers": [
            {"type": "cpu", "metadata": {"type": "Utilization", "value": "60", "containerName": "app"}},
            {"type": "memory", "metricType": "AverageValue", "metadata": {"value": "1Gi"}},
        ]})),
    );
    assert_eq!(
        lever(&draft)["metrics"]["list"],
        json!([
            {"name": "cpu", "resource": {"name": "cpu", "container": "app"}, "target": {"utilization": 60}},
            {"name": "memory", "resource": {"name": "memory"}, "target": {"averageValue": 1_073_741_824.0}},
        ])
    );
    valid(&draft, "usage");
}

fn working_hours(more: Value) -> Value {
    let trigger = json!({"type": "cron", "metadata": {
        "timezone": "Europe/Berlin", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "desiredReplicas": "6",
    }});
    merged(trigger, json!({ "metadata": more }))
}

#[test]
fn cron_triggers_are_schedules() {
    let draft = of(
        Autoscaler::ScaledObject,
        &scaled(json!({"minReplicaCount": 1, "maxReplicaCount": 5, "triggers": [
            prometheus("rps", "sum(rps)", json!({})), working_hours(json!({})), working_hours(json!({"start": "@daily"})),
            working_hours(json!({"timezone": "Mars/Olympus"})),
        ]})),
    );
    assert_eq!(
        lever(&draft)["schedules"],
        json!([{"name": "cron-1", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "timeZone": "Europe/Berlin", "replicas": 5}])
    );
    let notes = notes(&draft).join("\n");
    for said in [
        "6 is above max; it is 5 now",
        "trigger 2 (cron) names a time that",
        "trigger 3 (cron) names a time zone that",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    valid(&draft, "cron");
}

/// Between its times such a workload has its smallest number, which may be none.
#[test]
fn a_workload_may_be_driven_by_schedules_alone() {
    let draft = of(
        Autoscaler::ScaledObject,
        &scaled(json!({"triggers": [working_hours(json!({}))]})),
    );
    let found = lever(&draft);
    assert_eq!(
        (&found["min"], &found["zero"]["signal"]),
        (&json!(0), &json!("nothing"))
    );
    assert_eq!(found["metrics"]["list"][0]["target"], json!({"averageValue": 1.0}));
    assert_eq!(signals(&draft), json!([{"name": "nothing", "expr": "vector(0)"}]));
    valid(&draft, "cron-alone");
}

#[rstest]
#[case::kept("max(rps / 100, queue)", "AverageValue", "2", Some(json!({"averageValue": 2.0})))]
#[case::kept_with_a_condition("queue > 10 ? rps : 1", "Value", "1.5", Some(json!({"value": 1.5})))]
#[case::not_known("count([rps, queue], {# > 1})", "AverageValue", "2", None)]
#[case::names_something_else("rps + other", "AverageValue", "2", None)]
fn a_formula_is_kept_where_both_know_it(
    #[case] formula: &str,
    #[case] kind: &str,
    #[case] target: &str,
    #[case] expect: Option<Value>,
) {
    let object = scaled(json!({
        "minReplicaCount": 1,
        "triggers": [prometheus("rps", "sum(rps)", json!({})), prometheus("queue", "sum(queue)", json!({}))],
        "advanced": {"scalingModifiers": {"formula": formula, "target": target, "metricType": kind}},
    }));
    let draft = of(Autoscaler::ScaledObject, &object);
    let test = format!("formula-{}", formula.len());
    if let Some(expect) = expect {
        let list = lever(&draft)["metrics"]["list"].clone();
        assert_eq!(
            list,
            json!([{"name": "formula", "formula": formula, "target": expect}]),
            "the triggers have no targets of their own"
        );
        valid(&draft, &test);
    } else {
        assert!(
            notes(&draft).iter().any(|note| note.contains("Write it in CEL")),
            "{:?}",
            notes(&draft)
        );
        let (errors, report) = checked(&draft, &test);
        assert!(
            errors > 0 && report.contains("none of step, ratio and metrics"),
            "no number is made up: {report}"
        );
    }
}

#[rstest]
#[case(
    "rps / 100 + queue * (2 - 0.5)",
    0,
    Some("sum(sum(rps)) / 100 + sum(sum(queue)) * (2 - 0.5)")
)]
#[case("max(rps, queue)", 1, None)]
fn a_formula_of_plain_arithmetic_says_whether_there_is_anything_to_do(
    #[case] formula: &str,
    #[case] min: i32,
    #[case] expr: Option<&str>,
) {
    let object = scaled(json!({
        "triggers": [prometheus("rps", "sum(rps)", json!({})), prometheus("queue", "sum(queue)", json!({}))],
        "advanced": {"scalingModifiers": {"formula": formula, "target": "2", "activationTarget": "3"}},
    }));
    let draft = of(Autoscaler::ScaledObject, &object);
    assert_eq!(lever(&draft)["min"], json!(min));
    if let Some(expr) = expr {
        assert_eq!(
            lever(&draft)["zero"],
            json!({"signal": "active", "activation": 3.0, "cooldown": "300s"})
        );
        assert_eq!(signals(&draft)[2]["expr"], json!(expr));
    }
    valid(&draft, &format!("active-{min}"));
}

#[rstest]
#[case::fixed(json!({"failureThreshold": 3, "replicas": 6}), json!({"after": "90s", "replicas": 6}), "only raises")]
#[case::if_higher(json!({"failureThreshold": 3, "replicas": 6, "behavior": "currentReplicasIfHigher"}), json!({"after": "90s", "replicas": 6}), "counts time")]
#[case::at_once(json!({"failureThreshold": 0, "replicas": 200}), json!({"after": "30s", "replicas": 100}), "200 is above max")]
#[case::current(json!({"failureThreshold": 3, "replicas": 6, "behavior": "currentReplicas"}), Value::Null, "is not needed")]
#[case::if_lower(json!({"failureThreshold": 3, "replicas": 6, "behavior": "currentReplicasIfLower"}), Value::Null, "takes replicas away")]
#[case::to_none(json!({"failureThreshold": 3, "replicas": 0}), Value::Null, "would take all away")]
fn a_fallback_counts_time(#[case] fallback: Value, #[case] expect: Value, #[case] said: &str) {
    let triggers = json!([prometheus("rps", "sum(rps)", json!({}))]);
    let draft = of(
        Autoscaler::ScaledObject,
        &scaled(json!({"minReplicaCount": 1, "triggers": triggers, "fallback": fallback})),
    );
    assert_eq!(lever(&draft)["fallback"], expect);
    assert!(
        notes(&draft).iter().any(|note| note.contains(said)),
        "{:?}",
        notes(&draft)
    );
    valid(&draft, &format!("fallback-{}", said.len()));
}

#[rstest]
#[case(json!({"autoscaling.keda.sh/paused": "true"}), true, true)]
#[case(json!({"autoscaling.keda.sh/paused": "perhaps"}), true, true)]
#[case(json!({"autoscaling.keda.sh/paused": "false"}), false, false)]
#[case(json!({"autoscaling.keda.sh/paused-replicas": "4"}), true, true)]
#[case(json!({"autoscaling.keda.sh/paused-scale-in": "true"}), false, true)]
#[case(json!({"autoscaling.keda.sh/paused-scale-out": "true"}), true, false)]
#[case(json!({}), false, false)]
fn a_pause_is_kept(#[case] annotations: Value, #[case] up: bool, #[case] down: bool) {
    let triggers = json!([prometheus("rps", "sum(rps)", json!({}))]);
    let object = scaled(json!({"minReplicaCount": 1, "triggers": triggers}));
    let draft = of(
        Autoscaler::ScaledObject,
        &merged(object, json!({"metadata": {"annotations": annotations}})),
    );
    let pause = draft.spec.pause.clone().unwrap_or_default();
    assert_eq!((pause.up.is_some(), pause.down.is_some()), (up, down));
}

#[test]
fn what_has_no_equivalent_is_named_with_its_way_out() {
    let draft = of(
        Autoscaler::ScaledObject,
        &scaled(json!({
            "minReplicaCount": 2, "idleReplicaCount": 0,
            "advanced": {"restoreToOriginalReplicaCount": true},
            "triggers": [
                {"type": "kafka", "metadata": {"topic": "orders", "consumerGroup": "g", "lagThreshold": "50"}},
                {"type": "aws-sqs-queue", "metadata": {"queueURL": "https://sqs"}},
                prometheus("bad", "sum(", json!({"authenticationRef": {"name": "creds"}, "metadata": {"customHeaders": "X-Scope-OrgID=a"}})),
            ],
        })),
    );
    let notes = notes(&draft).join("\n");
    for said in [
        "trigger 0 of type \"kafka\" has no equivalent and is left out; with kafka-exporter a signal could be \
         sum(kafka_consumergroup_lag{consumergroup=\"g\", topic=\"orders\"}), with averageValue 50",
        "trigger 1 of type \"aws-sqs-queue\" has no equivalent",
        "Flyball can't ask this",
        "authenticationRef is not taken over",
        "customHeaders \"X-Scope-OrgID=a\" is not taken over; for MetricSources that is spec.headers",
        "idleReplicaCount 0 is not taken over",
        "restoreToOriginalReplicaCount has no equivalent",
    ] {
        assert!(notes.contains(said), "{said}\n{notes}");
    }
    assert_eq!(lever(&draft)["min"], json!(2));
}

//! What is allowed and rarely meant.

use super::{
    autoscaler,
    policy::{whole, with},
    replaced, spec, texts,
};
use flyball_controller::validate;
use rstest::rstest;
use serde_json::{Value, json};

#[test]
fn a_careful_policy_has_no_warnings() {
    let mut value = whole();
    value["actions"].as_array_mut().unwrap().remove(1);
    assert_eq!(texts(&validate::warnings(&spec(value))), Vec::<String>::new());
}

#[rstest]
#[case("/rules/0/annotations", json!({"a": "{{ $labels.pod }}"}), "spec.rules[0].annotations.a: the expression drops the label \"pod\"")]
#[case("/rules/0/expr", json!("x{a=\"b\"} > bool 1"), "bool makes every series an alert")]
#[case("/rules/0/expr", json!("rate(x[5m]) > 1"), "spec.rules[0].expr: \"x\" has no matcher")]
#[case("/rules/0/expr", json!("rate(x{a=\"b\"}[30s]) > 1"), "the range 30s is shorter than four intervals of 15s; write at least 1m")]
#[case("/signals/0/expr", json!("x{a=\"b\"}"), "spec.signals[0].expr: may answer several series")]
#[case("/actions/0/verify/demand", Value::Null, "spec.actions[0].verify.demand: is missing")]
#[case("/actions/0/verify/within", json!("6m20s"), "spec.actions[0].verify.within: leaves fewer than two evaluations")]
#[case("/actions/0/replicas/step/down/after", json!("5s"), "down.after: 5s is shorter than the interval 15s")]
#[case("/actions/0/verify/expr", json!("sum by (job) (rate(x_sum{job=\"c\"}[5m])) / sum by (job) (rate(x_count{job=\"c\"}[5m])) >= 1"), "asks for the same as the rule \"HighRequestLatency\"")]
fn what_is_rarely_meant_is_a_warning(#[case] pointer: &str, #[case] value: Value, #[case] part: &str) {
    let warnings = texts(&validate::warnings(&with(pointer, value)));
    assert!(warnings.iter().any(|warning| warning.contains(part)), "{warnings:#?}");
}

#[rstest]
#[case("/actions/0/replicas/fallback", Value::Null, &[])]
#[case("/signals/2/expr", json!("sum by (job) (rate(busy{job=\"c\"}[5m]))"), &["spec.signals[2].expr: drops the label pod, by which the numbers of a perPod signal are told apart"])]
#[case("/actions/0/holdDownWhile/0/expr", json!("rate(x[5m]) > 1"), &["spec.actions[0].holdDownWhile[0].expr: \"x\" has no matcher"])]
#[case("/actions/0/holdDownWhile/0/expr", json!("rate(x{a=\"b\"}[30s]) > 1"), &["spec.actions[0].holdDownWhile[0].expr: the range 30s is shorter than four intervals"])]
#[case("/actions/0/verify/settle", json!("5m"), &["spec.actions[0].verify.settle: 5m is shorter than the longest range in expr and warmUp together, so pods that do not count yet would be judged; write at least 5m30s"])]
#[case("/actions/1/replicas/fallback", json!({"after": "5m", "replicas": 2}), &["spec.actions[1].replicas.fallback.replicas: 2 is not above min, which is 2"])]
#[case("/actions/1/replicas/schedules/0/replicas", json!(1), &["spec.actions[1].replicas.schedules[0].replicas: 1 is not above min, which is 2"])]
fn an_autoscaler_has_warnings(#[case] pointer: &str, #[case] value: Value, #[case] expect: &[&str]) {
    let warnings = texts(&validate::warnings(&replaced(autoscaler::whole(), pointer, value)));
    assert_eq!(warnings.len(), expect.len(), "{warnings:#?}");
    for (warning, part) in warnings.iter().zip(expect) {
        assert!(warning.contains(part), "{warnings:#?}");
    }
}

#[test]
fn zero_with_nothing_to_come_back_by_is_a_warning() {
    let mut value = autoscaler::whole();
    assert_eq!(texts(&validate::warnings(&spec(value.clone()))), Vec::<String>::new());
    let replicas = value["actions"][0]["replicas"].as_object_mut().unwrap();
    replicas.remove("fallback");
    replicas.remove("schedules");
    let warnings = texts(&validate::warnings(&spec(value)));
    assert_eq!(
        warnings,
        [
            "spec.actions[0].replicas.zero: while signal \"queue\" has no data nothing brings the workload back; \
         add replicas.fallback or a schedule"
        ]
    );
}

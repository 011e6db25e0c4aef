//! Rules, signals, the step, the ratio and the verification.

use super::{refused, replaced, spec, texts};
use flyball_controller::validate;
use flyball_core::{
    policy::{
        Amount, Comparator, Condition, Law, Measure, Mode, Number, OnInconclusive, OnIneffective, Policy, TotalTarget,
    },
    time::Span,
};
use flyball_crds::{FeedbackPolicySpec, TargetRef};
use rstest::rstest;
use serde_json::{Value, json};

/// A policy with everything in it that can be wrong.
pub fn whole() -> Value {
    json!({
        "mode": "Enforce",
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "rules": [
            {
                "alert": "HighRequestLatency",
                "expr": "sum by (job) (rate(x_sum{job=\"c\"}[5m])) / sum by (job) (rate(x_count{job=\"c\"}[5m])) > 0.5",
                "for": "2m",
                "labels": {"severity": "warning"},
                "annotations": {"summary": "High latency of {{ $labels.job }}: {{ $value }}"}
            },
            {"alert": "LowLoad", "expr": "sum(rate(x_count{job=\"c\"}[5m])) < 1", "keep_firing_for": "1m"}
        ],
        "signals": [{"name": "requests", "expr": "sum(rate(x_count{job=\"c\"}[5m]))", "maxAge": "2m"}],
        "actions": [
            {
                "name": "more-replicas",
                "when": ["HighRequestLatency"],
                "replicas": {
                    "step": {"percent": 50, "down": {"pods": 1, "after": "10m", "when": ["LowLoad"]}},
                    "min": 2,
                    "max": 20,
                    "cooldown": {"up": "1m"},
                    "behavior": {"scaleUp": {
                        "stabilizationWindowSeconds": 30,
                        "selectPolicy": "Min",
                        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 60}]
                    }}
                },
                "verify": {
                    "settle": "6m",
                    "within": "10m",
                    "expr": "max(rate(x_sum{job=\"c\"}[5m]) / rate(x_count{job=\"c\"}[5m])) <= 0.5",
                    "demand": {"signal": "requests"}
                }
            },
            {
                "name": "follow-load",
                "replicas": {"ratio": {"signal": "requests", "target": 100.0}, "min": 1, "max": 10},
                "verify": {"settle": "6m", "within": "10m", "expr": "up{job=\"c\"} == 1", "onIneffective": "Hold"}
            }
        ]
    })
}

/// The whole policy with the value at `pointer` replaced, or removed where it is null.
pub fn with(pointer: &str, value: Value) -> FeedbackPolicySpec {
    replaced(whole(), pointer, value)
}

pub fn policy() -> Policy {
    validate::policy(&spec(whole())).unwrap()
}

#[test]
fn a_whole_policy_is_read_with_its_defaults() {
    let policy = policy();
    assert_eq!((policy.mode, policy.suspended), (Mode::Enforce, false));
    assert_eq!(
        (policy.interval, policy.max_age),
        (Span::from_secs(15), Span::from_secs(60))
    );
    assert_eq!(policy.yield_for, Span::from_secs(900));
    let rule = &policy.rules["HighRequestLatency"];
    assert!(matches!(&rule.condition, Condition::Threshold(t) if t.comparator == Comparator::Greater));
    assert_eq!((rule.hold, rule.keep_firing_for), (Span::from_secs(120), Span::ZERO));
    assert_eq!(
        rule.annotations["summary"].source(),
        "High latency of {{ $labels.job }}: {{ $value }}"
    );
    assert_eq!(policy.signals["requests"].max_age, Span::from_secs(120));

    let [step, ratio] = policy.actions.as_slice() else {
        panic!("two actions")
    };
    let Law::Step(law) = &step.law else { panic!("a step") };
    let down = law.down.as_ref().unwrap();
    assert_eq!(
        (law.up, down.by, down.after),
        (Amount::Percent(50), Amount::Pods(1), Span::from_secs(600))
    );
    assert_eq!((step.bounds.min.get(), step.bounds.max.get()), (2, 20));
    assert_eq!(
        (step.up.cooldown, step.down.cooldown),
        (Span::from_secs(60), Span::from_secs(60))
    );
    assert_eq!(
        (step.up.stabilization, step.down.stabilization),
        (Span::from_secs(30), Span::ZERO)
    );
    assert_eq!(step.up.limits[0].amount, Amount::Percent(100));
    let verification = step.verification.as_ref().unwrap();
    assert_eq!(
        (verification.latch, verification.max_age),
        (Span::from_secs(1800), Span::from_secs(60))
    );
    assert_eq!(verification.demand.as_ref().unwrap().tolerance.get().to_string(), "0.2");
    assert_eq!(verification.on_inconclusive, OnInconclusive::Hold);
    assert_eq!(verification.on_ineffective, OnIneffective::RollBack);

    let Law::Metrics(law) = &ratio.law else {
        panic!("metrics")
    };
    let Measure::Total {
        of: Number::Signal(signal),
        target: TotalTarget::AverageValue(target),
    } = &law.list[0].measure
    else {
        panic!("a total")
    };
    assert_eq!(
        (law.list.len(), law.list[0].name.as_str(), signal.as_str()),
        (1, "requests", "requests")
    );
    assert_eq!(
        (target.get().to_string(), law.tolerance_up.get().to_string()),
        ("100".into(), "0.1".into())
    );
    assert_eq!((ratio.up.cooldown, ratio.up.stabilization), (Span::ZERO, Span::ZERO));
    assert_eq!(ratio.down.stabilization, Span::from_secs(300));
    assert_eq!(ratio.verification.as_ref().unwrap().on_ineffective, OnIneffective::Hold);
}

#[rstest]
#[case("/sourceRef/name", json!("Prometheus!"), "spec.sourceRef.name: \"Prometheus!\" is not the name of a MetricSource")]
#[case("/targetRef/apiVersion", json!("apps"), "spec.targetRef.apiVersion: \"apps\" is not group/version; write for example apps/v1")]
#[case("/targetRef/kind", json!("deployment"), "spec.targetRef.kind: \"deployment\" is not a kind")]
#[case("/targetRef/name", json!("a/b"), "spec.targetRef.name: \"a/b\"")]
#[case("/interval", json!("500ms"), "spec.interval: 500ms is not between 1s and 1h")]
#[case("/interval", json!("2h"), "spec.interval: 2h is not between")]
#[case("/maxAge", json!("0s"), "spec.maxAge: is zero")]
#[case("/yieldFor", json!("-5m"), "spec.yieldFor: \"-5m\" is not a duration")]
#[case("/rules/0/expr", json!("sum("), "spec.rules[0].expr: '(' at column 4 is never closed")]
#[case("/rules/0/for", json!("-1m"), "spec.rules[0].for: \"-1m\" is not a duration")]
#[case("/rules/0/keep_firing_for", json!("2 m"), "spec.rules[0].keep_firing_for: \"2 m\" is not a duration")]
#[case("/rules/0/labels", json!({"alertname": "x"}), "spec.rules[0].labels.alertname: is set from the rule itself")]
#[case("/rules/0/labels", json!({"a-b": "x"}), "spec.rules[0].labels.a-b: is not a name")]
#[case("/rules/0/annotations", json!({"a": "{{ range query }}"}), "spec.rules[0].annotations.a: ")]
#[case("/rules/1/alert", json!("HighRequestLatency"), "spec.rules[1].alert: \"HighRequestLatency\" is the name of two rules")]
#[case("/rules/1/alert", json!("LowLoads"), "spec.actions[0].replicas.step.down.when[0]: there is no rule \"LowLoad\"; define it under spec.rules or use one of \"HighRequestLatency\", \"LowLoads\"")]
#[case("/signals/0/expr", json!("up[5m]"), "spec.signals[0].expr: the expression answers a range vector")]
#[case("/signals/0/maxAge", json!("soon"), "spec.signals[0].maxAge: \"soon\" is not a duration")]
#[case("/actions/0/name", json!("More Replicas"), "spec.actions[0].name: \"More Replicas\"")]
#[case("/actions/1/name", json!("more-replicas"), "spec.actions[1].name: \"more-replicas\" is the name of two actions")]
#[case("/actions/0/when", json!(["Nobody"]), "spec.actions[0].when[0]: there is no rule \"Nobody\"")]
#[case("/actions/0/when", json!(["LowLoad", "LowLoad"]), "spec.actions[0].when[1]: \"LowLoad\" is listed twice")]
#[case("/actions/0/when", json!([]), "spec.actions[0].when: is empty, but replicas.step needs a rule")]
#[case("/actions/0/replicas", Value::Null, "spec.actions[0].replicas: is missing")]
#[case("/actions/0/verify", Value::Null, "spec.actions[0].verify: mode Enforce needs it")]
#[case("/actions/0/replicas/min", json!(0), "spec.actions[0].replicas.min: 0 would leave nothing that serves")]
#[case("/actions/0/replicas/min", json!(-1), "spec.actions[0].replicas.min: -1 is not between 0 and 10000")]
#[case("/actions/0/replicas/min", json!(21), "spec.actions[0].replicas.min: 21 is above max, which is 20")]
#[case("/actions/0/replicas/max", json!(10_001), "spec.actions[0].replicas.max: 10001 is not between 1 and 10000")]
#[case("/actions/0/replicas/max", json!(i32::MAX), "spec.actions[0].replicas.max: 2147483647 is not between")]
#[case(
    "/actions/0/replicas/step",
    Value::Null,
    "spec.actions[0].replicas: has none of step, ratio and metrics"
)]
#[case("/actions/1/replicas/step", json!({"pods": 1}), "spec.actions[1].replicas: has more than one of step, ratio and metrics")]
#[case("/actions/0/replicas/step/pods", json!(1), "spec.actions[0].replicas.step: has both pods and percent")]
#[case(
    "/actions/0/replicas/step/percent",
    Value::Null,
    "spec.actions[0].replicas.step: has neither pods nor percent"
)]
#[case("/actions/0/replicas/step/percent", json!(0), "spec.actions[0].replicas.step.percent: 0 is not between 1 and 1000")]
#[case("/actions/0/replicas/step/down/pods", json!(-3), "spec.actions[0].replicas.step.down.pods: -3 is not between")]
#[case("/actions/0/replicas/step/down/percent", json!(10), "spec.actions[0].replicas.step.down: has both pods and percent")]
#[case("/actions/0/replicas/step/down/after", json!("1"), "spec.actions[0].replicas.step.down.after: \"1\" is not a duration")]
#[case("/actions/0/replicas/cooldown/up", json!("x"), "spec.actions[0].replicas.cooldown.up: \"x\" is not a duration")]
#[case("/actions/0/replicas/behavior/scaleUp/stabilizationWindowSeconds", json!(3601), "scaleUp.stabilizationWindowSeconds: 3601 is not between 0 and 3600")]
#[case("/actions/0/replicas/behavior/scaleUp/policies/0/value", json!(0), "scaleUp.policies[0].value: 0 is not between")]
#[case("/actions/0/replicas/behavior/scaleUp/policies/0/periodSeconds", json!(1801), "scaleUp.policies[0].periodSeconds: 1801 is not between 1 and 1800")]
#[case("/actions/1/replicas/ratio/signal", json!("nobody"), "spec.actions[1].replicas.ratio.signal: there is no signal \"nobody\"; define it under spec.signals or use one of \"requests\"")]
#[case("/actions/1/replicas/ratio/target", json!(0.0), "spec.actions[1].replicas.ratio.target: 0 is not a number above 0")]
#[case("/actions/1/replicas/ratio/target", json!(-0.5), "spec.actions[1].replicas.ratio.target: -0.5 is not")]
#[case("/actions/1/replicas/ratio/tolerance", json!({"up": 1.5}), "spec.actions[1].replicas.ratio.tolerance.up: 1.5 is not between 0 and 1")]
#[case("/actions/0/verify/settle", json!("10m"), "spec.actions[0].verify.within: 10m is not longer than settle, which is 10m")]
#[case("/actions/0/verify/settle", json!("4m"), "spec.actions[0].verify.settle: 4m is shorter than the longest range in expr, so samples from before the change would be judged; write at least 5m")]
#[case("/actions/0/verify/expr", json!("up"), "spec.actions[0].verify.expr: a comparison with a number is needed")]
#[case("/actions/0/verify/expr", json!("up > bool 1"), "spec.actions[0].verify.expr: the comparison has the modifier bool")]
#[case("/actions/0/verify/demand/signal", json!("load"), "spec.actions[0].verify.demand.signal: there is no signal \"load\"")]
#[case("/actions/0/verify/demand/tolerancePercent", json!(101), "spec.actions[0].verify.demand.tolerancePercent: 101 is not between 1 and 100")]
#[case("/actions/0/verify/latch", json!("400d"), "spec.actions[0].verify.latch: \"400d\" is longer than the 365d")]
fn what_is_wrong_is_named(#[case] pointer: &str, #[case] value: Value, #[case] part: &str) {
    refused(&with(pointer, value), part);
}

#[test]
fn all_errors_are_said_at_once_with_their_position() {
    let mut value = whole();
    value["interval"] = json!("0s");
    value["rules"][0]["expr"] = json!("a +\nrate(b)");
    value["actions"][0]["replicas"]["max"] = json!(1);
    value["actions"][0]["verify"]["latch"] = json!("");
    value["actions"][1]["replicas"]["ratio"]["signal"] = json!("");
    let errors = validate::policy(&spec(value)).unwrap_err();
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "spec.interval",
            "spec.rules[0].expr",
            "spec.actions[0].verify.latch",
            "spec.actions[0].replicas.min",
            "spec.actions[1].replicas.ratio.signal"
        ]
    );
    let position = errors[1].position.unwrap();
    assert_eq!((position.line, position.column), (2, 1));
}

#[rstest]
#[case("/rules", 33, json!({"alert": "a", "expr": "up > 1"}), "spec.rules: 33 entries, at most 32")]
#[case("/signals", 33, json!({"name": "a", "expr": "sum(up)"}), "spec.signals: 33 entries")]
#[case("/actions", 9, json!({"name": "a"}), "spec.actions: 9 entries, at most 8")]
fn lists_are_bounded(#[case] pointer: &str, #[case] many: usize, #[case] entry: Value, #[case] part: &str) {
    let errors = texts(&validate::policy(&with(pointer, Value::Array(vec![entry; many]))).unwrap_err());
    assert!(errors.iter().any(|error| error.contains(part)), "{errors:#?}");
}

#[test]
fn numbers_that_json_can_not_hold_are_refused_too() {
    let mut spec = spec(whole());
    for target in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        spec.actions[1]
            .replicas
            .as_mut()
            .unwrap()
            .ratio
            .as_mut()
            .unwrap()
            .target = target;
        let errors = texts(&validate::policy(&spec).unwrap_err());
        assert!(errors[0].contains("is not a number above 0"), "{errors:?}");
    }
}

#[test]
fn control_characters_do_not_reach_a_message() {
    let mut value = whole();
    value["rules"][0]["alert"] = json!("a\u{1b}[31m\n");
    value["targetRef"]["name"] = json!("\u{202e}x".repeat(100));
    value["rules"][0]["labels"] = json!({"a\nb": "x"});
    for error in texts(&validate::policy(&spec(value)).unwrap_err()) {
        assert!(error.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{error:?}");
        assert!(error.len() < 700, "{error}");
    }
}

#[test]
fn observe_and_recommend_need_no_verification() {
    let mut value = whole();
    value["mode"] = json!("Observe");
    value["actions"][0].as_object_mut().unwrap().remove("verify");
    assert!(
        validate::policy(&spec(value)).unwrap().actions[0]
            .verification
            .is_none()
    );
}

#[rstest]
#[case("apps/v1", "Deployment", "a.b-c", true)]
#[case("v1", "ReplicationController", "a", true)]
#[case("argoproj.io/v1alpha1", "Rollout", "a", true)]
#[case("apps/v1/x", "Deployment", "a", false)]
#[case("/v1", "Deployment", "a", false)]
#[case("apps/", "Deployment", "a", false)]
#[case("", "Deployment", "a", false)]
#[case("apps/v1", "", "a", false)]
#[case("apps/v1", "Deploy/ment", "a", false)]
#[case("apps/v1", "Deployment", "", false)]
#[case("apps/v1", "Deployment", "../a", false)]
fn targets_have_a_shape(#[case] api_version: &str, #[case] kind: &str, #[case] name: &str, #[case] good: bool) {
    let target = TargetRef {
        api_version: api_version.into(),
        kind: kind.into(),
        name: name.into(),
    };
    assert_eq!(validate::target(&target).is_ok(), good);
}

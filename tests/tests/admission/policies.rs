//! The rules of a FeedbackPolicy.

use super::definitions::Case;
use serde_json::{Value, json};

/// A policy with everything in it that a rule looks at.
pub fn policy() -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "FeedbackPolicy",
        "metadata": {"name": "checkout"},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "rules": [{"alert": "High", "expr": "x > 1", "for": "2m"}, {"alert": "Low", "expr": "x < 1"}],
            "signals": [{"name": "rps", "expr": "sum(x)"}, {"name": "errors", "expr": "sum(y)"}],
            "actions": [
                {
                    "name": "step",
                    "when": ["High"],
                    "replicas": {"min": 2, "max": 20, "step": {"percent": 50, "down": {"pods": 1, "after": "30m"}}},
                    "verify": {"settle": "6m", "within": "10m", "expr": "x <= 1"},
                },
                {
                    "name": "ratio",
                    "replicas": {"min": 2, "max": 20, "ratio": {"signal": "rps", "target": 100.0}},
                    "verify": {"settle": "6m", "within": "10m", "expr": "x <= 1"},
                },
            ],
        },
    })
}

/// What is said to it, and to what differs from it.
pub const POLICIES: &[Case] = &[
    ("everything", &[], None),
    (
        "Recommend is the default, and asks for no verify",
        &[
            ("/spec/mode", || json!(null)),
            ("/spec/actions/0/verify", || json!(null)),
        ],
        None,
    ),
    (
        "no rules, signals or actions",
        &[
            ("/spec/rules", || json!(null)),
            ("/spec/signals", || json!(null)),
            ("/spec/actions", || json!(null)),
        ],
        None,
    ),
    (
        "receivers of events",
        &[(
            "/spec/notifications",
            || json!([{"receiver": "shop-team", "severity": "Warning"}, {"receiver": "audit", "reasons": ["Committed", "RolledBack"]}, {"receiver": "all"}]),
        )],
        None,
    ),
    (
        "a receiver twice",
        &[(
            "/spec/notifications",
            || json!([{"receiver": "a"}, {"receiver": "a", "severity": "Warning"}]),
        )],
        Some("the names in notifications[].receiver must be unique"),
    ),
    (
        "a receiver by its address",
        &[("/spec/notifications", || json!([{"receiver": "http://broker"}]))],
        Some("receiver is a name of lower-case letters, digits and dashes"),
    ),
    (
        "a severity and reasons",
        &[(
            "/spec/notifications",
            || json!([{"receiver": "a", "severity": "Normal", "reasons": ["Committed"]}]),
        )],
        Some("a notification takes at most one of severity and reasons"),
    ),
    (
        "a reason of which no event tells",
        &[(
            "/spec/notifications",
            || json!([{"receiver": "a", "reasons": ["Idle"]}]),
        )],
        Some("Unsupported value: \"Idle\""),
    ),
    (
        "rules of a PrometheusRule only",
        &[
            ("/spec/rules", || json!(null)),
            (
                "/spec/prometheusRuleRef",
                || json!({"name": "alerts", "group": "g", "matchLabels": {"severity": "warning"}, "alerts": ["High"]}),
            ),
        ],
        None,
    ),
    (
        "an action that names rules where there are none",
        &[("/spec/rules", || json!(null))],
        Some("an action names rules in when, and there are none: write rules, watermarks or a prometheusRuleRef"),
    ),
    (
        "a reference without a name",
        &[("/spec/prometheusRuleRef", || json!({"group": "g"}))],
        Some("spec.prometheusRuleRef.name: Required value"),
    ),
    (
        "a group without a name",
        &[("/spec/prometheusRuleRef", || json!({"name": "alerts", "group": ""}))],
        Some("spec.prometheusRuleRef.group"),
    ),
    (
        "more alerts than there may be rules",
        &[(
            "/spec/prometheusRuleRef",
            || json!({"name": "alerts", "alerts": (0..33).map(|n| format!("A{n}")).collect::<Vec<_>>()}),
        )],
        Some("spec.prometheusRuleRef.alerts: Too many"),
    ),
    (
        "Enforce without verify",
        &[("/spec/actions/1/verify", || json!(null))],
        Some("mode Enforce needs verify in every action: nothing is committed without a verification"),
    ),
    (
        "another mode",
        &[("/spec/mode", || json!("YOLO"))],
        Some(r#"spec.mode: Unsupported value: "YOLO": supported values: "Observe", "Recommend", "Enforce""#),
    ),
    (
        "a step without a rule",
        &[("/spec/actions/0/when", || json!([]))],
        Some("an action with replicas.step needs at least one rule in when"),
    ),
    (
        "a ratio without a rule",
        &[("/spec/actions/1/when", || json!([]))],
        None,
    ),
    (
        "no lever",
        &[("/spec/actions/0/replicas", || json!(null))],
        Some("an action takes exactly one of replicas, weights, runtime, notify, annotate, capture and relieve"),
    ),
    (
        "two rules of one name",
        &[("/spec/rules/1/alert", || json!("High"))],
        Some("the names in rules[].alert must be unique"),
    ),
    (
        "two signals of one name",
        &[("/spec/signals/1/name", || json!("rps"))],
        Some("the names in signals[].name must be unique"),
    ),
    (
        "two actions of one name",
        &[("/spec/actions/1/name", || json!("step"))],
        Some("the names in actions[].name must be unique"),
    ),
    (
        "min and max alike",
        &[("/spec/actions/0/replicas/min", || json!(20))],
        None,
    ),
    (
        "min above max",
        &[("/spec/actions/0/replicas/min", || json!(21))],
        Some("replicas.min must not be above replicas.max"),
    ),
    (
        "min 0",
        &[("/spec/actions/0/replicas/min", || json!(0))],
        Some("replicas.min 0 needs replicas.zero, which says when there is anything to do"),
    ),
    (
        "a negative min",
        &[("/spec/actions/0/replicas/min", || json!(-1))],
        Some("spec.actions[0].replicas.min in body should be greater than or equal to 0"),
    ),
    (
        "max above 10,000",
        &[("/spec/actions/0/replicas/max", || json!(10_001))],
        Some("spec.actions[0].replicas.max in body should be less than or equal to 10000"),
    ),
    (
        "no max",
        &[("/spec/actions/0/replicas/max", || json!(null))],
        Some("spec.actions[0].replicas.max: Required value"),
    ),
    (
        "step and ratio",
        &[(
            "/spec/actions/0/replicas/ratio",
            || json!({"signal": "rps", "target": 1.0}),
        )],
        Some("replicas takes exactly one of step, ratio and metrics"),
    ),
    (
        "neither step nor ratio",
        &[("/spec/actions/0/replicas/step", || json!(null))],
        Some("replicas takes exactly one of step, ratio and metrics"),
    ),
    (
        "pods and percent",
        &[("/spec/actions/0/replicas/step/pods", || json!(1))],
        Some("step takes exactly one of pods and percent"),
    ),
    (
        "neither pods nor percent",
        &[("/spec/actions/0/replicas/step/percent", || json!(null))],
        Some("step takes exactly one of pods and percent"),
    ),
    (
        "percent 0",
        &[("/spec/actions/0/replicas/step/percent", || json!(0))],
        Some("percent in body should be greater than or equal to 1"),
    ),
    (
        "down by pods and percent",
        &[("/spec/actions/0/replicas/step/down/percent", || json!(10))],
        Some("step.down takes exactly one of pods and percent"),
    ),
    (
        "down by neither",
        &[("/spec/actions/0/replicas/step/down/pods", || json!(null))],
        Some("step.down takes exactly one of pods and percent"),
    ),
    (
        "down by all",
        &[(
            "/spec/actions/0/replicas/step/down",
            || json!({"percent": 100, "after": "30m"}),
        )],
        Some("percent in body should be less than or equal to 99"),
    ),
    (
        "no way down",
        &[("/spec/actions/0/replicas/step/down", || json!(null))],
        None,
    ),
    (
        "a target of 0",
        &[("/spec/actions/1/replicas/ratio/target", || json!(0))],
        Some("spec.actions[1].replicas.ratio.target in body should be greater than 0"),
    ),
    (
        "a target just above 0",
        &[("/spec/actions/1/replicas/ratio/target", || json!(0.001))],
        None,
    ),
    (
        "a tolerance above 1",
        &[("/spec/actions/1/replicas/ratio/tolerance", || json!({"up": 1.5}))],
        Some("tolerance.up in body should be less than or equal to 1"),
    ),
    (
        "an empty expression",
        &[("/spec/rules/0/expr", || json!(""))],
        Some("spec.rules[0].expr in body should be at least 1 chars long"),
    ),
    (
        "a long expression",
        &[("/spec/rules/0/expr", || json!("x".repeat(4096)))],
        None,
    ),
    (
        "an expression that is too long",
        &[("/spec/rules/0/expr", || json!("x".repeat(4097)))],
        Some("spec.rules[0].expr: Too long: may not be more than 4096"),
    ),
    ("32 rules", &[("/spec/rules", || rules(32))], None),
    (
        "33 rules",
        &[("/spec/rules", || rules(33))],
        Some("spec.rules: Too many: 33: must have at most 32 items"),
    ),
    (
        "33 signals",
        &[("/spec/signals", || signals(33))],
        Some("spec.signals: Too many: 33: must have at most 32 items"),
    ),
    (
        "9 actions",
        &[("/spec/actions", || actions(9))],
        Some("spec.actions: Too many: 9: must have at most 8 items"),
    ),
    ("a day", &[("/spec/rules/0/for", || json!("1d12h"))], None),
    (
        "a time without a unit",
        &[("/spec/rules/0/for", || json!("2"))],
        Some("spec.rules[0].for in body should match"),
    ),
    (
        "a negative time",
        &[("/spec/rules/0/for", || json!("-2m"))],
        Some("spec.rules[0].for in body should match"),
    ),
    (
        "a time with a space",
        &[("/spec/rules/0/for", || json!("2 m"))],
        Some("spec.rules[0].for in body should match"),
    ),
    (
        "no time",
        &[("/spec/actions/0/verify/settle", || json!(null))],
        Some("spec.actions[0].verify.settle: Required value"),
    ),
    (
        "no source",
        &[("/spec/sourceRef", || json!(null))],
        Some("spec.sourceRef: Required value"),
    ),
    (
        "a period of 31 minutes",
        &[("/spec/actions/0/replicas/behavior", || {
            json!({"scaleUp": {"policies": [
                {"type": "Pods", "value": 1, "periodSeconds": 1860}
            ]}})
        })],
        Some("periodSeconds in body should be less than or equal to 1800"),
    ),
];

fn rules(count: usize) -> Value {
    let rule = |n| {
        if n == 0 {
            json!({"alert": "High", "expr": "x"})
        } else {
            json!({"alert": format!("r{n}"), "expr": "x"})
        }
    };
    (0..count).map(rule).collect()
}

fn signals(count: usize) -> Value {
    (0..count)
        .map(|n| json!({"name": format!("s{n}"), "expr": "x"}))
        .collect()
}

fn actions(count: usize) -> Value {
    let one = |n| {
        json!({
            "name": format!("a{n}"),
            "when": ["High"],
            "replicas": {"min": 1, "max": 2, "step": {"pods": 1}},
            "verify": {"settle": "1m", "within": "2m", "expr": "x > 1"},
        })
    };
    (0..count).map(one).collect()
}

//! Rules that are taken from a PrometheusRule: which, how they are read, and what is said of bad ones.

use super::{policy::whole, spec, texts};
use flyball_controller::{
    prometheus_rule::PrometheusRule,
    validate::{self, Resolved},
};
use flyball_core::{evaluate::expand, policy::Condition, signal::Labels, time::Span};
use flyball_crds::FeedbackPolicySpec;
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Two groups; `Slow` is in both, `Twice` is twice in one.
fn groups() -> Value {
    json!({"groups": [
        {
            "name": "latency",
            "interval": "30s",
            "labels": {"team": "shop", "severity": "info"},
            "rules": [
                {"record": "job:latency:mean", "expr": "sum(x)"},
                {
                    "alert": "Slow", "expr": "latency{job=\"c\"} > 0.5", "for": "1d", "keep_firing_for": "5m30s",
                    "labels": {"severity": "warning"},
                    "annotations": {
                        "summary": "{{ $labels.job }} takes {{ $value }}",
                        "runbook": "{{ range query \"up\" }}{{ end }}",
                        "a-b": "no name of ours",
                    },
                },
                {"alert": "Twice", "expr": "a > 1", "labels": {"severity": "warning"}},
                {"alert": "Twice", "expr": "a > 2", "labels": {"severity": "critical"}},
            ],
        },
        {"name": "other", "rules": [{"alert": "Idle", "expr": 1}, {"alert": "Slow", "expr": "b > 1"}]},
    ]})
}

fn object(spec: &Value) -> PrometheusRule {
    PrometheusRule::read("checkout-alerts", Some(spec))
}

/// A policy whose first action names `when`; its own rules are `HighRequestLatency` and `LowLoad`.
fn referring(reference: Value, when: &[&str]) -> FeedbackPolicySpec {
    let mut whole = whole();
    whole["prometheusRuleRef"] = reference;
    whole["prometheusRuleRef"]["name"] = json!("checkout-alerts");
    whole["actions"][0]["when"] = json!(when);
    spec(whole)
}

fn resolved(reference: Value, when: &[&str]) -> Resolved {
    validate::policy_with(&referring(reference, when), &object(&groups())).unwrap()
}

#[rstest]
#[case::what_an_action_names(json!({"group": "latency"}), &["Slow"], &["Slow"])]
#[case::beside_an_own_rule(json!({"group": "latency"}), &["Slow", "HighRequestLatency"], &["Slow"])]
#[case::own_rules_come_first(json!({"group": "latency"}), &["HighRequestLatency"], &[])]
#[case::what_is_listed(json!({"alerts": ["Idle"]}), &["HighRequestLatency"], &["Idle"])]
#[case::both(json!({"group": "other", "alerts": ["Idle"]}), &["Slow"], &["Slow", "Idle"])]
#[case::one_of_two_by_a_label(json!({"matchLabels": {"severity": "critical"}}), &["Twice"], &["Twice"])]
#[case::by_a_label_of_the_group(json!({"matchLabels": {"team": "shop"}}), &["Slow"], &["Slow"])]
fn only_what_is_asked_for_is_taken(#[case] reference: Value, #[case] when: &[&str], #[case] expect: &[&str]) {
    let resolved = resolved(reference, when);
    let taken: BTreeSet<&str> = resolved.origins.keys().map(String::as_str).collect();
    assert_eq!(taken, expect.iter().copied().collect());
    let all: BTreeSet<&str> = resolved.policy.rules.keys().map(String::as_str).collect();
    let own = ["HighRequestLatency", "LowLoad"];
    assert_eq!(all, own.into_iter().chain(expect.iter().copied()).collect());
}

#[test]
fn a_rule_is_read_as_prometheus_reads_it() {
    let resolved = resolved(json!({"group": "latency"}), &["Slow"]);
    let rule = &resolved.policy.rules["Slow"];
    assert_eq!(rule.alert, "Slow");
    assert_eq!(rule.hold, Span::from_secs(86_400));
    assert_eq!(rule.keep_firing_for, Span::from_secs(330));
    let Condition::Threshold(threshold) = &rule.condition else {
        panic!("a comparison with a number")
    };
    assert_eq!(
        (threshold.left.text.as_str(), threshold.right.get()),
        ("latency{job=\"c\"}", 0.5)
    );
    let series = Labels::from([("job".to_owned(), "c".to_owned())]);
    let text = |template| expand(template, &series, 0.75);
    let labels: Vec<_> = rule
        .labels
        .iter()
        .map(|(name, label)| (name.as_str(), text(label)))
        .collect();
    assert_eq!(
        labels,
        [("severity", "warning".to_owned()), ("team", "shop".to_owned())],
        "the rule's own label comes before the group's"
    );
    assert_eq!(text(&rule.annotations["summary"]), "c takes 0.75");
    // Ours can't do that; whoever reads it sees what was written.
    assert_eq!(text(&rule.annotations["runbook"]), "{{ range query \"up\" }}{{ end }}");
    assert!(!rule.annotations.contains_key("a-b"));
    let notes = texts(&resolved.notes);
    let [odd, template] = notes.as_slice() else {
        panic!("{notes:#?}")
    };
    let place = "spec.prometheusRuleRef: PrometheusRule checkout-alerts: groups[0].rules[1].annotations";
    assert!(odd.starts_with(&format!("{place}.a-b: is left out")), "{odd}");
    assert!(
        template.starts_with(&format!("{place}.runbook: stays as it is written: ")) && template.contains("range"),
        "{template}"
    );
    assert_eq!(
        resolved.origins["Slow"],
        "PrometheusRule checkout-alerts, group latency"
    );
}

#[test]
fn a_number_is_an_expression() {
    let resolved = resolved(json!({"alerts": ["Idle"]}), &["HighRequestLatency"]);
    let Condition::Opaque(query) = &resolved.policy.rules["Idle"].condition else {
        panic!("no comparison")
    };
    assert_eq!(query.text, "1");
}

fn refused(spec: &FeedbackPolicySpec, object: &PrometheusRule, expect: &str) {
    let errors = texts(&validate::policy_with(spec, object).unwrap_err());
    assert_eq!(errors.len(), 1, "one mistake, one error: {errors:#?}");
    assert!(errors[0].starts_with(expect), "{errors:#?}");
}

const OF: &str = "spec.prometheusRuleRef: PrometheusRule checkout-alerts: ";

#[rstest]
#[case::two_groups(json!({}), &["Slow"],
    "spec.prometheusRuleRef: PrometheusRule checkout-alerts: groups[0].rules[1] and groups[1].rules[1] are both named \
     \"Slow\"; choose one with group or matchLabels")]
#[case::two_severities(json!({"group": "latency"}), &["Twice"],
    "spec.prometheusRuleRef: PrometheusRule checkout-alerts: groups[0].rules[2] and groups[0].rules[3] are both named \
     \"Twice\"; choose one with group or matchLabels")]
#[case::no_such_group(json!({"group": "late"}), &["Slow"],
    "spec.prometheusRuleRef.group: PrometheusRule checkout-alerts has no group \"late\"; use one of \"latency\", \"other\"")]
#[case::no_such_rule(json!({"group": "latency"}), &["Fast"],
    "spec.actions[0].when[0]: is not in spec.rules, and PrometheusRule checkout-alerts has no alerting rule \"Fast\" in \
     group \"latency\"; use one of \"Slow\", \"Twice\"")]
#[case::a_recording_rule(json!({"alerts": ["job:latency:mean"]}), &["HighRequestLatency"],
    "spec.prometheusRuleRef.alerts[0]: PrometheusRule checkout-alerts has no alerting rule \"job:latency:mean\"; use one of")]
#[case::no_such_label(json!({"matchLabels": {"severity": "page"}}), &["Slow"],
    "spec.actions[0].when[0]: is not in spec.rules, and PrometheusRule checkout-alerts has no alerting rule \"Slow\" with \
     the labels of matchLabels; write it there")]
#[case::two_of_one_name(json!({"alerts": ["LowLoad"]}), &["HighRequestLatency"],
    "spec.prometheusRuleRef.alerts[0]: \"LowLoad\" is defined in spec.rules too; remove one of the two")]
#[case::listed_twice(json!({"alerts": ["Idle", "Idle"]}), &["HighRequestLatency"],
    "spec.prometheusRuleRef.alerts[1]: \"Idle\" is the name of two entries; rename one")]
fn a_choice_that_can_not_be_made_is_said(#[case] reference: Value, #[case] when: &[&str], #[case] expect: &str) {
    refused(&referring(reference, when), &object(&groups()), expect);
}

#[rstest]
#[case("/groups/0/rules/1/expr", json!("sum("), "groups[0].rules[1].expr: ")]
#[case("/groups/0/rules/1/expr", json!(format!("a{}", " ".repeat(4096))), "groups[0].rules[1].expr: ")]
#[case("/groups/0/rules/1/expr", json!(format!("{}1", "-".repeat(3900))), "groups[0].rules[1].expr: ")]
#[case("/groups/0/rules/1/expr", json!([1]), "groups[0].rules[1].expr: \"[1]\" is not a text")]
#[case("/groups/0/rules/1/expr", json!(null), "groups[0].rules[1].expr: is missing")]
#[case("/groups/0/rules/1/for", json!("5 minutes"), "groups[0].rules[1].for: \"5 minutes\" is not a duration")]
#[case("/groups/0/rules/1/for", json!(""), "groups[0].rules[1].for: an empty duration")]
#[case("/groups/0/rules/1/for", json!(300), "groups[0].rules[1].for: \"300\" is not a text")]
#[case("/groups/0/rules/1/keep_firing_for", json!("2y"), "groups[0].rules[1].keep_firing_for: \"2y\" is longer than")]
#[case("/groups/0/rules/1/labels", json!("warning"), "groups[0].rules[1].labels: ")]
#[case("/groups/0/rules/1/labels/severity", json!(1), "groups[0].rules[1].labels.severity: \"1\" is not a text")]
#[case("/groups/0/rules/1/annotations/summary", json!(true), "groups[0].rules[1].annotations.summary: \"true\" is not a text")]
#[case("/groups/0/rules/1/annotations",
    json!((0..33).map(|n| (format!("a{n}"), json!("x"))).collect::<serde_json::Map<_, _>>()),
    "groups[0].rules[1].annotations: 33 entries, at most 32 are allowed")]
#[case("/groups/0/labels/team", json!(7), "groups[0].labels.team: \"7\" is not a text")]
#[case("/groups", json!("x"), "groups: ")]
fn a_rule_that_is_wrong_is_named_by_its_place(#[case] pointer: &str, #[case] value: Value, #[case] expect: &str) {
    let mut groups = groups();
    *groups.pointer_mut(pointer).unwrap() = value;
    let spec = referring(json!({"group": "latency"}), &["Slow"]);
    refused(&spec, &object(&groups), &format!("{OF}{expect}"));
}

#[test]
fn a_rule_that_is_both_is_refused() {
    let mut groups = groups();
    groups["groups"][0]["rules"][1]["record"] = json!("x:y");
    let spec = referring(json!({"group": "latency"}), &["Slow"]);
    refused(
        &spec,
        &object(&groups),
        &format!("{OF}groups[0].rules[1].record: stands beside alert"),
    );
}

/// What is wrong elsewhere in the object is somebody else's.
#[rstest]
#[case("/groups/0/rules/2/expr", json!("sum("))]
#[case("/groups/0/rules/3", json!("no rule at all"))]
#[case("/groups/1", json!(5))]
#[case("/groups/1/rules", json!({"a": "map"}))]
fn a_rule_that_is_not_taken_may_be_wrong(#[case] pointer: &str, #[case] value: Value) {
    let mut groups = groups();
    *groups.pointer_mut(pointer).unwrap() = value;
    let spec = referring(json!({"group": "latency"}), &["Slow"]);
    assert!(validate::policy_with(&spec, &object(&groups)).is_ok());
}

#[rstest]
#[case("/prometheusRuleRef/name", json!("Checkout_Alerts"), "spec.prometheusRuleRef.name: \"Checkout_Alerts\" is not the name of an object")]
#[case("/prometheusRuleRef/group", json!(""), "spec.prometheusRuleRef.group: \"\" is not a name of 1 to 253 bytes")]
#[case("/prometheusRuleRef/alerts", json!(["a\nb"]), "spec.prometheusRuleRef.alerts[0]: \"a\\nb\" is not a name")]
fn a_reference_is_checked_without_its_object(#[case] pointer: &str, #[case] value: Value, #[case] expect: &str) {
    let mut written = whole();
    written["prometheusRuleRef"] = json!({"name": "checkout-alerts", "group": "latency", "alerts": []});
    *written.pointer_mut(pointer).unwrap() = value;
    let errors = texts(&validate::policy(&spec(written)).unwrap_err());
    assert!(errors.len() == 1 && errors[0].starts_with(expect), "{errors:#?}");
}

/// 2 of its own and 30 are 32.
#[rstest]
#[case(30, None)]
#[case(
    31,
    Some("spec.prometheusRuleRef: 31 rules taken and 2 of spec.rules are 33, at most 32 are allowed")
)]
fn own_and_taken_rules_together_are_bounded(#[case] many: usize, #[case] expect: Option<&str>) {
    let names: Vec<String> = (0..many).map(|n| format!("Rule{n}")).collect();
    let rules: Vec<Value> = names
        .iter()
        .map(|name| json!({"alert": name, "expr": "a > 1"}))
        .collect();
    let object = object(&json!({"groups": [{"name": "g", "rules": rules}]}));
    let spec = referring(json!({"alerts": names}), &["HighRequestLatency"]);
    match expect {
        None => assert_eq!(validate::policy_with(&spec, &object).unwrap().policy.rules.len(), 32),
        Some(expect) => refused(&spec, &object, expect),
    }
}

/// Without the object names are taken on trust, and none of its rules is there.
#[test]
fn a_policy_can_be_read_without_the_object() {
    let spec = referring(json!({}), &["Slow"]);
    let policy = validate::policy(&spec).unwrap();
    assert_eq!(policy.actions[0].when, ["Slow"]);
    assert!(!policy.rules.contains_key("Slow"));
    assert!(validate::asks_for(&spec, "Slow") && !validate::asks_for(&spec, "LowLoad"));
    // A policy without a reference trusts no name.
    let mut without = spec;
    without.prometheus_rule_ref = None;
    let errors = texts(&validate::policy(&without).unwrap_err());
    assert!(
        errors[0].starts_with("spec.actions[0].when[0]: there is no rule \"Slow\""),
        "{errors:#?}"
    );
}

#[test]
fn a_reference_that_takes_nothing_is_worth_a_look() {
    let warnings = validate::warnings_with(&referring(json!({}), &["HighRequestLatency"]), &object(&groups()));
    let warnings = texts(&warnings);
    assert!(
        warnings
            .iter()
            .any(|it| it.starts_with("spec.prometheusRuleRef: takes no rule")),
        "{warnings:#?}"
    );
}

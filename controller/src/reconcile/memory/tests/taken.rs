//! What is remembered while the rules of a policy come, move and go.

use super::super::*;
use crate::prometheus_rule::PrometheusRule;
use serde_json::{Value, json};

const SINCE: &str = "2026-01-01T00:00:00.000000Z";

/// A policy with the own rule Own and the taken ones Slow and Idle, as it was stored.
fn policy(generation: i64, reference: &Value) -> FeedbackPolicy {
    let alert =
        |name: &str| json!({"labels": {"alertname": name}, "state": "pending", "activeAt": SINCE, "value": "1"});
    let from = "PrometheusRule alerts, group g";
    serde_json::from_value(json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "generation": generation},
        "spec": {
            "sourceRef": {"name": "p"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "rules": [{"alert": "Own", "expr": "own > 1"}],
            "prometheusRuleRef": reference,
            "actions": [{
                "name": "more", "when": if reference.is_null() { json!(["Own"]) } else { json!(["Own", "Slow"]) },
                "replicas": {"min": 1, "max": 5, "step": {"pods": 1}},
            }],
        },
        "status": {
            "rules": [
                {"alert": "Own", "state": "pending", "alerts": [alert("Own")]},
                {"alert": "Slow", "from": from, "state": "pending", "alerts": [alert("Slow")]},
                {"alert": "Idle", "from": from, "state": "inactive"},
                {"alert": "Forgotten", "from": from, "state": "pending", "alerts": [alert("Forgotten")]},
            ],
            "actions": [{
                "name": "more",
                "yielded": {"manager": "kubectl", "until": "2099-01-01T00:00:00.000000Z", "generation": 1},
            }],
        },
    }))
    .expect("a policy")
}

fn reference() -> Value {
    json!({"name": "alerts", "alerts": ["Idle"]})
}

fn found(slow: &str) -> Referred {
    let spec = json!({"groups": [{"name": "g", "rules": [
        {"alert": "Slow", "expr": slow, "for": "5m"}, {"alert": "Idle", "expr": "idle > 1"},
    ]}]});
    Referred::Found(Arc::new(PrometheusRule::read("alerts", Some(&spec))))
}

fn gone() -> Referred {
    Referred::Problem(RulesProblem::NotFound {
        namespace: "shop".to_owned(),
        name: "alerts".to_owned(),
    })
}

fn names(memory: &Memory) -> Vec<&str> {
    memory.rules.keys().map(String::as_str).collect()
}

fn active(memory: &Memory, rule: &str) -> Vec<Timestamp> {
    memory.rules[rule].alerts.iter().map(|alert| alert.active_at).collect()
}

fn held(memory: &Memory) -> Option<Reason> {
    memory.held.as_ref().map(|(reason, _)| *reason)
}

fn rules_of(memory: &Memory) -> Vec<String> {
    memory
        .policy
        .as_ref()
        .expect("a valid policy")
        .rules
        .keys()
        .cloned()
        .collect()
}

fn quiet(memory: &mut Memory, at: Timestamp) {
    for rule in memory.rules.values_mut() {
        rule.quiet_since = Some(at);
    }
}

#[test]
fn alerts_outlive_rules_that_are_gone_for_a_while() {
    let now = Timestamp::from_millis(1_767_300_000_000);
    let object = policy(1, &reference());
    let since = from_micro_time(
        &object.status.as_ref().expect("a status").rules[0].alerts[0]
            .active_at
            .clone()
            .expect("a time"),
    );
    let mut memory = Memory::restore(&object, now);
    assert_eq!(held(&memory), Some(Reason::RulesUnavailable), "not looked for yet");
    assert_eq!(
        names(&memory),
        ["Idle", "Own", "Slow"],
        "what nobody asks for is forgotten"
    );

    assert!(memory.parse(&object, &found("slow > 1"), Timestamp::from_millis(0)));
    assert_eq!((held(&memory), rules_of(&memory).len()), (None, 3));
    assert_eq!(active(&memory, "Slow"), [since], "as after a reload of Prometheus");
    assert_eq!(memory.origins["Slow"], "PrometheusRule alerts, group g");
    assert!(
        !memory.parse(&object, &found("slow > 1"), Timestamp::from_millis(0)),
        "nothing is new"
    );

    quiet(&mut memory, now);
    assert!(memory.parse(&object, &gone(), Timestamp::from_millis(0)));
    assert_eq!(
        (held(&memory), rules_of(&memory)),
        (Some(Reason::RulesNotFound), vec!["Own".to_owned()])
    );
    assert_eq!(active(&memory, "Slow"), [since]);
    let slow = &memory.rules["Slow"];
    assert_eq!(slow.quiet_since, None, "its quiet proves nothing");
    let said = slow.error.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(
        said.contains("PrometheusRule alerts does not exist in namespace shop"),
        "{said}"
    );
    assert_eq!(memory.rules["Own"].quiet_since, Some(now), "own rules go on");
    let mut status = crds::FeedbackPolicyStatus::default();
    memory.store(&mut status);
    let from: Vec<_> = status
        .rules
        .iter()
        .map(|rule| (rule.alert.as_str(), rule.from.is_some()))
        .collect();
    assert_eq!(from, [("Idle", true), ("Own", false), ("Slow", true)]);

    assert!(memory.parse(&object, &found("slow > 1"), Timestamp::from_millis(0)));
    assert_eq!((held(&memory), active(&memory, "Slow")), (None, vec![since]));
}

#[test]
fn an_edit_of_the_object_counts_for_its_rules_only() {
    let now = Timestamp::from_millis(1_767_300_000_000);
    let object = policy(1, &reference());
    let mut memory = Memory::restore(&object, now);
    memory.parse(&object, &found("slow > 1"), Timestamp::from_millis(0));
    quiet(&mut memory, now);
    assert!(memory.parse(&object, &found("slow > 2"), Timestamp::from_millis(0)));
    let quiet = |name: &str| memory.rules[name].quiet_since;
    assert_eq!(quiet("Slow"), None, "another expression was quiet");
    assert_eq!((quiet("Idle"), quiet("Own")), (Some(now), Some(now)));
    assert!(memory.actions["more"].yielded.is_some(), "the policy was not edited");

    memory.parse(&policy(2, &reference()), &found("slow > 2"), Timestamp::from_millis(0));
    assert!(memory.actions["more"].yielded.is_none(), "the policy was edited");
}

#[test]
fn a_rule_that_is_wrong_or_missing_holds_the_policy() {
    let now = Timestamp::from_millis(0);
    let object = policy(1, &reference());
    let mut memory = Memory::restore(&object, now);
    memory.parse(&object, &found("slow >"), Timestamp::from_millis(0));
    let (reason, message) = memory.held.clone().expect("held");
    assert_eq!(reason, Reason::RulesInvalid);
    assert!(
        message.starts_with("spec.prometheusRuleRef: PrometheusRule alerts: groups[0].rules[0].expr: "),
        "{message}"
    );
    let empty = Referred::Found(Arc::new(PrometheusRule::read("alerts", None)));
    memory.parse(&object, &empty, Timestamp::from_millis(0));
    assert_eq!(held(&memory), Some(Reason::RulesInvalid));
    assert_eq!(names(&memory), ["Idle", "Own", "Slow"], "their alerts stay");
}

#[test]
fn rules_are_forgotten_with_the_reference() {
    let mut memory = Memory::restore(&policy(1, &reference()), Timestamp::from_millis(0));
    memory.parse(&policy(2, &Value::Null), &Referred::Nothing, Timestamp::from_millis(0));
    assert_eq!((held(&memory), names(&memory)), (None, vec!["Own"]));
}

/// The status takes so many rules.
#[test]
fn what_is_held_and_what_is_evaluated_together_can_be_stored() {
    let mut object = policy(1, &reference());
    let own = |index| json!({"alert": format!("Own{index}"), "expr": "own > 1"});
    let mut rules: Vec<Value> = (0..31).map(own).collect();
    rules.push(json!({"alert": "Own", "expr": "own > 1"}));
    object.spec.rules = serde_json::from_value(json!(rules)).expect("rules");
    let memory = Memory::restore(&object, Timestamp::from_millis(0));
    assert_eq!(names(&memory), ["Own"], "32 of its own leave no room for more");
}

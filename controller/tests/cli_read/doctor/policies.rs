//! Policies, their targets and their owners.

use super::{deployment, forbidden};
use crate::build::{ago, change, condition, merge, now, policy, source};
use flyball_controller::{
    cli::{
        doctor::{
            finding::{Finding, Mark},
            policies,
        },
        fetch::ReadError,
    },
    observe::{Found, target::Snapshot},
    prometheus_rule::PrometheusRule,
};
use flyball_core::check::{Owner, Target};
use rstest::rstest;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[test]
fn a_policys_form_is_judged() {
    let well = policies::form(&policy(json!({})), None);
    assert_eq!(well, [Finding::ok("spec", "valid")]);
    let errors = policies::form(
        &policy(json!({"spec": {"rules": [{"alert": "HighRequestLatency", "expr": "rate(x"}]}})),
        None,
    );
    assert!(
        errors
            .iter()
            .any(|found| found.mark == Mark::Fail && found.subject == "spec.rules[0].expr"),
        "{errors:?}"
    );
    let warned = policies::form(
        &policy(json!({"spec": {"signals": [{"name": "requests", "expr": "sum(a + b)"}]}})),
        None,
    );
    let [found] = warned.as_slice() else {
        panic!("two warnings of one field are one line: {warned:?}")
    };
    assert_eq!(
        (found.mark, found.subject.as_str()),
        (Mark::Warn, "spec.signals[0].expr")
    );
    assert!(
        found.said.contains("\"a\" has no matcher") && found.said.contains("\"b\" has no matcher"),
        "{found:?}"
    );
}

#[rstest]
#[case(json!({}), &[], Mark::Ok, "Verifying 2 -> 3")]
#[case(json!({"status": null}), &[], Mark::Fail, "has not looked at it yet")]
#[case(json!({"metadata": {"generation": 2}}), &[], Mark::Warn, "has looked at generation 1, not yet at the last edit")]
#[case(
    json!({"status": {"conditions": [condition("Ready", "False", "SourceUnavailable", "no answer")]}}),
    &[], Mark::Fail, "SourceUnavailable: no answer"
)]
#[case::told_already(
    json!({"status": {"conditions": [condition("Ready", "False", "Invalid", "spec.x: is wrong")]}}),
    &[Mark::Fail], Mark::Fail, "the policy is not ready: Invalid, see above"
)]
fn the_controllers_view_is_judged(
    #[case] more: Value,
    #[case] others: &[Mark],
    #[case] mark: Mark,
    #[case] said: &str,
) {
    let others: Vec<Finding> = others.iter().map(|mark| Finding::new(*mark, "x", "x", "x")).collect();
    let found = policies::status(&policy(more), &others);
    assert_eq!((found.mark, found.said.as_str()), (mark, said));
}

#[test]
fn a_policys_source_is_judged() {
    let known = |more: Value| {
        Ok(BTreeMap::from([(
            "prometheus".to_owned(),
            source("prometheus", "http://p", more),
        )]))
    };
    let judge = |sources| {
        let found = policies::source(&policy(json!({})), &sources);
        (found.mark, found.said)
    };
    assert_eq!(
        judge(known(json!({}))),
        (Mark::Ok, "MetricSource prometheus".to_owned())
    );
    let closed = json!({"spec": {"allowedNamespaces": {"from": "Names", "names": ["other"]}}});
    assert_eq!(
        judge(known(closed)),
        (
            Mark::Fail,
            "MetricSource prometheus does not allow namespace shop".to_owned()
        )
    );
    assert_eq!(
        judge(Ok(BTreeMap::new())),
        (Mark::Fail, "there is no MetricSource prometheus".to_owned())
    );
    assert_eq!(
        judge(Err(forbidden())),
        (Mark::Skip, "no right to list secrets".to_owned())
    );
}

#[rstest]
#[case(Target::Present { paused: None }, json!({}), Mark::Ok, "Deployment/checkout has 1 replica")]
#[case(Target::Present { paused: Some("it is".to_owned()) }, json!({}), Mark::Warn, "Deployment/checkout is paused: it is")]
#[case(Target::Missing, json!({}), Mark::Fail, "Deployment/checkout does not exist in namespace shop")]
#[case(Target::NoScale("v1 Pod".to_owned()), json!({}), Mark::Fail, "v1 Pod has no scale subresource")]
#[case(Target::NotAllowed("v1 Pod".to_owned()), json!({}), Mark::Fail, "v1 Pod is not among the kinds that this installation moves")]
#[case::bad_stamp(
    Target::Present { paused: None }, json!({"metadata": {"annotations": {"flyball.dev/stamp": "?"}}}),
    Mark::Fail, "Deployment/checkout has a stamp that can't be read"
)]
fn a_target_is_judged(#[case] target: Target, #[case] more: Value, #[case] mark: Mark, #[case] said: &str) {
    let present = matches!(target, Target::Present { .. });
    let snapshot = Snapshot::of(&deployment(more)).ok().filter(|_| present);
    let found = policies::target(
        &policy(json!({})),
        &Found {
            target,
            snapshot,
            resource: None,
            pods: None,
            rollout: None,
        },
        None,
    );
    assert_eq!(found.mark, mark);
    assert!(found.said.starts_with(said), "{found:?}");
    assert_eq!(found.way_out.is_empty(), mark == Mark::Ok);
}

#[test]
fn other_owners_are_judged_by_what_the_mode_writes() {
    let hpa = Owner::HorizontalPodAutoscaler("web".to_owned());
    let judge = |mode: &str, owners: &[Owner], rivals: &[&str], vertical| {
        let rivals: Vec<String> = rivals.iter().map(ToString::to_string).collect();
        let found = policies::others(&policy(json!({"spec": {"mode": mode}})), owners, &rivals, vertical);
        found.into_iter().map(|found| found.mark).collect::<Vec<_>>()
    };
    assert_eq!(judge("Enforce", &[], &[], false), [Mark::Ok]);
    assert_eq!(judge("Enforce", std::slice::from_ref(&hpa), &[], false), [Mark::Fail]);
    assert_eq!(judge("Recommend", std::slice::from_ref(&hpa), &[], false), [Mark::Warn]);
    assert_eq!(
        judge("Enforce", std::slice::from_ref(&hpa), &[], true),
        [Mark::Fail, Mark::Warn]
    );
    assert_eq!(
        judge("Enforce", &[], &[], true),
        [Mark::Ok],
        "a VerticalPodAutoscaler alone moves no replicas"
    );
    assert_eq!(judge("Enforce", &[], &["cart"], false), [Mark::Warn]);
    let rival = Owner::Policy {
        namespace: "shop".to_owned(),
        name: "cart".to_owned(),
        action: "a".to_owned(),
    };
    assert_eq!(
        judge("Enforce", &[rival], &["cart"], false),
        [Mark::Fail],
        "one policy is told once"
    );
    let manager = Owner::FieldManager {
        manager: "argocd-controller".to_owned(),
        operation: "Apply".to_owned(),
    };
    assert_eq!(
        judge("Enforce", &[manager, Owner::ScaledObject("web".to_owned())], &[], false),
        [Mark::Fail, Mark::Fail]
    );
}

#[test]
fn an_open_change_past_its_deadline_fails() {
    let verification = json!({"spec": {"verification": {
        "expr": "x <= 1", "settle": "6m", "within": "10m", "source": "p", "maxAge": "1m", "demandTolerancePercent": 0,
        "onInconclusive": "Hold", "onIneffective": "Hold", "latch": "30m",
    }}});
    let judge = |applied: i64| {
        let mut more = verification.clone();
        merge(
            &mut more,
            json!({"status": {"phase": "Verifying", "appliedAt": ago(applied)}}),
        );
        let found = policies::open(&[&change(1, 2, 3, more)], now());
        found.into_iter().map(|found| found.mark).collect::<Vec<_>>()
    };
    assert_eq!(judge(39), [Mark::Ok]);
    assert_eq!(judge(719), [Mark::Ok]);
    assert_eq!(judge(721), [Mark::Fail]);
    let closed = change(1, 2, 3, json!({"status": {"phase": "Committed"}}));
    assert_eq!(policies::open(&[&closed], now()), []);
}

#[test]
fn the_rules_that_are_taken_are_judged() {
    let rules = json!({"groups": [{"name": "latency", "rules": [{"alert": "Slow", "expr": "x{job=\"c\"} > 1"}]}]});
    let object = PrometheusRule::read("alerts", Some(&rules));
    let referring = |when: &str| {
        let mut referring = policy(json!({"spec": {"prometheusRuleRef": {"name": "alerts"}}}));
        referring.spec.actions[0].when = vec![when.to_owned()];
        referring
    };
    let check = |read: Result<Option<PrometheusRule>, ReadError>, mark, said: &str| {
        let found = policies::rules(&referring("Slow"), Some(&read)).unwrap();
        assert_eq!(
            (found.subject.as_str(), found.mark, found.said.as_str()),
            ("rules", mark, said)
        );
        assert_eq!(found.way_out.is_empty(), mark == Mark::Ok, "{found:?}");
    };
    check(Ok(Some(object.clone())), Mark::Ok, "PrometheusRule alerts: takes Slow");
    check(
        Ok(None),
        Mark::Fail,
        "spec.prometheusRuleRef.name: PrometheusRule alerts does not exist in namespace shop",
    );
    check(
        Err(ReadError::NotServed("PrometheusRule".to_owned())),
        Mark::Fail,
        "spec.prometheusRuleRef: the API server does not serve PrometheusRule of monitoring.coreos.com/v1",
    );
    check(Err(forbidden()), Mark::Skip, "no right to list secrets");
    assert_eq!(policies::rules(&policy(json!({})), None), None);

    // A rule that is missing stands under the field that names it, once.
    let missing = referring("Fast");
    assert_eq!(policies::rules(&missing, Some(&Ok(Some(object.clone())))), None);
    let form = policies::form(&missing, Some(&object));
    let [found] = form.as_slice() else { panic!("{form:?}") };
    assert_eq!(
        (found.mark, found.subject.as_str(), found.way_out.as_str()),
        (Mark::Fail, "spec.actions[0].when[0]", "use one of \"Slow\"")
    );
    assert_eq!(policies::form(&referring("Slow"), Some(&object))[0].mark, Mark::Ok);
}

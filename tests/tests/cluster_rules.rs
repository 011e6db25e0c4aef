//! A policy whose rules are in a PrometheusRule, whose definition, object and rules come, move and go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{Change, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{bed, eventually},
    operator::{API, install, uninstall},
    world::{World, condition, objects, phase_of},
};
use kube::api::DeleteParams;
use serde_json::{Value, json};

/// The object with this expression.
fn alerts(expr: &str) -> Value {
    json!({
        "apiVersion": API, "kind": "PrometheusRule", "metadata": {"name": "alerts"},
        "spec": {"groups": [
            {"name": "people", "rules": [{"alert": "Pressed", "expr": "sum("}]},
            {"name": "latency", "labels": {"team": "shop"}, "rules": [
                {"record": "job:latency:mean", "expr": "latency"},
                {
                    "alert": "Pressed", "expr": expr, "labels": {"severity": "warning"},
                    "annotations": {"summary": "{{ range query `up` }}{{ end }}"},
                },
            ]},
        ]},
    })
}

/// The policy `web`, with its rule elsewhere; one replica less after two seconds of quiet.
fn policy(source: &str, max: i32) -> Value {
    let mut policy = objects::policy_with_way_down("web", source);
    let spec = policy["spec"].as_object_mut().unwrap();
    spec.remove("rules");
    spec.insert(
        "prometheusRuleRef".to_owned(),
        json!({"name": "alerts", "group": "latency"}),
    );
    let action = &mut spec["actions"][0];
    action["when"] = json!(["Pressed"]);
    action["replicas"]["max"] = json!(max);
    action["replicas"]["step"]["down"]["after"] = json!("2s");
    policy
}

/// The policy says this of itself.
async fn says(world: &World, reason: &str, part: &str) {
    world
        .policy("web", &format!("it says {reason}: {part}"), |policy| {
            let (_, found, message) = condition(policy, "Ready")?;
            (found == reason && message.contains(part)).then_some(())
        })
        .await;
}

/// The state of the one rule, and where it is from.
fn rule(policy: &FeedbackPolicy) -> Option<(String, String)> {
    let status = policy.status.as_ref()?;
    let [rule] = status.rules.as_slice() else { return None };
    Some((status.alerts.clone(), rule.from.clone()?))
}

/// The Changes of a policy, oldest first.
async fn changes(world: &World, policy: &str) -> Vec<Change> {
    let mut changes = world.changes().await;
    changes.retain(|change| change.spec.policy.name == policy);
    changes
}

/// The Change of `web` that goes between these numbers, once it is in this phase.
async fn change(world: &World, between: (i32, i32), phase: Phase) -> Change {
    eventually(&format!("{between:?} is {phase:?}"), async || {
        let found = changes(world, "web").await.into_iter();
        let mut found = found.filter(|change| (change.spec.before, change.spec.after) == between);
        found.find(|change| phase_of(change) == phase)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_taken_from_a_prometheus_rule_as_long_as_it_is_there() {
    let Some(bed) = bed().await else { return };
    uninstall(&bed).await;
    let world = World::new(&bed, "rules").await;
    world.web(2).await;
    world.prometheus.value("pressure", 0.9);
    world.create(&objects::workload("Deployment", "api", 2)).await;
    let api = world.recording.replicas_now("api");
    world.prometheus.compute("load", move || {
        flyball_tests::world::Answer::Value(if api() > 2 { 0.1 } else { 0.9 })
    });

    // Without a definition, an object or a right this policy waits, and the other does its work.
    world.apply(&policy(&world.namespace, 3)).await;
    let mut other = objects::policy("other", &world.namespace);
    other["spec"]["targetRef"]["name"] = json!("api");
    other["spec"]["rules"][0]["expr"] = json!("load > 0.5");
    other["spec"]["actions"][0]["verify"]["expr"] = json!("load <= 0.5");
    world.apply(&other).await;
    let _controller = world.controller("one");
    says(
        &world,
        "RulesNotFound",
        "does not serve PrometheusRule of monitoring.coreos.com/v1",
    )
    .await;
    eventually("the other policy commits its change", async || {
        let found = changes(&world, "other").await;
        found
            .iter()
            .any(|change| phase_of(change) == Phase::Committed)
            .then_some(())
    })
    .await;
    assert_eq!(world.replicas("Deployment", "api").await, 3);
    install(&bed).await;
    let missing = format!("PrometheusRule alerts does not exist in namespace {}", world.namespace);
    says(&world, "RulesNotFound", &missing).await;
    assert!(changes(&world, "web").await.is_empty());

    // The object comes, fires, and changes replicas.
    world.apply(&alerts("pressure > 0.5")).await;
    change(&world, (2, 3), Phase::Committed).await;
    says(&world, "Evaluating", "").await;
    let firing = world.policy("web", "its rule fires", |policy| {
        rule(policy).filter(|(alerts, _)| alerts == "Pressed firing")
    });
    let (_, from) = firing.await;
    assert_eq!(from, "PrometheusRule alerts, group latency");

    // What is wrong with a rule is said with its place, and put right it is used again.
    world.apply(&alerts("pressure >")).await;
    says(
        &world,
        "RulesInvalid",
        "PrometheusRule alerts: groups[1].rules[1].expr: ",
    )
    .await;

    // An open Change goes on being verified while the object is not there.
    let mut patient = policy(&world.namespace, 4);
    patient["spec"]["actions"][0]["verify"]["settle"] = json!("3s");
    patient["spec"]["actions"][0]["verify"]["within"] = json!("30s");
    world.apply(&patient).await;
    world.apply(&alerts("pressure > 0.5")).await;
    change(&world, (3, 4), Phase::Verifying).await;
    let objects = world.any(API, "PrometheusRule");
    objects.delete("alerts", &DeleteParams::default()).await.unwrap();
    says(&world, "RulesNotFound", &missing).await;
    change(&world, (3, 4), Phase::Committed).await;

    // Never firing: the alert resolves.
    world.apply(&alerts("pressure > 100")).await;
    let resolved = |policy: &FeedbackPolicy| rule(policy).filter(|(alerts, _)| alerts == "none");
    world.policy("web", "its rule is quiet", resolved).await;

    // Without its rules the policy takes nothing away, however long it is quiet.
    objects.delete("alerts", &DeleteParams::default()).await.unwrap();
    says(&world, "RulesNotFound", &missing).await;
    let asked = world.prometheus.asked();
    eventually("it was looked at again and again", async || {
        (world.prometheus.asked() > asked + 40).then_some(())
    })
    .await;
    assert_eq!(world.replicas("Deployment", "web").await, 4);
    assert_eq!(changes(&world, "web").await.len(), 2);

    // With them it does.
    world.apply(&alerts("pressure > 100")).await;
    change(&world, (4, 3), Phase::Verifying).await;

    // The definition goes, and takes the object along.
    uninstall(&bed).await;
    says(&world, "RulesNotFound", "does not serve PrometheusRule").await;
    world.laws().await;
}

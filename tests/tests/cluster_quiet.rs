//! What survives a restart, and what a quiet minute and a change cost the API server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{AlertState, AlertStatus, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{bed, eventually},
    world::{Answer, World, objects},
};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

fn alert(state: AlertState) -> impl Fn(&FeedbackPolicy) -> Option<AlertStatus> {
    move |policy| {
        let alerts = &policy.status.as_ref()?.rules.first()?.alerts;
        alerts.first().filter(|alert| alert.state == state).cloned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_alert_goes_on_after_a_restart_where_it_was() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "pending").await;
    world.web(2).await;
    world.prometheus.value("latency", 0.9);
    world
        .apply(&objects::with(
            objects::policy("web", &world.namespace),
            "/spec/rules/0/for",
            json!("10s"),
        ))
        .await;
    let first = world.controller("one");
    let pending = world.policy("web", "it is pending", alert(AlertState::Pending)).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    first.kill();
    assert!(world.changes().await.is_empty());
    let _second = world.controller("one");
    let change = world.phase(1, Phase::Verifying).await;
    let fired = change.spec.evidence.alerts.first().unwrap();
    assert_eq!(
        fired.active_at, pending.active_at,
        "the time that it was pending counts across the restart"
    );
    let after = change.spec.proposed_at.0.duration_since(pending.active_at.unwrap().0);
    assert!(after.as_secs() >= 10, "it fired {after:#} after it became active");
    world.laws().await;
}

/// What was asked between two counts, without watches, which stay open.
fn between(before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let more = after
        .iter()
        .map(|(label, count)| (label.clone(), count - before.get(label).copied().unwrap_or(0)));
    more.filter(|(label, count)| *count > 0 && !label.starts_with("WATCH "))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_time_costs_nothing_but_the_lease_and_a_change_little() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "quiet").await;
    world.web(2).await;
    world.apply(&objects::policy("web", &world.namespace)).await;
    let _controller = world.controller("one");
    let steady = |policy: &FeedbackPolicy| {
        policy
            .status
            .as_ref()
            .filter(|status| status.doing == "Steady at 2")
            .map(drop)
    };
    world.policy("web", "it is steady", steady).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = world.proxy.counts();
    let asked = world.prometheus.asked();
    // The demand moves within its tolerance all the while, which is nothing to write down.
    for second in 0..20 {
        world.prometheus.value("demand", 100.0 + f64::from(second % 5));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(world.prometheus.asked() > asked, "it was not asleep");
    let quiet = between(&before, &world.proxy.counts());
    println!("requests in 20 quiet seconds: {quiet:?}");
    assert!(quiet.keys().all(|label| label.ends_with(" leases")), "{quiet:?}");

    let before = world.proxy.counts();
    let replicas = world.recording.replicas_now("web");
    world.prometheus.compute("latency", move || {
        Answer::Value(if replicas() >= 3 { 0.3 } else { 0.9 })
    });
    world.phase(1, Phase::Committed).await;
    let steady = |policy: &FeedbackPolicy| {
        policy
            .status
            .as_ref()
            .filter(|status| status.doing == "Steady at 3")
            .map(drop)
    };
    world.policy("web", "it is steady", steady).await;
    eventually("its Events are out", async || {
        (world
            .proxy
            .counts()
            .iter()
            .filter(|(label, _)| label.contains("events"))
            .count()
            > 0)
        .then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut change = between(&before, &world.proxy.counts());
    change.retain(|label, _| !label.ends_with(" leases"));
    println!(
        "requests of a committed change: {}: {change:?}",
        change.values().sum::<usize>()
    );
    // A write that is sent again, because the workload's own controller wrote in between, costs two more.
    let repeated = change.remove("GET deployments").unwrap_or(0);
    // The transaction as ARCHITECTURE.md has it, with a last look at the red button.
    let exact = [
        ("TRY deployments/scale", 1),
        ("POST changes", 1),
        ("PATCH deployments", 1),
        ("GET configmaps", 1),
        ("GET namespaces", 1),
        ("PUT deployments/scale", 1 + repeated),
        ("PUT changes/status", 2),
    ];
    for (label, count) in exact {
        assert_eq!(change.remove(label), Some(count), "{label}");
    }
    // What limits an increase is read when one is at hand; then the policy's status and the Events.
    let most = [
        ("GET pods", 1),
        ("LIST limitranges", 1),
        ("LIST resourcequotas", 1),
        ("PATCH feedbackpolicies/status", 3),
        ("POST events", 2),
    ];
    for (label, count) in most {
        let made = change.remove(label).unwrap_or(0);
        assert!(made <= count, "{made} x {label}");
    }
    assert!(change.is_empty(), "{change:?}");
    world.laws().await;
}

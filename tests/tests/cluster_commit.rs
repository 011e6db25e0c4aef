//! A change whose effect is verified is committed, up and down.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{Direction, Phase};
use flyball_tests::{
    bed::bed,
    world::{Answer, World, objects},
};
use serde_json::json;

/// Up by one while it is slow, and down by one after two seconds of quiet.
async fn up_and_down(kind: &str) {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "commit").await;
    world.create(&objects::workload(kind, "web", 2)).await;
    // Slow with fewer than three replicas, until the rush is over.
    let replicas = world.recording.replicas_now("web");
    world.prometheus.compute("latency", move || {
        Answer::Value(if replicas() >= 3 { 0.3 } else { 0.9 })
    });
    let policy = objects::policy_with_way_down("web", &world.namespace);
    world
        .apply(&objects::with(policy, "/spec/targetRef/kind", json!(kind)))
        .await;
    let controller = world.controller("one");

    let up = world.closed(1).await;
    assert_eq!((up.spec.before, up.spec.after), (2, 3));
    let status = up.status.clone().unwrap();
    assert_eq!(status.phase, Phase::Committed, "{}", status.message);
    assert_eq!(
        status.verdict.as_ref().map(|verdict| verdict.result.as_str()),
        Some("Achieved")
    );
    assert_eq!(status.verdict.and_then(|verdict| verdict.value), Some(0.3));
    assert!(
        up.spec.evidence.alerts.iter().any(|alert| alert.value == "0.9"),
        "{:?}",
        up.spec.evidence
    );
    let verified = |want| {
        move |policy: &flyball_crds::FeedbackPolicy| {
            policy
                .status
                .as_ref()?
                .actions
                .first()
                .filter(|action| action.verified == Some(want))
                .map(drop)
        }
    };
    world.policy("web", "3 are verified", verified(3)).await;

    world.prometheus.value("latency", 0.1);
    let down = world.closed(2).await;
    assert_eq!(
        (down.spec.direction, down.spec.before, down.spec.after),
        (Direction::Down, 3, 2)
    );
    assert_eq!(down.status.as_ref().map(|status| status.phase), Some(Phase::Committed));
    let applied = down
        .status
        .as_ref()
        .and_then(|status| status.applied_at.clone())
        .unwrap();
    let judged = down
        .status
        .as_ref()
        .and_then(|status| status.verdict.clone()?.at)
        .unwrap();
    assert!(
        judged.0.duration_since(applied.0).as_secs() >= 3,
        "a decrease is maintained to its deadline"
    );
    world.policy("web", "2 are verified", verified(2)).await;
    assert_eq!(world.replicas(kind, "web").await, 2);
    drop(controller);
    world.laws().await;
    let subresource = format!("PUT {}s/scale", kind.to_lowercase());
    let writes = world.proxy.accepted(&subresource);
    // The cooldown keeps the next decrease back.
    assert_eq!(writes, 2, "{:?}", world.proxy.counts());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_moved_up_and_down() {
    up_and_down("Deployment").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_is_moved_up_and_down() {
    up_and_down("StatefulSet").await;
}

//! What others do meanwhile: somebody writes the field, deletes or edits the policy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{Cause, Change, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually},
    proxy::{Fault, Gate},
    world::{Controller, World, condition, message_of, objects, phase_of},
};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::sync::Arc;

fn cause(change: &Change) -> Option<Cause> {
    change.status.as_ref()?.cause
}

/// A world with an increase from 2 to 3 being verified, with a deadline far away.
async fn verifying(bed: &Bed) -> (World, Controller) {
    let world = World::new(bed, "hands").await;
    world.web(2).await;
    world.prometheus.value("latency", 0.9);
    world.apply(&patient(&world)).await;
    let controller = world.controller("one");
    world.phase(1, Phase::Verifying).await;
    (world, controller)
}

fn patient(world: &World) -> Value {
    objects::with(
        objects::policy("web", &world.namespace),
        "/spec/actions/0/verify/within",
        json!("10m"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_somebody_else_wrote_is_theirs() {
    let Some(bed) = bed().await else { return };
    let (world, _controller) = verifying(&bed).await;
    let parameters = PatchParams {
        field_manager: Some("somebody".to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
    world
        .any("apps/v1", "Deployment")
        .patch("web", &parameters, &patch)
        .await
        .unwrap();
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Superseded, "{}", message_of(&change));
    assert!(message_of(&change).contains("somebody"), "{}", message_of(&change));
    assert_eq!(cause(&change), Some(Cause::ForeignWrite));
    let left = |policy: &FeedbackPolicy| {
        let yielded = policy.status.as_ref()?.actions.first()?.yielded.clone()?;
        let (ready, reason, message) = condition(policy, "Ready")?;
        (ready == "False").then_some((yielded, reason, message))
    };
    let (yielded, reason, message) = world.policy("web", "it keeps its hands off", left).await;
    assert_eq!(reason, "OwnershipConflict");
    assert!(
        yielded.manager.contains("somebody") && message.contains("somebody"),
        "{message}"
    );
    // It is slow all the while, and once the time is over that counts again.
    let next = world.phase(2, Phase::Verifying).await;
    assert_eq!((next.spec.before, next.spec.after), (5, 6));
    assert!(
        next.spec.proposed_at.0 >= yielded.until.unwrap().0,
        "taken up before spec.yieldFor was over"
    );
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_policy_leaves_nothing_open() {
    let Some(bed) = bed().await else { return };
    let (world, _controller) = verifying(&bed).await;
    world.policies().delete("web", &DeleteParams::default()).await.unwrap();
    eventually("the policy is gone at once", async || {
        world.policies().get_opt("web").await.unwrap().is_none().then_some(())
    })
    .await;
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Inconclusive, "{}", message_of(&change));
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_deleted_before_the_write_is_fenced() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "hands").await;
    world.web(2).await;
    let gate = Arc::new(Gate::default());
    world
        .proxy
        .plan("PUT deployments/scale", 1, Fault::Hold(Arc::clone(&gate)));
    world.prometheus.value("latency", 0.9);
    world.apply(&patient(&world)).await;
    let _controller = world.controller("one");
    eventually("the write is under way", async || world.proxy.is_done().then_some(())).await;
    world.policies().delete("web", &DeleteParams::default()).await.unwrap();
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Superseded, "{}", message_of(&change));
    assert!(
        message_of(&change).contains("the policy was deleted"),
        "{}",
        message_of(&change)
    );
    assert_eq!(cause(&change), Some(Cause::PolicyDeleted));
    gate.open();
    assert_eq!(gate.answer().await, 409, "the fence came before the journal was closed");
    assert_eq!(world.replicas("Deployment", "web").await, 2);
    world.laws().await;
}

/// An edit while the increase is verified: the value stays, unverified, and nothing else follows.
async fn edited(path: &str, value: Value, doing: &str) {
    let Some(bed) = bed().await else { return };
    let (world, _controller) = verifying(&bed).await;
    world.apply(&objects::with(patient(&world), path, value)).await;
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Inconclusive, "{}", message_of(&change));
    let does = |policy: &FeedbackPolicy| {
        policy
            .status
            .as_ref()
            .filter(|status| status.doing.starts_with(doing))
            .map(drop)
    };
    world.policy("web", doing, does).await;
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    assert!(world.changes().await.iter().all(|change| change.spec.sequence <= 1));
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_only_recommends_now_writes_nothing_more() {
    edited("/spec/mode", json!("Recommend"), "Recommends 3 -> 4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_policy_writes_nothing_more() {
    edited("/spec/suspend", json!(true), "Recommends 3 -> 4").await;
}

//! What waits for somebody's word can always be approved, and what was approved is that and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{APPROVED_BY_ANNOTATION, Change, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{bed, eventually},
    proxy::Fault,
    world::{World, message_of, objects, phase_of},
};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

fn changes(world: &World) -> Api<Change> {
    Api::namespaced(world.bed.client.clone(), &world.namespace)
}

async fn waiting(world: &World) -> Vec<Change> {
    let mut changes = world.changes().await;
    changes.retain(|change| phase_of(change) == Phase::AwaitingApproval);
    changes
}

/// The record of this step, once it waits and is the only one.
async fn waits(world: &World, step: (i32, i32)) -> Change {
    eventually(&format!("{step:?} waits for approval"), async || {
        let mut waiting = waiting(world).await;
        let only = waiting.pop().filter(|_| waiting.is_empty())?;
        ((only.spec.before, only.spec.after) == step).then_some(only)
    })
    .await
}

/// With kubectl and one's own name, the only one that admission takes: `flyball approve` approves only what the
/// last decision asks for.
async fn approve(world: &World, record: &Change) {
    let reviews: Api<SelfSubjectReview> = Api::all(world.bed.client.clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .unwrap();
    let me = review.status.unwrap().user_info.unwrap().username.unwrap();
    let annotation = json!({"metadata": {"annotations": {APPROVED_BY_ANNOTATION: me}}});
    let parameters = PatchParams::default();
    changes(world)
        .patch(&record.name_any(), &parameters, &Patch::Merge(annotation))
        .await
        .unwrap();
}

/// The Change that the last decision names.
fn named(policy: &FeedbackPolicy) -> Option<String> {
    let action = policy.status.as_ref()?.actions.first()?;
    action.last_decision.as_ref()?.change.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_has_a_record_whatever_becomes_of_it() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "approval").await;
    world.web(2).await;
    world.prometheus.value("latency", 0.9);
    // The first try is refused; the second is carried out, but the answer is lost.
    world.proxy.plan("POST changes", 1, Fault::Status(500, None));
    world.proxy.plan("POST changes", 2, Fault::DropReply);
    let policy = objects::policy("web", &world.namespace);
    let policy = objects::with(policy, "/spec/actions/0/approval", json!("Required"));
    world.apply(&policy).await;
    let _controller = world.controller("a");
    let record = waits(&world, (2, 3)).await;
    assert!(world.proxy.is_done());
    let records = world.changes().await;
    assert_eq!(records.len(), 1, "two tries collide: {records:#?}");

    // Somebody deletes it, and there is another one.
    changes(&world)
        .delete(&record.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    let again = waits(&world, (2, 3)).await;
    assert_ne!(again.uid(), record.uid());
    let name = again.name_any();
    world
        .policy("web", "names the record", |policy| {
            (named(policy)? == name).then_some(())
        })
        .await;
    assert_eq!(world.replicas("Deployment", "web").await, 2);

    approve(&world, &again).await;
    let change = world.phase(1, Phase::Verifying).await;
    world.prometheus.value("latency", 0.2);
    assert_eq!((change.spec.before, change.spec.after), (2, 3));
    world.phase(1, Phase::Committed).await;
    let spent = eventually("the record is closed", async || {
        let record = changes(&world).get(&again.name_any()).await.unwrap();
        (phase_of(&record) == Phase::Superseded).then(|| message_of(&record))
    })
    .await;
    let expect = format!("approved, and carried out as {}", change.name_any());
    assert_eq!(spent, expect);

    // What nobody would carry out is withdrawn.
    world.prometheus.value("latency", 0.9);
    let next = waits(&world, (3, 4)).await;
    world
        .apply(&objects::with(policy, "/spec/mode", json!("Observe")))
        .await;
    eventually("it is withdrawn", async || {
        let record = changes(&world).get(&next.name_any()).await.unwrap();
        (phase_of(&record) == Phase::Superseded).then_some(())
    })
    .await;
    world.laws().await;
}

/// A policy that wants a replica for each 20 of the demand, which is 100: five.
fn five(world: &World, pause: Value) -> Value {
    let policy = objects::policy("web", &world.namespace);
    let mut policy = objects::with(policy, "/spec/pause", pause);
    policy["spec"]["rules"] = json!([]);
    policy["spec"]["actions"] = json!([{
        "name": "follow",
        "approval": "Required",
        "replicas": {
            "min": 1, "max": 20,
            "metrics": {"list": [{"name": "demand", "signal": "demand", "target": {"averageValue": 20}}]},
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
        "verify": {"settle": "1s", "within": "3s", "expr": "latency <= 0.5", "demand": {"signal": "demand"}},
    }]);
    policy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increase_that_was_approved_lets_no_decrease_through() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "step").await;
    world.web(2).await;
    world.apply(&five(&world, json!({}))).await;
    let _controller = world.controller("a");
    let increase = waits(&world, (2, 5)).await;
    let both = json!({"up": {"reason": "a test"}, "down": {"reason": "a test"}});
    world.apply(&five(&world, both)).await;
    world
        .policy("web", "refused by the pause", |policy| {
            policy.status.as_ref()?.why.contains("spec.pause.up").then_some(())
        })
        .await;
    approve(&world, &increase).await;
    let ten = Patch::Merge(json!({"spec": {"replicas": 10}}));
    world
        .any("apps/v1", "Deployment")
        .patch("web", &PatchParams::default(), &ten)
        .await
        .unwrap();
    world
        .policy("web", "refused by the other pause", |policy| {
            policy.status.as_ref()?.why.contains("spec.pause.down").then_some(())
        })
        .await;
    world.apply(&five(&world, json!({}))).await;
    let decrease = waits(&world, (10, 5)).await;
    assert_ne!(decrease.name_any(), increase.name_any());
    assert_eq!(world.replicas("Deployment", "web").await, 10);
    approve(&world, &decrease).await;
    world.phase(1, Phase::Committed).await;
    assert_eq!(world.replicas("Deployment", "web").await, 5);
    world.laws().await;
}

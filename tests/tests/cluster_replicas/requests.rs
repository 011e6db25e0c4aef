//! What people ask for: an approval, an abort, a roll-back, a pause, a suspension.

use super::{check_of, passes, says, written};
use flyball_controller::clock::{from_micro_time, read};
use flyball_crds::{APPROVED_BY_ANNOTATION, Change, CheckVerdict, Direction, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually},
    world::{Controller, World, message_of, objects, phase_of},
};
use kube::ResourceExt;
use serde_json::json;

/// The record that waits for an approval of this number, once the policy says that it is what it wants now.
async fn awaiting(world: &World, after: i32) -> Change {
    let record = eventually(&format!("a change to {after} waits for approval"), async || {
        let changes = world.changes().await.into_iter();
        let mut waits = changes.filter(|it| phase_of(it) == Phase::AwaitingApproval && it.spec.after == after);
        waits.next()
    })
    .await;
    let name = record.name_any();
    let named = |policy: &FeedbackPolicy| {
        let action = policy.status.as_ref()?.actions.first()?;
        (action.last_decision.as_ref()?.change.as_ref() == Some(&name)).then_some(())
    };
    world.policy("web", &format!("it names {name}"), named).await;
    record
}

/// A record, once it is closed.
async fn withdrawn(world: &World, name: &str) -> String {
    eventually("the record is closed", async || {
        let mut changes = world.changes().await.into_iter();
        let record = changes.find(|it| it.name_any() == name)?;
        (phase_of(&record) == Phase::Superseded).then(|| message_of(&record))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_needs_approval_waits_for_it() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "approve").await;
    world.web(2).await;
    let policy = objects::policy("web", &world.namespace);
    let policy = objects::with(policy, "/spec/actions/0/verify/within", json!("10m"));
    world
        .apply(&objects::with(policy, "/spec/actions/0/approval", json!("Required")))
        .await;
    world.prometheus.value("latency", 0.9);
    let _controller = world.controller("one");
    let record = awaiting(&world, 3).await;
    assert_eq!((record.spec.sequence, record.spec.before), (0, 2));
    says(&world, "web", "Awaits 2 -> 3", &record.name_any()).await;
    passes(&world).await;
    assert!(written(&world).await.is_empty(), "it is written without a word");
    let name = record.name_any();
    // What waits is nothing that could be cut short or taken back.
    assert!(
        world
            .flyball(&["abort", &name])
            .await
            .refused()
            .contains("nothing was written")
    );
    let said = world.flyball(&["approve", &name]).await.done();
    assert!(
        said.contains("2 -> 3 is made with the next pass") && !said.contains("No controller"),
        "{said}"
    );
    let change = world.phase(1, Phase::Verifying).await;
    assert_eq!((change.spec.before, change.spec.after), (2, 3));
    let message = withdrawn(&world, &name).await;
    assert!(
        message.contains(&format!("carried out as {}", change.name_any())),
        "{message}"
    );
    // The Change says who approved it.
    let record = world
        .changes()
        .await
        .into_iter()
        .find(|it| it.name_any() == name)
        .unwrap();
    let by = record.annotations()[APPROVED_BY_ANNOTATION].clone();
    assert_eq!(
        check_of(&change, "Approval"),
        (CheckVerdict::Passed, format!("{by} approved 2 -> 3"))
    );
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_of_one_number() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "approve").await;
    world.web(2).await;
    world.prometheus.value("waiting", 0.9);
    world.prometheus.value("queue", 30.0);
    let policy = objects::policy_by_queue("web", &world.namespace);
    world
        .apply(&objects::with(policy, "/spec/actions/0/approval", json!("Required")))
        .await;
    let first = world.controller("one");
    let three = awaiting(&world, 3).await;
    first.end().await;
    let said = world.flyball(&["approve", &three.name_any()]).await.done();
    assert!(said.contains("No controller seems to lead"), "{said}");
    // When a controller comes, five are needed.
    world.prometheus.value("queue", 50.0);
    let _second = world.controller("two");
    let five = awaiting(&world, 5).await;
    let (verdict, message) = check_of(&five, "Approval");
    assert_eq!(verdict, CheckVerdict::Refused);
    assert!(
        message.contains("approved 2 -> 3, and it would be 2 -> 5 now"),
        "{message}"
    );
    let message = withdrawn(&world, &three.name_any()).await;
    assert!(message.contains("another change is wanted"), "{message}");
    assert!(
        world
            .flyball(&["approve", &three.name_any()])
            .await
            .refused()
            .contains("has decided anew since")
    );
    passes(&world).await;
    assert_eq!(world.numbers("web").await, [2], "3 was approved, and nobody wants it");
    world.flyball(&["approve", &five.name_any()]).await.done();
    let change = world.phase(1, Phase::Verifying).await;
    assert_eq!((change.spec.before, change.spec.after), (2, 5));
    assert_eq!(world.numbers("web").await, [2, 5]);
    world.laws().await;
}

/// A world with an increase from 2 to 3 under verification, with a deadline far away. It was
/// needed then and is not now.
async fn verifying(bed: &Bed) -> (World, Controller, String) {
    let world = World::new(bed, "request").await;
    world.web(2).await;
    world.prometheus.value("latency", 0.9);
    world.prometheus.value("waiting", 0.9);
    let policy = objects::policy("web", &world.namespace);
    let policy = objects::with(policy, "/spec/actions/0/verify/within", json!("10m"));
    world
        .apply(&objects::with(
            policy,
            "/spec/actions/0/verify/expr",
            json!("waiting <= 0.5"),
        ))
        .await;
    let controller = world.controller("one");
    let change = world.phase(1, Phase::Verifying).await;
    world.prometheus.value("latency", 0.2);
    let name = change.name_any();
    (world, controller, name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_change_keeps_its_number_unverified() {
    let Some(bed) = bed().await else { return };
    let (world, _controller, name) = verifying(&bed).await;
    let said = world.flyball(&["abort", &name]).await.done();
    assert!(said.contains("is to be cut short"), "{said}");
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Inconclusive, "{}", message_of(&change));
    assert_eq!(world.numbers("web").await, [2, 3]);
    let closed = world.flyball(&["rollback", &name]).await.refused();
    assert!(closed.contains("is closed (Inconclusive)"), "{closed}");
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_taken_back_when_somebody_asks() {
    let Some(bed) = bed().await else { return };
    let (world, _controller, name) = verifying(&bed).await;
    let said = world.flyball(&["rollback", &name]).await.done();
    assert!(said.contains("is to be taken back with the next pass, to 2"), "{said}");
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::RolledBack, "{}", message_of(&change));
    let verdict = change.status.as_ref().unwrap().verdict.clone().unwrap();
    assert_eq!(verdict.result, "Requested");
    assert!(verdict.message.contains("asked for it"), "{}", verdict.message);
    assert_eq!(world.numbers("web").await, [2, 3, 2]);
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_one_direction_until_its_time_is_over() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "pause").await;
    world.web(3).await;
    world
        .apply(&objects::policy_with_way_down("web", &world.namespace))
        .await;
    let said = world
        .flyball(&["pause", "web", "--up", "--for", "14s", "--reason", "the sale is over"])
        .await
        .done();
    assert!(said.contains("increases"), "{said}");
    let policy = world.policies().get("web").await.unwrap();
    let pause = policy.spec.pause.clone().unwrap();
    assert!(pause.down.is_none());
    let until = pause.up.unwrap().until.unwrap();
    let _controller = world.controller("one");
    // The other direction goes on.
    let down = world.closed(1).await;
    assert_eq!(
        (down.spec.direction, phase_of(&down)),
        (Direction::Down, Phase::Committed)
    );
    assert!(from_micro_time(&down.spec.proposed_at) < read(&until).unwrap());
    world.prometheus.value("latency", 0.9);
    let why = says(&world, "web", "Refused 2 -> 3", "spec.pause.up is set").await;
    assert!(
        why.starts_with("Pause: ") && why.contains("(the sale is over)"),
        "{why}"
    );
    // And when it is over this one does, without anybody's doing.
    let up = world.phase(2, Phase::Verifying).await;
    assert_eq!((up.spec.before, up.spec.after), (2, 3));
    assert!(
        from_micro_time(&up.spec.proposed_at) >= read(&until).unwrap(),
        "{:?} is before {until:?}",
        up.spec.proposed_at
    );
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_without_an_end_is_taken_out() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "pause").await;
    world.web(3).await;
    world
        .apply(&objects::policy_with_way_down("web", &world.namespace))
        .await;
    world.flyball(&["pause", "web", "--down"]).await.done();
    let _controller = world.controller("one");
    let why = says(&world, "web", "Refused 3 -> 2", "spec.pause.down is set").await;
    assert!(!why.contains("is set until"), "{why}");
    passes(&world).await;
    assert!(written(&world).await.is_empty());
    world.flyball(&["unpause", "web"]).await.done();
    let down = world.phase(1, Phase::Verifying).await;
    assert_eq!((down.spec.before, down.spec.after), (3, 2));
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_policy_goes_on_when_it_is_resumed() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "suspend").await;
    world.web(2).await;
    world.prometheus.value("latency", 0.9);
    world.apply(&objects::policy("web", &world.namespace)).await;
    world.flyball(&["suspend", "web"]).await.done();
    let _controller = world.controller("one");
    says(&world, "web", "Recommends 2 -> 3", "").await;
    passes(&world).await;
    assert!(written(&world).await.is_empty(), "it writes while it is suspended");
    world.flyball(&["resume", "web"]).await.done();
    let up = world.phase(1, Phase::Verifying).await;
    assert_eq!((up.spec.before, up.spec.after), (2, 3));
    world.laws().await;
}

//! A change that does not help is taken back where that is safe, and held where it is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{Change, CheckVerdict, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{Bed, bed},
    world::{Answer, World, message_of, objects},
};
use serde_json::{Value, json};

fn verdict(change: &Change) -> String {
    change
        .status
        .as_ref()
        .and_then(|status| status.verdict.clone())
        .map(|verdict| verdict.result)
        .unwrap_or_default()
}

fn phase(change: &Change) -> Phase {
    change.status.as_ref().unwrap().phase
}

/// A world that is slow whatever is done, with the first increase under way.
async fn slow(bed: &Bed, policy: impl FnOnce(Value) -> Value) -> World {
    let world = World::new(bed, "undo").await;
    world.web(2).await;
    world.prometheus.value("latency", 0.9);
    world.apply(&policy(objects::policy("web", &world.namespace))).await;
    world
}

/// The check that keeps an increase back.
fn held_back(check: &'static str) -> impl Fn(&FeedbackPolicy) -> Option<String> {
    move |policy| {
        let action = policy.status.as_ref()?.actions.first()?.clone();
        let decision = action.last_decision?;
        let refused = decision
            .checks
            .iter()
            .find(|it| it.verdict == CheckVerdict::Refused && it.name == check)?;
        Some(refused.message.clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ineffective_increase_is_taken_back_and_not_repeated() {
    let Some(bed) = bed().await else { return };
    let world = slow(&bed, |policy| policy).await;
    let _controller = world.controller("one");
    let change = world.closed(1).await;
    assert_eq!(
        (phase(&change), verdict(&change).as_str()),
        (Phase::RolledBack, "Ineffective"),
        "{}",
        message_of(&change)
    );
    assert_eq!(world.replicas("Deployment", "web").await, 2);
    let latch = |policy: &FeedbackPolicy| policy.status.as_ref()?.actions.first()?.latch.clone();
    let latch = world.policy("web", "it is latched", latch).await;
    assert_eq!((latch.demand, latch.signal), (Some(100.0), Some(0.9)));
    let why = world.policy("web", "the latch refuses", held_back("Ineffective")).await;
    assert!(why.contains("did not help at a demand of 100"), "{why}");
    // A demand within its tolerance changes nothing; one beyond lifts the latch.
    world.prometheus.value("demand", 110.0);
    let asked = world.prometheus.asked();
    flyball_tests::bed::eventually("it was asked again", async || {
        (world.prometheus.asked() > asked + 20).then_some(())
    })
    .await;
    assert!(world.changes().await.iter().all(|change| change.spec.sequence <= 1));
    world.prometheus.value("demand", 200.0);
    world.phase(2, Phase::Verifying).await;
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increase_that_a_surge_overtook_is_held_and_not_latched() {
    let Some(bed) = bed().await else { return };
    let world = slow(&bed, |policy| {
        objects::with(policy, "/spec/actions/0/replicas/max", json!(3))
    })
    .await;
    let _controller = world.controller("one");
    world.phase(1, Phase::Verifying).await;
    world.prometheus.value("demand", 180.0);
    let change = world.closed(1).await;
    assert_eq!(
        (phase(&change), verdict(&change).as_str()),
        (Phase::Inconclusive, "Overtaken"),
        "{}",
        message_of(&change)
    );
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    let steady = |policy: &FeedbackPolicy| {
        let status = policy.status.as_ref()?;
        let action = status.actions.first()?;
        status
            .doing
            .starts_with("Steady at 3")
            .then(|| (action.latch.is_none(), status.why.clone()))
    };
    let (free, why) = world.policy("web", "it is steady at max", steady).await;
    assert!(free, "a surge is not latched");
    assert!(why.contains("max 3"), "{why}");
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increase_without_a_known_demand_is_held() {
    let Some(bed) = bed().await else { return };
    let without = |mut policy: Value| {
        policy["spec"]["actions"][0]["verify"]
            .as_object_mut()
            .unwrap()
            .remove("demand");
        objects::with(policy, "/spec/actions/0/replicas/max", json!(3))
    };
    let world = slow(&bed, without).await;
    let _controller = world.controller("one");
    let change = world.closed(1).await;
    assert_eq!(
        (phase(&change), verdict(&change).as_str()),
        (Phase::Inconclusive, "Inconclusive")
    );
    assert!(
        message_of(&change).contains("set verify.demand"),
        "{}",
        message_of(&change)
    );
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decrease_that_breaks_its_condition_is_undone_at_once() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "undo").await;
    world.web(3).await;
    let replicas = world.recording.replicas_now("web");
    world.prometheus.compute("latency", move || {
        Answer::Value(if replicas() >= 3 { 0.1 } else { 0.8 })
    });
    let policy = objects::policy_with_way_down("web", &world.namespace);
    // A deadline that is far away: what is broken does not wait for it.
    world
        .apply(&objects::with(policy, "/spec/actions/0/verify/within", json!("10m")))
        .await;
    let _controller = world.controller("one");
    let change = world.closed(1).await;
    assert_eq!((change.spec.before, change.spec.after), (3, 2));
    assert_eq!(
        (phase(&change), verdict(&change).as_str()),
        (Phase::RolledBack, "Broken"),
        "{}",
        message_of(&change)
    );
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    world.laws().await;
}

/// The source fails while an increase is verified.
async fn blind(world: &World) -> Change {
    let _controller = world.controller("one");
    world.phase(1, Phase::Verifying).await;
    world.prometheus.set("latency", Answer::Error(503, "out of order"));
    world.prometheus.set("demand", Answer::Hang);
    world.closed(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_answer_the_value_is_held_and_nothing_is_committed() {
    let Some(bed) = bed().await else { return };
    let world = slow(&bed, |policy| policy).await;
    let change = blind(&world).await;
    assert_eq!(
        (phase(&change), verdict(&change).as_str()),
        (Phase::Inconclusive, "Inconclusive"),
        "{}",
        message_of(&change)
    );
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_answer_not_even_a_roll_back_takes_anything_away() {
    let Some(bed) = bed().await else { return };
    let world = slow(&bed, |policy| {
        objects::with(policy, "/spec/actions/0/verify/onInconclusive", json!("RollBack"))
    })
    .await;
    let change = blind(&world).await;
    // Taking an increase back is a decrease: it needs data, and there is none (laws 7 and 9).
    assert_eq!(
        (phase(&change), verdict(&change).as_str()),
        (Phase::Inconclusive, "Inconclusive"),
        "{}",
        message_of(&change)
    );
    assert!(
        message_of(&change).contains("not taken back"),
        "{}",
        message_of(&change)
    );
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_answer_a_decrease_is_given_back_if_the_policy_says_so() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "undo").await;
    world.web(3).await;
    let policy = objects::policy_with_way_down("web", &world.namespace);
    world
        .apply(&objects::with(
            policy,
            "/spec/actions/0/verify/onInconclusive",
            json!("RollBack"),
        ))
        .await;
    let change = blind(&world).await;
    assert_eq!((change.spec.before, change.spec.after), (3, 2));
    assert_eq!(
        (phase(&change), verdict(&change).as_str()),
        (Phase::RolledBack, "Inconclusive"),
        "{}",
        message_of(&change)
    );
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    world.laws().await;
}

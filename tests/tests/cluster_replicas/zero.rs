//! To zero and back.

use super::{passes, says, written};
use flyball_controller::clock::from_micro_time;
use flyball_core::time::Span;
use flyball_crds::{Change, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{Bed, bed},
    world::{Answer, World, message_of, objects, phase_of},
};
use serde_json::{Value, json};

/// A world with three workers for a queue of 25, of which all go when nothing waits for two seconds.
async fn workers(bed: &Bed, settle: &str, within: &str) -> World {
    let world = World::new(bed, "zero").await;
    world.web(3).await;
    world.prometheus.value("queue", 25.0);
    world.prometheus.value("waiting", 0.2);
    let policy = objects::policy_by_queue("web", &world.namespace);
    let policy = objects::with(policy, "/spec/actions/0/replicas/min", json!(0));
    let zero: Value = json!({"signal": "queue", "activation": 2, "cooldown": "2s"});
    let policy = objects::with(policy, "/spec/actions/0/replicas/zero", zero);
    let policy = objects::with(policy, "/spec/actions/0/verify/settle", json!(settle));
    let policy = objects::with(policy, "/spec/actions/0/verify/within", json!(within));
    world.apply(&policy).await;
    world
}

fn demand(change: &Change) -> Option<f64> {
    change.spec.verification.as_ref()?.baseline_demand
}

/// Since when there is nothing to do, once that is known.
fn idle_since(policy: &FeedbackPolicy) -> Option<flyball_core::time::Timestamp> {
    let action = policy.status.as_ref()?.actions.first()?;
    action.idle_since.as_ref().map(from_micro_time)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_go_when_there_is_nothing_to_do_and_come_back_with_the_first_work() {
    let Some(bed) = bed().await else { return };
    let world = workers(&bed, "1s", "3s").await;
    let _controller = world.controller("one");
    says(&world, "web", "Steady at 3", "").await;
    // Two are waiting, which is not above the activation. As fresh data say so for long enough, all go.
    world.prometheus.value("queue", 2.0);
    let since = world.policy("web", "nothing is to be done", idle_since).await;
    let down = world.closed(1).await;
    assert_eq!((down.spec.before, down.spec.after), (3, 1), "the metric asks for one");
    assert_eq!(phase_of(&down), Phase::Committed, "{}", message_of(&down));
    let gone = world.closed(2).await;
    assert_eq!((gone.spec.before, gone.spec.after), (1, 0));
    assert_eq!(phase_of(&gone), Phase::Committed, "{}", message_of(&gone));
    assert!(from_micro_time(&gone.spec.proposed_at) >= since + Span::from_secs(2));
    // At zero neither a little nor silence wakes anybody.
    says(&world, "web", "Steady at 0", "not above the activation 2").await;
    world.prometheus.set("queue", Answer::Empty);
    says(
        &world,
        "web",
        "Steady at 0",
        "whether there is anything to do is not known",
    )
    .await;
    passes(&world).await;
    assert_eq!(written(&world).await, [(3, 1), (1, 0)]);
    world.prometheus.value("queue", 25.0);
    let up = world.phase(3, Phase::Verifying).await;
    assert_eq!((up.spec.before, up.spec.after), (0, 3));
    assert_eq!(world.numbers("web").await, [3, 1, 0, 3]);
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_comes_during_the_verification_of_none_does_not_wait_for_it() {
    let Some(bed) = bed().await else { return };
    // Within the settle time, however slow the machine is: after it the work would show in the verification, which takes
    // the change back first.
    let world = workers(&bed, "5m", "10m").await;
    let policy = json!({"spec": {"replicas": 1}});
    world
        .any("apps/v1", "Deployment")
        .patch(
            "web",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(policy),
        )
        .await
        .unwrap();
    world.prometheus.value("queue", 1.0);
    let _controller = world.controller("one");
    let gone = world.phase(1, Phase::Verifying).await;
    assert_eq!((gone.spec.before, gone.spec.after), (1, 0));
    assert_eq!(demand(&gone), Some(1.0));
    world.prometheus.value("queue", 25.0);
    world.prometheus.value("waiting", 0.9);
    let up = world.phase(2, Phase::Verifying).await;
    assert_eq!((up.spec.before, up.spec.after), (0, 3));
    assert!(up.spec.supersedes.is_some());
    let gone = world.closed(1).await;
    assert_eq!(phase_of(&gone), Phase::Superseded, "{}", message_of(&gone));
    // It is measured against what it was made for, and not against the quiet before: that would take
    // every demand for a surge.
    assert_eq!(demand(&up), Some(25.0));
    world.laws().await;
}

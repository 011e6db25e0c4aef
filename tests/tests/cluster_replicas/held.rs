//! What holds a change back: vetoes, a spike, and the budget over all policies.

use super::{check_of, passes, says, written};
use flyball_controller::clock::from_micro_time;
use flyball_core::time::Span;
use flyball_crds::{CheckVerdict, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{bed, eventually},
    world::{Answer, World, objects},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_holds_inhibits_increases() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "inhibit").await;
    world.web(2).await;
    world.prometheus.value("latency", 0.9);
    world.prometheus.value("connections", 0.95);
    let policy = objects::policy("web", &world.namespace);
    let inhibit = json!([{"name": "database", "expr": "max(connections) > 0.9"}]);
    world
        .apply(&objects::with(policy, "/spec/actions/0/inhibit", inhibit))
        .await;
    let _controller = world.controller("one");
    let why = says(&world, "web", "Refused 2 -> 3", "inhibit database holds").await;
    assert!(why.contains("max(connections) is 0.95"), "{why}");
    passes(&world).await;
    assert!(written(&world).await.is_empty());
    // That it is not known takes nothing away, and is said.
    world.prometheus.set("connections", Answer::Empty);
    let change = world.phase(1, Phase::Verifying).await;
    assert_eq!((change.spec.before, change.spec.after), (2, 3));
    let (verdict, message) = check_of(&change, "Veto");
    assert_eq!(verdict, CheckVerdict::Passed);
    assert!(message.contains("inhibit database is not known"), "{message}");
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decreases_wait_while_a_condition_holds_or_is_not_known() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "hold").await;
    world.web(3).await;
    world.prometheus.value("outage", 1.0);
    let policy = objects::policy_with_way_down("web", &world.namespace);
    let hold = json!([{"name": "upstream", "expr": "max(outage) > 0"}]);
    world
        .apply(&objects::with(policy, "/spec/actions/0/holdDownWhile", hold))
        .await;
    let _controller = world.controller("one");
    says(&world, "web", "Refused 3 -> 2", "holdDownWhile upstream holds").await;
    let unknown = [
        (Answer::Empty, "holdDownWhile upstream is missing"),
        (Answer::Partial(0.0), "holdDownWhile upstream is partial"),
        (Answer::Stale(0.0, 60.0), "holdDownWhile upstream is stale"),
    ];
    for (answer, why) in unknown {
        world.prometheus.set("outage", answer);
        says(&world, "web", "Refused 3 -> 2", why).await;
        passes(&world).await;
        assert!(written(&world).await.is_empty());
        world.prometheus.value("outage", 1.0);
        says(&world, "web", "Refused 3 -> 2", "holdDownWhile upstream holds").await;
    }
    world.prometheus.value("outage", 0.0);
    let change = world.phase(1, Phase::Verifying).await;
    assert_eq!((change.spec.before, change.spec.after), (3, 2));
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_spike_lasts_nothing_is_taken_away() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "spike").await;
    world.web(2).await;
    world.prometheus.value("queue", 20.0);
    world.prometheus.value("waiting", 0.2);
    let policy = objects::policy_by_queue("web", &world.namespace);
    // No pod is ever ready here, so from one replica on it counts as a spike: 3 times 1.
    let spike = json!({"factor": 3, "hold": "6s"});
    let policy = objects::with(policy, "/spec/actions/0/replicas/spike", spike);
    world.apply(&policy).await;
    let _controller = world.controller("one");
    says(&world, "web", "Steady at 2", "").await;
    world.prometheus.value("queue", 50.0);
    let up = world.closed(1).await;
    assert_eq!((up.spec.before, up.spec.after), (2, 5));
    world.prometheus.value("queue", 20.0);
    says(&world, "web", "Steady at 5", "a spike lasts for another").await;
    let ends = |policy: &FeedbackPolicy| policy.status.as_ref()?.actions.first()?.spike_until.clone();
    let until = world.policy("web", "it says until when", ends).await;
    let down = world.phase(2, Phase::Verifying).await;
    assert_eq!((down.spec.before, down.spec.after), (5, 2));
    // The end is written ahead by a quarter of the hold, so as not to be written with each pass.
    let ahead = Span::from_millis(1500);
    assert!(
        from_micro_time(&down.spec.proposed_at) + ahead >= from_micro_time(&until),
        "{:?} is before {until:?}",
        down.spec.proposed_at
    );
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_policies_together_take_away_no_more_than_the_budget() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "removed").await;
    let names = ["one", "two", "three"];
    for name in names {
        world.create(&objects::workload("Deployment", name, 5)).await;
        let policy = objects::policy_with_way_down(name, &world.namespace);
        let policy = objects::with(
            policy,
            "/spec/actions/0/replicas/step/down",
            json!({"pods": 2, "after": "1s"}),
        );
        world
            .apply(&objects::with(policy, "/spec/targetRef/name", json!(name)))
            .await;
    }
    let controller = world.controller_with("first", &["--max-removed-per-minute", "3"]);
    // Two of the first, one of another; nothing of the third.
    let taken = async || -> i32 {
        let changes = written(&world).await;
        changes.iter().map(|(before, after)| before - after).sum()
    };
    eventually("the budget is used up", async || (taken().await == 3).then_some(())).await;
    let refused = |policy: &FeedbackPolicy| {
        let status = policy.status.as_ref()?;
        (status.doing.starts_with("Refused 5 -> 3") && status.why.starts_with("Budget: ")).then(|| status.why.clone())
    };
    let held_back = async || {
        eventually("somebody is held back", async || {
            let mut all = Vec::new();
            for name in names {
                all.extend(refused(&world.policies().get(name).await.unwrap()));
            }
            all.pop()
        })
        .await
    };
    let why = held_back().await;
    assert!(
        why.contains("all policies may take away 3 replicas in a minute, and took 3"),
        "{why}"
    );
    let clamped = world.changes().await.into_iter().filter(|change| {
        change.spec.sequence > 0 && change.spec.after == 4 && check_of(change, "Budget").0 == CheckVerdict::Clamped
    });
    assert_eq!(clamped.count(), 1);
    // The next process knows what this one took.
    controller.kill();
    let _again = world.controller_with("first", &["--max-removed-per-minute", "3"]);
    passes(&world).await;
    held_back().await;
    assert_eq!(taken().await, 3);
    world.laws().await;
}

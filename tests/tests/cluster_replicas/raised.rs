//! What raises a number without a metric: a schedule, and a fallback.

use super::{passes, says, written};
use flyball_controller::clock::from_micro_time;
use flyball_core::time::Span;
use flyball_crds::{FeedbackPolicy, Phase};
use flyball_tests::{
    bed::bed,
    world::{Answer, World, objects},
};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_raises_the_smallest_number_while_it_lasts() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "schedule").await;
    world.web(1).await;
    world.prometheus.value("queue", 5.0);
    world.prometheus.value("waiting", 0.2);
    // From an hour ago to an hour from now, and from an hour from now on, by a clock that is not UTC.
    let zone = TimeZone::get("Asia/Tokyo").unwrap();
    let cron = |time: Timestamp| {
        let time = time.to_zoned(zone.clone());
        format!("{} {} * * *", time.minute(), time.hour())
    };
    let now = Timestamp::now();
    let (ago, soon, later) = (now - 1.hour(), now + 1.hour(), now + 2.hours());
    let schedules = json!([
        {"name": "now", "start": cron(ago), "end": cron(soon), "timeZone": "Asia/Tokyo", "replicas": 3},
        {"name": "later", "start": cron(soon), "end": cron(later), "timeZone": "Asia/Tokyo", "replicas": 6},
    ]);
    let policy = objects::policy_by_queue("web", &world.namespace);
    let policy = objects::with(policy, "/spec/actions/0/verify/within", json!("3s"));
    let raised = objects::with(policy.clone(), "/spec/actions/0/replicas/schedules", schedules);
    world.apply(&raised).await;
    let _controller = world.controller("one");
    let up = world.closed(1).await;
    assert_eq!((up.spec.before, up.spec.after), (1, 3));
    assert!(up.spec.reason.contains("by schedule now"), "{}", up.spec.reason);
    says(&world, "web", "Steady at 3", "3 by schedule now").await;
    passes(&world).await;
    assert_eq!(written(&world).await, [(1, 3)]);
    // Without it, it is what the metric asks for.
    world.apply(&policy).await;
    let down = world.phase(2, Phase::Verifying).await;
    assert_eq!((down.spec.before, down.spec.after), (3, 1));
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_raises_after_a_time_without_data_and_never_lowers() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "fallback").await;
    world.web(2).await;
    world.prometheus.value("queue", 20.0);
    world.prometheus.value("waiting", 0.2);
    let policy = objects::policy_by_queue("web", &world.namespace);
    let policy = objects::with(policy, "/spec/actions/0/verify/within", json!("3s"));
    let fallback = json!({"after": "3s", "replicas": 4});
    world
        .apply(&objects::with(policy, "/spec/actions/0/replicas/fallback", fallback))
        .await;
    let _controller = world.controller("one");
    says(&world, "web", "Steady at 2", "").await;
    world.prometheus.set("queue", Answer::Error(503, "the store is away"));
    let since = |policy: &FeedbackPolicy| policy.status.as_ref()?.actions.first()?.no_data_since.clone();
    let since = world.policy("web", "there is no data", since).await;
    let up = world.closed(1).await;
    assert_eq!((up.spec.before, up.spec.after), (2, 4));
    assert!(up.spec.reason.contains("fallback 4 counts"), "{}", up.spec.reason);
    assert!(from_micro_time(&up.spec.proposed_at) >= from_micro_time(&since) + Span::from_secs(3));
    // Six are needed, and then there is no data again: the fallback is no reason to go down to it.
    world.prometheus.value("queue", 60.0);
    let more = world.closed(2).await;
    assert_eq!((more.spec.before, more.spec.after), (4, 6));
    world.prometheus.set("queue", Answer::Empty);
    says(&world, "web", "Steady at 6", "fallback 4 only raises").await;
    passes(&world).await;
    assert_eq!(written(&world).await, [(2, 4), (4, 6)]);
    world.laws().await;
}

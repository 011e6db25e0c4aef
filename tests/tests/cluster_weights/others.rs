//! Living with people and GitOps tools that write the same route.

use super::{BASE, SHIFTED, bed_with_routes, troubled, world};
use flyball_crds::Phase;
use flyball_tests::world::{Answer, World, message_of, routes};
use serde_json::json;

fn slow_b(world: &World) {
    world
        .prometheus
        .set("slow", Answer::Backends(vec![("b".to_owned(), 0.9)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_writes_while_a_change_holds_it_is_theirs() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, _split) = world(&bed, "edited").await;
    let mut policy = routes::step_policy("web", &world.namespace);
    policy["spec"]["actions"][0]["weights"]["share"] = json!({"settle": "5m", "within": "10m"});
    world.apply(&policy).await;
    let _controller = world.controller("one");
    slow_b(&world);
    world.phase(1, Phase::Verifying).await;
    world.weigh("somebody", "web", &[100, 800, 100]).await;
    let change = world.closed(1).await;
    assert_eq!(change.status.as_ref().unwrap().phase, Phase::Superseded);
    assert!(message_of(&change).contains("somebody"), "{}", message_of(&change));
    let why = troubled(&world, "OwnershipConflict").await;
    assert!(why.contains("somebody"), "{why}");
    assert_eq!(world.weights("web").await["b"], 800, "it is theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_to_base_is_left_alone_or_written_again_but_not_forever() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, _split) = world(&bed, "reset").await;
    let mut policy = routes::step_policy("web", &world.namespace);
    policy["spec"]["yieldFor"] = json!("10m");
    let lever = &mut policy["spec"]["actions"][0]["weights"];
    lever["onReset"] = json!("Reapply");
    lever["reapplyPerHour"] = json!(1);
    world.apply(&policy).await;
    let _controller = world.controller("one");
    slow_b(&world);
    let first = world.closed(1).await;
    assert_eq!(
        first.status.as_ref().unwrap().phase,
        Phase::Committed,
        "{}",
        message_of(&first)
    );

    world.weigh("argocd-controller", "web", &[500, 250, 250]).await;
    let again = world.closed(2).await;
    assert_eq!(
        again.status.as_ref().unwrap().phase,
        Phase::Committed,
        "{}",
        message_of(&again)
    );
    assert!(again.spec.reason.contains("argocd-controller"), "{}", again.spec.reason);
    world.weighs("web", &SHIFTED).await;

    world.weigh("argocd-controller", "web", &[500, 250, 250]).await;
    let why = troubled(&world, "Contended").await;
    assert!(why.contains("argocd-controller"), "{why}");
    world.weighs("web", &BASE).await;

    // An edit of the policy takes it up again, from what is there.
    policy["spec"]["actions"][0]["weights"]["reapplyPerHour"] = json!(2);
    world.apply(&policy).await;
    let third = world.closed(3).await;
    assert_eq!(
        third.status.as_ref().unwrap().phase,
        Phase::Committed,
        "{}",
        message_of(&third)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_policies_on_one_route_the_younger_is_refused_by_name() {
    let Some(bed) = bed_with_routes().await else { return };
    let (world, _split) = world(&bed, "rival").await;
    let older = routes::step_policy("older", &world.namespace);
    world.apply(&older).await;
    // Creation times have whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    world.apply(&routes::step_policy("web", &world.namespace)).await;
    let _controller = world.controller("one");
    let why = troubled(&world, "Conflict").await;
    assert!(why.contains("/older"), "{why}");
}

//! The red button: nothing is written any more but roll-backs, and everybody sees who pressed it.

use super::{open, passes, says};
use flyball_crds::{Cause, Change, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually},
    proxy::{Fault, Gate},
    world::{Controller, World, message_of, objects, phase_of},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Somebody's name, as the API server knows it.
async fn me(world: &World) -> String {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let kind = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(
        "authentication.k8s.io",
        "v1",
        "SelfSubjectReview",
    ));
    let api: kube::Api<kube::api::DynamicObject> = kube::Api::all_with(world.bed.client.clone(), &kind);
    let review = serde_json::from_value(review).unwrap();
    let answer = api.create(&kube::api::PostParams::default(), &review).await.unwrap();
    let name = answer.data.pointer("/status/userInfo/username").and_then(Value::as_str);
    name.unwrap().to_owned()
}

async fn slow(bed: &Bed, within: &str) -> World {
    let world = World::new(bed, "freeze").await;
    world.web(2).await;
    let policy = objects::policy("web", &world.namespace);
    world
        .apply(&objects::with(policy, "/spec/actions/0/verify/within", json!(within)))
        .await;
    world
}

/// Presses the button, and waits until the controller knows.
async fn freeze(world: &World, controller: &Controller) {
    let said = world.flyball(&["freeze", "--reason", "incident 12"]).await.done();
    assert!(said.contains("Frozen"), "{said}");
    eventually("the controller sees it", async || {
        controller.logged().contains("incident 12").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_installation_begins_nothing_and_says_who_and_why() {
    let Some(bed) = bed().await else { return };
    let world = slow(&bed, "10m").await;
    let controller = world.controller("one");
    says(&world, "web", "Steady at 2", "").await;
    freeze(&world, &controller).await;
    world.prometheus.value("latency", 0.9);
    let why = says(&world, "web", "Refused 2 -> 3", "frozen").await;
    let name = me(&world).await;
    assert!(
        why.starts_with("Pause: ") && why.contains(&format!("by {name} at ")) && why.contains(": incident 12"),
        "{why}"
    );
    passes(&world).await;
    let counts = world.proxy.counts();
    for label in ["POST changes", "PATCH deployments", "PUT deployments/scale"] {
        assert!(!counts.contains_key(label), "{counts:?}");
    }
    // Whoever looks sees it.
    let status = world.flyball(&["freeze", "--status"]).await;
    assert_eq!(status.code, 1, "{status:?}");
    let seen = world.flyball(&["get"]).await.done();
    let explained = world.flyball(&["explain", "web"]).await;
    for text in [&status.out, &seen, &explained.out] {
        assert!(text.contains(&name) && text.contains("incident 12"), "{text}");
    }
    // A controller that is started now knows it before it does anything.
    controller.kill();
    let _again = world.controller("one");
    passes(&world).await;
    says(&world, "web", "Refused 2 -> 3", "incident 12").await;
    let counts = world.proxy.counts();
    assert!(!counts.contains_key("POST changes"), "{counts:?}");
    // Whoever presses it again changes nothing of that.
    let again = world.flyball(&["freeze", "--reason", "another"]).await.done();
    assert!(
        again.contains("frozen already") && again.contains("incident 12"),
        "{again}"
    );
    let lifted = world.flyball(&["unfreeze"]).await.done();
    assert!(lifted.contains("Not frozen any more"), "{lifted}");
    let change = world.phase(1, Phase::Verifying).await;
    assert_eq!((change.spec.before, change.spec.after), (2, 3));
    assert_eq!(world.flyball(&["freeze", "--status"]).await.code, 0);
    world.laws().await;
}

fn cause(change: &Change) -> Option<Cause> {
    change.status.as_ref()?.cause
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_under_way_is_fenced() {
    let Some(bed) = bed().await else { return };
    let world = slow(&bed, "10m").await;
    let gate = Arc::new(Gate::default());
    world
        .proxy
        .plan("PUT deployments/scale", 1, Fault::Hold(Arc::clone(&gate)));
    world.prometheus.value("latency", 0.9);
    let controller = world.controller("one");
    eventually("the write is under way", async || world.proxy.is_done().then_some(())).await;
    freeze(&world, &controller).await;
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Superseded, "{}", message_of(&change));
    assert_eq!(cause(&change), Some(Cause::Frozen), "{}", message_of(&change));
    gate.open();
    assert_eq!(gate.answer().await, 409, "the fence came before the journal was closed");
    assert_eq!(world.numbers("web").await, [2]);
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_button_is_looked_at_last_of_all_before_the_write() {
    let Some(bed) = bed().await else { return };
    let world = slow(&bed, "10m").await;
    let gate = Arc::new(Gate::default());
    // The Change is made, and its stamp is on the way.
    world.proxy.plan("PATCH deployments", 1, Fault::Hold(Arc::clone(&gate)));
    world.prometheus.value("latency", 0.9);
    let controller = world.controller("one");
    eventually("the stamp is under way", async || world.proxy.is_done().then_some(())).await;
    freeze(&world, &controller).await;
    gate.open();
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Superseded, "{}", message_of(&change));
    assert_eq!(cause(&change), Some(Cause::Frozen), "{}", message_of(&change));
    let counts = world.proxy.counts();
    assert!(!counts.contains_key("PUT deployments/scale"), "{counts:?}");
    world.flyball(&["unfreeze"]).await.done();
    world.phase(2, Phase::Verifying).await;
    assert_eq!(world.numbers("web").await, [2, 3]);
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_judged_and_taken_back_all_the_same() {
    let Some(bed) = bed().await else { return };
    let world = slow(&bed, "6s").await;
    world.prometheus.value("latency", 0.9);
    let controller = world.controller("one");
    world.phase(1, Phase::Verifying).await;
    freeze(&world, &controller).await;
    assert_eq!(open(&world).await, ["Verifying 2 -> 3"], "frozen before it was judged");
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::RolledBack, "{}", message_of(&change));
    assert_eq!(world.numbers("web").await, [2, 3, 2]);
    // It is frozen still.
    let map = world.any("v1", "ConfigMap").get_opt("flyball-freeze").await.unwrap();
    assert!(map.is_some());
    world.laws().await;
}

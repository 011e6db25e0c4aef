//! The kill switch of a namespace: an annotation holds all of its policies, and nothing else.

#![allow(clippy::unwrap_used)]

use flyball_crds::{Change, PAUSE_ANNOTATION, Phase};
use flyball_tests::{
    bed::{bed, eventually},
    world::{
        World,
        agents::{self, Agents},
        condition, message_of, objects, phase_of,
    },
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

/// What `kubectl annotate namespace` writes.
async fn annotate(world: &World, value: Value) {
    let api: Api<Namespace> = Api::all(world.bed.client.clone());
    let patch = json!({"metadata": {"annotations": {PAUSE_ANNOTATION: value}}});
    api.patch(&world.namespace, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

async fn says_paused(world: &World, name: &str) {
    world
        .policy(name, "it says that its namespace is paused", |policy| {
            let ready = condition(policy, "Ready")?;
            let said = format!(
                "namespace {} carries the annotation {PAUSE_ANNOTATION}",
                world.namespace
            );
            (ready.1 == "Suspended" && ready.2.starts_with(&said)).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_begins_in_a_paused_namespace_and_its_pods_lose_their_lines_at_once() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "paused").await;
    let agents = Agents::start(&world, 3).await;
    world.apply(&agents::policy("knobs", &world.namespace)).await;
    let _controller = world.controller("one");
    world.closed(1).await;
    agents.all_have("gogc=100").await;

    annotate(&world, json!("incident 12")).await;
    agents.all_have("").await;
    says_paused(&world, "knobs").await;
    world.prometheus.value("load", 0.9);
    world
        .policy("knobs", "the check Pause refuses it", |policy| {
            let status = policy.status.as_ref()?;
            (status.doing.starts_with("Refused gogc=100 -> gogc=200") || status.why.contains("incident 12"))
                .then_some(())
        })
        .await;
    // Reads go on.
    let asked = world.prometheus.asked();
    eventually("it goes on asking", async || {
        (world.prometheus.asked() > asked + 20).then_some(())
    })
    .await;
    assert!(world.changes().await.iter().all(|change| change.spec.sequence <= 1));
    agents.all_have("").await;
    let said = world.flyball(&["get"]).await.done();
    assert!(said.contains("FROZEN") && said.contains("incident 12"), "{said}");
    let said = world.flyball(&["explain", "knobs"]).await.done();
    assert!(
        said.contains(&format!("flyball unfreeze -n {}", world.namespace)),
        "{said}"
    );

    let said = world.flyball(&["unfreeze", "-n", &world.namespace]).await.done();
    assert!(said.contains("not frozen any more"), "{said}");
    let change = world.closed(2).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    agents.all_have("gogc=200").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_before_is_judged_and_taken_back() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "paused-back").await;
    world.web(2).await;
    let policy = objects::policy("web", &world.namespace);
    world
        .apply(&objects::with(policy, "/spec/actions/0/verify/within", json!("6s")))
        .await;
    world.prometheus.value("latency", 0.9);
    let _controller = world.controller("one");
    world.phase(1, Phase::Verifying).await;
    annotate(&world, json!("true")).await;
    says_paused(&world, "web").await;
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::RolledBack, "{}", message_of(&change));
    assert_eq!(world.numbers("web").await, [2, 3, 2]);
    let begun = |changes: Vec<Change>| changes.iter().filter(|change| change.spec.sequence > 1).count();
    assert_eq!(begun(world.changes().await), 0);
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_namespace_goes_on() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "paused-other").await;
    let other = World::new(&bed, "paused-not").await;
    for world in [&world, &other] {
        world.web(2).await;
        world.apply(&objects::policy("web", &world.namespace)).await;
        world.prometheus.value("latency", 0.9);
    }
    annotate(&world, json!("true")).await;
    let _one = world.controller("one");
    let _two = other.controller("one");
    says_paused(&world, "web").await;
    let change = other.phase(1, Phase::Verifying).await;
    assert!(change.name_any().contains("-replicas-"));
    assert_eq!(world.numbers("web").await, [2]);
}

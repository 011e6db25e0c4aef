//! Two controllers: one writes, the other takes over, and a late write of the first does not land.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::Phase;
use flyball_tests::{
    bed::{bed, eventually},
    proxy::{Fault, Gate, Proxy},
    world::{Controller, World, message_of, objects, phase_of},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Two controllers, each behind its own proxy. The first one leads.
struct Two {
    world: World,
    first: Controller,
    second: Controller,
    behind: Proxy,
}

impl Two {
    async fn start(bed: &flyball_tests::bed::Bed) -> Self {
        let world = World::new(bed, "leader").await;
        world.web(2).await;
        let first = world.controller("first");
        let two = Self::leader(&world, "first").await;
        assert_eq!(two, "first");
        let behind = Proxy::start(&bed.config, None).await;
        let second = world.controller_behind(&behind, "second");
        let looked = async || behind.counts().contains_key("GET leases").then_some(());
        eventually("the second one looks at the lease", looked).await;
        Self {
            world,
            first,
            second,
            behind,
        }
    }

    async fn leader(world: &World, wanted: &str) -> String {
        let leases = world.any("coordination.k8s.io/v1", "Lease");
        eventually(&format!("{wanted} leads"), async || {
            let lease = leases.get("flyball").await.ok()?;
            let holder = lease
                .data
                .pointer("/spec/holderIdentity")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            (holder == wanted).then_some(holder)
        })
        .await
    }
}

/// A deadline that outlasts a lease.
fn patient(policy: Value) -> Value {
    objects::with(policy, "/spec/actions/0/verify/within", json!("50s"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_leader_writes_and_the_other_one_finishes_for_it() {
    let Some(bed) = bed().await else { return };
    let two = Two::start(&bed).await;
    two.world.prometheus.value("latency", 0.9);
    two.world
        .apply(&patient(objects::policy("web", &two.world.namespace)))
        .await;
    let before = two.world.phase(1, Phase::Verifying).await;
    assert!(
        two.behind.writes().is_empty(),
        "the second one wrote: {:?}",
        two.behind.counts()
    );
    two.first.kill();
    two.world.prometheus.value("latency", 0.2);
    Two::leader(&two.world, "second").await;
    let after = two.world.closed(1).await;
    assert_eq!(phase_of(&after), Phase::Committed, "{}", message_of(&after));
    let applied = |change: &flyball_crds::Change| change.status.as_ref().and_then(|status| status.applied_at.clone());
    assert_eq!(
        applied(&before),
        applied(&after),
        "settle and deadline do not begin anew"
    );
    assert_eq!(
        two.behind.accepted("PUT deployments/scale"),
        0,
        "what was written is not written again"
    );
    assert!(two.second.runs());
    two.world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_write_of_a_dead_leader_does_not_land() {
    let Some(bed) = bed().await else { return };
    let two = Two::start(&bed).await;
    let gate = Arc::new(Gate::default());
    two.world
        .proxy
        .plan("PUT deployments/scale", 1, Fault::Hold(Arc::clone(&gate)));
    two.world.prometheus.value("latency", 0.9);
    two.world
        .apply(&patient(objects::policy("web", &two.world.namespace)))
        .await;
    let held = async || two.world.proxy.is_done().then_some(());
    eventually("the write is under way", held).await;
    two.first.kill();
    // The second one finds the intent, takes it up and carries it out.
    two.world.phase(1, Phase::Verifying).await;
    two.world.prometheus.value("latency", 0.2);
    two.world.phase(1, Phase::Committed).await;
    // Back at the old value by a person's hand: now the late write would do harm, could it land.
    let replicas = |replicas: i32| json!({"spec": {"replicas": replicas}});
    let patch = kube::api::PatchParams {
        field_manager: Some("kubectl-scale".to_owned()),
        ..Default::default()
    };
    let deployments = two.world.any("apps/v1", "Deployment");
    deployments
        .patch("web", &patch, &kube::api::Patch::Merge(replicas(2)))
        .await
        .unwrap();
    gate.open();
    assert_eq!(gate.answer().await, 409);
    assert_eq!(two.world.replicas("Deployment", "web").await, 2);
    two.world.laws().await;
}

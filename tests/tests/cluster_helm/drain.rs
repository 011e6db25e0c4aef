//! Nothing is left open by a release that goes, or that may not write any more.

use super::{ONE_AT_A_TIME, PATIENCE};
use flyball_crds::{FREEZE_NAME, Phase};
use flyball_tests::{
    bed::{bed, eventually_within},
    helm::{Release, policy, world},
    world::World,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

/// A release, and a change of which the effect is being verified.
async fn verifying(release: &Release, world: &World) {
    let mut written = serde_json::to_value(policy(world)).unwrap();
    // Nobody waits for its end.
    written["spec"]["actions"][0]["verify"]["within"] = json!("30m");
    release.install(&[]);
    world.apply(&written).await;
    world.prometheus.value("latency", 0.9);
    world.phase(1, Phase::Verifying).await;
}

async fn unfrozen(world: &World, release: &Release) {
    let maps: Api<ConfigMap> = Api::namespaced(world.bed.client.clone(), &release.namespace);
    eventually_within(PATIENCE, "the red button goes with the pods", async || {
        maps.get_opt(FREEZE_NAME).await.ok()?.is_none().then_some(())
    })
    .await;
}

/// What a change of the world came to.
async fn cut_short(world: &World) {
    let change = world.phase(1, Phase::Inconclusive).await;
    assert_eq!((change.spec.before, change.spec.after), (2, 3));
    assert_eq!(world.replicas("Deployment", "web").await, 3, "what was written stays");
    let changes = world.changes().await;
    let carried: Vec<_> = changes.iter().filter(|change| change.spec.sequence > 0).collect();
    assert_eq!(carried.len(), 1, "none has begun since");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_is_ended_before_its_release_goes_with_the_controller_dead() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let world = world(&bed, "drain").await;
    verifying(&release, &world).await;

    let kubectl = |words: &[&str]| {
        let words = [&["--namespace", &release.namespace], words].concat();
        release
            .command("kubectl", &words)
            .unwrap_or_else(|error| panic!("{error}"))
    };
    kubectl(&["scale", "deployment", &release.name, "--replicas=0"]);
    kubectl(&["delete", "pods", "--all", "--now"]);
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), &release.namespace);
    eventually_within(PATIENCE, "it is dead", async || {
        let left = pods.list(&ListParams::default()).await.ok()?.items;
        left.is_empty().then_some(())
    })
    .await;
    release
        .helm(&["uninstall", &release.name, "--wait", "--timeout", "3m"])
        .unwrap_or_else(|error| panic!("{error}"));
    cut_short(&world).await;
    unfrozen(&world, &release).await;
}

/// The controller hears it, and ends what it began with the rights that it still has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_is_ended_before_a_release_may_only_observe() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let world = world(&bed, "demote").await;
    verifying(&release, &world).await;

    release.install(&["observeOnly=true"]);
    cut_short(&world).await;
    unfrozen(&world, &release).await;
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), &release.namespace);
    let names: Vec<String> = pods
        .list(&ListParams::default())
        .await
        .unwrap()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    assert!(names.iter().all(|name| !name.ends_with("-drain")), "{names:?}");
    assert_eq!(
        release.writes(&release.user(&release.name), None).await,
        Vec::<String>::new()
    );
}

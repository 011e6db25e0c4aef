//! From another version to this one and back, in the middle of a Change: see tests/upgrade.mk.

use super::ONE_AT_A_TIME;
use flyball_crds::Phase;
use flyball_tests::{
    bed::bed,
    helm::{Release, chart, policy, world},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;
use std::{collections::BTreeSet, env, path::PathBuf};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs another version: make test-upgrade FORMER=<tag or commit>"]
async fn a_release_is_upgraded_and_rolled_back_in_the_middle_of_a_change() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let former = PathBuf::from(env::var_os("FLYBALL_FORMER").unwrap()).join("tree/deploy/helm/flyball");
    let world = world(&bed, "versions").await;
    let mut written = serde_json::to_value(policy(&world)).unwrap();
    // Long enough for pods to come and go in between.
    written["spec"]["actions"][0]["verify"]["within"] = json!("5m");
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), &release.namespace);
    let images = async || -> BTreeSet<String> {
        let pods = pods.list(&ListParams::default()).await.unwrap().items;
        let running = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        running
            .filter_map(|pod| pod.spec.as_ref()?.containers[0].image.clone())
            .collect()
    };

    // With its own definitions.
    release.install_chart(&former, &["image.tag=former", "replicas=1"]);
    assert_eq!(
        images().await,
        BTreeSet::from(["flyball.dev/flyball:former".to_owned()])
    );
    world.apply(&written).await;
    world.prometheus.value("latency", 0.9);
    let begun = world.phase(1, Phase::Verifying).await;

    release.install_chart(&chart(), &["image.tag=dev", "replicas=1"]);
    assert_eq!(images().await, BTreeSet::from(["flyball.dev/flyball:dev".to_owned()]));
    assert_eq!(world.phase(1, Phase::Verifying).await.uid(), begun.uid());
    world.prometheus.value("latency", 0.3);
    assert_eq!(world.phase(1, Phase::Committed).await.uid(), begun.uid());

    // And back.
    world.prometheus.value("latency", 0.9);
    let begun = world.phase(2, Phase::Verifying).await;
    release
        .helm(&["rollback", &release.name, "1", "--wait", "--timeout", "2m"])
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        images().await,
        BTreeSet::from(["flyball.dev/flyball:former".to_owned()])
    );
    assert_eq!(world.phase(2, Phase::Verifying).await.uid(), begun.uid());
    world.prometheus.value("latency", 0.3);
    assert_eq!(world.phase(2, Phase::Committed).await.uid(), begun.uid());
    assert_eq!(world.replicas("Deployment", "web").await, 4);
}

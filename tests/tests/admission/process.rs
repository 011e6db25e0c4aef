//! What the process does besides: its pod, its lease, its Events.

use super::server::{Server, deployment_reference, documents, eventually, said};
use flyball_controller::{
    lease::{ApiStore, Election, Timing},
    metrics::Metrics,
    record::events::{Events, Told},
};
use flyball_crds::Reason;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_pod_is_accepted_where_the_restricted_profile_is_enforced() {
    let Some(server) = Server::connect().await else { return };
    let deployment = documents("deploy/manifests")
        .into_iter()
        .find(|it| it["kind"] == "Deployment")
        .unwrap();
    let template = &deployment["spec"]["template"];
    let mut pod: Pod =
        serde_json::from_value(json!({"metadata": template["metadata"], "spec": template["spec"]})).unwrap();
    pod.metadata.name = Some("dry-run".to_owned());
    let pods: Api<Pod> = Api::namespaced(server.admin.clone(), "flyball-system");
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    assert_eq!(said(pods.create(&dry, &pod).await), Ok(()));
    pod.spec.as_mut().unwrap().containers[0].security_context = None;
    assert!(
        said(pods.create(&dry, &pod).await)
            .unwrap_err()
            .contains("violates PodSecurity")
    );
    server.done().await;
}

#[tokio::test]
async fn two_contenders_share_a_real_lease() {
    let Some(server) = Server::connect().await else { return };
    let lease: Lease =
        serde_json::from_value(json!({"metadata": {"name": "flyball", "labels": {"kept": "yes"}}})).unwrap();
    let leases: Api<Lease> = Api::namespaced(server.admin.clone(), &server.namespace);
    leases.create(&PostParams::default(), &lease).await.unwrap();
    let contend = |name| {
        let store = ApiStore::new(server.admin.clone(), &server.namespace, "flyball");
        Election::start(store, name, Timing::default()).unwrap()
    };
    let (a, b) = (contend("a"), contend("b"));
    let (seen_a, seen_b) = (a.leadership(), b.leadership());
    let leads = |seen: &tokio::sync::watch::Receiver<_>| {
        let leadership: flyball_controller::lease::Leadership = *seen.borrow();
        leadership.is_leader(Instant::now())
    };
    eventually("one of them leads", async || {
        (leads(&seen_a) != leads(&seen_b)).then_some(())
    })
    .await;
    let (leader, standby, seen) = if leads(&seen_a) { (a, b, seen_b) } else { (b, a, seen_a) };
    leader.release().await;
    let released = Instant::now();
    eventually("the other takes over", async || leads(&seen).then_some(())).await;
    assert!(released.elapsed() < Duration::from_secs(5), "{:?}", released.elapsed());
    let found = leases.get("flyball").await.unwrap();
    assert_eq!(found.labels()["kept"], "yes");
    assert_eq!(found.spec.unwrap().lease_transitions, Some(2));
    drop(standby);
    server.done().await;
}

#[tokio::test]
async fn events_are_accepted_from_the_account() {
    let Some(server) = Server::connect().await else { return };
    let (events, publisher) = Events::new(server.controller.clone(), "us", Arc::new(Metrics::new()));
    let told = |note: String| Told {
        regarding: deployment_reference(&server.namespace, "checkout", Some("u".to_owned())),
        related: None,
        reason: Reason::Committed,
        note,
    };
    events.publish(told("2 -> 3".to_owned()));
    events.publish(told("ä".repeat(5_000)));
    let mut of_the_cluster = told("cluster-wide".to_owned());
    of_the_cluster.regarding.namespace = None;
    of_the_cluster.regarding.name = Some(format!("source-{}", server.namespace));
    events.publish(of_the_cluster);
    drop(events);
    publisher.run(CancellationToken::new()).await;
    let api: Api<Event> = Api::namespaced(server.admin.clone(), &server.namespace);
    let found = api.list(&ListParams::default()).await.unwrap().items;
    let ours = |event: &&Event| event.reporting_controller.as_deref() == Some("flyball.dev/controller");
    assert_eq!(found.iter().filter(ours).count(), 2, "{found:?}");
    let elsewhere: Api<Event> = Api::namespaced(server.admin.clone(), "default");
    let found = elsewhere.list(&ListParams::default()).await.unwrap().items;
    assert!(
        found
            .iter()
            .any(|event| event.name_any().starts_with(&format!("source-{}", server.namespace)))
    );
    server.done().await;
}

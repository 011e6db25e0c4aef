//! What the controller's account may do, and what the admission policy holds it to.

use super::server::{ACCOUNT, Server, deployment_reference, documents, eventually, said};
use flyball_controller::{
    lease::{ApiStore, Election, Timing},
    metrics::Metrics,
    record::events::{Events, Told},
};
use flyball_crds::{FIELD_MANAGER, Reason, STAMP_ANNOTATION};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
        autoscaling::v1::{Scale, ScaleSpec},
        coordination::v1::Lease,
        core::v1::Pod,
        events::v1::Event,
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use rstest::rstest;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{fmt::Debug, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

fn workload(kind: &str) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "checkout", "labels": {"team": "shop"}},
        "spec": {
            "replicas": 1,
            "serviceName": (kind == "StatefulSet").then_some("checkout"),
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": {
                "metadata": {"labels": {"app": "checkout"}},
                // Nowhere, so that nothing is started.
                "spec": {
                    "nodeSelector": {"flyball.dev/none": ""},
                    "containers": [{"name": "checkout", "image": "flyball.dev/none:0"}],
                },
            },
        },
    })
}

const SPEC: &str = "flyball changes no spec; replicas are written through the scale subresource";
const ANNOTATION: &str = "flyball writes no annotation but flyball.dev/stamp, and takes none away";
const LABEL: &str = "flyball changes no label, owner or finalizer";

/// The same for each kind that is moved.
async fn holds<K>(server: &Server, kind: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let admin: Api<K> = Api::namespaced(server.admin.clone(), &server.namespace);
    let ours: Api<K> = Api::namespaced(server.controller.clone(), &server.namespace);
    let object: K = serde_json::from_value(workload(kind)).unwrap();
    admin.create(&PostParams::default(), &object).await.unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let merge = async |patch: Value| said(ours.patch("checkout", &dry, &Patch::Merge(patch)).await);
    // Roles and policies take a moment to become known.
    eventually("the admission policy is in force", async || {
        let refusal = merge(json!({"metadata": {"labels": {"x": "y"}}})).await.err()?;
        refusal.contains(LABEL).then_some(())
    })
    .await;

    let stamp = json!({"metadata": {"annotations": {STAMP_ANNOTATION: "sequence=1,attempt=0"}}});
    let really = PatchParams::default();
    assert_eq!(
        said(ours.patch("checkout", &really, &Patch::Merge(stamp)).await),
        Ok(()),
        "the first annotation at all"
    );
    let others = json!({"metadata": {"annotations": {"theirs": "1"}}});
    admin.patch("checkout", &really, &Patch::Merge(others)).await.unwrap();
    let moved = json!({"metadata": {"annotations": {STAMP_ANNOTATION: "sequence=1,attempt=1"}}});
    assert_eq!(said(ours.patch("checkout", &really, &Patch::Merge(moved)).await), Ok(()), "beside another annotation");

    let refused: [(Value, &str); 12] = [
        (json!({"metadata": {"annotations": {"mine": "1"}}}), ANNOTATION),
        (json!({"metadata": {"annotations": {"theirs": "2"}}}), ANNOTATION),
        (json!({"metadata": {"annotations": {"theirs": null}}}), ANNOTATION),
        (json!({"metadata": {"annotations": {STAMP_ANNOTATION: null}}}), ANNOTATION),
        (json!({"metadata": {"annotations": null}}), ANNOTATION),
        (json!({"metadata": {"labels": {"team": "ours"}}}), LABEL),
        (json!({"metadata": {"labels": null}}), LABEL),
        (json!({"metadata": {"finalizers": ["flyball.dev/x"]}}), LABEL),
        (
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]}}),
            LABEL,
        ),
        (json!({"spec": {"replicas": 5}}), SPEC),
        (json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}), SPEC),
        (json!({"spec": {"template": {"spec": {"containers": [{"name": "checkout", "image": "evil"}]}}}}), SPEC),
    ];
    for (patch, expect) in refused {
        let refusal = merge(patch.clone()).await.expect_err(&patch.to_string());
        assert!(refusal.contains(expect), "{patch}: {refusal}");
        assert_eq!(said(admin.patch("checkout", &dry, &Patch::Merge(patch)).await), Ok(()), "others are not affected");
    }
    // A stamp hides nothing else.
    let both = json!({"metadata": {"annotations": {STAMP_ANNOTATION: "x"}}, "spec": {"replicas": 5}});
    assert!(merge(both).await.unwrap_err().contains(SPEC));

    scales(&ours).await;
    assert!(said(ours.delete("checkout", &DeleteParams::default()).await).unwrap_err().contains("cannot delete"));
    assert!(
        said(ours.replace("checkout", &PostParams::default(), &object).await).unwrap_err().contains("cannot update")
    );
}

/// Who manages `spec.replicas`: manager, subresource, and whether it is said when.
fn managers<K: Resource>(object: &K) -> Vec<(String, Option<String>, bool)> {
    let entries = object.meta().managed_fields.clone().unwrap_or_default();
    let replicas = entries.into_iter().filter(|entry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    });
    replicas.map(|it| (it.manager.unwrap_or_default(), it.subresource, it.time.is_some())).collect()
}

async fn scales<K>(ours: &Api<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let us = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let put = async |from: &Scale, replicas| {
        let scale = Scale { spec: Some(ScaleSpec { replicas: Some(replicas) }), ..from.clone() };
        ours.replace_scale("checkout", &us, &scale).await.unwrap()
    };
    let before = ours.get_scale("checkout").await.unwrap();
    let written = put(&before, 3).await;
    let owner = vec![(FIELD_MANAGER.to_owned(), Some("scale".to_owned()), false)];
    assert_eq!(managers(&ours.get("checkout").await.unwrap()), owner, "it is said who, but not when");
    let same = put(&written, 3).await;
    assert_eq!(
        same.metadata.resource_version, written.metadata.resource_version,
        "an update that changes nothing is no fence"
    );

    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let wanted = Scale { spec: Some(ScaleSpec { replicas: Some(5) }), ..same.clone() };
    let tried = ours.replace_scale("checkout", &dry, &wanted).await.unwrap();
    assert_eq!(tried.spec.unwrap().replicas, Some(5));
    let refused = async |change: fn(&mut ObjectMeta)| {
        let mut scale = wanted.clone();
        change(&mut scale.metadata);
        said(ours.replace_scale("checkout", &dry, &scale).await).unwrap_err()
    };
    let stale = refused(|metadata| metadata.resource_version = Some("1".to_owned())).await;
    assert!(stale.contains("the object has been modified"), "{stale}");
    let anew = refused(|metadata| metadata.uid = Some("another".to_owned())).await;
    assert!(anew.contains("Precondition failed: UID in precondition"), "{anew}");

    let none = put(&same, 0).await;
    assert_eq!(none.spec.as_ref().unwrap().replicas, None, "a Scale omits replicas at 0");
    assert_eq!(managers(&ours.get("checkout").await.unwrap()), [], "and with it who wrote them");
    put(&none, 1).await;
    assert_eq!(managers(&ours.get("checkout").await.unwrap()), [], "for as long as nobody writes the object itself");
}

#[tokio::test]
async fn a_deployment_is_stamped_and_scaled_and_nothing_else() {
    let Some(server) = Server::connect().await else { return };
    holds::<Deployment>(&server, "Deployment").await;
    server.done().await;
}

#[tokio::test]
async fn a_stateful_set_is_stamped_and_scaled_and_nothing_else() {
    let Some(server) = Server::connect().await else { return };
    holds::<StatefulSet>(&server, "StatefulSet").await;
    server.done().await;
}

/// How the API server answers a JSON patch whose conditions do not hold.
#[tokio::test]
async fn a_stale_resource_version_is_a_conflict_and_a_failed_test_is_invalid() {
    let Some(server) = Server::connect().await else { return };
    let admin: Api<Deployment> = Api::namespaced(server.admin.clone(), &server.namespace);
    admin.create(&PostParams::default(), &serde_json::from_value(workload("Deployment")).unwrap()).await.unwrap();
    let send = async |patch: Value| {
        let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
        match admin.patch("checkout", &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) => (status.code, status.message),
            other => panic!("{other:?}"),
        }
    };
    let stamp = json!({"op": "add", "path": "/metadata/annotations", "value": {STAMP_ANNOTATION: "x"}});
    let stale = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "1"});
    let another = json!({"op": "test", "path": "/metadata/uid", "value": "another"});
    let nowhere = json!({"op": "add", "path": "/metadata/annotations/a", "value": "x"});
    assert_eq!(send(json!([stale, stamp])).await.0, 409);
    let (code, why) = send(json!([another, stamp])).await;
    assert_eq!(code, 422);
    assert_eq!(send(json!([nowhere])).await, (422, why), "the two can't be told from each other");
    server.done().await;
}

#[rstest]
#[case("get", "flyball.dev", "feedbackpolicies", "", true)]
#[case("watch", "flyball.dev", "changes", "", true)]
#[case("create", "flyball.dev", "changes", "", true)]
#[case("update", "flyball.dev", "changes", "", false)]
#[case("update", "flyball.dev", "changes/status", "", true)]
#[case("delete", "flyball.dev", "changes", "", true)]
#[case("deletecollection", "flyball.dev", "changes", "", false)]
#[case("update", "flyball.dev", "feedbackpolicies", "", false)]
#[case("patch", "flyball.dev", "feedbackpolicies/status", "", true)]
#[case("update", "flyball.dev", "metricsources", "", false)]
#[case("patch", "flyball.dev", "metricsources/status", "", true)]
#[case("patch", "apps", "deployments", "", true)]
#[case("update", "apps", "deployments", "", false)]
#[case("create", "apps", "deployments", "", false)]
#[case("delete", "apps", "statefulsets", "", false)]
#[case("update", "apps", "deployments/scale", "", true)]
#[case("patch", "apps", "deployments/scale", "", false)]
#[case("patch", "apps", "deployments/status", "", false)]
#[case("update", "apps", "replicasets/scale", "", false)]
#[case("list", "autoscaling", "horizontalpodautoscalers", "", true)]
#[case("patch", "autoscaling", "horizontalpodautoscalers", "", false)]
#[case("list", "keda.sh", "scaledobjects", "", true)]
#[case("list", "", "pods", "", false)]
#[case("list", "", "secrets", "", false)]
#[case("list", "", "secrets", "flyball-system", true)]
#[case("create", "", "secrets", "flyball-system", false)]
#[case("list", "", "configmaps", "flyball-system", false)]
#[case("create", "events.k8s.io", "events", "", true)]
#[case("delete", "events.k8s.io", "events", "", false)]
#[case("update", "coordination.k8s.io", "leases/flyball", "flyball-system", true)]
#[case("update", "coordination.k8s.io", "leases/other", "flyball-system", false)]
#[case("update", "coordination.k8s.io", "leases/flyball", "kube-system", false)]
#[case("create", "coordination.k8s.io", "leases", "kube-system", false)]
#[case("escalate", "rbac.authorization.k8s.io", "clusterroles", "", false)]
#[case("update", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", false)]
#[tokio::test]
async fn the_account_may(
    #[case] verb: &str,
    #[case] group: &str,
    #[case] resource: &str,
    #[case] namespace: &str,
    #[case] expect: bool,
) {
    let Some(server) = Server::connect().await else { return };
    let (resource, rest) = resource.split_once('/').map_or((resource, None), |(resource, rest)| (resource, Some(rest)));
    let (name, subresource) = if resource == "leases" { (rest, None) } else { (None, rest) };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(ACCOUNT.to_owned()),
            groups: Some(vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()]),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                name: name.map(ToOwned::to_owned),
                subresource: subresource.map(ToOwned::to_owned),
                namespace: Some(namespace.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(server.admin.clone());
    let ask = async || reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed;
    if expect {
        eventually(&format!("it may {verb} {resource}"), async || ask().await.then_some(())).await;
    } else {
        assert!(!ask().await, "it must not {verb} {resource}");
    }
    server.done().await;
}

#[tokio::test]
async fn the_pod_is_accepted_where_the_restricted_profile_is_enforced() {
    let Some(server) = Server::connect().await else { return };
    let deployment = documents("deploy/manifests").into_iter().find(|it| it["kind"] == "Deployment").unwrap();
    let template = &deployment["spec"]["template"];
    let mut pod: Pod =
        serde_json::from_value(json!({"metadata": template["metadata"], "spec": template["spec"]})).unwrap();
    pod.metadata.name = Some("dry-run".to_owned());
    let pods: Api<Pod> = Api::namespaced(server.admin.clone(), "flyball-system");
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    assert_eq!(said(pods.create(&dry, &pod).await), Ok(()));
    pod.spec.as_mut().unwrap().containers[0].security_context = None;
    assert!(said(pods.create(&dry, &pod).await).unwrap_err().contains("violates PodSecurity"));
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
    eventually("one of them leads", async || (leads(&seen_a) != leads(&seen_b)).then_some(())).await;
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
    assert!(found.iter().any(|event| event.name_any().starts_with(&format!("source-{}", server.namespace))));
    server.done().await;
}

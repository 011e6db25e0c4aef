//! Each rule of the definitions: what it accepts, and with which words it refuses.

use super::{
    policies::{POLICIES, policy},
    replicas::REPLICAS,
    runtime::{RUNTIME, runtime_policy},
    server::{Server, apply, documents, said},
    sources::{SOURCES, source},
    weights::{WEIGHTS, weights_policy},
};
use flyball_crds::{Change, FeedbackPolicy, MetricSource};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Where something is set, and to what; null: it is taken away.
pub type Set = (&'static str, fn() -> Value);
/// A name, what is set, and what is said; none: accepted.
pub type Case = (&'static str, &'static [Set], Option<&'static str>);

fn changed(mut object: Value, changes: &[Set]) -> Value {
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').unwrap();
        let fields = object
            .pointer_mut(parent)
            .unwrap_or_else(|| panic!("{parent}"))
            .as_object_mut()
            .unwrap();
        match value() {
            Value::Null => assert!(fields.remove(key).is_some(), "{path} is not there"),
            value => drop(fields.insert(key.to_owned(), value)),
        }
    }
    object
}

/// Runs a table against the API server, in dry runs.
async fn check<K>(api: &Api<K>, base: fn() -> Value, cases: &[Case])
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    // Untyped, because a typed object could not even hold what is to be refused.
    let mut wrong = vec![];
    for (name, changes, expect) in cases {
        let object = changed(base(), changes);
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let request = kube::core::Request::new(api.resource_url())
            .create(&dry_run, serde_json::to_vec(&object).unwrap())
            .unwrap();
        let found = said(api.clone().into_client().request::<DynamicObject>(request).await);
        let fits = match (&found, expect) {
            (Ok(()), None) => true,
            (Err(message), Some(expect)) => message.contains(expect),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name}: expected {expect:?}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn policies_are_accepted_and_refused_with_these_words() {
    let Some(server) = Server::connect().await else { return };
    let api: Api<FeedbackPolicy> = Api::namespaced(server.admin.clone(), &server.namespace);
    check(&api, policy, POLICIES).await;
    check(&api, policy, REPLICAS).await;
    check(&api, weights_policy, WEIGHTS).await;
    check(&api, runtime_policy, RUNTIME).await;
    server.done().await;
}

#[tokio::test]
async fn sources_are_accepted_and_refused_with_these_words() {
    let Some(server) = Server::connect().await else { return };
    let api: Api<MetricSource> = Api::all(server.admin.clone());
    check(&api, source, SOURCES).await;
    server.done().await;
}

#[tokio::test]
async fn the_intent_of_a_change_never_changes() {
    let Some(server) = Server::connect().await else { return };
    let change: Change = serde_json::from_value(json!({
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "Change",
        "metadata": {"name": "checkout-1"},
        "spec": {
            "policy": {"name": "checkout", "uid": "u", "generation": 1},
            "action": "step",
            "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout", "uid": "v"},
            "field": "replicas",
            "direction": "Up",
            "sequence": 1,
            "before": 2,
            "after": 3,
            "verified": 2,
            "proposedAt": "2026-11-24T00:00:00.000000Z",
            "reason": "High fires",
            "evidence": {},
        },
    }))
    .unwrap();
    let api: Api<Change> = Api::namespaced(server.admin.clone(), &server.namespace);
    api.create(&PostParams::default(), &change).await.unwrap();
    let patch = async |patch: Value| {
        said(
            api.patch("checkout-1", &PatchParams::default(), &Patch::Merge(patch))
                .await,
        )
    };
    let refusal = patch(json!({"spec": {"after": 4}})).await.unwrap_err();
    assert!(
        refusal.contains("the spec of a Change is its journal's intent and never changes"),
        "{refusal}"
    );
    // Approving one is no edit of its spec.
    let myself: Api<SelfSubjectReview> = Api::all(server.admin.clone());
    let review = myself
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .unwrap();
    let name = review.status.and_then(|status| status.user_info?.username).unwrap();
    let approval = json!({"metadata": {"annotations": {flyball_crds::APPROVED_BY_ANNOTATION: name}}});
    assert_eq!(patch(approval).await, Ok(()));
    // The status is progress, and moves.
    let mut stored = api.get("checkout-1").await.unwrap();
    assert_eq!(stored.status, None, "a creation drops it");
    stored.status = Some(flyball_crds::ChangeStatus::default());
    api.replace_status("checkout-1", &PostParams::default(), &stored)
        .await
        .unwrap();
    server.done().await;
}

#[tokio::test]
async fn the_examples_are_accepted_and_a_field_that_does_not_exist_is_not() {
    let Some(server) = Server::connect().await else { return };
    let ours = |example: &Value| {
        let version = example["apiVersion"].as_str().unwrap_or_default();
        // A receiver stands in a file, and has no definition.
        version.split('/').next() == Some(flyball_crds::GROUP) && example["kind"] != "EventReceiver"
    };
    // What others define need not be served here.
    for mut example in documents("deploy/examples").into_iter().filter(ours) {
        if example["metadata"]["namespace"] == "shop" {
            example["metadata"]["namespace"] = json!(server.namespace);
        }
        apply(&server.admin, &example, true)
            .await
            .unwrap_or_else(|error| panic!("{error}: {example}"));
        if example["kind"] == "FeedbackPolicy" {
            example["spec"]["treshold"] = json!(1);
            let refusal = said(apply(&server.admin, &example, true).await.map(|it| it.name_any())).unwrap_err();
            assert!(refusal.contains("treshold"), "{refusal}");
        }
    }
    server.done().await;
}

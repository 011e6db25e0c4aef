//! What a person may write on a Change: three annotations, and in them their own name.

use super::server::{Server, eventually, said};
use flyball_crds::{APPROVED_BY_ANNOTATION, Change, REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

const PERSON: &str = "flyball-tests-operator";
const READER: &str = "flyball-tests-reader";

const ANNOTATIONS: &str =
    "only flyball.dev/approved-by, flyball.dev/request and flyball.dev/requested-by can be written";
const METADATA: &str = "the labels, owners and finalizers of a Change are the controller's";
const NAME: &str = "flyball.dev/approved-by and flyball.dev/requested-by take the name of whoever writes them";
const REQUEST: &str = "flyball.dev/request is abort or rollback, with flyball.dev/requested-by beside it";
const SPEC: &str = "the spec of a Change is its journal's intent and never changes";

/// A Change with these annotations, as the controller makes it.
async fn change(server: &Server, name: &str, annotations: Value) {
    let object = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change",
        "metadata": {"name": name, "labels": {"flyball.dev/policy": "web"}, "annotations": annotations},
        "spec": {
            "policy": {"name": "web", "uid": "p", "generation": 1}, "action": "more", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "t"},
            "field": "replicas", "direction": "Up", "sequence": 0, "before": 2, "after": 3, "verified": 2,
            "proposedAt": "2026-01-01T00:00:00.000000Z", "reason": "Slow fires", "evidence": {},
        },
    });
    let changes: Api<Change> = Api::namespaced(server.controller.clone(), &server.namespace);
    let object = serde_json::from_value(object).unwrap();
    // The account's rights take a moment to become known.
    eventually("a Change is made", async || {
        changes.create(&PostParams::default(), &object).await.ok()
    })
    .await;
}

/// The Changes as this person sees them, who has this role in the namespace.
async fn person(server: &Server, name: &str, role: &str) -> Api<Change> {
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    });
    let bindings: Api<RoleBinding> = Api::namespaced(server.admin.clone(), &server.namespace);
    bindings
        .create(&PostParams::default(), &serde_json::from_value(binding).unwrap())
        .await
        .unwrap();
    Api::namespaced(acting(name).await, &server.namespace)
}

/// A client of the administrator who acts as somebody else.
async fn acting(name: &str) -> Client {
    let mut config = super::server::config().await;
    config.auth_info.impersonate = Some(name.to_owned());
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_person_answers_and_asks_in_their_own_name_and_writes_nothing_else() {
    let Some(server) = Server::connect().await else { return };
    change(&server, "new", json!({"theirs": "1"})).await;
    change(
        &server,
        "asked",
        json!({REQUEST_ANNOTATION: "abort", REQUESTED_BY_ANNOTATION: "another", APPROVED_BY_ANNOTATION: "another"}),
    )
    .await;
    let changes = person(&server, PERSON, "flyball-operator").await;
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let merge = async |name: &str, patch: &Value| said(changes.patch(name, &dry, &Patch::Merge(patch)).await);
    let annotated = |annotations: Value| json!({"metadata": {"annotations": annotations}});
    eventually("the admission policy is in force", async || {
        let refusal = merge("new", &annotated(json!({"mine": "1"}))).await.err()?;
        refusal.contains(ANNOTATIONS).then_some(())
    })
    .await;

    let accepted = [
        ("new", json!({APPROVED_BY_ANNOTATION: PERSON})),
        (
            "new",
            json!({REQUEST_ANNOTATION: "abort", REQUESTED_BY_ANNOTATION: PERSON}),
        ),
        (
            "new",
            json!({REQUEST_ANNOTATION: "rollback", REQUESTED_BY_ANNOTATION: PERSON}),
        ),
        // Whoever asks last is named; and what was asked for or granted can be taken back.
        (
            "asked",
            json!({REQUEST_ANNOTATION: "rollback", REQUESTED_BY_ANNOTATION: PERSON}),
        ),
        ("asked", json!({APPROVED_BY_ANNOTATION: PERSON})),
        ("asked", json!({APPROVED_BY_ANNOTATION: null})),
        (
            "asked",
            json!({REQUEST_ANNOTATION: null, REQUESTED_BY_ANNOTATION: null}),
        ),
        ("new", json!({})),
    ];
    for (name, annotations) in accepted {
        let answer = merge(name, &annotated(annotations.clone())).await;
        assert_eq!(answer, Ok(()), "{name}: {annotations}");
    }

    let refused = [
        // Nobody approves, or asks, for somebody else.
        ("new", annotated(json!({APPROVED_BY_ANNOTATION: "another"})), NAME),
        ("new", annotated(json!({APPROVED_BY_ANNOTATION: ""})), NAME),
        (
            "new",
            annotated(json!({REQUEST_ANNOTATION: "abort", REQUESTED_BY_ANNOTATION: "another"})),
            NAME,
        ),
        ("new", annotated(json!({REQUEST_ANNOTATION: "abort"})), REQUEST),
        ("asked", annotated(json!({REQUEST_ANNOTATION: "rollback"})), REQUEST),
        (
            "new",
            annotated(json!({REQUEST_ANNOTATION: "commit", REQUESTED_BY_ANNOTATION: PERSON})),
            REQUEST,
        ),
        ("new", annotated(json!({"theirs": "2"})), ANNOTATIONS),
        ("new", annotated(json!({"theirs": null})), ANNOTATIONS),
        ("new", annotated(Value::Null), ANNOTATIONS),
        (
            "new",
            annotated(json!({APPROVED_BY_ANNOTATION: PERSON, "mine": "1"})),
            ANNOTATIONS,
        ),
        (
            "new",
            json!({"metadata": {"labels": {"flyball.dev/policy": "other"}}}),
            METADATA,
        ),
        ("new", json!({"metadata": {"labels": null}}), METADATA),
        ("new", json!({"metadata": {"finalizers": ["flyball.dev/x"]}}), METADATA),
        (
            "new",
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]}}),
            METADATA,
        ),
        ("new", json!({"spec": {"after": 9}}), SPEC),
    ];
    let admin: Api<Change> = Api::namespaced(server.admin.clone(), &server.namespace);
    for (name, patch, expect) in refused {
        let refusal = merge(name, &patch).await.expect_err(&patch.to_string());
        assert!(refusal.contains(expect), "{name}, {patch}: {refusal}");
        // Not even an administrator does.
        let refusal = said(admin.patch(name, &dry, &Patch::Merge(&patch)).await).expect_err(&patch.to_string());
        assert!(
            [expect, NAME, REQUEST].iter().any(|it| refusal.contains(it)),
            "{name}, {patch}: {refusal}"
        );
    }

    // The journal is no person's.
    let status = json!({"status": {"phase": "Committed"}});
    let refusal = said(changes.patch_status("new", &dry, &Patch::Merge(&status)).await).unwrap_err();
    assert!(refusal.contains("cannot patch"), "{refusal}");
    let refusal = said(changes.delete("new", &DeleteParams::default()).await).unwrap_err();
    assert!(refusal.contains("cannot delete"), "{refusal}");

    // Who may only look approves nothing, in whatever name.
    let reader = person(&server, READER, "flyball-view").await;
    eventually("the reader reads", async || reader.get("new").await.ok()).await;
    let own = annotated(json!({APPROVED_BY_ANNOTATION: READER}));
    let refusal = said(reader.patch("new", &dry, &Patch::Merge(&own)).await).unwrap_err();
    assert!(refusal.contains("cannot patch"), "{refusal}");
    server.done().await;
}

//! What the admission policy holds the controller's account to.

use super::server::{Server, eventually, said};
use flyball_crds::{FIELD_MANAGER, STAMP_ANNOTATION};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        autoscaling::v1::{Scale, ScaleSpec},
    },
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fmt::Debug;

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
                    "containers": [{
                        "name": "checkout", "image": "flyball.dev/none:0",
                        "env": [{"name": "A", "value": "1"}, {"name": "GOGC", "value": "100"}],
                    }],
                },
            },
        },
    })
}

const SPEC: &str = "flyball changes no spec but start-up options of runtimes in env of the pod template; replicas are written through \
    the scale subresource";
const ANNOTATION: &str =
    "flyball writes no annotation but flyball.dev/stamp and those of runtime.flyball.dev, and takes no other away";
const LABEL: &str = "flyball changes no label, owner or finalizer";

/// Of a pod template the start-up options of runtimes in env of the containers it has, and nothing else.
async fn start_options<K>(ours: &Api<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let merge = async |patch: Value| said(ours.patch("checkout", &dry, &Patch::Merge(patch)).await);
    let container = |more: Value| {
        let mut container = json!({
            "name": "checkout", "image": "flyball.dev/none:0",
            "env": [{"name": "A", "value": "1"}, {"name": "GOGC", "value": "100"}],
        });
        for (field, value) in more.as_object().unwrap() {
            container[field] = value.clone();
        }
        json!({"spec": {"template": {"spec": {"containers": [container]}}}})
    };
    let env = |entries: Value| container(json!({"env": entries}));
    let a = json!({"name": "A", "value": "1"});
    let option = |name: &str, value: &str| json!({"name": name, "value": value});
    let named = |name: &str| match name {
        "JAVA_TOOL_OPTIONS" | "JDK_JAVA_OPTIONS" => option(name, "-Xmx512m -Xms64m"),
        "NODE_OPTIONS" => option(name, "--max-old-space-size=768"),
        _ => option(name, "1"),
    };
    for allowed in [
        env(json!([a, {"name": "GOGC", "value": "50"}])),
        env(json!([a])),
        env(json!([
            named("GOMEMLIMIT"),
            a,
            named("JAVA_TOOL_OPTIONS"),
            named("DOTNET_GCHeapHardLimit")
        ])),
    ] {
        assert_eq!(merge(allowed.clone()).await, Ok(()), "{allowed}");
    }
    // The list of the policy and that of the program are one.
    for name in flyball_core::policy::VARIABLES {
        assert_eq!(merge(env(json!([a, named(name)]))).await, Ok(()), "{name}");
    }
    for refused in [
        env(json!([{"name": "A", "value": "2"}, named("GOGC")])),
        env(json!([named("GOGC")])),
        env(json!([a, named("LD_PRELOAD")])),
        env(json!([a, named("NODE_OPTIONS2")])),
        // What loads code is no size of a heap.
        env(json!([
            a,
            option("JAVA_TOOL_OPTIONS", "-Xmx512m -javaagent:/tmp/evil.jar")
        ])),
        env(json!([a, option("JDK_JAVA_OPTIONS", "@/tmp/evil")])),
        env(json!([a, option("NODE_OPTIONS", "--require=/tmp/evil.js")])),
        env(json!([
            a,
            option("JAVA_TOOL_OPTIONS", "-Xmx512m,-javaagent:/tmp/evil.jar")
        ])),
        env(json!([a, {"name": "GOGC", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}])),
        container(json!({"env": [a, named("GOGC")], "image": "evil"})),
        container(json!({"env": [a, named("GOGC")], "command": ["sh"]})),
        container(json!({"env": [a, named("GOGC")], "envFrom": [{"secretRef": {"name": "s"}}]})),
        container(json!({"name": "other"})),
        json!({"spec": {"template": {"spec": {"initContainers": [{"name": "i", "image": "i", "env": [named("GOGC")]}]}}}}),
        json!({"spec": {"template": {"spec": {"containers": [
            {"name": "checkout", "image": "flyball.dev/none:0", "env": [a]}, {"name": "second", "image": "i"},
        ]}}}}),
        json!({"spec": {"template": {"spec": {"hostNetwork": true}}}}),
    ] {
        let said = merge(refused.clone()).await.unwrap_err();
        assert!(said.contains(SPEC), "{refused}: {said}");
    }
}

/// The same for each kind that is moved.
async fn holds<K>(server: &Server, kind: &str)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let admin: Api<K> = Api::namespaced(server.admin.clone(), &server.namespace);
    let ours: Api<K> = Api::namespaced(server.controller.clone(), &server.namespace);
    let object: K = serde_json::from_value(workload(kind)).unwrap();
    admin.create(&PostParams::default(), &object).await.unwrap();
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
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
    assert_eq!(
        said(ours.patch("checkout", &really, &Patch::Merge(moved)).await),
        Ok(()),
        "beside another annotation"
    );

    let refused: [(Value, &str); 12] = [
        (json!({"metadata": {"annotations": {"mine": "1"}}}), ANNOTATION),
        (json!({"metadata": {"annotations": {"theirs": "2"}}}), ANNOTATION),
        (json!({"metadata": {"annotations": {"theirs": null}}}), ANNOTATION),
        (
            json!({"metadata": {"annotations": {STAMP_ANNOTATION: null}}}),
            ANNOTATION,
        ),
        (json!({"metadata": {"annotations": null}}), ANNOTATION),
        (json!({"metadata": {"labels": {"team": "ours"}}}), LABEL),
        (json!({"metadata": {"labels": null}}), LABEL),
        (json!({"metadata": {"finalizers": ["flyball.dev/x"]}}), LABEL),
        (
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]}}),
            LABEL,
        ),
        (json!({"spec": {"replicas": 5}}), SPEC),
        (
            json!({"spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}}),
            SPEC,
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"name": "checkout", "image": "evil"}]}}}}),
            SPEC,
        ),
    ];
    for (patch, expect) in refused {
        let refusal = merge(patch.clone()).await.expect_err(&patch.to_string());
        assert!(refusal.contains(expect), "{patch}: {refusal}");
        assert_eq!(
            said(admin.patch("checkout", &dry, &Patch::Merge(patch)).await),
            Ok(()),
            "others are not affected"
        );
    }
    for annotation in ["runtime.flyball.dev/checkout", "stamp.runtime.flyball.dev/checkout"] {
        for value in [json!("gogc=200"), Value::Null] {
            let patch = json!({"metadata": {"annotations": {annotation: value}}});
            assert_eq!(merge(patch.clone()).await, Ok(()), "{patch}");
        }
    }
    let near = json!({"metadata": {"annotations": {"xruntime.flyball.dev/checkout": "1"}}});
    assert!(merge(near).await.unwrap_err().contains(ANNOTATION));
    start_options(&ours).await;
    // A stamp hides nothing else.
    let both = json!({"metadata": {"annotations": {STAMP_ANNOTATION: "x"}}, "spec": {"replicas": 5}});
    assert!(merge(both).await.unwrap_err().contains(SPEC));

    scales(&ours).await;
    assert!(
        said(ours.delete("checkout", &DeleteParams::default()).await)
            .unwrap_err()
            .contains("cannot delete")
    );
    assert!(
        said(ours.replace("checkout", &PostParams::default(), &object).await)
            .unwrap_err()
            .contains("cannot update")
    );
}

/// Who manages `spec.replicas`: manager, subresource, and whether it is said when.
fn managers<K: Resource>(object: &K) -> Vec<(String, Option<String>, bool)> {
    let entries = object.meta().managed_fields.clone().unwrap_or_default();
    let replicas = entries.into_iter().filter(|entry| {
        entry
            .fields_v1
            .as_ref()
            .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
    });
    replicas
        .map(|it| (it.manager.unwrap_or_default(), it.subresource, it.time.is_some()))
        .collect()
}

async fn scales<K>(ours: &Api<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let us = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    // The workload's own controller writes its status meanwhile, so a conflict is tried again.
    let put = async |replicas| loop {
        let from = ours.get_scale("checkout").await.unwrap();
        let scale = Scale {
            spec: Some(ScaleSpec {
                replicas: Some(replicas),
            }),
            ..from.clone()
        };
        match ours.replace_scale("checkout", &us, &scale).await {
            Ok(written) => return (from.metadata.resource_version, written),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("{error:?}"),
        }
    };
    put(3).await;
    let owner = vec![(FIELD_MANAGER.to_owned(), Some("scale".to_owned()), false)];
    assert_eq!(
        managers(&ours.get("checkout").await.unwrap()),
        owner,
        "it is said who, but not when"
    );
    let (sent, same) = put(3).await;
    assert_eq!(
        same.metadata.resource_version, sent,
        "an update that changes nothing is no fence"
    );

    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut wanted = Scale {
        spec: Some(ScaleSpec { replicas: Some(5) }),
        ..same.clone()
    };
    wanted.metadata.resource_version = None;
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

    let (_, none) = put(0).await;
    assert_eq!(
        none.spec.as_ref().unwrap().replicas,
        None,
        "a Scale omits replicas at 0"
    );
    assert_eq!(
        managers(&ours.get("checkout").await.unwrap()),
        [],
        "and with it who wrote them"
    );
    put(1).await;
    assert_eq!(
        managers(&ours.get("checkout").await.unwrap()),
        [],
        "for as long as nobody writes the object itself"
    );
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

/// The stamp is a merge patch: how the API server answers one whose conditions do not hold.
#[tokio::test]
async fn a_stamp_is_conditional_on_the_version_and_on_the_object() {
    let Some(server) = Server::connect().await else { return };
    let admin: Api<Deployment> = Api::namespaced(server.admin.clone(), &server.namespace);
    let made = admin
        .create(
            &PostParams::default(),
            &serde_json::from_value(workload("Deployment")).unwrap(),
        )
        .await
        .unwrap();
    let send = async |uid: &str, version: &str| {
        let patch = json!({"metadata": {
            "uid": uid, "resourceVersion": version, "annotations": {STAMP_ANNOTATION: "x"},
        }});
        match admin
            .patch("checkout", &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(written) => Ok(written.annotations().get(STAMP_ANNOTATION).cloned()),
            Err(kube::Error::Api(status)) => Err(status.code),
            other => panic!("{other:?}"),
        }
    };
    let uid = made.uid().unwrap();
    assert_eq!(send(&uid, "1").await, Err(409), "a stale version is a conflict");
    // The workload's own controller writes too, so the version is read anew until one is met.
    let fresh = async |uid: &str| loop {
        let version = admin.get("checkout").await.unwrap().resource_version().unwrap();
        let answer = send(uid, &version).await;
        if answer != Err(409) || uid != made.uid().unwrap() {
            return answer;
        }
    };
    assert!(fresh("another").await.is_err(), "another object is never stamped");
    assert_eq!(
        fresh(&uid).await,
        Ok(Some("x".to_owned())),
        "annotations need not be there before"
    );
    server.done().await;
}

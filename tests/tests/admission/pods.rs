//! What the admission policy of pods holds the controller's account to: the right to patch them is the right to
//! change their images.

use super::server::{Server, eventually, said};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

const SPEC: &str = "flyball changes no spec of a pod";
const ANNOTATION: &str = "flyball writes no annotation of a pod but lines of at most 1,024 bytes under runtime.flyball.dev, words of at most 256 under app.flyball.dev and its stamp, and takes no other away";
const RESIZE: &str = "flyball raises the memory of a container that has a limit or a request of it, and changes nothing else by a resize";
const LABEL: &str = "flyball changes no label, owner or finalizer of a pod";

#[tokio::test]
async fn the_controller_writes_lines_to_pods_and_nothing_else() {
    let Some(server) = Server::connect().await else { return };
    let admin: Api<Pod> = Api::namespaced(server.admin.clone(), &server.namespace);
    let ours: Api<Pod> = Api::namespaced(server.controller.clone(), &server.namespace);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {"theirs": "1"}},
        "spec": {
            "nodeSelector": {"flyball.dev/none": ""},
            "containers": [{"name": "app", "image": "flyball.dev/none:0"}],
        },
    }))
    .unwrap();
    admin.create(&PostParams::default(), &pod).await.unwrap();
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let merge = async |patch: Value| said(ours.patch("web", &dry, &Patch::Merge(patch)).await);
    eventually("the admission policy is in force", async || {
        let refusal = merge(json!({"metadata": {"labels": {"x": "y"}}})).await.err()?;
        refusal.contains(LABEL).then_some(())
    })
    .await;

    let line =
        json!({"metadata": {"annotations": {"runtime.flyball.dev/app": "v1 gen=1 ttl=60 exp=1795000000 gogc=200"}}});
    let really = PatchParams::default();
    assert_eq!(said(ours.patch("web", &really, &Patch::Merge(line)).await), Ok(()));
    let none = json!({"metadata": {"annotations": {"runtime.flyball.dev/app": null}}});
    assert_eq!(merge(none).await, Ok(()), "a line is taken out");

    let word = json!({"metadata": {"annotations": {"app.flyball.dev/cache": "half"}}});
    assert_eq!(said(ours.patch("web", &really, &Patch::Merge(word)).await), Ok(()));
    let none = json!({"metadata": {"annotations": {"app.flyball.dev/cache": null}}});
    assert_eq!(merge(none).await, Ok(()), "a word is taken out");

    let stamp = json!({"metadata": {"annotations": {"flyball.dev/stamp": "sequence=1,attempt=0"}}});
    assert_eq!(said(ours.patch("web", &really, &Patch::Merge(stamp)).await), Ok(()));

    let image = json!({"spec": {"containers": [{"name": "app", "image": "evil"}]}});
    for (patch, expect) in [
        (json!({"metadata": {"annotations": {"mine": "1"}}}), ANNOTATION),
        (json!({"metadata": {"annotations": {"theirs": "2"}}}), ANNOTATION),
        (
            json!({"metadata": {"annotations": {"app.flyball.dev/cache": "x".repeat(257)}}}),
            ANNOTATION,
        ),
        (json!({"metadata": {"annotations": {"theirs": null}}}), ANNOTATION),
        (
            json!({"metadata": {"annotations": {"runtime.flyball.dev": "1"}}}),
            ANNOTATION,
        ),
        (
            json!({"metadata": {"annotations": {"runtime.flyball.dev/app": "x".repeat(1025)}}}),
            ANNOTATION,
        ),
        (
            json!({"metadata": {"annotations": {"flyball.dev/stamp": "x"}}}),
            ANNOTATION,
        ),
        (json!({"metadata": {"labels": {"app": "other"}}}), LABEL),
        (json!({"metadata": {"finalizers": ["flyball.dev/x"]}}), LABEL),
        (
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "b"}]}}),
            LABEL,
        ),
        (json!({"spec": {"activeDeadlineSeconds": 1}}), SPEC),
        (image.clone(), SPEC),
    ] {
        let strategic = said(ours.patch("web", &dry, &Patch::Strategic(patch.clone())).await);
        let refusal = strategic.expect_err(&patch.to_string());
        assert!(refusal.contains(expect), "{patch}: {refusal}");
    }
    assert_eq!(
        said(admin.patch("web", &dry, &Patch::Strategic(image)).await),
        Ok(()),
        "others are not affected"
    );
    for refusal in [
        said(ours.delete("web", &DeleteParams::default()).await),
        said(ours.create(&PostParams::default(), &pod).await),
        said(ours.replace("web", &PostParams::default(), &pod).await),
        said(
            ours.patch_subresource("status", "web", &dry, &Patch::Merge(json!({"status": {"reason": "x"}})))
                .await,
        ),
    ] {
        let refusal = refusal.expect_err("RBAC does not allow it");
        assert!(refusal.contains("cannot"), "{refusal}");
    }
    server.done().await;
}

#[tokio::test]
async fn the_controller_gives_memory_and_takes_none_and_asks_the_budgets_before_it_evicts() {
    let Some(server) = Server::connect().await else { return };
    let admin: Api<Pod> = Api::namespaced(server.admin.clone(), &server.namespace);
    let ours: Api<Pod> = Api::namespaced(server.controller.clone(), &server.namespace);
    let amounts = |memory: &str| json!({"cpu": "100m", "memory": memory});
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "nodeSelector": {"flyball.dev/none": ""},
            "containers": [
                {
                    "name": "app", "image": "flyball.dev/none:0",
                    "resources": {"limits": amounts("64Mi"), "requests": amounts("32Mi")},
                },
                {"name": "beside", "image": "flyball.dev/none:0"},
            ],
        },
    }))
    .unwrap();
    admin.create(&PostParams::default(), &pod).await.unwrap();
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let resized = async |api: &Api<Pod>, containers: Value| {
        let patch = json!({"spec": {"containers": containers}});
        said(api.patch_resize("web", &dry, &Patch::Strategic(patch)).await)
    };
    let app = |resources: Value| json!([{"name": "app", "resources": resources}]);
    let less = app(json!({"limits": {"memory": "48Mi"}}));
    eventually("the admission policy is in force", async || {
        let refusal = resized(&ours, less.clone()).await.err()?;
        refusal.contains(RESIZE).then_some(())
    })
    .await;
    assert_eq!(resized(&admin, less).await, Ok(()), "others are not affected");
    for more in [
        json!({"limits": {"memory": "80Mi"}}),
        json!({"limits": {"memory": "80Mi"}, "requests": {"memory": "40Mi"}}),
        // The same in other words, and more by less than a unit.
        json!({"limits": {"memory": "67108865"}}),
    ] {
        assert_eq!(resized(&ours, app(more.clone())).await, Ok(()), "{more}");
    }
    for (containers, why) in [
        (app(json!({"limits": {"memory": "67108863"}})), "less"),
        (
            app(json!({"limits": {"memory": "80Mi"}, "requests": {"memory": "16Mi"}})),
            "a smaller request",
        ),
        (
            app(json!({"limits": {"memory": "80Mi", "cpu": "200m"}})),
            "cores beside",
        ),
        (app(json!({"requests": {"cpu": "50m"}})), "fewer cores"),
        (
            json!([{"name": "beside", "resources": {"limits": {"memory": "80Mi"}}}]),
            "a limit where there was none",
        ),
    ] {
        let refusal = resized(&ours, containers).await.expect_err(why);
        assert!(refusal.contains(RESIZE), "{why}: {refusal}");
    }
    let evicted = async |api: &Api<Pod>, uid: &str| {
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        said(
            api.create_subresource::<Value, Value>("eviction", "web", &parameters, &body)
                .await,
        )
    };
    let uid = admin.get("web").await.unwrap().metadata.uid.unwrap();
    assert_eq!(evicted(&ours, &uid).await, Ok(()));
    let refusal = evicted(&ours, "11111111-2222-3333-4444-555555555555").await;
    assert!(refusal.expect_err("another pod of its name").contains("UID"));
    let refusal = said(ours.delete("web", &DeleteParams::default()).await).expect_err("a deletion");
    assert!(refusal.contains("cannot"), "{refusal}");
    server.done().await;
}

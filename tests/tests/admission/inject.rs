//! What `flyball inject` prints is what the API server takes, and what an injected workload already has is left alone.

use super::server::Server;
use flyball_tests::bed::bed;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use std::{path::Path, process::Stdio};
use tokio::{io::AsyncWriteExt, process::Command};

/// What the command prints of a manifest.
async fn inject(flyball: &Path, manifest: &str, words: &[&str]) -> String {
    let mut command = Command::new(flyball)
        .args(["inject", "-f", "-"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = command.stdin.take().unwrap();
    stdin.write_all(manifest.as_bytes()).await.unwrap();
    drop(stdin);
    let out = command.wait_with_output().await.unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success(), "{said}");
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test]
async fn what_is_injected_is_accepted_and_nothing_is_added_twice() {
    let Some(server) = Server::connect().await else { return };
    let Some(bed) = bed().await else { return };
    let deployments: Api<Deployment> = Api::namespaced(server.admin.clone(), &server.namespace);
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [
                    {"name": "app", "image": "flyball.dev/none:0", "env": [{"name": "JAVA_TOOL_OPTIONS", "value": "-Xmx64m"}]},
                    {"name": "sidecar", "image": "flyball.dev/none:0"},
                ]},
            },
        },
    });
    let file = manifest.to_string();
    let words = ["--container", "app", "--java", "/opt/flyball/agent.jar"];

    // As a whole it is accepted without a warning about a field that does not exist.
    let whole: Deployment = serde_yaml::from_str(&inject(&bed.flyball, &file, &words).await).unwrap();
    let strict = PostParams {
        field_manager: Some("admission-tests".to_owned()),
        ..PostParams::default()
    };
    let created = deployments.create(&strict, &whole).await.unwrap();
    let template = created.spec.clone().unwrap().template.spec.unwrap();
    let app = &template.containers[0];
    let option = app
        .env
        .as_ref()
        .unwrap()
        .iter()
        .find(|env| env.name == "JAVA_TOOL_OPTIONS");
    assert_eq!(
        option.unwrap().value.as_deref(),
        Some("-Xmx64m -javaagent:/opt/flyball/agent.jar")
    );
    assert!(
        template.containers[1].volume_mounts.is_none(),
        "the sidecar is left alone"
    );

    // As a patch it leads to the same.
    let patch: serde_json::Value =
        serde_yaml::from_str(&inject(&bed.flyball, &file, &[&words[..], &["--patch"]].concat()).await).unwrap();
    let plain: Deployment = serde_json::from_value({
        let mut plain = manifest.clone();
        plain["metadata"]["name"] = json!("patched");
        plain
    })
    .unwrap();
    deployments.create(&PostParams::default(), &plain).await.unwrap();
    let patched = deployments
        .patch(
            "patched",
            &PatchParams::default(),
            &Patch::Strategic(json!({"spec": patch["spec"]})),
        )
        .await
        .unwrap();
    assert_eq!(patched.spec.unwrap().template.spec.unwrap(), template);

    // What the server has made of it needs nothing more.
    let again = serde_json::to_string(&created).unwrap();
    let again: Deployment = serde_yaml::from_str(&inject(&bed.flyball, &again, &words).await).unwrap();
    assert_eq!(again.spec.unwrap().template.spec.unwrap(), template);
}

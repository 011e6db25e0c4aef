//! An installation whose port is closed.

use super::{ONE_AT_A_TIME, PATIENCE};
use flyball_tests::{
    authority::Authority,
    bed::{bed, eventually_within},
    helm::Release,
    rights::token,
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};

/// The kubelet's probes, the mounted Secret, the rights of the controller and those of a reader, as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_by_tls_is_probed_and_read_by_whom_its_values_name() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let authority = Authority::new();
    let name = format!("{}.{}.svc", release.name, release.namespace);
    let issued = authority.issue(&[&name]);
    let shown = json!({
        "metadata": {"name": "shown"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": issued.certificate, "tls.key": issued.key, "ca.crt": authority.pem()},
    });
    let secrets: Api<Secret> = Api::namespaced(bed.client.clone(), &release.namespace);
    let shown = serde_json::from_value(shown).unwrap();
    secrets.create(&PostParams::default(), &shown).await.unwrap();
    // It waits until the pods are ready: by the kubelet, which asks by TLS.
    release.install(&[
        "tls.secretName=shown",
        "metrics.authorization=true",
        "metrics.readers[0].name=reader",
        &format!("metrics.readers[0].namespace={}", release.namespace),
    ]);
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), &release.namespace);
    let own = ListParams::default().labels("app.kubernetes.io/name=flyball");
    let pod = pods.list(&own).await.unwrap().items.remove(0);
    let ip: IpAddr = pod.status.unwrap().pod_ip.unwrap().parse().unwrap();
    let client = authority.client().resolve(&name, SocketAddr::new(ip, 8080));
    let client = client.build().unwrap();
    let asked = async |token: &str| {
        let request = client.get(format!("https://{name}:8080/metrics")).bearer_auth(token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let reader = token(&bed.client, &release.namespace, "reader", &[]).await;
    let stranger = token(&bed.client, &release.namespace, "stranger", &[]).await;
    let body = eventually_within(PATIENCE, "the reader reads", async || {
        let (status, body) = asked(&reader).await;
        (status == 200).then_some(body)
    })
    .await;
    assert!(body.ends_with("# EOF\n"), "{body}");
    let (status, body) = asked(&stranger).await;
    assert!(
        status == 403 && body.contains(":stranger may not get /metrics"),
        "{status} {body}"
    );
    assert_eq!(asked("guess").await.0, 401);
    let report = release.doctor();
    let mut lines = report.lines();
    let given = lines.any(|line| line.contains(&release.name) && line.contains("may do all that is needed"));
    assert!(given, "{report}");
    release.tested(&release.name);
}

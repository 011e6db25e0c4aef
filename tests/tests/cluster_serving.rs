//! The controller's port by TLS, with the API server as the one who says who may read the metrics: a real Prometheus scrapes a real
//! controller, and the certificate changes meanwhile.

#![allow(clippy::unwrap_used, clippy::panic)]

use flyball_tests::{
    authority::{Authority, Issued},
    bed::{PATIENCE, bed, eventually, eventually_within, skipped},
    processes::Prometheus,
    rights::token,
    world::World,
};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

/// What the server is called in its certificates. Prometheus asks an address, as it does with pods.
const NAME: &str = "flyball.flyball-system.svc";

/// Writes both files as the kubelet does: what they are links to is swapped at once.
fn mount(folder: &Path, generation: &str, issued: &Issued) {
    let data = folder.join(generation);
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("tls.crt"), &issued.certificate).unwrap();
    fs::write(data.join("tls.key"), &issued.key).unwrap();
    let next = folder.join("..data_tmp");
    symlink(generation, &next).unwrap();
    fs::rename(next, folder.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        let link = folder.join(file);
        if !link.exists() {
            symlink(format!("..data/{file}"), link).unwrap();
        }
    }
}

/// The right to read metrics, as the chart gives it to `metrics.readers`.
async fn allow(client: &Client, name: &str, namespace: &str, account: &str) {
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": name}, "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
    }))
    .unwrap();
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    }))
    .unwrap();
    let parameters = PostParams::default();
    Api::all(client.clone()).create(&parameters, &role).await.unwrap();
    Api::all(client.clone()).create(&parameters, &binding).await.unwrap();
}

async fn disallow(client: &Client, name: &str) {
    let parameters = DeleteParams::default();
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    bindings.delete(name, &parameters).await.unwrap();
    roles.delete(name, &parameters).await.unwrap();
}

/// How the last scrape of each job went: whether it was taken, and else why not. Empty until there was one.
async fn scrapes(prometheus: &Prometheus) -> BTreeMap<String, (bool, String)> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1/targets?state=active", prometheus.url);
    let answer = client.get(url).send().await.unwrap().bytes().await.unwrap();
    let targets: Value = serde_json::from_slice(&answer).unwrap();
    let targets = targets["data"]["activeTargets"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    targets
        .iter()
        .filter(|target| target["health"] != "unknown")
        .map(|target| {
            let is_up = target["health"] == "up";
            (text(&target["labels"]["job"]), (is_up, text(&target["lastError"])))
        })
        .collect()
}

/// The one number that a query is answered with.
async fn number(prometheus: &Prometheus, query: &str) -> Option<f64> {
    let found = prometheus.vector(query).await;
    found.first()?["value"][1].as_str()?.parse().ok()
}

/// A job that trusts this authority's file, with the token of that file.
fn job(name: &str, address: &str, authority: &Path, token: Option<&PathBuf>) -> Value {
    let mut job = json!({
        "job_name": name, "scheme": "https", "honor_labels": true,
        "tls_config": {"ca_file": authority, "server_name": NAME},
        "static_configs": [{"targets": [address]}],
    });
    if let Some(token) = token {
        job["authorization"] = json!({"credentials_file": token});
    }
    job
}

#[allow(
    clippy::too_many_lines,
    reason = "one controller, from its first certificate to its third"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_are_scraped_by_tls_by_whom_the_api_server_allows_it() {
    let Some(bed) = bed().await else { return };
    let Some(program) = bed.prometheus.clone() else {
        skipped::<()>("no FLYBALL_PROMETHEUS (make test-cluster)");
        return;
    };
    let world = World::new(&bed, "serving").await;
    let mounted = world.folder().join("mounted");
    fs::create_dir_all(&mounted).unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    let names = [NAME, "127.0.0.1"];
    mount(&mounted, "..1", &old.issue(&names));
    let path = |file: &str| mounted.join(file).display().to_string();
    let (certificate, key) = (path("tls.crt"), path("tls.key"));
    let words = [
        "--tls-cert-file",
        &certificate,
        "--tls-private-key-file",
        &key,
        "--metrics-authorization",
    ];
    let controller = world.controller_with("one", &words);
    let address = eventually("the controller listens", async || {
        let logged = controller.logged();
        let (_, rest) = logged.split_once("listening=")?;
        let address: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
        Some(address.trim_matches('"').to_owned()).filter(|address| address.contains(':'))
    })
    .await;

    let (reader, stranger) = ("reader", "stranger");
    let good = token(&bed.client, &world.namespace, reader, &[]).await;
    let weak = token(&bed.client, &world.namespace, stranger, &[]).await;
    let elsewhere = token(&bed.client, &world.namespace, reader, &["https://elsewhere"]).await;
    allow(&bed.client, &world.namespace, &world.namespace, reader).await;

    let asked = async |authority: &Authority, path: &str, token: Option<&str>| {
        let request = authority
            .client()
            .build()
            .unwrap()
            .get(format!("https://{address}{path}"));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.unwrap_or_default()))
    };
    eventually("it is alive", async || {
        asked(&old, "/healthz", None).await.filter(|(status, _)| *status == 200)
    })
    .await;
    // RBAC of the API server is a cache, too.
    let (_, body) = eventually("who may read does", async || {
        asked(&old, "/metrics", Some(&good))
            .await
            .filter(|(status, _)| *status == 200)
    })
    .await;
    assert!(body.ends_with("# EOF\n"), "{body}");
    for (token, status, part) in [
        (None, 401, "send a bearer token"),
        (Some("guess"), 401, "does not know this token"),
        (Some(elsewhere.as_str()), 401, "for another audience"),
        (Some(weak.as_str()), 403, "may not get /metrics"),
    ] {
        let (found, body) = asked(&old, "/metrics", token).await.unwrap();
        assert!(found == status && body.contains(part), "{found} {body}");
    }
    let (_, body) = asked(&old, "/metrics", Some(&weak)).await.unwrap();
    let name = format!("system:serviceaccount:{}:{stranger} ", world.namespace);
    assert!(body.starts_with(&name), "{body}");

    let written = |name: &str, text: &str| {
        let path = world.folder().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (old_ca, new_ca) = (written("old.crt", &old.pem()), written("new.crt", &new.pem()));
    let (good_file, weak_file) = (written("good", &good), written("weak", &weak));
    let jobs = json!([
        job("reader", &address, &old_ca, Some(&good_file)),
        job("stranger", &address, &old_ca, Some(&weak_file)),
        job("nobody", &address, &old_ca, None),
        job("next", &address, &new_ca, Some(&good_file)),
    ]);
    let prometheus = Prometheus::start(&program, Ipv4Addr::LOCALHOST.into(), world.folder(), &jobs);
    let scraped = eventually("each job was scraped", async || {
        Some(scrapes(&prometheus).await).filter(|scraped| scraped.len() == 4)
    })
    .await;
    assert_eq!(scraped["reader"], (true, String::new()));
    for (job, part) in [("stranger", "403"), ("nobody", "401"), ("next", "unknown authority")] {
        let (is_up, why) = &scraped[job];
        assert!(!is_up && why.contains(part), "{job}: {why}");
    }
    let leads = async || number(&prometheus, "flyball_leader{job=\"reader\"}").await;
    eventually("the reader's series are there", async || {
        leads().await.filter(|leads| *leads > 0.5)
    })
    .await;
    assert_eq!(
        number(&prometheus, "count(flyball_build_info)").await,
        Some(1.0),
        "nobody else has any"
    );

    // Ten seconds may pass until the files are looked at.
    let patience = PATIENCE + Duration::from_secs(10);
    let issued = new.issue(&names);
    mount(&mounted, "..2", &issued);
    let up = async |job: &str| scrapes(&prometheus).await.get(job).is_some_and(|(is_up, _)| *is_up);
    eventually_within(patience, "the new certificate is shown", async || {
        up("next").await.then_some(())
    })
    .await;
    assert!(
        asked(&old, "/healthz", None).await.is_none(),
        "the old authority is not enough any more"
    );

    let halved = Issued {
        key: "no key".to_owned(),
        ..issued
    };
    mount(&mounted, "..3", &halved);
    let failed = "flyball_certificate_reloads_total{job=\"next\", result=\"failed\"}";
    eventually_within(patience, "a wrong one is counted", async || {
        number(&prometheus, failed).await.filter(|count| *count >= 1.0)
    })
    .await;
    assert!(up("next").await && asked(&new, "/healthz", None).await.is_some());
    let taken = "flyball_certificate_reloads_total{job=\"next\", result=\"taken\"}";
    assert_eq!(number(&prometheus, taken).await, Some(1.0));
    let logged = controller.logged();
    let told = format!("{key}: not a private key in PEM");
    assert!(logged.contains(&told), "{logged}");
    for secret in [&good, &weak, &elsewhere] {
        assert!(!logged.contains(secret.as_str()), "a token is in the log");
    }
    disallow(&bed.client, &world.namespace).await;
}

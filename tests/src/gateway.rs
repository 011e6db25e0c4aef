//! The test bed's real gateway, and what a scenario needs to send traffic through it.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

#[cfg(test)]
mod tests;

use crate::bed::{Bed, unique};
use reqwest::{Client, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Command as Blocking, Stdio},
    time::Duration,
};
use tokio::process::Command;

/// The exit code by which the test bed says that this machine can't.
const UNFIT: i32 = 77;
/// The port of the demo service.
const PORT: u16 = 8080;
/// The counter of what the servers of each backend have answered. Requests that reach no server are not in it.
const SERVED: &str = "traefik_service_requests_total";
/// The counter of what each rule was answered, by whomever.
const ROUTED: &str = "traefik_router_requests_total";
/// The counter of the configurations that were taken over.
const RELOADS: &str = "traefik_config_reloads_total";

/// A running gateway. All tests of a bed share it, each with hosts of its own; it ends with the bed.
#[derive(Clone)]
pub struct Gateway {
    /// Where it takes traffic. It routes by the host that a request names.
    pub url: String,
    /// Host and port of its own metrics, which are at `/metrics`.
    pub metrics: String,
    client: Client,
}

#[derive(Deserialize)]
struct Addresses {
    url: String,
    metrics: String,
}

impl Gateway {
    /// Makes the gateway a part of the bed, if it is none yet. `None`: it can't be one here, and the test has
    /// to pass without it; under `CI=true` that is a failure.
    pub async fn up(bed: &Bed) -> Option<Self> {
        let Some(testbed) = &bed.testbed else {
            return skipped("no FLYBALL_TESTBED (make test-cluster)");
        };
        let out = run(testbed, &["gateway", "up"]).await;
        let said = String::from_utf8_lossy(&out.stderr);
        if out.status.code() == Some(UNFIT) {
            return skipped(said.trim());
        }
        assert!(out.status.success(), "no gateway: {said}");
        let Addresses { url, metrics } = serde_json::from_slice(&out.stdout).expect("a line of JSON with addresses");
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build();
        Some(Self {
            url,
            metrics,
            client: client.expect("a client"),
        })
    }

    /// Sends so many requests, one after the other, and counts the answers by status.
    pub async fn send(&self, host: &str, path: &str, requests: u64) -> BTreeMap<u16, u64> {
        let mut codes = BTreeMap::new();
        for _ in 0..requests {
            let request = self
                .client
                .get(format!("{}{path}", self.url))
                .header(header::HOST, host);
            let answer = request.send().await.expect("the gateway answers");
            *codes.entry(answer.status().as_u16()).or_default() += 1;
            // To its end, so that the connection is used again.
            let _ = answer.bytes().await.expect("a whole answer");
        }
        codes
    }

    /// What the servers of a route's backends have answered so far: by the Service's name and the status, over
    /// all rules. A Service of which no server was ever reached is not in it.
    pub async fn served(&self, namespace: &str, route: &str) -> BTreeMap<(String, u16), u64> {
        let mut counts = BTreeMap::new();
        for (labels, count) in self.series(SERVED).await {
            let Some(backend) = backend(labels.get("service"), namespace, route) else {
                continue;
            };
            *counts.entry((backend, code(&labels))).or_default() += count;
        }
        counts
    }

    /// What a route was answered so far, by status: by servers, and by the proxy itself where it had none.
    pub async fn routed(&self, namespace: &str, route: &str) -> BTreeMap<u16, u64> {
        let mut counts = BTreeMap::new();
        for (labels, count) in self.series(ROUTED).await {
            let router = labels.get("router").map_or("", String::as_str);
            if router.starts_with(&key(namespace, route)) {
                *counts.entry(code(&labels)).or_default() += count;
            }
        }
        counts
    }

    /// How often the proxy has taken over another configuration, whosever routes and pods it was about. It then
    /// begins to share out anew.
    pub async fn reloads(&self) -> u64 {
        let series = self.series(RELOADS).await;
        series.iter().map(|(_, count)| count).sum()
    }

    /// The labels and the count of each series of one counter.
    pub async fn series(&self, name: &str) -> Vec<(BTreeMap<String, String>, u64)> {
        let request = self.client.get(format!("http://{}/metrics", self.metrics)).send();
        let text = request.await.expect("the gateway has metrics").text().await;
        parse(&text.expect("metrics are text"), name)
    }
}

fn skipped<T>(why: &str) -> Option<T> {
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "{why}: a skipped test is a failure in CI"
    );
    eprintln!("skipped: {why}");
    None
}

async fn run(testbed: &Path, words: &[&str]) -> std::process::Output {
    let out = Command::new(testbed).args(words).stdin(Stdio::null()).output().await;
    out.expect("the test bed's binary runs")
}

/// How the names of a route's routers and services begin, with the proxy's own way to write names.
fn key(namespace: &str, route: &str) -> String {
    let plain = |text: &str| text.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    format!("httproute-{}-{}-gw-", plain(namespace), plain(route))
}

/// The Service of a route, in the route's own namespace, that a label `service` stands for. It reads
/// `httproute-<namespace>-<route>-gw-<namespace>-<gateway>-ep-<entrypoint>-<rule>-<hash>-svc-<namespace>-<service>-<index>@kubernetesgateway`.
fn backend(service: Option<&String>, namespace: &str, route: &str) -> Option<String> {
    let rest = service?.strip_prefix(&key(namespace, route))?;
    let rest = rest.strip_suffix("@kubernetesgateway")?;
    let (_, named) = rest.split_once(&format!("-svc-{namespace}-"))?;
    named.rsplit_once('-').map(|(name, _)| name.to_owned())
}

fn code(labels: &BTreeMap<String, String>) -> u16 {
    let code = labels.get("code").and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("a status among {labels:?}"))
}

/// The series of one counter in Prometheus' text format. The proxy's labels hold neither quotes nor commas.
fn parse(text: &str, name: &str) -> Vec<(BTreeMap<String, String>, u64)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let (labels, value) = match (rest.strip_prefix(' '), rest.strip_prefix('{')) {
            (Some(value), _) => ("", value),
            (None, Some(rest)) => rest.rsplit_once("} ").unwrap_or_else(|| panic!("a series: {line}")),
            // Another one, whose name begins like this one's.
            (None, None) => continue,
        };
        let labels = labels.split(',').filter_map(|pair| pair.split_once('='));
        let labels = labels.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned()));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("a count: {line}"));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A counter of whole requests.
        found.push((labels.collect(), value as u64));
    }
    found
}

/// A Service with this name for the pods of an app, at this port of theirs.
pub fn service(name: &str, app: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": [{"port": PORT, "targetPort": port}]},
    })
}

/// A Deployment of the demo service, and the Service of the same name. Its pods are scraped; how fast they
/// are can be changed, at `/admin/speed` of each. A pod that ends goes on answering for four seconds: the proxy
/// takes up to two to hear of it, and a request to an address that is gone hangs.
pub fn demo(name: &str, replicas: i32, arguments: &[&str]) -> [Value; 2] {
    let command: Vec<&str> = [&["serve", "--drain=20s"], arguments].concat();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {
                    "labels": {"app": name},
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": PORT.to_string()},
                },
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 8,
                    "containers": [{
                        "name": "demo", "image": "flyball.dev/demo:dev", "imagePullPolicy": "Never",
                        "args": command,
                        "ports": [{"containerPort": PORT}],
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
                    }],
                },
            },
        },
    });
    [deployment, service(name, name, PORT)]
}

/// A rule of a route that shares out requests for a path, and what is below it, by weight.
pub fn rule(name: &str, path: &str, weights: &[(&str, i32)]) -> Value {
    let backends: Vec<Value> = weights
        .iter()
        .map(|(name, weight)| json!({"group": "", "kind": "Service", "name": name, "port": PORT, "weight": weight}))
        .collect();
    let path = json!({"type": "PathPrefix", "value": path});
    json!({"name": name, "matches": [{"path": path}], "backendRefs": backends})
}

/// An `HTTPRoute` of the gateway for one host.
pub fn route(name: &str, host: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "flyball", "namespace": "flyball-gateway"}],
            "hostnames": [host],
            "rules": rules,
        },
    })
}

/// A real Prometheus that scrapes the gateway, as the job `traefik`, and the pods of one namespace. It ends
/// when this is dropped.
pub struct Scraper {
    /// Its base URL.
    pub url: String,
    name: String,
    testbed: PathBuf,
    client: Client,
}

impl Scraper {
    /// Starts one with this scrape interval, such as `1s`.
    pub async fn start(bed: &Bed, gateway: &Gateway, namespace: &str, interval: &str) -> Self {
        let testbed = bed.testbed.clone().expect("a bed with a gateway has its binary");
        let name = format!("gateway-{}", unique());
        let kubeconfig = bed.kubeconfig.display().to_string();
        let words = ["prometheus", "up", "--name", &name, "--namespace", namespace];
        let more = [
            "--scrape-interval",
            interval,
            "--target",
            &gateway.metrics,
            "--kubeconfig",
            &kubeconfig,
        ];
        let out = run(&testbed, &[&words[..], &more[..]].concat()).await;
        assert!(
            out.status.success(),
            "no Prometheus: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        Self {
            url: String::from_utf8_lossy(&out.stdout).trim().to_owned(),
            name,
            testbed,
            client: gateway.client.clone(),
        }
    }

    /// What an instant query is answered: each element's value, by one of its labels.
    pub async fn ask(&self, query: &str, label: &str) -> BTreeMap<String, f64> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", query)]);
        let answer = self
            .client
            .get(url.expect("a URL"))
            .send()
            .await
            .expect("Prometheus answers");
        let answer: Value = serde_json::from_slice(&answer.bytes().await.expect("a whole answer")).expect("JSON");
        let result = answer["data"]["result"].as_array();
        let result = result.unwrap_or_else(|| panic!("{query}: {answer}"));
        let element = |it: &Value| {
            let name = it["metric"][label].as_str().unwrap_or_default().to_owned();
            let value = it["value"][1].as_str().and_then(|value| value.parse().ok());
            (name, value.unwrap_or_else(|| panic!("{query}: {answer}")))
        };
        result.iter().map(element).collect()
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        // What is left of it ends with the bed.
        let _ = Blocking::new(&self.testbed)
            .args(["prometheus", "down", "--name", &self.name])
            .stdin(Stdio::null())
            .status();
    }
}

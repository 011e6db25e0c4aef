//! The test bed's real gateway, and what a scenario needs to send traffic through it.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

#[cfg(test)]
mod tests;

use crate::bed::Bed;
use reqwest::{Client, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

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
        let said = bed.testbed(&["gateway", "up"]).await?;
        let Addresses { url, metrics } = serde_json::from_str(&said).expect("a line of JSON with addresses");
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
        served_in(&self.text().await, namespace, route)
    }

    /// What a route was answered so far, by status: by servers, and by the proxy itself where it had none.
    pub async fn routed(&self, namespace: &str, route: &str) -> BTreeMap<u16, u64> {
        routed_in(&self.text().await, namespace, route)
    }

    /// How many requests to a route have failed so far without having reached a server. Both counters are of one moment: of
    /// two, a failure between them would be in one only.
    pub async fn unserved(&self, namespace: &str, route: &str) -> u64 {
        let text = self.text().await;
        let routed = routed_in(&text, namespace, route);
        let routed: u64 = routed.range(500..).map(|(_, count)| count).sum();
        let served = served_in(&text, namespace, route);
        let served = served.into_iter().filter(|((_, code), _)| *code >= 500);
        routed.saturating_sub(served.map(|(_, count)| count).sum())
    }

    /// How often the proxy has taken over another configuration, whosever routes and pods it was about. It then
    /// begins to share out anew.
    pub async fn reloads(&self) -> u64 {
        let series = self.series(RELOADS).await;
        series.iter().map(|(_, count)| count).sum()
    }

    /// The labels and the count of each series of one counter.
    pub async fn series(&self, name: &str) -> Vec<(BTreeMap<String, String>, u64)> {
        parse(&self.text().await, name)
    }

    async fn text(&self) -> String {
        let request = self.client.get(format!("http://{}/metrics", self.metrics)).send();
        let text = request.await.expect("the gateway has metrics").text().await;
        text.expect("metrics are text")
    }
}

fn served_in(text: &str, namespace: &str, route: &str) -> BTreeMap<(String, u16), u64> {
    let mut counts = BTreeMap::new();
    for (labels, count) in parse(text, SERVED) {
        let Some(backend) = backend(labels.get("service"), namespace, route) else {
            continue;
        };
        *counts.entry((backend, code(&labels))).or_default() += count;
    }
    counts
}

fn routed_in(text: &str, namespace: &str, route: &str) -> BTreeMap<u16, u64> {
    let mut counts = BTreeMap::new();
    for (labels, count) in parse(text, ROUTED) {
        let router = labels.get("router").map_or("", String::as_str);
        if router.starts_with(&key(namespace, route)) {
            *counts.entry(code(&labels)).or_default() += count;
        }
    }
    counts
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

//! Knobs with real parts: the agents in real processes in real containers, the kubelet that carries a line to them, a
//! real Prometheus that hears their answers, and the controller.

#![allow(clippy::unwrap_used)]

#[path = "cluster_agents/go.rs"]
mod go;
#[path = "cluster_agents/others.rs"]
mod others;

use flyball_tests::{
    bed::{Bed, eventually_within},
    scraper::Scraper,
    world::World,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a scenario waits for what must come. It is no measure of speed.
const PATIENCE: Duration = Duration::from_secs(120);
const CONTAINER: &str = "main";
const LINE: &str = "runtime.flyball.dev/main";
/// Where the agents of the other runtimes tell their metrics.
const METRICS: u16 = 9465;

/// A workload `web` whose pods mount the agent's file, as `flyball inject` has it.
fn workload(replicas: i32, port: u16, container: &Value) -> Value {
    let mut main = json!({
        "name": CONTAINER, "imagePullPolicy": "Never",
        "env": [
            {"name": "FLYBALL_STATE_DIR", "value": "/var/run/flyball"},
            {"name": "FLYBALL_METRICS_ADDRESS", "value": format!(":{METRICS}")},
        ],
        "volumeMounts": [
            {"name": "flyball-runtime", "mountPath": "/etc/flyball", "readOnly": true},
            {"name": "flyball-state", "mountPath": "/var/run/flyball"},
        ],
    });
    for (key, value) in container.as_object().unwrap() {
        match (main[key].as_array_mut(), value.as_array()) {
            (Some(own), Some(more)) => own.extend(more.iter().cloned()),
            _ => main[key] = value.clone(),
        }
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {
                    "labels": {"app": "web"},
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": port.to_string()},
                },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [main],
                    "volumes": [
                        {"name": "flyball-runtime", "downwardAPI": {"items": [{
                            "path": "runtime", "fieldRef": {"fieldPath": format!("metadata.annotations['{LINE}']")},
                        }]}},
                        {"name": "flyball-state", "emptyDir": {}},
                    ],
                },
            },
        },
    })
}

/// A policy that holds the container to these knobs, in short times. `knobs` is the `runtime` lever beside them.
fn policy(world: &World, knobs: &Value) -> Value {
    let mut runtime = json!({
        "container": CONTAINER, "acknowledge": "60s", "lease": "60s", "hold": "0s",
        "trial": {"settle": "2s", "within": "4s"},
    });
    for (key, value) in knobs.as_object().unwrap() {
        runtime[key] = value.clone();
    }
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": "knobs"},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": world.namespace},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "interval": "1s",
            "maxAge": "15s",
            "actions": [{
                "name": "usual", "runtime": runtime,
                "verify": {"settle": "1s", "within": "30s", "expr": "count(up == 1) >= 1"},
            }],
        },
    })
}

/// Pods with agents, and what is told of them.
struct Stage {
    world: World,
    scraper: Scraper,
    client: reqwest::Client,
    port: u16,
}

/// Requests that go on until it is dropped.
struct Load(tokio::task::JoinHandle<()>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Stage {
    /// The workload with all pods ready, and a Prometheus that hears their agents.
    async fn set(bed: &Bed, name: &str, port: u16, workload: &Value) -> Self {
        let world = World::new(bed, name).await;
        world.create(workload).await;
        let scraper = Scraper::start(bed, &world.namespace, "1s", &[]).await;
        world
            .source(&world.namespace, json!({"url": scraper.url, "timeout": "2s"}))
            .await;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        let stage = Self {
            world,
            scraper,
            client,
            port,
        };
        let wanted = usize::try_from(workload["spec"]["replicas"].as_i64().unwrap()).unwrap();
        stage
            .until("all agents are heard", async || {
                let heard = stage.scraper.ask("flyball_agent_applied_generation", "pod").await;
                (heard.len() == wanted).then_some(())
            })
            .await;
        stage
    }

    async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        eventually_within(PATIENCE, what, ask).await
    }

    async fn pods(&self) -> Vec<Pod> {
        let api: Api<Pod> = Api::namespaced(self.world.bed.client.clone(), &self.world.namespace);
        let list = api.list(&ListParams::default().labels("app=web")).await.unwrap();
        list.items
    }

    /// What a pod itself says of one of its metrics.
    async fn says(&self, pod: &Pod, metric: &str) -> Option<f64> {
        let ip = pod.status.as_ref()?.pod_ip.clone()?;
        let page = self
            .client
            .get(format!("http://{ip}:{}/metrics", self.port))
            .send()
            .await
            .ok()?;
        let page = page.text().await.ok()?;
        let line = page.lines().find(|line| {
            let rest = line.strip_prefix(metric);
            rest.is_some_and(|rest| rest.starts_with(' '))
        })?;
        line.rsplit_once(' ')?.1.parse().ok()
    }

    /// A metric of all pods, by name, once all of them say something that fits.
    async fn all_say(&self, metric: &str, fits: impl Fn(f64) -> bool) -> BTreeMap<String, f64> {
        self.until(&format!("all pods say {metric}"), async || {
            let mut said = BTreeMap::new();
            for pod in self.pods().await {
                let value = self.says(&pod, metric).await.filter(|value| fits(*value))?;
                said.insert(pod.name_any(), value);
            }
            (!said.is_empty()).then_some(said)
        })
        .await
    }

    /// Sends a POST to a pod.
    async fn tell(&self, pod: &Pod, path: &str) {
        let ip = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
        let answer = self
            .client
            .post(format!("http://{ip}:{}{path}", self.port))
            .send()
            .await;
        assert!(answer.unwrap().status().is_success(), "{path}");
    }

    /// The 99th percentile of how long a pod takes for its work, of a hundred requests one after the other; each must
    /// be answered.
    async fn slowest(&self, pod: &Pod) -> Duration {
        let ip = pod.status.as_ref().unwrap().pod_ip.clone().unwrap();
        let mut took = Vec::new();
        for _ in 0..100 {
            let begun = Instant::now();
            let answer = self.client.get(format!("http://{ip}:{}/", self.port)).send().await;
            assert!(answer.unwrap().status().is_success());
            took.push(begun.elapsed());
        }
        took.sort();
        took[98]
    }

    /// Has all pods work, until it is dropped.
    async fn load(&self) -> Load {
        let ips = self.pods().await.into_iter().filter_map(|pod| pod.status?.pod_ip);
        let urls: Vec<String> = ips.map(|ip| format!("http://{ip}:{}/", self.port)).collect();
        let client = self.client.clone();
        Load(tokio::spawn(async move {
            loop {
                for url in &urls {
                    // Whether it is answered is of no matter here.
                    let _ = client.get(url).send().await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }))
    }

    /// Writes a line into a pod, as nobody but the controller should.
    async fn write_line(&self, pod: &str, line: &str) {
        let api: Api<Pod> = Api::namespaced(self.world.bed.client.clone(), &self.world.namespace);
        let patch = json!({"metadata": {"annotations": {LINE: line}}});
        api.patch(pod, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }
}

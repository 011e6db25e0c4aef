//! A real process that leaks in a real pod, and takes pressure from its agent.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

use crate::{
    bed::{Bed, eventually_within},
    scraper::Scraper,
    world::{World, agents::LINE},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a scenario waits for what must come. It is no measure of speed.
const PATIENCE: Duration = Duration::from_secs(180);

/// The service of the test bed that leaks, in one pod.
pub fn leaking(limit: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {
                    "labels": {"app": "web"},
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
                },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "main", "image": "flyball.dev/heap:dev", "imagePullPolicy": "Never",
                        "args": ["-listen", ":8080"],
                        "env": [
                            {"name": "HEAP_LIVE", "value": "8Mi"}, {"name": "HEAP_CACHE", "value": "60Mi"},
                            {"name": "HEAP_ENTRY", "value": "1Mi"}, {"name": "HEAP_HIGH_RPS", "value": "1"},
                            {"name": "GOGC", "value": "10"},
                            // What is told here is told by the controller alone.
                            {"name": "FLYBALL_WATERMARKS", "value": "off"},
                        ],
                        "resources": {"limits": {"memory": limit}},
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
                        "volumeMounts": [{"name": "flyball-runtime", "mountPath": "/etc/flyball", "readOnly": true}],
                    }],
                    "volumes": [{"name": "flyball-runtime", "downwardAPI": {"items": [{
                        "path": "runtime", "fieldRef": {"fieldPath": format!("metadata.annotations['{LINE}']")},
                    }]}}],
                },
            },
        },
    })
}

/// One pod that leaks, in a namespace of its own, and a Prometheus that hears its agent.
pub struct Leak {
    /// Where it is.
    pub world: World,
    /// What hears it.
    pub scraper: Scraper,
    client: reqwest::Client,
}

impl Leak {
    /// Starts it with this memory limit, and returns once its agent is heard.
    pub async fn start(bed: &Bed, name: &str, limit: &str) -> Self {
        let world = World::new(bed, name).await;
        world.create(&leaking(limit)).await;
        let scraper = Scraper::start(bed, &world.namespace, "1s", &[]).await;
        let source = json!({"url": scraper.url, "timeout": "2s"});
        world.source(&world.namespace, source).await;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        let leak = Self { world, scraper, client };
        leak.until("the agent is heard", async || {
            let heard = leak.scraper.ask("flyball_agent_working_set_bytes", "pod").await;
            (heard.len() == 1).then_some(())
        })
        .await;
        leak
    }

    /// Waits for what takes a process its time.
    pub async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        eventually_within(PATIENCE, what, ask).await
    }

    /// The pod, the first of all.
    pub async fn pod(&self) -> Pod {
        let api: Api<Pod> = Api::namespaced(self.world.bed.client.clone(), &self.world.namespace);
        api.list(&ListParams::default()).await.unwrap().items.remove(0)
    }

    async fn url(&self, path: &str) -> String {
        let ip = self.pod().await.status.unwrap().pod_ip.unwrap();
        format!("http://{ip}:8080{path}")
    }

    /// Turns a setting of the process, such as `leak=2Mi`, each second so much.
    pub async fn turn(&self, setting: &str) {
        let url = self.url(&format!("/admin/heap?{setting}")).await;
        assert!(self.client.post(url).send().await.unwrap().status().is_success());
    }

    /// How many of so many requests were answered with a 429.
    pub async fn shed(&self, count: usize) -> usize {
        let url = self.url("/").await;
        let mut shed = 0;
        for _ in 0..count {
            shed += usize::from(self.client.get(&url).send().await.unwrap().status() == 429);
        }
        shed
    }

    /// A metric of the process; NaN while it is not heard.
    pub async fn metric(&self, name: &str) -> f64 {
        let found = self.scraper.ask(name, "job").await;
        found.into_values().next().unwrap_or(f64::NAN)
    }
}

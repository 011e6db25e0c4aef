//! A scale target that nobody reconciles, and pods that nobody runs.

use super::metrics::{PodValues, Resources, Series, Values};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The API group of the definition.
pub const GROUP: &str = "test.flyball.dev";
/// Its version, as in `apiVersion`.
pub const VERSION: &str = "test.flyball.dev/v1";
/// The label by which a fleet selects its pods: its name.
pub const LABEL: &str = "test.flyball.dev/fleet";

/// The definition `fleets.test.flyball.dev`. Its scale is as real as any; its status has no subresource, so that
/// a fleet is made whole by one request.
pub fn definition() -> Value {
    let count = json!({"type": "integer", "format": "int32"});
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"replicas": count}},
            "status": {"type": "object", "properties": {"replicas": count, "selector": {"type": "string"}}},
        },
    });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("fleets.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {"kind": "Fleet", "plural": "fleets", "singular": "fleet"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.selector",
                }},
            }],
        },
    })
}

/// A scale target with its pods and metrics, all of which are as they are said to be.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Its name, and the value of its pods' label. Unique in the namespace.
    pub name: String,
    /// `spec.replicas`: what an autoscaler takes for the present number, and writes.
    pub replicas: i32,
    /// `status.replicas`, by which averages of object and external metrics are taken.
    pub observed: i32,
    /// Its pods, named after it and numbered from 0. There may be more or fewer of them than replicas.
    pub pods: Vec<Pod>,
    /// External metrics. All fleets of a namespace see all of them: a name is unique there.
    pub external: BTreeMap<String, Vec<Series>>,
    /// Custom metrics of this object itself.
    pub object: BTreeMap<String, String>,
}

impl Fleet {
    /// A fleet with so many replicas, which it has, and these pods.
    pub fn new(name: &str, replicas: i32, pods: Vec<Pod>) -> Self {
        Self {
            name: name.to_owned(),
            replicas,
            observed: replicas,
            pods,
            external: BTreeMap::new(),
            object: BTreeMap::new(),
        }
    }

    /// The same with an external metric.
    #[must_use]
    pub fn external(mut self, metric: &str, series: Vec<Series>) -> Self {
        self.external.insert(metric.to_owned(), series);
        self
    }

    /// The same with a custom metric of the object.
    #[must_use]
    pub fn object(mut self, metric: &str, value: &str) -> Self {
        self.object.insert(metric.to_owned(), value.to_owned());
        self
    }

    /// The name of one of its pods.
    pub fn pod_name(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }

    /// The object, status and all.
    pub(super) fn written(&self) -> Value {
        json!({
            "apiVersion": VERSION, "kind": "Fleet", "metadata": {"name": self.name},
            "spec": {"replicas": self.replicas},
            "status": {"replicas": self.observed, "selector": format!("{LABEL}={}", self.name)},
        })
    }

    /// One of its pods, to be created.
    pub(super) fn pod_written(&self, index: usize, pod: &Pod, uid: &str) -> Value {
        let containers: Vec<Value> = pod
            .requests
            .iter()
            .map(|(name, requests)| json!({"name": name, "image": "none", "resources": {"requests": requests}}))
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": self.pod_name(index), "labels": {LABEL: self.name},
                "ownerReferences": [
                    {"apiVersion": VERSION, "kind": "Fleet", "name": self.name, "uid": uid, "controller": true},
                ],
            },
            "spec": {"schedulerName": "nobody", "automountServiceAccountToken": false, "containers": containers},
        })
    }

    /// What the metrics APIs say of it.
    pub(super) fn values(&self) -> Values {
        let mut values = Values {
            external: self.external.clone(),
            ..Values::default()
        };
        let object = format!("fleets.{GROUP}/{}", self.name);
        for (metric, value) in &self.object {
            let of = values.objects.entry(metric.clone()).or_default();
            of.insert(object.clone(), value.clone());
        }
        for (index, pod) in self.pods.iter().enumerate() {
            let name = self.pod_name(index);
            for (metric, value) in &pod.custom {
                let of = values.custom.entry(metric.clone()).or_default();
                of.insert(name.clone(), value.clone());
            }
            let of = PodValues {
                labels: BTreeMap::from([(LABEL.to_owned(), self.name.clone())]),
                timestamp: pod.measured.map(seconds),
                window: pod.window.map(|window| format!("{}s", window.as_secs())),
                containers: pod.used.clone(),
            };
            values.pods.insert(name, of);
        }
        values
    }
}

/// A pod as its kubelet would report it, and what the metrics APIs say of it. Kubernetes keeps whole seconds.
///
/// There is no pod that is being deleted: the garbage collection of pods marks those without a node as failed, when
/// it comes by. To the autoscaler's metrics of pods a failed one is the same.
#[derive(Clone, Debug)]
pub struct Pod {
    /// `status.phase`.
    pub phase: &'static str,
    /// `status.startTime`.
    pub started: Option<Timestamp>,
    /// The Ready condition: its status, and since when.
    pub ready: Option<(bool, Timestamp)>,
    /// Requests by container. A pod has at least one container.
    pub requests: BTreeMap<String, Resources>,
    /// Use by container. `None`: it has not been measured.
    pub used: Option<BTreeMap<String, Resources>>,
    /// When its use was measured. `None`: at the time of each answer.
    pub measured: Option<Timestamp>,
    /// Over how long, in whole seconds. `None`: 30 s.
    pub window: Option<Duration>,
    /// Custom metrics.
    pub custom: BTreeMap<String, String>,
}

impl Pod {
    /// A pod that has been running and ready for an hour, with a container `main` that requests nothing.
    pub fn ready() -> Self {
        let long_ago = Timestamp::now() - SignedDuration::from_hours(1);
        Self {
            phase: "Running",
            started: Some(long_ago),
            ready: Some((true, long_ago)),
            requests: BTreeMap::from([("main".to_owned(), Resources::new())]),
            used: None,
            measured: None,
            window: None,
            custom: BTreeMap::new(),
        }
    }

    /// A pod that waits for a node.
    pub fn pending() -> Self {
        Self {
            phase: "Pending",
            started: None,
            ready: None,
            ..Self::ready()
        }
    }

    /// A pod that has failed.
    pub fn failed() -> Self {
        Self {
            phase: "Failed",
            ..Self::ready()
        }
    }

    /// The same, not ready since then.
    #[must_use]
    pub fn unready(mut self, since: Timestamp) -> Self {
        self.ready = Some((false, since));
        self
    }

    /// The same with a container's request.
    #[must_use]
    pub fn requests(mut self, container: &str, resource: &str, amount: &str) -> Self {
        let of = self.requests.entry(container.to_owned()).or_default();
        of.insert(resource.to_owned(), amount.to_owned());
        self
    }

    /// The same, measured to use this.
    #[must_use]
    pub fn uses(mut self, container: &str, resource: &str, amount: &str) -> Self {
        let used = self.used.get_or_insert_default();
        let of = used.entry(container.to_owned()).or_default();
        of.insert(resource.to_owned(), amount.to_owned());
        self
    }

    /// The same with a custom metric.
    #[must_use]
    pub fn metric(mut self, metric: &str, value: &str) -> Self {
        self.custom.insert(metric.to_owned(), value.to_owned());
        self
    }

    /// What its kubelet would report.
    pub(super) fn status(&self) -> Value {
        let conditions: Vec<Value> = self
            .ready
            .iter()
            .map(|(ready, since)| {
                let status = if *ready { "True" } else { "False" };
                json!({"type": "Ready", "status": status, "lastTransitionTime": seconds(*since)})
            })
            .collect();
        let mut status = json!({"phase": self.phase, "conditions": conditions});
        if let Some(started) = self.started {
            status["startTime"] = json!(seconds(started));
        }
        json!({"status": status})
    }
}

/// A time as Kubernetes keeps it, without a fraction.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

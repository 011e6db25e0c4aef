use crate::{Duration, TargetRef};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Gives a pod that an alert names room before it is killed for want of memory. What is written is tried in this order: `resize`,
/// then `evict` where the pod can't be given more. One pod of the target at a time, and each step is a Change. An alert
/// without a label `pod` relieves nobody. Mode Enforce.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.resize) || has(self.evict)").message("relieve takes resize, evict or both"))]
pub struct Relieve {
    /// Raises the memory limit of the container, in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<ResizeMemory>,
    /// Evicts the pod, as far as disruption budgets allow it, so that another takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evict: Option<EvictPod>,
}

/// Raises a container's memory limit in place, and its request where the two are equal. A limit is never lowered again: the next
/// pod has what the workload's template says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResizeMemory {
    /// The container. Default: the one that the alert's label `container` names, else the pod's only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
    /// By how many percent of what it is. Default 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<i32>,
    /// The limit never goes above this, such as `2Gi`.
    #[schemars(length(min = 1, max = 32))]
    pub max: String,
    /// A pod is resized no more often. Default 5m, at least 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// By when its alerts must have ended, counted from the accepted write. Default 2m, at least 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// Evicts a pod by the Eviction API, never by deleting it, and only while another pod of the target is ready. It can't be undone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvictPod {
    /// No more than one pod of the target in so long. Default 10m, at least 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// By when as many pods must be ready as before, counted from the accepted eviction. Default 5m, at least 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// What a Change does to a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangePod {
    /// The workload that the pod is of.
    pub workload: TargetRef,
    /// Its UID.
    #[serde(rename = "workloadUID")]
    #[schemars(length(max = 63))]
    pub workload_uid: String,
    /// The container whose memory limit is raised; empty where the pod is evicted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub container: String,
    /// What was there: `limit=67108864 request=67108864` in bytes, or `there`.
    #[schemars(length(max = 128))]
    pub before: String,
    /// What is to be: the same in larger numbers, or `evicted`.
    #[schemars(length(max = 128))]
    pub after: String,
    /// The rules whose alerts named the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 253)))]
    pub rules: Vec<String>,
    /// The deadline, counted from the accepted write.
    pub within: Duration,
    /// How often the container had been restarted.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub restarts: i32,
    /// How many pods of the workload were ready, this one included.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready: i32,
}

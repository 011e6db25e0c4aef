use crate::Duration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Memory watermarks: how full containers or nodes are, as three rules, `<name>Warning`, `<name>High` and
/// `<name>Emergency`, that actions name like any other in `when`. A level is raised once every sample was at or above it for
/// a while, so no momentary peak raises anything, and it ends a margin below; without data it stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.container) || !has(self.of) || self.of == 'Containers'").message("container goes with of: Containers"))]
#[x_kube(validation = Rule::new("!has(self.source) || !has(self.expr)").message("a watermark takes source or expr, not both"))]
pub struct MemoryWatermark {
    /// What the names of its rules begin with, such as `Memory`.
    #[schemars(length(min = 1, max = 48))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Z][A-Za-z0-9]*$')").message("watermarks[].name takes letters and digits and begins with a capital, such as Memory"))]
    pub name: String,
    /// Whose memory: that of the target's containers against their limits, the worst and not the mean (Containers, the
    /// default), or that of the nodes on which the target's pods run (Nodes). Of a node one pod is told: that of the
    /// target which is furthest over its request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<WatermarkOf>,
    /// This container alone. Default: all of the target's pods that have a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
    /// Who tells it. Default: Kubelet for containers, `NodeExporter` for nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<WatermarkSource>,
    /// An expression of one's own: a ratio from 0 to 1 with the labels `pod` and `container`, or `node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub expr: Option<String>,
    /// More label matchers for the source's metrics, such as `job="kubelet"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub matchers: Option<String>,
    /// In percent. Default 80; of Pressure 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub warning: Option<i32>,
    /// In percent. Default 90; of Pressure 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub high: Option<i32>,
    /// In percent, never adapted. Default 95; of Pressure 40.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub emergency: Option<i32>,
    /// How long every sample has to be at or above warning or high, three at least. Default 30s. For an emergency it is a
    /// third of it, and two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    /// How long every sample has to be below `margin` under a level for it to end. Default 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Duration>,
    /// In percentage points. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub margin: Option<i32>,
    /// Whether warning and high follow what is usual for each container or node (the median of an hour and 5 points), never
    /// below what is written here, and by 8 and 4 points at most. So what always sits at 82 % is not in warning for ever.
    /// Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<bool>,
    /// Whether an emergency is raised early where memory grows so that it is full within two passes. Default true; Pressure
    /// is never foreseen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foresee: Option<bool>,
}

/// Whose memory a watermark is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WatermarkOf {
    /// The target's containers.
    #[default]
    Containers,
    /// The nodes of the target's pods.
    Nodes,
}

/// Who tells how full something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WatermarkSource {
    /// The kubelet's cAdvisor: the working set against the limit; of a node the working set of all against its capacity,
    /// which is what the kubelet's `memory.available` is made of.
    Kubelet,
    /// Of containers, the agents in their processes.
    Agent,
    /// Of nodes, Prometheus' node exporter: `MemAvailable` of `MemTotal`, told apart by `nodename`.
    NodeExporter,
    /// Of nodes, Prometheus' windows exporter, by its present or its former names.
    WindowsExporter,
    /// Pressure stall information, where the kernel has it: the part of the time in which some of the processes stood still for
    /// want of memory, over a minute. Of containers by the kubelet's cAdvisor (cgroup v2), of nodes by the node exporter.
    Pressure,
}

use crate::{Duration, StartOptions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use schemars::JsonSchema;

use serde::{Deserialize, Serialize};

/// The runtime lever: it moves the knobs of the garbage collector in one container of the target's pods, which an
/// agent in the process carries out. Of a policy's actions the first counts whose rules fire; one without rules
/// holds where no other does, and where there is none the processes have the values they were started with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.set) ? 1 : 0) + (has(self.setPoint) ? 1 : 0) + (has(self.reclaim) ? 1 : 0) + (has(self.budget) ? 1 : 0) + (has(self.env) ? 1 : 0) == 1").message("runtime takes exactly one of set, setPoint, budget, reclaim and env"))]
pub struct RuntimeLever {
    /// The container whose process has the agent.
    #[schemars(length(min = 1, max = 63))]
    pub container: String,
    /// Sets knobs to these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<KnobSet>,
    /// Holds resident memory at a number. Go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_point: Option<SetPoint>,
    /// Divides garbage headroom among unlike processes, so that together they spend the least CPU on collections. Go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<HeadroomBudget>,
    /// One full collection, and memory back to the system, on at most 10 % of the pods at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim: Option<Reclaim>,
    /// Start-up options in the container's environment, by a rollout of the Deployment or StatefulSet: for runtimes
    /// without an agent, and for what can't be moved while a process runs. It needs no agent, and takes no trial: the
    /// rollout is the workload's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<StartOptions>,
    /// The bounds of GOGC in percent. Default 50 and 400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gogc: Option<GogcBounds>,
    /// How a change is tried on a few pods first. Without it: on one, judged by what its agent tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<RuntimeTrial>,
    /// How long agents have to acknowledge a change, counted from the accepted write. An annotation reaches a
    /// process within seconds as a rule, but nothing promises it, and the answer comes with the next scrape. Default
    /// 90s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge: Option<Duration>,
    /// How long what a pod was given lasts without a renewal; after that it has its boot values. The controller
    /// renews it at half of it. Default 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
    /// How long after a change the next is not made. Default 5m, with `env` 30m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    /// More label matchers for the agents' metrics, such as `container="app"`, where a pod has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub matchers: Option<String>,
}

/// Knobs of one runtime. What is not named has the value that the process was started with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(has(self.go) ? 1 : 0) + (has(self.java) ? 1 : 0) + (has(self.node) ? 1 : 0) + (has(self.python) ? 1 : 0) == 1").message("set takes the knobs of exactly one of go, java, node and python"))]
pub struct KnobSet {
    /// Go's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go: Option<GoKnobs>,
    /// A Java virtual machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub java: Option<JavaKnobs>,
    /// Node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeKnobs>,
    /// Python's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonKnobs>,
}

/// Go's knobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.gogc) || has(self.memoryLimit)").message("go takes gogc, memoryLimit or both"))]
pub struct GoKnobs {
    /// GOGC in percent. There is no off: a memoryLimit with a gogc of up to 1000 (and `gogc.max: 1000`) comes to
    /// the same without the end where collections never stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub gogc: Option<i32>,
    /// GOMEMLIMIT, such as `900Mi`, `none`, or `auto`: as much as the container's limit leaves, in the pod where that is
    /// least, and none (with the condition `NeedsMemory`) where it would leave less than 1.5 times the live heap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub memory_limit: Option<String>,
}

/// A Java virtual machine's manageable flags. What the running collector ignores the agent refuses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.softMaxHeapSize) || has(self.g1PeriodicGCInterval) || has(self.minHeapFreeRatio) || has(self.maxHeapFreeRatio)").message("java takes at least one of its knobs"))]
pub struct JavaKnobs {
    /// `SoftMaxHeapSize`, such as `512Mi`. ZGC honours it, and Shenandoah but in its generational mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub soft_max_heap_size: Option<String>,
    /// `G1PeriodicGCInterval`, such as `3s`; `0s` is none.
    #[serde(default, rename = "g1PeriodicGCInterval", skip_serializing_if = "Option::is_none")]
    pub g1_periodic_gc_interval: Option<Duration>,
    /// `MinHeapFreeRatio` in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub min_heap_free_ratio: Option<i32>,
    /// `MaxHeapFreeRatio` in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_heap_free_ratio: Option<i32>,
}

/// Node's knobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeKnobs {
    /// V8's `--heap-growing-percent`: of its flags the one that acts at run time.
    #[schemars(range(min = 1, max = 400))]
    pub heap_growing_percent: i32,
}

/// Python's knobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PythonKnobs {
    /// `gc.set_threshold`, for the three generations, such as `[5000, 20, 20]`.
    #[schemars(length(min = 3, max = 3), inner(range(min = 0, max = 1_000_000_000)))]
    pub thresholds: Vec<i32>,
}

/// Resident memory that is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SetPoint {
    /// How much, such as `1230M`. The agent holds it by a memory limit and GOGC, closed loop on what the process
    /// has; where the live heap leaves no room for it, it gives up and says so.
    #[schemars(length(min = 1, max = 32))]
    pub resident: String,
}

/// Who shares headroom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BudgetScope {
    /// All processes of the namespace.
    #[default]
    Namespace,
    /// On each node those of the namespace.
    Node,
}

/// Headroom that processes share. All policies of a namespace with the same budget read the same agents and come to the
/// same price, which is all that is written: E = sqrt(g t / price) each process computes for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct HeadroomBudget {
    /// How much garbage, such as `2Gi`, all Go processes of the namespace that have an agent may let lie together. By
    /// GOGC 100 it would be as much as their live heaps.
    #[schemars(length(min = 1, max = 32))]
    pub headroom: String,
    /// Who shares it: all processes of the namespace (Namespace, the default), or on each node those of the namespace
    /// that run there (Node): then each node has so much headroom, and a price of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<BudgetScope>,
    /// Over what rates are taken. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
}

/// Collections on demand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Reclaim {
    /// How long after one the next is not asked for, while the rules go on firing. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
}

/// The bounds of GOGC in percent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("gogc.min is above gogc.max"))]
pub struct GogcBounds {
    /// The lowest. Default 50: below, collections cost more than the square-root law knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min: Option<i32>,
    /// The highest. Default 400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max: Option<i32>,
}

/// How a change is tried on a few pods first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.pods) || !has(self.percent)").message("trial takes pods or percent, not both"))]
#[x_kube(validation = Rule::new("!has(self.disabled) || !self.disabled || (!has(self.pods) && !has(self.percent) && !has(self.expr))").message("a trial that is disabled takes nothing else"))]
pub struct RuntimeTrial {
    /// No trial: all pods at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// How many pods. Default 1. At least one pod stays as it is, to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub pods: Option<i32>,
    /// How many percent of the ready pods, at most 64 pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub percent: Option<i32>,
    /// A comparison with a number that must hold from `settle` to `within`; at the first breach the trial is taken
    /// back. `$moved` and `$others` stand for the names of the pods that are tried and of those that are not, as
    /// in `pod=~"$moved"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub expr: Option<String>,
    /// Counted from the accepted write: earlier samples are from before. At least the longest range in `expr`.
    /// Default: `verify.settle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Duration>,
    /// How long it is tried. Default: `verify.within`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// What a Change on the runtime lever does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeRuntime {
    /// The container.
    #[schemars(length(max = 63))]
    pub container: String,
    /// What the pods had, such as `boot` or `gogc=100`.
    #[schemars(length(max = 4096))]
    pub before: String,
    /// What they get.
    #[schemars(length(max = 4096))]
    pub after: String,
    /// Where a roll-back goes: the last verified setting.
    #[schemars(length(max = 4096))]
    pub verified: String,
    /// The pods that get it first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub tried: Vec<String>,
    /// By what the trial is judged beside the agents' answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<ChangeTrial>,
    /// By when the agents must have acknowledged.
    pub acknowledge: Duration,
    /// The generation in force, by pod.
    #[schemars(length(max = 4096))]
    pub applied: String,
    /// The breaker's state, by pod.
    #[schemars(length(max = 4096))]
    pub breaker: String,
    /// The oldest sample of the two that still counts.
    pub max_age: Duration,
}

/// By what a trial is judged, frozen when the Change was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeTrial {
    /// The comparison, with the pods' names in it. Absent: only the agents are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16_384))]
    pub expr: Option<String>,
    /// From when on samples are judged, counted from the accepted write.
    pub settle: Duration,
    /// How long it is tried.
    pub within: Duration,
}

/// What must survive a restart of an action on the runtime lever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeStatus {
    /// The last setting whose effect was verified, or the one found at adoption.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verified: String,
    /// The last setting that a Change of this policy wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub written: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<MicroTime>,
    /// A setting that did not have its effect.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ineffective: String,
    /// Until when it is not tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ineffective_until: Option<MicroTime>,
    /// When collections were asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaimed_at: Option<MicroTime>,
}

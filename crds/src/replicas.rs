use crate::Duration;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The replicas lever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.min <= self.max").message("replicas.min must not be above replicas.max"))]
#[x_kube(validation = Rule::new("(has(self.step) ? 1 : 0) + (has(self.ratio) ? 1 : 0) + (has(self.metrics) ? 1 : 0) == 1").message("replicas takes exactly one of step, ratio and metrics"))]
#[x_kube(validation = Rule::new("(self.min == 0) == has(self.zero)").message("replicas.min 0 needs replicas.zero, which says when there is anything to do, and replicas.zero needs min 0"))]
#[x_kube(validation = Rule::new("!has(self.zero) || !has(self.step)").message("replicas.zero goes with ratio or metrics; a step knows no load to come back by"))]
#[x_kube(validation = Rule::new("!has(self.warmUp) || !has(self.step)").message("replicas.warmUp goes with ratio or metrics; a step counts no pods"))]
#[x_kube(validation = Rule::new("!has(self.schedules) || self.schedules.all(s, s.replicas <= self.max)").message("schedules[].replicas must not be above replicas.max"))]
#[x_kube(validation = Rule::new("!has(self.fallback) || self.fallback.replicas <= self.max").message("fallback.replicas must not be above replicas.max"))]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    /// The smallest number. 0 needs `zero`.
    #[schemars(range(min = 0, max = 10_000))]
    pub min: i32,
    /// The largest number.
    #[schemars(range(min = 1, max = 10_000))]
    pub max: i32,
    /// A firing rule adds, a long quiet takes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// A signal against its target, as the HorizontalPodAutoscaler computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Ratio>,
    /// Several metrics against their targets, as the HorizontalPodAutoscaler computes: the largest
    /// number counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// Going to zero and back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero: Option<Zero>,
    /// A pod counts as unready until it has been ready for so long. Default 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Duration>,
    /// When much more than the present number is asked for, nothing is taken away for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spike: Option<Spike>,
    /// Times at which the smallest number is higher.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(s, self.exists_one(o, o.name == s.name))").message("the names in schedules[].name must be unique"))]
    pub schedules: Vec<Schedule>,
    /// A number for the time without data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// No further change in a direction for so long after one in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Cooldown>,
    /// Rates of change and stabilisation, as in the HorizontalPodAutoscaler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
}

/// The step law: exactly one of `pods` and `percent`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.pods) != has(self.percent)").message("step takes exactly one of pods and percent"))]
pub struct Step {
    /// Add so many pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub pods: Option<i32>,
    /// Add so many percent of the present number, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub percent: Option<i32>,
    /// The way down. Without it this action never takes replicas away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<StepDown>,
}

/// The way down of the step law: exactly one of `pods` and `percent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.pods) != has(self.percent)").message("step.down takes exactly one of pods and percent"))]
pub struct StepDown {
    /// Take away so many pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub pods: Option<i32>,
    /// Take away so many percent of the present number, rounded down, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99))]
    pub percent: Option<i32>,
    /// How long all rules in the action's `when` must have been inactive, on fresh data.
    pub after: Duration,
    /// Rules of which one must fire too, such as one that says the load is low. Empty: quiet is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    pub when: Vec<String>,
}

/// The ratio law.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Ratio {
    /// The signal's name.
    #[schemars(length(min = 1, max = 63))]
    pub signal: String,
    /// The value at which the number of replicas is right. Above 0.
    #[schemars(extend("exclusiveMinimum" = true, "minimum" = 0.0))]
    pub target: f64,
    /// AverageValue: the signal is a total, desired = ceil(signal / target). Value: the signal is a
    /// level, desired = ceil(current * signal / target).
    #[serde(rename = "type", default)]
    pub kind: RatioType,
    /// How far from the target nothing is done yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
}

/// Several metrics against their targets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Metrics {
    /// The metrics.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self.all(m, self.exists_one(o, o.name == m.name))").message("the names in metrics.list[].name must be unique"))]
    pub list: Vec<Metric>,
    /// How far from the target nothing is done yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
}

/// One metric with its target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(has(self.signal) ? 1 : 0) + (has(self.formula) ? 1 : 0) + (has(self.resource) ? 1 : 0) == 1").message("a metric takes exactly one of signal, formula and resource"))]
#[x_kube(validation = Rule::new("!has(self.formula) || !has(self.target.utilization)").message("a formula is one number and takes value or averageValue"))]
#[x_kube(validation = Rule::new("!has(self.resource) || (!has(self.target.value) && !has(self.target.request))").message("a resource takes utilization or averageValue, and no request: it names it already"))]
pub struct Metric {
    /// Its name within the action.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// A signal, by name: one number, or with `perPod` one for each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub signal: Option<String>,
    /// A CEL expression over signals that are one number each, such as `max(rps / 100, queue / 30)`:
    /// `+ - * /`, comparisons, `&& || !`, `condition ? a : b` and the functions min, max, clamp, ceil,
    /// floor and abs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub formula: Option<String>,
    /// The usage of a resource, as metrics.k8s.io tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceOf>,
    /// The value at which the number of replicas is right.
    pub target: MetricTarget,
}

/// A resource, of all containers of a pod or of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ResourceOf {
    /// cpu or memory.
    pub name: ResourceName,
    /// The container. Default: all of the pod's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
}

/// A resource that containers request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResourceName {
    /// In cores.
    #[default]
    Cpu,
    /// In bytes.
    Memory,
}

/// The value at which the number of replicas is right: exactly one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.value) ? 1 : 0) + (has(self.averageValue) ? 1 : 0) + (has(self.utilization) ? 1 : 0) == 1").message("a target takes exactly one of value, averageValue and utilization"))]
#[x_kube(validation = Rule::new("!has(self.request) || has(self.utilization)").message("request is what utilization is a percentage of, and goes with it"))]
pub struct MetricTarget {
    /// The number is a level: desired = ceil(ready pods * number / value). Above 0. Not with numbers for
    /// each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = true, "minimum" = 0.0))]
    pub value: Option<f64>,
    /// The number is a total, or one for each pod: desired = ceil(total / averageValue). Above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = true, "minimum" = 0.0))]
    pub average_value: Option<f64>,
    /// Percent of what the containers request, for `resource` and for `perPod` signals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub utilization: Option<i32>,
    /// Which request a `perPod` signal is compared with. Needed with `utilization` there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<ResourceOf>,
}

/// Going to zero and back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Zero {
    /// The signal that says whether there is anything to do. It must be there at zero replicas too: a
    /// queue's length, or requests counted in front of the workload.
    #[schemars(length(min = 1, max = 63))]
    pub signal: String,
    /// Above this the workload is active. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub activation: f64,
    /// How long it must have been inactive, on fresh data, before the last replica goes. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Duration>,
}

/// When much more is asked for, nothing is taken away for a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Spike {
    /// It begins when so many times the present number is asked for. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.01, max = 1_000.0))]
    pub factor: Option<f64>,
    /// It ends when for so long less than that was asked for. Default 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
}

/// A time at which the smallest number is higher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.start != self.end").message("start and end must not be the same time"))]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Its name within the action.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// When it begins: five fields of cron (minute, hour, day of month, month, day of week). A time that
    /// the clock skips counts when it goes on, one that comes twice counts the first time.
    #[schemars(length(min = 9, max = 128))]
    pub start: String,
    /// When it ends, likewise.
    #[schemars(length(min = 9, max = 128))]
    pub end: String,
    /// The IANA time zone, such as Europe/Berlin. Default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// The smallest number meanwhile.
    #[schemars(range(min = 1, max = 10_000))]
    pub replicas: i32,
}

/// A number for the time without data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Fallback {
    /// After so long without any metric that can be used.
    pub after: Duration,
    /// At least so many replicas. A fallback only raises.
    #[schemars(range(min = 1, max = 10_000))]
    pub replicas: i32,
}

/// How a signal relates to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RatioType {
    /// The signal is a total.
    #[default]
    AverageValue,
    /// The signal is a level.
    Value,
}

/// How far from the target nothing is done yet, as a fraction of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Tolerance {
    /// Above the target. Default 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub up: Option<f64>,
    /// Below the target. Default 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub down: Option<f64>,
}

/// No further change in a direction for so long after one in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Cooldown {
    /// After an increase. Default 0s: the verification already spaces increases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<Duration>,
    /// After a decrease. Default 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<Duration>,
}

/// Rates of change and stabilisation, per direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Of increases. Default for `ratio` and `metrics`, as in the HorizontalPodAutoscaler: 4 pods or
    /// 100 percent in 15 s, whichever is more, without stabilisation. For `step`: the bounds alone limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Of decreases. Default: for `ratio` and `metrics` 100 percent in 15 s and a stabilisation window of
    /// 300 s, none for `step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// The rules of one direction, as in the HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// The most careful proposal of so many seconds counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,
    /// Which of several policies counts. Default Max.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// Limits of change within a period.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub policies: Vec<ScalingPolicy>,
}

/// Which of several scaling policies counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// No change in this direction.
    Disabled,
}

/// A limit of change within a period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Pods or Percent.
    #[serde(rename = "type")]
    pub kind: ScalingPolicyType,
    /// How many, or how many percent.
    #[schemars(range(min = 1, max = 10_000))]
    pub value: i32,
    /// The period.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// The unit of a scaling policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScalingPolicyType {
    /// A number of pods.
    #[default]
    Pods,
    /// A percentage of the number at the period's start.
    Percent,
}

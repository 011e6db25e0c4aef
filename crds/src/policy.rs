use crate::{
    AlertState, AlertStatus, CheckStatus, Direction, Duration, Mode, OnInconclusive, OnIneffective, SignalStatus,
    SourceRef, TargetRef,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to watch, what may be moved, and what must hold afterwards.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "flyball.dev",
    version = "v1alpha1",
    kind = "FeedbackPolicy",
    plural = "feedbackpolicies",
    doc = "What to watch, what may be moved, and what must hold afterwards.",
    status = "FeedbackPolicyStatus",
    namespaced,
    shortname = "fbp",
    category = "flyball",
    derive = "PartialEq",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRef.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Alerts", type_ = "string", json_path = ".status.alerts"),
    printcolumn(name = "Doing", type_ = "string", json_path = ".status.doing"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.why"),
    printcolumn(name = "Change", type_ = "string", json_path = ".status.change", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.actions.all(a, !has(a.replicas) || !has(a.replicas.step) || size(a.when) > 0)").message("an action with replicas.step needs at least one rule in when"))]
#[x_kube(validation = Rule::new("self.mode != 'Enforce' || self.actions.all(a, has(a.verify))").message("mode Enforce needs verify in every action: nothing is committed without a verification"))]
pub struct FeedbackPolicySpec {
    /// How far the policy goes: Observe, Recommend (the default) or Enforce.
    #[serde(default)]
    pub mode: Mode,
    /// While true nothing is written to the target, roll-backs excepted. An open Change is aborted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Where the expressions are asked.
    pub source_ref: SourceRef,
    /// What is moved.
    pub target_ref: TargetRef,
    /// How often rules and signals are evaluated. Default 15s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// The oldest sample that still counts as fresh. Default 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// How long the policy keeps its hands off after somebody else wrote the field while a Change of
    /// ours held it. Editing the policy takes it up at once. Default 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yield_for: Option<Duration>,
    /// Prometheus alerting rules, field for field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(r, self.exists_one(o, o.alert == r.alert))").message("the names in rules[].alert must be unique"))]
    pub rules: Vec<AlertingRule>,
    /// Named PromQL values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(s, self.exists_one(o, o.name == s.name))").message("the names in signals[].name must be unique"))]
    pub signals: Vec<Signal>,
    /// What rules and signals drive.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(o, o.name == a.name))").message("the names in actions[].name must be unique"))]
    pub actions: Vec<Action>,
}

/// A Prometheus alerting rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct AlertingRule {
    /// The alert's name.
    #[schemars(length(min = 1, max = 253))]
    pub alert: String,
    /// The expression. Each element of its answer is one alert. Where the top is a comparison with a
    /// number, the left side is asked and compared by the controller, so that absence is told from health.
    #[schemars(length(min = 1, max = 4096))]
    pub expr: String,
    /// How long an element must be there before its alert fires. Default 0s.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    /// How long an alert goes on firing after its element is gone. Default 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<Duration>,
    /// Labels added to each alert; `{{ $value }}` and `{{ $labels.x }}` are expanded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of each alert; `{{ $value }}` and `{{ $labels.x }}` are expanded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// A named PromQL value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// The name by which actions refer to it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The expression. It must answer exactly one number: aggregate with `sum(...)` or `max(...)`.
    #[schemars(length(min = 1, max = 4096))]
    pub expr: String,
    /// The oldest sample that still counts. Default: the policy's `maxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// What a rule or a signal drives: exactly one lever. `replicas` is the one that exists today.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.replicas)").message("an action takes exactly one lever; today that is replicas"))]
pub struct Action {
    /// The action's name within the policy.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The rules that drive it, by `alert`. Any one that fires is enough.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub when: Vec<String>,
    /// Moves the number of replicas through the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// What must hold after the change. Required for Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
}

/// The replicas lever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.min <= self.max").message("replicas.min must not be above replicas.max"))]
#[x_kube(validation = Rule::new("has(self.step) != has(self.ratio)").message("replicas takes exactly one of step and ratio"))]
pub struct Replicas {
    /// The smallest number.
    #[schemars(range(min = 1, max = 10_000))]
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
    #[schemars(length(max = 32))]
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
    /// Of increases. Default: no stabilisation, the bounds alone limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// Of decreases. Default: a stabilisation window of 300 s for `ratio`, none for `step`.
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

/// What must hold after a change. An increase must achieve it by the deadline; a decrease must
/// maintain it from settle to deadline and is undone at the first breach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Counted from the accepted write: earlier samples are from before the change. At least the
    /// longest range in `expr` plus the time a new pod needs to be ready.
    pub settle: Duration,
    /// The deadline, counted from the accepted write. Longer than `settle`.
    pub within: Duration,
    /// A comparison with a number, such as `... <= 0.5`. It must hold for every series.
    #[schemars(length(min = 1, max = 4096))]
    pub expr: String,
    /// The demand to which changes answer. Without it an increase that does not achieve its condition
    /// can't be told from a surge, so its value is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
    /// What an unanswered verification leads to. Default Hold. It never commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_inconclusive: Option<OnInconclusive>,
    /// What an increase that did not help leads to. Default RollBack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_ineffective: Option<OnIneffective>,
    /// How long an ineffective change is not repeated, unless demand or signal move. Default 30m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latch: Option<Duration>,
}

/// The demand to which changes answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// The signal's name.
    #[schemars(length(min = 1, max = 63))]
    pub signal: String,
    /// How many percent it may move and still count as unchanged. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub tolerance_percent: Option<i32>,
}

/// What a policy is doing, and what must survive a restart of the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackPolicyStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` and `Progressing`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
    /// The alerts in short, such as `HighRequestLatency firing`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alerts: String,
    /// What the policy is doing, such as `Verifying 2 -> 3`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doing: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The open Change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
    /// The state of each rule; written on transitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub rules: Vec<RuleStatus>,
    /// The state of each action; written on transitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub actions: Vec<ActionStatus>,
}

/// The state of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleStatus {
    /// The rule's name.
    pub alert: String,
    /// The rule's state: the highest of its alerts'.
    pub state: AlertState,
    /// Since when every evaluation found nothing, on fresh data. It supports decreases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_since: Option<MicroTime>,
    /// The pending and firing alerts; at most 32 are kept, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub alerts: Vec<AlertStatus>,
    /// Why the rule could not be evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The state of an action.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActionStatus {
    /// The action's name.
    pub name: String,
    /// The last value whose effect was verified, or the one found at adoption: where a roll-back goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<i32>,
    /// The last value that a Change of this policy wrote. Another value in the field is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<i32>,
    /// How many records without a write (recommendations, refusals) were made; part of their names.
    #[serde(default)]
    pub recorded: i64,
    /// What the action wanted, for the stabilisation windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub recommendations: Vec<RecommendationStatus>,
    /// The changes made, for cooldowns and rates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub events: Vec<ScaleEventStatus>,
    /// An ineffective change that is not repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latch: Option<LatchStatus>,
    /// Somebody else wrote the field while a Change of ours held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yielded: Option<YieldStatus>,
    /// The last decision that differed from the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<DecisionStatus>,
}

/// What an action wanted at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct RecommendationStatus {
    /// When.
    pub at: Option<MicroTime>,
    /// How many replicas.
    pub replicas: i32,
}

/// A change that was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct ScaleEventStatus {
    /// When.
    pub at: Option<MicroTime>,
    /// From how many replicas.
    pub from: i32,
    /// To how many.
    pub to: i32,
}

/// An ineffective change that is not repeated until the demand or the signal moves, or time is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct LatchStatus {
    /// The direction that is held back.
    pub direction: Direction,
    /// Until when at the latest.
    pub until: Option<MicroTime>,
    /// The demand when it was found ineffective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<f64>,
    /// The verification's value then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<f64>,
}

/// To whom the field was left, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct YieldStatus {
    /// The field manager.
    pub manager: String,
    /// Until when.
    pub until: Option<MicroTime>,
    /// The generation of the policy then; an edit takes the field up again.
    pub generation: i64,
}

/// A decision, as `flyball explain` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionStatus {
    /// When it was first made.
    pub at: Option<MicroTime>,
    /// The number of replicas at the time.
    pub current: i32,
    /// The number that was wanted.
    pub desired: i32,
    /// What came of it. Absent once the target it was about is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<DecisionOutcome>,
    /// In one sentence.
    pub reason: String,
    /// Lines that can be computed again by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub arithmetic: Vec<String>,
    /// What each check said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub checks: Vec<CheckStatus>,
    /// The readings it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub signals: Vec<SignalStatus>,
    /// The Change that records it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<String>,
}

/// What came of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DecisionOutcome {
    /// No change is wanted.
    Stay,
    /// A check refused it.
    Refused,
    /// It would be done in mode Enforce.
    Recommended,
    /// A Change was begun.
    Begun,
}

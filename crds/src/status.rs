use crate::{
    AlertState, AlertStatus, CaptureStatus, CheckStatus, Direction, RuntimeStatus, SignalStatus, WeightsStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a policy is doing, and what must survive a restart of the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackPolicyStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` and `Progressing`; with the answers and levers that have something to say of it `Notified`, `Relieved`, `ReceiversResolved` and `NeedsMemory`; `Stalled` while only an
    /// edit of the policy helps.
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
    /// The UID of the target that `actions` tell of. What they tell of one object says nothing of another.
    #[serde(default, rename = "targetUID", skip_serializing_if = "Option::is_none")]
    pub target_uid: Option<String>,
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
    /// Where it was taken from, such as `PrometheusRule checkout-alerts, group latency`. Absent: the
    /// policy's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
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
    /// What is remembered of weights, where the action moves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsStatus>,
    /// What is remembered of a runtime's knobs, where the action moves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeStatus>,
    /// What is remembered of evidence, where the action takes some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Box<CaptureStatus>>,
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
    /// Until when a spike lasts at most. It is written ahead, by at most a quarter of its `hold`, so that it is
    /// not written with every pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spike_until: Option<MicroTime>,
    /// Since when no metric could be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data_since: Option<MicroTime>,
    /// Since when there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<MicroTime>,
    /// The rollout under way, as it was when it was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RecommendationStatus>,
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
    /// The number of replicas at the time; 0 where weights are moved.
    pub current: i32,
    /// The number that was wanted; 0 where weights are moved.
    pub desired: i32,
    /// From what to what weights, where they are moved.
    #[serde(default, rename = "move", skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub shift: String,
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

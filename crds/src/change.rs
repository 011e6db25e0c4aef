use crate::{
    AlertStatus, BackendWeight, CaptureFile, ChangePod, ChangeRuntime, ChangeWeights, CheckStatus, Direction, Duration,
    Mode, OnInconclusive, OnIneffective, SignalStatus, TargetRef,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One transaction's journal and audit record. The spec is the intent: it is complete before the
/// target is written and never changes. The status is the progress.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "flyball.dev",
    version = "v1alpha1",
    kind = "Change",
    doc = "One transaction's journal and audit record. The spec is the intent and never changes; the status is the progress.",
    status = "ChangeStatus",
    namespaced,
    shortname = "chg",
    category = "flyball",
    derive = "PartialEq",
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policy.name"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Field", type_ = "string", json_path = ".spec.field"),
    printcolumn(name = "Move", type_ = "string", json_path = ".spec.move"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Cause", type_ = "string", json_path = ".status.cause", priority = 1),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.message"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("the spec of a Change is its journal's intent and never changes"))]
pub struct ChangeSpec {
    /// The policy that asked for it.
    pub policy: PolicyRef,
    /// The action of that policy.
    pub action: String,
    /// The mode in which it was made.
    pub mode: Mode,
    /// What is moved.
    pub target: ChangeTarget,
    /// Which field of it.
    pub field: ChangeField,
    /// Up or down. Weights and knobs have no direction, and Up here.
    pub direction: Direction,
    /// The number in the target's stamp that this Change takes; 0 for a record without a write.
    #[schemars(range(min = 0))]
    pub sequence: i64,
    /// From what to what, such as `2 -> 3` or `a 50 -> 25, b 50 -> 75`, for people.
    #[serde(default, rename = "move", skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub shift: String,
    /// The weights, where it moves weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Box<ChangeWeights>>,
    /// The knobs, where it moves a runtime's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Box<ChangeRuntime>>,
    /// What it does to a pod, where it relieves one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Box<ChangePod>>,
    /// The number of replicas before; 0 where it moves none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub before: i32,
    /// The number of replicas after; 0 where it moves none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub after: i32,
    /// Where a roll-back goes: the last verified number of replicas; 0 where it moves none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000))]
    pub verified: i32,
    /// The target's resourceVersion on which the decision was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// When it was proposed.
    pub proposed_at: MicroTime,
    /// Why, in one sentence.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// The Change that this one takes over from: it goes further, or a backend has to lose its traffic sooner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// The verification, frozen when the Change was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<ChangeVerification>,
    /// What the decision rests on.
    pub evidence: Evidence,
}

/// The policy behind a Change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct PolicyRef {
    /// Its name, in the Change's own namespace.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
}

/// The target of a Change: a reference with the object's UID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ChangeTarget {
    /// Which object.
    #[serde(flatten)]
    pub reference: TargetRef,
    /// Its UID: an object made anew under the same name is another target.
    pub uid: String,
}

/// The field that a Change moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeField {
    /// `spec.replicas`, through the scale subresource.
    #[default]
    Replicas,
    /// The weights of a list of backends.
    Weights,
    /// The knobs of a garbage collector.
    Runtime,
    /// A pod's memory limit, or whether it is there.
    Pod,
}

/// The verification of one Change, frozen when it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeVerification {
    /// The expression.
    #[schemars(length(max = 4096))]
    pub expr: String,
    /// From when on samples are judged, counted from the accepted write.
    pub settle: Duration,
    /// The deadline, counted from the accepted write.
    pub within: Duration,
    /// The source that is asked.
    pub source: String,
    /// The oldest sample that still counts.
    pub max_age: Duration,
    /// The demand's expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand_expr: Option<String>,
    /// The oldest sample of the demand that still counts. Default: `maxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand_max_age: Option<Duration>,
    /// How many percent the demand may move and still count as unchanged.
    pub demand_tolerance_percent: i32,
    /// What an unanswered verification leads to.
    pub on_inconclusive: OnInconclusive,
    /// What an increase that did not help leads to.
    pub on_ineffective: OnIneffective,
    /// How long an ineffective change is not repeated.
    pub latch: Duration,
    /// The worst value of the expression's left side when the change was proposed. A Change that
    /// supersedes another inherits that one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_value: Option<f64>,
    /// The demand when the change was proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline_demand: Option<f64>,
}

/// What a decision rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Evidence {
    /// The worst ten of the alerts that asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub alerts: Vec<AlertStatus>,
    /// The readings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub signals: Vec<SignalStatus>,
    /// Lines that can be computed again by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub arithmetic: Vec<String>,
    /// What each check said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub checks: Vec<CheckStatus>,
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Checked and recorded; the target is about to be written. A Change without a status is here.
    #[default]
    Applying,
    /// Written; the effect is being verified.
    Verifying,
    /// Being undone.
    RollingBack,
    /// The effect was verified.
    Committed,
    /// Undone.
    RolledBack,
    /// A check refused it; nothing was written.
    Refused,
    /// The mode is Recommend; nothing was written.
    Recommended,
    /// It waits for `flyball approve`; nothing was written.
    AwaitingApproval,
    /// Did not help; the value is held.
    Ineffective,
    /// The verification could not be answered; the value is held.
    Inconclusive,
    /// A newer change, another writer or a deletion took over.
    Superseded,
}

impl Phase {
    /// Whether the transaction may still write its target.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Applying | Self::Verifying | Self::RollingBack)
    }
}

/// What took over from a superseded Change, for machines; its message has the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Cause {
    /// Another writer changed the field while the Change held it; the value is theirs.
    ForeignWrite,
    /// A later Change of the same target took over.
    NewerChange,
    /// The target is gone, or another object has its name.
    TargetGone,
    /// The decision was too old to be written.
    Expired,
    /// The API server refused the write.
    WriteRefused,
    /// The policy was deleted before the target was written.
    PolicyDeleted,
    /// The policy was suspended, or left mode Enforce, before the target was written.
    NotEnforced,
    /// The target was paused, or the policy moved to another one, before it was written.
    TargetWithdrawn,
    /// A larger increase, or a move of weights that goes further, took over before the target was written.
    LargerIncrease,
    /// A backend had to be taken out at once before the target was written.
    Ejection,
    /// Somebody asked for its end before the target was written.
    Requested,
    /// The installation was frozen before the target was written.
    Frozen,
}

/// The progress of a Change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeStatus {
    /// Where it is.
    #[serde(default)]
    pub phase: Phase,
    /// Grows each time a controller takes the transaction up to write or to cut it short. The target's
    /// stamp names it, so whatever an earlier attempt still has under way can't land.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub attempt: i64,
    /// What took over, where the phase is Superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Why, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// When the API server accepted the write; settle and deadline count from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<MicroTime>,
    /// The value to which a roll-back goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<i32>,
    /// The weights to which a roll-back goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub rollback_weights: Vec<BackendWeight>,
    /// The setting to which a roll-back goes, where a runtime's knobs are moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub rollback_setting: Option<String>,
    /// When the trial was verified: the rest follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<MicroTime>,
    /// What the trial showed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Verdict>,
    /// Since when every backend has the share that was intended, where weights are moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realised_at: Option<MicroTime>,
    /// The recorded verification. Nothing is Committed without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<MicroTime>,
    /// Profiles and recordings from around it, of the policy's `capture` actions. Added once it is closed; until then they are in the
    /// policy's status.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub captures: Vec<CaptureFile>,
    /// `Complete`: whether the Change is over, for `kubectl wait --for=condition=Complete`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
}

/// A recorded verification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Verdict {
    /// `Achieved`, `Broken`, `Ineffective`, `Overtaken` or `Inconclusive`.
    pub result: String,
    /// The worst value of the verification's left side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// When it was judged.
    pub at: Option<MicroTime>,
    /// Why, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a policy may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Evaluate rules and signals only.
    Observe,
    /// Decide and check too, and record what would be done; write no target.
    #[default]
    Recommend,
    /// Do it: write the target, verify the effect, commit or roll back.
    Enforce,
}

/// The workload that is moved, in the policy's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// The API version, such as `apps/v1`.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// The kind, such as `Deployment`. It must have a scale subresource and be on the installation's
    /// list of kinds.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A reference to a MetricSource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SourceRef {
    /// The name of the cluster-scoped MetricSource.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    /// More.
    Up,
    /// Less.
    Down,
}

/// What to do with a change whose verification could not be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnInconclusive {
    /// Keep the new value.
    #[default]
    Hold,
    /// Go back to the last verified value. Only a decrease is undone without an answer: to take an increase back,
    /// the data must show that it is not needed.
    RollBack,
}

/// What to do with an increase that did not help although the demand did not move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnIneffective {
    /// Go back to the last verified value, if the present allows it.
    #[default]
    RollBack,
    /// Keep the new value.
    Hold,
}

/// The state of an alert, as in Prometheus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The expression has no such element.
    #[default]
    Inactive,
    /// The element is there, but not yet for the time that `for` asks.
    Pending,
    /// The alert fires.
    Firing,
}

/// One alert: one label set of one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertStatus {
    /// All labels, `alertname` included.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Pending or firing.
    pub state: AlertState,
    /// Since when the element has been there; `for` counts from here, also across a restart.
    pub active_at: Option<MicroTime>,
    /// Since when the alert has been kept firing without its element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_firing_since: Option<MicroTime>,
    /// The value at the last transition, as text.
    pub value: String,
    /// The expanded annotations.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// What one check said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct CheckStatus {
    /// The check's name, such as `Bounds` or `Cooldown`.
    pub name: String,
    /// Its verdict.
    pub verdict: CheckVerdict,
    /// Why, with the field, the value and the way out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckVerdict {
    /// Nothing against it.
    Passed,
    /// Allowed, but less of it.
    Clamped,
    /// Not allowed.
    Refused,
    /// Not asked, for the reason in the message.
    Skipped,
}

/// The reading of one signal or rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SignalStatus {
    /// The signal's or the rule's name.
    pub name: String,
    /// The query that was asked.
    #[schemars(length(max = 4096))]
    pub query: String,
    /// `fresh`, `stale`, `partial`, `not finite`, `missing` or `error`.
    pub quality: String,
    /// The value as text; the worst where there are several; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Why the quality is not fresh.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub detail: String,
}

/// The check that refused, if one did: of all that refuse, the first decides.
pub fn refusal(checks: &[CheckStatus]) -> Option<&CheckStatus> {
    checks.iter().find(|check| check.verdict == CheckVerdict::Refused)
}

//! KEDA's ScaledObject, as far as it matters here. What is not known is left aside.

use k8s_openapi::{
    api::autoscaling::v2::HorizontalPodAutoscalerBehavior, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Holds the number of replicas at a value.
pub const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";
/// Holds the number of replicas as it is.
pub const PAUSED: &str = "autoscaling.keda.sh/paused";
/// Forbids decreases.
pub const PAUSED_IN: [&str; 2] = [
    "autoscaling.keda.sh/paused-scale-in",
    "autoscaling.keda.sh/paused-scale-down",
];
/// Forbids increases.
pub const PAUSED_OUT: &str = "autoscaling.keda.sh/paused-scale-out";
/// Keeps the workload from zero.
pub const FORCE_ACTIVATION: &str = "autoscaling.keda.sh/force-activation";

/// A ScaledObject.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ScaledObject {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its spec.
    pub spec: Spec,
}

/// What is scaled, and by what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// What is scaled.
    pub scale_target_ref: Target,
    /// How often triggers are asked at 0 and at 1, in seconds. Default 30.
    pub polling_interval: Option<i32>,
    /// How long it must have been quiet before the last replica goes, in seconds. Default 300.
    pub cooldown_period: Option<i32>,
    /// The number while nothing is active, below `min_replica_count`.
    pub idle_replica_count: Option<i32>,
    /// The smallest number. Default 0.
    pub min_replica_count: Option<i32>,
    /// The largest number. Default 100.
    pub max_replica_count: Option<i32>,
    /// A number for the time without data.
    pub fallback: Option<Fallback>,
    /// Options.
    pub advanced: Option<Advanced>,
    /// The triggers.
    pub triggers: Vec<Trigger>,
}

/// What is scaled.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Target {
    /// Default `apps/v1`.
    pub api_version: Option<String>,
    /// Default `Deployment`.
    pub kind: Option<String>,
    /// The name.
    pub name: String,
}

/// A number for the time without data.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fallback {
    /// After so many failures in a row.
    pub failure_threshold: i32,
    /// So many replicas.
    pub replicas: i32,
    /// `static`, `currentReplicas`, `currentReplicasIfHigher` or `currentReplicasIfLower`.
    pub behavior: Option<String>,
}

/// Options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Advanced {
    /// Whether a deletion puts back the number from before.
    pub restore_to_original_replica_count: bool,
    /// Options of the HorizontalPodAutoscaler behind it.
    pub horizontal_pod_autoscaler_config: Option<AutoscalerConfig>,
    /// A formula over the triggers.
    pub scaling_modifiers: Option<Modifiers>,
}

/// Options of the HorizontalPodAutoscaler behind it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoscalerConfig {
    /// Its behavior.
    pub behavior: Option<HorizontalPodAutoscalerBehavior>,
}

/// A formula over the triggers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Modifiers {
    /// The formula, over the triggers' names.
    pub formula: String,
    /// The value at which the number of replicas is right.
    pub target: Value,
    /// Above this the workload is active.
    pub activation_target: Value,
    /// `AverageValue` or `Value`.
    pub metric_type: Option<String>,
}

/// A trigger.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trigger {
    /// Its type, such as `prometheus`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name, for formulas.
    pub name: Option<String>,
    /// Its options.
    pub metadata: BTreeMap<String, Value>,
    /// `AverageValue`, `Value` or `Utilization`.
    pub metric_type: Option<String>,
    /// Credentials.
    pub authentication_ref: Option<Value>,
}

impl Trigger {
    /// An option, if it is given.
    pub fn option(&self, key: &str) -> Option<String> {
        self.metadata.get(key).and_then(text)
    }
}

/// A value that may be written as text or as a number.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
    .filter(|text| !text.is_empty())
}

/// Whether an annotation says yes. What is neither true nor false counts as true there.
pub fn says_yes(value: &str) -> bool {
    !["false", "False", "FALSE", "f", "F", "0"].contains(&value.trim())
}

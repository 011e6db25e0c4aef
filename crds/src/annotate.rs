use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tells pods, for the application's own caches and limits. An alert with a label `pod` concerns that pod of the target, one
/// without concerns all of them; it ends with the alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.pressure) != has(self.annotation)").message("annotate takes exactly one of pressure and annotation"))]
pub struct Annotate {
    /// Tells the agent in the process of a level of memory pressure, and it tells the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<PressureNote>,
    /// Puts an annotation on the pod, for an application that mounts it from the downward API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotation: Option<AppAnnotation>,
}

/// A level of memory pressure, told to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct PressureNote {
    /// The container whose process has the agent.
    #[schemars(length(min = 1, max = 63))]
    pub container: String,
    /// The level. Of several for one container the highest counts.
    pub level: PressureLevel,
}

/// A level of memory pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PressureLevel {
    /// Memory is getting short.
    Warning,
    /// Drop caches, shed load. An agent that is given a price of memory counts it eightfold.
    High,
    /// What is not given back now ends the process.
    Emergency,
}

/// An annotation for the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct AppAnnotation {
    /// What follows `app.flyball.dev/` in its key, such as `cache`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("annotation.name takes lower-case letters, digits and dashes"))]
    pub name: String,
    /// What it says, such as `half`; printable ASCII.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
}

use crate::EventSeverity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The `data` of a CloudEvent: what happened, to whom. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("$id" = "urn:flyball.dev:event-data:v1"))]
pub struct EventData {
    /// Why it is told; the event's `type` ends with it.
    pub reason: String,
    /// Whether somebody should look.
    pub severity: EventSeverity,
    /// What was being done: Decide, Apply, Verify, RollBack, Capture or Evaluate.
    pub action: String,
    /// What happened, in one or two sentences for people: at most 1,024 bytes on one line.
    #[schemars(length(min = 1, max = 1024))]
    pub note: String,
    /// The object it is about: a FeedbackPolicy.
    pub regarding: EventObject,
    /// Another object that has part in it, such as the policy's target.
    pub related: Option<EventObject>,
    /// The controller's process that tells of it.
    pub instance: String,
}

/// An object of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventObject {
    /// Its API version, such as `flyball.dev/v1alpha1`.
    #[schemars(length(min = 1))]
    pub api_version: String,
    /// Its kind, such as `FeedbackPolicy`.
    #[schemars(length(min = 1))]
    pub kind: String,
    /// Its namespace.
    #[schemars(length(min = 1))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its UID, where it is known.
    pub uid: Option<String>,
}

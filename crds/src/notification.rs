use crate::Reason;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The most receivers that a policy names.
pub const MAX_NOTIFICATIONS: usize = 8;

/// A receiver that is sent the policy's events, as CloudEvents, and which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.severity) && has(self.reasons) && size(self.reasons) > 0)").message("a notification takes at most one of severity and reasons"))]
pub struct Notification {
    /// The name of a receiver that whoever runs the installation has declared, for this namespace or for all.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')").message("receiver is a name of lower-case letters, digits and dashes"))]
    pub receiver: String,
    /// Warning sends what somebody should look at. Default Normal: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<EventSeverity>,
    /// Sends the events of these reasons and no others.
    // Texts: a reason that an older version does not know must not keep the policy from being read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "reasons")]
    pub reasons: Vec<String>,
}

/// How an event is to be taken; in a notification the least that is sent, by default Normal: everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EventSeverity {
    /// It is told for the record.
    #[default]
    Normal,
    /// Somebody should look.
    Warning,
}

fn reasons(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = Reason::TOLD.iter().map(|reason| reason.as_str()).collect();
    json_schema!({
        "type": "array",
        "maxItems": names.len(),
        "items": {"type": "string", "enum": names},
    })
}

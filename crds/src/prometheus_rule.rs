use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A reference to a PrometheusRule (`monitoring.coreos.com/v1`), and which of its rules are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRuleRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Only rules of this group. Default: of all groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub group: Option<String>,
    /// Only rules that have all of these labels as they are written, the group's included. It tells apart
    /// rules of one name, such as one with `severity: warning` and one with `severity: critical`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub match_labels: BTreeMap<String, String>,
    /// Rules to take besides those that an action names, by `alert`: they are evaluated and shown. Each
    /// must exist there, and not in `rules`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    pub alerts: Vec<String>,
}

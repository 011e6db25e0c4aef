use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Posts the alerts of the rules that fire to the Alertmanager of the source, `spec.alertmanager` of the MetricSource, and
/// tells when they are over. In the modes Recommend and Enforce, while the policy is suspended or paused, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notify {
    /// Labels that each alert is given, for Alertmanager's routes, such as `severity: page`; they take the place of the
    /// alert's own of the same name. Not `alertname`. `flyball_policy` and `namespace` are the policy's unless the alert
    /// has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("!('alertname' in self)").message("notify.labels can't hold alertname; it is the rule's"))]
    pub labels: BTreeMap<String, String>,
}

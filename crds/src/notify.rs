use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Posts the alerts of the rules to the source's Alertmanager (`spec.alertmanager` of the MetricSource), so that its routing,
/// grouping and silences apply: while they fire, and once more when they end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Notify {
    /// Labels added to each alert, for Alertmanager's routes. `alertname` is the rule's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("!('alertname' in self)").message("notify.labels can't hold alertname, which is the rule's"))]
    pub labels: BTreeMap<String, String>,
}

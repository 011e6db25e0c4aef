use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Posts the alerts of the rules to the source's Alertmanager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notify {}

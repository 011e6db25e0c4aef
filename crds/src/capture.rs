use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Takes evidence from a pod whose alert fires.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capture {}

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Tells the pods whose alerts fire, for the application's own caches and limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Annotate {}

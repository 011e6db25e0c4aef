use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Gives a pod room before it is killed for want of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Relieve {}

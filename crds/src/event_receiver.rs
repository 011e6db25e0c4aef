use crate::{AllowedNamespaces, SecretKey};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Who takes the events of policies, as CloudEvents over HTTP. Policies name it and never carry a URL. It stands in the file of
/// `flyball run --receivers-file`: no definition of it is installed, so that no right to read it is needed.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "flyball.dev",
    version = "v1alpha1",
    kind = "EventReceiver",
    doc = "Who takes the events of policies, as CloudEvents over HTTP. Policies name it and never carry a URL.",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct EventReceiverSpec {
    /// Where events are posted to. `http` or `https`, without user, password or fragment. A secret does not belong into it.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^@#\\\\s]+$')").message("url must begin with http:// or https:// and carry no user, password or fragment; put a token into spec.bearer"))]
    pub url: String,
    /// The token that is sent as `Authorization: Bearer ...`. It is read with each request, so a rotated one counts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<SecretKey>,
    /// The most requests within a minute, repeats included. Others wait, and what finds no place to wait is dropped. Default 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 6000))]
    pub max_per_minute: Option<i32>,
    /// The namespaces whose policies may name this receiver. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

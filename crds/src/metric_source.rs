use crate::Duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Prometheus-compatible endpoint, owned by the cluster operator. Policies name it and never carry
/// a URL, so that a tenant can neither reach other hosts nor read credentials.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "flyball.dev",
    version = "v1alpha1",
    kind = "MetricSource",
    doc = "A Prometheus-compatible endpoint, owned by the cluster operator. Policies name it and never carry a URL.",
    status = "MetricSourceStatus",
    shortname = "msrc",
    category = "flyball",
    derive = "PartialEq",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Why",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MetricSourceSpec {
    /// The base URL, such as `http://prometheus.monitoring:9090` or, behind a path,
    /// `https://mimir.example/prometheus`. `http` or `https`, without user, password or query.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^@?#\\\\s]+$')").message("url must begin with http:// or https:// and carry no user, password, query or fragment; put credentials into spec.auth"))]
    pub url: String,
    /// How the server is verified and, for mutual TLS, how we show ourselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Credentials. They are sent to this URL only, and never along a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Headers sent with each query, such as `X-Scope-OrgID` for a tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers: Vec<Header>,
    /// How long one query may take. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The largest answer that is read, in mebibytes. Default 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub max_response_mebibytes: Option<i32>,
    /// The namespaces whose policies may use this source. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

/// How the server is verified and how we show ourselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The certificate authorities, PEM, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,
    /// Our certificate and key for mutual TLS, PEM: both in one key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretKey>,
}

/// Credentials: exactly one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.bearer) != has(self.basic)").message("auth takes exactly one of bearer and basic"))]
pub struct Auth {
    /// `Authorization: Bearer ...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<SecretKey>,
    /// `Authorization: Basic ...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<Basic>,
}

/// A user with a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Basic {
    /// The user.
    #[schemars(length(min = 1, max = 253))]
    pub username: String,
    /// The password.
    pub password: SecretKey,
}

/// One key of a Secret in the controller's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, KubeSchema)]
pub struct SecretKey {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key within it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// One header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Header {
    /// The header's name. Credentials belong into `auth`.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9-]+$') && !(self.lowerAscii() in ['authorization', 'cookie', 'host', 'proxy-authorization'])").message("a header's name consists of letters, digits and dashes, and is none of Authorization, Cookie, Host, Proxy-Authorization; put credentials into spec.auth"))]
    pub name: String,
    /// The header's value.
    #[schemars(length(max = 1024))]
    pub value: String,
}

/// Which namespaces may use a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.from != 'Names' || size(self.names) > 0").message("allowedNamespaces.names must not be empty when from is Names"))]
pub struct AllowedNamespaces {
    /// All namespaces, or those in `names`.
    pub from: NamespacesFrom,
    /// The namespaces, for `from: Names`.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub names: Vec<String>,
}

/// From where a source may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// Every namespace.
    #[default]
    All,
    /// The namespaces that are named.
    Names,
}

/// What the controller knows of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricSourceStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: the source's Secrets are there and its server answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
}

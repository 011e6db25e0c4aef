use crate::Duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
#[x_kube(validation = Rule::new("!has(self.perNamespace) || !has(self.perNamespace.maxConcurrentQueries) || self.perNamespace.maxConcurrentQueries <= (has(self.maxConcurrentQueries) ? self.maxConcurrentQueries : 16)").message("perNamespace.maxConcurrentQueries can't be more than maxConcurrentQueries, which is 16 where it is not set"))]
pub struct MetricSourceSpec {
    /// The base URL, such as `http://prometheus.monitoring:9090` or, behind a path,
    /// `https://mimir.example/prometheus`. `http` or `https`, without user, password or query.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^@?#\\\\s]+$')").message("url must begin with http:// or https:// and carry no user, password, query or fragment; put credentials into spec.auth"))]
    pub url: String,
    /// How the server is verified and, for mutual TLS, how we show ourselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Credentials. They are sent to this URL only, a client's secret to its token endpoint only, and never along
    /// a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Headers sent with each query, such as `X-Scope-OrgID` for a tenant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub headers: Vec<Header>,
    /// Parameters added to the URL of each query, for what a server takes beyond Prometheus' API: for Thanos
    /// `dedup: "true"` and `partial_response: "false"`, for VictoriaMetrics `extra_label`. They are not secret.
    /// `nocache: "1"` is sent unless it is set here: without it VictoriaMetrics evaluates 30 seconds earlier
    /// than it is asked to and dates the answer to now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("!('query' in self) && !('time' in self)").message("queryParams can hold neither query nor time; the controller sets them"))]
    pub query_params: BTreeMap<String, String>,
    /// How long one query may take, and how long it may wait before for a place among
    /// `maxConcurrentQueries`. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The largest answer that is read, in mebibytes. Default 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub max_response_mebibytes: Option<i32>,
    /// How many queries of all policies together are asked at once; others wait. Default 16. A place that is free goes to
    /// the namespace that has the fewest, in turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub max_concurrent_queries: Option<i32>,
    /// What the policies of one namespace may ask, all together. Default: no limit of its own, so that a namespace alone has all
    /// places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_namespace: Option<PerNamespace>,
    /// How often the server scrapes, from 1s to 1h. It says how many samples a full range has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<Duration>,
    /// The Alertmanager that knows what is silenced, for policies that let silenced alerts move nothing, and to which
    /// policies post their alerts by `notify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<Alertmanager>,
    /// The namespaces whose policies may use this source. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
}

/// What the policies of one namespace may ask of a source, all together. What is refused is missing data with a reason, and takes nothing away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.burst) || has(self.queriesPerSecond)").message("perNamespace.burst goes with perNamespace.queriesPerSecond; set that, or remove burst"))]
#[x_kube(validation = Rule::new("has(self.maxConcurrentQueries) || has(self.queriesPerSecond)").message("perNamespace needs maxConcurrentQueries or queriesPerSecond; set one, or remove perNamespace"))]
pub struct PerNamespace {
    /// How many of its queries are asked at once; others of it wait. At most the source's `maxConcurrentQueries`, which is the
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub max_concurrent_queries: Option<i32>,
    /// How many of its queries are asked in a second, on average; others wait for their turn. A signal is two queries, for the
    /// age of its samples is asked beside it. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub queries_per_second: Option<i32>,
    /// How many may be asked at once after a pause, such as all queries of a pass. Default: ten times `queriesPerSecond`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub burst: Option<i32>,
}

/// An Alertmanager, which is asked for its silences and told of alerts, and nothing else. No credentials are sent to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Alertmanager {
    /// Its base URL, such as `http://alertmanager.monitoring:9093`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^@?#\\\\s]+$')").message("alertmanager.url must begin with http:// or https:// and carry no user, password, query or fragment"))]
    pub url: String,
}

/// How the server is verified and how we show ourselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.identity) && has(self.keyPair))").message("tls takes at most one of identity and keyPair"))]
pub struct Tls {
    /// The certificate authorities, PEM, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretKey>,
    /// Our certificate and key for mutual TLS, PEM: both in one key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<SecretKey>,
    /// Our certificate and key for mutual TLS, PEM, where they are two keys, as in a Secret of type
    /// `kubernetes.io/tls`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_pair: Option<KeyPair>,
}

/// A certificate and its key, each in a key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct KeyPair {
    /// The certificate, with the intermediate ones behind it, PEM. Usually the key `tls.crt`.
    pub certificate: SecretKey,
    /// The private key, PEM. Usually the key `tls.key`.
    pub key: SecretKey,
}

/// Credentials: exactly one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(has(self.bearer) ? 1 : 0) + (has(self.basic) ? 1 : 0) + (has(self.oauth2) ? 1 : 0) == 1").message("auth takes exactly one of bearer, basic and oauth2"))]
pub struct Auth {
    /// `Authorization: Bearer ...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<SecretKey>,
    /// `Authorization: Basic ...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<Basic>,
    /// `Authorization: Bearer ...`, with tokens that are fetched by the client credentials grant of OAuth 2.0
    /// (RFC 6749, section 4.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<OAuth2>,
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

/// How tokens are fetched. A token is kept until shortly before it expires; a 401 of the source drops it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2 {
    /// The token endpoint, such as `https://login.example/oauth2/token`. `http` or `https`, without user,
    /// password or fragment.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^@#\\\\s]+$')").message("tokenUrl must begin with http:// or https:// and carry no user, password or fragment"))]
    pub token_url: String,
    /// The client's name at the token endpoint.
    #[schemars(length(min = 1, max = 1024))]
    pub client_id: String,
    /// The client's secret.
    pub client_secret: SecretKey,
    /// How the client shows itself to the token endpoint. Default `Basic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_authentication: Option<ClientAuthentication>,
    /// What is asked for, joined with blanks into the parameter `scope`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 256), regex(pattern = r"^[!#-\[\]-~]+$"))
    )]
    pub scopes: Vec<String>,
    /// The parameter `audience`, where the token endpoint asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub audience: Option<String>,
    /// Further parameters that the token endpoint asks for, such as `resource`. They are not secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("!('grant_type' in self) && !('client_id' in self) && !('client_secret' in self) && !('scope' in self) && !('audience' in self)").message("endpointParams can't hold grant_type, client_id, client_secret, scope or audience; they have fields of their own"))]
    pub endpoint_params: BTreeMap<String, String>,
    /// How the token endpoint is verified and how we show ourselves to it. Default: as the source; `{}` is the
    /// system's authorities and no certificate of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// How a client shows itself to a token endpoint (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientAuthentication {
    /// `Authorization: Basic ...`, which every token endpoint understands.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the form.
    Form,
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

impl AllowedNamespaces {
    /// Whether policies of this namespace are among them.
    pub fn includes(&self, namespace: &str) -> bool {
        match self.from {
            NamespacesFrom::All => true,
            NamespacesFrom::Names => self.names.iter().any(|name| name == namespace),
        }
    }
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
    /// `Ready`: the source's Secrets are there and its server answers. `Stalled` while only an edit of the source helps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
}

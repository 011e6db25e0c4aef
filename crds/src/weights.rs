use crate::Duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The weights lever: it moves the weights of one list of backends in the policy's target, a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.capacity) ? 1 : 0) + (has(self.step) ? 1 : 0) + (has(self.failover) ? 1 : 0) + (has(self.aimd) ? 1 : 0) == 1").message("weights takes exactly one of capacity, step, failover and aimd"))]
#[x_kube(validation = Rule::new("!has(self.rule) || !has(self.ruleIndex)").message("weights takes rule or ruleIndex, not both"))]
pub struct WeightsLever {
    /// The name of the route's rule that holds the list. Neither this nor `ruleIndex`: the route has one rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub rule: Option<String>,
    /// The place of the rule, from 0, where it has no name. A write holds on to what it matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 15))]
    pub rule_index: Option<i32>,
    /// Lists of further routes that get the same weights: all of them move, or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub also: Vec<WeightedRoute>,
    /// The backends that are managed, with the weights they have while nothing is wrong. Others in the list are
    /// left alone.
    #[schemars(length(min = 2, max = 16))]
    #[x_kube(validation = Rule::new("self.all(b, self.exists_one(o, o.name == b.name))").message("the names in weights.backends[].name must be unique"))]
    #[x_kube(validation = Rule::new("self.exists(b, b.weight > 0)").message("at least one of weights.backends[].weight must be above 0"))]
    pub backends: Vec<WeightedBackend>,
    /// Share by measured capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityShare>,
    /// A firing rule moves weight away from the backend that its alert names, and back when it resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<PointsStep>,
    /// The first backend that serves well takes everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// Additive increase, multiplicative decrease on an objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aimd: Option<Aimd>,
    /// Within what the weights move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<WeightLimits>,
    /// When a backend is taken out at once because its requests fail. Without it: with the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejection: Option<Ejection>,
    /// What the proxy tells of each backend.
    pub traffic: Traffic,
    /// When the realised share of each backend is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareDeadline>,
    /// What is done when the weights were put back to their base, as a GitOps tool does. Default Stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_reset: Option<OnReset>,
    /// How many times an hour `onReset: Reapply` writes again. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub reapply_per_hour: Option<i32>,
}

/// A list of another route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.rule) || !has(self.ruleIndex)").message("a route takes rule or ruleIndex, not both"))]
pub struct WeightedRoute {
    /// The API version, such as `gateway.networking.k8s.io/v1`.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// The kind, such as `GRPCRoute`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// The name, in the policy's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The name of its rule that holds the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub rule: Option<String>,
    /// The place of the rule, from 0, where it has no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 15))]
    pub rule_index: Option<i32>,
}

/// A backend that is managed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct WeightedBackend {
    /// Its name as the list has it: that of its Service, or Istio's `host` or `host/subset`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its base: the weight while nothing is wrong. It is kept here and never only in the route.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: i32,
}

/// Share by capacity: requests per second / (utilisation + part of errors x penalty), smoothed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityShare {
    /// A signal with each backend's utilisation (`perBackend: true`), 1 where it is fully used.
    #[schemars(length(min = 1, max = 63))]
    pub utilisation: String,
    /// How much an error counts beside utilisation. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// The part of a new measurement in the smoothed capacity, above 0 and at most 1. Default 0.5. A capacity that
    /// falls because requests fail is not smoothed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<f64>,
}

/// What one firing alert moves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct PointsStep {
    /// How many percentage points of all traffic move away from the backend that the alert names.
    #[schemars(range(min = 1, max = 100))]
    pub points: i32,
    /// The alert's label that names the backend. Default `backend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub label: Option<String>,
    /// How long the rules must have been inactive, with fresh data, before the weight goes back. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// What an alert moves that is silenced in the Alertmanager of the MetricSource. Default Count: a silence is for
    /// people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silenced: Option<Silenced>,
}

/// What a silenced alert moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Silenced {
    /// As much as any other.
    #[default]
    Count,
    /// Nothing, neither away nor back. Where the silences can't be read, it counts.
    Ignore,
}

/// Ordered backends, in the order of `backends`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// A backend serves badly while more than this many percent of its requests fail. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_above_percent: Option<f64>,
    /// It serves well again at or below this many percent. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_below_percent: Option<f64>,
    /// How long it must serve badly, or have no ready endpoint, before it is left. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave_after: Option<Duration>,
    /// How long an earlier backend must be ready before traffic begins to return. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_after: Option<Duration>,
    /// How long the return takes. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_over: Option<Duration>,
}

/// Additive increase, multiplicative decrease.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
pub struct Aimd {
    /// A signal with a value for each backend (`perBackend: true`), such as its p99 latency.
    #[schemars(length(min = 1, max = 63))]
    pub signal: String,
    /// Above this the objective is broken.
    pub above: f64,
    /// What the weight of a backend that breaks it is multiplied with. Default 0.7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// How many percentage points of all traffic it gets back at a time. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub points: Option<i32>,
}

/// Within what the weights move.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightLimits {
    /// The smallest share of a backend that is not taken out: it keeps the signal alive. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5))]
    pub floor_percent: Option<i32>,
    /// How far a weight moves in one change, in percent of what it is. Default 20. By capacity it does not count
    /// while a backend that loses fails requests and the others can serve them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub step_percent: Option<i32>,
    /// A change of less than so many percent of each weight is not made. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50))]
    pub dead_band_percent: Option<i32>,
    /// How long after a change the next is not made. Default: the longest range of what the law reads; a
    /// shorter one is refused, because the law would answer to its own past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    /// After so long without a fresh value of a backend nothing is moved. Default 3m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Duration>,
}

/// When a backend is taken out at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ejection {
    /// No backend is ever taken out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// It is taken out while more than so many percent of its requests fail with 5xx. Default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors_above_percent: Option<f64>,
    /// With fewer requests in the window nothing is concluded. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub least_requests: Option<i32>,
    /// How long it stays out at least; twice as long the next time. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Duration>,
    /// The longest time. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<Duration>,
    /// How long its return takes, from 1 % of its share to all of it. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_over: Option<Duration>,
    /// While more than so many percent of the backends look bad, none is taken out. Default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub panic_above_percent: Option<i32>,
}

/// The proxies whose metrics are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProxyMetrics {
    /// Traefik, as a Gateway API implementation or with its own kinds, run with `addServicesLabels`.
    Traefik,
    /// Gateways built on Envoy.
    Envoy,
    /// Istio.
    Istio,
    /// Linkerd.
    Linkerd,
    /// ingress-nginx.
    IngressNginx,
    /// HAProxy.
    Haproxy,
}

/// What the proxy tells of each backend: the queries of a known proxy, or one's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.proxy) ? (!has(self.requests) && !has(self.errors) && !has(self.unserved)) : (has(self.requests) && has(self.errors))").message("traffic takes proxy, or both of requests and errors"))]
#[x_kube(validation = Rule::new("has(self.proxy) || has(self.window)").message("traffic.requests needs traffic.window, the range of its rate"))]
pub struct Traffic {
    /// A proxy whose metrics are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyMetrics>,
    /// Requests per second by backend, told apart by the label `backend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub requests: Option<String>,
    /// Requests per second that failed with 5xx, by backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub errors: Option<String>,
    /// Requests per second that the proxy failed by itself because no backend took them: one number. With it a
    /// backend without any ready endpoint is found, whose requests are in no backend's count. A known proxy brings
    /// its own, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub unserved: Option<String>,
    /// The range of the rates. Default 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// The oldest sample that still counts. Default: the policy's `maxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// When the realised share is judged, counted from the accepted write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ShareDeadline {
    /// Earlier samples are from before the change. At least `traffic.window`. Default: the window and 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<Duration>,
    /// The deadline. Default: `settle` and 2m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// What is done when the weights were put back to their base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnReset {
    /// It is left alone, and a condition names who did it.
    #[default]
    Stop,
    /// The last verified weights are written again, at most `reapplyPerHour` times an hour.
    Reapply,
}

/// The weight of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct BackendWeight {
    /// The backend.
    pub backend: String,
    /// Its weight.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: i32,
}

/// Why weights move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WeightMove {
    /// As the law wants.
    #[default]
    Law,
    /// A backend is taken out at once.
    Ejection,
    /// A backend comes back.
    Return,
    /// Written again after somebody put them back to their base.
    Reapply,
}

/// What a Change of weights moves. The same weights are written into each list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeWeights {
    /// Why they move.
    pub why: WeightMove,
    /// The lists.
    #[schemars(length(min = 1, max = 8))]
    pub lists: Vec<ChangedList>,
    /// The weights after.
    #[schemars(length(min = 1, max = 16))]
    pub after: Vec<BackendWeight>,
    /// Where a roll-back goes: the last verified weights.
    #[schemars(length(min = 1, max = 16))]
    pub verified: Vec<BackendWeight>,
    /// How the realised share is judged, frozen when the Change was made.
    pub share: ChangeShare,
}

/// A list of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedList {
    /// The route, with its rule.
    #[serde(flatten)]
    pub route: WeightedRoute,
    /// The route's UID: an object made anew under the same name is another target.
    pub uid: String,
    /// The resourceVersion on which the decision was made.
    pub resource_version: String,
    /// The weights before.
    #[schemars(length(min = 1, max = 16))]
    pub before: Vec<BackendWeight>,
}

/// How the realised share of a Change is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeShare {
    /// Requests per second by backend.
    #[schemars(length(max = 4096))]
    pub requests: String,
    /// The range of its rate.
    pub window: Duration,
    /// The oldest sample that still counts.
    pub max_age: Duration,
    /// From when on samples are judged, counted from the accepted write.
    pub settle: Duration,
    /// The deadline.
    pub within: Duration,
}

/// What is remembered of the weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightsStatus {
    /// The last weights whose effect was verified, or the ones found at adoption: where a roll-back goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub verified: Vec<BackendWeight>,
    /// The last weights that a Change of this policy wrote, or the ones found at adoption. Others in the route are somebody else's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub written: Vec<BackendWeight>,
    /// When the last change was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<MicroTime>,
    /// The backends that are out or coming back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub out: Vec<OutStatus>,
    /// Weights that did not have their effect, and are not tried again for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub ineffective: Vec<BackendWeight>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ineffective_until: Option<MicroTime>,
    /// When weights were written again after a reset, within the last hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub reapplied: Vec<MicroTime>,
}

/// A backend that is out or coming back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutStatus {
    /// The backend.
    pub backend: String,
    /// Since when it is out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_since: Option<MicroTime>,
    /// Since when it has been coming back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returning_since: Option<MicroTime>,
    /// How many times it was taken out in a row.
    #[serde(default)]
    pub ejections: i32,
}

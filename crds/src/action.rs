use crate::{
    Annotate, Capture, Duration, Notify, OnInconclusive, OnIneffective, Relieve, Replicas, RuntimeLever, WeightsLever,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a rule or a signal drives: exactly one lever (`replicas` or `runtime` of a workload, or `weights` of a route)
/// or one answer (`notify`, `annotate`, `capture` or `relieve`). A policy's answers stand beside its lever.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.replicas), has(self.weights), has(self.runtime), has(self.notify), has(self.annotate), has(self.capture), has(self.relieve)].filter(given, given).size() == 1").message("an action takes exactly one of replicas, weights, runtime, notify, annotate, capture and relieve"))]
#[x_kube(validation = Rule::new("has(self.replicas) || (!has(self.inhibit) && !has(self.holdDownWhile))").message("inhibit and holdDownWhile go with replicas; other levers have no up and down"))]
pub struct Action {
    /// The action's name within the policy.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The rules that drive it, by `alert`. Any one that fires is enough.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 253)))]
    pub when: Vec<String>,
    /// Moves the number of replicas through the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
    /// Moves the weights of a route's backends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsLever>,
    /// Moves the knobs of a garbage collector in the pods' processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeLever>,
    /// Posts the alerts of its rules to the source's Alertmanager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// Tells the pods whose alerts fire, for the application's own caches and limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotate: Option<Annotate>,
    /// Takes evidence from a pod whose alert fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// Gives a pod whose alert fires more memory, or evicts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relieve: Option<Relieve>,
    /// What must hold after the change. Required of a lever for Enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// PromQL comparisons that forbid increases while they hold, such as a saturated dependency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(v, self.exists_one(o, o.name == v.name))").message("the names in inhibit[].name must be unique"))]
    pub inhibit: Vec<Veto>,
    /// PromQL comparisons that forbid decreases while they hold, such as an outage upstream. One that
    /// has no fresh answer forbids them too.
    #[serde(rename = "holdDownWhile", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(v, self.exists_one(o, o.name == v.name))").message("the names in holdDownWhile[].name must be unique"))]
    pub hold_down_while: Vec<Veto>,
    /// Whether each change waits for approval. Default None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalMode>,
}

/// A PromQL comparison that forbids changes of one direction while it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Veto {
    /// Its name, for the record.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// A comparison with a number, such as `db_connections / db_connections_max > 0.9`. One series for
    /// which it holds is enough.
    #[schemars(length(min = 1, max = 4096))]
    pub expr: String,
    /// The oldest sample that still counts. Default: the policy's `maxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// Whether each change waits for approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApprovalMode {
    /// It does not.
    #[default]
    None,
    /// It waits for `flyball approve`.
    Required,
}

/// What must hold after a change. An increase must achieve it by the deadline; a decrease must
/// maintain it from settle to deadline and is undone at the first breach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// Counted from the accepted write: earlier samples are from before the change. At least the
    /// longest range in `expr` plus the time a new pod needs to be ready.
    pub settle: Duration,
    /// The deadline, counted from the accepted write. Longer than `settle`.
    pub within: Duration,
    /// A comparison with a number, such as `... <= 0.5`. It must hold for every series.
    #[schemars(length(min = 1, max = 4096))]
    pub expr: String,
    /// The demand to which changes answer. Without it an increase that does not achieve its condition
    /// can't be told from a surge, so its value is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
    /// What an unanswered verification leads to. Default Hold. It never commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_inconclusive: Option<OnInconclusive>,
    /// What a change that did not help leads to. Default RollBack; Hold for weights by `capacity` and `aimd`, whose
    /// steps are small: none of them reaches the end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_ineffective: Option<OnIneffective>,
    /// How long an ineffective change is not repeated, unless demand or signal move. Default 30m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latch: Option<Duration>,
}

/// The demand to which changes answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// The signal's name.
    #[schemars(length(min = 1, max = 63))]
    pub signal: String,
    /// How many percent it may move and still count as unchanged. Default 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub tolerance_percent: Option<i32>,
}

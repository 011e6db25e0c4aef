use crate::{
    Action, Duration, FeedbackPolicyStatus, MemoryWatermark, Mode, Notification, PrometheusRuleRef, SourceRef,
    TargetRef,
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to watch, what may be moved, and what must hold afterwards.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "flyball.dev",
    version = "v1alpha1",
    kind = "FeedbackPolicy",
    plural = "feedbackpolicies",
    doc = "What to watch, what may be moved, and what must hold afterwards.",
    status = "FeedbackPolicyStatus",
    namespaced,
    shortname = "fbp",
    category = "flyball",
    derive = "PartialEq",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRef.name"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Alerts", type_ = "string", json_path = ".status.alerts"),
    printcolumn(name = "Doing", type_ = "string", json_path = ".status.doing"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.why"),
    printcolumn(name = "Change", type_ = "string", json_path = ".status.change", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.actions.all(a, !has(a.replicas) || !has(a.replicas.step) || size(a.when) > 0)").message("an action with replicas.step needs at least one rule in when"))]
#[x_kube(validation = Rule::new("self.actions.all(a, !has(a.weights) || !has(a.weights.step) || size(a.when) > 0)").message("an action with weights.step needs at least one rule in when"))]
#[x_kube(validation = Rule::new("!self.actions.exists(a, has(a.weights)) || self.actions.filter(a, has(a.replicas) || has(a.weights) || has(a.runtime)).size() == 1").message("a policy that moves weights has one action: one list, one law; make a policy of each"))]
#[x_kube(validation = Rule::new("!self.actions.exists(a, has(a.runtime)) || self.actions.all(a, !(has(a.replicas) || has(a.weights)) && (!has(a.runtime) || self.actions.all(b, !has(b.runtime) || b.runtime.container == a.runtime.container)))").message("a policy that moves a runtime's knobs moves those of one container and nothing else; make a policy of each"))]
#[x_kube(validation = Rule::new("self.mode != 'Enforce' || self.actions.all(a, has(a.verify) || !(has(a.replicas) || has(a.weights) || has(a.runtime)))").message("mode Enforce needs verify in every action: nothing is committed without a verification"))]
#[x_kube(validation = Rule::new("self.actions.all(a, size(a.when) == 0) || has(self.prometheusRuleRef) || (has(self.rules) && size(self.rules) > 0) || (has(self.watermarks) && size(self.watermarks) > 0)").message("an action names rules in when, and there are none: write rules, watermarks or a prometheusRuleRef"))]
pub struct FeedbackPolicySpec {
    /// How far the policy goes: Observe, Recommend (the default) or Enforce.
    #[serde(default)]
    pub mode: Mode,
    /// While true nothing is written to the target, roll-backs excepted. An open Change is aborted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Where the expressions are asked.
    pub source_ref: SourceRef,
    /// What is moved: a workload whose replicas, or a route whose weights.
    pub target_ref: TargetRef,
    /// A pause of one direction, until it is taken out or its time is over. Undoing goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// How often rules and signals are evaluated. Default 15s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// The oldest sample that still counts as fresh. Default 1m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// How long the policy keeps its hands off after somebody else wrote the field while a Change of
    /// ours held it. Editing the policy takes it up at once. Default 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yield_for: Option<Duration>,
    /// Prometheus alerting rules, field for field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(r, self.exists_one(o, o.alert == r.alert))").message("the names in rules[].alert must be unique"))]
    pub rules: Vec<AlertingRule>,
    /// Memory watermarks, each of which is three more rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    #[x_kube(validation = Rule::new("self.all(w, self.exists_one(o, o.name == w.name))").message("the names in watermarks[].name must be unique"))]
    pub watermarks: Vec<MemoryWatermark>,
    /// A PrometheusRule (`monitoring.coreos.com/v1`) of the policy's namespace from which more alerting
    /// rules are taken: those that an action names in `when` or `down.when` and `rules` does not define, and
    /// those in `alerts`. The others are left alone: such an object often holds dozens of rules for
    /// people, and each one taken is a query in every interval. Labels of a group stand below the rule's
    /// own; the policy's `interval` counts instead of the group's, and its `limit` and `query_offset` are
    /// not read. A template that can't be expanded stays as it is written. An edit of the object counts
    /// at once. While a rule can't be taken, nothing new is decided, nothing is taken away, and an open
    /// Change goes on being verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus_rule_ref: Option<PrometheusRuleRef>,
    /// Named PromQL values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.all(s, self.exists_one(o, o.name == s.name))").message("the names in signals[].name must be unique"))]
    pub signals: Vec<Signal>,
    /// What rules and signals drive.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(o, o.name == a.name))").message("the names in actions[].name must be unique"))]
    pub actions: Vec<Action>,
    /// Who is sent the policy's events, as CloudEvents, beside the installation's own receiver, which is sent all of them. A receiver
    /// that is not there, or not for this namespace, is told by the condition `ReceiversResolved` and stops nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(n, self.exists_one(o, o.receiver == n.receiver))").message("the names in notifications[].receiver must be unique"))]
    pub notifications: Vec<Notification>,
}

/// A Prometheus alerting rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct AlertingRule {
    /// The alert's name.
    #[schemars(length(min = 1, max = 253))]
    pub alert: String,
    /// The expression. Each element of its answer is one alert. Where the top is a comparison with a
    /// number, the left side is asked and compared by the controller, so that absence is told from health.
    #[schemars(length(min = 1, max = 4096))]
    pub expr: String,
    /// How long an element must be there before its alert fires. Default 0s.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    /// How long an alert goes on firing after its element is gone. Default 0s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<Duration>,
    /// Labels added to each alert; `{{ $value }}` and `{{ $labels.x }}` are expanded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of each alert; `{{ $value }}` and `{{ $labels.x }}` are expanded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
}

/// A named PromQL value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.onError) && self.onError == 'Substitute') == has(self.substitute)").message("substitute goes with onError: Substitute, and onError: Substitute needs it"))]
#[x_kube(validation = Rule::new("!has(self.perPod) || !self.perPod || !has(self.substitute)").message("a substitute is one number; a perPod signal has one for each pod"))]
#[x_kube(validation = Rule::new("!has(self.perBackend) || !self.perBackend || (!has(self.substitute) && (!has(self.perPod) || !self.perPod))").message("a perBackend signal is neither perPod nor has a substitute"))]
pub struct Signal {
    /// The name by which actions refer to it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The expression. It must answer exactly one number: aggregate with `sum(...)` or `max(...)`;
    /// with `perPod`, one series for each pod, told apart by the label `pod`.
    #[schemars(length(min = 1, max = 4096))]
    pub expr: String,
    /// Whether the expression answers one series for each pod of the target, as in `sum by (pod) (...)`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_pod: bool,
    /// Whether the expression answers one series for each backend of a route, told apart by the label
    /// `backend`, as in `sum by (backend) (...)` or `label_replace(..., "backend", "$1", "service", "(.*)")`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_backend: bool,
    /// The oldest sample that still counts. Default: the policy's `maxAge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// What is to be done where it is no usable number. Default HoldDown: others may still ask for more,
    /// and nothing is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error: Option<OnError>,
    /// The number for `onError: Substitute`. It may raise, and takes nothing away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substitute: Option<f64>,
}

/// What is to be done where a signal is no usable number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnError {
    /// Nothing is changed by what uses it, neither up nor down.
    Hold,
    /// Others may still ask for more; nothing is taken away.
    #[default]
    HoldDown,
    /// What uses it is left out.
    Ignore,
    /// The number in `substitute` is taken instead.
    Substitute,
}

/// Pauses, per direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Pause {
    /// No increases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<PauseFor>,
    /// No decreases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<PauseFor>,
}

/// How long a direction is paused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct PauseFor {
    /// Until when, such as 2026-12-01T08:00:00Z. Without it: until the pause is taken out.
    // A text: the API server takes times that a calendar does not have, and one of them must not keep the
    // object from being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub until: Option<String>,
    /// Why, for whoever finds it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
}

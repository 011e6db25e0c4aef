//! The weights action: which lists of backends it may move, by which law, and how the traffic proves it.

use super::{Query, Verification};
use crate::{signal::Finite, time::Span};
use std::{collections::BTreeMap, fmt};

/// A weight of a backend, at most [`Weight::MAX`] (Gateway API: `backendRefs[].weight`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// The largest weight that Gateway API takes.
    pub const MAX: u32 = 1_000_000;
    /// No traffic.
    pub const ZERO: Self = Self(0);

    /// `None` above [`Weight::MAX`] or below zero.
    pub fn new(weight: i64) -> Option<Self> {
        u32::try_from(weight).ok().filter(|n| *n <= Self::MAX).map(Self)
    }

    /// The number itself.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The weights of the backends that an action manages, by name. It may be what a route was found with, so all
/// of them may be zero; what is written never is (`check` sees to that).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weights(BTreeMap<String, Weight>);

impl Weights {
    /// These weights.
    pub fn new(weights: impl IntoIterator<Item = (String, Weight)>) -> Self {
        Self(weights.into_iter().collect())
    }

    /// The weight of a backend; zero for one that is not among them.
    pub fn of(&self, backend: &str) -> Weight {
        self.0.get(backend).copied().unwrap_or_default()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Weight)> {
        self.0.iter().map(|(name, weight)| (name.as_str(), *weight))
    }

    /// Their sum.
    pub fn total(&self) -> u64 {
        self.0.values().map(|weight| u64::from(weight.get())).sum()
    }

    /// The share of a backend among them, from 0 to 1; `None` where all are zero.
    pub fn share(&self, backend: &str) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)] // At most 16 weights of a million each.
        let total = self.total() as f64;
        (total > 0.0).then(|| f64::from(self.of(backend).get()) / total)
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, weight)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {weight}")?;
        }
        Ok(())
    }
}

/// A backend that an action manages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its name, unique within the action: the name of its Service, and the value of the label `backend` in
    /// every reading.
    pub name: String,
    /// Its weight while nothing is wrong. Not all of an action's are zero.
    pub base: Weight,
}

/// How an action computes the weights that it wants.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightLaw {
    /// By measured capacity.
    Capacity(CapacityLaw),
    /// A firing rule moves weight away from the backend it names.
    Step(WeightStep),
    /// The first backend that serves well takes everything.
    Failover(FailoverLaw),
    /// Additive increase, multiplicative decrease on a service level objective.
    Aimd(AimdLaw),
}

/// Share by capacity: weight = qps / (utilisation + errors/qps * penalty), as in gRPC's client-side weighted
/// round robin (gRFC A58), smoothed over passes.
#[derive(Clone, Debug, PartialEq)]
pub struct CapacityLaw {
    /// The signal with each backend's utilisation, from 0 to 1 and above, told apart by the label `backend`.
    pub utilisation: String,
    /// How much an error counts beside utilisation. gRPC's default is 1.
    pub penalty: Finite,
    /// The part of a new measurement in the smoothed capacity, above 0 and at most 1. Default 0.5.
    pub smoothing: Finite,
}

/// A rule moves weight away from the backend that its alert names, and back when it resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightStep {
    /// How many percentage points of all traffic one firing alert moves away, from 1 to 100.
    pub points: u32,
    /// The label of the alert that names the backend. Default `backend`.
    pub label: String,
    /// How long the rule must have been inactive, with fresh data, before the weight goes back.
    pub after: Span,
    /// Whether an alert that is silenced moves nothing. Whoever decides leaves those out of the rules' states.
    pub ignores_silenced: bool,
}

/// An order of backends, that of the action's list. The first that serves well takes everything.
#[derive(Clone, Debug, PartialEq)]
pub struct FailoverLaw {
    /// A backend serves badly while more than this part of its requests fails.
    pub bad_above: Finite,
    /// It serves well again at or below this. Not above `bad_above`.
    pub good_below: Finite,
    /// How long it must serve badly, or have no ready endpoints, before it is left.
    pub leave_after: Span,
    /// How long an earlier backend must have ready endpoints before traffic begins to return to it.
    pub return_after: Span,
    /// How long the return takes, from the first percent to everything.
    pub return_over: Span,
}

/// Additive increase, multiplicative decrease, on a signal of each backend.
#[derive(Clone, Debug, PartialEq)]
pub struct AimdLaw {
    /// The signal with each backend's value, told apart by the label `backend`, such as its p99 latency.
    pub signal: String,
    /// Above this the objective is broken.
    pub above: Finite,
    /// What a weight is multiplied with while its backend breaks the objective; above 0, below 1. Default 0.7.
    pub factor: Finite,
    /// How many percentage points of all traffic a backend gets back at a time, up to its base. Default 2.
    pub points: u32,
}

/// When a backend is taken out at once, because the proxy sees its requests fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Ejection {
    /// The part of its requests that fail with 5xx above which a backend is taken out. Default 0.5.
    pub errors_above: Finite,
    /// With fewer requests in the window than this nothing is concluded. Default 20.
    pub least_requests: u32,
    /// How long it stays out at least; twice as long the next time, and so on. Default 30s (Envoy's base).
    pub base: Span,
    /// The longest time. Default 5m.
    pub longest: Span,
    /// How long the return takes, from 1 % of its share to all of it. Default 5m.
    pub return_over: Span,
    /// While more than this part of the backends looks bad, none is taken out. Default 0.5 (Envoy's panic threshold).
    pub panic_above: Finite,
}

impl Ejection {
    /// How long a backend stays out at least, the `times`th time in a row: the base, doubled with each time, up to
    /// the longest. Envoy multiplies its base by the count instead.
    pub fn stays_out(&self, times: u32) -> Span {
        let factor = 1_u64.checked_shl(times.saturating_sub(1)).unwrap_or(u64::MAX);
        let span = self.base.as_millis().saturating_mul(factor);
        Span::from_millis(span.min(self.longest.as_millis()))
    }
}

/// Within what the weights move.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightLimits {
    /// The smallest share of a backend that is not ejected: it keeps the signal alive. From 0.01 to 0.05.
    /// Failover has no floor.
    pub floor: Finite,
    /// How far a weight may move in one change, as a part of what it is. Default 0.2.
    pub most_step: Finite,
    /// A change smaller than this, as a part of each weight, is not made. Default 0.05.
    pub dead_band: Finite,
    /// How long after a change the next is not made; at least the longest range of what the law reads.
    pub hold: Span,
    /// After so long without a fresh value of a backend, nothing is moved. Default 3m (gRFC A58).
    pub expiry: Span,
}

/// What the proxy tells of each backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Requests per second by backend, told apart by the label `backend`.
    pub requests: Query,
    /// Requests per second that failed with 5xx, by backend. A backend without a series had none, if its
    /// requests are known.
    pub errors: Query,
    /// Requests per second that the proxy failed by itself, because no backend took them: one number. `None`
    /// where the proxy does not tell.
    pub unserved: Option<Query>,
    /// The range of the rates in all of them: that many seconds of requests are behind a value.
    pub window: Span,
    /// The oldest sample that still counts.
    pub max_age: Span,
}

impl Traffic {
    /// What stands for the policy's namespace in the queries of a known proxy: a spec does not know its own.
    pub const NAMESPACE: &str = "__namespace__";

    /// The queries as they are asked in a namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        let named = |query: &Query| Query {
            text: query.text.replace(Self::NAMESPACE, namespace),
            age: query.age.as_ref().map(|age| age.replace(Self::NAMESPACE, namespace)),
            ..query.clone()
        };
        Self {
            requests: named(&self.requests),
            errors: named(&self.errors),
            unserved: self.unserved.as_ref().map(named),
            ..self.clone()
        }
    }
}

/// When the realised share is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareDeadline {
    /// Samples before this are from before the change. At least the window of [`Traffic`].
    pub settle: Span,
    /// The deadline, counted like `settle` from the accepted write. `settle < within`.
    pub within: Span,
}

/// What is done when somebody put the weights back to their base, as a GitOps tool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnReset {
    /// The last verified weights are written again, at most so many times an hour.
    Reapply {
        /// How many times an hour.
        per_hour: u32,
    },
    /// It is left alone, and a condition names who did it.
    Stop,
}

/// One list of weighted backends: an object and the place in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteList {
    /// Such as `gateway.networking.k8s.io/v1`.
    pub api_version: String,
    /// Such as `HTTPRoute`.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Which of its rules.
    pub rule: RuleRef,
}

impl fmt::Display for RouteList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, rule, .. } = self;
        write!(f, "{kind} {name} {rule}")
    }
}

/// Which rule of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleRef {
    /// The one of this name.
    Name(String),
    /// The one at this place, from 0.
    Index(u32),
    /// The only one. More than one, and it is not known which is meant.
    Only,
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "rule {name}"),
            Self::Index(index) => write!(f, "rule {index}"),
            Self::Only => f.write_str("(its only rule)"),
        }
    }
}

/// The weights action.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsAction {
    /// The action's name within its policy.
    pub name: String,
    /// The rules that drive it; non-empty for [`WeightLaw::Step`].
    pub when: Vec<String>,
    /// The lists that it moves, all together or none. Not empty; no two of the same object.
    pub routes: Vec<RouteList>,
    /// The backends that it manages, from 2 to 16, in the order written.
    pub backends: Vec<Backend>,
    /// How it computes.
    pub law: WeightLaw,
    /// Within what it moves.
    pub limits: WeightLimits,
    /// When a backend is taken out at once; `None`: never.
    pub ejection: Option<Ejection>,
    /// What the proxy tells.
    pub traffic: Traffic,
    /// When the realised share is judged.
    pub share: ShareDeadline,
    /// The effect, once the share is there: errors or latency. Required for `Enforce`.
    pub verification: Option<Verification>,
    /// What is done when the weights were put back to their base.
    pub on_reset: OnReset,
    /// Whether each change waits for somebody's approval. An ejection waits for none.
    pub approval: bool,
}

impl WeightsAction {
    /// The base weights.
    pub fn base(&self) -> Weights {
        Weights::new(self.backends.iter().map(|backend| (backend.name.clone(), backend.base)))
    }
}

//! A policy past validation: nothing in here is a string that could be wrong.
//!
//! The controller's `validate` step is the only maker of these types outside tests.

use crate::{evaluate::Template, signal::Finite, time::Span};
use std::{collections::BTreeMap, fmt};

/// What a policy may do. One code path serves all three; they differ in how far a Change goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Evaluate rules and signals only.
    Observe,
    /// Decide and check too, and record what would be done. The default.
    #[default]
    Recommend,
    /// Do it.
    Enforce,
}

/// A PromQL expression that was parsed, bounded in length and depth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The expression as it is sent to the server.
    pub text: String,
    /// A query whose single value is the age in seconds of the newest sample behind `text`;
    /// `None` where `text` selects no series (`vector(1)`).
    pub age: Option<String>,
    /// The longest range or subquery window in the expression, offsets included.
    pub longest_range: Span,
}

/// A PromQL comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Comparator {
    /// Compares as PromQL does: NaN is unequal to everything and neither greater nor less.
    #[allow(clippy::float_cmp)] // PromQL's == is exact.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
        }
    }
}

impl fmt::Display for Comparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        })
    }
}

/// `left comparator right`. The left side is queried and compared here, because
/// `left > 0.5` answers nothing both when resolved and when there is no data.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The side that is queried.
    pub left: Query,
    /// How the two are compared.
    pub comparator: Comparator,
    /// The number on the right.
    pub right: Finite,
}

/// What a rule asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// A comparison with a number at the top: absence can be told from health.
    Threshold(Comparison),
    /// Any other expression: every element of its answer is an alert. An empty answer does not
    /// prove health, so it never supports a decrease.
    Opaque(Query),
}

impl Condition {
    /// The query that is sent to the server.
    pub fn query(&self) -> &Query {
        match self {
            Self::Threshold(comparison) => &comparison.left,
            Self::Opaque(query) => query,
        }
    }
}

/// A Prometheus alerting rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The alert's name.
    pub alert: String,
    /// What is asked.
    pub condition: Condition,
    /// How long an element must be there before its alert fires (`for`).
    pub hold: Span,
    /// How long an alert goes on firing after its element is gone (`keep_firing_for`).
    pub keep_firing_for: Span,
    /// Templates of the labels added to each alert.
    pub labels: BTreeMap<String, Template>,
    /// Templates of the annotations of each alert.
    pub annotations: BTreeMap<String, Template>,
}

/// A named PromQL value.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The name by which actions refer to it.
    pub name: String,
    /// The expression; it must answer exactly one number.
    pub query: Query,
    /// The oldest sample that still counts.
    pub max_age: Span,
}

/// A number of replicas, at most [`Replicas::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replicas(u32);

impl Replicas {
    /// More replicas than any workload has; what lies above is a typing error.
    pub const MAX: u32 = 10_000;

    /// `None` above [`Replicas::MAX`] or below zero.
    pub fn new(count: i64) -> Option<Self> {
        u32::try_from(count).ok().filter(|n| *n <= Self::MAX).map(Self)
    }

    /// The number nearest to `count` that is allowed.
    pub fn nearest(count: i64) -> Self {
        let most = i64::from(Self::MAX);
        Self(u32::try_from(count.clamp(0, most)).unwrap_or(Self::MAX))
    }

    /// The number itself.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount to add or take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many pods, at least 1.
    Pods(u32),
    /// So many percent of the current number, at least 1. Rounded so that a step is never nothing
    /// and a decrease never reaches further than asked.
    Percent(u32),
}

impl Amount {
    /// How many replicas this adds to `base`: percentages are rounded up; at least 1.
    pub fn added_to(self, base: Replicas) -> i64 {
        match self {
            Self::Pods(pods) => i64::from(pods),
            Self::Percent(percent) => (i64::from(base.get()) * i64::from(percent) + 99) / 100,
        }
        .max(1)
    }

    /// How many replicas this takes from `base`: percentages are rounded down, so that a decrease
    /// never reaches further than asked; at least 1, at most all.
    pub fn taken_from(self, base: Replicas) -> i64 {
        let all = i64::from(base.get());
        match self {
            Self::Pods(pods) => i64::from(pods),
            Self::Percent(percent) => all * i64::from(percent) / 100,
        }
        .max(1)
        .min(all)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(1) => f.write_str("1 pod"),
            Self::Pods(pods) => write!(f, "{pods} pods"),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

/// The bounds of a number of replicas. `min <= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The smallest number.
    pub min: Replicas,
    /// The largest number.
    pub max: Replicas,
}

impl Bounds {
    /// The nearest number within.
    pub fn clamp(&self, replicas: Replicas) -> Replicas {
        replicas.min(self.max).max(self.min)
    }
}

/// How an action computes the number it wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Law {
    /// A firing rule adds, a long quiet takes away.
    Step(Step),
    /// A signal against its target.
    Ratio(Ratio),
}

/// The step law.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is added while one of the action's rules fires.
    pub up: Amount,
    /// The way down; `None`: this action never takes replicas away.
    pub down: Option<StepDown>,
}

/// When and how far the step law goes down.
#[derive(Clone, Debug, PartialEq)]
pub struct StepDown {
    /// What is taken away.
    pub by: Amount,
    /// How long all of the action's rules must have been inactive, with fresh data.
    pub after: Span,
    /// Rules of which one must fire too; empty: quiet alone is enough.
    pub when: Vec<String>,
}

/// How a ratio's signal relates to its target, in HPA's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatioKind {
    /// The signal is a total: desired = ceil(signal / target).
    AverageValue,
    /// The signal is a level: desired = ceil(current * signal / target).
    Value,
}

/// The ratio law.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    /// The signal's name.
    pub signal: String,
    /// The value at which the number of replicas is right. Greater than 0.
    pub target: Finite,
    /// How the two relate.
    pub kind: RatioKind,
    /// No increase while signal/target <= 1 + this.
    pub tolerance_up: Finite,
    /// No decrease while signal/target >= 1 - this.
    pub tolerance_down: Finite,
}

/// One entry of a scaling policy, as in HPA's `behavior`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How much may change within the period.
    pub amount: Amount,
    /// The period.
    pub period: Span,
}

/// Which of several rate limits counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: no change in this direction.
    Disabled,
}

/// The rules of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behavior {
    /// Rate limits; empty: only the bounds limit a change.
    pub limits: Vec<RateLimit>,
    /// Which of them counts.
    pub select: SelectPolicy,
    /// The window over which the most careful proposal wins.
    pub stabilization: Span,
    /// No proposal in this direction for so long after a change in this direction.
    pub cooldown: Span,
}

/// What is to be done if a verification cannot be answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInconclusive {
    /// Keep the new value. The default.
    #[default]
    Hold,
    /// Go back to the last verified value.
    RollBack,
}

/// What is to be done with an increase that did not help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnIneffective {
    /// Go back to the last verified value, if the demand did not move and the present allows it.
    #[default]
    RollBack,
    /// Keep the new value.
    Hold,
}

/// The demand that a change answers to, to tell a surge from an ineffective change.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// The signal's name.
    pub signal: String,
    /// How far it may move, as a fraction of its value at the proposal, and still count as unchanged.
    pub tolerance: Finite,
}

/// The conditions that must hold after a change.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    /// Samples before this are from before the change and are not judged.
    pub settle: Span,
    /// The deadline, counted like `settle` from the accepted write. `settle < within`.
    pub within: Span,
    /// An increase must achieve it by the deadline, a decrease maintain it from settle to deadline.
    pub condition: Comparison,
    /// The oldest sample that still counts.
    pub max_age: Span,
    /// The demand that the change answers to.
    pub demand: Option<Demand>,
    /// What an unanswered verification leads to.
    pub on_inconclusive: OnInconclusive,
    /// What an increase that did not help leads to.
    pub on_ineffective: OnIneffective,
    /// How long an ineffective change of this kind is not repeated while demand and signal stay.
    pub latch: Span,
}

/// The replicas action.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicasAction {
    /// The action's name within its policy.
    pub name: String,
    /// The rules that drive it; non-empty for the step law.
    pub when: Vec<String>,
    /// Within what it may move.
    pub bounds: Bounds,
    /// How it computes.
    pub law: Law,
    /// The rules of increases.
    pub up: Behavior,
    /// The rules of decreases.
    pub down: Behavior,
    /// How its changes are judged; required for `Enforce`.
    pub verification: Option<Verification>,
}

/// A whole policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What it may do.
    pub mode: Mode,
    /// Whether forward writes are suspended.
    pub suspended: bool,
    /// How often it is evaluated.
    pub interval: Span,
    /// The oldest sample that still counts for rules.
    pub max_age: Span,
    /// How long the field is left to somebody else who wrote it while we held it (law 8).
    pub yield_for: Span,
    /// The rules, by name.
    pub rules: BTreeMap<String, Rule>,
    /// The signals, by name.
    pub signals: BTreeMap<String, Signal>,
    /// The actions, in the order written.
    pub actions: Vec<ReplicasAction>,
}

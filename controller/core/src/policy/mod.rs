//! A policy past validation: nothing in here is a string that could be wrong.
//!
//! The controller's `validate` step is the only maker of these types outside tests.

mod annotate;
mod answer;
mod capture;
mod env;
mod formula;
mod knobs;
mod relieve;
mod replicas;
mod runtime;
mod schedule;
mod setting;
mod verification;
mod watermark;
mod weights;

pub use annotate::*;
pub use answer::*;
pub use capture::*;
pub use env::{Env, EnvError, EnvOption, JavaVariable, VARIABLES};
pub use formula::{Formula, FormulaError};
pub use knobs::*;
pub use relieve::*;
pub use replicas::*;
pub use runtime::*;
pub use schedule::{Schedule, Window, floor};
pub use setting::*;
pub use verification::*;
pub use watermark::*;
pub use weights::*;

use crate::{
    evaluate::{Template, watermark::Level},
    signal::Finite,
    time::{Span, Timestamp},
};
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

impl Query {
    /// Where the policy's namespace stands in a query of ours.
    pub const NAMESPACE: &str = Traffic::NAMESPACE;

    /// The query as it is asked in a namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        let named = |text: &String| text.replace(Self::NAMESPACE, namespace);
        Self {
            text: named(&self.text),
            age: self.age.as_ref().map(named),
            longest_range: self.longest_range,
        }
    }
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
    /// The expression.
    pub query: Query,
    /// What it must answer.
    pub shape: Shape,
    /// The oldest sample that still counts.
    pub max_age: Span,
    /// What is to be done where it is no usable number.
    pub on_error: OnError,
}

/// What a signal must answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Exactly one number.
    #[default]
    Number,
    /// One series for each pod, told apart by the label `pod`.
    PerPod,
    /// One series for each backend, told apart by the label `backend`.
    PerBackend,
}

/// What is to be done where a signal is no usable number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum OnError {
    /// Nothing is changed by what uses it, neither up nor down.
    Hold,
    /// Others may still ask for more; nothing is taken away. HPA's way, and the default.
    #[default]
    HoldDown,
    /// What uses it is left out, as if it were not written.
    Ignore,
    /// This number is taken instead. Law 9 stands: it may raise, and takes nothing away.
    Substitute(Finite),
}

/// A time-limited pause of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Until it is taken out of the policy.
    Open,
    /// Until then.
    Until(Timestamp),
}

impl Pause {
    /// Whether it still counts.
    pub fn holds(self, now: Timestamp) -> bool {
        match self {
            Self::Open => true,
            Self::Until(end) => now < end,
        }
    }
}

/// A whole policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What it may do.
    pub mode: Mode,
    /// Whether forward writes are suspended.
    pub suspended: bool,
    /// Whether increases are paused.
    pub pause_up: Option<Pause>,
    /// Whether decreases are paused.
    pub pause_down: Option<Pause>,
    /// How often it is evaluated.
    pub interval: Span,
    /// The oldest sample that still counts for rules.
    pub max_age: Span,
    /// How long the field is left to somebody else who wrote it while we held it (law 8).
    pub yield_for: Span,
    /// The rules, by name.
    pub rules: BTreeMap<String, Rule>,
    /// The memory watermarks in the order written; three of the rules are each one's.
    pub watermarks: Vec<MemoryWatermark>,
    /// The signals, by name.
    pub signals: BTreeMap<String, Signal>,
    /// The actions that move replicas, in the order written.
    pub actions: Vec<ReplicasAction>,
    /// The actions that move weights, in the order written.
    pub weights: Vec<WeightsAction>,
    /// The actions that move a runtime's knobs, in the order written: the first that its rules drive counts.
    pub runtime: Vec<RuntimeAction>,
    /// The actions that answer, in the order written.
    pub answers: Vec<Answer>,
}

impl Policy {
    /// The policy as it stands in a namespace: what its watermarks ask is about that.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        for mark in &mut self.watermarks {
            mark.ratio = mark.ratio.within(namespace);
            mark.sampled = mark.sampled.as_ref().map(|query| query.within(namespace));
            mark.used = mark.used.as_ref().map(|query| query.within(namespace));
            for level in Level::RAISED {
                if let Some(Rule {
                    condition: Condition::Threshold(comparison),
                    ..
                }) = self.rules.get_mut(&mark.alert(level))
                {
                    comparison.left = mark.ratio.clone();
                }
            }
        }
        self
    }

    /// The watermark whose rule this is.
    pub fn watermark_of(&self, alert: &str) -> Option<&MemoryWatermark> {
        let is_its = |mark: &&MemoryWatermark| Level::RAISED.iter().any(|level| mark.alert(*level) == alert);
        self.watermarks.iter().find(is_its)
    }
}

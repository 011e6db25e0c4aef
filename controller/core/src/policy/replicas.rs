//! The replicas action: within what it may move, and by which law.

use super::{Comparator, Comparison, Formula, Schedule, Signal, Verification};
use crate::{signal::Finite, time::Span};
use std::{collections::BTreeMap, fmt};

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
    /// Metrics against their targets, as HPA computes.
    Metrics(Metrics),
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

/// The metrics law: each metric asks for a number of replicas, and the largest counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// The metrics, in the order written. Not empty.
    pub list: Vec<Metric>,
    /// No increase while a metric's ratio to its target is at most 1 + this.
    pub tolerance_up: Finite,
    /// No decrease while a metric's ratio to its target is at least 1 - this.
    pub tolerance_down: Finite,
}

impl Metrics {
    /// The signals that it reads, by name.
    pub fn signals(&self) -> impl Iterator<Item = &str> {
        self.list.iter().flat_map(Metric::signals)
    }
}

impl Metric {
    /// The signals that it reads, by name.
    pub fn signals(&self) -> Vec<&str> {
        match &self.measure {
            Measure::Total {
                of: Number::Signal(name),
                ..
            }
            | Measure::Pods {
                of: PodNumbers::Signal(name),
                ..
            } => vec![name],
            Measure::Total {
                of: Number::Formula(formula),
                ..
            } => formula.signals().iter().map(String::as_str).collect(),
            Measure::Pods {
                of: PodNumbers::Usage(_),
                ..
            } => Vec::new(),
        }
    }
}

/// One metric with its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name within the action, for sentences and the record.
    pub name: String,
    /// What is measured, and the value at which the number of replicas is right.
    pub measure: Measure,
}

/// What is measured, with the kinds of target that go with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// One number for the whole workload (HPA's Object and External).
    Total {
        /// The number.
        of: Number,
        /// Its target.
        target: TotalTarget,
    },
    /// A number for each pod (HPA's Pods, Resource and `ContainerResource`).
    Pods {
        /// The numbers.
        of: PodNumbers,
        /// Their target.
        target: PodTarget,
    },
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// A signal, by name.
    Signal(String),
    /// An expression over signals.
    Formula(Formula),
}

/// The target of one number. Each is greater than 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TotalTarget {
    /// The number is a total: desired = ceil(number / target).
    AverageValue(Finite),
    /// The number is a level: desired = ceil(ready pods * number / target).
    Value(Finite),
}

/// A number for each pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodNumbers {
    /// A signal whose answer has one series for each pod, told apart by the label `pod`.
    Signal(String),
    /// The usage of a resource as metrics.k8s.io tells it.
    Usage(ResourceOf),
}

/// A resource, of all containers of a pod or of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceOf {
    /// The resource.
    pub resource: Resource,
    /// The container; `None`: all of the pod's.
    pub container: Option<String>,
}

/// A resource that containers request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// In cores.
    Cpu,
    /// In bytes.
    Memory,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        })
    }
}

/// The target of a number for each pod.
#[derive(Clone, Debug, PartialEq)]
pub enum PodTarget {
    /// The mean over the pods. Greater than 0.
    AverageValue(Finite),
    /// Percent of what the containers request, at least 1.
    Utilization {
        /// The target, in percent of the request.
        percent: u32,
        /// Which request.
        of: ResourceOf,
    },
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

impl ReplicasAction {
    /// How a change to `to` is judged. Whether nothing is to be done can't be seen on a workload that does
    /// nothing, so a change to zero is judged by the signal that led to it: it must stay at or below its
    /// activation.
    pub fn verification_to(&self, to: Replicas, signals: &BTreeMap<String, Signal>) -> Option<Verification> {
        let verification = self.verification.clone()?;
        let Some(zero) = self.zero.as_ref().filter(|_| to.get() == 0) else {
            return Some(verification);
        };
        let signal = signals.get(&zero.signal)?;
        Some(Verification {
            condition: Comparison {
                left: signal.query.clone(),
                comparator: Comparator::LessOrEqual,
                right: zero.activation,
            },
            max_age: signal.max_age,
            ..verification
        })
    }
}

/// Going to zero and back.
#[derive(Clone, Debug, PartialEq)]
pub struct Zero {
    /// The signal that says whether there is anything to do.
    pub signal: String,
    /// Above this (strictly) the workload is active.
    pub activation: Finite,
    /// How long it must have been inactive, on fresh data, before the last replica goes.
    pub cooldown: Span,
}

/// A spike: while it lasts nothing is taken away. As Knative's panic mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spike {
    /// It begins when so many times the present number of replicas is asked for. Greater than 1.
    pub factor: Finite,
    /// It ends when for so long less than that was asked for.
    pub hold: Span,
}

/// A number for the time without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// After so long without any metric that can be used.
    pub after: Span,
    /// At least so many replicas. A fallback only ever raises: nothing is taken away without data.
    pub replicas: Replicas,
}

/// A PromQL condition that forbids changes of one direction while it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Veto {
    /// Its name within the action; its reading is found under it.
    pub name: String,
    /// What forbids. Any one series for which it holds is enough.
    pub condition: Comparison,
    /// The oldest sample that still counts.
    pub max_age: Span,
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
    /// Going to zero and back. `Some` exactly where `bounds.min` is 0.
    pub zero: Option<Zero>,
    /// A pod counts as unready until it has been ready for so long.
    pub warm_up: Span,
    /// When nothing is taken away because much more is asked for.
    pub spike: Option<Spike>,
    /// Times at which the smallest number is higher.
    pub schedules: Vec<Schedule>,
    /// What is done without data.
    pub fallback: Option<Fallback>,
    /// What forbids increases, such as a saturated dependency.
    pub inhibit: Vec<Veto>,
    /// What forbids decreases, such as an outage upstream.
    pub hold_down_while: Vec<Veto>,
    /// Whether each change waits for somebody's approval.
    pub approval: bool,
}

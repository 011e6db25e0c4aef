//! An action on the garbage collector's knobs of a container, past validation.

use super::{Query, Verification};
use crate::{bytes::Bytes, signal::Finite, time::Span};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// The runtimes that have an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Go.
    Go,
    /// A Java virtual machine, `HotSpot`.
    Java,
    /// Node.
    Node,
    /// Python.
    Python,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Go => "Go",
            Self::Java => "Java",
            Self::Node => "Node",
            Self::Python => "Python",
        })
    }
}

/// A knob of a runtime, in the order in which a line names them (agents/CONTRACT.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Knob {
    /// GOGC, in percent.
    Gogc,
    /// GOMEMLIMIT, in bytes.
    MemoryLimit,
    /// Resident memory to hold, in bytes.
    Resident,
    /// The price of memory, in cores per byte.
    Lambda,
    /// The lowest GOGC that a law in the agent may set.
    GogcMin,
    /// The highest.
    GogcMax,
    /// `SoftMaxHeapSize`, in bytes.
    SoftMaxHeap,
    /// `G1PeriodicGCInterval`, in milliseconds.
    G1PeriodicInterval,
    /// `MinHeapFreeRatio`, in percent.
    MinHeapFree,
    /// `MaxHeapFreeRatio`, in percent.
    MaxHeapFree,
    /// V8's `--heap-growing-percent`.
    HeapGrowingPercent,
    /// `gc.set_threshold`, for the three generations.
    GcThresholds,
}

impl Knob {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Gogc,
        Self::MemoryLimit,
        Self::Resident,
        Self::Lambda,
        Self::GogcMin,
        Self::GogcMax,
        Self::SoftMaxHeap,
        Self::G1PeriodicInterval,
        Self::MinHeapFree,
        Self::MaxHeapFree,
        Self::HeapGrowingPercent,
        Self::GcThresholds,
    ];

    /// Its key in a line.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Gogc => "gogc",
            Self::MemoryLimit => "memlimit",
            Self::Resident => "rss",
            Self::Lambda => "lambda",
            Self::GogcMin => "gogc-min",
            Self::GogcMax => "gogc-max",
            Self::SoftMaxHeap => "soft-max-heap",
            Self::G1PeriodicInterval => "g1-periodic-interval",
            Self::MinHeapFree => "min-heap-free",
            Self::MaxHeapFree => "max-heap-free",
            Self::HeapGrowingPercent => "heap-growing-percent",
            Self::GcThresholds => "gc-thresholds",
        }
    }

    /// Whose it is.
    pub const fn runtime(self) -> Runtime {
        match self {
            Self::Gogc | Self::MemoryLimit | Self::Resident | Self::Lambda | Self::GogcMin | Self::GogcMax => {
                Runtime::Go
            }
            Self::SoftMaxHeap | Self::G1PeriodicInterval | Self::MinHeapFree | Self::MaxHeapFree => Runtime::Java,
            Self::HeapGrowingPercent => Runtime::Node,
            Self::GcThresholds => Runtime::Python,
        }
    }

    /// The smallest and the largest whole number that a line may hold.
    const fn range(self) -> (u64, u64) {
        const LEAST_LIMIT: u64 = 4 << 20;
        const MOST_BYTES: u64 = 1 << 50;
        match self {
            Self::Gogc | Self::GogcMin | Self::GogcMax => (1, 1000),
            Self::MemoryLimit | Self::Resident => (LEAST_LIMIT, MOST_BYTES),
            Self::Lambda => (0, 1),
            Self::SoftMaxHeap => (0, MOST_BYTES),
            Self::G1PeriodicInterval => (0, 86_400_000),
            Self::MinHeapFree | Self::MaxHeapFree => (0, 100),
            Self::HeapGrowingPercent => (1, 400),
            Self::GcThresholds => (0, 1_000_000_000),
        }
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// What a knob is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KnobValue {
    /// A whole number, in the knob's unit.
    Number(u64),
    /// No memory limit.
    Unlimited,
    /// A decimal number.
    Decimal(Finite),
    /// One for each of three generations.
    Three([u64; 3]),
}

impl fmt::Display for KnobValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Unlimited => f.write_str("none"),
            Self::Decimal(number) => write!(f, "{:e}", number.get()),
            Self::Three([a, b, c]) => write!(f, "{a},{b},{c}"),
        }
    }
}

/// Why knobs can't be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum KnobError {
    /// There is no such knob.
    #[error("{0:?} is no knob of a runtime; see agents/CONTRACT.md for those that are")]
    Unknown(String),
    /// It is named twice.
    #[error("{0} is set twice; remove one")]
    Twice(Knob),
    /// It takes another form.
    #[error("{knob}={value} is not of its form; write for example {knob}={example}")]
    Form {
        /// The knob.
        knob: Knob,
        /// What was written.
        value: String,
        /// What could be.
        example: &'static str,
    },
    /// It is outside what an agent takes.
    #[error("{knob}={value} is not between {least} and {most}")]
    Range {
        /// The knob.
        knob: Knob,
        /// What was written.
        value: String,
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// Two that are of different runtimes.
    #[error("{0} is a knob of {1}, and {2} one of {3}; a container has one runtime")]
    Mixed(Knob, Runtime, Knob, Runtime),
    /// Two that do not go together.
    #[error("{0} and {1} can't both be set: {2}")]
    Against(Knob, Knob, &'static str),
    /// A lower bound above the upper one.
    #[error("{0} is above {1}; lower the one or raise the other")]
    Crossed(Knob, Knob),
    /// A bound without a law that it bounds.
    #[error("{0} bounds what rss or lambda sets, and neither is set; write gogc itself")]
    Unbound(Knob),
}

/// Knobs of one runtime with what they are set to. One that is not named has the value that the process was
/// started with. No knobs at all: the boot values, of any runtime.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Knobs(BTreeMap<Knob, KnobValue>);

impl Knobs {
    /// These knobs, if they can stand in one line.
    pub fn new(knobs: impl IntoIterator<Item = (Knob, KnobValue)>) -> Result<Self, KnobError> {
        let mut all = BTreeMap::new();
        for (knob, amount) in knobs {
            check(knob, amount)?;
            if all.insert(knob, amount).is_some() {
                return Err(KnobError::Twice(knob));
            }
        }
        let knobs = Self(all);
        knobs.agree()?;
        Ok(knobs)
    }

    /// What a knob is set to.
    pub fn get(&self, knob: Knob) -> Option<KnobValue> {
        self.0.get(&knob).copied()
    }

    /// A knob's whole number.
    pub fn number(&self, knob: Knob) -> Option<u64> {
        match self.get(knob) {
            Some(KnobValue::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// All of them, in the order of a line.
    pub fn iter(&self) -> impl Iterator<Item = (Knob, KnobValue)> {
        self.0.iter().map(|(knob, amount)| (*knob, *amount))
    }

    /// Whether all have their boot values.
    pub fn is_boot(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose they are.
    pub fn runtime(&self) -> Option<Runtime> {
        self.0.keys().next().map(|knob| knob.runtime())
    }

    fn agree(&self) -> Result<(), KnobError> {
        let mut keys = self.0.keys();
        if let Some(first) = keys.next()
            && let Some(other) = keys.find(|knob| knob.runtime() != first.runtime())
        {
            return Err(KnobError::Mixed(*first, first.runtime(), *other, other.runtime()));
        }
        let both = |a: Knob, b: Knob| self.0.contains_key(&a) && self.0.contains_key(&b);
        for (law, why) in [
            (Knob::Resident, "rss sets the limit and GOGC by itself"),
            (Knob::Lambda, "lambda sets GOGC by itself"),
        ] {
            if both(law, Knob::Gogc) {
                return Err(KnobError::Against(law, Knob::Gogc, why));
            }
        }
        if both(Knob::Resident, Knob::MemoryLimit) {
            let why = "rss sets the limit by itself";
            return Err(KnobError::Against(Knob::Resident, Knob::MemoryLimit, why));
        }
        if both(Knob::Resident, Knob::Lambda) {
            let why = "one holds memory and the other prices it";
            return Err(KnobError::Against(Knob::Resident, Knob::Lambda, why));
        }
        for bound in [Knob::GogcMin, Knob::GogcMax] {
            let has_law = self.0.contains_key(&Knob::Resident) || self.0.contains_key(&Knob::Lambda);
            if self.0.contains_key(&bound) && !has_law {
                return Err(KnobError::Unbound(bound));
            }
        }
        for (low, high) in [(Knob::GogcMin, Knob::GogcMax), (Knob::MinHeapFree, Knob::MaxHeapFree)] {
            if let (Some(least), Some(most)) = (self.number(low), self.number(high))
                && least > most
            {
                return Err(KnobError::Crossed(low, high));
            }
        }
        Ok(())
    }
}

/// Whether a knob can be set to this.
fn check(knob: Knob, amount: KnobValue) -> Result<(), KnobError> {
    let (least, most) = knob.range();
    let range = || KnobError::Range {
        knob,
        value: amount.to_string(),
        least,
        most,
    };
    let form = |example| KnobError::Form {
        knob,
        value: amount.to_string(),
        example,
    };
    match (knob, amount) {
        (Knob::MemoryLimit, KnobValue::Unlimited) => Ok(()),
        (Knob::Lambda, KnobValue::Decimal(price)) if price.get() > 0.0 && price.get() <= 1.0 => Ok(()),
        // The first at 0 switches automatic collections off.
        (Knob::GcThresholds, KnobValue::Three(all)) if all[0] > 0 && all.iter().all(|number| *number <= most) => Ok(()),
        (Knob::Lambda, KnobValue::Decimal(_)) | (Knob::GcThresholds, KnobValue::Three(_)) => Err(range()),
        (Knob::Lambda, _) => Err(form("2.5e-9")),
        (Knob::GcThresholds, _) => Err(form("5000,20,20")),
        (_, KnobValue::Number(number)) if (least..=most).contains(&number) => Ok(()),
        (_, KnobValue::Number(_)) => Err(range()),
        (_, _) => Err(form("100")),
    }
}

impl fmt::Display for Knobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (knob, amount)) in self.iter().enumerate() {
            let between = if index == 0 { "" } else { " " };
            write!(f, "{between}{knob}={amount}")?;
        }
        Ok(())
    }
}

impl FromStr for Knobs {
    type Err = KnobError;

    fn from_str(text: &str) -> Result<Self, KnobError> {
        let read = |word: &str| {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let knob = Knob::ALL.into_iter().find(|knob| knob.key() == key);
            let knob = knob.ok_or_else(|| KnobError::Unknown(key.chars().take(64).collect()))?;
            Ok((knob, amount(knob, value)?))
        };
        let words: Result<Vec<_>, KnobError> = text.split_ascii_whitespace().map(read).collect();
        Self::new(words?)
    }
}

fn amount(knob: Knob, value: &str) -> Result<KnobValue, KnobError> {
    let form = |example| KnobError::Form {
        knob,
        value: value.chars().take(64).collect(),
        example,
    };
    match knob {
        Knob::MemoryLimit if value == "none" => Ok(KnobValue::Unlimited),
        Knob::Lambda => {
            let number = value.parse().ok().and_then(Finite::new);
            number.map(KnobValue::Decimal).ok_or_else(|| form("2.5e-9"))
        }
        Knob::GcThresholds => {
            let numbers: Option<Vec<u64>> = value.split(',').map(|number| number.parse().ok()).collect();
            let three = numbers.and_then(|numbers| <[u64; 3]>::try_from(numbers).ok());
            three.map(KnobValue::Three).ok_or_else(|| form("5000,20,20"))
        }
        _ => value.parse().map(KnobValue::Number).map_err(|_| form("100")),
    }
}

/// What the pods of a workload are to have: the value of a transaction on the runtime lever. It stands in an
/// annotation of the workload; absent: boot values for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setting {
    /// The knobs of every pod that is not being tried.
    pub knobs: Knobs,
    /// Counts the collections that were asked of every pod.
    pub reclaim: u64,
    /// What some pods have first.
    pub trial: Option<Trial>,
}

/// What some pods have before the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Which pods, by name. Never none.
    pub pods: BTreeSet<String>,
    /// Their knobs.
    pub knobs: Knobs,
    /// The collections asked of them.
    pub reclaim: u64,
}

impl Setting {
    /// These knobs for all.
    pub fn of(knobs: Knobs, reclaim: u64) -> Self {
        Self {
            knobs,
            reclaim,
            trial: None,
        }
    }

    /// What a pod is to have.
    pub fn of_pod(&self, name: &str) -> (&Knobs, u64) {
        match &self.trial {
            Some(trial) if trial.pods.contains(name) => (&trial.knobs, trial.reclaim),
            _ => (&self.knobs, self.reclaim),
        }
    }

    /// The way from here to `to` by these pods.
    #[must_use]
    pub fn trying(&self, to: &Self, pods: BTreeSet<String>) -> Self {
        Self {
            knobs: self.knobs.clone(),
            reclaim: self.reclaim,
            trial: Some(Trial {
                pods,
                knobs: to.knobs.clone(),
                reclaim: to.reclaim,
            }),
        }
    }

    /// Whether nothing was ever set.
    pub fn is_boot(&self) -> bool {
        *self == Self::default()
    }
}

/// In words: boot values have none of their own.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, knobs: &Knobs, reclaim: u64| {
            if knobs.is_boot() {
                f.write_str("boot")?;
            } else {
                knobs.fmt(f)?;
            }
            match reclaim {
                0 => Ok(()),
                count => write!(f, " reclaim={count}"),
            }
        };
        part(f, &self.knobs, self.reclaim)?;
        if let Some(trial) = &self.trial {
            let pods: Vec<&str> = trial.pods.iter().map(String::as_str).collect();
            write!(f, "; try {}: ", pods.join(","))?;
            part(f, &trial.knobs, trial.reclaim)?;
        }
        Ok(())
    }
}

/// Why a text is no setting.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// A knob in it can't be.
    #[error(transparent)]
    Knobs(#[from] KnobError),
    /// It is of another form.
    #[error(
        "{0:?} is not of the form `gogc=200`, `boot` or `gogc=100; try web-1: gogc=200`; remove the annotation and all pods go back to their boot values"
    )]
    Form(String),
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let form = || SettingError::Form(text.chars().take(64).collect());
        let part = |text: &str| -> Result<(Knobs, u64), SettingError> {
            let mut reclaim = 0;
            let mut words = Vec::new();
            for word in text.split_ascii_whitespace() {
                match word.strip_prefix("reclaim=") {
                    Some(count) => reclaim = count.parse().map_err(|_| form())?,
                    None if word == "boot" => {}
                    None => words.push(word),
                }
            }
            Ok((words.join(" ").parse()?, reclaim))
        };
        let (whole, trial) = match text.split_once("; try ") {
            None => (text, None),
            Some((whole, trial)) => (whole, Some(trial.split_once(": ").ok_or_else(form)?)),
        };
        if whole.trim().is_empty() {
            return Err(form());
        }
        let (knobs, reclaim) = part(whole)?;
        let trial = match trial {
            None => None,
            Some((pods, tried)) => {
                let pods: BTreeSet<String> = pods.split(',').map(ToOwned::to_owned).collect();
                if pods.iter().any(String::is_empty) || tried.trim().is_empty() {
                    return Err(form());
                }
                let (knobs, reclaim) = part(tried)?;
                Some(Trial { pods, knobs, reclaim })
            }
        };
        Ok(Self { knobs, reclaim, trial })
    }
}

/// Headroom that processes share.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadroomBudget {
    /// How much.
    pub headroom: Bytes,
    /// What is asked of all agents of the namespace.
    pub queries: FleetQueries,
}

/// What is asked of all agents of a namespace, by pod.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetQueries {
    /// Bytes allocated per second.
    pub allocation: Query,
    /// CPU seconds per second that collections take.
    pub gc_cpu: Query,
    /// Collections per second.
    pub cycles: Query,
    /// What a collection leaves, in bytes.
    pub live: Query,
    /// Stacks and globals, in bytes.
    pub roots: Query,
    /// The container's limit in bytes.
    pub limit: Query,
    /// What the runtime does not manage, in bytes.
    pub unmanaged: Query,
}

impl FleetQueries {
    /// All of them, in the order of the fields.
    pub fn all(&self) -> [&Query; 7] {
        let first = [&self.allocation, &self.gc_cpu, &self.cycles, &self.live];
        let [allocation, gc_cpu, cycles, live] = first;
        [
            allocation,
            gc_cpu,
            cycles,
            live,
            &self.roots,
            &self.limit,
            &self.unmanaged,
        ]
    }

    /// The queries as they are asked in a namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        let named = |query: &Query| AgentQueries::named(query, namespace);
        Self {
            allocation: named(&self.allocation),
            gc_cpu: named(&self.gc_cpu),
            cycles: named(&self.cycles),
            live: named(&self.live),
            roots: named(&self.roots),
            limit: named(&self.limit),
            unmanaged: named(&self.unmanaged),
        }
    }
}

/// What an action does to the knobs.
#[derive(Clone, Debug, PartialEq)]
pub enum RuntimeAim {
    /// These knobs. A set-point and a price are knobs too: the law is in the agent.
    Set(Knobs),
    /// The price at which all processes of a namespace together keep to a budget of headroom.
    Budget(Box<HeadroomBudget>),
    /// One collection, and memory back to the system; the knobs stay.
    Reclaim {
        /// How long after one the next is not asked for.
        every: Span,
    },
}

/// How many pods are tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialSize {
    /// So many.
    Pods(u32),
    /// So many percent of the ready ones, at least one.
    Percent(u32),
}

impl TrialSize {
    /// How many of `ready` pods. Never all of them: without siblings there is nothing to compare with.
    pub fn of(self, ready: usize) -> usize {
        let wanted = match self {
            Self::Pods(count) => count as usize,
            Self::Percent(percent) => (ready * percent as usize).div_ceil(100),
        };
        wanted.max(1).min(ready.saturating_sub(1))
    }
}

/// How a change is tried on a few pods first.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialPlan {
    /// How many.
    pub size: TrialSize,
    /// A comparison with a number that must hold while it is tried, with `$moved` and `$others` where names of pods
    /// stand. `validate` has parsed it with names in their place.
    pub expr: Option<String>,
    /// Samples before this are from before the trial.
    pub settle: Span,
    /// How long it is tried, counted like `settle` from the accepted write.
    pub within: Span,
}

/// What the agents of the target tell, by pod.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentQueries {
    /// The generation in force.
    pub applied: Query,
    /// Whether the breaker tripped.
    pub breaker: Query,
    /// What a collection left, in bytes.
    pub live: Query,
    /// The container's limit, in bytes.
    pub limit: Query,
    /// Everything that is resident beside the heap in use, in bytes.
    pub beside: Query,
    /// The oldest sample that still counts.
    pub max_age: Span,
}

impl AgentQueries {
    /// Where the policy's namespace stands in a query.
    pub const NAMESPACE: &str = super::Traffic::NAMESPACE;

    fn named(query: &Query, namespace: &str) -> Query {
        Query {
            text: query.text.replace(Self::NAMESPACE, namespace),
            age: query.age.as_ref().map(|age| age.replace(Self::NAMESPACE, namespace)),
            ..query.clone()
        }
    }

    /// The queries as they are asked in a namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        let named = |query: &Query| Self::named(query, namespace);
        Self {
            applied: named(&self.applied),
            breaker: named(&self.breaker),
            live: named(&self.live),
            limit: named(&self.limit),
            beside: named(&self.beside),
            max_age: self.max_age,
        }
    }
}

/// An action that moves the knobs of one container of the target's pods.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeAction {
    /// The action's name.
    pub name: String,
    /// The rules that drive it; empty: it holds where no other of the policy does.
    pub when: Vec<String>,
    /// The container.
    pub container: String,
    /// What it does.
    pub aim: RuntimeAim,
    /// How it is tried first; `None`: it is not.
    pub trial: Option<TrialPlan>,
    /// How long the agents have to acknowledge, counted from the accepted write.
    pub acknowledge: Span,
    /// How long what a pod was given lasts without a renewal.
    pub lease: Span,
    /// How long after a change the next is not made.
    pub hold: Span,
    /// The bounds of GOGC, in percent.
    pub gogc: (u64, u64),
    /// What the agents tell.
    pub agents: AgentQueries,
    /// What must hold after the change.
    pub verification: Option<Verification>,
    /// Whether each change waits for approval.
    pub approval: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_reads_back_as_it_was_written() {
        for text in [
            "boot",
            "gogc=200",
            "gogc=75 memlimit=1073741824",
            "memlimit=none",
            "boot reclaim=3",
            "rss=1289748480 gogc-min=50 gogc-max=400 reclaim=2",
            "lambda=2.5e-9",
            "gc-thresholds=5000,20,20",
            "min-heap-free=5 max-heap-free=20",
            "gogc=100; try web-1: gogc=200",
            "boot; try web-1,web-2: boot reclaim=1",
        ] {
            let setting: Setting = text.parse().expect(text);
            assert_eq!(setting.to_string(), text);
            assert_eq!(setting.to_string().parse(), Ok(setting));
        }
    }

    #[test]
    fn what_is_no_setting_says_what_is_wrong() {
        let check = |text: &str, expect: &str| {
            let error = text.parse::<Setting>().expect_err(text).to_string();
            assert!(error.contains(expect), "{text:?}: {error}");
        };
        check("", "is not of the form");
        check("gogc=100; try web-1", "is not of the form");
        check("gogc=100; try : gogc=200", "is not of the form");
        check("gogc=100; try a,,b: gogc=200", "is not of the form");
        check("gogc=1001", "gogc=1001 is not between 1 and 1000");
        check("gogc=-1", "gogc=-1 is not of its form");
        check("gogc=off", "gogc=off is not of its form");
        check("speed=3", "\"speed\" is no knob");
        check("gogc=100 gogc=200", "gogc is set twice");
        check("memlimit=1000", "is not between 4194304 and");
        check("gogc=100 min-heap-free=5", "a container has one runtime");
        check(
            "min-heap-free=50 max-heap-free=20",
            "min-heap-free is above max-heap-free",
        );
        check("rss=1073741824 gogc=100", "rss and gogc can't both be set");
        check("rss=1073741824 memlimit=none", "rss and memlimit can't both be set");
        check("gogc-max=200", "neither is set");
        check("lambda=0", "lambda=0e0 is not between");
        check("lambda=inf", "lambda=inf is not of its form");
        check("gc-thresholds=0,10,10", "is not between");
        check("gc-thresholds=700,10", "is not of its form");
        check("boot reclaim=x", "is not of the form");
    }

    #[test]
    fn a_pod_that_is_tried_has_what_is_tried() {
        let setting: Setting = "gogc=100; try web-1: gogc=200 reclaim=1".parse().expect("a setting");
        let of = |name: &str| {
            let (knobs, reclaim) = setting.of_pod(name);
            (knobs.to_string(), reclaim)
        };
        assert_eq!(of("web-1"), ("gogc=200".to_owned(), 1));
        assert_eq!(of("web-2"), ("gogc=100".to_owned(), 0));
    }

    #[test]
    fn a_trial_leaves_at_least_one_sibling() {
        let check =
            |size: TrialSize, ready: usize, expect: usize| assert_eq!(size.of(ready), expect, "{size:?} {ready}");
        check(TrialSize::Pods(1), 0, 0);
        check(TrialSize::Pods(1), 1, 0);
        check(TrialSize::Pods(1), 2, 1);
        check(TrialSize::Pods(3), 2, 1);
        check(TrialSize::Percent(10), 5, 1);
        check(TrialSize::Percent(10), 11, 2);
        check(TrialSize::Percent(100), 4, 3);
    }
}

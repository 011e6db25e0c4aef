//! The knobs of a runtime's garbage collector, as a line for an agent names them (agents/CONTRACT.md).

use crate::signal::Finite;
use std::{collections::BTreeMap, fmt, str::FromStr};

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
    /// Garbage headroom that the processes of a node share, in bytes. A workload's setting only: each pod's line has the
    /// price of its node in its place.
    NodeHeadroom,
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
    pub const ALL: [Self; 13] = [
        Self::Gogc,
        Self::MemoryLimit,
        Self::Resident,
        Self::Lambda,
        Self::NodeHeadroom,
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
            Self::NodeHeadroom => "node-headroom",
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
            Self::Gogc
            | Self::MemoryLimit
            | Self::Resident
            | Self::Lambda
            | Self::NodeHeadroom
            | Self::GogcMin
            | Self::GogcMax => Runtime::Go,
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
            Self::MemoryLimit | Self::Resident | Self::NodeHeadroom => (LEAST_LIMIT, MOST_BYTES),
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

    /// As a pod's line has them at the price of its node. Without a share of a node's headroom they are the same.
    #[must_use]
    pub fn priced(&self, price: Finite) -> Self {
        let mut all = self.0.clone();
        if all.remove(&Knob::NodeHeadroom).is_some() {
            all.insert(Knob::Lambda, KnobValue::Decimal(price));
        }
        Self(all)
    }

    /// Whether a pod's line has these knobs, at whatever price where it is a share of a node's headroom.
    pub fn stand_in(&self, line: &Self) -> bool {
        match (self.get(Knob::NodeHeadroom), line.get(Knob::Lambda)) {
            (Some(_), Some(KnobValue::Decimal(price))) => self.priced(price) == *line,
            _ => self == line,
        }
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
            (Knob::NodeHeadroom, "a share of headroom sets GOGC by itself"),
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
        for (law, why) in [
            (Knob::Resident, "one holds memory and the other shares it"),
            (Knob::Lambda, "the price of a node is worked out from its headroom"),
        ] {
            if both(law, Knob::NodeHeadroom) {
                return Err(KnobError::Against(law, Knob::NodeHeadroom, why));
            }
        }
        for bound in [Knob::GogcMin, Knob::GogcMax] {
            let laws = [Knob::Resident, Knob::Lambda, Knob::NodeHeadroom];
            let has_law = laws.iter().any(|law| self.0.contains_key(law));
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

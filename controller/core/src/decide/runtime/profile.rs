//! What is known of one process and of the container it runs in.
//!
//! Every quantity is a [`Fact`]: a usable value, or why there is none. A law asks for the facts that it needs and
//! answers [`NotKnown`] where one is missing; nothing has a default that could pass for a measurement.

use super::{Gogc, heap::Heap};
use crate::{
    bytes::Bytes,
    signal::{Reading, SignalError},
};
use std::fmt;

/// A value that was measured and may be used, or why it may not.
pub type Fact<T> = Result<T, FactError>;

/// Why a value may not be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FactError {
    /// Nobody asked for it.
    #[error("it was not read")]
    NotRead,
    /// Its reading is not one fresh number.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// It is a number that the quantity can't have.
    #[error("it is {value}; {expect}")]
    Range {
        /// The number.
        value: f64,
        /// What it would have to be, and what to look at.
        expect: &'static str,
    },
    /// No collection ended in the range of the query, so no cycle has a cost.
    #[error("no collection ended in the range of the query; ask over a longer range")]
    NoCycle,
    /// Neither a live heap nor roots: no collection has ended yet.
    #[error("there is no live heap and there are no roots; wait for the first collection")]
    NothingLive,
}

/// What a law needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Allocation rate, g.
    Allocation,
    /// GC CPU seconds per cycle, t.
    Cycle,
    /// Live heap, L.
    Live,
    /// GC roots, R.
    Roots,
    /// Runtime memory outside of the heap, O.
    Other,
    /// Memory that the runtime does not manage, N.
    Unmanaged,
    /// Memory limit of the container, M.
    Limit,
    /// Memory in use in the container.
    Used,
    /// The part of the node's memory that is available.
    NodeAvailable,
    /// The GOGC in force.
    Gogc,
    /// The soft memory limit in force.
    SoftLimit,
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allocation => "the allocation rate",
            Self::Cycle => "the GC CPU time per cycle",
            Self::Live => "the live heap",
            Self::Roots => "the size of GC roots",
            Self::Other => "runtime memory outside of the heap",
            Self::Unmanaged => "memory that the runtime does not manage",
            Self::Limit => "the container's memory limit",
            Self::Used => "the container's memory in use",
            Self::NodeAvailable => "the node's available memory",
            Self::Gogc => "GOGC",
            Self::SoftLimit => "the soft memory limit",
        })
    }
}

/// A law could not answer, because something is not known. Nothing moves then, in neither direction.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what} is not known: {why}")]
pub struct NotKnown {
    /// What.
    pub what: Quantity,
    /// Why not.
    #[source]
    pub why: FactError,
}

/// Bytes allocated per second: finite, not negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct AllocationRate(f64);

/// GC CPU seconds per cycle: finite, not negative.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct CycleCost(f64);

/// A part of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Part(f64);

fn finite_from_zero(value: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then_some(value)
}

impl AllocationRate {
    /// `None` for NaN, infinity and what is below zero.
    pub fn new(bytes_per_second: f64) -> Option<Self> {
        finite_from_zero(bytes_per_second).map(Self)
    }

    /// In bytes per second.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl CycleCost {
    /// `None` for NaN, infinity and what is below zero.
    pub fn new(seconds: f64) -> Option<Self> {
        finite_from_zero(seconds).map(Self)
    }

    /// In CPU seconds.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Part {
    /// `None` for NaN and what is outside of 0 to 1.
    pub fn new(part: f64) -> Option<Self> {
        (0.0..=1.0).contains(&part).then_some(Self(part))
    }

    /// From 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// One process and its container, as far as it is known. The letters are those of the formulas.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// g, `rate(flyball_agent_alloc_bytes_total)`.
    pub allocation: Fact<AllocationRate>,
    /// t, [`cycle_cost`].
    pub cycle: Fact<CycleCost>,
    /// L, a high quantile over some minutes: what the last collection left swings.
    pub live: Fact<Bytes>,
    /// R, stacks and globals that a collection scans.
    pub roots: Fact<Bytes>,
    /// O, memory of the runtime outside of the heap; for Go all of what counts against its limit.
    pub other: Fact<Bytes>,
    /// N, resident memory beyond what the runtime manages, its 99th percentile over an hour, with a reserve for page
    /// cache in active use.
    pub unmanaged: Fact<Bytes>,
    /// Resident memory, or the working set, of the container now.
    pub used: Fact<Bytes>,
    /// M, the smallest memory limit that holds the container; `None` where it has none.
    pub limit: Fact<Option<Bytes>>,
    /// `MemAvailable / MemTotal` of the node.
    pub node_available: Fact<Part>,
    /// The GOGC in force.
    pub gogc: Fact<Gogc>,
    /// The soft limit in force; `None` where there is none.
    pub soft_limit: Fact<Option<Bytes>>,
}

impl Default for Profile {
    /// Of which nothing is known.
    fn default() -> Self {
        Self {
            allocation: Err(FactError::NotRead),
            cycle: Err(FactError::NotRead),
            live: Err(FactError::NotRead),
            roots: Err(FactError::NotRead),
            other: Err(FactError::NotRead),
            unmanaged: Err(FactError::NotRead),
            used: Err(FactError::NotRead),
            limit: Err(FactError::NotRead),
            node_available: Err(FactError::NotRead),
            gogc: Err(FactError::NotRead),
            soft_limit: Err(FactError::NotRead),
        }
    }
}

/// The value of a fact, or that this quantity is not known.
pub fn needed<T: Copy>(what: Quantity, fact: &Fact<T>) -> Result<T, NotKnown> {
    fact.as_ref()
        .copied()
        .map_err(|why| NotKnown { what, why: why.clone() })
}

impl Profile {
    /// Live heap, roots and the memory beside them.
    pub fn heap(&self) -> Result<Heap, NotKnown> {
        let live = needed(Quantity::Live, &self.live)?;
        let roots = needed(Quantity::Roots, &self.roots)?;
        let other = needed(Quantity::Other, &self.other)?;
        Heap::new(live, roots, other).ok_or(NotKnown {
            what: Quantity::Live,
            why: FactError::NothingLive,
        })
    }
}

/// Reads an amount of memory.
pub fn bytes(reading: &Reading) -> Fact<Bytes> {
    let value = reading.number()?.get();
    Bytes::nearest(value).ok_or(FactError::Range {
        value,
        expect: "an amount of memory is not negative: look at the query",
    })
}

/// Reads a limit: none where the number is above [`Bytes::MAX`], as runtimes tell it by the largest whole number.
/// A query whose answer may be `+Inf` needs a `clamp_max(..., 1e18)`, because an infinity can't be told to be fresh.
pub fn limit(reading: &Reading) -> Fact<Option<Bytes>> {
    let value = reading.number()?.get();
    if value > Bytes::MAX.real() {
        return Ok(None);
    }
    if value <= 0.0 {
        return Err(FactError::Range {
            value,
            expect: "a limit is above 0: look at the query, some exporters tell no limit as 0",
        });
    }
    bytes(reading).map(Some)
}

/// Reads an allocation rate.
pub fn allocation(reading: &Reading) -> Fact<AllocationRate> {
    let value = reading.number()?.get();
    AllocationRate::new(value).ok_or(FactError::Range {
        value,
        expect: "a rate of allocation is not negative: look at the query",
    })
}

/// Reads a part of a whole.
pub fn part(reading: &Reading) -> Fact<Part> {
    let value = reading.number()?.get();
    Part::new(value).ok_or(FactError::Range {
        value,
        expect: "a part is from 0 to 1: look at the query",
    })
}

/// t = GC CPU seconds per second / cycles per second, of the same range.
pub fn cycle_cost(gc_cpu: &Reading, cycles: &Reading) -> Fact<CycleCost> {
    let (cpu, cycles) = (gc_cpu.number()?.get(), cycles.number()?.get());
    if cycles == 0.0 {
        return Err(FactError::NoCycle);
    }
    let value = cpu / cycles;
    CycleCost::new(value).filter(|_| cycles > 0.0).ok_or(FactError::Range {
        value,
        expect: "both rates are not negative and finite: look at the queries",
    })
}

/// Reads a GOGC in percent.
pub fn gogc(reading: &Reading) -> Fact<Gogc> {
    let value = reading.number()?.get();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A cast to an integer saturates.
    let percent = value.round() as u32;
    Gogc::new(percent).ok_or(FactError::Range {
        value,
        expect: "it is moved only from 1 to 1000; -1 is off, which somebody chose: set a number first",
    })
}

//! Heap goals as Go's pacer sets them, in whole bytes.

use crate::bytes::Bytes;
use std::fmt;

/// GOGC in percent, from [`Gogc::MIN`] to [`Gogc::MAX`], which is what an agent takes. Off is none: with it only
/// the memory limit holds the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gogc(u32);

impl Gogc {
    /// The lowest that can be set.
    pub const MIN: u32 = 1;
    /// The highest that can be set.
    pub const MAX: u32 = 1000;

    /// `None` outside of [`Gogc::MIN`] to [`Gogc::MAX`].
    pub const fn new(percent: u32) -> Option<Self> {
        if percent >= Self::MIN && percent <= Self::MAX {
            Some(Self(percent))
        } else {
            None
        }
    }

    /// In percent.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The nearest that can be set.
    pub(super) fn nearest(percent: u64) -> Self {
        Self(u32::try_from(percent).unwrap_or(Self::MAX).clamp(Self::MIN, Self::MAX))
    }
}

impl fmt::Display for Gogc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Between which values GOGC is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GogcBounds {
    min: Gogc,
    max: Gogc,
}

/// Why two numbers are no bounds of GOGC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GogcBoundsError {
    /// The square-root rule does not hold there: below 50 the collector costs more than the rule tells.
    #[error("min {0} is below 50, where collections cost more than the memory saves; write 50 or more")]
    Low(u32),
    /// Above what an agent takes.
    #[error("max {0} is above 1000, the most that an agent takes; write 1000 or less")]
    High(u32),
    /// The wrong way round.
    #[error("min {min} is above max {max}; exchange them")]
    Order {
        /// The lower bound.
        min: u32,
        /// The upper bound.
        max: u32,
    },
}

impl GogcBounds {
    /// The lowest `min`.
    pub const FLOOR: u32 = 50;

    /// Bounds in percent.
    pub fn new(min: u32, max: u32) -> Result<Self, GogcBoundsError> {
        if min < Self::FLOOR {
            return Err(GogcBoundsError::Low(min));
        }
        if min > max {
            return Err(GogcBoundsError::Order { min, max });
        }
        match (Gogc::new(min), Gogc::new(max)) {
            (Some(min), Some(max)) => Ok(Self { min, max }),
            _ => Err(GogcBoundsError::High(max)),
        }
    }

    /// The lowest.
    pub const fn min(self) -> Gogc {
        self.min
    }

    /// The highest.
    pub const fn max(self) -> Gogc {
        self.max
    }

    /// Whether it lies within.
    pub fn hold(self, gogc: Gogc) -> bool {
        self.min <= gogc && gogc <= self.max
    }
}

impl Default for GogcBounds {
    /// 50 to 400.
    fn default() -> Self {
        Self {
            min: Gogc(50),
            max: Gogc(400),
        }
    }
}

/// What a collection leaves and scans. Never all zero, so GOGC has something to be a percentage of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heap {
    live: Bytes,
    roots: Bytes,
    other: Bytes,
}

/// The heap is never collected below this, times GOGC / 100.
const SMALLEST: Bytes = Bytes::from_mib(4);
/// Of what a limit leaves for the heap, so many percent are kept free ...
const LIMIT_HEADROOM_PERCENT: u32 = 3;
/// ... and at least so much.
const LIMIT_HEADROOM: Bytes = Bytes::from_mib(1);

/// Which of the two holds the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ruler {
    /// The percentage.
    Gogc,
    /// The soft memory limit.
    Limit,
}

/// What the collector works by, past the competition of GOGC and the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Effective {
    /// The size at which the next collection has to be done: the smaller of the two goals.
    pub goal: Bytes,
    /// The GOGC that alone would have led to this goal, rounded down; 0 where the goal leaves no room at all.
    pub percent: u64,
    /// Which of the two it is.
    pub ruler: Ruler,
}

impl Heap {
    /// `None` where there are neither a live heap nor roots.
    pub fn new(live: Bytes, roots: Bytes, other: Bytes) -> Option<Self> {
        (live.plus(roots) > Bytes::ZERO).then_some(Self { live, roots, other })
    }

    /// L.
    pub const fn live(self) -> Bytes {
        self.live
    }

    /// R.
    pub const fn roots(self) -> Bytes {
        self.roots
    }

    /// O.
    pub const fn other(self) -> Bytes {
        self.other
    }

    /// L + R, of which GOGC is a percentage (Go guide, "GOGC", since 1.18). Never zero.
    pub const fn base(self) -> Bytes {
        self.live.plus(self.roots)
    }

    /// E = (L + R) * GOGC / 100.
    pub const fn headroom(self, gogc: Gogc) -> Bytes {
        self.base().percent(gogc.get())
    }

    /// 100 * E / (L + R), rounded down.
    pub const fn percent(self, headroom: Bytes) -> u64 {
        headroom.get().saturating_mul(100) / self.base().get()
    }

    /// L + (L + R) * GOGC / 100, at least 4 MiB * GOGC / 100 (`heapminimum`).
    pub fn goal(self, gogc: Gogc) -> Bytes {
        self.live.plus(self.headroom(gogc)).max(SMALLEST.percent(gogc.get()))
    }

    /// The goal under a soft limit (`memoryLimitHeapGoal`): what the limit leaves beside O, less 3 % of it and at
    /// least 1 MiB; never below L.
    pub fn goal_under(self, limit: Bytes) -> Bytes {
        let room = limit.minus(self.other);
        let headroom = room.percent_up(LIMIT_HEADROOM_PERCENT).max(LIMIT_HEADROOM);
        room.minus(headroom).max(self.live)
    }

    /// What the collector works by; `None` with neither GOGC nor a limit, where it does not collect.
    pub fn effective(self, gogc: Option<Gogc>, limit: Option<Bytes>) -> Option<Effective> {
        let by_gogc = gogc.map(|gogc| (self.goal(gogc), Ruler::Gogc));
        let by_limit = limit.map(|limit| (self.goal_under(limit), Ruler::Limit));
        let (goal, ruler) = by_gogc.into_iter().chain(by_limit).min()?;
        let percent = self.percent(goal.minus(self.live));
        Some(Effective { goal, percent, ruler })
    }

    /// The smallest limit under which the effective GOGC is not below `gogc`. What is below this is refused.
    pub fn smallest_limit(self, gogc: Gogc) -> Bytes {
        let goal = self.live.plus(self.base().percent_up(gogc.get()));
        // The inverse of `goal_under`: room - ceil(3 % of room) is floor(97 % of room).
        let by_percent = goal
            .get()
            .saturating_mul(100)
            .div_ceil(u64::from(100 - LIMIT_HEADROOM_PERCENT));
        let room = Bytes::saturating(by_percent).max(goal.plus(LIMIT_HEADROOM));
        self.other.plus(room)
    }
}

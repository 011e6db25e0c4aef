//! How much garbage is worth its memory.
//!
//! A process that allocates g bytes per second and pays t CPU seconds per cycle spends g * t / E cores on a headroom
//! of E bytes. Where a byte costs λ cores, g * t / E + λ * E is least at E = sqrt(g * t / λ).

use super::{
    Worked,
    heap::{Gogc, GogcBounds, Heap},
    profile::{AllocationRate, CycleCost, NotKnown, Profile, Quantity, needed},
    show,
};
use crate::bytes::Bytes;
use std::fmt;

/// The price of memory, in cores per byte: above 0 and at most [`Lambda::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Lambda(f64);

impl Lambda {
    /// A core for a byte, the most that an agent takes.
    pub const MAX: f64 = 1.0;

    /// `None` for NaN, for what is not above 0, and above [`Lambda::MAX`].
    pub fn new(cores_per_byte: f64) -> Option<Self> {
        (cores_per_byte > 0.0 && cores_per_byte <= Self::MAX).then_some(Self(cores_per_byte))
    }

    /// So many cores for a GiB, as prices are usually compared; `None` as for [`Self::new`].
    pub fn per_gib(cores: f64) -> Option<Self> {
        Self::new(cores / f64::from(1 << 30))
    }

    /// The nearest price that there is to a positive number.
    pub(super) fn clamped(cores_per_byte: f64) -> Self {
        Self(cores_per_byte.clamp(f64::MIN_POSITIVE, Self::MAX))
    }

    /// In cores per byte.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The price under pressure, at most [`Lambda::MAX`]. A factor that is not above 0 leaves it as it is.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        let price = self.0 * factor;
        // Not `min`, which takes a NaN for nothing.
        if price > Self::MAX {
            Self(Self::MAX)
        } else {
            Self::new(price).unwrap_or(self)
        }
    }
}

impl fmt::Display for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores/MiB", show::number(self.0 * show::MIB))
    }
}

/// What the price comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priced {
    /// E*, to the nearest byte, before any clamp.
    pub optimum: Bytes,
    /// GOGC* in percent, before any clamp, rounded down.
    pub percent: u64,
    /// GOGC* within its bounds.
    pub gogc: Gogc,
}

/// E* = sqrt(g * t / λ), to the nearest byte; a process that allocates nothing needs none.
pub fn optimum(allocation: AllocationRate, cycle: CycleCost, lambda: Lambda) -> Bytes {
    // As a product of roots, because g * t / λ may be beyond what a float holds.
    let root = allocation.get().sqrt() * (cycle.get() / lambda.get()).sqrt();
    // Not a number only where there is no cost at all but a ratio beyond all bounds.
    Bytes::nearest(root).unwrap_or(Bytes::ZERO)
}

/// GOGC* = 100 * E / (L + R), and that within its bounds.
pub fn gogc(heap: Heap, headroom: Bytes, bounds: GogcBounds) -> (u64, Gogc) {
    let percent = heap.percent(headroom);
    (percent, Gogc::nearest(percent).clamp(bounds.min(), bounds.max()))
}

/// The price law for one process.
pub fn price(profile: &Profile, lambda: Lambda, bounds: GogcBounds) -> Worked<Result<Priced, NotKnown>> {
    Worked::of(|lines| {
        let allocation = needed(Quantity::Allocation, &profile.allocation)?;
        let cycle = needed(Quantity::Cycle, &profile.cycle)?;
        let heap = profile.heap()?;
        let optimum = optimum(allocation, cycle, lambda);
        lines.push(format!(
            "E = sqrt({} MiB/s * {} s / {lambda}) = {optimum}",
            show::number(allocation.get() / show::MIB),
            show::number(cycle.get()),
        ));
        let (percent, gogc) = gogc(heap, optimum, bounds);
        lines.push(format!(
            "GOGC = 100 * {optimum} / ({} live + {} roots) = {percent}, within {} to {}: {gogc}",
            heap.live(),
            heap.roots(),
            bounds.min(),
            bounds.max(),
        ));
        Ok(Priced { optimum, percent, gogc })
    })
}

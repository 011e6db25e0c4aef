//! The laws of the runtime lever. One process in all tables: 96 MiB live and 4 MiB of roots, so GOGC in percent is
//! headroom in MiB.

mod fleet;
mod heap;
mod laws;
mod limit;
mod opportunity;
mod price;
mod profile;
mod step;

use flyball_core::{
    bytes::Bytes,
    decide::runtime::{AllocationRate, CycleCost, FactError, Gogc, GogcBounds, Heap, Lambda, Part, Profile, Worked},
};
use std::fmt::Debug;

const MIB: f64 = 1_048_576.0;

pub fn mib(mib: u64) -> Bytes {
    Bytes::from_mib(mib)
}

/// Tenths of a MiB, to the nearest byte.
pub fn tenths(tenths: u32) -> Bytes {
    Bytes::nearest(f64::from(tenths) / 10.0 * MIB).unwrap()
}

pub fn percent(percent: u32) -> Gogc {
    Gogc::new(percent).unwrap()
}

pub fn bounds(min: u32, max: u32) -> GogcBounds {
    GogcBounds::new(min, max).unwrap()
}

/// In cores per MiB.
pub fn lambda(per_mib: f64) -> Lambda {
    Lambda::new(per_mib / MIB).unwrap()
}

/// In MiB per second.
pub fn rate(mib: f64) -> AllocationRate {
    AllocationRate::new(mib * MIB).unwrap()
}

pub fn cycle(seconds: f64) -> CycleCost {
    CycleCost::new(seconds).unwrap()
}

pub fn part(part: f64) -> Part {
    Part::new(part).unwrap()
}

/// 96 MiB live, 4 MiB of roots, 20 MiB beside them.
pub fn heap() -> Heap {
    Heap::new(mib(96), mib(4), mib(20)).unwrap()
}

/// It allocates 100 MiB/s and pays 10 ms a cycle, so a price of p cores a MiB asks for sqrt(1 / p) MiB.
pub fn profile() -> Profile {
    Profile {
        allocation: Ok(rate(100.0)),
        cycle: Ok(cycle(0.01)),
        live: Ok(mib(96)),
        roots: Ok(mib(4)),
        other: Ok(mib(20)),
        unmanaged: Ok(mib(30)),
        used: Ok(mib(200)),
        limit: Ok(Some(mib(512))),
        node_available: Ok(part(0.5)),
        gogc: Ok(percent(100)),
        soft_limit: Ok(None),
    }
}

/// In a container of so many MiB.
pub fn within(container: u64) -> Profile {
    Profile {
        limit: Ok(Some(mib(container))),
        ..profile()
    }
}

pub const MISSING: FactError = FactError::NotRead;

/// The answer is this, and each part is found in one of the lines.
pub fn check<T: Debug + PartialEq>(worked: &Worked<T>, expect: &T, parts: &[&str]) {
    assert_eq!(&worked.answer, expect, "{:#?}", worked.arithmetic);
    for part in parts {
        assert!(
            worked.arithmetic.iter().any(|line| line.contains(part)),
            "{part:?} is not in {:#?}",
            worked.arithmetic
        );
    }
}

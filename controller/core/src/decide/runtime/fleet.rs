//! Headroom divided among processes: minimise Σ g t / E subject to Σ E <= B and E within [min, max] of each.
//!
//! At the optimum all have the same price: E = clip(sqrt(g t / λ), min, max), where λ is the one at which they fill
//! B. The sum falls as λ rises, so it is found by bisection, over the logarithm of λ because prices span many
//! orders of magnitude. Headrooms are then rounded down to whole bytes, so together they never exceed B.

use super::{
    Worked,
    heap::{GogcBounds, Heap},
    limit::shrink,
    price::Lambda,
    profile::{NotKnown, Profile, Quantity, needed},
    show,
};
use crate::bytes::Bytes;

/// One process: what its collections cost, and between which headrooms it may be moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    cost: f64,
    min: Bytes,
    max: Bytes,
}

/// Why there is no such member.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MemberError {
    /// Something is not known of it: it keeps the headroom that it has, which is none of the budget.
    #[error("{0}; leave it as it is, and its headroom out of the budget")]
    NotKnown(#[from] NotKnown),
    /// What its collections cost is no amount.
    #[error("g * t is {0}; it is finite and not negative: look at both")]
    Cost(f64),
    /// It has no range.
    #[error("a headroom from {min} to {max} is none: min is above 0 and at most max")]
    Range {
        /// The lowest.
        min: Bytes,
        /// The highest.
        max: Bytes,
    },
}

impl Member {
    /// `cost` is g * t, in byte cores; `min` is above zero and at most `max`.
    pub fn new(cost: f64, min: Bytes, max: Bytes) -> Result<Self, MemberError> {
        if !cost.is_finite() || cost < 0.0 {
            return Err(MemberError::Cost(cost));
        }
        if min == Bytes::ZERO || min > max {
            return Err(MemberError::Range { min, max });
        }
        Ok(Self { cost, min, max })
    }

    /// A process, from the lowest to the highest GOGC and no further than its predicted peak lets it; the lowest
    /// GOGC it has in any case.
    pub fn of(profile: &Profile, bounds: GogcBounds) -> Result<Self, MemberError> {
        let allocation = needed(Quantity::Allocation, &profile.allocation)?;
        let cycle = needed(Quantity::Cycle, &profile.cycle)?;
        let heap = profile.heap()?;
        let max = shrink(profile, heap.headroom(bounds.max())).answer?.headroom;
        let min = least(heap, bounds);
        Self::new(allocation.get() * cycle.get(), min, max.max(min))
    }

    /// g * t, in byte cores.
    pub const fn cost(self) -> f64 {
        self.cost
    }

    /// The lowest headroom.
    pub const fn min(self) -> Bytes {
        self.min
    }

    /// The highest headroom.
    pub const fn max(self) -> Bytes {
        self.max
    }

    /// What it wants at this price, given as a logarithm: sqrt(g t / λ), within its bounds, in whole bytes.
    fn wants(self, price: f64) -> Bytes {
        let headroom = ((self.cost.ln() - price) / 2.0).exp();
        Bytes::floor(headroom).unwrap_or(self.min).clamp(self.min, self.max)
    }

    /// Its highest headroom, as far as it has a use for it.
    fn useful(self) -> Bytes {
        if self.cost > 0.0 { self.max } else { self.min }
    }
}

/// The headroom of the lowest GOGC, and a byte at least.
pub(super) fn least(heap: Heap, bounds: GogcBounds) -> Bytes {
    heap.headroom(bounds.min()).max(Bytes::saturating(1))
}

/// How far the budget goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// It is spent, at this price in cores per byte: whoever is not at a bound has it.
    Spent {
        /// The price, above 0. Beyond what a [`Lambda`] may be it is clamped to that.
        lambda: Lambda,
    },
    /// It is less than all at their lowest need together; they are at their lowest all the same.
    Short {
        /// What they need.
        need: Bytes,
    },
    /// It is more than anyone has a use for: those with collections are at their highest, those without at their
    /// lowest.
    Ample {
        /// What is left.
        left: Bytes,
    },
}

/// A division of headroom.
#[derive(Clone, Debug, PartialEq)]
pub struct Division {
    /// The headrooms, in the order of the members.
    pub headrooms: Vec<Bytes>,
    /// How far the budget went.
    pub outcome: Outcome,
    /// Σ g t / E, in cores.
    pub cores: f64,
}

/// The most steps of the bisection: each halves a span of at most 1500 (e^-745 to e^709), which is then within
/// what a float tells apart.
const STEPS: u32 = 100;
/// How far beyond the prices at which all are at a bound the bisection begins, as a logarithm.
const BEYOND: f64 = 1e-6;

/// Σ g t / E in cores, over members and their headrooms, in whole bytes or not.
pub fn cost(members: &[Member], headrooms: &[f64]) -> f64 {
    let of = |(member, headroom): (&Member, &f64)| {
        if member.cost > 0.0 { member.cost / headroom } else { 0.0 }
    };
    members.iter().zip(headrooms).map(of).sum()
}

/// Divides `budget` among the members so that together they spend the least on collections.
pub fn divide(members: &[Member], budget: Bytes) -> Worked<Division> {
    Worked::of(|lines| {
        let sum = |of: fn(Member) -> Bytes| total(members.iter().map(|member| of(*member)));
        let (least, most) = (sum(Member::min), sum(Member::useful));
        let bytes = |sum: u128| Bytes::saturating(u64::try_from(sum).unwrap_or(u64::MAX));
        let available = u128::from(budget.get());
        lines.push(format!(
            "{} processes, from {least} to {most} together, budget {budget}",
            members.len(),
            least = bytes(least),
            most = bytes(most),
        ));
        let (headrooms, outcome) = if available < least {
            let lowest = members.iter().map(|member| member.min).collect();
            (lowest, Outcome::Short { need: bytes(least) })
        } else if available >= most {
            let highest = members.iter().map(|member| member.useful()).collect();
            let left = bytes(available - most);
            (highest, Outcome::Ample { left })
        } else {
            spent(members, budget)
        };
        let real: Vec<f64> = headrooms.iter().map(|headroom: &Bytes| headroom.real()).collect();
        let cores = cost(members, &real);
        lines.push(match outcome {
            Outcome::Spent { lambda } => format!(
                "E = sqrt(g * t / {lambda}) within its bounds, sum g * t / E = {} cores",
                show::number(cores)
            ),
            Outcome::Short { need } => {
                format!("the budget is {} short: each has its lowest", need.minus(budget))
            }
            Outcome::Ample { left } => format!("{left} have no use: each has its highest"),
        });
        Division {
            headrooms,
            outcome,
            cores,
        }
    })
}

/// The sum, which may be beyond what one amount can be.
fn total(amounts: impl Iterator<Item = Bytes>) -> u128 {
    amounts.map(|amount| u128::from(amount.get())).sum()
}

/// The division of a budget that lies between what all need and what all could use.
fn spent(members: &[Member], budget: Bytes) -> (Vec<Bytes>, Outcome) {
    // At this price a member is just at a bound; in logarithms, so that nothing leaves the range of a float.
    let price_at = |member: &Member, bound: Bytes| member.cost.ln() - 2.0 * bound.real().ln();
    let paying = || members.iter().filter(|member| member.cost > 0.0);
    let lowest = paying().map(|member| price_at(member, member.max));
    let highest = paying().map(|member| price_at(member, member.min));
    // Just beyond, so that rounding can't keep anyone off its bound.
    let mut low = lowest.fold(f64::INFINITY, f64::min) - BEYOND;
    let mut high = highest.fold(f64::NEG_INFINITY, f64::max) + BEYOND;
    let fits = |price: f64| total(members.iter().map(|member| member.wants(price))) <= u128::from(budget.get());
    for _ in 0..STEPS {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if fits(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    let headrooms = members.iter().map(|member| member.wants(high));
    let lambda = Lambda::clamped(high.exp());
    (headrooms.collect(), Outcome::Spent { lambda })
}

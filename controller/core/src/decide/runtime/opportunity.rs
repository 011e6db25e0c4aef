//! What dividing headroom among processes would save, before anything is moved.
//!
//! With one GOGC for all and t in proportion to L, the saving at equal memory is 1 - (Σ sqrt(p q))² = 1 - BC², where p
//! is a process' share of the allocation and q its share of the live heap (Cauchy-Schwarz; BC is the Bhattacharyya
//! coefficient). It is 0 exactly where all g / L are equal, as among replicas of one service. Bounds on GOGC make it
//! less.

use super::{
    Worked,
    fleet::{Member, MemberError, Outcome, cost, divide, least},
    heap::{Gogc, GogcBounds, Heap},
    profile::{AllocationRate, CycleCost, Profile, Quantity, needed},
    show,
};
use crate::bytes::Bytes;

/// What is saved at least, as a part of the GC CPU, for dividing to be worth its trouble.
pub const WORTH: f64 = 0.10;

/// One process, as far as a prediction needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// g.
    pub allocation: AllocationRate,
    /// t.
    pub cycle: CycleCost,
    /// L, R and O.
    pub heap: Heap,
    /// The most headroom that its predicted peak leaves; `None`: its container has no limit.
    pub room: Option<Bytes>,
}

impl Service {
    /// What is known of it, or what is missing.
    pub fn of(profile: &Profile) -> Result<Self, MemberError> {
        let room = super::shrink(profile, Bytes::MAX).answer?;
        Ok(Self {
            allocation: needed(Quantity::Allocation, &profile.allocation)?,
            cycle: needed(Quantity::Cycle, &profile.cycle)?,
            heap: profile.heap()?,
            room: room.shrunk.then_some(room.headroom),
        })
    }

    /// Its range, from the lowest to the highest GOGC and as far as there is room; the lowest in any case.
    fn member(&self, bounds: GogcBounds) -> Result<Member, MemberError> {
        let min = least(self.heap, bounds);
        let highest = self.heap.headroom(bounds.max());
        let max = self.room.map_or(highest, |room| highest.min(room)).max(min);
        Member::new(self.allocation.get() * self.cycle.get(), min, max)
    }
}

/// Why dividing is not worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotWorth {
    /// All allocate in proportion to what they keep, as replicas of one service do: one GOGC for all is the optimum.
    Alike,
    /// All have as much as they may use: limits that are paid for are best filled, each its own.
    AllAtMost,
    /// They differ, but the bounds on GOGC and the room in their containers take the saving away.
    Bounded,
}

impl NotWorth {
    /// Why, and what would change it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Alike => {
                "all allocate in proportion to their live heap, as replicas of one service do: \
                 one GOGC for all is as good; divide among unlike services"
            }
            Self::AllAtMost => {
                "all have as much headroom as they may use: with limits that are paid for each fills its own; \
                 dividing pays where requests are below limits"
            }
            Self::Bounded => {
                "they differ, but the bounds on GOGC and the room in their containers leave little to move; widen them"
            }
        }
    }
}

/// What dividing would save.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opportunity {
    /// 1 - BC², from 0 to 1: without bounds, and with t in proportion to L.
    pub ideal: f64,
    /// Within the bounds, with the t and the room of each, as a part of the GC CPU at the equal GOGC.
    pub bounded: f64,
    /// `None` where it is worth it ([`WORTH`]).
    pub not_worth: Option<NotWorth>,
}

/// Why nothing can be predicted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OpportunityError {
    /// The comparison is with a GOGC that may not be set.
    #[error("the GOGC to compare with is {gogc}, outside of {min} to {max}; compare with one of them")]
    Bounds {
        /// The one to compare with.
        gogc: Gogc,
        /// The lowest.
        min: Gogc,
        /// The highest.
        max: Gogc,
    },
    /// Nobody allocates, or nobody keeps anything.
    #[error("no process allocates, so there is no GC CPU to save")]
    Idle,
    /// One of them is none.
    #[error(transparent)]
    Member(#[from] MemberError),
}

/// 1 - (Σ sqrt(p q))², from 0 to 1; `None` where nothing is allocated or nothing is live.
pub fn bc2_saving(services: &[(AllocationRate, Bytes)]) -> Option<f64> {
    let allocated: f64 = services.iter().map(|(allocation, _)| allocation.get()).sum();
    let live: f64 = services.iter().map(|(_, live)| live.real()).sum();
    if !(allocated > 0.0 && allocated.is_finite() && live > 0.0) {
        return None;
    }
    let of =
        |(allocation, bytes): &(AllocationRate, Bytes)| ((allocation.get() / allocated) * (bytes.real() / live)).sqrt();
    let coefficient: f64 = services.iter().map(of).sum();
    Some((1.0 - coefficient * coefficient).clamp(0.0, 1.0))
}

/// 1 - (Σ sqrt(g t))² / (Σ E * Σ g t / E): what the best division without bounds saves against the headrooms that
/// there are, as against a tuner that fills each container to the same part. From 0 to 1; `None` where nothing is
/// spent on collections.
pub fn against(members: &[(f64, Bytes)]) -> Option<f64> {
    let total: f64 = members.iter().map(|(_, headroom)| headroom.real()).sum();
    let spent: f64 = members
        .iter()
        .filter(|(cost, _)| *cost > 0.0)
        .map(|(cost, headroom)| cost / headroom.real())
        .sum();
    let roots: f64 = members.iter().map(|(cost, _)| cost.max(0.0).sqrt()).sum();
    let product = total * spent;
    (product > 0.0 && product.is_finite()).then(|| (1.0 - roots * roots / product).clamp(0.0, 1.0))
}

/// What dividing saves against one GOGC for all, at equal memory, and whether that is worth it.
pub fn opportunity(
    services: &[Service],
    equal: Gogc,
    bounds: GogcBounds,
) -> Worked<Result<Opportunity, OpportunityError>> {
    Worked::of(|lines| {
        if !bounds.hold(equal) {
            return Err(OpportunityError::Bounds {
                gogc: equal,
                min: bounds.min(),
                max: bounds.max(),
            });
        }
        let pairs: Vec<(AllocationRate, Bytes)> = services
            .iter()
            .map(|service| (service.allocation, service.heap.live()))
            .collect();
        let ideal = bc2_saving(&pairs).ok_or(OpportunityError::Idle)?;
        lines.push(format!(
            "1 - (sum of sqrt(share of allocation * share of live heap))^2 = {}",
            show::percent(ideal)
        ));
        let members: Vec<Member> = services
            .iter()
            .map(|service| service.member(bounds))
            .collect::<Result<_, _>>()?;
        // Where a container has no room for the equal GOGC, nobody could set it.
        let uniform: Vec<Bytes> = services
            .iter()
            .zip(&members)
            .map(|(service, member)| service.heap.headroom(equal).clamp(member.min(), member.max()))
            .collect();
        let budget = uniform.iter().fold(Bytes::ZERO, |sum, headroom| sum.plus(*headroom));
        let real: Vec<f64> = uniform.iter().map(|headroom| headroom.real()).collect();
        let before = cost(&members, &real);
        if before <= 0.0 || !before.is_finite() {
            return Err(OpportunityError::Idle);
        }
        lines.push(format!(
            "GOGC {equal} for all: {budget} of headroom, sum g * t / E = {} cores",
            show::number(before)
        ));
        let division = divide(&members, budget).told(lines);
        let bounded = (1.0 - division.cores / before).clamp(0.0, 1.0);
        lines.push(format!(
            "saved within the bounds: 1 - {} / {} = {}",
            show::number(division.cores),
            show::number(before),
            show::percent(bounded)
        ));
        let not_worth = (bounded < WORTH).then_some(match division.outcome {
            Outcome::Ample { .. } => NotWorth::AllAtMost,
            Outcome::Spent { .. } if ideal < WORTH => NotWorth::Alike,
            Outcome::Spent { .. } | Outcome::Short { .. } => NotWorth::Bounded,
        });
        Ok(Opportunity {
            ideal,
            bounded,
            not_worth,
        })
    })
}

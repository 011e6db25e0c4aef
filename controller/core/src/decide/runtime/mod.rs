//! What the runtime lever wants of one process, and how memory is divided among many.
//!
//! The words are those of Go's collector: GOGC, the soft memory limit, the heap goal. The letters are those of the
//! formulas, per container: M memory limit, N memory the runtime does not manage, O runtime memory outside of the
//! heap, L live heap, R roots, E headroom (the garbage allowed before the next collection), g allocation rate, t GC
//! CPU seconds per cycle, λ the price of memory in cores per byte.
//!
//! Amounts of memory are whole bytes and calculated as integers; only rates, times, prices and the optimum that is
//! made of them are floats. Every law answers with its calculation ([`Worked`]).

mod fleet;
mod heap;
mod limit;
mod opportunity;
mod peak;
mod pressure;
mod price;
mod profile;
mod reclaimable;
mod show;
mod slew;
mod step;

pub use fleet::{Division, Member, MemberError, Outcome, cost, divide};
pub use heap::{Effective, Gogc, GogcBounds, GogcBoundsError, Heap, Ruler};
pub use limit::{
    LOWEST_EFFECTIVE, Limited, NeedsMemory, NoLimit, OF_CONTAINER_PERCENT, PEAK_PERCENT, RESERVE, RESERVE_PERCENT,
    ROOM_PERCENT, Shrunk, Spiral, fits, guard, law as limit_law, limit, shrink,
};
pub use opportunity::{NotWorth, Opportunity, OpportunityError, Service, WORTH, against, bc2_saving, opportunity};
pub use peak::{NEAR_PERCENT, NODE_AVAILABLE, NoRaise, may_raise};
pub use pressure::Pressure;
pub use price::{Lambda, Priced, optimum, price};
pub use profile::{
    AllocationRate, CycleCost, Fact, FactError, NotKnown, Part, Profile, Quantity, allocation, bytes, cycle_cost,
    gogc as read_gogc, limit as read_limit, part,
};
pub use reclaimable::{Held, of as reclaimable_of, reclaimable};
pub use slew::{CYCLES, DEAD_BAND_PERCENT, Rest, SCRAPES, Since, slew};
pub use step::{GogcAnswer, GogcStep, LimitAnswer, Stay, gogc, soft_limit};

/// What a law answers, and the calculation that led to it in lines that a human can redo.
#[derive(Clone, Debug, PartialEq)]
pub struct Worked<T> {
    /// The answer.
    pub answer: T,
    /// The calculation, as far as it went.
    pub arithmetic: Vec<String>,
}

impl<T> Worked<T> {
    /// Answers, with the lines that `law` wrote down.
    fn of(law: impl FnOnce(&mut Vec<String>) -> T) -> Self {
        let mut arithmetic = Vec::new();
        let answer = law(&mut arithmetic);
        Self { answer, arithmetic }
    }

    /// The answer; the calculation goes to `lines`.
    fn told(self, lines: &mut Vec<String>) -> T {
        lines.extend(self.arithmetic);
        self.answer
    }
}

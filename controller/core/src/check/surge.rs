//! Whether the demand outgrew a step whose effect is still being verified.
//!
//! A step asks for one more as long as its rule fires, which it does until the step has worked. So only
//! a demand that grew since its proposal lets a further step supersede it. But a demand is mostly a
//! rate over some range W, and lags: after one jump of the load at `t0` from `a` to `b` it reads
//! `a + (b - a) (t - t0) / W` until `t0 + W`, and `b` from then on. The rule fires in the midst of that,
//! so the demand at the proposal is less than what had come by then, and goes on growing without
//! anything new. One jump must not be answered twice.
//!
//! - Until `proposed_at + W`, any growth can be the rest of a jump before the proposal: the closer to the
//!   proposal that jump was, the more of it is still to be seen, and nothing bounds it.
//! - From then on the range holds nothing of before the proposal. What is read at that moment is the
//!   whole of an old jump, so growth beyond *that* is new.
//! - A load that grew again within W of the proposal is partly in that number already. If the demand is
//!   at least twice what it was at the proposal, and more for each replica of the open step, it is taken
//!   for a surge too: whether one large jump or two, the step was made for half of it. So a demand that
//!   doubles waits for no longer than W; and a jump that was less than half seen at the proposal may be
//!   answered a second time, once.

use crate::{
    decimal::Decimal,
    policy::Replicas,
    signal::Finite,
    time::{Span, Timestamp},
    verify::moved,
};
use std::cmp::Ordering;

/// From so many times the demand of its proposal on, a step was made for too little.
const OUTGROWN: f64 = 2.0;

/// An increase that is being verified, as far as its demand goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenStep {
    /// When it was proposed.
    pub proposed_at: Timestamp,
    /// From how many replicas.
    pub from: Replicas,
    /// To how many.
    pub to: Replicas,
    /// The demand as read at its proposal.
    pub demand: Finite,
    /// The demand as first read at or after [`OpenStep::filled_at`]; `None`: not read yet, or forgotten
    /// by a restart.
    pub filled: Option<Finite>,
    /// The longest range of the demand's query.
    pub range: Span,
    /// How far the demand may move and still count as unchanged, as a fraction.
    pub tolerance: Finite,
}

impl OpenStep {
    /// From when on the demand's range holds nothing of before the proposal.
    pub fn filled_at(&self) -> Timestamp {
        self.proposed_at + self.range
    }

    /// Whether `demand`, as read at `now`, is a surge that a further step may answer: `Ok` says how it
    /// grew, `Err` why it waits.
    pub fn surge(&self, demand: Finite, now: Timestamp) -> Result<String, String> {
        let (was, is) = (self.demand, demand);
        let text = |value: Finite| crate::decimal::plain(value.get());
        if !self.grew(was, is) {
            return Err(format!(
                "the demand was {} at the proposal and is {}",
                text(was),
                text(is)
            ));
        }
        let filled_at = self.filled_at();
        if now < filled_at {
            return Err(format!(
                "the demand grew from {} to {}, which can be the rest of the jump before the proposal: \
                 its range of {} is filled in {}",
                text(was),
                text(is),
                self.range,
                filled_at.since(now)
            ));
        }
        // Without a range the demand is what it is at once.
        let settled = if self.range.is_zero() { Some(was) } else { self.filled };
        if let Some(settled) = settled.filter(|settled| self.grew(*settled, is)) {
            return Ok(format!("the demand grew from {} to {}", text(settled), text(is)));
        }
        if self.outgrown_by(is) {
            return Ok(format!(
                "the demand grew from {} at the proposal to {}, which is more than {} replicas were meant for",
                text(was),
                text(is),
                self.to
            ));
        }
        let settled = settled.map_or_else(|| "not known".to_owned(), text);
        Err(format!(
            "the demand grew from {} to {}, as one jump before the proposal would: with its range filled it was {settled}",
            text(was),
            text(is)
        ))
    }

    fn grew(&self, was: Finite, is: Finite) -> bool {
        is > was && moved(was, is, self.tolerance)
    }

    /// At least twice the demand, and more of it for each replica than at the proposal.
    fn outgrown_by(&self, is: Finite) -> bool {
        let factor = Finite::new(OUTGROWN).map(Decimal::of);
        let (was, is) = (Decimal::of(self.demand), Decimal::of(is));
        let doubled = factor.is_some_and(|factor| is.compare(was.times(factor)) != Ordering::Less);
        let each = is
            .times(Decimal::replicas(self.from))
            .compare(was.times(Decimal::replicas(self.to)));
        doubled && each == Ordering::Greater
    }
}

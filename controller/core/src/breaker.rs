//! When a server that fails is left alone, and when it is asked again: a circuit breaker.
//!
//! Closed, every query passes. [`FAILURES`] in a row open it: for a pause none passes, and whoever asks is
//! answered at once. After the pause it is half-open: one query passes. If that is answered the breaker
//! closes; if it fails the next pause is twice as long, up to [`LONGEST_PAUSE`].

use crate::time::{Span, Timestamp};

/// So many failures in a row open it.
pub const FAILURES: u32 = 5;
/// The first pause. Each further one of the same outage is twice the one before.
pub const FIRST_PAUSE: Span = Span::from_secs(5);
/// Pauses do not grow beyond this.
pub const LONGEST_PAUSE: Span = Span::from_secs(60);
/// A server's own `Retry-After` is respected up to this: it must not be able to stop the loop for a day.
pub const LONGEST_RETRY_AFTER: Span = Span::from_secs(120);

/// The breaker of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Counts the changes of `state`: what was let through before one says nothing about after it.
    epoch: u64,
    spread: u64,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// So many failures in a row.
    Closed(u32),
    Open(Outage, Timestamp),
    HalfOpen(Outage),
}

/// Why a breaker is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it opened first, pauses ago perhaps.
    pub since: Timestamp,
    /// The last failure.
    pub why: String,
    /// How many pauses this outage has had.
    pauses: u32,
}

/// What a breaker does with the next query, as conditions and metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It lets it through.
    Closed,
    /// It refuses it, until the pause is over.
    Open,
    /// One is under way, and its answer decides.
    HalfOpen,
}

/// The right to ask once. Give it back with what came of it, see [`Breaker::report`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not reported leaves a half-open breaker waiting for it"]
pub struct Permit(u64);

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered; a refused query is an answer.
    Answered,
    /// The server failed.
    Failed {
        /// How.
        why: String,
        /// How long it wants to be left alone, if it said so. That opens the breaker at once.
        retry_after: Option<Span>,
    },
    /// Nobody waited for the answer.
    Abandoned,
}

impl Breaker {
    /// A closed one. `spread` makes pauses up to an eighth shorter, each by another part, so that many
    /// controllers don't ask a server that comes back at the same moment; 0 leaves them as they are.
    pub const fn new(spread: u64) -> Self {
        Self {
            epoch: 0,
            spread,
            state: State::Closed(0),
        }
    }

    /// What it does now.
    pub const fn stage(&self) -> Stage {
        match self.state {
            State::Closed(_) => Stage::Closed,
            State::Open(..) => Stage::Open,
            State::HalfOpen(_) => Stage::HalfOpen,
        }
    }

    /// Why it is not closed.
    pub const fn outage(&self) -> Option<&Outage> {
        match &self.state {
            State::Closed(_) => None,
            State::Open(outage, _) | State::HalfOpen(outage) => Some(outage),
        }
    }

    /// Why a query would be refused now, if it would be. Changes nothing.
    pub fn refusal(&self, now: Timestamp) -> Option<&Outage> {
        match &self.state {
            State::Open(outage, until) if now < *until => Some(outage),
            State::HalfOpen(outage) => Some(outage),
            State::Closed(_) | State::Open(..) => None,
        }
    }

    /// Lets a query through, or says why not.
    pub fn ask(&mut self, now: Timestamp) -> Result<Permit, Outage> {
        match &self.state {
            State::Closed(_) => {}
            State::Open(outage, until) if now >= *until => {
                self.state = State::HalfOpen(outage.clone());
                self.epoch += 1;
            }
            State::Open(outage, _) | State::HalfOpen(outage) => return Err(outage.clone()),
        }
        Ok(Permit(self.epoch))
    }

    /// Takes a permit back. One from before the last change of state changes nothing: a query that was sent
    /// before an outage may end long into it.
    pub fn report(&mut self, Permit(epoch): Permit, outcome: Outcome, now: Timestamp) {
        if epoch != self.epoch {
            return;
        }
        let outage = match (&self.state, outcome) {
            (State::Open(..), _) | (State::Closed(_), Outcome::Abandoned) => return,
            (State::Closed(_), Outcome::Answered) => {
                self.state = State::Closed(0);
                return;
            }
            (State::Closed(failures), Outcome::Failed { why, retry_after }) => {
                let failures = failures + 1;
                if failures < FAILURES && retry_after.is_none_or(Span::is_zero) {
                    self.state = State::Closed(failures);
                    return;
                }
                let first = Outage {
                    since: now,
                    why,
                    pauses: 0,
                };
                (first, retry_after)
            }
            (State::HalfOpen(_), Outcome::Answered) => {
                self.state = State::Closed(0);
                self.epoch += 1;
                return;
            }
            (State::HalfOpen(outage), Outcome::Failed { why, retry_after }) => {
                let outage = Outage {
                    why,
                    pauses: outage.pauses.saturating_add(1),
                    ..outage.clone()
                };
                (outage, retry_after)
            }
            // The next one may go at once.
            (State::HalfOpen(outage), Outcome::Abandoned) => {
                self.state = State::Open(outage.clone(), now);
                self.epoch += 1;
                return;
            }
        };
        let (outage, retry_after) = outage;
        let until = now + self.pause(outage.pauses).max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER));
        self.state = State::Open(outage, until);
        self.epoch += 1;
    }

    /// The pause after so many others.
    fn pause(&self, pauses: u32) -> Span {
        let doubled = 1u64.checked_shl(pauses).unwrap_or(u64::MAX);
        let full = FIRST_PAUSE.as_millis().saturating_mul(doubled).min(LONGEST_PAUSE.as_millis());
        // The top byte of a product with an odd constant (Fibonacci hashing) is as good as drawn, and the same
        // each time.
        let turn = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(u64::from(pauses) * 2 + 1);
        let part = self.spread.wrapping_mul(turn) >> 56;
        Span::from_millis(full - full / 8 * part / 256)
    }
}

//! When a server that fails is left alone, and when it is asked again: a circuit breaker.
//!
//! Closed, every query passes. [`FAILURES`] in a row open it: for a pause none passes, and whoever asks is
//! answered at once. After the pause it is half-open: one query passes, the probe. If that is answered the
//! breaker closes; if it fails the next pause is twice as long, up to [`LONGEST_PAUSE`].
//!
//! A server may answer a probe that costs it nothing and still fail at all else. So an outage is over only when
//! an ordinary query is answered; until then the pauses go on growing.

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
    /// So many failures in a row, and the last outage as long as it may not be over.
    Closed(u32, Option<Outage>),
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
    /// How many pauses this outage had before.
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
pub struct Permit {
    epoch: u64,
    probe: bool,
}

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

impl Permit {
    /// Whether the breaker is half-open, and everybody else waits for what comes of this.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

impl Breaker {
    /// A closed one. `spread` makes pauses up to an eighth shorter, each by another part, so that many
    /// controllers don't ask a server that comes back at the same moment; 0 leaves them as they are.
    pub const fn new(spread: u64) -> Self {
        Self {
            epoch: 0,
            spread,
            state: State::Closed(0, None),
        }
    }

    /// What it does now.
    pub const fn stage(&self) -> Stage {
        match self.state {
            State::Closed(..) => Stage::Closed,
            State::Open(..) => Stage::Open,
            State::HalfOpen(_) => Stage::HalfOpen,
        }
    }

    /// Why it is not closed.
    pub const fn outage(&self) -> Option<&Outage> {
        match &self.state {
            State::Closed(..) => None,
            State::Open(outage, _) | State::HalfOpen(outage) => Some(outage),
        }
    }

    /// Why a query would be refused now, if it would be. Changes nothing.
    pub fn refusal(&self, now: Timestamp) -> Option<&Outage> {
        match &self.state {
            State::Open(outage, until) if now < *until => Some(outage),
            State::HalfOpen(outage) => Some(outage),
            State::Closed(..) | State::Open(..) => None,
        }
    }

    /// Lets a query through, or says why not.
    pub fn ask(&mut self, now: Timestamp) -> Result<Permit, Outage> {
        if let Some(outage) = self.refusal(now) {
            return Err(outage.clone());
        }
        let probe = match &self.state {
            State::Open(outage, _) => {
                let half_open = State::HalfOpen(outage.clone());
                self.turn(half_open);
                true
            }
            State::Closed(..) | State::HalfOpen(_) => false,
        };
        let epoch = self.epoch;
        Ok(Permit { epoch, probe })
    }

    /// Takes a permit back. One from before the last change of state changes nothing: a query that was sent
    /// before an outage may end long into it.
    pub fn report(&mut self, Permit { epoch, .. }: Permit, outcome: Outcome, now: Timestamp) {
        if epoch != self.epoch {
            return;
        }
        match (self.state.clone(), outcome) {
            (State::Open(..), _) | (State::Closed(..), Outcome::Abandoned) => {}
            (State::Closed(..), Outcome::Answered) => self.state = State::Closed(0, None),
            (State::Closed(failures, before), Outcome::Failed { why, retry_after }) => {
                let failures = failures.saturating_add(1);
                if failures < FAILURES && retry_after.is_none_or(Span::is_zero) {
                    self.state = State::Closed(failures, before);
                } else {
                    self.open(before, why, retry_after, now);
                }
            }
            (State::HalfOpen(outage), Outcome::Answered) => self.turn(State::Closed(0, Some(outage))),
            (State::HalfOpen(outage), Outcome::Failed { why, retry_after }) => {
                self.open(Some(outage), why, retry_after, now);
            }
            // The next one may go at once.
            (State::HalfOpen(outage), Outcome::Abandoned) => self.turn(State::Open(outage, now)),
        }
    }

    /// Opens, for the next pause of an outage or the first of a new one.
    fn open(&mut self, before: Option<Outage>, why: String, retry_after: Option<Span>, now: Timestamp) {
        let (since, pauses) = before.map_or((now, 0), |before| (before.since, before.pauses.saturating_add(1)));
        let asked_for = retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        let until = now + self.pause(pauses).max(asked_for);
        self.turn(State::Open(Outage { since, why, pauses }, until));
    }

    fn turn(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }

    /// The pause after so many others.
    fn pause(&self, pauses: u32) -> Span {
        let doubled = 1u64.checked_shl(pauses).unwrap_or(u64::MAX);
        let full = FIRST_PAUSE
            .as_millis()
            .saturating_mul(doubled)
            .min(LONGEST_PAUSE.as_millis());
        // The top byte of a product with an odd constant (Fibonacci hashing) is as good as drawn, and the same
        // each time.
        let turn = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(u64::from(pauses) * 2 + 1);
        let part = self.spread.wrapping_mul(turn) >> 56;
        Span::from_millis(full - full / 8 * part / 256)
    }
}

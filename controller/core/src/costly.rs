//! When the queries of one tenant that cost a server too much are left alone: a circuit breaker for those alone.
//!
//! A query that timed out, or was refused as too expensive, is costly until it is answered. Five such failures in a row open the breaker, and
//! while it is open the tenant's costly queries are not asked; all its others are. An answer to a query that was never costly says
//! nothing of those that are, and ends no row: beside an expensive query there is always a cheap one, such as that for the age of its samples.

use crate::{
    breaker::{Breaker, Outage, Outcome, Permit, Stage},
    time::Timestamp,
};
use std::collections::VecDeque;

/// So many costly queries are known of one tenant; of more, the oldest are forgotten, and found again when they fail.
pub const MOST: usize = 256;

/// The costly queries of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costly {
    breaker: Breaker,
    /// The queries that failed when they were asked last, by a number that stands for their text.
    known: VecDeque<u64>,
}

/// The right to ask one query once. Give it back with what came of it, see [`Costly::report`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is not reported leaves a half-open breaker waiting for it"]
pub struct Asked {
    query: u64,
    permit: Option<Permit>,
}

impl Costly {
    /// None is known. For `spread` see [`Breaker::new`].
    pub const fn new(spread: u64) -> Self {
        Self {
            breaker: Breaker::new(spread),
            known: VecDeque::new(),
        }
    }

    /// What it does with costly queries.
    pub const fn stage(&self) -> Stage {
        self.breaker.stage()
    }

    /// Why this query would be refused now, if it would be. Changes nothing.
    pub fn refusal(&self, query: u64, now: Timestamp) -> Option<&Outage> {
        self.breaker.refusal(now).filter(|_| self.known.contains(&query))
    }

    /// Lets a query through, or says why not.
    pub fn ask(&mut self, query: u64, now: Timestamp) -> Result<Asked, Outage> {
        let permit = if self.known.contains(&query) {
            Some(self.breaker.ask(now)?)
        } else if self.stage() == Stage::Closed {
            self.breaker.ask(now).ok()
        } else {
            None
        };
        Ok(Asked { query, permit })
    }

    /// Takes back what came of a query: it failed for its cost, was answered, or nothing is known of its cost.
    pub fn report(&mut self, Asked { query, permit }: Asked, outcome: Outcome, now: Timestamp) {
        let known = self.known.iter().position(|known| *known == query);
        let outcome = match (&outcome, known) {
            (Outcome::Failed { .. }, None) => {
                if self.known.len() >= MOST {
                    self.known.pop_front();
                }
                self.known.push_back(query);
                outcome
            }
            (Outcome::Answered, Some(at)) => {
                self.known.remove(at);
                outcome
            }
            (Outcome::Answered, None) => Outcome::Abandoned,
            (Outcome::Failed { .. }, Some(_)) | (Outcome::Abandoned, _) => outcome,
        };
        let answered = outcome == Outcome::Answered;
        if let Some(permit) = permit {
            self.breaker.report(permit, outcome, now);
        }
        // What probed was a query like the others, so that no second answer is needed to end the growth of the pauses.
        if answered
            && self.known.is_empty()
            && self.stage() == Stage::Closed
            && let Ok(permit) = self.breaker.ask(now)
        {
            self.breaker.report(permit, Outcome::Answered, now);
        }
    }
}

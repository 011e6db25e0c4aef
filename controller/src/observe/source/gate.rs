//! Who may ask a source now: so many at once, and nobody while its server is left alone.

use super::SourceError;
use flyball_core::{
    breaker::{Breaker, Outage, Outcome, Permit, Stage},
    time::{Span, Timestamp},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// A clock for the breaker and the tokens.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The places at a server, shared by all that ask it.
#[derive(Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    limit: usize,
}

impl Places {
    pub fn new(limit: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(limit)),
            limit,
        }
    }

    pub const fn limit(&self) -> usize {
        self.limit
    }
}

/// What every query of a source passes.
pub(super) struct Gate {
    places: Places,
    /// How long a query waits for a place.
    patience: Span,
    breaker: Mutex<Breaker>,
    now: Clock,
}

impl Gate {
    pub fn new(places: Places, patience: Span, spread: u64, now: Clock) -> Self {
        Self {
            places,
            patience,
            breaker: Mutex::new(Breaker::new(spread)),
            now,
        }
    }

    pub const fn places(&self) -> &Places {
        &self.places
    }

    pub fn stage(&self) -> Stage {
        self.breaker().stage()
    }

    /// Why the breaker is not closed.
    pub fn outage(&self) -> Option<SourceError> {
        self.breaker().outage().map(open)
    }

    /// Waits for a place, and asks the breaker before and after: a query that waited while the breaker opened is
    /// refused as well.
    pub async fn enter(&self) -> Result<Pass<'_>, SourceError> {
        if let Some(outage) = self.breaker().refusal((self.now)()) {
            return Err(open(outage));
        }
        let busy = || SourceError::Busy {
            limit: self.places.limit,
            waited: self.patience,
        };
        let patience = Duration::from_millis(self.patience.as_millis());
        let place = tokio::time::timeout(patience, self.places.free.acquire())
            .await
            .map_err(|_| busy())?
            // It is never closed.
            .map_err(|_| busy())?;
        let permit = self.breaker().ask((self.now)()).map_err(|outage| open(&outage))?;
        Ok(Pass {
            gate: self,
            permit: Some(permit),
            _place: place,
        })
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(outage: &Outage) -> SourceError {
    SourceError::Open {
        since: outage.since,
        why: outage.why.clone(),
    }
}

/// The right to ask once, with the place it takes.
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    permit: Option<Permit>,
    _place: SemaphorePermit<'a>,
}

impl Pass<'_> {
    /// Whether what comes of this is what everybody waits for.
    pub fn is_probe(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_probe)
    }

    /// Tells the breaker what came of asking.
    pub fn leave(mut self, error: Option<&SourceError>) {
        let outcome = match error {
            Some(error) if error.is_outage() => Outcome::Failed {
                why: error.without_servers_words().to_string(),
                retry_after: error.retry_after(),
            },
            _ => Outcome::Answered,
        };
        self.report(outcome);
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            let now = (self.gate.now)();
            self.gate.breaker().report(permit, outcome, now);
        }
    }
}

impl Drop for Pass<'_> {
    /// A pass that was cut short says nothing about the server.
    fn drop(&mut self) {
        self.report(Outcome::Abandoned);
    }
}

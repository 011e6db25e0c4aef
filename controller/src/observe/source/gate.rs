//! Who may ask a source now: so many at once and in turns, none more often than it may, and nobody while its server is left alone.

use super::{
    SourceError,
    places::{Full, Place, Places, Tenant},
};
use flyball_core::{
    breaker::{Breaker, Outage, Outcome, Permit, Stage},
    costly::{Asked, Costly},
    rate::{Bucket, Rate},
    time::{Span, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// A clock for the breaker and the tokens.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What every query of a source passes.
pub(super) struct Gate {
    source: String,
    places: Places,
    /// How often one namespace may ask.
    rate: Option<Rate>,
    /// How long a query waits for its turn and for a place.
    patience: Span,
    breaker: Mutex<Breaker>,
    spread: u64,
    tenants: Mutex<BTreeMap<Arc<str>, One>>,
    now: Clock,
}

/// What is known of one namespace.
struct One {
    bucket: Option<Bucket>,
    costly: Costly,
}

impl Gate {
    pub fn new(
        source: String,
        places: Places,
        rate: Option<Rate>,
        (patience, spread): (Span, u64),
        now: Clock,
    ) -> Self {
        Self {
            source,
            places,
            rate,
            patience,
            breaker: Mutex::new(Breaker::new(spread)),
            spread,
            tenants: Mutex::default(),
            now,
        }
    }

    pub const fn places(&self) -> &Places {
        &self.places
    }

    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    pub fn stage(&self) -> Stage {
        self.breaker().stage()
    }

    /// What the namespace's own breaker does with its costly queries.
    pub fn stage_of(&self, namespace: &Arc<str>) -> Stage {
        self.one(namespace, |one| one.costly.stage())
    }

    /// Why the breaker is not closed.
    pub fn outage(&self) -> Option<SourceError> {
        self.breaker().outage().map(open)
    }

    /// Forgets the namespaces that are not among these.
    pub fn keep(&self, present: &BTreeSet<&str>) {
        self.tenants().retain(|namespace, _| present.contains(&**namespace));
    }

    /// Waits for the namespace's turn and for a place, and asks the breakers before and after: a query that waited while one opened is
    /// refused as well. `query` stands for the text.
    pub async fn enter(&self, tenant: &Tenant, query: u64) -> Result<Pass<'_>, SourceError> {
        let now = (self.now)();
        if let Some(outage) = self.breaker().refusal(now) {
            return Err(open(outage));
        }
        let end = Instant::now() + Duration::from_millis(self.patience.as_millis());
        if let Some(namespace) = tenant {
            let wait = self.one(namespace, |one| {
                if let Some(outage) = one.costly.refusal(query, now) {
                    return Err(self.left_alone(namespace, outage));
                }
                let taken = one.bucket.as_mut().map(|bucket| bucket.take(now, self.patience));
                taken
                    .unwrap_or(Ok(Span::ZERO))
                    .map_err(|wait| SourceError::NamespaceRate {
                        source_name: self.source.clone(),
                        namespace: namespace.to_string(),
                        per_second: self.rate.map_or(0, |rate| rate.per_second),
                        wait,
                    })
            })?;
            if !wait.is_zero() {
                sleep_until(Instant::now() + Duration::from_millis(wait.as_millis())).await;
            }
        }
        let place = self.places.take(tenant, end).await;
        let place = place.map_err(|full| self.busy(full, tenant))?;
        let (permit, asked) = self.permits(tenant, query)?;
        Ok(Pass {
            gate: self,
            tenant: tenant.clone(),
            query,
            permit: Some(permit),
            asked,
            _place: place,
        })
    }

    /// The breakers' permits for one query.
    fn permits(&self, tenant: &Tenant, query: u64) -> Result<(Permit, Option<Asked>), SourceError> {
        let now = (self.now)();
        let asked = tenant.as_ref().map(|namespace| {
            self.one(namespace, |one| {
                one.costly
                    .ask(query, now)
                    .map_err(|outage| self.left_alone(namespace, &outage))
            })
        });
        let asked = asked.transpose()?;
        match self.breaker().ask(now) {
            Ok(permit) => Ok((permit, asked)),
            Err(outage) => {
                self.report_cost(tenant, asked, Outcome::Abandoned, now);
                Err(open(&outage))
            }
        }
    }

    fn report_cost(&self, tenant: &Tenant, asked: Option<Asked>, outcome: Outcome, now: Timestamp) {
        if let (Some(namespace), Some(asked)) = (tenant, asked) {
            self.one(namespace, |one| one.costly.report(asked, outcome, now));
        }
    }

    fn busy(&self, full: Full, tenant: &Tenant) -> SourceError {
        let (limit, most) = self.places.limits();
        match (full, tenant) {
            (Full::Tenant, Some(namespace)) if most < limit => SourceError::NamespaceBusy {
                source_name: self.source.clone(),
                namespace: namespace.to_string(),
                limit: most,
                waited: self.patience,
            },
            _ => SourceError::Busy {
                limit,
                waited: self.patience,
            },
        }
    }

    fn left_alone(&self, namespace: &str, outage: &Outage) -> SourceError {
        SourceError::NamespaceOpen {
            source_name: self.source.clone(),
            namespace: namespace.to_owned(),
            since: outage.since,
            why: outage.why.clone(),
        }
    }

    fn one<T>(&self, namespace: &Arc<str>, what: impl FnOnce(&mut One) -> T) -> T {
        let mut tenants = self.tenants();
        what(tenants.entry(Arc::clone(namespace)).or_insert_with(|| One {
            bucket: self.rate.map(Bucket::new),
            costly: Costly::new(self.spread),
        }))
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, One>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
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
    tenant: Tenant,
    query: u64,
    permit: Option<Permit>,
    asked: Option<Asked>,
    _place: Place,
}

impl Pass<'_> {
    /// Whether what comes of this is what everybody waits for.
    pub fn is_probe(&self) -> bool {
        self.permit.as_ref().is_some_and(Permit::is_probe)
    }

    /// Whether it can be told apart whose fault a failure is.
    pub const fn has_tenant(&self) -> bool {
        self.tenant.is_some()
    }

    /// Tells the source's breaker alone what came of a question that stood for the query, and gets the right to ask the query, from
    /// the same place.
    pub fn again(&mut self, error: Option<&SourceError>) -> Result<(), SourceError> {
        self.report(outcome(error));
        self.report_cost(Outcome::Abandoned);
        if error.is_none() {
            let (permit, asked) = self.gate.permits(&self.tenant, self.query)?;
            (self.permit, self.asked) = (Some(permit), asked);
        }
        Ok(())
    }

    /// Tells the breakers what came of asking, and the caller whether it is the query's cost that failed.
    pub fn leave(mut self, error: Option<&SourceError>) -> bool {
        let cost = match error {
            None => Outcome::Answered,
            Some(error) if error.is_costly() => costly(error),
            // Nothing is known of its cost.
            Some(_) => Outcome::Abandoned,
        };
        let failed = matches!(cost, Outcome::Failed { .. });
        self.report_cost(cost);
        self.report(outcome(error));
        failed
    }

    /// The server was asked something that costs nothing after a query without an answer: where it answered that, the query is what
    /// failed, otherwise the server is.
    pub fn leave_after_probe(mut self, error: &SourceError, probed: Option<&SourceError>) -> bool {
        if let Some(probed) = probed.filter(|probed| probed.is_outage()) {
            self.report_cost(Outcome::Abandoned);
            self.report(outcome(Some(probed)));
            return false;
        }
        self.report_cost(costly(error));
        // That it answers what costs nothing ends no row of failures.
        self.report(Outcome::Abandoned);
        true
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            let now = (self.gate.now)();
            self.gate.breaker().report(permit, outcome, now);
        }
    }

    fn report_cost(&mut self, outcome: Outcome) {
        let now = (self.gate.now)();
        self.gate.report_cost(&self.tenant, self.asked.take(), outcome, now);
    }
}

/// What an answer says about the server.
fn outcome(error: Option<&SourceError>) -> Outcome {
    match error {
        Some(error) if error.is_outage() => failed(error),
        // It was not asked.
        Some(SourceError::Address(_)) => Outcome::Abandoned,
        _ => Outcome::Answered,
    }
}

/// In the server's own words, for they are about the namespace's own query.
fn costly(error: &SourceError) -> Outcome {
    Outcome::Failed {
        why: error.to_string(),
        retry_after: None,
    }
}

fn failed(error: &SourceError) -> Outcome {
    Outcome::Failed {
        why: error.without_servers_words().to_string(),
        retry_after: error.retry_after(),
    }
}

impl Drop for Pass<'_> {
    /// A pass that was cut short says nothing about the server.
    fn drop(&mut self) {
        self.report_cost(Outcome::Abandoned);
        self.report(Outcome::Abandoned);
    }
}

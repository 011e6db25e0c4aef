//! Every write to a target and to its journal.
//!
//! [`drive`] carries out what the transaction's step function asks for and gives it the results.
//! Each write is one request with one deadline that ends before the lease does; none is repeated
//! here. What is not known to have worked is left to the next pass.

pub mod captures;
mod env;
mod field;
mod guard;
mod journal;
mod pod;
mod pods;
mod routes;
mod runtime;
mod target;

pub use env::{EnvProblem, env_of};
pub(crate) use env::{KEPT, condensed, env_as_found};
pub use field::{Field, recorded_weights, weights_of};
pub use journal::{Intent, JournalError, Journals, Note, journal_of, phase_of};
pub use pod::{PodEvent, PodHands, PodTarget, PodTx};
pub use pods::{PodLine, PodWrite, write_line, write_note};
pub use routes::{Place, RouteHands, WeightsEvent, WeightsTarget, WeightsTx};
pub use runtime::{
    RuntimeEvent, RuntimeHands, RuntimeTarget, RuntimeTx, TargetProblem, as_found, setting_of, target_of, variables_of,
};
pub use target::Hands;

use crate::{
    client::{CallError, CallKind, WRITE_LIMIT, within},
    lease::Leadership,
    metrics::{Metrics, Verb},
};
use flyball_core::{
    check::Approved,
    policy::Replicas,
    time::Timestamp,
    transaction::{Effect, Event, Phase, Stamp, Target, Tx, Verdict, step},
};
use std::{fmt::Debug, sync::Arc};
use tokio::{sync::watch, time::Instant};
use tracing::debug;

/// A transaction over replicas.
pub type ReplicasTx = Tx<Replicas, String>;
/// What happened to it.
pub type ReplicasEvent = Event<Replicas, String>;

/// Hands on what a transaction moves. Each call is one request.
pub trait Handle<V, R> {
    /// Writes the stamp, in the first place that has another.
    fn stamp(&self, stamp: Stamp, at: &R) -> impl Future<Output = Event<V, R>> + Send;
    /// Writes the value, in the first place that has another, if the target is still as `seen`.
    fn write(&self, value: V, at: &R, seen: &Target<V, R>) -> impl Future<Output = Event<V, R>> + Send;
    /// Whether nothing may be written but roll-backs.
    fn is_frozen(&self) -> impl Future<Output = bool> + Send;
    /// Why the API server refused the last write, if it did for another reason than a conflict.
    fn refusal(&self) -> Option<String>;
}

/// The right to write, as the lease gives it at the moment of each write.
#[derive(Clone)]
pub struct Authority {
    leadership: watch::Receiver<Leadership>,
    metrics: Arc<Metrics>,
    observes: bool,
}

impl Authority {
    /// The right that this leadership gives.
    pub fn new(leadership: watch::Receiver<Leadership>, metrics: Arc<Metrics>) -> Self {
        Self {
            leadership,
            metrics,
            observes: false,
        }
    }

    /// The same without the right to write any target: what of a journal is open stays open, and nothing is tried.
    #[must_use]
    pub fn observing(self, observes: bool) -> Self {
        Self { observes, ..self }
    }

    /// Whether we lead now.
    pub fn holds(&self) -> bool {
        self.leadership.borrow().is_leader(Instant::now())
    }

    /// Sends a request to a target, or to a pod of one, under the same conditions.
    pub async fn to_target<T>(
        &self,
        verb: Verb,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        if self.observes {
            return Err(CallError::Observing);
        }
        self.within(verb, request).await
    }

    /// Sends a request if we lead, and gives up on it before the lease could be another's.
    pub async fn within<T>(&self, verb: Verb, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
        let deadline = self.leadership.borrow().deadline(Instant::now(), WRITE_LIMIT);
        let answer = match deadline {
            Some(deadline) => within(deadline, request).await,
            None => Err(CallError::Late),
        };
        self.metrics.api_request(verb, CallKind::of(&answer));
        answer
    }
}

/// Undoing a change: only what was checked against the present can be undone.
pub fn roll_back(approved: &Approved, verdict: Verdict) -> ReplicasEvent {
    Event::RollBack {
        to: approved.to(),
        verdict,
    }
}

/// Carries a pass of a transaction as far as it goes now.
///
/// `judgement` is what the verification says, if it is asked; a verification that only begins in
/// this pass has nothing to say yet. Returns the transaction as it was last persisted.
pub async fn drive<V, R>(
    mut tx: Tx<V, R>,
    seen: Option<Target<V, R>>,
    mut judgement: Option<Event<V, R>>,
    hands: &impl Handle<V, R>,
    journals: &mut Journals<'_>,
    now: impl Fn() -> Timestamp,
) -> Tx<V, R>
where
    V: Field + Debug,
    R: Clone + Debug,
{
    let mut event = Event::Seen(seen);
    loop {
        debug!(?event, phase = ?tx.journal.phase, "step");
        let (next, effects) = step(tx, event, now());
        tx = next;
        let Some(effect) = effects.into_iter().next() else {
            return tx;
        };
        event = match effect {
            Effect::Stamp { stamp, at } => hands.stamp(stamp, &at).await,
            // Looked at last of all, so that the button stops even what was checked a moment ago. Nothing was
            // sent, and the next pass cuts the transaction short.
            Effect::Write { .. } if tx.journal.phase == Phase::Applying && hands.is_frozen().await => Event::Lost,
            Effect::Write { value, at } => match &tx.target {
                Some(seen) => hands.write(value, &at, seen).await,
                None => Event::Lost,
            },
            Effect::Record(journal) => {
                journals.note.refusal = hands.refusal();
                journals.record(&journal, now()).await
            }
            Effect::Verify => judgement.take().unwrap_or(Event::Undecided),
        };
    }
}

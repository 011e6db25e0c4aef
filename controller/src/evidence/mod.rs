//! Evidence: what a pod serves of itself is read from there and written to the installation's store, beside the passes.
//!
//! A pass hands an order over and looks for its outcome in later passes, so nothing in here holds a pass up. There is no
//! queue: where all places are taken the pass asks again next time, and what an alert asked for an hour ago is never taken
//! today.

mod fetch;
mod store;

pub use fetch::{CaptureError, MAX_BYTES};
pub(crate) use store::quoted;
pub use store::{Store, StoreError};

use fetch::Fetch;
use flyball_core::{
    policy::{Capture, CaptureKind},
    time::Timestamp,
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{sync::Semaphore, task::AbortHandle};
use tracing::{info, warn};

/// How many pods are read from at once, for all policies.
const PLACES: usize = 4;
/// A name that is longer than all of Kubernetes' is cut in what a file is called.
const SPELLED: usize = 100;

/// Takes evidence. Copies share their places.
#[derive(Clone, Default)]
pub struct Evidence(Option<Arc<On>>);

struct On {
    fetch: Fetch,
    places: Arc<Semaphore>,
}

/// What is to be taken of one pod.
#[derive(Clone, Debug)]
pub struct Order {
    /// The policy's namespace.
    pub namespace: String,
    /// Its name.
    pub policy: String,
    /// The pod.
    pub pod: String,
    /// Where it serves.
    pub address: SocketAddr,
    /// What is taken.
    pub capture: Capture,
    /// When it was asked for.
    pub at: Timestamp,
}

/// A piece of evidence that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub kind: CaptureKind,
    /// Where it is.
    pub location: String,
    /// Its size.
    pub bytes: u64,
    /// The command that opens it.
    pub open: String,
}

/// What came of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was stored.
    pub pieces: Vec<Piece>,
    /// What was not, and why.
    pub failures: Vec<String>,
}

/// An order that is carried out. Whoever forgets it ends it.
#[derive(Clone, Debug)]
pub struct Taking(Arc<UnderWay>);

#[derive(Debug)]
struct UnderWay {
    task: AbortHandle,
    outcome: Arc<Mutex<Option<Outcome>>>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Taking {
    /// What came of it, once it has ended.
    pub fn outcome(&self) -> Option<Outcome> {
        if !self.0.task.is_finished() {
            return None;
        }
        let outcome = self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        Some(outcome.unwrap_or_else(|| Outcome {
            failures: vec!["it ended in a panic; the log has its words".to_owned()],
            ..Outcome::default()
        }))
    }
}

impl Evidence {
    /// Into this store.
    pub fn new(store: Store) -> Result<Self, StoreError> {
        Ok(Self(Some(Arc::new(On {
            fetch: Fetch::new(store)?,
            places: Arc::new(Semaphore::new(PLACES)),
        }))))
    }

    /// Where nothing is kept.
    pub fn none() -> Self {
        Self(None)
    }

    /// Whether there is a store.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins to carry an order out; `None`: there is no store, or no place now.
    pub fn take(&self, order: Order) -> Option<Taking> {
        let on = Arc::clone(self.0.as_ref()?);
        let place = Arc::clone(&on.places).try_acquire_owned().ok()?;
        let outcome: Arc<Mutex<Option<Outcome>>> = Arc::default();
        let told = Arc::clone(&outcome);
        let task = tokio::spawn(async move {
            let came = on.carry_out(&order).await;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
            drop(place);
        });
        Some(Taking(Arc::new(UnderWay {
            task: task.abort_handle(),
            outcome,
        })))
    }
}

impl On {
    /// One kind after the other: a trace while a profile is taken would be a profile of the tracer. One that fails keeps
    /// none of the others from being taken.
    async fn carry_out(&self, order: &Order) -> Outcome {
        let mut outcome = Outcome::default();
        for kind in &order.capture.take {
            let (policy, pod) = (format!("{}/{}", order.namespace, order.policy), &order.pod);
            match self.fetch.one(order, *kind).await {
                Ok(piece) => {
                    info!(
                        policy,
                        pod,
                        location = piece.location,
                        bytes = piece.bytes,
                        "evidence taken"
                    );
                    outcome.pieces.push(piece);
                }
                Err(error) => {
                    warn!(policy, pod, %error, "no evidence");
                    outcome.failures.push(error.to_string());
                }
            }
        }
        outcome
    }
}

/// What a file is called: `namespace/policy/time-pod-kind`. The parts are names of Kubernetes' objects, so they hold no slash.
fn name(order: &Order, kind: CaptureKind) -> String {
    let time: String = crate::clock::micro_time(order.at)
        .0
        .strftime("%Y%m%dT%H%M%S%.3fZ")
        .to_string();
    let short = |text: &str| -> String { text.chars().take(SPELLED).collect() };
    format!(
        "{}/{}/{time}-{}-{}",
        short(&order.namespace),
        short(&order.policy),
        short(&order.pod),
        kind.suffix()
    )
}

#[cfg(test)]
mod tests;

//! The places at a server, given in turns to the namespaces that ask it.

use flyball_core::places::{self, Ticket};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::oneshot, time::Instant};

/// Whose query it is: a namespace, or the controller's own.
pub(super) type Tenant = Option<Arc<str>>;

/// The places at a server, shared by all that ask it.
#[derive(Clone)]
pub(super) struct Places(Arc<Mutex<State>>);

struct State {
    places: places::Places<Tenant>,
    /// Who waits is told here.
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    Server,
    /// The tenant has as many as it may have.
    Tenant,
}

impl Places {
    pub fn new(limit: usize, most_of_one: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            places: places::Places::new(limit, most_of_one),
            waiting: HashMap::new(),
        })))
    }

    /// How many there are, and how many of them one tenant may have.
    pub fn limits(&self) -> (usize, usize) {
        let state = self.lock();
        (state.places.limit(), state.places.most_of_one())
    }

    /// Waits for a place, until `end`.
    pub async fn take(&self, tenant: &Tenant, end: Instant) -> Result<Place, Full> {
        let (sender, given) = oneshot::channel();
        let place = {
            let mut state = self.lock();
            let ticket = state.places.wait(tenant.clone());
            state.waiting.insert(ticket, sender);
            state.give();
            Place {
                places: self.clone(),
                tenant: tenant.clone(),
                ticket,
            }
        };
        // Nobody drops the sender of one that waits.
        if let Ok(Ok(())) = tokio::time::timeout_at(end, given).await {
            return Ok(place);
        }
        let state = self.lock();
        let own = state.places.taken_by(tenant) >= state.places.most_of_one();
        drop(state);
        Err(if own { Full::Tenant } else { Full::Server })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn give(&mut self) {
        while let Some(ticket) = self.places.give() {
            if let Some(sender) = self.waiting.remove(&ticket) {
                // Who no longer waits gives it back when its ticket is dropped.
                let _ = sender.send(());
            }
        }
    }
}

/// A place, or the wait for one: dropped, it goes to the next.
pub(super) struct Place {
    places: Places,
    tenant: Tenant,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.waiting.remove(&self.ticket);
        state.places.leave(&self.tenant, self.ticket);
        state.give();
    }
}

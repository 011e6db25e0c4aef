//! Whether a controller leads, judged by what the lease does and not by clocks alone.

use crate::{
    cli::{
        fetch::{self, Connection, Controller},
        write::{ActError, refuse},
    },
    lease::Timing,
};
use kube::ResourceExt;
use std::time::Duration;
use tokio::time::Instant;

/// Whether a controller leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// One does.
    Yes,
    /// The lease looks old or is free. Its holder's clock may be wrong, and the next holder may be about
    /// to take it, so it is looked at for longer.
    Perhaps,
    /// None does.
    No,
}

/// What was seen of the lease so far.
#[derive(Debug)]
pub struct Standing {
    /// For how long nobody must have taken a lease that is free: a leader that ends gives it back, and
    /// the next one takes it within moments.
    free: Duration,
    /// Its version, and since when it has been seen unchanged.
    seen: Option<(String, Instant)>,
    /// Whether it changed while we looked.
    moved: bool,
}

impl Standing {
    /// Nothing was seen yet.
    pub fn new(timing: &Timing) -> Self {
        Self {
            free: timing.retry * 2,
            seen: None,
            moved: false,
        }
    }

    /// Looks at the lease once more.
    pub async fn look(&mut self, connection: &Connection, namespace: &str, name: &str) -> Result<Leads, ActError> {
        let lease = fetch::lease(&connection.clients.read, namespace, name).await?;
        let version = lease
            .as_ref()
            .and_then(ResourceExt::resource_version)
            .unwrap_or_default();
        let now = Instant::now();
        let changed = self.seen.as_ref().is_some_and(|(before, _)| *before != version);
        self.moved |= changed;
        if changed || self.seen.is_none() {
            self.seen = Some((version, now));
        }
        let unchanged = self.seen.as_ref().map_or(Duration::ZERO, |(_, since)| now - *since);
        let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
        let lasts = Duration::from_secs(seconds.and_then(|it| u64::try_from(it).ok()).unwrap_or(15));
        Ok(match fetch::controller(lease.as_ref(), connection.now()) {
            Controller::Leads { .. } => Leads::Yes,
            Controller::Vacant | Controller::Missing if unchanged >= self.free => Leads::No,
            Controller::Silent { .. } if unchanged >= lasts => Leads::No,
            Controller::Silent { .. } if self.moved => Leads::Yes,
            Controller::Vacant | Controller::Missing | Controller::Silent { .. } => Leads::Perhaps,
            Controller::Unknown(why) => return refuse(format!("the lease can't be read: {why}; see: flyball doctor")),
        })
    }
}

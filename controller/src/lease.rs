//! Leader election on a `coordination.k8s.io/v1` Lease.
//!
//! Our own, because a leader here writes to other people's workloads: every write of the lease is a
//! PUT with the resourceVersion that was read, and a record counts as expired by the local monotonic
//! clock since it was last *seen to change*, never by comparing times of day of two machines. No
//! lease is a fence, though: a request that was sent in time may still be carried out late, and a
//! virtual machine that is suspended has no clock. For these there is the stamp on the target.
//!
//! [`elector`] decides and knows no I/O; this file carries it out.

pub mod elector;

pub use elector::{Leadership, Timing, TimingError};

use crate::client::{CallError, CallKind, chain, within};
use elector::{Action, Local, Record, decide};
use flyball_crds::FIELD_MANAGER;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime};
use kube::{Api, Client, api::PostParams};
use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

/// Where the lease is kept. The API server, or a stand-in for it in tests.
pub trait Store: Send + Sync + 'static {
    /// The lease as it is now.
    fn get(&self) -> impl Future<Output = kube::Result<Option<Lease>>> + Send;
    /// Creates the lease; a conflict if there is one.
    fn create(&self, lease: &Lease) -> impl Future<Output = kube::Result<Lease>> + Send;
    /// Replaces the lease; a conflict if its resourceVersion is another one by now.
    fn replace(&self, lease: &Lease) -> impl Future<Output = kube::Result<Lease>> + Send;
}

/// The lease on the API server.
#[derive(Clone)]
pub struct ApiStore {
    api: Api<Lease>,
    name: String,
}

impl ApiStore {
    /// The lease `name` in `namespace`. `client` should be [`Clients::lease`](crate::client::Clients::lease).
    pub fn new(client: Client, namespace: &str, name: impl Into<String>) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.into(),
        }
    }
}

fn as_us() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

impl Store for ApiStore {
    async fn get(&self) -> kube::Result<Option<Lease>> {
        self.api.get_opt(&self.name).await
    }

    async fn create(&self, lease: &Lease) -> kube::Result<Lease> {
        let mut lease = lease.clone();
        lease.metadata.name = Some(self.name.clone());
        self.api.create(&as_us(), &lease).await
    }

    async fn replace(&self, lease: &Lease) -> kube::Result<Lease> {
        self.api.replace(&self.name, &as_us(), lease).await
    }
}

/// A name that no other process has, now or later: the pod's name or the host's, and a random part.
///
/// The name of the pod alone would not do: a container that is restarted has its predecessor's. It
/// would take a lease that still names the dead process for its own, and lead while requests of that
/// one may be under way.
pub fn identity() -> String {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let name = variable("POD_NAME")
        .or_else(|| read("/proc/sys/kernel/hostname"))
        .or_else(|| variable("HOSTNAME"));
    unique(name.as_deref().unwrap_or("unknown"))
}

/// `name` with a part that no other call, here or in another process, ever adds.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Where there is no /proc, the process and the time must do.
    let random = read("/proc/sys/kernel/random/uuid").unwrap_or_else(|| {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!(
            "{:x}-{:x}-{count:x}",
            std::process::id(),
            Timestamp::now().as_nanosecond()
        )
    });
    format!("{name}_{random}")
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// An election that is under way. Dropping it ends it without a word, and the lease runs out by itself.
pub struct Election {
    leadership: watch::Receiver<Leadership>,
    release: CancellationToken,
    task: JoinHandle<()>,
}

impl Election {
    /// Takes part as `identity`. Must be called within a tokio runtime.
    pub fn start(store: impl Store, identity: impl Into<String>, timing: Timing) -> Result<Self, TimingError> {
        timing.check()?;
        let identity = identity.into();
        let (publish, leadership) = watch::channel(Leadership::Standby);
        let release = CancellationToken::new();
        let contender = Contender {
            store,
            local: Local::new(identity.clone(), timing),
            identity,
            timing,
            lease: None,
            missing: false,
            publish,
            release: release.clone(),
        };
        Ok(Self {
            leadership,
            release,
            task: tokio::spawn(contender.run()),
        })
    }

    /// Who may write. What is borrowed must be asked with the present time: see [`Leadership::deadline`].
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Gives the lease back, so that a standby takes over at once. To be called when no write is under
    /// way any more.
    pub async fn release(mut self) {
        self.release.cancel();
        // It ends within two requests' time.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Contender<S> {
    store: S,
    local: Local,
    identity: String,
    timing: Timing,
    /// The object that the next replacement goes out from.
    lease: Option<Lease>,
    /// Whether it was said that there is none.
    missing: bool,
    publish: watch::Sender<Leadership>,
    release: CancellationToken,
}

impl<S: Store> Contender<S> {
    async fn run(mut self) {
        while !self.release.is_cancelled() {
            let now = Instant::now();
            self.announce(now);
            match decide(&self.local, now) {
                Action::Wait(until) => {
                    tokio::select! {
                        () = self.release.cancelled() => {}
                        () = tokio::time::sleep_until(until) => self.local.waited(Instant::now()),
                    }
                }
                Action::Read => self.read(now).await,
                Action::Create { transitions } => self.write(None, transitions, now).await,
                Action::Replace { transitions } => self.write(self.lease.clone(), transitions, now).await,
            }
        }
        self.give_back().await;
    }

    /// A request of a leader ends with the leadership at the latest, so that its end is announced in time.
    fn deadline(&self, now: Instant) -> Instant {
        match self.local.leadership(now) {
            Leadership::Leader { until, .. } => until.min(now + self.timing.request),
            Leadership::Standby => now + self.timing.request,
        }
    }

    async fn read(&mut self, now: Instant) {
        match within(self.deadline(now), self.store.get()).await {
            Ok(lease) => {
                self.local.read(lease.as_ref().map(Record::from), Instant::now());
                self.tell_of_a_missing(lease.is_none());
                self.lease = lease;
            }
            Err(error) => self.failed("read", &error),
        }
    }

    /// That nothing happens for a while should not look like a fault.
    fn tell_of_a_missing(&mut self, missing: bool) {
        if missing && !self.missing {
            tracing::info!(
                wait_s = self.timing.duration.as_secs(),
                "there is no lease; it is made once a leader whose lease was deleted must have stopped. \
                 An installation that brings an empty Lease is led at once"
            );
        }
        self.missing = missing;
    }

    /// Writes a record with this process as its holder: over `lease`, or a new one.
    async fn write(&mut self, lease: Option<Lease>, transitions: u64, sent: Instant) {
        let new_term = !self.local.leadership(sent).is_leader(sent);
        let new = self.record(lease.clone().unwrap_or_default(), &self.identity, transitions, new_term);
        let answer = match lease {
            Some(_) => within(self.deadline(sent), self.store.replace(&new)).await,
            None => within(self.deadline(sent), self.store.create(&new)).await,
        };
        match answer {
            Ok(lease) => {
                self.local.written(Record::from(&lease), sent, Instant::now());
                self.lease = Some(lease);
            }
            Err(error) if matches!(error.kind(), CallKind::Conflict | CallKind::NotFound) => {
                self.local.conflicted(Instant::now());
            }
            Err(error) => self.failed("write", &error),
        }
    }

    /// `lease` with another holder; all else of it stays.
    fn record(&self, mut lease: Lease, holder: &str, transitions: u64, new_term: bool) -> Lease {
        let spec = lease.spec.get_or_insert_default();
        let mut now = Timestamp::now();
        // An update that changes nothing is none: others would not see that we are alive.
        if let Some(MicroTime(last)) = spec.renew_time
            && last.as_microsecond() == now.as_microsecond()
        {
            now = now.saturating_add(SignedDuration::from_micros(1)).unwrap_or(now);
        }
        if new_term {
            spec.acquire_time = Some(MicroTime(now));
        }
        spec.renew_time = Some(MicroTime(now));
        spec.holder_identity = Some(holder.to_owned());
        spec.lease_transitions = Some(i32::try_from(transitions).unwrap_or(i32::MAX));
        spec.lease_duration_seconds = Some(i32::try_from(self.timing.duration.as_secs()).unwrap_or(i32::MAX));
        lease
    }

    fn failed(&mut self, what: &str, error: &CallError) {
        let now = Instant::now();
        let left = match self.local.leadership(now) {
            Leadership::Leader { until, .. } => until.saturating_duration_since(now),
            Leadership::Standby => Duration::ZERO,
        };
        tracing::warn!(
            error = chain(error),
            left_s = left.as_secs(),
            "could not {what} the lease"
        );
        self.local.failed(now);
    }

    /// Tells the others, if it changed.
    fn announce(&self, now: Instant) {
        let new = self.local.leadership(now);
        self.publish.send_if_modified(|old| {
            let changed = *old != new;
            match (*old, new) {
                (Leadership::Standby, Leadership::Leader { transitions, .. }) => {
                    tracing::info!(transitions, identity = self.identity, "became the leader");
                }
                (Leadership::Leader { transitions, .. }, Leadership::Standby) => {
                    // Asked to give it back, or was not able to keep it.
                    if self.release.is_cancelled() {
                        tracing::info!(transitions, identity = self.identity, "stops leading");
                    } else {
                        tracing::warn!(transitions, identity = self.identity, "is not the leader any more");
                    }
                }
                _ => {}
            }
            *old = new;
            changed
        });
    }

    async fn give_back(mut self) {
        let held = self.local.leadership(Instant::now());
        self.local.resign();
        // Nobody here may write any more, before anybody else may.
        self.announce(Instant::now());
        let Leadership::Leader { transitions, .. } = held else {
            return;
        };
        // The renewal that was under way may have landed, so look once more.
        let ours = match within(Instant::now() + self.timing.request, self.store.get()).await {
            Ok(Some(lease)) if Record::from(&lease).holder == self.identity => lease,
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "could not read the lease to give it back; it runs out by itself"
                );
                return;
            }
        };
        let free = self.record(ours, "", transitions, false);
        match within(Instant::now() + self.timing.request, self.store.replace(&free)).await {
            Ok(_) => tracing::info!(transitions, "gave the lease back"),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "could not give the lease back; it runs out by itself"
            ),
        }
    }
}

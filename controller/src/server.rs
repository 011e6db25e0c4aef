//! The small HTTP server of the process: metrics, health, and a look inside.
//!
//! | path | says |
//! |---|---|
//! | `/metrics` | the metrics, in the text format of `OpenMetrics`; to whom the API server allows it, where that is asked: see [`access`] |
//! | `/healthz` | whether the loop is alive; a process that fails this is to be restarted |
//! | `/readyz` | whether the caches are filled and the API server is there; a standby is ready too |
//! | `/api/v1/alertmanager` | takes Alertmanager's webhook, if there is a token for it: see [`webhook`] |
//! | `/debug/state` | who leads and what each policy last came to, as JSON; only from the pod itself |
//!
//! All of it is on one port, by HTTP or by TLS: see [`tls`]. Probes of the kubelet take any certificate.

pub mod access;
mod bucket;
mod door;
pub mod tls;
pub mod webhook;

use crate::{lease::Leadership, logging::Pipe, metrics::Metrics};
use access::Access;
use axum::{
    Json, Router,
    extract::{ConnectInfo, State, connect_info::Connected},
    http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
    serve::IncomingStream,
};
use door::Door;
use flyball_crds::{Mode, Reason};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tls::{Certificate, TlsError};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use webhook::Webhook;

/// A loop that did not beat for so long hangs.
pub const HEARTBEAT_LIMIT: Duration = Duration::from_secs(60);
/// An API server that gave no answer for so long is not there.
pub const REACHED_LIMIT: Duration = Duration::from_secs(30);

/// How long a request that is under way may hold the end of the process up.
const GRACE: Duration = Duration::from_secs(3);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("can't listen on {address}: {reason}; choose another address with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        reason: std::io::Error,
    },
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It ended by itself.
    #[error("the HTTP server ended: {0}; restart the process")]
    Ended(#[from] std::io::Error),
}

/// Whether the process is alive and ready.
#[derive(Debug)]
pub struct Health {
    beat: Mutex<Instant>,
    reached: Mutex<Option<Instant>>,
    synced: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            beat: Mutex::new(Instant::now()),
            reached: Mutex::new(None),
            synced: AtomicBool::new(false),
        }
    }
}

fn lock<T: Copy>(cell: &Mutex<T>) -> T {
    *cell.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set<T>(cell: &Mutex<T>, value: T) {
    *cell.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

impl Health {
    /// The loop is alive. To be called more often than every [`HEARTBEAT_LIMIT`], by a standby too.
    pub fn beat(&self) {
        set(&self.beat, Instant::now());
    }

    /// The first list of every kind is in.
    pub fn synced(&self) {
        self.synced.store(true, Ordering::Relaxed);
    }

    /// The API server gave an answer.
    pub fn reached(&self) {
        set(&self.reached, Some(Instant::now()));
    }

    /// Whether the loop is alive, or else why not.
    pub fn alive(&self) -> Result<(), String> {
        let silent = lock(&self.beat).elapsed();
        if silent > HEARTBEAT_LIMIT {
            return Err(format!("the loop has not moved for {} s", silent.as_secs()));
        }
        Ok(())
    }

    /// Whether the process can do its work, or could if it led, or else why not.
    pub fn ready(&self) -> Result<(), String> {
        if !self.synced.load(Ordering::Relaxed) {
            return Err("the first lists are not in yet".to_owned());
        }
        match lock(&self.reached).map(|at| at.elapsed()) {
            None => Err("the API server has not answered yet".to_owned()),
            Some(silent) if silent > REACHED_LIMIT => {
                Err(format!("the API server has not answered for {} s", silent.as_secs()))
            }
            Some(_) => Ok(()),
        }
    }
}

/// What a policy last came to. No text of anybody's: neither queries nor errors.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyState {
    /// Its mode.
    pub mode: Mode,
    /// The reason of its condition `Ready`.
    #[serde(serialize_with = "as_text")]
    pub reason: Reason,
    /// When its last pass began.
    pub last_pass: jiff::Timestamp,
    /// How long that took.
    pub took_seconds: f64,
    /// Its open Change.
    pub change: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn as_text<S: serde::Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.as_str())
}

/// What all policies last came to, by namespace and name.
#[derive(Debug, Default)]
pub struct Policies(Mutex<BTreeMap<(String, String), PolicyState>>);

impl Policies {
    /// A pass ended.
    pub fn note(&self, namespace: &str, name: &str, state: PolicyState) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((namespace.to_owned(), name.to_owned()), state);
    }

    /// The policy is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(namespace.to_owned(), name.to_owned()));
    }

    fn all(&self) -> Vec<Row> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .map(|((namespace, name), state)| Row {
                namespace: namespace.clone(),
                name: name.clone(),
                state: state.clone(),
            })
            .collect()
    }
}

#[derive(Serialize)]
struct Row {
    namespace: String,
    name: String,
    #[serde(flatten)]
    state: PolicyState,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inside {
    version: &'static str,
    identity: String,
    leader: bool,
    transitions: Option<u64>,
    may_write_for_seconds: Option<f64>,
    alive: bool,
    ready: bool,
    policies: Vec<Row>,
}

/// What the server tells of.
#[derive(Clone)]
pub struct Told {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Alive and ready.
    pub health: Arc<Health>,
    /// What the policies came to.
    pub policies: Arc<Policies>,
    /// Who may write.
    pub leadership: watch::Receiver<Leadership>,
    /// Who this process is.
    pub identity: String,
    /// The logs, to ask how many lines were dropped.
    pub logs: Option<Pipe>,
    /// The receiver of alerts, if there is one.
    pub webhook: Option<Webhook>,
    /// Who may read the metrics; without it, everybody.
    pub access: Option<Arc<Access>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Peer(IpAddr);

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(stream.remote_addr().ip().to_canonical())
    }
}

/// Takes the address. Port 0: any that is free.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address)
        .await
        .map_err(|reason| ServerError::Bind { address, reason })
}

/// Serves until `stop`, and then ends soon, although a request may still be under way. With a certificate, by TLS alone.
pub async fn serve(
    listener: TcpListener,
    certificate: Option<Arc<Certificate>>,
    told: Told,
    stop: CancellationToken,
) -> Result<(), ServerError> {
    let door = Door::new(listener, certificate.as_ref())?;
    let service = router(told).into_make_service_with_connect_info::<Peer>();
    let ending = stop.clone();
    let server = axum::serve(door, service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .into_future();
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => Ok(ended?),
        () = ending.cancelled() => match timeout(GRACE, server).await {
            Ok(ended) => Ok(ended?),
            Err(_) => Ok(()),
        },
    }
}

fn router(told: Told) -> Router {
    let alerts = told.webhook.clone().map(webhook::router);
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route(
            "/healthz",
            get(async |State(told): State<Told>| verdict(told.health.alive())),
        )
        .route(
            "/readyz",
            get(async |State(told): State<Told>| verdict(told.health.ready())),
        )
        .route("/debug/state", get(state))
        .with_state(told);
    match alerts {
        Some(alerts) => router.merge(alerts),
        None => router,
    }
}

fn verdict(verdict: Result<(), String>) -> Response {
    match verdict {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

fn refuse(status: StatusCode, headers: &[(HeaderName, String)], why: &str) -> Response {
    let mut response = (status, format!("{why}\n")).into_response();
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What a secret is known by, without keeping it.
fn fingerprint(secret: &[u8]) -> [u8; 32] {
    let digest = digest(&SHA256, secret);
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

async fn metrics(State(told): State<Told>, ConnectInfo(Peer(peer)): ConnectInfo<Peer>, headers: HeaderMap) -> Response {
    if let Some(access) = &told.access
        && let Err(refusal) = access.check(&headers, peer, Instant::now()).await
    {
        return refusal.answer();
    }
    // At the time of the scrape: a leader whose time ran out is none, announced or not.
    told.metrics.leader(told.leadership.borrow().is_leader(Instant::now()));
    if let Some(logs) = &told.logs {
        told.metrics.log_lines_dropped(logs.dropped());
    }
    ([(CONTENT_TYPE, OPEN_METRICS)], told.metrics.encode()).into_response()
}

async fn state(State(told): State<Told>, ConnectInfo(Peer(peer)): ConnectInfo<Peer>) -> Response {
    // The port is open to whoever may scrape; the names of all tenants' policies are not for them.
    if !peer.is_loopback() {
        let way = "only from the pod itself: kubectl -n flyball-system port-forward deploy/flyball 8080\n";
        return (StatusCode::FORBIDDEN, way).into_response();
    }
    let now = Instant::now();
    let (transitions, left) = match *told.leadership.borrow() {
        Leadership::Leader { transitions, until } if now < until => {
            (Some(transitions), Some((until - now).as_secs_f64()))
        }
        _ => (None, None),
    };
    Json(Inside {
        version: env!("CARGO_PKG_VERSION"),
        identity: told.identity.clone(),
        leader: transitions.is_some(),
        transitions,
        may_write_for_seconds: left,
        alive: told.health.alive().is_ok(),
        ready: told.health.ready().is_ok(),
        policies: told.policies.all(),
    })
    .into_response()
}

//! A proxy between the controller and the API server that counts what passes, and fails as planned.
//!
//! Each request has a label: the verb and the resource, such as `POST changes`, `PATCH deployments`,
//! `PUT deployments/scale` or `PUT changes/status`. GET is split into `GET`, `LIST` and `WATCH`, and a
//! server-side dry run is a verb of its own: `TRY deployments/scale`.

#![allow(clippy::expect_used, clippy::missing_panics_doc)]

mod label;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, header},
};
use futures::stream;
use kube::{Client, Config, config::AuthInfo};
use label::label;
use std::{
    collections::BTreeMap,
    future::pending,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

/// No request of a controller is larger.
const LARGEST: usize = 4 << 20;
/// How long the rest of an answered request may take before the controller is killed all the same.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What happens to one request.
#[derive(Clone)]
pub enum Fault {
    /// The controller is killed; nothing is forwarded.
    KillBefore,
    /// It is forwarded; the controller is killed before it hears the answer.
    KillUnheard,
    /// The controller hears the answer, and is killed before it writes anything else.
    KillAfter,
    /// It is forwarded only once the gate is opened, whether anybody still waits or not.
    Hold(Arc<Gate>),
    /// It is forwarded; the answer never comes.
    DropReply,
    /// It is not forwarded, and no answer ever comes.
    Hang,
    /// It is not forwarded but answered with this status, and this Retry-After.
    Status(u16, Option<u64>),
    /// It is forwarded; the answer breaks off in the middle.
    Truncate,
}

/// A gate that opens once.
#[derive(Default)]
pub struct Gate {
    open: Notify,
    /// The status that the API server answered at last.
    answer: Mutex<Option<u16>>,
    answered: Notify,
}

impl Fault {
    /// Whether the controller does not survive it.
    pub fn kills(&self) -> bool {
        matches!(self, Self::KillBefore | Self::KillUnheard | Self::KillAfter)
    }
}

impl Gate {
    /// Lets the request go on.
    pub fn open(&self) {
        self.open.notify_one();
    }

    /// What the API server said to it.
    pub async fn answer(&self) -> u16 {
        loop {
            if let Some(status) = *lock(&self.answer) {
                return status;
            }
            self.answered.notified().await;
        }
    }
}

/// When which fault happens.
struct Planned {
    label: String,
    nth: usize,
    fault: Fault,
}

/// A request that changes something, as it went by.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its label.
    pub label: String,
    /// What the API server answered; `None`: it did not get there.
    pub status: Option<u16>,
    /// The body.
    pub body: Bytes,
}

#[derive(Default)]
struct Log {
    counts: BTreeMap<String, usize>,
    plan: Vec<Planned>,
    writes: Vec<Write>,
    doomed: bool,
}

type Kill = Arc<dyn Fn() + Send + Sync>;

struct Inner {
    client: Client,
    log: Mutex<Log>,
    kill: Mutex<Option<Kill>>,
}

/// A running proxy. Ends when it is dropped.
pub struct Proxy {
    inner: Arc<Inner>,
    /// Where it listens.
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// Starts a proxy to the API server of `config`, as another user if `user` is given.
    pub async fn start(config: &Config, user: Option<&str>) -> Self {
        let mut config = config.clone();
        if let Some(user) = user {
            config.auth_info = AuthInfo {
                impersonate: Some(user.to_owned()),
                ..config.auth_info
            };
        }
        config.default_retry = false;
        config.read_timeout = None;
        let client = Client::try_from(config).expect("a client for the proxy");
        let inner = Arc::new(Inner {
            client,
            log: Mutex::default(),
            kill: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(serve).with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move {
            // It ends with its task.
            let _ = axum::serve(listener, router).await;
        });
        Self { inner, url, task }
    }

    /// Whom the plan kills.
    pub fn aim(&self, kill: impl Fn() + Send + Sync + 'static) {
        lock(&self.inner.log).doomed = false;
        *lock(&self.inner.kill) = Some(Arc::new(kill));
    }

    /// Lets `fault` happen to the `nth` request from now, counted from 1, with this label.
    pub fn plan(&self, label: &str, nth: usize, fault: Fault) {
        let mut log = lock(&self.inner.log);
        let nth = log.counts.get(label).copied().unwrap_or(0) + nth;
        log.plan.push(Planned {
            label: label.to_owned(),
            nth,
            fault,
        });
    }

    /// Forgets what was planned and has not happened.
    pub fn clear(&self) {
        lock(&self.inner.log).plan.clear();
    }

    /// Whether everything that was planned has happened.
    pub fn is_done(&self) -> bool {
        lock(&self.inner.log).plan.is_empty()
    }

    /// How many requests there were, by label.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        lock(&self.inner.log).counts.clone()
    }

    /// The requests that change something, in order. The lease is not among them.
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.inner.log).writes.clone()
    }

    /// How many writes with this label the API server accepted.
    pub fn accepted(&self, label: &str) -> usize {
        let writes = self.writes();
        writes
            .iter()
            .filter(|it| it.label == label && it.status.is_some_and(|status| status < 300))
            .count()
    }
}

async fn serve(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    // On a task of its own: a client that gives up must not take back what is under way.
    tokio::spawn(pass(inner, request))
        .await
        .unwrap_or_else(|_| refusal(StatusCode::BAD_GATEWAY, None))
}

async fn pass(inner: Arc<Inner>, request: Request) -> Response<Body> {
    let label = label(&request);
    let write = !["GET", "LIST", "WATCH", "TRY"]
        .iter()
        .any(|verb| label.starts_with(verb))
        && !label.ends_with(" leases");
    let (fault, doomed) = {
        let mut log = lock(&inner.log);
        let count = log.counts.entry(label.clone()).or_default();
        *count += 1;
        let count = *count;
        let planned = log.plan.iter().position(|it| it.label == label && it.nth == count);
        (planned.map(|index| log.plan.remove(index).fault), log.doomed && write)
    };
    if doomed {
        inner.shoot();
        return pending().await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, None);
    };
    let entry = write.then(|| {
        let mut log = lock(&inner.log);
        log.writes.push(Write {
            label: label.clone(),
            status: None,
            body: body.clone(),
        });
        log.writes.len() - 1
    });
    let forward = inner.forward(parts, body, entry);
    match fault {
        None => forward.await,
        Some(Fault::KillBefore) => {
            inner.shoot();
            pending().await
        }
        // What is refused for its precondition did not happen: the one that does is meant.
        Some(fault @ (Fault::KillUnheard | Fault::KillAfter | Fault::DropReply | Fault::Truncate)) => {
            let answer = forward.await;
            if answer.status() == StatusCode::CONFLICT {
                inner.again(label, fault);
                return answer;
            }
            inner.after(fault, answer).await
        }
        Some(Fault::Hold(gate)) => {
            gate.open.notified().await;
            let answer = forward.await;
            *lock(&gate.answer) = Some(answer.status().as_u16());
            gate.answered.notify_one();
            answer
        }
        Some(Fault::Hang) => pending().await,
        Some(Fault::Status(status, retry_after)) => refusal(
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            retry_after,
        ),
    }
}

impl Inner {
    async fn forward(&self, parts: axum::http::request::Parts, body: Bytes, entry: Option<usize>) -> Response<Body> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut request = axum::http::Request::builder().method(parts.method).uri(path);
        for (name, value) in &parts.headers {
            if ![
                header::HOST,
                header::CONTENT_LENGTH,
                header::CONNECTION,
                header::TRANSFER_ENCODING,
            ]
            .contains(name)
            {
                request = request.header(name, value);
            }
        }
        let request = request
            .body(kube::client::Body::from(body.to_vec()))
            .expect("a request that was one");
        let Ok(answer) = self.client.send(request).await else {
            return refusal(StatusCode::BAD_GATEWAY, None);
        };
        self.note(entry, answer.status().as_u16());
        let (parts, body) = answer.into_parts();
        let mut answer = Response::new(Body::new(body));
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = passed_on(&parts.headers);
        answer
    }

    fn note(&self, entry: Option<usize>, status: u16) {
        let mut log = lock(&self.log);
        if let Some(write) = entry.and_then(|entry| log.writes.get_mut(entry)) {
            write.status = Some(status);
        }
    }

    /// Plans a fault for the next request with this label.
    fn again(&self, label: String, fault: Fault) {
        let mut log = lock(&self.log);
        let nth = log.counts.get(&label).copied().unwrap_or(0) + 1;
        log.plan.push(Planned { label, nth, fault });
    }

    /// What becomes of an answer.
    async fn after(self: Arc<Self>, fault: Fault, answer: Response<Body>) -> Response<Body> {
        match fault {
            Fault::KillAfter => {
                lock(&self.log).doomed = true;
                // This one, and none that is started meanwhile.
                let kill = lock(&self.kill).clone();
                tokio::spawn(async move {
                    tokio::time::sleep(LAST_WORDS).await;
                    kill.inspect(|kill| kill());
                });
                answer
            }
            Fault::Truncate => truncated(answer).await,
            Fault::DropReply => pending().await,
            _ => {
                self.shoot();
                pending().await
            }
        }
    }

    fn shoot(&self) {
        lock(&self.log).doomed = false;
        if let Some(kill) = lock(&self.kill).take() {
            kill();
        }
    }
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    kept.remove(header::CONNECTION);
    kept.remove(header::TRANSFER_ENCODING);
    kept
}

/// An answer as the API server words it.
fn refusal(status: StatusCode, retry_after: Option<u64>) -> Response<Body> {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "refused by the proxy", "reason": "InternalError", "code": status.as_u16(),
    });
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    if let Some(seconds) = retry_after {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, header::HeaderValue::from(seconds));
    }
    answer
}

async fn truncated(answer: Response<Body>) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    let whole = to_bytes(body, LARGEST).await.unwrap_or_default();
    let half = whole.slice(..whole.len() / 2);
    parts.headers.remove(header::CONTENT_LENGTH);
    let broken = stream::iter([Ok(half), Err(io::Error::other("broken off"))]);
    Response::from_parts(parts, Body::from_stream(broken))
}

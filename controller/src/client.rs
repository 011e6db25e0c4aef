//! The connections to the API server: one to read, one to write, one for the lease.
//!
//! They are apart on purpose. kube repeats every request up to fifteen times when the server is
//! busy, writes too, so that the write of a leader that was deposed long ago could still land: only
//! `read` may repeat, and it refuses everything but GET. `lease` has connections of its own, so that
//! no crowd of other requests can hold up a renewal.

use http::{HeaderValue, Method, Request, header::USER_AGENT};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::{
    Client, Config,
    client::{AuthError, Body, ClientBuilder},
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use std::{
    error::Error as StdError,
    path::{Path, PathBuf},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};
use tower::{BoxError, Layer, Service};

/// How long one write may take, however long the leadership lasts.
pub const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// How long one read that is not a watch may take.
pub const READ_LIMIT: Duration = Duration::from_secs(15);
/// How long start-up waits for a credential plugin and for the first answer.
pub const START_LIMIT: Duration = Duration::from_secs(10);

/// Longer than the 290 s after which the server ends a watch: a connection that is silent for longer
/// is dead.
const WATCH_SILENCE: Duration = Duration::from_secs(300);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a kubeconfig nor a service account was found.
    #[error("no cluster to talk to: {0}; set KUBECONFIG or pass --kubeconfig, or run in a pod with a service account")]
    NoConfig(String),
    /// The kubeconfig that was asked for can't be used.
    #[error("the kubeconfig {path} can't be used: {reason}; see `kubectl config view --kubeconfig {path}`")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The credential plugin failed. What it printed is not repeated: it may hold a credential.
    #[error("the kubeconfig's credential plugin failed: {0}; run `kubectl get --raw /version` to see what it says")]
    Plugin(String),
    /// The credential plugin did not end.
    #[error(
        "the kubeconfig's credential plugin did not end within {} s; it may be waiting for an answer: run \
         `kubectl get --raw /version` in a terminal first",
        START_LIMIT.as_secs()
    )]
    PluginHangs,
    /// The client could not be built from the configuration.
    #[error("the client can't be built: {0}; see the certificates and the proxy in the kubeconfig")]
    Build(String),
    /// The API server gave no answer.
    #[error("the API server at {url} does not answer: {reason}; see whether `kubectl get --raw /version` works")]
    Unreachable {
        /// Where it was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The API server does not know us.
    #[error("the API server at {url} refuses our credentials; they may have expired: log in again")]
    Unauthorized {
        /// Where it was asked.
        url: String,
    },
}

/// The three clients.
#[derive(Clone)]
pub struct Clients {
    /// Reads and watches. Repeats when the server is busy; refuses everything but GET.
    pub read: Client,
    /// Writes. Sends each request once; to be used through [`within`].
    pub write: Client,
    /// Renews the lease, over connections of its own. Sends each request once.
    pub lease: Client,
    url: String,
}

/// The configuration: from `path`, else as kubectl finds it, else from the pod's service account.
pub async fn config(path: Option<&Path>, context: Option<String>) -> Result<Config, ClientError> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let bad = |path: String| {
        move |error: KubeconfigError| ClientError::Kubeconfig {
            path,
            reason: chain(&error),
        }
    };
    if let Some(path) = path {
        let name = path.display().to_string();
        let kubeconfig = Kubeconfig::read_from(path).map_err(bad(name.clone()))?;
        return Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(bad(name));
    }
    if options.context.is_some() {
        let name = std::env::var_os("KUBECONFIG").map_or_else(|| PathBuf::from("~/.kube/config"), PathBuf::from);
        return Config::from_kubeconfig(&options)
            .await
            .map_err(bad(name.display().to_string()));
    }
    Config::infer()
        .await
        .map_err(|error| ClientError::NoConfig(chain(&error)))
}

impl Clients {
    /// Three clients from one configuration. Must be called within a tokio runtime.
    pub async fn from_config(config: Config) -> Result<Self, ClientError> {
        let url = config.cluster_url.to_string();
        let mut config = config;
        config.headers.push((
            USER_AGENT,
            HeaderValue::from_static(concat!("flyball/", env!("CARGO_PKG_VERSION"))),
        ));
        config.connect_timeout = Some(CONNECT_LIMIT);
        // Without this the time that a pooled connection lay idle counts against the next answer.
        config.reset_reader_on_write = true;

        let mut read = config.clone();
        read.default_retry = true;
        read.read_timeout = Some(WATCH_SILENCE);
        let mut write = config;
        write.default_retry = false;
        write.read_timeout = Some(START_LIMIT);
        write.write_timeout = Some(START_LIMIT);
        let lease = write.clone();

        // Building a client runs the credential plugin, several times. Side by side they share one limit.
        let (read, write, lease) = tokio::join!(build(read, true), build(write, false), build(lease, false));
        Ok(Self {
            read: read?,
            write: write?,
            lease: lease?,
            url,
        })
    }

    /// Asks the API server for its version: whether it is there, and whether it knows us.
    pub async fn check(&self) -> Result<Info, ClientError> {
        let url = || self.url.clone();
        match within(Instant::now() + START_LIMIT, self.write.apiserver_version()).await {
            Ok(info) => Ok(info),
            Err(CallError::Api(kube::Error::Api(status))) if status.code == 401 => {
                Err(ClientError::Unauthorized { url: url() })
            }
            Err(CallError::Api(kube::Error::Auth(error))) => Err(plugin(&error)),
            Err(error) => Err(ClientError::Unreachable {
                url: url(),
                reason: chain(&error),
            }),
        }
    }
}

/// Builds on a thread of its own: the credential plugin is run synchronously and may hang, and a
/// thread of the runtime's pool that hangs would keep the process from ending.
async fn build(config: Config, read_only: bool) -> Result<Client, ClientError> {
    let (done, built) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let spawned = std::thread::Builder::new()
        .name("flyball-client".to_owned())
        .spawn(move || {
            let _guard = runtime.enter();
            let client = ClientBuilder::try_from(config).map(|builder| {
                if read_only {
                    builder.with_layer(&ReadOnlyLayer).build()
                } else {
                    builder.build()
                }
            });
            // Nobody may be waiting any more.
            let _ = done.send(client);
        });
    if let Err(error) = spawned {
        return Err(ClientError::Build(error.to_string()));
    }
    match tokio::time::timeout(START_LIMIT, built).await {
        Err(_) => Err(ClientError::PluginHangs),
        Ok(Err(_)) => Err(ClientError::Build("the thread that builds it ended".to_owned())),
        Ok(Ok(Err(kube::Error::Auth(error)))) => Err(plugin(&error)),
        Ok(Ok(Err(error))) => Err(ClientError::Build(chain(&error))),
        Ok(Ok(Ok(client))) => Ok(client),
    }
}

fn plugin(error: &AuthError) -> ClientError {
    ClientError::Plugin(match error {
        // Its text repeats the plugin's whole environment and output.
        AuthError::AuthExecRun { out, .. } => format!("it ended with {}", out.status),
        error => chain(error),
    })
}

/// An error with its causes, on one line. Of an answer of the API server it is the message: kube's own
/// text repeats the whole answer as Rust prints it.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = Some(error);
    while let Some(error) = next {
        let (whole, short) = (error.to_string(), short(error));
        let more = short.as_ref().unwrap_or(&whole);
        // Many errors repeat their cause in their own text.
        if short.is_some() && text.contains(&whole) {
            text = text.replace(&whole, more);
        } else if !text.contains(more) {
            text = format!("{text}: {more}");
        }
        next = if short.is_some() { None } else { error.source() };
    }
    text
}

/// What is to be said of an error in place of its own text, and of its causes.
fn short(error: &(dyn StdError + 'static)) -> Option<String> {
    match error.downcast_ref()? {
        kube::Error::Api(status) if status.message.is_empty() => {
            Some(format!("HTTP {} {}", status.code, status.reason).trim_end().to_owned())
        }
        kube::Error::Api(status) => Some(status.message.clone()),
        kube::Error::Auth(error) => Some(plugin(error).to_string()),
        _ => None,
    }
}

/// Why a request has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Its deadline had passed before it was sent; it was not sent.
    #[error("not sent: the time in which it may be written was over")]
    Late,
    /// This process writes no target; it was not sent.
    #[error("not sent: this installation only observes, and writes no target")]
    Observing,
    /// No answer came in time. It may have been carried out.
    #[error("no answer within {} ms; it may have been carried out", .0.as_millis())]
    TimedOut(Duration),
    /// The API server, or the way to it, answered with an error.
    #[error("{}", chain(.0))]
    Api(kube::Error),
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

/// What became of a request, as a closed set: for decisions and for labels of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// It was carried out.
    Ok,
    /// The precondition does not hold, or the name is taken.
    Conflict,
    /// There is no such object.
    NotFound,
    /// It can never be accepted as it is.
    Invalid,
    /// Not allowed, or refused by admission.
    Forbidden,
    /// Our credentials are not known.
    Unauthorized,
    /// The server is too busy.
    Busy,
    /// The server failed; it may have been carried out.
    ServerError,
    /// No answer; it may have been carried out.
    Lost,
    /// It was not sent.
    Late,
}

impl CallKind {
    /// All kinds.
    pub const ALL: &[Self] = &[
        Self::Ok,
        Self::Conflict,
        Self::NotFound,
        Self::Invalid,
        Self::Forbidden,
        Self::Unauthorized,
        Self::Busy,
        Self::ServerError,
        Self::Lost,
        Self::Late,
    ];

    /// The kind as a label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::Busy => "busy",
            Self::ServerError => "server_error",
            Self::Lost => "lost",
            Self::Late => "late",
        }
    }

    /// Whether the request may have been carried out although we heard of no success.
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::ServerError | Self::Lost)
    }

    /// What became of a request.
    pub fn of<T>(result: &Result<T, CallError>) -> Self {
        result.as_ref().map_or_else(CallError::kind, |_| Self::Ok)
    }
}

impl CallError {
    /// The kind of this error.
    pub fn kind(&self) -> CallKind {
        match self {
            Self::Late | Self::Observing => CallKind::Late,
            Self::Api(kube::Error::Api(status)) => match status.code {
                409 => CallKind::Conflict,
                404 | 410 => CallKind::NotFound,
                401 => CallKind::Unauthorized,
                403 => CallKind::Forbidden,
                429 => CallKind::Busy,
                400..=499 => CallKind::Invalid,
                _ => CallKind::ServerError,
            },
            // A request that can't be built was never sent.
            Self::Api(kube::Error::BuildRequest(_) | kube::Error::HttpError(_)) => CallKind::Invalid,
            Self::TimedOut(_) | Self::Api(_) => CallKind::Lost,
        }
    }
}

/// Awaits `request` until `deadline`, and then lets go of it. A write's deadline is
/// [`Leadership::deadline`](crate::lease::Leadership::deadline), so that it ends before the lease
/// can be anybody else's. What was sent may still be carried out: that is what the stamp is for.
pub async fn within<T>(deadline: Instant, request: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    let now = Instant::now();
    if now >= deadline {
        return Err(CallError::Late);
    }
    match tokio::time::timeout_at(deadline, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(CallError::TimedOut(deadline - now)),
    }
}

/// Lets nothing but GET through.
struct ReadOnlyLayer;

impl<S> Layer<S> for ReadOnlyLayer {
    type Service = ReadOnly<S>;

    fn layer(&self, inner: S) -> ReadOnly<S> {
        ReadOnly { inner }
    }
}

struct ReadOnly<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for ReadOnly<S>
where
    S: Service<Request<Body>, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = futures::future::Either<S::Future, std::future::Ready<Result<S::Response, BoxError>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method() == Method::GET {
            futures::future::Either::Left(self.inner.call(request))
        } else {
            let refusal = format!(
                "the reading client does not send {}: use the writing client",
                request.method()
            );
            futures::future::Either::Right(std::future::ready(Err(refusal.into())))
        }
    }
}

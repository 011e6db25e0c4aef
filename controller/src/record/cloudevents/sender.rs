//! Sends events to one receiver, each for half a minute at most. Of each the `id` is the same however often it is sent.

use super::{body::body, pace::Pace};
use crate::{
    clock,
    metrics::{Metrics, Sent},
    observe::source::{
        addresses::{Addresses, Refused, refused},
        cause, install_crypto_provider, retry_after,
    },
    server::webhook::{TokenFile, WebhookError},
};
use flyball_crds::{EventReceiverSpec, SecretKey};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{ResourceExt, runtime::reflector::Store};
use reqwest::{
    Client, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE},
    redirect::Policy,
};
use std::{fmt, path::Path, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How many events may wait to be sent to one receiver.
pub const QUEUE: usize = 512;
/// How often one is sent at most.
pub const TRIES: u32 = 6;
/// How many requests a receiver gets within a minute where it does not say.
pub const DEFAULT_PER_MINUTE: i32 = 120;
/// The most that it may say.
pub const MOST_PER_MINUTE: i32 = 6000;
/// How many the installation's own gets, which is sent the events of all policies.
const OWN_PER_MINUTE: u32 = 600;
/// How long one try may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Why events can't be sent to others.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It is no address for it.
    #[error("--cloudevents-url {0}: write http:// or https:// with a host, without user, password and fragment")]
    Url(String),
    /// What events are to come from can't be written.
    #[error("--cloudevents-source {0:?}: write a URI or a path without spaces, such as /clusters/production")]
    Source(String),
    /// There is no token.
    #[error("--cloudevents-token-file {0}")]
    Token(#[from] WebhookError),
    /// Nothing is sent there.
    #[error("{whose}: {why}")]
    Address {
        /// The flag or the receiver.
        whose: String,
        /// Why not.
        why: Refused,
    },
    /// A receiver's name can't be written into a policy, or is the installation's own.
    #[error(
        "EventReceiver {0}: metadata.name takes another name: at most 63 lower-case letters, digits and dashes, and not default, which is \
         that of --cloudevents-url"
    )]
    Name(String),
    /// A receiver is wrong.
    #[error("EventReceiver {name}: {field}: {message}")]
    Receiver {
        /// Its name.
        name: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A client can't be made.
    #[error("{whose}: no client can be made: {why}")]
    Client {
        /// The flag or the receiver.
        whose: String,
        /// Why.
        why: reqwest::Error,
    },
}

/// A token, which is read with each request.
#[derive(Clone, Debug)]
enum Token {
    File(TokenFile),
    Secret(SecretKey),
}

/// Who takes them.
#[derive(Clone, Debug)]
pub struct Sink {
    url: Url,
    token: Option<Token>,
    source: String,
    per_minute: u32,
    client: Client,
}

/// A URL to which events may be posted. A query may be part of it.
pub fn url(text: &str) -> Option<Url> {
    let parsed = Url::parse(text).ok()?;
    let plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none();
    let fits = matches!(parsed.scheme(), "http" | "https") && parsed.has_host() && plain;
    fits.then_some(parsed)
}

impl Sink {
    /// Who is at `url`, sent the bearer token in a file, which is read with each request. `source` is what each event says that it
    /// comes from.
    pub fn new(text: &str, token: Option<&Path>, source: &str, addresses: &Addresses) -> Result<Self, SinkError> {
        let url = url(text).ok_or_else(|| SinkError::Url(text.escape_debug().to_string()))?;
        let token = token.map(|path| TokenFile::new(path.to_owned())).transpose()?;
        let client = client_of("--cloudevents-url", &url, addresses)?;
        Self::at(url, token.map(Token::File), source, OWN_PER_MINUTE, client)
    }

    /// Who was declared under this name.
    pub(super) fn of(
        name: &str,
        spec: &EventReceiverSpec,
        source: &str,
        addresses: &Addresses,
    ) -> Result<Self, SinkError> {
        let wrong = |field, message: String| SinkError::Receiver {
            name: name.to_owned(),
            field,
            message,
        };
        let per_minute = spec.max_per_minute.unwrap_or(DEFAULT_PER_MINUTE);
        let within = u32::try_from(per_minute)
            .ok()
            .filter(|_| (1..=MOST_PER_MINUTE).contains(&per_minute));
        let within = within.ok_or_else(|| {
            wrong(
                "spec.maxPerMinute",
                format!("{per_minute} is not between 1 and {MOST_PER_MINUTE}; write a number between them"),
            )
        })?;
        let url = url(&spec.url).ok_or_else(|| {
            let message = "write http:// or https:// with a host, without user, password and fragment";
            wrong("spec.url", message.to_owned())
        })?;
        let token = spec.bearer.clone().map(Token::Secret);
        let client = client_of(&format!("EventReceiver {name}: spec.url"), &url, addresses)?;
        Self::at(url, token, source, within, client)
    }

    fn at(url: Url, token: Option<Token>, source: &str, per_minute: u32, client: Client) -> Result<Self, SinkError> {
        if source.is_empty() || source.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(SinkError::Source(source.to_owned()));
        }
        Ok(Self {
            url,
            token,
            source: source.to_owned(),
            per_minute,
            client,
        })
    }
}

/// A client for one URL; nothing is sent where the installation asks nothing.
fn client_of(whose: &str, url: &Url, addresses: &Addresses) -> Result<Client, SinkError> {
    let whose = || whose.to_owned();
    addresses
        .check_url(url)
        .map_err(|why| SinkError::Address { whose: whose(), why })?;
    install_crypto_provider();
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .referer(false)
        .dns_resolver(addresses.resolver())
        .user_agent(concat!("flyball/", env!("CARGO_PKG_VERSION")))
        .timeout(ANSWER_LIMIT);
    if url.scheme() == "http" {
        // Without TLS the system's certificates are not needed, and their absence is no error.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|why| SinkError::Client { whose: whose(), why })
}

/// Sends what was handed over for one receiver.
pub struct Sender {
    name: String,
    sink: Sink,
    received: mpsc::Receiver<Event>,
    secrets: Store<Secret>,
    metrics: Arc<Metrics>,
    pace: Pace,
    /// Whether the last one was not taken: that is said once.
    failing: bool,
}

/// Why one try did not do.
struct Untaken {
    why: String,
    /// Whether the next one may.
    again: bool,
    /// How long the receiver wants to be left alone.
    rest: Option<Duration>,
}

impl Untaken {
    const fn again(why: String) -> Self {
        Self {
            why,
            again: true,
            rest: None,
        }
    }
}

impl fmt::Display for Untaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Sender {
    pub(super) fn new(
        name: &str,
        sink: Sink,
        received: mpsc::Receiver<Event>,
        secrets: Store<Secret>,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.cloud_events_of(name);
        Self {
            name: name.to_owned(),
            pace: Pace::new(sink.per_minute),
            sink,
            received,
            secrets,
            metrics,
            failing: false,
        }
    }

    /// Sends until `stop`. What is left then was told in Kubernetes, and is not waited for.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                event = self.received.recv() => event,
            };
            let Some(event) = event else { return };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.send(&event) => {}
            }
        }
    }

    async fn send(&mut self, event: &Event) {
        let body = match body(&self.sink.source, event) {
            Ok(body) => body,
            Err(error) => {
                warn!(%error, "an event can't be written as a CloudEvent");
                self.metrics.cloud_event(&self.name, Sent::Failed);
                return;
            }
        };
        for attempt in 1..=TRIES {
            self.pace.turn().await;
            let untaken = match self.post(body.clone()).await {
                Ok(()) => {
                    if self.failing {
                        info!(receiver = self.name, host = self.host(), "events are taken again");
                    }
                    self.failing = false;
                    self.metrics.cloud_event(&self.name, Sent::Taken);
                    return;
                }
                Err(untaken) => untaken,
            };
            // While it takes nothing the queue would only grow old behind one event. One that asks for time takes them later.
            let hopeless = self.failing && untaken.rest.is_none();
            if attempt == TRIES || hopeless || !untaken.again {
                if !self.failing {
                    warn!(
                        receiver = self.name,
                        host = self.host(),
                        error = %untaken,
                        "an event was not taken; said again once one is"
                    );
                }
                self.failing = true;
                self.pace.gave_up(untaken.rest);
                self.metrics.cloud_event(&self.name, Sent::Failed);
                return;
            }
            self.pace.failed(attempt, untaken.rest);
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), Untaken> {
        let sink = &self.sink;
        let mut request = sink
            .client
            .post(sink.url.clone())
            .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8");
        if let Some(token) = self.token().map_err(Untaken::again)? {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = request.body(body).send().await;
        // The outer errors have the URL.
        let answer = answer.map_err(|error| Untaken {
            again: refused(&error).is_none(),
            ..Untaken::again(cause(&error))
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let again = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
            );
        let rest = retry_after(&answer, clock::now()).filter(|_| again);
        Err(Untaken {
            why: format!("it answered {}", status.as_u16()),
            again,
            rest: rest.map(|rest| Duration::from_millis(rest.as_millis())),
        })
    }

    /// The token as it is now, or why there is none.
    fn token(&self) -> Result<Option<String>, String> {
        match &self.sink.token {
            None => Ok(None),
            Some(Token::File(file)) => file.read().map(Some).map_err(|error| error.to_string()),
            Some(Token::Secret(SecretKey { name, key })) => {
                let missing =
                    || format!("key {key} of Secret {name} is not there; create it in the controller's namespace");
                let secrets = self.secrets.state();
                let secret = secrets.iter().find(|secret| secret.name_any() == *name);
                let bytes = secret.and_then(|secret| secret.data.as_ref()?.get(key));
                let bytes = bytes.ok_or_else(missing)?;
                let token = str::from_utf8(&bytes.0).unwrap_or_default().trim();
                if token.is_empty() || token.bytes().any(|byte| !byte.is_ascii_graphic()) {
                    return Err(format!(
                        "key {key} of Secret {name} is no token: write printable characters without spaces"
                    ));
                }
                Ok(Some(token.to_owned()))
            }
        }
    }

    fn host(&self) -> String {
        self.sink.url.host_str().unwrap_or_default().to_owned()
    }
}

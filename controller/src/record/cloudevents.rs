//! The events of this process for other systems: CloudEvents 1.0 over HTTP, in structured mode.
//!
//! They are those that are published as Events of Kubernetes, so the same thing is said of the same object once in ten minutes,
//! and of no object more than a few. Nothing waits for whoever takes them: there is a queue with an end, each is tried for
//! half a minute, and what does not fit or is not taken is counted. Of each the `id` is the same however often it is sent.
//!
//! Source: CloudEvents 1.0.2, "HTTP Protocol Binding"; "Webhooks" 1.0.2 for what an answer means.

use crate::{
    metrics::{Metrics, Sent},
    observe::source::{
        addresses::{Addresses, Refused, refused},
        install_crypto_provider,
    },
    server::webhook::{TokenFile, WebhookError},
};
use cloudevents::{EventBuilder, EventBuilderV10};
use k8s_openapi::api::{core::v1::ObjectReference, events::v1::Event};
use reqwest::{
    Client, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE},
    redirect::Policy,
};
use serde_json::{Value, json};
use std::{fmt, path::Path, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How many events may wait to be sent.
pub const QUEUE: usize = 512;
/// How often one is sent at most.
pub const TRIES: u32 = 6;
/// The pause before the second try; each one after is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one try may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// What the type of an event begins with; its reason follows.
const TYPE: &str = "dev.flyball";

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
    /// It is at an address that is not asked.
    #[error("--cloudevents-url: {0}")]
    Address(#[from] Refused),
    /// A client can't be made.
    #[error("--cloudevents-url: {0}")]
    Client(#[from] reqwest::Error),
}

/// Who takes them.
#[derive(Clone, Debug)]
pub struct Sink {
    url: Url,
    token: Option<TokenFile>,
    source: String,
    client: Client,
}

impl Sink {
    /// Who is at `url`, sent the bearer token in a file, which is read with each request. `source` is what each event says that it
    /// comes from.
    pub fn new(url: &str, token: Option<&Path>, source: &str) -> Result<Self, SinkError> {
        Self::among(url, token, source, &Addresses::default())
    }

    /// The same, where the installation says which addresses are asked.
    pub fn among(url: &str, token: Option<&Path>, source: &str, addresses: &Addresses) -> Result<Self, SinkError> {
        let wrong = || SinkError::Url(url.escape_debug().to_string());
        let parsed = Url::parse(url).map_err(|_| wrong())?;
        let plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none();
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() || !plain {
            return Err(wrong());
        }
        if source.is_empty() || source.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(SinkError::Source(source.to_owned()));
        }
        addresses.check_url(&parsed)?;
        install_crypto_provider();
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .dns_resolver(addresses.resolver())
            .user_agent(concat!("flyball/", env!("CARGO_PKG_VERSION")))
            .timeout(ANSWER_LIMIT);
        if parsed.scheme() == "http" {
            // Without TLS the system's certificates are not needed, and their absence is no error.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            url: parsed,
            token: token.map(|path| TokenFile::new(path.to_owned())).transpose()?,
            source: source.to_owned(),
            client: builder.build()?,
        })
    }
}

/// Where events are handed over.
#[derive(Clone, Debug)]
pub struct CloudEvents {
    queue: mpsc::Sender<Event>,
    metrics: Arc<Metrics>,
}

/// Sends what was handed over.
#[derive(Debug)]
pub struct Sender {
    sink: Sink,
    received: mpsc::Receiver<Event>,
    metrics: Arc<Metrics>,
    /// Whether the last one was not taken: that is said once.
    failing: bool,
}

impl CloudEvents {
    /// The place to hand events over, and the worker that sends them.
    pub fn new(sink: Sink, metrics: Arc<Metrics>) -> (Self, Sender) {
        let (queue, received) = mpsc::channel(QUEUE);
        let sender = Sender {
            sink,
            received,
            metrics: Arc::clone(&metrics),
            failing: false,
        };
        (Self { queue, metrics }, sender)
    }

    /// Hands an event over, without waiting for anything.
    pub(super) fn hand(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.metrics.cloud_event(Sent::Dropped);
        }
    }
}

/// Why one try did not do.
enum Untaken {
    /// The next one may.
    Again(String),
    /// None will.
    Never(String),
}

impl fmt::Display for Untaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Again(why) | Self::Never(why)) = self;
        f.write_str(why)
    }
}

impl Sender {
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
                self.metrics.cloud_event(Sent::Failed);
                return;
            }
        };
        // While it takes nothing the queue would only grow old behind one event.
        let tries = if self.failing { 1 } else { TRIES };
        let mut pause = PAUSE;
        for attempt in 1..=tries {
            let untaken = match self.post(body.clone()).await {
                Ok(()) => {
                    if self.failing {
                        info!(host = self.host(), "events are taken again");
                    }
                    self.failing = false;
                    self.metrics.cloud_event(Sent::Taken);
                    return;
                }
                Err(untaken) => untaken,
            };
            let ends = attempt == tries || matches!(untaken, Untaken::Never(_));
            if ends {
                if !self.failing {
                    warn!(host = self.host(), error = %untaken, "an event was not taken; said again once one is");
                }
                self.failing = true;
                self.metrics.cloud_event(Sent::Failed);
                return;
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), Untaken> {
        let sink = &self.sink;
        let mut request = sink
            .client
            .post(sink.url.clone())
            .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8");
        if let Some(token) = &sink.token {
            let token = token.read().map_err(|error| Untaken::Again(error.to_string()))?;
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = request.body(body).send().await;
        // The error's own words would hold the URL.
        let answer = answer.map_err(|error| match refused(&error) {
            Some(refused) => Untaken::Never(refused.to_string()),
            None => Untaken::Again(error.without_url().to_string()),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let why = format!("it answered {}", status.as_u16());
        let again = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
            );
        Err(if again {
            Untaken::Again(why)
        } else {
            Untaken::Never(why)
        })
    }

    fn host(&self) -> String {
        self.sink.url.host_str().unwrap_or_default().to_owned()
    }
}

/// An Event of Kubernetes as a CloudEvent, in JSON.
fn body(source: &str, event: &Event) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let reason = text(&event.reason);
    let regarding = event.regarding.clone().unwrap_or_default();
    let subject = [&regarding.namespace, &regarding.kind, &regarding.name].map(&text);
    let data = json!({
        "reason": reason,
        "severity": text(&event.type_),
        "action": text(&event.action),
        "note": text(&event.note),
        "regarding": object(&regarding),
        "related": event.related.as_ref().map(object),
        "instance": text(&event.reporting_instance),
    });
    let time = event
        .event_time
        .as_ref()
        .map(|time| time.0.to_string())
        .unwrap_or_default();
    let built = EventBuilderV10::new()
        .id(text(&event.metadata.name))
        .ty(format!("{TYPE}.{reason}"))
        .source(source)
        .subject(subject.join("/"))
        .time(time)
        .data("application/json", data)
        .build()?;
    Ok(serde_json::to_vec(&built)?)
}

fn object(reference: &ObjectReference) -> Value {
    json!({
        "apiVersion": reference.api_version,
        "kind": reference.kind,
        "namespace": reference.namespace,
        "name": reference.name,
        "uid": reference.uid,
    })
}

//! One Prometheus-compatible endpoint.
//!
//! Each query is one request with one deadline: no retries, no redirects, a bounded body. The loop
//! asks again with its next pass; a retry would only answer for a time that has passed. The one exception is a
//! token that was revoked, see `token.rs`.

pub mod addresses;
mod alerts;
mod error;
mod gate;
mod http;
mod places;
mod settings;
mod silences;
mod tenants;
mod token;
mod version;

pub use alerts::NotifyError;
pub use error::SourceError;
pub use gate::Clock;
pub use http::install_crypto_provider;
pub(crate) use http::{cause, retry_after};
pub use settings::{
    CONCURRENCY, DEFAULT_CONCURRENCY, DEFAULT_MEBIBYTES, DEFAULT_TIMEOUT, MAX_PARAMETERS, MAX_TIMEOUT, SCRAPE_INTERVAL,
};
pub use silences::{Silence, SilenceError};
pub use token::{DEFAULT_LIFETIME, LONGEST_LIFETIME, MARGIN, TOO_YOUNG, TokenError};

use super::{
    credentials::{self, Secrets, TLS},
    envelope::{self, Answer},
};
use crate::{clock, metrics::Metrics};
use addresses::Addresses;
use error::NO_TYPE;
use flyball_core::{
    breaker::Stage,
    decide::notify::Telling,
    policy::Query,
    signal::Reading,
    time::{Span, Timestamp},
};
use flyball_crds::MetricSourceSpec;
use gate::{Gate, Pass};
use http::{Asking, ERROR_BYTES, header, host};
use places::{Places, Tenant};
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use settings::Settings;
use silences::Alertmanager;
use std::{
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};
use token::Tokens;

/// A query that every server can answer and that costs it nothing.
const PROBE: &str = "time()";
/// How far a server's time of evaluation may be from the time asked for.
const MAX_SHIFT: Span = Span::from_secs(1);

/// A MetricSource, ready to be asked by one namespace, or by the controller itself. It has no `Debug`, for it holds credentials.
#[derive(Clone)]
pub struct Source {
    server: Arc<Server>,
    gate: Arc<Gate>,
    tenant: Tenant,
    metrics: Option<Arc<Metrics>>,
}

/// What all who ask a source share, but for the gate.
struct Server {
    name: String,
    client: Client,
    tokens: Option<Tokens>,
    url: Url,
    timeout: Span,
    mebibytes: i32,
    scrape_interval: Option<Span>,
    alertmanager: Option<Alertmanager>,
    now: Clock,
}

impl Source {
    /// A source of the MetricSource `name`. `secrets` holds what [`credentials::needed`] lists.
    pub fn new(name: impl Into<String>, spec: &MetricSourceSpec, secrets: &Secrets) -> Result<Self, SourceError> {
        Self::among(name, spec, secrets, &Addresses::default())
    }

    /// The same, where the installation says which addresses are asked.
    pub fn among(
        name: impl Into<String>,
        spec: &MetricSourceSpec,
        secrets: &Secrets,
        addresses: &Addresses,
    ) -> Result<Self, SourceError> {
        Self::build(name.into(), spec, secrets, addresses, Arc::new(clock::steady()))
    }

    /// With a clock of one's own for the circuit breakers, the rates and the tokens.
    pub fn with_clock(
        name: impl Into<String>,
        spec: &MetricSourceSpec,
        secrets: &Secrets,
        now: Clock,
    ) -> Result<Self, SourceError> {
        Self::build(name.into(), spec, secrets, &Addresses::default(), now)
    }

    fn build(
        name: String,
        spec: &MetricSourceSpec,
        secrets: &Secrets,
        addresses: &Addresses,
        now: Clock,
    ) -> Result<Self, SourceError> {
        let settings = Settings::read(spec)?;
        let headers = credentials::headers(spec, secrets)?;
        let tls = spec.tls.as_ref();
        let oauth2 = spec.auth.as_ref().and_then(|auth| auth.oauth2.as_ref());
        let plain = Asking {
            timeout: settings.timeout,
            secrets,
            addresses,
        };
        let tokens = oauth2
            .map(|oauth2| Tokens::new(oauth2, tls, &plain, Arc::clone(&now)))
            .transpose()?;
        let places = Places::new(settings.concurrency, settings.most_of_one);
        let patience = (settings.timeout, spread(&name));
        let gate = Gate::new(name.clone(), places, settings.rate, patience, Arc::clone(&now));
        let server = Server {
            client: http::client(&settings.url, headers, tls, &TLS, &plain)?,
            tokens,
            alertmanager: Alertmanager::new(spec, settings.timeout, addresses)?,
            url: settings.url,
            timeout: settings.timeout,
            mebibytes: settings.mebibytes,
            scrape_interval: settings.scrape_interval,
            now,
            name,
        };
        Ok(Self {
            server: Arc::new(server),
            gate: Arc::new(gate),
            tenant: None,
            metrics: None,
        })
    }

    /// This source in the place of `before`: the queries that `before` still has under way keep their places, if
    /// server and limits are the same. Its circuit breakers are forgotten: what failed may be what was changed.
    #[must_use]
    pub fn instead_of(mut self, before: &Self) -> Self {
        let (old, new) = (before.gate.places(), self.gate.places());
        if host(&before.server.url) == host(&self.server.url) && old.limits() == new.limits() {
            let Server { name, timeout, now, .. } = &*self.server;
            let patience = (*timeout, spread(name));
            let gate = Gate::new(name.clone(), old.clone(), self.gate.rate(), patience, Arc::clone(now));
            self.gate = Arc::new(gate);
        }
        self
    }

    /// The MetricSource's name.
    pub fn name(&self) -> &str {
        &self.server.name
    }

    /// How often the server scrapes, if the MetricSource says so.
    pub fn scrape_interval(&self) -> Option<Span> {
        self.server.scrape_interval
    }

    /// What the circuit breaker does with the next query.
    pub fn stage(&self) -> Stage {
        self.gate.stage()
    }

    /// Why the circuit breaker is not closed.
    pub fn outage(&self) -> Option<SourceError> {
        self.gate.outage()
    }

    /// Asks an instant query for the time `at`, when there is a place and the circuit breakers let it.
    ///
    /// What closes an open breaker of the source is not this query but one that costs the server nothing: one policy's query
    /// that never ends must not keep the breaker open for the queries of all others. For the same reason one that costs nothing follows a
    /// namespace's query that was not answered in time: it tells whether the query failed or the server.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Answer, SourceError> {
        let began = Instant::now();
        let entered = self.gate.enter(&self.tenant, text_number(query)).await;
        let waited = began.elapsed();
        let (answer, costly) = match entered {
            Ok(pass) => self.within(pass, query, at).await,
            Err(error) => (Err(error), false),
        };
        self.tell(&answer, costly, waited);
        answer
    }

    /// The answer, and whether it is the query's cost that failed.
    async fn within(&self, mut pass: Pass<'_>, query: &str, at: Timestamp) -> (Result<Answer, SourceError>, bool) {
        let server = &self.server;
        if pass.is_probe() {
            let probed = server.ask(PROBE, at).await;
            let again = pass.again(probed.as_ref().err());
            if let Err(error) = probed.and(again) {
                return (Err(error), false);
            }
        }
        let answer = server.ask(query, at).await;
        let costly = match &answer {
            Err(error) if pass.has_tenant() && error.may_be_the_query() => {
                let probed = server.ask(PROBE, at).await;
                pass.leave_after_probe(error, probed.as_ref().err())
            }
            answer => pass.leave(answer.as_ref().err()),
        };
        (answer, costly)
    }

    /// Asks a query and, at the same time, the age of the samples behind it.
    ///
    /// A value without a known age is an error, not fresh: an expression such as `x or vector(0)`
    /// goes on answering when nothing is scraped any more, and must not take replicas away then.
    pub async fn read(&self, query: &Query, max_age: Span, at: Timestamp) -> Reading {
        let age = async {
            match &query.age {
                Some(age) => self.instant(age, at).await.map(|answer| Some(age_of(&answer))),
                None => Ok(None),
            }
        };
        let (answer, age) = futures::join!(self.instant(&query.text, at), age);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return unread(&error, at, error.to_string()),
        };
        let known = match age {
            Ok(known) => known,
            Err(error) => return unread(&error, at, format!("the age of the samples could not be read: {error}")),
        };
        match known {
            // An empty answer is Missing, whatever its age.
            Some(None) if !answer.samples.is_empty() => Reading::failed(
                at,
                "there is a value but no sample behind it; is everything scraped, and is vector(...) hiding that it is not?",
            ),
            age => Reading::answered(at, answer.samples, &answer.warnings, age.flatten(), max_age),
        }
    }

    /// The silences in force, as the source's Alertmanager tells.
    pub async fn silences(&self, now: Timestamp) -> Result<Vec<Silence>, SilenceError> {
        match &self.server.alertmanager {
            Some(alertmanager) => alertmanager.silences(now).await,
            None => Err(SilenceError::None),
        }
    }

    /// Whether there is an Alertmanager to post alerts to.
    pub fn has_alertmanager(&self) -> bool {
        self.server.alertmanager.is_some()
    }

    /// Posts one batch of alerts to the source's Alertmanager: all of them, or an error.
    pub async fn notify(&self, tellings: &[Telling]) -> Result<(), NotifyError> {
        match &self.server.alertmanager {
            Some(alertmanager) => alertmanager.post(tellings).await,
            None => Err(NotifyError::None(self.server.name.clone())),
        }
    }

    /// Whether the server answers queries, for the time that it is asked for: one that evaluates earlier makes
    /// every sample look younger than it is.
    pub async fn ready(&self, now: Timestamp) -> Result<(), SourceError> {
        let answer = self.instant(PROBE, now).await?;
        let [time] = answer.samples.as_slice() else {
            return Ok(());
        };
        #[allow(clippy::cast_precision_loss)] // Milliseconds of this era fit into a double.
        let shift = (time.value - now.as_millis() as f64 / 1000.0).abs();
        let shift = span(shift).unwrap_or(Span::MAX);
        if shift > MAX_SHIFT {
            return Err(SourceError::Shifted(shift));
        }
        Ok(())
    }
}

impl Server {
    async fn ask(&self, query: &str, at: Timestamp) -> Result<Answer, SourceError> {
        let form = self.form(query, at);
        let mut response = self
            .send(|| {
                self.client
                    .post(self.url.clone())
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form.clone())
            })
            .await?;
        self.accept(&mut response).await?;
        let body = self
            .body(&mut response, usize::try_from(self.mebibytes).unwrap_or(1) << 20)
            .await?;
        let body = body.ok_or(SourceError::TooLarge(self.mebibytes))?;
        Ok(envelope::read(&body, at)?)
    }

    /// Sends a request, with a token where they are fetched. A token that the source refuses may have been
    /// revoked, so it is replaced and the request sent once more.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, SourceError> {
        let send = async |request: RequestBuilder| {
            let sent = request.header(ACCEPT, "application/json").send().await;
            sent.map_err(|error| self.failure(&error))
        };
        let Some(tokens) = &self.tokens else {
            return send(request()).await;
        };
        let token = tokens.token().await?;
        let response = send(request().header(AUTHORIZATION, token.header.clone())).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !tokens.refused(&token).await {
            return Ok(response);
        }
        let token = tokens.token().await?;
        send(request().header(AUTHORIZATION, token.header)).await
    }

    /// The query and its time as the body of a form.
    fn form(&self, query: &str, at: Timestamp) -> String {
        let (seconds, millis) = (at.as_millis().div_euclid(1000), at.as_millis().rem_euclid(1000));
        http::form(
            &self.url,
            [("query", query), ("time", &format!("{seconds}.{millis:03}"))],
        )
    }

    /// Refuses every response that is not JSON with a status of 200.
    async fn accept(&self, response: &mut Response) -> Result<(), SourceError> {
        let status = response.status();
        let kind = header(response, CONTENT_TYPE)
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let json = kind == "application/json";
        if status.is_redirection() {
            return Err(SourceError::Redirect {
                status: status.as_u16(),
                to: http::redirected_to(response),
            });
        }
        if status == StatusCode::OK {
            return match kind.as_str() {
                "application/json" => Ok(()),
                "text/html" | "application/xhtml+xml" => Err(SourceError::ContentType("HTML")),
                "" => Err(SourceError::ContentType("something without a content type")),
                _ => Err(SourceError::ContentType("another content type")),
            };
        }
        let retry_after = http::retry_after(response, (self.now)());
        let reason = match (json, status.as_u16()) {
            // The rest of a body that is too long, broken or late is not worth waiting for.
            (true, 400 | 422 | 500..=599) => self
                .body(response, ERROR_BYTES)
                .await
                .ok()
                .flatten()
                .and_then(|b| envelope::reason(&b)),
            _ => None,
        };
        Err(match status.as_u16() {
            status @ (400 | 422) => {
                let (kind, message) =
                    reason.unwrap_or_else(|| (NO_TYPE.to_owned(), "the server gave no reason".to_owned()));
                SourceError::QueryRefused { status, kind, message }
            }
            status @ (401 | 403) => SourceError::Unauthorized(status),
            404 => SourceError::NotFound,
            429 => SourceError::TooManyRequests { retry_after },
            status @ 500..=599 => SourceError::Unavailable {
                status,
                reason,
                retry_after,
            },
            status => SourceError::Status(status),
        })
    }

    async fn body(&self, response: &mut Response, limit: usize) -> Result<Option<Vec<u8>>, SourceError> {
        http::body(response, limit).await.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &reqwest::Error) -> SourceError {
        let host = || host(&self.url);
        if let Some(refused) = addresses::refused(error) {
            refused.into()
        } else if error.is_timeout() {
            SourceError::TimedOut(self.timeout)
        } else if error.is_connect() {
            SourceError::Connect {
                host: host(),
                reason: cause(error),
            }
        } else if error.is_body() || error.is_decode() {
            SourceError::Truncated
        } else {
            SourceError::Request {
                host: host(),
                reason: cause(error),
            }
        }
    }
}

fn unread(error: &SourceError, at: Timestamp, detail: String) -> Reading {
    if error.is_refusal() {
        Reading::refused(at, detail)
    } else {
        Reading::failed(at, detail)
    }
}

/// What is wrong with a source, as far as that can be said without its Secrets.
pub fn check(spec: &MetricSourceSpec) -> Vec<SourceError> {
    let secrets = credentials::needed(spec)
        .into_iter()
        .map(|key| (key, b"secret".to_vec()))
        .collect();
    let mut errors = Settings::check(spec);
    errors.extend(credentials::check(spec, &secrets).into_iter().map(SourceError::from));
    errors
}

/// A number in the place of a query's text.
fn text_number(query: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    query.hash(&mut hasher);
    hasher.finish()
}

/// By how much this source's pauses differ from those of others, in other clusters too, where it may have the same
/// name.
fn spread(name: &str) -> u64 {
    RandomState::new().hash_one(name)
}

/// The age in an age query's answer; `None` where no selector has a sample.
fn age_of(answer: &Answer) -> Option<Span> {
    let [age] = answer.samples.as_slice() else { return None };
    // A sample may be a moment ahead of us; that is fresh.
    span(age.value.max(0.0)).filter(|_| !age.value.is_nan())
}

/// Seconds, unless they are no number.
fn span(seconds: f64) -> Option<Span> {
    if seconds.is_nan() {
        return None;
    }
    let span = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Some(Span::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).min(Span::MAX))
}

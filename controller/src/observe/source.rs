//! One Prometheus-compatible endpoint.
//!
//! Each query is one request with one deadline: no retries, no redirects, a bounded body. The loop
//! asks again with its next pass; a retry would only answer for a time that has passed.

mod version;

use super::{
    credentials::{self, CredentialsError, Secrets},
    envelope::{self, Answer, EnvelopeError},
};
use flyball_core::{
    policy::Query,
    signal::Reading,
    time::{Span, SpanError, Timestamp},
};
use flyball_crds::MetricSourceSpec;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, LOCATION},
    redirect::Policy,
};
use std::time::Duration;

/// How long a query may take where the source does not say.
pub const DEFAULT_TIMEOUT: Span = Span::from_secs(10);
/// The longest that a source may let a query take: a pass waits for it.
pub const MAX_TIMEOUT: Span = Span::from_secs(120);
/// The largest answer that is read where the source does not say, in mebibytes.
pub const DEFAULT_MEBIBYTES: i32 = 8;
/// As much of an error's body is read, for its reason.
const ERROR_BYTES: usize = 64 << 10;
/// In place of an `errorType` that was not sent.
const NO_TYPE: &str = "no errorType";

/// Why a source can't be used or did not answer. No message holds a secret, a path or a body.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// The URL is not one that is asked.
    #[error("spec.url: {0}; write for example http://prometheus.monitoring:9090")]
    Url(&'static str),
    /// The time-out is not a duration.
    #[error("spec.timeout: {0}")]
    Timeout(#[from] SpanError),
    /// The time-out is zero or too long.
    #[error("spec.timeout: {0} is not between 1ms and {MAX_TIMEOUT}")]
    TimeoutRange(Span),
    /// Credentials, certificates or headers are wrong.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The client could not be built.
    #[error("the HTTP client could not be built: {0}")]
    Client(String),
    /// No answer in time.
    #[error("no answer within {0}; check the server's load, or raise spec.timeout of the MetricSource")]
    TimedOut(Span),
    /// No connection.
    #[error(
        "no connection to {host}: {reason}; check spec.url and spec.tls of the MetricSource and that the server runs"
    )]
    Connect {
        /// Host and port.
        host: String,
        /// The operating system's or TLS' reason.
        reason: String,
    },
    /// The request broke off otherwise.
    #[error("the request to {host} failed: {reason}; check spec.tls of the MetricSource and the server's log")]
    Request {
        /// Host and port.
        host: String,
        /// What broke.
        reason: String,
    },
    /// A redirect. It is not followed, and nothing is sent to where it points.
    #[error(
        "the server redirects to {to} (HTTP {status}); redirects are not followed, write the final address into spec.url"
    )]
    Redirect {
        /// The status.
        status: u16,
        /// The host it points to.
        to: String,
    },
    /// The server can't answer this query.
    #[error("the query was refused (HTTP {status}, {kind}): {message}")]
    QueryRefused {
        /// The status, 400 or 422.
        status: u16,
        /// The server's `errorType`.
        kind: String,
        /// The start of the server's `error`.
        message: String,
    },
    /// The credentials are missing or wrong.
    #[error("the server refuses access (HTTP {0}); check spec.auth and spec.headers of the MetricSource")]
    Unauthorized(u16),
    /// The API is not there.
    #[error(
        "there is no Prometheus API (HTTP 404); spec.url is the base, without /api/v1, for example http://mimir/prometheus"
    )]
    NotFound,
    /// Too many requests.
    #[error("the server is asked too often (HTTP 429); lengthen the policies' interval or raise the server's limit")]
    TooManyRequests,
    /// The server has trouble of its own.
    #[error("the server is not available (HTTP {status}{})", reason_of(.reason.as_ref()))]
    Unavailable {
        /// The status, 500 to 599.
        status: u16,
        /// Its `errorType` and `error`, where it sent them.
        reason: Option<(String, String)>,
    },
    /// Another status.
    #[error("the server answered HTTP {0}, which a Prometheus API does not; check spec.url of the MetricSource")]
    Status(u16),
    /// Another content type than JSON.
    #[error("the server answered {0}, not JSON; is spec.url a login page or a proxy?")]
    ContentType(&'static str),
    /// The body is larger than allowed.
    #[error(
        "the answer is larger than {0} MiB; aggregate the query, or raise spec.maxResponseMebibytes of the MetricSource"
    )]
    TooLarge(i32),
    /// The body broke off or is damaged.
    #[error("the answer broke off or is damaged; the server or a proxy closed the connection")]
    Truncated,
    /// The body is not an answer.
    #[error(transparent)]
    Answer(#[from] EnvelopeError),
}

impl SourceError {
    /// Whether the server answered that it does not take the expression. It is in order then, and
    /// asking again is of no use. A refusal that is not of the API's form comes from something in
    /// between, which knows nothing of expressions.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::QueryRefused { kind, .. } => kind != NO_TYPE,
            Self::Answer(EnvelopeError::Failed { kind, .. }) => matches!(kind.as_str(), "bad_data" | "execution"),
            _ => false,
        }
    }
}

fn reason_of(reason: Option<&(String, String)>) -> String {
    reason
        .map(|(kind, message)| format!(", {kind}: {message}"))
        .unwrap_or_default()
}

/// Installs the cryptography that all TLS connections of this process use, once. reqwest panics
/// where none is installed, so [`Source::new`] calls it too.
pub fn install_crypto_provider() {
    // An error says that one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// A MetricSource, ready to be asked. It has no `Debug`, for it holds credentials.
pub struct Source {
    name: String,
    client: Client,
    url: Url,
    timeout: Span,
    mebibytes: i32,
}

impl Source {
    /// A source of the MetricSource `name`. `secrets` holds what [`credentials::needed`] lists.
    pub fn new(name: impl Into<String>, spec: &MetricSourceSpec, secrets: &Secrets) -> Result<Self, SourceError> {
        let url = query_url(&spec.url)?;
        let timeout = timeout(spec)?;
        install_crypto_provider();
        let mut builder = Client::builder()
            .default_headers(credentials::headers(spec, secrets)?)
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("flyball/", env!("CARGO_PKG_VERSION")))
            .timeout(Duration::from_millis(timeout.as_millis()));
        if let Some(identity) = credentials::identity(spec.tls.as_ref(), secrets)? {
            builder = builder.identity(identity);
        }
        match credentials::authorities(spec.tls.as_ref(), secrets)? {
            Some(authorities) => builder = builder.tls_certs_only(authorities),
            // Without TLS the system's certificates are not needed, and their absence is no error.
            None if url.scheme() == "http" => builder = builder.tls_certs_only([]),
            None => {}
        }
        let client = builder.build().map_err(|error| SourceError::Client(cause(&error)))?;
        let mebibytes = spec.max_response_mebibytes.unwrap_or(DEFAULT_MEBIBYTES).clamp(1, 64);
        Ok(Self {
            name: name.into(),
            client,
            url,
            timeout,
            mebibytes,
        })
    }

    /// The MetricSource's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks an instant query for the time `at`.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Answer, SourceError> {
        let mut response = self
            .client
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(query, at))
            .send()
            .await
            .map_err(|error| self.failure(&error))?;
        self.accept(&mut response).await?;
        let body = self
            .body(&mut response, usize::try_from(self.mebibytes).unwrap_or(1) << 20)
            .await?;
        let body = body.ok_or(SourceError::TooLarge(self.mebibytes))?;
        Ok(envelope::read(&body, at)?)
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

    /// Whether the server answers queries.
    pub async fn ready(&self, now: Timestamp) -> Result<(), SourceError> {
        self.instant("1", now).await.map(drop)
    }

    /// The query and its time as the body of a form, which is written like a URL's query.
    fn form(&self, query: &str, at: Timestamp) -> String {
        let (seconds, millis) = (at.as_millis().div_euclid(1000), at.as_millis().rem_euclid(1000));
        let mut url = self.url.clone();
        let time = format!("{seconds}.{millis:03}");
        url.query_pairs_mut()
            .append_pair("query", query)
            .append_pair("time", &time);
        url.query().unwrap_or_default().to_owned()
    }

    /// Refuses every response that is not JSON with a status of 200.
    async fn accept(&self, response: &mut Response) -> Result<(), SourceError> {
        let status = response.status();
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let kind = header(CONTENT_TYPE)
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let json = kind == "application/json";
        if status.is_redirection() {
            let to = response
                .url()
                .join(header(LOCATION))
                .map_or_else(|_| "nowhere".to_owned(), |url| host(&url));
            return Err(SourceError::Redirect {
                status: status.as_u16(),
                to,
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
            429 => SourceError::TooManyRequests,
            status @ 500..=599 => SourceError::Unavailable { status, reason },
            status => SourceError::Status(status),
        })
    }

    /// The decoded body, or `None` as soon as it exceeds `limit`: compressed it may be small.
    async fn body(&self, response: &mut Response, limit: usize) -> Result<Option<Vec<u8>>, SourceError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(&error))? {
            if body.len() + chunk.len() > limit {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    fn failure(&self, error: &reqwest::Error) -> SourceError {
        let host = || host(&self.url);
        if error.is_timeout() {
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
    let headers = credentials::headers(spec, &secrets).err().map(SourceError::from);
    [query_url(&spec.url).err(), timeout(spec).err(), headers]
        .into_iter()
        .flatten()
        .collect()
}

fn timeout(spec: &MetricSourceSpec) -> Result<Span, SourceError> {
    let timeout = spec
        .timeout
        .as_ref()
        .map_or(Ok(DEFAULT_TIMEOUT), |timeout| timeout.0.parse())?;
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        return Err(SourceError::TimeoutRange(timeout));
    }
    Ok(timeout)
}

/// The age in an age query's answer; `None` where no selector has a sample.
fn age_of(answer: &Answer) -> Option<Span> {
    let [age] = answer.samples.as_slice() else { return None };
    if age.value.is_nan() {
        return None;
    }
    // A sample may be a moment ahead of us; that is fresh.
    let age = Duration::try_from_secs_f64(age.value.max(0.0)).unwrap_or(Duration::MAX);
    Some(Span::from_millis(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)).min(Span::MAX))
}

fn query_url(text: &str) -> Result<Url, SourceError> {
    let url = Url::parse(text).map_err(|_| SourceError::Url("this is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SourceError::Url("the scheme must be http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourceError::Url(
            "a user or password does not belong here but into spec.auth",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(SourceError::Url("a base URL has neither a query nor a fragment"));
    }
    let mut url = url;
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// Host and port, never the path: it may hold what is not to be told.
fn host(url: &Url) -> String {
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        _ => "nowhere".to_owned(),
    }
}

/// The innermost reason: the outer ones repeat the URL.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner
        .to_string()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

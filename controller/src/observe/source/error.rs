//! Why a source can't be used or did not answer.

use super::{
    addresses::Refused,
    settings::{CONCURRENCY, MAX_TIMEOUT, SCRAPE_INTERVAL},
    token::TokenError,
};
use crate::observe::{credentials::CredentialsError, envelope::EnvelopeError};
use flyball_core::time::{Span, SpanError, Timestamp};

/// In place of an `errorType` that was not sent.
pub(super) const NO_TYPE: &str = "no errorType";

/// By what servers say that a query costs too much: Prometheus ("query processing would load too many samples into memory"), Mimir and Thanos
/// ("exceeded the maximum number", "exceeded series limit"), VictoriaMetrics ("too many points", "cannot select more than", "exceeds", "not
/// enough memory"). With the blank, for a refusal may quote labels.
const COSTLY: [&str; 4] = ["too many ", " exceed", "cannot select more than", "not enough memory"];

/// Why a source can't be used or did not answer. No message holds a secret, a path or a body.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// The Alertmanager's URL is none.
    #[error("spec.alertmanager.url: {url}: {reason}; write for example http://alertmanager.monitoring:9093")]
    Alertmanager {
        /// What is written.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL is not one that is asked.
    #[error("spec.url: {0}; write for example http://prometheus.monitoring:9090")]
    Url(&'static str),
    /// The token endpoint's URL is not one that is asked.
    #[error("spec.auth.oauth2.tokenUrl: {0}; write for example https://login.example/oauth2/token")]
    TokenUrl(&'static str),
    /// It names an address that is not asked, or a name that leads to one.
    #[error(transparent)]
    Address(#[from] Refused),
    /// The time-out is not a duration.
    #[error("spec.timeout: {0}")]
    Timeout(#[from] SpanError),
    /// The time-out is zero or too long.
    #[error("spec.timeout: {0} is not between 1ms and {MAX_TIMEOUT}")]
    TimeoutRange(Span),
    /// The scrape interval is not a duration.
    #[error("spec.scrapeInterval: {0}")]
    ScrapeInterval(SpanError),
    /// The scrape interval is too short or too long.
    #[error("spec.scrapeInterval: {0} is not between {min} and {max}", min = SCRAPE_INTERVAL.0, max = SCRAPE_INTERVAL.1)]
    ScrapeIntervalRange(Span),
    /// A limit that lets nothing through, or too much.
    #[error("spec.maxConcurrentQueries: {0} is not between 1 and {max}; write for example 16", max = CONCURRENCY.1)]
    Concurrency(i32),
    /// A limit of each namespace that lets nothing through, or too much.
    #[error("spec.perNamespace.{field}: {value} is not between 1 and {max}; write a number of these, or remove it")]
    PerNamespace {
        /// Its last part.
        field: &'static str,
        /// What is written.
        value: i32,
        /// The most.
        max: i32,
    },
    /// A burst without a rate.
    #[error("spec.perNamespace.burst: it goes with spec.perNamespace.queriesPerSecond; set that, or remove burst")]
    BurstAlone,
    /// Limits without one.
    #[error("spec.perNamespace: it needs maxConcurrentQueries or queriesPerSecond; set one, or remove perNamespace")]
    NoLimit,
    /// A parameter that can't be sent.
    #[error("{field}.{name}: {reason}")]
    Parameter {
        /// The map that holds it.
        field: &'static str,
        /// Its name, escaped.
        name: String,
        /// What is wrong and the way out.
        reason: &'static str,
    },
    /// More parameters than are sent.
    #[error("{field}: {count} entries, at most {max} are allowed", max = super::settings::MAX_PARAMETERS)]
    Parameters {
        /// The map.
        field: &'static str,
        /// How many there are.
        count: usize,
    },
    /// Credentials, certificates or headers are wrong.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The client could not be built.
    #[error("the HTTP client could not be built: {0}")]
    Client(String),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No place among the queries under way.
    #[error(
        "no place among the {limit} queries at once within {waited}; raise spec.maxConcurrentQueries of the MetricSource or lengthen the policies' interval"
    )]
    Busy {
        /// How many may be under way.
        limit: usize,
        /// How long was waited.
        waited: Span,
    },
    /// The namespace has as many queries under way as it may have.
    #[error(
        "no place within {waited} among the {limit} queries at once that spec.perNamespace.maxConcurrentQueries of MetricSource {source_name} allows namespace {namespace}; lengthen the interval of its policies, or have that raised"
    )]
    NamespaceBusy {
        /// The source.
        source_name: String,
        /// The namespace.
        namespace: String,
        /// How many may be under way.
        limit: usize,
        /// How long was waited.
        waited: Span,
    },
    /// The namespace asks more often than it may.
    #[error(
        "not asked, namespace {namespace} asks more than the {per_second} queries per second that spec.perNamespace.queriesPerSecond of MetricSource {source_name} allows, and its next turn is {wait} away; lengthen the interval of its policies, or have that raised"
    )]
    NamespaceRate {
        /// The source.
        source_name: String,
        /// The namespace.
        namespace: String,
        /// How many in a second it may ask.
        per_second: u32,
        /// How long this one would have to wait.
        wait: Span,
    },
    /// The namespace's own circuit breaker is open.
    #[error(
        "not asked, queries of namespace {namespace} that cost MetricSource {source_name} too much are left alone since {}, the last: {why}; make them cheaper, by a recording rule, a shorter range or fewer series",
        crate::clock::time(*.since).0
    )]
    NamespaceOpen {
        /// The source.
        source_name: String,
        /// The namespace.
        namespace: String,
        /// Since when.
        since: Timestamp,
        /// The last failure.
        why: String,
    },
    /// The circuit breaker is open.
    #[error("not asked, the circuit breaker is open since {} after repeated failures, the last: {why}", crate::clock::time(*.since).0)]
    Open {
        /// Since when.
        since: Timestamp,
        /// The last failure.
        why: String,
    },
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
    TooManyRequests {
        /// How long it wants to be left alone, if it said so.
        retry_after: Option<Span>,
    },
    /// The server has trouble of its own.
    #[error("the server is not available (HTTP {status}{})", reason_of(.reason.as_ref()))]
    Unavailable {
        /// The status, 500 to 599.
        status: u16,
        /// Its `errorType` and `error`, where it sent them.
        reason: Option<(String, String)>,
        /// How long it wants to be left alone, if it said so.
        retry_after: Option<Span>,
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
    /// The server evaluates at another time than it is asked to.
    #[error(
        "the server evaluates {0} away from the time it is asked for, so ages of samples are wrong; compare its clock, and on VictoriaMetrics set nocache: \"1\" in spec.queryParams of the MetricSource"
    )]
    Shifted(Span),
}

impl SourceError {
    /// Whether the server, or the way to it, failed, as against an answer that is of no use. An answer of 4xx to
    /// a query says nothing about the server. Without a token the source can't be asked, so each failure to get
    /// one counts too: a refused client must not knock with every query.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Token(_)
            | Self::TimedOut(_)
            | Self::Connect { .. }
            | Self::Request { .. }
            | Self::TooManyRequests { .. }
            | Self::Unavailable { .. }
            | Self::Truncated => true,
            Self::Url(_)
            | Self::Address(_)
            | Self::Alertmanager { .. }
            | Self::TokenUrl(_)
            | Self::Timeout(_)
            | Self::TimeoutRange(_)
            | Self::ScrapeInterval(_)
            | Self::ScrapeIntervalRange(_)
            | Self::Concurrency(_)
            | Self::PerNamespace { .. }
            | Self::BurstAlone
            | Self::NoLimit
            | Self::Parameter { .. }
            | Self::Parameters { .. }
            | Self::Credentials(_)
            | Self::Client(_)
            | Self::Busy { .. }
            | Self::NamespaceBusy { .. }
            | Self::NamespaceRate { .. }
            | Self::NamespaceOpen { .. }
            | Self::Open { .. }
            | Self::Redirect { .. }
            | Self::QueryRefused { .. }
            | Self::Unauthorized(_)
            | Self::NotFound
            | Self::Status(_)
            | Self::ContentType(_)
            | Self::TooLarge(_)
            | Self::Answer(_)
            | Self::Shifted(_) => false,
        }
    }

    /// The error as others may read it, whose query it was not: the server's words may quote that.
    pub(super) fn without_servers_words(&self) -> Self {
        match self {
            Self::Unavailable {
                status, retry_after, ..
            } => Self::Unavailable {
                status: *status,
                reason: None,
                retry_after: *retry_after,
            },
            error => error.clone(),
        }
    }

    /// Whether the query costs too much: the server says so, as against an expression that can't be evaluated, or more is answered than
    /// is read.
    pub fn is_costly(&self) -> bool {
        match self {
            Self::QueryRefused {
                status: 422, message, ..
            } => {
                let message = message.to_ascii_lowercase();
                COSTLY.iter().any(|words| message.contains(words))
            }
            Self::TooLarge(_) | Self::Answer(EnvelopeError::TooManySeries(_)) => true,
            _ => false,
        }
    }

    /// Whether this may be the query's fault as well as the server's: no answer in time, whoever says so. A server that wants to be left
    /// alone says it of itself.
    pub fn may_be_the_query(&self) -> bool {
        match self {
            Self::TimedOut(_) => true,
            Self::Unavailable {
                status: 503 | 504,
                retry_after,
                ..
            } => retry_after.is_none_or(Span::is_zero),
            _ => false,
        }
    }

    /// How long the server wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Span> {
        match self {
            Self::TooManyRequests { retry_after } | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Token(error) => error.retry_after(),
            _ => None,
        }
    }
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

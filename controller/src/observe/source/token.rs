//! Tokens by the client credentials grant of OAuth 2.0 (RFC 6749, section 4.4).
//!
//! A token is kept until shortly before it expires and fetched by one query while the others wait. Nothing in
//! here derives `Debug`, and no error holds a secret, a token or a part of a body.

use super::{
    SourceError,
    gate::Clock,
    http::{self, Asking, ERROR_BYTES},
    settings,
};
use crate::{
    observe::credentials::{self, CredentialsError, OAUTH2_TLS, TLS},
    promql::shorten,
};
use flyball_core::time::{Span, Timestamp};
use flyball_crds::{ClientAuthentication, OAuth2, Tls};
use reqwest::{
    Client, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

/// How long a token is used whose answer does not say how long it lives.
pub const DEFAULT_LIFETIME: Span = Span::from_secs(300);
/// A token is fetched anew after this at the latest, however long it lives.
pub const LONGEST_LIFETIME: Span = Span::from_secs(24 * 3600);
/// A token is replaced so long before it expires, or after three quarters of a short life.
pub const MARGIN: Span = Span::from_secs(30);
/// A token younger than this that the source refuses is not replaced at once: another would be refused too, and
/// the token endpoint must not be asked with every query.
pub const TOO_YOUNG: Span = Span::from_secs(5);

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No answer in time.
    #[error(
        "spec.auth.oauth2: no token from {host} within {timeout}; check the token endpoint, or raise spec.timeout of the MetricSource"
    )]
    TimedOut {
        /// Host and port.
        host: String,
        /// How long was waited.
        timeout: Span,
    },
    /// No connection, or it broke off.
    #[error(
        "spec.auth.oauth2: no connection to the token endpoint {host}: {reason}; check tokenUrl and tls, and that it runs"
    )]
    Connect {
        /// Host and port.
        host: String,
        /// The operating system's or TLS' reason.
        reason: String,
    },
    /// A redirect. It is not followed, and no secret is sent to where it points.
    #[error(
        "spec.auth.oauth2: the token endpoint redirects to {to} (HTTP {status}); redirects are not followed, write the final address into tokenUrl"
    )]
    Redirect {
        /// The status.
        status: u16,
        /// The host it points to.
        to: String,
    },
    /// The client, or what it asks for, is refused.
    #[error(
        "spec.auth.oauth2: {host} gives no token (HTTP {status}, {code}); check clientId, clientSecret, clientAuthentication, scopes and audience"
    )]
    Refused {
        /// Host and port.
        host: String,
        /// The status, 400 to 499.
        status: u16,
        /// The `error` of its answer, where it is one of the standard's.
        code: &'static str,
    },
    /// It has trouble of its own, or is asked too often.
    #[error(
        "spec.auth.oauth2: the token endpoint {host} is not available (HTTP {status}); check its log and its limits"
    )]
    Unavailable {
        /// Host and port.
        host: String,
        /// The status, 429 or 500 to 599.
        status: u16,
        /// How long it wants to be left alone, if it said so.
        retry_after: Option<Span>,
    },
    /// Another answer than a token.
    #[error("spec.auth.oauth2: {host} answered {what}, not a token; check that tokenUrl is a token endpoint")]
    Answer {
        /// Host and port.
        host: String,
        /// What it is instead.
        what: &'static str,
    },
}

impl TokenError {
    /// How long the token endpoint wants to be left alone, if it said so.
    pub fn retry_after(&self) -> Option<Span> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Fetches tokens and keeps the last. It has no `Debug`, for it holds the secret.
pub(super) struct Tokens {
    client: Client,
    url: Url,
    form: String,
    timeout: Span,
    now: Clock,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// The last failure, and when it ended.
    failed: Option<(Instant, TokenError)>,
}

/// A token, ready to be sent. It has no `Debug`.
#[derive(Clone)]
pub(super) struct Token {
    /// The header, marked as sensitive.
    pub header: HeaderValue,
    fetched: Timestamp,
    until: Timestamp,
}

impl Tokens {
    /// For these settings. `tls` are the source's, for a token endpoint without its own.
    pub fn new(oauth2: &OAuth2, tls: Option<&Tls>, asking: &Asking<'_>, now: Clock) -> Result<Self, SourceError> {
        let url = settings::token_url(&oauth2.token_url)?;
        settings::parameters(
            "spec.auth.oauth2.endpointParams",
            &oauth2.endpoint_params,
            &settings::TOKEN_PARAMETERS,
        )?;
        let secret = credentials::client_secret(oauth2, asking.secrets)?;
        let scope = oauth2.scopes.join(" ");
        let mut pairs = vec![("grant_type", "client_credentials")];
        if !scope.is_empty() {
            pairs.push(("scope", &scope));
        }
        pairs.extend(oauth2.audience.as_deref().map(|audience| ("audience", audience)));
        pairs.extend(
            oauth2
                .endpoint_params
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let mut headers = HeaderMap::new();
        match oauth2.client_authentication.unwrap_or_default() {
            ClientAuthentication::Form => {
                pairs.push(("client_id", &oauth2.client_id));
                pairs.push(("client_secret", secret));
            }
            ClientAuthentication::Basic => {
                // Both are form-encoded first (RFC 6749, section 2.3.1).
                let encoded = |text| http::form(&url, [("", text)]).trim_start_matches('=').to_owned();
                let value = credentials::basic(&encoded(&oauth2.client_id), &encoded(secret))
                    .map_err(|_| CredentialsError::Client(shorten(&oauth2.client_id)))?;
                headers.insert(AUTHORIZATION, value);
            }
        }
        let form = http::form(&url, pairs);
        let (tls, fields) = match &oauth2.tls {
            Some(own) => (Some(own), &OAUTH2_TLS),
            None => (tls, &TLS),
        };
        Ok(Self {
            client: http::client(&url, headers, tls, fields, asking)?,
            url,
            form,
            timeout: asking.timeout,
            now,
            held: Mutex::default(),
        })
    }

    /// A token that is good for now. One caller fetches it while the others wait; if it fails, it fails for those
    /// that waited too.
    pub async fn token(&self) -> Result<Token, TokenError> {
        let came = Instant::now();
        let mut held = self.held.lock().await;
        let now = (self.now)();
        if let Some(token) = held.token.as_ref().filter(|token| now < token.until) {
            return Ok(token.clone());
        }
        if let Some((_, error)) = held.failed.as_ref().filter(|(ended, _)| *ended >= came) {
            return Err(error.clone());
        }
        // It counts from before it is asked for.
        match self.fetch(now).await {
            Ok(token) => {
                *held = Held {
                    token: Some(token.clone()),
                    failed: None,
                };
                Ok(token)
            }
            Err(error) => {
                held.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Takes back a token that the source refused. Whether another may do better.
    pub async fn refused(&self, token: &Token) -> bool {
        let mut held = self.held.lock().await;
        let same = held.token.as_ref().is_some_and(|held| held.header == token.header);
        if same && (self.now)().since(token.fetched) < TOO_YOUNG {
            return false;
        }
        if same {
            held.token = None;
        }
        true
    }

    async fn fetch(&self, now: Timestamp) -> Result<Token, TokenError> {
        let mut response = self
            .client
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form.clone())
            .send()
            .await
            .map_err(|error| self.failure(&error))?;
        let status = response.status();
        let host = || http::host(&self.url);
        if status.is_redirection() {
            return Err(TokenError::Redirect {
                status: status.as_u16(),
                to: http::redirected_to(&response),
            });
        }
        if status.as_u16() == 429 || status.is_server_error() {
            return Err(TokenError::Unavailable {
                host: host(),
                status: status.as_u16(),
                retry_after: http::retry_after(&response, now),
            });
        }
        let body = self.body(&mut response).await?;
        if status.is_client_error() {
            return Err(TokenError::Refused {
                host: host(),
                status: status.as_u16(),
                code: code(&body),
            });
        }
        if !status.is_success() {
            return Err(self.answer("a status that a token endpoint does not"));
        }
        read(&body, now).map_err(|what| self.answer(what))
    }

    async fn body(&self, response: &mut Response) -> Result<Vec<u8>, TokenError> {
        let body = http::body(response, ERROR_BYTES)
            .await
            .map_err(|error| self.failure(&error))?;
        body.ok_or_else(|| self.answer("more than 64 KiB"))
    }

    fn answer(&self, what: &'static str) -> TokenError {
        TokenError::Answer {
            host: http::host(&self.url),
            what,
        }
    }

    fn failure(&self, error: &reqwest::Error) -> TokenError {
        let host = http::host(&self.url);
        if error.is_timeout() {
            TokenError::TimedOut {
                host,
                timeout: self.timeout,
            }
        } else {
            TokenError::Connect {
                host,
                reason: http::cause(error),
            }
        }
    }
}

/// The `error` of an answer, if it is one of RFC 6749, section 5.2, or RFC 8707. Other texts may repeat what was
/// sent.
fn code(body: &[u8]) -> &'static str {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    const KNOWN: [&str; 7] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
    ];
    let refusal = serde_json::from_slice::<Refusal>(body).ok();
    refusal
        .and_then(|refusal| KNOWN.into_iter().find(|known| *known == refusal.error))
        .unwrap_or("no reason of the standard")
}

/// Reads a token's answer (RFC 6749, section 5.1).
fn read(body: &[u8], fetched: Timestamp) -> Result<Token, &'static str> {
    #[derive(Deserialize)]
    struct Issued {
        access_token: String,
        token_type: String,
        #[serde(default)]
        expires_in: Option<serde_json::Value>,
    }
    let issued: Issued = serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => "JSON without access_token and token_type",
        _ => "something that is not JSON",
    })?;
    if !issued.token_type.eq_ignore_ascii_case("bearer") {
        return Err("a token of another type than Bearer");
    }
    let visible = |byte: u8| byte.is_ascii_graphic();
    if issued.access_token.is_empty() || !issued.access_token.bytes().all(visible) {
        return Err("a token with characters that can't be sent");
    }
    let lifetime = match &issued.expires_in {
        None | Some(serde_json::Value::Null) => DEFAULT_LIFETIME,
        Some(written) => lifetime(written).ok_or("an expires_in that is not a number of seconds")?,
    };
    let mut header = HeaderValue::try_from(format!("Bearer {}", issued.access_token))
        .map_err(|_| "a token with characters that can't be sent")?;
    header.set_sensitive(true);
    Ok(Token {
        header,
        fetched,
        until: fetched + used_for(lifetime),
    })
}

/// Seconds as a number or, as some endpoints write it, as a text.
fn lifetime(written: &serde_json::Value) -> Option<Span> {
    let seconds = match written {
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => text.parse::<f64>().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|seconds| !seconds.is_nan())?;
    let span = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(std::time::Duration::MAX);
    Some(Span::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).min(LONGEST_LIFETIME))
}

/// How long a token of this lifetime is used.
fn used_for(lifetime: Span) -> Span {
    let margin = Span::from_millis(lifetime.as_millis() / 4).min(MARGIN);
    Span::from_millis(lifetime.as_millis().saturating_sub(margin.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_are_replaced_shortly_before_they_expire() {
        for (lifetime, expect) in [(3600, 3570), (120, 90), (60, 45), (4, 3), (0, 0), (86_400, 86_370)] {
            assert_eq!(
                used_for(Span::from_secs(lifetime)),
                Span::from_secs(expect),
                "{lifetime}"
            );
        }
    }

    #[test]
    fn lifetimes_are_numbers_of_seconds() {
        for (written, expect) in [
            (json!(3600), Some(Span::from_secs(3600))),
            (json!("3599"), Some(Span::from_secs(3599))),
            (json!(0.5), Some(Span::from_millis(500))),
            (json!(-1), Some(Span::ZERO)),
            (json!(1e300), Some(LONGEST_LIFETIME)),
            (json!("soon"), None),
            (json!(true), None),
        ] {
            assert_eq!(lifetime(&written), expect, "{written}");
        }
    }
}

//! HTTP as sources and token endpoints are asked: no redirects, one deadline, bounded bodies.

use super::{SourceError, addresses::Addresses};
use crate::observe::credentials::{self, Secrets, TlsFields};
use flyball_core::time::{Span, Timestamp};
use flyball_crds::Tls;
use reqwest::{
    Client, Response, Url,
    header::{HeaderMap, HeaderName, LOCATION, RETRY_AFTER},
    redirect::Policy,
};
use std::time::Duration;

/// As much of an error's body is read, for its reason.
pub(super) const ERROR_BYTES: usize = 64 << 10;

/// Installs the cryptography that all TLS connections of this process use, once. reqwest panics
/// where none is installed, so whoever builds a client calls it.
pub fn install_crypto_provider() {
    // An error says that one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// What all clients of a source have in common.
pub(super) struct Asking<'a> {
    pub timeout: Span,
    pub secrets: &'a Secrets,
    pub addresses: &'a Addresses,
}

/// A client for `url` with these TLS settings, which `fields` names in errors.
pub(super) fn client(
    url: &Url,
    headers: HeaderMap,
    tls: Option<&Tls>,
    fields: &TlsFields,
    asking: &Asking<'_>,
) -> Result<Client, SourceError> {
    let Asking {
        timeout,
        secrets,
        addresses,
    } = *asking;
    install_crypto_provider();
    addresses.check_url(url)?;
    let mut builder = Client::builder()
        .default_headers(headers)
        .redirect(Policy::none())
        .referer(false)
        .dns_resolver(addresses.resolver())
        .user_agent(concat!("flyball/", env!("CARGO_PKG_VERSION")))
        .timeout(Duration::from_millis(timeout.as_millis()));
    let identity = credentials::identity(tls, fields, secrets)?;
    let with_identity = identity.is_some();
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    match credentials::authorities(tls, fields, secrets)? {
        Some(authorities) => builder = builder.tls_certs_only(authorities),
        // Without TLS the system's certificates are not needed, and their absence is no error.
        None if url.scheme() == "http" => builder = builder.tls_certs_only([]),
        None => {}
    }
    builder.build().map_err(|error| {
        if with_identity {
            // What else there is in a client has been read one by one.
            SourceError::Credentials(credentials::mismatch(tls, fields, cause(&error)))
        } else {
            SourceError::Client(cause(&error))
        }
    })
}

/// The decoded body, or `None` as soon as it exceeds `limit`: compressed it may be small.
pub(super) async fn body(response: &mut Response, limit: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// A header of the response as text; empty where it is absent or no text.
pub(super) fn header(response: &Response, name: HeaderName) -> &str {
    let value = response.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The host that a redirect points to.
pub(super) fn redirected_to(response: &Response) -> String {
    let to = response.url().join(header(response, LOCATION));
    to.map_or_else(|_| "nowhere".to_owned(), |url| host(&url))
}

/// How long the server wants to be left alone (RFC 9110, section 10.2.3): seconds, or a date.
pub(crate) fn retry_after(response: &Response, now: Timestamp) -> Option<Span> {
    let text = header(response, RETRY_AFTER).trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Span::from_secs(seconds).min(Span::MAX));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Timestamp::from_millis(date.as_millisecond()).since(now))
}

/// `pairs` as the body of a form, which is written like a URL's query.
pub(super) fn form<'a>(base: &Url, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut url = base.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

/// Host and port, never the path: it may hold what is not to be told.
pub(super) fn host(url: &Url) -> String {
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        _ => "nowhere".to_owned(),
    }
}

/// The innermost reason: the outer ones repeat the URL.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
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

//! What a MetricSource needs from Secrets, and what becomes of it in requests.
//!
//! Nothing in here prints a secret: no error carries one, and no type with one derives `Debug`.

use flyball_crds::{Auth, Header, MetricSourceSpec, SecretKey, Tls};
use reqwest::{
    Certificate, Identity,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use std::collections::{BTreeMap, BTreeSet};

/// The contents of the Secrets that sources name.
pub type Secrets = BTreeMap<SecretKey, Vec<u8>>;

/// Why credentials, certificates or headers can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The Secret or its key does not exist.
    #[error("{field}: the Secret {secret:?} has no key {key:?} in the controller's namespace; create it")]
    Missing {
        /// The field that names it.
        field: &'static str,
        /// The Secret's name.
        secret: String,
        /// The key within it.
        key: String,
    },
    /// The Secret's content has another form than needed.
    #[error("{field}: the key {key:?} of the Secret {secret:?} is not {expected}; replace its content")]
    Content {
        /// The field that names it.
        field: &'static str,
        /// The Secret's name.
        secret: String,
        /// The key within it.
        key: String,
        /// What is needed.
        expected: &'static str,
    },
    /// Both kinds of credentials, or none.
    #[error("spec.auth: exactly one of bearer and basic is needed; remove the other")]
    Auth,
    /// A user that can't be sent.
    #[error("spec.auth.basic.username: {0} can't be sent; a user has neither a colon nor control characters")]
    User(String),
    /// A header that can't be sent.
    #[error("spec.headers[{index}]: {reason}")]
    Header {
        /// Its place in the list.
        index: usize,
        /// What is wrong and the way out.
        reason: &'static str,
    },
}

/// The keys that a source's Secrets must have.
pub fn needed(spec: &MetricSourceSpec) -> BTreeSet<SecretKey> {
    let tls = spec.tls.iter().flat_map(|tls| [&tls.ca, &tls.identity]).flatten();
    let bearer = spec.auth.iter().filter_map(|auth| auth.bearer.as_ref());
    let basic = spec
        .auth
        .iter()
        .filter_map(|auth| auth.basic.as_ref())
        .map(|basic| &basic.password);
    tls.chain(bearer).chain(basic).cloned().collect()
}

/// The content of `key`, or which key is missing.
fn find<'a>(field: &'static str, key: &SecretKey, secrets: &'a Secrets) -> Result<&'a [u8], CredentialsError> {
    secrets
        .get(key)
        .map(Vec::as_slice)
        .ok_or_else(|| CredentialsError::Missing {
            field,
            secret: key.name.clone(),
            key: key.key.clone(),
        })
}

fn content(field: &'static str, key: &SecretKey, expected: &'static str) -> CredentialsError {
    CredentialsError::Content {
        field,
        secret: key.name.clone(),
        key: key.key.clone(),
        expected,
    }
}

/// A credential as text, without the line break that editors leave behind.
fn text<'a>(field: &'static str, key: &SecretKey, secrets: &'a Secrets) -> Result<&'a str, CredentialsError> {
    let text = std::str::from_utf8(find(field, key, secrets)?).map(|text| text.trim_end_matches(['\r', '\n']));
    text.ok()
        .filter(|text| !text.is_empty() && !text.contains(char::is_control))
        .ok_or_else(|| content(field, key, "one line of text"))
}

/// The headers of every request, credentials included and marked as sensitive.
pub(super) fn headers(spec: &MetricSourceSpec, secrets: &Secrets) -> Result<HeaderMap, CredentialsError> {
    let mut headers = HeaderMap::new();
    for (index, Header { name, value }) in spec.headers.iter().enumerate() {
        let wrong = |reason| CredentialsError::Header { index, reason };
        let lower = name.to_ascii_lowercase();
        if ["authorization", "proxy-authorization", "cookie", "host"].contains(&lower.as_str()) {
            return Err(wrong("this header is not allowed here; put credentials into spec.auth"));
        }
        if [
            "accept",
            "accept-encoding",
            "content-type",
            "content-length",
            "transfer-encoding",
            "connection",
        ]
        .contains(&lower.as_str())
        {
            return Err(wrong("this header is set by the controller; remove it"));
        }
        let name = HeaderName::try_from(lower).map_err(|_| wrong("a name has letters, digits and dashes only"))?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong("a value has visible ASCII characters only"))?;
        headers.append(name, value);
    }
    if let Some(mut value) = spec
        .auth
        .as_ref()
        .map(|auth| authorization(auth, secrets))
        .transpose()?
    {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn authorization(auth: &Auth, secrets: &Secrets) -> Result<HeaderValue, CredentialsError> {
    let (field, key, value) = match (&auth.bearer, &auth.basic) {
        (Some(key), None) => {
            let field = "spec.auth.bearer";
            (field, key, format!("Bearer {}", text(field, key, secrets)?))
        }
        (None, Some(basic)) => {
            let (field, user) = ("spec.auth.basic.password", &basic.username);
            if user.contains(|c: char| c == ':' || c.is_control()) {
                return Err(CredentialsError::User(format!("{user:?}")));
            }
            let pair = format!("{user}:{}", text(field, &basic.password, secrets)?);
            (field, &basic.password, format!("Basic {}", base64(pair.as_bytes())))
        }
        _ => return Err(CredentialsError::Auth),
    };
    HeaderValue::from_str(&value).map_err(|_| content(field, key, "one line of visible ASCII characters"))
}

/// The certificate authorities instead of the system's, if the source names some.
pub(super) fn authorities(tls: Option<&Tls>, secrets: &Secrets) -> Result<Option<Vec<Certificate>>, CredentialsError> {
    let field = "spec.tls.ca";
    let Some(key) = tls.and_then(|tls| tls.ca.as_ref()) else {
        return Ok(None);
    };
    Certificate::from_pem_bundle(find(field, key, secrets)?)
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .map(Some)
        .ok_or_else(|| content(field, key, "a list of certificates in PEM"))
}

/// Our certificate with its key, if the source names one.
pub(super) fn identity(tls: Option<&Tls>, secrets: &Secrets) -> Result<Option<Identity>, CredentialsError> {
    let field = "spec.tls.identity";
    let Some(key) = tls.and_then(|tls| tls.identity.as_ref()) else {
        return Ok(None);
    };
    Identity::from_pem(find(field, key, secrets)?).map(Some).map_err(|_| {
        content(
            field,
            key,
            "a certificate and its private key in PEM, one after the other",
        )
    })
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let word = chunk.iter().fold(0, |word, byte| word << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        let letter = move |n: usize| char::from(ALPHABET[word >> (18 - 6 * n) & 63]);
        let padding = "=".repeat(3 - chunk.len());
        (0..=chunk.len())
            .map(letter)
            .chain(padding.chars().collect::<Vec<_>>())
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("a:\u{ff}~?", "YTrDv34/"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}

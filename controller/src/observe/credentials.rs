//! What a MetricSource needs from Secrets, and what becomes of it in requests.
//!
//! Nothing in here prints a secret: no error carries one, and no type with one derives `Debug`.

use crate::promql::shorten;
use flyball_crds::{Auth, Header, KeyPair, MetricSourceSpec, OAuth2, SecretKey, Tls};
use reqwest::{
    Certificate, Identity,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue},
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
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
    /// Several kinds of credentials, or none.
    #[error("spec.auth: exactly one of bearer, basic and oauth2 is needed; remove the others")]
    Auth,
    /// Two certificates of our own.
    #[error("{0}: at most one of identity and keyPair is allowed; remove the other")]
    Tls(&'static str),
    /// A certificate and a key that can't be used together.
    #[error("{field}: the certificate and its key can't be used ({reason}); replace both")]
    KeyPair {
        /// The field that names them.
        field: &'static str,
        /// What TLS says of them.
        reason: String,
    },
    /// A client's name that can't be sent.
    #[error("spec.auth.oauth2.clientId: {0} can't be sent; it has visible ASCII characters and blanks only")]
    Client(String),
    /// A scope that can't be sent.
    #[error(
        "spec.auth.oauth2.scopes[{index}]: {scope} is not a scope; write visible ASCII characters without quotes, backslashes and blanks"
    )]
    Scope {
        /// Its place in the list.
        index: usize,
        /// What is written.
        scope: String,
    },
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

/// What the parts of TLS settings are called in errors: a source's own and its token endpoint's.
pub(super) struct TlsFields {
    tls: &'static str,
    ca: &'static str,
    identity: &'static str,
    key_pair: &'static str,
    certificate: &'static str,
    key: &'static str,
}

/// A source's own.
pub(super) const TLS: TlsFields = TlsFields {
    tls: "spec.tls",
    ca: "spec.tls.ca",
    identity: "spec.tls.identity",
    key_pair: "spec.tls.keyPair",
    certificate: "spec.tls.keyPair.certificate",
    key: "spec.tls.keyPair.key",
};

/// Those of its token endpoint.
pub(super) const OAUTH2_TLS: TlsFields = TlsFields {
    tls: "spec.auth.oauth2.tls",
    ca: "spec.auth.oauth2.tls.ca",
    identity: "spec.auth.oauth2.tls.identity",
    key_pair: "spec.auth.oauth2.tls.keyPair",
    certificate: "spec.auth.oauth2.tls.keyPair.certificate",
    key: "spec.auth.oauth2.tls.keyPair.key",
};

/// The keys that a source's Secrets must have.
pub fn needed(spec: &MetricSourceSpec) -> BTreeSet<SecretKey> {
    let auth = spec.auth.as_ref();
    let oauth2 = auth.and_then(|auth| auth.oauth2.as_ref());
    let tls = spec.tls.iter().chain(oauth2.and_then(|oauth2| oauth2.tls.as_ref()));
    let pair = |pair: &KeyPair| [pair.certificate.clone(), pair.key.clone()];
    let mut keys: BTreeSet<SecretKey> = BTreeSet::new();
    for tls in tls {
        keys.extend([&tls.ca, &tls.identity].into_iter().flatten().cloned());
        keys.extend(tls.key_pair.iter().flat_map(pair));
    }
    keys.extend(auth.and_then(|auth| auth.bearer.clone()));
    keys.extend(auth.and_then(|auth| Some(auth.basic.as_ref()?.password.clone())));
    keys.extend(oauth2.map(|oauth2| oauth2.client_secret.clone()));
    keys
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
    if let Some(value) = spec
        .auth
        .as_ref()
        .map(|auth| authorization(auth, secrets))
        .transpose()?
        .flatten()
    {
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The header that goes with every request; `None` where tokens are fetched for it.
fn authorization(auth: &Auth, secrets: &Secrets) -> Result<Option<HeaderValue>, CredentialsError> {
    let (field, key, value) = match (&auth.bearer, &auth.basic, &auth.oauth2) {
        (Some(key), None, None) => {
            let field = "spec.auth.bearer";
            let value = HeaderValue::from_str(&format!("Bearer {}", text(field, key, secrets)?));
            (field, key, value)
        }
        (None, Some(written), None) => {
            let (field, user) = ("spec.auth.basic.password", &written.username);
            if user.contains(|c: char| c == ':' || c.is_control()) {
                return Err(CredentialsError::User(format!("{user:?}")));
            }
            let value = basic(user, text(field, &written.password, secrets)?);
            (field, &written.password, value)
        }
        (None, None, Some(_)) => return Ok(None),
        _ => return Err(CredentialsError::Auth),
    };
    let mut value = value.map_err(|_| content(field, key, "one line of visible ASCII characters"))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// `Basic ...`, marked as sensitive.
pub(super) fn basic(user: &str, password: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", base64(format!("{user}:{password}").as_bytes())))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The secret of a client of OAuth 2.0, whose other texts are checked beside it.
pub(super) fn client_secret<'a>(oauth2: &OAuth2, secrets: &'a Secrets) -> Result<&'a str, CredentialsError> {
    // The characters of RFC 6749, appendix A: VSCHAR of names and secrets, NQCHAR of scopes.
    let printable = |c: char| c == ' ' || c.is_ascii_graphic();
    if oauth2.client_id.is_empty() || !oauth2.client_id.chars().all(printable) {
        return Err(CredentialsError::Client(shorten(&oauth2.client_id)));
    }
    let of_scope = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    let mut scopes = oauth2.scopes.iter().enumerate();
    if let Some((index, scope)) = scopes.find(|(_, scope)| scope.is_empty() || !scope.chars().all(of_scope)) {
        let scope = shorten(scope);
        return Err(CredentialsError::Scope { index, scope });
    }
    text("spec.auth.oauth2.clientSecret", &oauth2.client_secret, secrets)
}

/// The certificate authorities instead of the system's, if the settings name some.
pub(super) fn authorities(
    tls: Option<&Tls>,
    fields: &TlsFields,
    secrets: &Secrets,
) -> Result<Option<Vec<Certificate>>, CredentialsError> {
    let Some(key) = tls.and_then(|tls| tls.ca.as_ref()) else {
        return Ok(None);
    };
    certificates(fields.ca, key, secrets).map(|(certificates, _)| Some(certificates))
}

/// Our certificate with its key, if the settings name one.
pub(super) fn identity(
    tls: Option<&Tls>,
    fields: &TlsFields,
    secrets: &Secrets,
) -> Result<Option<Identity>, CredentialsError> {
    match tls.map(|tls| (&tls.identity, &tls.key_pair)) {
        None | Some((None, None)) => Ok(None),
        Some((Some(_), Some(_))) => Err(CredentialsError::Tls(fields.tls)),
        Some((Some(key), None)) => {
            let pem = find(fields.identity, key, secrets)?;
            Identity::from_pem(pem).map(Some).map_err(|_| {
                content(
                    fields.identity,
                    key,
                    "a certificate and its private key in PEM, one after the other",
                )
            })
        }
        Some((None, Some(pair))) => {
            let (_, certificates) = certificates(fields.certificate, &pair.certificate, secrets)?;
            let key = find(fields.key, &pair.key, secrets)?;
            let not_a_key = || content(fields.key, &pair.key, "a private key in PEM");
            PrivateKeyDer::from_pem_slice(key).map_err(|_| not_a_key())?;
            let pem = [certificates, b"\n", key].concat();
            Identity::from_pem(&pem).map(Some).map_err(|_| not_a_key())
        }
    }
}

/// What is wrong with credentials whatever the Secrets hold. `secrets` stands for them.
pub(super) fn check(spec: &MetricSourceSpec, secrets: &Secrets) -> Vec<CredentialsError> {
    let oauth2 = spec.auth.as_ref().and_then(|auth| auth.oauth2.as_ref());
    let both = |tls: Option<&Tls>, fields: &TlsFields| {
        let both = tls.is_some_and(|tls| tls.identity.is_some() && tls.key_pair.is_some());
        both.then_some(CredentialsError::Tls(fields.tls))
    };
    [
        headers(spec, secrets).err(),
        oauth2.and_then(|oauth2| client_secret(oauth2, secrets).err()),
        both(spec.tls.as_ref(), &TLS),
        both(oauth2.and_then(|oauth2| oauth2.tls.as_ref()), &OAUTH2_TLS),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The error of a certificate and a key that are well each by itself.
pub(super) fn mismatch(tls: Option<&Tls>, fields: &TlsFields, reason: String) -> CredentialsError {
    let field = match tls.and_then(|tls| tls.key_pair.as_ref()) {
        Some(_) => fields.key_pair,
        None => fields.identity,
    };
    CredentialsError::KeyPair { field, reason }
}

/// A list of certificates, read and as it is written.
fn certificates<'a>(
    field: &'static str,
    key: &SecretKey,
    secrets: &'a Secrets,
) -> Result<(Vec<Certificate>, &'a [u8]), CredentialsError> {
    let pem = find(field, key, secrets)?;
    Certificate::from_pem_bundle(pem)
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .map(|certificates| (certificates, pem))
        .ok_or_else(|| content(field, key, "a list of certificates in PEM"))
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

//! What a MetricSource may say, and what is missing or wrong in its Secrets.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::panic)]

use flyball_controller::observe::{
    credentials::{CredentialsError, Secrets},
    source::{Source, SourceError, install_crypto_provider},
};
use flyball_crds::{Auth, Basic, Duration, Header, MetricSourceSpec, SecretKey, Tls};
use rstest::rstest;

fn spec(url: &str) -> MetricSourceSpec {
    MetricSourceSpec {
        url: url.to_owned(),
        ..MetricSourceSpec::default()
    }
}

fn refused(spec: &MetricSourceSpec, secrets: &Secrets) -> SourceError {
    match Source::new("test", spec, secrets) {
        Ok(_) => panic!("{spec:?} was accepted"),
        Err(error) => error,
    }
}

#[rstest]
#[case("prometheus:9090", "the scheme must be http or https")]
#[case("not a url", "not a URL")]
#[case("file:///etc/passwd", "scheme")]
#[case("http://user:secret@prometheus:9090", "into spec.auth")]
#[case("http://prometheus:9090/?tenant=secret", "neither a query nor a fragment")]
#[case("http://prometheus:9090/#secret", "neither a query nor a fragment")]
#[case("http://169.254.169.254/", "this is a link-local")]
#[case("http://[fd00:ec2::254]:80", "a cloud's metadata")]
fn urls_are_checked(#[case] url: &str, #[case] part: &str) {
    let message = refused(&spec(url), &Secrets::new()).to_string();
    assert!(
        message.starts_with("spec.url: ") && message.contains(part) && !message.contains("secret"),
        "{message}"
    );
}

#[test]
fn what_is_missing_or_wrong_in_secrets_is_named() {
    let key = |name: &str| SecretKey {
        name: "prom".into(),
        key: name.into(),
    };
    let with = |tls, auth| MetricSourceSpec {
        tls,
        auth,
        ..spec("https://prometheus:9090")
    };
    let ca = with(
        Some(Tls {
            ca: Some(key("ca")),
            ..Tls::default()
        }),
        None,
    );
    let message = refused(&ca, &Secrets::new()).to_string();
    assert!(
        message.contains("spec.tls.ca") && message.contains("\"prom\"") && message.contains("\"ca\""),
        "{message}"
    );
    let garbage = Secrets::from([(key("ca"), b"secret".to_vec()), (key("token"), b"a\nsecret".to_vec())]);
    let message = refused(&ca, &garbage).to_string();
    assert!(
        message.contains("certificates in PEM") && !message.contains("secret"),
        "{message}"
    );
    let identity = with(
        Some(Tls {
            identity: Some(key("ca")),
            ..Tls::default()
        }),
        None,
    );
    assert!(refused(&identity, &garbage).to_string().contains("private key in PEM"));
    let bearer = with(
        None,
        Some(Auth {
            bearer: Some(key("token")),
            ..Auth::default()
        }),
    );
    let message = refused(&bearer, &garbage).to_string();
    assert!(
        message.contains("one line of text") && !message.contains("secret"),
        "{message}"
    );
    let both = Auth {
        bearer: Some(key("token")),
        basic: Some(Basic {
            username: "u".into(),
            password: key("token"),
        }),
        ..Auth::default()
    };
    assert_eq!(
        refused(&with(None, Some(both)), &garbage),
        SourceError::Credentials(CredentialsError::Auth)
    );
    assert_eq!(
        refused(&with(None, Some(Auth::default())), &garbage),
        SourceError::Credentials(CredentialsError::Auth)
    );
}

#[rstest]
#[case("Authorization", "x", "into spec.auth")]
#[case("Cookie", "x", "into spec.auth")]
#[case("Content-Type", "x", "set by the controller")]
#[case("a b", "x", "letters, digits and dashes")]
#[case("X-Tenant", "a\r\nHost: b", "visible ASCII")]
fn headers_are_checked(#[case] name: &str, #[case] value: &str, #[case] part: &str) {
    let headers = vec![Header {
        name: name.into(),
        value: value.into(),
    }];
    let message = refused(
        &MetricSourceSpec {
            headers,
            ..spec("http://prometheus")
        },
        &Secrets::new(),
    )
    .to_string();
    assert!(
        message.starts_with("spec.headers[0]: ") && message.contains(part),
        "{message}"
    );
}

#[test]
fn time_outs_are_bounded() {
    for (text, part) in [("0s", "between"), ("3m", "between"), ("-1s", "not a duration")] {
        let spec = MetricSourceSpec {
            timeout: Some(Duration::new(text)),
            ..spec("http://prometheus")
        };
        let message = refused(&spec, &Secrets::new()).to_string();
        assert!(
            message.starts_with("spec.timeout: ") && message.contains(part),
            "{message}"
        );
    }
    install_crypto_provider();
    install_crypto_provider();
}

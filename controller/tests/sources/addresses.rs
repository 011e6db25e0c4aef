//! Which addresses an installation lets the controller ask.

use crate::build::{AT, key, one, secrets, spec};
use flyball_controller::{
    metrics::Metrics,
    observe::source::{
        Source, SourceError,
        addresses::{Addresses, Refusal},
    },
    reconcile::sources::view,
};
use flyball_core::breaker::Stage;
use flyball_crds::{Alertmanager, Auth, MetricSourceSpec, OAuth2, Reason};
use wiremock::{Mock, MockServer, matchers::method};

fn allowed(networks: &[&str]) -> Addresses {
    Addresses::new(networks.iter().map(|text| text.parse().unwrap()).collect(), Vec::new())
}

fn build(spec: &MetricSourceSpec, addresses: &Addresses) -> Result<Source, SourceError> {
    Source::among("test", spec, &secrets(&[("secret", "s")]), addresses)
}

async fn server() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(one()).mount(&server).await;
    server
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_not_asked_and_that_is_no_failure_of_the_server() {
    let server = server().await;
    let by_name = spec(&format!("http://localhost:{}", server.address().port()));
    // A machine may have no IPv6, or resolve the name to it first.
    let source = build(&by_name, &allowed(&["127.0.0.0/8", "::1"])).unwrap();
    assert!(source.instant("x", AT).await.is_ok());
    assert_eq!(server.received_requests().await.unwrap().len(), 1);

    let source = build(&by_name, &allowed(&["10.0.0.0/8"])).unwrap();
    for _ in 0..6 {
        let error = source.instant("x", AT).await.unwrap_err();
        let SourceError::Address(refused) = &error else {
            panic!("{error}");
        };
        assert_eq!(
            (refused.host.as_deref(), &refused.refusal),
            (Some("localhost"), &Refusal::NotAllowed)
        );
        assert_eq!(
            error.to_string(),
            format!(
                "address {} of localhost is not in --allow-addresses of the installation; name another server, or add its network there \
                 (controller.allowAddresses of the chart)",
                refused.address
            )
        );
    }
    assert_eq!(source.stage(), Stage::Closed);
    assert_eq!(server.received_requests().await.unwrap().len(), 1, "nothing was sent");
    let (reason, message) = view(&source, &Metrics::new(), AT).await;
    assert_eq!(reason, Reason::SourceUnavailable);
    assert!(
        message.contains("of localhost is not in --allow-addresses"),
        "{message}"
    );
}

/// An address is refused when the source is built, whoever's it is.
#[test]
fn every_url_of_a_source_is_looked_at() {
    let addresses = allowed(&["127.0.0.1"]);
    let with = |url: &str, token: Option<&str>, alertmanager: Option<&str>| MetricSourceSpec {
        auth: token.map(|token| Auth {
            oauth2: Some(OAuth2 {
                token_url: token.to_owned(),
                client_id: "flyball".to_owned(),
                client_secret: key("secret"),
                ..OAuth2::default()
            }),
            ..Auth::default()
        }),
        alertmanager: alertmanager.map(|url| Alertmanager { url: url.to_owned() }),
        ..spec(url)
    };
    let good = "http://127.0.0.1:1";
    for (spec, expect) in [
        (with(good, Some(good), Some(good)), None),
        (with("http://127.0.0.2:1", Some(good), Some(good)), Some("127.0.0.2")),
        (with(good, Some("http://127.0.0.3:1"), Some(good)), Some("127.0.0.3")),
        (with(good, Some(good), Some("http://127.0.0.4:1")), Some("127.0.0.4")),
        (with("http://[::1]:1", None, None), Some("::1")),
        (with("http://[::ffff:127.0.0.1]:1", None, None), None),
    ] {
        let refused = match build(&spec, &addresses) {
            Ok(_) => None,
            Err(SourceError::Address(refused)) => Some(refused.address.to_string()),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(refused.as_deref(), expect, "{spec:?}");
        assert!(build(&spec, &Addresses::default()).is_ok(), "{spec:?}");
    }
}

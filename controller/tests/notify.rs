//! Alerts posted to an Alertmanager, held against its API v2. The server is a fake on loopback; the real one takes them in
//! `tests/tests/backends/notify.rs`.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used)]

use flyball_controller::observe::{
    credentials::Secrets,
    source::{NotifyError, Source},
};
use flyball_core::{decide::notify::Telling, signal::Labels, time::Timestamp};
use flyball_crds::{Alertmanager, Auth, Duration, MetricSourceSpec, SecretKey};
use serde_json::json;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_json, header, method, path},
};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    pairs.collect()
}

fn telling() -> Telling {
    Telling {
        labels: labels(&[("alertname", "Slow"), ("pod", "a")]),
        annotations: labels(&[("summary", "it is \"slow\"")]),
        starts_at: Timestamp::from_millis(1_700_000_000_000),
        ends_at: Timestamp::from_millis(1_700_000_240_125),
    }
}

fn spec(url: &str) -> MetricSourceSpec {
    MetricSourceSpec {
        url: "http://prometheus.invalid".to_owned(),
        alertmanager: Some(Alertmanager { url: url.to_owned() }),
        ..MetricSourceSpec::default()
    }
}

fn source(spec: &MetricSourceSpec) -> Source {
    let secrets: Secrets = flyball_controller::observe::credentials::needed(spec)
        .into_iter()
        .map(|key| (key, b"secret".to_vec()))
        .collect();
    Source::new("main", spec, &secrets).unwrap()
}

/// What becomes of a post that is answered so.
async fn posted(answer: ResponseTemplate) -> Result<(), NotifyError> {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    source(&spec(&server.uri())).notify(&[telling()]).await
}

#[tokio::test]
async fn alerts_are_one_post_of_json_without_credentials() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/am/api/v2/alerts"))
        .and(header("content-type", "application/json"))
        .and(body_json(json!([{
            "labels": {"alertname": "Slow", "pod": "a"},
            "annotations": {"summary": "it is \"slow\""},
            "startsAt": "2023-11-14T22:13:20Z",
            "endsAt": "2023-11-14T22:17:20.125Z",
        }])))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    let mut spec = spec(&format!("{}/am/", server.uri()));
    let bearer = SecretKey {
        name: "token".to_owned(),
        key: "token".to_owned(),
    };
    spec.auth = Some(Auth {
        bearer: Some(bearer),
        ..Auth::default()
    });
    assert_eq!(source(&spec).notify(&[telling()]).await, Ok(()));
    let asked = server.received_requests().await.unwrap();
    assert!(asked[0].headers.get("authorization").is_none());
}

#[tokio::test]
async fn what_is_not_taken_says_so() {
    let check = async |answer: ResponseTemplate, status: u16, part: &str| {
        let said = posted(answer).await.unwrap_err().to_string();
        assert!(
            said.contains(&format!("answered {status} ")) && said.contains(part),
            "{said}"
        );
        assert!(said.contains("the next pass tries again"), "{said}");
    };
    let json = |status, body: serde_json::Value| ResponseTemplate::new(status).set_body_json(body);
    check(
        json(400, json!("start time must be before end time")),
        400,
        "start time must",
    )
    .await;
    check(
        json(422, json!({"code": 602, "message": "labels in body is required"})),
        422,
        "labels in body",
    )
    .await;
    check(json(500, json!("a\nb")), 500, "a\\nb").await;
    // Another server's page is not told.
    check(
        ResponseTemplate::new(404).set_body_string("<html>secret</html>"),
        404,
        "it gave no reason",
    )
    .await;
    check(ResponseTemplate::new(503), 503, "it gave no reason").await;
    check(ResponseTemplate::new(204), 204, "it gave no reason").await;
    let elsewhere = ResponseTemplate::new(307).insert_header("location", "http://other.invalid/x");
    check(elsewhere, 307, "it redirects to other.invalid:80").await;
}

#[tokio::test]
async fn no_alertmanager_and_none_that_answers_are_told_apart() {
    let none = MetricSourceSpec {
        alertmanager: None,
        ..spec("http://unused.invalid")
    };
    assert!(!source(&none).has_alertmanager());
    let said = source(&none).notify(&[telling()]).await.unwrap_err();
    assert_eq!(said, NotifyError::None("main".to_owned()));
    // Nobody listens where somebody did.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let said = source(&spec(&format!("http://{address}"))).notify(&[telling()]).await;
    let said = said.unwrap_err().to_string();
    assert!(
        said.contains(&address.to_string()) && said.contains("tries again"),
        "{said}"
    );
}

#[tokio::test]
async fn silence_ends_with_the_time_out() {
    let server = MockServer::start().await;
    let never = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(3600));
    Mock::given(method("POST")).respond_with(never).mount(&server).await;
    let spec = MetricSourceSpec {
        timeout: Some(Duration("1s".to_owned())),
        ..spec(&server.uri())
    };
    let said = source(&spec).notify(&[telling()]).await;
    assert!(matches!(said, Err(NotifyError::Unanswered { .. })), "{said:?}");
}

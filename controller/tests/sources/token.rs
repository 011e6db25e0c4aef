//! Tokens by the client credentials grant.

use crate::build::{AT, Hands, key, one, secrets, source, spec};
use flyball_controller::observe::source::{Source, SourceError, TOO_YOUNG, TokenError};
use flyball_core::{breaker::Stage, time::Span};
use flyball_crds::{Auth, ClientAuthentication, Duration, MetricSourceSpec, OAuth2};
use rstest::rstest;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{header, method, path},
};

const SECRET: &str = "geheim & co";

fn oauth2(token_url: String) -> OAuth2 {
    OAuth2 {
        token_url,
        client_id: "flyball".into(),
        client_secret: key("secret"),
        ..OAuth2::default()
    }
}

/// A token endpoint with the server that takes its tokens, and a source that asks it.
struct Place {
    server: MockServer,
    hands: Hands,
    source: Arc<Source>,
}

impl Place {
    /// The token endpoint answers `token`; the server takes every token that `takes` does.
    async fn new(token: impl Fn(usize) -> ResponseTemplate + Send + Sync + 'static, takes: fn(&str) -> bool) -> Self {
        let server = MockServer::start().await;
        let count = AtomicUsize::new(0);
        Mock::given(path("/token"))
            .respond_with(move |_: &Request| token(count.fetch_add(1, Ordering::SeqCst) + 1))
            .mount(&server)
            .await;
        Mock::given(path("/api/v1/query"))
            .respond_with(move |request: &Request| {
                let sent = request
                    .headers
                    .get("authorization")
                    .and_then(|value| value.to_str().ok());
                if sent.is_some_and(|sent| takes(sent.trim_start_matches("Bearer "))) {
                    one()
                } else {
                    ResponseTemplate::new(401)
                }
            })
            .mount(&server)
            .await;
        let hands = Hands::new();
        let spec = asks(&server.uri(), oauth2(format!("{}/token?tenant=7", server.uri())));
        let source = Arc::new(source(&spec, &secrets(&[("secret", SECRET)]), &hands));
        Self { server, hands, source }
    }

    async fn ask(&self) -> Result<(), SourceError> {
        self.source.instant("x", AT).await.map(drop)
    }

    /// What was asked at a path, in order: the token that was sent.
    async fn asked(&self, at: &str) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        requests
            .iter()
            .filter(|request| request.url.path() == at)
            .map(|request| {
                let sent = request.headers.get("authorization").unwrap();
                sent.to_str().unwrap().trim_start_matches("Bearer ").to_owned()
            })
            .collect()
    }
}

fn asks(url: &str, oauth2: OAuth2) -> MetricSourceSpec {
    MetricSourceSpec {
        auth: Some(Auth {
            oauth2: Some(oauth2),
            ..Auth::default()
        }),
        ..spec(url)
    }
}

fn json(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body, "application/json")
}

/// The n-th token, which lives so long.
fn token(n: usize, seconds: u64) -> ResponseTemplate {
    json(
        200,
        &format!(r#"{{"access_token":"token-{n}","token_type":"bearer","expires_in":{seconds}}}"#),
    )
}

fn any(_: &str) -> bool {
    true
}

#[rstest]
// The name and the secret are form-encoded first: base64 of `flyball:geheim+%26+co`.
#[case(ClientAuthentication::Basic, Some("Basic Zmx5YmFsbDpnZWhlaW0rJTI2K2Nv"), "")]
#[case(ClientAuthentication::Form, None, "&client_id=flyball&client_secret=geheim+%26+co")]
#[tokio::test]
async fn the_grant_is_one_posted_form(
    #[case] how: ClientAuthentication,
    #[case] authorization: Option<&str>,
    #[case] more: &str,
) {
    let server = MockServer::start().await;
    Mock::given(path("/token"))
        .respond_with(token(1, 60))
        .mount(&server)
        .await;
    Mock::given(path("/api/v1/query"))
        .and(header("authorization", "Bearer token-1"))
        .respond_with(one())
        .expect(1)
        .mount(&server)
        .await;
    let oauth2 = OAuth2 {
        client_authentication: Some(how),
        scopes: vec!["metrics:read".into(), "b".into()],
        audience: Some("https://mimir".into()),
        endpoint_params: BTreeMap::from([("resource".into(), "a b".into())]),
        ..oauth2(format!("{}/token?tenant=7", server.uri()))
    };
    let source = source(
        &asks(&server.uri(), oauth2),
        &secrets(&[("secret", SECRET)]),
        &Hands::new(),
    );
    assert!(source.instant("x", AT).await.is_ok());
    let requests = server.received_requests().await.unwrap();
    let sent = &requests[0];
    assert_eq!((sent.method.as_str(), sent.url.query()), ("POST", Some("tenant=7")));
    assert_eq!(sent.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(sent.headers["accept"], "application/json");
    assert_eq!(
        sent.headers.get("authorization").map(|value| value.to_str().unwrap()),
        authorization
    );
    assert_eq!(
        String::from_utf8(sent.body.clone()).unwrap(),
        format!("grant_type=client_credentials&scope=metrics%3Aread+b&audience=https%3A%2F%2Fmimir&resource=a+b{more}")
    );
}

/// A token of 60 s is used for 45, one of an hour until 30 s before.
#[rstest]
#[case(60, 45)]
#[case(3600, 3570)]
#[tokio::test]
async fn a_token_is_kept_until_shortly_before_it_expires(#[case] lifetime: u64, #[case] used: u64) {
    let place = Place::new(move |n| token(n, lifetime), any).await;
    for (wait, expect) in [(0, "token-1"), (used - 1, "token-1"), (1, "token-2"), (0, "token-2")] {
        place.hands.advance(Span::from_secs(wait));
        assert_eq!(place.ask().await, Ok(()));
        assert_eq!(place.asked("/api/v1/query").await.last().unwrap(), expect);
    }
}

#[tokio::test]
async fn many_queries_fetch_one_token() {
    let slow = |n| token(n, 60).set_delay(std::time::Duration::from_millis(50));
    let place = Place::new(slow, any).await;
    let answers = futures::future::join_all((0..10).map(|_| place.ask())).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(place.asked("/token").await.len(), 1);
}

#[tokio::test]
async fn many_queries_that_wait_share_one_refusal() {
    let slow = |_| json(401, r#"{"error":"invalid_client"}"#).set_delay(std::time::Duration::from_millis(50));
    let place = Place::new(slow, any).await;
    let answers = futures::future::join_all((0..10).map(|_| place.ask())).await;
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Err(SourceError::Token(TokenError::Refused { .. })))),
        "{answers:?}"
    );
    assert_eq!(place.asked("/token").await.len(), 1);
}

#[tokio::test]
async fn a_token_that_was_revoked_is_replaced_once() {
    let place = Place::new(|n| token(n, 3600), |sent| sent == "token-2").await;
    // The first is refused from its beginning. One that young is not replaced: a second would fare no better.
    assert_eq!(place.ask().await, Err(SourceError::Unauthorized(401)));
    assert_eq!(place.ask().await, Err(SourceError::Unauthorized(401)));
    assert_eq!(place.asked("/token").await.len(), 1);
    place.hands.advance(TOO_YOUNG);
    assert_eq!(place.ask().await, Ok(()));
    assert_eq!(place.asked("/token").await.len(), 2);
    assert_eq!(
        place.asked("/api/v1/query").await,
        ["token-1", "token-1", "token-1", "token-2"]
    );
    assert_eq!(place.source.stage(), Stage::Closed, "no access is no outage");
}

#[tokio::test]
async fn a_second_refusal_is_told() {
    let place = Place::new(|n| token(n, 3600), |_| false).await;
    assert!(place.ask().await.is_err());
    place.hands.advance(TOO_YOUNG);
    assert_eq!(place.ask().await, Err(SourceError::Unauthorized(401)));
    assert_eq!(place.asked("/api/v1/query").await, ["token-1", "token-1", "token-2"]);
}

#[tokio::test]
async fn queries_that_were_refused_together_fetch_one_new_token() {
    let place = Place::new(|n| token(n, 3600), |sent| sent != "token-1").await;
    assert!(place.ask().await.is_err());
    place.hands.advance(TOO_YOUNG);
    let answers = futures::future::join_all((0..10).map(|_| place.ask())).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(place.asked("/token").await.len(), 2);
}

#[rstest]
#[case::wrong_secret(
    json(401, r#"{"error":"invalid_client","error_description":"geheim & co"}"#),
    "(HTTP 401, invalid_client); check clientId, clientSecret"
)]
#[case::wrong_scope(json(400, r#"{"error":"invalid_scope"}"#), "(HTTP 400, invalid_scope)")]
#[case::its_own_words(json(400, r#"{"error":"geheim & co"}"#), "(HTTP 400, no reason of the standard)")]
#[case::nothing(ResponseTemplate::new(404), "gives no token (HTTP 404, no reason of the standard)")]
#[case::too_often(ResponseTemplate::new(429), "is not available (HTTP 429)")]
#[case::out_of_order(json(500, "geheim & co"), "is not available (HTTP 500)")]
#[case::login_page(ResponseTemplate::new(200).set_body_raw("<html>", "text/html"), "answered something that is not JSON, not a token; check that tokenUrl")]
#[case::no_token(json(200, r#"{"token_type":"bearer"}"#), "JSON without access_token and token_type")]
#[case::no_type(json(200, r#"{"access_token":"abc"}"#), "JSON without access_token and token_type")]
#[case::another_type(
    json(200, r#"{"access_token":"abc","token_type":"mac"}"#),
    "a token of another type than Bearer"
)]
#[case::two_lines(
    json(200, r#"{"access_token":"abc\nd","token_type":"Bearer"}"#),
    "characters that can't be sent"
)]
#[case::empty(
    json(200, r#"{"access_token":"","token_type":"Bearer"}"#),
    "characters that can't be sent"
)]
#[case::life(
    json(200, r#"{"access_token":"abc","token_type":"Bearer","expires_in":"soon"}"#),
    "an expires_in that is not a number"
)]
#[case::too_large(json(200, &format!("{}{{}}", " ".repeat(64 << 10))), "answered more than 64 KiB")]
#[case::accepted(ResponseTemplate::new(202), "not JSON")]
#[tokio::test]
async fn each_answer_that_is_no_token_has_its_message(#[case] answer: ResponseTemplate, #[case] part: &str) {
    let place = Place::new(move |_| answer.clone(), any).await;
    let error = place.ask().await.unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("spec.auth.oauth2: ") && message.contains(part),
        "{message}"
    );
    for text in [message, format!("{error:?}")] {
        assert!(
            !text.contains("geheim") && !text.contains("abc") && !text.contains("tenant"),
            "{text}"
        );
    }
    assert_eq!(place.asked("/api/v1/query").await.len(), 0);
}

#[tokio::test]
async fn no_secret_goes_along_a_redirect() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = elsewhere.local_addr().unwrap().to_string();
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://{to}/take?all=1");
        let place = Place::new(
            move |_| ResponseTemplate::new(status).insert_header("location", location.as_str()),
            any,
        )
        .await;
        let to = to.clone();
        assert_eq!(
            place.ask().await,
            Err(SourceError::Token(TokenError::Redirect { status, to }))
        );
    }
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(50), elsewhere.accept()).await;
    assert!(nobody.is_err(), "somebody came along");
}

#[tokio::test]
async fn a_silent_token_endpoint_and_a_closed_port_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // Half of an answer is none.
            drop(stream.read(&mut [0; 4096]).await);
            drop(
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                    .await,
            );
            held.push(stream);
        }
    });
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    for (host, timeout, part) in [
        (silent, "50ms", "no token from 127.0.0.1:"),
        (closed, "60s", "no connection to the token endpoint 127.0.0.1:"),
    ] {
        let spec = MetricSourceSpec {
            timeout: Some(Duration::new(timeout)),
            ..asks("http://127.0.0.1:9", oauth2(format!("http://{host}/private")))
        };
        let source = source(&spec, &secrets(&[("secret", SECRET)]), &Hands::new());
        let message = source.instant("x", AT).await.unwrap_err().to_string();
        assert!(message.contains(part) && !message.contains("private"), "{message}");
    }
}

#[tokio::test]
async fn a_refused_client_does_not_knock_with_every_query() {
    let place = Place::new(|_| json(401, r#"{"error":"invalid_client"}"#), any).await;
    for _ in 0..20 {
        assert!(place.ask().await.is_err());
    }
    assert_eq!(place.source.stage(), Stage::Open);
    assert_eq!(place.asked("/token").await.len(), 5);
    let message = place.ask().await.unwrap_err().to_string();
    assert!(
        message.contains("circuit breaker is open") && message.contains("invalid_client"),
        "{message}"
    );
}

#[tokio::test]
async fn a_token_endpoint_may_ask_for_a_pause_too() {
    let later = |_| ResponseTemplate::new(503).insert_header("retry-after", "30");
    let place = Place::new(later, any).await;
    assert!(place.ask().await.is_err());
    assert_eq!(place.source.stage(), Stage::Open);
    place.hands.advance(Span::from_secs(29));
    assert!(matches!(place.ask().await, Err(SourceError::Open { .. })));
    place.hands.advance(Span::from_secs(1));
    assert!(matches!(place.ask().await, Err(SourceError::Token(_))));
}

#[rstest]
#[case("ftp://login", "spec.auth.oauth2.tokenUrl: the scheme must be http or https")]
#[case(
    "https://a:b@login/",
    "spec.auth.oauth2.tokenUrl: a user or password does not belong here"
)]
#[case("https://login/#x", "spec.auth.oauth2.tokenUrl: it has no fragment")]
#[case("login", "spec.auth.oauth2.tokenUrl: this is not a URL")]
fn token_urls_are_checked(#[case] url: &str, #[case] part: &str) {
    refused(oauth2(url.to_owned()), part);
}

fn refused(oauth2: OAuth2, part: &str) {
    let spec = asks("https://mimir", oauth2);
    let built = Source::new("test", &spec, &secrets(&[("secret", SECRET)]));
    let message = built.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.starts_with(part), "{message:?} is not {part:?}");
    let offline: Vec<_> = flyball_controller::observe::source::check(&spec)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(offline.contains(&message), "{offline:?}");
}

#[test]
fn what_a_grant_says_is_checked() {
    let good = || oauth2("https://login/token".to_owned());
    let params = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    for (oauth2, part) in [
        (
            OAuth2 {
                client_id: "a\nb".into(),
                ..good()
            },
            "spec.auth.oauth2.clientId: \"a\\nb\" can't be sent",
        ),
        (
            OAuth2 {
                scopes: vec!["a".into(), "b c".into()],
                ..good()
            },
            "spec.auth.oauth2.scopes[1]: \"b c\" is not a scope",
        ),
        (
            OAuth2 {
                endpoint_params: params("client_secret", "x"),
                ..good()
            },
            "spec.auth.oauth2.endpointParams.\"client_secret\": the controller sets this parameter itself",
        ),
        (
            OAuth2 {
                endpoint_params: params("a=b", "x"),
                ..good()
            },
            "spec.auth.oauth2.endpointParams.\"a=b\": a name has",
        ),
        (
            OAuth2 {
                endpoint_params: params("a", "x\r\ny"),
                ..good()
            },
            "spec.auth.oauth2.endpointParams.\"a\": a value has",
        ),
    ] {
        refused(oauth2, part);
    }
}

#[test]
fn the_secret_is_one_line_and_there() {
    let spec = asks("https://mimir", oauth2("https://login/token".into()));
    for (content, part) in [
        (
            None,
            "spec.auth.oauth2.clientSecret: the Secret \"prometheus\" has no key \"secret\"",
        ),
        (
            Some("geheim\nb"),
            "spec.auth.oauth2.clientSecret: the key \"secret\" of the Secret \"prometheus\" is not one line",
        ),
    ] {
        let secrets = content.map_or_else(|| secrets(&[]), |content| secrets(&[("secret", content)]));
        let message = Source::new("test", &spec, &secrets).err().unwrap().to_string();
        assert!(message.starts_with(part) && !message.contains("geheim"), "{message}");
    }
}

/// Everything that the process could log while a token is fetched, sent, refused and replaced.
#[tokio::test]
async fn no_secret_and_no_token_is_logged() {
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let place = Place::new(|n| token(n, 3600), |sent| sent == "token-2").await;
    assert!(place.ask().await.is_err());
    place.hands.advance(TOO_YOUNG);
    assert!(place.ask().await.is_ok());
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    let ours: Vec<&str> = log.lines().filter(|line| !line.contains("wiremock")).collect();
    assert!(!ours.is_empty(), "something is logged at this level");
    for line in ours {
        for secret in ["geheim", "token-1", "token-2", "Zmx5YmFsbDpnZWhlaW0"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[tokio::test]
async fn versions_are_asked_with_a_token_too() {
    let place = Place::new(|n| token(n, 60), any).await;
    Mock::given(method("GET"))
        .and(path("/api/v1/status/buildinfo"))
        .and(header("authorization", "Bearer token-1"))
        .respond_with(json(200, r#"{"status":"success","data":{"version":"3.4.1"}}"#))
        .mount(&place.server)
        .await;
    assert_eq!(place.source.version().await.as_deref(), Some("3.4.1"));
}

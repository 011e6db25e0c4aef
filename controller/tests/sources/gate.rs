//! The limit on queries at once, and the circuit breaker.

use crate::build::{AT, Hands, one, secrets, source, spec};
use flyball_controller::{
    metrics::Metrics,
    observe::source::{Source, SourceError},
    reconcile::sources::view,
};
use flyball_core::{
    breaker::Stage,
    time::{Span, Timestamp},
};
use flyball_crds::{Duration, MetricSourceSpec, Reason};
use rstest::rstest;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{body_string_contains, method},
};

/// A server that answers each query only when it is let, and counts those under way.
#[derive(Clone)]
pub struct Slow {
    pub url: String,
    under_way: Arc<AtomicUsize>,
    pub most: Arc<AtomicUsize>,
    pub let_go: Arc<Semaphore>,
    /// The queries in the order in which they came.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Slow {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let slow = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            under_way: Arc::default(),
            most: Arc::default(),
            let_go: Arc::new(Semaphore::new(0)),
            asked: Arc::default(),
        };
        let serving = slow.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        slow
    }

    /// Waits until so many are under way.
    pub async fn until(&self, count: usize) {
        while self.under_way.load(Ordering::SeqCst) != count {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Waits until so many were asked, and says which.
    pub async fn asked(&self, count: usize) -> Vec<String> {
        loop {
            let asked = self.asked.lock().unwrap().clone();
            if asked.len() >= count {
                return asked;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    async fn serve(self, stream: TcpStream) {
        serve(stream, &self).await;
    }
}

async fn serve(mut stream: TcpStream, slow: &Slow) {
    let mut buffer = [0; 4096];
    // Each request is one small packet.
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        let request = String::from_utf8_lossy(&buffer[..n]).into_owned();
        let query = request.rsplit_once("query=").unwrap().1.split('&').next().unwrap();
        slow.asked.lock().unwrap().push(query.to_owned());
        let now = slow.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        slow.most.fetch_max(now, Ordering::SeqCst);
        slow.let_go.acquire().await.unwrap().forget();
        slow.under_way.fetch_sub(1, Ordering::SeqCst);
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn no_more_queries_than_allowed_are_under_way() {
    let slow = Slow::start().await;
    let spec = MetricSourceSpec {
        max_concurrent_queries: Some(3),
        ..spec(&slow.url)
    };
    let source = Arc::new(source(&spec, &secrets(&[]), &Hands::new()));
    let asked: Vec<_> = (0..10)
        .map(|n| {
            let source = source.clone();
            tokio::spawn(async move { source.instant(&format!("x{n}"), AT).await })
        })
        .collect();
    slow.until(3).await;
    slow.let_go.add_permits(10);
    for answer in asked {
        assert_eq!(answer.await.unwrap().unwrap().samples, []);
    }
    assert_eq!(slow.most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn who_finds_no_place_is_told_so_and_opens_nothing() {
    let slow = Slow::start().await;
    let first = MetricSourceSpec {
        max_concurrent_queries: Some(1),
        timeout: Some(Duration::new("60s")),
        ..spec(&slow.url)
    };
    let hands = Hands::new();
    let holder = Arc::new(source(&first, &secrets(&[]), &hands));
    let held = tokio::spawn({
        let holder = holder.clone();
        async move { holder.instant("x", AT).await }
    });
    slow.until(1).await;
    // The same places with less patience: as if the MetricSource had been edited.
    let hasty = MetricSourceSpec {
        timeout: Some(Duration::new("20ms")),
        ..first
    };
    let source = source(&hasty, &secrets(&[]), &hands).instead_of(&holder);
    for _ in 0..6 {
        let error = source.instant("y", AT).await.unwrap_err();
        let waited = Span::from_millis(20);
        assert_eq!(error, SourceError::Busy { limit: 1, waited });
        assert!(
            error
                .to_string()
                .contains("within 20ms; raise spec.maxConcurrentQueries"),
            "{error}"
        );
    }
    assert_eq!(source.stage(), Stage::Closed);
    slow.let_go.add_permits(1);
    assert!(held.await.unwrap().is_ok());
}

#[tokio::test]
async fn who_no_longer_waits_gives_its_place_back() {
    let slow = Slow::start().await;
    let spec = MetricSourceSpec {
        max_concurrent_queries: Some(1),
        ..spec(&slow.url)
    };
    let source = Arc::new(source(&spec, &secrets(&[]), &Hands::new()));
    let asked = tokio::spawn({
        let source = source.clone();
        async move { source.instant("x", AT).await }
    });
    slow.until(1).await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    slow.let_go.add_permits(2);
    assert!(source.instant("y", AT).await.is_ok());
}

/// A server that answers what it is told to, and remembers what it was asked.
struct Server {
    server: MockServer,
    says: Arc<Mutex<ResponseTemplate>>,
}

impl Server {
    async fn start(says: ResponseTemplate) -> Self {
        let server = MockServer::start().await;
        let says = Arc::new(Mutex::new(says));
        let now = says.clone();
        Mock::given(method("POST"))
            .respond_with(move |_: &Request| now.lock().unwrap().clone())
            .mount(&server)
            .await;
        Self { server, says }
    }

    fn say(&self, says: ResponseTemplate) {
        *self.says.lock().unwrap() = says;
    }

    /// The queries it was asked since the last time.
    async fn asked(&self) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        self.server.reset().await;
        let now = self.says.clone();
        Mock::given(method("POST"))
            .respond_with(move |_: &Request| now.lock().unwrap().clone())
            .mount(&self.server)
            .await;
        requests
            .iter()
            .map(|request| {
                let body = String::from_utf8(request.body.clone()).unwrap();
                body.split('&').next().unwrap().replace("query=", "")
            })
            .collect()
    }
}

const OPEN_SINCE: Timestamp = AT;

fn open(error: &SourceError) -> Option<(Timestamp, &str)> {
    match error {
        SourceError::Open { since, why } => Some((*since, why)),
        _ => None,
    }
}

async fn fail(source: &Source, times: usize) {
    for _ in 0..times {
        let error = source.instant("x", AT).await.unwrap_err();
        assert!(open(&error).is_none(), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone_and_found_again() {
    let server = Server::start(ResponseTemplate::new(500)).await;
    let hands = Hands::new();
    let source = source(&spec(&server.server.uri()), &secrets(&[]), &hands);
    fail(&source, 5).await;
    assert_eq!(source.stage(), Stage::Open);
    assert_eq!(server.asked().await, ["x"; 5]);

    let error = source.instant("x", AT).await.unwrap_err();
    assert_eq!(
        open(&error),
        Some((OPEN_SINCE, "the server is not available (HTTP 500)"))
    );
    assert_eq!(
        error.to_string(),
        "not asked, the circuit breaker is open since 2023-11-14T22:13:20.125Z after repeated failures, the last: the \
         server is not available (HTTP 500)"
    );
    assert!(server.asked().await.is_empty(), "nothing is asked while it is open");

    // After the pause a query that costs nothing goes first, and alone where it fails.
    hands.advance(Span::from_secs(5));
    let error = source.instant("x", AT).await.unwrap_err();
    assert!(open(&error).is_none(), "{error}");
    assert_eq!(server.asked().await, ["time%28%29"]);
    hands.advance(Span::from_secs(5));
    assert!(
        open(&source.instant("x", AT).await.unwrap_err()).is_some(),
        "the second pause is longer"
    );

    server.say(one());
    hands.advance(Span::from_secs(5));
    assert!(source.instant("x", AT).await.is_ok());
    assert_eq!(server.asked().await, ["time%28%29", "x"]);
    assert_eq!(source.stage(), Stage::Closed);
}

#[tokio::test]
async fn what_others_read_does_not_quote_the_query_that_failed() {
    let body = r#"{"status":"error","errorType":"timeout","error":"secret_metric timed out"}"#;
    let server = Server::start(ResponseTemplate::new(503).set_body_raw(body, "application/json")).await;
    let source = source(&spec(&server.server.uri()), &secrets(&[]), &Hands::new());
    for _ in 0..5 {
        let error = source.instant("secret_metric", AT).await.unwrap_err();
        assert!(error.to_string().contains("secret_metric timed out"), "{error}");
    }
    let error = source.instant("another", AT).await.unwrap_err();
    assert!(
        open(&error).is_some() && !error.to_string().contains("secret"),
        "{error}"
    );
}

/// What a server of its own kind of trouble says opens the breaker, what it says of a query does not.
#[rstest]
#[case::server_error(ResponseTemplate::new(500), Stage::Open)]
#[case::gateway(ResponseTemplate::new(502), Stage::Open)]
#[case::query_timed_out(ResponseTemplate::new(503), Stage::Open)]
#[case::too_often(ResponseTemplate::new(429), Stage::Open)]
#[case::bad_query(ResponseTemplate::new(400), Stage::Closed)]
#[case::impossible_query(ResponseTemplate::new(422), Stage::Closed)]
#[case::no_access(ResponseTemplate::new(401), Stage::Closed)]
#[case::nothing_there(ResponseTemplate::new(404), Stage::Closed)]
#[case::a_redirect(ResponseTemplate::new(302), Stage::Closed)]
#[case::a_login_page(ResponseTemplate::new(200).set_body_raw("<html>", "text/html"), Stage::Closed)]
#[case::nonsense(ResponseTemplate::new(200).set_body_raw("{}", "application/json"), Stage::Closed)]
#[tokio::test]
async fn only_the_servers_own_failures_open_it(#[case] says: ResponseTemplate, #[case] expect: Stage) {
    let server = Server::start(says).await;
    let source = source(&spec(&server.server.uri()), &secrets(&[]), &Hands::new());
    fail(&source, 5).await;
    assert_eq!(source.stage(), expect);
}

#[tokio::test]
async fn silence_and_closed_ports_open_it() {
    let slow = Slow::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (url, timeout, part) in [
        (slow.url.clone(), "20ms", "no answer within 20ms"),
        (format!("http://{closed}"), "60s", "no connection to"),
    ] {
        let spec = MetricSourceSpec {
            timeout: Some(Duration::new(timeout)),
            ..spec(&url)
        };
        let source = source(&spec, &secrets(&[]), &Hands::new());
        fail(&source, 5).await;
        let error = source.instant("x", AT).await.unwrap_err();
        assert!(open(&error).is_some_and(|(_, why)| why.contains(part)), "{error}");
    }
}

#[tokio::test]
async fn one_policys_endless_query_does_not_shut_the_others_out() {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("query=endless"))
        .respond_with(ResponseTemplate::new(503))
        .mount(&server)
        .await;
    Mock::given(method("POST")).respond_with(one()).mount(&server).await;
    let hands = Hands::new();
    let source = source(&spec(&server.uri()), &secrets(&[]), &hands);
    for round in 0..10 {
        for _ in 0..5 {
            drop(source.instant("endless", AT).await);
        }
        assert_eq!(source.stage(), Stage::Open, "round {round}");
        // The pause stays at its shortest, for others are answered between, and the endless one's turn costs nobody else's.
        hands.advance(Span::from_secs(5));
        assert_eq!(
            source.instant("endless", AT).await.unwrap_err().to_string(),
            "the server is not available (HTTP 503)"
        );
        assert!(source.instant("good", AT).await.is_ok(), "round {round}");
    }
}

#[rstest]
#[case::seconds("30", 30)]
#[case::no_longer_than_two_minutes("86400", 120)]
#[case::a_date("Tue, 14 Nov 2023 22:14:20 GMT", 60)]
#[case::a_date_that_is_past("Tue, 14 Nov 2023 22:00:00 GMT", 0)]
#[case::nothing_of_the_kind("soon", 0)]
#[case::nothing("", 0)]
#[tokio::test]
async fn retry_after_is_respected(#[values(429, 503)] status: u16, #[case] retry_after: &str, #[case] seconds: u64) {
    let says = ResponseTemplate::new(status).insert_header("retry-after", retry_after);
    let server = Server::start(says).await;
    let hands = Hands::new();
    let source = source(&spec(&server.server.uri()), &secrets(&[]), &hands);
    fail(&source, 1).await;
    server.say(one());
    if seconds > 0 {
        hands.advance(Span::from_secs(seconds - 1));
        assert!(open(&source.instant("x", AT).await.unwrap_err()).is_some());
        hands.advance(Span::from_secs(1));
    }
    assert!(source.instant("x", AT).await.is_ok());
}

#[tokio::test]
async fn the_condition_and_the_metric_tell_of_it() {
    let server = Server::start(one()).await;
    let hands = Hands::new();
    let source = source(&spec(&server.server.uri()), &secrets(&[]), &hands);
    let metrics = Metrics::new();
    let told = async |at: Timestamp| {
        let (reason, message) = view(&source, &metrics, at).await;
        let state = metrics.encode();
        let state = state
            .lines()
            .find(|line| line.starts_with("flyball_source_circuit_state"))
            .unwrap();
        let state = state.split('"').nth(3).unwrap().to_owned();
        (reason, message, state)
    };
    let healthy = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.125,"1700000000.125"]}}"#;
    let healthy = ResponseTemplate::new(200).set_body_raw(healthy, "application/json");
    server.say(healthy.clone());
    let (reason, _, state) = told(AT).await;
    assert_eq!((reason, state.as_str()), (Reason::Accepted, "closed"));

    server.say(ResponseTemplate::new(502));
    let (reason, message, state) = told(AT).await;
    assert_eq!((reason, state.as_str()), (Reason::SourceUnavailable, "closed"));
    assert_eq!(message, "the server is not available (HTTP 502)");
    fail(&source, 3).await;
    // Its own failure is the fifth: what is told is the breaker, then and for as long as it is open.
    for _ in 0..3 {
        let (reason, message, state) = told(AT).await;
        assert_eq!((reason, state.as_str()), (Reason::CircuitOpen, "open"));
        assert!(
            message.contains("open since 2023-11-14T22:13:20.125Z") && message.contains("HTTP 502"),
            "{message}"
        );
        hands.advance(Span::from_secs(5));
    }
    server.say(healthy);
    hands.advance(Span::from_secs(60));
    let (reason, _, state) = told(AT).await;
    assert_eq!((reason, state.as_str()), (Reason::Accepted, "closed"));
}

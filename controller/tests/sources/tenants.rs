//! A source that several namespaces ask: places, rates, and queries that cost too much.

use crate::{
    build::{AT, Hands, one, secrets, source, spec},
    gate::Slow,
};
use flyball_controller::{
    metrics::Metrics,
    observe::source::{Source, SourceError},
};
use flyball_core::{
    breaker::Stage,
    time::{Span, Timestamp},
};
use flyball_crds::{Duration, MetricSourceSpec, PerNamespace};
use rstest::rstest;
use std::{collections::BTreeSet, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_string_contains, method},
};

type Asked = JoinHandle<Result<(), SourceError>>;

/// Asks, and returns once the query waits for a place or is sent.
async fn ask(source: &Source, query: &'static str) -> Asked {
    let source = source.clone();
    let mut asking = Box::pin(async move { source.instant(query, AT).await.map(drop) });
    assert!(futures::poll!(&mut asking).is_pending());
    tokio::spawn(asking)
}

#[tokio::test]
async fn a_namespace_with_many_queries_does_not_hold_up_another() {
    let slow = Slow::start().await;
    let spec = MetricSourceSpec {
        max_concurrent_queries: Some(2),
        timeout: Some(Duration::new("60s")),
        ..spec(&slow.url)
    };
    let source = source(&spec, &secrets(&[]), &Hands::new());
    let (shop, search) = (source.of_namespace("shop", None), source.of_namespace("search", None));
    let mut asked = Vec::new();
    for query in ["shop1", "shop2", "shop3", "shop4"] {
        asked.push(ask(&shop, query).await);
    }
    slow.until(2).await;
    asked.push(ask(&search, "search1").await);
    asked.push(ask(&search, "search2").await);
    // The first place that is free is the other namespace's; then each has one, and takes turns.
    for count in 3..=6 {
        slow.let_go.add_permits(1);
        slow.asked(count).await;
    }
    slow.let_go.add_permits(2);
    for answer in asked {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
    let order = slow.asked(6).await;
    assert_eq!(order[2], "search1", "{order:?}");
    let all: BTreeSet<_> = order.iter().map(String::as_str).collect();
    assert_eq!(all.len(), 6);
    assert_eq!(slow.most.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_namespace_alone_has_all_places_and_no_more_than_its_own_where_it_has_a_limit() {
    for (per_namespace, expect) in [(None, 4), (Some(3), 3)] {
        let slow = Slow::start().await;
        let spec = MetricSourceSpec {
            max_concurrent_queries: Some(4),
            per_namespace: per_namespace.map(|most| PerNamespace {
                max_concurrent_queries: Some(most),
                ..PerNamespace::default()
            }),
            timeout: Some(Duration::new("60s")),
            ..spec(&slow.url)
        };
        let source = source(&spec, &secrets(&[]), &Hands::new());
        let shop = source.of_namespace("shop", None);
        let mut asked = Vec::new();
        for _ in 0..6 {
            asked.push(ask(&shop, "x").await);
        }
        slow.until(expect).await;
        let all = 6 + if expect < 4 {
            // What the one may not have is free for another.
            asked.push(ask(&source.of_namespace("search", None), "y").await);
            slow.until(4).await;
            1
        } else {
            0
        };
        slow.let_go.add_permits(all);
        for answer in asked {
            assert_eq!(answer.await.unwrap(), Ok(()));
        }
        assert_eq!(slow.most.load(std::sync::atomic::Ordering::SeqCst), 4);
    }
}

#[tokio::test]
async fn who_has_its_share_is_told_which_limit_of_which_source_that_is() {
    let slow = Slow::start().await;
    let first = MetricSourceSpec {
        per_namespace: Some(PerNamespace {
            max_concurrent_queries: Some(1),
            ..PerNamespace::default()
        }),
        timeout: Some(Duration::new("60s")),
        ..spec(&slow.url)
    };
    let hands = Hands::new();
    let holder = source(&first, &secrets(&[]), &hands);
    let held = ask(&holder.of_namespace("shop", None), "x").await;
    slow.until(1).await;
    // The same places with less patience: as if the MetricSource had been edited.
    let hasty = MetricSourceSpec {
        timeout: Some(Duration::new("20ms")),
        ..first
    };
    let source = source(&hasty, &secrets(&[]), &hands).instead_of(&holder);
    let error = source.of_namespace("shop", None).instant("y", AT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no place within 20ms among the 1 queries at once that spec.perNamespace.maxConcurrentQueries of MetricSource test allows \
         namespace shop; lengthen the interval of its policies, or have that raised"
    );
    slow.let_go.add_permits(1);
    assert_eq!(held.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_namespace_asks_no_more_often_than_its_rate() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(one()).mount(&server).await;
    let spec = MetricSourceSpec {
        per_namespace: Some(PerNamespace {
            queries_per_second: Some(1),
            burst: Some(20),
            ..PerNamespace::default()
        }),
        ..spec(&server.uri())
    };
    let hands = Hands::new();
    let source = source(&spec, &secrets(&[]), &hands);
    let (shop, search) = (source.of_namespace("shop", None), source.of_namespace("search", None));
    let fill = async |shop: &Source| {
        for _ in 0..20 {
            shop.instant("x", AT).await.unwrap();
        }
    };
    fill(&shop).await;
    // Ten seconds of patience are ten turns; with those taken the next one is the eleventh.
    let waiting: Vec<Asked> = futures::future::join_all((0..10).map(|_| ask(&shop, "x"))).await;
    let error = shop.instant("x", AT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not asked, namespace shop asks more than the 1 queries per second that spec.perNamespace.queriesPerSecond of MetricSource test \
         allows, and its next turn is 11s away; lengthen the interval of its policies, or have that raised"
    );
    for asked in waiting {
        asked.abort();
    }
    // Neither another namespace nor the controller itself is meant.
    fill(&search).await;
    assert!(source.instant("x", AT).await.is_ok());
    // 30 tokens were taken of the 20: after 30 s all are back.
    hands.advance(Span::from_secs(30));
    fill(&shop).await;
}

/// A server that answers all but what is dear.
async fn server(says: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("query=dear"))
        .respond_with(says)
        .mount(&server)
        .await;
    Mock::given(method("POST")).respond_with(one()).mount(&server).await;
    server
}

async fn asked(server: &MockServer, query: &str) -> usize {
    let requests = server.received_requests().await.unwrap();
    let form = format!("query={query}&");
    requests
        .iter()
        .filter(|request| String::from_utf8_lossy(&request.body).starts_with(&form))
        .count()
}

fn refusal(message: &str) -> ResponseTemplate {
    let body = format!(r#"{{"status":"error","errorType":"execution","error":"{message}"}}"#);
    ResponseTemplate::new(422).set_body_raw(body, "application/json")
}

fn open(error: &SourceError) -> Option<(Timestamp, &str)> {
    match error {
        SourceError::NamespaceOpen { since, why, .. } => Some((*since, why)),
        _ => None,
    }
}

/// What costs too much is left alone, of its namespace alone.
#[rstest]
#[case::prometheus(refusal("query processing would load too many samples into memory in query execution"))]
#[case::mimir(refusal("the query exceeded the maximum number of series (limit: 100000 series)"))]
#[case::thanos(refusal("expanded matching posting: exceeded series limit: limit 10 violated (got 12)"))]
#[case::victoria_metrics(refusal("cannot select more than -search.maxSamplesPerQuery=1000000000 samples"))]
#[case::victoria_metrics_points(refusal(
    "too many points for the given start, end and step: 36303; the maximum number of points is 1000"
))]
#[case::a_proxys_time_out(ResponseTemplate::new(504))]
#[case::prometheus_time_out(ResponseTemplate::new(503).set_body_raw(r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#, "application/json"))]
#[case::too_large(ResponseTemplate::new(200).set_body_raw(vec![b' '; (1 << 20) + 1], "application/json"))]
#[tokio::test]
async fn a_costly_query_is_left_alone_and_nothing_else_is(#[case] says: ResponseTemplate) {
    let server = server(says).await;
    let spec = MetricSourceSpec {
        max_response_mebibytes: Some(1),
        ..spec(&server.uri())
    };
    let hands = Hands::new();
    let source = source(&spec, &secrets(&[]), &hands);
    let metrics = Arc::new(Metrics::new());
    let shop = source.of_namespace("shop", Some(metrics.clone()));
    let search = source.of_namespace("search", Some(metrics.clone()));
    for _ in 0..5 {
        assert_eq!(shop.namespace_stage(), Some(Stage::Closed));
        let error = shop.instant("dear", AT).await.unwrap_err();
        assert!(open(&error).is_none(), "{error}");
        // Such as the age of its samples.
        assert!(shop.instant("cheap", AT).await.is_ok());
    }
    assert_eq!(shop.namespace_stage(), Some(Stage::Open));
    let error = shop.instant("dear", AT).await.unwrap_err();
    assert_eq!(open(&error).map(|(since, _)| since), Some(AT));
    assert!(
        error.to_string().starts_with(
            "not asked, queries of namespace shop that cost MetricSource test too much are left alone since 2023-11-14"
        ),
        "{error}"
    );
    assert_eq!(asked(&server, "dear").await, 5);

    assert!(shop.instant("cheap", AT).await.is_ok());
    assert!(search.instant("cheap", AT).await.is_ok());
    assert_eq!(
        (search.namespace_stage(), source.stage()),
        (Some(Stage::Closed), Stage::Closed)
    );
    // The other namespace finds out for itself.
    let error = search.instant("dear", AT).await.unwrap_err();
    assert!(open(&error).is_none(), "{error}");

    hands.advance(Span::from_secs(5));
    let error = shop.instant("dear", AT).await.unwrap_err();
    assert!(open(&error).is_none(), "after the pause it is asked again: {error}");
    assert!(open(&shop.instant("dear", AT).await.unwrap_err()).is_some());

    let text = metrics.encode();
    for (namespace, result, count) in [
        ("shop", "answered", 6),
        ("shop", "costly", 6),
        ("shop", "namespace_circuit", 2),
        ("search", "answered", 1),
        ("search", "costly", 1),
    ] {
        let line = format!(
            r#"flyball_namespace_queries_total{{namespace="{namespace}",source="test",result="{result}"}} {count}"#
        );
        assert!(text.contains(&line), "{line}: {text}");
    }
    for (namespace, state) in [("shop", "open"), ("search", "closed")] {
        let line =
            format!(r#"flyball_namespace_circuit_state{{namespace="{namespace}",source="test",state="{state}"}} 1"#);
        assert!(text.contains(&line), "{line}: {text}");
    }
}

/// What is wrong with an expression is none of its cost.
#[rstest]
#[case::many_to_many(refusal(
    "found duplicate series for the match group {alertname=\\\"QuotaExceeded\\\"} on the right hand-side of the operation; many-to-many matching not allowed"
))]
#[case::bad(ResponseTemplate::new(400))]
#[case::not_there(ResponseTemplate::new(404))]
#[tokio::test]
async fn a_query_that_is_only_wrong_opens_nothing(#[case] says: ResponseTemplate) {
    let server = server(says).await;
    let source = source(&spec(&server.uri()), &secrets(&[]), &Hands::new());
    let shop = source.of_namespace("shop", None);
    for _ in 0..6 {
        assert!(open(&shop.instant("dear", AT).await.unwrap_err()).is_none());
    }
    assert_eq!(
        (shop.namespace_stage(), source.stage()),
        (Some(Stage::Closed), Stage::Closed)
    );
    assert_eq!(asked(&server, "dear").await, 6);
}

/// Where the server does not answer what costs nothing either, it is the server that failed.
#[rstest]
#[case::gateway(ResponseTemplate::new(504))]
#[case::down(ResponseTemplate::new(503))]
#[case::broken(ResponseTemplate::new(500))]
#[case::wants_to_be_left_alone(ResponseTemplate::new(503).insert_header("retry-after", "30"))]
#[tokio::test]
async fn a_server_that_fails_is_left_alone_by_all(#[case] says: ResponseTemplate) {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(says).mount(&server).await;
    let source = source(&spec(&server.uri()), &secrets(&[]), &Hands::new());
    let shop = source.of_namespace("shop", None);
    for _ in 0..5 {
        assert!(shop.instant("dear", AT).await.is_err());
    }
    assert_eq!(
        (shop.namespace_stage(), source.stage()),
        (Some(Stage::Closed), Stage::Open)
    );
    let error = source
        .of_namespace("search", None)
        .instant("cheap", AT)
        .await
        .unwrap_err();
    assert!(matches!(error, SourceError::Open { .. }), "{error}");
}

/// A server that answers `time()`, and nothing else ever.
async fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    if !String::from_utf8_lossy(&buffer[..n]).contains("query=time") {
                        continue;
                    }
                    let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.125,"1"]}}"#;
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
                    let answer = format!("{head} {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn queries_that_never_end_are_their_namespaces_and_silence_is_the_servers() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let asked = async |url: &str| {
        let spec = MetricSourceSpec {
            timeout: Some(Duration::new("2s")),
            ..spec(url)
        };
        let source = source(&spec, &secrets(&[]), &Hands::new());
        let shop = source.of_namespace("shop", None);
        let asked = (0..5).map(|_| shop.instant("dear", AT));
        for answer in futures::future::join_all(asked).await {
            assert_eq!(answer.map(drop), Err(SourceError::TimedOut(Span::from_secs(2))));
        }
        (shop.namespace_stage(), source.stage())
    };
    let endless_url = endless().await;
    let (endless, silence) = futures::join!(asked(&endless_url), asked(&silent_url));
    assert_eq!(endless, (Some(Stage::Open), Stage::Closed));
    assert_eq!(silence, (Some(Stage::Closed), Stage::Open));
}

#[tokio::test]
async fn what_is_known_of_a_namespace_goes_with_its_policies() {
    let server = server(ResponseTemplate::new(504)).await;
    let source = source(&spec(&server.uri()), &secrets(&[]), &Hands::new());
    let (shop, search) = (source.of_namespace("shop", None), source.of_namespace("search", None));
    for one in [&shop, &search] {
        for _ in 0..5 {
            assert!(one.instant("dear", AT).await.is_err());
        }
    }
    source.keep_namespaces(&BTreeSet::from(["search"]));
    assert_eq!(
        (shop.namespace_stage(), search.namespace_stage()),
        (Some(Stage::Closed), Some(Stage::Open))
    );
}

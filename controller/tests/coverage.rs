//! How far ranges are filled, asked of a server that answers as it is told. For real ones see
//! `tests/tests/backends/coverage.rs`.

#![allow(clippy::unwrap_used, clippy::panic)]

use flyball_controller::{
    observe::{
        coverage::{self, Distances},
        credentials::Secrets,
        source::Source,
    },
    promql,
};
use flyball_core::{
    check::Coverage,
    policy::Query,
    time::{Span, Timestamp},
};
use flyball_crds::MetricSourceSpec;
use std::net::TcpListener;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{body_string_contains, path},
};

/// The time that is asked about, in seconds.
const AT: i64 = 1_700_003_600;

fn source(url: &str) -> Source {
    let spec = MetricSourceSpec {
        url: url.to_owned(),
        ..MetricSourceSpec::default()
    };
    Source::new("test", &spec, &Secrets::new()).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_millis(AT * 1000)
}

/// The coverage as `query fraction`, with the fraction in thousandths, or why it is not known.
async fn told(source: &Source, distances: &Distances, texts: &[&str], interval: Option<Span>) -> String {
    let queries: Vec<Query> = texts.iter().map(|text| promql::query(text).unwrap()).collect();
    let queries: Vec<&Query> = queries.iter().collect();
    match coverage::of(source, distances, &queries, interval, now()).await {
        Coverage::NotNeeded => "not needed".to_owned(),
        Coverage::Filled { query, fraction } => format!("{query} {:.3}", fraction.get()),
        Coverage::Unknown(why) => format!("unknown: {why}"),
    }
}

/// A server with an answer for each query that holds a text, asked so many times.
async fn server(answers: &[(&str, &str, u64)]) -> (MockServer, Source) {
    let server = MockServer::start().await;
    for (part, answer, times) in answers {
        let body = format!(r#"{{"status":"success",{answer}}}"#);
        Mock::given(path("/api/v1/query"))
            .and(body_string_contains(*part))
            .respond_with(ResponseTemplate::new(200).set_body_raw(body, "application/json"))
            .expect(*times)
            .mount(&server)
            .await;
    }
    let source = source(&server.uri());
    (server, source)
}

fn vector(value: &str) -> String {
    format!(r#""data":{{"resultType":"vector","result":[{{"metric":{{"pod":"a"}},"value":[{AT},"{value}"]}}]}}"#)
}

const EMPTY: &str = r#""data":{"resultType":"vector","result":[]}"#;
const COUNT: &str = "query=topk%281%2C+count_over_time%28";
const MEASURE: &str = "query=quantile_over_time%280.25%2C+";

#[tokio::test]
async fn a_distance_is_measured_once() {
    let (_server, source) = server(&[(COUNT, &vector("17"), 3), (MEASURE, &vector("15"), 1)]).await;
    let distances = Distances::default();
    for _ in 0..3 {
        // 17 of 20 less one.
        assert_eq!(
            told(&source, &distances, &["rate(x[5m])"], None).await,
            "rate(x[5m]) 0.895"
        );
    }
}

#[tokio::test]
async fn a_distance_that_is_known_is_not_measured() {
    let (_server, source) = server(&[(COUNT, &vector("9"), 1), (MEASURE, &vector("15"), 0)]).await;
    let interval = Some(Span::from_secs(30));
    let told = told(&source, &Distances::default(), &["rate(x[5m])"], interval).await;
    assert_eq!(told, "rate(x[5m]) 1.000");
}

#[tokio::test]
async fn the_query_that_is_filled_least_counts() {
    let y = "count_over_time%28y%5B10m%5D";
    let x = "count_over_time%28x%5B5m%5D";
    let (_server, source) = server(&[(y, &vector("30"), 1), (x, &vector("19"), 1)]).await;
    let queries = ["rate(x[5m])", "up", "sum(rate(y[10m])) / sum(rate(x[5m]))"];
    let told = told(&source, &Distances::default(), &queries, Some(Span::from_secs(15))).await;
    // 30 of 40 less one.
    assert_eq!(told, "sum(rate(y[10m])) / sum(rate(x[5m])) 0.769");
}

#[tokio::test]
async fn what_looks_back_on_nothing_is_not_asked_about() {
    let (server, source) = server(&[]).await;
    let told = told(&source, &Distances::default(), &["up", "absent_over_time(x[5m])"], None).await;
    assert_eq!(told, "not needed");
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_counted_is_unknown() {
    let ask = |answers: Vec<(&'static str, String)>, query: &'static str| async move {
        let answers: Vec<_> = answers
            .iter()
            .map(|(part, answer)| (*part, answer.as_str(), 1))
            .collect();
        let (_server, source) = server(&answers).await;
        told(&source, &Distances::default(), &[query], None).await
    };
    let told = ask(vec![(COUNT, EMPTY.to_owned())], "rate(x[5m])").await;
    assert_eq!(told, "unknown: rate(x[5m]): there is no sample in its range");
    let told = ask(vec![(COUNT, vector("2")), (MEASURE, EMPTY.to_owned())], "rate(x[5m])").await;
    let few = "unknown: rate(x[5m]): x has too few samples to tell how far apart they are; wait, or set spec.scrapeInterval of the MetricSource";
    assert_eq!(told, few);
    let warned = format!(r#""warnings":["a store is away"],{}"#, vector("20"));
    let told = ask(vec![(COUNT, warned)], "rate(x[5m])").await;
    assert_eq!(told, "unknown: rate(x[5m]): the server warned: a store is away");
    let told = ask(vec![(COUNT, vector("NaN"))], "rate(x[5m])").await;
    assert_eq!(
        told,
        "unknown: rate(x[5m]): the server counted no finite number of samples"
    );
    // Of two selectors one is enough: `or` is written for the other.
    let told = ask(
        vec![
            ("count_over_time%28x", vector("20")),
            (MEASURE, vector("15")),
            ("count_over_time%28y", EMPTY.to_owned()),
        ],
        "rate(x[5m]) or rate(y[5m])",
    )
    .await;
    assert_eq!(told, "rate(x[5m]) or rate(y[5m]) 1.000");
    let told = told_by_nobody().await;
    assert!(
        told.starts_with("unknown: rate(x[5m]): no connection to 127.0.0.1:"),
        "{told}"
    );
}

async fn told_by_nobody() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    told(
        &source(&format!("http://{address}")),
        &Distances::default(),
        &["rate(x[5m])"],
        None,
    )
    .await
}

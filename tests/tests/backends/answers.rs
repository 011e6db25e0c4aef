//! What both servers answer to the same queries over the same samples.

use crate::{
    samples::Times,
    server::{Kind, Server, configured},
};
use flyball_controller::{
    observe::{
        envelope::EnvelopeError,
        source::{Source, SourceError},
    },
    promql,
};
use flyball_core::{
    breaker::Stage,
    signal::{Quality, Sample},
    time::{Span, Timestamp},
};

/// Labels, written as `a=b,c=d`, and a value.
type Expect = &'static [(&'static str, f64)];

/// Queries with their answers at the time of the last sample, calculated by hand from what the samples are.
const SAME: &[(&str, Expect)] = &[
    (
        "depth",
        &[("__name__=depth,queue=x", 7.0), ("__name__=depth,queue=y", 3.0)],
    ),
    ("sum(depth)", &[("", 10.0)]),
    ("count(depth)", &[("", 2.0)]),
    ("avg(depth)", &[("", 5.0)]),
    ("max by (queue) (depth)", &[("queue=x", 7.0), ("queue=y", 3.0)]),
    ("depth > 5", &[("__name__=depth,queue=x", 7.0)]),
    ("depth > bool 5", &[("queue=x", 1.0), ("queue=y", 0.0)]),
    ("depth{queue=~\"x|z\"} * 2", &[("queue=x", 14.0)]),
    ("depth{queue=\"x\"} / on() depth{queue=\"y\"}", &[("", 7.0 / 3.0)]),
    ("sum(nothing)", &[]),
    ("nothing > 0.5", &[]),
    ("absent(nothing)", &[("", 1.0)]),
    ("nothing or vector(0)", &[("", 0.0)]),
    ("vector(1)", &[("", 1.0)]),
    ("1", &[("", 1.0)]),
    ("1e21", &[("", 1e21)]),
    ("-1 / 3", &[("", -1.0 / 3.0)]),
    ("endless", &[("__name__=endless,queue=x", f64::INFINITY)]),
    ("-endless", &[("queue=x", f64::NEG_INFINITY)]),
    ("depth / 0", &[("queue=x", f64::INFINITY), ("queue=y", f64::INFINITY)]),
    ("1e300 * 1e300", &[("", f64::INFINITY)]),
    (
        "sum by (service) (rate(http_requests_total[5m]))",
        &[("service=checkout", 3.0), ("service=orders", 3.0)],
    ),
    (
        "increase(http_requests_total{pod=\"b\"}[10m])",
        &[("pod=b,service=checkout", 1200.0)],
    ),
    ("sum(rate(http_requests_total[5m] offset 5m))", &[("", 6.0)]),
    (
        "max by (queue) (max_over_time(depth{queue=\"x\"}[5m]))",
        &[("queue=x", 7.0)],
    ),
    ("max by (queue) (clamp_max(depth{queue=\"x\"}, 5))", &[("queue=x", 5.0)]),
    // A policy's usual rule: the average latency of each service.
    (
        "sum by (service) (rate(http_seconds_sum[5m])) / sum by (service) (rate(http_requests_total[5m]))",
        &[("service=checkout", 0.2), ("service=orders", 0.6)],
    ),
    (
        "sum by (service) (rate(http_seconds_sum[5m])) / sum by (service) (rate(http_requests_total[5m])) > 0.5",
        &[("service=orders", 0.6)],
    ),
    // What ended more than five minutes ago has left the look-back, and not yet every range.
    ("ended", &[]),
    ("count_over_time(ended[9m55s])", &[("queue=x", 18.0)]),
];

fn labels(sample: &Sample) -> String {
    let pairs = sample.labels.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

fn near(found: f64, expect: f64) -> bool {
    // The servers extrapolate in another order of their operations.
    found.to_bits() == expect.to_bits() || (found - expect).abs() <= expect.abs() * 1e-9
}

async fn answered(source: &Source, query: &str, at: Timestamp) -> Vec<(String, f64)> {
    let answer = source.instant(query, at).await;
    let answer = answer.unwrap_or_else(|error| panic!("{query}: {error}"));
    assert_eq!(answer.warnings, Vec::<String>::new(), "{query}");
    let mut samples: Vec<_> = answer
        .samples
        .iter()
        .map(|sample| (labels(sample), sample.value))
        .collect();
    samples.sort_by(|a, b| a.0.cmp(&b.0));
    samples
}

#[tokio::test]
async fn the_same_samples_give_the_same_answers() {
    let times = Times::new();
    for kind in Kind::ALL {
        let Some(server) = times.server(kind).await else { return };
        let source = server.source();
        for (query, expect) in SAME {
            let found = answered(&source, query, times.end()).await;
            let same = found.len() == expect.len()
                && found
                    .iter()
                    .zip(*expect)
                    .all(|(found, expect)| found.0 == expect.0 && near(found.1, expect.1));
            assert!(same, "{kind:?}, {query}: {found:?}, not {expect:?}");
        }
        assert_eq!(source.stage(), Stage::Closed);
    }
}

/// Where the two differ in what they answer: `VictoriaMetrics` keeps the metric's name where the meaning stays, and reads
/// an instant vector as one over a range.
#[tokio::test]
async fn some_answers_differ() {
    let times = Times::new();
    let Some(prometheus) = times.server(Kind::Prometheus).await else {
        return;
    };
    let Some(victoria_metrics) = times.server(Kind::VictoriaMetrics).await else {
        return;
    };
    let query = "max_over_time(depth{queue=\"x\"}[5m])";
    let named = |labels: &str| vec![(labels.to_owned(), 7.0)];
    assert_eq!(
        answered(&prometheus.source(), query, times.end()).await,
        named("queue=x")
    );
    let found = answered(&victoria_metrics.source(), query, times.end()).await;
    assert_eq!(found, named("__name__=depth,queue=x"));
    let query = "sum(rate(depth))";
    let refused = prometheus.source().instant(query, times.end()).await;
    assert!(
        matches!(refused, Err(SourceError::QueryRefused { status: 400, .. })),
        "{refused:?}"
    );
    let found = answered(&victoria_metrics.source(), query, times.end()).await;
    assert_eq!(found, [(String::new(), 0.0)]);
}

/// What VictoriaMetrics leaves out where Prometheus writes NaN. Both take nothing away.
#[tokio::test]
async fn what_is_no_number_is_never_fresh() {
    let times = Times::new();
    for (kind, expect) in [
        (Kind::Prometheus, Quality::NotFinite),
        (Kind::VictoriaMetrics, Quality::Missing),
    ] {
        let Some(server) = times.server(kind).await else { return };
        for query in ["depth * (0 / 0)", "sum(rate(depth[5m])) / sum(rate(depth[5m]))"] {
            let reading = read(&server.source(), query, Span::from_secs(60), times.end()).await;
            assert_eq!(reading.0, expect, "{kind:?}, {query}: {}", reading.1);
        }
        let reading = read(&server.source(), "depth / 0", Span::from_secs(60), times.end()).await;
        assert_eq!(reading.0, Quality::NotFinite, "{kind:?}");
    }
}

pub async fn read(source: &Source, query: &str, max_age: Span, at: Timestamp) -> (Quality, String) {
    let query = promql::query(query).unwrap();
    let reading = source.read(&query, max_age, at).await;
    (reading.quality(), reading.detail().to_owned())
}

/// A query that can't be answered is refused by name, and says nothing about the server.
#[tokio::test]
async fn bad_queries_are_refused_and_open_nothing() {
    let times = Times::new();
    for kind in Kind::ALL {
        let Some(server) = times.server(kind).await else { return };
        let source = server.source();
        for (query, prometheus) in [
            ("sum(", (400, "bad_data")),
            ("nothing{a=~\"(\"}", (400, "bad_data")),
            ("unheard_of(depth)", (400, "bad_data")),
            ("depth * on() depth", (422, "execution")),
        ] {
            let expect = match kind {
                Kind::Prometheus => prometheus,
                Kind::VictoriaMetrics | Kind::Alertmanager | Kind::Receiver => (422, "422"),
            };
            for _ in 0..3 {
                match source.instant(query, times.end()).await {
                    Err(SourceError::QueryRefused { status, kind, message }) => {
                        assert_eq!((status, kind.as_str()), expect, "{query}: {message}");
                        assert!(!message.is_empty());
                    }
                    other => panic!("{kind:?}, {query}: {other:?}"),
                }
            }
        }
        // VictoriaMetrics exports a range as another type of content.
        let range = source.instant("depth[1m]", times.end()).await.unwrap_err();
        let expect = match kind {
            Kind::Prometheus => matches!(range, SourceError::Answer(EnvelopeError::ResultType("range vector", _))),
            Kind::VictoriaMetrics | Kind::Alertmanager | Kind::Receiver => matches!(range, SourceError::ContentType(_)),
        };
        assert!(expect, "{kind:?}: {range:?}");
        assert_eq!(source.stage(), Stage::Closed, "{kind:?}");
        assert!(
            source.version().await.is_some_and(|version| version.contains('.')),
            "{kind:?}"
        );
    }
}

/// A part of Prometheus that can't be asked is a warning there: the answer is what is left.
#[tokio::test]
async fn what_prometheus_warns_of_is_partial() {
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let remote = format!("remote_read: [{{url: \"http://{nowhere}/read\", read_recent: true}}]\n");
    let folder = configured(&format!("global: {{scrape_interval: 1s}}\n{remote}"));
    let Some(server) = Server::start(Kind::Prometheus, folder, &[]) else {
        return;
    };
    let source = server.source();
    let now = flyball_controller::clock::now();
    assert_eq!(source.ready(now).await, Ok(()));
    let answer = source.instant("depth", now).await.unwrap();
    assert!(answer.samples.is_empty() && !answer.warnings.is_empty(), "{answer:?}");
    let (quality, detail) = read(&source, "sum(depth) or vector(0)", Span::from_secs(60), now).await;
    assert_ne!(quality, Quality::Fresh, "{detail}");
    let constant = source
        .read(&promql::query("vector(1)").unwrap(), Span::from_secs(60), now)
        .await;
    // A query that reads nothing has nothing missing.
    assert_eq!(constant.quality(), Quality::Fresh, "{}", constant.detail());
}

//! How old samples are, and that a server evaluates for the time it is asked for.

use crate::{
    answers::read,
    samples::{Times, import},
    server::{Kind, Server, configured, source},
};
use axum::{Router, routing::get};
use flyball_controller::{clock, observe::source::SourceError};
use flyball_core::{signal::Quality, time::Span};
use flyball_crds::MetricSourceSpec;
use flyball_tests::bed::eventually;
use std::collections::BTreeMap;

const MINUTE: Span = Span::from_secs(60);

/// Each query so long after its last sample, with the oldest age that still counts, and what it is.
const AGES: &[(&str, u64, u64, Quality)] = &[
    ("depth", 0, 10, Quality::Fresh),
    ("depth", 10, 10, Quality::Fresh),
    ("depth", 11, 10, Quality::Stale),
    ("sum(rate(http_requests_total[5m]))", 0, 10, Quality::Fresh),
    ("sum(rate(http_requests_total[5m]))", 20, 10, Quality::Stale),
    ("sum(rate(http_requests_total[5m]))", 20, 60, Quality::Fresh),
    // The one that is furthest behind counts.
    ("sum(max_over_time(ended[10m])) + sum(depth)", 0, 60, Quality::Stale),
    ("sum(depth) or vector(0)", 0, 60, Quality::Fresh),
    ("sum(nothing) or vector(0)", 0, 60, Quality::Error),
    ("nothing", 0, 60, Quality::Missing),
    ("time()", 0, 60, Quality::Fresh),
];

#[tokio::test]
async fn ages_are_those_of_the_samples() {
    let times = Times::new();
    for kind in Kind::ALL {
        let Some(server) = times.server(kind).await else { return };
        for (query, after, max_age, expect) in AGES {
            let (quality, detail) = read(&server.source(), query, Span::from_secs(*max_age), times.after(*after)).await;
            assert_eq!(quality, *expect, "{kind:?}, {query} after {after} s: {detail}");
        }
    }
}

/// Without `nocache` VictoriaMetrics evaluates 30 s earlier than it is asked to, and dates its answer to the time it was
/// asked for: a sample of half a minute ago looks new.
#[tokio::test]
async fn victoria_metrics_evaluates_when_it_is_asked_to() {
    let Some(server) = Server::empty(Kind::VictoriaMetrics) else {
        return;
    };
    let at = clock::now();
    let sample = |ago: u64| format!("newest 5 {}\n", (at - Span::from_secs(ago)).as_millis());
    import(&server, &format!("{}{}", sample(50), sample(2))).await;
    let by_default = server.source();
    let cached = source(&MetricSourceSpec {
        url: server.url(),
        query_params: BTreeMap::from([("nocache".to_owned(), "0".to_owned())]),
        ..MetricSourceSpec::default()
    });
    assert_eq!(by_default.ready(at).await, Ok(()));
    let (quality, detail) = read(&by_default, "newest", Span::from_secs(2), at).await;
    assert_eq!(quality, Quality::Fresh, "{detail}");
    let (quality, detail) = read(&by_default, "newest", Span::from_millis(1999), at).await;
    assert_eq!(quality, Quality::Stale, "{detail}");

    let shifted = cached.ready(clock::now()).await.unwrap_err();
    assert!(
        matches!(shifted, SourceError::Shifted(by) if by >= Span::from_secs(20)),
        "{shifted:?}"
    );
    assert!(
        shifted.to_string().contains("nocache: \"1\" in spec.queryParams"),
        "{shifted}"
    );
}

/// A target that is gone is seen at once where it is asked for at an instant, and by its age where it is asked for over a
/// range: `rate` goes on answering.
#[tokio::test]
async fn a_target_that_vanishes_is_seen_by_its_age() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let router = Router::new().route(
        "/metrics",
        get(async || {
            let text = "# TYPE served_total counter\nserved_total 42\n";
            ([("content-type", "text/plain; version=0.0.4")], text)
        }),
    );
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let scrape = format!("scrape_configs: [{{job_name: web, static_configs: [{{targets: [\"{target}\"]}}]}}]\n");
    let folder = configured(&format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n{scrape}"
    ));
    let Some(server) = Server::start(Kind::Prometheus, folder, &[]) else {
        return;
    };
    let source = server.source();
    let now = || async {
        let at = clock::now();
        let instant = read(&source, "served_total", MINUTE, at).await.0;
        // By its age in the range it is five minutes old as soon as it has no current sample.
        let rate = read(&source, "sum(rate(served_total[5m]))", MINUTE, at).await.0;
        (instant, rate)
    };
    eventually("both are fresh", async || {
        (now().await == (Quality::Fresh, Quality::Fresh)).then_some(())
    })
    .await;
    serving.abort();
    eventually("one is missing, the other stale", async || {
        (now().await == (Quality::Missing, Quality::Stale)).then_some(())
    })
    .await;
}

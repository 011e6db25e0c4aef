//! Queries that cost a real server too much: left alone for the namespace that asks them, and for nobody else.

use crate::server::{Kind, Server, configured, source};
use flyball_controller::{
    clock,
    observe::source::{Source, SourceError},
};
use flyball_core::{breaker::Stage, time::Span};
use flyball_crds::{Duration, MetricSourceSpec};

/// More samples at once than the server takes, of no series at all: 36,001 of a subquery.
const EXPENSIVE: &str = "count_over_time(vector(1)[10h:1s])";
/// What takes a server long: hundreds of subqueries one after the other, between which it looks whether it is to end.
fn endless() -> String {
    const ONE: &str = "quantile_over_time(0.5, quantile_over_time(0.5, vector(time())[15m:1s])[15m:1s])";
    vec![ONE; 400].join(" + ")
}

struct Shared {
    source: Source,
    shop: Source,
    search: Source,
}

impl Shared {
    fn of(spec: &MetricSourceSpec) -> Self {
        let source = source(spec);
        let (shop, search) = (source.of_namespace("shop", None), source.of_namespace("search", None));
        Self { source, shop, search }
    }

    /// One namespace asks a query until it is left alone; returns what the server said of it.
    async fn trip(&self, query: &str) -> SourceError {
        let mut last = None;
        for _ in 0..5 {
            assert_eq!(self.shop.namespace_stage(), Some(Stage::Closed));
            let error = self.shop.instant(query, clock::now()).await.unwrap_err();
            assert!(!matches!(error, SourceError::NamespaceOpen { .. }), "{error}");
            assert!(self.shop.instant("vector(1)", clock::now()).await.is_ok());
            last = Some(error);
        }
        assert_eq!(self.shop.namespace_stage(), Some(Stage::Open));
        let error = self.shop.instant(query, clock::now()).await.unwrap_err();
        assert!(matches!(error, SourceError::NamespaceOpen { .. }), "{error}");
        // Nobody else is meant, nor is anything else.
        assert_eq!(self.source.stage(), Stage::Closed);
        assert_eq!(self.search.namespace_stage(), Some(Stage::Closed));
        for source in [&self.shop, &self.search, &self.source] {
            assert!(source.instant("vector(1)", clock::now()).await.is_ok());
        }
        assert_eq!(self.source.ready(clock::now()).await, Ok(()));
        last.unwrap()
    }
}

#[tokio::test]
async fn a_namespaces_expensive_queries_are_left_alone_and_nothing_else_is() {
    let limits = [
        (Kind::Prometheus, "--query.max-samples=1000", "too many samples"),
        (
            Kind::VictoriaMetrics,
            "-search.maxPointsSubqueryPerTimeseries=1000",
            "too many points",
        ),
    ];
    for (kind, limit, words) in limits {
        let folder = configured("global: {scrape_interval: 1s}\n");
        let Some(server) = Server::start(kind, folder, &[limit.to_owned()]) else {
            return;
        };
        let shared = Shared::of(&MetricSourceSpec {
            url: server.url(),
            ..MetricSourceSpec::default()
        });
        let error = shared.trip(EXPENSIVE).await;
        assert!(
            error.is_costly() && error.to_string().contains(words),
            "{kind:?}: {error}"
        );
    }
}

/// The server ends it, or we do: in both cases `time()` is answered beside it.
#[tokio::test]
async fn a_namespaces_endless_queries_are_left_alone_and_nothing_else_is() {
    let trip = async |ends: &str, timeout: &str| {
        let folder = configured("global: {scrape_interval: 1s}\n");
        let server = Server::start(Kind::Prometheus, folder, &[format!("--query.timeout={ends}")])?;
        let shared = Shared::of(&MetricSourceSpec {
            url: server.url(),
            timeout: Some(Duration::new(timeout)),
            ..MetricSourceSpec::default()
        });
        Some(shared.trip(&endless()).await)
    };
    let (theirs, ours) = futures::join!(trip("1s", "60s"), trip("60s", "1s"));
    let (Some(theirs), Some(ours)) = (theirs, ours) else {
        return;
    };
    let SourceError::Unavailable {
        status: 503, reason, ..
    } = &theirs
    else {
        panic!("{theirs}");
    };
    assert!(reason.as_ref().is_some_and(|(kind, _)| kind == "timeout"), "{theirs}");
    assert_eq!(ours, SourceError::TimedOut(Span::from_secs(1)));
}

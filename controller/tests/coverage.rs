//! How far ranges are filled, asked of a server that answers as it is told, and of a real one.

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
use std::{
    env,
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
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

/// A real server with samples that were written beforehand. It is ended by its own pid.
struct Prometheus {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// The server that `FLYBALL_PROMETHEUS` names; promtool lies beside it.
fn prometheus(samples: &str) -> Prometheus {
    let program = PathBuf::from(env::var_os("FLYBALL_PROMETHEUS").unwrap());
    let folder = env::temp_dir().join(format!("flyball-coverage-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("samples"), samples).unwrap();
    fs::write(folder.join("prometheus.yml"), "global: {scrape_interval: 15s}\n").unwrap();
    let promtool = program.with_file_name("promtool");
    let made = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics", "samples", "data"])
        .current_dir(&folder)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = Command::new(program)
        .args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--storage.tsdb.retention.time=100y",
        ])
        .arg(format!("--web.listen-address={address}"))
        .current_dir(&folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let url = format!("http://{address}");
    Prometheus { child, folder, url }
}

/// An hour of samples of metrics with holes, up to [`AT`]. The metric's name says which.
fn samples() -> String {
    let mut all = String::new();
    let mut series = |name: &str, pod: &str, times: &[i64]| {
        for (n, time) in times.iter().enumerate() {
            writeln!(all, r#"{name}{{pod="{pod}"}} {n} {}.{:03}"#, time / 1000, time % 1000).unwrap();
        }
    };
    let every = |distance: i64| (0..=3_600_000 / distance).map(move |n| AT * 1000 - 3_600_000 + n * distance);
    let without = |from: i64, to: i64| {
        let ago = move |time: i64| AT * 1000 - time;
        every(15_000)
            .filter(|time| !(to * 1000..from * 1000).contains(&ago(*time)))
            .collect::<Vec<_>>()
    };
    series("full", "a", &every(15_000).collect::<Vec<_>>());
    series(
        "full",
        "b",
        &every(15_000)
            .filter(|time| *time > (AT - 120) * 1000)
            .collect::<Vec<_>>(),
    );
    // The server was away for four minutes, and for twenty; it is back for one, and for 50 s.
    series("hole", "a", &without(300, 60));
    series("outage", "a", &without(1250, 50));
    series("slow", "a", &every(60_000).collect::<Vec<_>>());
    series(
        "half",
        "a",
        &every(15_000).filter(|time| time / 15_000 % 4 < 2).collect::<Vec<_>>(),
    );
    let uneven = every(15_000).map(|time| time + [0, 1_500, -1_500, 700][usize::try_from(time / 15_000 % 4).unwrap()]);
    series(
        "uneven",
        "a",
        &uneven.filter(|time| *time <= AT * 1000).collect::<Vec<_>>(),
    );
    series("late", "a", &[(AT - 30) * 1000, (AT - 15) * 1000, AT * 1000]);
    all.push_str("# EOF\n");
    all
}

#[tokio::test]
#[ignore = "needs the path of a server in FLYBALL_PROMETHEUS"]
async fn a_real_server_tells_a_hole_from_health() {
    let server = prometheus(&samples());
    let source = source(&server.url);
    for _ in 0..300 {
        if source.ready(now()).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let distances = Distances::default();
    // Whether the sample at the beginning of a range counts differs between versions, so fractions that a
    // sample more or less would change are given as bounds.
    let check = async |query: &str, least: f64, most: f64| {
        let told = told(&source, &distances, &[query], None).await;
        let fraction: f64 = told
            .rsplit(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(f64::NAN);
        assert!(
            told.starts_with(query) && (least..=most).contains(&fraction),
            "{query}: {told}"
        );
    };
    check("sum(rate(full[5m]))", 1.0, 1.0).await;
    check(r#"rate(full{pod="b"}[5m])"#, 0.4, 0.45).await;
    check("rate(full[1m])", 1.0, 1.0).await;
    check("max_over_time(rate(full[5m])[30m:1m])", 1.0, 1.0).await;
    check("rate(slow[5m])", 1.0, 1.0).await;
    check("rate(slow[10m])", 1.0, 1.0).await;
    check("rate(uneven[5m])", 0.9, 1.0).await;
    // Five samples of 19.
    check("rate(hole[5m])", 0.2, 0.4).await;
    // The range ended before the server went away.
    check("rate(hole[5m] offset 5m)", 1.0, 1.0).await;
    check("rate(hole[20m])", 0.75, 0.85).await;
    check("avg_over_time(hole[5m]) / avg_over_time(full[5m])", 0.2, 0.4).await;
    check("rate(outage[5m])", 0.15, 0.3).await;
    check("max_over_time(outage[30m:1m])", 0.3, 0.4).await;
    // Two of four scrapes fail.
    check("rate(half[5m])", 0.45, 0.6).await;
    let told = told(&source, &distances, &["rate(late[5m])"], None).await;
    assert!(told.contains("too few samples"), "{told}");
}

//! How far ranges are filled: a hole is told from health, from a slow scrape, and from a pod that has just started.

use crate::{samples, server::Kind};
use flyball_controller::{
    clock,
    observe::{
        coverage::{self, Distances},
        source::Source,
    },
    promql,
};
use flyball_core::{check::Coverage, time::Timestamp};
use std::fmt::Write;

/// The coverage as `query fraction`, with the fraction in thousandths, or why it is not known.
async fn told(source: &Source, distances: &Distances, text: &str, now: Timestamp) -> String {
    let query = promql::query(text).unwrap();
    match coverage::of(source, distances, &[&query], None, now).await {
        Coverage::NotNeeded => "not needed".to_owned(),
        Coverage::Filled { query, fraction } => format!("{query} {:.3}", fraction.get()),
        Coverage::Unknown(why) => format!("unknown: {why}"),
    }
}

/// An hour of samples of metrics with holes, up to `at`, in seconds. The metric's name says which.
fn openmetrics(at: i64) -> String {
    let mut all = String::new();
    let mut series = |name: &str, pod: &str, times: &[i64]| {
        for (n, time) in times.iter().enumerate() {
            writeln!(all, r#"{name}{{pod="{pod}"}} {n} {}.{:03}"#, time / 1000, time % 1000).unwrap();
        }
    };
    let every = |distance: i64| (0..=3_600_000 / distance).map(move |n| at * 1000 - 3_600_000 + n * distance);
    let without = |from: i64, to: i64| {
        let ago = move |time: i64| at * 1000 - time;
        every(15_000)
            .filter(|time| !(to * 1000..from * 1000).contains(&ago(*time)))
            .collect::<Vec<_>>()
    };
    series("full", "a", &every(15_000).collect::<Vec<_>>());
    series(
        "full",
        "b",
        &every(15_000)
            .filter(|time| *time > (at - 120) * 1000)
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
        &uneven.filter(|time| *time <= at * 1000).collect::<Vec<_>>(),
    );
    series("late", "a", &[(at - 30) * 1000, (at - 15) * 1000, at * 1000]);
    all.push_str("# EOF\n");
    all
}

/// Each query, with the least and the most that its range is filled to. Whether the sample at the beginning of a range
/// counts differs between servers, so what a sample more or less would change is given as bounds.
const FILLED: &[(&str, f64, f64)] = &[
    ("sum(rate(full[5m]))", 1.0, 1.0),
    (r#"rate(full{pod="b"}[5m])"#, 0.4, 0.45),
    ("rate(full[1m])", 1.0, 1.0),
    ("max_over_time(rate(full[5m])[30m:1m])", 1.0, 1.0),
    ("rate(slow[5m])", 1.0, 1.0),
    ("rate(slow[10m])", 1.0, 1.0),
    ("rate(uneven[5m])", 0.9, 1.0),
    // Five samples of 19.
    ("rate(hole[5m])", 0.2, 0.4),
    // The range ended before the server went away.
    ("rate(hole[5m] offset 5m)", 1.0, 1.0),
    ("rate(hole[20m])", 0.75, 0.85),
    ("avg_over_time(hole[5m]) / avg_over_time(full[5m])", 0.2, 0.4),
    ("rate(outage[5m])", 0.15, 0.3),
    ("max_over_time(outage[30m:1m])", 0.3, 0.4),
    // Two of four scrapes fail.
    ("rate(half[5m])", 0.45, 0.6),
];

#[tokio::test]
async fn a_hole_is_told_from_health() {
    // Whole minutes, some time ago: VictoriaMetrics takes nothing that is older than a month.
    let at = clock::now().as_millis() / 60_000 * 60 - 600;
    let now = Timestamp::from_millis(at * 1000);
    for kind in Kind::ALL {
        let Some(server) = samples::server(kind, &openmetrics(at)).await else {
            return;
        };
        let (source, distances) = (server.source(), Distances::default());
        for (query, least, most) in FILLED {
            let told = told(&source, &distances, query, now).await;
            let fraction = told.rsplit(' ').next().and_then(|text| text.parse::<f64>().ok());
            assert!(
                told.starts_with(query) && fraction.is_some_and(|fraction| (*least..=*most).contains(&fraction)),
                "{kind:?}, {query}: {told}"
            );
        }
        let told = told(&source, &distances, "rate(late[5m])", now).await;
        assert!(told.contains("too few samples"), "{kind:?}: {told}");
    }
}

//! What `/metrics` says is what the table says.

#![allow(clippy::unwrap_used)]

use flyball_controller::{
    client::CallKind,
    metrics::{Access, Evaluation, Kind, METRICS, Metrics, NamespaceQuery, PolicyName, Sent, Shares, Verb},
};
use flyball_core::{breaker::Stage, check::Check, evaluate::watermark::Level, signal::Quality, time::Span};
use flyball_crds::{Direction, Mode, Phase, WeightMove};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const CHECKOUT: PolicyName<'_> = PolicyName {
    namespace: "shop",
    name: "checkout",
};
const SEARCH: PolicyName<'_> = PolicyName {
    namespace: "shop",
    name: "search",
};

fn shares(backend: &str, current: f64) -> Shares<'_> {
    Shares {
        backend,
        desired: 0.5,
        current,
        base: 0.5,
    }
}

/// Every method, once.
fn everything(metrics: &Metrics, policy: PolicyName<'_>) {
    let second = Duration::from_secs(1);
    metrics.leader(true);
    metrics.policies([Mode::Enforce, Mode::Enforce, Mode::Observe]);
    metrics.evaluated(policy, Evaluation::Complete, second);
    metrics.late(second);
    metrics.alerts(policy, "HighRequestLatency", 1, 2);
    metrics.signal(policy, "rps", Quality::Stale);
    metrics.value(policy, "rps", Some(12.5));
    metrics.threshold(policy, "HighRequestLatency", 0.5);
    metrics.counted(policy);
    metrics.proposed(policy, "more-replicas", Direction::Up);
    metrics.refused(Check::Cooldown);
    metrics.closed(policy, Phase::Committed, second);
    metrics.open_changes([Span::from_secs(90), Span::from_secs(30)]);
    metrics.applied(second);
    metrics.queried("prometheus", second, Some("timeout"));
    metrics.circuit("prometheus", Stage::Closed);
    metrics.namespace_queried(policy.namespace, "prometheus", NamespaceQuery::Answered, second);
    metrics.namespace_circuit(policy.namespace, "prometheus", Stage::Closed);
    metrics.replicas(policy, "more-replicas", 2, 3);
    metrics.weights(policy, "shift", &[shares("web-a", 0.25), shares("web-b", 0.75)]);
    metrics.backends_out(policy, "shift", 1);
    metrics.weights_moved(policy, "shift", WeightMove::Ejection);
    metrics.api_request(Verb::Update, CallKind::Conflict);
    metrics.lines(policy, (3, 2), (1, 1, 1));
    metrics.posted(policy, 2, false);
    metrics.watermark(policy, "Memory", Level::High, Some(0.92));
    metrics.ownership_conflict(policy);
    metrics.event_dropped();
    metrics.cloud_event("default", Sent::Taken);
    metrics.log_lines_dropped(3);
    metrics.access(Access::Limited);
    metrics.certificate(false);
}

fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn the_table_lists_what_is_exposed_and_nothing_else() {
    let metrics = Metrics::new();
    everything(&metrics, CHECKOUT);
    let text = metrics.encode();
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut types = BTreeMap::new();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, kind) = line.split_once(' ').unwrap();
            types.insert(name.to_owned(), kind.to_owned());
        }
    }
    for line in samples(&text) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            name.strip_suffix(end)
                .filter(|base| types.get(*base).is_some_and(|kind| kind == "histogram"))
        });
        let labels = found.entry(base.unwrap_or(name).to_owned()).or_default();
        if let Some((_, rest)) = line.split_once('{') {
            let rest = rest.rsplit_once('}').unwrap().0;
            labels.extend(rest.split(',').map(|pair| pair.split('=').next().unwrap().to_owned()));
            labels.remove("le");
        }
    }
    let mut table = BTreeMap::new();
    for doc in METRICS {
        table.insert(
            doc.name.to_owned(),
            doc.labels.iter().map(|label| (*label).to_owned()).collect(),
        );
        let bare = doc.name.trim_end_matches("_total").trim_end_matches("_info");
        let kind = match doc.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        };
        assert_eq!(types[bare], kind, "{}", doc.name);
        assert!(text.contains(&format!("# HELP {bare} {}.\n", doc.help)), "{}", doc.name);
    }
    assert_eq!(found, table);
}

#[test]
fn names_are_spelt_as_prometheus_asks() {
    for doc in METRICS {
        assert!(
            doc.name.starts_with("flyball_") || doc.name.starts_with("process_"),
            "{}",
            doc.name
        );
        assert_eq!(doc.name.ends_with("_total"), doc.kind == Kind::Counter, "{}", doc.name);
        assert!(
            doc.kind != Kind::Histogram || doc.name.ends_with("_seconds"),
            "{}",
            doc.name
        );
        assert!(!doc.help.is_empty() && !doc.help.ends_with('.'), "{}", doc.name);
    }
}

#[test]
fn a_policy_that_is_gone_leaves_no_series() {
    let metrics = Metrics::new();
    everything(&metrics, CHECKOUT);
    let before = metrics.encode();
    everything(&metrics, SEARCH);
    metrics.remove_policy(SEARCH);
    let after = metrics.encode();
    assert!(!after.contains("search"));
    assert_eq!(
        samples(&before).iter().filter(|line| line.contains("checkout")).count(),
        samples(&after).iter().filter(|line| line.contains("checkout")).count(),
    );
}

#[test]
fn a_signal_has_one_quality_at_a_time() {
    let metrics = Metrics::new();
    metrics.signal(CHECKOUT, "rps", Quality::Missing);
    metrics.signal(CHECKOUT, "errors", Quality::Error);
    metrics.signal(CHECKOUT, "rps", Quality::Fresh);
    let text = metrics.encode();
    let mut lines: Vec<_> = samples(&text)
        .into_iter()
        .filter(|line| line.starts_with("flyball_signal_quality"))
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            r#"flyball_signal_quality{namespace="shop",policy="checkout",signal="errors",quality="error"} 1"#,
            r#"flyball_signal_quality{namespace="shop",policy="checkout",signal="rps",quality="fresh"} 1"#,
        ]
    );
}

#[test]
fn a_backend_that_left_its_list_leaves_no_share() {
    let metrics = Metrics::new();
    let lines = || {
        let text = metrics.encode();
        let lines = samples(&text)
            .into_iter()
            .filter(|line| line.starts_with("flyball_weight_current{"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let share = |policy: &str, action: &str, backend: &str, share: &str| {
        let labels = format!(r#"namespace="shop",policy="{policy}",action="{action}",backend="{backend}""#);
        format!("flyball_weight_current{{{labels}}} {share}")
    };
    metrics.weights(CHECKOUT, "shift", &[shares("web-a", 0.25), shares("web-b", 0.75)]);
    metrics.weights(CHECKOUT, "shift-2", &[shares("web-a", 1.0)]);
    metrics.weights(SEARCH, "shift", &[shares("web-a", 1.0)]);
    let others = [
        share("checkout", "shift-2", "web-a", "1.0"),
        share("search", "shift", "web-a", "1.0"),
    ];
    let mut expect = vec![
        share("checkout", "shift", "web-a", "0.25"),
        share("checkout", "shift", "web-b", "0.75"),
    ];
    expect.extend(others.clone());
    assert_eq!(lines(), expect);
    metrics.weights(CHECKOUT, "shift", &[shares("web-b", 0.5), shares("web-c", 0.5)]);
    let mut expect = vec![
        share("checkout", "shift", "web-b", "0.5"),
        share("checkout", "shift", "web-c", "0.5"),
    ];
    expect.extend(others.clone());
    assert_eq!(lines(), expect);
    metrics.weights(CHECKOUT, "shift", &[]);
    assert_eq!(lines(), others);
}

#[test]
fn changes_of_weights_are_counted_by_why() {
    let metrics = Metrics::new();
    for why in [
        WeightMove::Law,
        WeightMove::Return,
        WeightMove::Law,
        WeightMove::Reapply,
    ] {
        metrics.weights_moved(CHECKOUT, "shift", why);
    }
    let text = metrics.encode();
    for (why, count) in [("Law", 2), ("Return", 1), ("Reapply", 1)] {
        let line = format!(
            r#"flyball_weight_changes_total{{namespace="shop",policy="checkout",action="shift",why="{why}"}} {count}"#
        );
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert!(!text.contains("Ejection\""), "{text}");
}

#[test]
fn a_source_has_one_state_at_a_time_and_none_when_it_is_gone() {
    let metrics = Metrics::new();
    let lines = || {
        let text = metrics.encode();
        let lines = samples(&text).into_iter().filter(|line| line.contains("circuit"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for stage in [Stage::Closed, Stage::Open, Stage::HalfOpen] {
        metrics.circuit("prometheus", stage);
    }
    metrics.circuit("prom", Stage::Open);
    let state =
        |source: &str, state: &str| format!(r#"flyball_source_circuit_state{{source="{source}",state="{state}"}} 1"#);
    assert_eq!(lines(), [state("prom", "open"), state("prometheus", "half_open")]);
    metrics.remove_source("prometheus");
    assert_eq!(lines(), [state("prom", "open")]);
}

#[test]
fn a_namespace_without_a_policy_at_a_source_leaves_no_series() {
    let metrics = Metrics::new();
    let pairs = || -> BTreeSet<String> {
        let text = metrics.encode();
        let lines = samples(&text)
            .into_iter()
            .filter(|line| line.starts_with("flyball_namespace_"));
        let pair = |line: &str| line.split('"').skip(1).step_by(2).take(2).collect::<Vec<_>>().join("@");
        lines.map(pair).collect()
    };
    for (namespace, source) in [("shop", "prometheus"), ("shop", "mimir"), ("search", "prometheus")] {
        metrics.namespace_queried(namespace, source, NamespaceQuery::Costly, Duration::ZERO);
        metrics.namespace_circuit(namespace, source, Stage::Open);
    }
    assert_eq!(pairs().len(), 3);
    let asking = |pairs: &[(&str, &str)]| {
        let pair = |(source, namespace): &(&str, &str)| ((*source).to_owned(), (*namespace).to_owned());
        pairs.iter().map(pair).collect::<BTreeSet<_>>()
    };
    metrics.keep_namespaces(&asking(&[
        ("prometheus", "shop"),
        ("mimir", "shop"),
        ("mimir", "search"),
    ]));
    assert_eq!(pairs(), ["shop@mimir", "shop@prometheus"].map(str::to_owned).into());
    metrics.remove_source("mimir");
    assert_eq!(pairs(), ["shop@prometheus"].map(str::to_owned).into());
    metrics.keep_namespaces(&BTreeSet::new());
    assert!(pairs().is_empty());
}

#[test]
fn a_name_with_quotes_and_newlines_forges_no_sample() {
    let metrics = Metrics::new();
    metrics.alerts(CHECKOUT, "a\"} 1\nforged{x=\"\\", 0, 1);
    let text = metrics.encode();
    assert!(
        text.contains(r#"alert="a\"} 1\nforged{x=\"\\",state="firing"} 1"#),
        "{text}"
    );
    assert!(!text.contains("\nforged"));
}

#[test]
fn what_never_happened_is_zero_where_the_set_is_closed() {
    let text = Metrics::new().encode();
    for check in Check::ALL {
        assert!(text.contains(&format!("flyball_check_refusals_total{{check=\"{}\"}} 0", check.name())));
    }
    for mode in ["Observe", "Recommend", "Enforce"] {
        assert!(text.contains(&format!("flyball_policies{{mode=\"{mode}\"}} 0")));
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn dropped_log_lines_are_counted_once() {
    let metrics = Metrics::new();
    metrics.log_lines_dropped(3);
    metrics.log_lines_dropped(3);
    metrics.log_lines_dropped(5);
    assert!(metrics.encode().contains("flyball_log_lines_dropped_total 5"));
}

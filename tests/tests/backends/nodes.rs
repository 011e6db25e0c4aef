//! How full nodes are, as watermarks ask it, of samples as exporters give them: one that two jobs scrape, one with a label
//! `node`, one without the series that names it.

use crate::{
    samples,
    server::{Kind, source},
};
use flyball_controller::{observe::source::Source, validate};
use flyball_core::{
    policy::MemoryWatermark,
    time::{Span, Timestamp},
};
use flyball_crds::{FeedbackPolicySpec, MetricSourceSpec};
use serde_json::json;
use std::{collections::BTreeMap, fmt::Write};

/// The samples of a node: bytes available of 100 in all.
struct Node {
    labels: &'static str,
    available: u32,
    /// How it is named by a series of its own.
    host: Option<&'static str>,
}

const NODES: [Node; 4] = [
    // Two jobs scrape the same.
    Node {
        labels: "job=\"node\",instance=\"1\"",
        available: 10,
        host: Some("alpha"),
    },
    Node {
        labels: "job=\"other\",instance=\"1\"",
        available: 10,
        host: Some("alpha"),
    },
    // Its label says who it is, whatever its machine is called.
    Node {
        labels: "job=\"node\",instance=\"2\",node=\"beta\"",
        available: 50,
        host: Some("ip-10"),
    },
    Node {
        labels: "job=\"node\",instance=\"3\",node=\"gamma\"",
        available: 75,
        host: None,
    },
];

fn watermark(of: &str, source: &str) -> MemoryWatermark {
    let spec: FeedbackPolicySpec = serde_json::from_value(json!({
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "watermarks": [{"name": "Memory", "of": of, "source": source}],
    }))
    .unwrap();
    validate::policy(&spec).unwrap().watermarks.remove(0)
}

async fn check(kind: Kind, by: &str, [free, all, host, label]: [&str; 4]) {
    let at = flyball_controller::clock::now().as_millis() / 1000 - 60;
    let mut text = String::new();
    for (metric, value) in [(free, None), (all, Some(100))] {
        for node in &NODES {
            let value = value.unwrap_or(node.available);
            writeln!(text, "{metric}{{{}}} {value} {at}", node.labels).unwrap();
        }
    }
    for node in &NODES {
        if let Some(name) = node.host {
            writeln!(text, "{host}{{{},{label}=\"{name}\"}} 1 {at}", node.labels).unwrap();
        }
    }
    text.push_str("# EOF\n");
    let Some(server) = samples::server(kind, &text).await else {
        return;
    };
    let source = source(&MetricSourceSpec {
        url: server.url(),
        ..MetricSourceSpec::default()
    });
    let ratios = [("alpha", 0.9), ("beta", 0.5), ("gamma", 0.25)];
    told((kind, &source), &watermark("Nodes", by), ("node", &ratios), at).await;
}

/// What a watermark asks is answered so by a label, of samples that were taken at this time.
async fn told(
    (kind, source): (Kind, &Source),
    mark: &MemoryWatermark,
    (label, ratios): (&str, &[(&str, f64)]),
    at: i64,
) {
    let now = Timestamp::from_millis((at + 5) * 1000);
    let sampled = mark.sampled.as_ref().unwrap();
    #[allow(clippy::cast_precision_loss)] // Seconds of this era fit into a double.
    let times: Vec<(&str, f64)> = ratios.iter().map(|(of, _)| (*of, at as f64)).collect();
    for (query, expect) in [(&mark.ratio, ratios), (sampled, times.as_slice())] {
        let reading = source.read(query, Span::from_secs(60), now).await;
        let found: BTreeMap<&str, f64> = reading
            .samples()
            .iter()
            .map(|sample| (sample.labels[label].as_str(), sample.value))
            .collect();
        let said = format!(
            "{kind:?} {}: {found:?} {} {}",
            query.text,
            reading.quality(),
            reading.detail()
        );
        assert_eq!(found.len(), expect.len(), "{said}");
        for (of, value) in expect {
            assert!((found[of] - value).abs() < 1e-9, "{said}");
        }
    }
}

/// Time that is lost is counted, and of a minute of it the part is told.
#[tokio::test]
async fn pressure_is_the_part_of_a_minute_in_which_something_waited_for_memory() {
    let at = flyball_controller::clock::now().as_millis() / 1000 - 60;
    let counted = |metric: &str, labels: &str, part: f64, text: &mut String| {
        for before in [60, 45, 30, 15, 0] {
            let value = 1000.0 - part * f64::from(before);
            writeln!(text, "{metric}{{{labels}}} {value} {}", at - i64::from(before)).unwrap();
        }
    };
    let mut text = String::new();
    let node = "node_pressure_memory_waiting_seconds_total";
    counted(node, "instance=\"1\"", 0.25, &mut text);
    counted(node, "instance=\"2\",node=\"beta\"", 0.0, &mut text);
    let container = "container_pressure_memory_waiting_seconds_total";
    for (pod, of, part) in [("a", "app", 0.5), ("a", "", 0.75), ("b", "app", 0.125)] {
        let labels = format!("namespace=\"shop\",pod=\"{pod}\",container=\"{of}\"");
        counted(container, &labels, part, &mut text);
    }
    writeln!(
        text,
        "node_uname_info{{instance=\"1\",nodename=\"alpha\"}} 1 {at}\n# EOF"
    )
    .unwrap();
    for kind in Kind::ALL {
        let Some(server) = samples::server(kind, &text).await else {
            continue;
        };
        let source = source(&MetricSourceSpec {
            url: server.url(),
            ..MetricSourceSpec::default()
        });
        let nodes = watermark("Nodes", "Pressure");
        told((kind, &source), &nodes, ("node", &[("alpha", 0.25), ("beta", 0.0)]), at).await;
        let mark = watermark("Containers", "Pressure");
        let containers = MemoryWatermark {
            ratio: mark.ratio.within("shop"),
            sampled: mark.sampled.as_ref().map(|query| query.within("shop")),
            ..mark
        };
        told((kind, &source), &containers, ("pod", &[("a", 0.5), ("b", 0.125)]), at).await;
    }
}

#[tokio::test]
async fn nodes_are_told_apart_by_their_label_or_their_name_whoever_scrapes_them() {
    for kind in Kind::ALL {
        let free = "node_memory_MemAvailable_bytes";
        let all = "node_memory_MemTotal_bytes";
        check(kind, "NodeExporter", [free, all, "node_uname_info", "nodename"]).await;
        let (free, all) = (
            "windows_memory_physical_free_bytes",
            "windows_memory_physical_total_bytes",
        );
        check(kind, "WindowsExporter", [free, all, "windows_os_hostname", "hostname"]).await;
        // What the exporter called them before.
        let (free, all) = (
            "windows_os_physical_memory_free_bytes",
            "windows_cs_physical_memory_bytes",
        );
        check(kind, "WindowsExporter", [free, all, "windows_cs_hostname", "hostname"]).await;
    }
}

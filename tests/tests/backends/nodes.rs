//! How full nodes are, as watermarks ask it, of samples as exporters give them: one that two jobs scrape, one with a label
//! `node`, one without the series that names it.

use crate::{
    samples,
    server::{Kind, source},
};
use flyball_controller::validate;
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

fn watermark(source: &str) -> MemoryWatermark {
    let spec: FeedbackPolicySpec = serde_json::from_value(json!({
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "watermarks": [{"name": "Node", "of": "Nodes", "source": source}],
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
    let mark = watermark(by);
    let now = Timestamp::from_millis((at + 5) * 1000);
    let sampled = mark.sampled.unwrap();
    for (query, expect) in [
        (&mark.ratio, [("alpha", 0.9), ("beta", 0.5), ("gamma", 0.25)]),
        #[allow(clippy::cast_precision_loss)] // Seconds of this era fit into a double.
        (&sampled, ["alpha", "beta", "gamma"].map(|node| (node, at as f64))),
    ] {
        let reading = source.read(query, Span::from_secs(60), now).await;
        let found: BTreeMap<&str, f64> = reading
            .samples()
            .iter()
            .map(|sample| (sample.labels["node"].as_str(), sample.value))
            .collect();
        let said = format!("{kind:?} {by}: {found:?} {} {}", reading.quality(), reading.detail());
        assert_eq!(found.len(), expect.len(), "{said}");
        for (node, value) in expect {
            assert!((found[node] - value).abs() < 1e-9, "{said}");
        }
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

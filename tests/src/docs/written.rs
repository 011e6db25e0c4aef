//! The YAML of all pages, block by block.

use super::{
    fragment::{Document, object},
    pages,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Blocks that are parts of other things than ours, by page and first field by name, with what they are.
pub const OTHERS: &[(&str, &str, &str)] = &[
    ("agents/CONTRACT.md", "containers", "a part of a pod"),
    ("agents/node/README.md", "env", "a part of a container"),
    ("docs/alertmanager.md", "containers", "a part of a Deployment"),
    (
        "docs/alertmanager.md",
        "receivers",
        "a part of Alertmanager's configuration",
    ),
    (
        "docs/alertmanager.md",
        "http_config",
        "a part of Alertmanager's configuration",
    ),
    (
        "docs/monitoring.md",
        "scrape_configs",
        "a part of Prometheus' configuration",
    ),
    ("docs/monitoring.md", "datasources", "a part of Grafana's provisioning"),
    ("docs/monitoring.md", "metrics", "values of the chart"),
    ("docs/monitoring.md", "networkPolicy", "values of the chart"),
];

/// A document of a block, and where it stands.
#[derive(Clone, Debug)]
pub struct Written {
    /// The page and the line of the block.
    pub place: String,
    /// What it says.
    pub value: Value,
}

/// Every document, and the entries of [`OTHERS`] that were met.
fn documents() -> (Vec<Written>, BTreeSet<usize>) {
    let (mut all, mut others) = (Vec::new(), BTreeSet::new());
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language.starts_with("yaml")) {
            let place = format!("{}:{}", page.path, block.line);
            assert_eq!(block.language, "yaml", "{place}: no other word behind yaml is known");
            for document in serde_yaml::Deserializer::from_str(&block.text) {
                let value = Value::deserialize(document).unwrap_or_else(|error| panic!("{place}: {error}"));
                let first = value.as_object().and_then(|map| map.keys().next());
                let met = OTHERS
                    .iter()
                    .position(|(at, field, _)| *at == page.path && first.is_some_and(|it| it == field));
                others.extend(met);
                if met.is_none() {
                    let place = place.clone();
                    all.push(Written { place, value });
                }
            }
        }
    }
    (all, others)
}

/// Everything of ours, whole or completed.
pub fn ours() -> Vec<Written> {
    let (documents, others) = documents();
    assert_eq!(others.len(), OTHERS.len(), "an entry of OTHERS has no block any more");
    let ours = documents
        .into_iter()
        .filter_map(|Written { place, value }| match object(&value) {
            Document::Ours(value) => Some(Written { place, value }),
            Document::Others(object) => {
                let named = object["metadata"]["name"].is_string() || object["kind"] == "Kustomization";
                assert!(named, "{place}: no name");
                None
            }
            Document::Unknown(keys) => {
                panic!("{place}: {keys:?} are fields of nothing of ours; correct them, or add the block to OTHERS")
            }
        });
    ours.collect()
}

//! docs/weights.md says of the kinds what the table of kinds says.

#![allow(clippy::unwrap_used)]

use flyball_controller::{
    metrics::METRICS,
    observe::routes::{
        Form, Row,
        table::{CANARY_WEIGHT, CANARY_WEIGHT_TOTAL, TABLE},
    },
};
use std::{collections::BTreeSet, fs, path::Path};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/weights.md")).unwrap()
}

/// A row of the table of kinds as the page has it.
fn line(row: &Row) -> String {
    let path = match &row.form {
        Form::List(form) => {
            let rules = form.rules.as_ref().map(|rules| format!("{}[].", rules.path.join(".")));
            let sum = form
                .sum
                .map_or_else(String::new, |sum| format!(", which add up to {sum}"));
            format!(
                "`{}{}[].{}`{sum}",
                rules.unwrap_or_default(),
                form.list.join("."),
                form.weight
            )
        }
        Form::CanaryAnnotations => {
            let name = |key: &str| key.rsplit('/').next().unwrap().to_owned();
            let (weight, total) = (name(CANARY_WEIGHT), name(CANARY_WEIGHT_TOTAL));
            format!("the annotations `{weight}` and `{total}` of ingress-nginx")
        }
    };
    let seen = if row.data_plane { "yes" } else { "no" };
    format!(
        "| {} | {} | {} | {path} | {seen} |",
        row.kind,
        row.group,
        row.versions.join(", ")
    )
}

#[test]
fn every_kind_is_there_and_no_other() {
    let page = page();
    let section = page
        .split("\n## Kinds\n")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(rows, TABLE.iter().map(line).collect::<Vec<_>>());
}

#[test]
fn every_metric_of_weights_is_there_and_no_other() {
    let page = page();
    let named: BTreeSet<&str> = page
        .split('`')
        .filter(|word| word.starts_with("flyball_") && !word.contains(' '))
        .collect();
    let metrics = METRICS.iter().map(|metric| metric.name);
    let of_weights = metrics.filter(|name| name.contains("weight") || name.contains("backends"));
    assert_eq!(named, of_weights.collect());
}

/// z * sqrt(p * (1 - p) / n) must be below the move: n above (z / move)^2 * p * (1 - p), z = 3.29.
#[test]
fn the_requests_that_a_move_needs_are_those_of_the_formula() {
    let page = page();
    for (share, moved, requests) in [
        (0.5_f64, 0.25_f64, 44.0),
        (0.5, 0.1, 271.0),
        (0.2, 0.04, 1083.0),
        (0.1, 0.02, 2436.0),
    ] {
        let needed = (3.29 / moved).powi(2) * share * (1.0 - share);
        assert!(
            (requests - 1.0..requests).contains(&needed),
            "{share} {moved}: {needed}"
        );
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| {share} | {moved}")));
        assert!(row.unwrap().ends_with(&format!("| {requests} |")), "{row:?}");
    }
}

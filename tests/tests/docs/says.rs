//! What it says of the code, as far as a table can hold it to that.

use flyball_controller::{metrics::METRICS, record::events::is_warning};
use flyball_core::check::Check;
use flyball_crds::{Change, Reason};
use flyball_tests::docs::{self, Page};
use kube::CustomResourceExt;
use std::{collections::BTreeSet, fs};

/// The first cell of each row of the table under a heading, without its code marks.
fn first_cells(path: &str, heading: &str) -> Vec<String> {
    let text = fs::read_to_string(docs::root().join(path)).unwrap();
    let section = text
        .split(&format!("\n## {heading}\n"))
        .nth(1)
        .unwrap_or_else(|| panic!("{path}: no {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let cells = rows
        .take_while(|line| line.starts_with('|'))
        .map(|row| row.split('|').nth(1).unwrap().trim().replace('`', ""));
    cells.collect()
}

#[test]
fn every_check_is_there_in_the_order_in_which_they_run() {
    let mut named = first_cells("docs/checks.md", "Of replicas");
    assert_eq!(named, Check::ALL.map(|check| check.name().to_owned()));
    named.extend(first_cells("docs/checks.md", "Of other levers"));
    let all: BTreeSet<String> = Check::of_all_levers().map(|check| check.name().to_owned()).collect();
    let named: BTreeSet<String> = named.into_iter().collect();
    assert!(all.is_subset(&named), "{:?}", all.difference(&named));
}

#[test]
fn every_phase_is_told() {
    let definition = serde_json::to_value(Change::crd()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let phases = schema["properties"]["status"]["properties"]["phase"]["enum"]
        .as_array()
        .unwrap();
    let phases: BTreeSet<&str> = phases.iter().map(|it| it.as_str().unwrap()).collect();
    let told = first_cells("docs/concepts.md", "Phases of a Change");
    assert_eq!(
        told.iter().flat_map(|cell| cell.split(", ")).collect::<BTreeSet<_>>(),
        phases
    );
}

#[test]
fn every_reason_of_which_events_tell_is_on_the_page_with_its_severity() {
    let text = fs::read_to_string(docs::root().join("docs/notifications.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let severity = cells.get(2).filter(|cell| ["Normal", "Warning"].contains(*cell))?;
        Some((cells[1].trim_matches('`').to_owned(), (*severity).to_owned()))
    });
    let expect = Reason::TOLD.iter().map(|reason| {
        let severity = if is_warning(*reason) { "Warning" } else { "Normal" };
        (reason.as_str().to_owned(), severity.to_owned())
    });
    assert_eq!(rows.collect::<Vec<_>>(), expect.collect::<Vec<_>>());
}

#[test]
fn every_example_is_on_the_page_of_examples_and_no_other() {
    let page = Page::read(&docs::root(), "docs/examples.md");
    let named: BTreeSet<String> = page
        .links
        .iter()
        .filter_map(|it| it.target.strip_prefix("../deploy/examples/"))
        .map(ToOwned::to_owned)
        .collect();
    let files = fs::read_dir(docs::root().join("deploy/examples")).unwrap();
    let files: BTreeSet<String> = files
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(named, files);
}

/// Metrics that pages name are those of the controller, or of the agents.
#[test]
fn every_metric_that_is_named_is_one() {
    let contract = fs::read_to_string(docs::root().join("agents/CONTRACT.md")).unwrap();
    let ours = METRICS
        .iter()
        .flat_map(|metric| ["", "_bucket", "_sum", "_count"].map(|part| format!("{}{part}", metric.name)));
    let ours: BTreeSet<String> = ours.collect();
    let metric = |text: &str| {
        let end = text
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        text[..end].to_owned()
    };
    for page in docs::pages().iter().filter(|page| page.path.starts_with("docs/")) {
        for span in page.spans.iter().filter(|span| span.text.starts_with("flyball_")) {
            let name = metric(&span.text);
            // A label that posted alerts get.
            let known = ours.contains(&name) || contract.contains(&name) || name == "flyball_policy";
            assert!(known, "{}:{}: no metric {name}", page.path, span.line);
        }
    }
}

/// The laws that the concepts page tells in users' words are those that are counted everywhere else.
#[test]
fn there_are_nine_laws() {
    let text = fs::read_to_string(docs::root().join("docs/concepts.md")).unwrap();
    let section = text
        .split("\n## Nine laws\n")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    for number in 1..=9 {
        assert_eq!(section.matches(&format!("\n{number}. **")).count(), 1, "law {number}");
    }
    assert!(!section.contains("\n10. "));
}

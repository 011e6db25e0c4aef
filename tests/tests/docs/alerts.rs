//! Each alert about Flyball itself is told of, has a page and tests of its own, and asks for series that are there.

use flyball_controller::metrics::METRICS;
use flyball_tests::docs;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeSet, fs};

fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(docs::root().join(path)).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: Value,
    annotations: Value,
}

fn rules() -> Vec<Rule> {
    let file = yaml("deploy/observability/rules/flyball.yaml");
    let groups = file["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap().clone());
    rules.map(|rule| serde_json::from_value(rule).unwrap()).collect()
}

fn names() -> BTreeSet<String> {
    rules().into_iter().map(|rule| rule.alert).collect()
}

#[test]
fn each_alert_has_a_page_and_each_page_an_alert() {
    let files = fs::read_dir(docs::root().join("docs/runbooks")).unwrap();
    let pages: BTreeSet<String> = files
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names(), pages);
    for rule in rules() {
        let said = &rule.annotations;
        assert_eq!(
            said["runbook_url"],
            format!("https://flyball.dev/docs/runbooks/{}", rule.alert)
        );
        assert!(
            said["summary"].is_string() && said["description"].is_string(),
            "{}",
            rule.alert
        );
        assert!(["warning", "critical"].contains(&rule.labels["severity"].as_str().unwrap()));
        let page = fs::read_to_string(docs::root().join(format!("docs/runbooks/{}.md", rule.alert))).unwrap();
        for heading in ["Meanwhile", "Look at", "End it"] {
            assert!(
                page.contains(&format!("\n## {heading}\n\n")),
                "{}: no {heading}",
                rule.alert
            );
        }
    }
}

#[test]
fn each_alert_stands_in_the_table_with_its_severity() {
    let text = fs::read_to_string(docs::root().join("docs/monitoring.md")).unwrap();
    for rule in rules() {
        let severity = rule.labels["severity"].as_str().unwrap();
        let row = format!("| [{0}](runbooks/{0}.md) | {severity} |", rule.alert);
        assert!(text.contains(&row), "{row}");
    }
    assert_eq!(text.matches("](runbooks/").count(), rules().len());
}

/// promtool runs them; that there are two of each is told here.
#[test]
fn each_alert_is_seen_to_fire_and_not_to() {
    let tests = yaml("deploy/observability/tests/flyball.yaml");
    let (mut fire, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for case in tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
    {
        let name = case["alertname"].as_str().unwrap().to_owned();
        let expects = !case["exp_alerts"].as_array().unwrap().is_empty();
        if expects {
            fire.insert(name)
        } else {
            silent.insert(name)
        };
    }
    assert_eq!((fire, silent), (names(), names()));
}

/// A series of the controller is in its table with these labels, one of an agent in the contract.
#[test]
fn each_alert_asks_for_what_is_exported() {
    let contract = fs::read_to_string(docs::root().join("agents/CONTRACT.md")).unwrap();
    for rule in rules() {
        let words = rule.expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("flyball_")) {
            if name.starts_with("flyball_agent_") {
                assert!(contract.contains(&format!("`{name}")), "{}: {name}", rule.alert);
                continue;
            }
            let bare = name.trim_end_matches("_bucket").trim_end_matches("_count");
            let known = METRICS.iter().find(|metric| metric.name == bare);
            let known = known.unwrap_or_else(|| panic!("{}: {name} is not exported", rule.alert));
            for label in ["namespace", "policy", "source", "state", "outcome", "result"] {
                let asked = rule.expr.contains(&format!("{name}{{{label}="))
                    || rule.expr.contains(&format!("{name}{{{label}!="));
                assert!(
                    !asked || known.labels.contains(&label),
                    "{}: {name} has no label {label}",
                    rule.alert
                );
            }
        }
    }
}

//! Alerting rules, and references to those of others.

use super::Errors;
use crate::promql::{self, shorten};
use flyball_core::{evaluate, policy::Rule, time::Span};
use flyball_crds::AlertingRule;
use std::collections::BTreeMap;

pub(super) fn read(path: &str, written: &AlertingRule, errors: &mut Errors) -> Option<Rule> {
    if !is_alert(&written.alert) {
        errors.add(format!("{path}.alert"), no_alert(&written.alert));
    }
    let condition = errors.expression(format!("{path}.expr"), promql::condition(&written.expr));
    let hold = errors.span(format!("{path}.for"), written.hold.as_ref(), Span::ZERO);
    let keep_firing_for = errors.span(
        format!("{path}.keep_firing_for"),
        written.keep_firing_for.as_ref(),
        Span::ZERO,
    );
    let labels = templates(
        &format!("{path}.labels"),
        &written.labels,
        &["__name__", "alertname"],
        errors,
    );
    let annotations = templates(&format!("{path}.annotations"), &written.annotations, &[], errors);
    Some(Rule {
        alert: written.alert.clone(),
        condition: condition?,
        hold: hold?,
        keep_firing_for: keep_firing_for?,
        labels,
        annotations,
    })
}

fn is_alert(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && !name.contains(char::is_control)
}

fn no_alert(name: &str) -> String {
    format!("{} is not a name; write for example HighRequestLatency", shorten(name))
}

fn templates(
    path: &str,
    written: &BTreeMap<String, String>,
    reserved: &[&str],
    errors: &mut Errors,
) -> BTreeMap<String, evaluate::Template> {
    errors.at_most(path, written.len(), 32);
    let mut templates = BTreeMap::new();
    for (name, text) in written {
        let path = format!("{path}.{name}");
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.chars().all(word) || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            errors.add(
                path.escape_debug().to_string(),
                "is not a name; write letters, digits and underscores",
            );
        } else if reserved.contains(&name.as_str()) {
            errors.add(path, "is set from the rule itself; rename it");
        } else if let Some(template) = errors.take(path, evaluate::parse(text)) {
            templates.insert(name.clone(), template);
        }
    }
    templates
}

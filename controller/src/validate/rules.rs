//! Alerting rules, and references to those of others.

use super::{Errors, names::is_subdomain};
use crate::promql::{self, shorten};
use flyball_core::{evaluate, policy::Rule, time::Span};
use flyball_crds::{AlertingRule, PrometheusRuleRef};
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

/// Checks the shape of references; whether the objects exist, and hold such rules, the cluster knows.
pub(super) fn references(path: &str, written: &[PrometheusRuleRef], errors: &mut Errors) {
    errors.at_most(path, written.len(), 8);
    for (index, object) in written.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !is_subdomain(&object.name) {
            errors.add(
                format!("{path}.name"),
                format!(
                    "{} is not the name of a PrometheusRule; list them with kubectl get prometheusrules",
                    shorten(&object.name)
                ),
            );
        }
        if let Some(group) = object.group.as_ref().filter(|group| !is_alert(group)) {
            errors.add(
                format!("{path}.group"),
                format!(
                    "{} is not the name of a group; leave it out for all groups",
                    shorten(group)
                ),
            );
        }
        let before = written.get(..index).unwrap_or_default();
        if before
            .iter()
            .any(|other| (&other.name, &other.group) == (&object.name, &object.group))
        {
            errors.add(
                &path,
                format!("{} is listed twice; join the two", shorten(&object.name)),
            );
        }
        errors.at_most(&format!("{path}.alerts"), object.alerts.len(), 32);
        for (number, alert) in object.alerts.iter().enumerate() {
            let path = format!("{path}.alerts[{number}]");
            if !is_alert(alert) {
                errors.add(path, no_alert(alert));
            } else if object.alerts.iter().take(number).any(|other| other == alert) {
                errors.add(path, format!("{} is listed twice; remove one", shorten(alert)));
            }
        }
    }
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

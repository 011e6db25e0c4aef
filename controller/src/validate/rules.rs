//! Alerting rules.

use super::Errors;
use crate::promql::{self, shorten};
use flyball_core::{
    evaluate::{self, Template},
    policy::Rule,
    time::Span,
};
use flyball_crds::AlertingRule;
use std::collections::BTreeMap;

/// The most labels of a rule, and the most annotations.
const MAX_TEMPLATES: usize = 32;
/// What a rule's labels may not set.
const RESERVED: &[&str] = &["__name__", "alertname"];

/// A rule of the policy itself.
pub(super) fn read(path: &str, written: &AlertingRule, errors: &mut Errors) -> Option<Rule> {
    let rule = without_templates(path, written, errors);
    let labels = templates(&format!("{path}.labels"), &written.labels, RESERVED, errors);
    let annotations = templates(&format!("{path}.annotations"), &written.annotations, &[], errors);
    Some(Rule {
        labels,
        annotations,
        ..rule?
    })
}

/// A rule of somebody else's, written for Prometheus, whose templates may do more than ours. No decision
/// depends on them, so one that can't be expanded stays as it is written, a name that is not ours
/// is left out, and both are noted.
pub(super) fn read_taken(path: &str, written: &AlertingRule, errors: &mut Errors, notes: &mut Errors) -> Option<Rule> {
    let rule = without_templates(path, written, errors);
    let mut read = |field: &str, texts, reserved| {
        let path = format!("{path}.{field}");
        if written_too_often(&path, texts, errors) {
            return BTreeMap::new();
        }
        as_far_as_they_go(&path, texts, reserved, notes)
    };
    let labels = read("labels", &written.labels, RESERVED);
    let annotations = read("annotations", &written.annotations, &[]);
    Some(Rule {
        labels,
        annotations,
        ..rule?
    })
}

fn without_templates(path: &str, written: &AlertingRule, errors: &mut Errors) -> Option<Rule> {
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
    Some(Rule {
        alert: written.alert.clone(),
        condition: condition?,
        hold: hold?,
        keep_firing_for: keep_firing_for?,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
    })
}

pub(super) fn is_alert(name: &str) -> bool {
    !name.is_empty() && name.len() <= 253 && !name.contains(char::is_control)
}

pub(super) fn no_alert(name: &str) -> String {
    format!("{} is not a name; write for example HighRequestLatency", shorten(name))
}

fn templates(
    path: &str,
    written: &BTreeMap<String, String>,
    reserved: &[&str],
    errors: &mut Errors,
) -> BTreeMap<String, Template> {
    errors.at_most(path, written.len(), MAX_TEMPLATES);
    let mut templates = BTreeMap::new();
    for (name, text) in written {
        let path = format!("{path}.{name}");
        if let Err(wrong) = fits(name, reserved) {
            errors.add(path.escape_debug().to_string(), wrong);
        } else if let Some(template) = errors.take(path, evaluate::parse(text)) {
            templates.insert(name.clone(), template);
        }
    }
    templates
}

fn as_far_as_they_go(
    path: &str,
    written: &BTreeMap<String, String>,
    reserved: &[&str],
    notes: &mut Errors,
) -> BTreeMap<String, Template> {
    let mut templates = BTreeMap::new();
    for (name, text) in written {
        let path = format!("{path}.{}", name.escape_debug());
        if let Err(wrong) = fits(name, reserved) {
            notes.add(path, format!("is left out, because it {wrong}"));
            continue;
        }
        let template = evaluate::parse(text).unwrap_or_else(|error| {
            notes.add(path, format!("stays as it is written: {error}"));
            Template::literal(text)
        });
        templates.insert(name.clone(), template);
    }
    templates
}

fn written_too_often(path: &str, written: &BTreeMap<String, String>, errors: &mut Errors) -> bool {
    let (many, most) = (written.len(), MAX_TEMPLATES);
    if many > most {
        errors.add(path, format!("{many} entries, at most {most} are allowed; remove some"));
    }
    many > most
}

/// Whether a label or annotation may have this name, or why not.
fn fits(name: &str, reserved: &[&str]) -> Result<(), &'static str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.chars().all(word) || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("is not a name; write letters, digits and underscores");
    }
    if reserved.contains(&name) {
        return Err("is set from the rule itself; rename it");
    }
    Ok(())
}

//! Names, and what they refer to.

use super::{
    Errors,
    taken::{self, Taken},
};
use crate::{prometheus_rule::PrometheusRule, promql::shorten};
use flyball_core::policy::Shape;
use flyball_crds::{FeedbackPolicySpec, PrometheusRuleRef};
use std::collections::{BTreeMap, BTreeSet};

/// What a policy's actions may refer to.
pub(super) struct Names<'a> {
    rules: BTreeSet<&'a str>,
    /// The rules of watermarks.
    marks: BTreeSet<String>,
    elsewhere: Elsewhere<'a>,
    signals: BTreeMap<&'a str, Shape>,
}

/// Where a rule may be that the policy does not define itself.
enum Elsewhere<'a> {
    Nowhere,
    /// In an object that is not at hand, or that can't be searched: any name may be there.
    Anywhere,
    /// Among these.
    Among(&'a PrometheusRuleRef, &'a PrometheusRule, &'a Taken),
}

impl<'a> Names<'a> {
    pub(super) fn of(spec: &'a FeedbackPolicySpec, taken: Option<(&'a PrometheusRule, &'a Taken)>) -> Self {
        Self {
            rules: spec.rules.iter().map(|rule| rule.alert.as_str()).collect(),
            marks: spec
                .watermarks
                .iter()
                .flat_map(|mark| ["Warning", "High", "Emergency"].map(|level| format!("{}{level}", mark.name)))
                .collect(),
            elsewhere: match (&spec.prometheus_rule_ref, taken) {
                (None, _) => Elsewhere::Nowhere,
                (Some(reference), Some((object, taken))) if taken.searched => {
                    Elsewhere::Among(reference, object, taken)
                }
                (Some(_), _) => Elsewhere::Anywhere,
            },
            signals: spec
                .signals
                .iter()
                .map(|signal| {
                    let shape = super::signal::shape(signal);
                    (signal.name.as_str(), shape)
                })
                .collect(),
        }
    }

    /// A rule.
    pub(super) fn rule(&self, path: &str, name: &str, errors: &mut Errors) {
        if self.rules.contains(name) || self.marks.contains(name) {
            return;
        }
        match &self.elsewhere {
            Elsewhere::Nowhere => {
                let known = self.rules.iter().copied().chain(self.marks.iter().map(String::as_str));
                unknown(path, "rule", name, known, errors);
            }
            Elsewhere::Anywhere => {}
            Elsewhere::Among(_, _, taken) if taken.known.contains(name) => {}
            Elsewhere::Among(reference, object, taken) => {
                let there = taken::no_such(name, reference, object, &taken.offered);
                errors.add(path, format!("is not in spec.rules, and {there}"));
            }
        }
    }

    /// A signal of any shape.
    pub(super) fn signal(&self, path: &str, name: &str, errors: &mut Errors) -> Option<Shape> {
        let shape = self.signals.get(name).copied();
        if shape.is_none() {
            unknown(path, "signal", name, self.signals.keys().copied(), errors);
        }
        shape
    }

    /// A signal that is one number.
    pub(super) fn number(&self, path: &str, name: &str, errors: &mut Errors) -> Option<()> {
        match self.signal(path, name, errors)? {
            Shape::Number => Some(()),
            shape @ (Shape::PerPod | Shape::PerBackend) => {
                let each = if shape == Shape::PerPod {
                    "pod (perPod)"
                } else {
                    "backend (perBackend)"
                };
                errors.add(
                    path,
                    format!(
                        "signal {} has one number for each {each}, and one number is needed here; name a signal that adds them up, such as sum(...)",
                        shorten(name)
                    ),
                );
                None
            }
        }
    }

    /// The signals that are one number each.
    pub(super) fn numbers(&self) -> BTreeSet<String> {
        let numbers = self.signals.iter().filter(|(_, shape)| **shape == Shape::Number);
        numbers.map(|(name, _)| (*name).to_owned()).collect()
    }

    /// A signal that has a number for each backend.
    pub(super) fn per_backend(&self, path: &str, name: &str, errors: &mut Errors) -> Option<()> {
        let shape = self.signal(path, name, errors)?;
        if shape != Shape::PerBackend {
            errors.add(
                path,
                format!(
                    "signal {} has no number for each backend; write perBackend: true there, and an expression with the label backend",
                    shorten(name)
                ),
            );
            return None;
        }
        Some(())
    }

    /// Whether there is a signal with numbers for each pod of this name.
    pub(super) fn is_per_pod(&self, name: &str) -> bool {
        self.signals.get(name) == Some(&Shape::PerPod)
    }
}

fn unknown<'n>(path: &str, what: &str, name: &str, names: impl Iterator<Item = &'n str>, errors: &mut Errors) {
    let others: Vec<String> = names.take(8).map(shorten).collect();
    let way_out = match others.as_slice() {
        [] => format!("define it under spec.{what}s"),
        _ => format!("define it under spec.{what}s or use one of {}", others.join(", ")),
    };
    errors.add(path, format!("there is no {what} {}; {way_out}", shorten(name)));
}

/// A name of 1 to 63 characters, for the record.
pub(super) fn plain(path: String, name: &str, example: &str, errors: &mut Errors) {
    if name.is_empty() || name.len() > 63 || name.contains(char::is_control) {
        errors.add(
            path,
            format!(
                "{} is not a name of 1 to 63 characters; write for example {example}",
                shorten(name)
            ),
        );
    }
}

/// Says where one of several names of a list stands a second time.
pub(super) fn unique<'n>(
    field: impl Fn(usize) -> String,
    what: &str,
    names: impl Iterator<Item = &'n str>,
    errors: &mut Errors,
) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if !seen.insert(name) {
            errors.add(
                field(index),
                format!("{} is the name of two {what}; rename one", shorten(name)),
            );
        }
    }
}

/// Whether `text` is a DNS label: lower-case letters, digits and dashes, 1 to 63 of them.
pub(crate) fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= 63 && is_label_of_any_length(text)
}

/// Whether `text` is a name as Kubernetes' objects have it: labels joined with dots.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text
            .split('.')
            .all(|part| !part.is_empty() && is_label_of_any_length(part))
}

fn is_label_of_any_length(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

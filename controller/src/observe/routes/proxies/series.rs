//! The parts that the queries are made of: series, and patterns on their labels.

use crate::promql;
use flyball_core::time::Span;

/// Series of one metric, and how they name their backend.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) metric: &'static str,
    pub(super) matchers: Vec<Matcher>,
    /// What the failed ones have besides.
    pub(super) failed: Matcher,
    pub(super) backend: Naming,
}

/// Label, operator, value.
pub(super) type Matcher = (&'static str, &'static str, String);

#[derive(Debug)]
pub(super) enum Naming {
    /// The first group of a pattern on a label; the first pattern that fits.
    Group(&'static str, Vec<String>),
    /// Two labels with a slash between.
    Joined(&'static str, &'static str),
}

impl Series {
    /// Their rate, with the label `backend`.
    pub(super) fn rate(&self, window: Span, failed: bool) -> String {
        let matchers = self.matchers.iter().chain(Some(&self.failed).filter(|_| failed));
        let matchers: Vec<String> = matchers
            .map(|(label, operator, value)| format!("{label}{operator}{}", promql::quote(value)))
            .collect();
        let rate = format!("rate({}{{{}}}[{window}])", self.metric, matchers.join(","));
        match &self.backend {
            // What does not fit leaves the label as it is.
            Naming::Group(label, patterns) => patterns.iter().fold(rate, |inner, pattern| {
                let pattern = promql::quote(pattern);
                format!("label_replace({inner}, \"backend\", \"$1\", \"{label}\", {pattern})")
            }),
            Naming::Joined(first, second) => {
                format!("label_join({rate}, \"backend\", \"/\", \"{first}\", \"{second}\")")
            }
        }
    }
}

/// A pattern for any of these texts.
pub(super) fn any(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| literal(text)).collect();
    format!("(?:{})", texts.join("|"))
}

/// A pattern for this text (RE2).
pub(super) fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// As Traefik writes a name within another (`provider.Normalize`): runs of anything but letters and digits are one
/// dash.
pub(super) fn normalised(name: &str) -> String {
    let parts = name
        .split(|c: char| !c.is_alphanumeric())
        .filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

//! The query that asks how old the samples behind an expression are.

use super::{PromqlError, quote, shorten};
use flyball_core::time::Span;
use promql_parser::{
    label::{MatchOp, Matcher},
    parser::VectorSelector,
};
use std::collections::BTreeMap;

/// The most different selectors of one expression. Each is asked for its age with every evaluation.
pub const MAX_SELECTORS: usize = 32;

/// The selectors of an expression, each once, with the longest range in which its samples count.
#[derive(Default)]
pub(super) struct Selectors(BTreeMap<String, Span>);

impl Selectors {
    /// Adds a selector that is read over `range`, or at an instant where that is zero. A selector
    /// whose absence is the answer has no age.
    ///
    /// `timestamp` drops the metrics' names, so the server refuses it for a selector of several
    /// metrics whose labels are otherwise the same.
    pub(super) fn add(&mut self, selector: &VectorSelector, range: Span, absent: bool) -> Result<(), PromqlError> {
        if absent {
            return Ok(());
        }
        let text = print(selector);
        if !one_metric(selector) {
            return Err(PromqlError::SeveralMetrics(shorten(&text)));
        }
        let longest = self.0.entry(text).or_default();
        *longest = (*longest).max(range);
        Ok(())
    }

    /// One query for the age in seconds of the newest sample of the selector that is furthest behind.
    ///
    /// A selector without a current sample that still has some in its range (its target vanished a
    /// moment ago, and `rate` goes on answering) counts as old as that range. One that has none at
    /// all takes no part: `... or vector(0)` is written for that.
    pub(super) fn query(&self) -> Result<Option<String>, PromqlError> {
        if self.0.len() > MAX_SELECTORS {
            return Err(PromqlError::TooManySelectors(self.0.len()));
        }
        let newest: Vec<String> = self
            .0
            .iter()
            .map(|(selector, range)| newest(selector, *range))
            .collect();
        Ok(match newest.as_slice() {
            [] => None,
            [only] => Some(format!("time() - ({only})")),
            many => {
                // `or` keeps one element of each label set, so each selector gets its own.
                let each: Vec<String> = many
                    .iter()
                    .enumerate()
                    .map(|(n, newest)| format!(r#"label_replace({newest}, "q", "{n}", "", "")"#))
                    .collect();
                Some(format!("time() - min({})", each.join(" or ")))
            }
        })
    }
}

fn newest(selector: &str, range: Span) -> String {
    if range.is_zero() {
        return format!("max(timestamp({selector}))");
    }
    let seconds = range.as_millis().div_ceil(1000);
    format!("max(timestamp({selector})) or 0 * max(count_over_time({selector}[{range}])) + time() - {seconds}")
}

fn one_metric(selector: &VectorSelector) -> bool {
    let name = |matchers: &[Matcher]| {
        let mut names = matchers
            .iter()
            .filter(|m| m.name == "__name__" && matches!(m.op, MatchOp::Equal));
        names.next().map(|m| m.value.clone())
    };
    let (common, alternatives) = (name(&selector.matchers.matchers), &selector.matchers.or_matchers);
    let first = alternatives.first().and_then(|group| name(group));
    selector.name.is_some()
        || common.is_some()
        || (first.is_some() && alternatives.iter().all(|group| name(group) == first))
}

/// A selector without range, offset and time.
pub(super) fn print(selector: &VectorSelector) -> String {
    let plain = |name: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let (name, named) = match &selector.name {
        Some(name) if plain(name) => (name.as_str(), None),
        Some(name) => ("", Some(quote(name))),
        None => ("", None),
    };
    let print = |matchers: &[Matcher]| matchers.iter().map(matcher).collect::<Vec<_>>().join(",");
    let matchers = &selector.matchers;
    let groups: Vec<String> = named
        .into_iter()
        .chain((!matchers.matchers.is_empty()).then(|| print(&matchers.matchers)))
        .collect();
    let alternatives: Vec<String> = matchers.or_matchers.iter().map(|group| print(group)).collect();
    let inside = [groups.join(","), alternatives.join(" or ")]
        .into_iter()
        .filter(|s| !s.is_empty())
        .collect::<Vec<_>>();
    if inside.is_empty() && !name.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", inside.join(","))
    }
}

fn matcher(matcher: &Matcher) -> String {
    let operator = match matcher.op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Re(_) => "=~",
        MatchOp::NotRe(_) => "!~",
    };
    format!("{}{operator}{}", label(&matcher.name), quote(&matcher.value))
}

/// The name of a label as a matcher has it.
pub(super) fn label(name: &str) -> String {
    let plain =
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain { name.to_owned() } else { quote(name) }
}

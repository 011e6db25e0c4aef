//! Whether each expression of a policy answers now.

use super::finding::{Finding, Mark};
use crate::{cli::screen::number, observe::source::Source};
use flyball_core::{
    policy::{Comparison, Condition, Policy, Query, Shape},
    signal::{Quality, Reading},
    time::{Span, Timestamp},
};
use futures::{StreamExt, stream};

/// How many queries of one policy are under way at once.
const QUERIES: usize = 4;

/// What an expression is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Use<'a> {
    /// A rule that compares with a number, or a verification: any number of series.
    Comparison(&'a Comparison),
    /// A rule whose every element is an alert.
    Opaque,
    /// A signal: one number.
    Signal,
    /// A signal with a number for each value of this label.
    Each(&'static str),
}

/// An expression to be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expression<'a> {
    /// What is asked.
    pub query: &'a Query,
    /// The oldest sample that counts.
    pub max_age: Span,
    /// What it is for.
    pub used: Use<'a>,
}

/// All expressions of a policy, with what they are called.
pub fn expressions(policy: &Policy) -> Vec<(String, Expression<'_>)> {
    let rules = policy.rules.iter().map(|(name, rule)| {
        let used = match &rule.condition {
            Condition::Threshold(comparison) => Use::Comparison(comparison),
            Condition::Opaque(_) => Use::Opaque,
        };
        (
            format!("rule {name}"),
            Expression {
                query: rule.condition.query(),
                max_age: policy.max_age,
                used,
            },
        )
    });
    let signals = policy.signals.iter().map(|(name, signal)| {
        (
            format!("signal {name}"),
            Expression {
                query: &signal.query,
                max_age: signal.max_age,
                used: match signal.shape {
                    Shape::Number => Use::Signal,
                    Shape::PerPod => Use::Each("pod"),
                    Shape::PerBackend => Use::Each("backend"),
                },
            },
        )
    });
    let of_replicas = policy.actions.iter().map(|action| (&action.name, &action.verification));
    let of_weights = policy.weights.iter().map(|action| (&action.name, &action.verification));
    let of_runtime = policy.runtime.iter().map(|action| (&action.name, &action.verification));
    let levers = of_replicas.chain(of_weights).chain(of_runtime);
    let verifications = levers.filter_map(|(action, verification)| {
        let verification = verification.as_ref()?;
        let used = Use::Comparison(&verification.condition);
        let query = &verification.condition.left;
        Some((
            format!("verify of {action}"),
            Expression {
                query,
                max_age: verification.max_age,
                used,
            },
        ))
    });
    rules.chain(signals).chain(verifications).collect()
}

/// Judges one reading.
pub fn judge(subject: &str, expression: &Expression<'_>, reading: &Reading) -> Finding {
    let detail = reading.detail();
    let warn = |way_out: &str| Finding::new(Mark::Warn, subject, format!("{}: {detail}", reading.quality()), way_out);
    match (reading.quality(), expression.used) {
        (Quality::Fresh, Use::Signal) => match reading.number() {
            Ok(value) => Finding::ok(subject, number(value.get())),
            Err(error) => Finding::message(Mark::Fail, subject, &error.to_string()),
        },
        (Quality::Fresh, Use::Each(label))
            if reading
                .samples()
                .iter()
                .any(|sample| !sample.labels.contains_key(label)) =>
        {
            Finding::new(
                Mark::Fail,
                subject,
                format!("a series without the label {label}"),
                format!("aggregate with sum by ({label}) (...), or make the label with label_replace(...)"),
            )
        }
        (Quality::Fresh, used) => Finding::ok(subject, fresh(reading, used)),
        (Quality::Missing, Use::Opaque) => Finding::ok(
            subject,
            "no series, so nothing is wrong, or nothing is measured: the expression compares with no number at its top, which alone could tell",
        ),
        (Quality::Missing, _) => Finding::new(
            Mark::Warn,
            subject,
            format!("no series: {}", expression.query.text),
            "compare its metrics and labels with those the server has; until it answers nothing is taken away",
        ),
        (Quality::Stale, _) => warn("see whether its targets are scraped, and how often; or raise maxAge"),
        (Quality::Partial, _) => warn("see the server's warning; until it is gone nothing is taken away"),
        (Quality::NotFinite, _) => {
            warn("a division by zero, as without requests? add for example: and sum(rate(...)) > 0")
        }
        (Quality::Error, _) => Finding::message(Mark::Fail, subject, detail),
    }
}

/// A fresh answer in a few words.
fn fresh(reading: &Reading, used: Use<'_>) -> String {
    let values: Vec<f64> = reading.samples().iter().map(|sample| sample.value).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (series, shown) = match values.len() {
        1 => (String::new(), number(most)),
        many => (
            format!("{many} series, "),
            format!("from {} to {}", number(least), number(most)),
        ),
    };
    let Use::Comparison(comparison) = used else {
        return format!("{series}{shown}");
    };
    let condition = format!("{} {}", comparison.comparator, number(comparison.right.get()));
    let holding = values
        .iter()
        .filter(|value| comparison.comparator.holds(**value, comparison.right.get()))
        .count();
    match (holding, values.len()) {
        (0, _) => format!("{series}{shown}: {condition} is false now"),
        (holding, all) if holding == all => format!("{series}{shown}: {condition} is true now"),
        (holding, _) => format!("{series}{shown}: {condition} is true of {holding} now"),
    }
}

/// Asks every expression and judges the answers.
pub async fn examine(source: &Source, policy: &Policy, now: Timestamp) -> Vec<Finding> {
    let ask = |(subject, expression): (String, Expression<'_>)| {
        let query = expression.query.clone();
        let max_age = expression.max_age;
        async move { (subject, source.read(&query, max_age, now).await) }
    };
    let expressions = expressions(policy);
    let readings: Vec<_> = stream::iter(expressions.clone())
        .map(ask)
        .buffered(QUERIES)
        .collect()
        .await;
    let judged = expressions.iter().zip(&readings);
    judged
        .map(|((_, expression), (subject, reading))| judge(subject, expression, reading))
        .collect()
}

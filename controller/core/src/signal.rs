//! What Prometheus answered, never as a bare number: every reading carries its quality.
//!
//! A missing value is not zero, and NaN, infinity, an old sample or a partial answer are each
//! something else again. Nothing may be taken away (law 9) unless a reading is [`Quality::Fresh`].

use crate::time::{Span, Timestamp};
use std::{collections::BTreeMap, fmt};

/// The labels of one series.
pub type Labels = BTreeMap<String, String>;

/// A number that is neither NaN nor infinite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Finite(f64);

impl Finite {
    /// `None` for NaN and the infinities.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value))
    }

    /// The number itself.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Finite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One element of an instant vector, as the server sent it. NaN and the infinities are kept: a rule
/// compares them as Prometheus does, a signal refuses them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The labels of the series, `__name__` included if the server sent it.
    pub labels: Labels,
    /// The value, possibly NaN or infinite.
    pub value: f64,
}

/// How far a reading can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// Every value is finite and younger than `maxAge`, and the server warned of nothing.
    Fresh,
    /// The newest sample behind the value is older than `maxAge`.
    Stale,
    /// The server answered with warnings, so parts may be missing.
    Partial,
    /// NaN or an infinity is among the values.
    NotFinite,
    /// The query succeeded and returned no series.
    Missing,
    /// The query failed.
    Error,
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Partial => "partial",
            Self::NotFinite => "not finite",
            Self::Missing => "missing",
            Self::Error => "error",
        })
    }
}

/// The answer to one query at one time, with everything that limits its use.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When the query was evaluated.
    pub at: Timestamp,
    samples: Vec<Sample>,
    quality: Quality,
    detail: String,
    refused: bool,
}

/// Why a reading is not one usable number.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SignalError {
    /// The reading's quality forbids its use.
    #[error("{quality}{}{detail}", if detail.is_empty() { "" } else { ": " })]
    Quality {
        /// What the reading is instead of fresh.
        quality: Quality,
        /// What the server or the check of the age said.
        detail: String,
    },
    /// Several series where one number is needed.
    #[error("{0} series where one number is needed; aggregate, for example with sum(...) or max(...)")]
    Ambiguous(usize),
}

impl Reading {
    /// A successful answer. `age` is the age of the newest sample behind it, where that is known.
    pub fn answered(
        at: Timestamp,
        samples: Vec<Sample>,
        warnings: &[String],
        age: Option<Span>,
        max_age: Span,
    ) -> Self {
        let (quality, detail) = if samples.is_empty() {
            (Quality::Missing, "the query returned no series".to_owned())
        } else if let Some(sample) = samples.iter().find(|s| !s.value.is_finite()) {
            (Quality::NotFinite, format!("a series has the value {}", sample.value))
        } else if let Some(first) = warnings.first() {
            (Quality::Partial, format!("the server warned: {first}"))
        } else if let Some(age) = age.filter(|age| *age > max_age) {
            (
                Quality::Stale,
                format!("the newest sample is {age} old, maxAge is {max_age}"),
            )
        } else {
            (Quality::Fresh, String::new())
        };
        Self {
            at,
            samples,
            quality,
            detail,
            refused: false,
        }
    }

    /// A query that failed; `detail` says how, without the server's body.
    pub fn failed(at: Timestamp, detail: impl Into<String>) -> Self {
        Self {
            at,
            samples: Vec::new(),
            quality: Quality::Error,
            detail: detail.into(),
            refused: false,
        }
    }

    /// A query that failed because the server does not take the expression: it will not take it the
    /// next time either.
    pub fn refused(at: Timestamp, detail: impl Into<String>) -> Self {
        Self {
            refused: true,
            ..Self::failed(at, detail)
        }
    }

    /// How far the reading can be trusted.
    pub fn quality(&self) -> Quality {
        self.quality
    }

    /// Whether it is the expression that the server does not take.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// Why the quality is not fresh; empty where it is.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// All series as the server sent them.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Whether something may be taken away on the strength of this reading.
    pub fn is_fresh(&self) -> bool {
        self.quality == Quality::Fresh
    }

    /// The one number that a signal is. Refuses everything that is not fresh and single.
    pub fn number(&self) -> Result<Finite, SignalError> {
        if self.quality != Quality::Fresh {
            return Err(SignalError::Quality {
                quality: self.quality,
                detail: self.detail.clone(),
            });
        }
        match self.samples.as_slice() {
            [one] => Finite::new(one.value).ok_or_else(|| SignalError::Quality {
                quality: Quality::NotFinite,
                detail: self.detail.clone(),
            }),
            many => Err(SignalError::Ambiguous(many.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: f64) -> Sample {
        Sample {
            labels: Labels::new(),
            value,
        }
    }

    fn check(values: &[f64], warnings: &[&str], age_s: u64, expect: Quality) {
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        let samples = values.iter().copied().map(sample).collect();
        let reading = Reading::answered(
            Timestamp::from_millis(0),
            samples,
            &warnings,
            Some(Span::from_secs(age_s)),
            Span::from_secs(60),
        );
        assert_eq!(reading.quality(), expect, "{values:?} {warnings:?} {age_s}");
        assert_eq!(reading.number().is_ok(), expect == Quality::Fresh && values.len() == 1);
    }

    #[test]
    fn a_refused_query_is_an_error_of_its_own() {
        let at = Timestamp::from_millis(0);
        let (failed, refused) = (Reading::failed(at, "no answer"), Reading::refused(at, "parse error"));
        assert_eq!((failed.quality(), refused.quality()), (Quality::Error, Quality::Error));
        assert_eq!((failed.is_refused(), refused.is_refused()), (false, true));
        assert!(!Reading::answered(at, vec![], &[], None, Span::ZERO).is_refused());
    }

    #[test]
    fn only_fresh_single_finite_values_are_numbers() {
        check(&[1.0], &[], 60, Quality::Fresh);
        check(&[1.0, 2.0], &[], 0, Quality::Fresh);
        check(&[], &[], 0, Quality::Missing);
        check(&[f64::NAN], &[], 0, Quality::NotFinite);
        check(&[1.0, f64::INFINITY], &[], 0, Quality::NotFinite);
        check(&[1.0], &["a store did not answer"], 0, Quality::Partial);
        check(&[1.0], &[], 61, Quality::Stale);
    }
}

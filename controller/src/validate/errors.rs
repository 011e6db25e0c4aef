//! What is wrong with an object, collected.

use crate::promql::{Position, PromqlError};
use flyball_core::{signal::Finite, time::Span};
use flyball_crds::Duration;
use std::fmt;

/// One field that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct FieldError {
    /// Where, such as `spec.actions[0].verify.expr`.
    pub path: String,
    /// What is wrong, with the value and the way out.
    pub message: String,
    /// Where within an expression.
    pub position: Option<Position>,
}

/// All errors so far.
#[derive(Default)]
pub(super) struct Errors(pub Vec<FieldError>);

impl Errors {
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl fmt::Display) {
        self.placed(path, message, None);
    }

    /// An error within an expression.
    pub(super) fn placed(&mut self, path: impl Into<String>, message: impl fmt::Display, position: Option<Position>) {
        self.0.push(FieldError {
            path: path.into(),
            message: message.to_string(),
            position,
        });
    }

    /// The value, or its error under `path`.
    pub(super) fn take<T, E: fmt::Display>(&mut self, path: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(path, error)).ok()
    }

    pub(super) fn expression<T>(&mut self, path: impl Into<String>, result: Result<T, PromqlError>) -> Option<T> {
        result
            .map_err(|error| {
                let position = error.position();
                self.placed(path, error, position);
            })
            .ok()
    }

    /// A duration, or `default` where it is absent.
    pub(super) fn span(&mut self, path: impl Into<String>, text: Option<&Duration>, default: Span) -> Option<Span> {
        match text {
            Some(text) => self.take(path, text.0.parse()),
            None => Some(default),
        }
    }

    /// A duration above zero.
    pub(super) fn positive(&mut self, path: &str, text: Option<&Duration>, default: Span) -> Option<Span> {
        let span = self.span(path, text, default)?;
        if span.is_zero() {
            self.add(path, "is zero; write for example 1m");
            return None;
        }
        Some(span)
    }

    /// A whole number between `least` and `most`.
    pub(super) fn within(&mut self, path: impl Into<String>, value: i32, least: i32, most: i32) -> Option<u32> {
        if !(least..=most).contains(&value) {
            self.add(
                path,
                format!("{value} is not between {least} and {most}; write a number between them"),
            );
            return None;
        }
        u32::try_from(value).ok()
    }

    /// A finite number for which `fits` holds; `what` says which those are, and the way out.
    pub(super) fn number(
        &mut self,
        path: impl Into<String>,
        value: f64,
        fits: impl Fn(f64) -> bool,
        what: &str,
    ) -> Option<Finite> {
        let number = Finite::new(value).filter(|number| fits(number.get()));
        if number.is_none() {
            self.add(path, format!("{value} is not {what}"));
        }
        number
    }

    pub(super) fn at_most(&mut self, path: &str, number: usize, most: usize) {
        if number > most {
            self.add(
                path,
                format!("{number} entries, at most {most} are allowed; split the policy"),
            );
        }
    }
}

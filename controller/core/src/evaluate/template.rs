//! Templates of labels and annotations: the part of Prometheus' templates that alert rules commonly
//! use, parsed once at validation, so that an expansion cannot fail.
//!
//! ```text
//! text {{ operand | function | ... }} text
//! operand    $value  .Value  $labels.name  .Labels.name  "text"  `text`
//! function   humanize  humanize1024  humanizeDuration  humanizePercentage  of a number
//!            title  toUpper  toLower  of a text
//!            printf "format" operand...
//! ```
//! A function may also stand before its argument, and `{{-` and `-}}` trim the blanks around a
//! placeholder. Anything else (`range`, `if`, `query`, variables) is refused by name. So is what Go
//! would only complain about in the text of the annotation, such as `%d` of a number that is no
//! integer, which it prints as `%!d(float64=0.5)`.

use super::print::{self, Layout, Notation};
use crate::signal::Labels;
use std::collections::BTreeSet;

mod lex;
mod parse;

pub use parse::{TemplateError, parse};

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Pipeline),
}

/// An operand and what is done with it, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pipeline {
    start: Operand,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Value,
    Label(String),
    Literal(String),
    /// What came through the pipe.
    Piped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Number(OfNumber),
    Text(OfText),
    Printf(Vec<Piece>),
}

/// A function of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfNumber {
    Humanize,
    Humanize1024,
    HumanizeDuration,
    HumanizePercentage,
}

/// A function of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfText {
    Title,
    ToUpper,
    ToLower,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Number(Notation, Layout, Operand),
    Text(Layout, Operand),
}

/// What flows through a pipeline. The parser saw to it that each step gets what it takes.
#[derive(Clone, Debug)]
enum Datum {
    Number(f64),
    Text(String),
}

impl Template {
    /// A text in which nothing is a placeholder.
    pub fn literal(text: &str) -> Self {
        Self {
            source: text.to_owned(),
            parts: vec![Part::Text(text.to_owned())],
        }
    }

    /// The text it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The labels that the template reads, so that validation can warn of one that the expression
    /// drops.
    pub fn labels_used(&self) -> BTreeSet<&str> {
        let pipelines = self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(pipeline) => Some(pipeline),
            Part::Text(_) => None,
        });
        let operands = pipelines.flat_map(|pipeline| {
            let pieces = pipeline.steps.iter().flat_map(|step| match step {
                Step::Printf(pieces) => pieces.as_slice(),
                _ => &[],
            });
            let printed = pieces.filter_map(|piece| match piece {
                Piece::Number(_, _, operand) | Piece::Text(_, operand) => Some(operand),
                Piece::Plain(_) => None,
            });
            std::iter::once(&pipeline.start).chain(printed)
        });
        operands
            .filter_map(|operand| match operand {
                Operand::Label(name) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }
}

/// Expands a template for one series: `labels` are all of its labels, `value` is its value. A label
/// that the series doesn't have is the empty text.
pub fn expand(template: &Template, labels: &Labels, value: f64) -> String {
    let scope = Scope { labels, value };
    template
        .parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Placeholder(pipeline) => scope.run(pipeline),
        })
        .collect()
}

struct Scope<'a> {
    labels: &'a Labels,
    value: f64,
}

impl Scope<'_> {
    fn run(&self, pipeline: &Pipeline) -> String {
        let start = self.read(&pipeline.start, &Datum::Text(String::new()));
        pipeline
            .steps
            .iter()
            .fold(start, |datum, step| Datum::Text(self.apply(step, &datum)))
            .into_text()
    }

    fn read(&self, operand: &Operand, piped: &Datum) -> Datum {
        match operand {
            Operand::Value => Datum::Number(self.value),
            Operand::Label(name) => Datum::Text(self.labels.get(name).cloned().unwrap_or_default()),
            Operand::Literal(text) => Datum::Text(text.clone()),
            Operand::Piped => piped.clone(),
        }
    }

    fn apply(&self, step: &Step, datum: &Datum) -> String {
        match (step, datum) {
            (Step::Printf(pieces), _) => pieces.iter().map(|piece| self.print(piece, datum)).collect(),
            (Step::Number(function), Datum::Number(value)) => match function {
                OfNumber::Humanize => print::humanize(*value),
                OfNumber::Humanize1024 => print::humanize_1024(*value),
                OfNumber::HumanizeDuration => print::humanize_duration(*value),
                OfNumber::HumanizePercentage => print::humanize_percentage(*value),
            },
            (Step::Text(function), Datum::Text(text)) => match function {
                OfText::Title => print::title(text),
                OfText::ToUpper => print::upper(text),
                OfText::ToLower => print::lower(text),
            },
            // The parser lets neither of these through.
            (Step::Number(_), Datum::Text(_)) | (Step::Text(_), Datum::Number(_)) => datum.clone().into_text(),
        }
    }

    fn print(&self, piece: &Piece, piped: &Datum) -> String {
        match piece {
            Piece::Plain(text) => text.clone(),
            Piece::Number(notation, layout, operand) => match self.read(operand, piped) {
                Datum::Number(value) => print::number(value, *notation, *layout),
                Datum::Text(text) => text,
            },
            Piece::Text(layout, operand) => print::text(&self.read(operand, piped).into_text(), *layout),
        }
    }
}

impl Datum {
    fn into_text(self) -> String {
        match self {
            Self::Number(value) => print::shortest(value),
            Self::Text(text) => text,
        }
    }
}

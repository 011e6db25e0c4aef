use super::{MAX_BYTES, MAX_NESTING, MAX_OPERATORS, MAX_SELECTORS};
use flyball_core::time::SpanError;
use std::fmt;

/// A place in an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub offset: usize,
    /// Its line, counted from 1.
    pub line: usize,
    /// Its column in characters, counted from 1.
    pub column: usize,
}

impl Position {
    /// The place `offset` bytes into `text`; the end where that lies beyond it or within a character.
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or(before);
        Self {
            offset: before.len(),
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 1 {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "column {}", self.column)
    }
}

/// Why an expression is refused. Texts taken from the expression are shortened and escaped.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PromqlError {
    /// Nothing but blanks or comments.
    #[error("the expression is empty; write PromQL, for example sum(rate(http_requests_total[5m]))")]
    Empty,
    /// More bytes than allowed.
    #[error("the expression has {0} bytes, at most {MAX_BYTES} are allowed; move parts of it into a recording rule")]
    TooLong(usize),
    /// Brackets or signs nested too deep.
    #[error(
        "more than {MAX_NESTING} nested brackets or signs at {0}; simplify the expression or move parts of it into a recording rule"
    )]
    TooDeep(Position),
    /// Too many operators.
    #[error("more than {MAX_OPERATORS} operators at {0}; move parts of the expression into a recording rule")]
    TooManyOperators(Position),
    /// Too many regular expressions.
    #[error("too many regular expressions at {0}; at most 32 matchers with =~ or !~ are allowed")]
    TooManyRegexes(Position),
    /// A regular expression that compiles to too much.
    #[error("the regular expression {0} at {1} is too large once compiled; shorten its repetitions")]
    RegexTooBig(String, Position),
    /// A regular expression with repetitions that can't be read.
    #[error("the regular expression {0} at {1} can't be read; write a literal brace as \\\\{{")]
    Regex(String, Position),
    /// A string with an escape that PromQL does not know, or with a line break.
    #[error("the string {0} at {1} can't be read; write a backslash as \\\\ and a line break as \\n")]
    Escape(String, Position),
    /// A bracket or a quote without its partner.
    #[error("{0:?} at {1} is never closed; close it")]
    Unclosed(char, Position),
    /// Something that can't stand there.
    #[error("unexpected {0} at {1}; remove it or complete what stands before it")]
    Unexpected(String, Position),
    /// The expression ends too early.
    #[error("the expression ends too early; something is missing after {0}")]
    Incomplete(String),
    /// What the parser says otherwise.
    #[error("{0}{place}", place = .1.map(|at| format!(", at {at}")).unwrap_or_default())]
    Syntax(String, Option<Position>),
    /// A variable of a dashboard or a template.
    #[error(
        "template variables are not supported, found {0} at {1}; write the value itself, for a range for example 5m"
    )]
    Template(String, Position),
    /// A duration that can't be read.
    #[error("{0}, at {1}")]
    Duration(SpanError, Position),
    /// A duration of zero.
    #[error("a duration of zero at {0}; write for example 5m")]
    ZeroDuration(Position),
    /// A range longer than 30 days.
    #[error("the range {0} at {1} is longer than 30d; shorten it or use a recording rule")]
    RangeTooLong(String, Position),
    /// An offset longer than 90 days.
    #[error("the offset {0} at {1} is longer than 90d; shorten it")]
    OffsetTooLong(String, Position),
    /// An offset into the future.
    #[error("the negative offset -{0} at {1} asks for the future; remove the sign")]
    NegativeOffset(String, Position),
    /// A selector nailed to one time.
    #[error("@ with a fixed time never changes its value; remove it or use offset")]
    FixedTime,
    /// A subquery of too many points.
    #[error("the subqueries ask for {0} points, at most 11000 are allowed; shorten the range or widen the step")]
    SubqueryPoints(u64),
    /// More selectors than their age can be asked for.
    #[error(
        "{0} different selectors, at most {MAX_SELECTORS} are allowed; move parts of the expression into a recording rule"
    )]
    TooManySelectors(usize),
    /// A selector without the name of a metric.
    #[error(
        "the selector {0} may match several metrics, so the age of its samples can't be asked; \
         name one metric in each selector, for example up{{job=\"...\"}}"
    )]
    SeveralMetrics(String),
    /// A range vector or a string where numbers are needed.
    #[error("the expression answers a {0}, not numbers; {1}")]
    ResultType(&'static str, &'static str),
    /// Not `... <= 0.5` where that is needed.
    #[error("a comparison with a number is needed, {0}")]
    NotAComparison(&'static str),
    /// `bool` where the comparison must filter.
    #[error("the comparison has the modifier bool, which turns the answer into 0 and 1; remove bool")]
    Bool,
    /// NaN or an infinity to compare with.
    #[error("the number to compare with is {0}; write a finite number")]
    NotFinite(f64),
}

impl PromqlError {
    /// Where in the expression the mistake is, where that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::TooDeep(at)
            | Self::TooManyOperators(at)
            | Self::TooManyRegexes(at)
            | Self::RegexTooBig(_, at)
            | Self::Regex(_, at)
            | Self::Escape(_, at)
            | Self::Unclosed(_, at)
            | Self::Unexpected(_, at)
            | Self::Template(_, at)
            | Self::Duration(_, at)
            | Self::ZeroDuration(at)
            | Self::RangeTooLong(_, at)
            | Self::OffsetTooLong(_, at)
            | Self::NegativeOffset(_, at) => Some(*at),
            Self::Syntax(_, at) => *at,
            _ => None,
        }
    }
}

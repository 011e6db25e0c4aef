//! PromQL: bounded, parsed, and taken apart as far as the loop needs it.
//!
//! The server is the judge of what an expression means. Here it is only made sure that the text
//! can't hurt this process, that a threshold can be compared by the controller itself (`x > 0.5`
//! answers nothing both when all is well and when there is no data), and that the age of the samples
//! behind the value can be asked for.

mod age;
mod error;
mod locate;
mod reach;
mod scan;
mod shape;

pub use age::MAX_SELECTORS;
pub use error::{Position, PromqlError};
pub use reach::{Reach, reaches};
pub use scan::{MAX_BYTES, MAX_NESTING, MAX_OFFSET, MAX_OPERATORS, MAX_RANGE};
pub use shape::{Kept, Shape};

use flyball_core::{
    policy::{Comparator, Comparison, Condition, Query},
    signal::Finite,
    time::Span,
};
use promql_parser::parser::{
    self, Expr, Offset, VectorSelector,
    token::{T_ADD, T_DIV, T_EQLC, T_GTE, T_GTR, T_LSS, T_LTE, T_MOD, T_MUL, T_NEQ, T_POW, T_SUB},
    value::ValueType,
};
use scan::{Kind, Scanned, Token};
use std::{fmt::Write, panic::catch_unwind};

/// The most points of subqueries, multiplied where they nest: Prometheus' own limit for a range query.
const MAX_POINTS: u64 = 11_000;
/// Prometheus' default evaluation interval, the step of a subquery that names none.
const DEFAULT_STEP: Span = Span::from_secs(60);

/// Reads an expression that answers numbers.
pub fn query(text: &str) -> Result<Query, PromqlError> {
    Parsed::new(text)?.query()
}

/// Reads a comparison with a number, such as `x <= 0.5` or `0.5 >= x`.
pub fn comparison(text: &str) -> Result<Comparison, PromqlError> {
    Parsed::new(text)?.comparison()
}

/// Reads a rule's expression: a threshold where its top is a comparison with a finite number.
pub fn condition(text: &str) -> Result<Condition, PromqlError> {
    let parsed = Parsed::new(text)?;
    match parsed.comparison() {
        Ok(threshold) => Ok(Condition::Threshold(threshold)),
        Err(PromqlError::NotAComparison(_) | PromqlError::Bool | PromqlError::NotFinite(_)) => {
            parsed.query().map(Condition::Opaque)
        }
        Err(error) => Err(error),
    }
}

/// What can be said about an expression beyond its value, for warnings.
pub fn shape(text: &str) -> Result<Shape, PromqlError> {
    Ok(Shape::of(&Parsed::new(text)?.expr))
}

/// An expression that passed the scan and the parser.
struct Parsed<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    expr: Expr,
}

impl<'a> Parsed<'a> {
    fn new(text: &'a str) -> Result<Self, PromqlError> {
        let Scanned { tokens, parsable } = scan::scan(text)?;
        // The scan keeps out what is known to make the parser panic; should more be found, it must
        // end one policy, not the process.
        let expr = catch_unwind(|| parser::parse(&parsable))
            .unwrap_or_else(|_| Err("the parser can't read the expression; simplify it".to_owned()))
            .map_err(|message| locate::explain(&message, text, &parsable, &tokens))?;
        Ok(Self { text, tokens, expr })
    }

    fn query(&self) -> Result<Query, PromqlError> {
        match self.expr.value_type() {
            ValueType::Vector | ValueType::Scalar => {}
            ValueType::Matrix => {
                let hint = "put it into a function such as rate(...) or max_over_time(...)";
                return Err(PromqlError::ResultType("range vector", hint));
            }
            ValueType::String => return Err(PromqlError::ResultType("string", "select a metric")),
        }
        let mut found = age::Selectors::default();
        let longest_range = walk(&self.expr, Window::default(), &mut found)?;
        Ok(Query {
            text: self.text.trim().to_owned(),
            age: found.query()?,
            longest_range,
        })
    }

    fn comparison(&self) -> Result<Comparison, PromqlError> {
        // The whole is checked first: what exceeds a bound is refused, not taken for another shape.
        self.query()?;
        let (mut expr, mut tokens) = (&self.expr, self.tokens.as_slice());
        while let (Expr::Paren(paren), [_, within @ .., _]) = (expr, tokens) {
            (expr, tokens) = (&paren.expr, within);
        }
        let Expr::Binary(top) = expr else {
            return Err(PromqlError::NotAComparison("for example ... <= 0.5"));
        };
        let comparator = match top.op.id() {
            T_GTR => Comparator::Greater,
            T_GTE => Comparator::GreaterOrEqual,
            T_LSS => Comparator::Less,
            T_LTE => Comparator::LessOrEqual,
            T_EQLC => Comparator::Equal,
            T_NEQ => Comparator::NotEqual,
            _ => {
                return Err(PromqlError::NotAComparison(
                    "and nothing around it, for example ... <= 0.5",
                ));
            }
        };
        if top.return_bool() {
            return Err(PromqlError::Bool);
        }
        let (asked, number, comparator) = match (constant(&top.lhs), constant(&top.rhs)) {
            (None, Some(number)) => (&top.lhs, number, comparator),
            (Some(number), None) => (&top.rhs, number, flipped(comparator)),
            _ => {
                return Err(PromqlError::NotAComparison(
                    "for example (a) - (b) > 0 where two vectors are compared",
                ));
            }
        };
        let right = Finite::new(number).ok_or(PromqlError::NotFinite(number))?;
        let left = Parsed::new(&self.written(asked, tokens))?.query()?;
        Ok(Comparison {
            left,
            comparator,
            right,
        })
    }

    /// One side of the comparison at the top, as it was written; printed from the tree where the
    /// text around the operator does not read the same.
    fn written(&self, side: &Expr, tokens: &[Token]) -> String {
        let outer = tokens.first().map_or(0, |t| t.depth);
        // Comparisons associate to the left, so the last one is the top; and nothing that binds
        // weaker can stand beside it.
        let operators = ["==", "!=", ">", ">=", "<", "<="];
        let text = |t: &Token| self.text.get(t.start..t.end).unwrap_or_default();
        let top = tokens
            .iter()
            .rposition(|t| t.kind == Kind::Operator && t.depth == outer && operators.contains(&text(t)));
        let slices = top.and_then(|top| {
            let (left, right) = (&tokens[..top], &tokens[top + 1..]);
            Some([(left.first()?, left.last()?), (right.first()?, right.last()?)])
        });
        slices
            .into_iter()
            .flatten()
            .filter_map(|(first, last)| self.text.get(first.start..last.end))
            .find(|text| Parsed::new(text).is_ok_and(|p| p.expr == *side))
            .map_or_else(|| side.to_string(), str::to_owned)
    }
}

fn flipped(comparator: Comparator) -> Comparator {
    match comparator {
        Comparator::Greater => Comparator::Less,
        Comparator::GreaterOrEqual => Comparator::LessOrEqual,
        Comparator::Less => Comparator::Greater,
        Comparator::LessOrEqual => Comparator::GreaterOrEqual,
        same => same,
    }
}

/// The value of an expression of numbers only, such as `-0.5` or `60 * 60`.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::NumberLiteral(number) => Some(number.val),
        Expr::Paren(paren) => constant(&paren.expr),
        Expr::Unary(unary) => constant(&unary.expr).map(|value| -value),
        Expr::Binary(binary) => {
            let (left, right) = (constant(&binary.lhs)?, constant(&binary.rhs)?);
            match binary.op.id() {
                T_ADD => Some(left + right),
                T_SUB => Some(left - right),
                T_MUL => Some(left * right),
                T_DIV => Some(left / right),
                T_MOD => Some(left % right),
                T_POW => Some(left.powf(right)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// What lies around a part of an expression.
#[derive(Clone, Copy)]
struct Window {
    /// The ranges of the subqueries around it.
    range: Span,
    /// Their points, multiplied.
    points: u64,
    /// Whether its absence is the answer, as in `absent(...)`.
    absent: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            range: Span::ZERO,
            points: 1,
            absent: false,
        }
    }
}

/// Collects the selectors, and returns the longest range with its offset, subqueries added.
fn walk(expr: &Expr, around: Window, found: &mut age::Selectors) -> Result<Span, PromqlError> {
    match expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Ok(Span::ZERO),
        Expr::Paren(paren) => walk(&paren.expr, around, found),
        Expr::Unary(unary) => walk(&unary.expr, around, found),
        Expr::Binary(binary) => Ok(walk(&binary.lhs, around, found)?.max(walk(&binary.rhs, around, found)?)),
        Expr::Aggregate(aggregate) => {
            let parameter = aggregate
                .param
                .as_ref()
                .map_or(Ok(Span::ZERO), |p| walk(p, around, found))?;
            Ok(parameter.max(walk(&aggregate.expr, around, found)?))
        }
        Expr::Call(call) => {
            let absent = around.absent || call.func.name.starts_with("absent");
            let inside = Window { absent, ..around };
            call.args.args.iter().try_fold(Span::ZERO, |longest, argument| {
                Ok(longest.max(walk(argument, inside, found)?))
            })
        }
        Expr::VectorSelector(selector) => {
            let offset = offset(selector.offset.as_ref(), selector.at.as_ref())?;
            found.add(selector, around.range, around.absent)?;
            Ok(offset)
        }
        Expr::MatrixSelector(matrix) => {
            let VectorSelector { offset: back, at, .. } = &matrix.vs;
            let range = span(matrix.range);
            found.add(&matrix.vs, around.range + range, around.absent)?;
            Ok(range + offset(back.as_ref(), at.as_ref())?)
        }
        Expr::Subquery(subquery) => {
            let range = span(subquery.range);
            let step = subquery.step.map_or(DEFAULT_STEP, span).as_millis().max(1);
            let points = around.points.saturating_mul((range.as_millis() / step).max(1));
            if points > MAX_POINTS {
                return Err(PromqlError::SubqueryPoints(points));
            }
            let inside = Window {
                range: around.range + range,
                points,
                ..around
            };
            let offset = offset(subquery.offset.as_ref(), subquery.at.as_ref())?;
            Ok(walk(&subquery.expr, inside, found)? + range + offset)
        }
    }
}

fn offset(offset: Option<&Offset>, at: Option<&parser::AtModifier>) -> Result<Span, PromqlError> {
    if matches!(at, Some(parser::AtModifier::At(_))) {
        return Err(PromqlError::FixedTime);
    }
    // The scan has refused negative offsets.
    Ok(match offset {
        Some(Offset::Pos(back) | Offset::Neg(back)) => span(*back),
        None => Span::ZERO,
    })
}

fn span(duration: std::time::Duration) -> Span {
    Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A text as a PromQL string in double quotes.
pub(crate) fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            // Writing into a string can't fail.
            c if c.is_control() => drop(write!(quoted, "\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// At most 64 characters of a text, in quotes, control and direction characters escaped.
pub(crate) fn shorten(text: &str) -> String {
    // Expressions are full of quotes and backslashes, and are easier to find again as they are.
    let mark = if text.contains('"') { '`' } else { '"' };
    let mut short = String::from(mark);
    for c in text.chars().take(64) {
        if matches!(c, '"' | '\'' | '\\') {
            short.push(c);
        } else {
            short.extend(c.escape_debug());
        }
    }
    if text.chars().nth(64).is_some() {
        short.push('…');
    }
    short.push(mark);
    short
}

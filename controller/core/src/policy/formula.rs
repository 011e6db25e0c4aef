//! An expression over signals, in CEL.
//!
//! It is arithmetic on floating point numbers: signals, numbers, `+ - * /`, comparisons, `&& || !`,
//! `condition ? a : b` and the functions `min`, `max`, `clamp`, `ceil`, `floor` and `abs`. CEL's lists,
//! texts, fields and macros have no place in it, so nothing in it loops.
//!
//! CEL knows whole numbers and floating point numbers apart and refuses to mix them. Signals are the
//! latter, so a whole number in a formula is one too: `rps / 100` is `rps / 100.0`.

mod functions;
mod scan;

use crate::signal::Finite;
use cel::{ExecutionError, Value, common::types::CelDouble, common::value::CowVal, context::VariableResolver};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// The longest expression, in bytes. CEL itself sets no limit, and its parser recurses.
pub const MAX_LENGTH: usize = 1024;
/// The most brackets within each other.
pub const MAX_DEPTH: usize = 32;
/// The most operators, conditions and brackets in all: each may be a level of the tree that CEL walks.
pub const MAX_OPERATIONS: usize = 128;

/// Why a text is no formula, or why it has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// It is too long, or nested too deeply.
    #[error(
        "is too long or nested too deeply: at most {MAX_LENGTH} bytes, {MAX_DEPTH} brackets within each other and {MAX_OPERATIONS} operators and brackets in all; make it simpler"
    )]
    TooLarge,
    /// It does not parse.
    #[error("is no formula: {0}; write for example max(rps / 100, queue / 30)")]
    Syntax(String),
    /// It names something that is no signal and no function.
    #[error(
        "names {0}, which is neither a signal of spec.signals nor one of min, max, clamp, ceil, floor and abs; correct the name"
    )]
    Unknown(String),
    /// It could not be computed.
    #[error("could not be computed: {0}")]
    Evaluation(String),
    /// Its value is no number.
    #[error("gives {0}, which is no number; write for example queue > 10 ? 2 : 1")]
    NotANumber(String),
    /// Its value is no finite number.
    #[error("gives {0}, not a finite number; guard divisions, for example x > 0 ? y / x : 0")]
    NotFinite(String),
}

/// An expression over signals that was parsed and names only signals that there are.
#[derive(Clone)]
pub struct Formula {
    text: String,
    signals: BTreeSet<String>,
    program: Arc<cel::Program>,
}

impl Formula {
    /// Parses `text`. `known` holds the names of the policy's signals that are one number each.
    pub fn parse(text: &str, known: &BTreeSet<String>) -> Result<Self, FormulaError> {
        let scanned = scan::scan(text, known)?;
        let program = cel::Program::compile(&scanned.text).map_err(|errors| {
            let first = errors
                .errors
                .first()
                .map_or("it does not parse", |error| error.msg.as_str());
            FormulaError::Syntax(first.to_owned())
        })?;
        let formula = Self {
            text: text.to_owned(),
            signals: scanned.signals,
            program: Arc::new(program),
        };
        formula.try_out()?;
        Ok(formula)
    }

    /// A formula that adds a condition to a number, or that is none, says so before it is needed. What
    /// depends on the numbers, such as a division by 0, says nothing yet.
    fn try_out(&self) -> Result<(), FormulaError> {
        let ones = Finite::new(1.0).map_or_else(BTreeMap::new, |one| {
            self.signals.iter().map(|name| (name.as_str(), one)).collect()
        });
        match self.value(&ones) {
            Err(error @ (FormulaError::Evaluation(_) | FormulaError::NotANumber(_))) => Err(error),
            _ => Ok(()),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signals that it uses.
    pub fn signals(&self) -> &BTreeSet<String> {
        &self.signals
    }

    /// Its value, given that of each of its signals.
    pub fn value(&self, signals: &BTreeMap<&str, Finite>) -> Result<Finite, FormulaError> {
        let numbers = Numbers(signals);
        let mut context = functions::CONTEXT.new_inner_scope();
        context.set_variable_resolver(&numbers);
        match self.program.execute(&context) {
            Ok(Value::Float(number)) => Finite::new(number).ok_or_else(|| FormulaError::NotFinite(number.to_string())),
            Ok(Value::Bool(condition)) => Err(FormulaError::NotANumber(condition.to_string())),
            Ok(other) => Err(FormulaError::NotANumber(format!("{other:?}"))),
            Err(error) => Err(FormulaError::Evaluation(sentence(error))),
        }
    }
}

/// CEL's error, where it can be said plainly.
fn sentence(error: ExecutionError) -> String {
    match error {
        ExecutionError::FunctionError { function, message } => format!("{function}: {message}"),
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::ValuesNotComparable(..)
        | ExecutionError::UnsupportedBinaryOperator(..) => {
            format!("a condition and a number are mixed; a condition stands before ? alone ({error})")
        }
        other => other.to_string(),
    }
}

/// Signals as CEL looks them up: nothing is copied before it is asked for.
struct Numbers<'a>(&'a BTreeMap<&'a str, Finite>);

impl VariableResolver for Numbers<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let number = self.0.get(variable)?;
        Some(CowVal::owned(CelDouble::from(number.get())))
    }
}

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Formula").field(&self.text).finish()
    }
}

//! An expression over signals, in CEL.

use crate::signal::Finite;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// The longest expression, in bytes. CEL itself sets no limit, and its parser recurses.
pub const MAX_LENGTH: usize = 1024;

/// Why a text is no formula, or why it has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// It is longer than [`MAX_LENGTH`], or nested too deeply.
    #[error(
        "is too long or nested too deeply: at most {MAX_LENGTH} bytes and 32 brackets within each other; make it simpler"
    )]
    TooLarge,
    /// It does not parse.
    #[error("is not a CEL expression: {0}; write for example max(rps / 100.0, queue / 30.0)")]
    Syntax(String),
    /// It names something that is no signal and no function.
    #[error("names {0}, which is neither a signal of spec.signals nor a function; correct the name")]
    Unknown(String),
    /// It could not be computed.
    #[error("could not be computed: {0}")]
    Evaluation(String),
    /// Its value is no number, or not a finite one.
    #[error(
        "gives {0}, not a finite number; write numbers as 1.0 and guard divisions, for example x > 0.0 ? y / x : 0.0"
    )]
    NotANumber(String),
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
        let program = cel::Program::compile(text).map_err(|error| FormulaError::Syntax(error.to_string()))?;
        let names: BTreeSet<String> = program
            .references()
            .variables()
            .into_iter()
            .map(ToOwned::to_owned)
            .collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(*name)) {
            return Err(FormulaError::Unknown(unknown.clone()));
        }
        Ok(Self {
            text: text.to_owned(),
            signals: names,
            program: Arc::new(program),
        })
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
    pub fn value(&self, signals: &BTreeMap<String, Finite>) -> Result<Finite, FormulaError> {
        let mut context = cel::Context::default();
        for (name, value) in signals {
            context.add_variable_from_value(name.clone(), value.get());
        }
        match self.program.execute(&context) {
            Ok(cel::Value::Float(number)) => {
                Finite::new(number).ok_or_else(|| FormulaError::NotANumber(number.to_string()))
            }
            Ok(other) => Err(FormulaError::NotANumber(format!("{other:?}"))),
            Err(error) => Err(FormulaError::Evaluation(error.to_string())),
        }
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

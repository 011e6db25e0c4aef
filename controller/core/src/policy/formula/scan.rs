//! Reads a formula word by word before CEL does: bounds it, names what is unknown, and writes whole
//! numbers as floating point numbers.

use super::{FormulaError, MAX_DEPTH, MAX_LENGTH, MAX_OPERATIONS, functions::FUNCTIONS};
use std::collections::BTreeSet;

/// A formula that is safe to parse.
pub(super) struct Scanned {
    /// As CEL gets it.
    pub text: String,
    /// The signals that it names.
    pub signals: BTreeSet<String>,
}

/// An open bracket: of a function that takes so many numbers, or of none.
struct Open {
    function: Option<(&'static str, usize, usize)>,
    commas: usize,
}

struct Scan<'a> {
    rest: &'a str,
    known: &'a BTreeSet<String>,
    out: Scanned,
    open: Vec<Open>,
    operations: usize,
    /// Whether a value comes next, as opposed to an operator.
    wants_value: bool,
    /// Whether the last word was the bracket of a function.
    just_called: bool,
}

const OPERATORS: [&str; 14] = [
    "<=", ">=", "==", "!=", "&&", "||", "<", ">", "+", "-", "*", "/", "?", ":",
];

pub(super) fn scan(text: &str, known: &BTreeSet<String>) -> Result<Scanned, FormulaError> {
    if text.len() > MAX_LENGTH {
        return Err(FormulaError::TooLarge);
    }
    let mut scan = Scan {
        rest: text,
        known,
        out: Scanned {
            text: String::with_capacity(text.len() + 16),
            signals: BTreeSet::new(),
        },
        open: Vec::new(),
        operations: 0,
        wants_value: true,
        just_called: false,
    };
    loop {
        let word = scan.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        if word.len() < scan.rest.len() {
            scan.out.text.push(' ');
        }
        scan.rest = word;
        let Some(first) = word.chars().next() else {
            return scan.end();
        };
        let called = std::mem::take(&mut scan.just_called);
        match first {
            '0'..='9' | '.' => scan.number()?,
            'a'..='z' | 'A'..='Z' | '_' => scan.name()?,
            '(' => scan.bracket(None)?,
            ')' => scan.close(called)?,
            ',' => scan.comma()?,
            '-' | '!' if scan.wants_value => scan.unary()?,
            _ => scan.operator(first)?,
        }
    }
}

impl<'a> Scan<'a> {
    /// Takes so many bytes, which are whole characters.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (word, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.out.text.push_str(word);
        word
    }

    /// How many bytes from the beginning are of this kind.
    fn length(&self, mut is_part: impl FnMut(char) -> bool) -> usize {
        self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len())
    }

    fn operation(&mut self) -> Result<(), FormulaError> {
        self.operations += 1;
        if self.operations > MAX_OPERATIONS {
            return Err(FormulaError::TooLarge);
        }
        Ok(())
    }

    /// A value stands here.
    fn value(&mut self, what: &str) -> Result<(), FormulaError> {
        if !self.wants_value {
            return Err(syntax(format!("an operator is missing before {what}")));
        }
        self.wants_value = false;
        Ok(())
    }

    fn number(&mut self) -> Result<(), FormulaError> {
        // Of the form 12, 1.5, .5, 1e3 or 1.5e-3.
        let mut last = ' ';
        let length = self.length(|c| {
            let is_part = c.is_ascii_alphanumeric()
                || c == '.'
                || c == '_'
                || (matches!(c, '+' | '-') && matches!(last, 'e' | 'E'));
            last = c;
            is_part
        });
        let word = self.rest.get(..length).unwrap_or_default();
        self.value(word)?;
        let (number, exponent) = word.split_once(['e', 'E']).map_or((word, None), |(n, e)| (n, Some(e)));
        let (whole, fraction) = number.split_once('.').map_or((number, None), |(w, f)| (w, Some(f)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = (digits(whole) || (whole.is_empty() && fraction.is_some()))
            && fraction.is_none_or(digits)
            && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
        if !is_number {
            return Err(syntax(format!(
                "{word} is no number; write it as 12, 1.5 or 1.5e3, without a unit"
            )));
        }
        self.take(length);
        if fraction.is_none() && exponent.is_none() {
            self.out.text.push_str(".0");
        }
        Ok(())
    }

    fn name(&mut self) -> Result<(), FormulaError> {
        let length = self.length(|c| c.is_alphanumeric() || c == '_');
        let name = self.rest.get(..length).unwrap_or_default();
        self.value(name)?;
        let is_call = self
            .rest
            .get(length..)
            .is_some_and(|rest| rest.trim_start().starts_with('('));
        if is_call {
            let function = FUNCTIONS.iter().find(|(function, ..)| *function == name);
            let function = *function.ok_or_else(|| FormulaError::Unknown(format!("{name}()")))?;
            self.take(length);
            let gap = self.length(char::is_whitespace);
            self.take(gap);
            self.wants_value = true;
            return self.bracket(Some(function));
        }
        if !self.known.contains(name) {
            return Err(FormulaError::Unknown(name.to_owned()));
        }
        self.take(length);
        self.out.signals.insert(name.to_owned());
        Ok(())
    }

    fn bracket(&mut self, function: Option<(&'static str, usize, usize)>) -> Result<(), FormulaError> {
        self.value("(")?;
        self.wants_value = true;
        self.just_called = function.is_some();
        self.operation()?;
        self.open.push(Open { function, commas: 0 });
        if self.open.len() > MAX_DEPTH {
            return Err(FormulaError::TooLarge);
        }
        self.take(1);
        Ok(())
    }

    fn close(&mut self, just_called: bool) -> Result<(), FormulaError> {
        if self.wants_value && !just_called {
            return Err(syntax("a value is missing before )".to_owned()));
        }
        let Some(open) = self.open.pop() else {
            return Err(syntax("a ) closes nothing".to_owned()));
        };
        if let Some((name, least, most)) = open.function {
            let given = if just_called { 0 } else { open.commas + 1 };
            if given < least || given > most {
                let at_least = if most == usize::MAX { "at least " } else { "" };
                return Err(syntax(format!("{name} takes {at_least}{least}, and {given} are given")));
            }
        }
        self.wants_value = false;
        self.take(1);
        Ok(())
    }

    fn comma(&mut self) -> Result<(), FormulaError> {
        if self.wants_value {
            return Err(syntax("a value is missing before a comma".to_owned()));
        }
        match self.open.last_mut() {
            Some(open) if open.function.is_some() => open.commas += 1,
            _ => return Err(syntax("a comma stands outside of a function".to_owned())),
        }
        self.operation()?;
        self.wants_value = true;
        self.take(1);
        Ok(())
    }

    fn unary(&mut self) -> Result<(), FormulaError> {
        self.operation()?;
        self.take(1);
        Ok(())
    }

    fn operator(&mut self, first: char) -> Result<(), FormulaError> {
        let Some(operator) = OPERATORS.iter().find(|operator| self.rest.starts_with(**operator)) else {
            return Err(syntax(match first {
                '%' => "% is not defined for these numbers".to_owned(),
                '=' => "= compares nothing; write ==".to_owned(),
                _ => format!("{first:?} has no meaning in a formula, which is arithmetic on signals"),
            }));
        };
        if self.wants_value {
            return Err(syntax(format!("a value is missing before {operator}")));
        }
        self.operation()?;
        self.wants_value = true;
        self.take(operator.len());
        Ok(())
    }

    fn end(self) -> Result<Scanned, FormulaError> {
        if !self.open.is_empty() {
            return Err(syntax("a ) is missing at the end".to_owned()));
        }
        if self.wants_value {
            return Err(syntax("a value is missing at the end".to_owned()));
        }
        Ok(self.out)
    }
}

fn syntax(what: String) -> FormulaError {
    FormulaError::Syntax(what)
}

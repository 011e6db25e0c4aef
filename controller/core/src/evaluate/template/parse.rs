//! From words to pipelines. What an operand is, number or text, is known here, so every mismatch is
//! found at validation.

use super::{
    Layout, Notation, OfNumber, OfText, Operand, Part, Piece, Pipeline, Step, Template,
    lex::{self, Placeholder, Token},
};
use std::str::Chars;

/// Why a text is not a template. Each names the placeholder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The placeholder or a quoted text in it doesn't end.
    #[error("{placeholder:?} is not closed; end its quoted texts with the quote they began with, and it with }}}}")]
    Unclosed {
        /// The placeholder.
        placeholder: String,
    },
    /// There is nothing in a placeholder, or on one side of a pipe.
    #[error("{placeholder:?} lacks an operand; write for example {{{{ $value }}}} or {{{{ $labels.job }}}}")]
    Empty {
        /// The placeholder.
        placeholder: String,
    },
    /// A word that is not supported.
    #[error(
        "{placeholder:?}: {word:?} is not supported; use $value, $labels.<name>, a quoted text, and the functions \
         humanize, humanize1024, humanizeDuration, humanizePercentage, title, toUpper, toLower and printf"
    )]
    Unknown {
        /// The placeholder.
        placeholder: String,
        /// The word.
        word: String,
    },
    /// A word where none can stand.
    #[error("{placeholder:?}: {word:?} is one too many; give a function one argument, or join with |")]
    Surplus {
        /// The placeholder.
        placeholder: String,
        /// The word.
        word: String,
    },
    /// A function of a number gets a text.
    #[error("{placeholder:?}: {function} takes the number $value, not a text")]
    NeedsNumber {
        /// The placeholder.
        placeholder: String,
        /// The function.
        function: String,
    },
    /// A function of a text gets a number.
    #[error("{placeholder:?}: {function} takes a text, not a number; put printf \"%v\" or humanize before it")]
    NeedsText {
        /// The placeholder.
        placeholder: String,
        /// The function.
        function: String,
    },
    /// A verb of a format that is not supported, or doesn't fit its operand.
    #[error("{placeholder:?}: the format {verb:?} {reason}")]
    Verb {
        /// The placeholder.
        placeholder: String,
        /// The verb with its flags.
        verb: String,
        /// What is wrong and what to write instead.
        reason: &'static str,
    },
    /// An escape in a quoted text that is not supported.
    #[error("{placeholder:?}: the escape {escape:?} is not supported; use \\n, \\t, \\r, \\\" or \\\\")]
    Escape {
        /// The placeholder.
        placeholder: String,
        /// The escape.
        escape: String,
    },
}

/// Parses a template.
pub fn parse(text: &str) -> Result<Template, TemplateError> {
    let mut parts = Vec::new();
    let (mut rest, mut trim) = (text, false);
    while let Some((before, _)) = rest.split_once("{{") {
        let start = rest.get(before.len()..).unwrap_or_default();
        let Placeholder {
            tokens,
            rest: behind,
            trim_before,
            trim_after,
        } = lex::placeholder(start)?;
        parts.push(Part::Text(trimmed(before, trim, trim_before)));
        parts.push(Part::Placeholder(Parser { name: lex::name(start) }.pipeline(&tokens)?));
        (rest, trim) = (behind, trim_after);
    }
    parts.push(Part::Text(trimmed(rest, trim, false)));
    parts.retain(|part| *part != Part::Text(String::new()));
    Ok(Template {
        source: text.to_owned(),
        parts,
    })
}

fn trimmed(text: &str, start: bool, end: bool) -> String {
    const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
    let text = if start { text.trim_start_matches(BLANKS) } else { text };
    let text = if end { text.trim_end_matches(BLANKS) } else { text };
    text.to_owned()
}

/// What an operand is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
}

struct Parser {
    /// The placeholder, for errors.
    name: String,
}

impl Parser {
    fn pipeline(&self, tokens: &[Token]) -> Result<Pipeline, TemplateError> {
        let mut commands = tokens.split(|token| *token == Token::Pipe);
        let first = commands.next().unwrap_or_default();
        let (mut pipeline, mut kind) = self.first(first)?;
        for command in commands {
            pipeline.steps.push(self.step(command, Some(kind))?.0);
            kind = Kind::Text;
        }
        Ok(pipeline)
    }

    /// The command before the first pipe: an operand, or a function with its argument.
    fn first(&self, command: &[Token]) -> Result<(Pipeline, Kind), TemplateError> {
        match command {
            [] => Err(TemplateError::Empty {
                placeholder: self.name.clone(),
            }),
            [token] if operand(token).is_some() => {
                let (start, kind) = self.operand(token)?;
                Ok((
                    Pipeline {
                        start,
                        steps: Vec::new(),
                    },
                    kind,
                ))
            }
            _ => {
                let (step, start) = self.step(command, None)?;
                Ok((
                    Pipeline {
                        start,
                        steps: vec![step],
                    },
                    Kind::Text,
                ))
            }
        }
    }

    /// A function with its arguments. `piped` is what comes through the pipe as the last of them. The
    /// operand returned is what the function is applied to if nothing does.
    fn step(&self, command: &[Token], piped: Option<Kind>) -> Result<(Step, Operand), TemplateError> {
        let Some((function, arguments)) = command.split_first() else {
            return Err(TemplateError::Empty {
                placeholder: self.name.clone(),
            });
        };
        let name = match function {
            Token::Word(name) if operand(function).is_none() => name.as_str(),
            other => return Err(self.surplus(other)),
        };
        let step = match name {
            "humanize" => Some(Step::Number(OfNumber::Humanize)),
            "humanize1024" => Some(Step::Number(OfNumber::Humanize1024)),
            "humanizeDuration" => Some(Step::Number(OfNumber::HumanizeDuration)),
            "humanizePercentage" => Some(Step::Number(OfNumber::HumanizePercentage)),
            "title" => Some(Step::Text(OfText::Title)),
            "toUpper" => Some(Step::Text(OfText::ToUpper)),
            "toLower" => Some(Step::Text(OfText::ToLower)),
            "printf" => None,
            _ => return Err(self.unknown(name)),
        };
        let mut arguments = arguments
            .iter()
            .map(|token| self.operand(token))
            .collect::<Result<Vec<_>, _>>()?;
        arguments.extend(piped.map(|kind| (Operand::Piped, kind)));
        let Some(step) = step else {
            let step = Step::Printf(self.format(command, function, arguments)?);
            return Ok((step, Operand::Literal(String::new())));
        };
        let mut arguments = arguments.into_iter();
        let Some((start, kind)) = arguments.next() else {
            return Err(TemplateError::Empty {
                placeholder: self.name.clone(),
            });
        };
        if arguments.next().is_some() {
            return Err(self.surplus(command.last().unwrap_or(function)));
        }
        let (placeholder, function) = (self.name.clone(), name.to_owned());
        match (&step, kind) {
            (Step::Number(_), Kind::Text) => Err(TemplateError::NeedsNumber { placeholder, function }),
            (Step::Text(_), Kind::Number) => Err(TemplateError::NeedsText { placeholder, function }),
            _ => Ok((step, start)),
        }
    }

    fn operand(&self, token: &Token) -> Result<(Operand, Kind), TemplateError> {
        operand(token).ok_or_else(|| self.unknown(&shown(token)))
    }

    fn unknown(&self, word: &str) -> TemplateError {
        TemplateError::Unknown {
            placeholder: self.name.clone(),
            word: lex::short(word),
        }
    }

    fn surplus(&self, token: &Token) -> TemplateError {
        TemplateError::Surplus {
            placeholder: self.name.clone(),
            word: lex::short(&shown(token)),
        }
    }

    /// The pieces of a `printf`.
    fn format(
        &self,
        command: &[Token],
        function: &Token,
        arguments: Vec<(Operand, Kind)>,
    ) -> Result<Vec<Piece>, TemplateError> {
        let mut arguments = arguments.into_iter();
        let Some((Operand::Literal(format), _)) = arguments.next() else {
            let reason = "lacks its format; write a quoted text, for example printf \"%.2f\" $value";
            return Err(self.verb("printf", reason));
        };
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                plain.push(letter);
                continue;
            }
            let before = letters.as_str();
            let layout = layout(&mut letters);
            let letter = letters.next();
            let verb = format!("%{}", before.strip_suffix(letters.as_str()).unwrap_or(before));
            let layout = layout.ok_or_else(|| self.verb(&verb, "is wider than the 100 that are supported"))?;
            if letter == Some('%') {
                plain.push('%');
                continue;
            }
            let piece = self.piece(&verb, letter, layout, arguments.next())?;
            pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            pieces.push(piece);
        }
        if arguments.next().is_some() {
            return Err(self.surplus(command.last().unwrap_or(function)));
        }
        pieces.push(Piece::Plain(plain));
        pieces.retain(|piece| *piece != Piece::Plain(String::new()));
        Ok(pieces)
    }

    fn piece(
        &self,
        verb: &str,
        letter: Option<char>,
        layout: Layout,
        argument: Option<(Operand, Kind)>,
    ) -> Result<Piece, TemplateError> {
        let Some((operand, kind)) = argument else {
            return Err(self.verb(
                verb,
                "has no operand; write one for each verb, and %% for a percent sign",
            ));
        };
        let notation = match letter {
            Some('f' | 'F') => Some(Notation::Fixed),
            Some('e') => Some(Notation::Scientific),
            Some('g' | 'v') => Some(Notation::General),
            _ => None,
        };
        match (kind, notation, letter) {
            (Kind::Number, Some(notation), _) => Ok(Piece::Number(notation, layout, operand)),
            (Kind::Text, _, Some('s' | 'v')) if !layout.sign && !layout.zeros => Ok(Piece::Text(layout, operand)),
            (Kind::Number, _, Some('d')) => Err(self.verb(verb, "needs an integer, and $value is none; write %.0f")),
            (Kind::Number, ..) => Err(self.verb(verb, "is not for numbers; write %.2f, %g, %e or %v")),
            (Kind::Text, ..) => Err(self.verb(verb, "is not for texts; write %s")),
        }
    }

    fn verb(&self, verb: &str, reason: &'static str) -> TemplateError {
        TemplateError::Verb {
            placeholder: self.name.clone(),
            verb: lex::short(verb),
            reason,
        }
    }
}

/// The flags, width and precision of a verb; `None` if they are beyond any sense.
fn layout(letters: &mut Chars<'_>) -> Option<Layout> {
    let mut layout = Layout::default();
    loop {
        let flag = match letters.as_str().chars().next() {
            Some('-') => &mut layout.left,
            Some('+') => &mut layout.sign,
            Some('0') => &mut layout.zeros,
            _ => break,
        };
        *flag = true;
        letters.next();
    }
    layout.width = digits(letters)?;
    if letters.as_str().starts_with('.') {
        letters.next();
        layout.precision = Some(digits(letters)?);
    }
    Some(layout)
}

fn digits(letters: &mut Chars<'_>) -> Option<usize> {
    let mut number = 0;
    while let Some(digit) = letters.as_str().chars().next().and_then(|letter| letter.to_digit(10)) {
        letters.next();
        number = Some(number * 10 + usize::try_from(digit).ok()?).filter(|number| *number <= 100)?;
    }
    Some(number)
}

fn operand(token: &Token) -> Option<(Operand, Kind)> {
    match token {
        Token::Quoted(text) => Some((Operand::Literal(text.clone()), Kind::Text)),
        Token::Word(word) if word == "$value" || word == ".Value" => Some((Operand::Value, Kind::Number)),
        Token::Word(word) => {
            let name = word
                .strip_prefix("$labels.")
                .or_else(|| word.strip_prefix(".Labels."))?;
            let plain =
                name.starts_with(|first: char| first.is_alphabetic() || first == '_') && !name.contains(['.', '$']);
            plain.then(|| (Operand::Label(name.to_owned()), Kind::Text))
        }
        Token::Pipe => None,
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(text) => text.clone(),
        Token::Quoted(text) => format!("{text:?}"),
        Token::Pipe => "|".to_owned(),
    }
}

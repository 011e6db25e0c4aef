//! One linear pass over an expression before anything recursive sees it.
//!
//! The parser builds nested boxes and walks them recursively, so a short text of signs or brackets
//! overflows the stack, and an overflow ends the process for every tenant. The pass therefore bounds
//! length, nesting and the number of operators first. It also finds what the parser reports without
//! a position, or not at all: template variables, durations that overflow to zero, and regular
//! expressions that would take megabytes to compile.

use super::{Position, PromqlError, shorten};
use flyball_core::time::Span;
use promql_parser::util::unquote_string;
use std::time::Duration;

/// The longest expression, in bytes; the CRD has the same bound.
pub const MAX_BYTES: usize = 4096;
/// How deep brackets and runs of signs may nest.
pub const MAX_NESTING: usize = 64;
/// How many operators an expression may have. A chain is a tree as deep as it is long, so this
/// bounds the parser's recursion together with [`MAX_NESTING`]; rules of dozens of `or` still fit.
/// An unoptimised build parses, clones, prints and drops 1,024 levels on a 2 MiB stack.
pub const MAX_OPERATORS: usize = 256;
/// The longest range of a selector or subquery.
pub const MAX_RANGE: Span = Span::from_secs(30 * 86_400);
/// The longest offset.
pub const MAX_OFFSET: Span = Span::from_secs(90 * 86_400);
/// What one compiled regular expression may take, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 18;
/// How many regular expressions one expression may have; each is compiled.
const MAX_REGEXES: usize = 32;

/// What a token is, as far as the scan needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    Text,
    Operator,
    Open,
    Close,
    Comma,
    Colon,
    At,
}

/// One token of the expression: a range of bytes and the number of brackets around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
    pub depth: usize,
}

/// An expression within the bounds, cut into tokens.
pub(super) struct Scanned {
    /// The tokens, comments left out.
    pub tokens: Vec<Token>,
    /// The same expression for the parser: comments blanked, raw strings written with quotes,
    /// because its lexer takes a backslash in a raw string for an escape.
    pub parsable: String,
}

/// Cuts `text` into tokens and refuses what exceeds a bound.
pub(super) fn scan(text: &str) -> Result<Scanned, PromqlError> {
    if text.trim().is_empty() {
        return Err(PromqlError::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(PromqlError::TooLong(text.len()));
    }
    let mut scanner = Scanner {
        text,
        ..Scanner::default()
    };
    while let Some(c) = scanner.peek() {
        scanner.step(c)?;
    }
    match scanner.open.pop() {
        Some((c, at)) => Err(PromqlError::Unclosed(c, Position::of(text, at))),
        None if scanner.tokens.is_empty() => Err(PromqlError::Empty),
        None => Ok(Scanned {
            tokens: scanner.tokens,
            parsable: scanner.parsable,
        }),
    }
}

#[derive(Default)]
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    parsable: String,
    open: Vec<(char, usize)>,
    signs: usize,
    operators: usize,
    regexes: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn here(&self) -> Position {
        Position::of(self.text, self.at)
    }

    fn inside(&self, c: char) -> bool {
        self.open.last().is_some_and(|(open, _)| *open == c)
    }

    /// The text of the token `back` places from the end.
    fn recent(&self, back: usize) -> Option<(Token, &'a str)> {
        let token = *self.tokens.get(self.tokens.len().checked_sub(back)?)?;
        Some((token, &self.text[token.start..token.end]))
    }

    fn push(&mut self, kind: Kind, bytes: usize) {
        let (start, end) = (self.at, self.at + bytes);
        self.parsable.push_str(&self.text[start..end]);
        self.tokens.push(Token {
            start,
            end,
            kind,
            depth: self.open.len(),
        });
        self.at = end;
    }

    fn step(&mut self, c: char) -> Result<(), PromqlError> {
        let rest = self.rest();
        if c.is_ascii_whitespace() {
            self.parsable.push(c);
            self.at += 1;
        } else if c == '#' {
            let comment = rest.find(['\r', '\n']).unwrap_or(rest.len());
            self.parsable.push(' ');
            self.at += comment;
        } else if let Some(name) = template(rest) {
            return Err(PromqlError::Template(shorten(name), self.here()));
        } else if matches!(c, '"' | '\'' | '`') {
            return self.string(c);
        } else if c == ':' && self.inside('[') {
            self.push(Kind::Colon, 1);
        } else if c.is_ascii_alphabetic() || c == '_' || c == ':' {
            let word = rest
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b':')
                .count();
            let set = ["and", "or", "unless", "atan2"]
                .iter()
                .any(|w| rest[..word].eq_ignore_ascii_case(w));
            if set && !self.inside('{') {
                self.count_operator()?;
            }
            self.push(Kind::Word, word);
        } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|d: char| d.is_ascii_digit())) {
            return self.number();
        } else {
            return self.punctuation(c);
        }
        Ok(())
    }

    fn punctuation(&mut self, c: char) -> Result<(), PromqlError> {
        match c {
            '(' | '[' | '{' => {
                if self.open.len() + self.signs >= MAX_NESTING {
                    return Err(PromqlError::TooDeep(self.here()));
                }
                self.push(Kind::Open, 1);
                self.open.push((c, self.at - 1));
            }
            ')' | ']' | '}' => {
                let expected = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                match self.open.pop() {
                    Some((open, _)) if open == expected => self.push(Kind::Close, 1),
                    Some((open, at)) => return Err(PromqlError::Unclosed(open, Position::of(self.text, at))),
                    None => {
                        return Err(PromqlError::Unexpected(
                            shorten(c.encode_utf8(&mut [0; 4])),
                            self.here(),
                        ));
                    }
                }
            }
            ',' => self.push(Kind::Comma, 1),
            '@' => self.push(Kind::At, 1),
            _ => return self.operator(c),
        }
        self.signs = 0;
        Ok(())
    }

    fn operator(&mut self, c: char) -> Result<(), PromqlError> {
        let two = self.rest().get(..2).unwrap_or_default();
        let bytes = match (two, c) {
            ("==" | "!=" | ">=" | "<=" | "=~" | "!~", _) => 2,
            (_, '=' | '>' | '<' | '+' | '-' | '*' | '/' | '%' | '^') => 1,
            _ => {
                return Err(PromqlError::Unexpected(
                    shorten(c.encode_utf8(&mut [0; 4])),
                    self.here(),
                ));
            }
        };
        if !self.inside('{') {
            self.count_operator()?;
            let operand = self
                .tokens
                .last()
                .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Number | Kind::Text | Kind::Close));
            self.signs = if operand { 0 } else { self.signs + 1 };
            if self.open.len() + self.signs > MAX_NESTING {
                return Err(PromqlError::TooDeep(self.here()));
            }
        }
        self.push(Kind::Operator, bytes);
        Ok(())
    }

    fn count_operator(&mut self) -> Result<(), PromqlError> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(PromqlError::TooManyOperators(self.here()));
        }
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), PromqlError> {
        let (rest, position) = (self.rest(), self.here());
        let (mut escaped, mut foreign) = (false, false);
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == quote && !escaped;
            foreign |= escaped && !c.is_ascii();
            escaped = quote != '`' && *c == '\\' && !escaped;
            closes
        });
        let Some((end, _)) = end else {
            return Err(PromqlError::Unclosed(quote, position));
        };
        let written = &rest[..=end];
        // The parser cuts the text within the character after a backslash, and panics.
        let value = (!foreign).then(|| unquote_string(written).ok()).flatten();
        let value = value.ok_or_else(|| PromqlError::Escape(shorten(written), position))?;
        if self.inside('{') {
            if let Some(name) = value.find(['$', '{']).and_then(|at| template_in_string(&value[at..])) {
                return Err(PromqlError::Template(shorten(name), position));
            }
            if self.recent(1).is_some_and(|(_, text)| matches!(text, "=~" | "!~")) {
                self.regex(&value, position)?;
            }
        }
        let printable = self.parsable.len();
        self.push(Kind::Text, end + 1);
        if quote == '`' {
            self.parsable.truncate(printable);
            self.parsable.push_str(&super::quote(&value));
        }
        Ok(())
    }

    /// The parser compiles every regular expression, up to 10 MB each; so they are compiled here
    /// first, with a smaller bound.
    fn regex(&mut self, pattern: &str, position: Position) -> Result<(), PromqlError> {
        self.regexes += 1;
        if self.regexes > MAX_REGEXES {
            return Err(PromqlError::TooManyRegexes(position));
        }
        match regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
            .size_limit(MAX_REGEX_BYTES)
            .build()
        {
            Err(regex::Error::CompiledTooBig(_)) => Err(PromqlError::RegexTooBig(shorten(pattern), position)),
            // A literal brace is legal in Prometheus, and the parser escapes it. What it escapes
            // must not hold a counted repetition, which was not measured above.
            Err(_) if counted_repetition(pattern) => Err(PromqlError::Regex(shorten(pattern), position)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn number(&mut self) -> Result<(), PromqlError> {
        let (rest, position) = (self.rest(), self.here());
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        let mut previous = ' ';
        let bytes = rest
            .bytes()
            .take_while(|b| {
                let exponent = !hex && matches!(previous, 'e' | 'E') && matches!(b, b'+' | b'-');
                previous = char::from(*b);
                b.is_ascii_alphanumeric() || *b == b'.' || *b == b'_' || exponent
            })
            .count();
        let text = &rest[..bytes];
        let (sign, word) = (self.recent(1).map(|(_, t)| t), self.recent(2).map(|(_, t)| t));
        let offset = |t: Option<&str>| t.is_some_and(|t| t.eq_ignore_ascii_case("offset"));
        if self.inside('[') {
            if duration(text, position)? > MAX_RANGE {
                return Err(PromqlError::RangeTooLong(shorten(text), position));
            }
        } else if offset(sign) || (offset(word) && matches!(sign, Some("+" | "-"))) {
            if sign == Some("-") {
                return Err(PromqlError::NegativeOffset(shorten(text), position));
            }
            if duration(text, position)? > MAX_OFFSET {
                return Err(PromqlError::OffsetTooLong(shorten(text), position));
            }
        }
        self.push(Kind::Number, bytes);
        Ok(())
    }
}

/// The parser drops a unit whose number overflows and panics on seconds that do, so durations are
/// read here. A bare number is in seconds, as in Prometheus 3.
fn duration(text: &str, position: Position) -> Result<Span, PromqlError> {
    if let Some(seconds) = text.parse::<f64>().ok().filter(|s| *s > 0.0) {
        let millis = Duration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|d| u64::try_from(d.as_millis()).ok());
        return Ok(Span::from_millis(millis.unwrap_or(u64::MAX)));
    }
    match text.parse::<Span>() {
        Ok(span) if span.is_zero() => Err(PromqlError::ZeroDuration(position)),
        Ok(span) => Ok(span),
        Err(error) => Err(PromqlError::Duration(error, position)),
    }
}

/// A template variable at the start of `rest`, outside a string, where `$` and `{{` mean nothing else.
fn template(rest: &str) -> Option<&str> {
    if rest.starts_with("{{") {
        return Some(rest.find("}}").map_or(rest, |end| &rest[..end + 2]));
    }
    rest.starts_with('$').then(|| variable(rest))
}

/// A template variable in the value of a matcher: `$` stands at the end of regular expressions too.
fn template_in_string(rest: &str) -> Option<&str> {
    let named = |s: &str| s.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let mut rest = rest;
    loop {
        if let Some(after) = rest.strip_prefix('$') {
            if named(after) || after.strip_prefix('{').is_some_and(named) {
                return Some(variable(rest));
            }
        } else if let Some(after) = rest.strip_prefix("{{")
            && after.trim_start().starts_with(['$', '.'])
        {
            return template(rest);
        }
        let next = rest.char_indices().skip(1).find(|(_, c)| matches!(c, '$' | '{'))?.0;
        rest = &rest[next..];
    }
}

fn variable(rest: &str) -> &str {
    let braces = rest.starts_with("${");
    let ends = |c: char| {
        if braces {
            c == '}'
        } else {
            !c.is_ascii_alphanumeric() && c != '_'
        }
    };
    let end = rest.char_indices().skip(1).find(|(_, c)| ends(*c));
    end.map_or(rest, |(at, _)| &rest[..at + usize::from(braces)])
}

fn counted_repetition(pattern: &str) -> bool {
    pattern
        .split('{')
        .skip(1)
        .any(|after| after.starts_with(|c: char| c.is_ascii_digit()))
}

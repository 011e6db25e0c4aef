//! From text to placeholders, and from a placeholder to words.

use super::parse::TemplateError;

/// A word inside of a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, a variable or a field: `printf`, `$value`, `.Labels.job`.
    Word(String),
    /// A quoted text, unquoted.
    Quoted(String),
    /// `|`
    Pipe,
}

/// A placeholder without its braces.
pub(super) struct Placeholder<'a> {
    /// Its words.
    pub tokens: Vec<Token>,
    /// What follows it.
    pub rest: &'a str,
    /// Whether `{{-` trims the blanks before it.
    pub trim_before: bool,
    /// Whether `-}}` trims the blanks behind it.
    pub trim_after: bool,
}

/// The placeholder as it is named in errors.
pub(super) fn name(text: &str) -> String {
    let end = text.find("}}").map_or(text.len(), |at| at + 2);
    short(text.get(..end).unwrap_or(text))
}

/// A text that is short enough for an error.
pub(super) fn short(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// Reads the placeholder that `text` starts with.
pub(super) fn placeholder(text: &str) -> Result<Placeholder<'_>, TemplateError> {
    let unclosed = || TemplateError::Unclosed {
        placeholder: name(text),
    };
    let mut rest = text.strip_prefix("{{").unwrap_or(text);
    let trim_before = rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(blank));
    if trim_before {
        rest = rest.strip_prefix('-').unwrap_or(rest);
    }
    let mut tokens = Vec::new();
    loop {
        let unblank = rest.trim_start_matches(blank);
        let after_blank = unblank.len() < rest.len();
        rest = unblank;
        if let Some(rest) = rest.strip_prefix("}}") {
            return Ok(Placeholder {
                tokens,
                rest,
                trim_before,
                trim_after: false,
            });
        }
        if let Some(rest) = rest.strip_prefix("-}}").filter(|_| after_blank) {
            return Ok(Placeholder {
                tokens,
                rest,
                trim_before,
                trim_after: true,
            });
        }
        let first = rest.chars().next().ok_or_else(unclosed)?;
        let (token, behind) = match first {
            '|' => (Token::Pipe, rest.strip_prefix('|').unwrap_or(rest)),
            '"' => quoted(text, rest)?,
            '`' => raw(rest).ok_or_else(unclosed)?,
            letter if word_letter(letter) => {
                let behind = rest.trim_start_matches(word_letter);
                let word = rest.strip_suffix(behind).unwrap_or(rest);
                (Token::Word(word.to_owned()), behind)
            }
            other => {
                return Err(TemplateError::Unknown {
                    placeholder: name(text),
                    word: other.to_string(),
                });
            }
        };
        tokens.push(token);
        rest = behind;
    }
}

fn blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

fn word_letter(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '$' | '.' | '_')
}

/// A text between back quotes: nothing in it is special.
fn raw(text: &str) -> Option<(Token, &str)> {
    let (inside, rest) = text.strip_prefix('`')?.split_once('`')?;
    Some((Token::Quoted(inside.to_owned()), rest))
}

/// A text between double quotes, with the escapes that a format needs.
fn quoted<'a>(whole: &str, text: &'a str) -> Result<(Token, &'a str), TemplateError> {
    let mut inside = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((Token::Quoted(inside), text.get(at + 1..).unwrap_or_default())),
            '\n' => break,
            '\\' => inside.push(match letters.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, 'r')) => '\r',
                Some((_, same @ ('"' | '\\'))) => same,
                Some((_, other)) => {
                    let escape = format!("\\{other}");
                    return Err(TemplateError::Escape {
                        placeholder: name(whole),
                        escape,
                    });
                }
                None => break,
            }),
            other => inside.push(other),
        }
    }
    Err(TemplateError::Unclosed {
        placeholder: name(whole),
    })
}

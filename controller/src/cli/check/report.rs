//! Where a finding stands, and how it is shown.

use super::{
    Summary,
    yaml::{Kind, Node},
};
use crate::promql::Position;
use serde::Serialize;
use std::{
    io::{self, Write},
    ops::Range,
};

/// How much of a source line is shown, in characters.
const MAX_LINE: usize = 120;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Severity {
    /// The object would be refused.
    Error,
    /// Allowed, and yet rarely meant.
    Warning,
    /// Only to be known.
    Note,
}

/// Something found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where, in bytes.
    pub at: Range<usize>,
    /// The field; empty for the whole document.
    pub path: String,
    /// What is wrong and the way out.
    pub message: String,
}

impl Finding {
    /// An error at `at`.
    pub(super) fn error(at: &Range<usize>, path: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            at: at.clone(),
            path: path.to_owned(),
            message: message.into(),
        }
    }
}

/// All findings, for programs.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// In the order of the files, and of the lines in each.
    pub findings: Vec<Reported<'a>>,
    /// How many there are.
    pub summary: Summary,
}

/// A finding with its place in lines, from 1.
#[derive(Debug, Serialize)]
pub struct Reported<'a> {
    /// The file, escaped.
    pub file: &'a str,
    /// Its line; absent: the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its column, in characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// How bad it is.
    pub severity: Severity,
    /// The field; absent: the whole document.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub path: &'a str,
    /// What is wrong and the way out.
    pub message: &'a str,
}

impl<'a> Reported<'a> {
    /// A finding in a text.
    pub(super) fn of(file: &'a str, text: &str, finding: &'a Finding) -> Self {
        let Position { line, column, .. } = Position::of(text, finding.at.start);
        Self {
            file,
            line: Some(line),
            column: Some(column),
            severity: finding.severity,
            path: &finding.path,
            message: &finding.message,
        }
    }

    /// A file that could not be read.
    pub(super) const fn of_file(file: &'a str, reason: &'a str) -> Self {
        Self {
            file,
            line: None,
            column: None,
            severity: Severity::Error,
            path: "",
            message: reason,
        }
    }
}

/// Writes a finding: place, path and message in one line, below it the source line with a mark.
pub(super) fn write(file: &str, text: &str, finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let Position { line, column, .. } = Position::of(text, finding.at.start);
    if finding.severity == Severity::Note {
        return writeln!(out, "{file}:{line}: {}", finding.message);
    }
    let warning = if finding.severity == Severity::Warning {
        "warning: "
    } else {
        ""
    };
    let colon = if finding.path.is_empty() { "" } else { ": " };
    writeln!(
        out,
        "{file}:{line}:{column}: {warning}{}{colon}{}",
        finding.path, finding.message
    )?;

    let source = text.lines().nth(line - 1).unwrap_or_default();
    // A long line is cut around the mark; what a terminal would obey is shown as a blank.
    let skip = (column - 1)
        .saturating_sub(MAX_LINE / 2)
        .min(source.chars().count().saturating_sub(MAX_LINE));
    let visible = |c: char| {
        if c.is_control() || c.escape_debug().len() > 2 {
            ' '
        } else {
            c
        }
    };
    let shown: String = source.chars().skip(skip).take(MAX_LINE).map(visible).collect();
    let marked = text
        .get(finding.at.clone())
        .unwrap_or_default()
        .lines()
        .next()
        .unwrap_or_default();
    let room = shown.chars().count().saturating_sub(column - 1 - skip);
    let carets = marked.trim_end().chars().count().clamp(1, room.max(1));
    let number = line.to_string();
    writeln!(out, "  {number} | {}", shown.trim_end())?;
    writeln!(
        out,
        "  {} | {}{}",
        " ".repeat(number.len()),
        " ".repeat(column - 1 - skip),
        "^".repeat(carets)
    )
}

/// The place of the field at `path`, or of the deepest part of it that was written; within an
/// expression that of `position`.
pub(super) fn locate(text: &str, document: &Node, path: &str, position: Option<Position>) -> Range<usize> {
    let (mut node, mut place, mut rest) = (document, document.range.clone(), path);
    while !rest.is_empty() {
        let Some((next, at, behind)) = step(node, rest) else {
            break;
        };
        (node, place, rest) = (next, at, behind);
    }
    let Kind::Scalar { text: value, .. } = &node.kind else {
        return place;
    };
    if !rest.is_empty() {
        return place;
    }
    match position.and_then(|position| within(text.get(node.range.clone())?, value, position.offset)) {
        Some(offset) => node.range.start + offset..node.range.start + offset,
        None => node.range.clone(),
    }
}

/// One step down: the next node, its place, and what remains of the path.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(&'n Node, Range<usize>, &'p str)> {
    match &node.kind {
        Kind::Scalar { .. } => None,
        Kind::List(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            Some((
                item,
                item.range.start..item.range.start,
                rest.strip_prefix('.').unwrap_or(rest),
            ))
        }
        Kind::Map(entries) => entries.iter().find_map(|entry| {
            let rest = path.strip_prefix(entry.key.as_str())?;
            let ends = rest.is_empty() || rest.starts_with(['.', '[']);
            ends.then(|| {
                (
                    &entry.value,
                    entry.range.clone(),
                    rest.strip_prefix('.').unwrap_or(rest),
                )
            })
        }),
    }
}

/// Where the byte at `offset` of a value stands in its source. Quotes, escapes, indentation and
/// folded lines make the source longer than the value, so the two are read side by side.
fn within(source: &str, value: &str, offset: usize) -> Option<usize> {
    let mut source = source.char_indices().peekable();
    // The head of a block (`|`, `>-`) and the opening quote.
    if let Some((_, '|' | '>')) = source.peek() {
        source.find(|(_, c)| *c == '\n');
    } else {
        source.next_if(|(_, c)| matches!(c, '"' | '\''));
    }
    for (at, wanted) in value.char_indices() {
        let found = if wanted.is_whitespace() {
            let first = source.peek()?.0;
            if at < offset {
                while source.next_if(|(_, c)| c.is_whitespace()).is_some() {}
            }
            first
        } else {
            // An escape stands for something else than it shows; then the place is the value's.
            loop {
                let (place, c) = source.next()?;
                if c == wanted {
                    break place;
                }
                if !c.is_whitespace() && c != '\\' && c != '\'' {
                    return None;
                }
            }
        };
        if at >= offset {
            return Some(found);
        }
    }
    source.peek().map(|(place, _)| *place)
}

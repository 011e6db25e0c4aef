//! What a check found, and how it is shown.

use crate::cli::{
    fetch::ReadError,
    screen::{Page, Style, Tone, columns, plain},
};
use serde::Serialize;

/// Subjects are padded to at most so many columns.
const SUBJECT: usize = 30;
/// A command begins at this column at the latest.
const COMMAND: usize = 10;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Mark {
    /// As it should be.
    Ok,
    /// It could not be asked.
    Skip,
    /// It works, and is worth a look.
    Warn,
    /// It does not work.
    Fail,
}

impl Mark {
    /// The mark as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skip => "skip",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Skip => Tone::Dim,
            Self::Warn => Tone::Busy,
            Self::Fail => Tone::Bad,
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How it went.
    pub mark: Mark,
    /// What was looked at.
    pub subject: String,
    /// What was found.
    pub said: String,
    /// What to do about it; empty where nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub way_out: String,
    /// Lines to be copied as they are, such as a piece of YAML.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snippet: Vec<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(subject: impl Into<String>, said: impl Into<String>) -> Self {
        Self {
            mark: Mark::Ok,
            subject: subject.into(),
            said: said.into(),
            way_out: String::new(),
            snippet: Vec::new(),
        }
    }

    /// Something is not as it should be.
    pub fn new(mark: Mark, subject: impl Into<String>, said: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            mark,
            subject: subject.into(),
            said: said.into(),
            way_out: way_out.into(),
            snippet: Vec::new(),
        }
    }

    /// The same with lines to be copied.
    #[must_use]
    pub fn with(mut self, snippet: impl IntoIterator<Item = String>) -> Self {
        self.snippet.extend(snippet);
        self
    }

    /// From a message that names its way out behind the last semicolon, as ours do.
    pub fn message(mark: Mark, subject: impl Into<String>, message: &str) -> Self {
        let (said, way_out) = message.rsplit_once("; ").unwrap_or((message, ""));
        Self::new(mark, subject, said, way_out)
    }

    /// From an error of reading: what we may not ask is skipped, what does not work fails. A missing
    /// definition has failed where the definitions are looked at, a missing right where the rights are.
    pub fn unread(subject: impl Into<String>, error: &ReadError) -> Self {
        match error {
            ReadError::Forbidden { what, .. } => {
                Self::new(Mark::Skip, subject, format!("no right to {what}"), "see Rights")
            }
            ReadError::NotServed(_) => Self::message(Mark::Skip, subject, &error.to_string()),
            _ => Self::message(Mark::Fail, subject, &error.to_string()),
        }
    }
}

/// Findings under a title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// The title.
    pub title: String,
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Section {
    /// The section as text. `quiet` leaves out what is well, and nothing at all where all is.
    pub fn draw(&self, style: Style, quiet: bool) -> String {
        let shown: Vec<&Finding> = self
            .findings
            .iter()
            .filter(|finding| !quiet || finding.mark != Mark::Ok)
            .collect();
        if shown.is_empty() {
            return String::new();
        }
        let mut page = Page::new(style);
        page.line(&style.paint(Tone::Strong, &plain(&self.title)));
        let subjects: Vec<String> = shown.iter().map(|finding| plain(&finding.subject)).collect();
        let width = subjects
            .iter()
            .map(|subject| columns(subject))
            .max()
            .unwrap_or(0)
            .min(SUBJECT);
        for (index, (finding, subject)) in shown.iter().zip(&subjects).enumerate() {
            let cells = [
                (finding.mark.tone(), finding.mark.as_str()),
                (Tone::Plain, subject.as_str()),
            ];
            let below = " ".repeat(4 + 2 + width + 2);
            // A subject that is too long for its column has its line for itself.
            if columns(subject) > width {
                page.row("  ", "  ", &cells, &[4, 0], "");
                page.sentence(&format!("  {below}"), &format!("  {below}"), &plain(&finding.said));
            } else {
                page.row("  ", "  ", &cells, &[4, width], &plain(&finding.said));
            }
            // What several lines have in common is said behind the last of them.
            let again = shown
                .get(index + 1)
                .is_some_and(|next| (&next.subject, &next.way_out) == (&finding.subject, &finding.way_out))
                && finding.snippet.is_empty();
            if !again {
                way_out(&mut page, style, 2 + below.len(), &plain(&finding.way_out));
            }
            for line in &finding.snippet {
                page.line(&format!("{}{}", " ".repeat(COMMAND), plain(line)));
            }
        }
        page.gap();
        page.finish()
    }
}

/// The way out. A command that does not fit behind its sentence has a line for itself, unbroken, so
/// that it can be copied.
fn way_out(page: &mut Page, style: Style, indent: usize, text: &str) {
    if text.is_empty() {
        return;
    }
    let (below, arrow) = (" ".repeat(indent), style.paint(Tone::Dim, "->"));
    let room = style.width.map_or(usize::MAX, |width| width.saturating_sub(indent + 3));
    let command = [": kubectl ", ": flyball "].iter().find_map(|start| text.find(start));
    match command.filter(|_| columns(text) > room) {
        Some(at) => {
            let (sentence, command) = text.split_at(at + 2);
            page.sentence(&format!("{below}{arrow} "), &format!("{below}   "), sentence.trim_end());
            page.line(&format!("{}{command}", " ".repeat(indent.min(COMMAND))));
        }
        None => page.sentence(&format!("{below}{arrow} "), &format!("{below}   "), text),
    }
}

/// How many of each mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Findings that are well.
    pub ok: usize,
    /// Warnings.
    pub warnings: usize,
    /// Failures.
    pub failed: usize,
    /// What was not asked.
    pub skipped: usize,
}

impl Tally {
    /// Counts a section.
    pub fn add(&mut self, section: &Section) {
        for finding in &section.findings {
            match finding.mark {
                Mark::Ok => self.ok += 1,
                Mark::Warn => self.warnings += 1,
                Mark::Fail => self.failed += 1,
                Mark::Skip => self.skipped += 1,
            }
        }
    }

    /// The line at the end.
    pub fn line(&self) -> String {
        let Self {
            ok,
            warnings,
            failed,
            skipped,
        } = self;
        let plural = if *warnings == 1 { "" } else { "s" };
        format!("{ok} ok, {warnings} warning{plural}, {failed} failed, {skipped} skipped")
    }

    /// The exit code: 1 if anything failed.
    pub const fn exit_code(&self) -> u8 {
        if self.failed == 0 { 0 } else { 1 }
    }
}

//! What the reading commands put on a screen: text that forges nothing, widths, colours and ages.

use flyball_core::time::{Span, Timestamp};
use std::{
    env,
    io::{self, IsTerminal, Write},
};
use terminal_size::{Height, Width, terminal_size_of};

/// The narrowest that a column of sentences is broken to: below that it would be unreadable.
const NARROWEST: usize = 24;

/// How the text is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether words are coloured. Nothing is told by a colour alone.
    pub colour: bool,
    /// Whether the tree has lines of its own, or is drawn with ASCII.
    pub unicode: bool,
    /// At how many columns sentences are broken; `None`: nowhere.
    pub width: Option<usize>,
}

/// What a word says, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As all else.
    Plain,
    /// A title or a name.
    Strong,
    /// All is well.
    Good,
    /// Under way, or worth a look.
    Busy,
    /// Something is wrong.
    Bad,
    /// Beside the point.
    Dim,
}

impl Style {
    /// As the standard output can show it. `ascii` forces lines of ASCII.
    pub fn of_stdout(ascii: bool) -> Self {
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        let locale = set("LC_ALL")
            .or_else(|| set("LC_CTYPE"))
            .or_else(|| set("LANG"))
            .unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let asked = set("COLUMNS").and_then(|columns| columns.parse().ok());
        let found = || size().map(|(width, _)| width);
        Self {
            colour: terminal && !dumb && set("NO_COLOR").is_none(),
            unicode: !ascii && (locale.contains("utf-8") || locale.contains("utf8")),
            width: asked.or_else(found).filter(|width| *width > 0),
        }
    }

    /// The text in the colour of its tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "1;31",
            Tone::Dim => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// The branch of a tree; the last one of its node turns off.
    pub const fn branch(self, last: bool) -> &'static str {
        match (self.unicode, last) {
            (true, false) => "├─ ",
            (true, true) => "└─ ",
            (false, false) => "|- ",
            (false, true) => "`- ",
        }
    }

    /// What stands before the lines below a branch, or below a node that has branches to come.
    pub const fn trunk(self, more: bool) -> &'static str {
        match (self.unicode, more) {
            (true, true) => "│  ",
            (false, true) => "|  ",
            (_, false) => "   ",
        }
    }
}

/// Whether the standard output is a terminal that can be drawn anew.
pub fn redraws() -> bool {
    io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// How many columns and rows the terminal has, if the standard output is one.
pub fn size() -> Option<(usize, usize)> {
    let (Width(columns), Height(rows)) = terminal_size_of(io::stdout())?;
    Some((columns.into(), rows.into())).filter(|(columns, rows)| *columns > 0 && *rows > 0)
}

/// As many lines of a text as the screen has rows, and how many more there are.
pub fn cut(text: &str, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= rows {
        return text.to_owned();
    }
    let shown = rows.saturating_sub(1);
    let more = lines.len() - shown;
    format!(
        "{}\n... {more} more lines; name one policy to see less\n",
        lines[..shown].join("\n")
    )
}

/// A page under construction.
#[derive(Debug)]
pub struct Page {
    style: Style,
    text: String,
}

impl Page {
    /// An empty page.
    pub const fn new(style: Style) -> Self {
        Self {
            style,
            text: String::new(),
        }
    }

    /// One line as it is, without breaking it.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// An empty line, unless the page is empty or has one at its end.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A sentence behind `first`, broken where the page ends; its further lines stand behind `rest`.
    pub fn sentence(&mut self, first: &str, rest: &str, text: &str) {
        self.toned(first, rest, Tone::Plain, text);
    }

    /// As [`Page::sentence`], in the colour of a tone.
    pub fn toned(&mut self, first: &str, rest: &str, tone: Tone, text: &str) {
        let indent = columns(first).max(columns(rest));
        let room = self
            .style
            .width
            .map(|width| width.saturating_sub(indent).max(NARROWEST));
        let mut before = first;
        for line in wrap(text, room) {
            self.line(&format!("{before}{}", self.style.paint(tone, &line)));
            before = rest;
        }
    }

    /// A line of columns, padded to `widths`, and a sentence behind them.
    pub fn row(&mut self, before: &str, below: &str, cells: &[(Tone, &str)], widths: &[usize], sentence: &str) {
        let mut first = before.to_owned();
        let mut indent = 0;
        for ((tone, cell), width) in cells.iter().zip(widths) {
            let pad = width.saturating_sub(columns(cell)) + 2;
            first.push_str(&self.style.paint(*tone, cell));
            first.push_str(&" ".repeat(pad));
            indent += columns(cell) + pad;
        }
        let rest = format!("{below}{}", " ".repeat(indent));
        self.sentence(&first, &rest, sentence);
    }

    /// What is on the page.
    pub fn finish(self) -> String {
        self.text
    }
}

/// How wide each column of `rows` must be.
pub fn widths<'a, const N: usize>(rows: impl IntoIterator<Item = [&'a str; N]>) -> [usize; N] {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    widths
}

/// How many columns a text takes, its colours not counted.
pub fn columns(text: &str) -> usize {
    let (mut count, mut colour) = (0, false);
    for character in text.chars() {
        match character {
            '\u{1b}' => colour = true,
            'm' if colour => colour = false,
            _ if colour => {}
            _ => count += 1,
        }
    }
    count
}

/// The lines of a text, broken at blanks. A word that is longer than a line is cut.
pub fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width.map(|width| width.max(1)) else {
        return vec![text.to_owned()];
    };
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut word: Vec<char> = word.chars().collect();
        let used = columns(&line);
        if used > 0 && used + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.push(word.into_iter().collect());
            word = rest;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
    }
    lines.push(line);
    lines
}

/// A text from the cluster or from metrics that can neither move the cursor, nor turn the writing
/// direction, nor forge a line.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let escaped = character.escape_debug();
        // Quotes and backslashes are escaped to two characters, and harmless.
        if character.is_control() || escaped.len() > 2 {
            out.extend(escaped);
        } else {
            out.push(character);
        }
    }
    out
}

/// A word of a command line, quoted for a shell where it needs to be.
pub fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(safe) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", plain(word).replace('\'', r"'\''"))
}

/// A number with six significant digits.
pub fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs().log10().floor();
    if !(-5.0..15.0).contains(&size) {
        return format!("{value:.5e}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // From 0 to 10.
    let digits = (5.0 - size).max(0.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A number that is stored as text, shortened; anything else as it is.
pub fn stored_number(text: &str) -> String {
    text.parse().map_or_else(|_| plain(text), number)
}

/// A span in its largest unit, such as `3m`, for lists.
pub fn short(span: Span) -> String {
    let seconds = span.as_millis() / 1000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A span in its two largest units, such as `1h5m`.
pub fn span(span: Span) -> String {
    let seconds = span.as_millis() / 1000;
    let (large, small, unit) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3600 => (format!("{}m", seconds / 60), seconds % 60, 's'),
        3600..86_400 => (format!("{}h", seconds / 3600), seconds % 3600 / 60, 'm'),
        _ => (format!("{}d", seconds / 86_400), seconds % 86_400 / 3600, 'h'),
    };
    if small == 0 {
        large
    } else {
        format!("{large}{small}{unit}")
    }
}

/// How long ago, or in how long.
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        format!("in {}", span(at.since(now)))
    } else {
        format!("{} ago", span(now.since(at)))
    }
}

/// An instant in UTC, with its day unless that is today.
pub fn instant(at: Timestamp, now: Timestamp) -> String {
    let written = |at: Timestamp, form| {
        jiff::Timestamp::from_millisecond(at.as_millis())
            .map(|at| at.strftime(form).to_string())
            .unwrap_or_default()
    };
    let today = written(at, "%F") == written(now, "%F");
    written(at, if today { "%H:%M:%SZ" } else { "%F %H:%M:%SZ" })
}

/// An instant with its distance, such as `03:04:05Z (40s ago)`.
pub fn when(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", instant(at, now), relative(at, now))
}

/// Writes to the standard output. A reader that went away is no error.
pub fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

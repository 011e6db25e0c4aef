//! Logs: one line for each event, on standard error.
//!
//! Two promises. A line is one line: what comes from a metric's labels or from a server's error may
//! hold newlines and terminal escapes, and they are written as `\n` and `\u001b`, so that nobody can
//! forge a line. And logging never holds the controller up: a thread of its own writes the lines, and
//! when nobody reads them they are dropped and counted.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};
use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter, util::SubscriberInitExt};

/// The environment variable that filters, as in `info,flyball_controller::reconcile=debug`.
pub const FILTER_VARIABLE: &str = "FLYBALL_LOG";

/// kube reports each request that fails as an error of its own; what matters of these we say ourselves,
/// with what it means.
const DEFAULT_FILTER: &str = "info,kube_client::client::builder=off";

/// How many lines may wait to be written.
const WAITING_LINES: usize = 8192;

/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter can't be read.
    #[error("{FILTER_VARIABLE}={value:?} is no filter: {reason}; write for instance info,flyball_controller=debug")]
    Filter {
        /// What the variable says.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The thread that writes could not be started.
    #[error("the thread that writes logs could not be started: {0}")]
    Thread(#[from] io::Error),
    /// It was called before.
    #[error("logs were set up twice")]
    Twice,
}

/// Logs, as long as it lives. At its end it waits for the last lines, but not for ever.
#[derive(Debug)]
#[must_use = "dropping it ends the logs"]
pub struct Logging {
    pipe: Pipe,
}

/// Sets the process's logs up, on standard error.
pub fn init(format: LogFormat) -> Result<Logging, LoggingError> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(value) if !value.trim().is_empty() => EnvFilter::try_new(&value).map_err(|error| LoggingError::Filter {
            value: value.clone(),
            reason: error.to_string(),
        })?,
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let (pipe, logging) = pipe(io::stderr(), WAITING_LINES)?;
    subscriber(format, filter, pipe)
        .try_init()
        .map_err(|_| LoggingError::Twice)?;
    Ok(logging)
}

/// What turns events into lines for `pipe`.
pub fn subscriber(format: LogFormat, filter: EnvFilter, pipe: Pipe) -> Box<dyn Subscriber + Send + Sync> {
    // No colours: an escape in a line is always somebody's text.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(pipe);
    match format {
        LogFormat::Text => Box::new(lines.finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    }
}

/// A thread that writes lines to `out`, of which at most `waiting` wait for it.
pub fn pipe(out: impl Write + Send + 'static, waiting: usize) -> io::Result<(Pipe, Logging)> {
    let (lines, received) = sync_channel(waiting);
    thread::Builder::new()
        .name("flyball-log".to_owned())
        .spawn(move || write_lines(out, &received))?;
    let pipe = Pipe {
        lines,
        dropped: Arc::default(),
    };
    Ok((pipe.clone(), Logging { pipe }))
}

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

fn write_lines(mut out: impl Write, received: &Receiver<Message>) {
    for message in received {
        match message {
            // There is nobody to tell that standard error is gone.
            Message::Line(line) => drop(out.write_all(&line)),
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.send(());
            }
        }
    }
}

/// The way to the thread that writes.
#[derive(Clone, Debug)]
pub struct Pipe {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Pipe {
    /// How many lines were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Logging {
    /// To ask how many lines were dropped.
    pub fn pipe(&self) -> Pipe {
        self.pipe.clone()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let end = Instant::now() + LAST_LINES;
        let (done, flushed) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(TrySendError::Full(again)) = self.pipe.lines.try_send(message) {
            if Instant::now() >= end {
                return;
            }
            message = again;
            thread::sleep(Duration::from_millis(10));
        }
        let _ = flushed.recv_timeout(end.saturating_duration_since(Instant::now()));
    }
}

impl MakeWriter<'_> for Pipe {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Pipe {
    /// The subscriber writes each event in one piece.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = escape(text.strip_suffix('\n').unwrap_or(&text)).into_owned();
        line.push('\n');
        if self.lines.try_send(Message::Line(line.into_bytes())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `text` with every character that could move a terminal's cursor, or end a line, or turn the
/// direction of writing, in the notation of JSON.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(misleads) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            // All of these are below U+10000, and writing into a String can't fail.
            it if misleads(it) => drop(write!(escaped, "\\u{:04x}", u32::from(it))),
            it => escaped.push(it),
        }
    }
    Cow::Owned(escaped)
}

fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

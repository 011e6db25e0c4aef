//! A line is one line, and logging holds nothing up.

#![allow(clippy::unwrap_used)]

use flyball_controller::logging::{LogFormat, Logging, escape, pipe, subscriber};
use rstest::rstest;
use std::{
    io::{self, Write},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};
use tracing_subscriber::EnvFilter;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, log: impl FnOnce()) -> String {
    let kept = Kept::default();
    let (pipe, logging) = pipe(kept.clone(), 64).unwrap();
    tracing::subscriber::with_default(subscriber(format, EnvFilter::new("info"), pipe), log);
    drop(logging);
    String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
}

const EVIL: &str = "a\n2026-01-01T00:00:00Z  INFO forged\r\u{1b}[2J\u{9b}31m\u{202e}\"}";

fn log_evil() {
    tracing::info!(quoted = EVIL, plain = %EVIL, debugged = ?EVIL, "{EVIL}");
    tracing::warn!("the next line");
}

#[test]
fn nothing_in_a_text_line_forges_another() {
    let text = logged(LogFormat::Text, log_evil);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(!text.contains(|it: char| it.is_control() && it != '\n'), "{text:?}");
    assert!(!text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains(r"a\n2026-01-01T00:00:00Z  INFO forged\r"), "{text}");
}

#[test]
fn nothing_in_a_json_line_forges_another_and_nothing_is_lost() {
    let text = logged(LogFormat::Json, log_evil);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (lines[0]["quoted"].as_str(), lines[0]["plain"].as_str()),
        (Some(EVIL), Some(EVIL))
    );
    assert!(!text.contains('\u{202e}') && !text.contains('\u{9b}'));
}

#[rstest]
#[case("plain, with ümlauts and 日本", "plain, with ümlauts and 日本")]
#[case("a\nb\r\tc", r"a\nb\r\tc")]
#[case("\u{1b}[31m\u{0}\u{7f}", r"\u001b[31m\u0000\u007f")]
#[case("\u{2028}\u{2066}\u{feff}", r"\u2028\u2066\ufeff")]
fn what_misleads_is_written_out(#[case] text: &str, #[case] expect: &str) {
    assert_eq!(escape(text), expect);
}

/// Never takes a line until it is let go.
struct Stuck(mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_nobody_reads_are_dropped_and_counted() {
    let (let_go, stuck) = mpsc::channel();
    let (pipe, logging) = pipe(Stuck(stuck), 10).unwrap();
    let begun = Instant::now();
    tracing::subscriber::with_default(subscriber(LogFormat::Text, EnvFilter::new("info"), pipe), || {
        for n in 0..1_000 {
            tracing::info!(n, "a line");
        }
    });
    assert!(logging.pipe().dropped() >= 989, "{}", logging.pipe().dropped());
    drop(logging);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "the end waits for the last lines, but not for ever"
    );
    drop(let_go);
}

#[test]
fn the_last_lines_are_written() {
    let kept = Kept::default();
    let (mut pipe, logging): (_, Logging) = pipe(kept.clone(), 4096).unwrap();
    for _ in 0..4_000 {
        pipe.write_all(b"a line\n").unwrap();
    }
    drop(logging);
    assert_eq!(kept.0.lock().unwrap().len(), 28_000);
}

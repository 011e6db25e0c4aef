//! Which evidence is taken from a pod.

use crate::time::Span;

/// Which evidence is taken from a pod when a rule fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The port that serves it.
    pub port: CapturePort,
    /// The folder of its handlers: begins with a slash, ends without one.
    pub path: String,
    /// What is taken: never nothing, each once, all of one runtime.
    pub take: Vec<CaptureKind>,
    /// How long a recording takes, in whole seconds.
    pub seconds: u32,
    /// Nothing is taken more often.
    pub every: Span,
    /// Whether a pair is taken around each Change.
    pub at_changes: bool,
}

/// A port of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapturePort {
    /// This one.
    Number(u16),
    /// The one of this name.
    Named {
        /// The port's name.
        name: String,
        /// The container that has it; `None`: any.
        container: Option<String>,
    },
}

/// A kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaptureKind {
    /// A CPU profile.
    GoCpu,
    /// A profile of the heap.
    GoHeap,
    /// The goroutines.
    GoGoroutine,
    /// An execution trace.
    GoTrace,
    /// A recording of Java Flight Recorder.
    JavaFlightRecording,
    /// The threads.
    JavaThreadDump,
}

impl CaptureKind {
    /// Whether it is of Go; else it is of Java.
    pub const fn is_go(self) -> bool {
        matches!(self, Self::GoCpu | Self::GoHeap | Self::GoGoroutine | Self::GoTrace)
    }

    /// Whether it records for a while.
    pub const fn records(self) -> bool {
        matches!(self, Self::GoCpu | Self::GoTrace | Self::JavaFlightRecording)
    }

    /// The name of its handler.
    pub const fn handler(self) -> &'static str {
        match self {
            Self::GoCpu => "profile",
            Self::GoHeap => "heap",
            Self::GoGoroutine => "goroutine",
            Self::GoTrace => "trace",
            Self::JavaFlightRecording => "jfr",
            Self::JavaThreadDump => "threads",
        }
    }

    /// How a file of it ends.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::GoCpu => "cpu.pb.gz",
            Self::GoHeap => "heap.pb.gz",
            Self::GoGoroutine => "goroutine.pb.gz",
            Self::GoTrace => "go.trace",
            Self::JavaFlightRecording => "recording.jfr",
            Self::JavaThreadDump => "threads.txt",
        }
    }

    /// Whether a file of it may begin like this: what does not is no evidence, whatever the status of the answer was.
    pub fn begins(self, head: &[u8]) -> bool {
        match self {
            Self::GoCpu | Self::GoHeap | Self::GoGoroutine => head.starts_with(&[0x1f, 0x8b]),
            Self::GoTrace => head.starts_with(b"go 1."),
            Self::JavaFlightRecording => head.starts_with(b"FLR\0"),
            Self::JavaThreadDump => head.starts_with(b"\""),
        }
    }

    /// The command that opens a file of it. The file is quoted already where it has to be.
    pub fn open(self, file: &str) -> String {
        match self {
            Self::GoCpu | Self::GoHeap | Self::GoGoroutine => format!("go tool pprof -http=: {file}"),
            Self::GoTrace => format!("go tool trace {file}"),
            Self::JavaFlightRecording => format!("jfr summary {file}"),
            Self::JavaThreadDump => format!("less {file}"),
        }
    }

    /// The command that compares two files of it, where there is one.
    pub fn compare(self, before: &str, after: &str) -> Option<String> {
        match self {
            Self::GoCpu | Self::GoHeap | Self::GoGoroutine => {
                Some(format!("go tool pprof -http=: -diff_base {before} {after}"))
            }
            Self::GoTrace | Self::JavaFlightRecording | Self::JavaThreadDump => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of the formats: RFC 1952 (gzip), Go's trace ("go 1.N trace"), the chunk header of JFR, and a line
    /// of a thread dump, which begins with the thread's name in quotation marks.
    #[test]
    fn what_is_none_is_told_by_its_beginning() {
        let check = |kind: CaptureKind, head: &[u8], expect: bool| {
            assert_eq!(kind.begins(head), expect, "{kind:?} {head:?}");
        };
        check(CaptureKind::GoCpu, &[0x1f, 0x8b, 8, 0], true);
        check(CaptureKind::GoHeap, b"heap profile: 1", false);
        check(CaptureKind::GoGoroutine, b"<html>", false);
        check(CaptureKind::GoTrace, b"go 1.26 trace\0\0\0", true);
        check(CaptureKind::GoTrace, &[0x1f, 0x8b], false);
        check(CaptureKind::JavaFlightRecording, b"FLR\0\0\x02", true);
        check(CaptureKind::JavaFlightRecording, b"FLR", false);
        check(CaptureKind::JavaThreadDump, b"\"main\" prio=5", true);
        check(CaptureKind::JavaThreadDump, b"<html>", false);
        check(CaptureKind::GoCpu, b"", false);
    }
}

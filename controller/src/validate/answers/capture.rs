//! Which evidence is taken. A tenant writes a port and a path of their own pods, and never an address.

use crate::{
    promql::shorten,
    validate::{Errors, names::is_label},
};
use flyball_core::{
    policy::{Capture, CaptureKind, CapturePort},
    time::Span,
};
use flyball_crds::{self as crds, CaptureFrom};

const DEFAULT_SECONDS: i32 = 10;
const DEFAULT_EVERY: Span = Span::from_secs(1800);
const MIN_EVERY: Span = Span::from_secs(60);
const MAX_KINDS: usize = 4;
const MAX_PATH: usize = 128;

pub(super) fn read(path: &str, written: &crds::Capture, errors: &mut Errors) -> Option<Capture> {
    let take = kinds(&format!("{path}.take"), &written.take, errors);
    let from = format!("{path}.from");
    let port = port(&from, &written.from, errors);
    let go = take
        .as_ref()
        .and_then(|take| take.first())
        .is_some_and(|kind| kind.is_go());
    let folder = folder(&format!("{from}.path"), written.from.path.as_deref(), go, errors);
    let seconds = written.seconds.unwrap_or(DEFAULT_SECONDS);
    let seconds = errors.within(format!("{path}.seconds"), seconds, 1, 60);
    let every = errors.span(format!("{path}.every"), written.every.as_ref(), DEFAULT_EVERY);
    if let Some(every) = every.filter(|every| *every < MIN_EVERY) {
        errors.add(
            format!("{path}.every"),
            format!("{every} is less than {MIN_EVERY}; write for example 30m"),
        );
    }
    Some(Capture {
        port: port?,
        path: folder?,
        take: take?,
        seconds: seconds?,
        every: every?,
        at_changes: written.at_changes,
    })
}

/// Several in the order in which they are taken: what is there at once first, then what records, each with nothing else
/// under way.
fn kinds(path: &str, written: &[crds::CaptureKind], errors: &mut Errors) -> Option<Vec<CaptureKind>> {
    if written.is_empty() {
        errors.add(path, "is empty; write for example [GoCPU, GoHeap]");
        return None;
    }
    if written.len() > MAX_KINDS {
        errors.add(path, format!("{} kinds, at most {MAX_KINDS} are taken", written.len()));
        return None;
    }
    for (index, kind) in written.iter().enumerate() {
        if written[..index].contains(kind) {
            errors.add(
                format!("{path}[{index}]"),
                format!("{kind:?} is listed twice; remove one"),
            );
            return None;
        }
    }
    let mut kinds: Vec<CaptureKind> = written.iter().copied().map(kind).collect();
    if kinds.iter().any(|kind| kind.is_go()) && !kinds.iter().all(|kind| kind.is_go()) {
        errors.add(
            path,
            "has kinds of Go and of Java; a process is one of them, make an action of each",
        );
        return None;
    }
    kinds.sort_by_key(|kind| kind.records());
    Some(kinds)
}

/// A kind as the core has it.
pub(crate) fn kind(written: crds::CaptureKind) -> CaptureKind {
    match written {
        crds::CaptureKind::GoCPU => CaptureKind::GoCpu,
        crds::CaptureKind::GoHeap => CaptureKind::GoHeap,
        crds::CaptureKind::GoGoroutine => CaptureKind::GoGoroutine,
        crds::CaptureKind::GoTrace => CaptureKind::GoTrace,
        crds::CaptureKind::JavaFlightRecording => CaptureKind::JavaFlightRecording,
        crds::CaptureKind::JavaThreadDump => CaptureKind::JavaThreadDump,
    }
}

fn port(path: &str, from: &CaptureFrom, errors: &mut Errors) -> Option<CapturePort> {
    if let Some(container) = from.container.as_ref().filter(|name| !is_label(name)) {
        let message = format!(
            "{} is not the name of a container; write for example app",
            shorten(container)
        );
        errors.add(format!("{path}.container"), message);
        return None;
    }
    match (from.port, &from.port_name) {
        (Some(number), None) => {
            if from.container.is_some() {
                errors.add(
                    format!("{path}.container"),
                    "goes with portName; containers of a pod share its address, remove it",
                );
            }
            let number = errors.within(format!("{path}.port"), number, 1, 65_535)?;
            u16::try_from(number).ok().map(CapturePort::Number)
        }
        (None, Some(name)) if !is_port(name) => {
            let message = format!("{} is not the name of a port; write for example pprof", shorten(name));
            errors.add(format!("{path}.portName"), message);
            None
        }
        (None, Some(name)) => Some(CapturePort::Named {
            name: name.clone(),
            container: from.container.clone(),
        }),
        _ => {
            errors.add(path, "takes exactly one of port and portName");
            None
        }
    }
}

/// What Kubernetes takes as a port's name.
fn is_port(name: &str) -> bool {
    let all = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let letter = name.bytes().any(|b| b.is_ascii_lowercase());
    let dashes = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    all && letter && !dashes && name.len() <= 15
}

fn folder(path: &str, written: Option<&str>, go: bool, errors: &mut Errors) -> Option<String> {
    let default = if go { "/debug/pprof" } else { "/debug/flyball" };
    let folder = written.unwrap_or(default);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.".contains(&b);
    let segments = folder.trim_end_matches('/').split('/').skip(1);
    let good = folder.starts_with('/')
        && folder.len() <= MAX_PATH
        && folder.bytes().all(plain)
        && segments
            .into_iter()
            .all(|part| !part.is_empty() && part != "." && part != "..");
    if !good {
        let message = format!(
            "{} is not an absolute path of letters, digits, -, _ and dots; write for example {default}",
            shorten(folder)
        );
        errors.add(path, message);
        return None;
    }
    Some(folder.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn found(written: Value) -> Result<Capture, Vec<String>> {
        let written: crds::Capture = serde_json::from_value(written).expect("a capture");
        let mut errors = Errors::default();
        let read = read("capture", &written, &mut errors);
        let all: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        match read {
            Some(read) if all.is_empty() => Ok(read),
            _ => Err(all),
        }
    }

    fn merged(more: &Value) -> Value {
        let mut whole = json!({"from": {"port": 6060}, "take": ["GoCPU"]});
        for (key, value) in more.as_object().expect("an object") {
            whole[key] = value.clone();
        }
        whole
    }

    #[test]
    fn what_is_written_is_read() {
        let usual = Capture {
            port: CapturePort::Number(6060),
            path: "/debug/pprof".to_owned(),
            take: vec![CaptureKind::GoCpu],
            seconds: 10,
            every: Span::from_secs(1800),
            at_changes: false,
        };
        let check = |more: Value, expect: Capture| assert_eq!(found(merged(&more)), Ok(expect), "{more}");
        check(json!({}), usual.clone());
        let named = |container: Option<&str>| Capture {
            port: CapturePort::Named {
                name: "pprof".to_owned(),
                container: container.map(ToOwned::to_owned),
            },
            ..usual.clone()
        };
        check(json!({"from": {"portName": "pprof"}}), named(None));
        check(
            json!({"from": {"portName": "pprof", "container": "app"}}),
            named(Some("app")),
        );
        let at = |path: &str| Capture {
            path: path.to_owned(),
            ..usual.clone()
        };
        check(
            json!({"from": {"port": 6060, "path": "/internal/pprof/"}}),
            at("/internal/pprof"),
        );
        check(json!({"from": {"port": 6060, "path": "/"}}), at(""));
        let java = Capture {
            path: "/debug/flyball".to_owned(),
            take: vec![CaptureKind::JavaThreadDump, CaptureKind::JavaFlightRecording],
            ..usual.clone()
        };
        check(json!({"take": ["JavaFlightRecording", "JavaThreadDump"]}), java);
        // What records comes last, else in the order written.
        let sorted = Capture {
            take: vec![
                CaptureKind::GoGoroutine,
                CaptureKind::GoHeap,
                CaptureKind::GoTrace,
                CaptureKind::GoCpu,
            ],
            ..usual.clone()
        };
        check(json!({"take": ["GoTrace", "GoGoroutine", "GoCPU", "GoHeap"]}), sorted);
        let long = Capture {
            seconds: 60,
            every: Span::from_secs(60),
            at_changes: true,
            ..usual
        };
        check(json!({"seconds": 60, "every": "1m", "atChanges": true}), long);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
        let check = |more: Value, expect: &str| {
            let errors = found(merged(&more)).expect_err("refused");
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].starts_with(expect), "{errors:?}");
        };
        check(json!({"take": []}), "capture.take: is empty");
        check(
            json!({"take": ["GoCPU", "GoCPU"]}),
            "capture.take[1]: GoCPU is listed twice",
        );
        check(
            json!({"take": ["GoCPU", "JavaThreadDump"]}),
            "capture.take: has kinds of Go and of Java",
        );
        check(json!({"seconds": 0}), "capture.seconds: 0 is not between 1 and 60");
        check(json!({"seconds": 61}), "capture.seconds: 61 is not between 1 and 60");
        check(json!({"every": "59s"}), "capture.every: 59s is less than 1m");
        check(json!({"every": "often"}), "capture.every: \"often\" is not a duration");
        check(
            json!({"from": {}}),
            "capture.from: takes exactly one of port and portName",
        );
        check(
            json!({"from": {"port": 1, "portName": "a"}}),
            "capture.from: takes exactly one",
        );
        check(json!({"from": {"port": 0}}), "capture.from.port: 0 is not between");
        check(
            json!({"from": {"port": 65536}}),
            "capture.from.port: 65536 is not between",
        );
        check(json!({"from": {"portName": "Pprof"}}), "capture.from.portName: ");
        check(json!({"from": {"portName": "80"}}), "capture.from.portName: ");
        check(json!({"from": {"portName": "a--b"}}), "capture.from.portName: ");
        check(
            json!({"from": {"port": 1, "container": "app"}}),
            "capture.from.container: goes with portName",
        );
        check(
            json!({"from": {"portName": "a", "container": "A b"}}),
            "capture.from.container: ",
        );
        // Neither another host nor another query than ours.
        for path in [
            "debug",
            "//host/debug",
            "/a/../b",
            "/a?seconds=9",
            "/a#b",
            "/a b",
            "/a%2e",
            "/a@b",
            "/a\nb",
            "",
        ] {
            check(json!({"from": {"port": 1, "path": path}}), "capture.from.path: ");
        }
        check(
            json!({"from": {"port": 1, "path": format!("/{}", "a".repeat(128))}}),
            "capture.from.path: ",
        );
    }
}

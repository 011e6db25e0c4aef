//! Answers: actions beside a lever.

mod annotate;
mod capture;
mod notify;
mod relieve;

pub(crate) use capture::kind as capture_kind;

use super::Errors;
use flyball_core::policy::{Answer, AnswerKind};
use flyball_crds::Action;

/// Whether an action is an answer, and no lever.
pub(super) fn is_answer(written: &Action) -> bool {
    written.notify.is_some() || written.annotate.is_some() || written.capture.is_some() || written.relieve.is_some()
}

/// Reads an answer; `path` is the action's.
pub(super) fn read(path: &str, written: &Action, errors: &mut Errors) -> Option<Answer> {
    if written.when.is_empty() {
        errors.add(
            format!("{path}.when"),
            "is missing; an answer needs the rules that it answers",
        );
    }
    for (field, there) in [
        ("verify", written.verify.is_some()),
        ("inhibit", !written.inhibit.is_empty()),
        ("holdDownWhile", !written.hold_down_while.is_empty()),
        ("approval", written.approval.is_some()),
    ] {
        if there {
            errors.add(
                format!("{path}.{field}"),
                "goes with replicas, weights or runtime; an answer has none, remove it",
            );
        }
    }
    let kind = match (&written.notify, &written.annotate, &written.capture, &written.relieve) {
        (Some(notify), None, None, None) => {
            notify::read(&format!("{path}.notify"), notify, errors).map(AnswerKind::Notify)
        }
        (None, Some(annotate), None, None) => {
            annotate::read(&format!("{path}.annotate"), annotate, errors).map(AnswerKind::Annotate)
        }
        (None, None, Some(capture), None) => {
            capture::read(&format!("{path}.capture"), capture, errors).map(AnswerKind::Capture)
        }
        (None, None, None, Some(relieve)) => {
            relieve::read(&format!("{path}.relieve"), relieve, errors).map(AnswerKind::Relieve)
        }
        _ => {
            errors.add(
                path,
                "has several answers; an action takes exactly one of notify, annotate, capture and relieve",
            );
            None
        }
    };
    Some(Answer {
        name: written.name.clone(),
        when: written.when.clone(),
        kind: kind?,
    })
}

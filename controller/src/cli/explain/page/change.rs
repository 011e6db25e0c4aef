//! A Change on the page.

use super::{Pen, capture, one_line, runtime, weights};
use crate::{
    cli::{
        get::tree::{phase_of, tone_of_phase},
        moves,
        screen::{Tone, number, plain, when},
    },
    clock::from_micro_time,
};
use flyball_core::time::{Span, Timestamp};
use flyball_crds::{Change, Duration, Request, approved_by, requested_by};
use kube::ResourceExt;

pub(super) fn draw(pen: &mut Pen, change: &Change) {
    let status = change.status.clone().unwrap_or_default();
    pen.section(&format!("Change {}", change.name_any()));
    let numbers = format!("{}, ", moves::of_change(change));
    let phase = phase_of(change).map_or_else(|| "being recorded".to_owned(), |phase| format!("{phase:?}"));
    let cause = status.cause.map(|cause| format!(" ({cause:?})")).unwrap_or_default();
    pen.field(
        "Phase",
        tone_of_phase(status.phase),
        &format!("{numbers}{phase}{cause}"),
    );
    if !status.message.is_empty() {
        pen.field("Message", Tone::Plain, &plain(&status.message));
    }
    if let Some(moved) = &change.spec.weights {
        weights::draw_moved(pen, moved);
    }
    if let Some(moved) = &change.spec.runtime {
        runtime::draw_moved(pen, moved, &status);
    }
    let proposed = pen.when(Some(&change.spec.proposed_at));
    let of = format!(
        "by action {} at generation {}",
        plain(&change.spec.action),
        change.spec.policy.generation
    );
    pen.field("Proposed", Tone::Plain, &format!("{proposed} {of}"));
    if let Some(by) = approved_by(change) {
        pen.field("Approved", Tone::Plain, &format!("by {}", plain(by)));
    }
    if let Some(request) = Request::of(change) {
        let by = requested_by(change).map_or_else(|| "somebody".to_owned(), plain);
        pen.field("Asked for", Tone::Plain, &format!("{}, by {by}", request.as_str()));
    }
    if let Some(supersedes) = &change.spec.supersedes {
        pen.field("Supersedes", Tone::Plain, &format!("Change {}", plain(supersedes)));
    }
    if let Some(applied) = &status.applied_at {
        let at = from_micro_time(applied);
        pen.field("Applied", Tone::Plain, &when(at, pen.now));
        if let Some(moved) = &change.spec.weights {
            weights::draw_share(pen, &moved.share, &status, at);
        }
        timings(pen, change, at, status.phase.is_open());
    }
    if let Some(to) = status.rollback_to {
        pen.field("Back to", Tone::Plain, &to.to_string());
    }
    if !status.rollback_weights.is_empty() {
        pen.field("Back to", Tone::Plain, &moves::weights(&status.rollback_weights));
    }
    if let Some(to) = &status.rollback_setting {
        pen.field("Back to", Tone::Plain, &plain(to));
    }
    if let Some(verdict) = &status.verdict {
        let value = verdict
            .value
            .map(|value| format!(" with {}", number(value)))
            .unwrap_or_default();
        let message = if verdict.message.is_empty() {
            String::new()
        } else {
            format!(": {}", plain(&verdict.message))
        };
        let at = pen.when(verdict.at.as_ref());
        pen.field(
            "Verdict",
            Tone::Plain,
            &format!("{}{value}, {at}{message}", plain(&verdict.result)),
        );
    }
    if let Some(closed) = &status.closed_at {
        pen.field("Closed", Tone::Plain, &when(from_micro_time(closed), pen.now));
    }
    capture::draw_of_change(pen, &status.captures);
}

/// When the effect is judged, computed as the controller does.
fn timings(pen: &mut Pen, change: &Change, applied: Timestamp, open: bool) {
    let Some(verification) = &change.spec.verification else {
        return;
    };
    let after = |duration: &Duration| duration.0.parse::<Span>().ok().map(|span| applied + span);
    let baseline = verification
        .baseline_value
        .map(|value| format!(", was {}", number(value)))
        .unwrap_or_default();
    pen.field(
        "Must hold",
        Tone::Plain,
        &format!("{}{baseline}", plain(&one_line(&verification.expr))),
    );
    if !open {
        return;
    }
    if let Some(settle) = after(&verification.settle) {
        let text = when(settle, pen.now);
        pen.field(
            "Settles",
            Tone::Plain,
            &format!("{text}; samples from before that are not judged"),
        );
    }
    if let Some(deadline) = after(&verification.within) {
        let late = deadline < pen.now;
        let text = when(deadline, pen.now);
        let late_text = if late {
            ", and it is still open: does the controller run?"
        } else {
            ""
        };
        pen.field(
            "Deadline",
            if late { Tone::Bad } else { Tone::Plain },
            &format!("{text}{late_text}"),
        );
    }
}

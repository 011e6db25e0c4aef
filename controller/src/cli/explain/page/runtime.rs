//! A runtime's knobs on the page.

use super::Pen;
use crate::{
    cli::screen::{Tone, plain},
    clock::from_micro_time,
};
use flyball_crds::{ChangeRuntime, ChangeStatus, RuntimeStatus};

/// What the policy remembers of them.
pub(super) fn draw(pen: &mut Pen, known: &RuntimeStatus) {
    if !known.written.is_empty() {
        let moved = known
            .moved_at
            .as_ref()
            .map_or_else(String::new, |at| format!(", since {}", pen.when(Some(at))));
        pen.field("Knobs", Tone::Plain, &format!("{}{moved}", plain(&known.written)));
    }
    if !known.verified.is_empty() {
        let text = format!("{}, where a roll-back goes", plain(&known.verified));
        pen.field("Verified", Tone::Plain, &text);
    }
    if let Some(at) = &known.reclaimed_at {
        let text = format!("asked for last {}", pen.when(Some(at)));
        pen.field("Collections", Tone::Plain, &text);
    }
    if !known.ineffective.is_empty() {
        let over = known
            .ineffective_until
            .as_ref()
            .is_some_and(|until| from_micro_time(until) <= pen.now);
        let until = pen.when(known.ineffective_until.as_ref());
        let text = format!(
            "{} did not have its effect, and is not tried again until {until}",
            plain(&known.ineffective)
        );
        let (tone, text) = if over {
            (Tone::Dim, format!("over: {text}"))
        } else {
            (Tone::Bad, text)
        };
        pen.field("Latch", tone, &text);
    }
}

/// What a Change moves, and on which pods first.
pub(super) fn draw_moved(pen: &mut Pen, moved: &ChangeRuntime, status: &ChangeStatus) {
    pen.field("Container", Tone::Plain, &plain(&moved.container));
    if !moved.tried.is_empty() {
        let pods = plain(&moved.tried.join(", "));
        let text = match &status.tried_at {
            Some(at) => format!("on {pods}, and then all pods from {}", pen.when(Some(at))),
            None => format!("on {pods} first"),
        };
        pen.field("Tried", Tone::Plain, &text);
    }
    if let Some(trial) = &moved.trial {
        let text = match &trial.expr {
            Some(expr) => format!(
                "from {} to {} after the write: {}",
                trial.settle.0,
                trial.within.0,
                plain(&super::one_line(expr))
            ),
            None => format!("by its agents for {}", trial.settle.0),
        };
        pen.field("Trial", Tone::Plain, &text);
    }
    let text = format!("within {} by the agents", moved.acknowledge.0);
    pen.field("Acknowledged", Tone::Plain, &text);
}

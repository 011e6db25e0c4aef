//! What came of what was being taken.

use super::memory::CaptureMemory;
use crate::{evidence::Outcome, reconcile::Pass};
use flyball_core::{decide::CaptureOrder, policy::Answer};
use flyball_crds::Reason;

/// Remembers the outcome of what has ended, and tells of it.
pub(super) fn learn(pass: &Pass<'_>, answer: &Answer, known: &mut CaptureMemory) {
    let outcome = known.under_way.as_ref().and_then(|(_, _, taking)| taking.outcome());
    let Some(outcome) = outcome else { return };
    let Some((order, begun, _)) = known.under_way.take() else {
        return;
    };
    known.end(&order, begun, &outcome.pieces, &outcome.failures);
    tell(pass, answer, &order, &outcome);
}

fn tell(pass: &Pass<'_>, answer: &Answer, order: &CaptureOrder, outcome: &Outcome) {
    let of = order
        .change
        .as_ref()
        .map_or_else(String::new, |change| format!(" for {change}"));
    if !outcome.pieces.is_empty() {
        let places: Vec<&str> = outcome.pieces.iter().map(|piece| piece.location.as_str()).collect();
        let note = format!(
            "{}: taken from pod {}{of}: {}",
            answer.name,
            order.pod,
            places.join(", ")
        );
        say(pass, Reason::EvidenceTaken, note);
    }
    if !outcome.failures.is_empty() {
        say(
            pass,
            Reason::EvidenceFailed,
            format!("{}{of}: {}", answer.name, outcome.failures.join("; ")),
        );
    }
}

/// An Event of the policy.
pub(super) fn say(pass: &Pass<'_>, reason: Reason, note: String) {
    pass.ctx.recorder.say(pass.object, reason, note);
}

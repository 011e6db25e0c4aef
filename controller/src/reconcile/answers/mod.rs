//! What rules lead to beside a lever: after the lever's pass, and whatever came of that.

pub(super) mod annotate;
pub mod capture;
pub(super) mod notify;
pub(super) mod relieve;

use super::{Pass, memory::Memory};
use flyball_core::policy::{AnswerKind, Mode};

/// Carries out the answers of a policy. Nothing in here can fail as a whole: what can't be done is said, and the next
/// pass tries again.
pub(super) async fn run(pass: &Pass<'_>, memory: &mut Memory) {
    annotate::run(pass, memory).await;
    notify::run(pass, memory).await;
    relieve::run(pass, memory).await;
    if pass.policy.mode == Mode::Observe {
        return;
    }
    for answer in &pass.policy.answers {
        match &answer.kind {
            // All of them together say one thing to a pod, and one to Alertmanager; of pods one at a time is relieved.
            AnswerKind::Annotate(_) | AnswerKind::Notify(_) | AnswerKind::Relieve(_) => {}
            AnswerKind::Capture(capture) => capture::run(pass, answer, capture, memory).await,
        }
    }
}

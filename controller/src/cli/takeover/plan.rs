//! The next step of a takeover, from what is there alone: so a takeover that was cut short anywhere is
//! finished by running it again.
//!
//! The order. First the manifest is kept, so that there is always a way back. Deleting a
//! HorizontalPodAutoscaler never scales anything. A ScaledObject is paused first and waited for: KEDA
//! then lets go of the replicas where they are, and that it does shows that it is there to carry out the
//! deletion too, which waits for its finalizer. Last of all the policy may write. In between nobody does,
//! and the replicas stay as they are.

use super::facts::{Facts, Other};
use crate::cli::{
    import::Autoscaler,
    kept::{Kept, KeptError, is_paused},
};
use flyball_crds::Mode;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Keep this manifest on the policy.
    Keep(String),
    /// Pause the ScaledObject.
    Pause,
    /// Wait until KEDA has taken away this HorizontalPodAutoscaler.
    LetGo(String),
    /// Delete the autoscaler.
    Delete,
    /// Wait until the autoscaler is gone.
    Gone,
    /// Let the policy write.
    Enforce,
    /// It has the field.
    Done,
}

/// The next step. `other` is the autoscaler on the target, as long as it is there.
pub fn next(facts: &Facts, other: Option<&Other>) -> Result<Step, KeptError> {
    let Some(other) = other else {
        let spec = &facts.policy.spec;
        let enforces = spec.mode == Mode::Enforce && !spec.suspend;
        return Ok(if enforces { Step::Done } else { Step::Enforce });
    };
    // On its way out it is as it was when it was kept.
    if other.object.metadata.deletion_timestamp.is_some() && facts.kept.is_some() {
        return Ok(Step::Gone);
    }
    let wanted = Kept::of(other.autoscaler, &other.object);
    if facts.kept.as_ref() != Some(&wanted) {
        return wanted.text().map(Step::Keep);
    }
    if other.autoscaler == Autoscaler::ScaledObject {
        if !is_paused(&other.object) {
            return Ok(Step::Pause);
        }
        if let Some(behind) = &other.behind {
            return Ok(Step::LetGo(kube::ResourceExt::name_any(behind)));
        }
    }
    Ok(Step::Delete)
}

//! A rollout under way: the pods of both revisions are there, and every count of them misleads.
//!
//! A law that computes on the present number would climb with each pass, since its last increase added
//! pods that are not ready yet. So nothing is taken away while it lasts, and increases are computed on
//! the number at its start.

use super::{Facts, History, RolloutStart, Wish};
use crate::{
    policy::{Replicas, Step},
    time::Timestamp,
};

/// Remembers the number at the start of a rollout, and forgets one that is over.
pub(super) fn note(history: &mut History, facts: &Facts, now: Timestamp) {
    let start = RolloutStart {
        at: now,
        replicas: facts.current,
    };
    history.rollout = facts.rollout.as_ref().map(|_| history.rollout.unwrap_or(start));
}

/// Keeps a step to one above the number at the start of the rollout.
pub(super) fn capped(wish: Wish, step: &Step, current: Replicas, history: &History) -> Wish {
    // From zero there is nothing that could compound.
    let Some(start) = history
        .rollout
        .map(|rollout| rollout.replicas)
        .filter(|start| start.get() > 0)
    else {
        return wish;
    };
    let added = step.up.added_to(start);
    let most = Replicas::nearest(i64::from(start.get()) + added).max(current);
    if wish.desired <= most {
        return wish;
    }
    let mut arithmetic = wish.arithmetic;
    arithmetic.push(format!(
        "a rollout began at {start}: at most {start} + {} until it is over",
        step.up
    ));
    Wish {
        desired: most,
        reason: format!(
            "{}; a rollout is under way, so one step from {start} is the most",
            wish.reason
        ),
        arithmetic,
        ..wish
    }
}

//! Enough time since the last change of this kind.

use super::Finding;
use crate::{
    decide::{Direction, History, spike_lasts},
    policy::ReplicasAction,
    time::Timestamp,
};

pub(super) fn cooldown(direction: Direction, action: &ReplicasAction, history: &History, now: Timestamp) -> Finding {
    if let Some(refusal) = spike(direction, history, now) {
        return refusal;
    }
    let cooldown = match direction {
        Direction::Up => action.up.cooldown,
        Direction::Down => action.down.cooldown,
    };
    let Some(last) = history.last_event(direction) else {
        return Finding::Pass(format!("no change {direction} is remembered"));
    };
    let ago = now.since(last.at);
    let what = format!(
        "the last change {direction}, from {} to {}, was {ago} ago, {direction}.cooldown is {cooldown}",
        last.from, last.to
    );
    if ago < cooldown {
        Finding::Refuse(format!("{what}; wait, or shorten the cooldown"))
    } else {
        Finding::Pass(what)
    }
}

/// While a spike lasts nothing is taken away, for no reason whatever.
pub(super) fn spike(direction: Direction, history: &History, now: Timestamp) -> Option<Finding> {
    let remaining = spike_lasts(history, now).filter(|_| direction == Direction::Down)?;
    Some(Finding::Refuse(format!(
        "a spike lasts for another {remaining}, and nothing is taken away until it is over; wait"
    )))
}

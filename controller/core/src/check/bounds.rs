//! Within min and max.

use super::Finding;
use crate::{
    decide::Direction,
    policy::{Bounds, Replicas},
};

/// The bound that `from` lies beyond, if the proposal goes towards it.
pub(super) fn nearer(from: Replicas, direction: Direction, bounds: Bounds) -> Option<Replicas> {
    match direction {
        Direction::Up => (from < bounds.min).then_some(bounds.min),
        Direction::Down => (from > bounds.max).then_some(bounds.max),
    }
}

pub(super) fn bounds(from: Replicas, to: Replicas, direction: Direction, bounds: Bounds) -> Finding {
    let Bounds { min, max } = bounds;
    if Direction::between(from, to) != Some(direction) {
        return Finding::Refuse(format!(
            "from {from} to {to} is no change {direction}; nothing is to be done"
        ));
    }
    let within = bounds.clamp(to);
    if Direction::between(from, within) != Some(direction) {
        return Finding::Refuse(match direction {
            Direction::Up => format!("{from} replicas, and max is {max}; raise max to allow more"),
            Direction::Down => format!("{from} replicas, and min is {min}; lower min to allow fewer"),
        });
    }
    if within == to {
        Finding::Pass(format!("{to} lies from min {min} to max {max}"))
    } else {
        Finding::Clamp(
            within,
            format!("{to} asked for, {within} allowed: min is {min}, max is {max}"),
        )
    }
}

//! Within min and max.

use super::Finding;
use crate::{
    decide::{Direction, Limits, Lowest},
    policy::{Bounds, Replicas},
};

/// The bound that `from` lies beyond, if the proposal goes towards it.
pub(super) fn nearer(from: Replicas, direction: Direction, bounds: Bounds) -> Option<Replicas> {
    match direction {
        Direction::Up => (from < bounds.min).then_some(bounds.min),
        Direction::Down => (from > bounds.max).then_some(bounds.max),
    }
}

/// `room` is how far headroom and budget let it go: a bound beyond that is not forced.
pub(super) fn bounds(
    from: Replicas,
    to: Replicas,
    direction: Direction,
    limits: &Limits<'_>,
    room: Option<Replicas>,
) -> Finding {
    let Bounds { max, .. } = limits.bounds;
    if Direction::between(from, to) != Some(direction) {
        return Finding::Refuse(format!(
            "from {from} to {to} is no change {direction}; nothing is to be done"
        ));
    }
    let bounded = limits.bounds.clamp(to);
    let within = match (direction, room) {
        (_, None) => bounded,
        (Direction::Up, Some(most)) => bounded.min(most),
        (Direction::Down, Some(fewest)) => bounded.max(fewest),
    };
    if Direction::between(from, within) != Some(direction) {
        return Finding::Refuse(match direction {
            Direction::Up => format!("{from} replicas, and max is {max}; raise max to allow more"),
            Direction::Down => format!("{from} replicas, and {}", limits.no_fewer()),
        });
    }
    let smallest = match limits.lowest {
        Lowest::Min => format!("min is {}", limits.bounds.min),
        _ => format!("the smallest is {limits}"),
    };
    if within != bounded {
        let what =
            format!("{within} on the way to {bounded}, as far as the checks before allow: {smallest}, max is {max}");
        if within == to {
            Finding::Pass(what)
        } else {
            Finding::Clamp(within, what)
        }
    } else if within == to {
        Finding::Pass(format!("{to} lies from {limits} to max {max}"))
    } else {
        Finding::Clamp(
            within,
            format!("{to} asked for, {within} allowed: {smallest}, max is {max}"),
        )
    }
}

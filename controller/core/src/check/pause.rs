//! The red button, and pauses of one direction.

use super::{Finding, Paused};
use crate::decide::Direction;

pub(super) fn pause(direction: Direction, paused: &Paused) -> Finding {
    let mut why = Vec::new();
    why.extend(paused.stopped());
    let (what, reason) = match direction {
        Direction::Up => ("increases are", &paused.up),
        Direction::Down => ("decreases are", &paused.down),
    };
    if let Some(reason) = reason {
        why.push(format!(
            "{what} paused: {reason}; to go on, take spec.pause.{direction} out"
        ));
    }
    if why.is_empty() {
        Finding::Pass(format!("nothing is frozen, and {what} not paused"))
    } else {
        Finding::Refuse(why.join("; also: "))
    }
}

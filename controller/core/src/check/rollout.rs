//! While a rollout is under way, nothing is taken away.

use super::Finding;
use crate::decide::{Direction, Facts};

pub(super) fn rollout(direction: Direction, facts: &Facts) -> Finding {
    match (direction, &facts.rollout) {
        (_, None) => Finding::Pass("no rollout is under way".to_owned()),
        (Direction::Up, Some(why)) => Finding::Pass(format!(
            "a rollout is under way ({why}): increases are computed on the number at its start"
        )),
        (Direction::Down, Some(why)) => Finding::Refuse(format!(
            "a rollout is under way ({why}), and nothing is taken away meanwhile; wait until it is over"
        )),
    }
}

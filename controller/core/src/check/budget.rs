//! What all policies together may take away in a minute.

use super::{Budget, Finding};
use crate::{decide::Direction, policy::Replicas};

/// A mistake that all policies share, such as a source that answers nonsense, then empties the cluster
/// slowly enough for somebody to notice. A number above its `max` is no exception.
pub(super) fn budget(from: Replicas, to: Replicas, direction: Direction, budget: &Budget) -> Finding {
    if direction == Direction::Up {
        return Finding::Pass("an increase takes nothing away".to_owned());
    }
    let Some(per_minute) = budget.per_minute else {
        return Finding::Pass("no limit over all policies".to_owned());
    };
    let taken = budget.taken;
    let what = format!("all policies may take away {per_minute} replicas in a minute, and took {taken}");
    let allowed = fewest(from, budget).map_or(to, |fewest| to.max(fewest));
    if Direction::between(from, allowed) != Some(direction) {
        Finding::Refuse(format!(
            "{what}; wait a minute, or let the installation's operator raise the limit"
        ))
    } else if allowed == to {
        Finding::Pass(what)
    } else {
        Finding::Clamp(allowed, format!("{what}: {to} asked for, {allowed} allowed"))
    }
}

/// The number at which the budget is used up.
pub(super) fn fewest(from: Replicas, budget: &Budget) -> Option<Replicas> {
    let left = budget.per_minute?.saturating_sub(budget.taken);
    Some(Replicas::nearest(i64::from(from.get()) - i64::from(left)))
}

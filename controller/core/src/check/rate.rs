//! Not too much within a period: HPA's scaling policies, in integers.

use super::Finding;
use crate::{
    decide::{Direction, History, ScaleEvent},
    policy::{Behavior, RateLimit, Replicas, ReplicasAction, SelectPolicy},
    time::{Span, Timestamp},
};

/// As HPA's `calculateScaleUpLimitWithScalingRules` and `calculateScaleDownLimitWithBehaviors`: the
/// number at the start of each limit's period is the present one less what was added and plus what was
/// taken since; from there the amount may be added, or taken, until the period is over.
///
/// Other than HPA, a percentage is exact before it is rounded, and a decrease is rounded so that it
/// reaches no further than asked, but never to nothing: 15 % of 10 are 1 replica less here, and 2 there.
pub(super) fn rate(
    from: Replicas,
    to: Replicas,
    direction: Direction,
    action: &ReplicasAction,
    history: &History,
    now: Timestamp,
) -> Finding {
    let behavior = match direction {
        Direction::Up => &action.up,
        Direction::Down => &action.down,
    };
    let (most, RateLimit { amount, period }) = match limit(from, direction, behavior, history, now) {
        Limit::None => return Finding::Pass(format!("{direction} has no rate limit")),
        Limit::Disabled => {
            return Finding::Refuse(format!(
                "{direction}.selectPolicy is Disabled; choose Max or Min to allow changes {direction}"
            ));
        }
        Limit::Until { replicas, rule } => (replicas, rule),
    };
    let what = format!("{direction} by no more than {amount} in {period}");
    let allowed = match direction {
        Direction::Up => to.min(most),
        Direction::Down => to.max(most),
    };
    if Direction::between(from, allowed) != Some(direction) {
        Finding::Refuse(format!(
            "{what}, which the last {period} have used up; wait, or raise the limit"
        ))
    } else if allowed == to {
        Finding::Pass(what)
    } else {
        Finding::Clamp(allowed, format!("{what}: {to} asked for, {allowed} allowed"))
    }
}

enum Limit {
    None,
    Disabled,
    Until { replicas: Replicas, rule: RateLimit },
}

/// The number that the selected rate limit allows.
fn limit(from: Replicas, direction: Direction, behavior: &Behavior, history: &History, now: Timestamp) -> Limit {
    let allowed = |rule: &RateLimit| {
        let start = Replicas::nearest(i64::from(from.get()) - changed(history, rule.period, now));
        let replicas = i64::from(start.get())
            + match direction {
                Direction::Up => rule.amount.added_to(start),
                Direction::Down => -rule.amount.taken_from(start),
            };
        (Replicas::nearest(replicas), *rule)
    };
    let limits = behavior.limits.iter().map(allowed);
    // The largest change is the highest number on the way up and the lowest on the way down.
    let selected = match (behavior.select, direction) {
        (SelectPolicy::Disabled, _) => return Limit::Disabled,
        (SelectPolicy::Max, Direction::Up) | (SelectPolicy::Min, Direction::Down) => limits.max_by_key(|(n, _)| *n),
        (SelectPolicy::Min, Direction::Up) | (SelectPolicy::Max, Direction::Down) => limits.min_by_key(|(n, _)| *n),
    };
    selected.map_or(Limit::None, |(replicas, rule)| Limit::Until { replicas, rule })
}

/// Replicas added within the period, less those taken away.
fn changed(history: &History, period: Span, now: Timestamp) -> i64 {
    history
        .events
        .iter()
        .filter(|event| now.since(event.at) < period)
        .map(ScaleEvent::change)
        .sum()
}

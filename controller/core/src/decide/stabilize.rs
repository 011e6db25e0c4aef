//! Stabilisation, as in HPA's `stabilizeRecommendationWithBehaviors`.

use super::{HISTORY_CAP, History, Recommendation};
use crate::{
    policy::{Replicas, ReplicasAction},
    time::{Span, Timestamp},
};
use std::cmp::Ordering;

/// The number that the windows let through, and a line on what they held back.
///
/// Up goes to the lowest number asked for within the up window, down to the highest within the down
/// window; in between it stays. A recommendation as old as the window is out of it.
pub(super) fn stabilize(
    current: Replicas,
    desired: Replicas,
    history: &History,
    action: &ReplicasAction,
    now: Timestamp,
) -> (Replicas, Option<String>) {
    let within = |window: Span| {
        let young = move |former: &&Recommendation| now.since(former.at) < window;
        history
            .recommendations
            .iter()
            .filter(young)
            .map(|former| former.replicas)
    };
    let (up, down) = (action.up.stabilization, action.down.stabilization);
    let lowest = within(up).min().map_or(desired, |lowest| lowest.min(desired));
    let highest = within(down).max().map_or(desired, |highest| highest.max(desired));
    if current < lowest {
        let note = (lowest < desired).then(|| format!("the lowest number asked for within {up} is {lowest}"));
        return (lowest, note);
    }
    if current > highest {
        let observed = now.since(history.observing_since);
        if observed < down {
            let note = format!("fewer only after {down} of observing, which has lasted for {observed}");
            return (current, Some(note));
        }
        let note = (highest > desired).then(|| format!("the highest number asked for within {down} is {highest}"));
        return (highest, note);
    }
    let note = match desired.cmp(&current) {
        Ordering::Greater => Some(format!("the lowest number asked for within {up} is {lowest}")),
        Ordering::Less => Some(format!("the highest number asked for within {down} is {highest}")),
        Ordering::Equal => None,
    };
    (current, note)
}

/// Appends a recommendation and drops those that no window needs.
pub(super) fn record(history: &mut History, desired: Replicas, now: Timestamp, action: &ReplicasAction) {
    let window = action.up.stabilization.max(action.down.stabilization);
    let list = &mut history.recommendations;
    for former in list.iter_mut() {
        former.at = former.at.min(now);
    }
    list.sort_by_key(|former| former.at);
    list.retain(|former| now.since(former.at) < window);
    list.push(Recommendation {
        at: now,
        replicas: desired,
    });
    drop_dominated(list);
    while list.len() > HISTORY_CAP {
        merge_oldest(list, desired);
    }
}

/// Drops each recommendation for which a younger one is at least as high and a younger one is at
/// least as low: it decides neither the highest nor the lowest of any window that ends now or later.
fn drop_dominated(list: &mut Vec<Recommendation>) {
    let mut range: Option<(Replicas, Replicas)> = None;
    let mut kept: Vec<Recommendation> = Vec::with_capacity(list.len());
    for former in list.drain(..).rev() {
        let (low, high) = range.unwrap_or((former.replicas, former.replicas));
        if range.is_none() || former.replicas < low || former.replicas > high {
            kept.push(former);
        }
        range = Some((low.min(former.replicas), high.max(former.replicas)));
    }
    kept.reverse();
    *list = kept;
}

/// Makes one recommendation of two. What [`drop_dominated`] leaves is a falling series above the
/// newest and a rising one below it; of the longer of the two, the two oldest become the more careful
/// number of both at the later time, so nothing is forgotten early.
fn merge_oldest(list: &mut Vec<Recommendation>, newest: Replicas) {
    let side = |wanted: Ordering| {
        let on_side = move |(_, former): &(usize, &Recommendation)| former.replicas.cmp(&newest) == wanted;
        list.iter().enumerate().filter(on_side).map(|(at, _)| at)
    };
    let (above, below) = (side(Ordering::Greater).count(), side(Ordering::Less).count());
    let mut longer = side(if above >= below {
        Ordering::Greater
    } else {
        Ordering::Less
    });
    let oldest = longer.next().unwrap_or(0);
    let next = longer.next();
    let careful = list.remove(oldest).replicas;
    if let Some(younger) = next.and_then(|at| list.get_mut(at - 1)) {
        younger.replicas = careful;
    }
}

//! A number for the time without data.
//!
//! It counts after a duration, not after a number of failures, and that duration is remembered over
//! restarts. It only ever raises: without data nothing is taken away (law 9).

use super::{History, Inputs};
use crate::{
    policy::{Condition, Fallback, Replicas, ReplicasAction},
    signal::Quality,
    time::Timestamp,
};

/// Remembers since when there is no data, and forgets it with the first that there is.
pub(super) fn note(history: &mut History, no_data: bool, now: Timestamp) {
    history.no_data_since = no_data.then(|| history.no_data_since.map_or(now, |since| since.min(now)));
}

/// The number to go to without data, never less than the present one, and a remark on it.
pub(super) fn raised(
    action: &ReplicasAction,
    history: &History,
    current: Replicas,
    now: Timestamp,
) -> (Replicas, Option<String>) {
    let (Some(Fallback { after, replicas }), Some(since)) = (action.fallback, history.no_data_since) else {
        return (current, None);
    };
    let lasted = now.since(since);
    if lasted < after {
        let remark = format!("without data for {lasted}; fallback {replicas} counts after {after}");
        return (current, Some(remark));
    }
    let max = action.bounds.max;
    let to = replicas.min(max).max(current);
    let remark = if to > current && replicas > max {
        format!("without data for {lasted}, so fallback {replicas} counts, up to max {max}")
    } else if to > current {
        format!("without data for {lasted}, so fallback {replicas} counts")
    } else {
        format!("without data for {lasted}; fallback {replicas} only raises")
    };
    (to, Some(remark))
}

/// Whether any of the rules that drive an action has an answer. An expression without a number at its
/// top answers nothing while all is well, so for it that is an answer.
pub(super) fn any_rule_answered(action: &ReplicasAction, inputs: &Inputs<'_>) -> bool {
    let answered = |name: &String| {
        let opaque = matches!(
            inputs.definitions.get(name).map(|rule| &rule.condition),
            Some(Condition::Opaque(_))
        );
        inputs
            .readings
            .get(name)
            .is_some_and(|reading| reading.is_fresh() || (opaque && reading.quality() == Quality::Missing))
    };
    action.when.is_empty() || action.when.iter().any(answered)
}

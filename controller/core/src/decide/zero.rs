//! Going to zero and back.
//!
//! As in KEDA, a signal tells whether there is anything to do: above its activation (strictly) there is.
//! Other than in KEDA, no value is never zero: without a fresh number the workload stays where it is.

use super::{History, Inputs};
use crate::{
    decimal::{Decimal, plain},
    policy::{Replicas, ReplicasAction, Zero},
    signal::Finite,
    time::Timestamp,
};
use std::cmp::Ordering;

/// Whether there is anything to do.
pub(super) enum Activity {
    /// There is; the sentence says how that is known.
    Active(String),
    /// There is nothing.
    Idle(String),
    /// It is not known, for this reason.
    Unknown(String),
}

/// What the signal of `zero` says.
pub(super) fn activity(zero: &Zero, inputs: &Inputs<'_>) -> Activity {
    let Zero { signal, activation, .. } = zero;
    let value = match inputs.signals.get(signal).map(crate::signal::Reading::number) {
        None => return Activity::Unknown(format!("signal {signal} was not read")),
        Some(Err(error)) => return Activity::Unknown(format!("signal {signal} is no usable number: {error}")),
        Some(Ok(value)) => value,
    };
    let (is, limit) = (plain(value.get()), plain(activation.get()));
    if above(value, *activation) {
        Activity::Active(format!("signal {signal} is {is}, above the activation {limit}"))
    } else {
        Activity::Idle(format!("signal {signal} is {is}, not above the activation {limit}"))
    }
}

fn above(value: Finite, activation: Finite) -> bool {
    Decimal::of(value).compare(Decimal::of(activation)) == Ordering::Greater
}

/// Remembers since when there is nothing to do. At zero replicas nothing is remembered, so that whoever
/// scales up from there, a person or a schedule, has the whole cooldown.
pub(super) fn note(
    history: &mut History,
    action: &ReplicasAction,
    inputs: &Inputs<'_>,
    current: Replicas,
    now: Timestamp,
) {
    history.idle_since = match &action.zero {
        Some(zero) if current.get() > 0 => idle_since(zero, inputs, history, now),
        _ => None,
    };
}

fn idle_since(zero: &Zero, inputs: &Inputs<'_>, history: &History, now: Timestamp) -> Option<Timestamp> {
    match activity(zero, inputs) {
        Activity::Idle(_) => Some(history.idle_since.map_or(now, |since| since.min(now))),
        Activity::Active(_) | Activity::Unknown(_) => None,
    }
}

/// Whether the last replica may go: `Ok` says why, `Err` why it stays.
///
/// The signal must have been at most its activation for the whole cooldown, on fresh data, and this
/// process must have seen that: what was stored may hide a busy time while nobody looked.
pub(super) fn may_go(zero: &Zero, inputs: &Inputs<'_>, history: &History, now: Timestamp) -> Result<String, String> {
    let idle = match activity(zero, inputs) {
        Activity::Idle(why) => why,
        Activity::Active(why) | Activity::Unknown(why) => return Err(why),
    };
    let cooldown = zero.cooldown;
    let lasted = idle_since(zero, inputs, history, now).map_or(crate::time::Span::ZERO, |since| now.since(since));
    if lasted < cooldown {
        return Err(format!("{idle}, for {lasted} of {cooldown}"));
    }
    let observed = now.since(history.observing_since);
    if observed < cooldown {
        return Err(format!("{idle}, but observed only for {observed} of {cooldown}"));
    }
    Ok(format!("{idle}, for {cooldown}"))
}

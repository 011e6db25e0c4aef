//! What lifts a latch before its time.

use super::{Inputs, Latch};
use crate::{
    decimal::plain,
    policy::ReplicasAction,
    signal::Finite,
    verify::{moved, worst},
};

/// The worst value of a verification's left side counts as moved, and lifts a latch, when it differs
/// by more than this fraction of the value that was latched, either way: it is a share that no noise
/// of a quantile over some minutes reaches, and less than one step of 50 % should bring about.
pub const SIGNAL_MOVED: f64 = 0.2;

/// What moved since a change was latched: the demand by more than its tolerance, or the verified value
/// by more than [`SIGNAL_MOVED`]. What is not known has not moved, and a latch without a demand is
/// lifted by nothing but time.
pub(crate) fn moved_since(latch: &Latch, action: &ReplicasAction, inputs: &Inputs<'_>) -> Option<String> {
    let verification = action.verification.as_ref()?;
    let before = latch.demand?;
    if let (Some(demand), Some(now)) = (&verification.demand, inputs.demand(action))
        && moved(before, now, demand.tolerance)
    {
        return Some(format!(
            "the demand moved from {} to {}",
            plain(before.get()),
            plain(now.get())
        ));
    }
    let was = latch.signal?;
    let is = worst(
        &verification.condition,
        inputs.verification.filter(|reading| reading.is_fresh())?,
    )?;
    signal_moved(was, is).then(|| format!("the verified value moved from {} to {}", plain(was), plain(is)))
}

fn signal_moved(was: f64, is: f64) -> bool {
    match (Finite::new(was), Finite::new(is), Finite::new(SIGNAL_MOVED)) {
        (Some(was), Some(is), Some(tolerance)) => moved(was, is, tolerance),
        // A fresh value is finite, so one that was not has moved.
        _ => was.total_cmp(&is).is_ne(),
    }
}

//! A change that did not help is not repeated while nothing moves.

use super::Finding;
use crate::{
    decide::{Direction, History, Inputs, moved_since},
    decimal::plain,
    policy::ReplicasAction,
    time::Timestamp,
};

pub(super) fn latch(
    direction: Direction,
    action: &ReplicasAction,
    inputs: &Inputs<'_>,
    history: &History,
    now: Timestamp,
) -> Finding {
    let Some(latch) = history
        .latch
        .filter(|latch| latch.direction == direction && now < latch.until)
    else {
        return Finding::Pass(format!("no change {direction} was ineffective lately"));
    };
    if let Some(what) = moved_since(&latch, action, inputs) {
        return Finding::Pass(what);
    }
    let remaining = latch.until.since(now);
    let Some(before) = latch.demand else {
        return Finding::Refuse(format!(
            "the last change {direction} did not help, and the demand was not known; wait for {remaining}, \
             or set verify.demand to tell a surge from an ineffective change"
        ));
    };
    let demand = inputs
        .demand(action)
        .map_or_else(|| "unknown".to_owned(), |demand| plain(demand.get()));
    Finding::Refuse(format!(
        "the last change {direction} did not help at a demand of {}, which is {demand} now; \
         wait for {remaining}, or until demand or signal move",
        plain(before.get())
    ))
}

//! A spike: while it lasts nothing is taken away, as in Knative's panic mode.

use super::{Facts, History};
use crate::{
    decimal::Decimal,
    policy::{Replicas, ReplicasAction},
    time::{Span, Timestamp},
};
use std::cmp::Ordering;

/// Remembers a spike if `desired` is one, and forgets one that is over.
///
/// What the law asks for, before stabilisation, is compared with the ready pods, or with the present
/// number where they are not known; with 1 where there is none. It is kept in the history, so neither a
/// restart nor a new leader ends it.
pub(super) fn note(
    history: &mut History,
    action: &ReplicasAction,
    facts: &Facts,
    desired: Option<Replicas>,
    now: Timestamp,
) {
    let Some(spike) = action.spike else {
        history.spike_until = None;
        return;
    };
    let end = now + spike.hold;
    let least = Decimal::of(spike.factor).times(Decimal::replicas(serving(facts)));
    let begins = desired.is_some_and(|desired| Decimal::replicas(desired).compare(least) != Ordering::Less);
    history.spike_until = if begins {
        Some(end)
    } else {
        // Never longer than from now: the clock may have stepped back.
        history
            .spike_until
            .map(|until| until.min(end))
            .filter(|until| now < *until)
    };
}

/// How much longer a spike lasts, if there is one.
pub(crate) fn lasts(history: &History, now: Timestamp) -> Option<Span> {
    history
        .spike_until
        .filter(|until| now < *until)
        .map(|until| until.since(now))
}

/// The pods that serve, at least 1. A pod that is ready serves, whatever time its metrics need.
fn serving(facts: &Facts) -> Replicas {
    let ready = facts.pods.as_ref().map(|pods| {
        let ready = pods.0.iter().filter(|pod| pod.is_ready() && !pod.terminating);
        Replicas::nearest(i64::try_from(ready.count()).unwrap_or(i64::MAX))
    });
    ready.unwrap_or(facts.current).max(Replicas::nearest(1))
}

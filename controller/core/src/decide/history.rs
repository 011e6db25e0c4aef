//! What is remembered of an action, and what of it is forgotten.

use super::{Direction, Inputs, latch::moved_since};
use crate::{
    policy::{Behavior, Replicas, ReplicasAction},
    signal::Finite,
    time::{Span, Timestamp},
};

/// The most recommendations, and the most scale events, that a [`History`] keeps.
pub const HISTORY_CAP: usize = 64;

/// A change of the number of replicas that was accepted by the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleEvent {
    /// When.
    pub at: Timestamp,
    /// The number before.
    pub from: Replicas,
    /// The number after.
    pub to: Replicas,
}

impl ScaleEvent {
    /// Replicas added; negative where some were taken away.
    pub fn change(&self) -> i64 {
        i64::from(self.to.get()) - i64::from(self.from.get())
    }
}

/// What the law asked for at some time, before stabilisation and bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recommendation {
    /// When.
    pub at: Timestamp,
    /// The number asked for.
    pub replicas: Replicas,
}

/// A kind of change that is not to be repeated, because it did not help.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latch {
    /// The kind.
    pub direction: Direction,
    /// The demand when it was latched; `None`: unknown, so that only time lifts the latch.
    pub demand: Option<Finite>,
    /// The worst value of the verification's left side when it was latched.
    pub signal: Option<f64>,
    /// When it expires.
    pub until: Timestamp,
}

/// What is remembered of one action from pass to pass, and over restarts.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// What the law asked for, oldest first: as many of the recommendations as decide the lowest and
    /// the highest of any window up to now.
    pub recommendations: Vec<Recommendation>,
    /// Changes, oldest first.
    pub events: Vec<ScaleEvent>,
    /// The last number that a verification found good, or that was found at adoption.
    pub last_verified: Option<Replicas>,
    /// The kind of change that is not to be repeated.
    pub latch: Option<Latch>,
    /// Until when a spike lasts: nothing is taken away before.
    pub spike_until: Option<Timestamp>,
    /// Since when no metric could be used.
    pub no_data_since: Option<Timestamp>,
    /// Since when the signal of [`Zero`](crate::policy::Zero) is at or below its activation, on fresh data
    /// and with at least one replica.
    pub idle_since: Option<Timestamp>,
    /// The rollout under way, as it was when it was first seen.
    pub rollout: Option<RolloutStart>,
    /// Since when this process decides for the action, on its present target and without a break. History
    /// is stored on transitions only, so for one window it proves too little to take anything away.
    pub observing_since: Timestamp,
}

impl History {
    /// Nothing is remembered of an action that is first seen at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            recommendations: Vec::new(),
            events: Vec::new(),
            last_verified: None,
            latch: None,
            spike_until: None,
            no_data_since: None,
            idle_since: None,
            rollout: None,
            observing_since: now,
        }
    }

    /// Nothing was decided up to `now`: what the law asked for meanwhile, and whether there was data or
    /// anything to do, is not known. So a whole window is observed again before anything is taken away,
    /// and neither a fallback nor the last replica's cooldown counts the time in between.
    pub fn unobserved(&mut self, now: Timestamp) {
        self.no_data_since = None;
        self.idle_since = None;
        self.rollout = None;
        self.observing_since = now;
    }

    /// When the last change in `direction` was made.
    pub fn last_event(&self, direction: Direction) -> Option<&ScaleEvent> {
        let same_way = |event: &&ScaleEvent| Direction::between(event.from, event.to) == Some(direction);
        self.events.iter().filter(same_way).max_by_key(|event| event.at)
    }
}

/// The number of replicas when a rollout began: what increases are computed on while it lasts, since
/// the pods of both revisions are there and would count twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutStart {
    /// When it was first seen.
    pub at: Timestamp,
    /// The number then.
    pub replicas: Replicas,
}

/// History without what has no influence any more.
pub(super) fn pruned(history: &History, action: &ReplicasAction, inputs: &Inputs<'_>, now: Timestamp) -> History {
    let reach = |behavior: &Behavior| {
        behavior
            .limits
            .iter()
            .map(|limit| limit.period)
            .max()
            .unwrap_or(Span::ZERO)
            .max(behavior.cooldown)
    };
    let reach = reach(&action.up).max(reach(&action.down));
    let mut history = history.clone();
    history.events.sort_by_key(|event| event.at);
    history.events.retain(|event| now.since(event.at) < reach);
    while history.events.len() > HISTORY_CAP {
        merge_oldest(&mut history.events);
    }
    // A latch that something moved away from is lifted for good, also if it moves back.
    let held = |latch: &Latch| now < latch.until && moved_since(latch, action, inputs).is_none();
    history.latch = history.latch.filter(held);
    history
}

/// Makes one event of two that went the same way, at the time of the younger: the sum of changes
/// stays, and what was changed is remembered for longer, never for shorter. Without such a pair the
/// oldest event is dropped.
fn merge_oldest(events: &mut Vec<ScaleEvent>) {
    let same_way = |pair: &[ScaleEvent]| matches!(pair, [a, b] if a.change().signum() == b.change().signum());
    match events.windows(2).position(same_way) {
        Some(at) => {
            let older = events.remove(at);
            if let Some(younger) = events.get_mut(at) {
                // Somebody else may have scaled in between, so the two need not join up.
                let from = i64::from(younger.from.get()) - older.change();
                younger.from = Replicas::nearest(from);
            }
        }
        None => {
            events.remove(0);
        }
    }
}

//! What an action wants, before anything is checked.
//!
//! The order of one pass is that of the HorizontalPodAutoscaler (`reconcileAutoscaler`): scaled to
//! zero by hand, outside of the bounds, the law, stabilisation. Rates, cooldown and the bounds of an
//! ordinary proposal are the business of [`check`](crate::check). All arithmetic is that of decimals
//! and integers, so a few results differ from HPA's, which calculates in floats: 10 % more than 100
//! are 110 here and 111 there, 90 % less than 10 are 1 here and 0 there.

mod latch;
mod metrics;
mod pods;
mod replicas;
mod stabilize;

pub use latch::SIGNAL_MOVED;
pub(crate) use latch::moved_since;
pub(crate) use metrics::{Asked, NoNumber, asked};
pub use pods::{Pod, PodPhase, PodReady, PodUsage, Pods, RequestError, Requests};

use crate::{
    evaluate::{Alert, RuleState},
    policy::{Behavior, Bounds, Replicas, ReplicasAction, ResourceOf, Rule, Signal},
    signal::{Finite, Reading},
    time::{Span, Timestamp},
};
use std::{collections::BTreeMap, fmt};

/// The most recommendations, and the most scale events, that a [`History`] keeps.
pub const HISTORY_CAP: usize = 64;

/// How many alerts a proposal keeps as evidence.
pub const EVIDENCE_CAP: usize = 10;

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// More.
    Up,
    /// Less.
    Down,
}

impl Direction {
    /// The way from one number to another; `None` where they are equal.
    pub fn between(from: Replicas, to: Replicas) -> Option<Self> {
        match to.cmp(&from) {
            std::cmp::Ordering::Greater => Some(Self::Up),
            std::cmp::Ordering::Less => Some(Self::Down),
            std::cmp::Ordering::Equal => None,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

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
    /// Since when the signal of [`Zero`](crate::policy::Zero) is at or below its activation, on fresh data.
    pub idle_since: Option<Timestamp>,
    /// The rollout under way, as it was when it was first seen.
    pub rollout: Option<RolloutStart>,
    /// When this process first saw the policy. History is stored on transitions only, so for one
    /// window after a restart it proves too little to take anything away.
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

/// What is known of the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Its `spec.replicas` as last read.
    pub current: Replicas,
    /// Its `status.replicas`: the pods that its controller counts. `None`: not known.
    pub observed: Option<Replicas>,
    /// Its pods, by ownerReferences. `None`: not known.
    pub pods: Option<Pods>,
    /// Why a rollout is known to be under way, if it is.
    pub rollout: Option<String>,
    /// What is remembered.
    pub history: History,
}

/// What was observed and evaluated in this pass.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The policy's rules, by name.
    pub definitions: &'a BTreeMap<String, Rule>,
    /// Their states, by name.
    pub rules: &'a BTreeMap<String, RuleState>,
    /// The readings that they were evaluated on, by name of the rule.
    pub readings: &'a BTreeMap<String, Reading>,
    /// The readings of signals, by name.
    pub signals: &'a BTreeMap<String, Reading>,
    /// The reading of the left side of the action's verification, if it has one.
    pub verification: Option<&'a Reading>,
    /// The policy's signals, by name: what each must answer, and what is done where it does not.
    pub signal_definitions: &'a BTreeMap<String, Signal>,
    /// What metrics.k8s.io tells of the target's pods, by resource; empty where no action asks.
    pub usage: &'a BTreeMap<ResourceOf, Usage>,
    /// The readings of the action's vetoes, by name.
    pub vetoes: &'a BTreeMap<String, Reading>,
}

/// The usage of a resource: by pod, or why it is not known.
pub type Usage = Result<BTreeMap<String, PodUsage>, String>;

impl Inputs<'_> {
    /// The demand as it is now; `None` where none is configured or its reading is not one fresh
    /// number.
    pub fn demand(&self, action: &ReplicasAction) -> Option<Finite> {
        let demand = action.verification.as_ref()?.demand.as_ref()?;
        self.signals.get(&demand.signal)?.number().ok()
    }
}

/// What an action wants.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The action's name.
    pub action: String,
    /// The number of replicas on which it was decided.
    pub from: Replicas,
    /// The number wanted. Never `from`.
    pub to: Replicas,
    /// Which way that is.
    pub direction: Direction,
    /// Why, in one sentence.
    pub reason: String,
    /// The calculation, in lines that a human can redo.
    pub arithmetic: Vec<String>,
    /// The alerts that led to it, the worst [`EVIDENCE_CAP`] of them.
    pub alerts: Vec<Alert>,
    /// The demand at this time.
    pub demand: Option<Finite>,
}

/// What comes of one pass of one action.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// A change is wanted.
    Propose(Proposal),
    /// No change is wanted.
    Stay {
        /// Why, in one sentence.
        reason: String,
        /// The calculation, as far as it went.
        arithmetic: Vec<String>,
    },
}

/// What a law asks for. `reason` and `arithmetic` go into the [`Decision`].
struct Wish {
    desired: Replicas,
    reason: String,
    arithmetic: Vec<String>,
    alerts: Vec<Alert>,
    /// Whether all that it rests on is known. Where it isn't, `desired` is not less than the present
    /// number, and nothing else may be taken away on the strength of it either.
    may_decrease: bool,
    /// Whether any of it was measured, and not substituted.
    measured: bool,
}

/// What `action` wants, and its history with this pass in it: the new recommendation is appended,
/// what has no influence any more is dropped, and a latch is lifted once it expires or demand or signal
/// move.
///
/// A decrease is proposed only once a whole window was observed by this process, because stored
/// history is written on transitions only: the stabilisation window, and for the step law also its
/// `after`. The exception is a number above `max`, which goes down to `max` at once, as in HPA.
pub fn decide(action: &ReplicasAction, inputs: &Inputs<'_>, facts: &Facts, now: Timestamp) -> (Decision, History) {
    let mut history = pruned(&facts.history, action, inputs, now);
    let decision = outside(action, inputs, facts.current).unwrap_or_else(|| {
        match replicas::wish(action, inputs, facts, now) {
            Ok(wish) => {
                let (to, note) = stabilize::stabilize(facts.current, wish.desired, &history, action, now);
                stabilize::record(&mut history, wish.desired, now, action);
                settle(action, inputs, facts.current, to, wish, note)
            }
            Err(no_number) => {
                // Staying is what was recommended meanwhile. After an outage the windows of PromQL
                // are half empty and read low, and a decrease then has to wait for a whole window.
                stabilize::record(&mut history, facts.current, now, action);
                Decision::Stay {
                    reason: no_number.to_string(),
                    arithmetic: Vec::new(),
                }
            }
        }
    });
    (decision, history)
}

/// What needs no law: a workload that was scaled to zero by hand, and one outside of its bounds.
fn outside(action: &ReplicasAction, inputs: &Inputs<'_>, current: Replicas) -> Option<Decision> {
    let Bounds { min, max } = action.bounds;
    if current.get() == 0 && min.get() > 0 {
        let reason = "scaled to zero by hand; scale to 1 or more to hand it back".to_owned();
        return Some(Decision::Stay {
            reason,
            arithmetic: Vec::new(),
        });
    }
    let (to, reason) = if current > max {
        (max, format!("{current} replicas are more than max {max}"))
    } else if current < min {
        (
            min,
            format!("{current} replicas are fewer than min {min}, which needs no data"),
        )
    } else {
        return None;
    };
    let wish = Wish {
        desired: to,
        reason,
        arithmetic: Vec::new(),
        alerts: Vec::new(),
        may_decrease: true,
        measured: true,
    };
    Some(settle(action, inputs, current, to, wish, None))
}

/// From a stabilised wish to a decision.
fn settle(
    action: &ReplicasAction,
    inputs: &Inputs<'_>,
    from: Replicas,
    to: Replicas,
    wish: Wish,
    note: Option<String>,
) -> Decision {
    let Wish {
        desired: _,
        mut reason,
        mut arithmetic,
        alerts,
        ..
    } = wish;
    arithmetic.extend(note.clone());
    let direction = match Direction::between(from, to) {
        Some(Direction::Up) if from >= action.bounds.max => {
            reason = format!("{reason}; but there are max {from} replicas already: raise max to allow more");
            None
        }
        Some(Direction::Down) if from <= action.bounds.min => {
            reason = format!("{reason}; but there are only min {from} replicas: lower min to allow fewer");
            None
        }
        None => {
            if let Some(note) = note {
                reason = format!("{reason}; {note}");
            }
            None
        }
        some => some,
    };
    let Some(direction) = direction else {
        return Decision::Stay { reason, arithmetic };
    };
    let demand = inputs.demand(action);
    Decision::Propose(Proposal {
        action: action.name.clone(),
        from,
        to,
        direction,
        reason,
        arithmetic,
        alerts,
        demand,
    })
}

/// History without what has no influence any more.
fn pruned(history: &History, action: &ReplicasAction, inputs: &Inputs<'_>, now: Timestamp) -> History {
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

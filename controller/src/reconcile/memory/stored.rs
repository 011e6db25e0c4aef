//! What of a policy's memory is stored in its status, and how it is read back.

use super::ActionMemory;
use crate::{
    clock::{from_micro_time, micro_time},
    reconcile::decision,
    text::{clean, same_words},
};
use flyball_core::{
    decide::{Direction, History, Latch, Recommendation, RolloutStart, ScaleEvent},
    evaluate::{Alert, AlertPhase, RuleState},
    policy::Replicas,
    signal::Finite,
    time::{Span, Timestamp},
};
use flyball_crds::{self as crds, ActionStatus};
use std::collections::BTreeMap;

/// How many alerts of a rule are stored.
const STORED_ALERTS: usize = 32;
/// The end of a spike is written ahead by one of so many parts of its hold.
const AHEAD: u64 = 4;

pub(super) fn rule_state(rule: &crds::RuleStatus) -> RuleState {
    let alerts = rule.alerts.iter().filter_map(|alert| {
        Some(Alert {
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            phase: match alert.state {
                crds::AlertState::Pending => AlertPhase::Pending,
                crds::AlertState::Firing => AlertPhase::Firing,
                crds::AlertState::Inactive => return None,
            },
            active_at: from_micro_time(alert.active_at.as_ref()?),
            keep_firing_since: alert.keep_firing_since.as_ref().map(from_micro_time),
            value: alert.value.parse().unwrap_or(f64::NAN),
        })
    });
    // Quiet is not restored: after a restart decreases wait one window.
    RuleState {
        alerts: alerts.collect(),
        quiet_since: None,
        error: None,
    }
}

pub(super) fn restored(action: &ActionStatus, now: Timestamp) -> ActionMemory {
    let replicas = |value: i32| Replicas::new(value.into());
    let past = |at: &Option<_>| at.as_ref().map(|at| from_micro_time(at).min(now));
    let history = History {
        recommendations: action
            .recommendations
            .iter()
            .filter_map(|entry| {
                Some(Recommendation {
                    at: past(&entry.at)?,
                    replicas: replicas(entry.replicas)?,
                })
            })
            .collect(),
        events: action
            .events
            .iter()
            .filter_map(|event| {
                Some(ScaleEvent {
                    at: past(&event.at)?,
                    from: replicas(event.from)?,
                    to: replicas(event.to)?,
                })
            })
            .collect(),
        last_verified: action.verified.and_then(replicas),
        latch: action.latch.as_ref().and_then(|latch| {
            Some(Latch {
                direction: direction(latch.direction),
                demand: latch.demand.and_then(Finite::new),
                signal: latch.signal,
                until: from_micro_time(latch.until.as_ref()?),
            })
        }),
        spike_until: action.spike_until.as_ref().map(from_micro_time),
        no_data_since: past(&action.no_data_since),
        idle_since: past(&action.idle_since),
        rollout: action.rollout.as_ref().and_then(|rollout| {
            Some(RolloutStart {
                at: past(&rollout.at)?,
                replicas: replicas(rollout.replicas)?,
            })
        }),
        observing_since: now,
    };
    ActionMemory {
        history,
        written: action.written.and_then(replicas),
        recorded: action.recorded,
        yielded: action.yielded.clone(),
        decision: action.last_decision.clone(),
        stood: decision::stood(action.last_decision.as_ref()),
    }
}

/// A direction as the core has it.
pub fn direction(direction: crds::Direction) -> Direction {
    match direction {
        crds::Direction::Up => Direction::Up,
        crds::Direction::Down => Direction::Down,
    }
}

/// A direction as it is written.
pub fn stored_direction(direction: Direction) -> crds::Direction {
    match direction {
        Direction::Up => crds::Direction::Up,
        Direction::Down => crds::Direction::Down,
    }
}

/// A number of replicas as it is written. It is at most [`Replicas::MAX`].
pub fn stored_replicas(replicas: Replicas) -> i32 {
    i32::try_from(replicas.get()).unwrap_or(i32::MAX)
}

/// An alert as it is written.
pub fn stored_alert(alert: &Alert) -> crds::AlertStatus {
    crds::AlertStatus {
        labels: alert.labels.clone(),
        state: match alert.phase {
            AlertPhase::Pending => crds::AlertState::Pending,
            AlertPhase::Firing => crds::AlertState::Firing,
        },
        active_at: Some(micro_time(alert.active_at)),
        keep_firing_since: alert.keep_firing_since.map(micro_time),
        value: alert.value.to_string(),
        annotations: alert.annotations.clone(),
    }
}

/// Values and annotations move with every evaluation; they are written only with a transition.
pub(super) fn stored_rule(name: &str, rule: &RuleState, written: &crds::FeedbackPolicyStatus) -> crds::RuleStatus {
    let before = written.rules.iter().find(|before| before.alert == name);
    let mut oldest: Vec<&Alert> = rule.alerts.iter().collect();
    oldest.sort_by(|a, b| a.active_at.cmp(&b.active_at).then_with(|| a.labels.cmp(&b.labels)));
    let alerts = oldest.into_iter().take(STORED_ALERTS).map(|alert| {
        let now = stored_alert(alert);
        let same = before.into_iter().flat_map(|before| &before.alerts).find(|known| {
            known.labels == now.labels
                && known.state == now.state
                && known.active_at == now.active_at
                && known.keep_firing_since == now.keep_firing_since
        });
        same.cloned().unwrap_or(now)
    });
    crds::RuleStatus {
        alert: name.to_owned(),
        from: None,
        state: if rule.is_firing() {
            crds::AlertState::Firing
        } else if rule.is_pending() {
            crds::AlertState::Pending
        } else {
            crds::AlertState::Inactive
        },
        quiet_since: rule.quiet_since.map(micro_time),
        alerts: alerts.collect(),
        error: rule
            .error
            .as_ref()
            .map(|error| stored_error(&clean(error), before.and_then(|before| before.error.as_deref()))),
    }
}

/// An outage says the same with every pass, but for a duration or the id of a trace. A status of every policy
/// with every pass is the last thing that the cluster needs then.
pub(super) fn stored_error(error: &str, before: Option<&str>) -> String {
    let same = before.filter(|before| same_words(before, error));
    same.unwrap_or(error).to_owned()
}

/// While a spike goes on, its end moves with every pass. It is written ahead by a part of its hold and
/// then again only once it has got there: some writes a hold, whatever the interval, and a restart may draw the
/// hold out by that part but never cuts it short, which would take away what the hold is there to keep.
pub(super) fn stored_spike(until: Timestamp, hold: Option<Span>, before: Option<Timestamp>) -> Timestamp {
    let ahead = until + Span::from_millis(hold.unwrap_or(Span::ZERO).as_millis() / AHEAD);
    before
        .filter(|before| until <= *before && *before <= ahead)
        .unwrap_or(ahead)
}

pub(super) fn stored_action(
    name: &str,
    action: &ActionMemory,
    hold: Option<Span>,
    written: &crds::FeedbackPolicyStatus,
) -> ActionStatus {
    let before = written.actions.iter().find(|before| before.name == name);
    let history = &action.history;
    let recommendations: Vec<_> = history
        .recommendations
        .iter()
        .map(|entry| crds::RecommendationStatus {
            at: Some(micro_time(entry.at)),
            replicas: stored_replicas(entry.replicas),
        })
        .collect();
    // What was recommended is written when the recommendation moves, not each time it is made again.
    let moved = before
        .and_then(|before| before.recommendations.last())
        .map(|last| last.replicas)
        != recommendations.last().map(|last| last.replicas);
    ActionStatus {
        name: name.to_owned(),
        verified: history.last_verified.map(stored_replicas),
        written: action.written.map(stored_replicas),
        weights: None,
        runtime: None,
        capture: None,
        recorded: action.recorded,
        recommendations: match before {
            Some(before) if !moved => before.recommendations.clone(),
            _ => recommendations,
        },
        events: history
            .events
            .iter()
            .map(|event| crds::ScaleEventStatus {
                at: Some(micro_time(event.at)),
                from: stored_replicas(event.from),
                to: stored_replicas(event.to),
            })
            .collect(),
        latch: history.latch.as_ref().map(|latch| crds::LatchStatus {
            direction: stored_direction(latch.direction),
            until: Some(micro_time(latch.until)),
            demand: latch.demand.map(Finite::get),
            signal: latch.signal.filter(|signal| signal.is_finite()),
        }),
        spike_until: history.spike_until.map(|until| {
            let before = before.and_then(|before| before.spike_until.as_ref());
            micro_time(stored_spike(until, hold, before.map(from_micro_time)))
        }),
        no_data_since: history.no_data_since.map(micro_time),
        idle_since: history.idle_since.map(micro_time),
        rollout: history.rollout.map(|rollout| crds::RecommendationStatus {
            at: Some(micro_time(rollout.at)),
            replicas: stored_replicas(rollout.replicas),
        }),
        yielded: action.yielded.clone(),
        last_decision: action.decision.clone(),
    }
}

pub(super) fn alerts_in_short(rules: &BTreeMap<String, RuleState>) -> String {
    let states = rules
        .iter()
        .filter_map(|(name, rule)| match (rule.is_firing(), rule.is_pending()) {
            (true, _) => Some(format!("{name} firing")),
            (_, true) => Some(format!("{name} pending")),
            _ => None,
        });
    let short: Vec<String> = states.collect();
    if short.is_empty() {
        "none".to_owned()
    } else {
        short.join(", ")
    }
}

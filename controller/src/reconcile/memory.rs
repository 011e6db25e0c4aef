//! What a policy remembers from pass to pass, and how it survives a restart.

use super::{decision, evidence::joined};
use crate::clock::{from_micro_time, micro_time};
use crate::observe::prometheus_rules::{Referred, RulesProblem};
use crate::text::clean;
use crate::validate::{self, FieldError, Resolved};
use flyball_core::{
    decide::{Direction, History, Latch, Recommendation, RolloutStart, ScaleEvent},
    evaluate::{Alert, AlertPhase, RuleError, RuleState},
    policy::{Condition, Policy, Replicas},
    signal::Finite,
    time::Timestamp,
};
use flyball_crds::{self as crds, ActionStatus, Change, DecisionStatus, FeedbackPolicy, Reason, YieldStatus};
use kube::ResourceExt;
use std::{collections::BTreeMap, sync::Arc};

/// How many alerts of a rule are stored.
const STORED_ALERTS: usize = 32;
/// How many rules are stored.
const STORED_RULES: usize = 32;

/// The memory of one action.
#[derive(Clone, Debug)]
pub struct ActionMemory {
    /// What the decisions rest on.
    pub history: History,
    /// The last value that we wrote.
    pub written: Option<Replicas>,
    /// How many records without a write were made.
    pub recorded: i64,
    /// To whom the field was left.
    pub yielded: Option<YieldStatus>,
    /// The last decision that differed from the one before.
    pub decision: Option<DecisionStatus>,
    /// A decrease that was recorded before this process was started, until it is decided on anew.
    pub stood: Option<DecisionStatus>,
}

/// The memory of one policy.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The generation that `policy` was read from.
    pub generation: Option<i64>,
    /// What its reference to a PrometheusRule led to then.
    pub referred: Referred,
    /// The policy, or everything that is wrong with it. While `held` it has its own rules only.
    pub policy: Result<Arc<Policy>, Vec<FieldError>>,
    /// Why the rules that the policy refers to can't be taken: nothing is decided then.
    pub held: Option<(Reason, String)>,
    /// Where each taken rule is from, by alert.
    pub origins: BTreeMap<String, String>,
    /// The rules' states.
    pub rules: BTreeMap<String, RuleState>,
    /// The actions' memories.
    pub actions: BTreeMap<String, ActionMemory>,
    /// The status as it was last written or read.
    pub written: crds::FeedbackPolicyStatus,
    /// The sequence of the open Change, and the demand as first read with its range filled since that was
    /// proposed. Forgotten by a restart, after which a surge has to be larger.
    pub filled: Option<(u64, Finite)>,
    /// The sequence of the Change whose write was learned of last.
    pub recalled: Option<u64>,
    /// The sequence of the Change whose end was learned from last.
    pub learned: Option<u64>,
    observing_since: Timestamp,
}

impl Memory {
    /// Starts from what the policy's status and its Changes hold.
    pub fn restore(object: &FeedbackPolicy, changes: &[Arc<Change>], now: Timestamp) -> Self {
        let status = object.status.clone().unwrap_or_default();
        let rules = status
            .rules
            .iter()
            .map(|rule| (rule.alert.clone(), rule_state(rule)))
            .collect();
        let mut memory = Self {
            generation: None,
            referred: Referred::Nothing,
            policy: Err(Vec::new()),
            held: None,
            origins: status
                .rules
                .iter()
                .filter_map(|rule| Some((rule.alert.clone(), rule.from.clone()?)))
                .collect(),
            rules,
            actions: status
                .actions
                .iter()
                .map(|action| (action.name.clone(), restored(action, now)))
                .collect(),
            written: status,
            filled: None,
            recalled: None,
            learned: None,
            observing_since: now,
        };
        // First what there is to remember, also where no status was ever written. The first pass looks for
        // what the policy refers to; until then its rules are held as they were.
        memory.parse(object, &unread(object));
        for change in changes {
            memory.recall(change, now);
        }
        memory
    }

    /// Reads the spec and what it refers to, if either changed since it was last read. Says whether it did.
    pub fn parse(&mut self, object: &FeedbackPolicy, referred: &Referred) -> bool {
        let same = self.generation == object.metadata.generation && self.generation.is_some();
        if same && self.referred == *referred {
            return false;
        }
        self.generation = object.metadata.generation;
        self.referred = referred.clone();
        self.held = None;
        let before = std::mem::replace(&mut self.policy, validate::policy(&object.spec).map(Arc::new));
        if let Ok(own) = self.policy.clone() {
            match taken(object, referred) {
                Ok(None) => self.whole(Arc::clone(&own), BTreeMap::new()),
                Ok(Some(resolved)) => self.whole(Arc::new(resolved.policy), resolved.origins),
                Err(held) => self.hold(object, &own, held),
            }
            if let (Ok(before), Ok(now)) = (&before, &self.policy) {
                self.rules
                    .iter_mut()
                    .filter(|(name, _)| asked(before, name) != asked(now, name))
                    .for_each(|(_, state)| state.quiet_since = None);
            }
            let names: Vec<String> = own.actions.iter().map(|action| action.name.clone()).collect();
            self.actions.retain(|name, _| names.contains(name));
            for name in names {
                self.actions.entry(name).or_insert_with(|| ActionMemory {
                    history: History::new(self.observing_since),
                    written: None,
                    recorded: 0,
                    yielded: None,
                    decision: None,
                    stood: None,
                });
            }
        }
        // An edit takes up again what was left to somebody else. An edit of a PrometheusRule is none of
        // the policy: whoever made it may not know of the policy at all.
        for action in self.actions.values_mut() {
            action.yielded = action
                .yielded
                .take()
                .filter(|yielded| Some(yielded.generation) == self.generation);
        }
        true
    }

    /// Everything that the policy needs is there.
    fn whole(&mut self, policy: Arc<Policy>, origins: BTreeMap<String, String>) {
        self.rules.retain(|name, _| policy.rules.contains_key(name));
        self.origins = origins;
        self.policy = Ok(policy);
    }

    /// Rules can't be taken: their alerts stay as they were, as after a query that failed, and their quiet
    /// proves nothing any more.
    fn hold(&mut self, object: &FeedbackPolicy, own: &Policy, (reason, message): (Reason, String)) {
        let mut room = STORED_RULES.saturating_sub(own.rules.len());
        self.rules.retain(|name, state| {
            if own.rules.contains_key(name) {
                return true;
            }
            let keep = room > 0 && validate::asks_for(&object.spec, name);
            room -= usize::from(keep);
            state.quiet_since = None;
            state.error = Some(RuleError::Rule {
                alert: name.clone(),
                detail: clean(&message),
            });
            keep
        });
        self.origins.retain(|name, _| self.rules.contains_key(name));
        self.held = Some((reason, message));
    }

    /// What a Change tells that a crash may have kept from the status: that it was written.
    pub fn recall(&mut self, change: &Change, now: Timestamp) {
        let Some(at) = change.status.as_ref().and_then(|status| status.applied_at.as_ref()) else {
            return;
        };
        let Some(action) = self.actions.get_mut(&change.spec.action) else {
            return;
        };
        let at = from_micro_time(at).min(now);
        let known = action.history.events.iter().any(|event| event.at == at);
        if let (false, Some(from), Some(to)) = (
            known,
            Replicas::new(change.spec.before.into()),
            Replicas::new(change.spec.after.into()),
        ) {
            action.history.events.push(ScaleEvent { at, from, to });
            action.written = Some(to);
            action.history.events.sort_by_key(|event| event.at);
        }
    }

    /// The first baseline is the value found at adoption, and so is one that somebody wrote while no
    /// Change of ours held the field.
    pub fn adopt(&mut self, current: Replicas) {
        for action in self.actions.values_mut() {
            let ours = action.written == Some(current);
            let history = &mut action.history;
            if history.last_verified.is_none() || (!ours && history.last_verified != Some(current)) {
                history.last_verified = Some(current);
            }
        }
    }

    /// All actions move one field, so all of them learn of its changes.
    pub fn moved(&mut self, event: ScaleEvent) {
        for action in self.actions.values_mut() {
            action.written = Some(event.to);
            if !action.history.events.iter().any(|known| known.at == event.at) {
                action.history.events.push(event);
            }
        }
    }

    /// A number was verified.
    pub fn verified(&mut self, replicas: Replicas) {
        for action in self.actions.values_mut() {
            action.history.last_verified = Some(replicas);
        }
    }

    /// The part of the status that must survive a restart.
    pub fn store(&self, status: &mut crds::FeedbackPolicyStatus) {
        status.rules = self
            .rules
            .iter()
            .map(|(name, rule)| crds::RuleStatus {
                from: self.origins.get(name).cloned(),
                ..stored_rule(name, rule, &self.written)
            })
            .collect();
        status.actions = self
            .actions
            .iter()
            .map(|(name, action)| stored_action(name, action, &self.written))
            .collect();
        status.alerts = alerts_in_short(&self.rules);
    }
}

/// What a rule asks. Its quiet proves nothing of what another expression would have found.
fn asked<'p>(policy: &'p Policy, rule: &str) -> Option<&'p Condition> {
    policy.rules.get(rule).map(|rule| &rule.condition)
}

/// What a reference is before it was looked for.
fn unread(object: &FeedbackPolicy) -> Referred {
    match object.spec.prometheus_rule_ref {
        None => Referred::Nothing,
        Some(_) => Referred::Problem(RulesProblem::Unread("the first pass is still to come".to_owned())),
    }
}

/// The policy with the rules that it takes, `None` where it takes none; or why they can't be taken.
fn taken(object: &FeedbackPolicy, referred: &Referred) -> Result<Option<Resolved>, (Reason, String)> {
    match referred {
        Referred::Nothing => Ok(None),
        Referred::Problem(problem) => Err((problem.reason(), problem.to_string())),
        Referred::Found(found) => validate::policy_with(&object.spec, found)
            .map(Some)
            .map_err(|errors| (Reason::RulesInvalid, joined(&errors))),
    }
}

fn rule_state(rule: &crds::RuleStatus) -> RuleState {
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

fn restored(action: &ActionStatus, now: Timestamp) -> ActionMemory {
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
fn stored_rule(name: &str, rule: &RuleState, written: &crds::FeedbackPolicyStatus) -> crds::RuleStatus {
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
        error: rule.error.as_ref().map(ToString::to_string),
    }
}

fn stored_action(name: &str, action: &ActionMemory, written: &crds::FeedbackPolicyStatus) -> ActionStatus {
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
        spike_until: history.spike_until.map(micro_time),
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

fn alerts_in_short(rules: &BTreeMap<String, RuleState>) -> String {
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

/// The Changes of a policy, oldest first.
pub fn changes_of(changes: &[Arc<Change>], object: &FeedbackPolicy) -> Vec<Arc<Change>> {
    let uid = object.uid().unwrap_or_default();
    let mut own: Vec<_> = changes
        .iter()
        .filter(|change| change.spec.policy.uid == uid)
        .cloned()
        .collect();
    own.sort_by_key(|change| change.spec.proposed_at.0);
    own
}

#[cfg(test)]
mod tests;

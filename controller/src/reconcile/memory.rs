//! What a policy remembers from pass to pass, and how it survives a restart.

mod stored;

use stored::{alerts_in_short, restored, rule_state, stored_action, stored_rule};
pub use stored::{direction, stored_alert, stored_direction, stored_replicas};

use super::{
    answers::{capture::memory::CaptureMemory, notify::NotifyMemory, relieve::ReliefMemory},
    evidence::joined,
    runtime::memory::RuntimeMemory,
    weights::memory::{WeightsMemory, restored as restored_weights},
};
use crate::clock::from_micro_time;
use crate::observe::prometheus_rules::{Referred, RulesProblem};
use crate::text::clean;
use crate::validate::{self, FieldError, Resolved};
use flyball_core::{
    decide::{History, ScaleEvent},
    evaluate::{RuleError, RuleState, watermark::WatermarkState},
    policy::{Answer, AnswerKind, Condition, Policy, Replicas},
    signal::Finite,
    time::{Span, Timestamp},
};
use flyball_crds::{self as crds, Change, DecisionStatus, FeedbackPolicy, Reason, YieldStatus};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

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
    /// The watermarks' states, by name. What of them must survive a restart stands in the states of their rules.
    pub watermarks: BTreeMap<String, WatermarkState>,
    /// The UID of the target that the actions' memories are about.
    pub target: Option<String>,
    /// The memories of the actions that move replicas.
    pub actions: BTreeMap<String, ActionMemory>,
    /// Those of the actions that move weights.
    pub weights: BTreeMap<String, WeightsMemory>,
    /// That of a policy that moves a runtime's knobs.
    pub runtime: Option<RuntimeMemory>,
    /// Those of the actions that take evidence.
    pub captures: BTreeMap<String, CaptureMemory>,
    /// The status as it was last written or read.
    pub written: crds::FeedbackPolicyStatus,
    /// The sequence of the open Change, and the demand as first read with its range filled since that was
    /// proposed. Forgotten by a restart, after which a surge has to be larger.
    pub filled: Option<(u64, Finite)>,
    /// The sequence of the Change whose write was learned of last. `None`: all of them are to be looked at.
    pub recalled: Option<u64>,
    /// The sequence of the Change whose end was learned from last.
    pub learned: Option<u64>,
    /// What was told to Alertmanager. Forgotten by a restart, after which what fires is told again.
    pub(super) notify: NotifyMemory,
    /// What came of relieving pods.
    pub(super) relief: ReliefMemory,
}

impl ActionMemory {
    /// Nothing is remembered of an action that is first seen at `now`.
    fn new(now: Timestamp) -> Self {
        Self {
            history: History::new(now),
            written: None,
            recorded: 0,
            yielded: None,
            decision: None,
            stood: None,
        }
    }

    /// What is remembered is about another object.
    fn forget(&mut self, now: Timestamp) {
        self.history = History::new(now);
        self.written = None;
        self.yielded = None;
        self.target_gone();
    }
}

impl Memory {
    /// Starts from what the policy's status holds. What its Changes tell beyond that is learned with the
    /// first pass that sees the target.
    pub fn restore(object: &FeedbackPolicy, now: Timestamp) -> Self {
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
            watermarks: BTreeMap::new(),
            target: status.target_uid.clone(),
            weights: restored_weights(&status.actions, now),
            runtime: RuntimeMemory::restored(&status.actions),
            captures: status
                .actions
                .iter()
                .filter_map(|action| Some((action.name.clone(), CaptureMemory::restored(action)?)))
                .collect(),
            actions: status
                .actions
                .iter()
                .filter(|action| action.weights.is_none() && action.runtime.is_none() && action.capture.is_none())
                .map(|action| (action.name.clone(), restored(action, now)))
                .collect(),
            written: status,
            filled: None,
            recalled: None,
            learned: None,
            notify: NotifyMemory::default(),
            relief: ReliefMemory::default(),
        };
        // The first pass looks for what the policy refers to; until then its rules are held as they were.
        memory.parse(object, &unread(object), now);
        memory
    }

    /// Reads the spec and what it refers to, if either changed since it was last read, and says whether it did. An
    /// action that it names for the first time has seen nothing yet.
    pub fn parse(&mut self, object: &FeedbackPolicy, referred: &Referred, now: Timestamp) -> bool {
        let same = self.generation == object.metadata.generation && self.generation.is_some();
        if same && self.referred == *referred {
            return false;
        }
        self.generation = object.metadata.generation;
        self.referred = referred.clone();
        self.held = None;
        let namespace = object.namespace().unwrap_or_default();
        let own = validate::policy(&object.spec).map(|policy| Arc::new(policy.within(&namespace)));
        let before = std::mem::replace(&mut self.policy, own);
        if let Ok(own) = self.policy.clone() {
            match taken(object, referred) {
                Ok(None) => self.whole(Arc::clone(&own), BTreeMap::new()),
                Ok(Some(resolved)) => {
                    let policy = resolved.policy.within(&namespace);
                    self.whole(Arc::new(policy), resolved.origins);
                }
                Err(held) => self.hold_rules(object, &own, held),
            }
            if let (Ok(before), Ok(now)) = (&before, &self.policy) {
                self.rules
                    .iter_mut()
                    .filter(|(name, _)| asked(before, name) != asked(now, name))
                    .for_each(|(_, state)| state.quiet_since = None);
            }
            let names: Vec<String> = own.actions.iter().map(|action| action.name.clone()).collect();
            self.actions.retain(|name, _| names.contains(name));
            self.weights
                .retain(|name, _| own.weights.iter().any(|action| action.name == *name));
            self.captures.retain(|name, _| {
                let takes = |answer: &Answer| matches!(answer.kind, AnswerKind::Capture(_));
                own.answers.iter().any(|answer| answer.name == *name && takes(answer))
            });
            self.runtime = self.runtime.take().filter(|_| !own.runtime.is_empty());
            for name in names {
                if let Entry::Vacant(vacant) = self.actions.entry(name) {
                    vacant.insert(ActionMemory::new(now));
                    // The field that it moves may hold a value of ours, which its Change tells.
                    self.recalled = None;
                }
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
        if let Some(action) = &mut self.runtime
            && action
                .yielded
                .as_ref()
                .is_some_and(|yielded| Some(yielded.generation) != self.generation)
        {
            (action.yielded, action.written) = (None, None);
        }
        for action in self.weights.values_mut() {
            // What is found then is adopted.
            let edited = |yielded: &YieldStatus| Some(yielded.generation) != self.generation;
            if action.yielded.as_ref().is_some_and(edited) {
                (action.yielded, action.written) = (None, None);
            }
        }
        true
    }

    /// Everything that the policy needs is there.
    fn whole(&mut self, policy: Arc<Policy>, origins: BTreeMap<String, String>) {
        self.rules.retain(|name, _| policy.rules.contains_key(name));
        self.watermarks
            .retain(|name, _| policy.watermarks.iter().any(|mark| mark.name == *name));
        self.origins = origins;
        self.policy = Ok(policy);
    }

    /// Rules can't be taken: their alerts stay as they were, as after a query that failed, and their quiet
    /// proves nothing any more.
    fn hold_rules(&mut self, object: &FeedbackPolicy, own: &Policy, (reason, message): (Reason, String)) {
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

    /// Takes in which object the target is. What is remembered of another one, be it that the policy
    /// moves to it or that it was made anew under its old name, says nothing of this one.
    pub fn aim(&mut self, uid: &str, now: Timestamp) {
        if self.target.as_deref() == Some(uid) {
            return;
        }
        // A status of a version that did not write the UID is taken to be about the present target.
        if self.target.replace(uid.to_owned()).is_some() {
            (self.filled, self.recalled, self.learned) = (None, None, None);
            for action in self.actions.values_mut() {
                action.forget(now);
            }
        }
    }

    /// Nothing was decided in this pass.
    ///
    /// In mode Observe the laws could run for their history alone, and a policy that is set to Enforce
    /// could take away at once what they had not asked for all the while. It waits for a window instead,
    /// as a new HorizontalPodAutoscaler does: whoever sets it to Enforce sees what it is about to take away, and
    /// has the time to say no.
    pub fn unobserved(&mut self, now: Timestamp) {
        for action in self.actions.values_mut() {
            action.history.unobserved(now);
        }
        for action in self.weights.values_mut() {
            action.unobserved(now);
        }
    }

    /// What the Changes of the present target, oldest first, tell that a crash may have kept from the
    /// status: that they were written. The newest of them wrote the value that is ours.
    pub fn recall(&mut self, changes: &[Arc<Change>], now: Timestamp) {
        let moves: Vec<ScaleEvent> = changes.iter().flat_map(|change| moves(change, now)).collect();
        let Some(last) = moves.last() else { return };
        let verified = changes
            .iter()
            .rev()
            .find(|change| is_applied(change))
            .and_then(verified);
        for action in self.actions.values_mut() {
            let history = &mut action.history;
            // What is older than an event that is known was known, and dropped since.
            let known = history.events.iter().map(|event| event.at).max();
            let new = moves.iter().filter(|event| known.is_none_or(|known| known < event.at));
            history.events.extend(new);
            history.last_verified = history.last_verified.or(verified);
            action.written = Some(last.to);
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

    /// For how long a spike of this action holds, if it has a spike mode.
    fn hold(&self, name: &str) -> Option<Span> {
        let actions = &self.policy.as_ref().ok()?.actions;
        let action = actions.iter().find(|action| action.name == name)?;
        action.spike.map(|spike| spike.hold)
    }

    /// The part of the status that must survive a restart.
    pub fn store(&self, status: &mut crds::FeedbackPolicyStatus) {
        status.target_uid.clone_from(&self.target);
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
            .map(|(name, action)| stored_action(name, action, self.hold(name), &self.written))
            .collect();
        let weights = self.weights.iter().map(|(name, action)| action.stored(name));
        status.actions.extend(weights);
        let first = self.policy.as_ref().ok().and_then(|policy| policy.runtime.first());
        let runtime = self.runtime.as_ref().zip(first);
        status
            .actions
            .extend(runtime.map(|(memory, action)| memory.stored(&action.name)));
        status
            .actions
            .extend(self.captures.iter().map(|(name, action)| action.stored(name)));
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

/// Whether the target was written.
pub fn is_applied(change: &Change) -> bool {
    let status = change.status.as_ref();
    change.spec.sequence > 0 && status.is_some_and(|status| status.applied_at.is_some())
}

/// What a Change did to its target: that it was written, and that it was taken back.
fn moves(change: &Change, now: Timestamp) -> Vec<ScaleEvent> {
    let status = change.status.as_ref();
    let past = |at: &_| from_micro_time(at).min(now);
    let number = |value: i32| Replicas::new(value.into());
    let (Some(before), Some(after)) = (number(change.spec.before), number(change.spec.after)) else {
        return Vec::new();
    };
    let applied = status
        .and_then(|status| status.applied_at.as_ref())
        .map(|at| ScaleEvent {
            at: past(at),
            from: before,
            to: after,
        });
    let back = status
        .filter(|status| status.phase == crds::Phase::RolledBack)
        .and_then(|status| {
            Some(ScaleEvent {
                at: past(status.closed_at.as_ref()?),
                from: after,
                to: status.rollback_to.and_then(number).unwrap_or(before),
            })
        });
    applied.into_iter().chain(back).collect()
}

/// The last verified number, as far as a Change that was written knows it.
fn verified(change: &Arc<Change>) -> Option<Replicas> {
    let committed = change.status.as_ref().map(|status| status.phase) == Some(crds::Phase::Committed);
    let number = if committed {
        change.spec.after
    } else {
        change.spec.verified
    };
    Replicas::new(number.into())
}

#[cfg(test)]
mod tests;

//! What the actions on a runtime's knobs want: the first whose rules fire sets them, and the one without rules where
//! none does. A price and a set-point are knobs; the law behind them runs in the agent, once a second.

use super::{EVIDENCE_CAP, Inputs, budget, fit, runtime::Profile};
use crate::{
    evaluate::{Alert, RuleState},
    policy::{Condition, EnvOption, Knobs, RuntimeAction, RuntimeAim, Setting},
    signal::{Quality, Reading},
    time::Timestamp,
};
use std::collections::BTreeMap;

/// What is remembered of a runtime's knobs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeHistory {
    /// When a setting of ours was accepted last.
    pub moved_at: Option<Timestamp>,
    /// The last setting whose effect was verified.
    pub verified: Option<Setting>,
    /// When collections were asked for last.
    pub reclaimed_at: Option<Timestamp>,
}

/// What the agent of a pod tells. What it does not tell is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AgentFacts {
    /// The generation in force; 0: none.
    pub applied: Option<u64>,
    /// Whether its breaker tripped.
    pub tripped: bool,
    /// What a collection left of the heap, in bytes.
    pub live: Option<f64>,
    /// The container's limit in bytes, if it has one.
    pub limit: Option<f64>,
    /// What is resident beside the heap in use, in bytes.
    pub beside: Option<f64>,
}

/// What a decision on knobs rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeFacts {
    /// What the workload's pods are to have now.
    pub current: Setting,
    /// The ready pods of the workload, by name, with what their agents tell.
    pub pods: BTreeMap<String, AgentFacts>,
    /// The processes of the namespace by pod, where an action divides a budget among them or asks what room they leave.
    pub fleet: BTreeMap<String, Profile>,
    /// What is remembered.
    pub history: RuntimeHistory,
}

/// A setting that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeProposal {
    /// Of which action.
    pub action: String,
    /// The setting that was found.
    pub from: Setting,
    /// The setting that is wanted, without a trial.
    pub to: Setting,
    /// Why, in one sentence.
    pub reason: String,
    /// Lines that can be computed again by hand.
    pub arithmetic: Vec<String>,
    /// The alerts that asked for it.
    pub alerts: Vec<Alert>,
}

/// What the actions want.
#[derive(Clone, Debug, PartialEq)]
pub enum RuntimeDecision {
    /// Another setting.
    Propose(Box<RuntimeProposal>),
    /// The present one.
    Stay {
        /// Why.
        reason: String,
    },
}

/// Whether rules drive an action.
enum Drive<'a> {
    /// They do, by these alerts.
    By(Vec<&'a Alert>),
    /// They do not.
    No,
    /// That is not known.
    Unknown(String),
}

/// Decides. While it is not known whether the rules of an action fire that comes before, nothing moves: a failed
/// query is no resolved alert.
pub fn decide_runtime(
    actions: &[RuntimeAction],
    inputs: &Inputs<'_>,
    facts: &RuntimeFacts,
    now: Timestamp,
) -> RuntimeDecision {
    let mut fallback = None;
    let mut sets_knobs = false;
    let mut reclaim = None;
    for action in actions {
        if matches!(action.aim, RuntimeAim::Reclaim { .. }) {
            reclaim = reclaim.or_else(|| reclaims(action, inputs, facts, now));
            continue;
        }
        sets_knobs = true;
        if action.when.is_empty() {
            fallback = fallback.or(Some(action));
            continue;
        }
        let alerts = match drive(&action.when, inputs) {
            Drive::No => continue,
            Drive::Unknown(reason) => return RuntimeDecision::Stay { reason },
            Drive::By(alerts) => alerts,
        };
        let reason = fires(&alerts);
        return wanted(action, facts, reason, alerts)
            .unwrap_or_else(|reason| reclaim.map_or(RuntimeDecision::Stay { reason }, RuntimeDecision::Propose));
    }
    let starts = |action: &RuntimeAction| matches!(action.aim, RuntimeAim::Env(_));
    if fallback.is_none() && actions.first().is_some_and(starts) {
        // What somebody wrote into the template is not ours to take out.
        let reason = "no action applies: the template stays as it is".to_owned();
        return RuntimeDecision::Stay { reason };
    }
    let quiet = match (fallback, sets_knobs) {
        (Some(action), _) => wanted(action, facts, "no other action applies".to_owned(), Vec::new()),
        (None, true) => match actions.first() {
            Some(action) => {
                let reason = "no action applies: boot values".to_owned();
                moved(action, facts, (Knobs::default(), Vec::new()), reason, Vec::new())
            }
            None => Err("the policy has no action".to_owned()),
        },
        // A policy that only reclaims leaves knobs alone.
        (None, false) => Err("nothing is to be reclaimed".to_owned()),
    };
    match (quiet, reclaim) {
        (Ok(decision), _) => decision,
        (Err(_), Some(proposal)) => RuntimeDecision::Propose(proposal),
        (Err(reason), None) => RuntimeDecision::Stay { reason },
    }
}

/// What an action wants. `Err`: nothing else than there is, and why.
fn wanted(
    action: &RuntimeAction,
    facts: &RuntimeFacts,
    reason: String,
    alerts: Vec<&Alert>,
) -> Result<RuntimeDecision, String> {
    let knobs = match &action.aim {
        RuntimeAim::Env(options) => return rolled_out(action, options, facts, reason, alerts),
        RuntimeAim::Set(knobs) => (knobs.clone(), vec![format!("action {} sets {knobs}", action.name)]),
        RuntimeAim::Fit(fit) => fit::fitted(fit, &facts.pods, &facts.fleet, &facts.current.knobs)?,
        RuntimeAim::Budget(budget) => budget::price(budget, action.gogc, &facts.fleet, &facts.current.knobs)?,
        RuntimeAim::Reclaim { .. } => return Err(reason),
    };
    moved(action, facts, knobs, reason, alerts)
}

/// Start-up options: what the action does not name stays as it is found.
fn rolled_out(
    action: &RuntimeAction,
    options: &[EnvOption],
    facts: &RuntimeFacts,
    reason: String,
    alerts: Vec<&Alert>,
) -> Result<RuntimeDecision, String> {
    let found = facts.current.env.clone().unwrap_or_default();
    let to = found.with(options).map_err(|error| error.to_string())?;
    let differ = |(name, value): (&str, Option<&str>)| {
        let mut before = found.variables();
        let before = before.find(|(known, _)| *known == name).and_then(|(_, before)| before);
        let value = value.unwrap_or_default();
        match before {
            Some(before) if before == value => None,
            Some(before) => Some(format!("{name}: {before:?} becomes {value:?}")),
            None => Some(format!("{name}: not set, becomes {value:?}")),
        }
    };
    let arithmetic = to
        .variables()
        .filter(|(_, value)| value.is_some())
        .filter_map(differ)
        .collect();
    proposed(action, facts, (Setting::of_env(to.clone()), arithmetic), reason, alerts)
}

fn moved(
    action: &RuntimeAction,
    facts: &RuntimeFacts,
    (knobs, arithmetic): (Knobs, Vec<String>),
    reason: String,
    alerts: Vec<&Alert>,
) -> Result<RuntimeDecision, String> {
    let to = Setting::of(knobs, facts.current.reclaim);
    proposed(action, facts, (to, arithmetic), reason, alerts)
}

fn proposed(
    action: &RuntimeAction,
    facts: &RuntimeFacts,
    (to, arithmetic): (Setting, Vec<String>),
    reason: String,
    alerts: Vec<&Alert>,
) -> Result<RuntimeDecision, String> {
    if facts.current == to {
        return Err(reason);
    }
    Ok(RuntimeDecision::Propose(Box::new(RuntimeProposal {
        action: action.name.clone(),
        from: facts.current.clone(),
        arithmetic,
        to,
        reason,
        alerts: alerts.into_iter().take(EVIDENCE_CAP).cloned().collect(),
    })))
}

fn reclaims(
    action: &RuntimeAction,
    inputs: &Inputs<'_>,
    facts: &RuntimeFacts,
    now: Timestamp,
) -> Option<Box<RuntimeProposal>> {
    let RuntimeAim::Reclaim { every } = action.aim else {
        return None;
    };
    let Drive::By(alerts) = drive(&action.when, inputs) else {
        return None;
    };
    let due = facts.history.reclaimed_at.is_none_or(|at| now >= at + every);
    let to = Setting::of(facts.current.knobs.clone(), facts.current.reclaim + 1);
    let proposal = || RuntimeProposal {
        action: action.name.clone(),
        from: facts.current.clone(),
        to,
        reason: fires(&alerts),
        arithmetic: vec![format!("one collection, the next after {every} at the earliest")],
        alerts: alerts.iter().take(EVIDENCE_CAP).map(|alert| (*alert).clone()).collect(),
    };
    due.then(|| Box::new(proposal()))
}

fn fires(alerts: &[&Alert]) -> String {
    let name = |alert: &&Alert| alert.labels.get("alertname").cloned().unwrap_or_default();
    let mut names: Vec<String> = alerts.iter().map(name).collect();
    names.dedup();
    format!("{} fires", names.join(", "))
}

fn drive<'a>(when: &[String], inputs: &Inputs<'a>) -> Drive<'a> {
    let mut unknown = None;
    let mut firing = Vec::new();
    for name in when {
        let state = inputs.rules.get(name);
        if let Some(why) = unanswered(name, state, inputs) {
            unknown = unknown.or(Some(why));
        } else if let Some(state) = state {
            firing.extend(state.firing());
        }
    }
    match (firing.is_empty(), unknown) {
        (false, _) => Drive::By(firing),
        (true, Some(why)) => Drive::Unknown(why),
        (true, None) => Drive::No,
    }
}

/// Why a rule says nothing now, if it does not.
fn unanswered(name: &str, state: Option<&RuleState>, inputs: &Inputs<'_>) -> Option<String> {
    let Some(state) = state else {
        return Some(format!("{name} was not evaluated"));
    };
    if let Some(error) = &state.error {
        return Some(format!("{name}: {error}"));
    }
    let reading: &Reading = match inputs.readings.get(name) {
        Some(reading) => reading,
        None => return Some(format!("{name} was not read")),
    };
    let opaque = matches!(
        inputs.definitions.get(name).map(|rule| &rule.condition),
        Some(Condition::Opaque(_))
    );
    match reading.quality() {
        Quality::Fresh | Quality::NotFinite => None,
        // An expression without a number at its top answers nothing while all is well.
        Quality::Missing if opaque => None,
        quality => Some(format!("{name} has no fresh data: {quality} ({})", reading.detail())),
    }
}

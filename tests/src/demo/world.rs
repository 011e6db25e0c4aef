//! What is known of the cluster, and what moved since: from objects to plain sentences.

use super::setting::Part;
use flyball_crds::{AlertState, Change, CheckVerdict, Direction, FeedbackPolicy, Phase};
use jiff::Timestamp;
use kube::ResourceExt;
use std::collections::BTreeMap;

/// Something that was seen.
#[derive(Clone, Debug)]
pub enum Sighting {
    /// A policy as it is now.
    Policy(Box<FeedbackPolicy>),
    /// A Change as it is now.
    Change(Box<Change>),
    /// The Deployment: replicas asked for, and ready.
    Deployment(i32, i32),
    /// A round of queries: the rule's left side, the latency of the last seconds, the load.
    Measured(Measured),
}

/// The answers of one round of queries; `None` where there is no value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// The rule's left side, the worst pod's.
    pub latency: Option<f64>,
    /// The mean latency of the last ten seconds.
    pub recent: Option<f64>,
    /// Requests a second.
    pub load: Option<f64>,
}

/// One row of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was taken.
    pub at: Timestamp,
    /// What was measured.
    pub measured: Measured,
    /// The replicas asked for.
    pub spec: i32,
    /// The replicas that are ready.
    pub ready: i32,
}

/// A rule that moved to another state.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// When it was seen.
    pub at: Timestamp,
    /// The rule.
    pub alert: String,
    /// Its state from then on.
    pub state: AlertState,
    /// Since when its oldest element has been there.
    pub since: Option<Timestamp>,
}

/// What is known of one chapter.
#[derive(Clone, Debug, Default)]
pub struct Chapter {
    /// The series, oldest first.
    pub samples: Vec<Sample>,
    /// The Deployment's replicas: asked for, and ready.
    pub replicas: (i32, i32),
    /// The states of rules, as they moved.
    pub moves: Vec<Moved>,
    /// The Changes, by name.
    pub changes: BTreeMap<String, Change>,
    /// The policy.
    pub policy: Option<FeedbackPolicy>,
    /// When it was first seen.
    pub adopted: Option<Timestamp>,
}

impl Chapter {
    /// The last sample.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.last()
    }

    /// The rule's left side as last measured.
    pub fn latency(&self) -> Option<f64> {
        self.last()?.measured.latency
    }

    /// The state of a rule and since when its element has been there.
    pub fn alert(&self, name: &str) -> (AlertState, Option<Timestamp>) {
        let last = self.moves.iter().rev().find(|moved| moved.alert == name);
        last.map_or((AlertState::Inactive, None), |moved| (moved.state, moved.since))
    }

    /// Changes that wrote or will write their target, in their order.
    pub fn written(&self, direction: Direction) -> Vec<&Change> {
        let mut all: Vec<&Change> = self
            .changes
            .values()
            .filter(|c| c.spec.sequence > 0 && c.spec.direction == direction)
            .collect();
        all.sort_by_key(|change| change.spec.sequence);
        all
    }

    /// The Change under way, else the one that moved last.
    pub fn current(&self) -> Option<&Change> {
        let key = |change: &&Change| (phase(change).is_open(), change.spec.proposed_at.0);
        self.changes
            .values()
            .filter(|change| change.spec.sequence > 0)
            .max_by_key(key)
    }
}

/// The phase of a Change; one without a status is being applied.
pub fn phase(change: &Change) -> Phase {
    change.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// The check that refused a Change.
pub fn refusal(change: &Change) -> Option<&str> {
    flyball_crds::refusal(&change.spec.evidence.checks).map(|check| check.name.as_str())
}

/// One line of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// In which chapter; `None` is the runner itself.
    pub who: Option<&'static str>,
    /// What happened.
    pub text: String,
}

/// Everything that is known.
#[derive(Clone, Debug)]
pub struct World {
    /// When the demo's own clock began.
    pub began: Timestamp,
    /// Both chapters.
    pub chapters: [Chapter; 2],
    /// What happened, in the order in which it was seen.
    pub lines: Vec<Line>,
}

impl World {
    /// Nothing is known yet.
    pub fn new(began: Timestamp) -> Self {
        Self {
            began,
            chapters: Default::default(),
            lines: Vec::new(),
        }
    }

    /// One chapter.
    pub fn chapter(&self, part: Part) -> &Chapter {
        &self.chapters[part.index()]
    }

    /// Adds a line.
    pub fn say(&mut self, at: Timestamp, who: Option<&'static str>, text: impl Into<String>) {
        self.lines.push(Line {
            at,
            who,
            text: text.into(),
        });
    }

    /// Seconds since the beginning.
    pub fn elapsed(&self, at: Timestamp) -> f64 {
        seconds(self.began, at)
    }

    /// Takes in what was seen, and tells what is new about it.
    pub fn see(&mut self, part: Part, sighting: Sighting, now: Timestamp) {
        let chapter = &mut self.chapters[part.index()];
        let told = match sighting {
            Sighting::Measured(measured) => {
                let (spec, ready) = chapter.replicas;
                chapter.samples.push(Sample {
                    at: now,
                    measured,
                    spec,
                    ready,
                });
                Vec::new()
            }
            Sighting::Deployment(spec, ready) => chapter.deployment(spec, ready),
            Sighting::Policy(policy) => chapter.policy(*policy, now),
            Sighting::Change(change) => chapter.change(&change, now),
        };
        for text in told {
            self.say(now, Some(part.name()), text);
        }
    }
}

impl Chapter {
    fn deployment(&mut self, spec: i32, ready: i32) -> Vec<String> {
        let before = std::mem::replace(&mut self.replicas, (spec, ready));
        let arrived = before.1 < ready && spec == ready && before != (0, 0);
        if arrived {
            vec![format!("{ready} of {spec} replicas are ready")]
        } else {
            Vec::new()
        }
    }

    fn policy(&mut self, policy: FeedbackPolicy, now: Timestamp) -> Vec<String> {
        let mut told = Vec::new();
        for rule in policy.status.iter().flat_map(|status| &status.rules) {
            let (state, _) = self.alert(&rule.alert);
            let since = rule
                .alerts
                .iter()
                .filter_map(|alert| Some(alert.active_at.as_ref()?.0))
                .min();
            if state == rule.state {
                continue;
            }
            let worst = rule
                .alerts
                .iter()
                .filter_map(|alert| alert.value.parse::<f64>().ok())
                .reduce(f64::max);
            told.push(in_words(&rule.alert, rule.state, worst));
            self.moves.push(Moved {
                at: now,
                alert: rule.alert.clone(),
                state: rule.state,
                since,
            });
        }
        let (before, after) = (self.policy.as_ref().and_then(trouble), trouble(&policy));
        if before != after {
            told.push(after.map_or_else(
                || "the policy is ready".to_owned(),
                |why| format!("the policy is not ready: {why}"),
            ));
        }
        self.policy = Some(policy);
        self.adopted = self.adopted.or(Some(now));
        told
    }

    fn change(&mut self, change: &Change, now: Timestamp) -> Vec<String> {
        let before = self.changes.insert(change.name_any(), change.clone());
        let (was, is) = (before.as_ref().map(phase), phase(change));
        let mut told = Vec::new();
        // A pass writes the policy's status last, so what led to a Change is known from the Change first.
        for alert in change.spec.evidence.alerts.iter().filter(|_| was.is_none()) {
            let Some(name) = alert.labels.get("alertname") else {
                continue;
            };
            let since = alert.active_at.as_ref().map(|at| at.0);
            if alert.state == AlertState::Firing && self.alert(name).0 != AlertState::Firing {
                let worst = alert.value.parse().ok();
                told.push(in_words(name, AlertState::Firing, worst));
                self.moves.push(Moved {
                    at: now,
                    alert: name.clone(),
                    state: AlertState::Firing,
                    since,
                });
            }
        }
        if was.is_none() && change.spec.sequence > 0 {
            told.push(proposed(change));
        }
        if was != Some(is) {
            told.extend(moved_to(change, is));
        }
        told
    }
}

fn in_words(alert: &str, state: AlertState, worst: Option<f64>) -> String {
    match (state, worst) {
        (AlertState::Inactive, _) => format!("{alert} is inactive again"),
        (AlertState::Pending, Some(value)) => format!("{alert} is pending at {value:.2}"),
        (AlertState::Pending, None) => format!("{alert} is pending"),
        (AlertState::Firing, Some(value)) => format!("{alert} fires at {value:.2}"),
        (AlertState::Firing, None) => format!("{alert} fires"),
    }
}

fn trouble(policy: &FeedbackPolicy) -> Option<String> {
    let ready = policy
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")?;
    (ready.status != "True").then(|| format!("{}: {}", ready.reason, ready.message))
}

fn proposed(change: &Change) -> String {
    let (spec, checks) = (&change.spec, &change.spec.evidence.checks);
    let passed = checks
        .iter()
        .filter(|check| check.verdict == CheckVerdict::Passed)
        .count();
    let others = checks.len() - passed;
    let others = if others == 0 {
        String::new()
    } else {
        format!(", {others} had nothing to judge or clamped it")
    };
    format!(
        "Change {} -> {} proposed, since {}; {passed} checks passed{others}",
        spec.before, spec.after, spec.reason
    )
}

fn moved_to(change: &Change, is: Phase) -> Option<String> {
    let spec = &change.spec;
    let (from, to) = (spec.before, spec.after);
    let verdict = change.status.as_ref().and_then(|status| status.verdict.as_ref());
    let why = || {
        verdict
            .map(|verdict| format!(": {}", verdict.message))
            .unwrap_or_default()
    };
    Some(match is {
        Phase::Applying => return None,
        Phase::Verifying => {
            let settle = spec
                .verification
                .as_ref()
                .map(|v| v.settle.to_string())
                .unwrap_or_default();
            format!("applied: {to} replicas accepted; its effect is judged after {settle}")
        }
        Phase::Committed => format!("Change {from} -> {to} verified and committed{}", why()),
        Phase::RollingBack => format!(
            "Change {from} -> {to} found {}{}",
            verdict.map_or("wrong", |v| v.result.as_str()),
            why()
        ),
        Phase::RolledBack => {
            let back = change
                .status
                .as_ref()
                .and_then(|status| status.rollback_to)
                .unwrap_or(from);
            format!("Change {from} -> {to} rolled back to {back}")
        }
        Phase::Refused => format!(
            "{from} -> {to} refused by the check {}",
            refusal(change).unwrap_or("(unknown)")
        ),
        Phase::AwaitingApproval => format!("{from} -> {to} waits for approval"),
        Phase::Recommended => format!("{from} -> {to} only recommended: the mode is not Enforce"),
        Phase::Ineffective => format!("Change {from} -> {to} ineffective, but held{}", why()),
        Phase::Inconclusive => format!("Change {from} -> {to} inconclusive and held{}", why()),
        Phase::Superseded => format!("Change {from} -> {to} superseded{}", why()),
    })
}

/// Seconds from one instant to another.
pub fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

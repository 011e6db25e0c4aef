//! Whether a pod that was relieved is.

use crate::{
    evaluate::RuleState,
    signal::{Quality, Reading},
    time::{Span, Timestamp},
    transaction::Verdict,
};

/// Whether the node gives a container what its pod's spec says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It does.
    Yes,
    /// It does not yet, for this reason.
    NotYet(String),
    /// It never will, for this reason.
    Never(String),
}

/// What the rules say of a pod that they named.
#[derive(Clone, Debug, PartialEq)]
pub enum PodAlert {
    /// An alert of one of them names it still.
    Named {
        /// The rule.
        rule: String,
        /// The value when it was last seen.
        value: f64,
    },
    /// None does, by data that is fresh and about this pod.
    Over,
    /// It is not known, for this reason.
    Unknown(String),
}

/// How an end is told from data that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// By the series of the pod: a comparison with a number is made here.
    Series,
    /// By a watermark, whose levels stay while nothing is known.
    Level,
    /// Not at all: the expression answers nothing either way.
    Opaque,
}

/// What rules say of a pod that they named. Each with its state, what it was evaluated on, and how its end is told.
pub fn pod_alert<'r>(
    pod: &str,
    rules: impl IntoIterator<Item = (&'r str, Option<(&'r RuleState, &'r Reading)>, Told)>,
) -> PodAlert {
    let mut unknown = None;
    for (name, seen, told) in rules {
        let Some((state, reading)) = seen else {
            unknown.get_or_insert_with(|| format!("{name} is no rule of the policy any more"));
            continue;
        };
        let names = |labels: &crate::signal::Labels| labels.get("pod").is_some_and(|found| found == pod);
        if let Some(alert) = state.alerts.iter().find(|alert| names(&alert.labels)) {
            return PodAlert::Named {
                rule: name.to_owned(),
                value: alert.value,
            };
        }
        let usable = matches!(reading.quality(), Quality::Fresh | Quality::NotFinite);
        let known = |sample: &crate::signal::Sample| names(&sample.labels) && sample.value.is_finite();
        let why = match (&state.error, told) {
            (Some(error), _) => Some(error.to_string()),
            _ if !usable => Some(format!("{name} is {}: {}", reading.quality(), reading.detail())),
            (None, Told::Opaque) => Some(format!(
                "{name} has no comparison with a number at its top, so that its end can't be told from missing data"
            )),
            (None, Told::Series) if !reading.samples().iter().any(known) => {
                Some(format!("{name} has no series of this pod any more"))
            }
            (None, Told::Series | Told::Level) => None,
        };
        if let Some(why) = why {
            unknown.get_or_insert(why);
        }
    }
    unknown.map_or(PodAlert::Over, PodAlert::Unknown)
}

/// What is seen of a pod that was resized.
#[derive(Clone, Debug, PartialEq)]
pub struct Resized {
    /// Whether its node gave it the memory.
    pub given: Given,
    /// Whether the container was restarted since.
    pub restarted: bool,
    /// Its alerts.
    pub alert: PodAlert,
}

/// What came of relieving a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relief {
    /// Nothing is known yet, for this reason.
    Wait(String),
    /// It is relieved.
    Achieved(String),
    /// It is not; what was given is kept.
    Failed(Verdict, String),
}

/// Judges a resize: the node gave the memory, the container lived to have it, and the alerts ended. A restart tells at once, and so does
/// a node that never can.
pub fn judge_resize((applied_at, within): (Timestamp, Span), seen: &Resized, now: Timestamp) -> Relief {
    let over = now.since(applied_at) >= within;
    if seen.restarted {
        let why = "the container was restarted after it; it was given too little, or too late";
        return Relief::Failed(Verdict::Ineffective, why.to_owned());
    }
    match (&seen.given, &seen.alert) {
        (Given::Never(why), _) => Relief::Failed(Verdict::Unrealised, format!("the node can't give it: {why}")),
        (Given::NotYet(why), _) if over => Relief::Failed(
            Verdict::Unrealised,
            format!("the node did not give it within {within}: {why}"),
        ),
        (Given::NotYet(why), _) => Relief::Wait(format!("the node has not given it yet: {why}")),
        (Given::Yes, PodAlert::Over) => {
            Relief::Achieved("the container has it without a restart, and no alert names the pod any more".to_owned())
        }
        (Given::Yes, PodAlert::Named { rule, value }) if over => Relief::Failed(
            Verdict::Ineffective,
            format!("the container has it, but {rule} still names the pod after {within}, at {value}"),
        ),
        (Given::Yes, PodAlert::Named { rule, value }) => {
            Relief::Wait(format!("the container has it; {rule} names the pod, at {value}"))
        }
        (Given::Yes, PodAlert::Unknown(why)) if over => Relief::Failed(
            Verdict::Inconclusive,
            format!("the container has it, but whether its alerts ended is not known after {within}: {why}"),
        ),
        (Given::Yes, PodAlert::Unknown(why)) => Relief::Wait(format!("the container has it; {why}")),
    }
}

/// Judges an eviction: as many pods are ready as before. `ready`: how many are; `None`: not known.
pub fn judge_eviction(
    (applied_at, within): (Timestamp, Span),
    (ready, before): (Option<u32>, u32),
    now: Timestamp,
) -> Relief {
    let over = now.since(applied_at) >= within;
    match ready {
        Some(ready) if ready >= before => Relief::Achieved(format!("the pod is gone, and {ready} are ready as before")),
        Some(ready) if over => Relief::Failed(
            Verdict::Inconclusive,
            format!("the pod is gone, but {ready} of {before} are ready after {within}"),
        ),
        Some(ready) => Relief::Wait(format!("{ready} of {before} pods are ready")),
        None if over => Relief::Failed(
            Verdict::Inconclusive,
            format!("the pod is gone; which pods are ready is not known after {within}"),
        ),
        None => Relief::Wait("which pods are ready is not known".to_owned()),
    }
}

//! Levels as alerts: each level of a watermark is a rule, with one alert for each subject that has come so far.

use super::{Level, Mark, Observed, Subject, SubjectState, WatermarkState, index};
use crate::{
    evaluate::{Alert, AlertPhase, RuleError, RuleState},
    signal::{Labels, Reading},
    time::Timestamp,
};
use std::collections::BTreeMap;

/// The label that says the level.
const LEVEL: &str = "level";

/// What Alertmanager's routes are usually made by.
const fn severity(level: Level) -> &'static str {
    match level {
        Level::Normal | Level::Warning | Level::High => "warning",
        Level::Emergency => "critical",
    }
}

/// The state of the rule `alert`, which is that of `level`. `told` is the pod of each node that its alerts concern.
pub fn alerts(
    (alert, level): (&str, Level),
    state: &WatermarkState,
    observed: &Observed,
    reading: &Reading,
    told: &BTreeMap<String, String>,
    (previous, now): (&RuleState, Timestamp),
) -> RuleState {
    let Some(which) = index(level) else {
        return RuleState::default();
    };
    let of = |(subject, state): (&Subject, &SubjectState)| {
        let mark = state.marks[which];
        let phase = match (mark.raised, mark.above_since) {
            (true, _) => AlertPhase::Firing,
            (false, Some(_)) => AlertPhase::Pending,
            (false, None) => return None,
        };
        let before = previous.alerts.iter().find(|alert| is_of(&alert.labels, subject));
        let mut labels = labels(subject, told);
        labels.insert("alertname".to_owned(), alert.to_owned());
        labels.insert("severity".to_owned(), severity(level).to_owned());
        labels.insert(LEVEL.to_owned(), level.to_string());
        let since = match (phase, before) {
            (AlertPhase::Firing, Some(before)) => before.active_at,
            (AlertPhase::Firing, None) => mark.above_since.unwrap_or(state.since),
            (AlertPhase::Pending, _) => mark.above_since.unwrap_or(now),
        };
        Some(Alert {
            labels,
            annotations: Labels::from([("summary".to_owned(), summary(subject, level, state))]),
            phase,
            active_at: since.min(now),
            keep_firing_since: None,
            value: state.value.unwrap_or(f64::NAN),
        })
    };
    let mut alerts: Vec<Alert> = state.subjects.iter().filter_map(of).collect();
    alerts.sort_by(|a, b| a.labels.cmp(&b.labels));
    let error = observed.absent.as_ref().map(|detail| RuleError::Query {
        alert: alert.to_owned(),
        detail: detail.clone(),
    });
    let quiet = alerts.is_empty() && reading.is_fresh();
    RuleState {
        quiet_since: quiet.then(|| previous.quiet_since.unwrap_or(now)),
        alerts,
        error,
    }
}

fn summary(subject: &Subject, level: Level, state: &SubjectState) -> String {
    let full = state
        .value
        .map_or_else(|| "not known".to_owned(), |value| format!("at {:.1} %", 100.0 * value));
    let unknown = state
        .unknown
        .as_ref()
        .map_or_else(String::new, |unknown| format!(", last known: {}", unknown.why));
    format!("memory of {subject} is {level}, {full}{unknown}")
}

fn labels(subject: &Subject, told: &BTreeMap<String, String>) -> Labels {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match subject {
        Subject::Container { pod, container } => Labels::from([label("pod", pod), label("container", container)]),
        Subject::Node(node) => {
            let pod = told.get(node).map(|pod| label("pod", pod));
            [label("node", node)].into_iter().chain(pod).collect()
        }
    }
}

/// Whether an alert with these labels is about a subject.
fn is_of(labels: &Labels, subject: &Subject) -> bool {
    let is = |name: &str, value: &str| labels.get(name).is_some_and(|found| found == value);
    match subject {
        Subject::Container { pod, container } => is("pod", pod) && is("container", container),
        Subject::Node(node) => is("node", node),
    }
}

/// What can be restored of a watermark from the stored states of its rules, warning first: which levels are raised, and what
/// is coming on. What was usual is learned anew.
pub fn restored(rules: [&RuleState; 3], is_node: bool) -> WatermarkState {
    let mut state = WatermarkState::default();
    for (which, rule) in rules.iter().enumerate() {
        for alert in &rule.alerts {
            let label = |name: &str| alert.labels.get(name).cloned();
            let subject = match (is_node, label("node"), label("pod"), label("container")) {
                (true, Some(node), ..) => Subject::Node(node),
                (false, _, Some(pod), Some(container)) => Subject::Container { pod, container },
                _ => continue,
            };
            let entry = state.subjects.entry(subject).or_default();
            let firing = alert.phase == AlertPhase::Firing;
            entry.marks[which] = Mark {
                raised: firing,
                above_since: Some(alert.active_at),
                above: 1,
                below_since: None,
            };
            if firing {
                entry.level = entry.level.max(Level::RAISED[which]);
                entry.since = alert.active_at;
            }
            entry.value = Some(alert.value).filter(|value| value.is_finite());
            entry.sampled_at = entry.sampled_at.max(Some(alert.active_at));
        }
    }
    state
}

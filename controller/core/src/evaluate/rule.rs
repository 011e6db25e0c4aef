//! One alerting rule over time, as `rules.AlertingRule.Eval` of Prometheus 3 does it.

use crate::{
    policy::{Comparator, Condition, Rule},
    signal::{Labels, Quality, Reading, Sample},
    time::Timestamp,
};
use std::{cmp::Ordering, collections::BTreeMap};

use super::template::expand;

/// The label that holds a metric's name. Alerts don't have it.
const METRIC_NAME: &str = "__name__";
/// The label that holds the rule's name. Every alert has it.
const ALERT_NAME: &str = "alertname";

/// How far an alert has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertPhase {
    /// Its element is there, but not yet for as long as the rule's `for`.
    Pending,
    /// Its element has been there for as long as the rule's `for`, or it is kept firing.
    Firing,
}

/// One alert of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What tells it from the rule's other alerts: the series' labels without `__name__`, the rule's
    /// labels, and `alertname`. None of them is empty.
    pub labels: Labels,
    /// The rule's annotations, expanded with the newest value.
    pub annotations: Labels,
    /// How far it has come.
    pub phase: AlertPhase,
    /// Since when its element is there without a gap.
    pub active_at: Timestamp,
    /// Since when its element is gone and only `keep_firing_for` keeps it firing.
    pub keep_firing_since: Option<Timestamp>,
    /// The value when its element was last seen. It may be infinite, or NaN where the condition
    /// holds for NaN.
    pub value: f64,
}

/// A rule between two evaluations. The default is a rule that was never evaluated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleState {
    /// Pending and firing alerts, sorted by labels. An inactive one is absent.
    pub alerts: Vec<Alert>,
    /// Since when every evaluation compared fresh data and found no alert at all. Only this supports
    /// taking something away; `None`: it is not known that nothing is wrong.
    pub quiet_since: Option<Timestamp>,
    /// Why the last evaluation failed, if it did; the alerts are then those of the one before.
    pub error: Option<RuleError>,
}

/// Why an evaluation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The query was not answered.
    #[error("rule {alert}: the query failed: {detail}; its alerts stay as they were until it is answered")]
    Query {
        /// The rule's name.
        alert: String,
        /// How the query failed.
        detail: String,
    },
    /// The rule itself could not be read from where it is kept.
    #[error("rule {alert}: the rule can't be taken: {detail}; its alerts stay as they were until it can be")]
    Rule {
        /// The rule's name.
        alert: String,
        /// Why not.
        detail: String,
    },
    /// Two series end as the same alert.
    #[error(
        "rule {alert}: vector contains metrics with the same labelset after applying alert labels: {labels}; \
         remove the rule label that hides their difference, or aggregate the expression"
    )]
    DuplicateLabels {
        /// The rule's name.
        alert: String,
        /// The labels that two alerts would share.
        labels: String,
    },
}

impl RuleState {
    /// Whether at least one alert fires.
    pub fn is_firing(&self) -> bool {
        self.firing().next().is_some()
    }

    /// Whether at least one alert is pending.
    pub fn is_pending(&self) -> bool {
        self.alerts.iter().any(|alert| alert.phase == AlertPhase::Pending)
    }

    /// The alerts that fire, sorted by labels.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| alert.phase == AlertPhase::Firing)
    }

    /// At most `n` alerts: firing ones first, then by how far the value lies on the side that
    /// `comparator` looks for (the largest first, for `<` and `<=` the smallest), NaN last.
    pub fn worst(&self, n: usize, comparator: Comparator) -> Vec<&Alert> {
        let mut alerts: Vec<&Alert> = self.alerts.iter().collect();
        alerts.sort_by(|a, b| {
            b.phase
                .cmp(&a.phase)
                .then_with(|| by_severity(a.value, b.value, comparator))
        });
        alerts.truncate(n);
        alerts
    }
}

fn by_severity(a: f64, b: f64, comparator: Comparator) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then_with(|| match comparator {
        Comparator::Less | Comparator::LessOrEqual => a.total_cmp(&b),
        _ => b.total_cmp(&a),
    })
}

/// The next state of a rule.
///
/// `previous` is what the evaluation before returned, or what was stored of it: then times go on,
/// and a stored time in the future counts as now. The rules are Prometheus':
/// - An element without an alert makes a pending one; an alert whose element was there for `for`
///   without a gap fires, with `for` 0 at once.
/// - A pending alert whose element is gone disappears. So does a firing one, unless it has gone for
///   less than `keep_firing_for`; if its element comes back in time, nothing has happened.
/// - Value and annotations are those of the newest element.
/// - After a longer `for` was written, a firing alert that is too young is pending again.
/// - If the query fails, or two elements have equal labels, the alerts stay as they were.
///
/// Other than in Prometheus, the comparison at the top of a [`Condition::Threshold`] is made here,
/// with PromQL's rules for NaN and the infinities, so that "below" is known from "no data".
pub fn evaluate(rule: &Rule, reading: &Reading, previous: &RuleState, now: Timestamp) -> RuleState {
    let elements = match elements(rule, reading) {
        Ok(elements) => elements,
        Err(error) => {
            return RuleState {
                alerts: previous.alerts.clone(),
                quiet_since: None,
                error: Some(error),
            };
        }
    };
    let alerts = advance(rule, elements, previous, now);
    let proven = reading.is_fresh() && matches!(rule.condition, Condition::Threshold(_));
    let quiet_since = (proven && alerts.is_empty()).then(|| previous.quiet_since.map_or(now, |since| since.min(now)));
    RuleState {
        alerts,
        quiet_since,
        error: None,
    }
}

/// One element of the rule's answer.
struct Element {
    annotations: Labels,
    value: f64,
}

/// The elements for which the condition holds, by the labels of their alerts.
fn elements(rule: &Rule, reading: &Reading) -> Result<BTreeMap<Labels, Element>, RuleError> {
    if reading.quality() == Quality::Error {
        return Err(RuleError::Query {
            alert: rule.alert.clone(),
            detail: reading.detail().to_owned(),
        });
    }
    let mut elements = BTreeMap::new();
    for sample in reading.samples() {
        let holds = match &rule.condition {
            Condition::Threshold(comparison) => comparison.comparator.holds(sample.value, comparison.right.get()),
            Condition::Opaque(_) => true,
        };
        if !holds {
            continue;
        }
        let labels = alert_labels(rule, sample);
        if elements.contains_key(&labels) {
            return Err(RuleError::DuplicateLabels {
                alert: rule.alert.clone(),
                labels: show(&labels),
            });
        }
        let annotations = rule
            .annotations
            .iter()
            .map(|(name, text)| (name.clone(), expand(text, &sample.labels, sample.value)));
        elements.insert(
            labels,
            Element {
                annotations: annotations.collect(),
                value: sample.value,
            },
        );
    }
    Ok(elements)
}

/// A rule label replaces the series' label of its name; one that expands to nothing removes it.
fn alert_labels(rule: &Rule, sample: &Sample) -> Labels {
    let mut labels = sample.labels.clone();
    labels.remove(METRIC_NAME);
    for (name, text) in &rule.labels {
        labels.insert(name.clone(), expand(text, &sample.labels, sample.value));
    }
    labels.insert(ALERT_NAME.to_owned(), rule.alert.clone());
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// Brings the alerts from the previous evaluation to this one.
fn advance(rule: &Rule, mut elements: BTreeMap<Labels, Element>, previous: &RuleState, now: Timestamp) -> Vec<Alert> {
    let mut alerts = BTreeMap::new();
    for former in &previous.alerts {
        let active_at = former.active_at.min(now);
        let alert = match elements.remove(&former.labels) {
            Some(Element { annotations, value }) => Some(Alert {
                annotations,
                value,
                active_at,
                keep_firing_since: None,
                ..former.clone()
            }),
            None => kept_firing(rule, former, now).map(|since| Alert {
                active_at,
                keep_firing_since: Some(since),
                ..former.clone()
            }),
        };
        alerts.extend(alert.map(|alert| (former.labels.clone(), alert)));
    }
    alerts.extend(elements.into_iter().map(|(labels, Element { annotations, value })| {
        let phase = AlertPhase::Pending;
        let key = labels.clone();
        (
            key,
            Alert {
                labels,
                annotations,
                phase,
                active_at: now,
                keep_firing_since: None,
                value,
            },
        )
    }));
    alerts.into_values().map(|alert| phased(alert, rule, now)).collect()
}

/// Since when an alert whose element is gone is kept firing, if it still is.
fn kept_firing(rule: &Rule, former: &Alert, now: Timestamp) -> Option<Timestamp> {
    let since = former.keep_firing_since.map_or(now, |since| since.min(now));
    let kept = former.phase == AlertPhase::Firing && now.since(since) < rule.keep_firing_for;
    kept.then_some(since)
}

/// The alert in the phase that its age asks for.
fn phased(alert: Alert, rule: &Rule, now: Timestamp) -> Alert {
    if now.since(alert.active_at) >= rule.hold {
        Alert {
            phase: AlertPhase::Firing,
            ..alert
        }
    } else {
        Alert {
            phase: AlertPhase::Pending,
            keep_firing_since: None,
            ..alert
        }
    }
}

/// Labels as PromQL writes them.
fn show(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

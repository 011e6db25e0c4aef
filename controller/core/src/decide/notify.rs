//! Which alerts are told to Alertmanager, when, and for how long.
//!
//! Each is told again at a steady rate and ends on its own a few rates later, as Prometheus does it: what nobody repeats,
//! because whoever told it is gone, does not stand for ever.

use crate::{
    evaluate::RuleState,
    policy::{AnswerKind, Policy},
    signal::Labels,
    time::{Span, Timestamp},
};
use std::collections::BTreeMap;

/// The shortest time after which an alert is told again.
const REPEAT: Span = Span::from_secs(60);
/// For how many of these times it stands.
const STANDS_FOR: u64 = 4;
/// The labels that say whose an alert is, where it does not say so itself.
const POLICY: &str = "flyball_policy";
const NAMESPACE: &str = "namespace";

/// An alert that is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Its labels, which tell it from all others.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Since when it fires, never later than `ends_at`.
    pub starts_at: Timestamp,
    /// Until when it stands. At or before the time of telling: it is over.
    pub ends_at: Timestamp,
}

/// An alert that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fire {
    /// Its annotations.
    pub annotations: Labels,
    /// Since when it fires.
    pub starts_at: Timestamp,
}

/// What was told of an alert last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The alert then.
    pub fire: Fire,
    /// When.
    pub at: Timestamp,
    /// Until when it stands by that.
    pub ends_at: Timestamp,
}

/// The alerts that a policy's answers tell of, by the labels under which they are told. Alerts that those make equal are
/// one, since the first of them.
pub fn fires(
    policy: &Policy,
    rules: &BTreeMap<String, RuleState>,
    (namespace, name): (&str, &str),
) -> BTreeMap<Labels, Fire> {
    let mut fires: BTreeMap<Labels, Fire> = BTreeMap::new();
    for answer in &policy.answers {
        let AnswerKind::Notify(notify) = &answer.kind else {
            continue;
        };
        for rule in &answer.when {
            // A rule that can't be taken just now has its alerts and no definition.
            let hold = policy.rules.get(rule).map_or(Span::ZERO, |rule| rule.hold);
            for alert in rules.get(rule).into_iter().flat_map(RuleState::firing) {
                let mut labels = alert.labels.clone();
                labels.extend(notify.labels.clone());
                for (label, value) in [(POLICY, name), (NAMESPACE, namespace)] {
                    labels.entry(label.to_owned()).or_insert_with(|| value.to_owned());
                }
                let fire = Fire {
                    annotations: alert.annotations.clone(),
                    starts_at: alert.active_at + hold,
                };
                let first = fires.entry(labels).or_insert_with(|| fire.clone());
                if fire.starts_at < first.starts_at {
                    *first = fire;
                }
            }
        }
    }
    fires
}

/// What is to be told now of a policy that is evaluated at `interval`: what fires and was not told for a while, and the
/// end of what was told and fires no more. What has ended on its own needs no word.
pub fn due(
    fires: &BTreeMap<Labels, Fire>,
    told: &BTreeMap<Labels, Told>,
    interval: Span,
    now: Timestamp,
) -> Vec<Telling> {
    let every = interval.max(REPEAT);
    // The nearest pass, so that one that begins a moment early does not halve the rate.
    let early = Span::from_millis(interval.as_millis() / 2);
    let is_due = |told: &Told| told.at > now || now + early >= told.at + every;
    let telling = |labels: &Labels, fire: &Fire, ends_at: Timestamp| Telling {
        labels: labels.clone(),
        annotations: fire.annotations.clone(),
        starts_at: fire.starts_at.min(now),
        ends_at,
    };
    let stands = Span::from_millis(every.as_millis() * STANDS_FOR);
    let firing = fires
        .iter()
        .filter(|(labels, _)| told.get(*labels).is_none_or(is_due))
        .map(|(labels, fire)| telling(labels, fire, now + stands));
    let over = told
        .iter()
        .filter(|(labels, told)| !fires.contains_key(*labels) && told.ends_at > now)
        .map(|(labels, told)| telling(labels, &told.fire, now));
    firing.chain(over).collect()
}

/// Keeps in mind what was told at `now`.
pub fn learn(told: &mut BTreeMap<Labels, Told>, tellings: &[Telling], now: Timestamp) {
    for telling in tellings {
        if telling.ends_at <= now {
            told.remove(&telling.labels);
            continue;
        }
        let fire = Fire {
            annotations: telling.annotations.clone(),
            starts_at: telling.starts_at,
        };
        let entry = Told {
            fire,
            at: now,
            ends_at: telling.ends_at,
        };
        told.insert(telling.labels.clone(), entry);
    }
}

/// Forgets what ended on its own.
pub fn forget(told: &mut BTreeMap<Labels, Told>, fires: &BTreeMap<Labels, Fire>, now: Timestamp) {
    told.retain(|labels, told| fires.contains_key(labels) || told.ends_at > now);
}

//! The transaction's laws, checked on what a scenario recorded.
//!
//! A [`Trace`] holds every version of every target and Change of one namespace, as the watches told
//! them. Resource versions of one cluster are one sequence of numbers, so the whole has one order.

use flyball_crds::{Change, Phase, STAMP_ANNOTATION};
use kube::{ResourceExt, api::DynamicObject};
use std::collections::BTreeMap;

/// A number and an attempt, in the order in which stamps may follow each other.
type Stamp = (i64, i64);

/// A target at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSeen {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// `spec.replicas`.
    pub replicas: i32,
    /// Which attempt of which Change may write it.
    pub stamp: Option<Stamp>,
    /// Who owns `spec.replicas`.
    pub manager: String,
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum What {
    /// A target.
    Target(TargetSeen),
    /// A target with this UID is gone.
    TargetGone(String),
    /// A Change.
    Change(Box<Change>),
    /// A Change of this name is gone.
    ChangeGone(String),
}

/// One version of one object.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its resource version.
    pub version: u64,
    /// The object.
    pub what: What,
}

/// Everything that was seen.
pub type Trace = Vec<Seen>;

impl TargetSeen {
    /// Reads a workload.
    pub fn of(object: &DynamicObject) -> Self {
        let replicas = object
            .data
            .pointer("/spec/replicas")
            .and_then(serde_json::Value::as_i64)
            .unwrap_or(1);
        let owners = object.managed_fields().iter().filter(|entry| {
            entry
                .fields_v1
                .as_ref()
                .is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
        });
        // Whoever changes a value takes it from all others, so after a change there is one.
        let manager = owners
            .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))
            .and_then(|it| it.manager.clone());
        Self {
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            replicas: i32::try_from(replicas).unwrap_or(-1),
            stamp: object.annotations().get(STAMP_ANNOTATION).and_then(|text| stamp(text)),
            manager: manager.unwrap_or_default(),
        }
    }
}

fn stamp(text: &str) -> Option<Stamp> {
    let (sequence, attempt) = text.split_once(',')?;
    Some((
        sequence.strip_prefix("sequence=")?.parse().ok()?,
        attempt.strip_prefix("attempt=")?.parse().ok()?,
    ))
}

/// Whether a Change may write its target. A record without a sequence never does.
pub fn is_open(change: &Change) -> bool {
    change.spec.sequence > 0 && phase(change).is_open()
}

fn phase(change: &Change) -> Phase {
    change.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// What is known at one point of the trace.
#[derive(Default)]
struct Known<'a> {
    targets: BTreeMap<&'a str, &'a TargetSeen>,
    changes: BTreeMap<String, &'a Change>,
    /// When somebody else last wrote a target's field.
    foreign: BTreeMap<&'a str, u64>,
    /// When a Change was first seen, and when first closed.
    opened: BTreeMap<String, u64>,
    closed: BTreeMap<String, u64>,
    broken: Vec<String>,
}

/// All violations of the laws, in words.
pub fn violations(trace: &[Seen]) -> Vec<String> {
    let mut ordered: Vec<&Seen> = trace.iter().collect();
    ordered.sort_by_key(|seen| seen.version);
    ordered.dedup_by_key(|seen| seen.version);
    let mut known = Known::default();
    for seen in ordered {
        match &seen.what {
            What::Target(target) => known.target(seen.version, target),
            What::TargetGone(uid) => drop(known.targets.remove(uid.as_str())),
            What::Change(change) => known.change(seen.version, change),
            What::ChangeGone(name) => drop(known.changes.remove(name)),
        }
    }
    known.at_rest();
    known.broken
}

impl<'a> Known<'a> {
    fn target(&mut self, version: u64, target: &'a TargetSeen) {
        let Some(before) = self.targets.insert(&target.uid, target) else {
            return;
        };
        if target.stamp < before.stamp {
            self.broken.push(format!(
                "{version}: the stamp of {} fell from {:?} to {:?}",
                target.name, before.stamp, target.stamp
            ));
        }
        if target.replicas == before.replicas {
            return;
        }
        if target.manager == flyball_crds::FIELD_MANAGER {
            self.written(version, target);
        } else {
            self.foreign.insert(&target.uid, version);
        }
    }

    /// Law 1, and no write by an old attempt: each write is the one that an open journal tells of.
    fn written(&mut self, version: u64, target: &TargetSeen) {
        let TargetSeen { name, replicas, .. } = target;
        let Some(change) = self
            .changes
            .values()
            .find(|change| is_open(change) && change.spec.target.uid == target.uid)
        else {
            self.broken.push(format!(
                "{version}: {name} was set to {replicas}, and no Change is open"
            ));
            return;
        };
        let status = change.status.clone().unwrap_or_default();
        let expected = match status.phase {
            Phase::Applying => Some(change.spec.after),
            Phase::RollingBack => status.rollback_to,
            _ => None,
        };
        if expected != Some(*replicas) {
            let told = change.name_any();
            self.broken.push(format!(
                "{version}: {name} was set to {replicas}; {told} in {:?} tells of {expected:?}",
                status.phase
            ));
        }
        let stamp = (change.spec.sequence, status.attempt);
        if target.stamp != Some(stamp) {
            self.broken.push(format!(
                "{version}: {name} was set to {replicas} under the stamp {:?}, the journal's is {stamp:?}",
                target.stamp
            ));
        }
    }

    fn change(&mut self, version: u64, change: &'a Change) {
        let name = change.name_any();
        let before = self.changes.insert(name.clone(), change);
        self.opened.entry(name.clone()).or_insert(version);
        if !is_open(change) {
            self.closed.entry(name.clone()).or_insert(version);
        }
        if let Some(before) = before {
            if !is_open(before) && phase(before) != phase(change) && before.spec.sequence > 0 {
                self.broken.push(format!(
                    "{version}: {name} was closed as {:?} and is {:?}",
                    phase(before),
                    phase(change)
                ));
            }
            let attempt = |change: &Change| change.status.as_ref().map_or(0, |status| status.attempt);
            if attempt(change) < attempt(before) {
                self.broken.push(format!("{version}: the attempt of {name} fell"));
            }
        }
        // Law 6.
        let verdict = change.status.as_ref().and_then(|status| status.verdict.as_ref());
        if phase(change) == Phase::Committed && verdict.is_none_or(|verdict| verdict.result != "Achieved") {
            self.broken
                .push(format!("{version}: {name} is Committed with the verdict {verdict:?}"));
        }
        // Law 3.
        let uid = &change.spec.target.uid;
        let open = self
            .changes
            .values()
            .filter(|it| is_open(it) && it.spec.target.uid == *uid)
            .count();
        if open > 1 {
            self.broken.push(format!(
                "{version}: {open} Changes are open for one target, {name} among them"
            ));
        }
    }

    /// The targets agree with how their last Changes ended, where nobody else wrote since.
    fn at_rest(&mut self) {
        for (uid, target) in &self.targets {
            let own = self
                .changes
                .values()
                .filter(|it| it.spec.sequence > 0 && it.spec.target.uid == **uid);
            let Some(last) = own.max_by_key(|change| change.spec.sequence) else {
                continue;
            };
            let name = last.name_any();
            let (status, foreign) = (
                last.status.clone().unwrap_or_default(),
                self.foreign.get(uid).copied().unwrap_or(0),
            );
            let (since, expected) = match status.phase {
                Phase::Applying | Phase::Verifying | Phase::RollingBack => continue,
                Phase::RolledBack => (self.closed.get(&name), status.rollback_to.unwrap_or(last.spec.before)),
                Phase::Superseded => (self.opened.get(&name), last.spec.before),
                _ => (self.closed.get(&name), last.spec.after),
            };
            if foreign < since.copied().unwrap_or(0) && target.replicas != expected {
                let TargetSeen {
                    name: workload,
                    replicas,
                    ..
                } = target;
                self.broken.push(format!(
                    "{workload} is at {replicas}; {name} ended {:?}, so it should be at {expected}",
                    status.phase
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn target(version: u64, replicas: i32, stamp: Stamp, manager: &str) -> Seen {
        let (name, uid) = ("web".to_owned(), "u".to_owned());
        let target = TargetSeen {
            name,
            uid,
            replicas,
            stamp: Some(stamp),
            manager: manager.to_owned(),
        };
        Seen {
            version,
            what: What::Target(target),
        }
    }

    fn change(version: u64, sequence: i64, phase: &str, verdict: &str) -> Seen {
        let change = json!({
            "metadata": {"name": format!("web-{sequence}")},
            "spec": {
                "policy": {"name": "p", "uid": "p", "generation": 1}, "action": "more", "mode": "Enforce",
                "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u"}, "field": "replicas",
                "direction": "Up", "sequence": sequence, "before": 2, "after": 3, "verified": 2,
                "proposedAt": "2026-01-01T00:00:00.000000Z", "reason": "x", "evidence": {},
            },
            "status": {"phase": phase, "rollbackTo": 2, "verdict": {"result": verdict, "at": null}},
        });
        let change = serde_json::from_value(change).expect("a Change");
        Seen {
            version,
            what: What::Change(Box::new(change)),
        }
    }

    fn broken(trace: &[Seen], law: &str) {
        let found = violations(trace);
        assert!(
            found.iter().any(|it| it.contains(law)),
            "{law:?} is not among {found:?}"
        );
    }

    #[test]
    fn a_sound_trace_breaks_no_law() {
        let trace = [
            target(1, 2, (0, 0), "kubectl"),
            change(2, 1, "Applying", ""),
            target(3, 2, (1, 0), "kubectl"),
            target(4, 3, (1, 0), "flyball"),
            change(5, 1, "Verifying", ""),
            change(6, 1, "Committed", "Achieved"),
        ];
        assert_eq!(violations(&trace), Vec::<String>::new());
    }

    #[test]
    fn each_law_is_seen_broken() {
        let before = || vec![target(1, 2, (1, 0), "kubectl"), change(2, 1, "Applying", "")];
        let after = |more: Vec<Seen>| before().into_iter().chain(more).collect::<Vec<_>>();
        broken(
            &[target(1, 2, (1, 0), "kubectl"), target(2, 3, (1, 0), "flyball")],
            "no Change is open",
        );
        broken(&after(vec![target(3, 4, (1, 0), "flyball")]), "tells of");
        broken(&after(vec![target(3, 3, (0, 9), "flyball")]), "fell");
        broken(&after(vec![target(3, 3, (2, 0), "flyball")]), "the journal's is");
        broken(
            &after(vec![change(3, 1, "Committed", "Inconclusive")]),
            "is Committed with",
        );
        broken(&after(vec![change(3, 2, "Applying", "")]), "2 Changes are open");
        broken(&after(vec![change(3, 1, "Committed", "Achieved")]), "should be at 3");
        broken(
            &after(vec![change(3, 1, "Superseded", ""), change(4, 1, "Verifying", "")]),
            "was closed as",
        );
    }
}

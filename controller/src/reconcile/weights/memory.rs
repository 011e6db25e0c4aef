//! What a policy remembers of weights, and how it survives a restart.

use crate::{
    apply::{recorded_weights, weights_of},
    clock::{from_micro_time, micro_time},
    reconcile::memory::is_applied,
};
use flyball_core::{
    decide::{BackendHistory, WeightHistory},
    policy::Weights,
    time::{Span, Timestamp},
};
use flyball_crds::{
    self as crds, ActionStatus, Cause, Change, DecisionStatus, OutStatus, Phase, WeightMove, WeightsStatus, YieldStatus,
};
use std::collections::BTreeMap;

/// Reapplied weights are counted over this time.
const HOUR: Span = Span::from_secs(3600);

/// The memory of the action that moves weights.
#[derive(Clone, Debug, Default)]
pub struct WeightsMemory {
    /// What the decisions rest on.
    pub history: WeightHistory,
    /// The last weights that we wrote, or found at adoption.
    pub written: Option<Weights>,
    /// When weights were written again after a reset, within the last hour.
    pub reapplied: Vec<Timestamp>,
    /// Weights that did not have their effect, and until when they are not tried again.
    pub latch: Option<(Weights, Timestamp)>,
    /// To whom the weights were left.
    pub yielded: Option<YieldStatus>,
    /// How many records without a write were made.
    pub recorded: i64,
    /// The last decision that differed from the one before.
    pub decision: Option<DecisionStatus>,
    /// The weights that it wanted.
    pub wanted: Option<Weights>,
    /// What the last pass wanted, before any check; for the metrics alone.
    pub desired: Option<Weights>,
    /// Until when no write is tried after the API server refused one, and whether that was an ejection: where it was
    /// not, an ejection is tried all the same.
    pub refused_until: Option<(Timestamp, bool)>,
    /// The sequence of the Change that was learned from last, and whether it had ended then.
    pub learned: Option<(i64, bool)>,
}

/// What else decides what is learned from a Change.
pub struct Around {
    pub now: Timestamp,
    /// The policy's generation.
    pub generation: i64,
    /// How long the field is left to somebody else.
    pub yield_for: Span,
    /// How long weights without their effect are not tried again.
    pub latch: Span,
}

impl WeightsMemory {
    /// Nothing is remembered of an action that is first seen at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            history: WeightHistory {
                observed_since: now,
                ..WeightHistory::default()
            },
            ..Self::default()
        }
    }

    /// What a status holds of an action; `None` where that is about replicas.
    pub fn restored(status: &ActionStatus, now: Timestamp) -> Option<Self> {
        let stored = status.weights.as_ref()?;
        let weights = |written: &[crds::BackendWeight]| weights_of(written).ok().filter(|_| !written.is_empty());
        let time = |at: &Option<_>| at.as_ref().map(from_micro_time);
        let backends = stored.out.iter().map(|out| {
            let history = BackendHistory {
                out_since: time(&out.out_since),
                returning_since: time(&out.returning_since),
                ejections: u32::try_from(out.ejections).unwrap_or(0),
                ..BackendHistory::default()
            };
            (out.backend.clone(), history)
        });
        let until = time(&stored.ineffective_until);
        Some(Self {
            history: WeightHistory {
                observed_since: now,
                moved_at: time(&stored.moved_at),
                verified: weights(&stored.verified),
                backends: backends.collect(),
            },
            written: weights(&stored.written),
            reapplied: stored.reapplied.iter().map(from_micro_time).collect(),
            latch: weights(&stored.ineffective).zip(until),
            yielded: status.yielded.clone(),
            recorded: status.recorded,
            decision: status.last_decision.clone(),
            wanted: None,
            desired: None,
            refused_until: None,
            learned: None,
        })
    }

    /// What must survive a restart.
    pub fn stored(&self, name: &str) -> ActionStatus {
        let out = |history: &BackendHistory| {
            history.out_since.is_some() || history.returning_since.is_some() || history.ejections > 0
        };
        let all = |weights: &Option<Weights>| weights.as_ref().map(recorded_weights).unwrap_or_default();
        ActionStatus {
            name: name.to_owned(),
            weights: Some(WeightsStatus {
                verified: all(&self.history.verified),
                written: all(&self.written),
                moved_at: self.history.moved_at.map(micro_time),
                out: self
                    .history
                    .backends
                    .iter()
                    .filter(|(_, history)| out(history))
                    .map(|(backend, history)| OutStatus {
                        backend: backend.clone(),
                        out_since: history.out_since.map(micro_time),
                        returning_since: history.returning_since.map(micro_time),
                        ejections: i32::try_from(history.ejections).unwrap_or(i32::MAX),
                    })
                    .collect(),
                ineffective: self
                    .latch
                    .as_ref()
                    .map(|(weights, _)| recorded_weights(weights))
                    .unwrap_or_default(),
                ineffective_until: self.latch.as_ref().map(|(_, until)| micro_time(*until)),
                reapplied: self.reapplied.iter().copied().map(micro_time).collect(),
            }),
            recorded: self.recorded,
            yielded: self.yielded.clone(),
            last_decision: self.decision.clone(),
            ..ActionStatus::default()
        }
    }

    /// The routes are other objects than those that were remembered.
    pub fn forget(&mut self, now: Timestamp) {
        let recorded = self.recorded;
        *self = Self {
            recorded,
            ..Self::new(now)
        };
    }

    /// Nothing was decided in this pass: smoothed values and the blackout begin anew.
    pub fn unobserved(&mut self, now: Timestamp) {
        self.desired = None;
        self.history.observed_since = now;
        for backend in self.history.backends.values_mut() {
            backend.capacity = None;
            backend.bad_since = None;
            (backend.well, backend.worse) = (None, None);
        }
    }

    /// These weights were found while nothing of ours is under way, and are taken as they are.
    pub fn adopt(&mut self, found: &Weights) {
        self.history.verified = Some(found.clone());
        self.written = Some(found.clone());
    }

    /// Weights of ours were accepted.
    pub fn moved(&mut self, to: &Weights, at: Timestamp) {
        self.written = Some(to.clone());
        self.history.moved_at = self.history.moved_at.max(Some(at));
    }

    /// A Change that takes backends out was written. Who decided it knows them as out already; a controller that only
    /// finishes it does not, and would take their weight for somebody's and give it back.
    pub fn taken_out(&mut self, change: &Change) {
        let Some(moved) = &change.spec.weights else { return };
        if moved.why != WeightMove::Ejection {
            return;
        }
        let before = moved
            .lists
            .first()
            .map(|list| list.before.as_slice())
            .unwrap_or_default();
        let had = |backend: &str| before.iter().any(|entry| entry.backend == backend && entry.weight > 0);
        for entry in moved
            .after
            .iter()
            .filter(|entry| entry.weight == 0 && had(&entry.backend))
        {
            let known = self.history.backends.entry(entry.backend.clone()).or_default();
            if known.out_since.is_none() {
                known.out_since = Some(from_micro_time(&change.spec.proposed_at));
                known.returning_since = None;
                known.ejections = known.ejections.saturating_add(1);
            }
        }
    }

    /// What the newest Change that was written tells, once for each: that it was written, and how it ended. A
    /// crash, or an answer that was lost, may have kept both from us.
    pub fn catch_up(&mut self, changes: &[std::sync::Arc<Change>], around: &Around) {
        let Some(change) = changes.iter().rev().find(|change| is_applied(change)) else {
            return;
        };
        let (Some(moved), Some(status)) = (&change.spec.weights, &change.status) else {
            return;
        };
        let ended = !status.phase.is_open();
        if self.learned == Some((change.spec.sequence, ended)) {
            return;
        }
        self.learned = Some((change.spec.sequence, ended));
        let (Ok(after), Ok(verified)) = (weights_of(&moved.after), weights_of(&moved.verified)) else {
            return;
        };
        let applied = status.applied_at.as_ref().map(from_micro_time);
        let closed = status.closed_at.as_ref().map(from_micro_time);
        let known = self.history.moved_at.filter(|_| self.written.is_some());
        if let Some(at) = applied.filter(|at| known.is_none_or(|known| known < *at)) {
            self.moved(&after, at);
            self.history.verified = Some(verified.clone());
            if status.phase != Phase::RolledBack {
                self.taken_out(change);
            }
        }
        // What was adopted since then is what counts.
        if self.written.as_ref() != Some(&after) {
            return;
        }
        let verdict = status.verdict.as_ref().map(|verdict| verdict.result.as_str());
        let in_vain = matches!(verdict, Some("Ineffective" | "Unrealised"));
        let latch = closed.filter(|_| in_vain).map(|at| (after.clone(), at + around.latch));
        match (status.phase, closed) {
            (Phase::Committed, _) => self.history.verified = Some(after),
            (Phase::RolledBack, Some(at)) => {
                let back = weights_of(&status.rollback_weights).unwrap_or(verified);
                self.moved(&back, at);
                self.latch = latch.or_else(|| self.latch.take());
            }
            (Phase::Ineffective, _) => self.latch = latch.or_else(|| self.latch.take()),
            (Phase::Superseded, Some(at)) if status.cause == Some(Cause::ForeignWrite) => {
                let same = around.generation == change.spec.policy.generation;
                if same && self.yielded.is_none() && around.now < at + around.yield_for {
                    self.yield_to(&status.message, at + around.yield_for, around.generation);
                }
            }
            _ => {}
        }
    }

    /// Somebody else wrote the weights while a Change of ours held them, as its message says.
    pub fn yield_to(&mut self, message: &str, until: Timestamp, generation: i64) {
        let manager = message
            .split_once(" wrote the field")
            .map_or("somebody else", |(who, _)| who);
        self.yielded = Some(YieldStatus {
            manager: manager.to_owned(),
            until: Some(micro_time(until)),
            generation,
        });
    }

    /// How many times weights were written again within the last hour.
    pub fn reapplied_lately(&mut self, now: Timestamp) -> usize {
        self.reapplied.retain(|at| now.since(*at) < HOUR);
        self.reapplied.len()
    }
}

/// Restores what a policy's status holds of weights.
pub fn restored(actions: &[ActionStatus], now: Timestamp) -> BTreeMap<String, WeightsMemory> {
    let restored = actions
        .iter()
        .filter_map(|action| Some((action.name.clone(), WeightsMemory::restored(action, now)?)));
    restored.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_core::policy::Weight;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn weights(a: i64, b: i64) -> Weights {
        let weight = |weight| Weight::new(weight).expect("a weight");
        Weights::new([("a".to_owned(), weight(a)), ("b".to_owned(), weight(b))])
    }

    #[test]
    fn what_must_survive_a_restart_does() {
        let mut memory = WeightsMemory::new(at(5));
        memory.adopt(&weights(50, 50));
        memory.moved(&weights(25, 75), at(60));
        memory.reapplied.push(at(50));
        memory.latch = Some((weights(1, 99), at(900)));
        memory.recorded = 3;
        memory.history.backends.insert(
            "a".to_owned(),
            BackendHistory {
                capacity: Some(12.0),
                out_since: Some(at(58)),
                ejections: 2,
                ..BackendHistory::default()
            },
        );
        let stored = serde_json::to_value(memory.stored("shift")).expect("JSON");
        let status: ActionStatus = serde_json::from_value(stored).expect("a status");
        let restored = WeightsMemory::restored(&status, at(100)).expect("weights");
        assert_eq!(restored.written, Some(weights(25, 75)));
        assert_eq!(restored.history.verified, Some(weights(50, 50)));
        assert_eq!(restored.history.moved_at, Some(at(60)));
        assert_eq!(restored.history.observed_since, at(100), "it has seen nothing yet");
        assert_eq!(restored.latch, memory.latch);
        assert_eq!(restored.reapplied, memory.reapplied);
        assert_eq!(restored.recorded, 3);
        let a = &restored.history.backends["a"];
        assert_eq!((a.out_since, a.ejections, a.capacity), (Some(at(58)), 2, None));
    }

    /// A Change from 50 and 50 to 100 and none.
    fn change(why: &str) -> Change {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "flyball.dev/v1alpha1", "kind": "Change", "metadata": {"name": "web-1"},
            "spec": {
                "policy": {"name": "p", "uid": "u", "generation": 1}, "action": "shift", "mode": "Enforce",
                "target": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web", "uid": "u"},
                "field": "weights", "direction": "Up", "sequence": 1, "before": 0, "after": 0, "verified": 0,
                "weights": {
                    "why": why,
                    "lists": [{
                        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web",
                        "uid": "u", "resourceVersion": "7",
                        "before": [{"backend": "a", "weight": 50}, {"backend": "b", "weight": 50}],
                    }],
                    "after": [{"backend": "a", "weight": 100}, {"backend": "b", "weight": 0}],
                    "verified": [{"backend": "a", "weight": 50}, {"backend": "b", "weight": 50}],
                    "share": {"requests": "r", "window": "1m", "maxAge": "1m", "settle": "1m", "within": "2m"},
                },
                "proposedAt": micro_time(at(40)), "reason": "b has no ready endpoint", "evidence": {},
            },
            "status": {"phase": "Verifying", "appliedAt": micro_time(at(41))},
        }))
        .expect("a Change")
    }

    #[test]
    fn what_a_controller_that_is_gone_took_out_is_known_as_out() {
        let memory = |why: &str, known: BackendHistory| {
            let mut memory = WeightsMemory::new(at(60));
            memory.history.backends.insert("b".to_owned(), known);
            let around = Around {
                now: at(60),
                generation: 1,
                yield_for: Span::from_secs(60),
                latch: Span::from_secs(60),
            };
            memory.catch_up(&[std::sync::Arc::new(change(why))], &around);
            assert_eq!(memory.written, Some(weights(100, 0)));
            memory.history.backends["b"].clone()
        };
        let out = memory("Ejection", BackendHistory::default());
        assert_eq!((out.out_since, out.ejections), (Some(at(40)), 1));
        // It had just begun to come back.
        let returning = BackendHistory {
            returning_since: Some(at(30)),
            ejections: 2,
            ..BackendHistory::default()
        };
        let out = memory("Ejection", returning);
        assert_eq!(
            (out.out_since, out.returning_since, out.ejections),
            (Some(at(40)), None, 3)
        );
        // The status had it already.
        let known = BackendHistory {
            out_since: Some(at(39)),
            ejections: 2,
            ..BackendHistory::default()
        };
        let out = memory("Ejection", known);
        assert_eq!((out.out_since, out.ejections), (Some(at(39)), 2));
        assert_eq!(memory("Law", BackendHistory::default()), BackendHistory::default());
    }

    #[test]
    fn reapplied_weights_are_counted_over_an_hour() {
        let mut memory = WeightsMemory::new(at(0));
        memory.reapplied = vec![at(0), at(1800), at(3599)];
        assert_eq!(memory.reapplied_lately(at(3599)), 3);
        assert_eq!(memory.reapplied_lately(at(3600)), 2);
        assert_eq!(memory.reapplied_lately(at(7200)), 0);
    }
}

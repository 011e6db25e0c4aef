//! What is remembered of a runtime's knobs from pass to pass. All actions of a policy move one setting, so there is
//! one memory, and the status keeps it with the first of them.

use super::{WRITTEN_BY, carry};
use crate::{
    clock::{from_micro_time, micro_time},
    reconcile::memory::is_applied,
};
use flyball_core::{
    decide::RuntimeHistory,
    policy::Setting,
    time::{Span, Timestamp},
};
use flyball_crds::{ActionStatus, Cause, Change, DecisionStatus, Phase, RuntimeStatus, YieldStatus};
use std::sync::Arc;

/// The memory.
#[derive(Clone, Debug, Default)]
pub struct RuntimeMemory {
    /// What decisions rest on.
    pub history: RuntimeHistory,
    /// The last setting that is ours.
    pub written: Option<Setting>,
    /// A setting that did not have its effect, and until when it is not tried again.
    pub latch: Option<(Setting, Timestamp)>,
    /// To whom the knobs were left.
    pub yielded: Option<YieldStatus>,
    /// How many records were made.
    pub recorded: i64,
    /// The last decision that differed from the one before.
    pub decision: Option<DecisionStatus>,
    /// Until when an action writes nothing after a write of its own was refused.
    pub refused_until: Option<(Timestamp, String)>,
    /// What this process has brought to the pods, as far as it could. Forgotten by a restart.
    pub spread: Option<Setting>,
    /// Whether the containers have room for a memory limit that would hold; `None`: nobody asks.
    pub room: Option<Result<(), String>>,
    /// The sequence of the Change that was learned from last, and whether it had ended.
    pub learned: Option<(i64, bool)>,
}

/// What a memory learns by.
pub struct Around {
    /// The time of the pass.
    pub now: Timestamp,
    /// The policy's generation.
    pub generation: i64,
    /// How long the knobs are left to somebody else.
    pub yield_for: Span,
    /// How long a setting without its effect is not tried again.
    pub latch: Span,
}

impl RuntimeMemory {
    /// What the statuses of a policy's actions hold of it.
    pub fn restored(actions: &[ActionStatus]) -> Option<Self> {
        let (action, stored) = actions
            .iter()
            .find_map(|action| Some((action, action.runtime.as_ref()?)))?;
        let setting = |text: &str| text.parse().ok();
        let time = |at: &Option<_>| at.as_ref().map(from_micro_time);
        Some(Self {
            history: RuntimeHistory {
                moved_at: time(&stored.moved_at),
                verified: setting(&stored.verified),
                reclaimed_at: time(&stored.reclaimed_at),
            },
            written: setting(&stored.written),
            latch: setting(&stored.ineffective).zip(time(&stored.ineffective_until)),
            yielded: action.yielded.clone(),
            recorded: action.recorded,
            decision: action.last_decision.clone(),
            refused_until: None,
            spread: None,
            room: None,
            learned: None,
        })
    }

    /// What must survive a restart.
    pub fn stored(&self, name: &str) -> ActionStatus {
        let text = |setting: Option<&Setting>| setting.map(ToString::to_string).unwrap_or_default();
        ActionStatus {
            name: name.to_owned(),
            runtime: Some(RuntimeStatus {
                verified: text(self.history.verified.as_ref()),
                written: text(self.written.as_ref()),
                moved_at: self.history.moved_at.map(micro_time),
                ineffective: text(self.latch.as_ref().map(|(setting, _)| setting)),
                ineffective_until: self.latch.as_ref().map(|(_, until)| micro_time(*until)),
                reclaimed_at: self.history.reclaimed_at.map(micro_time),
            }),
            recorded: self.recorded,
            yielded: self.yielded.clone(),
            last_decision: self.decision.clone(),
            ..ActionStatus::default()
        }
    }

    /// Another workload than the one that was remembered.
    pub fn forget(&mut self) {
        *self = Self {
            recorded: self.recorded,
            ..Self::default()
        };
    }

    /// This was found while nothing of ours is under way, and is taken as it is.
    pub fn adopt(&mut self, found: &Setting) {
        self.history.verified = Some(found.clone());
        self.written = Some(found.clone());
    }

    /// A setting of ours was accepted.
    pub fn moved(&mut self, to: &Setting, at: Timestamp) {
        if self.written.as_ref().is_some_and(|before| before.reclaim < to.reclaim) {
            self.history.reclaimed_at = Some(at);
        }
        self.written = Some(to.clone());
        self.history.moved_at = self.history.moved_at.max(Some(at));
    }

    /// What the newest Change that was written tells, once for each: a crash, or an answer that was lost, may have
    /// kept it from us.
    pub fn catch_up(&mut self, changes: &[Arc<Change>], around: &Around) {
        // What was found at adoption stands in the first Change, even where a crash kept it out of the status.
        if self.history.verified.is_none() {
            let newest = changes.last().and_then(|change| change.spec.runtime.as_ref());
            self.history.verified = newest.and_then(|moved| moved.verified.parse().ok());
        }
        let Some(change) = changes
            .iter()
            .rev()
            .find(|change| is_applied(change) || is_tried(change))
        else {
            return;
        };
        let (Some(moved), Some(status)) = (&change.spec.runtime, &change.status) else {
            return;
        };
        let ended = !status.phase.is_open();
        if self.learned == Some((change.spec.sequence, ended)) {
            return;
        }
        self.learned = Some((change.spec.sequence, ended));
        let (Ok(after), Ok(verified)) = (moved.after.parse::<Setting>(), moved.verified.parse::<Setting>()) else {
            return;
        };
        let applied = status.applied_at.as_ref().map(from_micro_time);
        let closed = status.closed_at.as_ref().map(from_micro_time);
        let known = self.history.moved_at.filter(|_| self.written.is_some());
        if let Some(at) = applied.or(closed).filter(|at| known.is_none_or(|known| known < *at)) {
            let whole = moved.tried.is_empty() || status.tried_at.is_some();
            let now = match status.phase {
                Phase::RolledBack => carry::way_back(change).unwrap_or_else(|| verified.clone()),
                _ if whole => after.clone(),
                _ => carry::trial_of(change).unwrap_or_else(|| after.clone()),
            };
            self.moved(&now, at);
            self.history.verified = Some(verified);
        }
        let verdict = status.verdict.as_ref().map(|verdict| verdict.result.as_str());
        let in_vain = matches!(verdict, Some("Ineffective" | "Unrealised" | "Broken"));
        if let Some(at) = closed.filter(|_| in_vain) {
            self.latch = Some((after.clone(), at + around.latch));
        }
        match (status.phase, closed) {
            (Phase::Committed, _) => self.history.verified = Some(after),
            (Phase::Superseded, Some(at)) if status.cause == Some(Cause::ForeignWrite) => {
                let same = around.generation == change.spec.policy.generation;
                if same && self.yielded.is_none() && around.now < at + around.yield_for {
                    self.yield_to(&status.message, at + around.yield_for, around.generation);
                }
            }
            _ => {}
        }
    }

    /// Somebody else wrote the knobs while a Change of ours held them, as its message says.
    pub fn yield_to(&mut self, message: &str, until: Timestamp, generation: i64) {
        let manager = message.split_once(WRITTEN_BY).map_or("somebody else", |(who, _)| who);
        self.yielded = Some(YieldStatus {
            manager: manager.to_owned(),
            until: Some(micro_time(until)),
            generation,
        });
    }
}

/// Whether a trial was written and verified.
pub(super) fn is_tried(change: &Change) -> bool {
    let status = change.status.as_ref();
    change.spec.sequence > 0 && status.is_some_and(|status| status.tried_at.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_survive_a_restart_does() {
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let setting = |text: &str| text.parse::<Setting>().expect(text);
        let mut memory = RuntimeMemory::default();
        memory.adopt(&setting("boot"));
        memory.moved(&setting("gogc=200"), at(60));
        memory.moved(&setting("gogc=200 reclaim=1"), at(90));
        memory.latch = Some((setting("gogc=400"), at(900)));
        memory.recorded = 3;
        let stored = serde_json::to_value(memory.stored("peak")).expect("JSON");
        let status: ActionStatus = serde_json::from_value(stored).expect("a status");
        let restored = RuntimeMemory::restored(&[status]).expect("a memory");
        assert_eq!(restored.written, Some(setting("gogc=200 reclaim=1")));
        assert_eq!(restored.history.verified, Some(setting("boot")));
        assert_eq!(restored.history.moved_at, Some(at(90)));
        assert_eq!(restored.history.reclaimed_at, Some(at(90)));
        assert_eq!(restored.latch, memory.latch);
        assert_eq!(restored.recorded, 3);
    }
}

//! Whether a decision is another one than the last: what is worth a status, and what a record.
//!
//! The last decision is stored, so a process that was started anew knows what was recorded before it.

use super::memory::ActionMemory;
use crate::text::same_words;
use flyball_core::{
    policy::{Law, ReplicasAction},
    time::{Span, Timestamp},
};
use flyball_crds::{CheckStatus, DecisionOutcome, DecisionStatus};

/// What is new about a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing but numbers in its sentences.
    Nothing,
    /// Its reason: worth a status, but no record.
    Reason,
    /// All of it.
    Decision,
}

impl ActionMemory {
    /// Takes a decision in, if it is new.
    pub(super) fn take_in(&mut self, action: &ReplicasAction, mut new: DecisionStatus, now: Timestamp) -> News {
        let mut stood = None;
        let stays = new.outcome == Some(DecisionOutcome::Stay);
        // Quiet counts from the first answer after a restart, which may be a while after that.
        let window = window(action);
        if !stays || now.since(self.history.observing_since) > window + window {
            stood = self.stood.take().filter(|stood| is_same(stood, &new));
        }
        let news = match (news(self.decision.as_ref(), &new), &stood) {
            (News::Decision, Some(_)) => News::Reason,
            (news, _) => news,
        };
        if news == News::Reason {
            new.change = stood.or_else(|| self.decision.take()).and_then(|last| last.change);
        }
        if news != News::Nothing {
            self.decision = Some(new);
        }
        news
    }

    /// Takes in that a Change was begun: each is another.
    pub(super) fn begun(&mut self, decision: DecisionStatus) {
        self.stood = None;
        self.decision = Some(decision);
    }

    /// The target is gone. What is decided for the next one is new, whatever it is.
    pub(super) fn target_gone(&mut self) {
        self.stood = None;
        if let Some(decision) = &mut self.decision {
            decision.outcome = None;
        }
    }
}

/// A decrease that was recorded before a restart. For one window after that none is proposed, because
/// too little was observed, and the action stays where it is; it is not another decrease afterwards.
pub(super) fn stood(last: Option<&DecisionStatus>) -> Option<DecisionStatus> {
    let recorded = |last: &&DecisionStatus| {
        let outcome = matches!(
            last.outcome,
            Some(DecisionOutcome::Refused | DecisionOutcome::Recommended)
        );
        outcome && last.desired < last.current
    };
    last.filter(recorded).cloned()
}

/// For so long after a restart no decrease is proposed.
fn window(action: &ReplicasAction) -> Span {
    let quiet = match &action.law {
        Law::Step(step) => step.down.as_ref().map(|down| down.after),
        Law::Metrics(_) => None,
    };
    action.down.stabilization.max(quiet.unwrap_or(Span::ZERO))
}

fn news(last: Option<&DecisionStatus>, new: &DecisionStatus) -> News {
    match last.filter(|last| is_same(last, new)) {
        None => News::Decision,
        Some(last) if said(last).zip(said(new)).all(|(last, new)| same_words(last, new)) => News::Nothing,
        Some(_) => News::Reason,
    }
}

/// Whether both come to the same: outcome, numbers, and the check that refused.
fn is_same(one: &DecisionStatus, other: &DecisionStatus) -> bool {
    let key = |decision: &DecisionStatus| {
        let check = refusal(decision).map(|check| check.name.clone());
        (decision.outcome, decision.current, decision.desired, check)
    };
    one.outcome.is_some() && key(one) == key(other)
}

fn refusal(decision: &DecisionStatus) -> Option<&CheckStatus> {
    flyball_crds::refusal(&decision.checks)
}

/// The sentences that say why.
fn said(decision: &DecisionStatus) -> impl Iterator<Item = &str> {
    let refusal = refusal(decision).map_or("", |check| check.message.as_str());
    [decision.reason.as_str(), refusal].into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::memory::Memory;
    use flyball_crds::{CheckVerdict, FeedbackPolicy, FeedbackPolicyStatus};
    use kube::api::ObjectMeta;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    /// A policy that takes a replica away after ten minutes of quiet.
    fn policy(status: FeedbackPolicyStatus) -> FeedbackPolicy {
        let spec = json!({
            "mode": "Recommend",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "rules": [{"alert": "Slow", "expr": "latency > 0.5"}],
            "actions": [{
                "name": "more", "when": ["Slow"],
                "replicas": {"min": 1, "max": 6, "step": {"pods": 1, "down": {"pods": 1, "after": "10m"}}},
            }],
        });
        FeedbackPolicy {
            metadata: ObjectMeta {
                generation: Some(1),
                ..ObjectMeta::default()
            },
            spec: serde_json::from_value(spec).expect("a spec"),
            status: Some(status),
        }
    }

    struct World {
        memory: Memory,
    }

    impl World {
        fn start(status: FeedbackPolicyStatus, now: i64) -> Self {
            Self {
                memory: Memory::restore(&policy(status), at(now)),
            }
        }

        /// The process ends, and another starts from what this one stored.
        fn restart(self, now: i64) -> Self {
            let mut status = FeedbackPolicyStatus::default();
            self.memory.store(&mut status);
            let stored = serde_json::to_value(status).expect("JSON");
            Self::start(serde_json::from_value(stored).expect("a status"), now)
        }

        fn decide(&mut self, decision: DecisionStatus, now: i64) -> News {
            let policy = self.memory.policy.clone().expect("a policy");
            let action = policy.actions.first().expect("an action");
            let memory = self.memory.actions.get_mut("more").expect("its memory");
            memory.take_in(action, decision, at(now))
        }

        fn last(&self) -> DecisionStatus {
            self.memory.actions["more"].decision.clone().expect("a decision")
        }

        /// As a record does.
        fn recorded(&mut self, name: &str) {
            let memory = self.memory.actions.get_mut("more").expect("a memory");
            memory.decision.as_mut().expect("a decision").change = Some(name.to_owned());
        }
    }

    fn decision(outcome: DecisionOutcome, current: i32, desired: i32, reason: &str) -> DecisionStatus {
        DecisionStatus {
            current,
            desired,
            outcome: Some(outcome),
            reason: reason.to_owned(),
            ..DecisionStatus::default()
        }
    }

    fn refused(check: &str, message: &str) -> DecisionStatus {
        DecisionStatus {
            checks: vec![CheckStatus {
                name: check.to_owned(),
                verdict: CheckVerdict::Refused,
                message: message.to_owned(),
            }],
            ..decision(DecisionOutcome::Refused, 2, 3, "Slow fires")
        }
    }

    use DecisionOutcome::{Recommended, Stay};

    #[test]
    fn what_is_new_is_told_from_what_only_moves() {
        let check = |last: &DecisionStatus, new: &DecisionStatus, expect| {
            assert_eq!(news(Some(last), new), expect, "{last:?} {new:?}");
        };
        let stay = decision(Stay, 2, 2, "load is 0.5");
        check(&stay, &decision(Stay, 2, 2, "load is 0.6"), News::Nothing);
        check(&stay, &decision(Stay, 2, 2, "Slow is pending"), News::Reason);
        check(&stay, &decision(Stay, 3, 3, "load is 0.5"), News::Decision);
        check(&stay, &decision(Recommended, 2, 3, "load is 0.5"), News::Decision);
        let recommended = decision(Recommended, 2, 3, "Slow fires");
        check(
            &recommended,
            &decision(Recommended, 2, 3, "Slow, Full fires"),
            News::Reason,
        );
        check(&recommended, &decision(Recommended, 2, 4, "Slow fires"), News::Decision);
        check(
            &recommended,
            &decision(DecisionOutcome::Begun, 2, 3, "Slow fires"),
            News::Decision,
        );
        let waiting = refused("Cooldown", "wait 30s");
        check(&waiting, &refused("Cooldown", "wait 15s"), News::Nothing);
        check(&waiting, &refused("Bounds", "max is 2"), News::Decision);
        check(
            &refused("DryRun", "no quota"),
            &refused("DryRun", "a webhook said no"),
            News::Reason,
        );
        assert_eq!(news(None, &stay), News::Decision);
    }

    #[test]
    fn a_new_reason_is_kept_with_the_record_of_the_decision() {
        let mut world = World::start(FeedbackPolicyStatus::default(), 0);
        assert_eq!(
            world.decide(decision(Recommended, 2, 3, "Slow fires"), 1),
            News::Decision
        );
        world.recorded("record-1");
        assert_eq!(world.decide(decision(Recommended, 2, 3, "Full fires"), 2), News::Reason);
        let last = world.last();
        assert_eq!(
            (last.reason.as_str(), last.change.as_deref()),
            ("Full fires", Some("record-1"))
        );
    }

    #[test]
    fn a_restart_makes_nothing_new() {
        for first in [
            decision(Recommended, 2, 3, "Slow fires"),
            refused("Bounds", "max is 2"),
            decision(Stay, 2, 2, "no rule fires"),
        ] {
            let mut world = World::start(FeedbackPolicyStatus::default(), 0);
            assert_eq!(world.decide(first.clone(), 1), News::Decision);
            let mut world = world.restart(100);
            assert_eq!(world.decide(first.clone(), 101), News::Nothing, "{first:?}");
            let other = decision(Recommended, 2, 5, "Slow fires");
            assert_eq!(world.decide(other, 102), News::Decision);
        }
    }

    /// For ten minutes after a restart there is no decrease, and what is said meanwhile is said.
    #[test]
    fn a_decrease_that_waits_for_a_restarts_window_is_the_same_one() {
        let decrease = || decision(Recommended, 3, 2, "Slow quiet for 10m");
        let waits = |now: i64| (decision(Stay, 3, 3, "quiet, but observed only for 5m of 10m"), now);
        let mut world = World::start(FeedbackPolicyStatus::default(), 0);
        assert_eq!(world.decide(decrease(), 1), News::Decision);
        world.recorded("record-1");
        let mut world = world.restart(100);
        let (stay, now) = waits(400);
        assert_eq!(world.decide(stay, now), News::Decision);
        assert_eq!(world.last().outcome, Some(Stay));
        assert_eq!(world.decide(decrease(), 701), News::Reason, "it is recorded already");
        assert_eq!(world.last().change.as_deref(), Some("record-1"));
        // The next one is another.
        assert_eq!(
            world.decide(decision(Stay, 3, 3, "Slow is pending"), 800),
            News::Decision
        );
        assert_eq!(world.decide(decrease(), 1500), News::Decision);

        // So is one that comes much later, and one between other numbers.
        let mut world = world.restart(2000);
        assert_eq!(
            world.decide(decision(Stay, 3, 3, "Slow is pending"), 5000),
            News::Decision
        );
        assert_eq!(world.decide(decrease(), 6000), News::Decision);
        let mut world = world.restart(7000);
        assert_eq!(
            world.decide(decision(Recommended, 4, 3, "Slow quiet for 10m"), 7700),
            News::Decision
        );
        assert_eq!(world.decide(decision(Stay, 3, 3, "no"), 7701), News::Decision);
        assert_eq!(world.decide(decrease(), 7702), News::Decision);
    }

    #[test]
    fn what_is_decided_for_another_target_is_new() {
        let mut world = World::start(FeedbackPolicyStatus::default(), 0);
        let first = decision(Recommended, 2, 3, "Slow fires");
        world.decide(first.clone(), 1);
        world.memory.actions.get_mut("more").expect("a memory").target_gone();
        let mut world = world.restart(100);
        assert_eq!(world.decide(first, 101), News::Decision);
    }
}

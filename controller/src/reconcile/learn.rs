//! What a policy learns from its transactions: what was verified, what did not help, what is somebody else's.

use super::{
    Pass,
    memory::{self, Memory},
    open::{REFUSED_PAUSE, manager},
};
use crate::{
    apply::{ReplicasTx, journal_of},
    clock::{from_micro_time, micro_time},
    observe::is_open,
    validate::comparison_of_change,
};
use flyball_core::{
    decide::{Latch, ScaleEvent},
    policy::Replicas,
    time::Timestamp,
    transaction::{Cause, Journal, Outcome, Phase, Verdict},
};
use flyball_crds::{Change, ChangeField, Phase as Recorded, YieldStatus};
use kube::ResourceExt;
use std::sync::Arc;
use tracing::info;

/// Learns from the policy's last Change what a crash, or an answer that was lost, kept from us: that
/// it was written, and how it ended. What is known already is not learned again.
///
/// A latch that was lifted before a restart is made anew by this, and lifted again by the next
/// decision, as long as what lifted it is still so.
pub(super) fn catch_up(pass: &Pass<'_>, memory: &mut Memory) {
    let changes = own(pass);
    let applied = changes.iter().rev().find(|change| memory::is_applied(change));
    if let Some(sequence) = applied.and_then(|change| u64::try_from(change.spec.sequence).ok())
        && memory.recalled != Some(sequence)
    {
        memory.recalled = Some(sequence);
        memory.recall(&changes, pass.seen.now);
    }
    let Some(change) = changes.last() else { return };
    let Ok(mut journal) = journal_of(change) else { return };
    if is_open(change) || memory.learned == Some(journal.sequence) {
        return;
    }
    memory.learned = Some(journal.sequence);
    let recorded = change.status.as_ref().map(|status| status.phase);
    if recorded == Some(Recorded::Superseded) {
        let value = pass.seen.found.snapshot.as_ref().map(|snapshot| snapshot.target.value);
        let edited = pass.object.metadata.generation != Some(change.spec.policy.generation);
        let yields = memory.actions.values().any(|action| action.yielded.is_some());
        if let (false, false, Some(at)) = (edited, yields, closed_at(change)) {
            taken_over(pass, memory, cause(change, &journal, value), at);
        }
        return;
    }
    info!(
        policy = pass.name,
        change = change.name_any(),
        "learning how the last Change ended"
    );
    journal.phase = match recorded {
        Some(Recorded::Committed) => Phase::Closed(Outcome::Committed),
        Some(Recorded::RolledBack) => Phase::Closed(Outcome::RolledBack),
        Some(Recorded::Ineffective) => Phase::Closed(Outcome::Ineffective),
        _ => return,
    };
    ended(pass, memory, &journal, change);
}

/// The Changes of this policy on its present target, oldest first; records are none.
fn own(pass: &Pass<'_>) -> Vec<Arc<Change>> {
    let (Some(uid), Some(snapshot)) = (pass.object.uid(), &pass.seen.found.snapshot) else {
        return Vec::new();
    };
    let mut own = pass.ctx.cluster.changes.state();
    own.retain(|change| {
        change.spec.policy.uid == uid
            && change.spec.target.uid == snapshot.uid
            && change.spec.sequence > 0
            && change.spec.field == ChangeField::Replicas
    });
    own.sort_by_key(|change| change.spec.sequence);
    own
}

/// What took over. Where it is not recorded, as older versions did not, a value that the Change never
/// had to do with is somebody else's.
fn cause(change: &Change, journal: &Journal<Replicas>, value: Option<Replicas>) -> Cause {
    let recorded = change.status.as_ref().is_some_and(|status| status.cause.is_some());
    match journal.phase {
        Phase::Closed(Outcome::Superseded(cause)) if recorded => cause,
        _ if value.is_some_and(|value| value != journal.before && value != journal.after) => Cause::Foreign,
        _ => Cause::Newer,
    }
}

fn closed_at(change: &Change) -> Option<Timestamp> {
    change.status.as_ref()?.closed_at.as_ref().map(from_micro_time)
}

/// What the policy learns from a transaction that moved on.
pub(super) fn remember(
    pass: &Pass<'_>,
    memory: &mut Memory,
    before: &Journal<Replicas>,
    tx: &ReplicasTx,
    change: &Change,
) {
    let journal = &tx.journal;
    if journal.phase == before.phase {
        return;
    }
    info!(policy = pass.name, change = change.name_any(), phase = ?journal.phase, "the Change moved on");
    // The policy has moved to another target, or that was made anew: nothing of it is about that.
    if memory.target.as_ref().is_some_and(|uid| *uid != change.spec.target.uid) {
        return;
    }
    if let (Some(at), None) = (journal.applied_at, before.applied_at) {
        memory.recalled = Some(journal.sequence);
        memory.moved(ScaleEvent {
            at,
            from: journal.before,
            to: journal.after,
        });
    }
    if !journal.is_open() {
        memory.learned = Some(journal.sequence);
        ended(pass, memory, journal, change);
    }
}

/// What the policy learns from how a transaction ended.
fn ended(pass: &Pass<'_>, memory: &mut Memory, journal: &Journal<Replicas>, change: &Change) {
    let now = pass.seen.now;
    match journal.phase {
        Phase::Closed(Outcome::Committed) => {
            memory.verified(journal.after);
            if let Some(action) = memory.actions.get_mut(&change.spec.action) {
                action.history.latch = None;
            }
        }
        Phase::Closed(Outcome::RolledBack) => {
            let to = journal.rollback_to.unwrap_or(journal.before);
            memory.moved(ScaleEvent {
                at: closed_at(change).unwrap_or(now),
                from: journal.after,
                to,
            });
            latch(pass, memory, change, journal);
        }
        Phase::Closed(Outcome::Ineffective) => latch(pass, memory, change, journal),
        Phase::Closed(Outcome::Superseded(cause)) => taken_over(pass, memory, cause, now),
        _ => {}
    }
}

/// What is learned from what took over a transaction that was closed at `at`.
fn taken_over(pass: &Pass<'_>, memory: &mut Memory, cause: Cause, at: Timestamp) {
    match cause {
        Cause::Foreign => {
            let manager = pass.seen.found.snapshot.as_ref().and_then(manager);
            let manager = manager.unwrap_or_else(|| "somebody else".to_owned());
            give_way(pass, memory, manager, at + pass.policy.yield_for);
        }
        Cause::Refused => {
            let pause = pass.policy.yield_for.min(REFUSED_PAUSE);
            let refuser = "the API server, which refused the last write,".to_owned();
            give_way(pass, memory, refuser, at + pause);
        }
        _ => {}
    }
}

/// Keeps our hands off the field for a while.
fn give_way(pass: &Pass<'_>, memory: &mut Memory, manager: String, until: Timestamp) {
    let yielded = YieldStatus {
        manager,
        until: Some(micro_time(until)),
        generation: pass.object.metadata.generation.unwrap_or_default(),
    };
    for action in memory.actions.values_mut() {
        action.yielded = Some(yielded.clone());
    }
}

/// A change that did not help is not repeated while demand and signal stay where they are.
fn latch(pass: &Pass<'_>, memory: &mut Memory, change: &Change, journal: &Journal<Replicas>) {
    if !matches!(journal.verdict, Some(Verdict::Ineffective | Verdict::Broken)) {
        return;
    }
    let Some(frozen) = change
        .spec
        .verification
        .as_ref()
        .and_then(|frozen| comparison_of_change(frozen).ok())
    else {
        return;
    };
    let status = change.status.as_ref();
    let verdict = status.and_then(|status| status.verdict.as_ref());
    let at = verdict
        .and_then(|verdict| verdict.at.as_ref())
        .map_or(pass.seen.now, from_micro_time);
    if let Some(action) = memory.actions.get_mut(&change.spec.action) {
        action.history.latch = Some(Latch {
            direction: memory::direction(change.spec.direction),
            demand: frozen.baseline.demand,
            signal: verdict.and_then(|verdict| verdict.value),
            until: at + frozen.verification.latch,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_recorded_cause_is_believed_and_a_missing_one_guessed() {
        let check = |recorded: Option<&str>, value: Option<i64>, expect| {
            let change = json!({
                "apiVersion": "flyball.dev/v1alpha1", "kind": "Change", "metadata": {"name": "web-4"},
                "spec": {
                    "policy": {"name": "web", "uid": "p", "generation": 1}, "action": "more", "mode": "Enforce",
                    "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "t"},
                    "field": "replicas", "direction": "Up", "sequence": 4, "before": 2, "after": 3, "verified": 2,
                    "proposedAt": micro_time(Timestamp::from_millis(0)), "reason": "Slow fires", "evidence": {},
                },
                "status": {"phase": "Superseded", "cause": recorded},
            });
            let change: Change = serde_json::from_value(change).expect("a Change");
            let journal = journal_of(&change).expect("a journal");
            let value = value.and_then(Replicas::new);
            assert_eq!(cause(&change, &journal, value), expect, "{recorded:?} {value:?}");
        };
        check(Some("ForeignWrite"), Some(3), Cause::Foreign);
        check(Some("WriteRefused"), Some(2), Cause::Refused);
        // Somebody wrote 7 later, when no Change held the field.
        check(Some("Expired"), Some(7), Cause::Expired);
        check(None, Some(7), Cause::Foreign);
        check(None, Some(2), Cause::Newer);
        check(None, None, Cause::Newer);
    }
}

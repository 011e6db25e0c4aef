//! Changes that wait for somebody's word.
//!
//! What waits is a record, not a transaction: it holds no field and writes nothing. Once it is approved,
//! the next pass decides again, and only where it comes to the very same step the Change begins. So an
//! approval never lets anything through that the present does not ask for.

use super::{
    Pass,
    begin::record,
    memory::{Memory, stored_replicas},
};
use crate::apply::Journals;
use flyball_core::{
    check::{Approval, Check, Refused},
    policy::{Mode, Policy, Replicas, ReplicasAction},
};
use flyball_crds::{Change, CheckStatus, Phase, approved_by};
use kube::ResourceExt;
use std::sync::Arc;

/// What a pass came to, as far as the records that wait go.
pub(super) enum Outlook<'a> {
    /// This step waits, in this record; in none that is known of, where it is not known to be written.
    Awaits {
        from: Replicas,
        to: Replicas,
        record: Option<&'a str>,
    },
    /// This Change was begun.
    Begun(&'a Change),
    /// What could not be begun is tried again, and what has only to wait may go on in the next pass.
    Delayed,
    /// Nothing is wanted.
    Nothing,
}

/// Whether a Change is the record of a decision that waits. One that has no status yet is told by its
/// evidence: its writer may still be at it, or was cut short.
pub(super) fn awaits(change: &Change) -> bool {
    change.spec.sequence == 0
        && match &change.status {
            Some(status) => status.phase == Phase::AwaitingApproval,
            None => refusal(change).is_some_and(|check| check.name == Check::Approval.name()),
        }
}

/// The check that refused what a record is about.
pub(super) fn refusal(record: &Change) -> Option<&CheckStatus> {
    flyball_crds::refusal(&record.spec.evidence.checks)
}

/// Whether somebody approved what the action would do from the present number on.
pub(super) fn of(pass: &Pass<'_>, action: &ReplicasAction, current: Replicas) -> Approval {
    // A recommendation needs nobody's approval.
    if !action.approval || pass.policy.mode != Mode::Enforce {
        return Approval::NotNeeded;
    }
    granted(&waiting_here(pass, action), current)
}

fn granted(records: &[Arc<Change>], current: Replicas) -> Approval {
    let from_here = |record: &Change| record.spec.before == stored_replicas(current);
    let closest = records.iter().max_by_key(|record| {
        let approved = approved_by(record).is_some();
        (from_here(record), approved, record.spec.proposed_at.0)
    });
    let Some(record) = closest else {
        return Approval::Awaited(None);
    };
    let numbers = (
        Replicas::new(record.spec.before.into()),
        Replicas::new(record.spec.after.into()),
    );
    match (approved_by(record), numbers) {
        (Some(by), (Some(from), Some(to))) => Approval::Granted {
            from,
            to,
            by: by.to_owned(),
        },
        // A record of another step is not what is to be approved now.
        _ => Approval::Awaited(from_here(record).then(|| record.name_any())),
    }
}

/// Sees to it that there is a record to approve, and names it. One that waits already is used again;
/// where there is none, because it could not be written or somebody deleted it, it is written (again).
pub(super) async fn ensure(
    pass: &Pass<'_>,
    memory: &mut Memory,
    action: &ReplicasAction,
    refused: &Refused,
    again: bool,
) -> Option<String> {
    if let Some(found) = standing(&waiting_here(pass, action), refused.proposal.from, refused.to) {
        let name = found.name_any();
        let remembered = memory.actions.get_mut(&action.name);
        if let Some(decision) = remembered.and_then(|action| action.decision.as_mut()) {
            decision.change = Some(name.clone());
        }
        if found.status.is_none() {
            close(pass, &found, Phase::AwaitingApproval, refused.to_string()).await;
        }
        return Some(name);
    }
    record(
        pass,
        memory,
        action,
        &refused.proposal,
        refused.to,
        &refused.checks,
        (Phase::AwaitingApproval, refused.to_string()),
        again,
    )
    .await
}

/// The record of the very same step: an approved one before others, then the newest.
fn standing(records: &[Arc<Change>], from: Replicas, to: Replicas) -> Option<Arc<Change>> {
    let same = records.iter().filter(|record| is_step(record, from, to));
    same.max_by_key(|record| (approved_by(record).is_some(), record.spec.proposed_at.0))
        .cloned()
}

fn is_step(record: &Change, from: Replicas, to: Replicas) -> bool {
    (record.spec.before, record.spec.after) == (stored_replicas(from), stored_replicas(to))
}

/// Writes the status of a record. Where that fails, it is as it was in the next pass, which tries again.
async fn close(pass: &Pass<'_>, record: &Change, phase: Phase, message: String) {
    let ctx = pass.ctx;
    let on_record = |change: &Change| ctx.recorder.change(change);
    let mut journals = Journals::open(&ctx.clients.write, record.clone(), pass.authority, &on_record);
    let _ = journals.close_record(phase, message, pass.seen.now).await;
}

/// Ends what waits without need, whichever action it is of.
pub(super) async fn withdraw(pass: &Pass<'_>, outlook: &Outlook<'_>) {
    let target = pass.seen.found.snapshot.as_ref().map(|snapshot| snapshot.uid.as_str());
    for (record, spent) in waiting(pass) {
        let why = match spent {
            Some(change) => Some(format!("approved, and carried out as {change}")),
            None => needless(&record, pass.policy, target, outlook),
        };
        if let Some(why) = why {
            close(pass, &record, Phase::Superseded, why).await;
        }
    }
}

/// Why a record waits without need, if it does.
fn needless(record: &Change, policy: &Policy, target: Option<&str>, outlook: &Outlook<'_>) -> Option<String> {
    let spec = &record.spec;
    let Some(action) = policy.actions.iter().find(|action| action.name == spec.action) else {
        return Some(format!("the policy has no action {} any more", spec.action));
    };
    if policy.mode != Mode::Enforce {
        return Some("the policy does not write any more: its mode is not Enforce".to_owned());
    }
    if !action.approval {
        return Some(format!("the action {} asks for no approval any more", spec.action));
    }
    if target.is_some_and(|uid| uid != spec.target.uid) {
        return Some("the policy's target is another object by now".to_owned());
    }
    match outlook {
        Outlook::Delayed => None,
        Outlook::Awaits {
            from,
            to,
            record: known,
        } => {
            let keep = known.map_or_else(|| is_step(record, *from, *to), |known| known == record.name_any());
            (!keep).then(|| "another change is wanted by now".to_owned())
        }
        Outlook::Begun(change) => {
            let step = |change: &Change| (change.spec.action.clone(), change.spec.before, change.spec.after);
            let name = change.name_any();
            Some(if step(change) == step(record) && approved_by(record).is_some() {
                format!("approved, and carried out as {name}")
            } else {
                format!("{name} was begun instead")
            })
        }
        Outlook::Nothing => Some("it is not wanted any more".to_owned()),
    }
}

/// The records of the policy that wait, each with the Change that it was spent on.
fn waiting(pass: &Pass<'_>) -> Vec<(Arc<Change>, Option<String>)> {
    let uid = pass.object.uid().unwrap_or_default();
    let mut own = pass.ctx.cluster.changes.state();
    own.retain(|change| change.spec.policy.uid == uid);
    let records = own.iter().filter(|change| awaits(change));
    records
        .map(|record| (Arc::clone(record), spent(record, &own)))
        .collect()
}

/// The Change that carried a record out, where a crash or an answer that was lost kept it from being closed
/// then. One approval is for one Change.
fn spent(record: &Change, changes: &[Arc<Change>]) -> Option<String> {
    let of = |change: &Change| {
        let spec = &change.spec;
        (spec.action.clone(), spec.target.uid.clone(), spec.before, spec.after)
    };
    let mut later = changes
        .iter()
        .filter(|change| change.spec.sequence > 0 && change.spec.proposed_at.0 >= record.spec.proposed_at.0);
    approved_by(record)?;
    later
        .find(|change| of(change) == of(record))
        .map(|change| change.name_any())
}

/// Those of one action, on the present target, that may still be carried out.
fn waiting_here(pass: &Pass<'_>, action: &ReplicasAction) -> Vec<Arc<Change>> {
    let target = pass.seen.found.snapshot.as_ref().map(|snapshot| &snapshot.uid);
    let here = |change: &Change| change.spec.action == action.name && Some(&change.spec.target.uid) == target;
    let waiting = waiting(pass).into_iter();
    waiting
        .filter(|(record, spent)| spent.is_none() && here(record))
        .map(|(record, _)| record)
        .collect()
}

#[cfg(test)]
mod tests;

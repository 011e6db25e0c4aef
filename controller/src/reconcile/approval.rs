//! Changes that wait for somebody's word.
//!
//! What waits is a record, not a transaction: it holds no field and writes nothing. Once it is approved,
//! the next pass decides again, and only where it comes to the very same number the Change begins. So an
//! approval never lets anything through that the present does not ask for.

use super::Pass;
use crate::apply::Journals;
use flyball_core::{check::Approval, policy::Mode, policy::Replicas, policy::ReplicasAction};
use flyball_crds::{APPROVED_BY_ANNOTATION, Change, Phase};
use kube::ResourceExt;
use std::sync::Arc;

/// Whether somebody approved what the action waits with.
pub(super) fn of(pass: &Pass<'_>, action: &ReplicasAction) -> Approval {
    // A recommendation needs nobody's approval.
    if !action.approval || pass.policy.mode != Mode::Enforce {
        return Approval::NotNeeded;
    }
    let Some(record) = waiting(pass, action).pop() else {
        return Approval::Awaited(None);
    };
    let by = record.annotations().get(APPROVED_BY_ANNOTATION);
    let to = Replicas::new(record.spec.after.into());
    match (by.filter(|by| !by.is_empty()), to) {
        (Some(by), Some(to)) => Approval::Granted { to, by: by.clone() },
        _ => Approval::Awaited(Some(record.name_any())),
    }
}

/// Ends what waits without need: it was carried out, another number is wanted by now, or none.
pub(super) async fn withdraw(pass: &Pass<'_>, action: &ReplicasAction, keep: Option<(Replicas, Replicas)>, why: &str) {
    for record in waiting(pass, action) {
        let numbers = (
            Replicas::new(record.spec.before.into()),
            Replicas::new(record.spec.after.into()),
        );
        if keep.is_some_and(|(from, to)| numbers == (Some(from), Some(to))) {
            continue;
        }
        let ctx = pass.ctx;
        let on_record = |change: &Change| ctx.recorder.change(change);
        let mut journals = Journals::open(&ctx.clients.write, Change::clone(&record), pass.authority, &on_record);
        // Not written: it is still there in the next pass, which tries again.
        let _ = journals
            .close_record(Phase::Superseded, why.to_owned(), pass.seen.now)
            .await;
    }
}

/// The records that wait, oldest first.
fn waiting(pass: &Pass<'_>, action: &ReplicasAction) -> Vec<Arc<Change>> {
    let uid = kube::ResourceExt::uid(pass.object).unwrap_or_default();
    let mut found: Vec<_> = pass.ctx.cluster.changes.state();
    found.retain(|change| {
        change.spec.policy.uid == uid
            && change.spec.action == action.name
            && change.status.as_ref().map(|status| status.phase) == Some(Phase::AwaitingApproval)
    });
    found.sort_by_key(|change| change.spec.proposed_at.0);
    found
}

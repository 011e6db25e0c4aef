//! Changes that nobody carries any more: a deleted policy's open ones are fenced and closed, and closed
//! ones are kept in bounds of number and, once their policy is gone, of time.

use super::{Context, approval, open};
use crate::{
    apply::{Authority, Journals},
    clock::from_micro_time,
    metrics::Verb,
    observe::is_open,
};
use flyball_core::{
    check::Check,
    time::{Span, Timestamp},
    transaction::Abort,
};
use flyball_crds::{Change, Mode, Phase};
use kube::{Api, ResourceExt, api::DeleteParams, api::Preconditions};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How many closed Changes of a policy are kept that were carried out.
pub const KEPT: usize = 50;
/// How many closed records of a policy are kept, that is recommendations and refusals. They are counted on their
/// own: a policy that flaps between two refusals must not drive out the history of what was written.
pub const KEPT_RECORDS: usize = 50;
/// For how long the closed Changes of a policy that is gone are kept: for an audit of the last month.
pub const KEPT_WITHOUT_POLICY: Span = Span::from_secs(30 * 24 * 3600);
/// A record that is still without its status after so long was left by a crash.
const LEFT: Span = Span::from_secs(60);
/// How many Changes one sweep closes at most, and how many it deletes: an API server that has just come back
/// should not hear of all of them at once.
const PER_SWEEP: usize = 20;

/// What is to be done about a Change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Todo {
    /// Fence its target and close it.
    Abort,
    /// Nobody will carry out what it waits with.
    Withdraw,
    /// Write the status that its writer did not come to.
    Finish,
}

/// Looks after all Changes once, as far as one turn goes. Ends early when the leadership or the process does.
pub async fn sweep(ctx: Arc<Context>, authority: Authority, turn: usize, stop: CancellationToken) {
    let changes = ctx.cluster.changes.state();
    let policies: BTreeSet<String> = ctx
        .cluster
        .policies
        .state()
        .iter()
        .filter_map(|policy| policy.uid())
        // A policy that can't be read is not gone.
        .chain(ctx.cluster.unreadable_policies.uids())
        .collect();
    let now = (ctx.now)();
    let goes_on = || authority.holds() && !stop.is_cancelled();
    for (change, todo) in share(left(&changes, &policies, now), turn) {
        if !goes_on() {
            return;
        }
        match todo {
            Todo::Abort => {
                info!(
                    change = change.name_any(),
                    policy = change.spec.policy.name,
                    "closing the Change of a deleted policy"
                );
                open::cut_short(&ctx, &change, Abort::PolicyDeleted, &authority).await;
            }
            Todo::Withdraw => {
                let why = "its policy was deleted".to_owned();
                close(&ctx, &change, (Phase::Superseded, why), &authority).await;
            }
            Todo::Finish => close(&ctx, &change, ending(&change), &authority).await,
        }
    }
    for change in share(surplus(&changes, &policies, now), turn) {
        if !goes_on() {
            return;
        }
        delete(&ctx, &change, &authority).await;
    }
}

/// The part of a list that one sweep looks at. They take turns, so what fails each time holds nothing up.
fn share<T>(mut list: Vec<T>, turn: usize) -> Vec<T> {
    if list.len() > PER_SWEEP {
        let start = turn.wrapping_mul(PER_SWEEP) % list.len();
        list.rotate_left(start);
        list.truncate(PER_SWEEP);
    }
    list
}

/// What somebody left behind.
fn left(changes: &[Arc<Change>], policies: &BTreeSet<String>, now: Timestamp) -> Vec<(Arc<Change>, Todo)> {
    let todo = |change: &Change| {
        let orphaned = !policies.contains(&change.spec.policy.uid);
        if is_open(change) {
            return orphaned.then_some(Todo::Abort);
        }
        if orphaned && approval::awaits(change) {
            return Some(Todo::Withdraw);
        }
        let unfinished = change.spec.sequence == 0 && change.status.is_none();
        let age = now.since(from_micro_time(&change.spec.proposed_at));
        (unfinished && age > LEFT).then_some(Todo::Finish)
    };
    let with = |change: &Arc<Change>| Some((Arc::clone(change), todo(change)?));
    changes.iter().filter_map(with).collect()
}

/// What a record without a status should have come to: its spec says what it was.
fn ending(change: &Change) -> (Phase, String) {
    let refused = approval::refusal(change);
    match refused {
        Some(check) if check.name == Check::Approval.name() => {
            (Phase::AwaitingApproval, format!("{}: {}", check.name, check.message))
        }
        Some(check) => (Phase::Refused, format!("{}: {}", check.name, check.message)),
        None if change.spec.mode == Mode::Enforce => {
            (Phase::Refused, "not written: the policy is suspended".to_owned())
        }
        None => (
            Phase::Recommended,
            format!("would write {}: {}", change.spec.after, change.spec.reason),
        ),
    }
}

async fn close(ctx: &Context, change: &Change, (phase, message): (Phase, String), authority: &Authority) {
    let on_record = |change: &Change| ctx.recorder.change(change);
    let mut journals = Journals::open(&ctx.clients.write, change.clone(), authority, &on_record);
    // Not written: it is still there for a later sweep.
    let _ = journals.close_record(phase, message, (ctx.now)()).await;
}

/// The closed Changes that are not kept: of each policy the oldest beyond a number, of its transactions and of its
/// records; and of one that is gone those from too long ago. Neither an open one nor a record that waits is
/// among them.
fn surplus(changes: &[Arc<Change>], policies: &BTreeSet<String>, now: Timestamp) -> Vec<Arc<Change>> {
    let mut kept: BTreeMap<(&str, bool), Vec<&Arc<Change>>> = BTreeMap::new();
    let mut surplus = Vec::new();
    for change in changes {
        let Some(status) = change.status.as_ref().filter(|status| !status.phase.is_open()) else {
            continue;
        };
        if approval::awaits(change) {
            continue;
        }
        let policy = &change.spec.policy.uid;
        let closed = status.closed_at.as_ref().unwrap_or(&change.spec.proposed_at);
        if !policies.contains(policy) && now.since(from_micro_time(closed)) > KEPT_WITHOUT_POLICY {
            surplus.push(Arc::clone(change));
        } else {
            kept.entry((policy, change.spec.sequence == 0))
                .or_default()
                .push(change);
        }
    }
    for ((_, records), mut changes) in kept {
        let most = if records { KEPT_RECORDS } else { KEPT };
        changes.sort_by_key(|change| Reverse((change.spec.proposed_at.0, change.spec.sequence)));
        surplus.extend(changes.into_iter().skip(most).cloned());
    }
    surplus
}

async fn delete(ctx: &Context, change: &Change, authority: &Authority) {
    let api: Api<Change> = Api::namespaced(ctx.clients.write.clone(), &change.namespace().unwrap_or_default());
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            resource_version: change.resource_version(),
            uid: change.uid(),
        }),
        ..DeleteParams::default()
    };
    let name = change.name_any();
    if let Err(error) = authority.within(Verb::Delete, api.delete(&name, &parameters)).await {
        warn!(change = name, %error, "an old Change was not deleted");
    }
}

#[cfg(test)]
mod tests;

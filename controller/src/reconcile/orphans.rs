//! Changes that nobody carries any more: a deleted policy's open ones are fenced and closed, and of
//! closed ones only so many are kept.

use super::{Context, open};
use crate::{
    apply::{Authority, Journals},
    metrics::Verb,
    observe::is_open,
};
use flyball_core::{check::Check, transaction::Abort};
use flyball_crds::{Change, CheckVerdict, Mode, POLICY_LABEL, Phase};
use kube::{Api, ResourceExt, api::DeleteParams, api::Preconditions};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tracing::{info, warn};

/// How many closed Changes of a policy are kept.
pub const KEPT: usize = 50;
/// A record that is still without its status after so many seconds was left by a crash.
const LEFT: i64 = 60;

/// Looks after all Changes once.
pub async fn sweep(ctx: &Context, authority: &Authority) {
    let changes = ctx.cluster.changes.state();
    let policies: BTreeSet<String> = ctx
        .cluster
        .policies
        .state()
        .iter()
        .filter_map(|policy| policy.uid())
        .collect();
    let now = (ctx.now)();
    for change in &changes {
        // A policy that can't be read is not gone.
        let uid = &change.spec.policy.uid;
        let orphaned = !policies.contains(uid) && !ctx.cluster.unreadable_policies.has(uid);
        if is_open(change) && orphaned {
            info!(
                change = change.name_any(),
                policy = change.spec.policy.name,
                "closing the Change of a deleted policy"
            );
            open::abort(ctx, change, Abort::PolicyDeleted, authority).await;
        }
        if orphaned && change.status.as_ref().map(|status| status.phase) == Some(Phase::AwaitingApproval) {
            let on_record = |change: &Change| ctx.recorder.change(change);
            let mut journals = Journals::open(&ctx.clients.write, Change::clone(change), authority, &on_record);
            let why = "its policy was deleted".to_owned();
            journals.close_record(Phase::Superseded, why, now).await;
        }
        let age = now.as_millis() - change.spec.proposed_at.0.as_millisecond();
        if change.spec.sequence == 0 && change.status.is_none() && age > LEFT * 1000 {
            finish_record(ctx, change, authority).await;
        }
    }
    for change in surplus(&changes) {
        delete(ctx, &change, authority).await;
    }
}

/// A record whose writer died before it wrote the status: the spec says what it was.
async fn finish_record(ctx: &Context, change: &Change, authority: &Authority) {
    let refused = change
        .spec
        .evidence
        .checks
        .iter()
        .find(|check| check.verdict == CheckVerdict::Refused);
    let (phase, message) = match refused {
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
    };
    let on_record = |change: &Change| ctx.recorder.change(change);
    let mut journals = Journals::open(&ctx.clients.write, change.clone(), authority, &on_record);
    journals.close_record(phase, message, (ctx.now)()).await;
}

/// The oldest closed Changes of each policy beyond the number that is kept. Open ones are never
/// among them.
fn surplus(changes: &[Arc<Change>]) -> Vec<Arc<Change>> {
    let mut closed: BTreeMap<(String, String), Vec<Arc<Change>>> = BTreeMap::new();
    for change in changes {
        let ended = change.status.as_ref().is_some_and(|status| !status.phase.is_open());
        if ended {
            let policy = change.labels().get(POLICY_LABEL).cloned().unwrap_or_default();
            closed
                .entry((change.namespace().unwrap_or_default(), policy))
                .or_default()
                .push(Arc::clone(change));
        }
    }
    let mut surplus = Vec::new();
    for mut changes in closed.into_values() {
        changes.sort_by_key(|change| std::cmp::Reverse(change.spec.proposed_at.0));
        surplus.extend(changes.into_iter().skip(KEPT));
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

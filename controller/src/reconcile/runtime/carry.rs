//! Carrying on a Change of knobs: finish the writes, have it judged, commit or take back.

use super::{
    RuntimePass,
    judge::{Judge, Judged},
    memory::RuntimeMemory,
};
use crate::{
    apply::{
        Authority, Field as _, Handle as _, JournalError, Journals, RuntimeHands, RuntimeTx, as_found, drive,
        journal_of, variables_of,
    },
    reconcile::{
        Context,
        open::{self, REFUSED_PAUSE},
    },
};
use flyball_core::{
    policy::{Mode, Setting},
    time::Span,
    transaction::{Abort, Cause, Journal, Outcome, Phase, Tx, Verdict},
};
use flyball_crds::{Change, Duration};
use kube::ResourceExt;
use tracing::{error, info};

/// What became of an open Change of knobs in this pass.
pub(crate) struct CarriedRuntime {
    /// The Change as last persisted.
    pub change: Change,
    /// The transaction as last persisted.
    pub tx: RuntimeTx,
    /// Why the verification has not decided yet.
    pub waiting: Option<String>,
}

impl CarriedRuntime {
    pub fn is_open(&self) -> bool {
        self.tx.journal.is_open()
    }
}

/// Carries a Change of this policy as far as it goes.
pub(super) async fn carry(
    it: &RuntimePass<'_, '_>,
    memory: &mut RuntimeMemory,
    change: &Change,
) -> Result<CarriedRuntime, JournalError> {
    let journal: Journal<Setting> = journal_of(change)?;
    let abort = why_abort(it, change, &journal);
    let judged = match (journal.phase, abort, &change.spec.runtime) {
        (Phase::Verifying, None, Some(moved)) => {
            Judge {
                it,
                memory,
                change,
                journal: &journal,
                moved,
            }
            .all()
            .await
        }
        _ => Judged::default(),
    };
    let before = journal.clone();
    let waiting = judged.waiting.clone();
    let tx = Tx::resume(journal, abort);
    let (tx, change) = run(it.pass.ctx, change, tx, it.pass.authority, judged).await;
    remember(it, memory, &before, &tx, &change);
    Ok(CarriedRuntime { change, tx, waiting })
}

/// Cuts a Change short: fences its workload, then closes it. A roll-back under way is finished.
pub(crate) async fn abort(
    ctx: &Context,
    change: &Change,
    why: Abort,
    authority: &Authority,
) -> Option<(RuntimeTx, Change)> {
    match journal_of(change) {
        Ok(journal) => {
            let tx = Tx::resume(journal, Some(why));
            Some(run(ctx, change, tx, authority, Judged::default()).await)
        }
        Err(damage) => {
            error!(%damage, "an open Change can't be read; delete it to go on");
            None
        }
    }
}

/// Drives a transaction on its own workload, which may be another than the policy's present one.
async fn run(
    ctx: &Context,
    change: &Change,
    tx: RuntimeTx,
    authority: &Authority,
    judged: Judged,
) -> (RuntimeTx, Change) {
    let Some(moved) = &change.spec.runtime else {
        return (tx, change.clone());
    };
    let namespace = change.namespace().unwrap_or_default();
    let target = &change.spec.target;
    // Without the kind there is nothing to read and nothing to write: neither can it be closed.
    let Some((resource, object)) = super::object(&ctx.cluster, &namespace, &target.reference) else {
        return (tx, change.clone());
    };
    let same = object.filter(|object| object.uid().as_deref() == Some(&*target.uid));
    let variables = variables_of(moved);
    let read = |object| as_found(object, &moved.container, variables.as_deref());
    let seen = match same.as_deref().map(read) {
        Some(Err(error)) => {
            error!(change = change.name_any(), %error, "the workload's annotation can't be read");
            return (tx, change.clone());
        }
        Some(Ok(seen)) => Some(seen),
        None => None,
    };
    let hands = RuntimeHands::new(
        &ctx.clients.write,
        &resource,
        &namespace,
        (&target.reference.name, &target.uid),
        &moved.container,
        authority,
    )
    .on(variables)
    .unless(&ctx.cluster.freeze, &namespace);
    let on_record = |change: &Change| ctx.recorder.change(change);
    let mut journals = Journals::open(&ctx.clients.write, change.clone(), authority, &on_record);
    journals.note.verdict = judged.verdict;
    let tx = drive(tx, seen, judged.event, &hands, &mut journals, ctx.now).await;
    if let Some(message) = hands.refusal() {
        ctx.recorder.write_failed(&journals.change, &message);
    }
    (tx, journals.change)
}

fn why_abort(it: &RuntimePass<'_, '_>, change: &Change, journal: &Journal<Setting>) -> Option<Abort> {
    let pass = it.pass;
    if let Some(why) = open::without_its_policy(pass, change, journal.phase) {
        return Some(why);
    }
    let known = it.actions.iter().any(|action| action.name == change.spec.action);
    if pass.policy.mode != Mode::Enforce || pass.policy.suspended || !known {
        return Some(Abort::NotEnforced);
    }
    let other = change.spec.target.reference != pass.object.spec.target_ref
        || change
            .spec
            .runtime
            .as_ref()
            .is_none_or(|moved| moved.container != it.container);
    let paused = it.workload.as_ref().is_ok_and(|workload| workload.paused.is_some());
    // Its lines are taken out, so there is nothing to judge it by.
    let lines = it.variables.is_none();
    let paused = paused || lines && pass.ctx.cluster.freeze.paused(&pass.namespace).is_some();
    (other || paused).then_some(Abort::TargetWithdrawn)
}

pub(super) fn span(duration: &Duration) -> Result<Span, String> {
    duration.0.parse::<Span>().map_err(|error| error.to_string())
}

/// Where a Change went back to.
pub(super) fn way_back(change: &Change) -> Option<Setting> {
    Setting::moved(change).ok()?.rollback_to
}

/// What a Change tries.
pub(super) fn trial_of(change: &Change) -> Option<Setting> {
    Setting::moved(change).ok()?.trial
}

/// What the policy learns from a transaction that moved on.
pub(super) fn remember(
    it: &RuntimePass<'_, '_>,
    memory: &mut RuntimeMemory,
    before: &Journal<Setting>,
    tx: &RuntimeTx,
    change: &Change,
) {
    let journal = &tx.journal;
    if (journal.phase, journal.tried_at) == (before.phase, before.tried_at) {
        return;
    }
    let now = it.pass.seen.now;
    info!(policy = it.pass.name, change = change.name_any(), phase = ?journal.phase, "the Change moved on");
    if let Some(at) = journal.applied_at.filter(|at| before.applied_at != Some(*at)) {
        memory.moved(journal.goal(), at);
    }
    // Whatever refuses it now will hardly let it through with the next pass. A trial that is cut short was refused by nobody.
    let torn = journal.verdict == Some(Verdict::Torn) && journal.tried_at.is_some() && !journal.is_open();
    if torn || journal.phase == Phase::Closed(Outcome::Superseded(Cause::Refused)) {
        memory.refused_until = Some((now + REFUSED_PAUSE, change.spec.action.clone()));
    }
    memory.learned = Some((change.spec.sequence, !journal.is_open()));
    match journal.phase {
        Phase::Closed(Outcome::Committed) => {
            memory.history.verified = Some(journal.after.clone());
            memory.latch = None;
        }
        Phase::Closed(Outcome::RolledBack) => {
            let to = journal.rollback_to.as_ref().unwrap_or(&journal.before);
            memory.moved(to, now);
            latch(it, memory, journal, change);
        }
        Phase::Closed(Outcome::Ineffective) => latch(it, memory, journal, change),
        Phase::Closed(Outcome::Superseded(Cause::Foreign)) => {
            let message = change.status.as_ref().map(|status| status.message.clone());
            let generation = it.pass.object.metadata.generation.unwrap_or_default();
            memory.yield_to(&message.unwrap_or_default(), now + it.pass.policy.yield_for, generation);
        }
        _ => {}
    }
}

/// What did not help, or did harm, is not tried again for a while.
fn latch(it: &RuntimePass<'_, '_>, memory: &mut RuntimeMemory, journal: &Journal<Setting>, change: &Change) {
    if !matches!(
        journal.verdict,
        Some(Verdict::Ineffective | Verdict::Unrealised | Verdict::Broken)
    ) {
        return;
    }
    let frozen = change
        .spec
        .verification
        .as_ref()
        .and_then(|frozen| span(&frozen.latch).ok());
    let lasts = frozen.unwrap_or(Span::ZERO);
    memory.latch = Some((journal.after.clone(), it.pass.seen.now + lasts));
}

//! Carrying on a Change of weights: finish the writes, see whether the traffic follows, judge the effect, commit
//! or take back.

use super::{WeightsPass, memory::WeightsMemory, world};
use crate::{
    apply::{
        Authority, Handle as _, JournalError, Journals, Place, RouteHands, WeightsEvent, WeightsTx, drive, journal_of,
        weights_of,
    },
    clock::micro_time,
    observe::routes::{
        find::{self, RouteProblem},
        manager_of,
    },
    promql,
    reconcile::{
        Context,
        open::{self, REFUSED_PAUSE},
    },
    validate::comparison_of_change,
};
use flyball_core::{
    check::{DryRun, OpenWeights, Supersedable, WeightsApproved, WeightsRefused, undo_weights},
    policy::{
        Backend, Mode, OnInconclusive, OnIneffective, Query, RouteList, RuleRef, ShareDeadline, Traffic, Verification,
        Weight, Weights,
    },
    time::{Span, Timestamp},
    transaction::{Abort, Cause, Event, Journal, Outcome, Phase, Places, Tx, Verdict},
    verify::{Achievement, ShareChange, ShareJudgement, achieve, judge_share},
};
use flyball_crds::{
    Change, ChangeShare, ChangeWeights, Duration, REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION,
    Verdict as RecordedVerdict, WeightMove, WeightedRoute,
};
use kube::ResourceExt;
use tracing::{error, info};

/// What became of an open Change of weights in this pass.
pub(crate) struct CarriedWeights {
    /// The Change as last persisted.
    pub change: Change,
    /// The transaction as last persisted.
    pub tx: WeightsTx,
    /// Why the verification has not decided yet.
    pub waiting: Option<String>,
    /// Since when the traffic follows the weights, as this pass found it; `None` while it does not, or nothing is known.
    pub realised_at: Option<Timestamp>,
}

impl CarriedWeights {
    pub fn is_open(&self) -> bool {
        self.tx.journal.is_open()
    }
}

/// A judgement with what is recorded of it.
#[derive(Default)]
struct Judged {
    event: Option<WeightsEvent>,
    verdict: Option<RecordedVerdict>,
    waiting: Option<String>,
    realised_at: Option<Timestamp>,
}

/// The list that a Change names.
pub(super) fn list_of(route: &WeightedRoute) -> RouteList {
    RouteList {
        api_version: route.api_version.clone(),
        kind: route.kind.clone(),
        name: route.name.clone(),
        rule: match (&route.rule, route.rule_index) {
            (Some(name), _) => RuleRef::Name(name.clone()),
            (None, Some(index)) => RuleRef::Index(u32::try_from(index).unwrap_or_default()),
            (None, None) => RuleRef::Only,
        },
    }
}

/// How a list is written into a Change.
pub(super) fn recorded_list(list: &RouteList) -> WeightedRoute {
    let (rule, rule_index) = match &list.rule {
        RuleRef::Name(name) => (Some(name.clone()), None),
        RuleRef::Index(index) => (None, i32::try_from(*index).ok()),
        RuleRef::Only => (None, None),
    };
    WeightedRoute {
        api_version: list.api_version.clone(),
        kind: list.kind.clone(),
        name: list.name.clone(),
        rule,
        rule_index,
    }
}

/// The backends that a Change manages. Their base is not what matters here.
fn managed_by(moved: &ChangeWeights) -> Vec<Backend> {
    let backends = moved.after.iter().map(|entry| Backend {
        name: entry.backend.clone(),
        base: Weight::new(entry.weight.into()).unwrap_or_default(),
    });
    backends.collect()
}

/// Carries a Change of this policy as far as it goes.
pub(super) async fn carry(
    it: &WeightsPass<'_, '_>,
    memory: &mut WeightsMemory,
    change: &Change,
) -> Result<CarriedWeights, JournalError> {
    let journal: Journal<Places<Weights>> = journal_of(change)?;
    let abort = why_abort(it, change, &journal);
    let judged = match (journal.phase, abort) {
        (Phase::Verifying, None) => judge_all(it, memory, change, &journal).await,
        _ => Judged::default(),
    };
    let before = journal.clone();
    let (waiting, realised_at) = (judged.waiting.clone(), judged.realised_at);
    let (tx, change) = run(
        it.pass.ctx,
        change,
        Tx::resume(journal, abort),
        it.pass.authority,
        judged,
    )
    .await;
    remember(it, memory, &before, &tx, &change);
    Ok(CarriedWeights {
        change,
        tx,
        waiting,
        realised_at,
    })
}

/// Cuts a Change short: fences its routes, then closes it. A roll-back under way is finished.
pub(crate) async fn abort(
    ctx: &Context,
    change: &Change,
    why: Abort,
    authority: &Authority,
) -> Option<(WeightsTx, Change)> {
    match journal_of(change) {
        Ok(journal) => Some(
            run(
                ctx,
                change,
                Tx::resume(journal, Some(why)),
                authority,
                Judged::default(),
            )
            .await,
        ),
        Err(damage) => {
            error!(%damage, "an open Change can't be read; delete it to go on");
            None
        }
    }
}

/// Cuts a Change of this pass short because a later one takes over, and records that the traffic had followed it.
pub(super) async fn supersede(
    ctx: &Context,
    carried: &CarriedWeights,
    why: Abort,
    authority: &Authority,
) -> Option<WeightsTx> {
    let judged = Judged {
        realised_at: carried.realised_at,
        ..Judged::default()
    };
    let journal = journal_of(&carried.change).ok()?;
    let (tx, _) = run(ctx, &carried.change, Tx::resume(journal, Some(why)), authority, judged).await;
    Some(tx)
}

/// Drives a transaction on its own routes, which may be others than the policy's present ones.
async fn run(
    ctx: &Context,
    change: &Change,
    tx: WeightsTx,
    authority: &Authority,
    judged: Judged,
) -> (WeightsTx, Change) {
    let Some(moved) = &change.spec.weights else {
        return (tx, change.clone());
    };
    let namespace = change.namespace().unwrap_or_default();
    let managed = managed_by(moved);
    let mut places = Vec::new();
    let mut gone = false;
    for list in &moved.lists {
        let wanted = list_of(&list.route);
        match find::object(&ctx.cluster, &namespace, &wanted) {
            Ok((resource, object)) if object.uid().as_deref() == Some(&*list.uid) => places.push(Place {
                list: wanted,
                resource,
                object: object.as_ref().clone(),
            }),
            Ok(_) | Err(RouteProblem::Missing { .. }) => gone = true,
            // Without the kind there is nothing to read and nothing to write: neither can it be closed.
            Err(_) => return (tx, change.clone()),
        }
    }
    let writer = places.iter().find_map(|place| manager_of(&place.object));
    let hands = RouteHands::new(
        &ctx.clients.write,
        &namespace,
        &managed,
        tx.journal.sequence,
        places,
        authority,
    )
    .unless(&ctx.cluster.freeze, &namespace);
    let on_record = |change: &Change| ctx.recorder.change(change);
    let mut journals = Journals::open(&ctx.clients.write, change.clone(), authority, &on_record);
    journals.note.verdict = judged.verdict;
    journals.note.realised_at = judged.realised_at;
    journals.note.manager = writer.map(|(manager, operation)| format!("{manager} ({operation})"));
    // One of several routes that is gone takes the whole with it: there is no list to verify any more.
    let seen = (!gone).then(|| hands.target());
    let tx = drive(tx, seen, judged.event, &hands, &mut journals, ctx.now).await;
    if let Some(message) = hands.refusal() {
        ctx.recorder.write_failed(&journals.change, &message);
    }
    (tx, journals.change)
}

fn why_abort(it: &WeightsPass<'_, '_>, change: &Change, journal: &Journal<Places<Weights>>) -> Option<Abort> {
    let pass = it.pass;
    if let Some(why) = open::without_its_policy(pass, change, journal.phase) {
        return Some(why);
    }
    let other = change.spec.action != it.action.name;
    if pass.policy.mode != Mode::Enforce || pass.policy.suspended || other {
        return Some(Abort::NotEnforced);
    }
    let moved = change.spec.weights.as_ref().is_none_or(|weights| {
        let lists: Vec<RouteList> = weights.lists.iter().map(|list| list_of(&list.route)).collect();
        lists != it.action.routes
    });
    let paused = matches!(&it.routes, Err(RouteProblem::Paused(_)));
    (moved || paused).then_some(Abort::TargetWithdrawn)
}

/// What a verification without an answer leads to.
fn on_inconclusive(change: &Change) -> OnInconclusive {
    let written = change.spec.verification.as_ref().map(|frozen| frozen.on_inconclusive);
    match written {
        Some(flyball_crds::OnInconclusive::RollBack) => OnInconclusive::RollBack,
        _ => OnInconclusive::Hold,
    }
}

/// A verdict in words.
fn recorded(it: &WeightsPass<'_, '_>, value: Option<f64>, message: String) -> RecordedVerdict {
    RecordedVerdict {
        value: value.filter(|value| value.is_finite()),
        at: Some(micro_time(it.pass.seen.now)),
        message,
        ..RecordedVerdict::default()
    }
}

/// First the traffic, then the effect, both by what was frozen when the Change was made.
async fn judge_all(
    it: &WeightsPass<'_, '_>,
    memory: &WeightsMemory,
    change: &Change,
    journal: &Journal<Places<Weights>>,
) -> Judged {
    if change.annotations().get(REQUEST_ANNOTATION).map(String::as_str) == Some("rollback") {
        let by = change.annotations().get(REQUESTED_BY_ANNOTATION);
        let asked = format!("{} asked for it", by.map_or("somebody", String::as_str));
        let judged = take_back(it, memory, change, journal, Verdict::Requested, (None, asked), true).await;
        if !matches!(judged.event, Some(Event::Undecided)) {
            return judged;
        }
        // The request stands and is tried again with each pass, and meanwhile it switches nothing off.
        let on_time = judge_on_time(it, memory, change, journal).await;
        let waiting = on_time.waiting.zip(judged.waiting);
        return Judged {
            waiting: waiting.map(|(waiting, refused)| format!("{refused}; {waiting}")),
            ..on_time
        };
    }
    judge_on_time(it, memory, change, journal).await
}

/// The same, with nobody asking for its end.
async fn judge_on_time(
    it: &WeightsPass<'_, '_>,
    memory: &WeightsMemory,
    change: &Change,
    journal: &Journal<Places<Weights>>,
) -> Judged {
    let now = it.pass.seen.now;
    let applied_at = journal.applied_at.unwrap_or(now);
    let Some(moved) = &change.spec.weights else {
        return Judged::default();
    };
    let frozen = match frozen_share(&moved.share) {
        Ok(frozen) => frozen,
        Err(why) => {
            return keep(
                it,
                Verdict::Inconclusive,
                format!("the recorded share can't be read: {why}"),
            );
        }
    };
    let intended = journal.after.0.first().cloned().unwrap_or_default();
    let before = journal.before.0.first().cloned().unwrap_or_default();
    let requests = it.traffic_of(&frozen.0).await;
    let routes = it.routes.as_ref().map(Vec::as_slice).unwrap_or_default();
    let others: Vec<String> = routes.iter().flat_map(|route| route.located.others()).collect();
    let of = ShareChange {
        before: &before,
        intended: &intended,
        others: &others,
        applied_at,
    };
    let realised = match judge_share(&frozen.1, &frozen.0, &of, &requests, now) {
        ShareJudgement::Wait { why, .. } => {
            return Judged {
                event: Some(Event::Undecided),
                waiting: Some(format!("the traffic: {why}")),
                ..Judged::default()
            };
        }
        ShareJudgement::Realised {
            worst,
            share,
            tolerance,
        } => format!("the traffic follows: {worst} has a share of {share:.3}, as intended within {tolerance:.3}"),
        ShareJudgement::Not { share, why, .. } => {
            return take_back(
                it,
                memory,
                change,
                journal,
                Verdict::Unrealised,
                (Some(share), why),
                true,
            )
            .await;
        }
        ShareJudgement::Inconclusive { why } => {
            let back = on_inconclusive(change) == OnInconclusive::RollBack;
            let said = format!("the traffic: {why}");
            return take_back(it, memory, change, journal, Verdict::Inconclusive, (None, said), back).await;
        }
    };
    effect(it, memory, change, journal, applied_at, realised).await
}

/// The effect, once the traffic goes where it should.
async fn effect(
    it: &WeightsPass<'_, '_>,
    memory: &WeightsMemory,
    change: &Change,
    journal: &Journal<Places<Weights>>,
    applied_at: Timestamp,
    realised: String,
) -> Judged {
    let now = it.pass.seen.now;
    let realised_at = change
        .status
        .as_ref()
        .and_then(|status| status.realised_at.as_ref())
        .map_or(now, crate::clock::from_micro_time);
    let frozen = match change.spec.verification.as_ref().map(comparison_of_change) {
        Some(Ok(frozen)) => frozen,
        Some(Err(errors)) => {
            let why = crate::reconcile::evidence::joined(&errors);
            return keep(
                it,
                Verdict::Inconclusive,
                format!("the recorded verification can't be read: {why}"),
            );
        }
        None => return keep(it, Verdict::Inconclusive, "the Change has no verification".to_owned()),
    };
    let verification: &Verification = &frozen.verification;
    let reading = it
        .reading(&frozen.source, &verification.condition.left, verification.max_age)
        .await;
    let asked = format!("{} {}", verification.condition.comparator, verification.condition.right);
    let judged = match achieve(verification, applied_at, &frozen.baseline, &reading, now) {
        Achievement::Wait { why, .. } => Judged {
            event: Some(Event::Undecided),
            waiting: Some(format!("{realised}; the effect: {why}")),
            ..Judged::default()
        },
        Achievement::Achieved { value } => Judged {
            event: Some(Event::Achieved),
            verdict: Some(recorded(
                it,
                Some(value),
                format!("{realised}; {value:.4} {asked} holds"),
            )),
            ..Judged::default()
        },
        Achievement::Not { value } => {
            let said = format!(
                "{realised}, but {value:.4} {asked} was not achieved within {}",
                verification.within
            );
            let back = verification.on_ineffective == OnIneffective::RollBack;
            take_back(
                it,
                memory,
                change,
                journal,
                Verdict::Ineffective,
                (Some(value), said),
                back,
            )
            .await
        }
        Achievement::Inconclusive { why } => {
            let back = verification.on_inconclusive == OnInconclusive::RollBack;
            let said = format!("{realised}; the effect: {why}");
            take_back(it, memory, change, journal, Verdict::Inconclusive, (None, said), back).await
        }
    };
    Judged {
        realised_at: Some(realised_at),
        ..judged
    }
}

fn keep(it: &WeightsPass<'_, '_>, verdict: Verdict, said: String) -> Judged {
    Judged {
        event: Some(Event::Keep { verdict }),
        verdict: Some(recorded(it, None, said)),
        ..Judged::default()
    }
}

/// Goes back to the last verified weights, where that is wanted and the present allows it; else the weights are
/// held.
async fn take_back(
    it: &WeightsPass<'_, '_>,
    memory: &WeightsMemory,
    change: &Change,
    journal: &Journal<Places<Weights>>,
    verdict: Verdict,
    (value, said): (Option<f64>, String),
    wanted: bool,
) -> Judged {
    let held = |said: String| Judged {
        event: Some(Event::Keep { verdict }),
        verdict: Some(recorded(it, value, said)),
        ..Judged::default()
    };
    if !wanted {
        return held(said);
    }
    match undoing(it, memory, change, journal).await {
        Ok(approved) => Judged {
            event: Some(Event::RollBack {
                to: Places(vec![approved.to().clone(); journal.after.0.len()]),
                verdict,
            }),
            verdict: Some(recorded(it, value, said)),
            ..Judged::default()
        },
        Err(refused) if verdict == Verdict::Requested => Judged {
            event: Some(Event::Undecided),
            waiting: Some(format!("{said}; not taken back: {refused}")),
            ..Judged::default()
        },
        Err(refused) => held(format!("{said}; not taken back: {refused}")),
    }
}

/// Checks the way back against the present.
async fn undoing(
    it: &WeightsPass<'_, '_>,
    memory: &WeightsMemory,
    change: &Change,
    journal: &Journal<Places<Weights>>,
) -> Result<WeightsApproved, WeightsRefused> {
    let verified = change
        .spec
        .weights
        .as_ref()
        .and_then(|moved| weights_of(&moved.verified).ok());
    let from = journal.after.0.first().cloned().unwrap_or_default();
    let to = verified.unwrap_or_else(|| journal.before.0.first().cloned().unwrap_or_default());
    let own = OpenWeights::Ours {
        name: change.name_any(),
        from: journal.before.0.first().cloned().unwrap_or_default(),
        to: from.clone(),
        supersedable: Supersedable::No,
    };
    let facts = it.facts(memory).await;
    let candidate = undo_weights(it.action, &from, &to, &facts, &world(it, memory, own, &to))?;
    let dry_run = it.dry_run(candidate.to()).await;
    // An answer that says nothing of the write must not keep a harmful change in place.
    candidate.admit(match dry_run {
        DryRun::Refused(why) => DryRun::Refused(why),
        other => other,
    })
}

/// The traffic by which a Change is judged.
fn frozen_share(share: &ChangeShare) -> Result<(Traffic, ShareDeadline), String> {
    let span = |duration: &Duration| duration.0.parse::<Span>().map_err(|error| error.to_string());
    let requests: Query = promql::query(&share.requests).map_err(|error| error.to_string())?;
    let traffic = Traffic {
        errors: requests.clone(),
        unserved: None,
        requests,
        window: span(&share.window)?,
        max_age: span(&share.max_age)?,
    };
    let deadline = ShareDeadline {
        settle: span(&share.settle)?,
        within: span(&share.within)?,
    };
    Ok((traffic, deadline))
}

/// What the policy learns from a transaction that moved on.
pub(super) fn remember(
    it: &WeightsPass<'_, '_>,
    memory: &mut WeightsMemory,
    before: &Journal<Places<Weights>>,
    tx: &WeightsTx,
    change: &Change,
) {
    let journal = &tx.journal;
    if journal.phase == before.phase {
        return;
    }
    let now = it.pass.seen.now;
    info!(policy = it.pass.name, change = change.name_any(), phase = ?journal.phase, "the Change moved on");
    if let (Some(at), None) = (journal.applied_at, before.applied_at)
        && let Some(after) = journal.after.0.first()
    {
        memory.moved(after, at);
        memory.taken_out(change);
    }
    // Whatever refuses it now will hardly let it through with the next pass.
    let torn = journal.verdict == Some(Verdict::Torn) && !journal.is_open();
    if torn || journal.phase == Phase::Closed(Outcome::Superseded(Cause::Refused)) {
        let weights = change.spec.weights.as_ref();
        let ejection = weights.is_some_and(|weights| weights.why == WeightMove::Ejection);
        memory.refused_until = Some((now + REFUSED_PAUSE, ejection));
    }
    memory.learned = Some((change.spec.sequence, !journal.is_open()));
    match journal.phase {
        Phase::Closed(Outcome::Committed) => {
            memory.history.verified = journal.after.0.first().cloned();
            memory.latch = None;
        }
        Phase::Closed(Outcome::RolledBack) => {
            let to = journal.rollback_to.as_ref().unwrap_or(&journal.before);
            if let Some(to) = to.0.first() {
                memory.moved(to, now);
            }
            latch(it, memory, journal);
        }
        Phase::Closed(Outcome::Ineffective) => latch(it, memory, journal),
        Phase::Closed(Outcome::Superseded(Cause::Foreign)) => {
            let status = change.status.as_ref();
            let message = status.map(|status| status.message.clone()).unwrap_or_default();
            let generation = it.pass.object.metadata.generation.unwrap_or_default();
            memory.yield_to(&message, now + it.pass.policy.yield_for, generation);
        }
        _ => {}
    }
}

/// What did not help is not tried again for a while.
fn latch(it: &WeightsPass<'_, '_>, memory: &mut WeightsMemory, journal: &Journal<Places<Weights>>) {
    if !matches!(journal.verdict, Some(Verdict::Ineffective | Verdict::Unrealised)) {
        return;
    }
    let lasts = it
        .action
        .verification
        .as_ref()
        .map_or(Span::ZERO, |verification| verification.latch);
    if let Some(after) = journal.after.0.first() {
        memory.latch = Some((after.clone(), it.pass.seen.now + lasts));
    }
}

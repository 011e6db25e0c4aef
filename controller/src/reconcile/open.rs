//! Carrying on a transaction that is open: finish the write, judge the effect, commit or undo.

use super::{Context, Pass, learn, memory, memory::Memory};
use crate::{
    apply::{
        Authority, Handle, Hands, JournalError, Journals, ReplicasEvent, ReplicasTx, drive, journal_of, roll_back,
    },
    clock::micro_time,
    observe::{find, is_open, target::Snapshot},
    validate::{FrozenVerification, comparison_of_change},
};
use flyball_core::{
    check::{self, Approved, OpenChange, Undo, World, undo_decrease, undo_increase, undo_requested},
    decide::{Direction, Facts, Inputs},
    policy::{OnInconclusive, OnIneffective, Query, Replicas, ReplicasAction},
    signal::{Finite, Reading},
    time::Span,
    transaction::{Abort, Event, Journal, Phase, Tx, Verdict},
    verify::{Judgement, judge},
};
use flyball_crds::{
    Change, ChangeField, FeedbackPolicy, REQUEST_ANNOTATION, REQUESTED_BY_ANNOTATION, Verdict as RecordedVerdict,
};
use kube::ResourceExt;
use tracing::error;

/// After the API server refused a write, the next one waits for so long at most.
pub(super) const REFUSED_PAUSE: Span = Span::from_secs(120);

/// What became of an open Change in this pass.
pub(crate) struct Carried {
    /// The Change as last persisted.
    pub change: Change,
    /// The transaction as last persisted.
    pub tx: ReplicasTx,
    /// Why the verification has not decided yet.
    pub waiting: Option<String>,
}

impl Carried {
    pub fn is_open(&self) -> bool {
        self.tx.journal.is_open()
    }
}

/// A judgement with what is recorded of it.
struct Judged {
    event: ReplicasEvent,
    verdict: Option<RecordedVerdict>,
    waiting: Option<String>,
}

impl Judged {
    /// The same, with something more to say of it.
    fn and(mut self, why: &str) -> Self {
        self.waiting = self.waiting.map(|waiting| format!("{why}; {waiting}"));
        if let Some(verdict) = &mut self.verdict {
            verdict.message = format!("{}; {why}", verdict.message);
        }
        self
    }
}

/// Carries a Change of this policy as far as it goes.
pub(crate) async fn carry(pass: &Pass<'_>, memory: &mut Memory, change: &Change) -> Result<Carried, JournalError> {
    let journal = journal_of(change)?;
    let action = pass
        .policy
        .actions
        .iter()
        .find(|action| action.name == change.spec.action);
    let abort = why_abort(pass, change, &journal, action);
    let judged = match (journal.phase, abort, action) {
        (Phase::Verifying, None, Some(action)) => {
            Some(match on_request(pass, memory, change, &journal, action).await {
                Asked::TakenBack(judged) => judged,
                Asked::Nothing => judged(pass, memory, change, &journal, action).await,
                // The request stands and is tried again with each pass, and meanwhile it switches nothing off.
                Asked::Refused(why) => judged(pass, memory, change, &journal, action).await.and(&why),
            })
        }
        _ => None,
    };
    let waiting = judged.as_ref().and_then(|judged| judged.waiting.clone());
    let (event, verdict) = judged.map_or((None, None), |judged| (Some(judged.event), judged.verdict));
    let before = journal.clone();
    let (tx, change) = run(
        pass.ctx,
        change,
        Tx::resume(journal, abort),
        pass.authority,
        event,
        verdict,
    )
    .await;
    learn::remember(pass, memory, &before, &tx, &change);
    Ok(Carried { change, tx, waiting })
}

/// Cuts a Change of whichever field short.
pub(super) async fn cut_short(ctx: &Context, change: &Change, why: Abort, authority: &Authority) {
    match change.spec.field {
        ChangeField::Replicas => drop(abort(ctx, change, why, authority).await),
        ChangeField::Weights => drop(super::weights::carry::abort(ctx, change, why, authority).await),
        ChangeField::Runtime => drop(super::runtime::carry::abort(ctx, change, why, authority).await),
        ChangeField::Pod => super::answers::relieve::carry::abort(ctx, change, why, authority).await,
    }
}

/// Aborts what is open of a policy that can't be read any more.
pub(super) async fn abort_all(ctx: &Context, object: &FeedbackPolicy, authority: &Authority) {
    let uid = object.uid();
    let own = ctx.cluster.changes.state().into_iter().filter(|change| is_open(change));
    for change in own.filter(|change| Some(&change.spec.policy.uid) == uid.as_ref()) {
        cut_short(ctx, &change, Abort::NotEnforced, authority).await;
    }
}

/// Cuts a Change short: fences its target, then closes it. A roll-back under way is finished.
pub(crate) async fn abort(
    ctx: &Context,
    change: &Change,
    why: Abort,
    authority: &Authority,
) -> Option<(ReplicasTx, Change)> {
    match journal_of(change) {
        Ok(journal) => Some(run(ctx, change, Tx::resume(journal, Some(why)), authority, None, None).await),
        Err(damage) => {
            error!(%damage, "an open Change can't be read; delete it to go on");
            None
        }
    }
}

/// Drives a transaction on its own target, which may be another one than the policy's present.
pub(crate) async fn run(
    ctx: &Context,
    change: &Change,
    tx: ReplicasTx,
    authority: &Authority,
    judgement: Option<ReplicasEvent>,
    verdict: Option<RecordedVerdict>,
) -> (ReplicasTx, Change) {
    let namespace = change.namespace().unwrap_or_default();
    let target = &change.spec.target;
    let found = find(&ctx.cluster, &namespace, &target.reference);
    // Without the kind there is nothing to read and nothing to write: neither can it be closed.
    let Some(resource) = found.resource.or_else(|| kind_of(ctx, change)) else {
        return (tx, change.clone());
    };
    let snapshot = found.snapshot.filter(|snapshot| snapshot.uid == target.uid);
    let hands = Hands::new(
        &ctx.clients.write,
        &resource,
        &namespace,
        &target.reference.name,
        &target.uid,
        authority,
    )
    .unless(&ctx.cluster.freeze, &namespace);
    let on_record = |change: &Change| ctx.recorder.change(change);
    let mut journals = Journals::open(&ctx.clients.write, change.clone(), authority, &on_record);
    journals.note.verdict = verdict;
    journals.note.manager = snapshot.as_ref().and_then(manager);
    let seen = snapshot.map(|snapshot| snapshot.target);
    let tx = drive(tx, seen, judgement, &hands, &mut journals, ctx.now).await;
    if let Some(message) = hands.refusal() {
        ctx.recorder.write_failed(&journals.change, &message);
    }
    (tx, journals.change)
}

fn kind_of(ctx: &Context, change: &Change) -> Option<kube::api::ApiResource> {
    let target = &change.spec.target.reference;
    let kind = ctx.cluster.kind(&target.api_version, &target.kind)?;
    kind.as_ref().ok().map(|targets| targets.resource.clone())
}

pub(super) fn manager(snapshot: &Snapshot) -> Option<String> {
    snapshot
        .manager
        .as_ref()
        .map(|(manager, operation)| format!("{manager} ({operation})"))
}

fn why_abort(
    pass: &Pass<'_>,
    change: &Change,
    journal: &Journal<Replicas>,
    action: Option<&ReplicasAction>,
) -> Option<Abort> {
    if let Some(why) = without_its_policy(pass, change, journal.phase) {
        return Some(why);
    }
    if pass.policy.mode != flyball_core::policy::Mode::Enforce || pass.policy.suspended || action.is_none() {
        return Some(Abort::NotEnforced);
    }
    let paused = matches!(&pass.seen.found.target, check::Target::Present { paused: Some(_) });
    let moved = change.spec.target.reference != pass.object.spec.target_ref;
    (paused || moved).then_some(Abort::TargetWithdrawn)
}

/// What cuts a Change of whichever field short, whatever its policy says by now.
pub(super) fn without_its_policy(pass: &Pass<'_>, change: &Change, phase: Phase) -> Option<Abort> {
    if requested(change) == Some("abort") {
        return Some(Abort::Requested);
    }
    let freeze = &pass.ctx.cluster.freeze;
    // What was written already goes on being judged, so that it can be taken back, unless nobody stays to judge it.
    let held = phase == Phase::Applying && freeze.holds(&pass.namespace);
    (held || freeze.cuts_short()).then_some(Abort::Frozen)
}

/// What somebody asks of an open Change.
fn requested(change: &Change) -> Option<&str> {
    change.annotations().get(REQUEST_ANNOTATION).map(String::as_str)
}

/// What came of somebody's request to take a Change back.
enum Asked {
    /// Nobody asked.
    Nothing,
    /// It is taken back.
    TakenBack(Judged),
    /// It can't be taken back now, for this reason.
    Refused(String),
}

/// Takes a change back because somebody asked for it. Whoever asks answers for the data; what is somebody
/// else's, and what lies outside of the bounds, is not for them to give away.
async fn on_request(
    pass: &Pass<'_>,
    memory: &Memory,
    change: &Change,
    journal: &Journal<Replicas>,
    action: &ReplicasAction,
) -> Asked {
    if requested(change) != Some("rollback") {
        return Asked::Nothing;
    }
    let by = change.annotations().get(REQUESTED_BY_ANNOTATION);
    let asked = format!("{} asked for it", by.map_or("somebody", String::as_str));
    let undo = undo_of(change, journal, None);
    let direction = memory::direction(change.spec.direction);
    let (facts, world) = around(pass, memory, action, undo, direction, change);
    let approved = match undo_requested(action, undo, direction, &facts, &world) {
        Ok(candidate) => {
            let dry_run = pass.dry_run(candidate.to()).await;
            candidate.admit(dry_run)
        }
        Err(refused) => Err(refused),
    };
    match approved {
        Ok(approved) => Asked::TakenBack(Judged {
            event: roll_back(&approved, Verdict::Requested),
            verdict: Some(recorded(pass, asked)),
            waiting: None,
        }),
        Err(refused) => Asked::Refused(format!("{asked}; not taken back: {refused}")),
    }
}

fn undo_of(change: &Change, journal: &Journal<Replicas>, demand: Option<Finite>) -> Undo {
    Undo {
        from: journal.after,
        to: Replicas::new(change.spec.verified.into()).unwrap_or(journal.before),
        demand,
    }
}

/// A verdict in words only.
fn recorded(pass: &Pass<'_>, message: String) -> RecordedVerdict {
    RecordedVerdict {
        at: Some(micro_time(pass.seen.now)),
        message,
        ..RecordedVerdict::default()
    }
}

/// Judges the effect by the verification that was frozen when the Change was made.
async fn judged(
    pass: &Pass<'_>,
    memory: &Memory,
    change: &Change,
    journal: &Journal<Replicas>,
    action: &ReplicasAction,
) -> Judged {
    let now = pass.seen.now;
    let keep = |why: String| Judged {
        event: Event::Keep {
            verdict: Verdict::Inconclusive,
        },
        verdict: Some(recorded(pass, why)),
        waiting: None,
    };
    let frozen = match change.spec.verification.as_ref().map(comparison_of_change) {
        Some(Ok(frozen)) => frozen,
        Some(Err(errors)) => {
            return keep(format!(
                "the recorded verification can't be read: {}",
                super::evidence::joined(&errors)
            ));
        }
        None => return keep("the Change has no verification".to_owned()),
    };
    let (reading, demand) = ask(pass, &frozen).await;
    let direction = memory::direction(change.spec.direction);
    let applied_at = journal.applied_at.unwrap_or(now);
    let verification = &frozen.verification;
    let judgement = judge(
        verification,
        direction,
        applied_at,
        &frozen.baseline,
        &reading,
        demand.as_ref(),
        now,
    );
    // The undoing is judged by the frozen verification too, whatever the policy says by now.
    let action = ReplicasAction {
        verification: Some(verification.clone()),
        ..action.clone()
    };
    let mut signals = pass.seen.signals.clone();
    if let (Some(signal), Some(demand)) = (&frozen.demand, demand) {
        signals.insert(signal.name.clone(), demand);
    }
    let inputs = Inputs {
        signals: &signals,
        verification: Some(&reading),
        ..pass.inputs(memory, &action.name)
    };
    let undo = undo_of(change, journal, frozen.baseline.demand);
    let (value, verdict, wanted) = match &judgement {
        Judgement::Wait { why, .. } => {
            return Judged {
                event: Event::Undecided,
                verdict: None,
                waiting: Some(why.clone()),
            };
        }
        Judgement::Achieved { value } => (Some(*value), Verdict::Achieved, false),
        Judgement::Broken { value } => (Some(*value), Verdict::Broken, true),
        Judgement::Ineffective { value } => (
            Some(*value),
            Verdict::Ineffective,
            verification.on_ineffective == OnIneffective::RollBack,
        ),
        Judgement::Overtaken { value, .. } => (Some(*value), Verdict::Overtaken, false),
        Judgement::Inconclusive { .. } => (
            None,
            Verdict::Inconclusive,
            verification.on_inconclusive == OnInconclusive::RollBack,
        ),
    };
    let mut message = said(&judgement, &frozen);
    let event = if verdict == Verdict::Achieved {
        Event::Achieved
    } else if wanted {
        match undoing(pass, memory, &action, undo, direction, &inputs, change).await {
            Ok(approved) => roll_back(&approved, verdict),
            Err(refused) => {
                message = format!("{message}; not taken back: {refused}");
                Event::Keep { verdict }
            }
        }
    } else {
        Event::Keep { verdict }
    };
    let recorded = RecordedVerdict {
        result: format!("{verdict:?}"),
        value: value.filter(|value| value.is_finite()),
        at: Some(micro_time(now)),
        message,
    };
    Judged {
        event,
        verdict: Some(recorded),
        waiting: None,
    }
}

async fn ask(pass: &Pass<'_>, frozen: &FrozenVerification) -> (Reading, Option<Reading>) {
    let now = pass.seen.now;
    let source = pass.ctx.sources.get(&pass.ctx.cluster, &frozen.source, &pass.namespace);
    // Unless the policy was edited meanwhile, this pass has asked the very same already.
    let same_source = frozen.source == pass.object.spec.source_ref.name;
    let read = async |query: &Query, max_age: Span| {
        if let Some(reading) = pass.asked(query, max_age).filter(|_| same_source) {
            return reading.clone();
        }
        match &source {
            Ok(source) => source.read(query, max_age, now).await,
            Err(problem) => Reading::failed(now, problem.to_string()),
        }
    };
    let verification = &frozen.verification;
    let demand = async {
        match &frozen.demand {
            Some(signal) => Some(read(&signal.query, signal.max_age).await),
            None => None,
        }
    };
    tokio::join!(read(&verification.condition.left, verification.max_age), demand)
}

/// Checks the undoing against the present.
async fn undoing(
    pass: &Pass<'_>,
    memory: &Memory,
    action: &ReplicasAction,
    undo: Undo,
    direction: Direction,
    inputs: &Inputs<'_>,
    change: &Change,
) -> Result<Approved, check::Refused> {
    let (facts, mut world) = around(pass, memory, action, undo, direction, change);
    if direction == Direction::Up {
        pass.look_around(action, Direction::Down, &mut world).await;
    }
    let candidate = match direction {
        Direction::Up => undo_increase(action, undo, inputs, &facts, &world, pass.seen.now),
        Direction::Down => undo_decrease(action, undo, &facts, &world),
    }?;
    let dry_run = pass.dry_run(candidate.to()).await;
    candidate.admit(dry_run)
}

/// What is known around a change that is to be undone.
fn around(
    pass: &Pass<'_>,
    memory: &Memory,
    action: &ReplicasAction,
    undo: Undo,
    direction: Direction,
    change: &Change,
) -> (Facts, World) {
    let current = pass
        .seen
        .found
        .snapshot
        .as_ref()
        .map_or(undo.from, |snapshot| snapshot.target.value);
    let own = OpenChange::Ours {
        name: change.name_any(),
        direction,
        to: undo.from,
        superseding_allowed: false,
    };
    (pass.facts(memory, action, current), pass.world(memory, action, own))
}

fn said(judgement: &Judgement, frozen: &FrozenVerification) -> String {
    let condition = &frozen.verification.condition;
    let asked = format!("{} {}", condition.comparator, condition.right);
    let within = frozen.verification.within;
    match judgement {
        Judgement::Wait { why, .. } | Judgement::Inconclusive { why } => why.clone(),
        Judgement::Achieved { value } => format!("{value:.4} {asked} holds"),
        Judgement::Broken { value } => format!("{value:.4} {asked} does not hold any more"),
        Judgement::Ineffective { value } => {
            format!("{value:.4} {asked} was not achieved within {within}, and the demand did not move")
        }
        Judgement::Overtaken { value, before, demand } => {
            format!(
                "{value:.4} {asked} was not achieved within {within}, but the demand moved from {before} to {demand}"
            )
        }
    }
}

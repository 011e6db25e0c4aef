//! Decide, check, and what comes of it: a Change that is begun, or a record of one that is not.

use super::{
    RuntimePass,
    begin::{begin, signals, spec},
    carry::CarriedRuntime,
    memory::RuntimeMemory,
    world,
};
use crate::{
    apply::Journals,
    clock::micro_time,
    observe::is_open,
    reconcile::{approval::awaits, begin::keep_record, evidence},
    text::{clean, same_words},
};
use flyball_core::{
    check::{Check, CheckResult, DryRun, OpenRuntime, RuntimeApproval, RuntimeApproved, RuntimeRefused, shape_runtime},
    decide::{RuntimeDecision, RuntimeFacts, RuntimeProposal, decide_runtime, needs_memory},
    evaluate::RuleState,
    policy::{Mode, RuntimeAction, Setting},
    time::Timestamp,
    transaction::Phase as Step,
};
use flyball_crds::{self as crds, Change, ChangeField, DecisionOutcome, DecisionStatus, Phase, approved_by};
use kube::ResourceExt;
use std::{collections::BTreeMap, sync::Arc};

/// What came of the decision in this pass.
pub(super) enum ProposedRuntime {
    /// No change is wanted.
    Steady { current: Setting, reason: String },
    /// A check refused it.
    Refused { shift: String, message: String },
    /// It waits for somebody's approval.
    Awaiting { shift: String, message: String },
    /// It would be done in mode Enforce.
    Recommended { shift: String, reason: String },
    /// It was begun.
    Begun(Box<CarriedRuntime>),
    /// It could not be begun.
    Failed { shift: String, message: String },
}

impl ProposedRuntime {
    /// What is being done, and why.
    pub fn said(self) -> (String, String) {
        match self {
            Self::Steady { current, reason } => (format!("Steady at {current}"), reason),
            Self::Refused { shift, message } => (format!("Refused {shift}"), message),
            Self::Awaiting { shift, message } => (format!("Awaits {shift}"), message),
            Self::Recommended { shift, reason } => (format!("Recommends {shift}"), reason),
            Self::Failed { shift, message } => (format!("Failed {shift}"), message),
            Self::Begun(begun) => {
                let status = begun.change.status.as_ref();
                let message = status.map(|status| status.message.clone()).unwrap_or_default();
                (format!("Ended {}", begun.change.spec.shift), message)
            }
        }
    }
}

pub(super) fn shift(from: &Setting, to: &Setting) -> String {
    format!("{from} -> {to}")
}

/// Decides and does what comes of it.
pub(super) async fn propose(
    it: &RuntimePass<'_, '_>,
    rules: &BTreeMap<String, RuleState>,
    memory: &mut RuntimeMemory,
    carried: Option<&CarriedRuntime>,
    current: Setting,
) -> ProposedRuntime {
    // Start-up options need no agent.
    let pods = match &it.variables {
        Some(_) => BTreeMap::new(),
        None => it.pods(&it.ask_agents().await),
    };
    let facts = RuntimeFacts {
        current,
        pods,
        fleet: it.fleet().await.clone(),
        history: memory.history.clone(),
    };
    memory.room = it
        .fits()
        .then(|| needs_memory(&facts.pods, &facts.fleet).map_or(Ok(()), |(pod, needs)| Err(format!("{pod}: {needs}"))));
    let inputs = it.pass.inputs_of_runtime(rules);
    let proposal = match decide_runtime(&it.actions, &inputs, &facts, it.pass.seen.now) {
        RuntimeDecision::Propose(proposal) => *proposal,
        RuntimeDecision::Stay { reason } => {
            withdraw(it, None).await;
            let current = facts.current.clone();
            let stay = RuntimeProposal {
                action: it.actions.first().map(|action| action.name.clone()).unwrap_or_default(),
                from: current.clone(),
                to: current.clone(),
                reason: reason.clone(),
                arithmetic: Vec::new(),
                alerts: Vec::new(),
            };
            is_news(it, memory, DecisionOutcome::Stay, &stay, &[]);
            return ProposedRuntime::Steady { current, reason };
        }
    };
    let shift = shift(&proposal.from, &proposal.to);
    // Another action asks for something else, and is the way out where a write was cut short for its sake.
    let refused = memory.refused_until.as_ref();
    if let Some((until, _)) = refused.filter(|(until, by)| it.pass.seen.now < *until && *by == proposal.action) {
        let message = format!(
            "the API server refused the last write; the next try is in {}",
            until.since(it.pass.seen.now)
        );
        return ProposedRuntime::Refused { shift, message };
    }
    let Some(action) = it.actions.iter().find(|action| action.name == proposal.action) else {
        return ProposedRuntime::Failed {
            shift,
            message: "the action is gone".to_owned(),
        };
    };
    match checked(it, memory, action, &facts, proposal, carried).await {
        Ok(approved) if it.pass.policy.mode == Mode::Enforce && !it.pass.policy.suspended => {
            withdraw(it, Some(approved.to())).await;
            begin(it, memory, action, &facts, &approved, carried).await
        }
        Ok(approved) => {
            withdraw(it, None).await;
            let proposal = approved.proposal();
            if is_news(it, memory, DecisionOutcome::Recommended, proposal, approved.checks()) {
                let message = format!("would set {}: {}", approved.to(), proposal.reason);
                record(
                    it,
                    memory,
                    action,
                    proposal,
                    approved.checks(),
                    (Phase::Recommended, message),
                )
                .await;
            }
            ProposedRuntime::Recommended {
                shift,
                reason: proposal.reason.clone(),
            }
        }
        Err(refused) => turned_down(it, memory, action, &refused, carried).await,
    }
}

async fn checked(
    it: &RuntimePass<'_, '_>,
    memory: &RuntimeMemory,
    action: &RuntimeAction,
    facts: &RuntimeFacts,
    proposal: RuntimeProposal,
    carried: Option<&CarriedRuntime>,
) -> Result<RuntimeApproved, RuntimeRefused> {
    let mut world = world(it, memory, open(it, carried));
    world.urgent = !proposal.alerts.is_empty() && it.stands_before_the_last(&proposal.action);
    if action.approval && it.pass.policy.mode == Mode::Enforce {
        world.approval = approval(it, &proposal.to);
    }
    let candidate = shape_runtime(proposal, action, facts, &world, it.pass.seen.now)?;
    let dry_run = match &it.workload {
        Ok(workload) => match it.pass.untried() {
            Some(skipped) => skipped,
            None => it.hands(workload).dry_run(candidate.to()).await,
        },
        Err(problem) => DryRun::Skipped(problem.to_string()),
    };
    candidate.admit(dry_run)
}

/// The Change that is open for these knobs, in words.
fn open(it: &RuntimePass<'_, '_>, carried: Option<&CarriedRuntime>) -> OpenRuntime {
    if let Some(carried) = carried.filter(|carried| carried.is_open()) {
        return OpenRuntime::Ours {
            name: carried.change.name_any(),
            verifying: carried.tx.journal.phase == Step::Verifying,
        };
    }
    let Ok(workload) = &it.workload else {
        return OpenRuntime::None;
    };
    let (uid, cluster) = (&workload.uid, &it.pass.ctx.cluster);
    if let Some(unknown) = cluster.unreadable_changes.labelled(crds::TARGET_LABEL, uid) {
        return OpenRuntime::Blocked(unknown.to_string());
    }
    let own = it.pass.object.uid().unwrap_or_default();
    let mut others = cluster.changes.state().into_iter();
    let other = others.find(|change| change.spec.policy.uid != own && is_open(change) && it.is_of(change, uid));
    other.map_or(OpenRuntime::None, |other| {
        OpenRuntime::Blocked(format!(
            "Change {} of FeedbackPolicy {} is open for the same knobs; wait for its end",
            other.name_any(),
            other.spec.policy.name
        ))
    })
}

async fn turned_down(
    it: &RuntimePass<'_, '_>,
    memory: &mut RuntimeMemory,
    action: &RuntimeAction,
    refused: &RuntimeRefused,
    carried: Option<&CarriedRuntime>,
) -> ProposedRuntime {
    let proposal = &refused.proposal;
    let (message, shift) = (refused.to_string(), shift(&proposal.from, &proposal.to));
    let check = refused.reason().map(|result| result.check);
    let waits = matches!(check, Some(Check::OpenChange | Check::Cooldown));
    if waits && carried.is_some_and(CarriedRuntime::is_open) {
        // The decision that counts is the one behind the Change under way.
        return ProposedRuntime::Refused { shift, message };
    }
    let news = is_news(it, memory, DecisionOutcome::Refused, proposal, &refused.checks);
    if news {
        let said = format!("{shift}: {message}");
        it.pass.ctx.recorder.refused(it.pass.object, check, &said);
    }
    if check == Some(Check::Approval) {
        withdraw(it, Some(&proposal.to)).await;
        match approval(it, &proposal.to) {
            RuntimeApproval::Awaited(None) => {
                let phase = (Phase::AwaitingApproval, message.clone());
                record(it, memory, action, proposal, &refused.checks, phase).await;
            }
            RuntimeApproval::Awaited(Some(name)) => {
                if let Some(decision) = &mut memory.decision {
                    decision.change = Some(name);
                }
            }
            RuntimeApproval::Granted(_) | RuntimeApproval::NotNeeded => {}
        }
        return ProposedRuntime::Awaiting { shift, message };
    }
    withdraw(it, None).await;
    let waits = matches!(check, Some(Check::OpenChange | Check::Cooldown | Check::Pause));
    if news && !waits {
        let phase = (Phase::Refused, message.clone());
        record(it, memory, action, proposal, &refused.checks, phase).await;
    }
    ProposedRuntime::Refused { shift, message }
}

/// Whether somebody approved this very setting.
fn approval(it: &RuntimePass<'_, '_>, to: &Setting) -> RuntimeApproval {
    let records = waiting(it);
    let mut same = records.iter().filter(|record| is_for(record, to));
    let first = same.clone().next().map(|record| record.name_any());
    match same.find_map(|record| approved_by(record)) {
        Some(by) => RuntimeApproval::Granted(by.to_owned()),
        None => RuntimeApproval::Awaited(first),
    }
}

fn is_for(record: &Change, to: &Setting) -> bool {
    let wanted = to.to_string();
    record.spec.runtime.as_ref().is_some_and(|moved| moved.after == wanted)
}

fn waiting(it: &RuntimePass<'_, '_>) -> Vec<Arc<Change>> {
    let uid = it.pass.object.uid().unwrap_or_default();
    let mut own = it.pass.ctx.cluster.changes.state();
    own.retain(|change| change.spec.policy.uid == uid && change.spec.field == ChangeField::Runtime && awaits(change));
    own
}

/// Ends what waits without need.
pub(super) async fn withdraw(it: &RuntimePass<'_, '_>, keep: Option<&Setting>) {
    for record in waiting(it) {
        if keep.is_some_and(|keep| is_for(&record, keep)) {
            continue;
        }
        let ctx = it.pass.ctx;
        let on_record = |change: &Change| ctx.recorder.change(change);
        let record = record.as_ref().clone();
        let mut journals = Journals::open(&ctx.clients.write, record, it.pass.authority, &on_record);
        let why = "it is not wanted any more, or was carried out".to_owned();
        let _ = journals.close_record(Phase::Superseded, why, it.pass.seen.now).await;
    }
}

/// Keeps a Change that writes nothing.
async fn record(
    it: &RuntimePass<'_, '_>,
    memory: &mut RuntimeMemory,
    action: &RuntimeAction,
    proposal: &RuntimeProposal,
    checks: &[CheckResult],
    (phase, message): (Phase, String),
) {
    let spec = spec(it, memory, action, proposal, checks, 0);
    let kept = keep_record(it.pass, &mut memory.recorded, spec, phase, message).await;
    if let (Some(decision), Some(name)) = (&mut memory.decision, kept) {
        decision.change = Some(name);
    }
}

/// Keeps a decision, and says whether it is another one than the last.
fn is_news(
    it: &RuntimePass<'_, '_>,
    memory: &mut RuntimeMemory,
    outcome: DecisionOutcome,
    proposal: &RuntimeProposal,
    checks: &[CheckResult],
) -> bool {
    let decision = decision(it, outcome, proposal, checks);
    let key = |decision: &DecisionStatus| {
        let refusal = crds::refusal(&decision.checks).map(|check| check.name.clone());
        (decision.outcome, refusal, decision.shift.clone())
    };
    let last = memory.decision.as_ref();
    let same = last.is_some_and(|last| key(last) == key(&decision));
    if same && last.is_some_and(|last| same_words(&last.reason, &decision.reason)) {
        return false;
    }
    let change = same.then(|| last.and_then(|last| last.change.clone())).flatten();
    memory.decision = Some(DecisionStatus { change, ..decision });
    !same
}

pub(super) fn decision(
    it: &RuntimePass<'_, '_>,
    outcome: DecisionOutcome,
    proposal: &RuntimeProposal,
    checks: &[CheckResult],
) -> DecisionStatus {
    let at: Timestamp = it.pass.seen.now;
    let action = it.actions.iter().find(|action| action.name == proposal.action);
    let shift = match outcome {
        DecisionOutcome::Stay => proposal.to.to_string(),
        _ => shift(&proposal.from, &proposal.to),
    };
    DecisionStatus {
        at: Some(micro_time(at)),
        outcome: Some(outcome),
        shift: clean(shift),
        reason: clean(&proposal.reason),
        arithmetic: proposal.arithmetic.iter().take(16).map(clean).collect(),
        checks: evidence::checks(checks),
        signals: evidence::short(action.map(|action| signals(it, action)).unwrap_or_default()),
        ..DecisionStatus::default()
    }
}

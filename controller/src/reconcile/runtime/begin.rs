//! Beginning a Change of knobs: which pods have it first, what is recorded of it, whose place it takes.

use super::{
    RuntimePass,
    carry::{self, CarriedRuntime},
    memory::RuntimeMemory,
    propose::{ProposedRuntime, decision, shift},
};
use crate::{
    apply::{Handle as _, Intent, Journals, RuntimeTarget, drive, journal_of},
    clock::micro_time,
    reconcile::{begin::labels, evidence, memory::stored_alert},
    text::clean,
    validate::{
        self,
        runtime::{named_pods, written},
    },
};
use flyball_core::{
    check::{CheckResult, RuntimeApproved},
    decide::{RuntimeFacts, RuntimeProposal},
    policy::RuntimeAction,
    transaction::{Abort, Cause, Outcome, Phase as Step, Tx},
    verify::Baseline,
};
use flyball_crds::{
    self as crds, Change, ChangeField, ChangeRuntime, ChangeSpec, ChangeTarget, ChangeTrial, DecisionOutcome,
    Direction, Evidence, PolicyRef,
};
use kube::ResourceExt;
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};
use tracing::{info, warn};

/// How many pods a trial has at most, and how many of the others are named beside them.
const NAMED: usize = 64;

/// The pods that are tried first: those whose agents answer, chosen without favour and alike in each pass.
fn chosen(action: &RuntimeAction, facts: &RuntimeFacts) -> BTreeSet<String> {
    let Some(plan) = &action.trial else {
        return BTreeSet::new();
    };
    let order = |name: &String| {
        let mut hasher = DefaultHasher::new();
        (facts.current.to_string(), name).hash(&mut hasher);
        hasher.finish()
    };
    let answering = facts.pods.iter().filter(|(_, agent)| agent.applied.is_some());
    let mut names: Vec<String> = answering.map(|(name, _)| name.clone()).collect();
    names.sort_by_key(order);
    let count = plan.size.of(names.len()).min(NAMED);
    names.into_iter().take(count).collect()
}

/// Opens the Change and carries it as far as it goes in this pass.
pub(super) async fn begin(
    it: &RuntimePass<'_, '_>,
    memory: &mut RuntimeMemory,
    action: &RuntimeAction,
    facts: &RuntimeFacts,
    approved: &RuntimeApproved,
    carried: Option<&CarriedRuntime>,
) -> ProposedRuntime {
    let (mut proposal, ctx) = (approved.proposal().clone(), it.pass.ctx);
    let said = shift(&proposal.from, &proposal.to);
    let failed = |message: String| ProposedRuntime::Failed {
        shift: said.clone(),
        message,
    };
    let Ok(workload) = &it.workload else {
        return failed("the workload is gone".to_owned());
    };
    let mut target = workload.target.clone();
    let superseded = carried.filter(|carried| carried.is_open());
    if let Some(carried) = superseded {
        let Some(found) = give_way(it, memory, carried).await else {
            return failed("the Change under way could not be closed; the next pass tries again".to_owned());
        };
        // What was tried went back.
        proposal.from = found.value.clone();
        target = found;
        if proposal.from == proposal.to {
            return ProposedRuntime::Steady {
                current: proposal.to,
                reason: proposal.reason,
            };
        }
    }
    let proposal = &proposal;
    if target.value != proposal.from {
        return failed("the workload changed since it was decided on; the next pass decides again".to_owned());
    }
    let sequence = it.next_sequence(workload, target.stamp);
    let mut spec = spec(it, memory, action, proposal, approved.checks(), sequence);
    spec.resource_version.clone_from(&target.version);
    spec.supersedes = superseded.map(|carried| carried.change.name_any());
    let tried = chosen(action, facts);
    if let (Some(plan), Some(moved)) = (&action.trial, &mut spec.runtime)
        && !tried.is_empty()
    {
        let others = facts.pods.keys().filter(|name| !tried.contains(*name)).take(NAMED);
        let (tried, others): (Vec<String>, Vec<String>) = (tried.iter().cloned().collect(), others.cloned().collect());
        moved.trial = Some(ChangeTrial {
            expr: plan.expr.as_ref().map(|expr| named_pods(expr, &tried, &others)),
            settle: written(plan.settle),
            within: written(plan.within),
        });
        moved.tried = tried;
    }
    let intent = Intent {
        name: change_name(&workload.name, &workload.uid, &it.container, sequence),
        labels: labels(it.pass, &workload.uid),
        spec,
    };
    let on_record = |change: &Change| ctx.recorder.change(change);
    let client = &ctx.clients.write;
    let created = Journals::create(client, &it.pass.namespace, intent, it.pass.authority, &on_record).await;
    let mut journals = match created {
        Ok(journals) => journals,
        Err(error) => {
            warn!(policy = it.pass.name, %error, "no Change was begun");
            return failed(error.to_string());
        }
    };
    let before = match journal_of(&journals.change) {
        Ok(journal) => journal,
        Err(damage) => return failed(damage.to_string()),
    };
    info!(policy = it.pass.name, change = journals.change.name_any(), from = %proposal.from, to = %proposal.to, "a Change begins");
    ctx.recorder.begun(&journals.change);
    let mut decision = decision(it, DecisionOutcome::Begun, proposal, approved.checks());
    decision.change = Some(journals.change.name_any());
    memory.decision = Some(decision);
    let hands = it.hands(workload).unless(&ctx.cluster.freeze, &it.pass.namespace);
    let tx = Tx::begin(before);
    let before = tx.journal.clone();
    let tx = drive(tx, Some(target), None, &hands, &mut journals, ctx.now).await;
    if let Some(message) = hands.refusal() {
        ctx.recorder.write_failed(&journals.change, &message);
    }
    let change = journals.change.clone();
    carry::remember(it, memory, &before, &tx, &change);
    ProposedRuntime::Begun(Box::new(CarriedRuntime {
        change,
        tx,
        waiting: None,
    }))
}

/// Cuts a Change of this policy short because a later one takes over, and reads what stands then.
async fn give_way(
    it: &RuntimePass<'_, '_>,
    memory: &mut RuntimeMemory,
    carried: &CarriedRuntime,
) -> Option<RuntimeTarget> {
    let before = journal_of(&carried.change).ok()?;
    let (tx, change) = carry::abort(it.pass.ctx, &carried.change, Abort::LargerIncrease, it.pass.authority).await?;
    carry::remember(it, memory, &before, &tx, &change);
    let ended = matches!(
        tx.journal.phase,
        Step::Closed(Outcome::Superseded(Cause::Newer) | Outcome::RolledBack)
    );
    tx.target.filter(|_| ended)
}

fn change_name(workload: &str, uid: &str, container: &str, sequence: u64) -> String {
    let workload: String = workload.chars().take(120).collect();
    let uid: String = uid.chars().filter(|c| *c != '-').take(12).collect();
    format!("{workload}-{uid}-runtime-{container}-{sequence}")
}

pub(super) fn spec(
    it: &RuntimePass<'_, '_>,
    memory: &RuntimeMemory,
    action: &RuntimeAction,
    proposal: &RuntimeProposal,
    checks: &[CheckResult],
    sequence: u64,
) -> ChangeSpec {
    let pass = it.pass;
    let verified = memory.history.verified.as_ref();
    let verified = verified.filter(|verified| verified.is_like(&proposal.from));
    let verified = verified.unwrap_or(&proposal.from);
    let source = &pass.object.spec.source_ref.name;
    let verification = action.verification.as_ref().map(|verification| {
        let demand = verification
            .demand
            .as_ref()
            .and_then(|demand| pass.seen.signals.get(&demand.signal));
        let reading = pass.asked(&verification.condition.left, verification.max_age);
        let baseline = Baseline::measured(verification, reading, demand);
        validate::freeze(verification, pass.policy, source, &baseline)
    });
    let workload = it.workload.as_ref().ok();
    ChangeSpec {
        policy: PolicyRef {
            name: pass.name.clone(),
            uid: pass.object.uid().unwrap_or_default(),
            generation: pass.object.metadata.generation.unwrap_or_default(),
        },
        action: action.name.clone(),
        mode: pass.object.spec.mode,
        target: ChangeTarget {
            reference: pass.object.spec.target_ref.clone(),
            uid: workload.map(|workload| workload.uid.clone()).unwrap_or_default(),
        },
        field: ChangeField::Runtime,
        direction: Direction::Up,
        sequence: i64::try_from(sequence).unwrap_or(i64::MAX),
        shift: clean(shift(&proposal.from, &proposal.to)),
        weights: None,
        runtime: Some(Box::new(ChangeRuntime {
            container: it.container.clone(),
            before: proposal.from.to_string(),
            after: proposal.to.to_string(),
            verified: verified.to_string(),
            tried: Vec::new(),
            trial: None,
            acknowledge: written(action.acknowledge),
            applied: it.agents.applied.text.clone(),
            breaker: it.agents.breaker.text.clone(),
            max_age: written(it.agents.max_age),
        })),
        pod: None,
        before: 0,
        after: 0,
        verified: 0,
        resource_version: workload
            .map(|workload| workload.target.version.clone())
            .unwrap_or_default(),
        proposed_at: micro_time(pass.seen.now),
        reason: clean(&proposal.reason),
        supersedes: None,
        verification,
        evidence: Evidence {
            alerts: proposal.alerts.iter().map(stored_alert).collect(),
            signals: signals(it, action),
            arithmetic: proposal.arithmetic.iter().take(16).map(clean).collect(),
            checks: evidence::checks(checks),
        },
    }
}

/// The readings behind an action: the rules of all, since the first that fires counts, and its verification.
pub(super) fn signals(it: &RuntimePass<'_, '_>, action: &RuntimeAction) -> Vec<crds::SignalStatus> {
    let pass = it.pass;
    let rules = it.actions.iter().flat_map(|action| &action.when).filter_map(|name| {
        let rule = pass.policy.rules.get(name)?;
        Some(evidence::signal(
            name,
            &rule.condition.query().text,
            pass.seen.rules.get(name)?,
        ))
    });
    let verify = action.verification.as_ref().and_then(|verification| {
        let reading = pass.seen.verifications.get(&action.name)?;
        Some(evidence::signal("verify", &verification.condition.left.text, reading))
    });
    rules.chain(verify).take(64).collect()
}

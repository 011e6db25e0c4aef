//! Decide, check, and begin a Change of weights.

use super::{
    WeightsPass, approval,
    begin::{begin, record, signals},
    carry::CarriedWeights,
    memory::WeightsMemory,
    world,
};
use crate::{
    clock::micro_time,
    reconcile::evidence,
    text::{clean, same_words},
};
use flyball_core::{
    check::{
        Check, CheckResult, OpenWeights, Supersedable, WeightsApproval, WeightsApproved, WeightsRefused, shape_weights,
    },
    decide::{Move, RouteFacts, WeightDecision, WeightProposal, decide_weights},
    evaluate::RuleState,
    policy::{Mode, OnReset, Weights},
    transaction::Phase as Step,
};
use flyball_crds::{self as crds, Change, DecisionOutcome, DecisionStatus, Direction, Phase};
use kube::ResourceExt;
use std::collections::BTreeMap;

/// What came of the decision in this pass.
pub(super) enum ProposedWeights {
    /// No change is wanted.
    Steady { current: Weights, reason: String },
    /// The lists can't be read.
    Nothing(String),
    /// A check refused it.
    Refused { shift: String, message: String },
    /// It waits for somebody's approval.
    Awaiting { shift: String, message: String },
    /// It would be done in mode Enforce.
    Recommended { shift: String, reason: String },
    /// It was begun.
    Begun(Box<CarriedWeights>),
    /// It could not be begun.
    Failed { shift: String, message: String },
}

impl ProposedWeights {
    /// What is being done, and why.
    pub fn said(self) -> (String, String) {
        match self {
            Self::Steady { current, reason } => (format!("Steady at {current}"), reason),
            Self::Nothing(why) => ("Nothing: the routes can't be moved".to_owned(), why),
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

/// From what to what, backend by backend: `a 50 -> 25, b 50 -> 75`.
pub(super) fn shift(from: &Weights, to: &Weights) -> String {
    let each: Vec<String> = to
        .iter()
        .map(|(backend, weight)| {
            let before = from.of(backend);
            if before == weight {
                format!("{backend} {weight}")
            } else {
                format!("{backend} {before} -> {weight}")
            }
        })
        .collect();
    each.join(", ")
}

pub(super) async fn propose(
    it: &WeightsPass<'_, '_>,
    rules: &BTreeMap<String, RuleState>,
    memory: &mut WeightsMemory,
    carried: Option<&CarriedWeights>,
) -> Option<ProposedWeights> {
    let facts = match &it.routes {
        Ok(_) => it.facts(memory).await,
        Err(problem) => {
            memory.unobserved(it.pass.seen.now);
            approval::withdraw(it, None).await;
            return Some(ProposedWeights::Nothing(problem.to_string()));
        }
    };
    // Right after a pass wrote the routes, what the watch shows of them is old.
    let facts = match carried.and_then(|carried| carried.tx.target.as_ref()?.value.0.first().cloned()) {
        Some(current) => RouteFacts { current, ..facts },
        None => facts,
    };
    let heard = it.heard(rules).await;
    let proposal = wanted(it, &heard, memory, &facts);
    memory.desired = Some(
        proposal
            .as_ref()
            .map_or(&facts.current, |proposal| &proposal.to)
            .clone(),
    );
    let Some(proposal) = proposal else {
        approval::withdraw(it, None).await;
        let reason = memory.decision.as_ref().map(|decision| decision.reason.clone());
        return Some(ProposedWeights::Steady {
            current: facts.current,
            reason: reason.unwrap_or_default(),
        });
    };
    let refused = memory.refused_until.filter(|(until, _)| it.pass.seen.now < *until);
    if let Some((until, ejection)) = refused
        && (ejection || proposal.why != Move::Ejection)
    {
        approval::withdraw(it, None).await;
        return Some(ProposedWeights::Refused {
            shift: shift(&proposal.from, &proposal.to),
            message: format!(
                "the API server refused the last write of weights; the next try is in {}",
                until.since(it.pass.seen.now)
            ),
        });
    }
    let policy = crate::record::name(&it.pass.namespace, &it.pass.name);
    it.pass
        .ctx
        .recorder
        .metrics
        .proposed(policy, &it.action.name, Direction::Up);
    match checked(it, memory, &facts, proposal, carried).await {
        Ok(approved) if it.pass.policy.mode == Mode::Enforce && !it.pass.policy.suspended => {
            let begun = begin(it, memory, &approved, carried).await;
            approval::withdraw(it, None).await;
            Some(begun)
        }
        Ok(approved) => {
            approval::withdraw(it, None).await;
            let (proposal, to) = (approved.proposal(), approved.to());
            let shift = shift(&proposal.from, to);
            if is_news(
                it,
                memory,
                DecisionOutcome::Recommended,
                proposal,
                to,
                approved.checks(),
            ) {
                let message = format!("would write {to}: {}", proposal.reason);
                record(it, memory, proposal, to, approved.checks(), Phase::Recommended, message).await;
            }
            Some(ProposedWeights::Recommended {
                shift,
                reason: proposal.reason.clone(),
            })
        }
        Err(refused) => Some(turned_down(it, memory, &refused, carried).await),
    }
}

/// What the law wants, or the last verified weights where somebody put them back to their base and the policy has
/// them written again. `None`: nothing, and the memory has the reason.
fn wanted(
    it: &WeightsPass<'_, '_>,
    rules: &BTreeMap<String, RuleState>,
    memory: &mut WeightsMemory,
    facts: &RouteFacts,
) -> Option<WeightProposal> {
    let pass = it.pass;
    let reset = memory.yielded.is_none()
        && memory.written.as_ref().is_some_and(|written| *written != facts.current)
        && facts.current == it.action.base()
        && matches!(it.action.on_reset, OnReset::Reapply { .. });
    if let (true, Some(verified)) = (reset, memory.history.verified.clone())
        && verified != facts.current
    {
        return Some(WeightProposal {
            action: it.action.name.clone(),
            from: facts.current.clone(),
            to: verified.clone(),
            why: Move::Reapply,
            reason: format!("{} put the weights back to their base", it.manager()),
            arithmetic: vec![format!("the last verified weights are {verified}")],
            alerts: Vec::new(),
        });
    }
    let inputs = pass.inputs_of_weights(it.action, rules);
    let (decision, history) = decide_weights(it.action, &inputs, facts, pass.seen.now);
    memory.history = history;
    match decision {
        WeightDecision::Propose(proposal) => Some(proposal),
        WeightDecision::Stay { reason, arithmetic } => {
            let stay = WeightProposal {
                action: it.action.name.clone(),
                from: facts.current.clone(),
                to: facts.current.clone(),
                why: Move::Law,
                reason,
                arithmetic,
                alerts: Vec::new(),
            };
            let current = facts.current.clone();
            is_news(it, memory, DecisionOutcome::Stay, &stay, &current, &[]);
            None
        }
    }
}

async fn checked(
    it: &WeightsPass<'_, '_>,
    memory: &WeightsMemory,
    facts: &RouteFacts,
    proposal: WeightProposal,
    carried: Option<&CarriedWeights>,
) -> Result<WeightsApproved, WeightsRefused> {
    let world = world(it, memory, open(it, carried), &proposal.to);
    let candidate = shape_weights(proposal, it.action, facts, &world, it.pass.seen.now)?;
    let dry_run = it.dry_run(candidate.to()).await;
    candidate.admit(dry_run)
}

/// The Change that is open for one of the routes.
fn open(it: &WeightsPass<'_, '_>, carried: Option<&CarriedWeights>) -> OpenWeights {
    if let Some(carried) = carried.filter(|carried| carried.is_open()) {
        return OpenWeights::Ours {
            name: carried.change.name_any(),
            from: carried.tx.journal.before.0.first().cloned().unwrap_or_default(),
            to: carried.tx.journal.after.0.first().cloned().unwrap_or_default(),
            supersedable: match carried.tx.journal.phase {
                Step::Verifying if carried.realised_at.is_some() => Supersedable::Further,
                Step::Verifying => Supersedable::AtOnce,
                _ => Supersedable::No,
            },
        };
    }
    let routes = it.routes.as_ref().map(Vec::as_slice).unwrap_or_default();
    let cluster = &it.pass.ctx.cluster;
    for route in routes {
        if let Some(unknown) = cluster.unreadable_changes.labelled(crds::TARGET_LABEL, &route.uid()) {
            return OpenWeights::Unknown(unknown.to_string());
        }
    }
    let policy = it.pass.object.uid().unwrap_or_default();
    let here = |change: &Change| {
        let lists = change
            .spec
            .weights
            .as_ref()
            .map(|moved| moved.lists.as_slice())
            .unwrap_or_default();
        lists
            .iter()
            .any(|list| routes.iter().any(|route| route.uid() == list.uid))
    };
    let other = cluster
        .changes
        .state()
        .into_iter()
        .find(|change| change.spec.policy.uid != policy && crate::observe::is_open(change) && here(change));
    other.map_or(OpenWeights::None, |change| {
        OpenWeights::Others(format!("Change {} of {}", change.name_any(), change.spec.policy.name))
    })
}

async fn turned_down(
    it: &WeightsPass<'_, '_>,
    memory: &mut WeightsMemory,
    refused: &WeightsRefused,
    carried: Option<&CarriedWeights>,
) -> ProposedWeights {
    let proposal = &refused.proposal;
    let (message, shift) = (refused.to_string(), shift(&proposal.from, &proposal.to));
    let check = refused.reason().map(|result| result.check);
    if check == Some(Check::OpenChange) && carried.is_some_and(CarriedWeights::is_open) {
        // The decision that counts is the one behind the Change under way.
        return ProposedWeights::Refused { shift, message };
    }
    let news = is_news(
        it,
        memory,
        DecisionOutcome::Refused,
        proposal,
        &proposal.to,
        &refused.checks,
    );
    if news {
        it.pass
            .ctx
            .recorder
            .refused(it.pass.object, check, &format!("{shift}: {message}"));
    }
    if check == Some(Check::Approval) {
        approval::withdraw(it, Some(&proposal.to)).await;
        match approval::of(it, &proposal.to) {
            WeightsApproval::Awaited(None) => {
                let (to, phase) = (proposal.to.clone(), Phase::AwaitingApproval);
                record(it, memory, proposal, &to, &refused.checks, phase, message.clone()).await;
            }
            // What waits is of this decision too, or `flyball approve` would not take it.
            WeightsApproval::Awaited(Some(name)) => {
                if let Some(decision) = &mut memory.decision {
                    decision.change = Some(name);
                }
            }
            WeightsApproval::Granted { .. } | WeightsApproval::NotNeeded => {}
        }
        return ProposedWeights::Awaiting { shift, message };
    }
    approval::withdraw(it, None).await;
    let waits = matches!(
        check,
        Some(Check::OpenChange | Check::Cooldown | Check::DataQuality | Check::Pause)
    );
    if news && !waits {
        let to = proposal.to.clone();
        record(
            it,
            memory,
            proposal,
            &to,
            &refused.checks,
            Phase::Refused,
            message.clone(),
        )
        .await;
    }
    ProposedWeights::Refused { shift, message }
}

/// Keeps a decision, and says whether it is another one than the last. Weights that are measured move a little with
/// each pass, and are not another decision for that.
fn is_news(
    it: &WeightsPass<'_, '_>,
    memory: &mut WeightsMemory,
    outcome: DecisionOutcome,
    proposal: &WeightProposal,
    to: &Weights,
    checks: &[CheckResult],
) -> bool {
    let decision = decision(it, outcome, proposal, to, checks);
    let key = |decision: &DecisionStatus| {
        let refusal = crds::refusal(&decision.checks).map(|check| check.name.clone());
        (decision.outcome, refusal)
    };
    let last = memory.decision.as_ref();
    let near = match (&memory.wanted, last) {
        (Some(wanted), _) => approval::is_near(wanted, to, 2.0 * it.action.limits.dead_band.get()),
        // After a restart only the text is known.
        (None, Some(last)) => last.shift == decision.shift,
        (None, None) => false,
    };
    let same = last.is_some_and(|last| key(last) == key(&decision)) && near;
    if same && last.is_some_and(|last| same_words(&last.reason, &decision.reason)) {
        return false;
    }
    let change = same.then(|| last.and_then(|last| last.change.clone())).flatten();
    if !same {
        memory.wanted = Some(to.clone());
    }
    memory.decision = Some(DecisionStatus { change, ..decision });
    !same
}

pub(super) fn decision(
    it: &WeightsPass<'_, '_>,
    outcome: DecisionOutcome,
    proposal: &WeightProposal,
    to: &Weights,
    checks: &[CheckResult],
) -> DecisionStatus {
    DecisionStatus {
        at: Some(micro_time(it.pass.seen.now)),
        outcome: Some(outcome),
        shift: clean(shift(&proposal.from, to)),
        reason: clean(&proposal.reason),
        arithmetic: proposal.arithmetic.iter().take(16).map(clean).collect(),
        checks: evidence::checks(checks),
        signals: evidence::short(signals(it)),
        ..DecisionStatus::default()
    }
}

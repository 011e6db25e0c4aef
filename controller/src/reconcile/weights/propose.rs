//! Decide, check, and begin a Change of weights.

use super::{
    WeightsPass, approval,
    carry::{self, CarriedWeights, recorded_list},
    memory::WeightsMemory,
    world,
};
use crate::{
    apply::{Handle as _, Intent, Journals, drive, journal_of, recorded_weights},
    clock::micro_time,
    reconcile::{
        begin::{labels, record_name, record_number},
        evidence,
        memory::stored_alert,
    },
    text::{clean, same_words},
    validate,
};
use flyball_core::{
    check::{Check, CheckResult, OpenWeights, WeightsApproval, WeightsApproved, WeightsRefused, shape_weights},
    decide::{Move, RouteFacts, WeightDecision, WeightProposal, decide_weights},
    evaluate::RuleState,
    policy::{Mode, OnReset, WeightLaw, Weights},
    transaction::{Abort, Cause, Outcome, Phase as Step, Tx},
    verify::Baseline,
};
use flyball_crds::{
    self as crds, Change, ChangeField, ChangeShare, ChangeSpec, ChangeTarget, ChangeWeights, ChangedList,
    DecisionOutcome, DecisionStatus, Direction, Duration, Evidence, Phase, PolicyRef, TargetRef, WeightMove,
};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use std::collections::BTreeMap;
use tracing::{info, warn};

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
    if let Some(until) = memory.refused_until.filter(|until| it.pass.seen.now < *until) {
        approval::withdraw(it, None).await;
        let message = format!(
            "the API server refused the last write of weights; the next try is in {}",
            until.since(it.pass.seen.now)
        );
        return Some(ProposedWeights::Nothing(message));
    }
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
            to: carried.tx.journal.after.0.first().cloned().unwrap_or_default(),
            superseding_allowed: carried.tx.journal.phase == Step::Verifying,
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

fn decision(
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

/// The readings behind the action: its rules, what the proxy tells, the law's signal, the verification.
fn signals(it: &WeightsPass<'_, '_>) -> Vec<crds::SignalStatus> {
    let (pass, action) = (it.pass, it.action);
    let rules = action.when.iter().filter_map(|name| {
        let rule = pass.policy.rules.get(name)?;
        Some(evidence::signal(
            name,
            &rule.condition.query().text,
            pass.seen.rules.get(name)?,
        ))
    });
    let traffic = pass.seen.traffic.iter().flat_map(|read| {
        let unserved = it.traffic.unserved.as_ref().zip(read.unserved.as_ref());
        let both = [
            ("traffic.requests", &it.traffic.requests, &read.requests),
            ("traffic.errors", &it.traffic.errors, &read.errors),
        ];
        let all = both
            .into_iter()
            .chain(unserved.map(|(query, reading)| ("traffic.unserved", query, reading)));
        all.map(|(name, query, reading)| evidence::signal(name, &query.text, reading))
            .collect::<Vec<_>>()
    });
    let named = match &action.law {
        WeightLaw::Capacity(law) => Some(&law.utilisation),
        WeightLaw::Aimd(law) => Some(&law.signal),
        WeightLaw::Step(_) | WeightLaw::Failover(_) => None,
    };
    let named = named.and_then(|name| {
        let signal = pass.policy.signals.get(name)?;
        Some(evidence::signal(name, &signal.query.text, pass.seen.signals.get(name)?))
    });
    let verify = action.verification.as_ref().and_then(|verification| {
        let reading = pass.seen.verifications.get(&action.name)?;
        Some(evidence::signal("verify", &verification.condition.left.text, reading))
    });
    rules.chain(traffic).chain(named).chain(verify).collect()
}

/// Opens the Change and carries it as far as it goes in this pass.
async fn begin(
    it: &WeightsPass<'_, '_>,
    memory: &mut WeightsMemory,
    approved: &WeightsApproved,
    carried: Option<&CarriedWeights>,
) -> ProposedWeights {
    let (proposal, to) = (approved.proposal(), approved.to());
    let failed = |message: String| ProposedWeights::Failed {
        shift: shift(&proposal.from, to),
        message,
    };
    let (Ok(routes), ctx) = (&it.routes, it.pass.ctx) else {
        return failed("the routes are gone".to_owned());
    };
    if let (Some(_), Some(carried)) = (approved.supersedes(), carried) {
        match carry::abort(ctx, &carried.change, Abort::Ejection, it.pass.authority).await {
            Some((tx, _)) if tx.journal.phase == Step::Closed(Outcome::Superseded(Cause::Newer)) => {}
            _ => return failed("the Change under way could not be closed; the next pass tries again".to_owned()),
        }
    }
    // The fence of the Change that was superseded moved the routes on, and what the watch shows of them is old.
    let fresh = match approved.supersedes() {
        Some(_) => it.read_again().await,
        None => Some(routes.clone()),
    };
    let Some(routes) = fresh else {
        return failed("the routes could not be read again; the next pass tries again".to_owned());
    };
    let stamps = routes
        .iter()
        .filter_map(|route| crate::observe::routes::find::seen(&route.object, &route.list, &it.action.backends).2);
    let stamped = stamps.map(|stamp| stamp.sequence).max().unwrap_or(0);
    let sequence = next_sequence(it, stamped);
    let hands = it.hands(&routes, sequence).unless(&ctx.cluster.freeze);
    let target = hands.target();
    if target.value.0.iter().any(|found| *found != proposal.from) {
        return failed("a route changed since it was decided on; the next pass decides again".to_owned());
    }
    let spec = spec(it, memory, proposal, to, approved.checks(), sequence);
    let first = routes
        .first()
        .map(|route| (route.list.name.clone(), route.uid()))
        .unwrap_or_default();
    let intent = Intent {
        name: change_name(&first.0, &first.1, sequence),
        labels: labels(it.pass, &first.1),
        spec: ChangeSpec {
            supersedes: approved.supersedes().map(ToOwned::to_owned),
            ..spec
        },
    };
    let on_record = |change: &Change| ctx.recorder.change(change);
    let created = Journals::create(
        &ctx.clients.write,
        &it.pass.namespace,
        intent,
        it.pass.authority,
        &on_record,
    )
    .await;
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
    info!(policy = it.pass.name, change = journals.change.name_any(), from = %proposal.from, %to, "a Change begins");
    ctx.recorder.begun(&journals.change);
    if proposal.why == Move::Reapply {
        memory.reapplied.push(it.pass.seen.now);
    }
    let mut decision = decision(it, DecisionOutcome::Begun, proposal, to, approved.checks());
    decision.change = Some(journals.change.name_any());
    memory.decision = Some(decision);
    memory.wanted = Some(to.clone());
    let tx = drive(
        Tx::begin(before.clone()),
        Some(target),
        None,
        &hands,
        &mut journals,
        ctx.now,
    )
    .await;
    if let Some(message) = hands.refusal() {
        ctx.recorder.write_failed(&journals.change, &message);
    }
    let change = journals.change.clone();
    carry::remember(it, memory, &before, &tx, &change);
    ProposedWeights::Begun(Box::new(CarriedWeights {
        change,
        tx,
        waiting: None,
    }))
}

/// One more than every Change of these routes ever had: a second creation collides with the first.
fn next_sequence(it: &WeightsPass<'_, '_>, stamped: u64) -> u64 {
    let routes = it.routes.as_ref().map(Vec::as_slice).unwrap_or_default();
    let uids: Vec<String> = routes.iter().map(crate::observe::routes::Route::uid).collect();
    let changes = it.pass.ctx.cluster.changes.state();
    let known = changes.iter().filter(|change| {
        let lists = change
            .spec
            .weights
            .as_ref()
            .map(|moved| moved.lists.as_slice())
            .unwrap_or_default();
        lists.iter().any(|list| uids.contains(&list.uid))
    });
    known
        .filter_map(|change| u64::try_from(change.spec.sequence).ok())
        .max()
        .unwrap_or(0)
        .max(stamped)
        + 1
}

fn change_name(route: &str, uid: &str, sequence: u64) -> String {
    let route: String = route.chars().take(180).collect();
    let uid: String = uid.chars().filter(|c| *c != '-').take(12).collect();
    format!("{route}-{uid}-weights-{sequence}")
}

fn spec(
    it: &WeightsPass<'_, '_>,
    memory: &WeightsMemory,
    proposal: &WeightProposal,
    to: &Weights,
    checks: &[CheckResult],
    sequence: u64,
) -> ChangeSpec {
    let (pass, action) = (it.pass, it.action);
    let routes = it.routes.as_ref().map(Vec::as_slice).unwrap_or_default();
    let lists: Vec<ChangedList> = routes
        .iter()
        .map(|route| ChangedList {
            route: recorded_list(&route.list),
            uid: route.uid(),
            resource_version: route.object.resource_version().unwrap_or_default(),
            before: recorded_weights(&route.located.weights()),
        })
        .collect();
    let first = lists.first();
    let verified = memory.history.verified.clone().unwrap_or_else(|| proposal.from.clone());
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
    let duration = |span: flyball_core::time::Span| Duration::new(span.to_string());
    ChangeSpec {
        policy: PolicyRef {
            name: pass.name.clone(),
            uid: pass.object.uid().unwrap_or_default(),
            generation: pass.object.metadata.generation.unwrap_or_default(),
        },
        action: action.name.clone(),
        mode: pass.object.spec.mode,
        target: ChangeTarget {
            reference: TargetRef {
                ..pass.object.spec.target_ref.clone()
            },
            uid: first.map(|list| list.uid.clone()).unwrap_or_default(),
        },
        field: ChangeField::Weights,
        direction: Direction::Up,
        sequence: i64::try_from(sequence).unwrap_or(i64::MAX),
        shift: clean(shift(&proposal.from, to)),
        before: 0,
        after: 0,
        verified: 0,
        resource_version: first.map(|list| list.resource_version.clone()).unwrap_or_default(),
        weights: Some(Box::new(ChangeWeights {
            why: match proposal.why {
                Move::Law => WeightMove::Law,
                Move::Ejection => WeightMove::Ejection,
                Move::Return => WeightMove::Return,
                Move::Reapply => WeightMove::Reapply,
            },
            lists,
            after: recorded_weights(to),
            verified: recorded_weights(&verified),
            share: ChangeShare {
                requests: it.traffic.requests.text.clone(),
                window: duration(it.traffic.window),
                max_age: duration(it.traffic.max_age),
                settle: duration(action.share.settle),
                within: duration(action.share.within),
            },
        })),
        proposed_at: micro_time(pass.seen.now),
        reason: clean(&proposal.reason),
        supersedes: None,
        verification,
        evidence: Evidence {
            alerts: proposal.alerts.iter().map(stored_alert).collect(),
            signals: signals(it),
            arithmetic: proposal.arithmetic.iter().take(16).map(clean).collect(),
            checks: evidence::checks(checks),
        },
    }
}

/// Keeps a Change that writes nothing: the audit of a recommendation or a refusal, or what waits for approval.
async fn record(
    it: &WeightsPass<'_, '_>,
    memory: &mut WeightsMemory,
    proposal: &WeightProposal,
    to: &Weights,
    checks: &[CheckResult],
    phase: Phase,
    message: String,
) {
    let (ctx, pass) = (it.pass.ctx, it.pass);
    let spec = spec(it, memory, proposal, to, checks, 0);
    let name = |number: i64| record_name(&pass.name, &spec.policy.uid, &it.action.name, number);
    let taken = |number: i64| {
        let change = ObjectRef::<Change>::new(&name(number)).within(&pass.namespace);
        ctx.cluster.changes.get(&change).is_some()
    };
    memory.recorded = record_number(memory.recorded, false, taken);
    let name = name(memory.recorded);
    let intent = Intent {
        name: name.clone(),
        labels: labels(pass, &spec.target.uid),
        spec: spec.clone(),
    };
    let on_record = |change: &Change| ctx.recorder.change(change);
    match Journals::create(&ctx.clients.write, &pass.namespace, intent, pass.authority, &on_record).await {
        Ok(mut journals) => {
            if !journals.close_record(phase, message, pass.seen.now).await {
                warn!(
                    policy = pass.name,
                    "a record was created but not closed; the next leader closes it"
                );
            }
            if let Some(decision) = &mut memory.decision {
                decision.change = Some(name);
            }
        }
        Err(error) => warn!(policy = pass.name, %error, "a decision was not recorded"),
    }
}

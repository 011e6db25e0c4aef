//! Decide, check, and begin a Change: the way from readings to a write.

use super::{
    Pass, approval,
    decision::News,
    evidence, learn,
    memory::{self, Memory, stored_direction, stored_replicas},
    open::{self, Carried},
};
use crate::{
    apply::{Hands, Intent, Journals, drive, journal_of},
    clock::micro_time,
    text::clean,
    validate,
};
use flyball_core::{
    check::{Approved, Check, CheckResult, OpenChange, OpenStep, Refused, shape},
    decide::{Decision, Direction, Proposal, decide},
    policy::{Law, Mode, Replicas, ReplicasAction},
    signal::Finite,
    transaction::{Abort, Cause, Outcome, Phase as Step, Tx},
    verify::Baseline,
};
use flyball_crds::{
    self as crds, ChangeField, ChangeSpec, ChangeTarget, ChangeVerification, DecisionOutcome, Evidence, POLICY_LABEL,
    Phase, PolicyRef, TARGET_LABEL,
};
use kube::ResourceExt;
use std::collections::BTreeMap;
use tracing::{info, warn};

/// What came of the decision in this pass.
pub(crate) enum Proposed {
    /// No change is wanted.
    Steady { current: Replicas, reason: String },
    /// A check refused it.
    Refused {
        from: Replicas,
        to: Replicas,
        message: String,
    },
    /// It waits for somebody's approval.
    Awaiting {
        from: Replicas,
        to: Replicas,
        message: String,
    },
    /// It would be done in mode Enforce.
    Recommended {
        from: Replicas,
        to: Replicas,
        reason: String,
    },
    /// It was begun.
    Begun(Box<Carried>),
    /// It could not be begun.
    Failed {
        from: Replicas,
        to: Replicas,
        message: String,
    },
}

impl Proposed {
    /// The number that is wanted, if it is another than the present.
    pub fn wanted(&self) -> Option<Replicas> {
        match self {
            Self::Steady { .. } => None,
            Self::Refused { to, .. }
            | Self::Awaiting { to, .. }
            | Self::Recommended { to, .. }
            | Self::Failed { to, .. } => Some(*to),
            Self::Begun(begun) => Some(begun.tx.journal.after),
        }
    }
}

/// A proposal with the action that made it.
struct Wanted<'a> {
    action: &'a ReplicasAction,
    proposal: Proposal,
}

/// Decides for every action, takes the one that matters, checks it and begins its Change.
pub(crate) async fn propose(pass: &Pass<'_>, memory: &mut Memory, carried: Option<&Carried>) -> Option<Proposed> {
    fill(pass, memory, carried);
    let proposed = decided(pass, memory, carried).await;
    for action in pass.policy.actions.iter().filter(|action| action.approval) {
        let (keep, why) = match &proposed {
            Some(Proposed::Awaiting { from, to, .. }) => {
                (Some((*from, *to)), "another number is wanted by now".to_owned())
            }
            Some(Proposed::Begun(begun)) => (
                None,
                format!("approved, and carried out as {}", begun.change.name_any()),
            ),
            // What could not be begun is tried again, and what has only to wait may go on in the next pass.
            Some(Proposed::Failed { .. } | Proposed::Refused { .. }) => continue,
            _ => (None, "it is not wanted any more".to_owned()),
        };
        approval::withdraw(pass, action, keep, &why).await;
    }
    proposed
}

async fn decided(pass: &Pass<'_>, memory: &mut Memory, carried: Option<&Carried>) -> Option<Proposed> {
    let current = pass.seen.found.snapshot.as_ref().map(|snapshot| snapshot.target.value);
    // Right after a pass wrote the target, what the watch shows of it is old.
    let current = match carried {
        Some(carried) => carried.tx.target.as_ref().map(|target| target.value).or(current),
        None => current,
    };
    let Some(current) = current else {
        return missing(pass, memory);
    };
    let wanted = match choose(pass, memory, current) {
        Ok(wanted) => wanted,
        Err(reason) => return Some(Proposed::Steady { current, reason }),
    };
    let (from, to) = (wanted.proposal.from, wanted.proposal.to);
    let direction = stored_direction(wanted.proposal.direction);
    let policy = crate::record::name(&pass.namespace, &pass.name);
    pass.ctx
        .recorder
        .metrics
        .proposed(policy, &wanted.action.name, direction);
    match checked(pass, memory, &wanted, current, carried).await {
        Ok(approved) if pass.policy.mode == Mode::Enforce && !pass.policy.suspended => {
            Some(begin(pass, memory, wanted.action, &approved, carried).await)
        }
        Ok(approved) => {
            let reason = approved.proposal().reason.clone();
            let desired = approved.to();
            let news = keep(
                pass,
                memory,
                wanted.action,
                DecisionOutcome::Recommended,
                (from, desired),
                approved.proposal(),
                approved.checks(),
            );
            if news == News::Decision {
                let message = format!("would write {desired}: {reason}");
                record(
                    pass,
                    memory,
                    wanted.action,
                    approved.proposal(),
                    desired,
                    approved.checks(),
                    Phase::Recommended,
                    message,
                )
                .await;
            }
            Some(Proposed::Recommended {
                from,
                to: desired,
                reason,
            })
        }
        Err(refused) => {
            let message = refused.to_string();
            let check = refused.reason().map(|result| result.check);
            let awaits = check == Some(Check::Approval);
            // What is approved is the number that would be written.
            let to = if awaits { refused.to } else { to };
            let own = carried.is_some_and(Carried::is_open);
            if check == Some(Check::OpenChange) && own {
                // The decision that counts is the one behind the Change under way.
                return Some(Proposed::Refused { from, to, message });
            }
            let news = keep(
                pass,
                memory,
                wanted.action,
                DecisionOutcome::Refused,
                (from, to),
                &refused.proposal,
                &refused.checks,
            );
            if news == News::Decision {
                pass.ctx
                    .recorder
                    .refused(pass.object, check, &format!("{from} -> {to}: {message}"));
                // What only has to wait is seen in the status and not worth a record of its own.
                let waits = matches!(
                    check,
                    Some(
                        Check::OpenChange
                            | Check::Cooldown
                            | Check::DataQuality
                            | Check::Pause
                            | Check::Coverage
                            | Check::Rollout
                            | Check::Veto
                            | Check::Budget
                    )
                );
                if !waits {
                    record(
                        pass,
                        memory,
                        wanted.action,
                        &refused.proposal,
                        to,
                        &refused.checks,
                        if awaits {
                            Phase::AwaitingApproval
                        } else {
                            Phase::Refused
                        },
                        message.clone(),
                    )
                    .await;
                }
            }
            Some(if awaits {
                Proposed::Awaiting { from, to, message }
            } else {
                Proposed::Refused { from, to, message }
            })
        }
    }
}

/// Without a target there is nothing to decide; the policy's condition says why.
fn missing(pass: &Pass<'_>, memory: &mut Memory) -> Option<Proposed> {
    for action in &pass.policy.actions {
        if let Some(remembered) = memory.actions.get_mut(&action.name) {
            remembered.target_gone();
        }
    }
    None
}

/// The largest increase; else the smallest decrease, if every action that has a way down wants one.
fn choose<'a>(pass: &'a Pass<'_>, memory: &mut Memory, current: Replicas) -> Result<Wanted<'a>, String> {
    let (mut wanted, mut stays, mut holding) = (Vec::new(), Vec::new(), false);
    for action in &pass.policy.actions {
        let facts = pass.facts(memory, action, current);
        let (decision, history) = decide(action, &pass.inputs(memory, &action.name), &facts, pass.seen.now);
        if let Some(remembered) = memory.actions.get_mut(&action.name) {
            remembered.history = history;
        }
        match decision {
            Decision::Propose(proposal) => wanted.push(Wanted { action, proposal }),
            Decision::Stay { reason, arithmetic } => {
                holding |= has_way_down(action);
                let numbers = (current, current);
                let stay = DecisionOutcome::Stay;
                let decision = evidence::decision(pass, action, stay, numbers, &reason, &arithmetic, &[]);
                if let Some(remembered) = memory.actions.get_mut(&action.name) {
                    remembered.take_in(action, decision, pass.seen.now);
                }
                stays.push(format!("{}: {reason}", action.name));
            }
        }
    }
    let up = wanted.iter().any(|wanted| wanted.proposal.direction == Direction::Up);
    wanted.retain(|wanted| (wanted.proposal.direction == Direction::Up) == up);
    if !up && holding && !wanted.is_empty() {
        wanted.clear();
        stays.push("another action's decrease waits".to_owned());
    }
    wanted
        .into_iter()
        .max_by_key(|wanted| wanted.proposal.to)
        .ok_or_else(|| stays.join("; "))
}

fn has_way_down(action: &ReplicasAction) -> bool {
    match &action.law {
        Law::Step(step) => step.down.is_some(),
        Law::Metrics(_) => true,
    }
}

async fn checked(
    pass: &Pass<'_>,
    memory: &Memory,
    wanted: &Wanted<'_>,
    current: Replicas,
    carried: Option<&Carried>,
) -> Result<Approved, Refused> {
    let Wanted { action, proposal } = wanted;
    let mut world = pass.world(memory, action, open_change(pass, memory, action, carried));
    pass.look_around(action, proposal.direction, &mut world).await;
    let facts = pass.facts(memory, action, current);
    let inputs = pass.inputs(memory, &action.name);
    let candidate = shape(proposal.clone(), action, &inputs, &facts, &world, pass.seen.now)?;
    let dry_run = pass.dry_run(candidate.to()).await;
    candidate.admit(dry_run)
}

fn open_change(pass: &Pass<'_>, memory: &Memory, action: &ReplicasAction, carried: Option<&Carried>) -> OpenChange {
    if let Some(carried) = carried.filter(|carried| carried.is_open()) {
        return OpenChange::Ours {
            name: carried.change.name_any(),
            direction: memory::direction(carried.change.spec.direction),
            to: carried.tx.journal.after,
            superseding_allowed: carried.tx.journal.phase == Step::Verifying && surges(pass, memory, action, carried),
        };
    }
    let uid = pass.object.uid().unwrap_or_default();
    let other = pass.seen.open.iter().find(|change| change.spec.policy.uid != uid);
    other.map_or(OpenChange::None, |change| OpenChange::Others {
        name: change.name_any(),
        policy: change.spec.policy.name.clone(),
    })
}

/// Whether more is asked for than when the open Change was proposed.
///
/// A metric computes how much the demand needs, so a larger number is reason enough. A step asks for
/// one more as long as its rule fires, which it does until the first step has taken effect: without
/// a demand that grew since, every pass would add a step, up to max.
fn surges(pass: &Pass<'_>, memory: &Memory, action: &ReplicasAction, carried: &Carried) -> bool {
    if matches!(action.law, Law::Metrics(_)) {
        return true;
    }
    let now = demand_now(pass, action);
    match (open_step(pass, memory, action, carried), now) {
        (Some(step), Some(now)) => step.surge(now, pass.seen.now).is_ok(),
        _ => false,
    }
}

fn demand_now(pass: &Pass<'_>, action: &ReplicasAction) -> Option<Finite> {
    let demand = action.verification.as_ref()?.demand.as_ref()?;
    pass.seen.signals.get(&demand.signal)?.number().ok()
}

/// The open Change as far as its demand goes.
fn open_step(pass: &Pass<'_>, memory: &Memory, action: &ReplicasAction, carried: &Carried) -> Option<OpenStep> {
    let demand = action.verification.as_ref()?.demand.as_ref()?;
    let spec = &carried.change.spec;
    // The baseline may be inherited; what was read at this Change's own proposal is its evidence.
    let evidence = spec
        .evidence
        .signals
        .iter()
        .find(|signal| signal.name == demand.signal)?;
    let journal = &carried.tx.journal;
    Some(OpenStep {
        proposed_at: journal.proposed_at,
        from: journal.before,
        to: journal.after,
        demand: Finite::new(evidence.value.parse().ok()?)?,
        filled: memory
            .filled
            .filter(|(sequence, _)| *sequence == journal.sequence)
            .map(|(_, demand)| demand),
        range: pass.policy.signals.get(&demand.signal)?.query.longest_range,
        tolerance: demand.tolerance,
    })
}

/// Keeps the demand as it is first read with its range filled since the open Change was proposed.
fn fill(pass: &Pass<'_>, memory: &mut Memory, carried: Option<&Carried>) {
    let Some(carried) = carried.filter(|carried| carried.is_open()) else {
        return;
    };
    let sequence = carried.tx.journal.sequence;
    if memory.filled.is_some_and(|(known, _)| known == sequence) {
        return;
    }
    let name = &carried.change.spec.action;
    let Some(action) = pass.policy.actions.iter().find(|action| action.name == *name) else {
        return;
    };
    if let (Some(step), Some(now)) = (open_step(pass, memory, action, carried), demand_now(pass, action))
        && pass.seen.now >= step.filled_at()
    {
        memory.filled = Some((sequence, now));
    }
}

/// Opens the Change and carries it as far as it goes in this pass.
async fn begin(
    pass: &Pass<'_>,
    memory: &mut Memory,
    action: &ReplicasAction,
    approved: &Approved,
    carried: Option<&Carried>,
) -> Proposed {
    let (from, to) = (approved.from(), approved.to());
    let failed = |message: String| Proposed::Failed { from, to, message };
    let fewer = from.get().saturating_sub(to.get());
    if fewer > 0 && !pass.ctx.budget.take(fewer, pass.seen.now) {
        return failed(
            "another policy has used up what may be taken away this minute; the next pass decides again".to_owned(),
        );
    }
    let (Some(resource), Some(snapshot)) = (&pass.seen.found.resource, &pass.seen.found.snapshot) else {
        return failed("the target is gone".to_owned());
    };
    let mut target = snapshot.target.clone();
    let mut inherited = None;
    if let (Some(_), Some(carried)) = (approved.supersedes(), carried) {
        let aborted = open::abort(pass.ctx, &carried.change, Abort::LargerIncrease, pass.authority).await;
        match aborted {
            Some((tx, _)) if tx.journal.phase == Step::Closed(Outcome::Superseded(Cause::Newer)) => {
                target = tx.target.unwrap_or(target);
                inherited = baseline_of(&carried.change.spec).cloned();
            }
            _ => return failed("the Change under way could not be closed; the next pass tries again".to_owned()),
        }
    }
    if target.value != from {
        return failed("the target changed since it was decided on; the next pass decides again".to_owned());
    }
    let sequence = next_sequence(pass, &snapshot.uid, target.stamp.map_or(0, |stamp| stamp.sequence));
    let name = change_name(&pass.object.spec.target_ref.name, &snapshot.uid, sequence);
    let mut spec = spec(
        pass,
        memory,
        action,
        approved.proposal(),
        to,
        approved.checks(),
        sequence,
    );
    spec.supersedes = approved.supersedes().map(ToOwned::to_owned);
    if let (Some(verification), Some(inherited)) = (&mut spec.verification, inherited) {
        verification.baseline_value = inherited.baseline_value;
        verification.baseline_demand = inherited.baseline_demand;
    }
    let intent = Intent {
        name,
        labels: labels(pass, &snapshot.uid),
        spec,
    };
    let ctx = pass.ctx;
    let on_record = |change: &crds::Change| ctx.recorder.change(change);
    let created = Journals::create(&ctx.clients.write, &pass.namespace, intent, pass.authority, &on_record).await;
    let mut journals = match created {
        Ok(journals) => journals,
        Err(error) => {
            warn!(policy = pass.name, %error, "no Change was begun");
            return failed(error.to_string());
        }
    };
    let before = match journal_of(&journals.change) {
        Ok(journal) => journal,
        Err(damage) => return failed(damage.to_string()),
    };
    info!(policy = pass.name, change = journals.change.name_any(), %from, %to, "a Change begins");
    pass.ctx.recorder.begun(pass.object, &journals.change);
    let proposal = approved.proposal();
    let mut decision = evidence::decision(
        pass,
        action,
        DecisionOutcome::Begun,
        (from, to),
        &proposal.reason,
        &proposal.arithmetic,
        approved.checks(),
    );
    decision.change = Some(journals.change.name_any());
    if let Some(remembered) = memory.actions.get_mut(&action.name) {
        remembered.begun(decision);
    }
    let target_name = &pass.object.spec.target_ref.name;
    let hands = Hands::new(
        &ctx.clients.write,
        resource,
        &pass.namespace,
        target_name,
        &snapshot.uid,
        pass.authority,
    )
    .unless(&ctx.cluster.freeze);
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
    learn::remember(pass, memory, &before, &tx, &change);
    Proposed::Begun(Box::new(Carried {
        change,
        tx,
        waiting: None,
    }))
}

/// The baseline that a Change passes on to the one that supersedes it: a surge must be measured against
/// where it began, not against the step before. A decrease to zero passes none on, since it was measured
/// where there was nothing to do, and any demand would look like a surge beside that.
fn baseline_of(superseded: &ChangeSpec) -> Option<&ChangeVerification> {
    let baseline = superseded.verification.as_ref();
    baseline.filter(|_| superseded.direction == crds::Direction::Up)
}

/// One more than every Change of this target ever had: a second creation collides with the first.
fn next_sequence(pass: &Pass<'_>, uid: &str, stamped: u64) -> u64 {
    let changes = pass.ctx.cluster.changes.state();
    let known = changes
        .iter()
        .filter(|change| change.spec.target.uid == uid)
        .map(|change| change.spec.sequence);
    known
        .filter_map(|sequence| u64::try_from(sequence).ok())
        .max()
        .unwrap_or(0)
        .max(stamped)
        + 1
}

fn change_name(target: &str, uid: &str, sequence: u64) -> String {
    let target: String = target.chars().take(180).collect();
    let uid: String = uid.chars().filter(|c| *c != '-').take(12).collect();
    format!("{target}-{uid}-replicas-{sequence}")
}

fn labels(pass: &Pass<'_>, uid: &str) -> BTreeMap<String, String> {
    // A label holds at most 63 characters; the spec holds the whole name.
    let name: String = pass.name.chars().take(63).collect();
    let name = name.trim_end_matches(['-', '.']).to_owned();
    BTreeMap::from([
        (POLICY_LABEL.to_owned(), name),
        (TARGET_LABEL.to_owned(), uid.to_owned()),
    ])
}

fn spec(
    pass: &Pass<'_>,
    memory: &Memory,
    action: &ReplicasAction,
    proposal: &Proposal,
    to: Replicas,
    checks: &[CheckResult],
    sequence: u64,
) -> ChangeSpec {
    let snapshot = pass.seen.found.snapshot.as_ref();
    let verified = memory
        .actions
        .get(&action.name)
        .and_then(|action| action.history.last_verified);
    let verified = verified.unwrap_or(proposal.from);
    // Taking an increase back never goes above where it began, giving back never below.
    let verified = match proposal.direction {
        Direction::Up => verified.min(proposal.from),
        Direction::Down => verified.max(proposal.from),
    };
    let source = &pass.object.spec.source_ref.name;
    let verification = action.verification_to(to, &pass.policy.signals).map(|verification| {
        let demand = verification
            .demand
            .as_ref()
            .and_then(|demand| pass.seen.signals.get(&demand.signal));
        let reading = pass.asked(&verification.condition.left, verification.max_age);
        let baseline = Baseline::measured(&verification, reading, demand);
        validate::freeze(&verification, pass.policy, source, &baseline)
    });
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
            uid: snapshot.map(|snapshot| snapshot.uid.clone()).unwrap_or_default(),
        },
        field: ChangeField::Replicas,
        direction: stored_direction(proposal.direction),
        sequence: i64::try_from(sequence).unwrap_or(i64::MAX),
        before: stored_replicas(proposal.from),
        after: stored_replicas(to),
        verified: stored_replicas(verified),
        resource_version: snapshot
            .map(|snapshot| snapshot.target.version.clone())
            .unwrap_or_default(),
        proposed_at: micro_time(pass.seen.now),
        reason: clean(&proposal.reason),
        supersedes: None,
        verification,
        evidence: Evidence {
            alerts: proposal.alerts.iter().map(memory::stored_alert).collect(),
            signals: evidence::signals(pass, action),
            arithmetic: proposal.arithmetic.iter().take(16).map(clean).collect(),
            checks: evidence::checks(checks),
        },
    }
}

/// Keeps what was decided, and says what is new about it.
fn keep(
    pass: &Pass<'_>,
    memory: &mut Memory,
    action: &ReplicasAction,
    outcome: DecisionOutcome,
    numbers: (Replicas, Replicas),
    proposal: &Proposal,
    checks: &[CheckResult],
) -> News {
    let (reason, arithmetic) = (&proposal.reason, &proposal.arithmetic);
    let decision = evidence::decision(pass, action, outcome, numbers, reason, arithmetic, checks);
    let remembered = memory.actions.get_mut(&action.name);
    remembered.map_or(News::Nothing, |remembered| {
        remembered.take_in(action, decision, pass.seen.now)
    })
}

/// Keeps a Change that writes nothing: the audit of a recommendation or a refusal.
#[allow(clippy::too_many_arguments)] // Each is a part of the one record.
async fn record(
    pass: &Pass<'_>,
    memory: &mut Memory,
    action: &ReplicasAction,
    proposal: &Proposal,
    to: Replicas,
    checks: &[CheckResult],
    phase: Phase,
    message: String,
) {
    let Some(remembered) = memory.actions.get_mut(&action.name) else {
        return;
    };
    remembered.recorded += 1;
    let number = remembered.recorded;
    let spec = spec(pass, memory, action, proposal, to, checks, 0);
    let policy: String = pass.name.chars().take(180).collect();
    let generation = pass.object.uid().unwrap_or_default();
    let uid: String = generation.chars().filter(|c| *c != '-').take(6).collect();
    let name = format!("{policy}-{uid}-{}-record-{number}", action.name);
    let intent = Intent {
        name,
        labels: labels(pass, &spec.target.uid.clone()),
        spec,
    };
    let ctx = pass.ctx;
    let on_record = |change: &crds::Change| ctx.recorder.change(change);
    match Journals::create(&ctx.clients.write, &pass.namespace, intent, pass.authority, &on_record).await {
        Ok(mut journals) => {
            if let Some(action) = memory
                .actions
                .get_mut(&action.name)
                .and_then(|action| action.decision.as_mut())
            {
                action.change = Some(journals.change.name_any());
            }
            if !journals.close_record(phase, message, pass.seen.now).await {
                warn!(
                    policy = pass.name,
                    "a record was created but not closed; the next leader closes it"
                );
            }
        }
        Err(error) => warn!(policy = pass.name, %error, "a decision was not recorded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_increase_passes_its_baseline_on_and_a_decrease_to_zero_none() {
        let check = |direction: &str, before: i32, after: i32, expect: Option<f64>| {
            let spec = json!({
                "policy": {"name": "web", "uid": "p", "generation": 1}, "action": "more", "mode": "Enforce",
                "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "t"},
                "field": "replicas", "direction": direction, "sequence": 4, "before": before, "after": after,
                "verified": before, "proposedAt": "2026-01-01T00:00:00.000000Z", "reason": "x", "evidence": {},
                "verification": {
                    "expr": "latency <= 0.5", "settle": "1s", "within": "3s", "source": "p", "maxAge": "10s",
                    "demandTolerancePercent": 20, "onInconclusive": "Hold", "onIneffective": "RollBack", "latch": "30m",
                    "baselineValue": 0.9, "baselineDemand": 40.0,
                },
            });
            let spec: ChangeSpec = serde_json::from_value(spec).expect("a spec");
            let passed_on = baseline_of(&spec).and_then(|baseline| baseline.baseline_demand);
            assert_eq!(passed_on, expect, "{direction} {before} -> {after}");
        };
        check("Up", 2, 3, Some(40.0));
        check("Down", 1, 0, None);
        check("Down", 3, 0, None);
    }
}

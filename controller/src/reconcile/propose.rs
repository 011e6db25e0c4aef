//! Decide, check, and begin a Change: the way from readings to a write.

use super::{
    Pass,
    approval::{self, Outlook},
    begin::{begin, record},
    decision::News,
    evidence,
    memory::{self, Memory, stored_direction},
    open::Carried,
    surge::{fill, surges},
};
use flyball_core::{
    check::{Approved, Check, CheckResult, OpenChange, Refused, shape},
    decide::{Decision, Direction, Proposal, decide},
    policy::{Law, Mode, Replicas, ReplicasAction},
    transaction::Phase as Step,
};
use flyball_crds::{ChangeField, DecisionOutcome, Phase, TARGET_LABEL};
use kube::ResourceExt;

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
    /// It waits for somebody's approval, in this record.
    Awaiting {
        from: Replicas,
        to: Replicas,
        message: String,
        record: Option<String>,
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
    let outlook = match &proposed {
        Some(Proposed::Awaiting { from, to, record, .. }) => Outlook::Awaits {
            from: *from,
            to: *to,
            record: record.as_deref(),
        },
        Some(Proposed::Begun(begun)) => Outlook::Begun(&begun.change),
        Some(Proposed::Failed { .. } | Proposed::Refused { .. }) => Outlook::Delayed,
        Some(Proposed::Steady { .. } | Proposed::Recommended { .. }) | None => Outlook::Nothing,
    };
    approval::withdraw(pass, &outlook).await;
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
                    (Phase::Recommended, message),
                    false,
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
            }
            if awaits {
                let again = news != News::Decision;
                let record = approval::ensure(pass, memory, wanted.action, &refused, again).await;
                return Some(Proposed::Awaiting {
                    from,
                    to,
                    message,
                    record,
                });
            }
            if news == News::Decision && !only_waits(check) {
                record(
                    pass,
                    memory,
                    wanted.action,
                    &refused.proposal,
                    to,
                    &refused.checks,
                    (Phase::Refused, message.clone()),
                    false,
                )
                .await;
            }
            Some(Proposed::Refused { from, to, message })
        }
    }
}

/// Whether what was refused has only to wait: that is seen in the status and not worth a record of its own.
fn only_waits(check: Option<Check>) -> bool {
    matches!(
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
    )
}

/// Without a target there is nothing to decide; the policy's condition says why.
fn missing(pass: &Pass<'_>, memory: &mut Memory) -> Option<Proposed> {
    memory.unobserved(pass.seen.now);
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
    world.approval = approval::of(pass, action, current);
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
    let target = pass.seen.found.snapshot.as_ref().map(|snapshot| snapshot.uid.as_str());
    let journals = &pass.ctx.cluster.unreadable_changes;
    if let Some(unknown) = target.and_then(|uid| journals.labelled(TARGET_LABEL, uid)) {
        return OpenChange::Unknown(unknown.to_string());
    }
    let uid = pass.object.uid().unwrap_or_default();
    let mut open = pass.seen.open.iter();
    let other = open.find(|change| change.spec.policy.uid != uid && change.spec.field == ChangeField::Replicas);
    other.map_or(OpenChange::None, |change| OpenChange::Others {
        name: change.name_any(),
        policy: change.spec.policy.name.clone(),
    })
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

//! What comes of a decision on the API server: a Change that is carried out, or a record of one that is not.

use super::{
    Pass, evidence, learn,
    memory::{self, Memory, stored_direction, stored_replicas},
    open::{self, Carried},
    propose::Proposed,
};
use crate::{
    apply::{Handle, Hands, Intent, JournalError, Journals, drive, journal_of},
    clock::micro_time,
    text::clean,
    validate,
};
use flyball_core::{
    check::{Approved, CheckResult},
    decide::{Direction, Proposal},
    policy::{Replicas, ReplicasAction},
    transaction::{Abort, Cause, Outcome, Phase as Step, Tx},
    verify::Baseline,
};
use flyball_crds::{
    self as crds, Change, ChangeField, ChangeSpec, ChangeTarget, DecisionOutcome, Evidence, POLICY_LABEL, Phase,
    PolicyRef, TARGET_LABEL,
};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use std::collections::BTreeMap;
use tracing::{info, warn};

/// Opens the Change and carries it as far as it goes in this pass.
pub(super) async fn begin(
    pass: &Pass<'_>,
    memory: &mut Memory,
    action: &ReplicasAction,
    approved: &Approved,
    carried: Option<&Carried>,
) -> Proposed {
    let (from, to) = (approved.from(), approved.to());
    let failed = |message: String| Proposed::Failed { from, to, message };
    let fewer = from.get().saturating_sub(to.get());
    let taken = (fewer > 0).then(|| pass.ctx.budget.take(fewer, pass.seen.now));
    if matches!(taken, Some(None)) {
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
                inherited = Some(&carried.change.spec);
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
    if let Some(inherited) = inherited {
        inherit(&mut spec, inherited);
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
    if let Some(taken) = taken.flatten() {
        taken.keep();
    }
    let before = match journal_of(&journals.change) {
        Ok(journal) => journal,
        Err(damage) => return failed(damage.to_string()),
    };
    info!(policy = pass.name, change = journals.change.name_any(), %from, %to, "a Change begins");
    pass.ctx.recorder.begun(&journals.change);
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
    .unless(&ctx.cluster.freeze, &pass.namespace);
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

/// A surge is measured against where it began, not against the step before; so is a move of weights that goes further
/// than the one before. A decrease to zero, which an
/// increase may supersede as well, is no part of the surge; and what was measured by another expression, as it
/// is after an edit of the policy, can't be compared.
pub(super) fn inherit(spec: &mut ChangeSpec, superseded: &ChangeSpec) {
    let (Some(verification), Some(before)) = (&mut spec.verification, &superseded.verification) else {
        return;
    };
    if superseded.direction != spec.direction {
        return;
    }
    if before.expr == verification.expr {
        verification.baseline_value = before.baseline_value;
    }
    if before.demand_expr == verification.demand_expr {
        verification.baseline_demand = before.baseline_demand;
    }
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

pub(super) fn labels(pass: &Pass<'_>, uid: &str) -> BTreeMap<String, String> {
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
        shift: format!("{} -> {to}", proposal.from),
        weights: None,
        runtime: None,
        pod: None,
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

/// Keeps a Change that writes nothing, the audit of a recommendation or a refusal, and names it. `again`: it is
/// about the same decision as the last one.
#[allow(clippy::too_many_arguments)] // Each is a part of the one record.
pub(super) async fn record(
    pass: &Pass<'_>,
    memory: &mut Memory,
    action: &ReplicasAction,
    proposal: &Proposal,
    to: Replicas,
    checks: &[CheckResult],
    (phase, message): (Phase, String),
    again: bool,
) -> Option<String> {
    let spec = spec(pass, memory, action, proposal, to, checks, 0);
    let remembered = memory.actions.get_mut(&action.name)?;
    let name = |number: i64| record_name(&pass.name, &spec.policy.uid, &action.name, number);
    let ctx = pass.ctx;
    let taken = |number: i64| {
        let change = ObjectRef::<crds::Change>::new(&name(number)).within(&pass.namespace);
        ctx.cluster.changes.get(&change).is_some()
    };
    remembered.recorded = record_number(remembered.recorded, again, taken);
    let name = name(remembered.recorded);
    let intent = Intent {
        name: name.clone(),
        labels: labels(pass, &spec.target.uid),
        spec: spec.clone(),
    };
    let on_record = |change: &crds::Change| ctx.recorder.change(change);
    match Journals::create(&ctx.clients.write, &pass.namespace, intent, pass.authority, &on_record).await {
        Ok(mut journals) => {
            if !journals.close_record(phase, message, pass.seen.now).await {
                warn!(
                    policy = pass.name,
                    "a record was created but not closed; the next leader closes it"
                );
            }
        }
        // Of an earlier try, and not seen yet.
        Err(JournalError::Exists(_)) if again => {}
        Err(error) => {
            warn!(policy = pass.name, %error, "a decision was not recorded");
            return None;
        }
    }
    if let Some(decision) = &mut remembered.decision {
        decision.change = Some(name.clone());
    }
    Some(name)
}

pub(super) fn record_name(policy: &str, uid: &str, action: &str, number: i64) -> String {
    let policy: String = policy.chars().take(180).collect();
    let uid: String = uid.chars().filter(|c| *c != '-').take(6).collect();
    format!("{policy}-{uid}-{action}-record-{number}")
}

/// Keeps a Change that writes nothing, under the next number of its action, and returns its name: the audit of a
/// recommendation or a refusal, or what waits for approval. `None`: it could not be made.
pub(super) async fn keep_record(
    pass: &Pass<'_>,
    recorded: &mut i64,
    spec: ChangeSpec,
    phase: Phase,
    message: String,
) -> Option<String> {
    let ctx = pass.ctx;
    let name = |number: i64| record_name(&pass.name, &spec.policy.uid, &spec.action, number);
    let taken = |number: i64| {
        let change = ObjectRef::<Change>::new(&name(number)).within(&pass.namespace);
        ctx.cluster.changes.get(&change).is_some()
    };
    *recorded = record_number(*recorded, false, taken);
    let name = name(*recorded);
    let intent = Intent {
        name: name.clone(),
        labels: labels(pass, &spec.target.uid),
        spec,
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
            Some(name)
        }
        Err(error) => {
            warn!(policy = pass.name, %error, "a decision was not recorded");
            None
        }
    }
}

/// The number of the next record: the one after the last, or that of the last itself where the same decision is
/// recorded again, so that two tries collide and leave one record. A name that another record has is passed
/// over: how many there were may have been lost with a status.
pub(super) fn record_number(last: i64, again: bool, taken: impl Fn(i64) -> bool) -> i64 {
    let mut number = if again { last.max(1) } else { last.saturating_add(1) };
    while taken(number) {
        number = number.saturating_add(1);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(direction: &str, expr: &str, demand: &str, baseline: Option<(f64, f64)>) -> ChangeSpec {
        serde_json::from_value(json!({
            "policy": {"name": "web", "uid": "p", "generation": 1}, "action": "more", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "t"},
            "field": "replicas", "direction": direction, "sequence": 4, "before": 2, "after": 3, "verified": 2,
            "proposedAt": micro_time(flyball_core::time::Timestamp::from_millis(0)), "reason": "Slow fires",
            "evidence": {},
            "verification": {
                "expr": expr, "settle": "6m", "within": "10m", "source": "prometheus", "maxAge": "1m",
                "demandExpr": demand, "demandTolerancePercent": 20, "onInconclusive": "Hold",
                "onIneffective": "RollBack", "latch": "30m",
                "baselineValue": baseline.map(|(value, _)| value), "baselineDemand": baseline.map(|(_, demand)| demand),
            },
        }))
        .expect("a spec")
    }

    #[test]
    fn only_a_surge_of_the_same_measure_inherits_its_baseline() {
        let check = |superseded: ChangeSpec, expect: (f64, f64)| {
            let mut increase = spec("Up", "latency <= 0.5", "sum(rate(requests[5m]))", Some((0.9, 70.0)));
            inherit(&mut increase, &superseded);
            let found = increase.verification.expect("a verification");
            assert_eq!(
                (found.baseline_value, found.baseline_demand),
                (Some(expect.0), Some(expect.1)),
                "{superseded:?}"
            );
        };
        let before = Some((0.6, 40.0));
        check(
            spec("Up", "latency <= 0.5", "sum(rate(requests[5m]))", before),
            (0.6, 40.0),
        );
        // The policy was edited meanwhile.
        check(
            spec("Up", "latency <= 0.4", "sum(rate(requests[5m]))", before),
            (0.9, 40.0),
        );
        check(spec("Up", "latency <= 0.5", "requests", before), (0.6, 70.0));
        // To zero, verified by the signal that says whether there is anything to do: 0 of it there.
        check(
            spec("Down", "queue <= 0", "sum(rate(requests[5m]))", Some((0.0, 0.0))),
            (0.9, 70.0),
        );
        check(
            spec("Down", "latency <= 0.5", "sum(rate(requests[5m]))", Some((0.0, 0.0))),
            (0.9, 70.0),
        );
    }

    #[test]
    fn a_record_gets_a_name_of_its_own() {
        let check = |last: i64, again: bool, taken: &[i64], expect: i64| {
            let found = record_number(last, again, |number| taken.contains(&number));
            assert_eq!(found, expect, "{last} {again} {taken:?}");
        };
        check(0, false, &[], 1);
        check(4, false, &[3, 4], 5);
        // It was not created, or deleted since: the same name.
        check(4, true, &[3], 4);
        check(0, true, &[], 1);
        // The name is that of another decision's record.
        check(4, true, &[4], 5);
        // A status was lost.
        check(0, false, &[1, 2, 3], 4);
    }
}

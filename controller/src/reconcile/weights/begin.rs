//! What comes of a decision on weights: a Change that is carried out, or a record of one that is not.

use super::{
    WeightsPass,
    carry::{self, CarriedWeights, recorded_list},
    memory::WeightsMemory,
    propose::{ProposedWeights, decision, shift},
};
use crate::{
    apply::{Handle as _, Intent, Journals, drive, journal_of, recorded_weights},
    clock::micro_time,
    reconcile::{
        begin::{inherit, keep_record, labels},
        evidence,
        memory::stored_alert,
    },
    text::clean,
    validate,
};
use flyball_core::{
    check::{CheckResult, WeightsApproved},
    decide::{Move, WeightProposal},
    policy::{WeightLaw, Weights},
    transaction::{Abort, Cause, Outcome, Phase as Step, Tx},
    verify::Baseline,
};
use flyball_crds::{
    self as crds, Change, ChangeField, ChangeShare, ChangeSpec, ChangeTarget, ChangeWeights, ChangedList,
    DecisionOutcome, Direction, Duration, Evidence, Phase, PolicyRef, TargetRef, WeightMove,
};
use kube::ResourceExt;
use tracing::{info, warn};

/// The readings behind the action: its rules, what the proxy tells, the law's signal, the verification.
pub(super) fn signals(it: &WeightsPass<'_, '_>) -> Vec<crds::SignalStatus> {
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
pub(super) async fn begin(
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
    let mut inherited = None;
    if let (Some(_), Some(carried)) = (approved.supersedes(), carried) {
        let why = match proposal.why {
            Move::Ejection => Abort::Ejection,
            Move::Law | Move::Return | Move::Reapply => Abort::LargerIncrease,
        };
        match carry::supersede(ctx, carried, why, it.pass.authority).await {
            Some(tx) if tx.journal.phase == Step::Closed(Outcome::Superseded(Cause::Newer)) => {}
            _ => return failed("the Change under way could not be closed; the next pass tries again".to_owned()),
        }
        // An ejection has another cause than what it supersedes.
        inherited = (why == Abort::LargerIncrease).then_some(&carried.change.spec);
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
    let hands = it
        .hands(&routes, sequence)
        .unless(&ctx.cluster.freeze, &it.pass.namespace);
    let target = hands.target();
    if target.value.0.iter().any(|found| *found != proposal.from) {
        return failed("a route changed since it was decided on; the next pass decides again".to_owned());
    }
    let mut spec = spec(it, memory, proposal, to, approved.checks(), sequence);
    if let Some(inherited) = inherited {
        inherit(&mut spec, inherited);
    }
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
        realised_at: None,
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
        runtime: None,
        pod: None,
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
pub(super) async fn record(
    it: &WeightsPass<'_, '_>,
    memory: &mut WeightsMemory,
    proposal: &WeightProposal,
    to: &Weights,
    checks: &[CheckResult],
    phase: Phase,
    message: String,
) {
    let spec = spec(it, memory, proposal, to, checks, 0);
    let kept = keep_record(it.pass, &mut memory.recorded, spec, phase, message).await;
    if let (Some(decision), Some(name)) = (&mut memory.decision, kept) {
        decision.change = Some(name);
    }
}

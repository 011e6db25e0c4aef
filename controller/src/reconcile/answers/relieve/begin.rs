//! Beginning a Change of a pod.

use super::{Outcome, carry, known, ready};
use crate::{
    apply::{Handle as _, Intent, Journals, PodHands, drive, journal_of},
    clock::micro_time,
    observe::relief,
    reconcile::{
        Pass,
        begin::labels,
        evidence,
        memory::{Memory, stored_alert},
    },
    text::clean,
    validate::runtime::written,
};
use flyball_core::{check::ReliefApproved, decide::ReliefProposal, policy::Relieve, time::Span, transaction::Tx};
use flyball_crds::{
    Change, ChangeField, ChangePod, ChangeSpec, ChangeTarget, Direction, Evidence, PolicyRef, Reason, TargetRef,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tracing::{info, warn};

/// The hands on the pod of a proposal.
pub(super) fn hands<'a>(pass: &'a Pass<'_>, proposal: &'a ReliefProposal) -> PodHands<'a> {
    PodHands::new(
        &pass.ctx.clients.write,
        &pass.namespace,
        (&proposal.pod, &proposal.uid),
        proposal.container.as_deref(),
        pass.authority,
    )
    .unless(&pass.ctx.cluster.freeze, &pass.namespace)
}

/// Opens the Change and carries it as far as it goes in this pass. `Err`: it could not be opened.
pub(super) async fn begin(
    pass: &Pass<'_>,
    memory: &mut Memory,
    pod: &Pod,
    relieve: &Relieve,
    approved: &ReliefApproved,
) -> Result<Outcome, String> {
    let (proposal, ctx) = (approved.proposal(), pass.ctx);
    let snapshot = pass.seen.found.snapshot.as_ref().ok_or("the target is gone")?;
    let target = relief::target_of(pod, proposal.container.as_deref());
    let changes = known(pass, &memory.relief, &snapshot.uid);
    let sequences = changes.iter().filter(|change| change.spec.target.uid == proposal.uid);
    let sequences = sequences.filter_map(|change| u64::try_from(change.spec.sequence).ok());
    let stamped = target.stamp.map_or(0, |stamp| stamp.sequence);
    let sequence = sequences.max().unwrap_or(0).max(stamped) + 1;
    let intent = Intent {
        name: change_name(&proposal.pod, &proposal.uid, sequence),
        labels: labels(pass, &proposal.uid),
        spec: spec(pass, pod, relieve, approved, (&snapshot.uid, &target.version), sequence),
    };
    let on_record = |change: &Change| ctx.recorder.change(change);
    let client = &ctx.clients.write;
    let created = Journals::create(client, &pass.namespace, intent, pass.authority, &on_record).await;
    let mut journals = created.map_err(|error| {
        warn!(policy = pass.name, %error, "no Change was begun");
        error.to_string()
    })?;
    let journal = journal_of(&journals.change).map_err(|damage| damage.to_string())?;
    info!(policy = pass.name, change = journals.change.name_any(), pod = proposal.pod, to = %proposal.to, "a Change begins");
    ctx.recorder.begun(&journals.change);
    let hands = hands(pass, proposal);
    let tx = drive(Tx::begin(journal), Some(target), None, &hands, &mut journals, ctx.now).await;
    if let Some(message) = hands.refusal() {
        ctx.recorder.write_failed(&journals.change, &message);
    }
    let change = journals.change.clone();
    let said = if tx.journal.is_open() {
        let what = format!("{} by Change {}", change.spec.shift, change.name_any());
        (false, Reason::Verifying, what)
    } else {
        carry::ended(&change)
    };
    memory.relief.last = Some(change);
    Ok(said)
}

fn change_name(pod: &str, uid: &str, sequence: u64) -> String {
    let pod: String = pod.chars().take(180).collect();
    let uid: String = uid.chars().filter(|c| *c != '-').take(12).collect();
    format!("{pod}-{uid}-pod-{sequence}")
}

fn spec(
    pass: &Pass<'_>,
    pod: &Pod,
    relieve: &Relieve,
    approved: &ReliefApproved,
    (workload, version): (&str, &str),
    sequence: u64,
) -> ChangeSpec {
    let proposal = approved.proposal();
    let mut rules: Vec<String> = proposal
        .alerts
        .iter()
        .filter_map(|alert| alert.labels.get("alertname").cloned())
        .collect();
    rules.sort();
    rules.dedup();
    let within = match &proposal.container {
        Some(_) => relieve.resize.as_ref().map(|resize| resize.within),
        None => relieve.evict.as_ref().map(|evict| evict.within),
    };
    let direction = if proposal.container.is_some() {
        Direction::Up
    } else {
        Direction::Down
    };
    let container = proposal.container.clone().unwrap_or_default();
    ChangeSpec {
        policy: PolicyRef {
            name: pass.name.clone(),
            uid: pass.object.uid().unwrap_or_default(),
            generation: pass.object.metadata.generation.unwrap_or_default(),
        },
        action: proposal.action.clone(),
        mode: pass.object.spec.mode,
        target: ChangeTarget {
            reference: TargetRef {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: proposal.pod.clone(),
            },
            uid: proposal.uid.clone(),
        },
        field: ChangeField::Pod,
        direction,
        sequence: i64::try_from(sequence).unwrap_or(i64::MAX),
        shift: clean(format!("{}: {}", proposal.pod, proposal.what())),
        weights: None,
        runtime: None,
        pod: Some(Box::new(ChangePod {
            workload: pass.object.spec.target_ref.clone(),
            workload_uid: workload.to_owned(),
            restarts: relief::restarts(pod, &container),
            container,
            before: proposal.from.record(),
            after: proposal.to.record(),
            rules,
            within: written(within.unwrap_or(Span::ZERO)),
            ready: ready(pass, workload, None)
                .and_then(|ready| i32::try_from(ready).ok())
                .unwrap_or(0),
        })),
        before: 0,
        after: 0,
        verified: 0,
        resource_version: version.to_owned(),
        proposed_at: micro_time(pass.seen.now),
        reason: clean(&proposal.reason),
        supersedes: None,
        verification: None,
        evidence: Evidence {
            alerts: proposal.alerts.iter().map(stored_alert).collect(),
            signals: signals(pass, proposal),
            arithmetic: proposal.arithmetic.iter().take(16).map(clean).collect(),
            checks: evidence::checks(approved.checks()),
        },
    }
}

/// The readings of the rules whose alerts name the pod.
fn signals(pass: &Pass<'_>, proposal: &ReliefProposal) -> Vec<flyball_crds::SignalStatus> {
    let mut names: Vec<&String> = proposal
        .alerts
        .iter()
        .filter_map(|alert| alert.labels.get("alertname"))
        .collect();
    names.sort();
    names.dedup();
    let read = names.into_iter().filter_map(|name| {
        let rule = pass.policy.rules.get(name)?;
        Some(evidence::signal(
            name,
            &rule.condition.query().text,
            pass.seen.rules.get(name)?,
        ))
    });
    read.take(64).collect()
}

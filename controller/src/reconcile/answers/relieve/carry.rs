//! Carrying on a Change of a pod: finish the write, see what its node and its alerts say, and close it.

use super::{Outcome, ReliefMemory, ready};
use crate::{
    apply::{Authority, Handle as _, Journals, PodEvent, PodHands, PodTx, drive, journal_of},
    clock::micro_time,
    observe::{is_open, relief},
    reconcile::{Context, Pass, memory::Memory, open},
};
use flyball_core::{
    check,
    policy::{AnswerKind, Condition, Mode, PodState},
    time::{Span, Timestamp},
    transaction::{Abort, Event, Journal, Phase, Target, Tx},
    verify::{Given, PodAlert, Relief, Resized, Told, judge_eviction, judge_resize, pod_alert},
};
use flyball_crds::{Change, ChangeField, ChangePod, Reason, Verdict as RecordedVerdict};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::sync::Arc;
use tracing::{error, info, warn};

/// What became of an open Change.
pub(super) struct Carried {
    /// As last persisted.
    pub change: Change,
    /// What is said of it.
    pub said: Outcome,
}

/// What the verification said.
#[derive(Default)]
struct Judged {
    event: Option<PodEvent>,
    verdict: Option<RecordedVerdict>,
    waiting: Option<String>,
    /// When the node was first seen to give the memory.
    given_at: Option<Timestamp>,
}

/// The open Changes of this policy on pods. What this process closed itself is closed, however old its view of the cluster.
pub(super) fn own_open(pass: &Pass<'_>, memory: &ReliefMemory) -> Vec<Arc<Change>> {
    let uid = pass.object.uid().unwrap_or_default();
    let closed = |change: &Change| {
        let last = memory.last.as_ref().filter(|last| last.uid() == change.uid());
        last.is_some_and(|last| !is_open(last))
    };
    let own = pass.seen.open.iter().filter(|change| {
        change.spec.policy.uid == uid && change.spec.field == ChangeField::Pod && is_open(change) && !closed(change)
    });
    own.cloned().collect()
}

/// The container whose memory a Change moves; `None`: it evicts the pod.
pub(super) fn container(change: &Change) -> Option<&str> {
    let container = change.spec.pod.as_ref().map(|pod| pod.container.as_str());
    container.filter(|name| !name.is_empty())
}

/// Carries a Change of this policy as far as it goes.
pub(super) async fn carry(pass: &Pass<'_>, memory: &Memory, change: &Change) -> Carried {
    let (journal, moved) = match (journal_of::<PodState>(change), change.spec.pod.as_ref()) {
        (Ok(journal), Some(moved)) => (journal, moved),
        (damage, _) => {
            let damage = damage.err().map_or_else(String::new, |damage| damage.to_string());
            let said = (false, Reason::Invalid, format!("{damage}; delete the Change to go on"));
            return Carried {
                change: change.clone(),
                said,
            };
        }
    };
    let pod = match same(pass.ctx, change).await {
        Ok(pod) => pod,
        Err(why) => return waits(change, &why),
    };
    let abort = why_abort(pass, change, &journal, pod.as_ref());
    let judged = match (journal.phase, abort) {
        (Phase::Verifying, None) => judged(pass, memory, moved, &journal, (change, pod.as_ref())),
        _ => Judged::default(),
    };
    let waiting = judged.waiting.clone();
    let tx = Tx::resume(journal, abort);
    let (tx, change) = run(pass.ctx, change, pod.as_ref(), tx, pass.authority, judged).await;
    let said = if tx.journal.is_open() {
        let what = &change.spec.shift;
        let so_far = waiting.map_or_else(String::new, |why| format!(": {why}"));
        let reason = match tx.journal.phase {
            Phase::Applying => Reason::Applying,
            _ => Reason::Verifying,
        };
        (false, reason, format!("{what} by Change {}{so_far}", change.name_any()))
    } else {
        ended(&change)
    };
    Carried { change, said }
}

fn waits(change: &Change, why: &str) -> Carried {
    let message = format!("{} by Change {}: {why}", change.spec.shift, change.name_any());
    Carried {
        change: change.clone(),
        said: (false, Reason::Verifying, message),
    }
}

/// What is said of a Change that has just been closed.
pub(super) fn ended(change: &Change) -> Outcome {
    let status = change.status.clone().unwrap_or_default();
    let good = status.phase == flyball_crds::Phase::Committed;
    let reason = match status.phase {
        flyball_crds::Phase::Committed => Reason::Committed,
        flyball_crds::Phase::Ineffective => Reason::Ineffective,
        flyball_crds::Phase::Inconclusive => Reason::Inconclusive,
        flyball_crds::Phase::Applying => Reason::Applying,
        flyball_crds::Phase::Verifying => Reason::Verifying,
        _ => Reason::Superseded,
    };
    (good, reason, format!("{}: {}", change.spec.shift, status.message))
}

/// Cuts a Change short: fences its pod, then closes it. What was given stays given.
pub(crate) async fn abort(ctx: &Context, change: &Change, why: Abort, authority: &Authority) {
    let journal = match journal_of::<PodState>(change) {
        Ok(journal) => journal,
        Err(damage) => {
            error!(%damage, "an open Change can't be read; delete it to go on");
            return;
        }
    };
    match same(ctx, change).await {
        Ok(pod) => {
            let tx = Tx::resume(journal, Some(why));
            drop(run(ctx, change, pod.as_ref(), tx, authority, Judged::default()).await);
        }
        Err(why) => warn!(
            change = change.name_any(),
            why, "it can't be closed yet; the next pass tries again"
        ),
    }
}

/// The pod of a Change; `None`: it is gone, or another has its name.
async fn same(ctx: &Context, change: &Change) -> Result<Option<Pod>, String> {
    let (namespace, target) = (change.namespace().unwrap_or_default(), &change.spec.target);
    let read = relief::read(&ctx.clients.write, &namespace, &target.reference.name).await;
    let pod = read.map_err(|error| format!("the pod could not be read: {error}"))?;
    Ok(pod.filter(|pod| pod.uid().as_deref() == Some(&*target.uid)))
}

/// Drives a transaction on its own pod. For an eviction a pod that is gone is one that was evicted.
async fn run(
    ctx: &Context,
    change: &Change,
    pod: Option<&Pod>,
    tx: PodTx,
    authority: &Authority,
    judged: Judged,
) -> (PodTx, Change) {
    let (namespace, target) = (change.namespace().unwrap_or_default(), &change.spec.target);
    let container = container(change);
    let hands = PodHands::new(
        &ctx.clients.write,
        &namespace,
        (&target.reference.name, &target.uid),
        container,
        authority,
    )
    .unless(&ctx.cluster.freeze, &namespace);
    let seen = match (pod, container) {
        (Some(pod), _) => Some(relief::target_of(pod, container)),
        (None, None) => Some(Target {
            value: PodState::Evicted,
            version: change.spec.resource_version.clone(),
            stamp: None,
        }),
        (None, Some(_)) => None,
    };
    let on_record = |change: &Change| ctx.recorder.change(change);
    let mut journals = Journals::open(&ctx.clients.write, change.clone(), authority, &on_record);
    journals.note.verdict = judged.verdict;
    journals.note.manager = pod.and_then(relief::resizer);
    journals.note.realised_at = judged.given_at;
    let before = tx.journal.phase;
    let tx = drive(tx, seen, judged.event, &hands, &mut journals, ctx.now).await;
    if let Some(message) = hands.refusal() {
        ctx.recorder.write_failed(&journals.change, &message);
    }
    if tx.journal.phase != before {
        info!(change = journals.change.name_any(), phase = ?tx.journal.phase, "the Change moved on");
    }
    (tx, journals.change)
}

fn why_abort(pass: &Pass<'_>, change: &Change, journal: &Journal<PodState>, pod: Option<&Pod>) -> Option<Abort> {
    if let Some(why) = open::without_its_policy(pass, change, journal.phase) {
        return Some(why);
    }
    let known = pass
        .policy
        .answers
        .iter()
        .any(|answer| answer.name == change.spec.action && matches!(answer.kind, AnswerKind::Relieve(_)));
    if pass.policy.mode != Mode::Enforce || pass.policy.suspended || !known {
        return Some(Abort::NotEnforced);
    }
    let moved = change.spec.pod.as_ref();
    let other = moved.is_none_or(|moved| moved.workload != pass.object.spec.target_ref);
    let paused = matches!(&pass.seen.found.target, check::Target::Present { paused: Some(_) });
    (other || paused || pod.is_some_and(relief::is_paused)).then_some(Abort::TargetWithdrawn)
}

fn judged(
    pass: &Pass<'_>,
    memory: &Memory,
    moved: &ChangePod,
    journal: &Journal<PodState>,
    (change, pod): (&Change, Option<&Pod>),
) -> Judged {
    let now = pass.seen.now;
    let within: Span = moved.within.0.parse().unwrap_or(Span::ZERO);
    let time = (journal.applied_at.unwrap_or(now), within);
    let mut given_at = None;
    let relief = match (container(change), pod) {
        (None, _) => {
            let before = u32::try_from(moved.ready).unwrap_or(0);
            judge_eviction(time, (ready(pass, &moved.workload_uid, None), before), now)
        }
        (Some(container), Some(pod)) => {
            let given = relief::given(pod, container);
            given_at = (given == Given::Yes).then_some(now);
            let seen = Resized {
                given,
                restarted: relief::restarts(pod, container) > moved.restarts,
                alert: alert(pass, memory, moved, &change.spec.target.reference.name),
            };
            judge_resize(time, &seen, now)
        }
        (Some(_), None) => return Judged::default(),
    };
    let recorded = |message: String| {
        Some(RecordedVerdict {
            at: Some(micro_time(now)),
            message,
            ..RecordedVerdict::default()
        })
    };
    let first = change.status.as_ref().and_then(|status| status.realised_at.as_ref());
    let given_at = given_at.filter(|_| first.is_none());
    match relief {
        Relief::Wait(why) => Judged {
            event: Some(Event::Undecided),
            waiting: Some(why),
            given_at,
            ..Judged::default()
        },
        Relief::Achieved(message) => Judged {
            event: Some(Event::Achieved),
            verdict: recorded(message),
            given_at,
            ..Judged::default()
        },
        Relief::Failed(verdict, message) => Judged {
            event: Some(Event::Keep { verdict }),
            verdict: recorded(message),
            given_at,
            ..Judged::default()
        },
    }
}

/// What the rules that named a pod say of it now.
fn alert(pass: &Pass<'_>, memory: &Memory, moved: &ChangePod, pod: &str) -> PodAlert {
    if let Some((_, why)) = &memory.held {
        return PodAlert::Unknown(why.clone());
    }
    let rules = moved.rules.iter().map(|name| {
        let told = match pass.policy.rules.get(name).map(|rule| &rule.condition) {
            _ if pass.policy.watermark_of(name).is_some() => Told::Level,
            Some(Condition::Threshold(_)) => Told::Series,
            Some(Condition::Opaque(_)) | None => Told::Opaque,
        };
        let seen = memory.rules.get(name).zip(pass.seen.rules.get(name));
        (name.as_str(), seen, told)
    });
    pod_alert(pod, rules)
}

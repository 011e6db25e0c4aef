//! Evidence: what came of the last order, whether something is due, and the places where a Change finds it.
//!
//! A capture moves nothing, so mode Recommend takes it too. A policy that is suspended, a target that is paused and an
//! installation that is frozen are left alone.

mod link;
pub mod memory;
mod outcome;

use crate::{
    evidence::Order,
    observe::{is_open, pods::Served},
    reconcile::{Pass, memory::Memory},
    text::clean,
};
use flyball_core::{
    check::Target,
    decide::{BeforeOf, CaptureDecision, CaptureFacts, CaptureMoment, CaptureOrder, CapturePod, decide_capture},
    policy::{Answer, Capture, Comparator, Condition},
};
use flyball_crds::{Change, Reason};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use memory::CaptureMemory;
use std::sync::Arc;

/// What a policy is told whose installation keeps no evidence.
const NO_STORE: &str =
    "this installation keeps no evidence; whoever runs the controller sets --evidence-dir or --evidence-url";

pub(super) async fn run(pass: &Pass<'_>, answer: &Answer, capture: &Capture, memory: &mut Memory) {
    let mut known = memory.captures.remove(&answer.name).unwrap_or_default();
    outcome::learn(pass, answer, &mut known);
    let busy = known.is_busy() || memory.captures.values().any(CaptureMemory::is_busy);
    if !pass.ctx.evidence.is_on() {
        if known.message != NO_STORE {
            outcome::say(pass, Reason::EvidenceFailed, format!("{}: {NO_STORE}", answer.name));
            NO_STORE.clone_into(&mut known.message);
        }
    } else if !busy && !left_alone(pass) {
        due(pass, answer, capture, memory, &mut known);
    }
    link::link(pass, &mut known).await;
    memory.captures.insert(answer.name.clone(), known);
}

/// Whether somebody asked that nothing be done.
fn left_alone(pass: &Pass<'_>) -> bool {
    let paused = matches!(&pass.seen.found.target, Target::Present { paused: Some(_) });
    pass.policy.suspended || paused || pass.ctx.cluster.freeze.frozen().is_some()
}

/// Decides, and begins what is due.
fn due(pass: &Pass<'_>, answer: &Answer, capture: &Capture, memory: &Memory, known: &mut CaptureMemory) {
    let served = served(pass, capture);
    let pods: Vec<CapturePod> = served
        .iter()
        .flatten()
        .filter(|pod| pod.at.is_ok())
        .map(|pod| CapturePod {
            name: pod.name.clone(),
            ready: pod.ready,
        })
        .collect();
    let facts = CaptureFacts {
        rules: answer
            .when
            .iter()
            .filter_map(|name| {
                let comparator = match &pass.policy.rules.get(name)?.condition {
                    Condition::Threshold(comparison) => comparison.comparator,
                    Condition::Opaque(_) => Comparator::Greater,
                };
                Some((memory.rules.get(name)?, comparator))
            })
            .collect(),
        open: newest_open(pass).map(|change| BeforeOf {
            change: change.name_any(),
            proposed_at: crate::clock::from_micro_time(&change.spec.proposed_at),
        }),
        ended: known.history.change.as_ref().is_some_and(|name| {
            let change = change(pass, name);
            change.is_none_or(|change| !is_open(&change))
        }),
        pods: &pods,
    };
    match decide_capture(capture, &known.history, &facts, pass.seen.now) {
        CaptureDecision::Nothing => {}
        CaptureDecision::NoPod => known.message = no_pod(served.as_deref()),
        CaptureDecision::Pair(change) => known.pair(&change, pass.seen.now),
        CaptureDecision::GiveUp => known.history.after_due = false,
        CaptureDecision::Take(wanted) => begin(pass, capture, wanted, served.unwrap_or_default(), known),
    }
}

fn begin(pass: &Pass<'_>, capture: &Capture, wanted: CaptureOrder, served: Vec<Served>, known: &mut CaptureMemory) {
    let found = served.into_iter().find(|pod| pod.name == wanted.pod);
    let Some(address) = found.and_then(|pod| pod.at.ok()) else {
        return;
    };
    // The Change may have been closed in this very pass, after its time.
    let at = match wanted.moment {
        CaptureMoment::After => (pass.ctx.now)(),
        CaptureMoment::Alert | CaptureMoment::Before => pass.seen.now,
    };
    let order = Order {
        namespace: pass.namespace.clone(),
        policy: pass.name.clone(),
        pod: wanted.pod.clone(),
        address,
        capture: capture.clone(),
        at,
    };
    match pass.ctx.evidence.take(order) {
        Some(taking) => known.begin(wanted, taking, at),
        None => "as many pods as are read from at once are being read; the next pass tries again"
            .clone_into(&mut known.message),
    }
}

/// The target's running pods, and where each serves; `None`: not known.
fn served(pass: &Pass<'_>, capture: &Capture) -> Option<Vec<Served>> {
    let snapshot = pass.seen.found.snapshot.as_ref()?;
    pass.ctx.cluster.pods.served(&snapshot.uid, &capture.port)
}

fn no_pod(served: Option<&[Served]>) -> String {
    let Some(served) = served else {
        return "the target's pods are not known; see flyball doctor".to_owned();
    };
    let why = served.iter().find_map(|pod| Some((&pod.name, pod.at.as_ref().err()?)));
    why.map_or_else(
        || "the target has no running pod to take evidence from".to_owned(),
        |(pod, why)| clean(format!("pod {pod}: {why}")),
    )
}

/// The newest open Change of this policy.
fn newest_open(pass: &Pass<'_>) -> Option<Arc<Change>> {
    let uid = pass.object.uid().unwrap_or_default();
    let own = pass.seen.open.iter().filter(|change| change.spec.policy.uid == uid);
    own.max_by(|a, b| a.spec.proposed_at.cmp(&b.spec.proposed_at)).cloned()
}

/// A Change of the policy's namespace, if it is still there.
fn change(pass: &Pass<'_>, name: &str) -> Option<Arc<Change>> {
    let key = ObjectRef::new(name).within(&pass.namespace);
    pass.ctx.cluster.changes.get(&key)
}

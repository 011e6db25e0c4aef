//! Relieves pods that alerts name: more memory in place, or an eviction. Each is a transaction on the pod, with a Change as
//! its journal, and they come one at a time in a workload. What happened before stands in the Changes, so a restart forgets
//! nothing.

mod begin;
pub(crate) mod carry;

use crate::{
    clock::from_micro_time,
    observe::{is_open, owners::comes_before, relief},
    reconcile::{Pass, memory::Memory},
    text::{clean, same_words},
};
use flyball_core::{
    bytes::Bytes,
    check::{ReliefRefused, ReliefWorld, Target, shape_relief},
    decide::{NodeRoom, ReliefPod, ReliefProposal, Suffering, names_nobody, relief, suffering},
    evaluate::RuleState,
    policy::{Answer, AnswerKind, Comparator, Condition, Mode, Relieve},
    time::{Span, Timestamp},
};
use flyball_crds::{Change, ChangeField, FeedbackPolicy, Phase, Reason};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::sync::Arc;

/// How many pods of a target are looked at in one pass, the worst first.
const LOOKED_AT: usize = 4;
/// A Change of our own that the watch does not show after so long was deleted.
const UNSEEN: Span = Span::from_secs(60);

/// What is remembered. Forgotten by a restart, after which the Changes tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReliefMemory {
    /// The Change that was begun or carried last, as it was last persisted: what is known of the cluster may be older.
    last: Option<Change>,
    /// What came of it; `None`: the policy relieves nobody.
    pub outcome: Option<Outcome>,
}

/// Whether no pod needs relief that it does not get, and what is said of it.
pub(crate) type Outcome = (bool, Reason, String);

pub(super) async fn run(pass: &Pass<'_>, memory: &mut Memory) {
    let open = carry::own_open(pass, &memory.relief);
    let mut said = None;
    for change in open {
        let carried = carry::carry(pass, memory, &change).await;
        said = Some(carried.said);
        memory.relief.last = Some(carried.change);
    }
    let relieves = |answer: &&Answer| matches!(answer.kind, AnswerKind::Relieve(_));
    if pass.policy.mode == Mode::Observe || !pass.policy.answers.iter().any(|answer| relieves(&answer)) {
        memory.relief.outcome = None;
        return;
    }
    if said.is_none() {
        said = propose(pass, memory).await;
    }
    let outcome = said.unwrap_or_else(|| (true, Reason::Idle, "no pod needs relief".to_owned()));
    tell(pass, memory.relief.outcome.as_ref(), &outcome);
    memory.relief.outcome = Some(outcome);
}

/// Begins what is due, of the first action that wants something. `None`: nobody needs relief.
async fn propose(pass: &Pass<'_>, memory: &mut Memory) -> Option<Outcome> {
    for answer in &pass.policy.answers {
        let AnswerKind::Relieve(relieve) = &answer.kind else {
            continue;
        };
        if let Some(outcome) = one(pass, memory, answer, relieve).await {
            return Some(outcome);
        }
    }
    None
}

async fn one(pass: &Pass<'_>, memory: &mut Memory, answer: &Answer, relieve: &Relieve) -> Option<Outcome> {
    let rules = rules(pass, memory, answer);
    if names_nobody(&rules) {
        let why = format!(
            "{}: its alerts have no label pod, so that nobody knows whom to relieve; keep it in the expressions",
            answer.name
        );
        return Some((false, Reason::Refused, why));
    }
    let snapshot = pass.seen.found.snapshot.as_ref()?;
    let placed = pass.ctx.cluster.pods.placed(&snapshot.uid);
    let names = placed.iter().flatten().map(|placed| placed.pod.name.as_str());
    let suffering = suffering(&rules, names);
    if suffering.is_empty() {
        let fires = rules.iter().any(|(state, _)| state.is_firing());
        let unknown = "the pods of the target are not known; grant list and watch on pods".to_owned();
        return (fires && placed.is_none()).then_some((false, Reason::Refused, unknown));
    }
    let mut first = None;
    for suffering in suffering.iter().take(LOOKED_AT) {
        match relieved(pass, memory, (answer, relieve), suffering).await {
            Ok(outcome) => return Some(outcome),
            // Of several that can't be relieved the worst is told of.
            Err(why) => {
                first.get_or_insert_with(|| format!("{}: pod {}: {why}", answer.name, suffering.pod));
            }
        }
    }
    first.map(|why| (false, Reason::Refused, clean(why)))
}

/// The rules that drive an action, with what they look for.
fn rules<'m>(pass: &Pass<'_>, memory: &'m Memory, answer: &Answer) -> Vec<(&'m RuleState, Comparator)> {
    let known = answer.when.iter().filter_map(|name| {
        let comparator = match &pass.policy.rules.get(name)?.condition {
            Condition::Threshold(comparison) => comparison.comparator,
            Condition::Opaque(_) => Comparator::Greater,
        };
        Some((memory.rules.get(name)?, comparator))
    });
    known.collect()
}

/// Tries the steps for one pod. `Err`: none can be done now, for this reason.
async fn relieved(
    pass: &Pass<'_>,
    memory: &mut Memory,
    (answer, relieve): (&Answer, &Relieve),
    suffering: &Suffering,
) -> Result<Outcome, String> {
    let client = &pass.ctx.clients.write;
    let read = relief::read(client, &pass.namespace, &suffering.pod).await;
    let pod = read.map_err(|error| format!("it could not be read: {error}"))?;
    let pod = pod.ok_or("it is gone")?;
    // Its UID was read by name, and the name may be another's by now; what is known by ownerReferences is the target's.
    let uid = pod.uid().unwrap_or_default();
    let written = relieve.resize.as_ref().and_then(|resize| resize.container.as_deref());
    let wanted = ReliefPod {
        name: suffering.pod.clone(),
        uid,
        container: relief::container_of(&pod, written, suffering.container()),
    };
    let world = world(pass, &memory.relief, &pod, &wanted);
    let mut whys: Vec<String> = Vec::new();
    for step in relief(&answer.name, relieve, &wanted, suffering) {
        let proposal = match step {
            Ok(proposal) => proposal,
            Err(why) => {
                whys.push(why);
                continue;
            }
        };
        match checked(pass, proposal, relieve, &world).await {
            Ok(approved) if pass.policy.mode != Mode::Enforce || pass.policy.suspended => {
                let proposal = approved.proposal();
                let held = if pass.policy.suspended {
                    "the policy is suspended"
                } else {
                    "the mode is not Enforce"
                };
                let (what, why) = (proposal.what(), &proposal.reason);
                let message = format!("{held}, so nothing is done for {}: {what}: {why}", proposal.pod);
                return Ok((false, Reason::Recommended, message));
            }
            Ok(approved) => return begin::begin(pass, memory, &pod, relieve, &approved).await,
            Err(refused) => {
                let goes_on = refused.gives_way();
                whys.push(format!("{}: {refused}", refused.proposal.what()));
                if !goes_on {
                    break;
                }
            }
        }
    }
    Err(whys.join("; "))
}

async fn checked(
    pass: &Pass<'_>,
    proposal: ReliefProposal,
    relieve: &Relieve,
    world: &ReliefWorld,
) -> Result<flyball_core::check::ReliefApproved, ReliefRefused> {
    let candidate = shape_relief(proposal, relieve, world, pass.seen.now)?;
    let proposal = candidate.proposal().clone();
    let dry_run = match pass.untried() {
        Some(skipped) => skipped,
        None => begin::hands(pass, &proposal).dry_run(proposal.to).await,
    };
    candidate.admit(dry_run)
}

fn world(pass: &Pass<'_>, memory: &ReliefMemory, pod: &Pod, wanted: &ReliefPod) -> ReliefWorld {
    let snapshot = pass.seen.found.snapshot.as_ref();
    let uid = snapshot.map(|snapshot| snapshot.uid.clone()).unwrap_or_default();
    let changes = known(pass, memory, &uid);
    let last = |of: &dyn Fn(&Change) -> bool| {
        changes
            .iter()
            .filter(|change| of(change))
            .filter_map(|change| tried_at(change))
            .max()
    };
    let paused = snapshot.and_then(|snapshot| snapshot.paused.clone());
    let paused = paused.or_else(|| relief::is_paused(pod).then(|| "the pod is paused".to_owned()));
    let ended = relief::is_over(pod).then(|| "the pod is on its way out".to_owned());
    ReliefWorld {
        trouble: paused.or(ended).or_else(|| trouble(pass, pod)),
        owner: rival(pass).map(|rival| format!("policy {rival} relieves the same pods and comes first")),
        paused: pass.paused(),
        resized_at: last(&|change| carry::container(change).is_some() && change.spec.target.uid == wanted.uid),
        evicted_at: last(&|change| carry::container(change).is_none()),
        others_ready: ready(pass, &uid, Some(&wanted.name)),
        room: room(pass, pod),
        open: changes
            .iter()
            .find(|change| is_open(change))
            .map(|change| change.name_any()),
    }
}

/// Why nothing of the target may be touched, if that is so.
fn trouble(pass: &Pass<'_>, pod: &Pod) -> Option<String> {
    let snapshot = pass.seen.found.snapshot.as_ref()?;
    if !matches!(pass.seen.found.target, Target::Present { paused: None }) {
        return Some("the target is not there".to_owned());
    }
    // By the watch it is the target's; the pod that was read may be another of its name.
    let placed = pass.ctx.cluster.pods.placed(&snapshot.uid).unwrap_or_default();
    let created = pod
        .creation_timestamp()
        .map(|time| Timestamp::from_millis(time.0.as_millisecond()));
    let same = placed
        .iter()
        .any(|placed| placed.pod.name == pod.name_any() && Some(placed.created) == created);
    (!same).then(|| "it is another pod by now".to_owned())
}

/// The Changes of pods of a workload, whosever they are, the one that this process wrote last as it wrote it.
fn known(pass: &Pass<'_>, memory: &ReliefMemory, uid: &str) -> Vec<Arc<Change>> {
    let mut all = pass.ctx.cluster.changes.state();
    all.retain(|change| is_of(change, uid));
    let Some(last) = memory.last.as_ref().filter(|last| is_of(last, uid)) else {
        return all;
    };
    let older = |change: &Change| change.status.as_ref().is_none_or(|status| status.phase.is_open());
    match all.iter_mut().find(|change| change.uid() == last.uid()) {
        Some(known) if older(known) => *known = Arc::new(last.clone()),
        None if pass.seen.now.since(from_micro_time(&last.spec.proposed_at)) < UNSEEN => {
            all.push(Arc::new(last.clone()));
        }
        Some(_) | None => {}
    }
    all
}

fn is_of(change: &Change, uid: &str) -> bool {
    let pod = change.spec.pod.as_ref();
    change.spec.field == ChangeField::Pod && change.spec.sequence > 0 && pod.is_some_and(|pod| pod.workload_uid == uid)
}

/// When a Change was written, or was to be: what was refused is tried no more often than what was not.
fn tried_at(change: &Change) -> Option<Timestamp> {
    let status = change.status.as_ref()?;
    let closed = status.closed_at.as_ref().filter(|_| status.phase == Phase::Superseded);
    let at = status.applied_at.as_ref().or(closed)?;
    Some(from_micro_time(at))
}

/// How many pods of a workload are ready, all but one; `None`: not known.
fn ready(pass: &Pass<'_>, uid: &str, but: Option<&str>) -> Option<u32> {
    let placed = pass.ctx.cluster.pods.placed(uid)?;
    let serves = placed.iter().filter(|placed| {
        let pod = &placed.pod;
        !pod.terminating && pod.ready.is_some_and(|ready| ready.ready) && Some(pod.name.as_str()) != but
    });
    u32::try_from(serves.count()).ok()
}

/// What a pod's node has free.
fn room(pass: &Pass<'_>, pod: &Pod) -> NodeRoom {
    let cluster = &pass.ctx.cluster;
    if let Some(scope) = cluster.pods.scope() {
        return NodeRoom::Unknown(format!(
            "what pods outside of namespace {scope} request is not looked at"
        ));
    }
    let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let (Some(nodes), Some(name)) = (cluster.nodes.all(), name) else {
        return NodeRoom::Unknown("nodes may not be read; see flyball doctor".to_owned());
    };
    let Some((_, node)) = nodes.into_iter().find(|(known, _)| known == name) else {
        return NodeRoom::Unknown(format!("node {name} is not known"));
    };
    let held = cluster.pods.held([name]).first().copied().unwrap_or_default();
    let free = node.memory.saturating_sub(held.memory).max(0) / 1000;
    NodeRoom::Free {
        node: name.to_owned(),
        bytes: Bytes::saturating(u64::try_from(free).unwrap_or(0)),
    }
}

/// An older policy that relieves the same pods.
fn rival(pass: &Pass<'_>) -> Option<String> {
    let policy = pass.object;
    let others = pass.ctx.cluster.policies.state();
    let rival = others.iter().find(|other| {
        other.namespace() == policy.namespace()
            && other.spec.target_ref == policy.spec.target_ref
            && relieves(other)
            && comes_before(other, policy)
    })?;
    Some(rival.name_any())
}

fn relieves(policy: &FeedbackPolicy) -> bool {
    policy.spec.actions.iter().any(|action| action.relieve.is_some())
}

/// An Event, once for what is not done; what is done its Change tells of.
fn tell(pass: &Pass<'_>, before: Option<&Outcome>, now: &Outcome) {
    let (good, reason, message) = now;
    let news = before.is_none_or(|(_, known, words)| known != reason || !same_words(words, message));
    if *good || !news || !matches!(reason, Reason::Refused | Reason::Recommended) {
        return;
    }
    tracing::info!(policy = pass.name, %reason, message, "a pod is not relieved");
    pass.ctx.recorder.say(pass.object, *reason, message.clone());
}

//! One pass of a policy that moves a runtime's knobs: the workload, what is open, whose the knobs are, then decide,
//! check and begin; and last of all the pods get what their workload's annotation says.

mod begin;
pub(crate) mod carry;
mod facts;
mod judge;
pub mod memory;
mod propose;
mod spread;

use super::{
    Pass, answers,
    memory::{Memory, is_applied},
    summary::Summary,
};
use crate::{
    apply::{EnvProblem, RuntimeHands, RuntimeTarget, TargetProblem, target_of},
    clock::{from_micro_time, micro_time},
    observe::{
        self,
        cluster::{Cluster, KindError},
        owners::{comes_before, counts_memory},
        pods::Lined,
    },
};
use carry::CarriedRuntime;
pub use facts::profiles;
pub(crate) use facts::{by_pod, whole};
use flyball_core::{
    check::{OpenRuntime, RuntimeWorld},
    decide::runtime::Profile,
    policy::{AgentQueries, Mode, RuntimeAction, RuntimeAim, Setting, SettingError},
    time::Span,
    transaction::{Abort, Phase, Stamp},
};
use flyball_crds::{Change, ChangeField, PAUSE_ANNOTATION, RUNTIME_PREFIX, Reason, TargetRef, YieldStatus};
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject},
    runtime::reflector::ObjectRef,
};
use memory::{Around, RuntimeMemory, is_tried};
use propose::ProposedRuntime;
use serde_json::Value;
use spread::{May, Spread};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::OnceCell;

/// Between who wrote and what, in the message of a Change that somebody else ended.
pub(super) const WRITTEN_BY: &str = " wrote the field";

/// A workload whose pods' knobs are moved.
pub(super) struct Workload {
    pub name: String,
    pub uid: String,
    pub resource: ApiResource,
    /// The setting, resourceVersion and stamp, as the transaction sees them.
    pub target: RuntimeTarget,
    /// Why it counts as paused.
    pub paused: Option<String>,
}

/// Why a workload's knobs can't be moved.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum WorkloadProblem {
    #[error("targetRef: {kind} {name} does not exist in namespace {namespace}")]
    Missing {
        kind: String,
        name: String,
        namespace: String,
    },
    #[error("targetRef: {0} is not among the kinds this installation moves; see --scale-kind")]
    NotAllowed(String),
    #[error("targetRef: the API server does not serve {0}; install its definition, which is looked for every minute")]
    NotServed(String),
    #[error("targetRef: the annotation {RUNTIME_PREFIX}{container}: {error}")]
    Setting { container: String, error: SettingError },
    #[error("targetRef: {0}")]
    Env(EnvProblem),
    #[error(
        "targetRef: env writes the pod template of Deployments and StatefulSets, and {0} has another; leave env out"
    )]
    NoTemplate(String),
    #[error("targetRef: its updateStrategy is OnDelete, so nothing would roll env out; use RollingUpdate")]
    OnDelete,
}

impl WorkloadProblem {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing { .. } => Reason::TargetNotFound,
            Self::NotAllowed(_) => Reason::KindNotAllowed,
            Self::NotServed(_) => Reason::KindNotServed,
            Self::Setting { .. } | Self::Env(_) | Self::NoTemplate(_) | Self::OnDelete => Reason::Invalid,
        }
    }
}

/// A pass of a policy that moves knobs.
pub(super) struct RuntimePass<'p, 'a> {
    pub pass: &'p Pass<'a>,
    pub actions: Vec<RuntimeAction>,
    pub container: String,
    /// The variables of the pod template that the actions write; `None`: they move processes that run.
    pub variables: Option<Vec<String>>,
    pub lease: Span,
    /// What the agents are asked, in the policy's namespace.
    pub agents: AgentQueries,
    pub workload: Result<Workload, WorkloadProblem>,
    /// The workload's running pods, with their lines; `None`: not known.
    pub lined: Option<Vec<Lined>>,
    /// The processes of the namespace, once they were asked for.
    pub fleet: OnceCell<BTreeMap<String, Profile>>,
}

/// What came of a pass.
struct Done {
    carried: Option<CarriedRuntime>,
    proposed: Option<ProposedRuntime>,
    blocked: Option<String>,
    spread: Option<Spread>,
}

/// The kind of a reference, and the object, if it is there.
pub(super) fn object(
    cluster: &Cluster,
    namespace: &str,
    target: &TargetRef,
) -> Option<(ApiResource, Option<Arc<DynamicObject>>)> {
    let targets = cluster.kind(&target.api_version, &target.kind)?.ok()?;
    let key = ObjectRef::new_with(&target.name, targets.resource.clone()).within(namespace);
    Some((targets.resource.clone(), targets.store.get(&key)))
}

fn workload(
    cluster: &Cluster,
    namespace: &str,
    target: &TargetRef,
    container: &str,
    variables: Option<&[String]>,
) -> Result<Workload, WorkloadProblem> {
    let kind = format!("{} {}", target.api_version, target.kind);
    match cluster.kind(&target.api_version, &target.kind) {
        None | Some(Err(KindError::Form(_))) => return Err(WorkloadProblem::NotAllowed(kind)),
        Some(Err(_)) => return Err(WorkloadProblem::NotServed(kind)),
        Some(Ok(_)) => {}
    }
    let found = object(cluster, namespace, target);
    let Some((resource, Some(object))) = found else {
        return Err(WorkloadProblem::Missing {
            kind: target.kind.clone(),
            name: target.name.clone(),
            namespace: namespace.to_owned(),
        });
    };
    if variables.is_some() {
        if !matches!(
            (&*resource.group, &*resource.kind),
            ("apps", "Deployment" | "StatefulSet")
        ) {
            return Err(WorkloadProblem::NoTemplate(resource.kind));
        }
        let strategy = object.data.pointer("/spec/updateStrategy/type").and_then(Value::as_str);
        if strategy == Some("OnDelete") {
            return Err(WorkloadProblem::OnDelete);
        }
    }
    let seen = target_of(&object, container, variables).map_err(|problem| match problem {
        TargetProblem::Env(problem) => WorkloadProblem::Env(problem),
        TargetProblem::Setting(error) => WorkloadProblem::Setting {
            container: container.to_owned(),
            error,
        },
    })?;
    let stopped = object.data.pointer("/spec/paused").and_then(Value::as_bool) == Some(true);
    let stopped = variables.is_some() && stopped;
    let paused = object
        .annotations()
        .get(PAUSE_ANNOTATION)
        .filter(|value| *value != "false");
    Ok(Workload {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        resource,
        target: seen,
        paused: paused
            .map(|_| format!("it carries the annotation {PAUSE_ANNOTATION}; remove it to go on"))
            .or_else(|| stopped.then(|| "its spec.paused is true; resume its rollout to go on".to_owned())),
    })
}

/// Runs the pass.
pub(super) async fn run(pass: &Pass<'_>, memory: &mut Memory) -> Summary {
    let actions = pass.policy.runtime.clone();
    let Some(first) = actions.first() else {
        return Summary::invalid(&[]);
    };
    let (cluster, target) = (&pass.ctx.cluster, &pass.object.spec.target_ref);
    let container = first.container.clone();
    let variables: Option<BTreeSet<&str>> = actions
        .iter()
        .filter_map(RuntimeAction::variables)
        .reduce(|a, b| &a | &b);
    let variables: Option<Vec<String>> = variables.map(|names| names.into_iter().map(ToOwned::to_owned).collect());
    let workload = workload(cluster, &pass.namespace, target, &container, variables.as_deref());
    let key = format!("{RUNTIME_PREFIX}{container}");
    let lined = workload
        .as_ref()
        .ok()
        .and_then(|workload| cluster.pods.lined(&workload.uid, &key));
    let it = RuntimePass {
        pass,
        lease: first.lease,
        agents: first.agents.within(&pass.namespace),
        container,
        variables,
        actions,
        workload,
        lined,
        fleet: OnceCell::new(),
    };
    let mut own = memory.runtime.take().unwrap_or_default();
    if let Ok(workload) = &it.workload {
        let before = memory.target.replace(workload.uid.clone());
        if before.is_some_and(|known| known != workload.uid) {
            own.forget();
        }
    }
    let done = Box::pin(it.run(&mut own, memory)).await;
    let trouble = memory.held.clone().or_else(|| it.trouble(&own));
    let room = own.room.clone().filter(|_| it.fits());
    memory.runtime = Some(own);
    summary(&it, done, trouble).with_room(room)
}

impl RuntimePass<'_, '_> {
    async fn run(&self, memory: &mut RuntimeMemory, policy: &Memory) -> Done {
        let mut done = Done {
            carried: None,
            proposed: None,
            blocked: None,
            spread: None,
        };
        let pass = self.pass;
        let changes = self.changes();
        let latch = self.actions.iter().filter_map(|action| action.verification.as_ref());
        memory.catch_up(
            &changes,
            &Around {
                now: pass.seen.now,
                generation: pass.object.metadata.generation.unwrap_or_default(),
                yield_for: pass.policy.yield_for,
                latch: latch.map(|verification| verification.latch).max().unwrap_or(Span::ZERO),
            },
        );
        let open = changes.iter().rev().find(|change| observe::is_open(change));
        if let Some(change) = open {
            match carry::carry(self, memory, change).await {
                Ok(carried) => done.carried = Some(carried),
                Err(damage) => {
                    done.blocked = Some(format!("{damage}; delete the Change to go on"));
                    return done;
                }
            }
        }
        // Right after a pass wrote the workload, what the watch shows of it is old.
        let written = done.carried.as_ref().and_then(|carried| carried.tx.target.as_ref());
        let mut current = written.map(|target| target.value.clone()).or_else(|| self.current());
        let observes = pass.policy.mode == Mode::Observe || policy.held.is_some();
        if observes {
            propose::withdraw(self, None).await;
        } else if let Some(found) = current.clone() {
            if done.carried.is_none() {
                self.settle_ownership(memory, &found);
            }
            let proposed = propose::propose(self, &policy.rules, memory, done.carried.as_ref(), found);
            let proposed = Box::pin(proposed).await;
            if let ProposedRuntime::Begun(begun) = &proposed {
                let written = begun.tx.target.as_ref().map(|target| target.value.clone());
                current = written.or(current);
            }
            done.proposed = Some(proposed);
        }
        if let Some(setting) = current
            && self.variables.is_none()
            && self.may_spread()
        {
            let freeze = &pass.ctx.cluster.freeze;
            let may = if freeze.paused(&pass.namespace).is_some() {
                May::TakeOut
            } else if freeze.frozen().is_some() {
                May::Keep
            } else {
                May::Write
            };
            done.spread = Some(spread::spread(self, &setting, may).await);
            memory.spread = Some(setting);
        }
        done
    }

    /// Whoever may not move the knobs renews no lease either: they run out. In a paused namespace they are taken out,
    /// whatever else holds the policy.
    fn may_spread(&self) -> bool {
        let policy = self.pass.policy;
        let paused = self.workload.as_ref().is_ok_and(|workload| workload.paused.is_some());
        let namespace = self.pass.ctx.cluster.freeze.paused(&self.pass.namespace).is_some();
        let moves = namespace || (!policy.suspended && !paused);
        policy.mode == Mode::Enforce && moves && self.rival().is_none() && self.lined.is_some()
    }

    /// Whether a Change is on these knobs of a workload.
    fn is_of(&self, change: &Change, uid: &str) -> bool {
        let runtime = change.spec.runtime.as_ref();
        change.spec.field == ChangeField::Runtime
            && change.spec.target.uid == uid
            && runtime.is_some_and(|moved| moved.container == self.container)
    }

    /// The Changes of this policy on knobs, oldest first; records are none.
    fn changes(&self) -> Vec<Arc<Change>> {
        let uid = self.pass.object.uid().unwrap_or_default();
        let mut own = self.pass.ctx.cluster.changes.state();
        own.retain(|change| {
            change.spec.policy.uid == uid && change.spec.sequence > 0 && change.spec.field == ChangeField::Runtime
        });
        own.sort_by_key(|change| change.spec.sequence);
        own
    }

    /// One more than every Change of these knobs ever had: a second creation collides with the first.
    fn next_sequence(&self, workload: &Workload, stamp: Option<Stamp>) -> u64 {
        let changes = self.pass.ctx.cluster.changes.state();
        let known = changes.iter().filter(|change| self.is_of(change, &workload.uid));
        let known = known
            .filter_map(|change| u64::try_from(change.spec.sequence).ok())
            .max();
        let stamped = stamp.map_or(0, |stamp| stamp.sequence);
        known.unwrap_or(0).max(stamped) + 1
    }

    /// Whether a policy tells these agents of pressure.
    fn is_told_of_pressure(&self) -> bool {
        let (policy, policies) = (self.pass.object, self.pass.ctx.cluster.policies.state());
        policies.iter().any(|other| {
            other.namespace() == policy.namespace()
                && other.spec.target_ref == policy.spec.target_ref
                && other.spec.mode == flyball_crds::Mode::Enforce
                && !other.spec.suspend
                && answers::annotate::tells(other, &self.container)
        })
    }

    /// Whether an action asks for a limit by the limit law.
    fn fits(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action.aim, RuntimeAim::Fit(_)))
    }

    /// Whether an action stands before the one that moved the knobs last.
    fn stands_before_the_last(&self, action: &str) -> bool {
        let place = |name: &str| self.actions.iter().position(|action| action.name == name);
        let changes = self.changes();
        let last = changes
            .iter()
            .rev()
            .find(|change| is_applied(change) || is_tried(change));
        last.and_then(|change| place(&change.spec.action))
            .zip(place(action))
            .is_some_and(|(last, this)| this < last)
    }

    fn current(&self) -> Option<Setting> {
        Some(self.workload.as_ref().ok()?.target.value.clone())
    }

    fn hands<'w>(&'w self, workload: &'w Workload) -> RuntimeHands<'w> {
        RuntimeHands::new(
            &self.pass.ctx.clients.write,
            &workload.resource,
            &self.pass.namespace,
            (&workload.name, &workload.uid),
            &self.container,
            self.pass.authority,
        )
        .on(self.variables.clone())
    }

    /// Whose the knobs are, while nothing of ours is under way: what we find for the first time is adopted, and what
    /// somebody else wrote is theirs, as long as the policy says.
    fn settle_ownership(&self, memory: &mut RuntimeMemory, found: &Setting) {
        let now = self.pass.seen.now;
        let generation = self.pass.object.metadata.generation.unwrap_or_default();
        let standing = memory.yielded.as_ref().map(|yielded| {
            let lasts = yielded.until.as_ref().is_some_and(|until| from_micro_time(until) > now);
            lasts && yielded.generation == generation
        });
        // The policy was edited, and moves other variables than it did.
        let others = memory.written.as_ref().is_some_and(|written| !written.is_like(found));
        match standing {
            Some(true) => {}
            None if others => memory.adopt(found),
            None if memory.written.as_ref() == Some(found) => {}
            None if memory.written.is_some() => {
                memory.yielded = Some(YieldStatus {
                    manager: "somebody else".to_owned(),
                    until: Some(micro_time(now + self.pass.policy.yield_for)),
                    generation,
                });
            }
            Some(false) | None => {
                memory.yielded = None;
                memory.adopt(found);
            }
        }
    }

    /// An older policy that moves the same knobs.
    fn rival(&self) -> Option<String> {
        let policy = self.pass.object;
        let others = self.pass.ctx.cluster.policies.state();
        let rival = others.iter().find(|other| {
            let mut levers = other.spec.actions.iter().filter_map(|action| action.runtime.as_ref());
            other.namespace() == policy.namespace()
                && other.spec.target_ref == policy.spec.target_ref
                && levers.any(|lever| lever.container == self.container)
                && comes_before(other, policy)
        })?;
        Some(format!(
            "FeedbackPolicy {}/{} moves the knobs of the same container and comes first; remove one of the two",
            self.pass.namespace,
            rival.name_any()
        ))
    }

    /// An autoscaler that counts memory: what these knobs move, it would answer with replicas.
    fn counts_memory(&self) -> Option<String> {
        let target = &self.pass.object.spec.target_ref;
        let name = counts_memory(&self.pass.ctx.cluster, &self.pass.namespace, target)?;
        Some(format!(
            "HorizontalPodAutoscaler {name} counts memory, and would answer each move of these knobs with replicas; have it count something else"
        ))
    }

    /// Whose the knobs are, if they are not ours.
    fn owner(&self, memory: &RuntimeMemory) -> Option<(Reason, String)> {
        if let Some(rival) = self.rival() {
            return Some((Reason::Conflict, rival));
        }
        if let Some(autoscaler) = self.counts_memory().filter(|_| self.variables.is_none()) {
            return Some((Reason::OwnershipConflict, autoscaler));
        }
        let yielded = memory.yielded.as_ref()?;
        let until = yielded
            .until
            .as_ref()
            .filter(|until| from_micro_time(until) > self.pass.seen.now)?;
        let who = &yielded.manager;
        let message = format!(
            "{who} wrote the knobs; left alone until {} or an edit of the policy",
            until.0
        );
        Some((Reason::OwnershipConflict, message))
    }

    /// Why the policy as a whole is not ready, if it is not.
    fn trouble(&self, memory: &RuntimeMemory) -> Option<(Reason, String)> {
        if let Err(problem) = &self.pass.seen.source {
            return Some((problem.reason(), problem.to_string()));
        }
        match &self.workload {
            Err(problem) => Some((problem.reason(), problem.to_string())),
            Ok(Workload { paused: Some(why), .. }) => Some((Reason::Suspended, format!("targetRef: {why}"))),
            Ok(_) => self.owner(memory),
        }
    }
}

/// What the checks need to know.
fn world(it: &RuntimePass<'_, '_>, memory: &RuntimeMemory, open: OpenRuntime) -> RuntimeWorld {
    let paused = it.workload.as_ref().ok().and_then(|workload| workload.paused.clone());
    let unknown = it
        .lined
        .is_none()
        .then_some(())
        .filter(|()| it.variables.is_none())
        .map(|()| "the pods are not known: grant list and watch on pods".to_owned());
    RuntimeWorld {
        trouble: it
            .workload
            .as_ref()
            .err()
            .map(ToString::to_string)
            .or(paused)
            .or(unknown),
        owner: it.owner(memory).map(|(_, why)| why),
        paused: it.pass.paused(),
        open,
        latch: memory.latch.clone(),
        rollout: it.pass.seen.found.rollout.clone(),
        ..RuntimeWorld::default()
    }
}

fn summary(it: &RuntimePass<'_, '_>, done: Done, trouble: Option<(Reason, String)>) -> Summary {
    let pass = it.pass;
    let ready = match trouble {
        Some((reason, message)) => (false, reason, message),
        None if pass.policy.suspended => (
            true,
            Reason::Suspended,
            "the policy is suspended: nothing is written, and leases run out".to_owned(),
        ),
        None => (true, Reason::Evaluating, pass.evaluated()),
    };
    if let Some(why) = done.blocked {
        let progressing = (true, Reason::Invalid, why.clone());
        return Summary::new(ready, progressing, "Blocked by a damaged Change".to_owned(), why, None);
    }
    let begun = match &done.proposed {
        Some(ProposedRuntime::Begun(begun)) => Some(begun.as_ref()),
        _ => done.carried.as_ref(),
    };
    if let Some(carried) = begun.filter(|carried| carried.is_open()) {
        let journal = &carried.tx.journal;
        let (reason, verb) = match journal.phase {
            Phase::Applying => (Reason::Applying, "Applying"),
            Phase::RollingBack => (Reason::RollingBack, "Rolling back"),
            Phase::Verifying | Phase::Closed(_) if journal.is_trying() => (Reason::Verifying, "Trying"),
            Phase::Verifying | Phase::Closed(_) => (Reason::Verifying, "Verifying"),
        };
        let doing = format!("{verb} {}", carried.change.spec.shift);
        let name = carried.change.name_any();
        let so_far = carried
            .waiting
            .as_ref()
            .map_or_else(String::new, |why| format!(": {why}"));
        let progressing = (true, reason, format!("{doing} by Change {name}{so_far}"));
        return Summary::new(
            ready,
            progressing,
            doing,
            carried.change.spec.reason.clone(),
            Some(name),
        );
    }
    let idle = (false, Reason::Idle, "no change is under way".to_owned());
    let (doing, why) = match done.proposed {
        None => ("Observing".to_owned(), ready.2.clone()),
        Some(proposed) => proposed.said(),
    };
    let have = done
        .spread
        .map(|spread| format!("{doing} on {} of {} pods", spread.given, spread.ready));
    Summary::new(ready, idle, have.unwrap_or(doing), why, None)
}

/// Cuts short what is open of a policy that does not move knobs any more.
pub(super) async fn abandon(pass: &Pass<'_>) {
    let uid = pass.object.uid().unwrap_or_default();
    let open = pass.ctx.cluster.changes.state().into_iter().filter(|change| {
        change.spec.policy.uid == uid && change.spec.field == ChangeField::Runtime && observe::is_open(change)
    });
    for change in open {
        carry::abort(pass.ctx, &change, Abort::NotEnforced, pass.authority).await;
    }
}

//! One policy, one pass: observe, evaluate, carry on what is open, decide, check, apply, record.

pub mod evidence;
mod learn;
pub mod memory;
pub(crate) mod open;
pub mod orphans;
pub(crate) mod propose;
pub mod schedule;
pub mod sources;
mod summary;

use crate::{
    apply::{Authority, Hands},
    client::Clients,
    clock::from_micro_time,
    metrics::Evaluation,
    observe::{Asks, Observation, cluster::Cluster, sources::Sources},
    record::{self, Recorder},
};
use flyball_core::{
    check::{Approval, Budget, Coverage, DryRun, OpenChange, Paused, World},
    decide::{Facts, History, Inputs},
    evaluate::evaluate,
    policy::{Mode, Policy, Query, Replicas, ReplicasAction},
    signal::Reading,
    time::{Span, Timestamp},
};
use flyball_crds::{Change, FeedbackPolicy, Reason, YieldStatus};
use kube::ResourceExt;
use memory::{ActionMemory, Memory};
use propose::Proposed;
use std::{sync::Arc, time::Instant};
use summary::Summary;

/// What all passes share.
pub struct Context {
    /// The connections to the API server.
    pub clients: Clients,
    /// What is known of the cluster.
    pub cluster: Cluster,
    /// The sources, built.
    pub sources: Sources,
    /// What is read only when it is needed.
    pub asks: Asks,
    /// Events and metrics of what happens.
    pub recorder: Recorder,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// A policy with everything that a pass knows of it.
pub(crate) struct Pass<'a> {
    pub ctx: &'a Context,
    pub object: &'a FeedbackPolicy,
    pub policy: &'a Policy,
    pub seen: Observation,
    pub namespace: String,
    pub name: String,
    /// The right to write.
    pub authority: &'a Authority,
}

/// Runs one pass and says how it went. Nothing in here can fail as a whole: what can't be read or
/// written is recorded, and the next pass tries again.
pub async fn pass(ctx: &Context, object: &FeedbackPolicy, memory: &mut Memory, authority: &Authority) {
    let (now, began) = ((ctx.now)(), Instant::now());
    memory.parse(object);
    let policy = match &memory.policy {
        Ok(policy) => Arc::clone(policy),
        Err(errors) => {
            let summary = Summary::invalid(errors);
            open::abort_all(ctx, object, authority).await;
            ctx.recorder
                .passed(object, Evaluation::Invalid, Reason::Invalid, None, began.elapsed());
            tell(ctx, object, memory, summary, now, authority).await;
            return;
        }
    };
    let metrics = &ctx.recorder.metrics;
    let seen = Observation::read(&ctx.cluster, &ctx.sources, metrics, &ctx.asks, object, &policy, now).await;
    let pass = Pass {
        ctx,
        object,
        policy: &policy,
        seen,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        authority,
    };
    let (summary, proposed) = Box::pin(pass.run(memory)).await;
    summary::count(&pass, memory, proposed.as_ref(), began.elapsed());
    tell(ctx, object, memory, summary, now, authority).await;
}

/// Writes the policy's status, if it says something that the last one did not.
async fn tell(
    ctx: &Context,
    object: &FeedbackPolicy,
    memory: &mut Memory,
    summary: Summary,
    now: Timestamp,
    authority: &Authority,
) {
    let status = summary::status(object, memory, summary, now);
    if status != memory.written && record::status::write(&ctx.clients.write, object, &status, authority).await {
        memory.written = status;
    }
}

impl Pass<'_> {
    async fn run(&self, memory: &mut Memory) -> (Summary, Option<Proposed>) {
        self.evaluate(memory);
        learn::catch_up(self, memory);
        if let Some(snapshot) = &self.seen.found.snapshot
            && self.own_open().is_none()
        {
            memory.adopt(snapshot.target.value);
        }
        let carried = match self.own_open() {
            Some(change) => match open::carry(self, memory, &change).await {
                Ok(carried) => Some(carried),
                // While it stands nothing else may touch the field.
                Err(damage) => return (Summary::blocked(self, memory, &damage), None),
            },
            None => None,
        };
        if self.policy.mode == Mode::Observe {
            return (Summary::of(self, memory, carried.as_ref(), None), None);
        }
        let proposed = propose::propose(self, memory, carried.as_ref()).await;
        (Summary::of(self, memory, carried.as_ref(), proposed.as_ref()), proposed)
    }

    fn evaluate(&self, memory: &mut Memory) {
        for (name, rule) in &self.policy.rules {
            let Some(reading) = self.seen.rules.get(name) else {
                continue;
            };
            let before = memory.rules.remove(name).unwrap_or_default();
            memory
                .rules
                .insert(name.clone(), evaluate(rule, reading, &before, self.seen.now));
        }
    }

    /// The reading of a query that this pass has asked already.
    pub(crate) fn asked(&self, query: &Query, max_age: Span) -> Option<&Reading> {
        let signals = self
            .policy
            .signals
            .values()
            .map(|signal| (&signal.query, signal.max_age, self.seen.signals.get(&signal.name)));
        let verifications = self.policy.actions.iter().filter_map(|action| {
            let verification = action.verification.as_ref()?;
            Some((
                &verification.condition.left,
                verification.max_age,
                self.seen.verifications.get(&action.name),
            ))
        });
        let mut asked = signals.chain(verifications);
        asked
            .find(|(known, age, _)| known.text == query.text && *age == max_age)
            .and_then(|(_, _, reading)| reading)
    }

    /// The open Change of this policy, the newest if there should be several.
    pub(crate) fn own_open(&self) -> Option<Arc<Change>> {
        let uid = self.object.uid().unwrap_or_default();
        let own = self.seen.open.iter().filter(|change| change.spec.policy.uid == uid);
        own.max_by_key(|change| change.spec.sequence).cloned()
    }

    pub(crate) fn inputs<'m>(&'m self, memory: &'m Memory, action: &str) -> Inputs<'m> {
        Inputs {
            definitions: &self.policy.rules,
            rules: &memory.rules,
            readings: &self.seen.rules,
            signals: &self.seen.signals,
            verification: self.seen.verifications.get(action),
            signal_definitions: &self.policy.signals,
            usage: &self.seen.usage,
            vetoes: &self.seen.vetoes,
        }
    }

    /// [`Memory::parse`] makes a memory for every action; one that should be missing knows nothing,
    /// and that it observes only from now on keeps it from taking anything away.
    pub(crate) fn facts(&self, memory: &Memory, action: &ReplicasAction, current: Replicas) -> Facts {
        let remembered = memory.actions.get(&action.name).map(|action| action.history.clone());
        Facts {
            current,
            observed: self.seen.found.snapshot.as_ref().and_then(|snapshot| snapshot.observed),
            pods: self.seen.found.pods.clone(),
            rollout: self.seen.found.rollout.clone(),
            history: remembered.unwrap_or_else(|| History::new(self.seen.now)),
        }
    }

    pub(crate) fn world(&self, memory: &Memory, action: &ReplicasAction, open: OpenChange) -> World {
        let mut owners = self.seen.owners.clone();
        if let Some(yielded) = memory.actions.get(&action.name).and_then(|action| self.yielded(action)) {
            owners.push(flyball_core::check::Owner::FieldManager {
                manager: yielded.manager.clone(),
                operation: "Update".to_owned(),
            });
        }
        World {
            target: self.seen.found.target.clone(),
            owners,
            open,
            paused: Paused::default(),
            coverage: Coverage::NotNeeded,
            headroom: Vec::new(),
            budget: Budget::default(),
            approval: Approval::NotNeeded,
        }
    }

    /// Asks the API server what it would say. A recommendation is tried too: it would be of no use if the
    /// write were refused.
    pub(crate) async fn dry_run(&self, to: Replicas) -> DryRun {
        let (Some(resource), Some(snapshot)) = (&self.seen.found.resource, &self.seen.found.snapshot) else {
            return DryRun::Skipped("the target is not there".to_owned());
        };
        let name = &self.object.spec.target_ref.name;
        let write = &self.ctx.clients.write;
        Hands::new(write, resource, &self.namespace, name, &snapshot.uid, self.authority)
            .dry_run(to)
            .await
    }

    /// To whom the field is left now.
    fn yielded<'m>(&self, action: &'m ActionMemory) -> Option<&'m YieldStatus> {
        let still = |yielded: &&YieldStatus| {
            yielded
                .until
                .as_ref()
                .is_some_and(|until| from_micro_time(until) > self.seen.now)
        };
        action.yielded.as_ref().filter(still)
    }

    /// Why the policy as a whole is not ready, if it is not.
    pub(crate) fn trouble(&self, memory: &Memory) -> Option<(Reason, String)> {
        use flyball_core::check::{Owner, Target};
        if let Err(problem) = &self.seen.source {
            return Some((problem.reason(), problem.to_string()));
        }
        let target = &self.object.spec.target_ref;
        let named = format!("targetRef: {} {}", target.kind, target.name);
        match &self.seen.found.target {
            Target::Missing => {
                return Some((
                    Reason::TargetNotFound,
                    format!("{named} does not exist in namespace {}", self.namespace),
                ));
            }
            Target::NoScale(kind) => {
                return Some((
                    Reason::NoScaleSubresource,
                    format!("{named}: {kind} has no scale subresource"),
                ));
            }
            Target::NotAllowed(kind) => {
                let message =
                    format!("{named}: {kind} is not among the kinds this installation moves; see --scale-kind");
                return Some((Reason::KindNotAllowed, message));
            }
            Target::Present { paused: Some(why) } => return Some((Reason::Suspended, format!("{named}: {why}"))),
            Target::Present { paused: None } => {}
        }
        if let Some(owner) = self.seen.owners.first() {
            let (reason, who) = match owner {
                Owner::Policy { namespace, name, .. } => {
                    (Reason::Conflict, format!("FeedbackPolicy {namespace}/{name}"))
                }
                Owner::HorizontalPodAutoscaler(name) => {
                    (Reason::OwnershipConflict, format!("HorizontalPodAutoscaler {name}"))
                }
                Owner::ScaledObject(name) => (Reason::OwnershipConflict, format!("ScaledObject {name}")),
                Owner::FieldManager { manager, .. } => (Reason::OwnershipConflict, format!("field manager {manager}")),
            };
            return Some((
                reason,
                format!("{named}: {who} sets its replicas; leave the field to one of the two"),
            ));
        }
        if let Some(yielded) = memory.actions.values().find_map(|action| self.yielded(action)) {
            let until = yielded
                .until
                .as_ref()
                .map(|until| until.0.to_string())
                .unwrap_or_default();
            let message = format!(
                "{named}: left to {} until {until} (spec.yieldFor); edit the policy to take it up at once",
                yielded.manager
            );
            return Some((Reason::OwnershipConflict, message));
        }
        let failed = self
            .seen
            .rules
            .iter()
            .chain(&self.seen.signals)
            .find(|(_, reading)| reading.quality() == flyball_core::signal::Quality::Error);
        failed.map(|(name, reading)| (Reason::SourceUnavailable, format!("{name}: {}", reading.detail())))
    }
}

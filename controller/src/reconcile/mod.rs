//! One policy, one pass: observe, evaluate, carry on what is open, decide, check, apply, record.

pub(crate) mod answers;
mod approval;
mod begin;
pub mod budget;
mod decision;
pub mod evidence;
mod learn;
pub mod memory;
pub(crate) mod open;
pub mod orphans;
pub(crate) mod propose;
pub(crate) mod runtime;
pub mod schedule;
pub mod sources;
mod summary;
mod surge;
mod watermarks;
mod weights;

pub use runtime::profiles;

use crate::{
    apply::{Authority, Hands},
    client::Clients,
    clock::{from_micro_time, micro_time},
    evidence::Evidence,
    metrics::Evaluation,
    observe::{Asks, Observation, cluster::Cluster, prometheus_rules::Referred, sources::Sources},
    record::{self, Recorder, cloudevents::Receivers},
    text::clean,
    validate,
};
use flyball_core::{
    check::{Approval, Coverage, DryRun, OpenChange, Paused, World},
    decide::{Direction, Facts, History, Inputs},
    evaluate::{RuleState, evaluate},
    policy::{Mode, Pause, Policy, Query, Replicas, ReplicasAction, WeightsAction},
    signal::{Quality, Reading},
    time::{Span, Timestamp},
    transaction::Abort,
};
use flyball_crds::{Change, ChangeField, FeedbackPolicy, PauseFor, Reason, YieldStatus};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use memory::{ActionMemory, Memory};
use propose::Proposed;
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use summary::Summary;
use tracing::{info, warn};

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
    /// Who takes events of policies.
    pub receivers: Arc<Receivers>,
    /// Where evidence is taken to.
    pub evidence: Evidence,
    /// What all policies together may take away within a minute.
    pub budget: budget::Budget,
    /// No target may be written: the mode Enforce recommends, and nothing is tried.
    pub observe_only: bool,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// The vetoes of an action without any.
static NO_VETOES: BTreeMap<String, Reading> = BTreeMap::new();

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
    let referred = ctx.cluster.prometheus_rules.of(object).await;
    if memory.parse(object, &referred, now) {
        tell_of_rules(object, memory, &referred);
    }
    let policy = match &memory.policy {
        Ok(policy) if ctx.observe_only && policy.mode == Mode::Enforce => Arc::new(Policy {
            mode: Mode::Recommend,
            ..Policy::clone(policy)
        }),
        Ok(policy) => Arc::clone(policy),
        Err(errors) => {
            let summary = Summary::invalid(errors);
            memory.unobserved(now);
            memory.notify.outcome = None;
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
    let (summary, proposed) = if let Some(action) = pass.policy.weights.first() {
        (Box::pin(pass.run_weights(memory, action)).await, None)
    } else if pass.policy.runtime.is_empty() {
        Box::pin(pass.run(memory)).await
    } else {
        (Box::pin(pass.run_runtime(memory)).await, None)
    };
    let summary = match ctx.cluster.freeze.paused(&pass.namespace) {
        Some(why) => summary.held_by(why),
        None => summary,
    };
    Box::pin(answers::run(&pass, memory)).await;
    summary::count(&pass, memory, proposed.as_ref(), began.elapsed());
    tell(ctx, object, memory, summary, now, authority).await;
}

/// Logs what came of a reference to a PrometheusRule, once for each edit.
fn tell_of_rules(object: &FeedbackPolicy, memory: &Memory, referred: &Referred) {
    let policy = ObjectRef::from_obj(object);
    if let Some((reason, message)) = &memory.held {
        warn!(%policy, %reason, message, "rules can't be taken: nothing is decided");
    } else if let Referred::Found(found) = referred {
        info!(%policy, from = %found, taken = memory.origins.len(), "rules taken");
        let resolved = validate::policy_with(&object.spec, found);
        for note in resolved.into_iter().flat_map(|resolved| resolved.notes) {
            warn!(%policy, "{}", clean(note));
        }
    }
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
    let namespace = object.namespace().unwrap_or_default();
    let receivers = ctx.receivers.said(&object.spec.notifications, &namespace);
    let status = summary::status(object, memory, summary, receivers, now);
    if status != memory.written && record::status::write(&ctx.clients.write, object, &status, authority).await {
        memory.written = status;
    }
}

impl Pass<'_> {
    async fn run_weights(&self, memory: &mut Memory, action: &WeightsAction) -> Summary {
        self.evaluate(memory);
        self.abandon_replicas().await;
        runtime::abandon(self).await;
        weights::run(self, memory, action).await
    }

    async fn run_runtime(&self, memory: &mut Memory) -> Summary {
        self.evaluate(memory);
        self.abandon_replicas().await;
        weights::abandon(self).await;
        runtime::run(self, memory).await
    }

    /// The policy moved replicas before it was edited.
    async fn abandon_replicas(&self) {
        let uid = self.object.uid().unwrap_or_default();
        let own = self.seen.open.iter().filter(|change| change.spec.policy.uid == uid);
        for change in own.filter(|change| change.spec.field == ChangeField::Replicas) {
            open::abort(self.ctx, change, Abort::NotEnforced, self.authority).await;
        }
    }

    async fn run(&self, memory: &mut Memory) -> (Summary, Option<Proposed>) {
        self.evaluate(memory);
        weights::abandon(self).await;
        runtime::abandon(self).await;
        if let Some(snapshot) = &self.seen.found.snapshot {
            memory.aim(&snapshot.uid, self.seen.now);
        }
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
                Err(damage) => {
                    memory.unobserved(self.seen.now);
                    return (Summary::blocked(self, memory, &damage), None);
                }
            },
            None => None,
        };
        if self.policy.mode == Mode::Observe {
            approval::withdraw(self, &approval::Outlook::Nothing).await;
        }
        if self.policy.mode == Mode::Observe || memory.held.is_some() {
            memory.unobserved(self.seen.now);
            return (Summary::of(self, memory, carried.as_ref(), None), None);
        }
        let proposed = Box::pin(propose::propose(self, memory, carried.as_ref())).await;
        (Summary::of(self, memory, carried.as_ref(), proposed.as_ref()), proposed)
    }

    fn evaluate(&self, memory: &mut Memory) {
        watermarks::evaluate_all(self, memory);
        let own = self.policy.rules.iter();
        for (name, rule) in own.filter(|(name, _)| self.policy.watermark_of(name).is_none()) {
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
        let replicas = self
            .policy
            .actions
            .iter()
            .map(|action| (&action.name, &action.verification));
        let weights = self
            .policy
            .weights
            .iter()
            .map(|action| (&action.name, &action.verification));
        let runtime = self
            .policy
            .runtime
            .iter()
            .map(|action| (&action.name, &action.verification));
        let verifications = replicas
            .chain(weights)
            .chain(runtime)
            .filter_map(|(name, verification)| {
                let verification = verification.as_ref()?;
                Some((
                    &verification.condition.left,
                    verification.max_age,
                    self.seen.verifications.get(name),
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
        let own = self
            .seen
            .open
            .iter()
            .filter(|change| change.spec.policy.uid == uid && change.spec.field == ChangeField::Replicas);
        own.max_by_key(|change| change.spec.sequence).cloned()
    }

    /// What a weights action decides on.
    pub(crate) fn inputs_of_weights<'m>(
        &'m self,
        action: &WeightsAction,
        rules: &'m BTreeMap<String, RuleState>,
    ) -> Inputs<'m> {
        Inputs {
            definitions: &self.policy.rules,
            rules,
            readings: &self.seen.rules,
            signals: &self.seen.signals,
            verification: self.seen.verifications.get(&action.name),
            signal_definitions: &self.policy.signals,
            usage: &self.seen.usage,
            vetoes: &NO_VETOES,
        }
    }

    /// What actions on a runtime's knobs decide on.
    pub(crate) fn inputs_of_runtime<'m>(&'m self, rules: &'m BTreeMap<String, RuleState>) -> Inputs<'m> {
        Inputs {
            definitions: &self.policy.rules,
            rules,
            readings: &self.seen.rules,
            signals: &self.seen.signals,
            verification: None,
            signal_definitions: &self.policy.signals,
            usage: &self.seen.usage,
            vetoes: &NO_VETOES,
        }
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
            vetoes: self.seen.vetoes.get(action).unwrap_or(&NO_VETOES),
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
            paused: self.paused(),
            coverage: Coverage::NotNeeded,
            headroom: Vec::new(),
            budget: self.ctx.budget.seen(&self.ctx.cluster.changes.state(), self.seen.now),
            // Asked for by what goes forward only.
            approval: Approval::NotNeeded,
        }
    }

    /// Reads what only a change of this direction needs to know.
    pub(crate) async fn look_around(&self, action: &ReplicasAction, direction: Direction, world: &mut World) {
        let ctx = self.ctx;
        world.headroom = self
            .seen
            .headroom(&ctx.cluster, &ctx.asks, self.object, direction)
            .await;
        if direction == Direction::Down {
            let interval = self
                .seen
                .source
                .as_ref()
                .ok()
                .and_then(|source| source.scrape_interval());
            world.coverage = self.seen.coverage(&ctx.asks, self.policy, action, interval).await;
        }
    }

    /// Why no change of a direction may be made now.
    pub(crate) fn paused(&self) -> Paused {
        let now = self.seen.now;
        let written = self.object.spec.pause.as_ref();
        let why = |pause: Option<Pause>, written: Option<&PauseFor>, field: &str| {
            pause.filter(|pause| pause.holds(now)).map(|pause| {
                let until = match pause {
                    Pause::Open => String::new(),
                    Pause::Until(end) => format!(" until {}", micro_time(end).0),
                };
                let reason = written.map(|written| written.reason.as_str()).unwrap_or_default();
                let reason = if reason.is_empty() {
                    String::new()
                } else {
                    format!(" ({reason})")
                };
                format!("{field} is set{until}{reason}")
            })
        };
        Paused {
            frozen: self.ctx.cluster.freeze.frozen(),
            namespace: self.ctx.cluster.freeze.paused(&self.namespace),
            up: why(
                self.policy.pause_up,
                written.and_then(|pause| pause.up.as_ref()),
                "spec.pause.up",
            ),
            down: why(
                self.policy.pause_down,
                written.and_then(|pause| pause.down.as_ref()),
                "spec.pause.down",
            ),
        }
    }

    /// How often it is looked at, and what its mode means here.
    pub(crate) fn evaluated(&self) -> String {
        let every = format!("evaluated every {}", self.policy.interval);
        if self.policy.mode == Mode::Recommend && self.object.spec.mode == flyball_crds::Mode::Enforce {
            return format!("{every}; this installation only observes, so that Enforce recommends");
        }
        every
    }

    /// Why nothing is tried, if that is so: whoever may not write may not try to, either.
    pub(crate) fn untried(&self) -> Option<DryRun> {
        let why = "this installation only observes, so that the API server is not asked";
        self.ctx.observe_only.then(|| DryRun::Skipped(why.to_owned()))
    }

    /// Asks the API server what it would say. A recommendation is tried too: it would be of no use if the
    /// write were refused.
    pub(crate) async fn dry_run(&self, to: Replicas) -> DryRun {
        if let Some(skipped) = self.untried() {
            return skipped;
        }
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
        if let Some(held) = &memory.held {
            return Some(held.clone());
        }
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
            Target::NotServed(kind) => {
                let message = format!(
                    "{named}: the API server does not serve {kind}; install its definition, which is looked for every minute"
                );
                return Some((Reason::KindNotServed, message));
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
        unanswered(&self.seen.rules, &self.seen.signals, &self.seen.verifications)
    }
}

/// Why a query has no answer, if one has none. That an expression is refused is said first: it will
/// not pass by itself.
fn unanswered(
    rules: &BTreeMap<String, Reading>,
    signals: &BTreeMap<String, Reading>,
    verifications: &BTreeMap<String, Reading>,
) -> Option<(Reason, String)> {
    let named = rules
        .iter()
        .chain(signals)
        .map(|(name, reading)| (name.clone(), reading));
    let verifications = verifications
        .iter()
        .map(|(action, reading)| (format!("verify of action {action}"), reading));
    let failed: Vec<_> = named
        .chain(verifications)
        .filter(|(_, reading)| reading.quality() == Quality::Error)
        .collect();
    let refused = failed.iter().find(|(_, reading)| reading.is_refused());
    let (name, reading) = refused.or_else(|| failed.first())?;
    let reason = if reading.is_refused() {
        Reason::ExpressionRefused
    } else {
        Reason::SourceUnavailable
    };
    Some((reason, format!("{name}: {}", reading.detail())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_expression_is_told_from_a_source_that_does_not_answer() {
        let at = Timestamp::from_millis(0);
        let one = |name: &str, reading: Reading| BTreeMap::from([(name.to_owned(), reading)]);
        let (down, refused) = (Reading::failed(at, "no answer"), Reading::refused(at, "parse error"));
        let (none, empty) = (
            BTreeMap::new(),
            one("Slow", Reading::answered(at, Vec::new(), &[], None, Span::ZERO)),
        );
        let check = |rules: &_, signals: &_, verifications: &_, expect: Option<(Reason, &str)>| {
            let found = unanswered(rules, signals, verifications);
            assert_eq!(
                found.as_ref().map(|(reason, message)| (*reason, message.as_str())),
                expect
            );
        };
        check(&empty, &none, &none, None);
        check(
            &one("Slow", down.clone()),
            &none,
            &none,
            Some((Reason::SourceUnavailable, "Slow: no answer")),
        );
        check(
            &one("Slow", down),
            &one("demand", refused.clone()),
            &none,
            Some((Reason::ExpressionRefused, "demand: parse error")),
        );
        check(
            &empty,
            &none,
            &one("more", refused),
            Some((Reason::ExpressionRefused, "verify of action more: parse error")),
        );
    }
}

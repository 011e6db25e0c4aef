//! One pass of a policy that moves weights: the routes, what is open, whose the weights are, then decide, check
//! and begin.

mod approval;
mod begin;
pub(crate) mod carry;
mod facts;
pub mod memory;
mod propose;

use super::{Pass, memory::Memory, summary::Summary};
use crate::{
    apply::{Place, RouteHands},
    clock::{from_micro_time, micro_time},
    metrics::Shares,
    observe::routes::{
        find::{self, Route, RouteProblem},
        locate,
    },
};
use carry::CarriedWeights;
use flyball_core::{
    check::{DryRun, OpenWeights, RouteWorld, WeightsApproval},
    policy::{Mode, OnReset, Traffic, Weights, WeightsAction},
    time::Span,
    transaction::{Abort, Phase},
};
use flyball_crds::{Change, ChangeField, Reason, YieldStatus};
use kube::{Api, ResourceExt, api::DynamicObject};
use memory::{Around, WeightsMemory};
use propose::ProposedWeights;
use std::sync::Arc;

/// A pass of a policy that moves weights.
pub(super) struct WeightsPass<'p, 'a> {
    pub pass: &'p Pass<'a>,
    pub action: &'p WeightsAction,
    /// What the proxy tells, as it is asked in the policy's namespace.
    pub traffic: Traffic,
    /// The lists, or why they can't be moved.
    pub routes: Result<Vec<Route>, RouteProblem>,
}

/// Runs the pass.
pub(super) async fn run(pass: &Pass<'_>, memory: &mut Memory, action: &WeightsAction) -> Summary {
    let it = WeightsPass {
        pass,
        action,
        traffic: action.traffic.within(&pass.namespace),
        routes: find::find(&pass.ctx.cluster, &pass.namespace, &action.routes, &action.backends),
    };
    let now = pass.seen.now;
    let mut own = memory
        .weights
        .remove(&action.name)
        .unwrap_or_else(|| WeightsMemory::new(now));
    if let Ok([first, ..]) = it.routes.as_deref() {
        let uid = first.uid();
        let other = memory.target.as_ref().is_some_and(|known| *known != uid);
        memory.target = Some(uid);
        if other {
            own.forget(now);
        }
    }
    let outcome = Box::pin(it.run(&mut own, memory)).await;
    count(&it, &own, &outcome);
    let trouble = memory.held.clone().or_else(|| it.trouble(&own));
    memory.weights.insert(action.name.clone(), own);
    summary(&it, outcome, trouble)
}

/// Tells the metrics of the weights.
fn count(it: &WeightsPass<'_, '_>, memory: &WeightsMemory, done: &Done) {
    let (metrics, action) = (&it.pass.ctx.recorder.metrics, &it.action.name);
    let policy = crate::record::name(&it.pass.namespace, &it.pass.name);
    let begun = match &done.proposed {
        Some(ProposedWeights::Begun(begun)) => Some(begun.as_ref()),
        _ => None,
    };
    if let Some(moved) = begun.and_then(|begun| begun.change.spec.weights.as_ref()) {
        metrics.weights_moved(policy, action, moved.why);
    }
    let out = memory.history.backends.values();
    metrics.backends_out(
        policy,
        action,
        out.filter(|backend| backend.out_since.is_some()).count(),
    );
    // Right after a pass wrote the routes, what the watch shows of them is old.
    let written = begun
        .or(done.carried.as_ref())
        .and_then(|carried| carried.tx.target.as_ref());
    let written = written.and_then(|target| target.value.0.first().cloned());
    let Some(current) = written.or_else(|| it.current()) else {
        return metrics.weights(policy, action, &[]);
    };
    let (base, desired) = (it.action.base(), memory.desired.as_ref().unwrap_or(&current));
    let share = |weights: &Weights, backend: &str| weights.share(backend).unwrap_or(0.0);
    let shares = it.action.backends.iter().map(|backend| Shares {
        backend: &backend.name,
        desired: share(desired, &backend.name),
        current: share(&current, &backend.name),
        base: share(&base, &backend.name),
    });
    metrics.weights(policy, action, &shares.collect::<Vec<_>>());
}

/// What came of a pass.
struct Done {
    carried: Option<CarriedWeights>,
    proposed: Option<ProposedWeights>,
    blocked: Option<String>,
}

impl WeightsPass<'_, '_> {
    async fn run(&self, memory: &mut WeightsMemory, policy: &Memory) -> Done {
        let mut done = Done {
            carried: None,
            proposed: None,
            blocked: None,
        };
        let pass = self.pass;
        let changes = self.changes();
        memory.catch_up(
            &changes,
            &Around {
                now: pass.seen.now,
                generation: pass.object.metadata.generation.unwrap_or_default(),
                yield_for: pass.policy.yield_for,
                latch: self
                    .action
                    .verification
                    .as_ref()
                    .map_or(Span::ZERO, |verification| verification.latch),
            },
        );
        let own = changes.iter().rev().find(|change| crate::observe::is_open(change));
        if let Some(change) = own {
            match carry::carry(self, memory, change).await {
                Ok(carried) => done.carried = Some(carried),
                Err(damage) => {
                    memory.unobserved(pass.seen.now);
                    done.blocked = Some(format!("{damage}; delete the Change to go on"));
                    return done;
                }
            }
        }
        if pass.policy.mode == Mode::Observe || policy.held.is_some() {
            approval::withdraw(self, None).await;
            memory.unobserved(pass.seen.now);
            return done;
        }
        let open = done.carried.as_ref().is_some_and(CarriedWeights::is_open);
        if !open && done.carried.is_none() {
            self.settle_ownership(memory);
        }
        done.proposed = Box::pin(propose::propose(self, &policy.rules, memory, done.carried.as_ref())).await;
        done
    }

    /// The Changes of this policy that move weights, oldest first; records are none.
    fn changes(&self) -> Vec<Arc<Change>> {
        let uid = self.pass.object.uid().unwrap_or_default();
        let mut own = self.pass.ctx.cluster.changes.state();
        own.retain(|change| {
            change.spec.policy.uid == uid && change.spec.sequence > 0 && change.spec.field == ChangeField::Weights
        });
        own.sort_by_key(|change| change.spec.sequence);
        own
    }

    /// The weights as they are found, if all lists have the same.
    pub(super) fn current(&self) -> Option<Weights> {
        let routes = self.routes.as_ref().ok()?;
        let first = routes.first()?.located.weights();
        routes
            .iter()
            .all(|route| route.located.weights() == first)
            .then_some(first)
    }

    /// Whose the weights are, while nothing of ours is under way: what we find for the first time is adopted, and
    /// what somebody else wrote is theirs, as long as the policy says. What was put back to the base is written
    /// again only where the policy says so; that is proposed as any other change.
    fn settle_ownership(&self, memory: &mut WeightsMemory) {
        let now = self.pass.seen.now;
        let generation = self.pass.object.metadata.generation.unwrap_or_default();
        let standing = memory.yielded.as_ref().map(|yielded| {
            let lasts = yielded.until.as_ref().is_some_and(|until| from_micro_time(until) > now);
            lasts && yielded.generation == generation
        });
        if standing == Some(true) {
            return;
        }
        let Some(current) = self.current() else { return };
        if standing == Some(false) || memory.written.is_none() {
            memory.yielded = None;
            memory.adopt(&current);
            return;
        }
        if memory.written.as_ref() == Some(&current) {
            return;
        }
        let reset = current == self.action.base();
        let again = match self.action.on_reset {
            OnReset::Reapply { per_hour } if reset => memory.reapplied_lately(now) < per_hour as usize,
            _ => false,
        };
        if !again {
            memory.yielded = Some(YieldStatus {
                manager: self.manager(),
                until: Some(micro_time(now + self.pass.policy.yield_for)),
                generation,
            });
        }
    }

    /// Who wrote the lists last.
    fn manager(&self) -> String {
        let routes = self.routes.as_ref().map(Vec::as_slice).unwrap_or_default();
        routes
            .iter()
            .find_map(Route::manager)
            .unwrap_or_else(|| "somebody else".to_owned())
    }

    /// Asks the API server what it would say.
    pub(super) async fn dry_run(&self, to: &Weights) -> DryRun {
        match &self.routes {
            Ok(routes) => match self.pass.untried() {
                Some(skipped) => skipped,
                None => self.hands(routes, 0).dry_run(to).await,
            },
            Err(problem) => DryRun::Skipped(problem.to_string()),
        }
    }

    /// Hands on these routes, for transaction `sequence`.
    pub(super) fn hands(&self, routes: &[Route], sequence: u64) -> RouteHands<'_> {
        let places = routes.iter().map(|route| Place {
            list: route.list.clone(),
            resource: route.resource.clone(),
            object: route.object.as_ref().clone(),
        });
        RouteHands::new(
            &self.pass.ctx.clients.write,
            &self.pass.namespace,
            &self.action.backends,
            sequence,
            places.collect(),
            self.pass.authority,
        )
    }

    /// The routes as the API server holds them now.
    pub(super) async fn read_again(&self) -> Option<Vec<Route>> {
        let mut read = Vec::new();
        for route in self.routes.as_ref().ok()? {
            let client = self.pass.ctx.clients.read.clone();
            let api: Api<DynamicObject> = Api::namespaced_with(client, &self.pass.namespace, &route.resource);
            let object = api.get(&route.list.name).await.ok()?;
            let located = locate(&object, &route.list, &self.action.backends).ok()?;
            read.push(Route {
                object: Arc::new(object),
                located,
                ..route.clone()
            });
        }
        Some(read)
    }

    /// An older policy that moves a list of one of these routes.
    fn rival(&self) -> Option<String> {
        let policy = self.pass.object;
        let mine = |kind: &str, name: &str| {
            self.action
                .routes
                .iter()
                .any(|list| list.kind == kind && list.name == name)
        };
        let others = self.pass.ctx.cluster.policies.state();
        let rival = others.iter().find(|other| {
            let lever = other.spec.actions.iter().find_map(|action| action.weights.as_ref());
            other.namespace() == policy.namespace()
                && crate::observe::owners::comes_before(other, policy)
                && lever.is_some_and(|lever| {
                    let target = &other.spec.target_ref;
                    mine(&target.kind, &target.name) || lever.also.iter().any(|route| mine(&route.kind, &route.name))
                })
        })?;
        Some(format!(
            "FeedbackPolicy {}/{} moves a list of the same route and comes first; remove one of the two",
            self.pass.namespace,
            rival.name_any()
        ))
    }

    /// Whose the weights are, if they are not ours.
    fn owner(&self, memory: &WeightsMemory) -> Option<(Reason, String)> {
        if let Some(rival) = self.rival() {
            return Some((Reason::Conflict, rival));
        }
        let yielded = memory.yielded.as_ref()?;
        let until = yielded
            .until
            .as_ref()
            .filter(|until| from_micro_time(until) > self.pass.seen.now)?;
        let reset = self.current().is_some_and(|current| current == self.action.base());
        let who = &yielded.manager;
        let left = format!("left alone until {} or an edit of the policy", until.0);
        Some(match self.action.on_reset {
            OnReset::Reapply { per_hour } if reset => (
                Reason::Contended,
                format!(
                    "{who} put the weights back to their base more than {per_hour} times within an hour; {left}; let it ignore the weights"
                ),
            ),
            _ if reset => (
                Reason::OwnershipConflict,
                format!(
                    "{who} put the weights back to their base, and onReset is Stop; {left}; let it ignore the weights, or set onReset: Reapply"
                ),
            ),
            _ => (Reason::OwnershipConflict, format!("{who} wrote the weights; {left}")),
        })
    }

    /// Why the policy as a whole is not ready, if it is not.
    fn trouble(&self, memory: &WeightsMemory) -> Option<(Reason, String)> {
        if let Err(problem) = &self.pass.seen.source {
            return Some((problem.reason(), problem.to_string()));
        }
        if let Err(problem) = &self.routes {
            return Some((problem.reason(), problem.to_string()));
        }
        self.owner(memory)
    }
}

/// What the checks need to know. `to` are the weights that are wanted.
pub(super) fn world(it: &WeightsPass<'_, '_>, memory: &WeightsMemory, open: OpenWeights, to: &Weights) -> RouteWorld {
    let trouble = it.routes.as_ref().err().map(ToString::to_string);
    let differ = it.routes.is_ok() && it.current().is_none() && matches!(open, OpenWeights::None);
    RouteWorld {
        trouble: trouble.or_else(|| {
            differ.then(|| {
                format!(
                    "the lists of the routes have different weights, last written by {}; write the same into all of them",
                    it.manager()
                )
            })
        }),
        owner: it.owner(memory).map(|(_, why)| why),
        paused: it.pass.paused(),
        open,
        approval: if it.action.approval && it.pass.policy.mode == Mode::Enforce {
            approval::of(it, to)
        } else {
            WeightsApproval::NotNeeded
        },
        latch: memory.latch.clone(),
    }
}

fn summary(it: &WeightsPass<'_, '_>, done: Done, trouble: Option<(Reason, String)>) -> Summary {
    let pass = it.pass;
    let ready = match trouble {
        Some((reason, message)) => (false, reason, message),
        None if pass.policy.suspended => (
            true,
            Reason::Suspended,
            "the policy is suspended: nothing is written".to_owned(),
        ),
        None => (true, Reason::Evaluating, pass.evaluated()),
    };
    if let Some(why) = done.blocked {
        let progressing = (true, Reason::Invalid, why.clone());
        return Summary::new(ready, progressing, "Blocked by a damaged Change".to_owned(), why, None);
    }
    let begun = match &done.proposed {
        Some(ProposedWeights::Begun(begun)) => Some(begun.as_ref()),
        _ => done.carried.as_ref(),
    };
    if let Some(carried) = begun.filter(|carried| carried.is_open()) {
        let (reason, verb) = match carried.tx.journal.phase {
            Phase::Applying => (Reason::Applying, "Applying"),
            Phase::RollingBack => (Reason::RollingBack, "Rolling back"),
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
    Summary::new(ready, idle, doing, why, None)
}

/// Cuts short what is open of a policy that does not move weights any more.
pub(super) async fn abandon(pass: &Pass<'_>) {
    let uid = pass.object.uid().unwrap_or_default();
    let open = pass.ctx.cluster.changes.state().into_iter().filter(|change| {
        change.spec.policy.uid == uid && change.spec.field == ChangeField::Weights && crate::observe::is_open(change)
    });
    for change in open {
        carry::abort(pass.ctx, &change, Abort::NotEnforced, pass.authority).await;
    }
}

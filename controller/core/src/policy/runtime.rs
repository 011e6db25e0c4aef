//! An action on the garbage collector's knobs of a container, past validation.

use super::{EnvOption, Knobs, Query, Verification};
use crate::{bytes::Bytes, time::Span};
use std::collections::BTreeSet;

/// Who shares headroom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BudgetScope {
    /// All processes of the namespace.
    #[default]
    Namespace,
    /// On each node those of the namespace.
    Node,
}

/// Headroom that processes share.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadroomBudget {
    /// How much.
    pub headroom: Bytes,
    /// Among whom.
    pub scope: BudgetScope,
    /// What is asked of all agents of the namespace.
    pub queries: FleetQueries,
}

/// What is asked of all agents of a namespace, by pod.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetQueries {
    /// Bytes allocated per second.
    pub allocation: Query,
    /// CPU seconds per second that collections take.
    pub gc_cpu: Query,
    /// Collections per second.
    pub cycles: Query,
    /// What a collection leaves, in bytes.
    pub live: Query,
    /// Stacks and globals, in bytes.
    pub roots: Query,
    /// The container's limit in bytes.
    pub limit: Query,
    /// What the runtime does not manage, in bytes.
    pub unmanaged: Query,
}

impl FleetQueries {
    /// All of them, in the order of the fields.
    pub fn all(&self) -> [&Query; 7] {
        let first = [&self.allocation, &self.gc_cpu, &self.cycles, &self.live];
        let [allocation, gc_cpu, cycles, live] = first;
        [
            allocation,
            gc_cpu,
            cycles,
            live,
            &self.roots,
            &self.limit,
            &self.unmanaged,
        ]
    }

    /// The queries as they are asked in a namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        let named = |query: &Query| AgentQueries::named(query, namespace);
        Self {
            allocation: named(&self.allocation),
            gc_cpu: named(&self.gc_cpu),
            cycles: named(&self.cycles),
            live: named(&self.live),
            roots: named(&self.roots),
            limit: named(&self.limit),
            unmanaged: named(&self.unmanaged),
        }
    }
}

/// A soft memory limit by the limit law, with the knobs beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitFit {
    /// The knobs beside it.
    pub knobs: Knobs,
    /// What is asked of the agents of the namespace, by pod; of the live heap and of what the runtime does not manage
    /// the most over the window.
    pub queries: FleetQueries,
}

/// What an action does to the knobs.
#[derive(Clone, Debug, PartialEq)]
pub enum RuntimeAim {
    /// These knobs. A set-point and a price are knobs too: the law is in the agent.
    Set(Knobs),
    /// These knobs, and the soft memory limit that the containers leave room for.
    Fit(Box<LimitFit>),
    /// The price at which all processes of a namespace together keep to a budget of headroom.
    Budget(Box<HeadroomBudget>),
    /// One collection, and memory back to the system; the knobs stay.
    Reclaim {
        /// How long after one the next is not asked for.
        every: Span,
    },
    /// These start-up options in the pod template: a rollout.
    Env(Vec<EnvOption>),
}

/// How many pods are tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialSize {
    /// So many.
    Pods(u32),
    /// So many percent of the ready ones, at least one.
    Percent(u32),
}

impl TrialSize {
    /// How many of `ready` pods. Never all of them: without siblings there is nothing to compare with.
    pub fn of(self, ready: usize) -> usize {
        let wanted = match self {
            Self::Pods(count) => count as usize,
            Self::Percent(percent) => (ready * percent as usize).div_ceil(100),
        };
        wanted.max(1).min(ready.saturating_sub(1))
    }
}

/// How a change is tried on a few pods first.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialPlan {
    /// How many.
    pub size: TrialSize,
    /// A comparison with a number that must hold while it is tried, with `$moved` and `$others` where names of pods
    /// stand. `validate` has parsed it with names in their place.
    pub expr: Option<String>,
    /// Samples before this are from before the trial.
    pub settle: Span,
    /// How long it is tried, counted like `settle` from the accepted write.
    pub within: Span,
}

/// What the agents of the target tell, by pod.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentQueries {
    /// The generation in force.
    pub applied: Query,
    /// Whether the breaker tripped.
    pub breaker: Query,
    /// What a collection left, in bytes.
    pub live: Query,
    /// The container's limit, in bytes.
    pub limit: Query,
    /// Everything that is resident beside the heap in use, in bytes.
    pub beside: Query,
    /// The oldest sample that still counts.
    pub max_age: Span,
}

impl AgentQueries {
    /// Where the policy's namespace stands in a query.
    pub const NAMESPACE: &str = super::Traffic::NAMESPACE;

    fn named(query: &Query, namespace: &str) -> Query {
        Query {
            text: query.text.replace(Self::NAMESPACE, namespace),
            age: query.age.as_ref().map(|age| age.replace(Self::NAMESPACE, namespace)),
            ..query.clone()
        }
    }

    /// The queries as they are asked in a namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        let named = |query: &Query| Self::named(query, namespace);
        Self {
            applied: named(&self.applied),
            breaker: named(&self.breaker),
            live: named(&self.live),
            limit: named(&self.limit),
            beside: named(&self.beside),
            max_age: self.max_age,
        }
    }
}

/// An action that moves the knobs of one container of the target's pods.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeAction {
    /// The action's name.
    pub name: String,
    /// The rules that drive it; empty: it holds where no other of the policy does.
    pub when: Vec<String>,
    /// The container.
    pub container: String,
    /// What it does.
    pub aim: RuntimeAim,
    /// How it is tried first; `None`: it is not.
    pub trial: Option<TrialPlan>,
    /// How long the agents have to acknowledge, counted from the accepted write.
    pub acknowledge: Span,
    /// How long what a pod was given lasts without a renewal.
    pub lease: Span,
    /// How long after a change the next is not made.
    pub hold: Span,
    /// The bounds of GOGC, in percent.
    pub gogc: (u64, u64),
    /// What the agents tell.
    pub agents: AgentQueries,
    /// What must hold after the change.
    pub verification: Option<Verification>,
    /// Whether each change waits for approval.
    pub approval: bool,
}

impl RuntimeAction {
    /// The variables of the pod template that it writes; `None`: it moves processes that run.
    pub fn variables(&self) -> Option<BTreeSet<&'static str>> {
        match &self.aim {
            RuntimeAim::Env(options) => Some(options.iter().map(|option| option.variable()).collect()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_leaves_at_least_one_sibling() {
        let check =
            |size: TrialSize, ready: usize, expect: usize| assert_eq!(size.of(ready), expect, "{size:?} {ready}");
        check(TrialSize::Pods(1), 0, 0);
        check(TrialSize::Pods(1), 1, 0);
        check(TrialSize::Pods(1), 2, 1);
        check(TrialSize::Pods(3), 2, 1);
        check(TrialSize::Percent(10), 5, 1);
        check(TrialSize::Percent(10), 11, 2);
        check(TrialSize::Percent(100), 4, 3);
    }
}

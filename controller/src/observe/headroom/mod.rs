//! For how many replicas there is room, and how few are too few.
//!
//! Only asked for when a proposal is at hand. What is read from the API server is kept for a while, so
//! that a proposal that is refused with every pass does not read with every pass.

mod budget;
mod places;
mod prospect;
mod quota;
mod ranges;

pub use prospect::Prospect;

use super::{
    nodes::Nodes,
    pods::{Placed, Pods},
};
use crate::client::{CallError, CallKind, chain, within};
use flyball_core::{
    check::Headroom,
    decide::{PodPhase, PodReady},
    policy::Replicas,
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{LimitRange, Pod, PodTemplateSpec, ResourceQuota},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde::de::DeserializeOwned;
use std::{
    collections::HashMap,
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long an answer is used again.
pub const KEPT: Duration = Duration::from_secs(15);
/// How long one read may take: a pass waits for it.
const LIMIT: Duration = Duration::from_secs(5);
/// As many quotas, ranges or budgets of a namespace are looked at.
const MOST: u32 = 500;

/// By whom the room on nodes is limited.
pub const NODES: &str = "node allocatable";

/// A target of a change.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
    /// How to address its kind.
    pub resource: &'a ApiResource,
    /// Its `spec.replicas`: taken for the number of its pods where those are not known.
    pub current: Replicas,
}

/// What a namespace limits.
#[derive(Debug, Default)]
struct Limits {
    quotas: Vec<ResourceQuota>,
    ranges: Vec<LimitRange>,
}

/// Reads what limits a number of replicas. One for the whole process.
pub struct Rooms {
    client: Client,
    limits: Kept<String, Limits>,
    budgets: Kept<String, Vec<PodDisruptionBudget>>,
    prospects: Kept<String, Prospect>,
}

impl Rooms {
    /// Reads through this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            limits: Kept::default(),
            budgets: Kept::default(),
            prospects: Kept::default(),
        }
    }

    /// What limits an increase: LimitRanges, ResourceQuotas, nodes.
    pub async fn for_increase(&self, pods: &Pods, nodes: &Nodes, workload: &Workload<'_>) -> Vec<Headroom> {
        let placed = pods.placed(workload.uid);
        let (limits, prospect) = tokio::join!(
            self.limits
                .get(workload.namespace.to_owned(), self.read_limits(workload.namespace)),
            self.prospect(workload, placed.as_deref()),
        );
        let prospect = match prospect {
            Ok(prospect) => prospect,
            Err(why) => return vec![unknown("the next pod", why)],
        };
        let ranges = limits.as_ref().map_or(&[][..], |limits| &limits.ranges);
        let prospect = Prospect::clone(&prospect).defaulted(ranges);
        let mut rooms = match &limits {
            Ok(limits) => within_limits(limits, &prospect, there(placed.as_deref(), workload.current)),
            Err(why) => vec![unknown("quota", why.clone())],
        };
        rooms.push(on_nodes(pods, nodes, &prospect, placed.as_deref()));
        rooms
    }

    /// What limits a decrease: PodDisruptionBudgets.
    pub async fn for_decrease(&self, pods: &Pods, workload: &Workload<'_>) -> Vec<Headroom> {
        let placed = pods.placed(workload.uid);
        let budgets = self
            .budgets
            .get(workload.namespace.to_owned(), self.list(workload.namespace))
            .await;
        let budgets = match budgets {
            Ok(budgets) if budgets.is_empty() => return Vec::new(),
            Ok(budgets) => budgets,
            Err(why) => return vec![unknown("PodDisruptionBudget", why)],
        };
        let prospect = match self.prospect(workload, placed.as_deref()).await {
            Ok(prospect) => prospect,
            Err(why) => return vec![unknown("PodDisruptionBudget", why)],
        };
        let ready = placed.as_deref().map(ready);
        let floors = budgets
            .iter()
            .filter_map(|budget| budget::floor(budget, &prospect.labels, ready));
        floors.collect()
    }

    /// The next pod: like the youngest there is, which shows what admission fills in; where that can't be
    /// read, from the template.
    async fn prospect(&self, workload: &Workload<'_>, pods: Option<&[Placed]>) -> Result<Arc<Prospect>, String> {
        let youngest = pods.into_iter().flatten().filter(|placed| counts(placed));
        let youngest = youngest.max_by_key(|placed| placed.created);
        let youngest = youngest.map(|placed| placed.pod.name.clone());
        let read = async {
            if let Some(name) = youngest
                && let Some(pod) = self.pod(workload.namespace, &name).await
            {
                return Ok(Prospect::like(pod));
            }
            self.template(workload).await.map(Prospect::from_template)
        };
        self.prospects.get(workload.uid.to_owned(), read).await
    }

    async fn pod(&self, namespace: &str, name: &str) -> Option<Pod> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let answer = Box::pin(within(Instant::now() + LIMIT, api.get_opt(name))).await;
        answer.ok().flatten()
    }

    async fn template(&self, workload: &Workload<'_>) -> Result<PodTemplateSpec, String> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), workload.namespace, workload.resource);
        let answer = Box::pin(within(Instant::now() + LIMIT, api.get(workload.name))).await;
        let object = answer.map_err(|error| failed("get", &workload.resource.plural, &error))?;
        let template = object.data.pointer("/spec/template").cloned();
        let template = template.and_then(|template| serde_json::from_value(template).ok());
        template.ok_or_else(|| {
            format!(
                "it has no pods yet, and {} {} no spec.template that can be read",
                workload.resource.kind, workload.name
            )
        })
    }

    async fn read_limits(&self, namespace: &str) -> Result<Limits, String> {
        let (quotas, ranges) = tokio::try_join!(self.list(namespace), self.list(namespace))?;
        Ok(Limits { quotas, ranges })
    }

    async fn list<K>(&self, namespace: &str) -> Result<Vec<K>, String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let limits = ListParams::default().limit(MOST);
        let answer = Box::pin(within(Instant::now() + LIMIT, api.list(&limits))).await;
        answer
            .map(|list| list.items)
            .map_err(|error| failed("list", &K::plural(&()), &error))
    }
}

fn within_limits(limits: &Limits, prospect: &Prospect, there: u32) -> Vec<Headroom> {
    let ranges = limits
        .ranges
        .iter()
        .filter_map(|range| ranges::room(range, prospect, there));
    let quotas = limits
        .quotas
        .iter()
        .filter_map(|quota| quota::room(quota, prospect, there));
    ranges.chain(quotas).collect()
}

fn on_nodes(pods: &Pods, nodes: &Nodes, prospect: &Prospect, placed: Option<&[Placed]>) -> Headroom {
    let by = NODES;
    if let Some(scope) = pods.scope() {
        return unknown(
            by,
            format!("what pods outside of namespace {scope} request is not looked at"),
        );
    }
    let (Some(nodes), Some(placed)) = (nodes.all(), placed) else {
        return unknown(by, "nodes or pods may not be read; see flyball doctor".to_owned());
    };
    let held = pods.held(nodes.iter().map(|(name, _)| name.as_str()));
    let nodes: Vec<_> = nodes.into_iter().map(|(_, node)| node).zip(held).collect();
    let placed = placed.iter().filter(|placed| placed.node.is_some()).count();
    places::room(&nodes, prospect, u32::try_from(placed).unwrap_or(u32::MAX))
}

fn unknown(by: &str, why: String) -> Headroom {
    Headroom {
        by: by.to_owned(),
        limit: Err(why),
        arithmetic: String::new(),
    }
}

/// Whether a pod stands for a replica: it has not ended, and is not about to.
fn counts(placed: &Placed) -> bool {
    !placed.pod.terminating && !ended(placed)
}

fn ended(placed: &Placed) -> bool {
    matches!(placed.pod.phase, PodPhase::Succeeded | PodPhase::Failed)
}

/// The pods that a quota counts: those that are about to end, too, whose room is free a moment later.
fn there(pods: Option<&[Placed]>, current: Replicas) -> u32 {
    let Some(pods) = pods else { return current.get() };
    let charged = pods.iter().filter(|placed| !ended(placed)).count();
    u32::try_from(charged).unwrap_or(u32::MAX)
}

fn ready(pods: &[Placed]) -> u32 {
    let ready = pods
        .iter()
        .filter(|placed| counts(placed) && matches!(placed.pod.ready, Some(PodReady { ready: true, .. })));
    u32::try_from(ready.count()).unwrap_or(u32::MAX)
}

fn failed(verb: &str, resource: &str, error: &CallError) -> String {
    match error.kind() {
        CallKind::Forbidden => format!("no right to {verb} {resource}; see flyball doctor"),
        CallKind::Lost => format!("no answer to {verb} {resource} within {} s", LIMIT.as_secs()),
        _ => format!("{verb} {resource} failed: {}", chain(error)),
    }
}

/// An answer and when it came.
type Entry<T> = (Instant, Result<Arc<T>, String>);

/// Answers that are used again for a while, refusals too.
struct Kept<K, T> {
    answers: Mutex<HashMap<K, Entry<T>>>,
}

impl<K, T> Default for Kept<K, T> {
    fn default() -> Self {
        Self {
            answers: Mutex::default(),
        }
    }
}

impl<K: Eq + Hash, T> Kept<K, T> {
    async fn get(&self, key: K, read: impl Future<Output = Result<T, String>>) -> Result<Arc<T>, String> {
        let known = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |(at, _): &Entry<T>| at.elapsed() < KEPT;
        if let Some((_, answer)) = known().get(&key).filter(|entry| fresh(entry)) {
            return answer.clone();
        }
        let answer = read.await.map(Arc::new);
        let mut answers = known();
        answers.retain(|_, entry| fresh(entry));
        answers.insert(key, (Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests;

//! Which pods an action relieves, and by what.
//!
//! Only a pod that an alert names is relieved: who is short of memory must be known, and a label is no proof of whose a pod is. The
//! steps of a pod come in the order in which they cost least: memory is given first, and a pod that can't be given any is
//! evicted.

use super::EVIDENCE_CAP;
use crate::{
    bytes::Bytes,
    evaluate::{Alert, AlertPhase, RuleState},
    policy::{Comparator, PodMemory, PodState, Relieve, Resize},
};
use std::collections::BTreeSet;

/// The label that names a pod.
const POD: &str = "pod";
/// The label that names a container.
const CONTAINER: &str = "container";

/// A pod that firing alerts name, and they.
#[derive(Clone, Debug, PartialEq)]
pub struct Suffering {
    /// Its name.
    pub pod: String,
    /// The alerts, the worst first.
    pub alerts: Vec<Alert>,
}

impl Suffering {
    /// The container that its alerts name, if they name one and the same.
    pub fn container(&self) -> Option<&str> {
        let mut named = self.alerts.iter().filter_map(|alert| alert.labels.get(CONTAINER));
        let first = named.next()?;
        named.all(|other| other == first).then_some(first.as_str())
    }
}

/// Of a target's pods those that firing alerts name, the worst of the first rule first. `rules` are those that drive the action, in the
/// order written, with what they look for.
pub fn suffering<'p>(rules: &[(&RuleState, Comparator)], pods: impl IntoIterator<Item = &'p str>) -> Vec<Suffering> {
    let pods: BTreeSet<&str> = pods.into_iter().collect();
    let mut found: Vec<Suffering> = Vec::new();
    let worst = rules
        .iter()
        .flat_map(|(state, comparator)| state.worst(usize::MAX, *comparator));
    for alert in worst.filter(|alert| alert.phase == AlertPhase::Firing) {
        let Some(name) = alert.labels.get(POD) else { continue };
        if !pods.contains(name.as_str()) {
            continue;
        }
        match found.iter_mut().find(|known| known.pod == *name) {
            Some(known) => known.alerts.push(alert.clone()),
            None => found.push(Suffering {
                pod: name.clone(),
                alerts: vec![alert.clone()],
            }),
        }
    }
    found
}

/// Whether alerts fire that name no pod at all: they relieve nobody.
pub fn names_nobody(rules: &[(&RuleState, Comparator)]) -> bool {
    let mut firing = rules.iter().flat_map(|(state, _)| state.firing()).peekable();
    firing.peek().is_some() && firing.all(|alert| !alert.labels.contains_key(POD))
}

/// A container as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReliefContainer {
    /// Its name.
    pub name: String,
    /// Its memory; `None`: it has no limit.
    pub memory: Option<PodMemory>,
    /// Whether its node restarts it to give it more.
    pub restarts: bool,
    /// Why what it was given last is not there yet, if it is not.
    pub pending: Option<String>,
}

/// A pod as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReliefPod {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The container that is short of memory, or why it is not known.
    pub container: Result<ReliefContainer, String>,
}

/// What an action wants of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct ReliefProposal {
    /// The action.
    pub action: String,
    /// The pod.
    pub pod: String,
    /// Its UID.
    pub uid: String,
    /// The container; `None`: the pod is to be evicted.
    pub container: Option<String>,
    /// What is there.
    pub from: PodState,
    /// What is wanted.
    pub to: PodState,
    /// Why, in one sentence.
    pub reason: String,
    /// Lines that can be computed again by hand.
    pub arithmetic: Vec<String>,
    /// The alerts that ask for it.
    pub alerts: Vec<Alert>,
}

impl ReliefProposal {
    /// In words, without the pod: `memory of app 64 MiB -> 80 MiB`.
    pub fn what(&self) -> String {
        match (self.from, self.to, &self.container) {
            (PodState::Memory(from), PodState::Memory(to), Some(container)) => {
                format!("memory of {container} {} -> {}", from.limit, to.limit)
            }
            _ => "evicted".to_owned(),
        }
    }
}

/// The steps for a pod, in order: each what it would be, or why it can't be.
pub fn relief(
    action: &str,
    relieve: &Relieve,
    pod: &ReliefPod,
    suffering: &Suffering,
) -> Vec<Result<ReliefProposal, String>> {
    let of = |container, (from, to), arithmetic: Vec<String>| ReliefProposal {
        action: action.to_owned(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        container,
        from,
        to,
        reason: reason(suffering),
        arithmetic,
        alerts: suffering.alerts.iter().take(EVIDENCE_CAP).cloned().collect(),
    };
    let resize = relieve.resize.as_ref().map(|resize| {
        let (container, from, to) = raised(resize, pod)?;
        let states = (PodState::Memory(from), PodState::Memory(to));
        let arithmetic = arithmetic(resize, from, to);
        Ok(of(Some(container), states, arithmetic))
    });
    let evict = relieve
        .evict
        .as_ref()
        .map(|_| Ok(of(None, (PodState::There, PodState::Evicted), Vec::new())));
    resize.into_iter().chain(evict).collect()
}

fn raised(resize: &Resize, pod: &ReliefPod) -> Result<(String, PodMemory, PodMemory), String> {
    let container = pod.container.as_ref().map_err(Clone::clone)?;
    let name = &container.name;
    let Some(from) = container.memory else {
        return Err(format!(
            "container {name} has no memory limit that could be raised; its node is what limits it"
        ));
    };
    if container.restarts {
        return Err(format!(
            "a resize would restart container {name}; write restartPolicy: NotRequired for memory in its resizePolicy"
        ));
    }
    if let Some(why) = &container.pending {
        return Err(format!("what {name} was given last is not there yet: {why}"));
    }
    let to = from.raised(resize.percent, resize.max);
    to.map(|to| (name.clone(), from, to)).ok_or_else(|| {
        format!(
            "the limit of {name} is {}, and resize.max is {}; raise it",
            from.limit, resize.max
        )
    })
}

fn arithmetic(resize: &Resize, from: PodMemory, to: PodMemory) -> Vec<String> {
    let limit = format!(
        "limit: {} + {} % in whole MiB, {} at most = {}",
        from.limit, resize.percent, resize.max, to.limit
    );
    let request = match (from.request, to.request) {
        (Some(before), Some(after)) if before != after => {
            format!("request: it is the limit, so that the pod keeps its class: {before} -> {after}")
        }
        (Some(request), _) => format!("request: {request}, as it is"),
        (None, _) => "request: none".to_owned(),
    };
    vec![limit, request]
}

fn reason(suffering: &Suffering) -> String {
    let mut names: Vec<&str> = suffering
        .alerts
        .iter()
        .filter_map(|alert| alert.labels.get("alertname").map(String::as_str))
        .collect();
    names.dedup();
    let value = suffering
        .alerts
        .first()
        .map_or_else(String::new, |alert| format!(" at {}", alert.value));
    format!("{} fires for pod {}{value}", names.join(", "), suffering.pod)
}

/// What a node has free for more requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeRoom {
    /// So much.
    Free {
        /// The node.
        node: String,
        /// Its allocatable memory without what its pods request.
        bytes: Bytes,
    },
    /// It is not known, for this reason.
    Unknown(String),
}

//! The nodes of the cluster, as far as they decide whether another pod finds a place.

use super::{
    keep::{Progress, keep},
    quantity::milli,
    wire::{NodeWire, TaintWire},
};
use kube::{Api, Client, runtime::watcher};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::watch;

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// What pods may take of it: thousandths of a core.
    pub cpu: i64,
    /// Thousandths of a byte.
    pub memory: i64,
    /// How many pods.
    pub pods: i64,
    /// Whether it is ready and takes new pods.
    pub open: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What keeps pods off it.
    pub taints: Vec<TaintWire>,
}

impl Node {
    /// Reads a node. What it does not say that it has, it has not.
    pub fn of(seen: &NodeWire) -> Self {
        let allocatable = |key: &str| {
            seen.status
                .allocatable
                .get(key)
                .and_then(|text| milli(text))
                .unwrap_or(0)
        };
        Self {
            cpu: allocatable("cpu"),
            memory: allocatable("memory"),
            pods: allocatable("pods") / 1000,
            open: seen.is_ready() && !seen.spec.unschedulable,
            labels: seen.metadata.labels.clone().unwrap_or_default(),
            taints: seen.spec.taints.clone(),
        }
    }
}

#[derive(Default)]
struct Known {
    nodes: BTreeMap<String, Arc<Node>>,
    listed: Option<BTreeSet<String>>,
}

/// The nodes, as far as they may be read. Copies are the same nodes.
#[derive(Clone)]
pub struct Nodes {
    known: Arc<RwLock<Known>>,
    progress: watch::Receiver<Progress>,
}

impl Nodes {
    /// Watches all nodes.
    pub fn watch(client: &Client) -> Self {
        let known: Arc<RwLock<Known>> = Arc::default();
        let progress = keep(
            Api::<NodeWire>::all(client.clone()),
            "increases do not look for room on nodes",
            {
                let known = Arc::clone(&known);
                move |event| apply(&known, event)
            },
        );
        Self { known, progress }
    }

    /// Where nothing is watched.
    pub fn none() -> Self {
        Self {
            known: Arc::default(),
            progress: watch::channel(Progress::Out).1,
        }
    }

    /// These nodes, once and for all.
    pub fn fixed(nodes: impl IntoIterator<Item = (String, Node)>) -> Self {
        let nodes = nodes.into_iter().map(|(name, node)| (name, Arc::new(node))).collect();
        Self {
            known: Arc::new(RwLock::new(Known { nodes, listed: None })),
            progress: watch::channel(Progress::In).1,
        }
    }

    /// All nodes by name; `None`: not known.
    pub fn all(&self) -> Option<Vec<(String, Arc<Node>)>> {
        if *self.progress.borrow() != Progress::In {
            return None;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Some(
            known
                .nodes
                .iter()
                .map(|(name, node)| (name.clone(), Arc::clone(node)))
                .collect(),
        )
    }
}

fn apply(known: &RwLock<Known>, event: &watcher::Event<NodeWire>) {
    let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
    match event {
        watcher::Event::Apply(seen) | watcher::Event::InitApply(seen) => {
            let Some(name) = seen.metadata.name.clone() else { return };
            if let Some(listed) = &mut known.listed {
                listed.insert(name.clone());
            }
            known.nodes.insert(name, Arc::new(Node::of(seen)));
        }
        watcher::Event::Delete(seen) => {
            if let Some(name) = &seen.metadata.name {
                known.nodes.remove(name);
            }
        }
        watcher::Event::Init => known.listed = Some(BTreeSet::new()),
        watcher::Event::InitDone => {
            if let Some(listed) = known.listed.take() {
                known.nodes.retain(|name, _| listed.contains(name));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    fn node(name: &str, spec: &Value, ready: &str) -> NodeWire {
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": "n-1", "labels": {"zone": "a"}},
            "spec": spec,
            "status": {
                "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                "allocatable": {"cpu": "3920m", "memory": "7Gi", "pods": "110", "hugepages-2Mi": "0"},
                "conditions": [
                    {"type": "MemoryPressure", "status": "False"},
                    {"type": "Ready", "status": ready, "reason": "KubeletReady"},
                ],
                "images": [{"names": ["web:1"], "sizeBytes": 1}],
            },
        }))
        .expect("a node")
    }

    #[test]
    fn a_node_is_open_where_it_is_ready_and_not_cordoned() {
        let open = |spec: Value, ready| Node::of(&node("one", &spec, ready)).open;
        assert!(open(json!({}), "True"));
        assert!(!open(json!({}), "Unknown"));
        assert!(!open(json!({"unschedulable": true}), "True"));
        let read = Node::of(&node(
            "one",
            &json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}),
            "True",
        ));
        assert_eq!((read.cpu, read.memory / 1000, read.pods), (3920, 7 << 30, 110));
        assert_eq!((read.taints.len(), read.labels["zone"].as_str()), (1, "a"));
    }

    #[test]
    fn nodes_follow_every_event() {
        let nodes = Nodes::fixed([]);
        let names = || -> Vec<String> { nodes.all().expect("known").into_iter().map(|(name, _)| name).collect() };
        let on = |event: Event<NodeWire>| apply(&nodes.known, &event);
        let plain = |name| node(name, &json!({}), "True");
        on(Event::Apply(plain("one")));
        on(Event::Apply(plain("two")));
        on(Event::Delete(plain("one")));
        assert_eq!(names(), ["two"]);
        on(Event::Init);
        on(Event::InitApply(plain("three")));
        assert_eq!(names(), ["three", "two"], "while a list comes in, nothing is gone");
        on(Event::InitDone);
        assert_eq!(names(), ["three"]);
        assert_eq!(Nodes::none().all(), None);
    }
}

//! The pods of all workloads, found by ownerReferences.
//!
//! Labels lie: two workloads may select the same pods. A pod belongs to the one owner that is its
//! controller, and a Deployment's or Rollout's pods are those of its ReplicaSets. Pods are the most
//! numerous objects of a cluster, so they are not kept as objects but as what is read of them.

mod index;

pub use index::{Held, Lined, NotServed, Placed, Served};

use super::{
    cluster::within,
    keep::{Progress, keep},
    wire::{PodWire, SetWire},
};
use flyball_core::{decide, policy::CapturePort};
use index::{Index, Uid};
use kube::{Client, runtime::watcher};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// The pods, as far as they may be read. Copies are the same pods.
#[derive(Clone)]
pub struct Pods {
    index: Arc<RwLock<Index>>,
    progress: watch::Receiver<Progress>,
    sets: watch::Receiver<Progress>,
    scope: Option<Arc<str>>,
}

impl Pods {
    /// Watches the pods and ReplicaSets of a namespace, or of all.
    pub fn watch(client: &Client, scope: Option<&str>) -> Self {
        let index: Arc<RwLock<Index>> = Arc::default();
        let progress = keep(within::<PodWire>(client, scope), "pods are not counted", {
            let index = Arc::clone(&index);
            move |event| apply(&index, event)
        });
        let sets = keep(within::<SetWire>(client, scope), "pods are not counted", {
            let index = Arc::clone(&index);
            move |event| apply_set(&index, event)
        });
        Self {
            index,
            progress,
            sets,
            scope: scope.map(Into::into),
        }
    }

    /// Where nothing is watched.
    pub fn none() -> Self {
        Self {
            index: Arc::default(),
            progress: watch::channel(Progress::Out).1,
            sets: watch::channel(Progress::Out).1,
            scope: None,
        }
    }

    /// These pods and ReplicaSets, once and for all.
    pub fn fixed(pods: &[PodWire], sets: &[SetWire]) -> Self {
        let mut index = Index::default();
        for set in sets {
            index.put_set(set);
        }
        for pod in pods {
            index.put(pod);
        }
        Self {
            index: Arc::new(RwLock::new(index)),
            progress: watch::channel(Progress::In).1,
            sets: watch::channel(Progress::In).1,
            scope: None,
        }
    }

    /// Waits until both first lists are in, or may not be read.
    pub async fn settled(&self) {
        for progress in [&self.progress, &self.sets] {
            // A watch that ended has nothing more to wait for.
            drop(
                progress
                    .clone()
                    .wait_for(|progress| *progress != Progress::Listing)
                    .await,
            );
        }
    }

    /// Whether pods are known.
    pub fn known(&self) -> bool {
        *self.progress.borrow() == Progress::In && *self.sets.borrow() == Progress::In
    }

    /// The one namespace that is looked at, if it is not all of them.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The pods of the object with this UID, itself or through ReplicaSets; `None`: not known.
    pub fn of(&self, owner: &str) -> Option<decide::Pods> {
        let pods = self.placed(owner)?.into_iter().map(|placed| placed.pod);
        Some(decide::Pods(pods.collect()))
    }

    /// The same with their places.
    pub fn placed(&self, owner: &str) -> Option<Vec<Placed>> {
        let owner = Uid::of(owner).filter(|_| self.known())?;
        Some(read(&self.index).of(owner))
    }

    /// The running pods of an owner with their lines under an annotation; `None`: not known.
    pub fn lined(&self, owner: &str, annotation: &str) -> Option<Vec<Lined>> {
        let owner = Uid::of(owner).filter(|_| self.known())?;
        Some(read(&self.index).lined(owner, annotation))
    }

    /// The running pods of an owner with the place of a port of theirs; `None`: not known.
    pub fn served(&self, owner: &str, port: &CapturePort) -> Option<Vec<Served>> {
        let owner = Uid::of(owner).filter(|_| self.known())?;
        Some(read(&self.index).served(owner, port))
    }

    /// On which node each pod of a namespace is, by name; `None`: not known.
    pub fn places(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        self.known().then(|| read(&self.index).places(namespace))
    }

    /// The hashes of the templates of those ReplicaSets of an owner that have pods; `None`: not known.
    pub fn templates(&self, owner: &str) -> Option<Vec<u64>> {
        let owner = Uid::of(owner).filter(|_| *self.sets.borrow() == Progress::In)?;
        Some(read(&self.index).templates(owner))
    }

    /// What pods take of these nodes, in their order.
    pub fn held<'n>(&self, nodes: impl IntoIterator<Item = &'n str>) -> Vec<Held> {
        let index = read(&self.index);
        nodes.into_iter().map(|node| index.held(node)).collect()
    }

    /// How many pods are kept.
    pub fn count(&self) -> usize {
        read(&self.index).len()
    }
}

/// The hash of a pod template, without the label of a ReplicaSet. Comparable within this process only.
pub fn template_hash(template: &Value) -> u64 {
    index::template_hash(template)
}

fn read(index: &RwLock<Index>) -> RwLockReadGuard<'_, Index> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(index: &RwLock<Index>) -> RwLockWriteGuard<'_, Index> {
    index.write().unwrap_or_else(PoisonError::into_inner)
}

fn apply(index: &RwLock<Index>, event: &watcher::Event<PodWire>) {
    let mut index = write(index);
    match event {
        watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => index.put(pod),
        watcher::Event::Delete(pod) => index.remove(pod),
        watcher::Event::Init => index.begin(),
        watcher::Event::InitDone => index.end(),
    }
}

fn apply_set(index: &RwLock<Index>, event: &watcher::Event<SetWire>) {
    let mut index = write(index);
    match event {
        watcher::Event::Apply(set) | watcher::Event::InitApply(set) => index.put_set(set),
        watcher::Event::Delete(set) => index.remove_set(set),
        watcher::Event::Init => index.begin_sets(),
        watcher::Event::InitDone => index.end_sets(),
    }
}

#[cfg(test)]
mod tests;

//! The pods of all workloads, found by ownerReferences.
//!
//! Labels lie: two workloads may select the same pods. A pod belongs to the one owner that is its
//! controller, and a Deployment's or Rollout's pods are those of its ReplicaSets. Pods are the most
//! numerous objects of a cluster, so they are not kept as objects but as what is read of them.

mod index;
mod wire;

pub use index::{Held, Placed};
pub use wire::{NodeWire, PodWire, SetWire, TaintWire};

use super::cluster::within;
use flyball_core::decide;
use futures::StreamExt;
use index::{Index, Uid};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    fmt::Debug,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use tokio::{pin, sync::watch, time::sleep};
use tracing::{info, warn};

/// How many objects of the first list are asked for at once. Each answer is held as a whole.
pub(super) const PAGE: u32 = 200;
/// How soon it is asked again whether a right was given.
const AGAIN: Duration = Duration::from_secs(30);

/// How far a watch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The first list is not in.
    Listing,
    /// Everything is there.
    In,
    /// It may not be read, or is not.
    Out,
}

/// The pods, as far as they may be read. Copies are the same pods.
#[derive(Clone)]
pub struct Pods {
    index: Arc<RwLock<Index>>,
    pods: watch::Receiver<Progress>,
    sets: watch::Receiver<Progress>,
    scope: Option<Arc<str>>,
}

impl Pods {
    /// Watches the pods and ReplicaSets of a namespace, or of all.
    pub fn watch(client: &Client, scope: Option<&str>) -> Self {
        let index: Arc<RwLock<Index>> = Arc::default();
        let pods = keep(within::<PodWire>(client, scope), "pods are not counted", {
            let index = Arc::clone(&index);
            move |event| apply(&index, event)
        });
        let sets = keep(within::<SetWire>(client, scope), "pods are not counted", {
            let index = Arc::clone(&index);
            move |event| apply_set(&index, event)
        });
        Self {
            index,
            pods,
            sets,
            scope: scope.map(Into::into),
        }
    }

    /// Where nothing is watched.
    pub fn none() -> Self {
        Self {
            index: Arc::default(),
            pods: watch::channel(Progress::Out).1,
            sets: watch::channel(Progress::Out).1,
            scope: None,
        }
    }

    /// These pods and ReplicaSets, once and for all.
    pub fn fixed(pods: &[PodWire], sets: &[SetWire]) -> Self {
        let mut index = Index::default();
        sets.iter().for_each(|set| index.put_set(set));
        pods.iter().for_each(|pod| index.put(pod));
        Self {
            index: Arc::new(RwLock::new(index)),
            pods: watch::channel(Progress::In).1,
            sets: watch::channel(Progress::In).1,
            scope: None,
        }
    }

    /// Waits until both first lists are in, or may not be read.
    pub async fn settled(&self) {
        for progress in [&self.pods, &self.sets] {
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
        *self.pods.borrow() == Progress::In && *self.sets.borrow() == Progress::In
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

/// Watches and passes every event on. Where the right is missing, that is said once, and asked for again
/// now and then: it may be given while we run.
pub(super) fn keep<K>(
    api: Api<K>,
    without: &'static str,
    on_event: impl Fn(&watcher::Event<K>) + Send + Sync + 'static,
) -> watch::Receiver<Progress>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (progress, seen) = watch::channel(Progress::Listing);
    tokio::spawn(async move {
        let (kind, mut told) = (K::plural(&()).into_owned(), false);
        loop {
            // Asked before it is watched: the watch itself logs every refusal.
            if let Err(error) = api.list(&ListParams::default().limit(1)).await
                && forbidden(&error)
            {
                progress.send_replace(Progress::Out);
                if !told {
                    warn!(kind, "no right to list and watch them: {without}; see flyball doctor");
                    told = true;
                }
                sleep(AGAIN).await;
                continue;
            }
            if told {
                info!(kind, "may be read now");
                told = false;
            }
            until_refused(api.clone(), &kind, &progress, &on_event).await;
            progress.send_replace(Progress::Out);
            sleep(AGAIN).await;
        }
    });
    seen
}

/// Watches until the server says that it is not allowed.
async fn until_refused<K>(
    api: Api<K>,
    kind: &str,
    progress: &watch::Sender<Progress>,
    on_event: &(impl Fn(&watcher::Event<K>) + Send + Sync),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let events = watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff();
    pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                on_event(&event);
                if matches!(event, watcher::Event::InitDone) {
                    progress.send_replace(Progress::In);
                }
            }
            Err(error) => {
                warn!(%error, kind, "a watch failed; trying again");
                if refused(&error) {
                    return;
                }
            }
        }
    }
}

fn forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn refused(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => forbidden(error),
        watcher::Error::WatchError(status) => status.code == 403,
        watcher::Error::NoResourceVersion => false,
    }
}

#[cfg(test)]
mod tests;

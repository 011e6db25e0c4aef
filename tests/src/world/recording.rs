//! Watches one namespace and keeps every version of its targets and Changes.

use crate::{
    bed::{Bed, eventually},
    laws::{Seen, TargetSeen, Trace, What, violations},
};
use flyball_crds::Change;
use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use std::{
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::task::JoinHandle;

/// The recording of one namespace. Ends when it is dropped.
pub struct Recording {
    trace: Arc<Mutex<Trace>>,
    tasks: Vec<JoinHandle<()>>,
    targets: Vec<Api<DynamicObject>>,
    changes: Api<Change>,
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock(trace: &Mutex<Trace>) -> MutexGuard<'_, Trace> {
    trace.lock().unwrap_or_else(PoisonError::into_inner)
}

fn version<K: Resource>(object: &K) -> u64 {
    object
        .resource_version()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

impl Recording {
    /// Begins to record.
    pub fn start(bed: &Bed, namespace: &str) -> Self {
        let trace: Arc<Mutex<Trace>> = Arc::default();
        let targets: Vec<Api<DynamicObject>> = ["Deployment", "StatefulSet"]
            .into_iter()
            .map(|kind| {
                let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
                Api::namespaced_with(bed.client.clone(), namespace, &kind)
            })
            .collect();
        let changes: Api<Change> = Api::namespaced(bed.client.clone(), namespace);
        let mut tasks: Vec<_> = targets
            .iter()
            .map(|api| {
                let seen = |object: &DynamicObject| What::Target(TargetSeen::of(object));
                follow(api.clone(), &trace, seen, |object| {
                    What::TargetGone(object.uid().unwrap_or_default())
                })
            })
            .collect();
        let seen = |change: &Change| What::Change(Box::new(change.clone()));
        tasks.push(follow(changes.clone(), &trace, seen, |change| {
            What::ChangeGone(change.name_any())
        }));
        Self {
            trace,
            tasks,
            targets,
            changes,
        }
    }

    /// The replicas of a target as the watch last told; 0 if it is not known.
    pub fn replicas_now(&self, name: &str) -> impl Fn() -> i32 + Send + Sync + 'static {
        let (trace, name) = (Arc::clone(&self.trace), name.to_owned());
        move || {
            let trace = lock(&trace);
            let named = trace.iter().filter_map(|seen| match &seen.what {
                What::Target(target) if target.name == name => Some((seen.version, target.replicas)),
                _ => None,
            });
            named.max().map_or(0, |(_, replicas)| replicas)
        }
    }

    /// Everything so far, once all that happened up to now is in.
    pub async fn trace(&self) -> Trace {
        let mut wanted = Vec::new();
        for api in &self.targets {
            let found = api.list(&ListParams::default()).await.expect("the targets");
            wanted.extend(found.items.iter().map(version));
        }
        wanted.extend(
            self.changes
                .list(&ListParams::default())
                .await
                .expect("the Changes")
                .items
                .iter()
                .map(version),
        );
        eventually("the watches tell of everything", async || {
            let trace = lock(&self.trace);
            wanted
                .iter()
                .all(|version| trace.iter().any(|seen| seen.version >= *version))
                .then_some(())
        })
        .await;
        lock(&self.trace).clone()
    }

    /// Fails with every law that was broken.
    pub async fn check(&self) {
        let broken = violations(&self.trace().await);
        assert!(broken.is_empty(), "laws were broken:\n  {}", broken.join("\n  "));
    }
}

fn follow<K>(
    api: Api<K>,
    trace: &Arc<Mutex<Trace>>,
    seen: impl Fn(&K) -> What + Send + 'static,
    gone: impl Fn(&K) -> What + Send + 'static,
) -> JoinHandle<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let trace = Arc::clone(trace);
    tokio::spawn(async move {
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
        while let Some(event) = events.next().await {
            let (object, what) = match &event {
                Ok(Event::Apply(object) | Event::InitApply(object)) => (object, seen(object)),
                Ok(Event::Delete(object)) => (object, gone(object)),
                // It is tried again.
                _ => continue,
            };
            let version = version(object);
            lock(&trace).push(Seen { version, what });
        }
    })
}

//! What the autoscalers of one namespace say, from the first word on.

use crate::bed::PATIENCE;
use futures::StreamExt;
use k8s_openapi::api::{
    autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus},
    core::v1::Event,
};
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

#[derive(Default)]
struct Book {
    /// Every status that has conditions, in order, by the autoscaler's name.
    statuses: BTreeMap<String, Vec<HorizontalPodAutoscalerStatus>>,
    /// Reason and message of its events.
    events: BTreeMap<String, Vec<(String, String)>>,
    /// How often the watch of autoscalers began. After the first time, it may have missed something.
    begun: usize,
}

/// Watches the autoscalers of a namespace and their events. Two requests serve all cases. Ends when it is dropped.
pub(super) struct Watch {
    book: Arc<Mutex<Book>>,
    changed: watch::Receiver<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Watch {
    pub(super) async fn start(client: &Client, namespace: &str) -> Self {
        let book: Arc<Mutex<Book>> = Arc::default();
        let (tell, changed) = watch::channel(());
        let tell = Arc::new(tell);
        let tasks = vec![
            tokio::spawn(follow_autoscalers(
                Api::namespaced(client.clone(), namespace),
                Arc::clone(&book),
                Arc::clone(&tell),
            )),
            tokio::spawn(follow_events(
                Api::namespaced(client.clone(), namespace),
                Arc::clone(&book),
                tell,
            )),
        ];
        let watch = Self { book, changed, tasks };
        watch
            .until("the watch of autoscalers begins", |book| (book.begun > 0).then_some(()))
            .await;
        watch
    }

    /// The first status of an autoscaler that `wanted` takes.
    pub(super) async fn status(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&HorizontalPodAutoscalerStatus) -> bool,
    ) -> HorizontalPodAutoscalerStatus {
        self.until(&format!("the autoscaler {name} {what}"), |book| {
            book.statuses.get(name)?.iter().find(|status| wanted(status)).cloned()
        })
        .await
    }

    /// An autoscaler's events, once each of these prefixes begins the reason of one.
    pub(super) async fn events(&self, name: &str, reasons: &[&str]) -> Vec<(String, String)> {
        self.until(&format!("the autoscaler {name} has events {reasons:?}"), |book| {
            let events = book.events.get(name).cloned().unwrap_or_default();
            let told = |wanted: &&str| events.iter().any(|(reason, _)| reason.starts_with(wanted));
            reasons.iter().all(told).then_some(events)
        })
        .await
    }

    /// Fails if a status could have been missed.
    pub(super) fn check_unbroken(&self) {
        let begun = self.book.lock().unwrap_or_else(PoisonError::into_inner).begun;
        assert!(
            begun == 1,
            "the watch of autoscalers broke off: a first decision may be lost"
        );
    }

    async fn until<T>(&self, what: &str, ask: impl Fn(&Book) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut changed = self.changed.clone();
        loop {
            // Before the look, so that what comes after it is not missed.
            changed.mark_unchanged();
            if let Some(found) = ask(&self.book.lock().unwrap_or_else(PoisonError::into_inner)) {
                return found;
            }
            let told = timeout_at(end, changed.changed()).await;
            assert!(matches!(told, Ok(Ok(()))), "waited in vain: {what}");
        }
    }
}

async fn follow_autoscalers(api: Api<HorizontalPodAutoscaler>, book: Arc<Mutex<Book>>, tell: Arc<watch::Sender<()>>) {
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(watcher::Event::InitDone) => book.begun += 1,
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                let name = object.name_any();
                let said = object.status.filter(|status| status.conditions.is_some());
                book.statuses.entry(name).or_default().extend(said);
            }
            // A failure is followed by a new beginning.
            _ => continue,
        }
        tell.send_replace(());
    }
}

async fn follow_events(api: Api<Event>, book: Arc<Mutex<Book>>, tell: Arc<watch::Sender<()>>) {
    let config = watcher::Config::default().fields("involvedObject.kind=HorizontalPodAutoscaler");
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    while let Some(event) = events.next().await {
        let Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = event else {
            continue;
        };
        let name = event.involved_object.name.unwrap_or_default();
        let said = (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        let known = book.events.entry(name).or_default();
        // Of an event that happens again only the count moves.
        if !known.contains(&said) {
            known.push(said);
            tell.send_replace(());
        }
    }
}

//! A watch whose objects are kept in a form of our own, not as objects.

use crate::client::chain;
use futures::StreamExt;
use kube::{
    Api, Resource,
    api::ListParams,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, time::Duration};
use tokio::{pin, sync::watch, time::sleep};
use tracing::{info, warn};

/// How many objects of the first list are asked for at once. Each answer is held as a whole.
const PAGE: u32 = 200;
/// How soon it is asked again whether a right was given.
const AGAIN: Duration = Duration::from_secs(30);

/// How far a watch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The first list is not in.
    Listing,
    /// Everything is there.
    In,
    /// It may not be read, or is not.
    Out,
}

/// Watches and passes every event on. Where the right is missing, that is said once, and asked for again
/// now and then: it may be given while we run.
pub fn keep<K>(
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
            until_refused(api.clone(), watcher::Config::default(), &progress, &on_event).await;
            progress.send_replace(Progress::Out);
            sleep(AGAIN).await;
        }
    });
    seen
}

/// Watches until the server says that it is not allowed.
pub(super) async fn until_refused<K>(
    api: Api<K>,
    which: watcher::Config,
    progress: &watch::Sender<Progress>,
    on_event: &(impl Fn(&watcher::Event<K>) + Send + Sync),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let kind = K::plural(&()).into_owned();
    let events = watcher(api, which.page_size(PAGE)).default_backoff();
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
                warn!(error = chain(&error), kind, "a watch failed; trying again");
                if refused(&error) {
                    return;
                }
            }
        }
    }
}

pub(super) fn forbidden(error: &kube::Error) -> bool {
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

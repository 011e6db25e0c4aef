//! Namespaces that somebody paused by an annotation: the kill switch of one team.
//!
//! Like the red button it stops forward writes and nothing else. Unlike it, one that can't be read counts as not
//! pressed: the right to look at namespaces is an addition, and an installation for one namespace may lack it.

use super::{
    keep::{Progress, forbidden, keep, until_refused},
    wire::NamespaceWire,
};
use crate::{
    client::{CallKind, within},
    text::clean,
};
use flyball_crds::PAUSE_ANNOTATION;
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::ListParams, runtime::watcher};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{info, warn};

/// How often an installation for one namespace looks at it, where it may get but not watch it: a Role can give no more.
const LOOK: Duration = Duration::from_secs(10);
/// How long one look may take.
const ASK_LIMIT: Duration = Duration::from_secs(2);
const WITHOUT: &str = "a namespace can't be paused by its annotation";

/// Those that are paused, with the annotation's value.
#[derive(Default)]
struct Known {
    paused: BTreeMap<String, String>,
    listed: Option<BTreeSet<String>>,
}

/// Which namespaces are paused, from memory. Copies are the same.
#[derive(Clone)]
pub struct Namespaces {
    known: Arc<RwLock<Known>>,
    progress: watch::Receiver<Progress>,
}

impl std::fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespaces").finish_non_exhaustive()
    }
}

/// Why nothing may be written in a namespace with this annotation, if that is so.
pub fn why(name: &str, value: Option<&str>) -> Option<String> {
    let value = clean(value?.trim());
    let said = match value.as_str() {
        "false" => return None,
        "" | "true" => String::new(),
        reason => format!(" ({reason})"),
    };
    Some(format!(
        "namespace {name} carries the annotation {PAUSE_ANNOTATION}{said}; remove it to go on"
    ))
}

/// The value of the annotation, if it pauses.
fn value_of(metadata: &ObjectMeta) -> Option<String> {
    let value = metadata.annotations.as_ref()?.get(PAUSE_ANNOTATION)?;
    (value.trim() != "false").then(|| value.clone())
}

impl Namespaces {
    /// Watches all namespaces, or the one of `scope`. `on_move` hears of each that was paused,
    /// or is not any more.
    pub fn watch(client: &Client, scope: Option<&str>, on_move: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let known: Arc<RwLock<Known>> = Arc::default();
        let told = Arc::clone(&known);
        let progress = match scope {
            None => keep(Api::<NamespaceWire>::all(client.clone()), WITHOUT, move |event| {
                for moved in apply(&told, event) {
                    on_move(&moved);
                }
            }),
            Some(name) => {
                let (publish, progress) = watch::channel(Progress::Listing);
                let (client, name) = (client.clone(), name.to_owned());
                tokio::spawn(async move {
                    tokio::select! {
                        () = publish.closed() => {}
                        () = one(&client, &name, &told, &publish, on_move) => {}
                    }
                });
                progress
            }
        };
        Self { known, progress }
    }

    /// Where nothing is known, and none is paused.
    pub fn none() -> Self {
        Self {
            known: Arc::default(),
            progress: watch::channel(Progress::Out).1,
        }
    }

    /// Waits until they are known, or known to be out of reach.
    pub async fn settled(&self) {
        let mut progress = self.progress.clone();
        // The other end lives as long as the process does.
        let _ = progress.wait_for(|progress| *progress != Progress::Listing).await;
    }

    /// Why nothing may be written in a namespace, if it is paused.
    pub fn paused(&self, name: &str) -> Option<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        why(name, known.paused.get(name).map(String::as_str))
    }

    /// The same, asked now: whoever pauses a namespace relies on it from then on. Where it may not be read, what is
    /// known counts; where nobody answers, nothing is written now.
    pub async fn paused_now(&self, client: &Client, name: &str) -> Option<String> {
        let known = self.paused(name);
        if known.is_some() || *self.progress.borrow() == Progress::Out {
            return known;
        }
        let api: Api<Namespace> = Api::all(client.clone());
        match within(Instant::now() + ASK_LIMIT, api.get_metadata(name)).await {
            Ok(seen) => why(name, value_of(&seen.metadata).as_deref()),
            Err(error) if matches!(error.kind(), CallKind::Forbidden | CallKind::NotFound) => None,
            Err(error) => {
                warn!(%error, namespace = name, "whether the namespace is paused can't be read; nothing is written now");
                Some(format!("whether namespace {name} is paused can't be read now"))
            }
        }
    }
}

/// Takes an event in; returns the namespaces whose pause moved.
fn apply(known: &RwLock<Known>, event: &watcher::Event<NamespaceWire>) -> Vec<String> {
    let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
    match event {
        watcher::Event::Apply(seen) | watcher::Event::InitApply(seen) => {
            let Some(name) = seen.metadata.name.clone() else {
                return Vec::new();
            };
            if let Some(listed) = &mut known.listed {
                listed.insert(name.clone());
            }
            let moved = note(&mut known, &name, value_of(&seen.metadata));
            moved.then_some(name).into_iter().collect()
        }
        watcher::Event::Delete(seen) => {
            let name = seen.metadata.name.clone().unwrap_or_default();
            note(&mut known, &name, None);
            Vec::new()
        }
        watcher::Event::Init => {
            known.listed = Some(BTreeSet::new());
            Vec::new()
        }
        watcher::Event::InitDone => {
            if let Some(listed) = known.listed.take() {
                known.paused.retain(|name, _| listed.contains(name));
            }
            Vec::new()
        }
    }
}

/// Keeps what a namespace says of itself; whether that is news.
fn note(known: &mut Known, name: &str, value: Option<String>) -> bool {
    let (before, now) = (known.paused.get(name), value.as_ref());
    if before == now {
        return false;
    }
    if let Some(value) = now {
        let value = clean(value);
        warn!(
            namespace = name,
            value, "the namespace is paused; nothing is written in it but roll-backs"
        );
    } else {
        warn!(namespace = name, "the namespace is not paused any more");
    }
    match value {
        Some(value) => known.paused.insert(name.to_owned(), value),
        None => known.paused.remove(name),
    };
    true
}

/// Watches one namespace, or looks at it now and then where it may not be watched.
async fn one(
    client: &Client,
    name: &str,
    known: &Arc<RwLock<Known>>,
    publish: &watch::Sender<Progress>,
    on_move: impl Fn(&str) + Send + Sync,
) {
    let (api, fields) = (
        Api::<NamespaceWire>::all(client.clone()),
        format!("metadata.name={name}"),
    );
    // Asked before it is watched: the watch itself logs every refusal.
    let first = api.list(&ListParams::default().fields(&fields).limit(1)).await;
    if !first.is_err_and(|error| forbidden(&error)) {
        let on_event = |event: &watcher::Event<NamespaceWire>| {
            // A selector that a server ignores must not bring others in.
            for moved in apply(known, event).iter().filter(|moved| *moved == name) {
                on_move(moved);
            }
        };
        until_refused(api, watcher::Config::default().fields(&fields), publish, &on_event).await;
    }
    look(&Api::all(client.clone()), name, known, publish, on_move).await;
}

/// Looks at one namespace again and again. One that can't be read stays as it was last.
async fn look(
    api: &Api<Namespace>,
    name: &str,
    known: &RwLock<Known>,
    publish: &watch::Sender<Progress>,
    on_move: impl Fn(&str),
) {
    loop {
        let progress = match within(Instant::now() + ASK_LIMIT, api.get_metadata(name)).await {
            Ok(seen) => {
                let moved = {
                    let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
                    note(&mut known, name, value_of(&seen.metadata))
                };
                if moved {
                    on_move(name);
                }
                Some(Progress::In)
            }
            Err(error) => match error.kind() {
                CallKind::Forbidden | CallKind::NotFound => Some(Progress::Out),
                _ => None,
            },
        };
        let before = *publish.borrow();
        match progress {
            Some(Progress::Out) if before != Progress::Out => {
                warn!(namespace = name, "no right to get it: {WITHOUT}; see flyball doctor");
            }
            Some(Progress::In) if before == Progress::Out => info!(namespace = name, "may be read now"),
            _ => {}
        }
        if let Some(progress) = progress {
            publish.send_replace(progress);
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    fn namespace(name: &str, value: Option<&str>) -> NamespaceWire {
        let mut annotations = json!({"team": "a"});
        if let Some(value) = value {
            annotations[PAUSE_ANNOTATION] = json!(value);
        }
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }))
        .expect("a namespace")
    }

    #[test]
    fn anything_but_false_pauses_and_is_said_with_its_reason() {
        let check = |value: Option<&str>, expect: Option<&str>| {
            assert_eq!(why("shop", value).as_deref(), expect, "{value:?}");
        };
        let plain = "namespace shop carries the annotation flyball.dev/paused; remove it to go on";
        check(None, None);
        check(Some("false"), None);
        check(Some("true"), Some(plain));
        check(Some(""), Some(plain));
        check(
            Some("incident 12"),
            Some("namespace shop carries the annotation flyball.dev/paused (incident 12); remove it to go on"),
        );
    }

    #[test]
    fn a_pause_follows_every_event() {
        let known = RwLock::default();
        let on = |event: Event<NamespaceWire>| apply(&known, &event);
        let paused = || -> Vec<String> { known.read().expect("known").paused.keys().cloned().collect() };
        assert_eq!(on(Event::Apply(namespace("shop", Some("true")))), ["shop"]);
        assert_eq!(on(Event::Apply(namespace("shop", Some("true")))), [""; 0], "no news");
        assert_eq!(on(Event::Apply(namespace("other", None))), [""; 0]);
        on(Event::Init);
        on(Event::InitApply(namespace("bank", Some("true"))));
        assert_eq!(paused(), ["bank", "shop"], "while a list comes in, nothing goes on");
        on(Event::InitDone);
        assert_eq!(paused(), ["bank"]);
        assert_eq!(on(Event::Apply(namespace("bank", Some("false")))), ["bank"]);
        assert_eq!(paused(), [""; 0]);
    }
}

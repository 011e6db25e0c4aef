//! The red button: a ConfigMap that stops every forward write of the installation while it is there.

use super::namespaces::Namespaces;
use crate::{client::within, text::clean};
use flyball_crds::FREEZE_NAME;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use std::{fmt, pin::pin, time::Duration};
use tokio::{sync::watch, time::Instant};
use tracing::warn;

/// The keys of the ConfigMap's data.
pub const REASON: &str = "reason";
/// Who pressed the button.
pub const BY: &str = "by";
/// When, as RFC 3339 has it.
pub const AT: &str = "at";
/// What becomes of what is open already. Without it, it goes on being judged.
pub const CHANGES: &str = "changes";
/// Under [`CHANGES`]: it is cut short.
pub const CUT_SHORT: &str = "cut-short";

/// Who froze the installation, when, and why, as far as that is known: a ConfigMap that somebody made
/// by hand freezes it too, whatever is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// Who.
    pub by: Option<String>,
    /// When.
    pub at: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whether what is open already is cut short, because the installation goes away.
    pub cuts_short: bool,
}

impl Frozen {
    /// Reads the ConfigMap.
    pub fn of(map: &ConfigMap) -> Self {
        let text = |key| {
            let text = map.data.as_ref().and_then(|data| data.get(key));
            text.map(|text| clean(text.trim())).filter(|text| !text.is_empty())
        };
        let created = || map.creation_timestamp().map(|time| time.0.to_string());
        Self {
            by: text(BY),
            at: text(AT).or_else(created),
            reason: text(REASON),
            cuts_short: text(CHANGES).as_deref() == Some(CUT_SHORT),
        }
    }
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {}", self.by.as_deref().unwrap_or("somebody"))?;
        if let Some(at) = &self.at {
            write!(f, " at {at}")?;
        }
        write!(f, ": {}", self.reason.as_deref().unwrap_or("no reason is given"))
    }
}

/// What is known of the button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It could not be read yet.
    Unknown,
    /// It is not pressed.
    Free,
    /// It is pressed.
    Frozen(Frozen),
}

impl State {
    /// Why nothing may be written but roll-backs, if that is so.
    fn why(&self) -> Option<String> {
        match self {
            Self::Free => None,
            Self::Frozen(frozen) => Some(frozen.to_string()),
            Self::Unknown => Some(format!(
                "whether it is frozen is not known, because the ConfigMap {FREEZE_NAME} can't be read; \
                 give the controller the right to get, list and watch it"
            )),
        }
    }
}

/// How long the button may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// The button as it is now, from memory.
#[derive(Clone, Debug)]
pub struct Freeze {
    state: watch::Receiver<State>,
    /// Where the button is; `None` for one that stays as it is.
    namespace: Option<String>,
    /// The namespaces that are paused for themselves.
    namespaces: Namespaces,
}

impl Freeze {
    /// Watches the ConfigMap in the controller's own namespace, and nothing else there. Ends when the
    /// last copy is dropped.
    pub fn watch(client: &Client, own_namespace: &str) -> Self {
        let (publish, state) = watch::channel(State::Unknown);
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), own_namespace);
        tokio::spawn(async move {
            tokio::select! {
                () = publish.closed() => {}
                () = follow(api, &publish) => {}
            }
        });
        Self {
            state,
            namespace: Some(own_namespace.to_owned()),
            namespaces: Namespaces::none(),
        }
    }

    /// A button that stays as it is, for a reading that is done once.
    pub fn known(state: State) -> Self {
        Self {
            state: watch::channel(state).1,
            namespace: None,
            namespaces: Namespaces::none(),
        }
    }

    /// The same, with the namespaces that may be paused for themselves.
    #[must_use]
    pub fn with(self, namespaces: Namespaces) -> Self {
        Self { namespaces, ..self }
    }

    /// Waits until the button was read for the first time.
    pub async fn ready(&self) {
        // The other end lives as long as this one does.
        let _ = self.state.clone().wait_for(|state| *state != State::Unknown).await;
        self.namespaces.settled().await;
    }

    /// What is known now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Waits until something else is known. Never returns for one that stays as it is.
    pub async fn changed(&mut self) {
        if self.state.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Why nothing may be written but roll-backs, if that is so. A button that can't be read counts as
    /// pressed: somebody may be relying on it.
    pub fn frozen(&self) -> Option<String> {
        self.state.borrow().why()
    }

    /// Whether what is open already is to be cut short, too.
    pub fn cuts_short(&self) -> bool {
        matches!(&*self.state.borrow(), State::Frozen(frozen) if frozen.cuts_short)
    }

    /// Why nothing may be written in a namespace but roll-backs, if it is paused for itself.
    pub fn paused(&self, namespace: &str) -> Option<String> {
        self.namespaces.paused(namespace)
    }

    /// Whether either holds a namespace.
    pub fn holds(&self, namespace: &str) -> bool {
        self.frozen().is_some() || self.paused(namespace).is_some()
    }

    /// Whether either holds a namespace, asked now.
    pub async fn holds_now(&self, client: &Client, namespace: &str) -> bool {
        let (frozen, paused) = tokio::join!(self.frozen_now(client), self.namespaces.paused_now(client, namespace));
        frozen.is_some() || paused.is_some()
    }

    /// Why nothing may be written but roll-backs, asked now: a watch may have ended without a word minutes ago, and whoever presses the button
    /// relies on it from then on.
    async fn frozen_now(&self, client: &Client) -> Option<String> {
        let known = self.frozen();
        let Some(namespace) = self.namespace.as_ref().filter(|_| known.is_none()) else {
            return known;
        };
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        match within(Instant::now() + ASK_LIMIT, api.get_opt(FREEZE_NAME)).await {
            Ok(None) => None,
            Ok(Some(map)) => Some(Frozen::of(&map).to_string()),
            Err(error) => {
                warn!(%error, "the ConfigMap {FREEZE_NAME} can't be read; nothing is written");
                State::Unknown.why()
            }
        }
    }
}

/// Publishes what the watch tells. One that breaks off leaves what was known last.
async fn follow(api: Api<ConfigMap>, publish: &watch::Sender<State>) {
    let only = watcher::Config::default().fields(&format!("metadata.name={FREEZE_NAME}"));
    let mut events = pin!(watcher(api, only).default_backoff());
    let mut listed = State::Free;
    while let Some(event) = events.next().await {
        let new = match event {
            Ok(Event::Init) => {
                listed = State::Free;
                continue;
            }
            Ok(Event::InitApply(map)) => {
                listed = of(&map).unwrap_or(listed);
                continue;
            }
            Ok(Event::InitDone) => listed.clone(),
            Ok(Event::Apply(map)) => match of(&map) {
                Some(frozen) => frozen,
                None => continue,
            },
            Ok(Event::Delete(map)) if map.name_any() == FREEZE_NAME => State::Free,
            Ok(Event::Delete(_)) => continue,
            Err(error) => {
                warn!(%error, "the watch of the ConfigMap {FREEZE_NAME} failed; trying again");
                continue;
            }
        };
        publish.send_if_modified(|old| {
            let moved = *old != new;
            if moved {
                if let State::Frozen(frozen) = &new {
                    let open = if frozen.cuts_short {
                        ", and what is open is cut short"
                    } else {
                        ""
                    };
                    warn!("frozen {frozen}; nothing is written but roll-backs{open}");
                } else if matches!(old, State::Frozen(_)) {
                    warn!("not frozen any more");
                }
                *old = new;
            }
            moved
        });
    }
}

/// A selector that a server ignores must not let another ConfigMap freeze anything.
fn of(map: &ConfigMap) -> Option<State> {
    (map.name_any() == FREEZE_NAME).then(|| State::Frozen(Frozen::of(map)))
}

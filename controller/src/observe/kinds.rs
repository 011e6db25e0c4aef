//! The kinds that are found by discovery: those that an installation moves, and KEDA's.
//!
//! A definition may come after the controller, and an API server may fail to tell of one. Neither is for
//! good: what is not there is looked for again.

use super::cluster::drain;
use crate::client::chain;
use kube::{
    Api, Client, Error,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    discovery::{self, ApiCapabilities, Scope},
    runtime::{WatchStreamExt, reflector, reflector::Store, watcher},
};
use std::{fmt, time::Duration};
use tokio::sync::watch::{self, Receiver};
use tracing::{info, warn};

/// How long until a kind that is not served is looked for again.
const AGAIN: Duration = Duration::from_secs(60);
/// How long until the API server is asked again, if it could not tell.
const RETRY: Duration = Duration::from_secs(5);

/// A kind with a scale subresource, `apiVersion` and `kind`, as the installation allows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScaleKind {
    /// Such as `apps/v1`.
    pub api_version: String,
    /// Such as `Deployment`.
    pub kind: String,
}

/// The kinds that an installation moves unless it says otherwise.
pub const DEFAULT_KINDS: [&str; 2] = ["apps/v1/Deployment", "apps/v1/StatefulSet"];

/// Why a kind can't be moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// The text has another form.
    #[error("{0:?} is not GROUP/VERSION/KIND; write for example apps/v1/Deployment")]
    Form(String),
    /// The API server does not serve it.
    #[error("the API server does not serve {0}; install its definition or take it off --scale-kind")]
    NotServed(String),
    /// Whether it is served is not known.
    #[error("whether the API server serves {kind} is not known yet: {error}")]
    Unknown {
        /// The kind.
        kind: String,
        /// What the API server said.
        error: String,
    },
    /// It has no scale subresource.
    #[error("{0} has no scale subresource; Flyball moves replicas only through it")]
    NoScale(String),
}

impl std::str::FromStr for ScaleKind {
    type Err = KindError;
    fn from_str(text: &str) -> Result<Self, KindError> {
        let (api_version, kind) = text.rsplit_once('/').ok_or_else(|| KindError::Form(text.to_owned()))?;
        if api_version.is_empty() || kind.is_empty() || api_version.matches('/').count() > 1 {
            return Err(KindError::Form(text.to_owned()));
        }
        Ok(Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        })
    }
}

impl ScaleKind {
    /// As discovery names it.
    pub fn gvk(&self) -> GroupVersionKind {
        let (group, version) = self.api_version.rsplit_once('/').unwrap_or(("", &self.api_version));
        GroupVersionKind::gvk(group, version, &self.kind)
    }
}

impl fmt::Display for ScaleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.api_version, self.kind)
    }
}

/// A watched kind of targets.
#[derive(Clone)]
pub struct Targets {
    /// How to address it.
    pub resource: ApiResource,
    /// The objects.
    pub store: Store<DynamicObject>,
}

/// Something that may come later, and is there once its first list is in.
#[derive(Clone)]
pub struct Late<T>(Receiver<Result<T, KindError>>);

impl<T: Clone> Late<T> {
    /// What is known from the start, for a reading that is done once.
    pub fn known(state: Result<T, KindError>) -> Self {
        Self(watch::channel(state).1)
    }

    /// What there is now.
    pub fn get(&self) -> Result<T, KindError> {
        self.0.borrow().clone()
    }

    /// Whether it is known if it is there.
    pub fn is_settled(&self) -> bool {
        !matches!(&*self.0.borrow(), Err(KindError::Unknown { .. }))
    }

    /// Waits until that is known.
    pub async fn settled(&self) {
        let settled = |state: &Result<T, KindError>| !matches!(state, Err(KindError::Unknown { .. }));
        // The other end lives as long as there is something to find.
        let _ = self.0.clone().wait_for(settled).await;
    }
}

/// Looks for a kind until it is there, then watches its objects. `scaled`: it must have a scale. `prune` drops
/// what is not kept of an object.
pub(super) fn seek<T: Clone + Send + Sync + 'static>(
    client: &Client,
    scope: Option<&str>,
    gvk: GroupVersionKind,
    scaled: bool,
    prune: fn(&mut DynamicObject),
    take: impl Fn(Targets) -> T + Send + 'static,
) -> Late<T> {
    let name = format!("{}/{}", gvk.api_version(), gvk.kind);
    let (publish, state) = watch::channel(Err(KindError::Unknown {
        kind: name.clone(),
        error: "it is being looked for".to_owned(),
    }));
    let (client, scope) = (client.clone(), scope.map(ToOwned::to_owned));
    let looking = async move {
        loop {
            let (found, pause) = match discovery::pinned_kind(&client, &gvk).await {
                Ok((_, capabilities)) if scaled && !has_scale(&capabilities) => {
                    (KindError::NoScale(name.clone()), AGAIN)
                }
                Ok((resource, _)) => {
                    let targets = follow(&client, scope.as_deref(), resource, prune);
                    publish.send_modify(|state| {
                        *state = Err(KindError::Unknown {
                            kind: name.clone(),
                            error: "its objects are being listed, which needs the right to get, list and watch them"
                                .to_owned(),
                        });
                    });
                    // Until its list is in, an object that is there would be taken for gone.
                    if targets.store.wait_until_ready().await.is_ok() {
                        info!(kind = name, "watching");
                        publish.send_modify(|state| *state = Ok(take(targets)));
                        publish.closed().await;
                    }
                    return;
                }
                Err(error) if is_absent(&error) => (KindError::NotServed(name.clone()), AGAIN),
                Err(error) => {
                    let error = chain(&error);
                    warn!(
                        kind = name,
                        error, "whether this kind is served could not be read; asking again"
                    );
                    let kind = name.clone();
                    (KindError::Unknown { kind, error }, RETRY)
                }
            };
            publish.send_if_modified(|old| {
                // What was known before an answer failed to come is still the best that is known.
                let news = match (&found, &*old) {
                    (KindError::Unknown { .. }, Err(KindError::Unknown { .. })) => true,
                    (KindError::Unknown { .. }, _) => false,
                    (found, Err(known)) => known != found,
                    (_, Ok(_)) => true,
                };
                if news {
                    *old = Err(found);
                }
                news
            });
            tokio::select! {
                () = publish.closed() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    };
    tokio::spawn(looking);
    Late(state)
}

fn has_scale(capabilities: &ApiCapabilities) -> bool {
    let mut subresources = capabilities.subresources.iter();
    capabilities.scope == Scope::Namespaced && subresources.any(|(subresource, _)| subresource.plural == "scale")
}

/// A group, version or kind that is not served is answered with 404, or is not among those that are.
fn is_absent(error: &Error) -> bool {
    match error {
        Error::Discovery(_) => true,
        // By its code: what is said of a group that the API server has never heard of is plain text, and kube
        // tells by the reason in a Status alone.
        Error::Api(status) => status.code == 404,
        _ => false,
    }
}

fn follow(client: &Client, scope: Option<&str>, resource: ApiResource, prune: fn(&mut DynamicObject)) -> Targets {
    let api: Api<DynamicObject> = match scope {
        None => Api::all_with(client.clone(), &resource),
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let writer = reflector::store::Writer::new(resource.clone());
    let store = writer.as_reader();
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(prune)
        .reflect(writer);
    drain(stream, resource.kind.clone());
    Targets { resource, store }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn a_kind_is_absent_by_the_code_of_the_answer() {
        let check = |code, reason: &str, expect| {
            let status = Status::failure("404 page not found", reason).with_code(code);
            assert_eq!(is_absent(&Error::Api(status.boxed())), expect, "{code} {reason}");
        };
        // Of a group without any definition, of a version of one that is there, and what is no answer to it.
        check(404, "Failed to parse error data", true);
        check(404, "NotFound", true);
        check(403, "Forbidden", false);
        check(503, "ServiceUnavailable", false);
        check(503, "Failed to parse error data", false);
    }
}

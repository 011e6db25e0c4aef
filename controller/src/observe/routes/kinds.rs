//! The kinds of routes that are watched: those that a policy or an open Change refers to.

use super::super::kinds::{self, KindError, Late, ScaleKind, Targets};
use kube::{Client, ResourceExt, api::DynamicObject};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The kinds of routes. Copies are the same ones.
#[derive(Clone)]
pub struct RouteKinds {
    /// `None`: nothing is watched, as for a reading that is done once.
    client: Option<Client>,
    scope: Option<String>,
    known: Arc<Mutex<BTreeMap<ScaleKind, Late<Targets>>>>,
}

impl RouteKinds {
    /// None is watched yet.
    pub fn new(client: &Client, scope: Option<&str>) -> Self {
        Self {
            client: Some(client.clone()),
            scope: scope.map(ToOwned::to_owned),
            known: Arc::default(),
        }
    }

    /// No kind is ever watched.
    pub fn none() -> Self {
        Self {
            client: None,
            scope: None,
            known: Arc::default(),
        }
    }

    /// Kinds whose objects are known from the start, for a reading that is done once; no other is ever watched.
    pub fn known(kinds: BTreeMap<ScaleKind, Late<Targets>>) -> Self {
        Self {
            known: Arc::new(Mutex::new(kinds)),
            ..Self::none()
        }
    }

    /// The objects of a kind. The first one that asks starts the watch, and hears that it is not in yet.
    pub fn get(&self, api_version: &str, kind: &str) -> Result<Targets, KindError> {
        let key = ScaleKind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(client) = &self.client else {
            let unknown = || KindError::Unknown {
                kind: key.to_string(),
                error: "it is not looked at".to_owned(),
            };
            return known.get(&key).map_or_else(|| Err(unknown()), Late::get);
        };
        let late = known.entry(key).or_insert_with_key(|key| {
            let scope = self.scope.as_deref();
            kinds::seek(client, scope, key.gvk(), false, prune, |found| found)
        });
        late.get()
    }
}

/// Everything of the spec is kept, because a write holds on to what it does not change; the status, which tells
/// nothing of the traffic, is not.
fn prune(object: &mut DynamicObject) {
    object.labels_mut().clear();
    if let Some(fields) = object.data.as_object_mut() {
        fields.remove("status");
    }
}

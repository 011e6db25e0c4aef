//! The routes whose weights policies move, each read once.

use super::{Key, Read, dynamic_store};
use crate::{
    cli::fetch::{self, ReadError, Scope},
    observe::{
        cluster::{KindError, Late, ScaleKind, Targets},
        routes::kinds::RouteKinds,
    },
    validate::{self, is_subdomain},
};
use flyball_crds::FeedbackPolicy;
use kube::{Client, ResourceExt, api::ApiResource, discovery};
use std::collections::{BTreeMap, BTreeSet};

/// What came of reading them.
pub(super) struct Routes {
    /// As the controller's own functions take them.
    pub kinds: RouteKinds,
    /// Each as it is, or why it was not read.
    pub objects: Read,
}

/// Reads them. What is wrong with a policy that is not valid is said where its form is judged.
pub(super) async fn read(client: &Client, policies: &[FeedbackPolicy]) -> Routes {
    let mut addressed: BTreeMap<ScaleKind, Result<ApiResource, KindError>> = BTreeMap::new();
    let mut objects = Read::new();
    for key in wanted(policies) {
        let (namespace, api_version, kind, name) = &key;
        let kind = ScaleKind {
            api_version: api_version.clone(),
            kind: kind.clone(),
        };
        if !addressed.contains_key(&kind) {
            let found = discovery::pinned_kind(client, &kind.gvk()).await;
            let found = found.map(|(resource, _)| resource);
            addressed.insert(kind.clone(), found.map_err(|_| KindError::NotServed(kind.to_string())));
        }
        let object = match addressed.get(&kind) {
            Some(Ok(resource)) => fetch::get(client, Scope::Namespace(namespace), resource, name).await,
            _ => Err(ReadError::NotServed(kind.to_string())),
        };
        objects.insert(key, object);
    }
    let with_objects = |(kind, resource): (ScaleKind, Result<ApiResource, KindError>)| {
        let of_kind = objects
            .iter()
            .filter(|((_, version, name, _), _)| *version == kind.api_version && *name == kind.kind);
        let read = of_kind
            .filter_map(|(_, object)| object.as_ref().ok()?.clone())
            .collect();
        let store = resource.map(|resource| Targets {
            store: dynamic_store(&resource, read),
            resource,
        });
        (kind, Late::known(store))
    };
    Routes {
        kinds: RouteKinds::known(addressed.into_iter().map(with_objects).collect()),
        objects,
    }
}

/// The routes that valid policies name.
fn wanted(policies: &[FeedbackPolicy]) -> BTreeSet<Key> {
    let mut wanted = BTreeSet::new();
    for policy in policies {
        let Ok(valid) = validate::policy(&policy.spec) else {
            continue;
        };
        let namespace = policy.namespace().unwrap_or_default();
        let lists = valid.weights.iter().flat_map(|action| &action.routes);
        // Another name would be another path.
        for list in lists.filter(|list| is_subdomain(&list.name)) {
            wanted.insert((
                namespace.clone(),
                list.api_version.clone(),
                list.kind.clone(),
                list.name.clone(),
            ));
        }
    }
    wanted
}

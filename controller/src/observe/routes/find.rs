//! The routes of an action, as a pass finds them, and the endpoints behind their backends.

use super::{
    super::{cluster::Cluster, kinds::KindError},
    Located, RouteError, locate, manager_of,
};
use flyball_core::{
    policy::{Backend, RouteList, Weights},
    transaction::{Places, Stamp, Target},
};
use flyball_crds::{PAUSE_ANNOTATION, Reason, STAMP_ANNOTATION};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    runtime::reflector::ObjectRef,
};
use std::sync::Arc;

/// One list of an action's, found.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which list it is.
    pub list: RouteList,
    /// How to address its kind.
    pub resource: ApiResource,
    /// The object.
    pub object: Arc<DynamicObject>,
    /// The list in it.
    pub located: Located,
}

impl Route {
    /// The object's UID.
    pub fn uid(&self) -> String {
        self.object.uid().unwrap_or_default()
    }

    /// Who wrote the list last, ourselves left out.
    pub fn manager(&self) -> Option<String> {
        manager_of(&self.object).map(|(manager, operation)| format!("{manager} ({operation})"))
    }
}

/// Why the routes of an action can't be moved. Each message names the object and the way out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RouteProblem {
    /// The kind is not served, or not known yet.
    #[error("{list}: {error}")]
    Kind {
        /// Which list.
        list: Box<RouteList>,
        /// What is known of the kind.
        error: Box<KindError>,
    },
    /// There is no such object.
    #[error("{list} does not exist in namespace {namespace}; create it, or correct the name")]
    Missing {
        /// Which list.
        list: Box<RouteList>,
        /// The namespace.
        namespace: String,
    },
    /// Somebody paused it.
    #[error("{0} carries the annotation {PAUSE_ANNOTATION}; remove it to go on")]
    Paused(Box<RouteList>),
    /// The object has no such list.
    #[error("{0}")]
    Invalid(Box<RouteError>),
}

impl RouteProblem {
    /// The reason as conditions have it.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Kind { .. } => Reason::KindNotServed,
            Self::Missing { .. } => Reason::TargetNotFound,
            Self::Paused(_) => Reason::Suspended,
            Self::Invalid(_) => Reason::RouteInvalid,
        }
    }
}

/// Finds the lists, all of them or none.
pub fn find(
    cluster: &Cluster,
    namespace: &str,
    lists: &[RouteList],
    managed: &[Backend],
) -> Result<Vec<Route>, RouteProblem> {
    lists
        .iter()
        .map(|list| one(cluster, namespace, list, managed))
        .collect()
}

fn one(cluster: &Cluster, namespace: &str, list: &RouteList, managed: &[Backend]) -> Result<Route, RouteProblem> {
    let (resource, object) = object(cluster, namespace, list)?;
    let paused = object.annotations().get(PAUSE_ANNOTATION);
    if paused.is_some_and(|value| value != "false") {
        return Err(RouteProblem::Paused(Box::new(list.clone())));
    }
    let located = locate(&object, list, managed).map_err(|error| RouteProblem::Invalid(Box::new(error)))?;
    Ok(Route {
        list: list.clone(),
        resource,
        object,
        located,
    })
}

/// The object that holds a list, whatever is in it.
pub fn object(
    cluster: &Cluster,
    namespace: &str,
    list: &RouteList,
) -> Result<(ApiResource, Arc<DynamicObject>), RouteProblem> {
    let targets = cluster
        .routes
        .get(&list.api_version, &list.kind)
        .map_err(|error| RouteProblem::Kind {
            list: Box::new(list.clone()),
            error: Box::new(error),
        })?;
    let key = ObjectRef::new_with(&list.name, targets.resource.clone()).within(namespace);
    match targets.store.get(&key) {
        Some(object) => Ok((targets.resource, object)),
        None => Err(RouteProblem::Missing {
            list: Box::new(list.clone()),
            namespace: namespace.to_owned(),
        }),
    }
}

/// What a transaction sees of an object: the weights of the managed backends, its version and its stamp. A list
/// that can't be read any more holds no weights, which is nothing that we wrote.
pub fn seen(object: &DynamicObject, list: &RouteList, managed: &[Backend]) -> (Weights, String, Option<Stamp>) {
    let weights = locate(object, list, managed).map_or_else(|_| Weights::default(), |located| located.weights());
    let stamp = object.annotations().get(STAMP_ANNOTATION);
    let stamp = stamp.and_then(|text| text.parse().ok());
    (weights, object.resource_version().unwrap_or_default(), stamp)
}

/// Several objects as the one target of transaction `sequence`.
pub fn joined(
    seen: impl IntoIterator<Item = (Weights, String, Option<Stamp>)>,
    sequence: u64,
) -> Target<Places<Weights>, Vec<String>> {
    let (mut weights, mut versions, mut stamps) = (Vec::new(), Vec::new(), Vec::new());
    for (found, version, stamp) in seen {
        weights.push(found);
        versions.push(version);
        stamps.push(stamp);
    }
    Target {
        value: Places(weights),
        version: versions,
        stamp: Stamp::joined(stamps, sequence),
    }
}

/// Whether a Service has a ready endpoint; `None`: not known, because it could not be read or has no slices, as
/// a backend that is no Service.
pub async fn has_ready_endpoint(client: &Client, namespace: &str, service: &str) -> Option<bool> {
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let of = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = api.list(&of).await.ok()?;
    if slices.items.is_empty() {
        return None;
    }
    // Absent counts as ready, as the API says of this field.
    let mut endpoints = slices.items.iter().flat_map(|slice| slice.endpoints.iter());
    Some(endpoints.any(|endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        ready.unwrap_or(true)
    }))
}

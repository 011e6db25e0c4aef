//! What the controller knows of the cluster: one watch per kind, kept in memory.
//!
//! Passes read only from here, so a quiet minute costs no request. A copy may be old; that is safe,
//! because every write carries the version that it was decided on.

use super::{freeze::Freeze, nodes::Nodes, pods::Pods, prometheus_rules::PrometheusRules, target};
use crate::client::chain;
use flyball_crds::{Change, FeedbackPolicy, MetricSource};
use futures::{StreamExt, future};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{autoscaling::v2::HorizontalPodAutoscaler, core::v1::Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind},
    discovery::{self, Scope},
    runtime::{
        PredicateConfig, WatchStreamExt, predicates, reflector,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt::Debug, hash::Hash, sync::Arc};
use tokio::sync::mpsc;
use tracing::{info, warn};

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

/// A watched kind of targets.
#[derive(Clone)]
pub struct Targets {
    /// How to address it.
    pub resource: ApiResource,
    /// The objects.
    pub store: Store<DynamicObject>,
}

/// A policy that should be looked at now.
pub type Wake = ObjectRef<FeedbackPolicy>;

/// Everything that is watched.
#[derive(Clone)]
pub struct Cluster {
    /// The policies.
    pub policies: Store<FeedbackPolicy>,
    /// The sources.
    pub sources: Store<MetricSource>,
    /// The journals.
    pub changes: Store<Change>,
    /// The autoscalers of Kubernetes itself.
    pub autoscalers: Store<HorizontalPodAutoscaler>,
    /// KEDA's objects, where its definition is installed.
    pub scaled_objects: Option<Store<DynamicObject>>,
    /// The Secrets in the controller's own namespace.
    pub secrets: Store<Secret>,
    /// The pods, by owner.
    pub pods: Pods,
    /// The nodes, where all namespaces are looked at.
    pub nodes: Nodes,
    /// The PrometheusRules, while a policy refers to one.
    pub prometheus_rules: PrometheusRules,
    /// The red button.
    pub freeze: Freeze,
    /// The targets, by allowed kind.
    pub targets: Arc<BTreeMap<ScaleKind, Result<Targets, KindError>>>,
}

/// How many watch events may wait to be looked at.
const QUEUE: usize = 1024;

impl Cluster {
    /// Starts all watches. Policies, Changes, autoscalers and targets are those of `scope`, or of all
    /// namespaces; a MetricSource has none, and Secrets and the red button are those of `own_namespace`.
    pub async fn watch(
        client: &Client,
        own_namespace: &str,
        scope: Option<&str>,
        kinds: &[ScaleKind],
    ) -> (Self, mpsc::Receiver<Wake>) {
        let (wake, woken) = mpsc::channel(QUEUE);
        let policies = watch_policies(within(client, scope), wake.clone());
        let scaled = GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject");
        let scaled_objects = discovery::pinned_kind(client, &scaled)
            .await
            .ok()
            .map(|(resource, _)| watch_dynamic(dynamic_within(client, scope, &resource), resource));
        let mut targets = BTreeMap::new();
        for kind in kinds {
            targets.insert(kind.clone(), watch_targets(client, scope, kind).await);
        }
        let prometheus_rules = PrometheusRules::watch(client, scope, {
            let policies = policies.clone();
            move |changed| wake_those_of(&policies, changed, &wake)
        });
        let cluster = Self {
            policies,
            prometheus_rules,
            sources: watch(Api::all(client.clone())),
            changes: watch(within(client, scope)),
            autoscalers: watch(within(client, scope)),
            scaled_objects,
            secrets: watch(Api::namespaced(client.clone(), own_namespace)),
            pods: Pods::watch(client, scope),
            // Nodes have no namespace, and say nothing where the pods of others are not known.
            nodes: scope.map_or_else(|| Nodes::watch(client), |_| Nodes::none()),
            freeze: Freeze::watch(client, own_namespace),
            targets: Arc::new(targets),
        };
        (cluster, woken)
    }

    /// Waits until the first list of every kind is in.
    pub async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        self.policies.wait_until_ready().await?;
        self.sources.wait_until_ready().await?;
        self.changes.wait_until_ready().await?;
        self.autoscalers.wait_until_ready().await?;
        self.secrets.wait_until_ready().await?;
        self.freeze.ready().await;
        if let Some(scaled) = &self.scaled_objects {
            scaled.wait_until_ready().await?;
        }
        let served = self.targets.values().filter_map(|targets| targets.as_ref().ok());
        future::try_join_all(served.map(|targets| targets.store.wait_until_ready())).await?;
        self.want_rules();
        self.prometheus_rules.settled().await;
        // Pods may be out of reach, and are then not known.
        self.pods.settled().await;
        info!("all watches are in");
        Ok(())
    }

    /// Watches PrometheusRules as long as a policy refers to one.
    pub fn want_rules(&self) {
        let policies = self.policies.state();
        let refers = |policy: &Arc<FeedbackPolicy>| policy.spec.prometheus_rule_ref.is_some();
        self.prometheus_rules.want(policies.iter().any(refers));
    }

    /// The kind of a target reference, if the installation allows it.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<&Result<Targets, KindError>> {
        self.targets.get(&ScaleKind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        })
    }
}

/// The objects of one namespace, or of all.
pub fn within<K>(client: &Client, scope: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    scope.map_or_else(
        || Api::all(client.clone()),
        |namespace| Api::namespaced(client.clone(), namespace),
    )
}

fn dynamic_within(client: &Client, scope: Option<&str>, resource: &ApiResource) -> Api<DynamicObject> {
    match scope {
        None => Api::all_with(client.clone(), resource),
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
    }
}

/// Watches and keeps on watching: an error is logged and tried again with growing pauses.
fn watch<K>(api: Api<K>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer);
    drain(stream, K::kind(&()).into_owned());
    store
}

/// Policies wake their pass when they are made, edited or deleted, but not when their status moves.
fn watch_policies(api: Api<FeedbackPolicy>, wake: mpsc::Sender<Wake>) -> Store<FeedbackPolicy> {
    let (store, writer) = reflector::store();
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.metadata.managed_fields = None)
        .reflect(writer)
        .touched_objects()
        .predicate_filter(predicates::generation, PredicateConfig::default());
    tokio::spawn(stream.for_each(move |policy| {
        let wake = wake.clone();
        async move {
            match policy {
                // A full queue loses nothing: every policy is passed once an interval anyway.
                Ok(policy) => drop(wake.try_send(ObjectRef::from_obj(&policy))),
                Err(error) => warn!(
                    error = chain(&error),
                    "the watch of FeedbackPolicy failed; trying again"
                ),
            }
        }
    }));
    store
}

/// Wakes the policies that refer to the PrometheusRule that changed, or all that refer to any.
fn wake_those_of(policies: &Store<FeedbackPolicy>, changed: Option<(&str, &str)>, wake: &mpsc::Sender<Wake>) {
    for policy in policies.state() {
        let Some(reference) = &policy.spec.prometheus_rule_ref else {
            continue;
        };
        let concerned = changed
            .is_none_or(|(namespace, name)| policy.namespace().as_deref() == Some(namespace) && reference.name == name);
        if concerned {
            // As with an edit of the policy: a full queue loses nothing.
            drop(wake.try_send(ObjectRef::from_obj(policy.as_ref())));
        }
    }
}

fn watch_dynamic(api: Api<DynamicObject>, resource: ApiResource) -> Store<DynamicObject> {
    let writer = reflector::store::Writer::new(resource.clone());
    let store = writer.as_reader();
    let stream = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(|object| object.metadata.managed_fields = None)
        .reflect(writer);
    drain(stream, resource.kind);
    store
}

async fn watch_targets(client: &Client, scope: Option<&str>, kind: &ScaleKind) -> Result<Targets, KindError> {
    let name = format!("{}/{}", kind.api_version, kind.kind);
    let (group, version) = kind.api_version.rsplit_once('/').unwrap_or(("", &kind.api_version));
    let gvk = GroupVersionKind::gvk(group, version, &kind.kind);
    let (resource, capabilities) = discovery::pinned_kind(client, &gvk)
        .await
        .map_err(|_| KindError::NotServed(name.clone()))?;
    let scalable = capabilities
        .subresources
        .iter()
        .any(|(subresource, _)| subresource.plural == "scale");
    if !scalable || capabilities.scope != Scope::Namespaced {
        return Err(KindError::NoScale(name));
    }
    let writer = reflector::store::Writer::new(resource.clone());
    let store = writer.as_reader();
    let stream = watcher(dynamic_within(client, scope, &resource), watcher::Config::default())
        .default_backoff()
        .modify(target::strip)
        .reflect(writer);
    drain(stream, resource.kind.clone());
    Ok(Targets { resource, store })
}

fn drain<S, T>(stream: S, kind: String)
where
    S: futures::Stream<Item = Result<watcher::Event<T>, watcher::Error>> + Send + 'static,
    T: Send + 'static,
{
    tokio::spawn(stream.for_each(move |event| {
        if let Err(error) = event {
            warn!(error = chain(&error), kind, "a watch failed; trying again");
        }
        future::ready(())
    }));
}

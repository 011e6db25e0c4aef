//! What the controller knows of the cluster: one watch per kind, kept in memory.
//!
//! Passes read only from here, so a quiet minute costs no request. A copy may be old; that is safe,
//! because every write carries the version that it was decided on.

pub use super::kinds::{DEFAULT_KINDS, KindError, Late, ScaleKind, Targets};

use super::{
    freeze::{Freeze, State},
    kinds, known,
    namespaces::Namespaces,
    nodes::Nodes,
    pods::Pods,
    prometheus_rules::PrometheusRules,
    readable::{AllUnreadable, readable},
    routes::kinds::RouteKinds,
    target,
};
use crate::client::chain;
use flyball_crds::{Change, FeedbackPolicy, MetricSource};
use futures::{FutureExt, StreamExt, future};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{autoscaling::v2::HorizontalPodAutoscaler, core::v1::Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, GroupVersionKind},
    core::DeserializeGuard,
    runtime::{
        PredicateConfig, WatchStreamExt, predicates, reflector,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt::Debug, sync::Arc};
use tokio::sync::mpsc;
use tracing::{info, warn};

/// A policy that should be looked at now.
pub type Wake = ObjectRef<FeedbackPolicy>;

/// Everything that is watched.
#[derive(Clone)]
pub struct Cluster {
    /// The policies.
    pub policies: Store<FeedbackPolicy>,
    /// Policies that are there and can't be read.
    pub unreadable_policies: AllUnreadable,
    /// Changes that are there and can't be read: journals that may be open.
    pub unreadable_changes: AllUnreadable,
    /// The sources.
    pub sources: Store<MetricSource>,
    /// The journals.
    pub changes: Store<Change>,
    /// The autoscalers of Kubernetes itself.
    pub autoscalers: Store<HorizontalPodAutoscaler>,
    /// KEDA's objects, where its definition is installed.
    pub scaled_objects: Late<Store<DynamicObject>>,
    /// The Secrets in the controller's own namespace.
    pub secrets: Store<Secret>,
    /// The pods, by owner.
    pub pods: Pods,
    /// The nodes, where all namespaces are looked at.
    pub nodes: Nodes,
    /// The PrometheusRules, while a policy refers to one.
    pub prometheus_rules: PrometheusRules,
    /// The red button, and the pauses of single namespaces.
    pub freeze: Freeze,
    /// The routes, by kind, each watched once a policy refers to it.
    pub routes: RouteKinds,
    /// The targets, by allowed kind.
    pub targets: Arc<BTreeMap<ScaleKind, Late<Targets>>>,
}

/// How many watch events may wait to be looked at.
const QUEUE: usize = 1024;

impl Cluster {
    /// Starts all watches, and returns with them where a policy is woken, and where it is heard. Policies, Changes, autoscalers and targets are those of `scope`, or of all
    /// namespaces; a MetricSource has none, and Secrets and the red button are those of `own_namespace`. `sources`: these, instead of
    /// those in the cluster.
    pub fn watch(
        client: &Client,
        own_namespace: &str,
        scope: Option<&str>,
        kinds: &[ScaleKind],
        sources: Option<Vec<MetricSource>>,
    ) -> (Self, mpsc::Sender<Wake>, mpsc::Receiver<Wake>) {
        let (wake, woken) = mpsc::channel(QUEUE);
        let (unreadable_policies, unreadable_changes) = (AllUnreadable::default(), AllUnreadable::default());
        let policies = watch_policies(within(client, scope), unreadable_policies.clone(), wake.clone());
        let scaled = GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject");
        let scaled_objects = kinds::seek(client, scope, scaled, false, target::strip, |found| found.store);
        let mut targets = BTreeMap::new();
        for kind in kinds {
            let sought = kinds::seek(client, scope, kind.gvk(), true, target::strip, |found| found);
            targets.insert(kind.clone(), sought);
        }
        let prometheus_rules = PrometheusRules::watch(client, scope, {
            let (policies, wake) = (policies.clone(), wake.clone());
            move |changed| wake_those_of(&policies, changed, &wake)
        });
        let namespaces = Namespaces::watch(client, scope, {
            let (policies, wake) = (policies.clone(), wake.clone());
            move |moved| wake_those_in(&policies, moved, &wake)
        });
        let cluster = Self {
            policies,
            sources: sources.map_or_else(
                || watch_ours(Api::all(client.clone()), AllUnreadable::default()),
                known::store,
            ),
            changes: watch_ours(within(client, scope), unreadable_changes.clone()),
            unreadable_policies,
            unreadable_changes,
            prometheus_rules,
            autoscalers: watch(within(client, scope)),
            scaled_objects,
            secrets: watch(Api::namespaced(client.clone(), own_namespace)),
            pods: Pods::watch(client, scope),
            // Nodes have no namespace, and say nothing where the pods of others are not known.
            nodes: scope.map_or_else(|| Nodes::watch(client), |_| Nodes::none()),
            freeze: Freeze::watch(client, own_namespace).with(namespaces),
            routes: RouteKinds::new(client, scope),
            targets: Arc::new(targets),
        };
        (cluster, wake, woken)
    }

    /// Waits until the first list of every kind is in.
    pub async fn ready(&self) -> Result<(), reflector::store::WriterDropped> {
        self.policies.wait_until_ready().await?;
        self.sources.wait_until_ready().await?;
        self.changes.wait_until_ready().await?;
        self.autoscalers.wait_until_ready().await?;
        self.secrets.wait_until_ready().await?;
        self.freeze.ready().await;
        self.scaled_objects.settled().await;
        for kind in self.targets.values() {
            kind.settled().await;
        }
        self.want_rules();
        self.prometheus_rules.settled().await;
        // Pods may be out of reach, and are then not known.
        self.pods.settled().await;
        info!("all watches are in");
        Ok(())
    }

    /// What there is no list of yet, by the kinds' names.
    pub fn waiting(&self) -> Vec<String> {
        let lists = [
            (
                "feedbackpolicies",
                self.policies.wait_until_ready().now_or_never().is_some(),
            ),
            (
                "metricsources",
                self.sources.wait_until_ready().now_or_never().is_some(),
            ),
            ("changes", self.changes.wait_until_ready().now_or_never().is_some()),
            (
                "horizontalpodautoscalers",
                self.autoscalers.wait_until_ready().now_or_never().is_some(),
            ),
            ("secrets", self.secrets.wait_until_ready().now_or_never().is_some()),
            ("the ConfigMap of flyball freeze", self.freeze.state() != State::Unknown),
            ("scaledobjects", self.scaled_objects.is_settled()),
        ];
        let lists = lists.into_iter().filter(|(_, read)| !read);
        let targets = self.targets.iter().filter(|(_, kind)| !kind.is_settled());
        lists
            .map(|(name, _)| name.to_owned())
            .chain(targets.map(|(kind, _)| kind.to_string()))
            .collect()
    }

    /// Watches PrometheusRules as long as a policy refers to one.
    pub fn want_rules(&self) {
        let policies = self.policies.state();
        let refers = |policy: &Arc<FeedbackPolicy>| policy.spec.prometheus_rule_ref.is_some();
        self.prometheus_rules.want(policies.iter().any(refers));
    }

    /// The kind of a target reference, if the installation allows it.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<Result<Targets, KindError>> {
        let kind = ScaleKind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        self.targets.get(&kind).map(Late::get)
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

/// Watches objects of our own kinds, which anybody may have written.
fn watch_ours<K>(api: Api<DeserializeGuard<K>>, unreadable: AllUnreadable) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    drain(ours(api, &store, unreadable).reflect(writer), K::kind(&()).into_owned());
    store
}

fn ours<K>(
    api: Api<DeserializeGuard<K>>,
    store: &Store<K>,
    unreadable: AllUnreadable,
) -> impl futures::Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let known = store.clone();
    let events = watcher(api, watcher::Config::default()).default_backoff();
    readable(events, unreadable, move |of| known.get(of)).modify(|object| object.meta_mut().managed_fields = None)
}

/// Policies wake their pass when they are made, edited or deleted, but not when their status moves.
fn watch_policies(
    api: Api<DeserializeGuard<FeedbackPolicy>>,
    unreadable: AllUnreadable,
    wake: mpsc::Sender<Wake>,
) -> Store<FeedbackPolicy> {
    let (store, writer) = reflector::store();
    let stream = ours(api, &store, unreadable)
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

/// Wakes the policies of a namespace that was paused, or is not any more.
fn wake_those_in(policies: &Store<FeedbackPolicy>, namespace: &str, wake: &mpsc::Sender<Wake>) {
    let policies = policies.state();
    for policy in policies
        .iter()
        .filter(|policy| policy.namespace().as_deref() == Some(namespace))
    {
        drop(wake.try_send(ObjectRef::from_obj(policy.as_ref())));
    }
}

/// Keeps a watch going; an error is logged.
pub(super) fn drain<S, T>(stream: S, kind: String)
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

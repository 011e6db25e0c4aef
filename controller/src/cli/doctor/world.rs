//! The cluster as the controller would see it, read once instead of watched: so that targets and
//! their owners are found by the controller's own functions.

mod routes;

use super::finding::{Finding, Mark};
use crate::{
    cli::{
        fetch::{self, Connection, ReadError, Scope},
        screen::plain,
    },
    observe::{
        cluster::{Cluster, KindError, Late, ScaleKind, Targets},
        freeze::{Freeze, State},
        known::{dynamic_store, store},
        namespaces,
        nodes::Nodes,
        pods::Pods,
        prometheus_rules::PrometheusRules,
        readable::AllUnreadable,
    },
    prometheus_rule::{self, PrometheusRule},
    validate::is_subdomain,
};
use flyball_crds::{Change, FeedbackPolicy, PAUSE_ANNOTATION, TargetRef};
use k8s_openapi::api::{autoscaling::v2::HorizontalPodAutoscaler, core::v1::Namespace};
use kube::{
    Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
    discovery::{self, Scope as Reach},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A target by its namespace, version, kind and name.
pub type Key = (String, String, String, String);
/// What came of reading targets.
pub type Read = BTreeMap<Key, Result<Option<DynamicObject>, ReadError>>;

/// What was read.
pub struct World {
    /// As the controller's own functions take it.
    pub cluster: Cluster,
    /// The policies that this report is about.
    pub policies: Vec<FeedbackPolicy>,
    /// Their Changes.
    pub changes: Vec<Change>,
    /// What the vertical autoscalers there are move, as namespace and target.
    pub vertical: Vec<(String, TargetRef)>,
    /// The targets as they are, of the kinds that may be moved.
    pub targets: Read,
    /// The routes whose weights policies move, as they are.
    pub routes: Read,
    /// The PrometheusRules that policies refer to, by namespace and name.
    pub rules: BTreeMap<(String, String), Result<Option<PrometheusRule>, ReadError>>,
    /// What could not be read.
    pub trouble: Vec<Finding>,
}

impl World {
    /// Whether any of the policies moves a runtime's knobs.
    pub fn moves_knobs(&self) -> bool {
        let mut actions = self.policies.iter().flat_map(|policy| &policy.spec.actions);
        actions.any(|action| action.runtime.is_some())
    }

    /// The kinds of routes that the policies move.
    pub fn route_kinds(&self) -> Vec<ScaleKind> {
        let kinds: BTreeSet<ScaleKind> = self
            .routes
            .keys()
            .map(|(_, api_version, kind, _)| ScaleKind {
                api_version: api_version.clone(),
                kind: kind.clone(),
            })
            .collect();
        kinds.into_iter().collect()
    }
}

/// The key of a target.
pub fn key(namespace: &str, target: &TargetRef) -> Key {
    (
        namespace.to_owned(),
        target.api_version.clone(),
        target.kind.clone(),
        target.name.clone(),
    )
}

/// Whether KEDA is installed.
pub async fn keda(client: &Client) -> Option<ApiResource> {
    resource(client, "keda.sh", "v1alpha1", "ScaledObject").await
}

async fn resource(client: &Client, group: &str, version: &str, kind: &str) -> Option<ApiResource> {
    let kind = GroupVersionKind::gvk(group, version, kind);
    discovery::pinned_kind(client, &kind)
        .await
        .ok()
        .map(|(resource, _)| resource)
}

/// Reads everything that policies are judged by.
pub async fn read(connection: &Connection, scope: Scope<'_>, kinds: &[ScaleKind], keda: Option<&ApiResource>) -> World {
    let client = &connection.clients.read;
    let mut trouble = Vec::new();
    let policies: Vec<FeedbackPolicy> = all(client, scope, "FeedbackPolicies", &mut trouble).await;
    let changes: Vec<Change> = all(client, scope, "Changes", &mut trouble).await;
    let autoscalers: Vec<HorizontalPodAutoscaler> = all(client, scope, "HorizontalPodAutoscalers", &mut trouble).await;
    let scaled = match keda {
        Some(resource) => Some((resource, dynamic(client, scope, resource, &mut trouble).await)),
        None => None,
    };
    let vertical = match resource(client, "autoscaling.k8s.io", "v1", "VerticalPodAutoscaler").await {
        Some(resource) => dynamic(client, scope, &resource, &mut trouble).await,
        None => Vec::new(),
    };
    let mut allowed = BTreeMap::new();
    for kind in kinds {
        allowed.insert(kind.clone(), addressed(client, kind).await);
    }
    paused(client, &policies, &mut trouble).await;
    let targets = targets(client, &policies, &allowed).await;
    let rules = rules(client, &policies).await;
    let routes = routes::read(client, &policies).await;
    let with_objects = |(kind, resource): (ScaleKind, Result<ApiResource, KindError>)| {
        let of_kind = targets
            .iter()
            .filter(|((_, version, name, _), _)| *version == kind.api_version && *name == kind.kind);
        let objects = of_kind
            .filter_map(|(_, object)| object.as_ref().ok()?.clone())
            .collect();
        let store = resource.map(|resource| Targets {
            store: dynamic_store(&resource, objects),
            resource,
        });
        (kind, Late::known(store))
    };
    let cluster = Cluster {
        policies: store(policies.clone()),
        sources: store(Vec::new()),
        changes: store(changes.clone()),
        unreadable_policies: AllUnreadable::default(),
        unreadable_changes: AllUnreadable::default(),
        autoscalers: store(autoscalers),
        scaled_objects: Late::known(
            scaled
                .map(|(resource, objects)| dynamic_store(resource, objects))
                .ok_or_else(|| KindError::NotServed("keda.sh/v1alpha1/ScaledObject".to_owned())),
        ),
        secrets: store(Vec::new()),
        pods: Pods::none(),
        nodes: Nodes::none(),
        prometheus_rules: PrometheusRules::none(),
        // The report says apart whether the installation is frozen.
        freeze: Freeze::known(State::Unknown),
        routes: routes.kinds,
        targets: Arc::new(allowed.into_iter().map(with_objects).collect()),
    };
    let vertical = vertical.iter().filter_map(vertical_target).collect();
    World {
        cluster,
        policies,
        changes,
        vertical,
        targets,
        routes: routes.objects,
        rules,
        trouble,
    }
}

/// Says which namespaces with policies are paused. Where that can't be read the policies' own conditions still say it.
async fn paused(client: &Client, policies: &[FeedbackPolicy], trouble: &mut Vec<Finding>) {
    let names: BTreeSet<String> = policies.iter().filter_map(ResourceExt::namespace).collect();
    let kind = fetch::resource::<Namespace>();
    for name in names {
        let seen = fetch::get(client, Scope::Cluster, &kind, &name).await.ok().flatten();
        let value = seen.and_then(|seen| seen.annotations().get(PAUSE_ANNOTATION).cloned());
        if let Some(why) = namespaces::why(&name, value.as_deref()) {
            trouble.push(Finding::new(
                Mark::Warn,
                format!("namespace {name}"),
                plain(&why),
                format!("let changes be made again: flyball unfreeze -n {name}"),
            ));
        }
    }
}

/// Reads each PrometheusRule that a policy refers to once.
async fn rules(
    client: &Client,
    policies: &[FeedbackPolicy],
) -> BTreeMap<(String, String), Result<Option<PrometheusRule>, ReadError>> {
    let wanted: BTreeSet<_> = policies
        .iter()
        .filter_map(|policy| {
            let reference = policy.spec.prometheus_rule_ref.as_ref()?;
            Some((policy.namespace().unwrap_or_default(), reference.name.clone()))
        })
        // Another name would be another path.
        .filter(|(_, name)| is_subdomain(name))
        .collect();
    let mut rules = BTreeMap::new();
    for (namespace, name) in wanted {
        let read = fetch::get(
            client,
            Scope::Namespace(&namespace),
            &prometheus_rule::resource(),
            &name,
        )
        .await;
        let object = |object: DynamicObject| PrometheusRule::read(&name, object.data.get("spec"));
        rules.insert((namespace, name.clone()), read.map(|found| found.map(object)));
    }
    rules
}

/// All objects of a kind; what can't be read is trouble, and hides nothing else.
async fn all<K>(client: &Client, scope: Scope<'_>, subject: &str, trouble: &mut Vec<Finding>) -> Vec<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    match fetch::list(client, scope, &fetch::resource::<K>(), ListParams::default()).await {
        Ok(objects) => {
            let (objects, unreadable) = fetch::parse(&objects);
            trouble.extend(unreadable.into_iter().map(|title| {
                let error = ReadError::Unreadable(title.clone()).to_string();
                Finding::message(Mark::Fail, title, &error)
            }));
            objects
        }
        Err(error) => {
            trouble.push(Finding::unread(subject, &error));
            Vec::new()
        }
    }
}

async fn dynamic(
    client: &Client,
    scope: Scope<'_>,
    resource: &ApiResource,
    trouble: &mut Vec<Finding>,
) -> Vec<DynamicObject> {
    fetch::list(client, scope, resource, ListParams::default())
        .await
        .unwrap_or_else(|error| {
            trouble.push(Finding::unread(format!("{}s", resource.kind), &error));
            Vec::new()
        })
}

/// How a kind is addressed, if it can be moved.
async fn addressed(client: &Client, kind: &ScaleKind) -> Result<ApiResource, KindError> {
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
    if scalable && capabilities.scope == Reach::Namespaced {
        Ok(resource)
    } else {
        Err(KindError::NoScale(name))
    }
}

/// Reads each target once.
async fn targets(
    client: &Client,
    policies: &[FeedbackPolicy],
    allowed: &BTreeMap<ScaleKind, Result<ApiResource, KindError>>,
) -> Read {
    let wanted: BTreeSet<_> = policies
        .iter()
        .map(|policy| key(&policy.namespace().unwrap_or_default(), &policy.spec.target_ref))
        .collect();
    let mut targets = BTreeMap::new();
    for wanted in wanted {
        let (namespace, api_version, kind, name) = &wanted;
        let kind = ScaleKind {
            api_version: api_version.clone(),
            kind: kind.clone(),
        };
        if let Some(Ok(resource)) = allowed.get(&kind) {
            let object = fetch::get(client, Scope::Namespace(namespace), resource, name).await;
            targets.insert(wanted, object);
        }
    }
    targets
}

fn vertical_target(object: &DynamicObject) -> Option<(String, TargetRef)> {
    let text = |path: &str| object.data.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
    let target = TargetRef {
        api_version: text("/spec/targetRef/apiVersion")?,
        kind: text("/spec/targetRef/kind")?,
        name: text("/spec/targetRef/name")?,
    };
    Some((object.namespace()?, target))
}

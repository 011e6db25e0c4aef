//! Pods, ReplicaSets, Nodes and Namespaces as far as the watches read them. What is not named here is skipped while the
//! answer is parsed, so a large first list needs little memory.

use crate::observe::quantity::milli;
use flyball_core::{
    decide::{PodPhase, PodReady},
    policy::Resource,
    time::Timestamp,
};
use flyball_crds::{APP_PREFIX, PAUSE_ANNOTATION, RUNTIME_PREFIX};
use k8s_openapi::{
    api::{
        apps::v1::ReplicaSet,
        core::v1::{Namespace, Node, Pod},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
};
use kube::Resource as KubeResource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

/// The metadata that are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    owner_references: Option<Vec<OwnerReference>>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let read = Metadata::deserialize(deserializer)?;
    // Others may be large: whole objects are kept in some.
    let ours = read.annotations.map(|mut annotations| {
        annotations
            .retain(|key, _| key.starts_with(RUNTIME_PREFIX) || key.starts_with(APP_PREFIX) || key == PAUSE_ANNOTATION);
        annotations
    });
    Ok(ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        owner_references: read.owner_references,
        labels: read.labels,
        annotations: ours.filter(|annotations| !annotations.is_empty()),
        ..ObjectMeta::default()
    })
}

/// A type of ours that is read from where a type of Kubernetes lies.
macro_rules! read_as {
    ($ours:ty, $theirs:ty) => {
        impl KubeResource for $ours {
            type DynamicType = ();
            type Scope = <$theirs as KubeResource>::Scope;
            fn kind((): &()) -> Cow<'_, str> {
                <$theirs as KubeResource>::kind(&())
            }
            fn group((): &()) -> Cow<'_, str> {
                <$theirs as KubeResource>::group(&())
            }
            fn version((): &()) -> Cow<'_, str> {
                <$theirs as KubeResource>::version(&())
            }
            fn plural((): &()) -> Cow<'_, str> {
                <$theirs as KubeResource>::plural(&())
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

read_as!(PodWire, Pod);
read_as!(SetWire, ReplicaSet);
read_as!(NodeWire, Node);
read_as!(NamespaceWire, Namespace);

/// A namespace, of which only its metadata are read.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NamespaceWire {
    /// Its metadata.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
}

/// Quantities by resource.
pub type Quantities = BTreeMap<String, String>;

/// What a container, or a pod as a whole, asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourcesWire {
    /// What it is given.
    pub requests: Quantities,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerWire {
    name: String,
    resources: ResourcesWire,
    restart_policy: Option<String>,
    ports: Vec<PortWire>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PortWire {
    name: Option<String>,
    container_port: u16,
    protocol: Option<String>,
}

impl ContainerWire {
    /// An init container that goes on running beside the others.
    fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    fn request(&self, resource: Resource) -> Option<i64> {
        milli(self.resources.requests.get(key(resource))?)
    }
}

/// A Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodWire {
    /// Its metadata, as far as they are read.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// Its spec.
    pub spec: PodSpecWire,
    /// Its status.
    pub status: PodStatusWire,
}

/// A pod's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpecWire {
    /// Where it was placed.
    pub node_name: Option<String>,
    /// Whether its address is its node's.
    pub host_network: bool,
    containers: Vec<ContainerWire>,
    init_containers: Vec<ContainerWire>,
    resources: Option<ResourcesWire>,
    overhead: Quantities,
}

/// A pod's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatusWire {
    phase: Option<String>,
    start_time: Option<Time>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    conditions: Vec<ConditionWire>,
}

/// A condition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConditionWire {
    r#type: String,
    status: String,
    last_transition_time: Option<Time>,
}

impl PodWire {
    /// How far it has come.
    pub fn phase(&self) -> PodPhase {
        match self.status.phase.as_deref() {
            Some("Running") => PodPhase::Running,
            Some("Succeeded") => PodPhase::Succeeded,
            Some("Failed") => PodPhase::Failed,
            Some("Unknown") => PodPhase::Unknown,
            // The API server fills the phase in; what has none was not started.
            _ => PodPhase::Pending,
        }
    }

    /// Its `Ready` condition. Without a time it has been ready, or unready, since it was made.
    pub fn ready(&self) -> Option<PodReady> {
        let ready = self
            .status
            .conditions
            .iter()
            .find(|condition| condition.r#type == "Ready")?;
        let since = ready.last_transition_time.as_ref().map(instant);
        Some(PodReady {
            ready: ready.status == "True",
            since: since
                .or_else(|| self.metadata.creation_timestamp.as_ref().map(instant))
                .unwrap_or_default(),
        })
    }

    /// When the kubelet took it up.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.status.start_time.as_ref().map(instant)
    }

    /// Its address.
    pub fn address(&self) -> Option<IpAddr> {
        self.status.pod_ip.as_deref()?.parse().ok()
    }

    /// The ports of its containers that have a name and speak TCP: container, name, number.
    pub fn ports(&self) -> Vec<(Box<str>, Box<str>, u16)> {
        let all = self
            .spec
            .containers
            .iter()
            .flat_map(|container| container.ports.iter().map(move |port| (container, port)));
        all.filter(|(_, port)| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
            .filter_map(|(container, port)| {
                let name = port.name.as_deref()?;
                Some((container.name.as_str().into(), name.into(), port.container_port))
            })
            .collect()
    }

    /// What its containers request, with those init containers that go on running: what HPA counts.
    pub fn requests(&self) -> BTreeMap<String, BTreeMap<Resource, i64>> {
        let sidecars = self.spec.init_containers.iter().filter(|init| init.is_sidecar());
        let counted = self.spec.containers.iter().chain(sidecars);
        counted
            .map(|container| {
                let requests = [Resource::Cpu, Resource::Memory]
                    .into_iter()
                    .filter_map(|resource| Some((resource, container.request(resource)?)))
                    .collect();
                (container.name.clone(), requests)
            })
            .collect()
    }

    /// What it takes of its node, as the scheduler counts: the containers together, or more where an
    /// init container needs more; what is requested for the pod as a whole instead, where it is; and
    /// the overhead of its runtime.
    pub fn held(&self, resource: Resource) -> i64 {
        let key = key(resource);
        let overhead = self.spec.overhead.get(key).and_then(|text| milli(text)).unwrap_or(0);
        let whole = self
            .spec
            .resources
            .as_ref()
            .and_then(|pod| milli(pod.requests.get(key)?));
        whole
            .unwrap_or_else(|| self.containers_hold(resource))
            .saturating_add(overhead)
    }

    fn containers_hold(&self, resource: Resource) -> i64 {
        let request = |container: &ContainerWire| container.request(resource).unwrap_or(0);
        let inits = self.spec.init_containers.iter();
        together(
            inits.map(|init| (init.is_sidecar(), request(init))),
            self.spec.containers.iter().map(request),
        )
    }
}

/// What containers take together: all that run at the end, or more where an init container needs more.
/// Init containers come in their order, with whether they go on running beside the others.
pub fn together(inits: impl Iterator<Item = (bool, i64)>, containers: impl Iterator<Item = i64>) -> i64 {
    let (mut sidecars, mut starting) = (0_i64, 0_i64);
    for (is_sidecar, amount) in inits {
        let beside = sidecars.saturating_add(amount);
        starting = starting.max(beside);
        if is_sidecar {
            sidecars = beside;
        }
    }
    containers.fold(sidecars, i64::saturating_add).max(starting)
}

/// A ReplicaSet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SetWire {
    /// Its metadata, as far as they are read.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// Its spec.
    pub spec: SetSpecWire,
    /// Its status.
    pub status: SetStatusWire,
}

/// A ReplicaSet's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SetSpecWire {
    /// How many pods it shall have.
    pub replicas: Option<i64>,
    /// What they are made from.
    pub template: Value,
}

/// A ReplicaSet's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SetStatusWire {
    /// How many pods it has.
    pub replicas: i64,
}

/// A Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeWire {
    /// Its metadata, as far as they are read.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// Its spec.
    pub spec: NodeSpecWire,
    /// Its status.
    pub status: NodeStatusWire,
}

/// A node's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeSpecWire {
    /// Whether it takes no new pods.
    pub unschedulable: bool,
    /// What keeps pods off it.
    pub taints: Vec<TaintWire>,
}

/// A taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TaintWire {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What it does.
    pub effect: String,
}

/// A node's status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatusWire {
    /// What pods may take of it.
    pub allocatable: Quantities,
    conditions: Vec<ConditionWire>,
}

impl NodeWire {
    /// Whether it is `Ready`.
    pub fn is_ready(&self) -> bool {
        let mut conditions = self.status.conditions.iter();
        conditions.any(|condition| condition.r#type == "Ready" && condition.status == "True")
    }
}

/// The name of a resource in a list of quantities.
pub fn key(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "cpu",
        Resource::Memory => "memory",
    }
}

/// An instant as the core has it.
pub fn instant(time: &Time) -> Timestamp {
    Timestamp::from_millis(time.0.as_millisecond())
}

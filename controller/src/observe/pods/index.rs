//! The pods in memory, found by owner, and what they take of each node.

use crate::observe::wire::{PodWire, SetWire, instant};
use flyball_core::{
    decide::{Pod, PodPhase, PodReady, Requests},
    policy::{CapturePort, Resource},
    time::Timestamp,
};
use flyball_crds::PAUSE_ANNOTATION;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    num::NonZeroU128,
    sync::Arc,
};

/// A UID in 16 bytes instead of 60.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Uid(NonZeroU128);

impl Uid {
    /// The API server makes UUIDs. Another text is told apart by its hash.
    pub(super) fn of(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let mut hex = String::with_capacity(32);
        hex.extend(text.chars().filter(|c| *c != '-'));
        let number = Some(hex)
            .filter(|hex| hex.len() == 32 && text.len() == 36 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u128::from_str_radix(&hex, 16).ok());
        let number = number.unwrap_or_else(|| {
            let hash = |salt: u8| {
                let mut hasher = DefaultHasher::new();
                (salt, text).hash(&mut hasher);
                u128::from(hasher.finish())
            };
            hash(0) << 64 | hash(1)
        });
        NonZeroU128::new(number).map(Self)
    }
}

/// Who made an object: the one owner that is its controller.
fn controller(metadata: &ObjectMeta) -> Option<Uid> {
    let owners = metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    Uid::of(&owner.uid)
}

/// What all pods of one template have in common, kept once.
#[derive(Debug, PartialEq, Eq)]
struct Size {
    requests: Requests,
    /// What a pod takes of its node: thousandths of a core, thousandths of a byte.
    held: [i64; 2],
    /// The ports that have a name: container, name, number.
    ports: Vec<(Box<str>, Box<str>, u16)>,
    /// Whether its address is its node's.
    host_network: bool,
}

/// A pod as it is kept.
#[derive(Debug)]
struct Kept {
    name: Box<str>,
    namespace: Arc<str>,
    owner: Option<Uid>,
    node: Option<Arc<str>>,
    created: Timestamp,
    ready: Option<PodReady>,
    started_at: Option<Timestamp>,
    size: Arc<Size>,
    phase: PodPhase,
    terminating: bool,
    address: Option<IpAddr>,
    /// The resourceVersion, the precondition of a line that is written.
    version: Box<str>,
    /// The lines that it has for its agents, and whether it is paused, by annotation. Most pods have none.
    lines: BTreeMap<String, String>,
}

impl Kept {
    /// Where a port of it is. Only an address that can be a pod's is one: a status that was written by somebody else than
    /// the kubelet must not lead to the controller itself, or to a cloud's metadata.
    fn served(&self, port: &CapturePort) -> Result<SocketAddr, NotServed> {
        if self.size.host_network {
            return Err(NotServed::HostNetwork);
        }
        let number = match port {
            CapturePort::Number(number) => *number,
            CapturePort::Named { name, container } => {
                let fits = |(holder, named, _): &&(Box<str>, Box<str>, u16)| {
                    **named == *name && container.as_ref().is_none_or(|container| **holder == **container)
                };
                let found = self.size.ports.iter().find(fits);
                found.ok_or_else(|| NotServed::NoPort(name.clone()))?.2
            }
        };
        let address = self.address.map(|address| address.to_canonical());
        let own = address.filter(|address| {
            let local = match address {
                IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
                IpAddr::V6(v6) => v6.is_unicast_link_local(),
            };
            !(local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
        });
        own.map(|address| SocketAddr::new(address, number))
            .ok_or(NotServed::NoAddress)
    }
}

/// A pod that may have a line for an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lined {
    /// Its name.
    pub name: String,
    /// Its resourceVersion.
    pub version: String,
    /// Whether it is ready, not on its way out, and not paused.
    pub ready: bool,
    /// Whether a person paused it: it gets no line, and loses the one that it has.
    pub paused: bool,
    /// Since when it is ready, or not.
    pub since: Timestamp,
    /// Its line.
    pub line: Option<String>,
}

/// A running pod that may be asked for evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Where it is served.
    pub at: Result<SocketAddr, NotServed>,
}

/// Why a pod can't be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServed {
    /// Its address is its node's, and so are the ports there.
    #[error("it has hostNetwork, so its address is its node's, which is not asked")]
    HostNetwork,
    /// It has no port of this name.
    #[error("no container of it has a TCP port named {0}; name one under ports, or write from.port")]
    NoPort(String),
    /// It has no address, or one that is no pod's.
    #[error("it has no address of its own")]
    NoAddress,
}

/// A ReplicaSet that has pods, or shall have some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    owner: Option<Uid>,
    template: u64,
}

/// What pods take of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many there are.
    pub pods: u32,
    /// Thousandths of a core.
    pub cpu: i64,
    /// Thousandths of a byte.
    pub memory: i64,
}

/// A pod of a target, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The pod.
    pub pod: Pod,
    /// When it was made.
    pub created: Timestamp,
    /// The node it was placed on, unless it has ended.
    pub node: Option<Arc<str>>,
}

/// Everything that is kept of Pods and ReplicaSets.
#[derive(Debug, Default)]
pub(super) struct Index {
    pods: HashMap<Uid, Kept>,
    by_owner: HashMap<Uid, Vec<Uid>>,
    sets: HashMap<Uid, Set>,
    sets_by_owner: HashMap<Uid, Vec<Uid>>,
    nodes: HashMap<Arc<str>, Held>,
    /// The names of namespaces, each kept once.
    namespaces: HashSet<Arc<str>>,
    /// What a list that is under way has named so far; what it does not name is gone.
    listed: Option<HashSet<Uid>>,
    sets_listed: Option<HashSet<Uid>>,
}

impl Index {
    /// A pod was added or changed.
    pub(super) fn put(&mut self, seen: &PodWire) {
        let Some(uid) = seen.metadata.uid.as_deref().and_then(Uid::of) else {
            return;
        };
        if let Some(listed) = &mut self.listed {
            listed.insert(uid);
        }
        let owner = controller(&seen.metadata);
        let size = self.size(uid, owner, seen);
        self.take(uid);
        let phase = seen.phase();
        // What has ended takes nothing of its node.
        let ended = matches!(phase, PodPhase::Succeeded | PodPhase::Failed);
        let node = seen.spec.node_name.as_deref().filter(|_| !ended);
        let node = node.map(|name| self.node(name));
        let namespace = self.namespace(seen.metadata.namespace.as_deref().unwrap_or_default());
        let kept = Kept {
            name: seen.metadata.name.as_deref().unwrap_or_default().into(),
            namespace,
            owner,
            node,
            created: seen
                .metadata
                .creation_timestamp
                .as_ref()
                .map(instant)
                .unwrap_or_default(),
            ready: seen.ready(),
            started_at: seen.started_at(),
            size,
            phase,
            address: seen.address(),
            terminating: seen.metadata.deletion_timestamp.is_some(),
            version: seen.metadata.resource_version.as_deref().unwrap_or_default().into(),
            lines: seen.metadata.annotations.clone().unwrap_or_default(),
        };
        self.hold(&kept, 1);
        if let Some(owner) = owner {
            self.by_owner.entry(owner).or_default().push(uid);
        }
        self.pods.insert(uid, kept);
    }

    /// A pod is gone.
    pub(super) fn remove(&mut self, seen: &PodWire) {
        if let Some(uid) = seen.metadata.uid.as_deref().and_then(Uid::of) {
            self.take(uid);
        }
    }

    /// A whole list of pods begins.
    pub(super) fn begin(&mut self) {
        self.listed = Some(HashSet::with_capacity(self.pods.len()));
    }

    /// The list has ended.
    pub(super) fn end(&mut self) {
        let Some(listed) = self.listed.take() else { return };
        let gone: Vec<Uid> = self.pods.keys().filter(|uid| !listed.contains(uid)).copied().collect();
        for uid in gone {
            self.take(uid);
        }
        self.pods.shrink_to_fit();
        self.by_owner.shrink_to_fit();
    }

    /// A ReplicaSet was added or changed. One without pods is of no use and not kept.
    pub(super) fn put_set(&mut self, seen: &SetWire) {
        let Some(uid) = seen.metadata.uid.as_deref().and_then(Uid::of) else {
            return;
        };
        if let Some(listed) = &mut self.sets_listed {
            listed.insert(uid);
        }
        self.take_set(uid);
        if seen.spec.replicas == Some(0) && seen.status.replicas == 0 {
            return;
        }
        let set = Set {
            owner: controller(&seen.metadata),
            template: template_hash(&seen.spec.template),
        };
        if let Some(owner) = set.owner {
            self.sets_by_owner.entry(owner).or_default().push(uid);
        }
        self.sets.insert(uid, set);
    }

    /// A ReplicaSet is gone.
    pub(super) fn remove_set(&mut self, seen: &SetWire) {
        if let Some(uid) = seen.metadata.uid.as_deref().and_then(Uid::of) {
            self.take_set(uid);
        }
    }

    /// A whole list of ReplicaSets begins.
    pub(super) fn begin_sets(&mut self) {
        self.sets_listed = Some(HashSet::with_capacity(self.sets.len()));
    }

    /// The list has ended.
    pub(super) fn end_sets(&mut self) {
        let Some(listed) = self.sets_listed.take() else { return };
        let gone: Vec<Uid> = self.sets.keys().filter(|uid| !listed.contains(uid)).copied().collect();
        for uid in gone {
            self.take_set(uid);
        }
    }

    /// The pods that an owner has itself or through ReplicaSets, by name.
    pub(super) fn of(&self, owner: Uid) -> Vec<Placed> {
        let sets = self.sets_by_owner.get(&owner).into_iter().flatten();
        let owners = sets.chain(std::iter::once(&owner));
        let mut pods: Vec<Placed> = owners
            .filter_map(|owner| self.by_owner.get(owner))
            .flatten()
            .filter_map(|uid| self.pods.get(uid))
            .map(|kept| Placed {
                pod: Pod {
                    name: kept.name.to_string(),
                    phase: kept.phase,
                    terminating: kept.terminating,
                    ready: kept.ready,
                    started_at: kept.started_at,
                    requests: kept.size.requests.clone(),
                },
                created: kept.created,
                node: kept.node.clone(),
            })
            .collect();
        pods.sort_by(|a, b| a.pod.name.cmp(&b.pod.name));
        pods
    }

    /// The running pods that an owner has, with the lines under an annotation, by name.
    pub(super) fn lined(&self, owner: Uid, annotation: &str) -> Vec<Lined> {
        let sets = self.sets_by_owner.get(&owner).into_iter().flatten();
        let owners = sets.chain(std::iter::once(&owner));
        let pods = owners
            .filter_map(|owner| self.by_owner.get(owner))
            .flatten()
            .filter_map(|uid| self.pods.get(uid));
        let mut pods: Vec<Lined> = pods
            .filter(|kept| !kept.terminating && kept.phase == PodPhase::Running)
            .map(|kept| {
                let of = |key: &str| kept.lines.get(key).cloned();
                let paused = of(PAUSE_ANNOTATION).is_some_and(|value| value != "false");
                Lined {
                    name: kept.name.to_string(),
                    version: kept.version.to_string(),
                    ready: kept.ready.is_some_and(|ready| ready.ready) && !paused,
                    paused,
                    since: kept.ready.map_or(kept.created, |ready| ready.since),
                    line: of(annotation),
                }
            })
            .collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        pods
    }

    /// The running pods that an owner has, and where a port of theirs is, by name. One that a person paused is left alone.
    pub(super) fn served(&self, owner: Uid, port: &CapturePort) -> Vec<Served> {
        let sets = self.sets_by_owner.get(&owner).into_iter().flatten();
        let owners = sets.chain(std::iter::once(&owner));
        let pods = owners
            .filter_map(|owner| self.by_owner.get(owner))
            .flatten()
            .filter_map(|uid| self.pods.get(uid));
        let paused = |kept: &Kept| kept.lines.get(PAUSE_ANNOTATION).is_some_and(|value| value != "false");
        let mut pods: Vec<Served> = pods
            .filter(|kept| !kept.terminating && kept.phase == PodPhase::Running && !paused(kept))
            .map(|kept| Served {
                name: kept.name.to_string(),
                ready: kept.ready.is_some_and(|ready| ready.ready),
                at: kept.served(port),
            })
            .collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        pods
    }

    /// The hashes of the templates of an owner's ReplicaSets that have pods.
    pub(super) fn templates(&self, owner: Uid) -> Vec<u64> {
        let sets = self.sets_by_owner.get(&owner).into_iter().flatten();
        sets.filter_map(|uid| self.sets.get(uid))
            .map(|set| set.template)
            .collect()
    }

    /// What pods take of a node.
    pub(super) fn held(&self, node: &str) -> Held {
        self.nodes.get(node).copied().unwrap_or_default()
    }

    /// How many pods are kept.
    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }

    /// The size of a pod: its own from before or that of a sibling, if it is the same.
    fn size(&self, uid: Uid, owner: Option<Uid>, seen: &PodWire) -> Arc<Size> {
        let size = Size {
            requests: seen.requests(),
            held: [Resource::Cpu, Resource::Memory].map(|resource| seen.held(resource)),
            ports: seen.ports(),
            host_network: seen.spec.host_network,
        };
        let siblings = owner.and_then(|owner| self.by_owner.get(&owner)).into_iter().flatten();
        // The youngest few are enough: they are of the template that the next one is made from.
        std::iter::once(&uid)
            .chain(siblings.rev().take(4))
            .filter_map(|uid| self.pods.get(uid))
            .find(|kept| *kept.size == size)
            .map_or_else(|| Arc::new(size), |kept| Arc::clone(&kept.size))
    }

    /// On which node each pod of a namespace is, by name; those that are on none are left out.
    pub(super) fn places(&self, namespace: &str) -> BTreeMap<String, String> {
        let pods = self.pods.values().filter(|kept| *kept.namespace == *namespace);
        pods.filter_map(|kept| Some((kept.name.to_string(), kept.node.as_ref()?.to_string())))
            .collect()
    }

    fn namespace(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.namespaces.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.namespaces.insert(Arc::clone(&name));
        name
    }

    fn node(&mut self, name: &str) -> Arc<str> {
        if let Some((known, _)) = self.nodes.get_key_value(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        self.nodes.insert(Arc::clone(&name), Held::default());
        name
    }

    fn take(&mut self, uid: Uid) {
        let Some(kept) = self.pods.remove(&uid) else { return };
        self.hold(&kept, -1);
        if let Some(owner) = kept.owner {
            drop_from(&mut self.by_owner, owner, uid);
        }
    }

    fn take_set(&mut self, uid: Uid) {
        if let Some(Set { owner: Some(owner), .. }) = self.sets.remove(&uid) {
            drop_from(&mut self.sets_by_owner, owner, uid);
        }
    }

    /// Adds a pod to what its node holds, or takes it away.
    fn hold(&mut self, kept: &Kept, sign: i64) {
        let Some(node) = &kept.node else { return };
        let [cpu, memory] = kept.size.held;
        if let Entry::Occupied(mut entry) = self.nodes.entry(Arc::clone(node)) {
            let held = entry.get_mut();
            held.pods = if sign > 0 {
                held.pods.saturating_add(1)
            } else {
                held.pods.saturating_sub(1)
            };
            held.cpu = held.cpu.saturating_add(sign.saturating_mul(cpu));
            held.memory = held.memory.saturating_add(sign.saturating_mul(memory));
            if held.pods == 0 {
                entry.remove();
            }
        }
    }
}

fn drop_from(index: &mut HashMap<Uid, Vec<Uid>>, owner: Uid, uid: Uid) {
    if let Entry::Occupied(mut entry) = index.entry(owner) {
        entry.get_mut().retain(|known| *known != uid);
        if entry.get().is_empty() {
            entry.remove();
        }
    }
}

/// A template's hash, without the label by which a ReplicaSet marks its copy. Within one process equal
/// templates have equal hashes.
pub(super) fn template_hash(template: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    write(template, &mut hasher);
    hasher.finish()
}

/// A field that is `null` is the same as an absent one.
fn write(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields
                .iter()
                .filter(|(key, value)| !value.is_null() && *key != "pod-template-hash")
                .collect();
            fields.sort_by_key(|(key, _)| *key);
            (0_u8, fields.len()).hash(hasher);
            for (key, value) in fields {
                key.hash(hasher);
                write(value, hasher);
            }
        }
        Value::Array(items) => {
            (1_u8, items.len()).hash(hasher);
            for item in items {
                write(item, hasher);
            }
        }
        other => (2_u8, other.to_string()).hash(hasher),
    }
}

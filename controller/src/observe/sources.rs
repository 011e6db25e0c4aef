//! Each `MetricSource` as it is defined now, with its Secrets, ready to be asked.

use super::{
    cluster::Cluster,
    credentials,
    source::{Source, addresses::Addresses},
};
use crate::metrics::Metrics;
use flyball_crds::{MetricSource, Reason, SecretKey};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// Why a policy has no source to ask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceProblem {
    /// It does not exist.
    #[error("sourceRef.name: there is no MetricSource {0}; see `kubectl get metricsources`")]
    NotFound(String),
    /// It does not serve this namespace.
    #[error(
        "sourceRef.name: MetricSource {source_name} does not allow namespace {namespace}; its owner can add it to spec.allowedNamespaces.names"
    )]
    NotAllowed {
        /// The source.
        source_name: String,
        /// The policy's namespace.
        namespace: String,
    },
    /// A Secret or a key is missing.
    #[error(
        "MetricSource {source_name} names key {key} of Secret {secret}, which is not there; create it in the controller's namespace"
    )]
    SecretNotFound {
        /// The source.
        source_name: String,
        /// The Secret.
        secret: String,
        /// The key.
        key: String,
    },
    /// It can't be used as it is written.
    #[error("MetricSource {source_name}: {message}")]
    Invalid {
        /// The source.
        source_name: String,
        /// What is wrong.
        message: String,
    },
}

impl SourceProblem {
    /// The condition's reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NotFound(_) => Reason::SourceNotFound,
            Self::NotAllowed { .. } => Reason::SourceNotAllowed,
            Self::SecretNotFound { .. } => Reason::SecretNotFound,
            Self::Invalid { .. } => Reason::Invalid,
        }
    }
}

/// What a built source was made from: the object by its UID, for one of the same name may be another, and its
/// generation, and the contents of its Secrets. Anything else means that it must be built anew.
type Origin = (Option<String>, Option<i64>, BTreeMap<SecretKey, Vec<u8>>);

/// Built sources, kept so that their connections are.
#[derive(Default)]
pub struct Sources {
    built: Mutex<HashMap<String, Built>>,
    addresses: Addresses,
    metrics: Option<Arc<Metrics>>,
}

struct Built {
    origin: Origin,
    source: Arc<Source>,
    /// As each namespace asks it.
    namespaces: BTreeMap<String, Arc<Source>>,
}

impl Sources {
    /// None yet, at addresses that the installation allows; what each namespace asks is counted.
    pub fn new(addresses: Addresses, metrics: Arc<Metrics>) -> Self {
        Self {
            built: Mutex::default(),
            addresses,
            metrics: Some(metrics),
        }
    }

    /// The source of this name, for a policy of this namespace.
    pub fn get(&self, cluster: &Cluster, name: &str, namespace: &str) -> Result<Arc<Source>, SourceProblem> {
        let object = cluster
            .sources
            .get(&ObjectRef::new(name))
            .ok_or_else(|| SourceProblem::NotFound(name.to_owned()))?;
        if !allows(&object, namespace) {
            return Err(SourceProblem::NotAllowed {
                source_name: name.to_owned(),
                namespace: namespace.to_owned(),
            });
        }
        self.with(cluster, &object, |built| {
            let one = built.namespaces.entry(namespace.to_owned());
            let new = || Arc::new(built.source.of_namespace(namespace, self.metrics.clone()));
            Arc::clone(one.or_insert_with(new))
        })
    }

    /// The source itself, as the controller asks it.
    pub fn build(&self, cluster: &Cluster, object: &MetricSource) -> Result<Arc<Source>, SourceProblem> {
        self.with(cluster, object, |built| Arc::clone(&built.source))
    }

    fn with<T>(
        &self,
        cluster: &Cluster,
        object: &MetricSource,
        what: impl FnOnce(&mut Built) -> T,
    ) -> Result<T, SourceProblem> {
        let name = object.name_any();
        let origin = (object.uid(), object.metadata.generation, secrets(cluster, object)?);
        let mut all = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.get_mut(&name);
        if let Some(built) = before
            && built.origin == origin
        {
            return Ok(what(built));
        }
        let source = Source::among(name.clone(), &object.spec, &origin.2, &self.addresses);
        let source = source.map_err(|error| SourceProblem::Invalid {
            source_name: name.clone(),
            message: error.to_string(),
        })?;
        let source = Arc::new(match all.get(&name) {
            Some(before) => source.instead_of(&before.source),
            None => source,
        });
        let mut built = Built {
            origin,
            source,
            namespaces: BTreeMap::new(),
        };
        let found = what(&mut built);
        all.insert(name, built);
        Ok(found)
    }

    /// Forgets the sources that are no longer there, and their connections.
    pub fn keep(&self, present: &BTreeSet<String>) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.retain(|name, _| present.contains(name));
    }

    /// Forgets the namespaces of which no policy asks a source any more. `asking`: source and namespace of each policy.
    pub fn keep_namespaces(&self, asking: &BTreeSet<(String, String)>) {
        let mut all = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, built) in all.iter_mut() {
            let own = asking.iter().filter(|(source, _)| source == name);
            let present: BTreeSet<&str> = own.map(|(_, namespace)| namespace.as_str()).collect();
            built.source.keep_namespaces(&present);
            built
                .namespaces
                .retain(|namespace, _| present.contains(namespace.as_str()));
        }
    }
}

/// Whether policies of this namespace may use the source.
pub fn allows(source: &MetricSource, namespace: &str) -> bool {
    source
        .spec
        .allowed_namespaces
        .as_ref()
        .is_none_or(|allowed| allowed.includes(namespace))
}

fn secrets(cluster: &Cluster, source: &MetricSource) -> Result<BTreeMap<SecretKey, Vec<u8>>, SourceProblem> {
    let stored = cluster.secrets.state();
    credentials::needed(&source.spec)
        .into_iter()
        .map(|key| {
            let value = stored
                .iter()
                .find(|secret| secret.name_any() == key.name)
                .and_then(|secret| secret.data.as_ref()?.get(&key.key).map(|bytes| bytes.0.clone()));
            value
                .map(|bytes| (key.clone(), bytes))
                .ok_or_else(|| SourceProblem::SecretNotFound {
                    source_name: source.name_any(),
                    secret: key.name.clone(),
                    key: key.key.clone(),
                })
        })
        .collect()
}

//! Each `MetricSource` as it is defined now, with its Secrets, ready to be asked.

use super::{cluster::Cluster, credentials, source::Source};
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
    built: Mutex<HashMap<String, (Origin, Arc<Source>)>>,
}

impl Sources {
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
        self.build(cluster, &object)
    }

    /// The source itself, whoever asks.
    pub fn build(&self, cluster: &Cluster, object: &MetricSource) -> Result<Arc<Source>, SourceProblem> {
        let name = object.name_any();
        let origin = (object.uid(), object.metadata.generation, secrets(cluster, object)?);
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, source)) = built.get(&name)
            && *from == origin
        {
            return Ok(Arc::clone(source));
        }
        let source = Source::new(name.clone(), &object.spec, &origin.2).map_err(|error| SourceProblem::Invalid {
            source_name: name.clone(),
            message: error.to_string(),
        })?;
        let source = Arc::new(match built.get(&name) {
            Some((_, before)) => source.instead_of(before),
            None => source,
        });
        built.insert(name, (origin, Arc::clone(&source)));
        Ok(source)
    }

    /// Forgets the sources that are no longer there, and their connections.
    pub fn keep(&self, present: &BTreeSet<String>) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.retain(|name, _| present.contains(name));
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

//! The autoscaler from which a field was taken, kept on the policy so that it can be made again.

use super::import::{
    Autoscaler,
    keda::{self, PAUSED},
};
use flyball_crds::{FeedbackPolicy, TAKEN_FROM_ANNOTATION};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Map, Value, json};

/// The largest manifest that is kept, in bytes: all annotations of an object together may have 256 KiB.
pub const LARGEST: usize = 64 * 1024;
/// On a ScaledObject that we paused: the policy for which we did.
pub const PAUSED_FOR: &str = "flyball.dev/paused-for-takeover";
/// What kubectl keeps for itself.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How long KEDA waits before it takes the last replica, unless a ScaledObject says otherwise.
const COOLDOWN: i64 = 300;

/// Why an autoscaler can't be kept or made again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeptError {
    /// It is too large for an annotation.
    #[error(
        "{name} has {size} bytes, and at most {LARGEST} are kept on a policy; keep its manifest in a file, delete it with \
         kubectl, and set mode Enforce"
    )]
    TooLarge {
        /// Its kind and name.
        name: String,
        /// Its size.
        size: usize,
    },
    /// The annotation holds something else.
    #[error(
        "the annotation {TAKEN_FROM_ANNOTATION} holds no autoscaler: {0}; remove it with kubectl annotate, and apply the \
         autoscaler's own manifest"
    )]
    Damaged(String),
}

/// An autoscaler's manifest without what the API server adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its kind.
    pub autoscaler: Autoscaler,
    manifest: Value,
}

impl Kept {
    /// What is to be kept of an object.
    pub fn of(autoscaler: Autoscaler, object: &DynamicObject) -> Self {
        let mut annotations = object.annotations().clone();
        annotations.remove(LAST_APPLIED);
        // The pause that was ours is none of the object's.
        if annotations.remove(PAUSED_FOR).is_some() {
            annotations.remove(PAUSED);
        }
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(object.name_any()));
        metadata.insert("namespace".to_owned(), json!(object.namespace()));
        if !object.labels().is_empty() {
            metadata.insert("labels".to_owned(), json!(object.labels()));
        }
        if !annotations.is_empty() {
            metadata.insert("annotations".to_owned(), json!(annotations));
        }
        let resource = autoscaler.resource();
        let manifest = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": metadata,
            "spec": object.data.get("spec"),
        });
        Self { autoscaler, manifest }
    }

    /// What a policy keeps, if it keeps anything.
    pub fn read(policy: &FeedbackPolicy) -> Result<Option<Self>, KeptError> {
        let Some(text) = policy.annotations().get(TAKEN_FROM_ANNOTATION) else {
            return Ok(None);
        };
        let damaged = |reason: &str| KeptError::Damaged(reason.to_owned());
        let manifest: Value = serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))?;
        let text = |path: &str| manifest.pointer(path).and_then(Value::as_str);
        let kind = text("/kind").unwrap_or_default();
        let autoscaler = [Autoscaler::Hpa, Autoscaler::ScaledObject]
            .into_iter()
            .find(|autoscaler| {
                autoscaler.kind() == kind && text("/apiVersion") == Some(autoscaler.resource().api_version.as_str())
            })
            .ok_or_else(|| damaged(&format!("the kind {kind:?} is not known")))?;
        if !text("/metadata/name").is_some_and(crate::validate::is_subdomain) {
            return Err(damaged("it has no name"));
        }
        Ok(Some(Self { autoscaler, manifest }))
    }

    /// As it stands in the annotation.
    pub fn text(&self) -> Result<String, KeptError> {
        let text = self.manifest.to_string();
        if text.len() > LARGEST {
            return Err(KeptError::TooLarge {
                name: self.title(),
                size: text.len(),
            });
        }
        Ok(text)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.manifest
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Its kind and name.
    pub fn title(&self) -> String {
        format!("{} {}", self.autoscaler.kind(), self.name())
    }

    /// The largest number that it allows.
    pub fn max(&self) -> Option<i64> {
        match self.autoscaler {
            Autoscaler::Hpa => self.number("/spec/maxReplicas"),
            Autoscaler::ScaledObject => Some(self.number("/spec/maxReplicaCount").unwrap_or(100)),
        }
    }

    /// Whether it wakes a workload from zero.
    pub fn wakes(&self) -> bool {
        match self.autoscaler {
            Autoscaler::Hpa => self.number("/spec/minReplicas") == Some(0),
            Autoscaler::ScaledObject => true,
        }
    }

    fn number(&self, path: &str) -> Option<i64> {
        self.manifest.pointer(path).and_then(Value::as_i64)
    }

    /// The object to make, in the policy's namespace.
    ///
    /// KEDA takes a new ScaledObject's last replicas at its first quiet look, as it knows of no time at
    /// which it was active. Its own cooldown is asked for first, by `initialCooldownPeriod`.
    pub fn anew(&self, namespace: &str) -> Result<DynamicObject, KeptError> {
        let mut manifest = self.manifest.clone();
        manifest["metadata"]["namespace"] = json!(namespace);
        if self.cools_down_first() {
            let cooldown = self.number("/spec/cooldownPeriod").unwrap_or(COOLDOWN);
            manifest["spec"]["initialCooldownPeriod"] = json!(cooldown);
        }
        serde_json::from_value(manifest).map_err(|error| KeptError::Damaged(error.to_string()))
    }

    /// Whether the object is made with a first cooldown that it did not have.
    pub fn cools_down_first(&self) -> bool {
        let cooldown = self.number("/spec/cooldownPeriod").unwrap_or(COOLDOWN);
        self.autoscaler == Autoscaler::ScaledObject
            && self.number("/spec/minReplicaCount").unwrap_or(0) == 0
            && self.number("/spec/initialCooldownPeriod").unwrap_or(0) < cooldown
    }
}

/// Whether a ScaledObject is paused, by whomever.
pub fn is_paused(object: &DynamicObject) -> bool {
    object
        .annotations()
        .get(PAUSED)
        .is_some_and(|value| keda::says_yes(value))
        || object.annotations().contains_key(keda::PAUSED_REPLICAS)
}

/// What is written on a ScaledObject to pause it for this policy.
pub fn pausing(policy: &str) -> Value {
    json!({"metadata": {"annotations": {PAUSED: "true", PAUSED_FOR: policy}}})
}

//! What a takeover rests on, read anew before each step.

use crate::{
    cli::{
        fetch::{self, Connection, Scope},
        import::Autoscaler,
        kept::{Kept, KeptError},
        suspend::no_policy,
        write::{self, ActError},
    },
    observe::owners::scales,
};
use flyball_crds::{FeedbackPolicy, TargetRef};
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
    discovery,
};
use serde_json::Value;

/// Another autoscaler on the policy's target.
#[derive(Clone, Debug)]
pub struct Other {
    /// Its kind.
    pub autoscaler: Autoscaler,
    /// The object.
    pub object: DynamicObject,
    /// The HorizontalPodAutoscaler that KEDA made of a ScaledObject.
    pub behind: Option<DynamicObject>,
}

impl Other {
    /// Kind and name.
    pub fn title(&self) -> String {
        format!("{} {}", self.autoscaler.kind(), self.object.name_any())
    }

    /// How many replicas it wants now.
    pub fn desired(&self) -> Option<i64> {
        let object = match self.autoscaler {
            Autoscaler::Hpa => &self.object,
            Autoscaler::ScaledObject => self.behind.as_ref()?,
        };
        object.data.pointer("/status/desiredReplicas").and_then(Value::as_i64)
    }

    /// The most and the fewest replicas that it allows, as it is written.
    pub fn bounds(&self) -> (i64, i64) {
        let number = |path: &str| self.object.data.pointer(path).and_then(Value::as_i64);
        match self.autoscaler {
            Autoscaler::Hpa => (
                number("/spec/minReplicas").unwrap_or(1),
                number("/spec/maxReplicas").unwrap_or(1),
            ),
            Autoscaler::ScaledObject => (
                number("/spec/minReplicaCount").unwrap_or(0),
                number("/spec/maxReplicaCount").unwrap_or(100),
            ),
        }
    }
}

/// What is there now.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The policy.
    pub policy: FeedbackPolicy,
    /// The policy, as a write is held to it.
    pub object: DynamicObject,
    /// What it keeps of an autoscaler.
    pub kept: Option<Kept>,
    /// The autoscalers on its target.
    pub others: Vec<Other>,
}

/// Reads the policy and the autoscalers on its target.
pub async fn read(connection: &Connection, namespace: &str, name: &str) -> Result<Facts, ActError> {
    let object = write::object::<FeedbackPolicy>(connection, namespace, name).await?;
    let object = object.ok_or_else(|| no_policy(namespace, name))?;
    let policy: FeedbackPolicy = write::parsed(&object)?;
    let kept = Kept::read(&policy).map_err(|error: KeptError| ActError::Refused(error.to_string()))?;
    let others = others(connection, namespace, &policy.spec.target_ref).await?;
    Ok(Facts {
        policy,
        object,
        kept,
        others,
    })
}

/// The objects of the horizontal autoscaler on a target, those that KEDA made included.
pub async fn horizontal(
    connection: &Connection,
    namespace: &str,
    target: &TargetRef,
) -> Result<Vec<DynamicObject>, ActError> {
    let (client, scope) = (&connection.clients.read, Scope::Namespace(namespace));
    let mut found = fetch::list(client, scope, &Autoscaler::Hpa.resource(), ListParams::default()).await?;
    found.retain(|object| scales(object, target));
    Ok(found)
}

/// The autoscalers on a target. One that KEDA made counts with its ScaledObject.
pub async fn others(connection: &Connection, namespace: &str, target: &TargetRef) -> Result<Vec<Other>, ActError> {
    let (client, scope) = (&connection.clients.read, Scope::Namespace(namespace));
    let scaled = Autoscaler::ScaledObject.resource();
    let (hpas, scaled) = tokio::join!(
        horizontal(connection, namespace, target),
        fetch::list_if_served(client, scope, &scaled),
    );
    let scaled = scaled?.into_iter().filter(|object| scales(object, target));
    let mut others: Vec<Other> = scaled
        .map(|object| Other {
            autoscaler: Autoscaler::ScaledObject,
            object,
            behind: None,
        })
        .collect();
    for object in hpas? {
        let owner = others.iter_mut().find(|other| is_behind(&object, &other.object));
        match owner {
            Some(owner) => owner.behind = Some(object),
            None => others.push(Other {
                autoscaler: Autoscaler::Hpa,
                object,
                behind: None,
            }),
        }
    }
    Ok(others)
}

fn is_behind(hpa: &DynamicObject, scaled: &DynamicObject) -> bool {
    hpa.owner_references()
        .iter()
        .any(|owner| owner.kind == "ScaledObject" && owner.name == scaled.name_any())
}

/// How the target's kind is addressed.
pub async fn kind_of(connection: &Connection, target: &TargetRef) -> Result<ApiResource, ActError> {
    let (group, version) = target.api_version.rsplit_once('/').unwrap_or(("", &target.api_version));
    let kind = GroupVersionKind::gvk(group, version, &target.kind);
    discovery::pinned_kind(&connection.clients.read, &kind)
        .await
        .map(|(resource, _)| resource)
        .map_err(|_| {
            ActError::Refused(format!(
                "the API server does not serve {} {}; correct spec.targetRef of the policy",
                target.api_version, target.kind
            ))
        })
}

//! Writes to a target: its stamp and its scale, each with the resourceVersion it was decided on.

use super::{Authority, ReplicasEvent};
use crate::observe::target::Snapshot;
use flyball_core::{
    check::DryRun,
    policy::Replicas,
    transaction::{Event, Stamp, Target},
};
use flyball_crds::{FIELD_MANAGER, STAMP_ANNOTATION};
use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use kube::{
    Api, Client, Error,
    api::{ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
};
use std::{future::Future, sync::Mutex};
use tracing::warn;

/// The hands on one target.
pub struct Hands<'a> {
    api: Api<DynamicObject>,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    authority: &'a Authority,
    /// The last refusal, for the record.
    refusal: Mutex<Option<String>>,
}

impl<'a> Hands<'a> {
    /// Hands on the object of this name, as long as it is the one with this UID.
    pub fn new(
        client: &Client,
        resource: &ApiResource,
        namespace: &'a str,
        name: &'a str,
        uid: &'a str,
        authority: &'a Authority,
    ) -> Self {
        let api = Api::namespaced_with(client.clone(), namespace, resource);
        Self { api, namespace, name, uid, authority, refusal: Mutex::new(None) }
    }

    /// Why the API server refused the last write, if it did for another reason than a conflict.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.lock().ok().and_then(|refusal| refusal.clone())
    }

    /// Writes the stamp.
    ///
    /// `replace` on the resourceVersion makes it the write's precondition, so that a stale one is
    /// answered with 409; the UID is tested, so that an object made anew is never touched.
    pub(super) async fn stamp(&self, stamp: Stamp, at: &str) -> ReplicasEvent {
        let key = STAMP_ANNOTATION.replace('~', "~0").replace('/', "~1");
        let patch = |with_map: bool| {
            let mut operations = vec![
                serde_json::json!({"op": "test", "path": "/metadata/uid", "value": self.uid}),
                serde_json::json!({"op": "replace", "path": "/metadata/resourceVersion", "value": at}),
            ];
            if with_map {
                operations.push(serde_json::json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
            }
            let path = format!("/metadata/annotations/{key}");
            operations.push(serde_json::json!({"op": "add", "path": path, "value": stamp.to_string()}));
            serde_json::from_value::<json_patch::Patch>(serde_json::Value::Array(operations))
        };
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let send = async |with_map| match patch(with_map) {
            Ok(patch) => self.within(self.api.patch(self.name, &parameters, &Patch::Json::<()>(patch))).await,
            Err(error) => Err(Failure::Refused(error.to_string())),
        };
        let answer = match send(false).await {
            // The object has no annotations at all, so there is no place to add one. The
            // resourceVersion is still the precondition, so no annotation can be lost by making it.
            Err(Failure::Refused(_)) => send(true).await,
            answer => answer,
        };
        match answer {
            Ok(object) => match Snapshot::of(&object) {
                Ok(seen) => Event::Accepted(seen.target),
                Err(error) => self.failed("stamp", Failure::Refused(error.to_string())),
            },
            Err(failure) => self.failed("stamp", failure),
        }
    }

    /// Writes the number of replicas through the scale subresource.
    pub(super) async fn write(&self, value: Replicas, at: &str, stamp: Option<Stamp>) -> ReplicasEvent {
        let body = self.scale(value, Some(at));
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.within(self.api.replace_scale(self.name, &parameters, &body)).await {
            Ok(scale) => {
                // The scale omits `replicas` at 0.
                let found = scale.spec.and_then(|spec| spec.replicas).unwrap_or(0);
                let version = scale.metadata.resource_version.unwrap_or_default();
                // A mutating webhook may have changed the value: then it is not ours, and seen as such.
                let value = Replicas::new(found.into()).unwrap_or(value);
                Event::Accepted(Target { value, version, stamp })
            }
            Err(failure) => self.failed("write", failure),
        }
    }

    /// Asks the API server what it would say to the write. Unconditional, since nothing is written.
    pub async fn dry_run(&self, value: Replicas) -> DryRun {
        let parameters =
            PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let body = self.scale(value, None);
        match self.within(self.api.replace_scale(self.name, &parameters, &body)).await {
            Ok(_) => DryRun::Accepted,
            Err(Failure::Forbidden(message)) => {
                DryRun::Skipped(format!("no right to try it: {message}; grant update on the kind's scale subresource"))
            }
            Err(Failure::Conflict(message)) => DryRun::Skipped(format!("the target changed meanwhile: {message}")),
            Err(Failure::Refused(message)) => DryRun::Refused(message),
            Err(Failure::Unknown(message)) => DryRun::Refused(format!("the API server did not answer: {message}")),
        }
    }

    fn scale(&self, value: Replicas, at: Option<&str>) -> Scale {
        Scale {
            metadata: ObjectMeta {
                name: Some(self.name.to_owned()),
                namespace: Some(self.namespace.to_owned()),
                uid: Some(self.uid.to_owned()),
                resource_version: at.map(ToOwned::to_owned),
                ..ObjectMeta::default()
            },
            spec: Some(ScaleSpec { replicas: i32::try_from(value.get()).ok() }),
            status: None,
        }
    }

    async fn within<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        let answer = self.authority.within(request).await;
        answer.map_err(|none| Failure::Unknown(none.to_string()))?.map_err(Failure::from)
    }

    fn failed(&self, what: &str, failure: Failure) -> ReplicasEvent {
        warn!(namespace = self.namespace, target = self.name, what, %failure, "a write was not accepted");
        match failure {
            Failure::Conflict(_) => Event::Conflict,
            Failure::Refused(message) | Failure::Forbidden(message) => {
                if let Ok(mut refusal) = self.refusal.lock() {
                    *refusal = Some(message);
                }
                Event::Lost
            }
            Failure::Unknown(_) => Event::Lost,
        }
    }
}

/// How a write failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Its precondition did not hold.
    #[error("{0}")]
    Conflict(String),
    /// We lack the right.
    #[error("{0}")]
    Forbidden(String),
    /// The API server or an admission webhook refused it.
    #[error("{0}")]
    Refused(String),
    /// Its outcome is unknown.
    #[error("{0}")]
    Unknown(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            // A test operation that fails is answered with 422 and speaks of its path.
            Error::Api(status) if status.code == 409 => Self::Conflict(status.message),
            Error::Api(status) if status.code == 422 && status.message.contains("test") => {
                Self::Conflict(status.message)
            }
            Error::Api(status) if status.code == 403 => Self::Forbidden(status.message),
            Error::Api(status) if status.code == 404 => Self::Conflict(status.message),
            Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => {
                Self::Refused(status.message)
            }
            error => Self::Unknown(error.to_string()),
        }
    }
}

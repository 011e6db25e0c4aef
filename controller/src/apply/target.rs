//! Writes to a target: its stamp and its scale, each with the resourceVersion it was decided on.

use super::{Authority, Handle, ReplicasEvent, guard::Guard};
use crate::{
    client::{CallError, CallKind, WRITE_LIMIT, within},
    metrics::Verb,
    observe::{freeze::Freeze, target::Snapshot},
};
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
use tokio::time::Instant;
use tracing::{debug, warn};

/// How often one write is sent, if nothing but the target's version moves on.
const WRITES: usize = 5;

/// The hands on one target.
pub struct Hands<'a> {
    client: Client,
    api: Api<DynamicObject>,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    authority: &'a Authority,
    /// The red button, which stops forward writes.
    guard: Guard<'a>,
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
        Self {
            client: client.clone(),
            api,
            namespace,
            name,
            uid,
            authority,
            guard: Guard::default(),
        }
    }

    /// The same hands, which write nothing forward while the installation is frozen or this namespace paused.
    #[must_use]
    pub fn unless(mut self, freeze: &'a Freeze, namespace: &'a str) -> Self {
        self.guard.look_at(freeze, namespace);
        self
    }

    async fn write_once(&self, value: Replicas, at: &str, stamp: Option<Stamp>) -> Result<ReplicasEvent, CallError> {
        let body = self.scale(value, Some(at));
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let scale = self
            .authority
            .to_target(Verb::Update, self.api.replace_scale(self.name, &parameters, &body))
            .await?;
        // The scale omits `replicas` at 0.
        let found = scale.spec.and_then(|spec| spec.replicas).unwrap_or(0);
        let version = scale.metadata.resource_version.unwrap_or_default();
        // A mutating webhook may have changed the value: then it is not ours, and seen as such.
        let value = Replicas::new(found.into()).unwrap_or(value);
        Ok(Event::Accepted(Target { value, version, stamp }))
    }

    /// The present version of the target, if it is the one that was seen but for that.
    async fn version_of(&self, seen: &Target<Replicas, String>) -> Option<String> {
        let object = within(Instant::now() + WRITE_LIMIT, self.api.get(self.name))
            .await
            .ok()?;
        let now = Snapshot::of(&object).ok()?;
        let same = now.uid == self.uid && now.target.stamp == seen.stamp && now.target.value == seen.value;
        (same && seen.stamp.is_some()).then_some(now.target.version)
    }

    /// Asks the API server what it would say to the write. Unconditional, since nothing is written.
    pub async fn dry_run(&self, value: Replicas) -> DryRun {
        let parameters = PostParams {
            dry_run: true,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let body = self.scale(value, None);
        let request = self.api.replace_scale(self.name, &parameters, &body);
        let Err(error) = self.authority.to_target(Verb::DryRun, request).await else {
            return DryRun::Accepted;
        };
        match error.kind() {
            CallKind::Forbidden if lacks_right(&error) => DryRun::Skipped(format!(
                "no right to try it: {error}; grant update on the kind's scale subresource"
            )),
            CallKind::Conflict => DryRun::Skipped(format!("the target changed meanwhile: {error}")),
            CallKind::Invalid | CallKind::Forbidden | CallKind::Unauthorized | CallKind::NotFound => {
                DryRun::Refused(error.to_string())
            }
            // An answer that says nothing of the write must not keep a harmful decrease in place: the write
            // itself will tell.
            _ => DryRun::Skipped(format!("the API server gave no answer to the trial: {error}")),
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
            spec: Some(ScaleSpec {
                replicas: i32::try_from(value.get()).ok(),
            }),
            status: None,
        }
    }

    fn failed(&self, what: &str, error: &CallError) -> ReplicasEvent {
        warn!(namespace = self.namespace, target = self.name, what, %error, "a write was not accepted");
        match error.kind() {
            CallKind::Conflict | CallKind::NotFound => Event::Conflict,
            CallKind::Invalid | CallKind::Forbidden | CallKind::Unauthorized => {
                self.guard.refuse(error.to_string());
                Event::Refused
            }
            _ => Event::Lost,
        }
    }
}

impl Handle<Replicas, String> for Hands<'_> {
    /// Whether nothing may be written but roll-backs.
    async fn is_frozen(&self) -> bool {
        self.guard.holds(&self.client).await
    }

    /// Why the API server refused the last write, if it did for another reason than a conflict.
    fn refusal(&self) -> Option<String> {
        self.guard.refusal()
    }

    /// Writes the stamp.
    ///
    /// A merge patch that carries `metadata.resourceVersion` has it as its precondition: a stale one is
    /// answered with 409. So has an object that was made anew, for no two versions of a cluster are the
    /// same; the UID beside it says so to whoever reads the audit log. It needs no path to be there before,
    /// as a JSON patch does, and touches no other annotation.
    async fn stamp(&self, stamp: Stamp, at: &String) -> ReplicasEvent {
        let patch = serde_json::json!({"metadata": {
            "uid": self.uid,
            "resourceVersion": at,
            "annotations": {STAMP_ANNOTATION: stamp.to_string()},
        }});
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        let request = self.api.patch(self.name, &parameters, &patch);
        match self.authority.to_target(Verb::Patch, request).await {
            Ok(object) => match Snapshot::of(&object) {
                Ok(seen) => Event::Accepted(seen.target),
                Err(error) => {
                    self.guard.refuse(error.to_string());
                    Event::Lost
                }
            },
            Err(error) => self.failed("stamp", &error),
        }
    }

    /// Writes the number of replicas through the scale subresource, if the target is still as `seen`.
    ///
    /// Kubernetes itself writes a target all the time: the stamp alone makes a Deployment's controller
    /// write its status a moment later, right before our own write. So a conflict is looked into: as
    /// long as stamp and value are those that were seen, only the version moved on, and the write is
    /// sent again with the new one. That is as safe as the first time, for whoever else takes the
    /// transaction up, or cuts it short, changes the stamp first.
    async fn write(&self, value: Replicas, at: &String, seen: &Target<Replicas, String>) -> ReplicasEvent {
        let mut version = at.to_owned();
        for _ in 1..WRITES {
            match self.write_once(value, &version, seen.stamp).await {
                Err(error) if error.kind() == CallKind::Conflict => {
                    debug!(namespace = self.namespace, target = self.name, %error, "looking whether only the version moved on");
                    match self.version_of(seen).await {
                        Some(newer) if newer != version => version = newer,
                        _ => return Event::Conflict,
                    }
                }
                Err(error) => return self.failed("write", &error),
                Ok(event) => return event,
            }
        }
        self.write_once(value, &version, seen.stamp)
            .await
            .unwrap_or_else(|error| self.failed("write", &error))
    }
}

/// RBAC and admission both answer 403; only the former speaks of what a user can't do.
fn lacks_right(error: &CallError) -> bool {
    matches!(error, CallError::Api(Error::Api(status)) if status.message.contains(" cannot "))
}

//! Writes of a runtime's knobs to a workload: two annotations, the stamp and the setting, and the pods get their lines
//! from [`super::pods`]; no rollout follows. Start-up options are the stamp and entries of the pod template instead.

use super::{
    Authority, Handle,
    env::{EnvProblem, env_as_found, env_of, env_patch},
    guard::Guard,
};
use crate::{
    client::{CallError, CallKind, WRITE_LIMIT, within},
    metrics::Verb,
    observe::freeze::Freeze,
};
use flyball_core::{
    check::DryRun,
    policy::{Env, Setting, SettingError},
    transaction::{Event, Stamp, Target, Tx},
};
use flyball_crds::{ChangeRuntime, FIELD_MANAGER, RUNTIME_PREFIX, RUNTIME_STAMP_PREFIX};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{debug, warn};

/// How often one write is sent, if nothing but the target's version moves on.
const WRITES: usize = 5;

/// A transaction over knobs.
pub type RuntimeTx = Tx<Setting, String>;
/// What happened to it.
pub type RuntimeEvent = Event<Setting, String>;
/// A workload as a transaction sees it.
pub type RuntimeTarget = Target<Setting, String>;

/// What a workload holds for a container; absent: boot values.
pub fn setting_of(object: &DynamicObject, container: &str) -> Result<RuntimeTarget, SettingError> {
    let annotation = |prefix: &str| object.annotations().get(&format!("{prefix}{container}"));
    let value = annotation(RUNTIME_PREFIX).map(|text| text.parse()).transpose()?;
    Ok(Target {
        value: value.unwrap_or_default(),
        version: object.resource_version().unwrap_or_default(),
        // One that can't be read is written over: the next stamp starts from the journals' numbers.
        stamp: annotation(RUNTIME_STAMP_PREFIX).and_then(|text| text.parse().ok()),
    })
}

/// Why a workload's setting can't be told.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TargetProblem {
    /// Its annotation can't be read.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Variables of its template are not ours to write.
    #[error(transparent)]
    Env(#[from] EnvProblem),
}

/// What a workload holds for a container: of its pod template where variables are named, else its annotation.
pub fn target_of(
    object: &DynamicObject,
    container: &str,
    variables: Option<&[String]>,
) -> Result<RuntimeTarget, TargetProblem> {
    let Some(variables) = variables else {
        return Ok(setting_of(object, container)?);
    };
    let value = Setting::of_env(env_of(object, container, variables)?);
    Ok(in_template(object, container, value))
}

/// The same for a Change that is open: a variable that somebody took elsewhere is theirs, and no reason to stop.
pub fn as_found(
    object: &DynamicObject,
    container: &str,
    variables: Option<&[String]>,
) -> Result<RuntimeTarget, SettingError> {
    let Some(variables) = variables else {
        return setting_of(object, container);
    };
    let value = Setting::of_env(env_as_found(object, container, variables));
    Ok(in_template(object, container, value))
}

fn in_template(object: &DynamicObject, container: &str, value: Setting) -> RuntimeTarget {
    let stamp = object.annotations().get(&format!("{RUNTIME_STAMP_PREFIX}{container}"));
    Target {
        value,
        version: object.resource_version().unwrap_or_default(),
        stamp: stamp.and_then(|text| text.parse().ok()),
    }
}

/// The variables of the pod template that a Change moves; `None`: it moves the annotation.
pub fn variables_of(moved: &ChangeRuntime) -> Option<Vec<String>> {
    let before: Setting = moved.before.parse().ok()?;
    Some(before.env?.variables().map(|(name, _)| name.to_owned()).collect())
}

/// The hands on one workload's setting for a container.
pub struct RuntimeHands<'a> {
    client: Client,
    api: Api<DynamicObject>,
    name: &'a str,
    uid: &'a str,
    container: &'a str,
    authority: &'a Authority,
    /// The variables of the pod template that are written; `None`: the annotation.
    variables: Option<Vec<String>>,
    guard: Guard<'a>,
}

impl<'a> RuntimeHands<'a> {
    /// Hands on the workload of this name, as long as it is the one with this UID.
    pub fn new(
        client: &Client,
        resource: &ApiResource,
        namespace: &str,
        (name, uid): (&'a str, &'a str),
        container: &'a str,
        authority: &'a Authority,
    ) -> Self {
        Self {
            client: client.clone(),
            api: Api::namespaced_with(client.clone(), namespace, resource),
            name,
            uid,
            container,
            authority,
            variables: None,
            guard: Guard::default(),
        }
    }

    /// The same hands, on these variables of the pod template.
    #[must_use]
    pub fn on(mut self, variables: Option<Vec<String>>) -> Self {
        self.variables = variables;
        self
    }

    /// The same hands, which write nothing forward while the installation is frozen or this namespace paused.
    #[must_use]
    pub fn unless(mut self, freeze: &'a Freeze, namespace: &'a str) -> Self {
        self.guard.look_at(freeze, namespace);
        self
    }

    /// Asks the API server what it would say.
    pub async fn dry_run(&self, value: &Setting) -> DryRun {
        let parameters = PatchParams {
            dry_run: true,
            ..parameters()
        };
        let patch = match &value.env {
            None => Patch::Merge(self.patch(None, &json!({self.key(): written(value)}))),
            Some(env) => match self.whole().await.map(|object| env_patch(&object, self.container, env)) {
                Some(Ok(patch)) => Patch::Json(patch),
                Some(Err(problem)) => return DryRun::Refused(problem.to_string()),
                None => return DryRun::Skipped("the workload could not be read".to_owned()),
            },
        };
        let request = self.api.patch(self.name, &parameters, &patch);
        let Err(error) = self.authority.to_target(Verb::DryRun, request).await else {
            return DryRun::Accepted;
        };
        match error.kind() {
            CallKind::Invalid | CallKind::Forbidden | CallKind::Unauthorized | CallKind::NotFound => {
                DryRun::Refused(error.to_string())
            }
            _ => DryRun::Skipped(format!("the API server gave no answer to the trial: {error}")),
        }
    }

    fn key(&self) -> String {
        format!("{RUNTIME_PREFIX}{}", self.container)
    }

    /// The UID says so to whoever reads the audit log; the version is the precondition.
    fn patch(&self, at: Option<&str>, annotations: &Value) -> Value {
        let mut metadata = json!({"uid": self.uid, "annotations": annotations});
        if let (Some(at), Some(metadata)) = (at, metadata.as_object_mut()) {
            metadata.insert("resourceVersion".to_owned(), at.into());
        }
        json!({"metadata": metadata})
    }

    async fn send(&self, at: &str, annotations: &Value) -> Result<RuntimeEvent, CallError> {
        let patch = self.patch(Some(at), annotations);
        let (parameters, patch) = (parameters(), Patch::Merge(&patch));
        let request = self.api.patch(self.name, &parameters, &patch);
        let object = self.authority.to_target(Verb::Patch, request).await?;
        Ok(self.accepted(&object))
    }

    fn accepted(&self, object: &DynamicObject) -> RuntimeEvent {
        match self.seen(object) {
            Ok(target) => Event::Accepted(target),
            Err(error) => {
                self.guard.refuse(error.to_string());
                Event::Lost
            }
        }
    }

    fn seen(&self, object: &DynamicObject) -> Result<RuntimeTarget, SettingError> {
        as_found(object, self.container, self.variables.as_deref())
    }

    /// The workload as the API server has it: of what is kept in memory no patch can be made.
    async fn whole(&self) -> Option<DynamicObject> {
        let read = within(Instant::now() + WRITE_LIMIT, self.api.get(self.name)).await;
        read.ok().filter(|object| object.uid().as_deref() == Some(self.uid))
    }

    /// Writes variables of the pod template. The patch tests the version that is read here, which is the one that was
    /// decided on, or one with the same stamp and the same variables.
    async fn write_template(&self, env: &Env, at: &str, seen: &RuntimeTarget) -> RuntimeEvent {
        for attempt in 1..=WRITES {
            let Some(object) = self.whole().await else {
                return Event::Lost;
            };
            let Ok(now) = self.seen(&object) else {
                return Event::Conflict;
            };
            let same = seen.stamp.is_some() && now.stamp == seen.stamp && now.value == seen.value;
            if now.version != at && !same {
                return Event::Conflict;
            }
            let Ok(patch) = env_patch(&object, self.container, env) else {
                return Event::Conflict;
            };
            let (parameters, patch) = (parameters(), Patch::<()>::Json(patch));
            let request = self.api.patch(self.name, &parameters, &patch);
            match self.authority.to_target(Verb::Patch, request).await {
                Ok(written) => return self.accepted(&written),
                // A test that fails is answered as an invalid object is.
                Err(error)
                    if attempt < WRITES
                        && matches!(error.kind(), CallKind::Conflict | CallKind::Invalid)
                        && self.moved_on(&now.version).await =>
                {
                    debug!(target = self.name, %error, "looking whether only the version moved on");
                }
                Err(error) => return self.failed("write", &error),
            }
        }
        Event::Conflict
    }

    async fn moved_on(&self, from: &str) -> bool {
        let now = self.whole().await.and_then(|object| object.resource_version());
        now.is_some_and(|now| now != from)
    }

    /// The present version, if the workload is the one that was seen but for that.
    async fn version_of(&self, seen: &RuntimeTarget) -> Option<String> {
        let object = within(Instant::now() + WRITE_LIMIT, self.api.get(self.name))
            .await
            .ok()?;
        let now = self.seen(&object).ok()?;
        let same = object.uid().as_deref() == Some(self.uid) && now.stamp == seen.stamp && now.value == seen.value;
        (same && seen.stamp.is_some()).then_some(now.version)
    }

    fn failed(&self, what: &str, error: &CallError) -> RuntimeEvent {
        warn!(target = self.name, what, %error, "a write was not accepted");
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

/// `null` takes the annotation out.
fn written(setting: &Setting) -> Value {
    if setting.is_boot() {
        Value::Null
    } else {
        Value::String(setting.to_string())
    }
}

fn parameters() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

impl Handle<Setting, String> for RuntimeHands<'_> {
    async fn stamp(&self, stamp: Stamp, at: &String) -> RuntimeEvent {
        let key = format!("{RUNTIME_STAMP_PREFIX}{}", self.container);
        match self.send(at, &json!({key: stamp.to_string()})).await {
            Ok(event) => event,
            Err(error) => self.failed("stamp", &error),
        }
    }

    /// A workload's own controller writes its status all the time, so a conflict is looked into, as with replicas.
    async fn write(&self, value: Setting, at: &String, seen: &RuntimeTarget) -> RuntimeEvent {
        if let Some(env) = &value.env {
            return self.write_template(env, at, seen).await;
        }
        let mut version = at.to_owned();
        for attempt in 1..=WRITES {
            match self.send(&version, &json!({self.key(): written(&value)})).await {
                Err(error) if error.kind() == CallKind::Conflict && attempt < WRITES => {
                    debug!(target = self.name, %error, "looking whether only the version moved on");
                    match self.version_of(seen).await {
                        Some(newer) if newer != version => version = newer,
                        _ => return Event::Conflict,
                    }
                }
                Err(error) => return self.failed("write", &error),
                Ok(event) => return event,
            }
        }
        Event::Conflict
    }

    async fn is_frozen(&self) -> bool {
        self.guard.holds(&self.client).await
    }

    fn refusal(&self) -> Option<String> {
        self.guard.refusal()
    }
}

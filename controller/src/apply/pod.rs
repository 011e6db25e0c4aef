//! Writes to one pod that is relieved: its stamp, its memory through the subresource `resize`, and its eviction, each with
//! the resourceVersion it was decided on.

use super::{Authority, Handle, guard::Guard};
use crate::{
    client::{CallError, CallKind},
    metrics::Verb,
    observe::{freeze::Freeze, relief},
};
use flyball_core::{
    bytes::Bytes,
    check::DryRun,
    policy::{PodMemory, PodState},
    transaction::{Event, Stamp, Target, Tx},
};
use flyball_crds::{FIELD_MANAGER, STAMP_ANNOTATION};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Error, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tracing::{debug, warn};

/// How often one write is sent, if nothing but the pod's version moves on.
const WRITES: usize = 5;

/// A transaction on a pod.
pub type PodTx = Tx<PodState, String>;
/// What happened to it.
pub type PodEvent = Event<PodState, String>;
/// A pod as a transaction sees it.
pub type PodTarget = Target<PodState, String>;

/// The hands on one pod.
pub struct PodHands<'a> {
    client: Client,
    api: Api<Pod>,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    /// The container whose memory is written; `None`: the pod is evicted.
    container: Option<&'a str>,
    authority: &'a Authority,
    guard: Guard<'a>,
}

impl<'a> PodHands<'a> {
    /// Hands on the pod of this name, as long as it is the one with this UID.
    pub fn new(
        client: &Client,
        namespace: &'a str,
        (name, uid): (&'a str, &'a str),
        container: Option<&'a str>,
        authority: &'a Authority,
    ) -> Self {
        Self {
            client: client.clone(),
            api: Api::namespaced(client.clone(), namespace),
            namespace,
            name,
            uid,
            container,
            authority,
            guard: Guard::default(),
        }
    }

    /// The same hands, which write nothing while the installation is frozen or this namespace paused.
    #[must_use]
    pub fn unless(mut self, freeze: &'a Freeze, namespace: &'a str) -> Self {
        self.guard.look_at(freeze, namespace);
        self
    }

    /// Asks the API server what it would say: quotas, ranges, the pod's class and disruption budgets are its to know.
    pub async fn dry_run(&self, value: PodState) -> DryRun {
        let sent = match value {
            PodState::Memory(memory) => self.resize(memory, None, true).await.map(drop),
            PodState::Evicted | PodState::There => self.evict(None, true).await,
        };
        let Err(error) = sent else {
            return DryRun::Accepted;
        };
        match error.kind() {
            CallKind::Invalid | CallKind::Forbidden | CallKind::Unauthorized | CallKind::NotFound => {
                DryRun::Refused(error.to_string())
            }
            _ if breaks_budget(&error) => DryRun::Refused(error.to_string()),
            _ => DryRun::Skipped(format!("the API server gave no answer to the trial: {error}")),
        }
    }

    /// The memory, in place. The version is the precondition.
    async fn resize(&self, memory: PodMemory, at: Option<&str>, dry_run: bool) -> Result<Pod, CallError> {
        let patch = self.patch(memory, at);
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            dry_run,
            ..PatchParams::default()
        };
        let patch = Patch::Strategic(&patch);
        let request = self.api.patch_resize(self.name, &parameters, &patch);
        let verb = if dry_run { Verb::DryRun } else { Verb::Patch };
        self.authority.to_target(verb, request).await
    }

    fn patch(&self, memory: PodMemory, at: Option<&str>) -> Value {
        let mut metadata = json!({"uid": self.uid});
        if let (Some(at), Some(metadata)) = (at, metadata.as_object_mut()) {
            metadata.insert("resourceVersion".to_owned(), at.into());
        }
        let mut resources = json!({"limits": {"memory": quantity(memory.limit)}});
        if let Some(request) = memory.request {
            resources["requests"] = json!({"memory": quantity(request)});
        }
        let container = json!({"name": self.container, "resources": resources});
        json!({"metadata": metadata, "spec": {"containers": [container]}})
    }

    /// The eviction, of this very pod at this very version. kube's own call writes `delete_options`, which the API server does not
    /// know and leaves out, and the preconditions with it.
    async fn evict(&self, at: Option<&str>, dry_run: bool) -> Result<(), CallError> {
        let body = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "deleteOptions": {"preconditions": {"uid": self.uid, "resourceVersion": at}},
        });
        let parameters = PostParams {
            dry_run,
            field_manager: Some(FIELD_MANAGER.to_owned()),
        };
        let request = self
            .api
            .create_subresource::<Value, Value>("eviction", self.name, &parameters, &body);
        let verb = if dry_run { Verb::DryRun } else { Verb::Create };
        self.authority.to_target(verb, request).await.map(drop)
    }

    async fn write_once(&self, value: PodState, at: &str, stamp: Option<Stamp>) -> Result<PodEvent, CallError> {
        match value {
            PodState::Memory(memory) => {
                let pod = self.resize(memory, Some(at), false).await?;
                Ok(Event::Accepted(relief::target_of(&pod, self.container)))
            }
            PodState::Evicted => {
                self.evict(Some(at), false).await?;
                Ok(gone(at, stamp))
            }
            // What is there is never written.
            PodState::There => Ok(Event::Lost),
        }
    }

    /// The pod as it is now; `Ok(None)`: it is gone.
    async fn now(&self) -> Result<Option<PodTarget>, CallError> {
        let pod = relief::read(&self.client, self.namespace, self.name).await?;
        let same = pod.filter(|pod| pod.uid().as_deref() == Some(self.uid));
        Ok(same.map(|pod| relief::target_of(&pod, self.container)))
    }

    fn failed(&self, what: &str, error: &CallError) -> PodEvent {
        warn!(namespace = self.namespace, pod = self.name, what, %error, "a write was not accepted");
        match error.kind() {
            CallKind::Conflict | CallKind::NotFound => Event::Conflict,
            CallKind::Invalid | CallKind::Forbidden | CallKind::Unauthorized => {
                self.guard.refuse(error.to_string());
                Event::Refused
            }
            _ if breaks_budget(error) => {
                self.guard.refuse(error.to_string());
                Event::Refused
            }
            _ => Event::Lost,
        }
    }
}

impl Handle<PodState, String> for PodHands<'_> {
    /// A pod that is gone needs no fence: an eviction names its UID, so none can land on another.
    async fn stamp(&self, stamp: Stamp, at: &String) -> PodEvent {
        let patch = json!({"metadata": {
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
            Ok(pod) => Event::Accepted(relief::target_of(&pod, self.container)),
            Err(error) => match self.now().await {
                Ok(None) if self.container.is_none() => gone(at, Some(stamp)),
                _ => self.failed("stamp", &error),
            },
        }
    }

    /// The kubelet writes a pod's status whenever it likes, so a conflict is looked into, as with replicas.
    async fn write(&self, value: PodState, at: &String, seen: &PodTarget) -> PodEvent {
        let mut version = at.to_owned();
        for attempt in 1..=WRITES {
            let error = match self.write_once(value, &version, seen.stamp).await {
                Ok(event) => return event,
                Err(error) => error,
            };
            let looks = matches!(error.kind(), CallKind::Conflict | CallKind::NotFound);
            if !looks || attempt == WRITES {
                return self.failed("write", &error);
            }
            debug!(pod = self.name, %error, "looking whether only the version moved on");
            match self.now().await {
                Ok(None) if self.container.is_none() => return gone(&version, seen.stamp),
                Ok(Some(now)) if now.value == PodState::Evicted => return Event::Accepted(now),
                Ok(Some(now)) => {
                    let same = seen.stamp.is_some() && now.stamp == seen.stamp && now.value == seen.value;
                    if !same || now.version == version {
                        return Event::Conflict;
                    }
                    version = now.version;
                }
                _ => return Event::Conflict,
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

fn gone(at: &str, stamp: Option<Stamp>) -> PodEvent {
    Event::Accepted(Target {
        value: PodState::Evicted,
        version: at.to_owned(),
        stamp,
    })
}

/// In MiB where it is a whole number of them.
fn quantity(bytes: Bytes) -> String {
    const MIB: u64 = 1 << 20;
    let bytes = bytes.get();
    if bytes.is_multiple_of(MIB) {
        format!("{}Mi", bytes / MIB)
    } else {
        bytes.to_string()
    }
}

/// Whether a disruption budget is what refuses it: 429, as a server that is too busy answers, too; with two budgets 500.
fn breaks_budget(error: &CallError) -> bool {
    let CallError::Api(Error::Api(status)) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut causes = causes.filter(|cause| cause.reason == "DisruptionBudget");
    causes.next().is_some() || status.message.contains("PodDisruptionBudget")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_as_people_write_it() {
        assert_eq!(quantity(Bytes::from_mib(80)), "80Mi");
        assert_eq!(quantity(Bytes::from_mib(2048)), "2048Mi");
        assert_eq!(quantity(Bytes::new(100_000_001).expect("an amount")), "100000001");
    }
}

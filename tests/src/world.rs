//! One scenario's world: a namespace, a Prometheus whose answers are set, a proxy in front of the API
//! server, controllers behind it, and a recording of all that happens.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

pub mod agents;
mod command;
mod memory;
pub mod objects;
mod process;
mod prometheus;
mod recording;
pub mod routes;

pub use command::Said;
pub use process::{Controller, Setup};
pub use prometheus::{Answer, Prometheus};
pub use recording::Recording;

use crate::{
    bed::{Bed, eventually, unique},
    laws::What,
    proxy::Proxy,
};
use flyball_crds::{Change, FeedbackPolicy, MetricSource, Phase};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

/// A scenario's world. All of it ends when it is dropped.
pub struct World {
    /// The cluster.
    pub bed: Bed,
    /// The namespace, and the name of the MetricSource.
    pub namespace: String,
    /// Where the controllers' queries go.
    pub prometheus: Prometheus,
    /// What the controllers talk to.
    pub proxy: Proxy,
    /// What happened.
    pub recording: Recording,
    folder: PathBuf,
}

impl World {
    /// An empty world.
    pub async fn new(bed: &Bed, name: &str) -> Self {
        let proxy = Proxy::start(&bed.config, None).await;
        Self::behind(bed, name, proxy).await
    }

    /// An empty world whose controllers use this proxy.
    pub async fn behind(bed: &Bed, name: &str, proxy: Proxy) -> Self {
        let namespace = format!("{name}-{}", unique());
        let folder = std::env::temp_dir().join(format!("flyball-{namespace}"));
        fs::create_dir_all(&folder).expect("a folder for logs");
        let prometheus = Prometheus::start().await;
        let recording = Recording::start(bed, &namespace);
        let world = Self {
            bed: bed.clone(),
            namespace,
            prometheus,
            proxy,
            recording,
            folder,
        };
        let made = typed("v1", "Namespace", json!({"metadata": {"name": world.namespace}}));
        Api::<Namespace>::all(bed.client.clone())
            .create(
                &PostParams::default(),
                &serde_json::from_value(made).expect("a Namespace"),
            )
            .await
            .expect("a namespace");
        world
            .source(&world.namespace, json!({"url": world.prometheus.url, "timeout": "2s"}))
            .await;
        world.free_lease().await;
        world.prometheus.value("demand", 100.0);
        world.prometheus.value("latency", 0.2);
        world
    }

    /// Where its logs are. It goes with the world.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A lease that a leader gave back: the first controller takes it at once, where it would wait for a
    /// whole lease duration if it found none.
    async fn free_lease(&self) {
        let spec = json!({"holderIdentity": "", "leaseDurationSeconds": 15, "leaseTransitions": 0});
        self.create(&json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "flyball"}, "spec": spec,
        }))
        .await;
    }

    /// Makes or changes a MetricSource.
    pub async fn source(&self, name: &str, spec: Value) {
        let api: Api<MetricSource> = Api::all(self.bed.client.clone());
        let source = typed(
            "flyball.dev/v1alpha1",
            "MetricSource",
            json!({"metadata": {"name": name}, "spec": spec}),
        );
        api.patch(
            name,
            &PatchParams::apply("flyball-tests").force(),
            &Patch::Apply(source),
        )
        .await
        .expect("a MetricSource");
    }

    /// An interface to any kind in the namespace.
    pub fn any(&self, version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.bed.client.clone(), &self.namespace, &kind)
    }

    /// Makes or changes an object of the namespace, as a person does with `kubectl apply`.
    pub async fn apply(&self, object: &Value) -> DynamicObject {
        self.try_apply(object)
            .await
            .unwrap_or_else(|error| panic!("not applied: {error}\n{object:#}"))
    }

    /// The same, where the API server may refuse it.
    pub async fn try_apply(&self, object: &Value) -> kube::Result<DynamicObject> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let api = self.any(text("/apiVersion"), text("/kind"));
        api.patch(
            text("/metadata/name"),
            &PatchParams::apply("kubectl").force(),
            &Patch::Apply(object),
        )
        .await
    }

    /// A Deployment `web` whose pods are never placed.
    pub async fn web(&self, replicas: i32) {
        self.create(&objects::workload("Deployment", "web", replicas)).await;
    }

    /// Makes an object once; nothing of it is held on to.
    pub async fn create(&self, object: &Value) -> DynamicObject {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let api = self.any(text("/apiVersion"), text("/kind"));
        let parameters = PostParams {
            field_manager: Some("kubectl-create".to_owned()),
            ..PostParams::default()
        };
        api.create(&parameters, &serde_json::from_value(object.clone()).expect("an object"))
            .await
            .expect("an object is made")
    }

    /// Starts a controller. Of two with one identity the second takes over at once, as the same one.
    pub fn controller(&self, identity: &str) -> Controller {
        self.controller_with(identity, &[])
    }

    /// Starts a controller behind another proxy.
    pub fn controller_behind(&self, proxy: &Proxy, identity: &str) -> Controller {
        Controller::start(proxy, self.setup(identity, &[]), &self.folder)
    }

    /// Starts a controller with more arguments.
    pub fn controller_with(&self, identity: &str, more: &[&str]) -> Controller {
        Controller::start(&self.proxy, self.setup(identity, more), &self.folder)
    }

    /// Starts a controller where another one was killed.
    pub fn successor(&self, identity: &str) -> Controller {
        let setup = Setup {
            program: &self.bed.successor,
            ..self.setup(identity, &[])
        };
        Controller::start(&self.proxy, setup, &self.folder)
    }

    /// Starts a controller that looks at all namespaces. Nothing else may be under way on the cluster.
    pub fn controller_of_all(&self, identity: &str, more: &[&str]) -> Controller {
        let setup = Setup {
            watched: None,
            ..self.setup(identity, more)
        };
        Controller::start(&self.proxy, setup, &self.folder)
    }

    fn setup<'a>(&'a self, identity: &'a str, more: &'a [&'a str]) -> Setup<'a> {
        let namespace = self.namespace.as_str();
        Setup {
            program: &self.bed.flyball,
            identity,
            own: namespace,
            watched: Some(namespace),
            more,
        }
    }

    /// Runs the program as a person does who is an administrator. The namespace of the controller is
    /// given where the command takes it.
    pub async fn flyball(&self, words: &[&str]) -> Said {
        command::flyball(&self.bed, &self.namespace, words).await
    }

    /// The policies.
    pub fn policies(&self) -> Api<FeedbackPolicy> {
        Api::namespaced(self.bed.client.clone(), &self.namespace)
    }

    /// The Changes, oldest first.
    pub async fn changes(&self) -> Vec<Change> {
        let api: Api<Change> = Api::namespaced(self.bed.client.clone(), &self.namespace);
        let mut changes = api.list(&ListParams::default()).await.expect("the Changes").items;
        changes.sort_by_key(|change| (change.spec.proposed_at.0, change.spec.sequence));
        changes
    }

    /// Keeps the journals as they are now in a folder, one of each field and phase, for tests of other versions.
    pub async fn keep_journals(&self, folder: &Path) {
        let journals = self.any("flyball.dev/v1alpha1", "Change");
        let kept = journals.list(&ListParams::default()).await.expect("the Changes");
        for mut change in kept.items {
            let field = change.data["spec"]["field"].as_str().unwrap_or("none").to_owned();
            let phase = change.data["status"]["phase"].as_str().unwrap_or("Unsaid").to_owned();
            change.metadata.managed_fields = None;
            let text = serde_yaml::to_string(&change).expect("an object is YAML");
            fs::create_dir_all(folder).expect("a folder");
            fs::write(folder.join(format!("{field}-{phase}.yaml")), text).expect("a file");
        }
    }

    /// The Change with this sequence, once it is in this phase.
    pub async fn phase(&self, sequence: i64, phase: Phase) -> Change {
        eventually(
            &format!("Change {sequence} of {} is {phase:?}", self.namespace),
            async || {
                self.changes()
                    .await
                    .into_iter()
                    .find(|change| change.spec.sequence == sequence && phase_of(change) == phase)
            },
        )
        .await
    }

    /// The Change with this sequence, once it is closed.
    pub async fn closed(&self, sequence: i64) -> Change {
        eventually(
            &format!("Change {sequence} of {} is closed", self.namespace),
            async || {
                let found = self
                    .changes()
                    .await
                    .into_iter()
                    .find(|change| change.spec.sequence == sequence);
                found.filter(|change| !phase_of(change).is_open())
            },
        )
        .await
    }

    /// The replicas of a workload.
    pub async fn replicas(&self, kind: &str, name: &str) -> i64 {
        let object = self.any("apps/v1", kind).get(name).await.expect("the workload");
        object
            .data
            .pointer("/spec/replicas")
            .and_then(Value::as_i64)
            .unwrap_or(0)
    }

    /// Every number of replicas that a workload was seen with, oldest first, once all that happened up to
    /// now is in.
    pub async fn numbers(&self, name: &str) -> Vec<i32> {
        let mut seen: Vec<(u64, i32)> = (self.recording.trace().await.iter())
            .filter_map(|seen| match &seen.what {
                What::Target(target) if target.name == name => Some((seen.version, target.replicas)),
                _ => None,
            })
            .collect();
        seen.sort_unstable();
        seen.dedup_by_key(|(_, replicas)| *replicas);
        seen.into_iter().map(|(_, replicas)| replicas).collect()
    }

    /// A policy's state, once `ready` finds what it looks for.
    pub async fn policy<T>(&self, name: &str, what: &str, ready: impl Fn(&FeedbackPolicy) -> Option<T>) -> T {
        eventually(&format!("{name} of {}: {what}", self.namespace), async || {
            let policy = self.policies().get_opt(name).await.expect("the policy")?;
            ready(&policy)
        })
        .await
    }

    /// Fails if a law was broken.
    pub async fn laws(&self) {
        self.recording.check().await;
    }
}

fn typed(version: &str, kind: &str, mut object: Value) -> Value {
    object["apiVersion"] = json!(version);
    object["kind"] = json!(kind);
    object
}

/// Where a Change is.
pub fn phase_of(change: &Change) -> Phase {
    change.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

/// What is said of a Change.
pub fn message_of(change: &Change) -> String {
    change
        .status
        .as_ref()
        .map(|status| status.message.clone())
        .unwrap_or_default()
}

/// Status, reason and message of a policy's condition.
pub fn condition(policy: &FeedbackPolicy, kind: &str) -> Option<(String, String, String)> {
    let found = policy
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)?;
    Some((found.status.clone(), found.reason.clone(), found.message.clone()))
}

impl Drop for World {
    fn drop(&mut self) {
        if thread::panicking() {
            for log in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
                let text = fs::read_to_string(log.path()).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("--- {}", log.file_name().display());
                lines
                    .iter()
                    .skip(lines.len().saturating_sub(60))
                    .for_each(|line| eprintln!("{line}"));
            }
        }
        if std::env::var_os("FLYBALL_KEEP_LOGS").is_none() {
            // A failure leaves nothing but a folder behind.
            let _ = fs::remove_dir_all(&self.folder);
        }
        let (config, namespace) = (self.bed.config.clone(), self.namespace.clone());
        let _ = thread::spawn(move || remove(config, &namespace)).join();
    }
}

fn remove(config: Config, namespace: &str) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        let Ok(client) = Client::try_from(config) else { return };
        let parameters = DeleteParams::background();
        let _ = Api::<Namespace>::all(client.clone())
            .delete(namespace, &parameters)
            .await;
        let sources: Api<MetricSource> = Api::all(client);
        let Ok(found) = sources.list(&ListParams::default()).await else {
            return;
        };
        for source in found
            .items
            .iter()
            .map(ResourceExt::name_any)
            .filter(|name| name.starts_with(namespace))
        {
            let _ = sources.delete(&source, &parameters).await;
        }
    });
}

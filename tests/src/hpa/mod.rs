//! The real HorizontalPodAutoscaler, on pods and metrics that a test makes up.
//!
//! A case is a [`Fleet`]: a scale target with pods that no kubelet runs, and what the metrics APIs say of them.
//! [`Fleets::place`] makes any number of them at once, [`Fleets::decide`] lets an autoscaler of its own decide
//! on one of them once. Hundreds of cases may wait side by side.
//!
//! ```no_run
//! # async fn example(bed: &flyball_tests::bed::Bed) {
//! # use flyball_tests::hpa::{Fleet, Fleets, Pod, Series};
//! # use serde_json::json;
//! let fleets = Fleets::new(bed, "example").await;
//! let queue = Fleet::new("queue", 2, vec![Pod::ready(); 2]).external("queue-depth", vec![Series::of("30")]);
//! fleets.place(std::slice::from_ref(&queue)).await;
//! let metric = json!({"type": "External", "external": {
//!     "metric": {"name": "queue-depth"}, "target": {"type": "AverageValue", "averageValue": "10"}}});
//! let outcome = fleets.decide("queue", json!({"maxReplicas": 9, "metrics": [metric]})).await;
//! assert_eq!(outcome.desired, Some(3));
//! # }
//! ```

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

mod fleet;
mod metrics;
mod outcome;
pub mod reference;
#[cfg(test)]
mod tests;
mod watch;

pub use fleet::{Fleet, GROUP, LABEL, Pod, VERSION};
pub use metrics::{MetricsApi, PodValues, Resources, Series, Values};
pub use outcome::{Outcome, Verdict};

use crate::bed::{Bed, eventually, served, unique};
use futures::{StreamExt, stream};
use k8s_openapi::{
    api::{
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Namespace, Pod as RealPod, ServiceAccount},
        policy::v1::PodDisruptionBudget,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use tokio::sync::{Mutex, Semaphore};
use watch::Watch;

/// How many requests of a [`Fleets::place`] are under way at once.
const REQUESTS: usize = 24;
/// How many autoscalers are there at once. Each decides every second, whether somebody still wants to know or not.
const AUTOSCALERS: usize = 64;
/// The label, and the budget, by which the controllers are asked how far they have seen.
const SEEN: &str = "test.flyball.dev/seen";

/// Fleets in a namespace of their own, which goes when this is dropped.
pub struct Fleets {
    /// The namespace.
    pub namespace: String,
    /// Its metrics, to be changed at will.
    pub metrics: MetricsApi,
    client: Client,
    config: Config,
    watch: Watch,
    autoscalers: Semaphore,
    named: AtomicUsize,
    /// How many pods of the budget were made.
    marks: Mutex<i32>,
}

impl Fleets {
    /// A namespace without fleets, in which autoscalers are known to work.
    pub async fn new(bed: &Bed, name: &str) -> Self {
        let metrics = MetricsApi::start(bed).await;
        define(&bed.client).await;
        let namespace = format!("{name}-{}", unique());
        let client = bed.client.clone();
        create::<Namespace>(&Api::all(client.clone()), json!({"metadata": {"name": namespace}})).await;
        let fleets = Self {
            watch: Watch::start(&client, &namespace).await,
            namespace,
            metrics,
            client,
            config: bed.config.clone(),
            autoscalers: Semaphore::new(AUTOSCALERS),
            named: AtomicUsize::new(0),
            marks: Mutex::new(0),
        };
        let accounts: Api<ServiceAccount> = fleets.api();
        eventually("the namespace takes pods", async || accounts.get("default").await.ok()).await;
        let spec = json!({"minAvailable": 0, "selector": {"matchLabels": {SEEN: "true"}}});
        create::<PodDisruptionBudget>(&fleets.api(), json!({"metadata": {"name": "seen"}, "spec": spec})).await;
        fleets.warm_up().await;
        fleets
    }

    /// The autoscaler's controller learns of new kinds in its own time: until then it finds no scale.
    async fn warm_up(&self) {
        let probe = Fleet::new("probe", 1, Vec::new()).external("probe", vec![Series::of("1")]);
        self.place(std::slice::from_ref(&probe)).await;
        let target = json!({"type": "AverageValue", "averageValue": "1"});
        let metric = json!({"type": "External", "external": {"metric": {"name": "probe"}, "target": target}});
        let name = self
            .autoscale("probe", json!({"maxReplicas": 2, "metrics": [metric]}))
            .await;
        let works = |status: &_| outcome::condition(status, "ScalingActive").is_some_and(|it| it.holds);
        self.watch.status(&name, "works", works).await;
        self.forget(&name).await;
    }

    /// Makes fleets with their pods and metrics, and returns once the autoscaler's controller has seen all pods as
    /// they are. Costs one request per fleet, two per pod, and three in all.
    pub async fn place(&self, fleets: &[Fleet]) {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "Fleet"));
        let targets: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
        let pods: Api<RealPod> = self.api();
        let made = stream::iter(fleets).map(async |fleet| {
            let object = create(&targets, fleet.written()).await;
            let uid = object.uid().unwrap_or_default();
            let pods = fleet.pods.iter().enumerate();
            pods.map(|(index, pod)| (fleet.pod_name(index), fleet.pod_written(index, pod, &uid), pod.status()))
                .collect::<Vec<_>>()
        });
        let wanted: Vec<_> = made.buffer_unordered(REQUESTS).collect().await;
        let placed = stream::iter(wanted.into_iter().flatten()).map(async |(name, object, status)| {
            create(&pods, object).await;
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
                .await
                .unwrap_or_else(|error| panic!("the pod {name} has no status: {error}"));
        });
        placed.buffer_unordered(REQUESTS).collect::<()>().await;
        let mut values = Values::default();
        for fleet in fleets {
            values.extend(fleet.values());
        }
        self.metrics.add(&self.namespace, &values).await;
        self.seen().await;
    }

    /// Waits until the controllers have seen every pod as it is now. They share one watch of pods, in which things come
    /// in order: once one of them counts a pod that was made last, all of them know all others.
    async fn seen(&self) {
        let mut marks = self.marks.lock().await;
        *marks += 1;
        let spec = json!({"schedulerName": "nobody", "containers": [{"name": "main", "image": "none"}]});
        let metadata = json!({"name": format!("seen-{marks}"), "labels": {SEEN: "true"}});
        create::<RealPod>(&self.api(), json!({"metadata": metadata, "spec": spec})).await;
        let budgets: Api<PodDisruptionBudget> = self.api();
        eventually("the controllers have seen the pods", async || {
            let status = budgets.get("seen").await.ok()?.status?;
            (status.expected_pods == *marks).then_some(())
        })
        .await;
    }

    /// Lets a new autoscaler decide on a fleet, and returns its first decision, which it has carried out. `spec` is that of
    /// an autoscaling/v2 HorizontalPodAutoscaler without `scaleTargetRef`. Costs two requests.
    ///
    /// One decision per fleet: the autoscaler is deleted as soon as it is known, but may have decided again by then.
    pub async fn decide(&self, fleet: &str, spec: Value) -> Outcome {
        let _one_of_few = self.autoscalers.acquire().await.expect("nobody closes it");
        let name = self.autoscale(fleet, spec).await;
        // The controller writes a status when a pass ends, and not before.
        let status = self.watch.status(&name, "decides", |_| true).await;
        self.watch.check_unbroken();
        let verdict = Outcome::read(&status);
        let events = self.watch.events(&name, &verdict.implies()).await;
        self.forget(&name).await;
        Outcome { events, ..verdict }
    }

    /// `spec.replicas` of a fleet as they are now.
    pub async fn replicas(&self, fleet: &str) -> i32 {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "Fleet"));
        let targets: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
        let scale = targets.get_scale(fleet).await.expect("the fleet has a scale");
        scale.spec.and_then(|spec| spec.replicas).unwrap_or(0)
    }

    /// Makes an autoscaler with a name that none had before: the controller remembers by name.
    async fn autoscale(&self, fleet: &str, mut spec: Value) -> String {
        let name = format!("{fleet}-{}", self.named.fetch_add(1, Ordering::Relaxed));
        spec["scaleTargetRef"] = json!({"apiVersion": VERSION, "kind": "Fleet", "name": fleet});
        create::<HorizontalPodAutoscaler>(&self.api(), json!({"metadata": {"name": name}, "spec": spec})).await;
        name
    }

    async fn forget(&self, name: &str) {
        let autoscalers: Api<HorizontalPodAutoscaler> = self.api();
        autoscalers
            .delete(name, &DeleteParams::background())
            .await
            .expect("the autoscaler goes");
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A behavior without a limit of its own: no stabilization, and more pods at a time than any case has.
pub fn unlimited() -> Value {
    let policies = json!([{"type": "Pods", "value": 1_000_000, "periodSeconds": 15}]);
    let rules = json!({"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": policies});
    json!({"scaleUp": rules, "scaleDown": rules})
}

async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + std::fmt::Debug + serde::Serialize + DeserializeOwned,
{
    let typed = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object:#}"));
    api.create(&PostParams::default(), &typed)
        .await
        .unwrap_or_else(|error| panic!("not made: {error}\n{object:#}"))
}

async fn define(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let (definition, name) = (fleet::definition(), format!("fleets.{GROUP}"));
    api.patch(
        &name,
        &PatchParams::apply("flyball-tests").force(),
        &Patch::Apply(&definition),
    )
    .await
    .expect("the definition of fleets is installed");
    served(client, &name).await;
}

impl Drop for Fleets {
    fn drop(&mut self) {
        let (config, namespace, metrics) = (self.config.clone(), self.namespace.clone(), self.metrics.clone());
        let _ = thread::spawn(move || remove(config, &namespace, &metrics)).join();
    }
}

fn remove(config: Config, namespace: &str, metrics: &MetricsApi) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return;
    };
    runtime.block_on(async {
        let Ok(client) = Client::try_from(config) else { return };
        let _ = Api::<Namespace>::all(client)
            .delete(namespace, &DeleteParams::background())
            .await;
        metrics.anew().clear(namespace).await;
    });
}

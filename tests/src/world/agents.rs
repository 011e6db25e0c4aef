//! Pods of a scenario whose agents are played: they read their line as agents/CONTRACT.md says, as far as a scenario
//! needs it, and the scenario's Prometheus tells what they answer. The real agents run in `cluster_agents`.

use super::{Answer, World, objects};
use crate::bed::eventually;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{task::JoinHandle, time::sleep};

/// The annotation of the container `main`.
pub const LINE: &str = "runtime.flyball.dev/main";

const MIB: f64 = 1_048_576.0;

/// A policy that sets GOGC of the container `main` of the Deployment `web`: 200 while `Peak` fires, 50 while
/// `Trough` does, and 100 otherwise; in short times.
pub fn policy(name: &str, source: &str) -> Value {
    let action = |name: &str, when: &[&str], gogc: i64| {
        json!({
            "name": name, "when": when,
            "runtime": {
                "container": "main", "set": {"go": {"gogc": gogc}},
                "acknowledge": "4s", "lease": "60s", "hold": "0s",
                "trial": {
                    "settle": "1s", "within": "2s",
                    "expr": "cost{pod=~\"$moved\"} / ignoring(pod) cost{pod=~\"$others\"} < 1.2",
                },
            },
            "verify": {"settle": "1s", "within": "4s", "expr": "latency <= 0.5"},
        })
    };
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": name},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": source},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "interval": "1s",
            "maxAge": "10s",
            "yieldFor": "6s",
            "rules": [{"alert": "Peak", "expr": "load > 0.8"}, {"alert": "Trough", "expr": "load < 0.2"}],
            "actions": [action("peak", &["Peak"], 200), action("trough", &["Trough"], 50), action("usual", &[], 100)],
        },
    })
}

/// What is known of the pods and their agents.
#[derive(Default)]
struct Book {
    /// The generation in force, and the line behind it.
    applied: BTreeMap<String, (u64, String)>,
    /// Agents that take no line any more.
    deaf: BTreeSet<String>,
    /// Whether all are.
    all_deaf: bool,
    /// Whether a line with these words trips the breaker of whoever takes it.
    trips_on: Option<String>,
    /// Every line that a pod was seen to have, in order.
    seen: Vec<(String, String)>,
}

/// The agents. They end when this is dropped.
pub struct Agents {
    book: Arc<Mutex<Book>>,
    task: JoinHandle<()>,
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked(book: &Mutex<Book>) -> std::sync::MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

fn generation(line: &str) -> u64 {
    let found = line.split(' ').find_map(|word| word.strip_prefix("gen=")?.parse().ok());
    found.unwrap_or(0)
}

/// The knobs of a line, without its lease.
pub fn knobs(line: &str) -> String {
    let lease = ["v1", "gen=", "ttl=", "exp="];
    let words = line
        .split(' ')
        .filter(|word| !lease.iter().any(|part| word.starts_with(part)));
    words.collect::<Vec<_>>().join(" ")
}

impl Agents {
    /// A Deployment `web` with so many pods that count as ready, and an agent in each.
    pub async fn start(world: &World, replicas: i32) -> Self {
        world.create(&objects::workload("Deployment", "web", replicas)).await;
        let book: Arc<Mutex<Book>> = Arc::default();
        let pods: Api<Pod> = Api::namespaced(world.bed.client.clone(), &world.namespace);
        let task = tokio::spawn({
            let book = Arc::clone(&book);
            async move {
                loop {
                    if let Ok(list) = pods.list(&ListParams::default().labels("app=web")).await {
                        for pod in &list.items {
                            make_ready(&pods, pod).await;
                            look(&mut locked(&book), pod);
                        }
                        let names: BTreeSet<String> = list.items.iter().map(ResourceExt::name_any).collect();
                        locked(&book).applied.retain(|pod, _| names.contains(pod));
                    }
                    sleep(Duration::from_millis(100)).await;
                }
            }
        });
        let agents = Self { book, task };
        agents.answer(world);
        eventually("the pods are ready", async || {
            (agents.applied().len() == usize::try_from(replicas).unwrap_or(0)).then_some(())
        })
        .await;
        agents
    }

    /// What Prometheus tells of them.
    fn answer(&self, world: &World) {
        let tell = |metric: &str, value: fn(&Book, &str, u64) -> f64| {
            let book = Arc::clone(&self.book);
            world.prometheus.compute(metric, move || {
                let book = locked(&book);
                let all = book.applied.iter();
                Answer::Pods(
                    all.map(|(pod, (generation, _))| (pod.clone(), value(&book, pod, *generation)))
                        .collect(),
                )
            });
        };
        #[allow(clippy::cast_precision_loss)] // A generation is seconds since 1970.
        tell("flyball_agent_applied_generation", |_, _, generation| generation as f64);
        tell("flyball_agent_breaker_state", |book, pod, _| {
            let line = book.applied.get(pod).map(|(_, line)| line.as_str()).unwrap_or_default();
            let tripped = book
                .trips_on
                .as_ref()
                .is_some_and(|words| line.contains(words.as_str()));
            f64::from(u8::from(tripped))
        });
        tell("flyball_agent_heap_live_bytes", |_, _, _| 40.0 * MIB);
        tell("flyball_agent_container_limit_bytes", |_, _, _| 512.0 * MIB);
        // `beside` asks for two metrics, and is told from the others by the first.
        tell("flyball_agent_resident_bytes", |_, _, _| 30.0 * MIB);
        world.prometheus.value("load", 0.5);
        world.prometheus.value("latency", 0.2);
        world.prometheus.value("cost{", 1.0);
    }

    /// The knobs in force, by pod.
    pub fn applied(&self) -> BTreeMap<String, String> {
        let book = locked(&self.book);
        book.applied
            .iter()
            .map(|(pod, (_, line))| (pod.clone(), knobs(line)))
            .collect()
    }

    /// Every line that a pod was seen to have: the pod, and its knobs.
    pub fn history(&self) -> Vec<(String, String)> {
        let book = locked(&self.book);
        book.seen.iter().map(|(pod, line)| (pod.clone(), knobs(line))).collect()
    }

    /// No agent takes a line any more, or all do again.
    pub fn deafen(&self, deaf: bool) {
        locked(&self.book).all_deaf = deaf;
    }

    /// Whoever takes a line with these words has its breaker trip.
    pub fn trip_on(&self, words: &str) {
        locked(&self.book).trips_on = Some(words.to_owned());
    }

    /// Waits until all pods have these knobs.
    pub async fn all_have(&self, knobs: &str) {
        eventually(&format!("all agents have {knobs:?}"), async || {
            let applied = self.applied();
            (!applied.is_empty() && applied.values().all(|found| found == knobs)).then_some(())
        })
        .await;
    }
}

/// Nobody runs the pods, so nobody else says what becomes of them.
async fn make_ready(pods: &Api<Pod>, pod: &Pod) {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Running") || pod.metadata.deletion_timestamp.is_some() {
        return;
    }
    let status = json!({"status": {"phase": "Running", "conditions": [{
        "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    // Tried again with the next look.
    let _ = pods
        .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status))
        .await;
}

fn look(book: &mut Book, pod: &Pod) {
    let name = pod.name_any();
    let ready = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    if !ready || pod.metadata.deletion_timestamp.is_some() {
        book.applied.remove(&name);
        return;
    }
    let line = pod.annotations().get(LINE).cloned().unwrap_or_default();
    let last = book
        .seen
        .iter()
        .rev()
        .find(|(pod, _)| *pod == name)
        .map(|(_, line)| line);
    if last.map_or(!line.is_empty(), |last| *last != line) {
        book.seen.push((name.clone(), line.clone()));
    }
    let deaf = book.all_deaf || book.deaf.contains(&name);
    let applied = book.applied.entry(name).or_default();
    if deaf {
        return;
    }
    let wanted = generation(&line);
    // A lower generation is old; an empty file takes everything back.
    if line.is_empty() {
        *applied = (0, line);
    } else if wanted >= applied.0 {
        *applied = (wanted, line);
    }
}

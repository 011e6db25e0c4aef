//! A pod that is given memory, and one that is evicted.

use super::{FEW, Fault, KILLS, compare, disturbed, ends};
use flyball_crds::Phase;
use flyball_tests::{
    bed::{Bed, bed, eventually, eventually_within},
    world::{Answer, World, objects},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::time::Duration;

const RESIZE: &[(&str, usize)] = &[
    ("TRY pods/resize", 1),
    ("POST changes", 1),
    ("PATCH pods", 1),
    ("PATCH pods/resize", 1),
    ("PUT changes/status", 1),
    ("PUT changes/status", 2),
];

const EVICT: &[(&str, usize)] = &[
    ("TRY pods/eviction", 1),
    ("POST changes", 1),
    ("PATCH pods", 1),
    ("POST pods/eviction", 1),
    ("PUT changes/status", 1),
    ("PUT changes/status", 2),
];

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Relieved {
    /// Whether the full pod, and the other one, are there still.
    there: [bool; 2],
    /// The memory limit of each pod.
    limits: Vec<String>,
    /// Sequence, phase and verdict of each Change.
    changes: Vec<(i64, Phase, String)>,
}

async fn pods(world: &World) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(world.bed.client.clone(), &world.namespace);
    let list = api.list(&ListParams::default().labels("app=web")).await;
    let mut pods = list.map(|list| list.items).unwrap_or_default();
    let serves = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone());
        let mut all = conditions.unwrap_or_default().into_iter();
        pod.metadata.deletion_timestamp.is_none() && all.any(|it| it.type_ == "Ready" && it.status == "True")
    };
    pods.retain(serves);
    pods.sort_by_key(ResourceExt::name_any);
    pods
}

fn limit(pod: &Pod) -> String {
    let whole = serde_json::to_value(pod).unwrap();
    let limit = &whole["spec"]["containers"][0]["resources"]["limits"]["memory"];
    limit.as_str().unwrap().to_owned()
}

/// The first of two pods is full as long as it is there and has what it began with.
async fn run(bed: Bed, relieve: Value, fault: Option<(&'static str, usize, Fault)>) -> Relieved {
    let world = World::new(&bed, "fault-relief").await;
    let mut web = objects::workload("Deployment", "web", 2);
    let spec = &mut web["spec"]["template"]["spec"];
    // On the node, unlike most.
    spec["nodeSelector"] = json!({});
    spec["containers"][0]["resources"] = json!({"limits": {"memory": "32Mi"}});
    world.create(&web).await;
    let two = eventually_within(Duration::from_secs(120), "both pods are ready", async || {
        Some(pods(&world).await).filter(|pods| pods.len() == 2)
    })
    .await;
    let names: Vec<String> = two.iter().map(ResourceExt::name_any).collect();
    let says = |pods: &[Pod]| {
        let of = |pod: &Pod| {
            let full = pod.name_any() == names[0] && limit(pod) == "32Mi";
            (pod.name_any(), if full { 0.99 } else { 0.5 })
        };
        Answer::Containers(pods.iter().map(of).collect())
    };
    world.prometheus.set("full", says(&two));
    world
        .apply(&json!({
            "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": "relief"},
            "spec": {
                "mode": "Enforce",
                "sourceRef": {"name": world.namespace},
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "interval": "1s",
                "maxAge": "10s",
                "rules": [{"alert": "Full", "expr": "full > 0.9"}],
                "actions": [{"name": "room", "when": ["Full"], "relieve": relieve}],
            },
        }))
        .await;
    let story = async {
        let controller = disturbed(&world, fault).await;
        eventually_within(Duration::from_secs(120), "its end", async || {
            let ends = ends(&world).await;
            let last = ends.last()?;
            matches!(last.1, Phase::Committed | Phase::Ineffective | Phase::Inconclusive).then_some(())
        })
        .await;
        let asked = world.prometheus.asked();
        eventually("further passes", async || {
            (world.prometheus.asked() > asked + 8).then_some(())
        })
        .await;
        drop(controller);
    };
    let tells = async {
        loop {
            let pods = pods(&world).await;
            world.prometheus.set("full", says(&pods));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = story => {}
        () = tells => {}
    }
    let left = pods(&world).await;
    let there = [&names[0], &names[1]].map(|name| left.iter().any(|pod| pod.name_any() == *name));
    let mut limits: Vec<String> = left.iter().map(limit).collect();
    limits.sort();
    Relieved {
        there,
        limits,
        changes: ends(&world).await,
    }
}

/// Runs it undisturbed, then with each fault at each point.
async fn sweep(
    relieve: Value,
    expect: ([bool; 2], [&str; 2]),
    points: &'static [(&str, usize)],
    faults: &'static [(&'static str, Fault)],
) {
    let Some(bed) = bed().await else { return };
    let reference = run(bed.clone(), relieve.clone(), None).await;
    println!("{reference:?}");
    let (there, limits) = expect;
    let changes = vec![(1, Phase::Committed, "Achieved".to_owned())];
    let limits = limits.map(str::to_owned).to_vec();
    assert_eq!(reference, Relieved { there, limits, changes });
    let run = |fault| run(bed.clone(), relieve.clone(), Some(fault));
    compare(&reference, points, faults, run).await;
}

fn resize() -> Value {
    json!({"resize": {"percent": 50, "max": "256Mi", "every": "10s", "within": "1m"}})
}

fn evict() -> Value {
    json!({"evict": {"every": "1m", "within": "1m"}})
}

/// The full pod has half as much again, once; the other one what it had.
const RESIZED: ([bool; 2], [&str; 2]) = ([true, true], ["32Mi", "48Mi"]);
/// The full pod is another, once; the other one is there.
const EVICTED: ([bool; 2], [&str; 2]) = ([false, true], ["32Mi", "32Mi"]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_of_a_resize() {
    sweep(resize(), RESIZED, RESIZE, KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_badly_at_any_write_of_a_resize() {
    sweep(resize(), RESIZED, RESIZE, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_of_an_eviction() {
    sweep(evict(), EVICTED, EVICT, KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_badly_at_any_write_of_an_eviction() {
    sweep(evict(), EVICTED, EVICT, FEW).await;
}

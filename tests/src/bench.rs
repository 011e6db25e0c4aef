//! What the loop costs and how fast it is, on the real cluster, beside the real HorizontalPodAutoscaler.
//!
//! Both look every second and see the same thing: a total that calls for one replica more. What is timed
//! begins when the new total can be read and ends when `spec.replicas` has changed.

#![allow(clippy::expect_used, clippy::panic)] // What fails here ends the benchmark, and says so.

use crate::{
    bed::{Bed, bed, eventually},
    hpa::{Fleet, Fleets, GROUP, Pod, Series, VERSION, Values, unlimited},
    world::{World, objects},
};
use flyball_crds::Phase;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// How many changes are timed.
const CHANGES: u32 = 12;
/// How long nothing is to do.
const QUIET: Duration = Duration::from_secs(60);
/// What one replica is there for.
const TARGET: f64 = 10.0;

/// Measures and prints. 77: there is no test bed.
pub async fn run() -> ExitCode {
    let Some(bed) = bed().await else {
        return ExitCode::from(77);
    };
    let ours = ours(&bed).await;
    let theirs = theirs(&bed).await;
    print(&ours, &theirs);
    ExitCode::SUCCESS
}

struct Ours {
    reactions: Vec<f64>,
    requests: Vec<(usize, BTreeMap<String, usize>)>,
    quiet: BTreeMap<String, usize>,
    resident_kib: u64,
    peak_kib: u64,
}

async fn ours(bed: &Bed) -> Ours {
    let world = World::new(bed, "bench").await;
    world.web(2).await;
    world.prometheus.value("demand", 2.0 * TARGET);
    // No limit of its own, as the autoscaler beside it has none.
    let free = json!({
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 10_000, "periodSeconds": 1}],
    });
    let metric = json!({"name": "demand", "signal": "demand", "target": {"averageValue": TARGET}});
    let replicas = json!({
        "min": 1, "max": 100, "metrics": {"list": [metric]}, "behavior": {"scaleUp": free, "scaleDown": free},
    });
    let policy = objects::policy("web", &world.namespace);
    let policy = objects::with(policy, "/spec/actions/0/replicas", replicas);
    let policy = objects::with(policy, "/spec/actions/0/when", json!([]));
    world.apply(&policy).await;
    let controller = world.controller("bench");
    let steady = |policy: &flyball_crds::FeedbackPolicy| {
        let status = policy.status.as_ref()?;
        status.doing.starts_with("Steady").then_some(())
    };
    world.policy("web", "it is steady", steady).await;
    sleep(Duration::from_secs(3)).await;

    let before = world.proxy.counts();
    sleep(QUIET).await;
    let quiet = between(&before, &world.proxy.counts());

    let (mut reactions, mut requests) = (Vec::new(), Vec::new());
    let deployments = world.any("apps/v1", "Deployment");
    for nth in 0..CHANGES {
        // Each at another phase of the second.
        sleep(Duration::from_millis(u64::from(nth) * 1000 / u64::from(CHANGES))).await;
        let before = world.proxy.counts();
        world.prometheus.value("demand", f64::from(wanted(nth)) * TARGET);
        reactions.push(until(&deployments, "web", wanted(nth)).await);
        world.phase(i64::from(nth) + 1, Phase::Committed).await;
        world.policy("web", "it is steady", steady).await;
        // Events are sent on the side.
        sleep(Duration::from_secs(2)).await;
        let mut made = between(&before, &world.proxy.counts());
        made.retain(|label, _| !label.ends_with(" leases"));
        requests.push((made.values().sum(), made));
    }
    let (resident_kib, peak_kib) = memory(controller.pid());
    Ours {
        reactions,
        requests,
        quiet,
        resident_kib,
        peak_kib,
    }
}

/// The same for an autoscaler that reads the same totals as an External metric.
async fn theirs(bed: &Bed) -> Vec<f64> {
    let fleets = Fleets::new(bed, "bench-hpa").await;
    let total = |replicas: u32| vec![Series::of(&format!("{}", f64::from(replicas) * TARGET))];
    let fleet = Fleet::new("web", 2, vec![Pod::ready(); 2]).external("demand", total(2));
    fleets.place(std::slice::from_ref(&fleet)).await;
    let target = json!({"type": "AverageValue", "averageValue": format!("{TARGET}")});
    let metric = json!({"type": "External", "external": {"metric": {"name": "demand"}, "target": target}});
    let autoscaler: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"apiVersion": VERSION, "kind": "Fleet", "name": "web"},
            "minReplicas": 1, "maxReplicas": 100, "metrics": [metric], "behavior": unlimited(),
        },
    }))
    .expect("an autoscaler");
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(bed.client.clone(), &fleets.namespace);
    api.create(&PostParams::default(), &autoscaler)
        .await
        .expect("the autoscaler is made");
    eventually("it works", async || {
        let status = api.get("web").await.ok()?.status?;
        (status.desired_replicas == 2).then_some(())
    })
    .await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "Fleet"));
    let objects: Api<DynamicObject> = Api::namespaced_with(bed.client.clone(), &fleets.namespace, &kind);
    let mut reactions = Vec::new();
    for nth in 0..CHANGES {
        sleep(Duration::from_millis(2000 + u64::from(nth) * 1000 / u64::from(CHANGES))).await;
        let values = Values {
            external: BTreeMap::from([("demand".to_owned(), total(wanted(nth)))]),
            ..Values::default()
        };
        fleets.metrics.set(&fleets.namespace, &values).await;
        reactions.push(until(&objects, "web", wanted(nth)).await);
    }
    reactions
}

/// How many replicas the nth demand asks for, from 2 on: each time far more than a tolerance of 0.1 above the
/// one before.
fn wanted(nth: u32) -> u32 {
    (0..=nth).fold(2, |replicas, _| replicas + 1 + replicas * 3 / 10)
}

/// Seconds until `spec.replicas` of an object are as wanted.
async fn until(api: &Api<DynamicObject>, name: &str, wanted: u32) -> f64 {
    let began = Instant::now();
    loop {
        let object = api.get(name).await.expect("the target is there");
        let replicas = object
            .data
            .pointer("/spec/replicas")
            .and_then(serde_json::Value::as_i64);
        if replicas == Some(i64::from(wanted)) {
            return began.elapsed().as_secs_f64();
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{name} never got {wanted} replicas"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

fn between(before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let more = after
        .iter()
        .map(|(label, count)| (label.clone(), count - before.get(label).copied().unwrap_or(0)));
    more.filter(|(label, count)| *count > 0 && !label.starts_with("WATCH "))
        .collect()
}

/// The resident memory of a process, now and at its highest, in KiB.
fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or(0)
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
        (Some(a), Some(b)) if sorted.len().is_multiple_of(2) => f64::midpoint(*a, *b),
        (_, Some(b)) => *b,
        _ => f64::NAN,
    }
}

fn print(ours: &Ours, theirs: &[f64]) {
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let mib = |kib: u64| f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0;
    println!("from a total that can be read to an accepted scale write, {CHANGES} changes, both looking every second");
    println!("            median      longest");
    println!(
        "  flyball   {:>6.2} s    {:>6.2} s",
        median(&ours.reactions),
        most(&ours.reactions)
    );
    println!("  HPA       {:>6.2} s    {:>6.2} s", median(theirs), most(theirs));
    println!(
        "  ratio     {:>6.2}      {:>6.2}      (below 1: flyball is faster)",
        median(&ours.reactions) / median(theirs),
        most(&ours.reactions) / most(theirs)
    );
    let all: Vec<f64> = ours
        .requests
        .iter()
        .map(|(count, _)| f64::from(u32::try_from(*count).unwrap_or(u32::MAX)))
        .collect();
    println!(
        "API requests of a committed change: median {}, most {}",
        median(&all),
        most(&all)
    );
    if let Some((_, labels)) = ours.requests.iter().min_by_key(|(count, _)| *count) {
        println!("  the fewest: {labels:?}");
    }
    println!("API requests in {} quiet seconds: {:?}", QUIET.as_secs(), ours.quiet);
    println!(
        "resident memory of the controller: {:.1} MiB, at most {:.1} MiB",
        mib(ours.resident_kib),
        mib(ours.peak_kib)
    );
}

//! Whatever happens at whichever request, the end is that of an undisturbed run.
//!
//! The points are the requests of a change that is committed, and of one that is taken back. The
//! oracle is differential: the same objects in the same state, and at most one write of the field more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cluster_faults/relief.rs"]
mod relief;

use flyball_crds::{FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually},
    gateway::Gateway,
    proxy::Fault,
    world::{
        Answer, Controller, World,
        agents::{self, Agents, LINE},
        condition, objects, phase_of, routes,
    },
};
use futures::{FutureExt, StreamExt, stream};
use kube::ResourceExt;
use serde_json::json;

use std::{collections::BTreeMap, fmt::Debug, panic::AssertUnwindSafe};

/// How many worlds run side by side. Each mostly waits.
const SIDE_BY_SIDE: usize = 8;

/// A change from beginning to end, and the requests in which it can be disturbed.
#[derive(Clone, Copy)]
struct Story {
    name: &'static str,
    /// The latency with so many replicas.
    latency: fn(i32) -> f64,
    /// Label and number of each request that counts.
    points: &'static [(&'static str, usize)],
}

const COMMITTED: Story = Story {
    name: "committed",
    latency: |replicas| if replicas >= 3 { 0.3 } else { 0.9 },
    points: &[
        ("TRY deployments/scale", 1),
        ("POST changes", 1),
        ("PATCH deployments", 1),
        ("PUT deployments/scale", 1),
        ("PUT changes/status", 1),
        ("PUT changes/status", 2),
        ("PATCH feedbackpolicies/status", 1),
        ("PATCH feedbackpolicies/status", 2),
    ],
};

/// Weights in two routes: each is stamped and written by itself, and both have them in the end, or neither.
const WEIGHTS: &[(&str, usize)] = &[
    ("TRY httproutes", 1),
    ("TRY httproutes", 2),
    ("POST changes", 1),
    ("PATCH httproutes", 1),
    ("PATCH httproutes", 2),
    ("PATCH httproutes", 3),
    ("PATCH httproutes", 4),
    ("PUT changes/status", 1),
    ("PUT changes/status", 2),
];

/// The same when they are taken back: two stamps and two writes more.
const WEIGHTS_TAKEN_BACK: &[(&str, usize)] = &[
    ("PUT changes/status", 2),
    ("PATCH httproutes", 5),
    ("PATCH httproutes", 6),
    ("PATCH httproutes", 7),
    ("PATCH httproutes", 8),
    ("PUT changes/status", 3),
];

/// Knobs: the trial and the whole are written in turn, and the pods after each.
const KNOBS: &[(&str, usize)] = &[
    ("TRY deployments", 1),
    ("POST changes", 1),
    ("PATCH deployments", 1),
    ("PATCH deployments", 2),
    ("PATCH deployments", 3),
    ("PATCH pods", 1),
    ("PATCH pods", 2),
    ("PATCH pods", 3),
    ("PUT changes/status", 1),
    ("PUT changes/status", 2),
    ("PUT changes/status", 3),
    ("PATCH feedbackpolicies/status", 1),
    ("PATCH feedbackpolicies/status", 2),
];

/// The same when the trial is taken back.
const KNOBS_TAKEN_BACK: &[(&str, usize)] = &[
    ("PUT changes/status", 2),
    ("PATCH deployments", 3),
    ("PATCH deployments", 4),
    ("PATCH pods", 2),
    ("PUT changes/status", 3),
    ("PATCH feedbackpolicies/status", 2),
];

const TAKEN_BACK: Story = Story {
    name: "taken back",
    latency: |_| 0.9,
    points: &[
        // That of the increase, and that of the roll-back.
        ("TRY deployments/scale", 2),
        ("PUT changes/status", 2),
        ("PATCH deployments", 2),
        // The first is the increase, and a second one a conflict's repetition.
        ("PUT deployments/scale", 2),
        ("PUT changes/status", 3),
        ("PATCH feedbackpolicies/status", 2),
    ],
};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    replicas: i64,
    /// Sequence, before, after, phase and verdict of each Change.
    changes: Vec<(i64, i32, i32, Phase, String)>,
    verified: Option<i32>,
    latched: bool,
}

/// Runs the story, with or without a fault, and starts the controller again if the fault kills it.
/// Also returns how often the field was written.
async fn run(bed: Bed, story: Story, fault: Option<(&'static str, usize, Fault)>) -> (End, usize) {
    let world = World::new(&bed, "fault").await;
    world.web(2).await;
    world.apply(&objects::policy("web", &world.namespace)).await;
    let replicas = world.recording.replicas_now("web");
    world
        .prometheus
        .compute("latency", move || Answer::Value((story.latency)(replicas())));
    let controller = disturbed(&world, fault).await;
    world.closed(1).await;
    let rested = |policy: &FeedbackPolicy| {
        condition(policy, "Progressing")
            .filter(|(status, ..)| status == "False")
            .map(drop)
    };
    world.policy("web", "it rests", rested).await;
    // Some passes more, in which nothing may happen.
    let asked = world.prometheus.asked();
    eventually("further passes", async || {
        (world.prometheus.asked() > asked + 18).then_some(())
    })
    .await;
    world.policy("web", "it rests", rested).await;
    drop(controller);
    world.laws().await;
    let action = world
        .policy("web", "its status", |policy| {
            policy.status.as_ref()?.actions.first().cloned()
        })
        .await;
    let changes = world.changes().await;
    let of = |change: &flyball_crds::Change| {
        let verdict = change
            .status
            .as_ref()
            .and_then(|status| status.verdict.clone())
            .map(|verdict| verdict.result);
        let spec = &change.spec;
        (
            spec.sequence,
            spec.before,
            spec.after,
            phase_of(change),
            verdict.unwrap_or_default(),
        )
    };
    let end = End {
        replicas: world.replicas("Deployment", "web").await,
        changes: changes
            .iter()
            .filter(|change| change.spec.sequence > 0)
            .map(of)
            .collect(),
        verified: action.verified,
        latched: action.latch.is_some(),
    };
    (end, world.proxy.accepted("PUT deployments/scale"))
}

/// Runs a story undisturbed, then with each fault at each of its points, and tells of every run that
/// ended differently.
async fn sweep(story: Story, faults: &'static [(&'static str, Fault)]) {
    let Some(bed) = bed().await else { return };
    let (reference, writes) = run(bed.clone(), story, None).await;
    println!("{}: {reference:?} with {writes} writes", story.name);
    let runs = story
        .points
        .iter()
        .flat_map(|point| faults.iter().map(move |fault| (*point, fault)));
    let differing: Vec<String> = stream::iter(runs)
        .map(|((label, nth), (what, fault))| {
            let bed = bed.clone();
            let reference = &reference;
            async move {
                let place = format!("{}: {what} at {label} {nth}", story.name);
                match AssertUnwindSafe(run(bed, story, Some((label, nth, fault.clone()))))
                    .catch_unwind()
                    .await
                {
                    Ok((end, written)) if end == *reference && written <= writes + 1 => None,
                    Ok((end, written)) => Some(format!("{place}: {end:?} with {written} writes")),
                    Err(panic) => Some(format!(
                        "{place}: {}",
                        panic.downcast_ref::<String>().map_or("a panic", |it| it)
                    )),
                }
            }
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(
        differing.is_empty(),
        "runs that ended differently:\n  {}",
        differing.join("\n  ")
    );
}

/// How a run of weights ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Weighed {
    routes: [BTreeMap<String, i64>; 2],
    /// Sequence, phase and verdict of each Change.
    changes: Vec<(i64, Phase, String)>,
    verified: Vec<(String, i32)>,
}

/// A rule moves weight away from `b` in two routes; `followed`: the traffic follows, else it is taken back.
async fn run_weights(bed: Bed, followed: bool, fault: Option<(&'static str, usize, Fault)>) -> Weighed {
    const BASE: [(&str, i64); 3] = [("a", 500), ("b", 250), ("c", 250)];
    let world = World::new(&bed, "fault-weights").await;
    for name in ["web", "mobile"] {
        world.create(&routes::route(name, &BASE)).await;
    }
    let split = routes::Split::start(&world, "web").await;
    split.sticks(!followed);
    let mut policy = routes::step_policy("web", &world.namespace);
    policy["spec"]["actions"][0]["weights"]["also"] = json!([
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "mobile", "rule": "main"},
    ]);
    world.apply(&policy).await;
    let slow = Answer::Backends(vec![("b".to_owned(), 0.9)]);
    world.prometheus.set("slow", slow);
    let controller = disturbed(&world, fault).await;
    world.closed(1).await;
    let asked = world.prometheus.asked();
    eventually("further passes", async || {
        (world.prometheus.asked() > asked + 24).then_some(())
    })
    .await;
    drop(controller);
    let verified = world
        .policy("web", "its status", |policy| {
            policy.status.as_ref()?.actions.first()?.weights.clone()
        })
        .await
        .verified;
    Weighed {
        routes: [world.weights("web").await, world.weights("mobile").await],
        changes: ends(&world).await,
        verified: verified
            .into_iter()
            .map(|entry| (entry.backend, entry.weight))
            .collect(),
    }
}

/// How a run of knobs ended.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tuned {
    /// What the workload's annotation says.
    setting: Option<String>,
    /// What each of the three agents has.
    knobs: Vec<String>,
    /// Sequence, phase and verdict of each Change.
    changes: Vec<(i64, Phase, String)>,
    verified: String,
}

/// Knobs that are tried on one of three pods and then made on all; `cheap`: the trial holds, else it is taken back.
async fn run_knobs(bed: Bed, cheap: bool, fault: Option<(&'static str, usize, Fault)>) -> Tuned {
    let world = World::new(&bed, "fault-knobs").await;
    let agents = Agents::start(&world, 3).await;
    if !cheap {
        world.prometheus.value("cost{", 1.3);
    }
    let mut policy = agents::policy("knobs", &world.namespace);
    for action in policy["spec"]["actions"].as_array_mut().unwrap() {
        // Long enough for a controller to be killed and to lead again.
        action["verify"]["within"] = json!("20s");
    }
    world.apply(&policy).await;
    let controller = disturbed(&world, fault).await;
    world.closed(1).await;
    let asked = world.prometheus.asked();
    eventually("further passes", async || {
        (world.prometheus.asked() > asked + 30).then_some(())
    })
    .await;
    agents.all_have(if cheap { "gogc=100" } else { "" }).await;
    drop(controller);
    let runtime = world
        .policy("knobs", "its status", |policy| {
            policy.status.as_ref()?.actions.first()?.runtime.clone()
        })
        .await;
    let web = world.any("apps/v1", "Deployment").get("web").await.unwrap();
    Tuned {
        setting: web.annotations().get(LINE).cloned(),
        knobs: agents.applied().into_values().collect(),
        changes: ends(&world).await,
        verified: runtime.verified,
    }
}

/// A controller, with a fault that happens to it; one that it kills is started again.
async fn disturbed(world: &World, fault: Option<(&'static str, usize, Fault)>) -> Controller {
    let kills = fault.as_ref().map(|(.., fault)| fault.kills());
    if let Some((label, nth, fault)) = fault {
        world.proxy.plan(label, nth, fault);
    }
    let mut controller = world.controller("one");
    if let Some(kills) = kills {
        eventually("the fault happens", async || world.proxy.is_done().then_some(())).await;
        if kills {
            eventually("the controller ends", async || (!controller.runs()).then_some(())).await;
            if let Some(folder) = std::env::var_os("FLYBALL_JOURNALS") {
                world.keep_journals(folder.as_ref()).await;
            }
            controller = world.successor("one");
        }
    }
    controller
}

/// Sequence, phase and verdict of each Change that was carried out.
async fn ends(world: &World) -> Vec<(i64, Phase, String)> {
    let changes = world.changes().await;
    let of = |change: &flyball_crds::Change| {
        let verdict = change.status.as_ref().and_then(|status| status.verdict.clone());
        let verdict = verdict.map(|verdict| verdict.result).unwrap_or_default();
        (change.spec.sequence, phase_of(change), verdict)
    };
    changes
        .iter()
        .filter(|change| change.spec.sequence > 0)
        .map(of)
        .collect()
}

/// Runs the moving of knobs undisturbed, then with each fault at each point.
async fn sweep_knobs(cheap: bool, points: &'static [(&str, usize)], faults: &'static [(&'static str, Fault)]) {
    let Some(bed) = bed().await else { return };
    let reference = run_knobs(bed.clone(), cheap, None).await;
    println!("{reference:?}");
    let expected = if cheap {
        (1, Phase::Committed, "Achieved".to_owned())
    } else {
        (1, Phase::RolledBack, "Broken".to_owned())
    };
    assert_eq!(reference.changes, [expected]);
    let run = |fault| run_knobs(bed.clone(), cheap, Some(fault));
    compare(&reference, points, faults, run).await;
}

/// Runs the moving of weights undisturbed, then with each fault at each point.
async fn sweep_weights(followed: bool, points: &'static [(&str, usize)], faults: &'static [(&'static str, Fault)]) {
    let Some(bed) = bed().await else { return };
    let Some(_) = Gateway::up(&bed).await else { return };
    let reference = run_weights(bed.clone(), followed, None).await;
    println!("{reference:?}");
    let expected = if followed { Phase::Committed } else { Phase::RolledBack };
    assert_eq!(
        reference.changes.iter().map(|(_, phase, _)| *phase).collect::<Vec<_>>(),
        [expected]
    );
    let run = |fault| run_weights(bed.clone(), followed, Some(fault));
    compare(&reference, points, faults, run).await;
}

/// Runs something with each fault at each point, and tells of every run that ended differently.
async fn compare<E: PartialEq + Debug, F: Future<Output = E>>(
    reference: &E,
    points: &'static [(&'static str, usize)],
    faults: &'static [(&'static str, Fault)],
    run: impl Fn((&'static str, usize, Fault)) -> F,
) {
    let runs = points
        .iter()
        .flat_map(|point| faults.iter().map(move |fault| (*point, fault)));
    let differing: Vec<String> = stream::iter(runs)
        .map(|((label, nth), (what, fault))| {
            let run = AssertUnwindSafe(run((label, nth, fault.clone())));
            async move {
                match run.catch_unwind().await {
                    Ok(end) if end == *reference => None,
                    Ok(end) => Some(format!("{what} at {label} {nth}: {end:?}")),
                    Err(panic) => Some(format!(
                        "{what} at {label} {nth}: {}",
                        panic.downcast_ref::<String>().map_or("a panic", |it| it)
                    )),
                }
            }
        })
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(
        differing.is_empty(),
        "runs that ended differently from {reference:?}:\n  {}",
        differing.join("\n  ")
    );
}

const KILLS: &[(&str, Fault)] = &[
    ("killed before", Fault::KillBefore),
    ("killed unheard", Fault::KillUnheard),
    ("killed after", Fault::KillAfter),
];

const FEW: &[(&str, Fault)] = &[
    ("409", Fault::Status(409, None)),
    ("503", Fault::Status(503, None)),
    ("a lost answer", Fault::DropReply),
];

const ANSWERS: &[(&str, Fault)] = &[
    ("409", Fault::Status(409, None)),
    ("429 for an hour", Fault::Status(429, Some(3600))),
    ("503", Fault::Status(503, None)),
    ("a lost answer", Fault::DropReply),
    ("no answer", Fault::Hang),
    ("half an answer", Fault::Truncate),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_of_a_committed_change() {
    sweep(COMMITTED, KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_of_a_change_taken_back() {
    sweep(TAKEN_BACK, KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_badly_at_any_request_of_a_committed_change() {
    sweep(COMMITTED, ANSWERS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_badly_at_any_request_of_a_change_taken_back() {
    sweep(TAKEN_BACK, ANSWERS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_of_weights_in_two_routes() {
    sweep_weights(true, WEIGHTS, KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_of_weights_that_are_taken_back() {
    sweep_weights(false, WEIGHTS_TAKEN_BACK, KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_badly_at_any_write_of_weights_in_two_routes() {
    sweep_weights(true, WEIGHTS, FEW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_of_knobs() {
    sweep_knobs(true, KNOBS, KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_of_knobs_that_are_taken_back() {
    sweep_knobs(false, KNOBS_TAKEN_BACK, KILLS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answered_badly_at_any_write_of_knobs() {
    sweep_knobs(true, KNOBS, FEW).await;
}

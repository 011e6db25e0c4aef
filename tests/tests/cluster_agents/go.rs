//! The Go agent.

use super::{LINE, Stage, policy, workload};
use flyball_crds::Phase;
use flyball_tests::{
    bed::bed,
    world::{condition, message_of, phase_of},
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::time::Instant;

/// The port of the service, where its agent is told of, too.
const PORT: u16 = 8080;

fn heap(replicas: i32, live: &str, limit: &str) -> Value {
    let container = json!({
        "image": "flyball.dev/heap:dev",
        "args": ["-listen", format!(":{PORT}")],
        "env": [{"name": "HEAP_LIVE", "value": live}, {"name": "HEAP_CHURN", "value": "4Mi"}],
        "resources": {"limits": {"memory": limit}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
    });
    workload(replicas, PORT, &container)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn knobs_arrive_act_survive_garbage_and_expire_with_their_controller() {
    let Some(bed) = bed().await else { return };
    let stage = Stage::set(&bed, "go", PORT, &heap(3, "16Mi", "256Mi")).await;
    let knobs = |gogc: i32| json!({"set": {"go": {"gogc": gogc}}});
    stage.world.apply(&policy(&stage.world, &knobs(200))).await;
    let controller = stage.world.controller("one");
    let change = stage.world.phase(1, Phase::Committed).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    let gogc = "flyball_agent_knob{knob=\"gogc\"}";
    stage.all_say(gogc, |value| (value - 200.0).abs() < 0.5).await;
    // GOGC 200 lets twice the live heap lie as garbage: the goal is at least two and a half times of what lives.
    for (pod, goal) in stage.all_say("flyball_agent_heap_goal_bytes", |goal| goal > 0.0).await {
        assert!(goal > 2.5 * 16.0 * 1_048_576.0, "{pod}: {goal}");
    }

    // Garbage changes nothing, and is told. Nobody is there to write it over.
    controller.kill();
    drop(controller);
    let pods = stage.pods().await;
    let one = &pods[0];
    stage.write_line(&one.name_any(), "v1 gen=two rm -rf").await;
    stage
        .until("the refusal is counted", async || {
            let syntax = stage
                .says(one, "flyball_agent_rejected_total{reason=\"syntax\"}")
                .await?;
            (syntax >= 1.0).then_some(())
        })
        .await;
    stage.all_say(gogc, |value| (value - 200.0).abs() < 0.5).await;
    let controller = stage.world.controller("one");
    stage
        .until("the pod has a line again", async || {
            let pods = stage.pods().await;
            let line = pods.iter().find(|pod| pod.name_any() == one.name_any())?.annotations()[LINE].clone();
            line.ends_with("gogc=200").then_some(())
        })
        .await;

    // With nobody to renew it the lease ends, and the processes have what they were started with.
    controller.kill();
    drop(controller);
    stage
        .all_say("flyball_agent_applied_generation", |value| value == 0.0)
        .await;
    stage.all_say(gogc, |value| (value - 100.0).abs() < 0.5).await;
    assert_eq!(stage.pods().await.len(), 3);
    let restarts = |pod: &Pod| pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].restart_count;
    assert!(
        stage.pods().await.iter().all(|pod| restarts(pod) == 0),
        "no process was restarted"
    );

    // From the patch of a pod to what its process does, as it is seen from outside: nobody else writes lines now.
    let generation = |pod: &Pod| -> u64 {
        let line = pod.annotations()[LINE].clone();
        let found = line.split(' ').find_map(|word| word.strip_prefix("gen=")?.parse().ok());
        found.unwrap()
    };
    let mut took = Vec::new();
    for (pod, wanted) in stage.pods().await.iter().zip([150, 160, 170]) {
        let line = format!("v1 gen={} ttl=600 exp=4000000000 gogc={wanted}", generation(pod) + 1);
        let begun = Instant::now();
        stage.write_line(&pod.name_any(), &line).await;
        let seen = stage.until("the agent has it", async || {
            let found = stage.says(pod, gogc).await?;
            ((found - f64::from(wanted)).abs() < 0.5).then(|| begun.elapsed())
        });
        took.push(seen.await);
    }
    took.sort();
    println!(
        "from the patch of a pod to the knob in its process, the middle one of three: {:.2?}",
        took[1]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_a_live_heap_outgrows_is_taken_back_from_the_one_pod_that_has_it() {
    let Some(bed) = bed().await else { return };
    let stage = Stage::set(&bed, "outgrown", PORT, &heap(3, "24Mi", "512Mi")).await;
    let mut policy = policy(&stage.world, &json!({"set": {"go": {"memoryLimit": "64Mi"}}}));
    // Long enough for the heap to grow while it is tried.
    policy["spec"]["actions"][0]["runtime"]["trial"] = json!({"settle": "60s", "within": "90s"});
    stage.world.apply(&policy).await;
    let _controller = stage.world.controller("one");
    let change = stage.world.phase(1, Phase::Verifying).await;
    let tried = change.spec.runtime.as_ref().unwrap().tried.clone();
    assert_eq!(tried.len(), 1);
    let pods = stage.pods().await;
    let one = pods.iter().find(|pod| pod.name_any() == tried[0]).unwrap();
    stage
        .until("the limit is in force", async || {
            let limit = stage.says(one, "flyball_agent_knob{knob=\"memlimit\"}").await?;
            limit.is_finite().then_some(())
        })
        .await;
    let before = stage.slowest(one).await;
    // 64 MiB do not hold 60 MiB of live heap, their garbage and what the runtime needs besides.
    stage.tell(one, "/admin/heap?live=60Mi&churn=64Mi").await;
    let change = stage.world.closed(1).await;
    let verdict = change.status.as_ref().unwrap().verdict.clone().unwrap();
    assert_eq!(
        (phase_of(&change), verdict.result.as_str()),
        (Phase::RolledBack, "Broken"),
        "{}",
        verdict.message
    );
    assert!(
        verdict
            .message
            .contains(&format!("the breaker of {} tripped", tried[0])),
        "{}",
        verdict.message
    );
    stage
        .all_say("flyball_agent_knob{knob=\"memlimit\"}", f64::is_infinite)
        .await;
    let after = stage.slowest(one).await;
    println!("p99 of the pod that was tried: {before:.2?} before its live heap grew, {after:.2?} after the roll-back");
    for pod in stage.pods().await.iter().filter(|pod| pod.name_any() != tried[0]) {
        assert!(!pod.annotations().contains_key(LINE), "{} was touched", pod.name_any());
        let trips = stage.says(pod, "flyball_agent_breaker_trips_total").await;
        assert_eq!(trips, Some(0.0));
    }
}

/// Collections on demand: each pod has one, not all at the same time, and no second one before its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_pod_collects_once_and_its_knobs_stay() {
    let Some(bed) = bed().await else { return };
    let stage = Stage::set(&bed, "reclaim", PORT, &heap(3, "16Mi", "256Mi")).await;
    let mut policy = policy(&stage.world, &json!({"reclaim": {"every": "1h"}}));
    policy["spec"]["rules"] = json!([{"alert": "HoldsMuch", "expr": "min(flyball_agent_heap_live_bytes) > 1"}]);
    policy["spec"]["actions"][0]["when"] = json!(["HoldsMuch"]);
    stage.world.apply(&policy).await;
    let _controller = stage.world.controller("one");
    let change = stage.world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    // Committed means done, so nothing is waited for here.
    for pod in stage.pods().await {
        let collected = stage.says(&pod, "flyball_agent_reclaims_total").await;
        assert_eq!(collected, Some(1.0), "{}", pod.name_any());
        let gogc = stage.says(&pod, "flyball_agent_knob{knob=\"gogc\"}").await;
        assert_eq!(gogc, Some(100.0), "{}", pod.name_any());
    }
    // The rule goes on firing.
    let asked = "count(flyball_agent_reclaims_total > 1)";
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(stage.scraper.ask(asked, "pod").await.is_empty());
    assert_eq!(stage.world.changes().await.len(), 1);
}

/// `memoryLimit: auto`: what the containers leave, and none, with a condition that says so, once a live heap is too large
/// for one that would hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_follows_what_the_container_leaves_and_ends_where_it_would_not_hold() {
    const MIB: f64 = 1_048_576.0;
    let Some(bed) = bed().await else { return };
    let stage = Stage::set(&bed, "fits", PORT, &heap(2, "24Mi", "512Mi")).await;
    let lever = json!({"set": {"go": {"memoryLimit": "auto"}}, "trial": {"disabled": true}});
    stage.world.apply(&policy(&stage.world, &lever)).await;
    let _controller = stage.world.controller("one");
    let change = stage.world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    let limit = "flyball_agent_knob{knob=\"memlimit\"}";
    // At most 0.9 x 512, and more than half: the process holds little besides its heap.
    let set = stage.all_say(limit, f64::is_finite).await;
    assert!(
        set.values().all(|limit| (256.0 * MIB..=460.8 * MIB).contains(limit)),
        "{set:?}"
    );
    let room = |policy: &flyball_crds::FeedbackPolicy| condition(policy, "NeedsMemory");
    let said = stage.world.policy("knobs", "whether there is room", room).await;
    assert_eq!((said.0.as_str(), said.1.as_str()), ("False", "HasRoom"));

    // 1.5 x 320 MiB is more than 460.8 MiB.
    let pods = stage.pods().await;
    stage.tell(&pods[0], "/admin/heap?live=320Mi").await;
    let short = stage.world.policy("knobs", "that there is none", |policy| {
        condition(policy, "NeedsMemory").filter(|(status, ..)| status == "True")
    });
    let (_, reason, message) = short.await;
    assert_eq!(reason, "NeedsMemory");
    assert!(
        message.starts_with(&format!("{}: there are ", pods[0].name_any()))
            && message.contains("raise the container's memory limit by"),
        "{message}"
    );
    stage.all_say(limit, f64::is_infinite).await;
    let change = stage.world.closed(2).await;
    assert!(change.spec.shift.ends_with("-> memlimit=none"), "{}", change.spec.shift);
}

/// Headroom that the processes of a node share: each is told the price of its node, the same for all on it, and sets GOGC by
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_a_node_share_headroom_by_its_price() {
    let Some(bed) = bed().await else { return };
    let stage = Stage::set(&bed, "shared", PORT, &heap(3, "16Mi", "256Mi")).await;
    let load = stage.load().await;
    let lever = json!({"budget": {"headroom": "96Mi", "scope": "Node", "window": "20s"}, "trial": {"disabled": true}});
    stage.world.apply(&policy(&stage.world, &lever)).await;
    let _controller = stage.world.controller("one");
    let change = stage.world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    assert_eq!(
        change.spec.shift,
        "boot -> node-headroom=100663296 gogc-min=50 gogc-max=400"
    );
    let prices = stage
        .all_say("flyball_agent_knob{knob=\"lambda\"}", |price| {
            price > 0.0 && price <= 1.0
        })
        .await;
    let first = prices.values().next().copied().unwrap();
    // One of them may have been given the next price already, which is at most 1.5 times the headroom from this one.
    assert!(
        prices
            .values()
            .all(|price| (1.0 / 2.26..=2.26).contains(&(price / first))),
        "{prices:?}"
    );
    // What moves within the headroom is no Change.
    assert_eq!(stage.world.changes().await.len(), 1);
    drop(load);
}

//! Memory watermarks and what is told of them: played ratios for what would take hours, and a real process that leaks in a
//! real container, whose agent drops its cache and sheds its load.

#![allow(clippy::unwrap_used)]

use flyball_crds::AlertState;
use flyball_tests::{
    bed::{bed, eventually, eventually_within},
    leak::{Leak, leaking},
    scraper::Scraper,
    world::{
        Answer, World,
        agents::{self, Agents},
    },
};
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{Api, api::ListParams};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(180);

/// A policy with this watermark that tells pressure, in short times.
fn policy(source: &str, watermark: &Value) -> Value {
    let tells = |level: &str| {
        json!({
            "name": format!("tell-{}", level.to_lowercase()), "when": [format!("Memory{level}")],
            "annotate": {"pressure": {"container": "main", "level": level}},
        })
    };
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": "memory"},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": source},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "interval": "1s",
            "maxAge": "15s",
            "watermarks": [watermark],
            "actions": [tells("High"), tells("Emergency")],
        },
    })
}

/// What Events say of a policy's watermarks, oldest first.
async fn told(world: &World, reason: &str) -> Vec<String> {
    let api: Api<Event> = Api::namespaced(world.bed.client.clone(), &world.namespace);
    let mut events = api.list(&ListParams::default()).await.unwrap().items;
    events.retain(|event| event.reason.as_deref() == Some(reason));
    events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
    events.into_iter().filter_map(|event| event.note).collect()
}

async fn state_of(world: &World, rule: &str) -> AlertState {
    let policy = world.policies().get("memory").await.unwrap();
    let rules = policy.status.map(|status| status.rules).unwrap_or_default();
    rules
        .into_iter()
        .find(|known| known.alert == rule)
        .map_or(AlertState::Inactive, |rule| rule.state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peak_raises_nothing_and_what_stays_is_told_to_its_pod_alone() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "marks").await;
    let agents = Agents::start(&world, 2).await;
    let pods: Vec<String> = agents.applied().into_keys().collect();
    let full = Arc::new(Mutex::new(0.5));
    world.prometheus.compute("full", {
        let (full, pods) = (Arc::clone(&full), pods.clone());
        move || {
            let of_first = *full.lock().unwrap();
            // A pod of somebody else is nobody's business here.
            let others = [(pods[1].clone(), 0.5), ("stranger".to_owned(), 0.99)];
            Answer::Containers(std::iter::once((pods[0].clone(), of_first)).chain(others).collect())
        }
    });
    let watermark =
        json!({"name": "Memory", "expr": "full", "hold": "4s", "end": "3s", "adaptive": false, "foresee": false});
    world.apply(&policy(&world.namespace, &watermark)).await;
    let controller = world.controller("one");
    let passes = async |count: usize| {
        let asked = world.prometheus.asked();
        eventually("further passes", async || {
            (world.prometheus.asked() > asked + count).then_some(())
        })
        .await;
    };
    passes(4).await;
    *full.lock().unwrap() = 0.99;
    passes(2).await;
    *full.lock().unwrap() = 0.5;
    passes(8).await;
    assert!(told(&world, "WatermarkRaised").await.is_empty());
    assert!(agents.applied().values().all(String::is_empty), "nobody was told");

    *full.lock().unwrap() = 0.92;
    eventually("the pod is told", async || {
        (agents.applied()[&pods[0]] == "pressure=high").then_some(())
    })
    .await;
    assert_eq!(agents.applied()[&pods[1]], "", "the other is not");
    assert_eq!(state_of(&world, "MemoryEmergency").await, AlertState::Inactive);
    let raised = eventually("an Event", async || {
        Some(told(&world, "WatermarkRaised").await).filter(|raised| !raised.is_empty())
    })
    .await;
    assert!(
        raised.len() == 1 && raised[0].starts_with(&format!("Memory: {}/main: high after normal, at 92.0 %", pods[0])),
        "{raised:?}"
    );

    // A restart neither forgets the level nor tells it again, and missing data takes nothing back.
    controller.kill();
    drop(controller);
    world.prometheus.set("full", Answer::Empty);
    let _controller = world.controller("one");
    passes(8).await;
    assert_eq!(agents.applied()[&pods[0]], "pressure=high");
    assert_eq!(told(&world, "WatermarkRaised").await.len(), 1);
    let back: Vec<_> = pods.iter().map(|pod| (pod.clone(), 0.5)).collect();
    world.prometheus.set("full", Answer::Containers(back));
    agents.all_have("").await;
    eventually("that it is over", async || {
        let ended = told(&world, "WatermarkEnded").await;
        (ended.len() == 1 && ended[0].contains("normal after high")).then_some(())
    })
    .await;
}

/// Knobs and pressure stand in one line, and two policies write it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pressure_rides_on_a_line_of_knobs_and_survives_its_changes() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "rides").await;
    let agents = Agents::start(&world, 3).await;
    let pods: Vec<String> = agents.applied().into_keys().collect();
    let all = |ratio: f64| Answer::Containers(pods.iter().map(|pod| (pod.clone(), ratio)).collect());
    world.prometheus.set("full", all(0.5));
    world.apply(&agents::policy("knobs", &world.namespace)).await;
    let watermark =
        json!({"name": "Memory", "expr": "full", "hold": "3s", "end": "3s", "adaptive": false, "foresee": false});
    world.apply(&policy(&world.namespace, &watermark)).await;
    let _controller = world.controller("one");
    agents.all_have("gogc=100").await;
    world.prometheus.set("full", all(0.92));
    agents.all_have("gogc=100 pressure=high").await;
    world.prometheus.value("load", 0.9);
    agents.all_have("gogc=200 pressure=high").await;
    world.prometheus.set("full", all(0.5));
    agents.all_have("gogc=200").await;
    // Without a policy that tells it, nothing of it stays in a line that is looked after.
    world.prometheus.set("full", all(0.92));
    agents.all_have("gogc=200 pressure=high").await;
    world
        .policies()
        .delete("memory", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    agents.all_have("gogc=200").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_leaks_passes_each_watermark_and_its_cache_is_dropped_and_its_load_shed() {
    let Some(bed) = bed().await else { return };
    let leak = Leak::start(&bed, "leak", "256Mi").await;
    let watermark = json!({
        "name": "Memory", "source": "Agent", "container": "main",
        "hold": "4s", "end": "4s", "adaptive": false, "foresee": false,
    });
    leak.world.apply(&policy(&leak.world.namespace, &watermark)).await;
    let _controller = leak.world.controller("one");
    assert_eq!(leak.shed(60).await, 0, "the cache is filled");
    // What the process holds beside its heap is not known beforehand, so it grows until it is there.
    leak.turn("leak=2Mi").await;
    leak.until("warning", async || {
        (state_of(&leak.world, "MemoryWarning").await == AlertState::Firing).then_some(())
    })
    .await;
    leak.until("the cache is dropped", async || {
        (leak.metric("heap_cache_drops_total").await >= 1.0).then_some(())
    })
    .await;
    let raised = leak
        .until("two Events", async || {
            Some(told(&leak.world, "WatermarkRaised").await).filter(|raised| raised.len() >= 2)
        })
        .await;
    assert!(
        raised[0].contains("warning after normal") && raised[1].contains("high after warning"),
        "{raised:?}"
    );
    assert!(leak.shed(30).await > 20, "one request a second is served");
    // The room that the cache left is enough for a while, and that is told, too.
    leak.until("it is over", async || {
        let ended = told(&leak.world, "WatermarkEnded").await;
        ended
            .iter()
            .any(|note| note.contains("normal after high"))
            .then_some(())
    })
    .await;

    // Without a cache it leaks on, through all of them; in the end slowly, so that there is time to be told.
    leak.turn("cache=0").await;
    leak.until("it is nearly full", async || {
        let full = "flyball_agent_working_set_bytes / flyball_agent_container_limit_bytes";
        (leak.metric(full).await > 0.91).then_some(())
    })
    .await;
    leak.turn("leak=400Ki").await;
    leak.until("emergency", async || {
        let raised = told(&leak.world, "WatermarkRaised").await;
        raised.iter().any(|note| note.contains("emergency after")).then_some(())
    })
    .await;
    leak.until("the application is told", async || {
        (leak.metric("heap_pressure").await > 2.5).then_some(())
    })
    .await;
    let pod = leak.pod().await;
    let restarts = pod.status.unwrap().container_statuses.unwrap()[0].restart_count;
    assert_eq!(restarts, 0, "nobody was killed before it was told");
}

/// The kubelet tells of containers and the node exporter of the node; levels that any machine is above. Of the node the pod
/// is named that is furthest over its request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_kubelet_and_node_exporter_are_understood() {
    let Some(bed) = bed().await else { return };
    let Some(exporter) = bed.testbed(&["node-exporter", "up"]).await else {
        return;
    };
    let world = World::new(&bed, "real-marks").await;
    let mut workload = leaking("256Mi");
    workload["spec"]["replicas"] = json!(2);
    world.create(&workload).await;
    let target = format!("node={}", exporter.trim());
    let scraper = Scraper::start(&bed, &world.namespace, "1s", &["--kubelet", "--target", &target]).await;
    world
        .source(&world.namespace, json!({"url": scraper.url, "timeout": "2s"}))
        .await;
    let low = |more: Value| {
        let mut watermark = json!({
            "hold": "3s", "end": "3s", "margin": 1, "adaptive": false, "foresee": false,
            "warning": 2, "high": 3, "emergency": 100,
        });
        for (key, value) in more.as_object().unwrap() {
            watermark[key] = value.clone();
        }
        watermark
    };
    // This node's name is not its machine's, by which the exporter tells it.
    let ratio = "label_replace(1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes, \"node\", \"testbed\", \"\", \"\")";
    let mut policy = policy(&world.namespace, &low(json!({"name": "Memory", "container": "main"})));
    let node = low(json!({"name": "Node", "of": "Nodes", "expr": ratio}));
    policy["spec"]["watermarks"].as_array_mut().unwrap().push(node);
    policy["spec"]["maxAge"] = json!("1m");
    world.apply(&policy).await;
    let api: Api<Pod> = Api::namespaced(bed.client.clone(), &world.namespace);
    let names = async || -> Vec<String> {
        let pods = api.list(&ListParams::default()).await.unwrap().items;
        pods.into_iter().filter_map(|pod| pod.metadata.name).collect()
    };
    let pods = names().await;
    // One of them holds more than the other, and neither requests anything less than its limit.
    eventually_within(PATIENCE, "both pods serve", async || {
        let heard = scraper.ask("flyball_agent_working_set_bytes", "pod").await;
        (heard.len() == 2).then_some(())
    })
    .await;
    let ip = api.get(&pods[1]).await.unwrap().status.unwrap().pod_ip.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let grow = format!("http://{ip}:8080/admin/heap?live=120Mi");
    assert!(client.post(grow).send().await.unwrap().status().is_success());
    let _controller = world.controller("one");
    let labels = async |rule: &str| {
        let policy = world.policies().get("memory").await.unwrap();
        let rules = policy.status.map(|status| status.rules).unwrap_or_default();
        let rule = rules.into_iter().find(|known| known.alert == rule)?;
        let firing = rule
            .alerts
            .into_iter()
            .filter(|alert| alert.state == AlertState::Firing);
        Some(firing.map(|alert| alert.labels).collect::<Vec<_>>())
    };
    eventually_within(PATIENCE, "both containers are above 3 %", async || {
        let found = labels("MemoryHigh").await?;
        let mut told: Vec<String> = found.iter().filter_map(|labels| labels.get("pod").cloned()).collect();
        told.sort();
        let mut expect = pods.clone();
        expect.sort();
        (told == expect && found.iter().all(|labels| labels["container"] == "main")).then_some(())
    })
    .await;
    eventually_within(PATIENCE, "the node is above 3 %, by the larger pod", async || {
        let found = labels("NodeHigh").await?;
        let [node] = found.as_slice() else { return None };
        (node["node"] == "testbed" && node.get("pod") == Some(&pods[1])).then_some(())
    })
    .await;
}

//! Knobs of garbage collectors on the real API server, with agents that are played.

#![allow(clippy::unwrap_used)]

use flyball_crds::{Change, Phase};
use flyball_tests::{
    bed::{bed, eventually},
    world::{
        World,
        agents::{self, Agents, LINE},
        message_of, phase_of,
    },
};
use kube::ResourceExt;
use serde_json::json;
use std::collections::BTreeSet;

/// A policy over three pods, and a controller.
async fn set_up(name: &str, change: impl FnOnce(&mut serde_json::Value)) -> Option<(World, Agents)> {
    let bed = bed().await?;
    let world = World::new(&bed, name).await;
    let agents = Agents::start(&world, 3).await;
    let mut policy = agents::policy("knobs", &world.namespace);
    change(&mut policy);
    world.apply(&policy).await;
    Some((world, agents))
}

fn tried(change: &Change) -> Vec<String> {
    change.spec.runtime.as_ref().unwrap().tried.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_tried_on_one_pod_and_then_made_on_all() {
    let Some((world, agents)) = set_up("tried", |_| {}).await else {
        return;
    };
    let _controller = world.controller("one");
    let change = world.closed(1).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    agents.all_have("gogc=100").await;
    let one = tried(&change);
    assert_eq!(one.len(), 1);
    let status = change.status.as_ref().unwrap();
    assert_eq!(status.trial.as_ref().unwrap().result, "Achieved");
    assert!(
        status.trial.as_ref().unwrap().message.contains("1 pod acknowledged it"),
        "{status:?}"
    );
    assert!(
        message_of(&change).contains("3 pods acknowledged it"),
        "{}",
        message_of(&change)
    );
    // That pod had it before any other.
    let first = agents.history().first().cloned().unwrap();
    assert_eq!(first, (one[0].clone(), "gogc=100".to_owned()));

    world.prometheus.value("load", 0.9);
    let change = world.closed(2).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    assert_eq!(change.spec.shift, "gogc=100 -> gogc=200");
    assert_eq!(change.spec.reason, "Peak fires");
    agents.all_have("gogc=200").await;

    // A pod that is new gets what is committed.
    let scale = json!({"spec": {"replicas": 4}});
    let api = world.any("apps/v1", "Deployment");
    api.patch(
        "web",
        &kube::api::PatchParams::default(),
        &kube::api::Patch::Merge(scale),
    )
    .await
    .unwrap();
    eventually("four agents", async || (agents.applied().len() == 4).then_some(())).await;
    agents.all_have("gogc=200").await;

    world.prometheus.value("load", 0.5);
    let change = world.closed(3).await;
    assert_eq!(change.spec.shift, "gogc=200 -> gogc=100");
    agents.all_have("gogc=100").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_that_trips_ends_the_trial_and_no_other_pod_is_touched() {
    let Some((world, agents)) = set_up("breaker", |_| {}).await else {
        return;
    };
    agents.trip_on("gogc=200");
    let _controller = world.controller("one");
    world.closed(1).await;
    world.prometheus.value("load", 0.9);
    let change = world.closed(2).await;
    let verdict = change.status.as_ref().unwrap().verdict.clone().unwrap();
    assert_eq!(
        (phase_of(&change), verdict.result.as_str()),
        (Phase::RolledBack, "Broken")
    );
    assert!(verdict.message.contains("tripped"), "{}", verdict.message);
    agents.all_have("gogc=100").await;
    let with: BTreeSet<String> = agents
        .history()
        .into_iter()
        .filter(|(_, knobs)| knobs == "gogc=200")
        .map(|(pod, _)| pod)
        .collect();
    assert_eq!(with, tried(&change).into_iter().collect());
    // What did harm is not tried again while the latch lasts.
    let asked = world.prometheus.asked();
    eventually("further passes", async || {
        (world.prometheus.asked() > asked + 40).then_some(())
    })
    .await;
    assert!(world.changes().await.iter().all(|change| change.spec.sequence <= 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_that_costs_more_than_its_siblings_is_taken_back() {
    let Some((world, agents)) = set_up("dear", |_| {}).await else {
        return;
    };
    let _controller = world.controller("one");
    world.closed(1).await;
    world.prometheus.value("cost{", 1.3);
    world.prometheus.value("load", 0.9);
    let change = world.closed(2).await;
    assert_eq!(phase_of(&change), Phase::RolledBack, "{}", message_of(&change));
    assert!(message_of(&change).contains("1.3000"), "{}", message_of(&change));
    agents.all_have("gogc=100").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_agent_acknowledges_is_taken_back() {
    let Some((world, agents)) = set_up("deaf", |_| {}).await else {
        return;
    };
    let _controller = world.controller("one");
    world.closed(1).await;
    agents.deafen(true);
    world.prometheus.value("load", 0.9);
    let change = world.closed(2).await;
    let verdict = change.status.as_ref().unwrap().verdict.clone().unwrap();
    assert_eq!(
        (phase_of(&change), verdict.result.as_str()),
        (Phase::RolledBack, "Unrealised")
    );
    assert!(verdict.message.contains("it has generation"), "{}", verdict.message);
    agents.deafen(false);
    agents.all_have("gogc=100").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_goes_on_after_its_controller_was_killed() {
    let Some((world, agents)) = set_up("killed", |policy| {
        policy["spec"]["actions"][0]["runtime"]["trial"]["within"] = json!("4s");
    })
    .await
    else {
        return;
    };
    let one = world.controller("one");
    world.closed(1).await;
    world.prometheus.value("load", 0.9);
    let change = world.phase(2, Phase::Verifying).await;
    one.kill();
    let name = change.name_any();
    let _two = world.controller("one");
    let change = world.closed(2).await;
    assert_eq!(change.name_any(), name);
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    agents.all_have("gogc=200").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_stands_before_another_takes_its_place_in_the_middle_of_the_trial() {
    let Some((world, agents)) = set_up("before", |policy| {
        for action in policy["spec"]["actions"].as_array_mut().unwrap() {
            action["runtime"]["hold"] = json!("10m");
        }
        policy["spec"]["actions"][1]["runtime"]["trial"]["within"] = json!("5m");
    })
    .await
    else {
        return;
    };
    let _controller = world.controller("one");
    world.closed(1).await;
    world.prometheus.value("load", 0.1);
    let trough = world.phase(2, Phase::Verifying).await;
    assert_eq!(trough.spec.shift, "gogc=100 -> gogc=50");
    world.prometheus.value("load", 0.9);
    let peak = world.closed(3).await;
    assert_eq!(phase_of(&peak), Phase::Committed, "{}", message_of(&peak));
    assert_eq!(peak.spec.shift, "gogc=100 -> gogc=200");
    // Where the API server did not take the fence at once, it was over by the next pass.
    assert!(peak.spec.supersedes.is_none_or(|name| name == trough.name_any()));
    let trough = world.closed(2).await;
    assert_eq!(phase_of(&trough), Phase::RolledBack, "{}", message_of(&trough));
    agents.all_have("gogc=200").await;
    // The other way round the hold counts.
    world.prometheus.value("load", 0.1);
    let doing = world
        .policy("knobs", "the hold is said", |policy| {
            let status = policy.status.as_ref()?;
            status.why.contains("hold is 10m").then(|| status.doing.clone())
        })
        .await;
    assert!(doing.starts_with("Refused gogc=200 -> gogc=50"), "{doing}");
    assert!(world.changes().await.iter().all(|change| change.spec.sequence <= 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_renewed_while_somebody_leads_and_run_out_after() {
    let Some((world, agents)) = set_up("leases", |policy| {
        for action in policy["spec"]["actions"].as_array_mut().unwrap() {
            action["runtime"]["lease"] = json!("60s");
        }
    })
    .await
    else {
        return;
    };
    let controller = world.controller("one");
    world.closed(1).await;
    agents.all_have("gogc=100").await;
    let pods = world.any("v1", "Pod");
    let lines = async || {
        let list = pods
            .list(&kube::api::ListParams::default().labels("app=web"))
            .await
            .unwrap();
        let lines = list.items.iter().filter_map(|pod| pod.annotations().get(LINE).cloned());
        lines.collect::<Vec<String>>()
    };
    let ends = |lines: &[String]| -> Vec<i64> {
        let end = |line: &String| line.split(' ').find_map(|word| word.strip_prefix("exp=")?.parse().ok());
        lines.iter().filter_map(end).collect()
    };
    let before = ends(&lines().await);
    let generations = |lines: &[String]| -> BTreeSet<String> {
        let found = lines
            .iter()
            .filter_map(|line| line.split(' ').find(|word| word.starts_with("gen=")));
        found.map(ToOwned::to_owned).collect()
    };
    let generation = generations(&lines().await);
    eventually("all leases are renewed", async || {
        let now = ends(&lines().await);
        (now.len() == 3 && now.iter().min() > before.iter().max()).then_some(())
    })
    .await;
    assert_eq!(
        generations(&lines().await),
        generation,
        "a renewal is the same generation"
    );
    drop(controller);
    // Nobody writes any more, so what stands there ends by itself.
    let last = lines().await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(lines().await, last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_writes_is_left_to_them_and_an_empty_annotation_switches_off() {
    let Some((world, agents)) = set_up("person", |_| {}).await else {
        return;
    };
    let _controller = world.controller("one");
    world.closed(1).await;
    agents.all_have("gogc=100").await;
    let api = world.any("apps/v1", "Deployment");
    let patch = json!({"metadata": {"annotations": {LINE: null}}});
    api.patch(
        "web",
        &kube::api::PatchParams::default(),
        &kube::api::Patch::Merge(patch),
    )
    .await
    .unwrap();
    agents.all_have("").await;
    world
        .policy("knobs", "it says who wrote the knobs", |policy| {
            let ready = flyball_tests::world::condition(policy, "Ready")?;
            (ready.1 == "OwnershipConflict").then_some(())
        })
        .await;
    // yieldFor is over: what is found is adopted, and the policy goes on from there.
    let change = world.closed(2).await;
    assert_eq!(change.spec.shift, "boot -> gogc=100");
    agents.all_have("gogc=100").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_pod_goes_on_as_it_was_started() {
    let Some((world, agents)) = set_up("paused", |_| {}).await else {
        return;
    };
    let _controller = world.controller("one");
    world.closed(1).await;
    agents.all_have("gogc=100").await;
    let (pod, _) = agents.applied().pop_first().unwrap();
    let api = world.any("v1", "Pod");
    let patch = json!({"metadata": {"annotations": {flyball_crds::PAUSE_ANNOTATION: "true"}}});
    api.patch(
        &pod,
        &kube::api::PatchParams::default(),
        &kube::api::Patch::Merge(patch),
    )
    .await
    .unwrap();
    eventually("it has no line any more", async || {
        (agents.applied()[&pod].is_empty()).then_some(())
    })
    .await;
    world.prometheus.value("load", 0.9);
    let change = world.closed(2).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    assert!(!tried(&change).contains(&pod));
    assert!(
        message_of(&change).contains("2 pods acknowledged it"),
        "{}",
        message_of(&change)
    );
    assert_eq!(agents.applied()[&pod], "", "it takes no part");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_agent_no_change() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "agentless").await;
    world.web(2).await;
    world.prometheus.value("load", 0.9);
    world.apply(&agents::policy("knobs", &world.namespace)).await;
    let _controller = world.controller("one");
    world
        .policy("knobs", "it says that nobody answers", |policy| {
            let status = policy.status.as_ref()?;
            (status.doing.starts_with("Refused boot -> gogc=200") && status.why.starts_with("Agents:")).then_some(())
        })
        .await;
    let deployment = world.any("apps/v1", "Deployment").get("web").await.unwrap();
    assert!(
        deployment
            .annotations()
            .keys()
            .all(|key| !key.contains("runtime.flyball.dev"))
    );
}

//! Quotas, limit ranges and disruption budgets: a change goes as far as there is room, and says whose it is.

use super::{check_of, written};
use flyball_crds::{CheckVerdict, Phase};
use flyball_tests::{
    bed::{bed, eventually},
    world::{World, objects, phase_of},
};
use serde_json::{Value, json};

/// A policy whose step adds so many pods at once.
fn step(world: &World, pods: i32) -> Value {
    objects::with(
        objects::policy("web", &world.namespace),
        "/spec/actions/0/replicas/step/pods",
        json!(pods),
    )
}

/// The Deployment `web` whose pods request so much.
fn requesting(replicas: i32, cpu: &str) -> Value {
    objects::with(
        objects::workload("Deployment", "web", replicas),
        "/spec/template/spec/containers/0/resources",
        json!({"requests": {"cpu": cpu}}),
    )
}

/// Waits until the workload has made its pods.
async fn pods(world: &World, name: &str, wanted: i64) {
    eventually(&format!("{name} has {wanted} pods"), async || {
        let object = world.any("apps/v1", "Deployment").get(name).await.ok()?;
        (object.data["status"]["replicas"].as_i64() == Some(wanted)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increase_goes_as_far_as_the_quota_lets_it() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "quota").await;
    world
        .create(&json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
            "spec": {"hard": {"requests.cpu": "320m"}},
        }))
        .await;
    world.create(&requesting(2, "100m")).await;
    eventually("the quota counts both pods", async || {
        let quota = world.any("v1", "ResourceQuota").get("team").await.ok()?;
        (quota.data["status"]["used"]["requests.cpu"] == json!("200m")).then_some(())
    })
    .await;
    world.prometheus.value("latency", 0.9);
    world.apply(&step(&world, 3)).await;
    let _controller = world.controller("one");
    let change = world.phase(1, Phase::Verifying).await;
    // 320m - 200m = 120m, which holds one more of 100m.
    assert_eq!((change.spec.before, change.spec.after), (2, 3));
    let (verdict, message) = check_of(&change, "Headroom");
    assert_eq!(verdict, CheckVerdict::Clamped, "{message}");
    assert!(
        message.contains("5 asked for, 3 allowed") && message.contains("ResourceQuota team"),
        "{message}"
    );
    pods(&world, "web", 3).await;
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_increase_that_a_limit_range_admits_no_pod_of_is_refused() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "ranges").await;
    world.create(&requesting(2, "10m")).await;
    pods(&world, "web", 2).await;
    world
        .create(&json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "least"},
            "spec": {"limits": [{"type": "Container", "min": {"cpu": "50m"}}]},
        }))
        .await;
    world.prometheus.value("latency", 0.9);
    world.apply(&step(&world, 1)).await;
    let _controller = world.controller("one");
    let record = eventually("it is recorded", async || {
        let changes = world.changes().await.into_iter();
        let mut refused = changes.filter(|change| phase_of(change) == Phase::Refused);
        refused.next()
    })
    .await;
    let (verdict, message) = check_of(&record, "Headroom");
    assert_eq!(verdict, CheckVerdict::Refused, "{message}");
    assert!(
        message.contains("LimitRange least") && message.contains("10m") && message.contains("50m"),
        "{message}"
    );
    assert!(written(&world).await.is_empty());
    // And so it is: the API server admits no such pod.
    let pod = objects::with(
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one-more"}}),
        "/spec",
        requesting(1, "10m")["spec"]["template"]["spec"].clone(),
    );
    let refusal = world.try_apply(&pod).await.unwrap_err().to_string();
    assert!(refusal.contains("minimum cpu usage per Container is 50m"), "{refusal}");
    world.laws().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decrease_leaves_what_a_disruption_budget_demands() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "budget").await;
    for (name, least) in [("web", json!(3)), ("share", json!("80%"))] {
        world.create(&objects::workload("Deployment", name, 5)).await;
        world
            .create(&json!({
                "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": format!("of-{name}")},
                "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": name}}},
            }))
            .await;
        let policy = objects::policy_with_way_down(name, &world.namespace);
        let policy = objects::with(
            policy,
            "/spec/actions/0/replicas/step/down",
            json!({"pods": 4, "after": "1s"}),
        );
        world
            .apply(&objects::with(policy, "/spec/targetRef/name", json!(name)))
            .await;
        pods(&world, name, 5).await;
    }
    let _controller = world.controller("one");
    let of = async |policy: &str| {
        eventually(&format!("{policy} goes down"), async || {
            let changes = world.changes().await.into_iter();
            let mut own = changes.filter(|it| it.spec.policy.name == policy && it.spec.sequence == 1);
            own.next()
        })
        .await
    };
    let web = of("web").await;
    assert_eq!((web.spec.before, web.spec.after), (5, 3));
    let (verdict, message) = check_of(&web, "Headroom");
    assert_eq!(verdict, CheckVerdict::Clamped, "{message}");
    assert!(
        message.contains("1 asked for, 3 allowed") && message.contains("PodDisruptionBudget of-web"),
        "{message}"
    );
    // A share follows the number of replicas: of one pod it is one.
    let share = of("share").await;
    assert_eq!((share.spec.before, share.spec.after), (5, 1));
    assert_eq!(check_of(&share, "Headroom").0, CheckVerdict::Passed);
    world.laws().await;
}

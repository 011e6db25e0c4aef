//! Alertmanager's webhook: an alert brings the next pass forward, and nothing else.

use flyball_crds::{FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{bed, eventually},
    world::{Controller, World, objects},
};
use serde_json::{Value, json};
use std::fs;

const TOKEN: &str = "a-token-for-one-scenario";

/// Where the controller listens, as it says itself.
async fn address(controller: &Controller) -> String {
    eventually("the controller says where it listens", async || {
        let log = controller.logged();
        let (_, rest) = log.split_once("listening=")?;
        rest.split_whitespace().next().map(ToOwned::to_owned)
    })
    .await
}

/// Sends one alert until it is taken: a controller takes none before it leads.
async fn alert(address: &str, name: &str, namespace: &str) -> Value {
    let body = json!({"version": "4", "status": "firing", "alerts": [
        {"status": "firing", "labels": {"alertname": name, "namespace": namespace}},
    ]});
    eventually("the alert is taken, and its policy is not resting", async || {
        let answer = reqwest::Client::new()
            .post(format!("http://{address}/api/v1/alertmanager"))
            .bearer_auth(TOKEN)
            .body(body.to_string())
            .send()
            .await
            .ok()?;
        let taken = answer.status() == 202;
        let said: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
        (taken && said["resting"] == 0).then_some(said)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_wakes_a_policy_long_before_its_interval() {
    let Some(bed) = bed().await else { return };
    flyball_controller::observe::source::install_crypto_provider();
    let world = World::new(&bed, "woken").await;
    world.web(2).await;
    let policy = objects::policy("web", &world.namespace);
    world
        .apply(&objects::with(policy, "/spec/interval", json!("10m")))
        .await;
    let token = std::env::temp_dir().join(format!("flyball-token-{}", world.namespace));
    fs::write(&token, TOKEN).unwrap();
    let controller = world.controller_with("one", &["--webhook-token-file", &token.display().to_string()]);
    let address = address(&controller).await;
    let steady = |policy: &FeedbackPolicy| {
        let doing = &policy.status.as_ref()?.doing;
        doing.starts_with("Steady").then_some(())
    };
    world.policy("web", "its first pass", steady).await;

    // Not what the alert says counts, but what Prometheus does: with a low latency nothing follows.
    let asked = world.prometheus.asked();
    assert_eq!(
        alert(&address, "Slow", &world.namespace).await,
        json!({"alerts": 1, "woken": 1, "resting": 0})
    );
    eventually("it was woken", async || {
        (world.prometheus.asked() > asked).then_some(())
    })
    .await;
    assert_eq!(alert(&address, "Other", &world.namespace).await["woken"], 0);
    assert_eq!(alert(&address, "Slow", "elsewhere").await["woken"], 0);
    assert!(world.changes().await.is_empty());

    world.prometheus.value("latency", 0.9);
    alert(&address, "Slow", &world.namespace).await;
    world.phase(1, Phase::Verifying).await;
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    world.prometheus.value("latency", 0.3);
    alert(&address, "Slow", &world.namespace).await;
    world.phase(1, Phase::Committed).await;
    fs::remove_file(&token).unwrap();
    world.laws().await;
}

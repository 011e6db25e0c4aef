//! Start-up options by a rollout, with real pods: the processes are started anew, and what does not start goes back.

#![allow(clippy::unwrap_used)]

use flyball_crds::{Change, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually_within},
    runtimes::Runtime,
    scraper::Scraper,
    world::{World, message_of, phase_of},
};
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a scenario waits for what must come. It is no measure of speed.
const PATIENCE: Duration = Duration::from_secs(180);
const CONTAINER: &str = "main";
const PORT: u16 = 8080;
const GOGC: &str = "max(go_gc_gogc_percent or flyball_agent_knob{knob=\"gogc\"})";

/// A Deployment `web` of the heap service.
fn heap(env: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {
                    "labels": {"app": "web"},
                    "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": PORT.to_string()},
                },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": CONTAINER, "imagePullPolicy": "Never", "image": "flyball.dev/heap:dev",
                        "args": ["-listen", format!(":{PORT}")],
                        "env": env,
                        "resources": {"limits": {"memory": "256Mi"}},
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1},
                    }],
                },
            },
        },
    })
}

/// A policy that holds the container to these options.
fn policy(world: &World, options: &Value, expr: &str, within: &str) -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": "start"},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": world.namespace},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "interval": "1s",
            "maxAge": "15s",
            "yieldFor": "10m",
            "actions": [{
                "name": "usual", "runtime": {"container": CONTAINER, "env": options, "hold": "0s"},
                "verify": {"settle": "3s", "within": within, "expr": expr},
            }],
        },
    })
}

/// The workload with all pods ready, and a Prometheus that scrapes them.
async fn set(bed: &Bed, name: &str, workload: &Value) -> (World, Scraper) {
    let world = World::new(bed, name).await;
    world.create(workload).await;
    let scraper = Scraper::start(bed, &world.namespace, "1s", &[]).await;
    world
        .source(&world.namespace, json!({"url": scraper.url, "timeout": "2s"}))
        .await;
    eventually_within(PATIENCE, "the pods are ready", async || {
        let found = web(&world).await;
        let (ready, wanted) = (&found.data["status"]["readyReplicas"], &found.data["spec"]["replicas"]);
        (ready == wanted).then_some(())
    })
    .await;
    (world, scraper)
}

async fn web(world: &World) -> DynamicObject {
    world.any("apps/v1", "Deployment").get("web").await.unwrap()
}

async fn template(world: &World) -> Value {
    web(world).await.data["spec"]["template"].clone()
}

async fn merge(world: &World, patch: Value) {
    let api = world.any("apps/v1", "Deployment");
    api.patch("web", &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .unwrap();
}

async fn ended(world: &World, sequence: i64) -> Change {
    eventually_within(PATIENCE, &format!("Change {sequence} has ended"), async || {
        let changes = world.changes().await;
        let change = changes.into_iter().find(|change| change.spec.sequence == sequence)?;
        change
            .status
            .as_ref()
            .is_some_and(|status| !status.phase.is_open())
            .then_some(change)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_option_is_rolled_out_and_the_processes_have_it_also_where_a_controller_is_killed_midway() {
    let Some(bed) = bed().await else { return };
    let env = json!([{"name": "HEAP_LIVE", "value": "8Mi"}]);
    let (world, scraper) = set(&bed, "env", &heap(&env)).await;
    let options = json!({"go": {"gogc": 50}});
    world
        .apply(&policy(&world, &options, &format!("{GOGC} <= 60"), "120s"))
        .await;
    let one = world.controller("one");
    let change = world.phase(1, Phase::Verifying).await;
    assert_eq!(change.spec.shift, "env -GOGC -> env GOGC=\"50\"");
    one.kill();
    drop(one);
    let _two = world.controller("one");
    let change = ended(&world, 1).await;
    assert_eq!(phase_of(&change), Phase::Committed, "{}", message_of(&change));
    assert!(message_of(&change).contains("rolled out in"), "{}", message_of(&change));
    let found = template(&world).await;
    assert_eq!(
        found["spec"]["containers"][0]["env"],
        json!([{"name": "HEAP_LIVE", "value": "8Mi"}, {"name": "GOGC", "value": "50"}])
    );
    let said = scraper.ask(GOGC, "pod").await;
    assert!(said.values().all(|gogc| (gogc - 50.0).abs() < 0.5), "{said:?}");
    // What it said is not said again.
    assert_eq!(world.changes().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_start_goes_back_to_the_very_template_that_was_there() {
    let Some(bed) = bed().await else { return };
    let Some(java) = Runtime::find(&bed, "java17").await else {
        return;
    };
    let world = World::new(&bed, "env-java").await;
    let program = "class Hello { public static void main(String[] a) throws Exception { \
        byte[] live = new byte[24 << 20]; System.out.println(live.length); Thread.sleep(1L << 40); } }";
    world
        .create(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "program"}, "data": {"Hello.java": program},
        }))
        .await;
    let mut workload = heap(&json!([{"name": "JAVA_TOOL_OPTIONS", "value": "-Da=b  -Xmx128m -Dc=d"}]));
    workload["spec"]["replicas"] = json!(1);
    // It counts as available once it has run for a while.
    workload["spec"]["minReadySeconds"] = json!(8);
    let pod = &mut workload["spec"]["template"]["spec"];
    for field in ["readinessProbe", "args"] {
        pod["containers"][0].as_object_mut().unwrap().remove(field);
    }
    pod["volumes"] = json!([{"name": "program", "configMap": {"name": "program"}}]);
    pod["containers"][0]["volumeMounts"] = json!([{"name": "program", "mountPath": "/program"}]);
    java.run(pod, CONTAINER, &["/program/Hello.java"]);
    world.create(&workload).await;
    eventually_within(PATIENCE, "it is available", async || {
        (web(&world).await.data["status"]["availableReplicas"] == json!(1)).then_some(())
    })
    .await;
    let before = template(&world).await;
    world.prometheus.value("latency", 0.1);
    let options = json!({"java": {"maxHeap": "4Mi"}});
    world.apply(&policy(&world, &options, "latency <= 0.5", "25s")).await;
    let _controller = world.controller("one");
    world.phase(1, Phase::Verifying).await;
    let tried = template(&world).await;
    let entry = tried["spec"]["containers"][0]["env"].as_array().unwrap()[0].clone();
    assert_eq!(
        entry,
        json!({"name": "JAVA_TOOL_OPTIONS", "value": "-Da=b  -Xmx4m -Dc=d"})
    );
    let change = ended(&world, 1).await;
    assert_eq!(phase_of(&change), Phase::RolledBack, "{}", message_of(&change));
    let verdict = change.status.unwrap().verdict.unwrap();
    assert_eq!(verdict.result, "Unrealised", "{}", verdict.message);
    assert_eq!(template(&world).await, before);
    // The old pod served all the while, and it is not tried again while the latch lasts.
    assert_eq!(web(&world).await.data["status"]["availableReplicas"], json!(1));
    assert!(world.changes().await.iter().all(|change| change.spec.sequence <= 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_rollout_is_waited_for_and_their_edit_of_our_entry_is_theirs() {
    let Some(bed) = bed().await else { return };
    let mut workload = heap(&json!([{"name": "GOGC", "value": "100"}]));
    workload["spec"]["minReadySeconds"] = json!(6);
    let (world, _scraper) = set(&bed, "env-other", &workload).await;
    merge(
        &world,
        json!({"spec": {"template": {"metadata": {"annotations": {"note": "a rollout of theirs"}}}}}),
    )
    .await;
    let options = json!({"go": {"gogc": 60}});
    world
        .apply(&policy(&world, &options, &format!("{GOGC} <= 70"), "120s"))
        .await;
    let _controller = world.controller("one");
    world
        .policy("start", "it waits for the rollout", |policy| {
            let status = policy.status.as_ref()?;
            status.why.starts_with("Rollout: a rollout is under way").then_some(())
        })
        .await;
    eventually_within(PATIENCE, "our own is under way", async || {
        let changes = world.changes().await;
        changes.iter().any(|change| change.spec.sequence == 1).then_some(())
    })
    .await;
    world.phase(1, Phase::Verifying).await;
    let entry = json!({"name": CONTAINER, "env": [{"name": "GOGC", "value": "77"}]});
    merge(&world, json!({"spec": {"template": {"spec": {"containers": [entry]}}}})).await;
    let change = ended(&world, 1).await;
    assert_eq!(phase_of(&change), Phase::Superseded, "{}", message_of(&change));
    world
        .policy("start", "it says who wrote it", |policy| {
            let ready = flyball_tests::world::condition(policy, "Ready")?;
            (ready.1 == "OwnershipConflict").then_some(())
        })
        .await;
    let env = template(&world).await["spec"]["containers"][0]["env"].clone();
    assert_eq!(env, json!([{"name": "GOGC", "value": "77"}]));
}

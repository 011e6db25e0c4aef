//! A rolling update of real pods: nothing is taken away meanwhile, and increases do not build on each other.

use super::{passes, says, written};
use flyball_crds::Phase;
use flyball_tests::{
    bed::{Bed, bed, eventually},
    world::{World, objects, phase_of},
};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

/// A condition that only the scenario sets: pods that need it are as ready as it likes.
const GATE: &str = "flyball.dev/go";

/// The demo service with real pods, one of which at a time is replaced.
fn service(replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{
                        "name": "demo", "image": "flyball.dev/demo:dev", "imagePullPolicy": "Never",
                        "args": ["serve", "--workers=4", "--service-time=100ms", "--queue=60"],
                        "ports": [{"containerPort": 8080}],
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
                    }],
                },
            },
        },
    })
}

/// The numbers in the Deployment's status: pods, those of the new template, and available ones.
async fn status(world: &World) -> (i64, i64, i64) {
    let object = world.any("apps/v1", "Deployment").get("web").await.unwrap();
    let number = |name: &str| object.data["status"][name].as_i64().unwrap_or(0);
    (
        number("replicas"),
        number("updatedReplicas"),
        number("availableReplicas"),
    )
}

/// Lets every pod that waits for the gate through it.
async fn let_through(world: &World) {
    let pods = world.any("v1", "Pod");
    for pod in pods.list(&ListParams::default().labels("app=web")).await.unwrap() {
        let conditions = pod.data.pointer("/status/conditions").and_then(Value::as_array);
        let through = conditions.is_some_and(|all| all.iter().any(|it| it["type"] == json!(GATE)));
        if pod.data.pointer("/spec/readinessGates").is_some() && !through {
            let open = json!({"status": {"conditions": [{"type": GATE, "status": "True"}]}});
            // One that is gone by now needs no gate.
            let _ = pods
                .patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(open))
                .await;
        }
    }
}

/// The update of a Deployment to pods that wait for the gate, and stands still at the first of them.
async fn begin(world: &World) {
    let update = json!({"spec": {"template": {"spec": {"readinessGates": [{"conditionType": GATE}]}}}});
    world
        .any("apps/v1", "Deployment")
        .patch("web", &PatchParams::default(), &Patch::Merge(update))
        .await
        .unwrap();
    eventually("a fifth pod has the new template", async || {
        (status(world).await == (5, 1, 4)).then_some(())
    })
    .await;
}

/// The new pods come up, until they are all there are.
async fn finish(world: &World) {
    let (_, updated, _) = status(world).await;
    assert!(updated < 5, "the rollout is not under way any more");
    eventually("the rollout is over", async || {
        let_through(world).await;
        let (replicas, updated, available) = status(world).await;
        (replicas == updated && updated == available).then_some(())
    })
    .await;
}

/// A world with four pods of the service.
async fn serving(bed: &Bed) -> World {
    let world = World::new(bed, "rollout").await;
    world.create(&service(4)).await;
    eventually("4 pods are available", async || {
        (status(&world).await == (4, 4, 4)).then_some(())
    })
    .await;
    // Each change is found good, so that nothing but the rollout is in the way of the next.
    world.prometheus.value("waiting", 0.2);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_rolling_update_nothing_goes_and_steps_do_not_compound() {
    let Some(bed) = bed().await else { return };
    let world = serving(&bed).await;
    let policy = objects::policy_with_way_down("web", &world.namespace);
    let policy = objects::with(policy, "/spec/actions/0/replicas/step/percent", json!(25));
    let policy = objects::with(policy, "/spec/actions/0/replicas/step/pods", Value::Null);
    let policy = objects::with(policy, "/spec/actions/0/replicas/step/down/after", json!("1s"));
    let policy = objects::with(policy, "/spec/actions/0/replicas/min", json!(4));
    let policy = objects::with(policy, "/spec/actions/0/replicas/max", json!(12));
    let policy = objects::with(policy, "/spec/actions/0/verify/expr", json!("waiting <= 0.5"));
    world.apply(&policy).await;
    let _controller = world.controller("one");
    says(&world, "web", "Steady at 4", "").await;
    begin(&world).await;
    world.prometheus.value("latency", 0.9);
    let up = world.closed(1).await;
    assert_eq!((up.spec.before, up.spec.after), (4, 5), "{}", up.spec.reason);
    assert_eq!(phase_of(&up), Phase::Committed);
    // A quarter more than 4 is 5; than 5 it would be 7, then 9, then 12.
    let most = "a rollout is under way, so one step from 4 is the most";
    says(&world, "web", "Steady at 5", most).await;
    passes(&world).await;
    world.prometheus.value("latency", 0.2);
    says(&world, "web", "Steady at 5", "nothing is taken away until it is over").await;
    passes(&world).await;
    assert_eq!(written(&world).await, [(4, 5)]);
    finish(&world).await;
    // What was asked for all the while is done.
    let down = world.phase(2, Phase::Verifying).await;
    assert_eq!((down.spec.before, down.spec.after), (5, 4));
    assert_eq!(world.numbers("web").await, [4, 5, 4]);
    world.laws().await;
}

/// The ladder that the HorizontalPodAutoscaler is known to climb, in small: each increase adds pods, and
/// each pod makes the next one larger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_rolling_update_a_metric_is_no_ladder() {
    let Some(bed) = bed().await else { return };
    let world = serving(&bed).await;
    world.prometheus.value("queue", 100.0);
    let policy = objects::policy_by_queue("web", &world.namespace);
    let level = json!([{"name": "load", "signal": "queue", "target": {"value": 100}}]);
    let policy = objects::with(policy, "/spec/actions/0/replicas/metrics/list", level);
    let policy = objects::with(policy, "/spec/actions/0/replicas/max", json!(12));
    let policy = objects::with(policy, "/spec/actions/0/verify/within", json!("3s"));
    world.apply(&policy).await;
    let _controller = world.controller("one");
    says(&world, "web", "Steady at 4", "").await;
    begin(&world).await;
    world.prometheus.value("queue", 125.0);
    let up = world.closed(1).await;
    assert_eq!((up.spec.before, up.spec.after), (4, 5), "{}", up.spec.reason);
    says(&world, "web", "Steady at 5", "").await;
    passes(&world).await;
    passes(&world).await;
    assert_eq!(
        written(&world).await,
        [(4, 5)],
        "ceil(1.25 * 4) = 5 however many pods there are"
    );
    finish(&world).await;
    // Five serve, and are as busy: ceil(1.25 * 5) = 7.
    let next = world.phase(2, Phase::Verifying).await;
    assert_eq!((next.spec.before, next.spec.after), (5, 7));
    world.laws().await;
}

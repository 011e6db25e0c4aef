//! An installation that looks at the whole cluster. One scenario at a time, and nothing beside it: its controller
//! takes up every policy that there is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{Change, CheckVerdict, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{bed, eventually},
    world::{World, objects},
};
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::Mutex;

/// For `cargo test`. nextest, which has a process for each, is told in .config/nextest.toml.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_button_stops_all_namespaces() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let worlds = [World::new(&bed, "whole").await, World::new(&bed, "whole").await];
    for world in &worlds {
        world.web(2).await;
        world.apply(&objects::policy("web", &world.namespace)).await;
    }
    let doing = async |what: &str| {
        for world in &worlds {
            let does = |policy: &FeedbackPolicy| {
                let status = policy.status.clone()?;
                status.doing.starts_with(what).then_some(status.why)
            };
            let why = world.policy("web", what, does).await;
            assert!(!what.starts_with("Refused") || why.contains("incident 12"), "{why}");
        }
    };
    let _controller = worlds[0].controller_of_all("one", &[]);
    doing("Steady at 2").await;
    worlds[0].flyball(&["freeze", "--reason", "incident 12"]).await.done();
    for world in &worlds {
        world.prometheus.value("latency", 0.9);
    }
    doing("Refused 2 -> 3").await;
    for world in &worlds {
        assert_eq!(world.numbers("web").await, [2]);
    }
    worlds[0].flyball(&["unfreeze"]).await.done();
    for world in &worlds {
        world.phase(1, Phase::Verifying).await;
        world.laws().await;
    }
}

fn millicores(quantities: Option<&BTreeMap<String, Quantity>>) -> i64 {
    let Some(quantity) = quantities.and_then(|all| all.get("cpu")) else {
        return 0;
    };
    match quantity.0.strip_suffix('m') {
        Some(text) => text.parse().unwrap(),
        None => quantity.0.parse::<i64>().unwrap() * 1000,
    }
}

/// The cores of the only node that no pod has requested, in thousandths.
async fn free(client: &kube::Client) -> i64 {
    let nodes = Api::<Node>::all(client.clone())
        .list(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(nodes.items.len(), 1, "the bed has one node");
    let allocatable = nodes.items[0]
        .status
        .as_ref()
        .and_then(|status| status.allocatable.as_ref());
    let pods = Api::<Pod>::all(client.clone())
        .list(&ListParams::default())
        .await
        .unwrap();
    let placed = pods
        .iter()
        .filter_map(|pod| pod.spec.as_ref())
        .filter(|spec| spec.node_name.is_some());
    let requested: i64 = placed
        .flat_map(|spec| &spec.containers)
        .filter_map(|container| container.resources.as_ref())
        .map(|resources| millicores(resources.requests.as_ref()))
        .sum();
    millicores(allocatable) - requested
}

/// The first Change of a policy.
async fn first(world: &World, policy: &str) -> Change {
    eventually(&format!("{policy} begins a Change"), async || {
        let changes = world.changes().await.into_iter();
        let mut own = changes.filter(|it| it.spec.policy.name == policy && it.spec.sequence == 1);
        own.next()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_node_comes_an_increase_ends_with_the_places_there_are() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    // Three in ten of what is free: there are places for three, and no fourth.
    let request = free(&bed.client).await * 3 / 10;
    let world = World::new(&bed, "nodes").await;
    let placed = objects::with(
        objects::workload("Deployment", "web", 1),
        "/spec/template/spec/containers/0/resources",
        json!({"requests": {"cpu": format!("{request}m")}}),
    );
    world
        .create(&objects::with(placed, "/spec/template/spec/nodeSelector", Value::Null))
        .await;
    eventually("a real pod runs", async || {
        let object = world.any("apps/v1", "Deployment").get("web").await.ok()?;
        (object.data["status"]["readyReplicas"] == json!(1)).then_some(())
    })
    .await;
    world.prometheus.value("latency", 0.9);
    let policy = objects::policy("web", &world.namespace);
    world
        .apply(&objects::with(policy, "/spec/actions/0/replicas/step/pods", json!(5)))
        .await;
    let controller = world.controller_of_all("one", &["--fixed-nodes"]);
    let change = first(&world, "web").await;
    assert_eq!((change.spec.before, change.spec.after), (1, 3));
    let check = change
        .spec
        .evidence
        .checks
        .iter()
        .find(|check| check.name == "Headroom");
    let check = check.unwrap();
    assert_eq!(check.verdict, CheckVerdict::Clamped, "{}", check.message);
    assert!(
        check.message.contains("6 asked for, 3 allowed") && check.message.contains("1 of 1 nodes"),
        "{}",
        check.message
    );
    // As many find one: the scheduler comes to the same.
    eventually("three real pods run", async || {
        let object = world.any("apps/v1", "Deployment").get("web").await.ok()?;
        (object.data["status"]["readyReplicas"] == json!(3)).then_some(())
    })
    .await;
    let change = world.closed(1).await;
    assert_eq!(change.spec.target.reference.name, "web", "{}", change.name_any());
    controller.end().await;
    world.laws().await;
}

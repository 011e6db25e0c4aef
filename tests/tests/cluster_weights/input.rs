//! Bad input: a clear message, and nothing written.

use super::{BASE, bed_with_routes, named};
use flyball_tests::world::{Answer, World, routes};
use serde_json::{Value, json};

async fn check(name: &str, route: Option<Value>, policy: impl Fn(&mut Value), reason: &str, says: &[&str]) {
    let Some(bed) = bed_with_routes().await else { return };
    let world = World::new(&bed, name).await;
    if let Some(route) = &route {
        world.create(route).await;
    }
    world
        .prometheus
        .set("slow", Answer::Backends(vec![("b".to_owned(), 0.9)]));
    let mut object = routes::step_policy("web", &world.namespace);
    policy(&mut object);
    world.apply(&object).await;
    let _controller = world.controller("one");
    let message = super::troubled(&world, reason).await;
    for word in says {
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(world.proxy.accepted("PATCH httproutes"), 0);
    assert!(world.changes().await.iter().all(|change| change.spec.sequence == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_is_not_there_is_named() {
    check(
        "missing",
        None,
        |_| (),
        "TargetNotFound",
        &["HTTPRoute web", "does not exist"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_twice_in_the_list_is_named() {
    let mut route = routes::route("web", &BASE);
    route["spec"]["rules"][1]["backendRefs"][2] = json!({"name": "b", "port": 81, "weight": 1});
    check("duplicate", Some(route), |_| (), "RouteInvalid", &["b"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_is_not_there_is_named() {
    let named = |policy: &mut Value| policy["spec"]["actions"][0]["weights"]["rule"] = json!("other");
    check(
        "no-rule",
        Some(routes::route("web", &BASE)),
        named,
        "RouteInvalid",
        &["other"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_without_known_weights_is_named() {
    // Enforce of an unknown kind is refused by the API server already, where the admission policies are installed.
    let other = |policy: &mut Value| {
        policy["spec"]["mode"] = json!("Recommend");
        policy["spec"]["targetRef"]["kind"] = json!("TCPRoute");
    };
    check("kind", None, other, "Invalid", &["TCPRoute", "HTTPRoute"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_without_a_name_is_known_by_what_it_matches() {
    let Some(bed) = bed_with_routes().await else { return };
    let world = World::new(&bed, "nameless").await;
    let mut route = routes::route("web", &BASE);
    route["spec"]["rules"][1].as_object_mut().unwrap().remove("name");
    world.create(&route).await;
    world
        .prometheus
        .set("slow", Answer::Backends(vec![("b".to_owned(), 0.9)]));
    let mut policy = routes::step_policy("web", &world.namespace);
    let lever = policy["spec"]["actions"][0]["weights"].as_object_mut().unwrap();
    lever.remove("rule");
    lever.insert("ruleIndex".to_owned(), json!(1));
    world.apply(&policy).await;
    let _controller = world.controller("one");
    let change = world.phase(1, flyball_crds::Phase::Verifying).await;
    assert_eq!(super::moved(&change).1, named(&super::SHIFTED));
    let found = world
        .any("gateway.networking.k8s.io/v1", "HTTPRoute")
        .get("web")
        .await
        .unwrap();
    assert_eq!(
        found.data.pointer("/spec/rules/1/backendRefs/1/weight"),
        Some(&json!(100))
    );
    assert_eq!(
        found.data.pointer("/spec/rules/0/backendRefs/0/weight"),
        Some(&json!(7))
    );
}

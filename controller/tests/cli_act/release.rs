//! Giving a field back, with a controller and without one.

use crate::{
    api::{Fault, Objects, Server},
    build::{change, deployment, hpa, lease, merged, namespace, of_knobs, policy, runtime_change, scaled_object},
};
use flyball_controller::{
    cli::{
        import::Autoscaler,
        kept::Kept,
        release::{
            Patience, Wanted, release,
            standing::{Leads, Standing},
        },
    },
    lease::Timing,
};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v1::Scale};
use kube::{Api, api::PostParams};
use rstest::rstest;
use serde_json::{Value, json};
use std::{sync::Mutex, time::Duration};

const POLICY: &str = "feedbackpolicies/checkout";
const HPA: &str = "horizontalpodautoscalers/web";
const CHANGE: &str = "changes/checkout-1-replicas-2";
const DEPLOYMENT: &str = "deployments/checkout";

fn wanted() -> Wanted {
    Wanted {
        controllers: "flyball-system".to_owned(),
        lease: "flyball".to_owned(),
        allow_dip: false,
        patience: Patience {
            limit: Duration::from_secs(60),
            poll: Duration::from_millis(10),
            timing: Timing {
                retry: Duration::from_millis(50),
                ..Timing::default()
            },
        },
    }
}

/// What is kept of an object.
fn kept(autoscaler: Autoscaler, object: Value) -> Value {
    let text = Kept::of(autoscaler, &serde_json::from_value(object).unwrap())
        .text()
        .unwrap();
    json!({"metadata": {"annotations": {"flyball.dev/taken-from": text}}})
}

/// The policy that took the field from a HorizontalPodAutoscaler.
fn enforcing(more: Value) -> Value {
    merged(merged(policy(json!({})), kept(Autoscaler::Hpa, hpa(json!({})))), more)
}

fn verifying() -> Value {
    change(2, 3, 5, json!({"status": {"phase": "Verifying", "attempt": 0}}))
}

fn stamped(replicas: i64) -> Value {
    deployment(
        "checkout",
        replicas,
        json!({"metadata": {"annotations": {"flyball.dev/stamp": "sequence=2,attempt=0"}}}),
    )
}

/// Releases `shop/checkout`: how many failed, and what was said.
async fn released(server: &Server, wanted: &Wanted) -> (usize, String) {
    let said = Mutex::new(String::new());
    let tell = |line: &str| {
        said.lock().unwrap().push_str(line);
        Ok(())
    };
    let policies = [("shop".to_owned(), "checkout".to_owned())];
    let failed = release(&server.connection, wanted, &policies, tell).await.unwrap();
    (failed, said.into_inner().unwrap())
}

/// The controller as it behaves: it sees the suspended policy and cuts its Change short.
fn controller(write: &str, objects: &mut Objects) {
    if write != "PATCH feedbackpolicies/checkout" {
        return;
    }
    let policy = objects.get(POLICY).unwrap();
    let generation = policy["metadata"]["generation"].clone();
    let suspended = policy["spec"]["suspend"] == json!(true);
    objects.change(POLICY, &json!({"status": {"observedGeneration": generation}}));
    if suspended && objects.get(CHANGE).is_some() {
        objects.change(
            CHANGE,
            &json!({"status": {"phase": "Inconclusive", "message": "not verified; 5 is held"}}),
        );
    }
}

async fn with_controller(test: &str) -> Server {
    let server = Server::with(
        test,
        [enforcing(json!({})), verifying(), stamped(5), lease("flyball-1", 1)],
    )
    .await;
    server.react(controller);
    server
}

async fn without_controller(test: &str) -> Server {
    Server::with(
        test,
        [
            enforcing(json!({})),
            verifying(),
            stamped(5),
            lease("", 100),
            namespace(),
        ],
    )
    .await
}

/// What counts in the end.
fn end(server: &Server) -> (Value, Value, Value, Value) {
    let policy = server.get(POLICY).unwrap();
    let hpa = server.get(HPA).unwrap_or_default();
    let change = server.get(CHANGE).unwrap_or_default();
    (
        json!([policy["spec"]["suspend"], policy["metadata"]["annotations"]]),
        json!([hpa["metadata"]["labels"], hpa["spec"]]),
        change["status"]["phase"].clone(),
        server.get(DEPLOYMENT).unwrap()["spec"].clone(),
    )
}

#[tokio::test]
async fn with_a_controller_it_waits_until_that_is_done() {
    let server = with_controller("release").await;
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(
        (failed, said.as_str()),
        (
            0,
            "shop/checkout: released to HorizontalPodAutoscaler web, at 5 replicas\n"
        )
    );
    assert_eq!(
        server.writes(),
        [
            "PATCH feedbackpolicies/checkout",
            "POST horizontalpodautoscalers/web",
            "PATCH feedbackpolicies/checkout"
        ],
        "suspended, made again, and only then forgotten"
    );
    let spec = hpa(json!({}))["spec"].clone();
    assert_eq!(
        end(&server),
        (
            json!([true, {}]),
            json!([{"team": "shop"}, spec]),
            json!("Inconclusive"),
            json!({"replicas": 5})
        )
    );
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(
        (failed, said.as_str()),
        (
            0,
            "shop/checkout: released: HorizontalPodAutoscaler web scales it already, at 5 replicas\n"
        )
    );
    assert_eq!(server.writes(), [""; 0]);
}

/// A controller that leads is not overtaken, however long it takes.
#[tokio::test]
async fn a_controller_that_does_nothing_is_waited_for() {
    let server = Server::with(
        "release-slow",
        [enforcing(json!({})), verifying(), stamped(5), lease("flyball-1", 1)],
    )
    .await;
    let impatient = |limit| Wanted {
        patience: Patience {
            limit,
            ..wanted().patience
        },
        ..wanted()
    };
    let (failed, said) = released(&server, &impatient(Duration::ZERO)).await;
    assert_eq!(failed, 1);
    assert!(
        said.starts_with("shop/checkout: NOT released: its Change checkout-1-replicas-2 is still open after 0 s"),
        "{said}"
    );
    assert_eq!(
        server.writes(),
        ["PATCH feedbackpolicies/checkout"],
        "nothing but that it is suspended"
    );

    // No Change is open, and one could still begin.
    server.objects(|objects| objects.remove(CHANGE));
    let (_, said) = released(&server, &impatient(Duration::ZERO)).await;
    assert!(
        said.contains("the controller has not seen yet that it is suspended"),
        "{said}"
    );
    assert_eq!(server.get(HPA), None);
}

/// Lead, raise the attempt, stamp, close: behind that no write of a dead controller lands.
#[tokio::test]
async fn without_a_controller_the_target_is_fenced_first() {
    let server = without_controller("release-alone").await;
    let before = server.get(DEPLOYMENT).unwrap()["metadata"]["resourceVersion"].clone();
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 0, "{said}");
    assert_eq!(
        server.writes(),
        [
            "PATCH feedbackpolicies/checkout",
            "PUT changes/checkout-1-replicas-2/status",
            "PATCH deployments/checkout",
            "PUT changes/checkout-1-replicas-2/status",
            "POST horizontalpodautoscalers/web",
            "PATCH feedbackpolicies/checkout"
        ]
    );
    let target = server.get(DEPLOYMENT).unwrap();
    assert_eq!(
        target["metadata"]["annotations"]["flyball.dev/stamp"],
        "sequence=2,attempt=1"
    );
    assert_eq!(target["spec"]["replicas"], 5, "as it was");
    let status = server.get(CHANGE).unwrap()["status"].clone();
    assert_eq!(
        (&status["phase"], &status["attempt"]),
        (&json!("Inconclusive"), &json!(1))
    );
    assert!(
        said.contains("Change checkout-1-replicas-2 was closed from here: not verified; 5 is held"),
        "{said}"
    );
    let lease = server.get("leases/flyball").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "", "given back");

    // What the dead one still had under way.
    let api: Api<Deployment> = Api::namespaced(server.connection.clients.write.clone(), "shop");
    let late: Scale = serde_json::from_value(json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "checkout", "namespace": "shop", "resourceVersion": before},
        "spec": {"replicas": 3},
    }))
    .unwrap();
    let answer = api.replace_scale("checkout", &PostParams::default(), &late).await;
    assert!(matches!(answer, Err(kube::Error::Api(status)) if status.code == 409));
}

/// Whatever phase it is in, the number stays as it is found.
#[rstest]
#[case::not_written("Applying", json!({}), 3, "Superseded")]
#[case::written("Applying", json!({}), 5, "Inconclusive")]
#[case::verifying("Verifying", json!({}), 5, "Inconclusive")]
#[case::being_taken_back("RollingBack", json!({"rollbackTo": 3}), 5, "Inconclusive")]
#[case::taken_back("RollingBack", json!({"rollbackTo": 3}), 3, "RolledBack")]
#[case::written_by_somebody_else("Verifying", json!({}), 9, "Superseded")]
#[tokio::test]
async fn a_change_is_closed_where_it_is(
    #[case] phase: &str,
    #[case] more: Value,
    #[case] replicas: i64,
    #[case] expect: &str,
) {
    let open = change(
        2,
        3,
        5,
        json!({"status": merged(json!({"phase": phase, "attempt": 0}), more)}),
    );
    let test = format!("release-{phase}-{replicas}");
    let server = Server::with(
        &test,
        [
            enforcing(json!({})),
            open,
            stamped(replicas),
            lease("", 100),
            namespace(),
        ],
    )
    .await;
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 0, "{said}");
    assert_eq!(server.get(CHANGE).unwrap()["status"]["phase"], expect);
    assert_eq!(server.get(DEPLOYMENT).unwrap()["spec"]["replicas"], replicas);
    assert!(server.writes().iter().all(|write| !write.ends_with("/scale")));
}

/// An installation that was removed has no place for a lease, and its definitions may be left.
#[tokio::test]
async fn nothing_of_the_controller_needs_to_be_left() {
    let server = Server::with("release-removed", [enforcing(json!({})), verifying(), stamped(5)]).await;
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 0, "{said}");
    assert!(server.get(HPA).is_some());
    assert_eq!(server.get(CHANGE).unwrap()["status"]["phase"], "Inconclusive");
}

/// Cut short at any write, whether that was carried out or not, and run again.
#[rstest]
#[case::with_a_controller(true, 3)]
#[case::without_one(false, 6)]
#[tokio::test]
async fn one_that_was_cut_short_is_finished_by_another(#[case] controller: bool, #[case] writes: usize) {
    let server = async |test: String| {
        if controller {
            with_controller(&test).await
        } else {
            without_controller(&test).await
        }
    };
    let undisturbed = server(format!("release-whole-{controller}")).await;
    released(&undisturbed, &wanted()).await;
    let mut expect = end(&undisturbed);
    // How often a Change was taken up is not told apart.
    let steady = |end: &mut (Value, Value, Value, Value)| end.0[1]["flyball.dev/stamp"] = Value::Null;
    steady(&mut expect);
    for nth in 1..=writes {
        for fault in [Fault::Refused, Fault::Lost, Fault::Conflict] {
            let server = server(format!("release-{controller}-{nth}-{fault:?}")).await;
            server.plan(nth, fault);
            released(&server, &wanted()).await;
            server.heal();
            let (failed, said) = released(&server, &wanted()).await;
            assert_eq!(failed, 0, "write {nth}, {fault:?}: {said}");
            let mut found = end(&server);
            steady(&mut found);
            assert_eq!(found, expect, "write {nth}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn the_rights_that_closing_needs_are_named() {
    let server = without_controller("release-rights").await;
    server.deny("update changes/status");
    server.deny("patch deployments");
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 1);
    assert!(
        said.contains(
            "you may not update changes/status of flyball.dev in namespace shop, nor patch deployments of apps named \
             checkout in namespace shop; ask for the role flyball-recover, or start the controller"
        ),
        "{said}"
    );
    assert_eq!(server.writes(), ["PATCH feedbackpolicies/checkout"]);
}

#[tokio::test]
async fn an_autoscaler_that_would_take_replicas_away_is_not_made_unasked() {
    let low = hpa(json!({"spec": {"maxReplicas": 4}}));
    let server = Server::with(
        "release-dip",
        [
            merged(policy(json!({})), kept(Autoscaler::Hpa, low)),
            stamped(5),
            lease("flyball-1", 1),
        ],
    )
    .await;
    server.react(controller);
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 1);
    assert!(
        said.contains("allows at most 4 replicas and there are 5, so it would take 1 away at once"),
        "{said}"
    );
    assert_eq!(server.get(HPA), None);
    let asked = Wanted {
        allow_dip: true,
        ..wanted()
    };
    assert_eq!(released(&server, &asked).await.0, 0);
    assert!(server.get(HPA).is_some());
}

#[tokio::test]
async fn at_zero_it_is_said_that_nothing_wakes_it() {
    let server = Server::with(
        "release-zero",
        [enforcing(json!({})), stamped(0), lease("flyball-1", 1)],
    )
    .await;
    server.react(controller);
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 0);
    assert!(
        said.contains("it stays at 0")
            && said.ends_with("    kubectl scale deployment checkout -n shop --replicas 1\n"),
        "{said}"
    );
}

/// A ScaledObject that is made anew has never been active, and KEDA takes its last replica at once.
#[rstest]
#[case::to_zero(json!({"minReplicaCount": 0}), json!(300))]
#[case::to_zero_by_default(json!({"minReplicaCount": null, "cooldownPeriod": 60}), json!(60))]
#[case::patient_already(json!({"minReplicaCount": 0, "initialCooldownPeriod": 900}), json!(900))]
#[case::never_to_zero(json!({"minReplicaCount": 2}), Value::Null)]
#[tokio::test]
async fn keda_is_given_time(#[case] spec: Value, #[case] expect: Value) {
    let object = scaled_object(json!({ "spec": spec }));
    let test = format!("release-keda-{}", object.to_string().len());
    let server = Server::with(
        &test,
        [
            merged(policy(json!({})), kept(Autoscaler::ScaledObject, object)),
            stamped(5),
            lease("flyball-1", 1),
        ],
    )
    .await;
    server.react(controller);
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 0, "{said}");
    let made = server.get("scaledobjects/worker").unwrap();
    assert_eq!(made["spec"]["initialCooldownPeriod"], expect);
    assert_eq!(made["metadata"]["finalizers"], Value::Null, "that is KEDA's own");
}

/// Weights have no other autoscaler to go to, and their Changes are fenced in every route, by the controller.
#[tokio::test]
async fn what_moves_weights_is_not_released() {
    let weights = json!({"spec": {"actions": [{"name": "shift", "weights": {
        "backends": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}],
        "failover": {}, "traffic": {"proxy": "Traefik"},
    }}]}});
    let of_weights = change(
        2,
        3,
        5,
        json!({"spec": {"field": "weights"}, "status": {"phase": "Verifying", "attempt": 0}}),
    );
    for objects in [
        [enforcing(weights), stamped(5), lease("flyball-1", 1)],
        [enforcing(json!({})), of_weights, lease("flyball-1", 1)],
    ] {
        let server = Server::with("weights", objects).await;
        let (failed, said) = released(&server, &wanted()).await;
        assert_eq!(failed, 1, "{said}");
        assert!(
            said.contains("moves weights") && said.contains("flyball suspend"),
            "{said}"
        );
        let spec = server.get(POLICY).unwrap()["spec"].clone();
        assert!(spec["suspend"].is_null(), "nothing was done");
    }
}

#[tokio::test]
async fn where_nothing_was_kept_it_is_said_how_to_go_on() {
    let server = Server::with("release-bare", [policy(json!({})), stamped(5), lease("flyball-1", 1)]).await;
    server.react(controller);
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(
        (failed, said.as_str()),
        (
            0,
            "shop/checkout: released; nothing scales it now, at 5 replicas\n    \
             kubectl autoscale deployment checkout -n shop --min 2 --max 20 --cpu-percent 80\n    \
             kubectl apply -n shop -f autoscaler.yaml\n"
        )
    );
}

#[tokio::test]
async fn another_autoscaler_is_not_given_a_rival() {
    let other = hpa(json!({"metadata": {"name": "second"}}));
    let server = Server::with(
        "release-rival",
        [enforcing(json!({})), other, stamped(5), lease("flyball-1", 1)],
    )
    .await;
    server.react(controller);
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 0);
    assert!(
        said.contains("HorizontalPodAutoscaler second scales it already"),
        "{said}"
    );
    assert!(
        said.ends_with("    kubectl annotate feedbackpolicy checkout -n shop flyball.dev/taken-from-\n"),
        "{said}"
    );
    assert_eq!(server.get(HPA), None);
}

#[tokio::test]
async fn of_all_policies_each_has_its_line() {
    let cart = merged(
        policy(json!({"metadata": {"name": "cart", "uid": "p-2"}, "spec": {"targetRef": {"name": "cart"}}})),
        json!({"spec": {"mode": "Recommend"}}),
    );
    let broken = merged(
        policy(json!({"metadata": {"name": "broken", "uid": "p-3"}, "spec": {"targetRef": {"name": "broken"}}})),
        json!({"metadata": {"annotations": {"flyball.dev/taken-from": "?"}}}),
    );
    let server = Server::with(
        "release-all",
        [
            enforcing(json!({})),
            verifying(),
            stamped(5),
            cart,
            broken,
            lease("flyball-1", 1),
        ],
    )
    .await;
    server.react(controller);
    let said = Mutex::new(Vec::new());
    let tell = |line: &str| {
        said.lock().unwrap().push(line.to_owned());
        Ok(())
    };
    let policies = ["checkout", "cart", "broken"].map(|name| ("shop".to_owned(), name.to_owned()));
    let failed = release(&server.connection, &wanted(), &policies, tell).await.unwrap();
    let said = said.into_inner().unwrap();
    assert_eq!(failed, 1);
    assert_eq!(
        said[0],
        "shop/checkout: released to HorizontalPodAutoscaler web, at 5 replicas\n"
    );
    assert_eq!(said[1], "shop/cart: does not hold the field: its mode is Recommend\n");
    assert!(
        said[2].starts_with("shop/broken: NOT released: the annotation flyball.dev/taken-from holds no autoscaler"),
        "{said:?}"
    );
    assert_eq!(
        server.get("feedbackpolicies/cart").unwrap()["spec"]["suspend"],
        Value::Null,
        "what holds nothing is left alone"
    );
}

/// A lease is judged by whether it moves, since clocks may be wrong.
#[tokio::test]
async fn a_lease_that_moves_is_held() {
    let timing = wanted().patience.timing;
    let short = |renewed| {
        merged(
            lease("flyball-1", renewed),
            json!({"spec": {"leaseDurationSeconds": 1}}),
        )
    };
    let server = Server::with("standing", [short(100)]).await;
    let mut standing = Standing::new(&timing);
    let mut look = async || {
        standing
            .look(&server.connection, "flyball-system", "flyball")
            .await
            .unwrap()
    };
    assert_eq!(look().await, Leads::Perhaps, "its clock may be behind");
    server.objects(|objects| objects.put(short(99)));
    assert_eq!(look().await, Leads::Yes);
    // It never moves again.
    while look().await != Leads::No {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.objects(|objects| objects.put(short(0)));
    assert_eq!(look().await, Leads::Yes);
}

const KNOBS: &str = "changes/checkout-1-runtime-app-2";

fn with_knobs() -> Value {
    deployment(
        "checkout",
        5,
        json!({
            "metadata": {"annotations": {
                "runtime.flyball.dev/app": "gogc=200", "stamp.runtime.flyball.dev/app": "sequence=2,attempt=0", "note": "ours",
            }},
            "spec": {"selector": {"matchLabels": {"app": "checkout"}}},
        }),
    )
}

const LINE: &str = "v1 gen=7 ttl=1200 exp=1795000000 gogc=200";

/// Two pods of the workload with lines, and one of another.
fn pods() -> Vec<Value> {
    let owned = |kind: &str, uid: &str| json!([{"apiVersion": "v1", "kind": kind, "name": "x", "uid": uid, "controller": true}]);
    let target = with_knobs()["metadata"]["uid"].as_str().unwrap().to_owned();
    let pod = |name: &str, set: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"),
            "ownerReferences": owned("ReplicaSet", set),
            "annotations": {"runtime.flyball.dev/app": LINE, "note": "ours"},
        }})
    };
    let set = |uid: &str, of: &str| {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {
            "name": uid, "namespace": "shop", "uid": uid, "ownerReferences": owned("Deployment", of),
        }})
    };
    vec![
        set("set-1", &target),
        set("set-2", "uid-of-another"),
        pod("checkout-a", "set-1"),
        pod("checkout-b", "set-1"),
        pod("other", "set-2"),
    ]
}

#[tokio::test]
async fn where_pods_may_not_be_written_it_is_said_when_the_knobs_end() {
    let objects = [policy(of_knobs()), with_knobs(), lease("flyball-1", 1)];
    let server = Server::with("release-knobs-no-pods", objects.into_iter().chain(pods())).await;
    server.react(controller);
    server.deny("patch pods");
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 0, "{said}");
    for part in [
        "released: Deployment/checkout had gogc=200",
        "within 20m; at once with:\n    kubectl annotate pods -n shop -l app=checkout runtime.flyball.dev/app-\n",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

#[tokio::test]
async fn lines_that_a_cut_short_release_left_are_taken_out_by_the_next() {
    let mut boot = with_knobs();
    boot["metadata"]["annotations"] = json!({});
    let objects = [policy(of_knobs()), boot, lease("flyball-1", 1)];
    let server = Server::with("release-knobs-again", objects.into_iter().chain(pods())).await;
    server.react(controller);
    // Somebody else writes the first pod in between.
    server.plan(2, Fault::Conflict);
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(
        (failed, said.as_str()),
        (
            0,
            "shop/checkout: released: Deployment/checkout has boot values in container app; the lines of 2 pods were taken \
             out, and their processes go back to boot values\n"
        )
    );
}

#[tokio::test]
async fn knobs_go_back_to_boot_values() {
    let objects = [policy(of_knobs()), with_knobs(), lease("flyball-1", 1)];
    let server = Server::with("release-knobs", objects.into_iter().chain(pods())).await;
    server.react(controller);
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(
        (failed, said.as_str()),
        (
            0,
            "shop/checkout: released: Deployment/checkout had gogc=200; the lines of 2 pods were taken out, and their processes \
             go back to boot values\n"
        )
    );
    // Pods are written several at a time.
    let mut writes = server.writes();
    writes[2..].sort();
    assert_eq!(
        writes,
        [
            "PATCH feedbackpolicies/checkout",
            "PATCH deployments/checkout",
            "PATCH pods/checkout-a",
            "PATCH pods/checkout-b"
        ]
    );
    let annotations = |pod: &str| server.get(&format!("pods/{pod}")).unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations("checkout-a"), json!({"note": "ours"}));
    assert_eq!(
        annotations("other")["runtime.flyball.dev/app"],
        LINE,
        "another workload's"
    );
    let target = server.get(DEPLOYMENT).unwrap();
    assert_eq!(
        (&target["metadata"]["annotations"], &target["spec"]["replicas"]),
        (
            &json!({"stamp.runtime.flyball.dev/app": "sequence=2,attempt=0", "note": "ours"}),
            &json!(5)
        )
    );
    assert_eq!(server.get(POLICY).unwrap()["spec"]["suspend"], true);
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(
        (failed, said.as_str()),
        (
            0,
            "shop/checkout: released: Deployment/checkout has boot values in container app\n"
        )
    );
    assert_eq!(server.writes(), [""; 0]);
}

#[tokio::test]
async fn without_a_controller_the_change_of_knobs_is_fenced_first() {
    let open = runtime_change(2, json!({"status": {"phase": "Verifying", "attempt": 0}}));
    let objects = [policy(of_knobs()), open, with_knobs(), lease("", 100), namespace()];
    let server = Server::with("release-knobs-alone", objects).await;
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(failed, 0, "{said}");
    assert_eq!(
        server.writes(),
        [
            "PATCH feedbackpolicies/checkout",
            "PUT changes/checkout-1-runtime-app-2/status",
            "PATCH deployments/checkout",
            "PUT changes/checkout-1-runtime-app-2/status",
            "PATCH deployments/checkout",
        ]
    );
    let target = server.get(DEPLOYMENT).unwrap();
    assert_eq!(
        target["metadata"]["annotations"],
        json!({"stamp.runtime.flyball.dev/app": "sequence=2,attempt=1", "note": "ours"})
    );
    assert_eq!(server.get(KNOBS).unwrap()["status"]["phase"], "Inconclusive");
}

#[tokio::test]
async fn knobs_that_are_not_held_are_left() {
    let recommends = merged(policy(of_knobs()), json!({"spec": {"mode": "Recommend"}}));
    let server = Server::with("release-knobs-mode", [recommends, with_knobs(), lease("flyball-1", 1)]).await;
    let (failed, said) = released(&server, &wanted()).await;
    assert_eq!(
        (failed, said.as_str()),
        (0, "shop/checkout: does not hold the knobs: its mode is Recommend\n")
    );
    assert_eq!(server.writes(), [""; 0]);
}

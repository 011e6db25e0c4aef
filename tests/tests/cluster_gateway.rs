//! What a real gateway does with weights, and what its metrics tell of it: the facts that moving weights, and
//! verifying that they moved, rest on. tests/testbed/README.md has them in words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_tests::{
    bed::{bed, eventually},
    gateway::{Gateway, demo, route, rule, service},
    scraper::Scraper,
    world::World,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ROUTE: &str = "web";
/// A port on which the demo service does not listen.
const CLOSED: u16 = 9;

/// One world's route, and what was counted of it.
struct Traffic<'a> {
    world: &'a World,
    gateway: &'a Gateway,
    host: String,
}

type Served = BTreeMap<(String, u16), u64>;
type Codes = BTreeMap<u16, u64>;

impl Traffic<'_> {
    /// Shares the traffic out by these weights.
    async fn weigh(&self, weights: &[(&str, i32)]) {
        let rules = [
            rule("split", "/", weights),
            rule("refused", "/refused", &[("refusing", 1)]),
        ];
        self.world.apply(&route(ROUTE, &self.host, &rules)).await;
    }

    /// Waits until of so many requests in a row the answers are these.
    async fn settles(&self, requests: u64, codes: &[(u16, u64)]) {
        let expected: Codes = codes.iter().copied().collect();
        eventually(&format!("{requests} requests are answered {expected:?}"), async || {
            (self.send("/", requests).await.0 == expected).then_some(())
        })
        .await;
    }

    /// Sends requests, and returns the answers and by how much the counter of the rules grew, once all are
    /// counted: that is right after an answer is given.
    async fn send(&self, path: &str, requests: u64) -> (Codes, Codes) {
        let before = self.routed().await;
        let codes = self.gateway.send(&self.host, path, requests).await;
        // Where there is no route yet.
        let unknown = codes.get(&404).copied().unwrap_or_default();
        let counted = async || {
            let grown = more(&self.routed().await, &before);
            (grown.values().sum::<u64>() + unknown >= requests).then_some(grown)
        };
        let grown = eventually("all are counted", counted).await;
        (codes, grown)
    }

    /// What the servers of each backend have answered so far.
    async fn served(&self) -> Served {
        self.gateway.served(&self.world.namespace, ROUTE).await
    }

    /// What the route was answered so far.
    async fn routed(&self) -> Codes {
        self.gateway.routed(&self.world.namespace, ROUTE).await
    }

    /// Sends so many requests and expects these answers, this many more served by each backend, and as many
    /// more answers in the counter of the rules.
    async fn check(&self, path: &str, requests: u64, codes: &[(u16, u64)], served: &[(&str, u16, u64)]) {
        let expected: Codes = codes.iter().copied().collect();
        let named = served
            .iter()
            .map(|(name, code, count)| (((*name).to_owned(), *code), *count));
        let expected = (expected.clone(), expected, named.collect::<Served>());
        // With another configuration, though it may be about others' routes, sharing out begins anew.
        let undisturbed = async || {
            let (reloads, before) = (self.gateway.reloads().await, self.served().await);
            let (codes, routed) = self.send(path, requests).await;
            let served = more(&self.served().await, &before);
            (self.gateway.reloads().await == reloads).then_some((codes, routed, served))
        };
        assert_eq!(
            eventually("nothing changes meanwhile", undisturbed).await,
            expected,
            "{path}"
        );
    }
}

/// By how much each count has grown, where it has.
fn more<K: Ord + Clone>(now: &BTreeMap<K, u64>, before: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let growth = now
        .iter()
        .map(|(key, count)| (key.clone(), count - before.get(key).unwrap_or(&0)));
    growth.filter(|(_, count)| *count > 0).collect()
}

/// Status and reason of a condition of the route.
async fn condition(world: &World, kind: &str) -> Option<(String, String)> {
    let found = world
        .any("gateway.networking.k8s.io/v1", "HTTPRoute")
        .get(ROUTE)
        .await
        .unwrap();
    let conditions = found.data.pointer("/status/parents/0/conditions")?.as_array()?.clone();
    let condition = conditions.iter().find(|it| it["type"] == json!(kind))?;
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason")))
}

async fn ready(world: &World, deployment: &str) {
    eventually(&format!("{deployment} is ready"), async || {
        let found = world.any("apps/v1", "Deployment").get(deployment).await.unwrap();
        let ready = found.data.pointer("/status/readyReplicas").and_then(Value::as_i64);
        (ready == Some(1)).then_some(())
    })
    .await;
}

/// Requests a second by Service, and those of them that a server failed, as README.md of the test bed has them.
fn queries(namespace: &str) -> [String; 3] {
    let rate = |metric: &str, label: &str, more: &str| {
        format!("rate({metric}{{{label}=~\"httproute-{namespace}-{ROUTE}-gw-.+\"{more}}}[1m])")
    };
    let by_backend = |inner: &str| {
        format!(
            "sum by (backend) (label_replace({inner}, \"backend\", \"$1\", \"service\", \
             \".+-[0-9a-f]{{20}}-svc-{namespace}-(.+)-[0-9]+@kubernetesgateway\"))"
        )
    };
    let by_rule = |inner: &str, label: &str| {
        format!(
            "sum by (rule) (label_replace({inner}, \"rule\", \"$1\", \"{label}\", \
             \".+-ep-[^-]+-([0-9]+)-[0-9a-f]{{20}}(-svc-.+)?@kubernetesgateway\"))"
        )
    };
    let served = rate("traefik_service_requests_total", "service", "");
    let failed = rate("traefik_service_requests_total", "service", ",code=~\"5..\"");
    let routed = rate("traefik_router_requests_total", "router", "");
    let requests = by_backend(&served);
    let errors = format!("{} or 0 * {requests}", by_backend(&failed));
    let all = by_rule(&routed, "router");
    let unserved = format!("{all} - ({} or 0 * {all})", by_rule(&served, "service"));
    [requests, errors, unserved]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_are_kept_to_the_request_and_told_by_the_metrics() {
    let Some(bed) = bed().await else { return };
    let Some(gateway) = Gateway::up(&bed).await else { return };
    let again = Gateway::up(&bed).await.unwrap();
    assert_eq!((&again.url, &again.metrics), (&gateway.url, &gateway.metrics));

    let world = World::new(&bed, "gateway").await;
    let traffic = Traffic {
        world: &world,
        gateway: &gateway,
        host: format!("{}.example.com", world.namespace),
    };
    for name in ["a", "b", "c"] {
        for object in demo(name, 1, &["--service-time=1ms"]) {
            world.create(&object).await;
        }
    }
    world.create(&service("refusing", "a", CLOSED)).await;
    traffic.weigh(&[("a", 70), ("b", 20), ("c", 10)]).await;
    let scraper = Scraper::start(&bed, &world.namespace, "500ms", &["--target", &gateway.metrics]).await;
    for name in ["a", "b", "c"] {
        ready(&world, name).await;
    }
    traffic.settles(10, &[(200, 10)]).await;

    // Shares are exact, not by chance.
    traffic
        .check(
            "/",
            200,
            &[(200, 200)],
            &[("a", 200, 140), ("b", 200, 40), ("c", 200, 20)],
        )
        .await;
    // A server that is ready and refuses is a failure of its backend.
    traffic
        .check("/refused", 10, &[(502, 10)], &[("refusing", 502, 10)])
        .await;
    labels(&traffic).await;

    // Without an endpoint a backend keeps its share, as failures that are in no backend's count.
    traffic.weigh(&[("a", 60), ("b", 20), ("c", 20)]).await;
    let none = json!({"spec": {"replicas": 0}});
    let deployments = world.any("apps/v1", "Deployment");
    let patch = kube::api::Patch::Merge(none);
    deployments
        .patch("c", &kube::api::PatchParams::default(), &patch)
        .await
        .unwrap();
    traffic.settles(10, &[(200, 8), (503, 2)]).await;
    traffic
        .check("/", 200, &[(200, 160), (503, 40)], &[("a", 200, 120), ("b", 200, 40)])
        .await;
    for kind in ["Accepted", "ResolvedRefs"] {
        assert_eq!(condition(&world, kind).await, Some(("True".into(), kind.into())));
    }
    rates(&traffic, &scraper).await;

    // At weight 0 nothing comes any more, and what came stays counted.
    let known = traffic.served().await[&("c".to_owned(), 200)];
    traffic.weigh(&[("a", 50), ("b", 50), ("c", 0)]).await;
    traffic.settles(20, &[(200, 20)]).await;
    traffic
        .check("/", 200, &[(200, 200)], &[("a", 200, 100), ("b", 200, 100)])
        .await;
    assert_eq!(traffic.served().await.get(&("c".to_owned(), 200)), Some(&known));

    // A backend that left the route is not counted any more, and all weights 0 are nobody's traffic.
    traffic.weigh(&[("a", 50), ("b", 50)]).await;
    eventually("c is forgotten", async || {
        traffic.send("/", 1).await;
        let served = traffic.served().await;
        (!served.keys().any(|(name, _)| name == "c")).then_some(())
    })
    .await;
    traffic.weigh(&[("a", 0), ("b", 0)]).await;
    traffic.settles(10, &[(503, 10)]).await;
    traffic.check("/", 10, &[(503, 10)], &[]).await;
}

/// The labels are as they are taken apart: by the rule's index, not its name.
async fn labels(traffic: &Traffic<'_>) {
    let namespace = &traffic.world.namespace;
    let all = traffic.gateway.series("traefik_service_requests_total").await;
    let own = format!("httproute-{namespace}-{ROUTE}-gw-flyball-gateway-flyball-ep-web-");
    let mut found: Vec<String> = Vec::new();
    for (labels, _) in all {
        let Some(rest) = labels["service"].strip_prefix(&own) else {
            continue;
        };
        let (rule, rest) = rest.split_once('-').unwrap();
        let (hash, rest) = rest.split_once('-').unwrap();
        assert!(
            hash.len() == 20 && hash.chars().all(|it| it.is_ascii_hexdigit()),
            "{hash}"
        );
        found.push(format!("{rule} {rest}"));
    }
    found.sort();
    found.dedup();
    let expected = [(0, "a", 0), (0, "b", 1), (0, "c", 2), (1, "refusing", 0)];
    let named = expected.map(|(rule, name, index)| format!("{rule} svc-{namespace}-{name}-{index}@kubernetesgateway"));
    assert_eq!(found, named);
}

/// The queries tell a backend that serves from one that fails, and a rule of which requests reach nobody.
async fn rates(traffic: &Traffic<'_>, scraper: &Scraper) {
    let [requests, errors, unserved] = queries(&traffic.world.namespace);
    // Only what comes after the first sample of a series counts, so some more of each.
    let names = |found: &BTreeMap<String, f64>, wanted: fn(f64) -> bool| -> Vec<String> {
        let kept = found.iter().filter(|(_, rate)| wanted(**rate));
        kept.map(|(name, _)| name.clone()).collect()
    };
    eventually("the rates tell what happens", async || {
        traffic.send("/", 10).await;
        traffic.send("/refused", 1).await;
        let requests = scraper.ask(&requests, "backend").await;
        let errors = scraper.ask(&errors, "backend").await;
        let unserved = scraper.ask(&unserved, "rule").await;
        let some = |rate: f64| rate > 0.0;
        let told = ["a", "b"]
            .iter()
            .all(|name| requests.get(*name).is_some_and(|rate| *rate > 0.0))
            && names(&errors, some) == ["refusing"]
            && ["a", "b"].iter().all(|name| errors.get(*name) == Some(&0.0))
            && unserved.get("0").is_some_and(|rate| *rate > 0.0)
            && unserved.get("1").is_some_and(|rate| rate.abs() < 1e-9);
        told.then_some(())
    })
    .await;
    let up = scraper.ask("up{job=\"traefik\"}", "job").await;
    assert_eq!(up.get("traefik"), Some(&1.0));
}

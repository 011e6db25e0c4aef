//! Weights with real parts: the gateway's proxy, pods, an open-loop load through the gateway, a Prometheus that
//! scrapes both, and the controller. What weights do to requests is seen here and nowhere else.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

pub mod figures;
pub mod load;
pub mod story;

use crate::{
    bed::{Bed, eventually_within},
    gateway::{self, Gateway},
    scraper::Scraper,
    world::World,
};
use flyball_crds::Change;
use jiff::Timestamp;
use load::Load;
use reqwest::Client;
use serde_json::{Value, json};
use std::{collections::BTreeMap, env, time::Duration};

/// The route, and the policy that moves its weights.
pub const ROUTE: &str = "web";
/// The rule of the route.
const RULE: &str = "split";
/// Backends: name, workers and base weight. A worker serves 12.5 requests a second, so they can do 200, 200 and 100.
pub const BACKENDS: [(&str, u32, i32); 3] = [("a", 16, 400), ("b", 16, 400), ("c", 8, 200)];
/// How long a request takes. On a busy machine each takes a millisecond or two more, which must not matter.
const SERVICE_TIME: &str = "--service-time=80ms";
/// Requests a second that are 72 % of what all can do: more than what is left by fixed weights once one is slow.
pub const OFFERED: u32 = 360;
/// The port of the demo service.
const PORT: u16 = 8080;

/// How fast everything is looked at. Times in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The distance of samples.
    pub scrape: u64,
    /// The range of each rate.
    pub window: u64,
    /// How often the policy is evaluated.
    pub interval: u64,
    /// How long a backend is out at least.
    pub base: u64,
    /// How long its return takes.
    pub return_over: u64,
    /// How long a scenario waits for what must come. It is no measure of speed.
    pub patience: Duration,
}

impl Pace {
    /// Short times, for a test.
    pub const SHORT: Self = Self {
        scrape: 1,
        window: 5,
        interval: 1,
        base: 8,
        return_over: 20,
        patience: Duration::from_secs(90),
    };
    /// What is usual: a scrape each 15 s, rates over a minute, and otherwise the defaults.
    pub const USUAL: Self = Self {
        scrape: 15,
        window: 60,
        interval: 15,
        base: 30,
        return_over: 300,
        patience: Duration::from_secs(900),
    };

    /// After the write, until when the realised share and the effect are judged.
    fn within(&self) -> u64 {
        self.window + 5.max(self.scrape * 2)
    }
}

/// A route under traffic. All of it ends when it is dropped.
pub struct Traffic {
    /// The world around it.
    pub world: World,
    /// The gateway.
    pub gateway: Gateway,
    /// The Prometheus that the policy reads.
    pub scraper: Scraper,
    /// The load.
    pub load: Load,
    /// How fast everything is looked at.
    pub pace: Pace,
    client: Client,
}

impl Traffic {
    /// Backends of one pod each behind a route with their base weights, under a load of `rate` requests a second.
    /// `None`: it can't be had here.
    pub async fn start(bed: &Bed, name: &str, pace: Pace, rate: u32) -> Option<Self> {
        let gateway = Gateway::up(bed).await?;
        let Some(demo) = &bed.demo else {
            assert!(
                env::var("CI").as_deref() != Ok("true"),
                "a skipped test is a failure in CI"
            );
            eprintln!("skipped: FLYBALL_DEMO does not say where the demo program is");
            return None;
        };
        let world = World::new(bed, name).await;
        let mut weights = Vec::new();
        for (name, workers, weight) in BACKENDS {
            let workers = format!("--workers={workers}");
            for object in gateway::demo(name, 1, &[&workers, SERVICE_TIME, "--queue=40"]) {
                world.create(&object).await;
            }
            weights.push((name, weight));
        }
        let host = format!("{}.example.com", world.namespace);
        let rule = gateway::rule(RULE, "/", &weights);
        world.create(&gateway::route(ROUTE, &host, &[rule])).await;
        let more = ["--target", &gateway.metrics];
        let scraper = Scraper::start(bed, &world.namespace, &format!("{}s", pace.scrape), &more).await;
        world
            .source(&world.namespace, json!({"url": scraper.url, "timeout": "2s"}))
            .await;
        let report = world.folder().join("load.jsonl");
        let load = Load::start(demo, &format!("{}/", gateway.url), &host, rate, report).expect("the load starts");
        let it = Self {
            world,
            gateway,
            scraper,
            load,
            pace,
            client: Client::builder().no_proxy().build().expect("a client"),
        };
        it.settled().await;
        Some(it)
    }

    /// Waits until all backends serve, nothing fails and the metrics tell so.
    async fn settled(&self) {
        self.until("all backends serve", async || {
            let served = self.gateway.served(&self.world.namespace, ROUTE).await;
            let answers = |name: &str| served.contains_key(&(name.to_owned(), 200));
            (BACKENDS.iter().all(|(name, ..)| answers(name)) && self.failing().await == Some(0.0)).then_some(())
        })
        .await;
    }

    /// Waits for something that must come.
    pub async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        let what = format!("{what} ({})", self.world.namespace);
        eventually_within(self.pace.patience, &what, ask).await
    }

    /// The routers of the route, as a matcher has them.
    fn routers(&self) -> String {
        format!("router=~\"httproute-{}-{ROUTE}-gw-.+\"", self.world.namespace)
    }

    /// The part of all requests that fails, as the gateway tells, whoever failed them: a query.
    pub fn failing_query(&self) -> String {
        let (routers, window) = (self.routers(), self.pace.window);
        let rate = |more: &str| format!("sum(rate(traefik_router_requests_total{{{routers}{more}}}[{window}s]))");
        format!("({} or vector(0)) / {}", rate(",code=~\"5..\""), rate(""))
    }

    /// The same, answered; `None` while nothing is known.
    pub async fn failing(&self) -> Option<f64> {
        let answer = self.scraper.ask(&self.failing_query(), "none").await;
        answer.into_values().next().filter(|value| value.is_finite())
    }

    /// How many requests have failed so far, as Prometheus knows it.
    pub async fn failed(&self) -> f64 {
        let query = format!("sum(traefik_router_requests_total{{{},code=~\"5..\"}})", self.routers());
        self.scraper
            .ask(&query, "none")
            .await
            .into_values()
            .next()
            .unwrap_or(0.0)
    }

    /// How many requests reached no backend so far, as the gateway counts now.
    pub async fn unserved(&self) -> u64 {
        self.gateway.unserved(&self.world.namespace, ROUTE).await
    }

    /// How many requests a backend was sent so far, as the gateway counts now.
    pub async fn sent(&self, backend: &str) -> u64 {
        let served = self.gateway.served(&self.world.namespace, ROUTE).await;
        served
            .into_iter()
            .filter(|((name, _), _)| name == backend)
            .map(|(_, n)| n)
            .sum()
    }

    /// Makes a backend slower or faster, as a machine that is throttled.
    pub async fn speed(&self, backend: &str, factor: f64) {
        let address = self
            .until(&format!("{backend} has a pod"), async || {
                let of = kube::api::ListParams::default().labels(&format!("app={backend}"));
                let pods = self.world.any("v1", "Pod").list(&of).await.ok()?;
                let address = pods.items.first()?.data.pointer("/status/podIP")?.as_str()?.to_owned();
                Some(address)
            })
            .await;
        let url = format!("http://{address}:{PORT}/admin/speed?factor={factor}");
        let answer = self.client.post(url).send().await.expect("the pod answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Sets how many pods a backend has.
    pub async fn scale(&self, backend: &str, replicas: i32) {
        let patch = kube::api::Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let parameters = kube::api::PatchParams::default();
        let deployments = self.world.any("apps/v1", "Deployment");
        deployments
            .patch(backend, &parameters, &patch)
            .await
            .expect("it is scaled");
    }

    /// The weights of the route.
    pub async fn weights(&self) -> BTreeMap<String, i64> {
        let found = self.route().await;
        let backends = found.pointer("/spec/rules/0/backendRefs").and_then(Value::as_array);
        let of = |backend: &Value| {
            let name = backend["name"].as_str()?.to_owned();
            Some((name, backend["weight"].as_i64()?))
        };
        backends.into_iter().flatten().filter_map(of).collect()
    }

    /// The share of a backend by the route's weights.
    pub async fn share(&self, backend: &str) -> f64 {
        part(&self.weights().await, backend)
    }

    /// The route as it is.
    pub async fn route(&self) -> Value {
        let routes = self.world.any("gateway.networking.k8s.io/v1", "HTTPRoute");
        let mut found = routes.get(ROUTE).await.expect("the route");
        found.data["metadata"] = serde_json::to_value(&found.metadata).expect("JSON");
        found.data
    }

    /// Status of a condition that the gateway gave the route.
    pub async fn condition(&self, kind: &str) -> Option<String> {
        let found = self.route().await;
        let conditions = found.pointer("/status/parents/0/conditions")?.as_array()?;
        let condition = conditions.iter().find(|it| it["type"] == json!(kind))?;
        condition["status"].as_str().map(ToOwned::to_owned)
    }

    /// The Changes that move weights with a sequence above this one.
    pub async fn changes_after(&self, sequence: i64) -> Vec<Change> {
        let mut changes = self.world.changes().await;
        changes.retain(|change| change.spec.sequence > sequence);
        changes
    }

    /// The highest sequence so far.
    pub async fn sequence(&self) -> i64 {
        self.changes_after(0)
            .await
            .last()
            .map_or(0, |change| change.spec.sequence)
    }

    /// Whether the policy has nothing to do.
    pub async fn is_steady(&self) -> bool {
        let policy = self.world.policies().get_opt(ROUTE).await.expect("the policy");
        let status = policy.and_then(|policy| policy.status);
        status.is_some_and(|status| status.doing.starts_with("Steady"))
    }

    /// The policy that shares by capacity.
    pub fn by_capacity(&self) -> Value {
        let of = |inner: &str| by_backend(inner);
        let window = self.pace.window;
        let busy = of(&format!("rate(demo_worker_busy_seconds_total[{window}s])"));
        let utilisation = format!("{busy} / {}", of("demo_workers"));
        let mut policy = self.policy(&json!({"capacity": {"utilisation": "utilisation"}}));
        policy["spec"]["signals"] = json!([{"name": "utilisation", "expr": utilisation, "perBackend": true}]);
        policy
    }

    /// The policy that moves 20 points away from a backend whose latency is above `above` seconds.
    pub fn by_alert(&self, above: f64) -> Value {
        let window = self.pace.window;
        let of = |metric: &str| by_backend(&format!("rate({metric}[{window}s])"));
        let latency = format!(
            "{} / {} > {above}",
            of("http_request_duration_seconds_sum"),
            of("http_requests_total")
        );
        let mut policy = self.policy(&json!({"step": {"points": 20, "after": "2s"}}));
        policy["spec"]["rules"] = json!([{"alert": "Slow", "expr": latency, "for": "1s"}]);
        policy["spec"]["actions"][0]["when"] = json!(["Slow"]);
        policy
    }

    fn policy(&self, law: &Value) -> Value {
        let Pace {
            scrape,
            window,
            interval,
            base,
            return_over,
            ..
        } = self.pace;
        let span = |seconds: u64| format!("{seconds}s");
        let backends: Vec<Value> = BACKENDS
            .iter()
            .map(|(name, _, weight)| json!({"name": name, "weight": weight}))
            .collect();
        let mut weights = json!({
            "rule": RULE,
            "backends": backends,
            "traffic": {"proxy": "Traefik", "window": span(window)},
            "share": {"settle": span(window), "within": span(self.pace.within())},
            "limits": {"stepPercent": 50},
            "ejection": {"base": span(base), "returnOver": span(return_over)},
        });
        for (key, value) in law.as_object().into_iter().flatten() {
            weights[key] = value.clone();
        }
        json!({
            "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": ROUTE},
            "spec": {
                "mode": "Enforce",
                "sourceRef": {"name": self.world.namespace},
                "targetRef": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": ROUTE},
                "interval": span(interval),
                "maxAge": span(scrape * 4 + 6),
                "actions": [{
                    "name": "shift", "weights": weights,
                    // A law that goes in steps need not be there after each.
                    "verify": {
                        "settle": span(window), "within": span(self.pace.within()),
                        "expr": format!("{} <= 0.05", self.failing_query()), "onIneffective": "Hold",
                    },
                }],
            },
        })
    }

    /// What is so now, before something is done to the backends.
    pub async fn mark(&self) -> Mark {
        Mark {
            at: Timestamp::now(),
            failed: self.failed().await,
            sequence: self.sequence().await,
        }
    }

    /// When Prometheus first knew of a request that failed after the mark.
    pub async fn visible(&self, mark: &Mark) -> Timestamp {
        self.until("requests that fail are seen", async || {
            (self.failed().await > mark.failed).then(Timestamp::now)
        })
        .await
    }
}

/// What was so at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// How many requests had failed.
    pub failed: f64,
    /// The highest sequence of a Change.
    pub sequence: i64,
}

/// The share of a backend.
#[allow(clippy::cast_precision_loss)] // Small weights.
pub fn part(weights: &BTreeMap<String, i64>, backend: &str) -> f64 {
    let total: i64 = weights.values().sum();
    weights.get(backend).map_or(0.0, |weight| *weight as f64) / total.max(1) as f64
}

/// A sum by backend over its pods, whose names begin with that of their Deployment.
fn by_backend(inner: &str) -> String {
    format!("sum by (backend) (label_replace({inner}, \"backend\", \"$1\", \"pod\", \"(.+)-[^-]+-[^-]+\"))")
}

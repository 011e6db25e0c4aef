//! A route of a scenario, and traffic that goes where its weights say, unless the scenario wants otherwise.

use super::{Answer, World};
use crate::bed::eventually;
use futures::StreamExt;
use kube::{
    ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinHandle;

/// How many requests a second the fake proxy tells of.
pub const RATE: f64 = 5000.0;

/// An HTTPRoute with a rule that is moved, between two that are not.
pub fn route(name: &str, weights: &[(&str, i64)]) -> Value {
    let backends: Vec<Value> = weights
        .iter()
        .map(|(name, weight)| json!({"name": name, "port": 80, "weight": weight}))
        .collect();
    let beside = |path: &str| {
        json!({
            "name": path.trim_start_matches('/'),
            "matches": [{"path": {"type": "PathPrefix", "value": path}}],
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-from", "value": path}]}}],
            "backendRefs": [{"name": "a", "port": 80, "weight": 7}, {"name": "elsewhere", "port": 81, "weight": 3}],
        })
    };
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name},
        "spec": {
            "hostnames": [format!("{name}.example.com")],
            "parentRefs": [{"name": "nowhere"}],
            "rules": [
                beside("/first"),
                {
                    "name": "main",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/"}, "headers": [{"name": "x-kind", "value": "plain"}]}],
                    "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["server"]}}],
                    "timeouts": {"request": "10s"},
                    "backendRefs": backends,
                },
                beside("/last"),
            ],
        },
    })
}

/// A policy that moves the rule `main` of the HTTPRoute `web` over `a`, `b` and `c`, in short times. `law` goes
/// beside what all laws have in common.
pub fn policy(name: &str, source: &str, law: &Value) -> Value {
    let mut weights = json!({
        "rule": "main",
        "backends": [{"name": "a", "weight": 500}, {"name": "b", "weight": 250}, {"name": "c", "weight": 250}],
        "traffic": {"requests": "proxy_requests", "errors": "proxy_errors", "window": "1s"},
        "share": {"settle": "1s", "within": "4s"},
        "limits": {"hold": "1s"},
    });
    for (key, value) in law.as_object().into_iter().flatten() {
        weights[key] = value.clone();
    }
    json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": name},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": source},
            "targetRef": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web"},
            "interval": "1s",
            "maxAge": "10s",
            "yieldFor": "6s",
            "rules": [{"alert": "Slow", "expr": "slow > 0.5"}],
            "signals": [{"name": "utilisation", "expr": "busy", "perBackend": true}],
            "actions": [{
                "name": "shift", "weights": weights,
                "verify": {"settle": "1s", "within": "5s", "expr": "failing <= 0.01"},
            }],
        },
    })
}

/// The same, driven by the rule `Slow`.
pub fn step_policy(name: &str, source: &str) -> Value {
    let mut policy = policy(name, source, &json!({"step": {"points": 15, "after": "2s"}}));
    policy["spec"]["actions"][0]["when"] = json!(["Slow"]);
    policy
}

type Shares = Arc<Mutex<BTreeMap<String, f64>>>;

/// The traffic of the rule `main` of a route. It follows the weights, as the metrics `proxy_requests` and
/// `proxy_errors` of the scenario's Prometheus tell; `failing` is the part of all requests that fails.
pub struct Split {
    shares: Shares,
    broken: Shares,
    stuck: Arc<Mutex<Option<BTreeMap<String, f64>>>>,
    task: JoinHandle<()>,
}

impl Drop for Split {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked<T>(place: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The weights of the rule `main`.
pub fn weights_of(route: &Value) -> BTreeMap<String, i64> {
    let rules = route
        .pointer("/spec/rules")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let main = rules.filter(|rule| rule["name"] == "main");
    main.flat_map(|rule| rule["backendRefs"].as_array().into_iter().flatten())
        .filter_map(|backend| {
            let name = backend["name"].as_str()?.to_owned();
            Some((name, backend["weight"].as_i64().unwrap_or(1)))
        })
        .collect()
}

impl Split {
    /// Traffic over a route that is there.
    pub async fn start(world: &World, route: &str) -> Self {
        let (shares, broken) = (Shares::default(), Shares::default());
        let stuck: Arc<Mutex<Option<BTreeMap<String, f64>>>> = Arc::default();
        let (api, name) = (world.any("gateway.networking.k8s.io/v1", "HTTPRoute"), route.to_owned());
        let seen = Arc::clone(&shares);
        // Watched, not asked for again and again: a sweep has many of these at a time.
        let one = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, one).default_backoff());
            while let Some(event) = events.next().await {
                let Ok(Event::Apply(object) | Event::InitApply(object)) = event else {
                    continue;
                };
                let weights = weights_of(&object.data);
                #[allow(clippy::cast_precision_loss)] // Small weights.
                let total = weights.values().sum::<i64>().max(1) as f64;
                #[allow(clippy::cast_precision_loss)]
                let found = weights.into_iter().map(|(name, weight)| (name, weight as f64 / total));
                *locked(&seen) = found.collect();
            }
        });
        let split = Self {
            shares,
            broken,
            stuck,
            task,
        };
        eventually("the route's weights are seen", async || {
            (!locked(&split.shares).is_empty()).then_some(())
        })
        .await;
        let served = split.served();
        world.prometheus.compute("proxy_requests", move || {
            Answer::Backends(served().into_iter().map(|(name, share)| (name, share * RATE)).collect())
        });
        let (served, broken) = (split.served(), Arc::clone(&split.broken));
        world.prometheus.compute("proxy_errors", move || {
            let broken = locked(&broken).clone();
            let failed = served().into_iter().map(|(name, share)| {
                let part = broken.get(&name).copied().unwrap_or(0.0);
                (name, share * RATE * part)
            });
            Answer::Backends(failed.collect())
        });
        let (served, broken) = (split.served(), Arc::clone(&split.broken));
        world.prometheus.compute("failing", move || {
            let broken = locked(&broken).clone();
            let failed = served()
                .into_iter()
                .map(|(name, share)| share * broken.get(&name).copied().unwrap_or(0.0));
            Answer::Value(failed.sum())
        });
        world.prometheus.value("slow", 0.1);
        split
    }

    fn served(&self) -> impl Fn() -> BTreeMap<String, f64> + Send + Sync + 'static {
        let (shares, stuck) = (Arc::clone(&self.shares), Arc::clone(&self.stuck));
        move || locked(&stuck).clone().unwrap_or_else(|| locked(&shares).clone())
    }

    /// This part of a backend's requests fails from now on.
    pub fn breaks(&self, backend: &str, part: f64) {
        locked(&self.broken).insert(backend.to_owned(), part);
    }

    /// The traffic stays as it is, whatever the weights say, or follows them again.
    pub fn sticks(&self, sticks: bool) {
        let now = locked(&self.shares).clone();
        *locked(&self.stuck) = sticks.then_some(now);
    }
}

impl World {
    /// The weights of the rule `main` of a route.
    pub async fn weights(&self, route: &str) -> BTreeMap<String, i64> {
        let api = self.any("gateway.networking.k8s.io/v1", "HTTPRoute");
        weights_of(&api.get(route).await.expect("the route").data)
    }

    /// Waits until a route has these weights.
    pub async fn weighs(&self, route: &str, expect: &[(&str, i64)]) {
        let expect: BTreeMap<String, i64> = expect
            .iter()
            .map(|(name, weight)| ((*name).to_owned(), *weight))
            .collect();
        eventually(
            &format!("{route} of {} weighs {expect:?}", self.namespace),
            async || (self.weights(route).await == expect).then_some(()),
        )
        .await;
    }

    /// Sets the weights of the rule `main` of a route, as somebody else.
    pub async fn weigh(&self, manager: &str, route: &str, weights: &[i64]) {
        let api = self.any("gateway.networking.k8s.io/v1", "HTTPRoute");
        let operations: Vec<Value> = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| {
                json!({"op": "add", "path": format!("/spec/rules/1/backendRefs/{index}/weight"), "value": weight})
            })
            .collect();
        let patch: json_patch::Patch = serde_json::from_value(json!(operations)).expect("a patch");
        let parameters = kube::api::PatchParams {
            field_manager: Some(manager.to_owned()),
            ..kube::api::PatchParams::default()
        };
        let patch = kube::api::Patch::Json::<()>(patch);
        let written = api
            .patch(route, &parameters, &patch)
            .await
            .expect("the route is written");
        assert_eq!(written.name_any(), route);
    }
}

impl World {
    /// Sets weights where they are others.
    pub async fn weigh_if_needed(&self, route: &str, weights: &[i64]) {
        let found: Vec<i64> = self.weights(route).await.into_values().collect();
        if found != weights {
            self.weigh("kubectl", route, weights).await;
        }
    }

    fn anywhere(&self, object: &Value) -> kube::Api<kube::api::DynamicObject> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = text("/apiVersion")
            .rsplit_once('/')
            .unwrap_or_else(|| ("", text("/apiVersion")));
        let kind = kube::api::GroupVersionKind::gvk(group, version, text("/kind"));
        let mut resource = kube::api::ApiResource::from_gvk(&kind);
        if kind.kind.ends_with('y') {
            resource.plural = format!("{}ies", kind.kind.trim_end_matches('y').to_lowercase());
        }
        kube::Api::all_with(self.bed.client.clone(), &resource)
    }

    /// Makes an object that belongs to no namespace. Whoever makes it removes it.
    pub async fn cluster_wide(&self, object: &Value) {
        let made = serde_json::from_value(object.clone()).expect("an object");
        let api = self.anywhere(object);
        api.create(&kube::api::PostParams::default(), &made)
            .await
            .expect("an object is made");
    }

    /// Removes it again.
    pub async fn remove_cluster_wide(&self, object: &Value) {
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let _ = self
            .anywhere(object)
            .delete(name, &kube::api::DeleteParams::default())
            .await;
    }
}

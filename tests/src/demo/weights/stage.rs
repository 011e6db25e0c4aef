//! What the chapter puts up, looks at and does.

use super::{BACKENDS, HOST, NAME, NAMESPACE, known::Seen};
use crate::demo::{
    children::{must, run},
    error::DemoError,
    manifests::{self, Image, fill},
    place::testbed,
    stage::Stage,
};
use flyball_crds::{Change, FeedbackPolicy};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, ffi::OsStr, time::Duration};

const BACKEND: &str = include_str!("../../../demo/manifests/weights-backend.yaml");
const ROUTE: &str = include_str!("../../../demo/manifests/weights-route.yaml");
const POLICY: &str = include_str!("../../../demo/manifests/policy-weights.yaml");
/// The exit code by which the test bed says that this machine can't.
const UNFIT: i32 = 77;
/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(2);

/// Where the gateway is.
#[derive(Clone, Debug, Deserialize)]
pub struct Gateway {
    /// Where it takes traffic.
    pub url: String,
    /// Host and port of its metrics.
    pub metrics: String,
}

/// The part of the requests that fails: a query.
fn failing() -> String {
    let rate = |more: &str| {
        format!("sum(rate(traefik_router_requests_total{{router=~\"httproute-{NAMESPACE}-{NAME}-gw-.+\"{more}}}[5s]))")
    };
    format!("({} or vector(0)) / {}", rate(",code=~\"5..\""), rate(""))
}

/// Requests a second by backend: a query.
fn served() -> String {
    format!(
        "sum by (backend) (label_replace(rate(traefik_service_requests_total{{service=~\"httproute-{NAMESPACE}-{NAME}-gw-.+\"}}[5s]), \
         \"backend\", \"$1\", \"service\", \".+-svc-{NAMESPACE}-(.+)-[0-9]+@kubernetesgateway\"))"
    )
}

/// The policy of the chapter.
pub fn policy() -> String {
    fill(POLICY, &[("NAMESPACE", NAMESPACE), ("FAILING", &failing())])
}

/// The backends and the route of the chapter.
pub fn objects(image: &Image) -> Vec<String> {
    let mut texts = Vec::new();
    for (name, workers) in BACKENDS {
        let values = [
            ("NAME", name),
            ("NAMESPACE", NAMESPACE),
            ("WORKERS", &workers.to_string()),
            ("IMAGE", &image.name),
            ("PULL", image.pull),
        ];
        texts.push(fill(BACKEND, &values));
    }
    texts.push(fill(ROUTE, &[("NAMESPACE", NAMESPACE), ("HOST", HOST)]));
    texts
}

impl Stage {
    /// Makes the gateway a part of the test bed, if it is none yet. The inner `Err` says why there is none here.
    pub async fn gateway(&mut self) -> Result<Result<Gateway, String>, DemoError> {
        let place = self.place()?;
        if !place.is_bed {
            return Ok(Err(
                "it needs a gateway whose metrics can be read, which the test bed has".to_owned(),
            ));
        }
        let (program, folder) = (testbed(&place.folder), place.folder.clone());
        let dir = [OsStr::new("--dir"), folder.as_os_str()];
        let was_there = self.has_gateway().await?;
        let up = run(&program, &[&["gateway", "up"].map(OsStr::new), dir.as_slice()].concat()).await?;
        if up.code == Some(UNFIT) {
            return Ok(Err(up.last_words().to_owned()));
        }
        let found: Option<Gateway> = serde_json::from_str(up.out.trim()).ok();
        let Some(found) = found.filter(|_| up.code == Some(0)) else {
            return Err(DemoError::Program {
                program: "testbed gateway up".to_owned(),
                reason: up.last_words().to_owned(),
            });
        };
        self.gateway_is_ours = !was_there;
        Ok(Ok(found))
    }

    /// Whether the test bed's gateway is there already.
    async fn has_gateway(&self) -> Result<bool, DemoError> {
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "GatewayClass");
        let classes: Api<DynamicObject> = Api::all_with(self.client()?, &ApiResource::from_gvk(&kind));
        // Without the definition there is none either.
        Ok(classes.get("flyball").await.is_ok())
    }

    /// Takes the gateway away again, if it was put up for the demo.
    pub(in crate::demo) async fn take_gateway(&self) -> Result<(), DemoError> {
        let place = self.place()?;
        let words = ["gateway", "down", "--dir"].map(OsStr::new);
        let args = [words.as_slice(), &[place.folder.as_os_str()]].concat();
        must(&testbed(&place.folder), &args).await.map(|_| ())
    }

    /// Puts up backends, route, Prometheus and source. Answers with the server's URL.
    pub async fn backends(&mut self, gateway: &Gateway) -> Result<String, DemoError> {
        let client = self.client()?;
        self.clear().await?;
        let image = self.image()?;
        manifests::create_all(&client, "namespace.yaml", &manifests::namespace(NAMESPACE)).await?;
        for text in objects(&image) {
            manifests::create_all(&client, NAME, &text).await?;
        }
        let more = ["--target", &gateway.metrics];
        let url = self.prometheus((NAME, NAMESPACE), "1s", &more).await?;
        self.source(NAMESPACE, &url).await?;
        self.ready(NAME, NAMESPACE).await?;
        Ok(url)
    }
}

/// Looks at the chapter, and acts on it.
pub struct Eyes {
    client: Client,
    http: reqwest::Client,
    url: String,
}

impl Eyes {
    /// With the user's own client, and the Prometheus at `url`.
    pub fn new(client: Client, url: String) -> Result<Self, DemoError> {
        let http = reqwest::Client::builder().timeout(LIMIT).no_proxy().build();
        let http = http.map_err(|error| DemoError::InTheWay(format!("no client for Prometheus: {error}")))?;
        Ok(Self { client, http, url })
    }

    /// One look. What has no answer is left out.
    pub async fn look(&self) -> Seen {
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
        let routes: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), NAMESPACE, &ApiResource::from_gvk(&kind));
        let changes: Api<Change> = Api::namespaced(self.client.clone(), NAMESPACE);
        let policies: Api<FeedbackPolicy> = Api::namespaced(self.client.clone(), NAMESPACE);
        let (everything, listed) = (failing(), ListParams::default());
        let (route, changes, policy, failing, by_backend) = tokio::join!(
            routes.get(NAME),
            changes.list(&listed),
            policies.get(NAME),
            self.ask(&everything),
            async { self.ask(&served()).await },
        );
        let route = route.map(|route| route.data).unwrap_or_default();
        let status = policy.ok().and_then(|policy| policy.status);
        Seen {
            weights: weights(&route),
            accepted: ["Accepted", "ResolvedRefs"].iter().all(|kind| holds(&route, kind)),
            served: by_backend,
            failing: failing.into_values().next(),
            changes: changes.map(|list| list.items).unwrap_or_default(),
            doing: status.map(|status| status.doing).unwrap_or_default(),
        }
    }

    /// The finite numbers of an answer, by backend.
    async fn ask(&self, query: &str) -> BTreeMap<String, f64> {
        let answer = async {
            let url =
                reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", query)]).ok()?;
            let bytes = self.http.get(url).send().await.ok()?.bytes().await.ok()?;
            serde_json::from_slice::<Value>(&bytes).ok()
        };
        let answer = answer.await.unwrap_or_default();
        let found = answer.pointer("/data/result").and_then(Value::as_array);
        let number = |element: &Value| {
            let name = element
                .pointer("/metric/backend")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let value: f64 = element.pointer("/value/1")?.as_str()?.parse().ok()?;
            value.is_finite().then(|| (name.to_owned(), value))
        };
        found.into_iter().flatten().filter_map(number).collect()
    }

    /// Sets how fast the pods of a backend work.
    pub async fn speed(&self, backend: &str, factor: &str) -> Result<(), DemoError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let of = ListParams::default().labels(&format!("app={backend}"));
        let pods = pods.list(&of).await.map_err(DemoError::api("list the pods"))?;
        for address in pods.items.iter().filter_map(|pod| pod.status.as_ref()?.pod_ip.clone()) {
            let url = format!("http://{address}:8080/admin/speed?factor={factor}");
            let answer = self.http.post(url).send().await;
            answer.map_err(|error| DemoError::InTheWay(format!("the pod of {backend} does not answer: {error}")))?;
        }
        Ok(())
    }

    /// Sets how many pods a backend has.
    pub async fn scale(&self, backend: &str, replicas: i32) -> Result<(), DemoError> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        let patch = Patch::Merge(serde_json::json!({"spec": {"replicas": replicas}}));
        let scaled = deployments.patch(backend, &PatchParams::default(), &patch).await;
        scaled.map(|_| ()).map_err(DemoError::api(format!("scale {backend}")))
    }
}

fn weights(route: &Value) -> BTreeMap<String, i64> {
    let backends = route.pointer("/spec/rules/0/backendRefs").and_then(Value::as_array);
    let of = |backend: &Value| {
        let name = backend.pointer("/name")?.as_str()?.to_owned();
        Some((name, backend.pointer("/weight")?.as_i64()?))
    };
    backends.into_iter().flatten().filter_map(of).collect()
}

fn holds(route: &Value, kind: &str) -> bool {
    let conditions = route.pointer("/status/parents/0/conditions").and_then(Value::as_array);
    let is = |condition: &Value, key: &str, value: &str| condition.get(key).and_then(Value::as_str) == Some(value);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| is(condition, "type", kind) && is(condition, "status", "True"))
}

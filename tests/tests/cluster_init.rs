//! `flyball init` where people run it: on a real cluster with real pods and a real Prometheus. What it drafts is taken by
//! `flyball check` and by the API server, and the real controller decides by it. What is expected of a draft is worked out by
//! hand from what is there.

#![allow(clippy::unwrap_used, clippy::panic)]

use flyball_crds::{Change, FeedbackPolicy, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually_within, skipped},
    demo::access::Access,
    docs,
    gateway::demo,
    operator,
    processes::{Folder, Prometheus},
    world::{Said, World, condition, objects::with, phase_of},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{process::Command, task::JoinHandle, time::sleep};

const PATIENCE: Duration = Duration::from_secs(120);

/// A service `checkout` of two pods, and whoever drafts.
struct Shop {
    world: World,
    folder: Folder,
    /// The pods' names and addresses.
    pods: Vec<(String, String)>,
    client: reqwest::Client,
}

impl Shop {
    /// The service is ready when this returns; its containers request this.
    async fn open(bed: &Bed, name: &str, requests: Value) -> Self {
        let world = World::new(bed, name).await;
        let [deployment, service] = demo("checkout", 2, &[]);
        let requested = "/spec/template/spec/containers/0/resources";
        world
            .create(&with(deployment, requested, json!({"requests": requests})))
            .await;
        world.create(&service).await;
        let pods = pods(&world, "app=checkout", 2).await;
        Self {
            world,
            folder: Folder::new(),
            pods,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// A Prometheus that scrapes the pods; and requests, without which there is nothing to tell. It can be found by a Service,
    /// through which the API server asks nobody but pods: so its address is that of a pod on the host's network.
    async fn measured(&self, program: &Path, found: bool) -> (Prometheus, Requests) {
        let labels = json!({"app.kubernetes.io/name": "prometheus", "app.kubernetes.io/component": "server"});
        self.world
            .create(&json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "prometheus", "labels": labels},
                "spec": {
                    "hostNetwork": true, "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": "flyball.dev/pause:1", "imagePullPolicy": "Never"}],
                },
            }))
            .await;
        let (_, address) = pods(&self.world, "app.kubernetes.io/name=prometheus", 1)
            .await
            .remove(0);
        let address = address.parse().unwrap();
        let targets: Vec<Value> = (self.pods.iter())
            .map(|(name, ip)| {
                json!({
                    "targets": [format!("{ip}:8080")], "labels": {"namespace": self.world.namespace, "pod": name},
                })
            })
            .collect();
        let scrapes = json!([{"job_name": "checkout", "static_configs": targets}]);
        let prometheus = Prometheus::start(program, address, self.folder.path(), &scrapes);
        if found {
            let (_, port) = prometheus.url.rsplit_once(':').unwrap();
            self.world
                .create(&json!({
                    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "prometheus-server", "labels": labels},
                    "spec": {
                        "selector": labels,
                        "ports": [{"name": "http", "port": 80, "targetPort": port.parse::<u16>().unwrap()}],
                    },
                }))
                .await;
        }
        let source = json!({"url": prometheus.url, "timeout": "2s"});
        self.world.source(&self.world.namespace, source).await;
        let requests = Requests::begin(&self.client, &self.pods);
        eventually_within(PATIENCE, "the requests are counted", async || {
            let rate = format!(
                "sum(rate(http_request_duration_seconds_count{{namespace=\"{}\"}}[5m])) > 0",
                self.world.namespace
            );
            (!prometheus.vector(&rate).await.is_empty()).then_some(())
        })
        .await;
        (prometheus, requests)
    }

    /// Runs `flyball init` with this kubeconfig.
    async fn init(&self, kubeconfig: &Path, more: &[&str]) -> Said {
        let out = Command::new(&self.world.bed.flyball)
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["init", "deployment/checkout", "--namespace", &self.world.namespace])
            .args(["--source", &self.world.namespace])
            .args(more)
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said {
            code: out.status.code().unwrap_or(-1),
            out: text(out.stdout),
            err: text(out.stderr),
        }
    }

    /// What an administrator is drafted, once `flyball check` has taken it: the text, and the policy.
    async fn drafted(&self, more: &[&str]) -> (String, Value) {
        let text = self.init(&self.world.bed.kubeconfig, more).await.done();
        let policy = self.checked(&text).await;
        (text, policy)
    }

    /// The policy of a draft that `flyball check` finds nothing wrong with.
    async fn checked(&self, text: &str) -> Value {
        let file = self.folder.path().join("draft.yaml");
        fs::write(&file, text).unwrap();
        let checked = Command::new(&self.world.bed.flyball).arg("check").arg(&file).output();
        let checked = checked.await.unwrap();
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{said}\n{text}");
        assert!(said.contains("1 policy checked, 0 errors"), "{said}\n{text}");
        let policy: Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(policy["spec"]["mode"], "Recommend");
        assert_eq!(policy["spec"]["sourceRef"]["name"], json!(self.world.namespace));
        policy
    }

    /// Waits until the controller has decided by the draft, all of which it could use.
    async fn decided(&self) -> FeedbackPolicy {
        self.world
            .policy("checkout", "it is evaluated", |policy| {
                let (ready, reason, _) = condition(policy, "Ready")?;
                (ready == "True" && reason == "Evaluating").then(|| policy.clone())
            })
            .await
    }

    /// The step that is recommended.
    async fn recommended(&self) -> Change {
        eventually_within(PATIENCE, "a step is recommended", async || {
            let changes = self.world.changes().await;
            changes
                .into_iter()
                .find(|change| phase_of(change) == Phase::Recommended)
        })
        .await
    }
}

/// The ready pods with these labels: name and address.
async fn pods(world: &World, labels: &str, count: usize) -> Vec<(String, String)> {
    let api: Api<Pod> = Api::namespaced(world.bed.client.clone(), &world.namespace);
    eventually_within(PATIENCE, "the pods are ready", async || {
        let pods = api.list(&ListParams::default().labels(labels)).await.ok()?.items;
        let ready = |pod: &&Pod| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions
                .into_iter()
                .any(|it| it.type_ == "Ready" && it.status == "True")
        };
        let ready: Vec<(String, String)> = (pods.iter().filter(ready))
            .map(|pod| (pod.name_any(), pod.status.as_ref().unwrap().pod_ip.clone().unwrap()))
            .collect();
        (ready.len() == count).then_some(ready)
    })
    .await
}

/// Requests to pods, over and over. They end when this is dropped.
struct Requests(JoinHandle<()>);

impl Requests {
    fn begin(client: &reqwest::Client, pods: &[(String, String)]) -> Self {
        let client = client.clone();
        let urls: Vec<String> = pods.iter().map(|(_, ip)| format!("http://{ip}:8080/")).collect();
        Self(tokio::spawn(async move {
            loop {
                for url in &urls {
                    drop(client.get(url).send().await);
                }
                sleep(Duration::from_millis(100)).await;
            }
        }))
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Somebody with the cluster's role `edit` in the namespace, and what the installation adds to it: their kubeconfig.
async fn alice(shop: &Shop) -> PathBuf {
    let namespace = &shop.world.namespace;
    let text = fs::read_to_string(docs::root().join("deploy/manifests/roles.yaml")).unwrap();
    let roles: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect();
    let granted: Vec<Value> = (roles.iter())
        .filter(|role| role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true")
        .flat_map(|role| role["rules"].as_array().unwrap().clone())
        .collect();
    assert_eq!(granted.len(), 2, "{roles:?}");
    let world = &shop.world;
    world
        .create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "alice"}}))
        .await;
    world
        .create(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "flyball-edit"}, "rules": granted,
        }))
        .await;
    for (kind, name) in [("ClusterRole", "edit"), ("Role", "flyball-edit")] {
        world
            .create(&json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": format!("alice-{name}")},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": "alice", "namespace": namespace}],
            }))
            .await;
    }
    let file = shop.folder.path().join("alice.kubeconfig");
    let access = Access::open(Some(&world.bed.kubeconfig)).await.unwrap();
    access.write_for(namespace, "alice", &file).await.unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_autoscaler_is_drafted_as_it_is_and_left_in_its_place() {
    let Some(bed) = bed().await else { return };
    let shop = Shop::open(&bed, "init-hpa", json!({"cpu": "50m"})).await;
    let Some(metrics) = bed.testbed(&["metrics", "up"]).await else {
        return;
    };
    let url = format!("{}/namespaces/{}", metrics.trim(), shop.world.namespace);
    let uses = async |pods: &[(String, String)], cpu: &str| {
        let usage = |(name, _): &(String, String)| {
            let containers = json!({"demo": {"cpu": cpu}});
            let pod = json!({"labels": {"app": "checkout"}, "window": "1s", "containers": containers});
            (name.clone(), pod)
        };
        let usage: serde_json::Map<String, Value> = pods.iter().map(usage).collect();
        let request = shop.client.request(Method::PUT, &url);
        let answer = request.body(json!({"pods": usage}).to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    };
    uses(&shop.pods, "45m").await;
    let cpu = json!({"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60},
    }});
    shop.world
        .create(&json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "checkout"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
                "minReplicas": 2, "maxReplicas": 9, "metrics": [cpu],
            },
        }))
        .await;

    let (text, policy) = shop.drafted(&[]).await;
    let replicas = &policy["spec"]["actions"][0]["replicas"];
    let bounds = (&replicas["min"], &replicas["max"]);
    assert_eq!(bounds, (&json!(2), &json!(9)), "{text}");
    let metric = &replicas["metrics"]["list"][0];
    assert_eq!(metric["resource"]["name"], "cpu", "{text}");
    assert_eq!(metric["target"], json!({"utilization": 60}), "{text}");

    // 45 of 50 are 90 %; 2 * 90 / 60 = 3. While the autoscaler is there the policy leaves it to that.
    let three = pods(&shop.world, "app=checkout", 3).await;
    shop.world.apply(&policy).await;
    let _controller = shop.world.controller("one");
    let left = shop.world.policy("checkout", "it is left to the autoscaler", |policy| {
        let (_, reason, message) = condition(policy, "Ready")?;
        (reason == "OwnershipConflict").then_some(message)
    });
    let left = left.await;
    assert!(left.contains("HorizontalPodAutoscaler checkout"), "{left}");

    // Without it the policy asks for what it would have: 60 of 50 are 120 %; 3 * 120 / 60 = 6.
    let autoscalers = shop.world.any("autoscaling/v2", "HorizontalPodAutoscaler");
    autoscalers.delete("checkout", &DeleteParams::default()).await.unwrap();
    uses(&three, "60m").await;
    let step = shop.recommended().await;
    assert_eq!((step.spec.before, step.spec.after), (3, 6));
    shop.decided().await;
    assert_eq!(
        shop.world.replicas("Deployment", "checkout").await,
        3,
        "nothing is written"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_on_the_workload_is_drafted_with_its_opposite() {
    let Some(bed) = bed().await else { return };
    let Some(program) = bed.prometheus.clone() else {
        return skipped("no FLYBALL_PROMETHEUS (make test-cluster)").unwrap_or_default();
    };
    let shop = Shop::open(&bed, "init-alert", json!({})).await;
    let (prometheus, _requests) = shop.measured(&program, false).await;
    // The Services of scenarios beside this one are found, too.
    let at = ["--prometheus", prometheus.url.as_str()];
    operator::install(&bed).await;
    // 100 ms are worked on each request, so it fires.
    let rate = |suffix: &str| {
        let series = format!("http_request_duration_seconds_{suffix}");
        format!(
            "sum(rate({series}{{namespace=\"{}\", job=\"checkout\"}}[1m]))",
            shop.world.namespace
        )
    };
    let mean = format!("{} / {}", rate("sum"), rate("count"));
    shop.world
        .create(&json!({
            "apiVersion": operator::API, "kind": "PrometheusRule", "metadata": {"name": "alerts"},
            "spec": {"groups": [{"name": "latency", "rules": [
                {"alert": "Elsewhere", "expr": "sum(rate(http_request_duration_seconds_sum{job=\"cart\"}[1m])) > 1"},
                {"alert": "SlowCheckout", "expr": format!("{mean} > 0.01"), "labels": {"severity": "warning"}},
            ]}]},
        }))
        .await;

    let (text, policy) = shop.drafted(&at).await;
    let spec = &policy["spec"];
    assert_eq!(
        spec["prometheusRuleRef"],
        json!({"name": "alerts", "group": "latency"}),
        "{text}"
    );
    let action = &spec["actions"][0];
    assert_eq!(action["when"], json!(["SlowCheckout"]), "{text}");
    // As few as now, and twice as many.
    assert_eq!(
        (&action["replicas"]["min"], &action["replicas"]["max"]),
        (&json!(2), &json!(4)),
        "{text}"
    );
    assert_eq!(action["verify"]["expr"], json!(format!("({mean}) <= 0.01")), "{text}");
    // How long pods took to be ready, in whole seconds, which may be none; and a range of a minute; then at least four more.
    let times = if text.contains("a pod takes 0s to be ready") {
        ["1m", "5m"]
    } else {
        ["1m30s", "5m30s"]
    };
    assert_eq!(
        [&action["verify"]["settle"], &action["verify"]["within"]],
        [&json!(times[0]), &json!(times[1])],
        "{text}"
    );

    // By whom PrometheusRules may not be read, says so, and has a draft by what they may read.
    let hers = shop.init(&alice(&shop).await, &at).await.done();
    let said = hers.replace("\n#   ", " ");
    assert!(
        said.contains("PrometheusRules were not looked at: no right to list prometheusrules"),
        "{hers}"
    );
    assert!(
        shop.checked(&hers).await["spec"]["prometheusRuleRef"].is_null(),
        "{hers}"
    );

    shop.world.apply(&policy).await;
    let _controller = shop.world.controller("one");
    // Half of two is one.
    let step = shop.recommended().await;
    assert_eq!((step.spec.before, step.spec.after), (2, 3));
    let decided = shop.decided().await;
    assert_eq!(decided.status.unwrap().alerts, "SlowCheckout firing");
    assert_eq!(
        shop.world.replicas("Deployment", "checkout").await,
        2,
        "nothing is written"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_which_only_prometheus_knows_is_drafted_by_its_requests() {
    let Some(bed) = bed().await else { return };
    let Some(program) = bed.prometheus.clone() else {
        return skipped("no FLYBALL_PROMETHEUS (make test-cluster)").unwrap_or_default();
    };
    let shop = Shop::open(&bed, "init-load", json!({})).await;
    let (_prometheus, _requests) = shop.measured(&program, true).await;
    let namespace = shop.world.namespace.clone();
    let matchers = format!("{{namespace=\"{namespace}\", job=\"checkout\"}}");
    let expected = |text: &str, policy: &Value| {
        let said = text.replace("\n#   ", " ");
        assert!(
            said.contains(&format!(
                "Prometheus was asked at http://prometheus-server.{namespace}:80"
            )),
            "{text}"
        );
        let action = &policy["spec"]["actions"][0];
        assert_eq!(
            (&action["replicas"]["min"], &action["replicas"]["max"]),
            (&json!(2), &json!(4)),
            "{text}"
        );
        let signal = &policy["spec"]["signals"][0];
        let count = format!("sum(rate(http_request_duration_seconds_count{matchers}[5m]))");
        assert_eq!(signal["expr"], json!(count), "{text}");
        let metric = &action["replicas"]["metrics"]["list"][0];
        assert_eq!(metric["signal"], signal["name"], "{text}");
        // A half of the rate, up to the next number of two digits.
        let (before, _) = said.split_once(" requests per second over 2 pods now").unwrap();
        let rate: f64 = before.rsplit_once(' ').unwrap().1.parse().unwrap();
        let each = metric["target"]["averageValue"].as_f64().unwrap();
        assert!(
            rate > 0.0 && each >= rate / 2.0 * 0.9999 && each <= rate / 2.0 * 1.1001,
            "{text}"
        );
        let mean = format!("sum(rate(http_request_duration_seconds_sum{matchers}[5m])) / {count} <= ");
        let verify = &action["verify"];
        let limit: f64 = verify["expr"]
            .as_str()
            .unwrap()
            .strip_prefix(&mean)
            .unwrap()
            .parse()
            .unwrap();
        // Twice the mean, likewise; each request is worked on for 100 ms.
        let (_, rest) = said.split_once("twice the mean latency of now, ").unwrap();
        let mean: f64 = rest.split_once(' ').unwrap().0.parse().unwrap();
        assert!(
            mean >= 0.1 && limit >= mean * 1.9999 && limit <= mean * 2.2001,
            "{text}"
        );
        assert_eq!(
            (&verify["settle"], &verify["within"]),
            (&json!("5m30s"), &json!("10m30s")),
            "{text}"
        );
        assert_eq!(verify["demand"]["signal"], signal["name"], "{text}");
    };
    let (text, policy) = shop.drafted(&[]).await;
    expected(&text, &policy);

    // The same by somebody with `edit` in this namespace alone, who creates it, too.
    let hers = shop.init(&alice(&shop).await, &["--apply"]).await;
    assert!(hers.err.contains("was created"), "{}", hers.err);
    let hers = hers.done();
    expected(&hers, &shop.checked(&hers).await);
    let said = hers.replace("\n#   ", " ");
    assert!(
        said.contains("Prometheus was looked for in this namespace only"),
        "{hers}"
    );
    let _controller = shop.world.controller("one");
    shop.decided().await;
    assert_eq!(
        shop.world.replicas("Deployment", "checkout").await,
        2,
        "nothing is written"
    );
}

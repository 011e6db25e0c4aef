//! Releases of the chart, installed by the real helm on the test bed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc)] // What is missing here ends a test, and says so.

use crate::{
    bed::{Bed, skipped, unique},
    rights::Right,
    world::{World, objects},
};
use flyball_crds::FeedbackPolicy;
use k8s_openapi::api::{authorization::v1::SubjectAccessReview, core::v1::Namespace, discovery::v1::EndpointSlice};
use kube::{Api, Client, api::PostParams};
use serde_json::json;
use std::{
    env,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

/// A release in a namespace of its own. It is uninstalled when this is dropped.
pub struct Release {
    bed: Bed,
    helm: PathBuf,
    /// Of the release, and of all that it makes.
    pub name: String,
    /// Where it is.
    pub namespace: String,
}

impl Drop for Release {
    fn drop(&mut self) {
        drop(self.helm(&["uninstall", &self.name, "--no-hooks", "--ignore-not-found"]));
        drop(self.command("kubectl", &["delete", "namespace", &self.namespace, "--wait=false"]));
    }
}

/// The folder of the test bed.
pub fn testbed() -> PathBuf {
    env::var_os("FLYBALL_TESTBED_DIR").map(PathBuf::from).unwrap()
}

/// The folder of the chart.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/flyball")
}

impl Release {
    /// A name and a namespace that takes no pod but a restricted one.
    pub async fn new(bed: &Bed) -> Option<Self> {
        let Some(helm) = env::var_os("FLYBALL_HELM").map(PathBuf::from) else {
            return skipped("no FLYBALL_HELM (make test-cluster)");
        };
        let name = format!("flyball-{}", unique());
        let restricted = json!({"metadata": {
            "name": name,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }});
        let namespaces: Api<Namespace> = Api::all(bed.client.clone());
        let namespace = serde_json::from_value(restricted).unwrap();
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
        Some(Self {
            bed: bed.clone(),
            helm,
            namespace: name.clone(),
            name,
        })
    }

    /// Runs one of the programs of the bed.
    pub fn command(&self, program: &str, words: &[&str]) -> Result<String, String> {
        let program = match program {
            "helm" => self.helm.clone(),
            other => testbed().join("bin").join(other),
        };
        let done = Command::new(program)
            .args(words)
            .env("KUBECONFIG", &self.bed.kubeconfig)
            .output()
            .map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if done.status.success() {
            Ok(text(&done.stdout))
        } else {
            Err(format!("{}{}", text(&done.stdout), text(&done.stderr)))
        }
    }

    /// Runs helm in the release's namespace.
    pub fn helm(&self, words: &[&str]) -> Result<String, String> {
        self.command("helm", &[words, &["--namespace", &self.namespace]].concat())
    }

    /// Installs it, or upgrades it, and waits until it runs.
    pub fn install(&self, settings: &[&str]) -> String {
        // The definitions are there already, by whoever brought the bed up.
        let own = ["image.tag=dev", "replicas=1", "crds.enabled=false"];
        self.install_chart(&chart(), &[&own, settings].concat())
    }

    /// The same with another chart, or another image.
    pub fn install_chart(&self, chart: &Path, settings: &[&str]) -> String {
        let mut words = vec!["upgrade", "--install", &self.name, chart.to_str().unwrap()];
        words.extend(["--wait", "--timeout", "2m", "--take-ownership"]);
        for setting in ["image.pullPolicy=Never"].iter().chain(settings) {
            words.extend(["--set", setting]);
        }
        self.helm(&words).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What an administrator reads, who is told by the Deployment what it does without on purpose.
    pub fn doctor(&self) -> String {
        let done = Command::new(&self.bed.flyball)
            .args(["doctor", "--namespace-of-controller", &self.namespace])
            .env("KUBECONFIG", &self.bed.kubeconfig)
            .output()
            .unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Its own test ran, and ended well: the controller has the rights that it needs.
    pub fn tested(&self, controller: &str) {
        let tested = self.helm(&["test", &self.name, "--logs", "--timeout", "1m"]);
        let tested = tested.unwrap_or_else(|error| panic!("{error}"));
        assert!(tested.contains("Succeeded"), "{tested}");
        let mut lines = tested.lines();
        let given = lines.any(|line| line.contains(controller) && line.contains("may do all that is needed"));
        assert!(given, "{tested}");
    }

    /// Who its controller is.
    pub fn user(&self, controller: &str) -> String {
        format!("system:serviceaccount:{}:{controller}", self.namespace)
    }

    /// Whether an account may do something.
    pub async fn may(&self, user: &str, verb: &str, (group, resource): (&str, &str), namespace: Option<&str>) -> bool {
        let right = Right {
            verb,
            group,
            resource,
            name: None,
            namespace: namespace.unwrap_or_default(),
        };
        let api: Api<SubjectAccessReview> = Api::all(self.bed.client.clone());
        api.create(&PostParams::default(), &right.of(user))
            .await
            .unwrap()
            .status
            .unwrap()
            .allowed
    }

    /// Whether it may write any target.
    pub async fn writes(&self, user: &str, namespace: Option<&str>) -> Vec<String> {
        const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
        const TARGETS: [(&str, &str); 11] = [
            ("apps", "deployments"),
            ("apps", "deployments/scale"),
            ("apps", "statefulsets"),
            ("apps", "statefulsets/scale"),
            ("apps", "replicasets"),
            ("gateway.networking.k8s.io", "httproutes"),
            ("gateway.networking.k8s.io", "grpcroutes"),
            ("", "pods"),
            ("", "pods/resize"),
            ("", "pods/eviction"),
            ("", "namespaces"),
        ];
        let mut found = Vec::new();
        for target in TARGETS {
            for verb in WRITES {
                if self.may(user, verb, target, namespace).await {
                    found.push(format!("{verb} {}", target.1));
                }
            }
        }
        found
    }
}

/// An address of this machine that pods reach: that of the API server.
pub async fn reachable(bed: &Bed) -> IpAddr {
    let api: Api<EndpointSlice> = Api::namespaced(bed.client.clone(), "default");
    let slice = api.get("kubernetes").await.unwrap();
    slice.endpoints[0].addresses[0].parse().unwrap()
}

/// A world whose Prometheus pods reach, with two replicas that a latency above half a second moves.
pub async fn world(bed: &Bed, name: &str) -> World {
    let world = World::new(bed, name).await;
    let url = world.prometheus.at(reachable(bed).await).await;
    world
        .source(&world.namespace, json!({"url": url, "timeout": "2s"}))
        .await;
    world.web(2).await;
    world
}

/// A client of somebody else.
pub fn client_of(bed: &Bed, user: &str) -> Client {
    let mut config = bed.config.clone();
    config.auth_info.impersonate = Some(user.to_owned());
    Client::try_from(config).unwrap()
}

/// The policy of such a world.
pub fn policy(world: &World) -> FeedbackPolicy {
    serde_json::from_value(objects::policy("web", &world.namespace)).unwrap()
}

//! The metrics APIs of the test bed, whose values a test sets.

use crate::bed::Bed;
use reqwest::{Client, Method};
use serde::Serialize;
use std::{collections::BTreeMap, process::Stdio, time::Duration};
use tokio::{process::Command, sync::OnceCell};

/// Amounts by resource (`cpu`, `memory`), as Kubernetes writes quantities.
pub type Resources = BTreeMap<String, String>;

/// The metrics of one namespace. Quantities are texts such as `250m`, `64Mi` or `12`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Values {
    /// By the pod's name.
    pub pods: BTreeMap<String, PodValues>,
    /// Custom metrics of pods: metric, then pod. Each pod must be in `pods`, with the labels by which it is selected.
    pub custom: BTreeMap<String, BTreeMap<String, String>>,
    /// Custom metrics of objects: metric, then `services/web`, `fleets.test.flyball.dev/web` or `namespaces/shop`.
    pub objects: BTreeMap<String, BTreeMap<String, String>>,
    /// External metrics: metric, then its series.
    pub external: BTreeMap<String, Vec<Series>>,
}

/// What the metrics APIs know of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PodValues {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When its use was measured, as RFC 3339; the time of the answer if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Over how long, such as `30s`, which is what it is if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Its use by container. `None`: it has not been measured, and is not in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<BTreeMap<String, Resources>>,
}

/// One series of an external metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Series {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: String,
}

impl Series {
    /// A series without labels.
    pub fn of(value: &str) -> Self {
        Self {
            value: value.to_owned(),
            ..Self::default()
        }
    }

    /// The same with a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Values {
    /// Puts in the values of another. An entry that it has replaces the present one.
    pub fn extend(&mut self, more: Self) {
        self.pods.extend(more.pods);
        self.external.extend(more.external);
        for (metric, values) in more.custom {
            self.custom.entry(metric).or_default().extend(values);
        }
        for (metric, values) in more.objects {
            self.objects.entry(metric).or_default().extend(values);
        }
    }
}

/// The APIs `metrics.k8s.io`, `custom.metrics.k8s.io` and `external.metrics.k8s.io`. All tests of a bed share
/// them, each in namespaces of its own; they end with the bed.
#[derive(Clone)]
pub struct MetricsApi {
    url: String,
    client: Client,
}

impl MetricsApi {
    /// Makes them a part of the cluster, if they are none yet. Needs the test bed's binary.
    pub async fn start(bed: &Bed) -> Self {
        static URL: OnceCell<String> = OnceCell::const_new();
        Self::at(URL.get_or_init(|| Self::up(bed)).await)
    }

    fn at(url: &str) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build();
        Self {
            url: url.to_owned(),
            client: client.expect("a client"),
        }
    }

    /// The same with connections of its own, for another runtime.
    pub(super) fn anew(&self) -> Self {
        Self::at(&self.url)
    }

    async fn up(bed: &Bed) -> String {
        let testbed = bed.testbed.as_ref().expect("FLYBALL_TESTBED is the test bed's binary");
        let out = Command::new(testbed)
            .args(["metrics", "up"])
            .stdin(Stdio::null())
            .output()
            .await
            .expect("the test bed's binary runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "no metrics APIs: {said}");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Sets all values of a namespace: what is not among them is no longer known.
    pub async fn set(&self, namespace: &str, values: &Values) {
        self.send(Method::PUT, namespace, written(values)).await;
    }

    /// Adds values to those of a namespace. An entry that is there already is replaced.
    pub async fn add(&self, namespace: &str, values: &Values) {
        self.send(Method::PATCH, namespace, written(values)).await;
    }

    /// Forgets a namespace.
    pub async fn clear(&self, namespace: &str) {
        self.send(Method::DELETE, namespace, String::new()).await;
    }

    async fn send(&self, method: Method, namespace: &str, body: String) {
        let request = self
            .client
            .request(method, format!("{}/namespaces/{namespace}", self.url))
            .body(body);
        let answer = request.send().await.expect("the metrics APIs run");
        let status = answer.status();
        let said = answer.text().await.unwrap_or_default();
        assert!(
            status.is_success(),
            "the values of {namespace} are refused: {status} {said}"
        );
    }
}

fn written(values: &Values) -> String {
    serde_json::to_string(values).expect("values are JSON")
}

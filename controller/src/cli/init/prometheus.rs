//! Where Prometheus is, and what it knows of a workload.

use super::draft::Load;
use crate::{
    cli::fetch::Connection,
    client::{READ_LIMIT, within},
    observe::{
        envelope::{self, Answer},
        source::Source,
    },
};
use flyball_core::{signal::Labels, time::Timestamp};
use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::util::intstr::IntOrString};
use kube::ResourceExt;
use tokio::time::Instant;

/// What it is, the labels of its Service, and a path in front of the API.
type Known = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// Labels of the Services in front of Prometheus and of what answers as it does, as their usual charts and operators
/// set them; the first that is found is taken.
const KNOWN: &[Known] = &[
    ("Prometheus", &[("app", "kube-prometheus-stack-prometheus")], ""),
    ("Prometheus", &[("app", "prometheus"), ("component", "server")], ""),
    (
        "Prometheus",
        &[
            ("app.kubernetes.io/name", "prometheus"),
            ("app.kubernetes.io/component", "server"),
        ],
        "",
    ),
    ("Prometheus", &[("app", "prometheus-server")], ""),
    ("Prometheus", &[("app", "prometheus-operator-prometheus")], ""),
    ("Prometheus", &[("app", "rancher-monitoring-prometheus")], ""),
    ("Prometheus", &[("app", "prometheus-prometheus")], ""),
    ("Prometheus", &[("operated-prometheus", "true")], ""),
    (
        "Thanos",
        &[
            ("app.kubernetes.io/name", "thanos"),
            ("app.kubernetes.io/component", "query"),
        ],
        "",
    ),
    ("Thanos", &[("app.kubernetes.io/name", "thanos-query")], ""),
    ("Thanos", &[("app", "thanos-query")], ""),
    ("VictoriaMetrics", &[("app.kubernetes.io/name", "vmsingle")], ""),
    (
        "VictoriaMetrics",
        &[("app.kubernetes.io/name", "victoria-metrics-single")],
        "",
    ),
    (
        "VictoriaMetrics",
        &[("app.kubernetes.io/name", "vmselect")],
        "/select/0/prometheus",
    ),
    ("VictoriaMetrics", &[("app", "vmselect")], "/select/0/prometheus"),
];
/// Names of ports that serve the API, the best first.
const PORTS: &[&str] = &["http-web", "web", "http", "https-web", "https"];
/// Labels that name a workload, the best first.
const LABELS: &[&str] = &[
    "service",
    "app",
    "job",
    "deployment",
    "workload",
    "container",
    "app_kubernetes_io_name",
];

/// A Service that answers as Prometheus does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it is.
    pub product: &'static str,
    /// The Service's namespace.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// Its port.
    pub port: i32,
    /// Whether it speaks TLS, by the name of its port.
    pub tls: bool,
    /// The path in front of the API.
    pub prefix: &'static str,
}

impl Server {
    /// As a MetricSource names it.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!(
            "{scheme}://{}.{}:{}{}",
            self.service, self.namespace, self.port, self.prefix
        )
    }

    /// The API server's way to it.
    fn path(&self, query: &str, at: Timestamp) -> Option<String> {
        let scheme = if self.tls { "https:" } else { "" };
        let mut url = reqwest::Url::parse("http://api/").ok()?;
        url.query_pairs_mut()
            .append_pair("query", query)
            .append_pair("time", &(at.as_millis().div_euclid(1000)).to_string());
        Some(format!(
            "/api/v1/namespaces/{}/services/{scheme}{}:{}/proxy{}/api/v1/query?{}",
            self.namespace,
            self.service,
            self.port,
            self.prefix,
            url.query()?
        ))
    }
}

/// The servers among these Services, the best first.
pub fn find(services: &[Service]) -> Vec<Server> {
    let mut found: Vec<Server> = Vec::new();
    for (product, labels, prefix) in KNOWN {
        for service in services {
            let has = |(label, value): &(&str, &str)| service.labels().get(*label).is_some_and(|is| is == value);
            let Some((port, tls)) = port(service).filter(|_| labels.iter().all(has)) else {
                continue;
            };
            let server = Server {
                product,
                namespace: service.namespace().unwrap_or_default(),
                service: service.name_any(),
                port,
                tls,
                prefix,
            };
            let known = |known: &Server| (&known.namespace, &known.service) == (&server.namespace, &server.service);
            if !found.iter().any(known) {
                found.push(server);
            }
        }
    }
    found
}

/// The port that serves the API, and whether by TLS.
fn port(service: &Service) -> Option<(i32, bool)> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let named = |name: &&str| ports.iter().find(|port| port.name.as_deref() == Some(*name));
    let port = PORTS.iter().find_map(named).or_else(|| ports.first())?;
    let name = port.name.as_deref().unwrap_or_default();
    let tls = name.starts_with("https") || port.target_port == Some(IntOrString::String("https".to_owned()));
    Some((port.port, tls))
}

/// How a server is asked.
pub enum Way<'a> {
    /// Through the API server.
    Proxy(&'a Connection, Server),
    /// At its URL.
    Direct(Box<Source>),
}

impl Way<'_> {
    /// Asks for a vector; an error is why there is none.
    pub async fn ask(&self, query: &str, at: Timestamp) -> Result<Answer, String> {
        match self {
            Self::Direct(source) => source.instant(query, at).await.map_err(|error| error.to_string()),
            Self::Proxy(connection, server) => {
                let path = server.path(query, at).ok_or("the query can't be written into a path")?;
                let request = http::Request::get(path)
                    .body(Vec::new())
                    .map_err(|error| error.to_string())?;
                let answer = within(
                    Instant::now() + READ_LIMIT,
                    connection.clients.read.request_text(request),
                )
                .await;
                let text = answer.map_err(|error| error.to_string())?;
                envelope::read(text.as_bytes(), at).map_err(|error| error.to_string())
            }
        }
    }

    /// The workload's latencies; `Ok(None)`: there are none that name it.
    pub async fn load(&self, namespace: &str, workload: &str, at: Timestamp) -> Result<Option<Load>, String> {
        let quoted = namespace.replace(['\\', '"'], "");
        let by = LABELS.join(", ");
        let query = format!("group by (__name__, {by}) ({{__name__=~\".+_seconds_bucket\", namespace=\"{quoted}\"}})");
        let answer = self.ask(&query, at).await?;
        let series: Vec<_> = answer.samples.into_iter().map(|sample| sample.labels).collect();
        let Some(mut load) = pick(&series, workload) else {
            return Ok(None);
        };
        load.mean = self.one(&load.latency(namespace), at).await?;
        load.rate = self.one(&load.requests(namespace), at).await?;
        Ok(Some(load))
    }

    async fn one(&self, query: &str, at: Timestamp) -> Result<Option<f64>, String> {
        let answer = self.ask(query, at).await?;
        Ok(answer
            .samples
            .first()
            .map(|sample| sample.value)
            .filter(|value| value.is_finite()))
    }
}

/// The histogram of the workload's requests: one of which a label is its name. Those that servers keep come before those
/// that clients do, and the order of labels decides between two.
pub fn pick(series: &[Labels], workload: &str) -> Option<Load> {
    let rank = |histogram: &str| {
        let words = ["request", "http", "server"];
        let likely = words.iter().filter(|word| histogram.contains(**word)).count();
        (histogram.contains("client"), words.len() - likely, histogram.to_owned())
    };
    let candidates = series.iter().filter_map(|labels| {
        let histogram = labels.get("__name__")?.strip_suffix("_bucket")?;
        let index = LABELS
            .iter()
            .position(|label| labels.get(*label).is_some_and(|value| value == workload))?;
        Some((index, histogram))
    });
    let (index, histogram) = candidates.min_by_key(|(index, histogram)| (rank(histogram), *index))?;
    Some(Load {
        histogram: histogram.to_owned(),
        label: LABELS[index].to_owned(),
        value: workload.to_owned(),
        mean: None,
        rate: None,
    })
}

/// Whether an expression is about the workload: a matcher says so, and none says it is about another namespace.
pub fn concerns(equal: &[(String, String)], namespace: &str, workload: &str) -> bool {
    let mut of_namespace = equal.iter().filter(|(label, _)| label == "namespace");
    let names = |(label, value): &(String, String)| LABELS.contains(&label.as_str()) && value == workload;
    of_namespace.all(|(_, value)| value == namespace) && equal.iter().any(names)
}

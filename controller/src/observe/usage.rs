//! What the pods of a target use, as metrics.k8s.io tells it.

use crate::{
    client::{CallError, CallKind, chain, within},
    observe::{quantity::milli, wire::key},
};
use flyball_core::{
    decide::{PodUsage, Pods, Usage},
    policy::{Law, Measure, PodNumbers, Policy, ResourceOf},
    time::{Span, Timestamp},
};
use jiff::SignedDuration;
use kube::Client;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// How long a read may take: a pass waits for it.
const LIMIT: Duration = Duration::from_secs(5);

/// The pods' metrics of one answer.
#[derive(Debug, Default, Deserialize)]
struct List {
    #[serde(default)]
    items: Vec<PodMetrics>,
}

/// What one pod uses.
#[derive(Debug, Deserialize)]
struct PodMetrics {
    metadata: Name,
    timestamp: jiff::Timestamp,
    window: String,
    #[serde(default)]
    containers: Vec<ContainerMetrics>,
}

#[derive(Debug, Deserialize)]
struct Name {
    name: String,
}

#[derive(Debug, Deserialize)]
struct ContainerMetrics {
    name: String,
    #[serde(default)]
    usage: BTreeMap<String, String>,
}

/// The resources whose usage some metric of the policy reads.
pub fn asked(policy: &Policy) -> BTreeSet<ResourceOf> {
    let laws = policy.actions.iter().filter_map(|action| match &action.law {
        Law::Metrics(metrics) => Some(&metrics.list),
        Law::Step(_) => None,
    });
    laws.flatten()
        .filter_map(|metric| match &metric.measure {
            Measure::Pods {
                of: PodNumbers::Usage(resource),
                ..
            } => Some(resource.clone()),
            _ => None,
        })
        .collect()
}

/// Reads what the pods use of these resources. Nothing is asked where nothing is needed.
///
/// The API finds pods by labels only; what belongs to another owner is left out here.
pub async fn of(
    client: &Client,
    namespace: &str,
    selector: Option<&str>,
    pods: Option<&Pods>,
    resources: BTreeSet<ResourceOf>,
) -> BTreeMap<ResourceOf, Usage> {
    if resources.is_empty() {
        return BTreeMap::new();
    }
    let read = Box::pin(read(client, namespace, selector, pods)).await;
    let each = |resource: ResourceOf| {
        let usage = match &read {
            Ok(list) => usage(list, &resource),
            Err(why) => Err(why.clone()),
        };
        (resource, usage)
    };
    resources.into_iter().map(each).collect()
}

async fn read(client: &Client, namespace: &str, selector: Option<&str>, pods: Option<&Pods>) -> Result<List, String> {
    let selector = selector.ok_or("the target has no label selector by which metrics.k8s.io could be asked")?;
    let pods = pods.ok_or("the target's pods are not known; see flyball doctor")?;
    let mut path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector=");
    path.extend(percent_encoded(selector));
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| error.to_string())?;
    let answer = within(Instant::now() + LIMIT, client.request::<List>(request)).await;
    let mut list = answer.map_err(|error| failed(&error))?;
    let ours: BTreeSet<&str> = pods.0.iter().map(|pod| pod.name.as_str()).collect();
    list.items.retain(|item| ours.contains(item.metadata.name.as_str()));
    if list.items.is_empty() {
        return Err("metrics.k8s.io tells of none of the target's pods".to_owned());
    }
    Ok(list)
}

/// As HPA reads it: the containers of a pod are summed, and a pod is left out where one of them lacks the
/// resource. Where one container is meant, every pod must have it.
fn usage(list: &List, resource: &ResourceOf) -> Usage {
    let mut usage = BTreeMap::new();
    for item in &list.items {
        let (name, containers) = (&item.metadata.name, &item.containers);
        let used = |container: &ContainerMetrics| milli(container.usage.get(key(resource.resource))?);
        let milli = match &resource.container {
            None if containers.is_empty() => None,
            None => containers
                .iter()
                .try_fold(0_i64, |sum, container| Some(sum.saturating_add(used(container)?))),
            Some(wanted) => {
                let found = containers.iter().find(|container| container.name == *wanted);
                used(found.ok_or_else(|| format!("pod {name} has no container {wanted}"))?)
            }
        };
        if let Some(milli) = milli {
            let pod = PodUsage {
                milli,
                at: Timestamp::from_millis(item.timestamp.as_millisecond()),
                window: window(&item.window)
                    .ok_or_else(|| format!("pod {name} has the window {:?}, which is no duration", item.window))?,
            };
            usage.insert(name.clone(), pod);
        }
    }
    Ok(usage)
}

/// A duration as Go writes it, such as `15.5s` or `1m0s`.
fn window(text: &str) -> Option<Span> {
    let duration: SignedDuration = text.parse().ok()?;
    u64::try_from(duration.as_millis()).ok().map(Span::from_millis)
}

/// What may not stand in a query as it is.
fn percent_encoded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.bytes().flat_map(|byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let text = if plain {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        };
        text.chars().collect::<Vec<_>>()
    })
}

fn failed(error: &CallError) -> String {
    match error.kind() {
        CallKind::NotFound => {
            "the API metrics.k8s.io is not installed; install metrics-server, or measure by PromQL".to_owned()
        }
        CallKind::Forbidden => "no right to list pods of metrics.k8s.io; see flyball doctor".to_owned(),
        CallKind::Lost => format!("no answer from metrics.k8s.io within {} s", LIMIT.as_secs()),
        // An aggregated API whose server is away is answered for with 503.
        CallKind::ServerError => format!(
            "metrics.k8s.io is not available; is metrics-server running? {}",
            chain(error)
        ),
        _ => format!("metrics.k8s.io: {}", chain(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_core::policy::Resource;
    use serde_json::{Value, json};

    fn pod(name: &str, containers: &Value) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:30Z"},
            "timestamp": "2026-01-01T00:00:30Z", "window": "15.062s", "containers": containers,
        })
    }

    fn container(name: &str, cpu: &str, memory: Option<&str>) -> Value {
        let mut usage = json!({"cpu": cpu});
        if let Some(memory) = memory {
            usage["memory"] = json!(memory);
        }
        json!({"name": name, "usage": usage})
    }

    fn check(resource: Resource, container: Option<&str>, items: &[Value], expect: Result<&[(&str, i64)], &str>) {
        let list: List = serde_json::from_value(json!({"kind": "PodMetricsList", "items": items})).expect("a list");
        let of = ResourceOf {
            resource,
            container: container.map(ToOwned::to_owned),
        };
        let seen = usage(&list, &of);
        let seen: Result<Vec<(&str, i64)>, &str> = match &seen {
            Ok(usage) => Ok(usage.iter().map(|(name, usage)| (name.as_str(), usage.milli)).collect()),
            Err(why) => Err(why),
        };
        assert_eq!(seen.as_deref(), expect.as_ref().copied(), "{of:?}");
    }

    #[test]
    fn usage_is_read_as_hpa_reads_it() {
        let two = pod(
            "web-a",
            &json!([
                container("web", "123456789n", Some("64Mi")),
                container("log", "2m", Some("1000Ki"))
            ]),
        );
        let lacking = pod(
            "web-b",
            &json!([container("web", "1", Some("1Mi")), container("log", "1m", None)]),
        );
        let idle = pod("web-c", &json!([container("web", "0", Some("0"))]));
        let fresh = pod("web-d", &json!([]));
        let all = [two.clone(), lacking.clone(), idle.clone(), fresh];
        // 123456789n are 124m, rounded up, and 2m more.
        check(
            Resource::Cpu,
            None,
            &all,
            Ok(&[("web-a", 126), ("web-b", 1001), ("web-c", 0)]),
        );
        check(
            Resource::Memory,
            None,
            &all,
            Ok(&[("web-a", (64 * 1024 + 1000) * 1024 * 1000), ("web-c", 0)]),
        );
        let with_log = [two, lacking];
        check(Resource::Cpu, Some("log"), &with_log, Ok(&[("web-a", 2), ("web-b", 1)]));
        check(
            Resource::Memory,
            Some("log"),
            &with_log,
            Ok(&[("web-a", 1000 * 1024 * 1000)]),
        );
        check(
            Resource::Cpu,
            Some("log"),
            &[idle],
            Err("pod web-c has no container log"),
        );
        check(Resource::Cpu, None, &[], Ok(&[]));
        let mut odd = pod("web-e", &json!([container("web", "1", None)]));
        odd["window"] = json!("soon");
        check(
            Resource::Cpu,
            None,
            &[odd],
            Err("pod web-e has the window \"soon\", which is no duration"),
        );
    }

    #[test]
    fn the_time_and_the_window_are_kept() {
        let list = json!({"items": [pod("web-a", &json!([container("web", "1", None)]))]});
        let list: List = serde_json::from_value(list).expect("a list");
        let of = ResourceOf {
            resource: Resource::Cpu,
            container: None,
        };
        let usage = usage(&list, &of).expect("known");
        assert_eq!(usage["web-a"].at, Timestamp::from_millis(1_767_225_630_000));
        assert_eq!(usage["web-a"].window, Span::from_millis(15_062));
        let check = |text: &str, millis: Option<u64>| assert_eq!(window(text), millis.map(Span::from_millis), "{text}");
        check("30s", Some(30_000));
        check("1m0s", Some(60_000));
        check("1m30.5s", Some(90_500));
        check("10.125s", Some(10_125));
        check("500ms", Some(500));
        check("0s", Some(0));
        check("-1s", None);
        check("soon", None);
    }

    #[test]
    fn a_selector_is_encoded() {
        let encoded: String = percent_encoded("app=web,track notin (canary),!x").collect();
        assert_eq!(encoded, "app%3Dweb%2Ctrack%20notin%20%28canary%29%2C%21x");
    }
}

//! Whether a verification waits long enough: for a new pod to be ready, and for the samples from
//! before the change to leave its ranges.

use super::finding::{Finding, Mark};
use crate::cli::{
    fetch::{self, Connection, Scope},
    screen::span,
};
use flyball_core::{
    policy::Policy,
    time::{Span, Timestamp},
    verify::least_settle,
};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::Value;

/// How long a new pod takes to be ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// As the pods there are took, created to ready: the median of so many.
    Measured(Span, usize),
    /// As the template's probes and `minReadySeconds` say at least.
    AtLeast(Span),
    /// Nothing is known of it.
    Unknown,
}

impl Readiness {
    /// From the pods there are. A container that was started again says nothing of a new pod.
    pub fn of_pods(pods: &[Pod]) -> Option<Self> {
        let mut spans: Vec<Span> = pods.iter().filter_map(to_ready).collect();
        spans.sort_unstable();
        let span = *spans.get(spans.len() / 2)?;
        Some(Self::Measured(span, spans.len()))
    }

    /// From the template: no pod is ready before its probes are asked.
    pub fn of_template(target: &DynamicObject) -> Self {
        let seconds = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
        let containers = target
            .data
            .pointer("/spec/template/spec/containers")
            .and_then(Value::as_array);
        let delays = containers.into_iter().flatten().map(|container| {
            seconds(container.pointer("/readinessProbe/initialDelaySeconds"))
                .max(seconds(container.pointer("/startupProbe/initialDelaySeconds")))
        });
        let delay = delays.max().unwrap_or(0) + seconds(target.data.pointer("/spec/minReadySeconds"));
        Self::AtLeast(Span::from_secs(delay))
    }

    /// The span; zero where nothing is known.
    pub fn span(&self) -> Span {
        match self {
            Self::Measured(span, _) | Self::AtLeast(span) => *span,
            Self::Unknown => Span::ZERO,
        }
    }

    /// It in words.
    pub fn words(&self) -> String {
        match self {
            Self::Measured(ready, 1) => format!("the one pod took {} to be ready", span(*ready)),
            Self::Measured(ready, pods) => format!("a pod takes {} to be ready, the median of {pods}", span(*ready)),
            Self::AtLeast(ready) => format!("by its template a pod takes {} or more to be ready", span(*ready)),
            Self::Unknown => "how long a pod takes to be ready is not known".to_owned(),
        }
    }
}

fn to_ready(pod: &Pod) -> Option<Span> {
    let status = pod.status.as_ref()?;
    if status
        .container_statuses
        .iter()
        .flatten()
        .any(|container| container.restart_count > 0)
    {
        return None;
    }
    let ready = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready")?;
    let at = |time: &Time| Timestamp::from_millis(time.0.as_millisecond());
    let since = at(ready.last_transition_time.as_ref()?);
    (ready.status == "True").then(|| since.since(pod.metadata.creation_timestamp.as_ref().map_or(since, at)))
}

/// Judges each action's settle time.
pub fn judge(policy: &Policy, readiness: &Readiness) -> Vec<Finding> {
    let verified = policy
        .actions
        .iter()
        .filter_map(|action| Some((action, action.verification.as_ref()?)));
    let judged = verified.map(|(action, verification)| {
        let subject = format!("settle of {}", action.name);
        let query = &verification.condition.left;
        let least = least_settle(readiness.span(), query);
        let needs = format!(
            "its longest range is {}, and {}",
            query.longest_range,
            readiness.words()
        );
        if verification.settle >= least {
            return Finding::ok(subject, format!("{} is enough: {needs}", verification.settle));
        }
        let way_out = format!("write settle: {} or more, and within longer than that", round_up(least));
        Finding::new(
            Mark::Warn,
            subject,
            format!("{} is too short: {needs}", verification.settle),
            way_out,
        )
    });
    judged.collect()
}

/// To whole seconds, as people write them.
fn round_up(span: Span) -> Span {
    Span::from_secs(span.as_millis().div_ceil(1000))
}

/// Reads how long pods take.
pub async fn read(
    connection: &Connection,
    namespace: &str,
    name: &str,
    resource: &ApiResource,
    target: &DynamicObject,
) -> Readiness {
    let pods = pods(connection, namespace, name, resource).await.unwrap_or_default();
    Readiness::of_pods(&pods).unwrap_or_else(|| Readiness::of_template(target))
}

/// The pods of a target; `None`: they could not be read. The scale subresource names them, whatever the kind.
pub async fn pods(connection: &Connection, namespace: &str, name: &str, resource: &ApiResource) -> Option<Vec<Pod>> {
    let client = &connection.clients.read;
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    let scale = crate::client::within(
        tokio::time::Instant::now() + crate::client::READ_LIMIT,
        api.get_scale(name),
    )
    .await;
    let selector = scale.ok()?.status?.selector.filter(|selector| !selector.is_empty())?;
    let limits = ListParams::default().labels(&selector);
    let pods = fetch::list(client, Scope::Namespace(namespace), &fetch::resource::<Pod>(), limits).await;
    Some(fetch::parse(&pods.ok()?).0)
}

//! Whether the agents of a policy that moves a runtime's knobs hear of it and answer, and what dividing headroom in
//! the namespace would save.

use super::finding::{Finding, Mark};
use crate::{
    apply::{PodLine, env_of, setting_of},
    cli::screen::{number, plain, quoted, short},
    observe::{Found, source::Source},
    promql,
    reconcile::runtime::{by_pod, whole},
    validate::runtime::matchers,
};
use flyball_core::{
    bytes::Bytes,
    check::Target,
    decide::runtime::{AllocationRate, NotWorth, WORTH, bc2_saving},
    policy::{AgentQueries, RuntimeAction},
    signal::{Quality, Reading},
    time::{Span, Timestamp},
};
use flyball_crds::{FeedbackPolicy, RUNTIME_PREFIX, RuntimeLever};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::DynamicObject};
use std::collections::{BTreeMap, BTreeSet};

/// How many pods are named in a line.
const NAMED: usize = 3;

/// A running pod of the target, as far as an agent is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    /// Its name.
    pub name: String,
    /// Whether its container mounts the file that an agent reads.
    pub mounts: bool,
    /// The line that it was given.
    pub line: Option<String>,
}

impl AgentPod {
    /// The ready pods, by name.
    pub fn all(pods: &[Pod], container: &str) -> Vec<Self> {
        let key = format!("{RUNTIME_PREFIX}{container}");
        let mut all: Vec<Self> = pods
            .iter()
            .filter(|pod| is_ready(pod))
            .map(|pod| Self {
                name: pod.name_any(),
                mounts: mounts(pod, container, &key),
                line: pod.annotations().get(&key).cloned(),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// Whether a container has the annotation as a file. A subPath is never updated, so it counts for nothing.
fn mounts(pod: &Pod, container: &str, key: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let path = format!("metadata.annotations['{key}']");
    let shows = |volume: &&k8s_openapi::api::core::v1::Volume| {
        let own = volume
            .downward_api
            .iter()
            .flat_map(|source| source.items.iter().flatten());
        let projected = volume
            .projected
            .iter()
            .flat_map(|source| source.sources.iter().flatten())
            .filter_map(|source| source.downward_api.as_ref())
            .flat_map(|source| source.items.iter().flatten());
        own.chain(projected)
            .any(|item| item.path == "runtime" && item.field_ref.as_ref().is_some_and(|field| field.field_path == path))
    };
    let volumes: Vec<&str> = spec
        .volumes
        .iter()
        .flatten()
        .filter(shows)
        .map(|volume| volume.name.as_str())
        .collect();
    let mut containers = spec.containers.iter();
    let Some(container) = containers.find(|one| one.name == container) else {
        return false;
    };
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.any(|mount| {
        volumes.contains(&mount.name.as_str()) && mount.sub_path.is_none() && mount.sub_path_expr.is_none()
    })
}

/// What the pod template has of the variables that a policy writes, and whether they are its own to write.
pub fn template(object: Option<&DynamicObject>, container: &str, variables: BTreeSet<&'static str>) -> Finding {
    let Some(object) = object else {
        return Finding::new(Mark::Skip, "env", "not looked at, as there is no workload", "");
    };
    let names: Vec<String> = variables.into_iter().map(ToOwned::to_owned).collect();
    match env_of(object, container, &names) {
        Ok(env) => Finding::ok("env", plain(&format!("container {container} has {env}"))),
        Err(problem) => Finding::message(Mark::Fail, "env", &plain(&problem.to_string())),
    }
}

/// What the agents of a policy's pods tell.
pub struct Told {
    /// The generation in force, by pod.
    pub applied: Reading,
    /// The breaker's state, by pod.
    pub breaker: Reading,
    /// What is left of the lease in seconds, by pod.
    pub lease: Reading,
    /// Lines refused, by pod and reason.
    pub rejected: Reading,
}

/// What was allocated per second and what is live, by pod, of agents and of Go's own metrics.
pub struct Fleet {
    /// Agents: allocation and live heap.
    pub agents: (Reading, Reading),
    /// Go programs without one: the same, the live heap from the goal and GOGC.
    pub go: (Reading, Reading),
}

async fn ask(source: &Source, text: &str, max_age: Span, now: Timestamp) -> Reading {
    match promql::query(text) {
        Ok(query) => source.read(&query, max_age, now).await,
        Err(error) => Reading::failed(now, error.to_string()),
    }
}

/// Asks the agents.
pub async fn told(
    source: &Source,
    action: &RuntimeAction,
    lever: &RuntimeLever,
    namespace: &str,
    now: Timestamp,
) -> Told {
    let queries = action.agents.within(namespace);
    let matchers = matchers(lever).replace(AgentQueries::NAMESPACE, namespace);
    let max_age = queries.max_age;
    let lease = format!("max by (pod) (flyball_agent_lease_seconds{{{matchers}}})");
    let rejected = format!("sum by (pod, reason) (flyball_agent_rejected_total{{{matchers}}})");
    let (applied, breaker, lease, rejected) = tokio::join!(
        source.read(&queries.applied, max_age, now),
        source.read(&queries.breaker, max_age, now),
        ask(source, &lease, max_age, now),
        ask(source, &rejected, max_age, now),
    );
    Told {
        applied,
        breaker,
        lease,
        rejected,
    }
}

/// Asks all processes of a namespace. `gogc` is at least 0 there, so the divisor is never 0; off is negative, and left out.
pub async fn fleet(source: &Source, namespace: &str, max_age: Span, now: Timestamp) -> Fleet {
    let of = format!("{{namespace=\"{namespace}\"}}");
    let texts = [
        format!("sum by (pod) (rate(flyball_agent_alloc_bytes_total{of}[10m]))"),
        format!("sum by (pod) (flyball_agent_heap_live_bytes{of})"),
        format!("sum by (pod) (rate(go_memstats_alloc_bytes_total{of}[10m]))"),
        format!("sum by (pod) (go_memstats_next_gc_bytes{of} / (1 + (go_gc_gogc_percent{of} >= 0) / 100))"),
    ];
    let [a, b, c, d] = &texts;
    let (a, b, c, d) = tokio::join!(
        ask(source, a, max_age, now),
        ask(source, b, max_age, now),
        ask(source, c, max_age, now),
        ask(source, d, max_age, now),
    );
    Fleet {
        agents: (a, b),
        go: (c, d),
    }
}

/// The workload that is moved, with its setting instead of its replicas. `judged`: what is said of any target.
pub fn workload(judged: Finding, found: &Found, object: Option<&DynamicObject>, container: &str) -> Finding {
    if !matches!(found.target, Target::Present { paused: None }) || judged.mark != Mark::Ok {
        return judged;
    }
    let Some(object) = object else { return judged };
    let kind = object.types.as_ref().map_or("target", |types| types.kind.as_str());
    let name = plain(&format!("{kind}/{}", object.name_any()));
    match setting_of(object, container) {
        Ok(target) => Finding::ok(
            "target",
            format!(
                "{name} has {} in container {}",
                plain(&target.value.to_string()),
                plain(container)
            ),
        ),
        Err(error) => Finding::new(
            Mark::Fail,
            "target",
            format!("{name}: annotation {RUNTIME_PREFIX}{}: {error}", plain(container)),
            "remove the annotation: the pods then go back to their boot values",
        ),
    }
}

/// An autoscaler of the target that counts memory.
pub fn memory(autoscaler: Option<&str>) -> Option<Finding> {
    let name = plain(autoscaler?);
    Some(Finding::new(
        Mark::Fail,
        "other owners",
        format!("HorizontalPodAutoscaler {name} counts memory: it would answer each move of these knobs with replicas"),
        "have it count something else, such as CPU or requests",
    ))
}

fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => plain(&shown),
        more => format!("{} and {more} more", plain(&shown)),
    }
}

/// Judges the pods and what their agents tell. `pods`: the ready ones of the target; `None`: they could not be read.
pub fn judge(
    policy: &FeedbackPolicy,
    action: &RuntimeAction,
    pods: Option<&[AgentPod]>,
    told: Option<&Told>,
    now: Timestamp,
) -> Vec<Finding> {
    let Some(pods) = pods else {
        return vec![Finding::new(
            Mark::Skip,
            "agents",
            "the pods of the target can't be read",
            "see Rights",
        )];
    };
    if pods.is_empty() {
        let said = "no pod of the target is ready; knobs are moved in running processes only";
        return vec![Finding::new(Mark::Warn, "agents", said, "see why: kubectl get pods")];
    }
    let mut findings = vec![mounted(policy, action, pods)];
    findings.extend(lines(action, pods, now));
    if let Some(told) = told {
        findings.push(answering(pods, &told.applied));
        findings.extend(refused(pods, &told.rejected));
        findings.extend(tripped(pods, &told.breaker));
        findings.extend(leases(action, pods, told));
    }
    findings
}

fn mounted(policy: &FeedbackPolicy, action: &RuntimeAction, pods: &[AgentPod]) -> Finding {
    let without = || pods.iter().filter(|pod| !pod.mounts).map(|pod| pod.name.as_str());
    let count = without().count();
    if count == 0 {
        return Finding::ok("agents' file", format!("all {} ready pods mount it", pods.len()));
    }
    let target = &policy.spec.target_ref;
    let get = format!(
        "kubectl get {} {} -n {} -o yaml | flyball inject -f - --container {} --patch",
        quoted(&target.kind.to_lowercase()),
        quoted(&target.name),
        quoted(&policy.namespace().unwrap_or_default()),
        quoted(&action.container)
    );
    let mark = if count == pods.len() { Mark::Fail } else { Mark::Warn };
    Finding::new(
        mark,
        "agents' file",
        format!(
            "{count} of {} ready pods do not mount it: {}. Their agents hear of nothing, and they keep their boot values",
            pods.len(),
            some(without())
        ),
        format!("add it to the template, one rollout follows: {get}"),
    )
}

/// A line that its agent takes for over by the wall clock.
fn lines(action: &RuntimeAction, pods: &[AgentPod], now: Timestamp) -> Option<Finding> {
    let over = |pod: &&AgentPod| {
        let line = pod.line.as_deref().and_then(PodLine::read);
        line.is_some_and(|line| line.expires <= now)
    };
    let names = || pods.iter().filter(over).map(|pod| pod.name.as_str());
    (names().count() > 0).then(|| {
        Finding::new(
            Mark::Warn,
            "leases",
            format!(
                "the lines of {} are over: their processes have boot values",
                some(names())
            ),
            format!(
                "the controller renews a line at half its lease of {}; see above whether it runs, and may patch pods",
                action.lease
            ),
        )
    })
}

fn answering(pods: &[AgentPod], applied: &Reading) -> Finding {
    let subject = "agents";
    match applied.quality() {
        Quality::Error => return Finding::message(Mark::Fail, subject, applied.detail()),
        Quality::Stale | Quality::Partial => {
            let said = format!("{}: {}", applied.quality(), applied.detail());
            let way_out = "see whether the agents' ports are scraped, and how often; until they answer no knob moves";
            return Finding::new(Mark::Warn, subject, said, way_out);
        }
        Quality::Missing | Quality::Fresh | Quality::NotFinite => {}
    }
    let known = by_pod(applied);
    let silent = || {
        pods.iter()
            .filter(|pod| !known.contains_key(&pod.name))
            .map(|pod| pod.name.as_str())
    };
    let answer = pods.len() - silent().count();
    if answer == 0 {
        return Finding::new(
            Mark::Fail,
            subject,
            format!("none of {} ready pods answers, so no knob moves", pods.len()),
            "load the agent in the process (agents/), set FLYBALL_METRICS_ADDRESS, and have Prometheus scrape the port \
             flyball-agent with the labels namespace and pod",
        );
    }
    if answer < pods.len() {
        return Finding::new(
            Mark::Warn,
            subject,
            format!(
                "{answer} of {} ready pods answer, not {}: a change is not acknowledged before all do, and is taken back",
                pods.len(),
                some(silent())
            ),
            "see whether the process has the agent, and whether Prometheus scrapes that pod",
        );
    }
    let in_force = pods
        .iter()
        .filter_map(|pod| known.get(&pod.name).copied().and_then(whole))
        .filter(|generation| *generation > 0)
        .count();
    Finding::ok(
        subject,
        format!(
            "all {} ready pods answer, {in_force} with a generation in force",
            pods.len()
        ),
    )
}

fn refused(pods: &[AgentPod], rejected: &Reading) -> Vec<Finding> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for sample in rejected.samples().iter().filter(|sample| sample.value > 0.0) {
        if let (Some(pod), Some(reason)) = (sample.labels.get("pod"), sample.labels.get("reason"))
            && pods.iter().any(|known| known.name == *pod)
        {
            by_reason.entry(reason).or_default().push(pod);
        }
    }
    let judged = by_reason.into_iter().map(|(reason, names)| {
        let said = format!(
            "the agents of {} refused a line since they started: {}",
            some(names.into_iter()),
            plain(reason)
        );
        Finding::new(Mark::Warn, "refused lines", said, way_out_of(reason))
    });
    judged.collect()
}

/// What to do about a refusal (agents/CONTRACT.md).
fn way_out_of(reason: &str) -> &'static str {
    match reason {
        "unsupported" => {
            "the running collector does not heed that knob; see what acts in the agent's README, and its log"
        }
        "off" => "allow it in the process's environment, or ask for a memoryLimit and a gogc of up to 1000 instead",
        "probation" => "a process ended within a minute of that generation; see why: kubectl describe pod",
        "foreign" => "something else in the process moves the same knob; leave it to one of the two",
        "expired" => "the line came too late: see whether the controller's clock and the node's agree",
        "version" | "unknown" => "the agent is older than the controller; update it",
        "old" | "changed" => {
            "somebody else writes the pod's annotation; see kubectl get pod -o yaml --show-managed-fields"
        }
        _ => "see the agent's log in the pod",
    }
}

fn tripped(pods: &[AgentPod], breaker: &Reading) -> Option<Finding> {
    let states = by_pod(breaker);
    let open = || {
        let of = |pod: &AgentPod| states.get(&pod.name).copied().filter(|state| *state > 0.0);
        pods.iter()
            .filter(move |pod| of(pod).is_some())
            .map(|pod| pod.name.as_str())
    };
    (open().count() > 0).then(|| {
        Finding::new(
            Mark::Warn,
            "breakers",
            format!(
                "tripped in {}: memory was nearly full, or collections followed each other, and the agent took its knobs back",
                some(open())
            ),
            "ask for less, or raise the container's memory limit; it closes after 10 minutes or with the next change",
        )
    })
}

/// Leases are renewed at half, so what is below a quarter was not.
#[allow(clippy::cast_precision_loss)] // Milliseconds of at most a week.
fn leases(action: &RuntimeAction, pods: &[AgentPod], told: &Told) -> Option<Finding> {
    let (left, applied) = (by_pod(&told.lease), by_pod(&told.applied));
    let soon = action.lease.as_millis() as f64 / 1000.0 / 4.0;
    let of = |pod: &&AgentPod| {
        let in_force = applied.get(&pod.name).is_some_and(|generation| *generation > 0.0);
        in_force && left.get(&pod.name).is_some_and(|left| *left < soon)
    };
    let ends: Vec<&AgentPod> = pods.iter().filter(of).collect();
    let least = ends
        .iter()
        .filter_map(|pod| left.get(&pod.name).copied())
        .fold(f64::INFINITY, f64::min);
    let names = some(ends.iter().map(|pod| pod.name.as_str()));
    (!ends.is_empty()).then(|| {
        Finding::new(
            Mark::Warn,
            "leases",
            format!(
                "the lease of {names} ends in {} s and was not renewed at half of {}: boot values follow",
                number(least.max(0.0).round()),
                short(action.lease)
            ),
            "see above whether the controller runs, and may patch pods; a policy that is suspended or not in mode Enforce renews none",
        )
    })
}

/// What dividing headroom among all processes of a namespace would save, at equal memory.
pub fn opportunity(fleet: &Fleet) -> Finding {
    let subject = "headroom";
    let mut all: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    // Agents last: what they tell counts before what Go's own metrics do.
    for (allocation, live) in [&fleet.go, &fleet.agents] {
        let (allocation, live) = (by_pod(allocation), by_pod(live));
        all.extend(allocation.iter().filter_map(|(pod, g)| {
            let live = live.get(pod).copied().filter(|live| *live > 0.0)?;
            Some((pod.clone(), (*g, live)))
        }));
    }
    let pairs: Vec<(AllocationRate, Bytes)> = all
        .values()
        .filter_map(|(g, live)| Some((AllocationRate::new(*g)?, Bytes::nearest(*live)?)))
        .collect();
    let count = pairs.len();
    if count < 2 {
        return Finding::new(
            Mark::Skip,
            subject,
            format!("{count} process tells what it allocates and keeps; a division needs two or more"),
            "have Prometheus scrape flyball_agent_alloc_bytes_total and flyball_agent_heap_live_bytes, or Go's own metrics",
        );
    }
    let Some(saving) = bc2_saving(&pairs) else {
        return Finding::ok(subject, format!("nothing to save: none of {count} processes allocates"));
    };
    let percent = number((saving * 1000.0).round() / 10.0);
    if saving < WORTH {
        return Finding::ok(
            subject,
            format!(
                "dividing it among {count} processes would save about nothing, {percent} % of the CPU of collections: {}",
                NotWorth::Alike.reason()
            ),
        );
    }
    Finding {
        way_out:
            "to have it, give a policy for each of them an action with runtime.budget; bounds on GOGC make it less"
                .to_owned(),
        ..Finding::ok(
            subject,
            format!(
                "dividing garbage headroom among {count} unlike processes would save up to {percent} % of the CPU that \
                 collections take with one GOGC for all, at equal memory"
            ),
        )
    }
}

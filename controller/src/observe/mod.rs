//! Every read.

pub mod cluster;
pub mod coverage;
pub mod credentials;
pub mod envelope;
pub mod freeze;
pub mod headroom;
mod keep;
pub mod kinds;
pub mod known;
pub mod namespaces;
pub mod nodes;
pub mod owners;
pub mod pods;
pub mod prometheus_rules;
pub mod quantity;
pub mod readable;
pub mod relief;
pub mod rollout;
pub mod routes;
pub mod source;
pub mod sources;
pub mod target;
pub mod usage;
pub mod wire;

use crate::metrics::Metrics;
use cluster::{Cluster, KindError};
use coverage::Distances;
use flyball_core::{
    check,
    decide::{Direction, Pods, Usage},
    evaluate::watermark::Level,
    policy::{Policy, Query, ReplicasAction, ResourceOf},
    signal::{Quality, Reading},
    time::{Span, Timestamp},
};
use flyball_crds::{Change, FeedbackPolicy, TargetRef};
use futures::{StreamExt, stream};
use headroom::{Rooms, Workload};
use kube::{
    Client, ResourceExt,
    api::ApiResource,
    runtime::reflector::{ObjectRef, Store},
};
use source::Source;
use sources::{SourceProblem, Sources};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use target::Snapshot;

/// How many queries of one pass may be under way at once.
const QUERIES: usize = 8;

/// A target as a pass finds it.
#[derive(Clone, Debug)]
pub struct Found {
    /// What the checks need to know of it.
    pub target: check::Target,
    /// The object, where there is one.
    pub snapshot: Option<Snapshot>,
    /// How to address its kind.
    pub resource: Option<ApiResource>,
    /// Its pods, by ownerReferences; `None`: not known.
    pub pods: Option<Pods>,
    /// Why a rollout is known to be under way.
    pub rollout: Option<String>,
}

/// What is read only when it is needed, with the answers that are used again.
pub struct Asks {
    client: Client,
    rooms: Rooms,
    distances: Distances,
    /// Whether nodes neither come nor go.
    fixed_nodes: bool,
}

impl Asks {
    /// Reads through this client, which must not repeat what fails: a pass waits for it.
    ///
    /// `fixed_nodes`: no autoscaler adds nodes, so what does not fit on the present ones never will.
    pub fn new(client: Client, fixed_nodes: bool) -> Self {
        Self {
            rooms: Rooms::new(client.clone()),
            distances: Distances::default(),
            fixed_nodes,
            client,
        }
    }

    /// Full nodes are what makes an autoscaler of nodes add one: where there may be one, they limit nothing.
    fn advised(&self, room: check::Headroom) -> check::Headroom {
        match room.limit {
            Ok(limit) if room.by == headroom::NODES && !self.fixed_nodes => check::Headroom {
                limit: Err(format!(
                    "{limit} fit on the present nodes, more may come; run with --fixed-nodes where none do"
                )),
                ..room
            },
            _ => room,
        }
    }
}

/// What a proxy tells of an action's backends.
#[derive(Clone, Debug)]
pub struct TrafficReadings {
    /// Requests by backend.
    pub requests: Reading,
    /// Those that failed.
    pub errors: Reading,
    /// Those that no backend took, where the proxy tells.
    pub unserved: Option<Reading>,
}

/// What is read of a watermark.
#[derive(Clone, Debug)]
pub struct MarkReadings {
    /// How full each is.
    pub ratio: Reading,
    /// When that was sampled.
    pub sampled: Option<Reading>,
    /// The working set of each pod, where a node's pod has to be found.
    pub used: Option<Reading>,
}

/// Everything that one pass rests on, read once.
pub struct Observation {
    /// When.
    pub now: Timestamp,
    /// The source, or why there is none.
    pub source: Result<Arc<Source>, SourceProblem>,
    /// The target.
    pub found: Found,
    /// Who else sets the field.
    pub owners: Vec<check::Owner>,
    /// The readings of the rules' expressions, by alert.
    pub rules: BTreeMap<String, Reading>,
    /// The readings of the watermarks, in the policy's order.
    pub watermarks: Vec<MarkReadings>,
    /// The readings of the signals, by name.
    pub signals: BTreeMap<String, Reading>,
    /// The readings of the verifications' left sides, by action.
    pub verifications: BTreeMap<String, Reading>,
    /// What the proxy tells of requests and errors by backend, where weights are moved.
    pub traffic: Option<TrafficReadings>,
    /// The readings of the actions' vetoes, by action and name.
    pub vetoes: BTreeMap<String, BTreeMap<String, Reading>>,
    /// What metrics.k8s.io tells of the target's pods, by resource.
    pub usage: BTreeMap<ResourceOf, Usage>,
    /// The open Changes of this policy or on its target.
    pub open: Vec<Arc<Change>>,
}

impl Observation {
    /// Reads everything.
    pub async fn read(
        cluster: &Cluster,
        sources: &Sources,
        metrics: &Metrics,
        asks: &Asks,
        object: &FeedbackPolicy,
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let namespace = object.namespace().unwrap_or_default();
        let source = sources.get(cluster, &object.spec.source_ref.name, &namespace);
        let found = find(cluster, &namespace, &object.spec.target_ref);
        let own = policy
            .rules
            .iter()
            .filter(|(name, _)| policy.watermark_of(name).is_none());
        let rules = own.map(|(name, rule)| (name, rule.condition.query(), policy.max_age));
        let signals = policy
            .signals
            .iter()
            .map(|(name, signal)| (name, &signal.query, signal.max_age));
        let verified = policy.actions.iter().map(|action| (&action.name, &action.verification));
        let weighed = policy.weights.iter().map(|action| (&action.name, &action.verification));
        let knobs = policy.runtime.iter().map(|action| (&action.name, &action.verification));
        let verifications = verified.chain(weighed).chain(knobs).filter_map(|(name, verification)| {
            let verification = verification.as_ref()?;
            Some((name, &verification.condition.left, verification.max_age))
        });
        let traffic = async {
            let action = policy.weights.first()?;
            let traffic = action.traffic.within(&namespace);
            let [requests, errors, unserved] = ["requests", "errors", "unserved"].map(ToOwned::to_owned);
            let both = [(&requests, &traffic.requests), (&errors, &traffic.errors)].into_iter();
            let queries = both.chain(traffic.unserved.iter().map(|query| (&unserved, query)));
            let queries = queries.map(|(name, query)| (name, query, traffic.max_age)).collect();
            let mut read = readings(&source, metrics, queries, now).await;
            Some(TrafficReadings {
                requests: read.remove(&requests)?,
                errors: read.remove(&errors)?,
                unserved: read.remove(&unserved),
            })
        };
        let marks = async {
            let mut all = Vec::new();
            for mark in &policy.watermarks {
                let named = |query: &Query| query.within(&namespace);
                let (ratio, sampled, used) = (
                    named(&mark.ratio),
                    mark.sampled.as_ref().map(named),
                    mark.used.as_ref().map(named),
                );
                let [name, of_sampled, of_used] = ["ratio", "sampled", "used"].map(ToOwned::to_owned);
                let more = [(&of_sampled, &sampled), (&of_used, &used)];
                let more = more
                    .into_iter()
                    .filter_map(|(name, query)| Some((name, query.as_ref()?)));
                let queries = std::iter::once((&name, &ratio)).chain(more);
                let queries = queries.map(|(name, query)| (name, query, policy.max_age)).collect();
                let mut read = readings(&source, metrics, queries, now).await;
                all.push(MarkReadings {
                    ratio: read
                        .remove(&name)
                        .unwrap_or_else(|| Reading::failed(now, "it was not read")),
                    sampled: read.remove(&of_sampled),
                    used: read.remove(&of_used),
                });
            }
            all
        };
        let vetoes = async {
            let mut read = BTreeMap::new();
            for action in &policy.actions {
                let all = action.inhibit.iter().chain(&action.hold_down_while);
                let queries: Vec<_> = all
                    .map(|veto| (&veto.name, &veto.condition.left, veto.max_age))
                    .collect();
                read.insert(action.name.clone(), readings(&source, metrics, queries, now).await);
            }
            read
        };
        let selector = found
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.selector.as_deref());
        let used = usage::asked(policy);
        let (mut rules, signals, verifications, vetoes, traffic, usage, watermarks) = tokio::join!(
            readings(&source, metrics, rules.collect(), now),
            readings(&source, metrics, signals.collect(), now),
            readings(&source, metrics, verifications.collect(), now),
            vetoes,
            traffic,
            usage::of(&asks.client, &namespace, selector, found.pods.as_ref(), used),
            marks,
        );
        for (mark, read) in policy.watermarks.iter().zip(&watermarks) {
            rules.extend(Level::RAISED.map(|level| (mark.alert(level), read.ratio.clone())));
        }
        let owners = owners::of(cluster, object, found.snapshot.as_ref());
        let open = open_changes(&cluster.changes, object, found.snapshot.as_ref());
        Self {
            now,
            source,
            found,
            owners,
            rules,
            watermarks,
            signals,
            verifications,
            traffic,
            vetoes,
            usage,
            open,
        }
    }

    /// What limits a change of this direction, read now.
    pub async fn headroom(
        &self,
        cluster: &Cluster,
        asks: &Asks,
        object: &FeedbackPolicy,
        direction: Direction,
    ) -> Vec<check::Headroom> {
        let (Some(snapshot), Some(resource)) = (&self.found.snapshot, &self.found.resource) else {
            return Vec::new();
        };
        let namespace = object.namespace().unwrap_or_default();
        let workload = Workload {
            namespace: &namespace,
            name: &object.spec.target_ref.name,
            uid: &snapshot.uid,
            resource,
            current: snapshot.target.value,
        };
        let rooms = match direction {
            Direction::Up => asks.rooms.for_increase(&cluster.pods, &cluster.nodes, &workload).await,
            Direction::Down => asks.rooms.for_decrease(&cluster.pods, &workload).await,
        };
        rooms.into_iter().map(|room| asks.advised(room)).collect()
    }

    /// How far the ranges are filled that a decrease of an action rests on, read now. `interval` is the
    /// distance of samples that the source is known for.
    pub async fn coverage(
        &self,
        asks: &Asks,
        policy: &Policy,
        action: &ReplicasAction,
        interval: Option<Span>,
    ) -> check::Coverage {
        let queries = coverage::behind(policy, action);
        match &self.source {
            Ok(source) => coverage::of(source, &asks.distances, &queries, interval, self.now).await,
            Err(problem) => check::Coverage::Unknown(problem.to_string()),
        }
    }
}

/// Asks named queries, a few at a time. Without a source every reading is an error, never empty.
async fn readings(
    source: &Result<Arc<Source>, SourceProblem>,
    metrics: &Metrics,
    queries: Vec<(&String, &Query, Span)>,
    now: Timestamp,
) -> BTreeMap<String, Reading> {
    let ask = |(name, query, max_age): (&String, &Query, Span)| {
        let (name, query) = (name.clone(), query.clone());
        async move {
            let reading = match source {
                Ok(source) => {
                    let began = Instant::now();
                    let reading = source.read(&query, max_age, now).await;
                    let failed = match reading.quality() {
                        Quality::Error if reading.is_refused() => Some("refused"),
                        Quality::Error => Some("error"),
                        _ => None,
                    };
                    metrics.queried(source.name(), began.elapsed(), failed);
                    metrics.circuit(source.name(), source.stage());
                    reading
                }
                Err(problem) => Reading::failed(now, problem.to_string()),
            };
            (name, reading)
        }
    };
    stream::iter(queries).map(ask).buffer_unordered(QUERIES).collect().await
}

/// Finds a target among the watched kinds.
pub fn find(cluster: &Cluster, namespace: &str, target: &TargetRef) -> Found {
    let nothing = |target| Found {
        target,
        snapshot: None,
        resource: None,
        pods: None,
        rollout: None,
    };
    let name = format!("{} {}", target.api_version, target.kind);
    let targets = match cluster.kind(&target.api_version, &target.kind) {
        None | Some(Err(KindError::Form(_))) => return nothing(check::Target::NotAllowed(name)),
        Some(Err(KindError::NotServed(_) | KindError::Unknown { .. })) => {
            return nothing(check::Target::NotServed(name));
        }
        Some(Err(KindError::NoScale(_))) => return nothing(check::Target::NoScale(name)),
        Some(Ok(targets)) => targets,
    };
    let key = ObjectRef::new_with(&target.name, targets.resource.clone()).within(namespace);
    let Some(object) = targets.store.get(&key) else {
        return nothing(check::Target::Missing);
    };
    let (target, snapshot) = match Snapshot::of(&object) {
        Ok(snapshot) => (
            check::Target::Present {
                paused: snapshot.paused.clone(),
            },
            Some(snapshot),
        ),
        // A number that we would never write is nothing that we may move.
        Err(error) => (
            check::Target::Present {
                paused: Some(error.to_string()),
            },
            None,
        ),
    };
    let uid = object.uid().unwrap_or_default();
    Found {
        target,
        snapshot,
        resource: Some(targets.resource.clone()),
        pods: cluster.pods.of(&uid),
        rollout: rollout::of(&targets.resource, &object, cluster.pods.templates(&uid).as_deref()),
    }
}

/// Whether a Change may still write its target. Records have no sequence and never do.
pub fn is_open(change: &Change) -> bool {
    change.spec.sequence > 0
        && change
            .status
            .as_ref()
            .map(|status| status.phase)
            .unwrap_or_default()
            .is_open()
}

fn open_changes(changes: &Store<Change>, object: &FeedbackPolicy, target: Option<&Snapshot>) -> Vec<Arc<Change>> {
    let uid = object.uid().unwrap_or_default();
    changes
        .state()
        .into_iter()
        .filter(|change| change.namespace() == object.namespace() && is_open(change))
        .filter(|change| {
            change.spec.policy.uid == uid || target.is_some_and(|target| target.uid == change.spec.target.uid)
        })
        .collect()
}

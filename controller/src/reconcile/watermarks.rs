//! The memory watermarks of a policy: whose memory counts, how full it is, and what was passed.

use super::{Pass, memory::Memory};
use crate::{observe::MarkReadings, record::name};
use flyball_core::{
    bytes::Bytes,
    evaluate::{
        RuleState,
        watermark::{By, Level, Observed, PodMemory, Subject, alerts, evaluate, furthest_over, observe, restored},
    },
    policy::{MemoryWatermark, Resource},
    signal::{Labels, Reading},
    time::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// The target's pods, as far as watermarks ask for them.
struct Own {
    /// Their names.
    pods: BTreeSet<String>,
    /// On which node each is.
    nodes: BTreeMap<String, String>,
    /// What each requests.
    requests: BTreeMap<String, Bytes>,
}

/// Evaluates them; their rules then say the same as the levels do.
pub(super) fn evaluate_all(pass: &Pass<'_>, memory: &mut Memory) {
    let own = own(pass);
    for (mark, read) in pass.policy.watermarks.iter().zip(&pass.seen.watermarks) {
        one(pass, memory, mark, read, own.as_ref());
    }
}

fn one(pass: &Pass<'_>, memory: &mut Memory, mark: &MemoryWatermark, read: &MarkReadings, own: Option<&Own>) {
    let now = pass.seen.now;
    let rules = Level::RAISED.map(|level| memory.rules.remove(&mark.alert(level)).unwrap_or_default());
    let before = memory.watermarks.remove(&mark.name);
    let before = before.unwrap_or_else(|| restored([&rules[0], &rules[1], &rules[2]], mark.by == By::Node));
    let at = sampled(read.sampled.as_ref(), mark.by, read.ratio.at);
    let mut observed = observe(&read.ratio, mark.by, |labels| at(labels));
    match own {
        Some(own) => observed.subjects.retain(|subject, _| is_ours(subject, mark, own)),
        None => {
            observed = Observed {
                absent: Some("the pods of the target are not known: grant list and watch on pods".to_owned()),
                ..Observed::default()
            };
        }
    }
    let (mut state, transitions) = evaluate(&mark.marks, &observed, &before, now);
    if let Some(own) = own {
        state.retain(|subject| is_ours(subject, mark, own));
    }
    let told = own.map(|own| told(own, read.used.as_ref())).unwrap_or_default();
    for transition in &transitions {
        pass.ctx.recorder.watermark(pass.object, &mark.name, transition);
    }
    for (level, previous) in Level::RAISED.into_iter().zip(&rules) {
        let name = mark.alert(level);
        let rule: RuleState = alerts((&name, level), &state, &observed, &read.ratio, &told, (previous, now));
        memory.rules.insert(name, rule);
    }
    let worst = state.worst(1).first().and_then(|(_, subject)| subject.value);
    pass.ctx
        .recorder
        .metrics
        .watermark(name(&pass.namespace, &pass.name), &mark.name, state.level(), worst);
    memory.watermarks.insert(mark.name.clone(), state);
}

fn own(pass: &Pass<'_>) -> Option<Own> {
    let uid = &pass.seen.found.snapshot.as_ref()?.uid;
    let placed = pass.ctx.cluster.pods.placed(uid)?;
    let named = |name: &str| name.to_owned();
    Some(Own {
        pods: placed.iter().map(|placed| named(&placed.pod.name)).collect(),
        nodes: placed
            .iter()
            .filter_map(|placed| Some((named(&placed.pod.name), placed.node.as_ref()?.to_string())))
            .collect(),
        requests: placed
            .iter()
            .map(|placed| {
                let all = placed.pod.requests.values();
                let memory = all.filter_map(|of| of.get(&Resource::Memory)).sum::<i64>() / 1000;
                (
                    named(&placed.pod.name),
                    Bytes::saturating(u64::try_from(memory).unwrap_or(0)),
                )
            })
            .collect(),
    })
}

/// Whether a subject is the target's: a container of one of its pods, or a node on which one runs.
fn is_ours(subject: &Subject, mark: &MemoryWatermark, own: &Own) -> bool {
    match subject {
        Subject::Container { pod, container } => {
            own.pods.contains(pod) && mark.container.as_ref().is_none_or(|only| only == container)
        }
        Subject::Node(node) => own.nodes.values().any(|known| known == node),
    }
}

/// Of each node the pod of the target that is furthest over its request.
fn told(own: &Own, used: Option<&Reading>) -> BTreeMap<String, String> {
    let used: BTreeMap<&String, f64> = used
        .filter(|reading| reading.is_fresh())
        .into_iter()
        .flat_map(Reading::samples)
        .filter_map(|sample| Some((sample.labels.get("pod")?, sample.value)))
        .collect();
    let mut by_node: BTreeMap<&String, Vec<PodMemory>> = BTreeMap::new();
    for (pod, node) in &own.nodes {
        by_node.entry(node).or_default().push(PodMemory {
            pod: pod.clone(),
            working_set: used.get(pod).and_then(|bytes| Bytes::nearest(*bytes)),
            request: own.requests.get(pod).copied().unwrap_or(Bytes::ZERO),
        });
    }
    let first = |(node, pods): (&String, Vec<PodMemory>)| {
        let first = furthest_over(&pods).into_iter().next()?;
        Some((node.clone(), first.pod))
    };
    by_node.into_iter().filter_map(first).collect()
}

/// When each series was sampled, where that was asked; else when it was read.
fn sampled(read: Option<&Reading>, by: By, at: Timestamp) -> impl Fn(&Labels) -> Timestamp {
    let key = move |labels: &Labels| -> String {
        let of = |name: &str| labels.get(name).cloned().unwrap_or_default();
        match by {
            By::Container => format!("{}/{}", of("pod"), of("container")),
            By::Node => of("node"),
        }
    };
    let times: BTreeMap<String, Timestamp> = read
        .into_iter()
        .flat_map(Reading::samples)
        .filter(|sample| sample.value.is_finite() && sample.value > 0.0)
        .map(|sample| {
            #[allow(clippy::cast_possible_truncation)] // Seconds since 1970.
            let millis = (sample.value * 1000.0) as i64;
            (key(&sample.labels), Timestamp::from_millis(millis))
        })
        .collect();
    move |labels| times.get(&key(labels)).copied().unwrap_or(at)
}

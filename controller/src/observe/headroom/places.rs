//! Places on nodes: what is allocatable less what is requested, node by node.

use super::prospect::{Prospect, Side};
use crate::observe::{nodes::Node, pods::Held, quantity::plain, wire::TaintWire};
use flyball_core::{check::Headroom, policy::Replicas};
use k8s_openapi::api::core::v1::Toleration;
use std::sync::Arc;

/// The label by which a node shows that Karpenter made it.
const KARPENTER: &str = "karpenter.sh/nodepool";

/// How many replicas find a place. `placed` is the number of the target's pods that have one.
///
/// Each node holds as many more as fit into what is left of its cores, its memory and its number of
/// pods. Taints and the node selector count; affinity, topology spread and other pods that wait for a
/// place do not, so there may be fewer places than this.
pub fn room(nodes: &[(Arc<Node>, Held)], prospect: &Prospect, placed: u32) -> Headroom {
    let by = super::NODES.to_owned();
    if nodes.iter().any(|(node, _)| node.labels.contains_key(KARPENTER)) {
        return Headroom {
            by,
            limit: Err(format!("nodes are added on demand (label {KARPENTER})")),
            arithmetic: String::new(),
        };
    }
    let whole = prospect.whole(Side::Requests);
    let need = |name: &str| whole.get(name).copied().unwrap_or(0);
    let (cpu, memory) = (need("cpu"), need("memory"));
    let open: Vec<_> = nodes.iter().filter(|(node, _)| takes(node, prospect)).collect();
    let more: i64 = open
        .iter()
        .map(|(node, held)| {
            [
                places(node.cpu.saturating_sub(held.cpu), cpu),
                places(node.memory.saturating_sub(held.memory), memory),
                node.pods.saturating_sub(i64::from(held.pods)).max(0),
            ]
            .into_iter()
            .min()
            .unwrap_or(0)
        })
        .fold(0, i64::saturating_add);
    let arithmetic = format!(
        "{} of {} nodes take such pods and have places for {more} more of {} cpu and {} memory beside the {placed} placed ones",
        open.len(),
        nodes.len(),
        plain("cpu", cpu),
        plain("memory", memory),
    );
    Headroom {
        by,
        limit: Ok(Replicas::nearest(i64::from(placed).saturating_add(more))),
        arithmetic,
    }
}

/// How often `need` fits into what is free; what nothing is needed of does not limit.
fn places(free: i64, need: i64) -> i64 {
    if need > 0 { free.max(0) / need } else { i64::MAX }
}

fn takes(node: &Node, prospect: &Prospect) -> bool {
    let spec = &prospect.spec;
    let mut wanted = spec.node_selector.iter().flatten();
    let mut taints = node.taints.iter().filter(|taint| taint.effect != "PreferNoSchedule");
    node.open
        && wanted.all(|(key, value)| node.labels.get(key) == Some(value))
        && taints.all(|taint| spec.tolerations.iter().flatten().any(|each| tolerates(each, taint)))
}

fn tolerates(toleration: &Toleration, taint: &TaintWire) -> bool {
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, effect) = (given(&toleration.key), given(&toleration.effect));
    let same_value = match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => given(&toleration.value) == taint.value,
        Some(_) => false,
    };
    // An empty key tolerates every taint, an empty effect every effect.
    (effect.is_empty() || effect == taint.effect) && (key.is_empty() || key == taint.key) && same_value
}

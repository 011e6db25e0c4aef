//! What is known of the chapter, and what moved since: from objects to plain sentences.

use super::{BACKENDS, story::Act};
use crate::demo::world::phase;
use flyball_crds::{Change, Phase, WeightMove};
use jiff::Timestamp;
use kube::ResourceExt;
use std::collections::BTreeMap;

/// One look at route, traffic, policy and Changes.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The weights of the route by backend.
    pub weights: BTreeMap<String, i64>,
    /// Whether the route is Accepted and its references are resolved.
    pub accepted: bool,
    /// Requests a second by backend, as the gateway tells.
    pub served: BTreeMap<String, f64>,
    /// The part of the requests that fails.
    pub failing: Option<f64>,
    /// The Changes.
    pub changes: Vec<Change>,
    /// What the policy is doing.
    pub doing: String,
}

/// One row of the series: parts from 0 to 1, in the order of [`BACKENDS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was taken.
    pub at: Timestamp,
    /// The share of each backend by the weights.
    pub wanted: [f64; 3],
    /// The share of each backend of the requests that were served.
    pub served: [Option<f64>; 3],
    /// The part of the requests that failed.
    pub failing: Option<f64>,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The series, oldest first.
    pub samples: Vec<Sample>,
    /// The Changes, by name.
    pub changes: BTreeMap<String, Change>,
    /// What was done to the backends, and when.
    pub marks: Vec<(Timestamp, Act)>,
    /// Whether the gateway says that all is well with the route.
    pub accepted: bool,
    /// What the policy is doing.
    pub doing: String,
}

impl Known {
    /// The part of the requests that fails.
    pub fn failing(&self) -> Option<f64> {
        self.samples.last()?.failing
    }

    /// The share of a backend by the weights.
    pub fn share(&self, index: usize) -> Option<f64> {
        self.samples.last()?.wanted.get(index).copied()
    }

    /// The Changes that wrote or will write weights, in their order.
    pub fn written(&self) -> Vec<&Change> {
        let mut all: Vec<&Change> = self
            .changes
            .values()
            .filter(|change| change.spec.sequence > 0)
            .collect();
        all.sort_by_key(|change| change.spec.sequence);
        all
    }

    /// Whether a Change is under way.
    pub fn is_busy(&self) -> bool {
        self.written().iter().any(|change| phase(change).is_open())
    }

    /// Takes in what was seen, and tells what is new about it.
    pub fn see(&mut self, seen: Seen, now: Timestamp) -> Vec<String> {
        let all: f64 = seen.served.values().sum();
        #[allow(clippy::cast_precision_loss)] // Small weights.
        let (weight, total) = (
            |name: &str| seen.weights.get(name).copied().unwrap_or(0) as f64,
            seen.weights.values().sum::<i64>().max(1) as f64,
        );
        self.samples.push(Sample {
            at: now,
            wanted: BACKENDS.map(|(name, _)| weight(name) / total),
            served: BACKENDS.map(|(name, _)| (all > 0.0).then(|| seen.served.get(name).copied().unwrap_or(0.0) / all)),
            failing: seen.failing,
        });
        self.accepted = seen.accepted;
        self.doing = seen.doing;
        let mut told = Vec::new();
        for change in seen.changes {
            let before = self.changes.insert(change.name_any(), change.clone());
            let (was, is) = (before.as_ref().map(phase), phase(&change));
            if change.spec.sequence == 0 || was == Some(is) {
                continue;
            }
            if was.is_none() {
                told.push(format!("{}: {}", change.spec.shift, change.spec.reason));
            }
            told.extend(ended(&change, is));
        }
        told
    }
}

/// Why a Change moves weights.
pub fn why(change: &Change) -> Option<WeightMove> {
    change.spec.weights.as_ref().map(|moved| moved.why)
}

/// The share that a Change gives a backend.
pub fn share_after(change: &Change, backend: &str) -> f64 {
    let after = change.spec.weights.as_ref().map(|moved| moved.after.as_slice());
    let after = after.unwrap_or_default();
    let total: i32 = after.iter().map(|entry| entry.weight).sum();
    let weight = after
        .iter()
        .find(|entry| entry.backend == backend)
        .map_or(0, |entry| entry.weight);
    f64::from(weight) / f64::from(total.max(1))
}

/// How a Change ended.
fn ended(change: &Change, is: Phase) -> Option<String> {
    let status = change.status.as_ref();
    let why = status
        .and_then(|status| status.verdict.as_ref())
        .map(|verdict| verdict.message.clone());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Some(match is {
        Phase::Committed => format!("verified and committed{why}"),
        Phase::Applying | Phase::Verifying => return None,
        other => format!("{}{why}", format!("{other:?}").to_lowercase()),
    })
}

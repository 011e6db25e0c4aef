//! Which pod is the first to give memory back.

use crate::bytes::Bytes;

/// A pod's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodMemory {
    /// Its name.
    pub pod: String,
    /// Its working set; `None`: not known.
    pub working_set: Option<Bytes>,
    /// The sum of its containers' requests; zero where it requests nothing.
    pub request: Bytes,
}

/// How far a pod is over its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Its name.
    pub pod: String,
    /// Working set less request, in bytes; negative where it is within.
    pub over: i64,
}

/// The pods, furthest over their request first, as the kubelet ranks pods of one priority for eviction; of equals
/// the first by name. A pod whose working set is not known is not among them: it is never chosen for that.
pub fn furthest_over(pods: &[PodMemory]) -> Vec<Over> {
    let mut ranked: Vec<Over> = pods
        .iter()
        .filter_map(|pod| {
            let working_set = pod.working_set?;
            Some(Over {
                pod: pod.pod.clone(),
                over: signed(working_set) - signed(pod.request),
            })
        })
        .collect();
    ranked.sort_by(|a, b| b.over.cmp(&a.over).then_with(|| a.pod.cmp(&b.pod)));
    ranked
}

/// At most 2^50.
fn signed(bytes: Bytes) -> i64 {
    i64::try_from(bytes.get()).unwrap_or(i64::MAX)
}

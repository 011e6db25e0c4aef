//! How a pod is relieved that runs out of memory, and what a transaction on a pod moves.

use crate::{bytes::Bytes, time::Span};
use std::{fmt, str::FromStr};

/// How a pod is relieved: at least one of the two, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relieve {
    /// By more memory, in place.
    pub resize: Option<Resize>,
    /// By an eviction.
    pub evict: Option<Evict>,
}

/// How a container's memory limit is raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resize {
    /// The container; `None`: the one that the alert names, or the only one.
    pub container: Option<String>,
    /// By how many percent, 1 to 100.
    pub percent: u32,
    /// The highest limit.
    pub max: Bytes,
    /// A pod is resized no more often.
    pub every: Span,
    /// By when its alerts must have ended.
    pub within: Span,
}

/// How a pod is evicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evict {
    /// No more than one pod of a workload in so long.
    pub every: Span,
    /// By when as many must be ready as before.
    pub within: Span,
}

/// What a container may use, and what is kept free for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PodMemory {
    /// Its limit.
    pub limit: Bytes,
    /// Its request, if it has one.
    pub request: Option<Bytes>,
}

/// A pod as a transaction on it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PodState {
    /// A container of it has this much memory: what a resize moves.
    Memory(PodMemory),
    /// It is there: what an eviction finds.
    There,
    /// It is gone, or on its way out.
    Evicted,
}

/// What an eviction finds.
const THERE: &str = "there";
/// What it leaves.
const EVICTED: &str = "evicted";

impl PodMemory {
    /// A limit raised by so many percent, in whole MiB and by one of them at least, to `max` at most. A request that is the limit stays
    /// the limit, so that the pod keeps its class. `None`: the limit is there already, or above it.
    pub fn raised(self, percent: u32, max: Bytes) -> Option<Self> {
        const MIB: u64 = 1 << 20;
        let more = self.limit.plus(self.limit.percent(percent)).get() / MIB * MIB;
        let more = Bytes::saturating(more).max(self.limit.plus(Bytes::from_mib(1)));
        let limit = more.min(max);
        (limit > self.limit).then(|| Self {
            limit,
            request: self
                .request
                .map(|request| if request == self.limit { limit } else { request }),
        })
    }

    /// By how much the request rises to become that of `after`.
    pub fn needs(self, after: Self) -> Bytes {
        let of = |memory: Self| memory.request.unwrap_or(Bytes::ZERO);
        of(after).minus(of(self))
    }
}

impl PodState {
    /// As a Change records it, in bytes; it is read back from there.
    pub fn record(&self) -> String {
        match self {
            Self::Memory(PodMemory { limit, request }) => {
                let request = request.map_or_else(String::new, |request| format!(" request={}", request.get()));
                format!("limit={}{request}", limit.get())
            }
            Self::There => THERE.to_owned(),
            Self::Evicted => EVICTED.to_owned(),
        }
    }
}

/// For people.
impl fmt::Display for PodState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(memory) => write!(f, "a memory limit of {}", memory.limit),
            Self::There => f.write_str("the pod"),
            Self::Evicted => f.write_str("the eviction"),
        }
    }
}

/// Why a text says nothing of a pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither there, evicted, nor limit=BYTES request=BYTES")]
pub struct PodStateError(String);

impl FromStr for PodState {
    type Err = PodStateError;

    fn from_str(text: &str) -> Result<Self, PodStateError> {
        match text {
            THERE => return Ok(Self::There),
            EVICTED => return Ok(Self::Evicted),
            _ => {}
        }
        let error = || PodStateError(text.to_owned());
        let (mut limit, mut request) = (None, None);
        for word in text.split(' ') {
            let (key, number) = word.split_once('=').ok_or_else(error)?;
            let bytes = number.parse().ok().and_then(Bytes::new).ok_or_else(error)?;
            let slot = match key {
                "limit" => &mut limit,
                "request" => &mut request,
                _ => return Err(error()),
            };
            if slot.replace(bytes).is_some() {
                return Err(error());
            }
        }
        let limit = limit.ok_or_else(error)?;
        Ok(Self::Memory(PodMemory { limit, request }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_rises_in_whole_mebibytes_up_to_its_bound_and_a_request_that_is_the_limit_with_it() {
        const MIB: u64 = 1 << 20;
        let bytes = |bytes: u64| Bytes::new(bytes).expect("an amount");
        let check = |limit: u64, request: Option<u64>, percent, max: u64, expect: Option<(u64, Option<u64>)>| {
            let memory = PodMemory {
                limit: bytes(limit),
                request: request.map(bytes),
            };
            let raised = memory.raised(percent, bytes(max));
            let found = raised.map(|to| (to.limit.get(), to.request.map(Bytes::get)));
            assert_eq!(found, expect, "{limit} {request:?} {percent} {max}");
        };
        check(64 * MIB, None, 25, 1024 * MIB, Some((80 * MIB, None)));
        check(
            64 * MIB,
            Some(64 * MIB),
            25,
            1024 * MIB,
            Some((80 * MIB, Some(80 * MIB))),
        );
        check(
            64 * MIB,
            Some(32 * MIB),
            25,
            1024 * MIB,
            Some((80 * MIB, Some(32 * MIB))),
        );
        // 125 MB are 119.2 MiB, so 119 of them.
        check(100_000_000, None, 25, 1024 * MIB, Some((119 * MIB, None)));
        check(2 * MIB, None, 1, 1024 * MIB, Some((3 * MIB, None)));
        check(
            64 * MIB,
            Some(64 * MIB),
            100,
            70 * MIB,
            Some((70 * MIB, Some(70 * MIB))),
        );
        check(70 * MIB, None, 25, 70 * MIB, None);
        check(90 * MIB, None, 25, 70 * MIB, None);
    }

    #[test]
    fn a_state_reads_back_as_it_was_written() {
        for text in ["there", "evicted", "limit=67108864", "limit=67108864 request=1"] {
            assert_eq!(text.parse::<PodState>().expect(text).record(), text);
        }
        for text in [
            "",
            "gone",
            "limit",
            "limit=x",
            "request=1",
            "limit=1 limit=2",
            "limit=1 cpu=2",
            "limit=-1",
        ] {
            text.parse::<PodState>().expect_err(text);
        }
    }
}

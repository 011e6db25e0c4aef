//! What a process could give back: garbage is anonymous memory, so neither the kernel's `MemAvailable` nor the
//! kubelet sees any of it as reclaimable.

use super::{
    Worked,
    heap::{Gogc, Heap},
    profile::{NotKnown, Profile, Quantity, needed},
};
use crate::bytes::Bytes;

/// What the runtime holds and could do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// Heap that is free and was not given back (`/memory/classes/heap/free:bytes`).
    pub free: Bytes,
    /// Heap in spans that nothing uses (`/memory/classes/heap/unused:bytes`).
    pub unused: Bytes,
    /// The heap goal (`/gc/heap/goal:bytes`).
    pub goal: Bytes,
}

/// (free + unused) + max(0, goal - goal at the lowest GOGC). The second part is what the heap would not grow to any
/// more, so it is the most that comes back, right before a collection; right after one it is free already.
pub fn reclaimable(heap: Heap, held: Held, lowest: Gogc) -> Bytes {
    held.free.plus(held.unused).plus(held.goal.minus(least(heap, lowest)))
}

/// L + (L + R) * GOGC / 100.
fn least(heap: Heap, lowest: Gogc) -> Bytes {
    heap.live().plus(heap.headroom(lowest))
}

/// The same for a profile; `heap goal` is that of the GOGC and soft limit in force.
pub fn of(profile: &Profile, free: Bytes, unused: Bytes, lowest: Gogc) -> Worked<Result<Bytes, NotKnown>> {
    Worked::of(|lines| {
        let heap = profile.heap()?;
        let gogc = needed(Quantity::Gogc, &profile.gogc)?;
        let limit = needed(Quantity::SoftLimit, &profile.soft_limit)?;
        let goal = heap
            .effective(Some(gogc), limit)
            .map_or(Bytes::ZERO, |effective| effective.goal);
        let bytes = reclaimable(heap, Held { free, unused, goal }, lowest);
        lines.push(format!(
            "reclaimable = {free} free + {unused} unused + max(0, {goal} goal - {} goal at GOGC {lowest}) = {bytes}",
            least(heap, lowest)
        ));
        Ok(bytes)
    })
}

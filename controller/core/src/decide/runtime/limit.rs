//! The soft memory limit, the predicted peak, and the guard against a limit that makes the collector spin.
//!
//! The smaller of the two heap goals wins, so no floor of GOGC guards against a limit that is too low: the process
//! collects without end and its memory rises above the limit all the same. Only a higher limit, or none, breaks that.

use super::{
    Worked,
    heap::{Effective, Gogc, GogcBounds, Heap},
    profile::{NotKnown, Profile, Quantity, needed},
};
use crate::bytes::Bytes;

/// The most of the container's limit that a soft limit takes, in percent.
pub const OF_CONTAINER_PERCENT: u32 = 90;
/// What is kept free beside unmanaged memory: so many percent of the container's limit ...
pub const RESERVE_PERCENT: u32 = 3;
/// ... and at least so much.
pub const RESERVE: Bytes = Bytes::from_mib(32);
/// A limit leaves at least so many percent of live heap and roots (κ).
pub const ROOM_PERCENT: u32 = 150;
/// The predicted peak takes at most so many percent of the container's limit.
pub const PEAK_PERCENT: u32 = 85;
/// No limit is proposed under which the effective GOGC would be lower: the square-root rule does not hold there.
pub const LOWEST_EFFECTIVE: u32 = GogcBounds::FLOOR;

/// The container is too small for what lives in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are {have} where {need} are needed: raise the container's memory limit by {}, or make what lives in it smaller",
    need.minus(*have)
)]
pub struct NeedsMemory {
    /// What there is.
    pub have: Bytes,
    /// What is needed.
    pub need: Bytes,
}

/// A limit under which the collector would spin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a soft limit of {limit} would mean an effective GOGC of {effective}, below {LOWEST_EFFECTIVE}, whatever GOGC is \
     set: propose {at_least} or more, or none"
)]
pub struct Spiral {
    /// The limit that is refused.
    pub limit: Bytes,
    /// The effective GOGC under it, in percent, rounded down.
    pub effective: u64,
    /// The smallest limit that is not refused.
    pub at_least: Bytes,
}

/// Why there is to be no soft limit.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoLimit {
    /// Something is not known: what is set stays.
    #[error("{0}; the soft limit stays as it is")]
    NotKnown(#[from] NotKnown),
    /// The container has no limit, so a soft one has nothing to keep away from.
    #[error("the container has no memory limit; set one, or leave the heap to GOGC")]
    Unlimited,
    /// It would not hold: a soft limit is no shield against being killed.
    #[error("no soft limit fits: {0}")]
    NeedsMemory(#[from] NeedsMemory),
    /// It would be refused.
    #[error(transparent)]
    Spiral(#[from] Spiral),
}

/// What the limit law comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The soft limit.
    pub limit: Bytes,
    /// What the limit alone leaves of GOGC.
    pub effective: Effective,
}

/// The law: min(0.90 M, M - N - max(32 MiB, 3 % of M)), where that is at least 1.5 (L + R) + O.
pub fn law(heap: Heap, container: Bytes, unmanaged: Bytes) -> Worked<Result<Bytes, NeedsMemory>> {
    Worked::of(|lines| {
        let part = container.percent(OF_CONTAINER_PERCENT);
        let reserve = container.percent_up(RESERVE_PERCENT).max(RESERVE);
        let rest = container.minus(unmanaged).minus(reserve);
        let have = part.min(rest);
        lines.push(format!(
            "limit = min(0.90 * {container}, {container} - {unmanaged} unmanaged - {reserve} reserve) = min({part}, {rest}) = {have}"
        ));
        let need = heap.base().percent_up(ROOM_PERCENT).plus(heap.other());
        lines.push(format!(
            "it needs 1.5 * ({} live + {} roots) + {} other = {need}",
            heap.live(),
            heap.roots(),
            heap.other(),
        ));
        if have >= need {
            Ok(have)
        } else {
            Err(NeedsMemory { have, need })
        }
    })
}

/// Refuses a limit under which the effective GOGC is below [`LOWEST_EFFECTIVE`], and tells what it would be.
pub fn guard(heap: Heap, limit: Bytes) -> Worked<Result<Effective, Spiral>> {
    Worked::of(|lines| {
        let goal = heap.goal_under(limit);
        lines.push(format!(
            "goal under {limit} = ({limit} - {} other) less 3 % and at least 1 MiB, not below {} live: {goal}",
            heap.other(),
            heap.live(),
        ));
        let percent = heap.percent(goal.minus(heap.live()));
        lines.push(format!(
            "effective GOGC = 100 * ({goal} - {} live) / {} live and roots = {percent}, not below {LOWEST_EFFECTIVE}",
            heap.live(),
            heap.base(),
        ));
        if percent >= u64::from(LOWEST_EFFECTIVE) {
            let ruler = super::heap::Ruler::Limit;
            return Ok(Effective { goal, percent, ruler });
        }
        Err(Spiral {
            limit,
            effective: percent,
            at_least: heap.smallest_limit(Gogc::nearest(u64::from(LOWEST_EFFECTIVE))),
        })
    })
}

/// The limit law and the guard, for one process.
pub fn limit(profile: &Profile) -> Worked<Result<Limited, NoLimit>> {
    Worked::of(|lines| {
        let heap = profile.heap()?;
        let unmanaged = needed(Quantity::Unmanaged, &profile.unmanaged)?;
        let container = needed(Quantity::Limit, &profile.limit)?.ok_or(NoLimit::Unlimited)?;
        let limit = law(heap, container, unmanaged).told(lines)?;
        let effective = guard(heap, limit).told(lines)?;
        Ok(Limited { limit, effective })
    })
}

/// What the predicted peak leaves for headroom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// E, never more than was asked for.
    pub headroom: Bytes,
    /// Whether it is less than was asked for.
    pub shrunk: bool,
}

/// Keeps L + E + O + N within 0.85 M by making E smaller, never larger. Without a limit of the container it stays
/// as it is.
pub fn shrink(profile: &Profile, headroom: Bytes) -> Worked<Result<Shrunk, NotKnown>> {
    Worked::of(|lines| {
        let heap = profile.heap()?;
        let unmanaged = needed(Quantity::Unmanaged, &profile.unmanaged)?;
        let Some(container) = needed(Quantity::Limit, &profile.limit)? else {
            return Ok(Shrunk {
                headroom,
                shrunk: false,
            });
        };
        let most = container.percent(PEAK_PERCENT);
        let room = most.minus(heap.live()).minus(heap.other()).minus(unmanaged);
        lines.push(format!(
            "room for headroom = 0.85 * {container} - {} live - {} other - {unmanaged} unmanaged = {room}",
            heap.live(),
            heap.other(),
        ));
        Ok(Shrunk {
            headroom: headroom.min(room),
            shrunk: headroom > room,
        })
    })
}

/// Whether the container is too small for the lowest GOGC: then nothing that a knob does brings the peak down.
pub fn fits(profile: &Profile, lowest: Gogc) -> Result<Option<NeedsMemory>, NotKnown> {
    let heap = profile.heap()?;
    let unmanaged = needed(Quantity::Unmanaged, &profile.unmanaged)?;
    let Some(container) = needed(Quantity::Limit, &profile.limit)? else {
        return Ok(None);
    };
    let peak = heap
        .live()
        .plus(heap.headroom(lowest))
        .plus(heap.other())
        .plus(unmanaged);
    let need = Bytes::saturating(peak.get().saturating_mul(100).div_ceil(u64::from(PEAK_PERCENT)));
    Ok((need > container).then_some(NeedsMemory { have: container, need }))
}

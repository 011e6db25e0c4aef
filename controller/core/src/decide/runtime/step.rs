//! One step of a knob: the law, its clamps, and how fast.
//!
//! Law 9 in a stronger form: where anything is missing or stale nothing moves, in neither direction, because the
//! other direction takes memory that others need.

use super::{
    Worked,
    heap::{Gogc, GogcBounds},
    limit::{NeedsMemory, NoLimit, fits, guard, limit, shrink},
    peak::{NoRaise, may_raise},
    price::{self, Lambda, price},
    profile::{NotKnown, Profile, Quantity, needed},
    slew::{Rest, Since, slew},
};
use crate::bytes::Bytes;

/// What a step of GOGC goes by.
#[derive(Clone, Copy, Debug)]
pub struct GogcStep<'a> {
    /// What is known.
    pub profile: &'a Profile,
    /// The price of memory for this process, under pressure as it is ([`super::Pressure::price`]).
    pub lambda: Lambda,
    /// Its bounds.
    pub bounds: GogcBounds,
    /// What happened since the last step; `None`: nothing was set yet.
    pub last: Option<Since>,
    /// Whether nothing may be tightened ([`super::Pressure::frozen`]).
    pub frozen: bool,
}

/// Why a knob is not moved.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Stay {
    /// Something is not known.
    #[error("{0}; it stays as it is")]
    NotKnown(#[from] NotKnown),
    /// It is near enough, or it is too early.
    #[error("{0}")]
    Rest(Rest),
    /// It would be raised, and may not be.
    #[error("it is not raised: {0}")]
    NoRaise(#[from] NoRaise),
    /// It would be tightened in an emergency.
    #[error("it is not tightened in an emergency: collections cost CPU; evict or shed load")]
    Frozen,
}

/// What a step of GOGC comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct GogcAnswer {
    /// The next value, or why there is none.
    pub next: Result<Gogc, Stay>,
    /// Where it is heading, as far as it could be calculated.
    pub wanted: Option<Gogc>,
    /// The container is too small even for the lowest GOGC: a condition of its own, beside the step.
    pub needs_memory: Option<NeedsMemory>,
}

/// The next GOGC: price, predicted peak, bounds, whether it may be raised, how fast.
pub fn gogc(step: GogcStep<'_>) -> Worked<GogcAnswer> {
    let mut wanted = None;
    let mut needs_memory = None;
    let next = Worked::of(|lines| {
        let profile = step.profile;
        let now = needed(Quantity::Gogc, &profile.gogc)?;
        let priced = price(profile, step.lambda, step.bounds).told(lines)?;
        let shrunk = shrink(profile, priced.optimum).told(lines)?;
        let (percent, goal) = price::gogc(profile.heap()?, shrunk.headroom, step.bounds);
        if shrunk.shrunk {
            lines.push(format!(
                "GOGC for a headroom of {} = {percent}, within {} to {}: {goal}",
                shrunk.headroom,
                step.bounds.min(),
                step.bounds.max()
            ));
        }
        wanted = Some(goal);
        needs_memory = fits(profile, step.bounds.min())?;
        if goal > now {
            may_raise(profile).told(lines)?;
        } else if goal < now && step.frozen {
            return Err(Stay::Frozen);
        }
        let next = slew(now.get().into(), goal.get().into(), step.last).map_err(Stay::Rest)?;
        let next = Gogc::nearest(next);
        lines.push(format!("a step of at most 1.5 from {now} towards {goal}: {next}"));
        Ok(next)
    });
    Worked {
        answer: GogcAnswer {
            next: next.answer,
            wanted,
            needs_memory,
        },
        arithmetic: next.arithmetic,
    }
}

/// What a step of the soft limit comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum LimitAnswer {
    /// It is to be this.
    Set(Bytes),
    /// The one that is set is to go: no limit that would hold is safe, so there is none.
    Lift(NoLimit),
    /// It stays as it is, because none would be safe and none is set.
    None(NoLimit),
    /// It stays as it is.
    Stay(Stay),
}

/// The next soft limit. The first is set at once; from then on it moves by steps like GOGC, and is raised only where
/// headroom may be. What ends a spiral waits for nothing of that: a limit that does not fit any more is lifted, and
/// one under which the collector spins is replaced, at once, on what is fresh alone.
pub fn soft_limit(profile: &Profile, last: Option<Since>, frozen: bool) -> Worked<LimitAnswer> {
    Worked::of(|lines| {
        let now = match needed(Quantity::SoftLimit, &profile.soft_limit) {
            Ok(now) => now,
            Err(why) => return LimitAnswer::Stay(why.into()),
        };
        let wanted = match (limit(profile).told(lines), now) {
            (Ok(limited), _) => limited.limit,
            (Err(NoLimit::NotKnown(why)), _) => return LimitAnswer::Stay(why.into()),
            (Err(why), None) => return LimitAnswer::None(why),
            (Err(why), Some(_)) => return LimitAnswer::Lift(why),
        };
        let Some(now) = now else {
            return LimitAnswer::Set(wanted);
        };
        let spins = match profile.heap() {
            Ok(heap) => guard(heap, now).answer.is_err(),
            Err(why) => return LimitAnswer::Stay(why.into()),
        };
        if spins && wanted > now {
            lines.push(format!("under {now} the collector spins: {wanted} at once"));
            return LimitAnswer::Set(wanted);
        }
        if wanted < now && frozen {
            return LimitAnswer::Stay(Stay::Frozen);
        }
        if wanted > now
            && let Err(why) = may_raise(profile).told(lines)
        {
            return LimitAnswer::Stay(why.into());
        }
        match slew(now.get(), wanted.get(), last) {
            Ok(next) => {
                let next = Bytes::saturating(next);
                lines.push(format!("a step of at most 1.5 from {now} towards {wanted}: {next}"));
                LimitAnswer::Set(next)
            }
            Err(rest) => LimitAnswer::Stay(Stay::Rest(rest)),
        }
    })
}

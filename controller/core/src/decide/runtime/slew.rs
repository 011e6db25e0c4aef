//! How fast a knob may move.
//!
//! A step takes effect with the next collection, and is seen with the scrape after it. So both are counted, not
//! seconds: an idle process may not collect for minutes.

use std::fmt;

/// A step is at most so many halves of what there is: times 1.5 up, divided by 1.5 down.
const STEP: (u64, u64) = (3, 2);
/// What lies within so many percent of what there is stays.
pub const DEAD_BAND_PERCENT: u64 = 10;
/// So many collections have to end between two steps ...
pub const CYCLES: u64 = 3;
/// ... and so many scrapes have to be seen.
pub const SCRAPES: u64 = 2;

/// What happened since the last step; `None`: not known, so there is no step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Since {
    /// Collections that ended.
    pub cycles: Option<u64>,
    /// Scrapes that were seen.
    pub scrapes: Option<u64>,
}

/// Why a knob stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rest {
    /// It is where it is wanted.
    There,
    /// It is near enough.
    DeadBand,
    /// Too few collections since the last step; `None`: not known how many.
    Cycles(Option<u64>),
    /// Too few scrapes since the last step; `None`: not known how many.
    Scrapes(Option<u64>),
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |f: &mut fmt::Formatter<'_>, have: Option<u64>, what: &str, need: u64| match have {
            Some(have) => write!(f, "{have} of {need} {what} since the last step"),
            None => write!(f, "how many {what} there were since the last step is not known"),
        };
        match self {
            Self::There => f.write_str("it is where it is wanted"),
            Self::DeadBand => write!(f, "it is within {DEAD_BAND_PERCENT} % of what is wanted"),
            Self::Cycles(have) => count(f, *have, "collections", CYCLES),
            Self::Scrapes(have) => count(f, *have, "scrapes", SCRAPES),
        }
    }
}

/// The next value of a knob that is at `now` and wanted at `wanted`. `last` is what happened since the last step of
/// ours; `None`: we have set nothing yet, so there is nothing to wait for, and the dead band does not count, because
/// what is there was nobody's decision on the same grounds.
pub fn slew(now: u64, wanted: u64, last: Option<Since>) -> Result<u64, Rest> {
    if wanted == now {
        return Err(Rest::There);
    }
    if let Some(since) = last {
        let enough = |have: Option<u64>, need: u64| have.is_some_and(|have| have >= need);
        if u128::from(wanted.abs_diff(now)) * 100 <= u128::from(now) * u128::from(DEAD_BAND_PERCENT) {
            return Err(Rest::DeadBand);
        }
        if !enough(since.cycles, CYCLES) {
            return Err(Rest::Cycles(since.cycles));
        }
        if !enough(since.scrapes, SCRAPES) {
            return Err(Rest::Scrapes(since.scrapes));
        }
    }
    let (down, up) = reach(now);
    Ok(wanted.clamp(down, up))
}

/// The furthest down and up. Rounded towards `now`, but at least by one: the smallest numbers would never move.
fn reach(now: u64) -> (u64, u64) {
    let (numerator, denominator) = STEP;
    let up = u128::from(now) * u128::from(numerator) / u128::from(denominator);
    let down = (u128::from(now) * u128::from(denominator)).div_ceil(u128::from(numerator));
    let number = |wide: u128| u64::try_from(wide).unwrap_or(u64::MAX);
    (
        number(down).min(now.saturating_sub(1)),
        number(up).max(now.saturating_add(1)),
    )
}

//! Recurring times: from one cron expression to another, in a time zone.
//!
//! A wall clock skips times and shows times twice where a zone changes its offset. Here each time that
//! cron names is one instant: a time that is skipped counts when the clock goes on, a time that comes
//! twice counts the first time. So no start is ever lost, which would leave a workload without its floor
//! for a day; and what lies wholly within the skipped hour does not come on that day.

mod cron;
mod zone;

pub use cron::{Cron, CronError, MAX_BYTES};
pub use zone::{ZoneError, zone};

use flyball_core::{policy::Window, time::Timestamp};
use jiff::{
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use std::fmt;

/// A recurring span of time: from each start, included, to the next end, excluded.
///
/// As in KEDA's cron scaler, with two cases settled that it leaves to the order of its comparisons: a
/// second start before the end changes nothing, and a start at the very time of an end begins anew.
#[derive(Clone, PartialEq, Eq)]
pub struct Recurring {
    start: Cron,
    end: Cron,
    zone: TimeZone,
    text: String,
}

impl Recurring {
    /// The times from `start` to `end` by the clock of `zone`; `None` where both are always the same
    /// time, so that nothing lies between them.
    pub fn new(start: Cron, end: Cron, zone: TimeZone) -> Option<Self> {
        if start.same_times(&end) {
            return None;
        }
        let name = zone.iana_name().unwrap_or("UTC");
        let text = format!("{} to {} {name}", start.text(), end.text());
        Some(Self { start, end, zone, text })
    }

    /// The last time of `cron` at or before `at`, with its instant: two times that a clock skips are one
    /// instant, and still one before the other.
    fn last(&self, cron: &Cron, at: jiff::Timestamp) -> Option<(jiff::Timestamp, DateTime)> {
        let come = |time: DateTime| instant(&self.zone, time).is_some_and(|instant| instant <= at);
        // A clock that goes back over midnight shows yesterday after a time of today.
        let here = self.zone.to_datetime(at).date();
        let from = here.tomorrow().unwrap_or(here);
        let time = cron.last(from, come)?;
        Some((instant(&self.zone, time)?, time))
    }
}

impl Window for Recurring {
    fn contains(&self, at: Timestamp) -> bool {
        // Outside of the calendar there is no time of day.
        let Ok(at) = jiff::Timestamp::from_millisecond(at.as_millis()) else {
            return false;
        };
        match (self.last(&self.start, at), self.last(&self.end, at)) {
            (Some(start), Some(end)) => start >= end,
            (start, None) => start.is_some(),
            (None, Some(_)) => false,
        }
    }

    fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Recurring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recurring").field(&self.text).finish()
    }
}

/// The one instant of a time. Later times never have earlier instants.
fn instant(zone: &TimeZone, time: DateTime) -> Option<jiff::Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    let skipped = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
    let earlier = ambiguous.earlier().ok()?;
    if skipped {
        // It was read with the offset of after the gap, so it lies before it.
        return zone.following(earlier).next().map(|transition| transition.timestamp());
    }
    Some(earlier)
}

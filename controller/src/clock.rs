//! The one clock of the process, and how its instants are written.

use flyball_core::time::{Span, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use std::time::Instant;

/// Now, by the wall clock.
pub fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// A clock that shows what the wall's showed when it was made and then runs steadily: a pause that is measured
/// with it is neither cut short nor drawn out when the wall's is set.
pub fn steady() -> impl Fn() -> Timestamp + Send + Sync {
    let (began, base) = (Instant::now(), now());
    move || base + Span::from_millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// An instant as a journal holds it.
pub fn micro_time(at: Timestamp) -> MicroTime {
    MicroTime(instant(at))
}

/// An instant as a condition holds it.
pub fn time(at: Timestamp) -> Time {
    Time(instant(at))
}

/// Reads an instant back.
pub fn from_micro_time(time: &MicroTime) -> Timestamp {
    Timestamp::from_millis(time.0.as_millisecond())
}

/// Reads an instant that somebody wrote, such as `2026-12-01T08:00:00Z`.
pub fn read(text: &str) -> Result<Timestamp, jiff::Error> {
    text.parse()
        .map(|time: jiff::Timestamp| Timestamp::from_millis(time.as_millisecond()))
}

/// An instant as it is written.
pub fn written(at: Timestamp) -> String {
    instant(at).to_string()
}

/// What lies outside of the calendar is as good as its end.
fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::MAX)
}

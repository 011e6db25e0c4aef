//! The one clock of the process, and how its instants are written.

use flyball_core::time::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

/// Now, by the wall clock.
pub fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
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

/// What lies outside of the calendar is as good as its end.
fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::MAX)
}

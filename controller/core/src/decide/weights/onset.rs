//! A backend that begins to fail.
//!
//! For a whole window its rates are a mean of before and after, and a law that takes them as they are moves too
//! little, and then has to wait for the hold. The increase from one pass to the next tells what was added since:
//! with d between the two, of a window w, the part since is the increase x w / d. Rates are extrapolated from
//! scrapes, so that is rather too much than too little; with d of a fifth of the window or more it is not off by
//! much, and until then the law waits.

use super::{BackendHistory, Pass, capacity::Measurement};
use crate::time::Span;

/// Who fails no more than this part of its requests does not fail.
const FAILS: f64 = 0.01;
/// Of fewer failed requests in the window nothing is concluded: 10 are known within a third.
pub(crate) const LEAST_FAILED: f64 = 10.0;
/// By how much the requests may differ from before. Where they differ by more, it is the load that is another.
const SAME_LOAD: f64 = 0.1;
/// By how much it is busier with the same requests where it may be about to fail. That alone moves nothing: the law
/// waits for half of a window.
const BUSIER: f64 = 0.1;

/// What a window that is partly from before tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Onset {
    /// The backend does not fail, or the window is from after it began to, or it is not known when it did.
    None,
    /// It began to fail or to be busier so long ago, which is too short to tell how much it serves since.
    Early {
        /// Since the last pass in which it was well.
        since: Span,
    },
    /// What it was since it began to fail.
    Told {
        /// Since the last pass in which it was well.
        since: Span,
        /// The rates of that time alone. None is less than that of the whole window.
        is: Measurement,
    },
}

/// The least time between the two passes that are compared: a fifth of the window. Of the usual 1m two passes of 15 s
/// are enough then, also where the second is a little early.
fn least(pass: &Pass<'_>) -> Span {
    Span::from_millis(pass.action.traffic.window.as_millis() / 5)
}

/// Whether so many requests fail that it is no chance.
pub(super) fn fails(pass: &Pass<'_>, of: &Measurement) -> bool {
    of.part() > FAILS && of.errors * seconds(pass.action.traffic.window) >= LEAST_FAILED
}

/// Remembers how a backend was before it began to fail, or to be busier with the same requests, and when it was
/// first seen to, and says what is known since.
pub(super) fn note(pass: &Pass<'_>, is: &Measurement, memory: &mut BackendHistory) -> Onset {
    let (fails, window) = (fails(pass, is), pass.action.traffic.window);
    let same_load = |well: &Measurement| (is.requests - well.requests).abs() <= SAME_LOAD * well.requests;
    let well = memory
        .well
        .filter(|well| pass.now.since(well.at) <= window && same_load(well));
    let busier = well.is_some_and(|well| is.utilisation > (1.0 + BUSIER) * well.utilisation);
    if !fails && !busier {
        (memory.well, memory.worse) = (Some(*is), None);
        return Onset::None;
    }
    let first = *memory.worse.get_or_insert(*is);
    let Some(well) = well else {
        return Onset::None;
    };
    let (since, between) = (pass.now.since(well.at), pass.now.since(first.at));
    // A proxy has a series of failures only from the first one on, and no rate of it before the second scrape.
    let least = if fails {
        least(pass)
    } else {
        Span::from_millis(window.as_millis() / 2)
    };
    if between < least {
        // With passes that are far apart the first window tells most of it, and another pass would cost too much.
        let soon = 2 * first.at.since(well.at).as_millis() <= window.as_millis();
        return if soon { Onset::Early { since } } else { Onset::None };
    }
    if !fails {
        return Onset::None;
    }
    let scale = seconds(window) / seconds(between);
    let errors = ((is.errors - first.errors) * scale).clamp(is.errors, is.requests.max(is.errors));
    let utilisation = well.utilisation + (is.utilisation - first.utilisation) * scale;
    Onset::Told {
        since,
        is: Measurement {
            errors,
            // Nobody is busy for more than all of the time; a signal of another scale is taken as it is.
            utilisation: utilisation.clamp(is.utilisation, is.utilisation.max(1.0)),
            ..*is
        },
    }
}

#[allow(clippy::cast_precision_loss)] // Milliseconds of at most a year.
fn seconds(span: Span) -> f64 {
    span.as_millis() as f64 / 1000.0
}

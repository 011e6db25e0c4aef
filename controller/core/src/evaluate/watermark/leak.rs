//! When memory will be full, if it goes on growing as it does.
//!
//! The growth is Theil and Sen's slope: the median of the slopes between all pairs of samples, which a few outliers
//! can't move. A leak is believed only where nearly all pairs rise (as Kendall's tau counts them), and where what the
//! slope tells was also gained, from the first third of the samples to the last.
//!
//! It does not fire on noise, whatever its form: to fire, the ratio has to fill what is left, 1 - r, within two
//! passes, at a slope that was seen over seven passes or more. Such a slope rises by 3.5 (1 - r) in that time, and
//! half of that was gained. So samples that all lie between `low` and `high` never fire as long as
//! high - low < 1.75 (1 - high): between 80 and 90 %, say, or between 91 and 94 %.

use super::settings::{Foresee, PASSES};
use crate::time::{Span, Timestamp};
use std::fmt;

/// A ratio and when it was sampled.
pub type Point = (Timestamp, f64);

/// The most samples that are kept of a subject for this.
pub const KEPT: usize = 16;
/// They are at least a window divided by so many apart; so all of them span half a window or more.
pub(super) const PARTS: u64 = 32;
/// The fewest that tell anything.
const FEWEST: usize = 8;
/// So many of a hundred pairs have to rise.
const RISING_PERCENT: usize = 85;
/// So much of what the slope tells has to be gained.
const GAINED: f64 = 0.5;
/// A leak that fills memory within so many passes raises an emergency.
const SOON: u64 = 2;

/// How a ratio grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// By how much in a second; above 0.
    pub per_second: f64,
    /// When it comes to 1 from the newest sample on.
    pub full_in: Span,
    /// Over how many samples ...
    pub samples: usize,
    /// ... and over which time.
    pub over: Span,
    /// How many of a hundred pairs of samples rise.
    pub rising_percent: usize,
    /// Whether it is full before the next two passes.
    pub soon: bool,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it grows by {:.2} points a minute (median slope of {} samples over {}, {} % of pairs rise) and is full in {}",
            self.per_second * 6000.0,
            self.samples,
            self.over,
            self.rising_percent,
            self.full_in
        )
    }
}

/// What the samples tell, in the order of their times; `None` where it is no growth that can be believed.
pub fn growth(points: &[Point], foresee: Foresee) -> Option<Growth> {
    let ((first, _), (last, newest)) = (*points.first()?, *points.last()?);
    let over = last.since(first);
    let enough = Span::from_millis(foresee.pass.as_millis().saturating_mul(PASSES));
    if points.len() < FEWEST || over < enough {
        return None;
    }
    let mut slopes = Vec::new();
    for (index, (early, low)) in points.iter().enumerate() {
        for (late, high) in points.iter().skip(index + 1) {
            let seconds = seconds(late.since(*early));
            if seconds > 0.0 {
                slopes.push((high - low) / seconds);
            }
        }
    }
    let rising = slopes.iter().filter(|slope| **slope > 0.0).count();
    if slopes.is_empty() || rising * 100 < slopes.len() * RISING_PERCENT {
        return None;
    }
    let rising_percent = rising * 100 / slopes.len();
    let per_second = median(slopes)?;
    let third = points.len() / 3;
    let values = |part: &[Point]| median(part.iter().map(|(_, value)| *value).collect());
    let gained = values(points.get(points.len() - third..)?)? - values(points.get(..third)?)?;
    if per_second <= 0.0 || gained < GAINED * per_second * seconds(over) {
        return None;
    }
    let left = (1.0 - newest).max(0.0) / per_second;
    let soon = Span::from_millis(foresee.pass.as_millis().saturating_mul(SOON));
    Some(Growth {
        per_second,
        full_in: span(left),
        samples: points.len(),
        over,
        rising_percent,
        soon: left <= seconds(soon),
    })
}

fn seconds(span: Span) -> f64 {
    #[allow(clippy::cast_precision_loss)] // A window is far below 2^53 ms.
    let ms = span.as_millis() as f64;
    ms / 1000.0
}

/// In whole seconds, at most [`Span::MAX`].
fn span(seconds: f64) -> Span {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A cast to an integer saturates.
    Span::from_secs(seconds as u64).min(Span::MAX)
}

/// The median; of an even number of values the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some(lower + (upper - lower) / 2.0)
}

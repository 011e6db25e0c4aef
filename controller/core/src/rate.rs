//! How often one tenant may ask: a token bucket, kept as the one time at which it would be full again.
//!
//! This is the generic cell rate algorithm (ITU-T I.371): a query moves that time on by its share of a second, and may go as soon as
//! the time is no further ahead than what the burst allows.

use crate::time::{Span, Timestamp};

/// So many in a second, and so many at once after a time without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In a second, at least 1.
    pub per_second: u32,
    /// At once, at least 1.
    pub burst: u32,
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    rate: Rate,
    /// When it is full again, in microseconds since the epoch: in milliseconds three in a second would be more than three.
    full: i64,
}

const MICROS: i64 = 1_000_000;

impl Bucket {
    /// A full one.
    pub const fn new(rate: Rate) -> Self {
        Self { rate, full: i64::MIN }
    }

    /// Takes one, and says how long to wait before asking. Where that is longer than `patience` none is taken, and the error says how
    /// long it would have been.
    pub fn take(&mut self, now: Timestamp, patience: Span) -> Result<Span, Span> {
        let now = now.as_millis().saturating_mul(1000);
        // Rounded up, so that it is never more than the rate.
        let each = i64::from(self.rate.per_second.max(1));
        let each = (MICROS + each - 1) / each;
        let ahead = each.saturating_mul(i64::from(self.rate.burst.max(1)) - 1);
        let full = self.full.max(now);
        let wait = full.saturating_sub(now).saturating_sub(ahead).max(0);
        let wait = Span::from_millis(u64::try_from((wait + 999) / 1000).unwrap_or(0));
        if wait > patience {
            return Err(wait);
        }
        self.full = full.saturating_add(each);
        Ok(wait)
    }
}

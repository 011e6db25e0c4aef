//! Instants and spans as plain numbers, so that the core needs no clock.

use std::{fmt, ops, str::FromStr};

/// Milliseconds since the Unix epoch. Comparisons with the future saturate: a clock that stepped
/// back never makes a span negative, it makes it zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A span of time in milliseconds. Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// Why a text is not a duration in Prometheus' notation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Nothing was written.
    #[error("an empty duration; write for example 30s, 5m or 1h30m")]
    Empty,
    /// The text has another form than digits followed by units from large to small.
    #[error("{0:?} is not a duration; write digits and units from large to small, for example 30s, 5m, 1h30m or 1d")]
    Form(String),
    /// The duration is longer than Flyball will ever wait.
    #[error("{0:?} is longer than the 365d that a duration may have")]
    TooLong(String),
}

impl Timestamp {
    /// The instant that is `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl ops::Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }
}

impl ops::Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest duration that can be written.
    pub const MAX: Self = Self::from_secs(365 * 24 * 3600);

    /// A span of whole seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// A span of milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// The span in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whether no time passes.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl ops::Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// The units of Prometheus' durations, from large to small, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl FromStr for Span {
    type Err = SpanError;

    /// Reads Prometheus' notation (`model.ParseDuration`): units from large to small, each at most
    /// once; a bare `0` is zero; no sign, no blank, no fraction.
    fn from_str(text: &str) -> Result<Self, SpanError> {
        if text.is_empty() {
            return Err(SpanError::Empty);
        }
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let form = || SpanError::Form(text.chars().take(64).collect());
        let long = || SpanError::TooLong(text.chars().take(64).collect());
        let (mut rest, mut next_unit, mut total) = (text, 0, 0u64);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
            let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
            let index = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(form)?;
            if digits == 0 || index < next_unit {
                return Err(form());
            }
            let number: u64 = number.parse().map_err(|_| long())?;
            let part = number.checked_mul(UNITS[index].1).ok_or_else(long)?;
            total = total.checked_add(part).ok_or_else(long)?;
            next_unit = index + 1;
            rest = &rest[digits + letters..];
        }
        if total > Self::MAX.0 {
            return Err(long());
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        // Weeks and years are read but not written: 10d is plainer than 1w3d.
        for (unit, size) in &UNITS[2..] {
            if rest >= *size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<u64>) {
        assert_eq!(text.parse::<Span>().ok().map(Span::as_millis), expect, "{text:?}");
    }

    #[test]
    fn durations_follow_prometheus() {
        check("0", Some(0));
        check("0s", Some(0));
        check("5m", Some(300_000));
        check("1h30m", Some(5_400_000));
        check("1d", Some(86_400_000));
        check("1w2d", Some(9 * 86_400_000));
        check("1m500ms", Some(60_500));
        check("365d", Some(365 * 86_400_000));
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            "2",
            "-2m",
            "-1m",
            "2 m",
            "1.5h",
            "m",
            "30m1h",
            "5m5m",
            "1000000000h",
            "٣m",
            "5M",
            "366d",
        ] {
            check(text, None);
        }
        check("99999999999999999999s", None);
    }

    #[test]
    fn a_duration_is_written_as_it_would_be_read() {
        for text in ["30s", "5m", "1h30m", "2d", "1m500ms"] {
            assert_eq!(text.parse::<Span>().map(|d| d.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn the_future_is_now() {
        let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(5_000));
        assert_eq!(late.since(early), Span::from_secs(4));
        assert_eq!(early.since(late), Span::ZERO);
    }
}

//! Amounts of memory as whole bytes.

use std::fmt;

/// An amount of memory in bytes, at most [`Bytes::MAX`]. So every amount is exact as a float, and a hundredfold
/// of it fits a `u64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// 1 MiB.
const MIB: u64 = 1 << 20;

impl Bytes {
    /// 1 PiB, which is what an agent takes at most.
    pub const MAX: Self = Self(1 << 50);
    /// No memory at all.
    pub const ZERO: Self = Self(0);

    /// `None` above [`Bytes::MAX`].
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes <= Self::MAX.0 { Some(Self(bytes)) } else { None }
    }

    /// So many bytes, [`Bytes::MAX`] for anything above.
    pub const fn saturating(bytes: u64) -> Self {
        if bytes <= Self::MAX.0 { Self(bytes) } else { Self::MAX }
    }

    /// So many MiB, at most [`Bytes::MAX`].
    pub const fn from_mib(mib: u64) -> Self {
        Self::saturating(mib.saturating_mul(MIB))
    }

    /// The nearest whole number of bytes, at most [`Bytes::MAX`]; `None` for NaN and what is below zero.
    pub fn nearest(bytes: f64) -> Option<Self> {
        Self::whole(bytes.round())
    }

    /// The whole bytes in it, at most [`Bytes::MAX`]; `None` for NaN and what is below zero.
    pub fn floor(bytes: f64) -> Option<Self> {
        Self::whole(bytes.floor())
    }

    fn whole(bytes: f64) -> Option<Self> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A cast to an integer saturates.
        (bytes >= 0.0).then(|| Self::saturating(bytes as u64))
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes, exact: it is at most 2^50.
    pub fn real(self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // At most 2^50.
        let real = self.0 as f64;
        real
    }

    /// The sum, at most [`Bytes::MAX`].
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self::saturating(self.0.saturating_add(other.0))
    }

    /// The difference, zero where `other` is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// So many percent of it, rounded down; at most [`Bytes::MAX`].
    #[must_use]
    pub const fn percent(self, percent: u32) -> Self {
        Self::saturating(self.0.saturating_mul(percent as u64) / 100)
    }

    /// So many percent of it, rounded up; at most [`Bytes::MAX`].
    #[must_use]
    pub const fn percent_up(self, percent: u32) -> Self {
        Self::saturating(self.0.saturating_mul(percent as u64).div_ceil(100))
    }
}

impl fmt::Display for Bytes {
    /// In MiB, with one decimal where it is no whole number of them; below 1 MiB in bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < MIB {
            write!(f, "{} B", self.0)
        } else if self.0.is_multiple_of(MIB) {
            write!(f, "{} MiB", self.0 / MIB)
        } else {
            #[allow(clippy::cast_precision_loss)] // 2^20.
            let mib = self.real() / MIB as f64;
            write!(f, "{mib:.1} MiB")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_that_is_no_amount_is_none() {
        assert_eq!(Bytes::nearest(f64::NAN), None);
        assert_eq!(Bytes::nearest(-1.0), None);
        assert_eq!(Bytes::nearest(f64::INFINITY), Some(Bytes::MAX));
        assert_eq!(Bytes::nearest(2.5), Some(Bytes(3)));
        assert_eq!(Bytes::floor(2.9), Some(Bytes(2)));
        assert_eq!(Bytes::new((1 << 50) + 1), None);
    }

    #[test]
    fn percents_round_to_the_side_they_name() {
        assert_eq!(Bytes(10).percent(33).get(), 3);
        assert_eq!(Bytes(10).percent_up(33).get(), 4);
        assert_eq!(Bytes(200).percent_up(33).get(), 66);
        assert_eq!(Bytes::MAX.percent(1000), Bytes::MAX);
    }

    #[test]
    fn it_is_written_in_mebibytes() {
        for (bytes, expect) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (MIB, "1 MiB"),
            (3 * MIB / 2, "1.5 MiB"),
            (1 << 30, "1024 MiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), expect);
        }
    }
}

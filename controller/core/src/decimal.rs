//! Decimal arithmetic for the few places where binary floats lie.
//!
//! With floats, 46 / 30 * 75 is 115.00000000000001, and its ceiling one replica too many, and
//! 110 / 100 lies further than 0.1 above 1. A number is therefore taken as the decimal it was meant
//! to be, and then only multiplied and compared as an integer, which is exact.
//!
//! It is rounded to twelve significant digits first: what PromQL sums in binary floats is noise in
//! the last digits, and 300.00000000000006 requests a second are 300.

use crate::{policy::Replicas, signal::Finite};
use std::cmp::Ordering;

/// `mantissa * 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal {
    mantissa: i128,
    exponent: i32,
}

/// A tolerance counts to twelve decimals ...
const TOLERANCE_DECIMALS: u32 = 12;
/// ... and up to a thousandfold, so that no product of ours overflows.
const TOLERANCE_MAX: i128 = 1000 * TOLERANCE_ONE;
const TOLERANCE_ONE: i128 = 10i128.pow(TOLERANCE_DECIMALS);

impl Decimal {
    /// The number, rounded to twelve significant digits.
    pub(crate) fn of(value: Finite) -> Self {
        let text = format!("{:.11e}", value.get());
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        // A finite number's text has this form, so neither default is ever taken.
        let exponent: i32 = exponent.parse().unwrap_or(0);
        Self {
            mantissa: digits.replace('.', "").parse().unwrap_or(0),
            exponent: exponent - 11,
        }
    }

    /// A number of replicas.
    pub(crate) fn replicas(count: Replicas) -> Self {
        Self {
            mantissa: i128::from(count.get()),
            exponent: 0,
        }
    }

    /// `1 + tolerance`.
    pub(crate) fn above_one(tolerance: Finite) -> Self {
        Self {
            mantissa: TOLERANCE_ONE + scaled(tolerance),
            exponent: -12,
        }
    }

    /// `1 - tolerance`.
    pub(crate) fn below_one(tolerance: Finite) -> Self {
        Self {
            mantissa: TOLERANCE_ONE - scaled(tolerance),
            exponent: -12,
        }
    }

    /// The product. Three factors at most: a number, a count of replicas and a tolerance stay below
    /// 10^12 * 10^4 * 10^16, far inside an `i128`.
    pub(crate) fn times(self, other: Self) -> Self {
        Self {
            mantissa: self.mantissa.saturating_mul(other.mantissa),
            exponent: self.exponent.saturating_add(other.exponent),
        }
    }

    /// Which of the two is greater, exactly.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        let (a, b) = (self.mantissa, other.mantissa);
        if a.signum() != b.signum() || a == 0 {
            return a.signum().cmp(&b.signum());
        }
        let by = self.exponent.abs_diff(other.exponent);
        // What overflows is further from zero than anything that does not.
        if self.exponent >= other.exponent {
            shift(a, by).map_or_else(|| a.cmp(&0), |a| a.cmp(&b))
        } else {
            shift(b, by).map_or_else(|| 0.cmp(&b), |b| a.cmp(&b))
        }
    }

    /// `ceil(self / divisor)` as a number of replicas, at most [`Replicas::MAX`]. `None` for a
    /// negative number or a divisor that is not positive.
    pub(crate) fn ceil_div(self, divisor: Self) -> Option<Replicas> {
        if self.mantissa < 0 || divisor.mantissa <= 0 {
            return None;
        }
        if self.mantissa == 0 {
            return Replicas::new(0);
        }
        let by = self.exponent.abs_diff(divisor.exponent);
        let quotient = if self.exponent >= divisor.exponent {
            // An overflow here is more than 10^38 / 10^12.
            shift(self.mantissa, by).map_or(i128::MAX, |n| ceil(n, divisor.mantissa))
        } else {
            // An overflow here is less than 10^16 / 10^38.
            shift(divisor.mantissa, by).map_or(1, |d| ceil(self.mantissa, d))
        };
        let most = i128::from(Replicas::MAX);
        i64::try_from(quotient.min(most)).ok().and_then(Replicas::new)
    }
}

fn ceil(numerator: i128, divisor: i128) -> i128 {
    numerator / divisor + i128::from(numerator % divisor != 0)
}

/// `mantissa * 10^by`, if it fits.
fn shift(mantissa: i128, by: u32) -> Option<i128> {
    10i128.checked_pow(by).and_then(|power| mantissa.checked_mul(power))
}

/// `tolerance * 10^12` as an integer between 0 and [`TOLERANCE_MAX`].
fn scaled(tolerance: Finite) -> i128 {
    let Decimal { mantissa, exponent } = Decimal::of(tolerance);
    let by = exponent.saturating_add(12);
    let whole = if by >= 0 {
        shift(mantissa, by.unsigned_abs()).unwrap_or(TOLERANCE_MAX)
    } else {
        10i128
            .checked_pow(by.unsigned_abs())
            .map_or(0, |power| mantissa / power)
    };
    whole.clamp(0, TOLERANCE_MAX)
}

/// A number as it is calculated with: at most twelve significant digits, without an exponent where
/// that stays readable.
pub(crate) fn plain(value: f64) -> String {
    let rounded: f64 = format!("{value:.11e}").parse().unwrap_or(value);
    if rounded == 0.0 || !rounded.is_finite() || (1e-6..1e15).contains(&rounded.abs()) {
        format!("{rounded}")
    } else {
        format!("{rounded:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(value: f64) -> Decimal {
        Decimal::of(Finite::new(value).unwrap())
    }

    fn check(numerator: f64, divisor: f64, expect: Option<i64>) {
        let expect = expect.and_then(Replicas::new);
        assert_eq!(
            decimal(numerator).ceil_div(decimal(divisor)),
            expect,
            "ceil({numerator} / {divisor})"
        );
    }

    #[test]
    fn a_ceiling_is_that_of_the_decimals() {
        check(0.0, 1.0, Some(0));
        check(-0.0, 1.0, Some(0));
        check(1.0, 3.0, Some(1));
        check(300.0, 100.0, Some(3));
        check(300.1, 100.0, Some(4));
        check(0.3, 0.1, Some(3));
        check(0.1 + 0.2, 0.1, Some(3));
        check(300.000_000_000_000_06, 100.0, Some(3));
        check(46.0 * 75.0, 30.0, Some(115));
        check(1e300, 1e-300, Some(10_000));
        check(1e-300, 1e300, Some(1));
        check(5e-324, 1.0, Some(1));
        check(f64::MAX, f64::MAX, Some(1));
        check(-1.0, 1.0, None);
        check(1.0, 0.0, None);
        check(1.0, -1.0, None);
    }

    #[test]
    fn numbers_compare_as_written() {
        for (a, b, expect) in [
            (1.0, 1.0, Ordering::Equal),
            (0.1 + 0.2, 0.3, Ordering::Equal),
            (1e300, 1e-300, Ordering::Greater),
            (-1e300, 1e-300, Ordering::Less),
            (-1e300, -1e-300, Ordering::Less),
            (1e-300, 1e300, Ordering::Less),
            (0.0, 1e-300, Ordering::Less),
            (-0.0, 0.0, Ordering::Equal),
            (0.0, -1.0, Ordering::Greater),
        ] {
            assert_eq!(decimal(a).compare(decimal(b)), expect, "{a} against {b}");
        }
    }

    #[test]
    fn a_tolerance_ends_exactly_at_its_bound() {
        let tenth = Finite::new(0.1).unwrap();
        for (signal, target) in [(33.0, 30.0), (55.0, 50.0), (66.0, 60.0), (77.0, 70.0), (110.0, 100.0)] {
            let bound = decimal(target).times(Decimal::above_one(tenth));
            assert_eq!(decimal(signal).compare(bound), Ordering::Equal, "{signal} / {target}");
        }
        let bound = decimal(10.0).times(Decimal::below_one(tenth));
        assert_eq!(decimal(9.0).compare(bound), Ordering::Equal);
        // Tolerances beyond any sense are neither an overflow nor a panic.
        for tolerance in [-1.0, 5e-324, 1e300] {
            let tolerance = Finite::new(tolerance).unwrap();
            let bound = decimal(10.0).times(Decimal::above_one(tolerance));
            assert_ne!(decimal(9.0).compare(bound), Ordering::Greater);
        }
    }

    #[test]
    fn numbers_are_shown_as_they_are_calculated_with() {
        for (value, expect) in [
            (0.1 + 0.2, "0.3"),
            (450.0, "450"),
            (1_234_567.25, "1234567.25"),
            (0.0, "0"),
            (1e300, "1e300"),
            (2.5e-7, "2.5e-7"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(plain(value), expect);
        }
    }
}

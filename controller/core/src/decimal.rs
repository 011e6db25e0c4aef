//! Decimal arithmetic for the few places where binary floats lie.
//!
//! With floats, 46 / 30 * 75 is 115.00000000000001, and its ceiling one replica too many, and
//! 110 / 100 lies further than 0.1 above 1. A number is therefore taken as the decimal it was meant
//! to be, and then only added, multiplied and compared as an integer, which is exact.
//!
//! It is rounded to twelve significant digits first: what PromQL sums in binary floats is noise in
//! the last digits, and 300.00000000000006 requests a second are 300.

use crate::{policy::Replicas, signal::Finite};
use std::{cmp::Ordering, fmt};

/// `mantissa * 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal {
    mantissa: i128,
    exponent: i32,
}

/// What a float counts to: twelve significant digits, so its mantissa is below this.
const MANTISSA_END: u128 = 10u128.pow(12);
/// In a sum, what is so many digits finer than the last digit of the coarsest number is cut off. The
/// sum of ten thousand numbers then stays below 10^12 * 10^12 * 10^4.
const SUM_DIGITS: i32 = 12;

/// A tolerance counts to twelve decimals ...
const TOLERANCE_DECIMALS: u32 = 12;
/// ... and up to a thousandfold, so that no product of ours overflows.
const TOLERANCE_MAX: i128 = 1000 * TOLERANCE_ONE;
const TOLERANCE_ONE: i128 = 10i128.pow(TOLERANCE_DECIMALS);

impl Decimal {
    pub(crate) const ZERO: Self = Self::whole(0);

    /// The number, rounded to twelve significant digits, ties to even.
    pub(crate) fn of(value: Finite) -> Self {
        let value = value.get();
        rounded(value).unwrap_or_else(|| by_text(value))
    }

    /// A whole number.
    pub(crate) const fn whole(number: i128) -> Self {
        Self {
            mantissa: number,
            exponent: 0,
        }
    }

    /// A number of thousandths.
    pub(crate) const fn milli(thousandths: i128) -> Self {
        Self {
            mantissa: thousandths,
            exponent: -3,
        }
    }

    /// A number of replicas.
    pub(crate) fn replicas(count: Replicas) -> Self {
        Self::whole(i128::from(count.get()))
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

    pub(crate) fn is_negative(self) -> bool {
        self.mantissa < 0
    }

    /// The product. What is multiplied here stays below 10^28 (a sum) * 10^4 (replicas), or
    /// 10^12 (a number) * 10^4 (pods) * 10^16 (a tolerance), inside an `i128`.
    pub(crate) fn times(self, other: Self) -> Self {
        Self {
            mantissa: self.mantissa.saturating_mul(other.mantissa),
            exponent: self.exponent.saturating_add(other.exponent),
        }
    }

    /// The sum, in whatever order. It is exact where the numbers differ by no more than
    /// [`SUM_DIGITS`] digits in how fine they are.
    pub(crate) fn sum(numbers: impl Iterator<Item = Self> + Clone) -> Self {
        let some = numbers.filter(|number| number.mantissa != 0);
        let Some(coarsest) = some.clone().map(|number| number.exponent).max() else {
            return Self::ZERO;
        };
        let finest = some.clone().map(|number| number.exponent).min().unwrap_or(coarsest);
        let exponent = finest.max(coarsest.saturating_sub(SUM_DIGITS));
        let mantissa = some.fold(0_i128, |sum, number| sum.saturating_add(number.at(exponent)));
        Self { mantissa, exponent }
    }

    /// The mantissa with this exponent; what is finer is cut off.
    fn at(self, exponent: i32) -> i128 {
        let by = self.exponent.abs_diff(exponent);
        if self.exponent >= exponent {
            shift(self.mantissa, by).unwrap_or(if self.mantissa < 0 { i128::MIN } else { i128::MAX })
        } else {
            10i128.checked_pow(by).map_or(0, |power| self.mantissa / power)
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
        let most = i128::from(Replicas::MAX);
        let quotient = match self.quotient(divisor)? {
            Quotient::Beyond => most,
            Quotient::Between(n, d) => n / d + i128::from(n % d != 0),
        };
        i64::try_from(quotient.min(most)).ok().and_then(Replicas::new)
    }

    /// `floor(self / divisor)`, at most `i64::MAX`. `None` as for [`Self::ceil_div`].
    pub(crate) fn floor_div(self, divisor: Self) -> Option<i128> {
        let most = i128::from(i64::MAX);
        Some(match self.quotient(divisor)? {
            Quotient::Beyond => most,
            Quotient::Between(n, d) => (n / d).min(most),
        })
    }

    /// Numerator and divisor at one exponent.
    fn quotient(self, divisor: Self) -> Option<Quotient> {
        let (n, d) = (self.mantissa, divisor.mantissa);
        if n < 0 || d <= 0 {
            return None;
        }
        if n == 0 {
            return Some(Quotient::Between(0, 1));
        }
        let by = self.exponent.abs_diff(divisor.exponent);
        Some(if self.exponent >= divisor.exponent {
            // An overflow here is more than 10^38 / 10^16.
            shift(n, by).map_or(Quotient::Beyond, |n| Quotient::Between(n, d))
        } else {
            // An overflow here is more than any numerator, and the quotient lies between 0 and 1.
            Quotient::Between(n, shift(d, by).unwrap_or(i128::MAX))
        })
    }
}

enum Quotient {
    /// More than can be counted.
    Beyond,
    Between(i128, i128),
}

/// The decimal of a float from 10^-6 to 10^12, in integers: a decision calculates with a dozen of
/// them, and a detour by text takes longer than all the rest. `None` outside of that range.
fn rounded(value: f64) -> Option<Decimal> {
    if value == 0.0 {
        return Some(Decimal::ZERO);
    }
    if !(1e-6..1e12).contains(&value.abs()) {
        return None;
    }
    // Within the range no float is subnormal: value = fraction * 2^(power - 52), 2^52 <= fraction < 2^53.
    let bits = value.to_bits();
    let power = i64::try_from((bits >> 52) & 0x7ff).ok()? - 1023;
    let fraction = u128::from((bits & ((1 << 52) - 1)) | (1 << 52));
    // 1233 / 4096 is a little less than log10(2), so `digits` may be one off.
    let mut digits = u32::try_from(11 - ((power * 1233) >> 12)).ok()?;
    loop {
        // From 2^52 * 10^0 to 2^53 * 10^18, which is less than 2^113.
        let numerator = fraction * 10u128.checked_pow(digits)?;
        let shift = u32::try_from(52 - power).ok()?;
        let (whole, rest) = (numerator >> shift, numerator & ((1 << shift) - 1));
        if whole >= MANTISSA_END {
            digits = digits.checked_sub(1)?;
            continue;
        }
        if whole < MANTISSA_END / 10 {
            digits += 1;
            continue;
        }
        let half = 1u128 << (shift - 1);
        let up = match rest.cmp(&half) {
            Ordering::Less => 0,
            Ordering::Equal => whole & 1,
            Ordering::Greater => 1,
        };
        let mantissa = i128::try_from(whole + up).ok()?;
        return Some(Decimal {
            mantissa: if value < 0.0 { -mantissa } else { mantissa },
            exponent: -i32::try_from(digits).ok()?,
        });
    }
}

/// The same for every float.
fn by_text(value: f64) -> Decimal {
    let text = format!("{value:.11e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    // A finite number's text has this form, so neither default is ever taken.
    let exponent: i32 = exponent.parse().unwrap_or(0);
    Decimal {
        mantissa: digits.replace('.', "").parse().unwrap_or(0),
        exponent: exponent - 11,
    }
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

/// As a human writes it, without an exponent where that stays readable: every digit that is
/// calculated with, and no other.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut digits, mut exponent) = (self.mantissa.unsigned_abs(), self.exponent);
        if digits == 0 {
            return f.write_str("0");
        }
        while digits % 10 == 0 {
            digits /= 10;
            exponent += 1;
        }
        if self.mantissa < 0 {
            f.write_str("-")?;
        }
        let length = i32::try_from(digits.ilog10()).unwrap_or(0) + 1;
        // The power of ten of the first digit.
        let first = exponent + length - 1;
        if !(-6..15).contains(&first) {
            let text = digits.to_string();
            let (head, tail) = text.split_at(1);
            let point = if tail.is_empty() { "" } else { "." };
            return write!(f, "{head}{point}{tail}e{first}");
        }
        let power = 10u128.pow(exponent.unsigned_abs().min(38));
        if exponent >= 0 {
            return write!(f, "{}", digits.saturating_mul(power));
        }
        let width = usize::try_from(exponent.unsigned_abs()).unwrap_or(0);
        write!(f, "{}.{:0width$}", digits / power, digits % power)
    }
}

/// A number as it is calculated with.
pub(crate) fn plain(value: f64) -> String {
    Finite::new(value).map_or_else(|| value.to_string(), |finite| Decimal::of(finite).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        /// The quick way and the one by text, which is the standard library's, agree on every digit.
        #[test]
        fn both_ways_to_a_decimal_agree(bits in any::<u64>(), small in -1e4..1e4f64, whole in 0..10_000_000_000_000u64) {
            #[allow(clippy::cast_precision_loss)] // Below 2^53.
            let halves = whole as f64 / 8.0;
            for value in [f64::from_bits(bits), small, small * 1e-6, small * 1e8, halves] {
                let Some(finite) = Finite::new(value) else { continue };
                prop_assert_eq!(Decimal::of(finite).compare(by_text(value)), Ordering::Equal, "{}", value);
            }
        }
    }

    #[test]
    fn a_tie_goes_to_the_even_digit() {
        // 13 digits each, and exact in binary.
        for (value, expect) in [
            (1_234_567_890.125, 123_456_789_012),
            (1_234_567_890.375, 123_456_789_038),
            (999_999_999_999.5, 1_000_000_000_000),
        ] {
            let mut exponent = -2;
            if value > 1e11 {
                exponent = 0;
            }
            let expect = Decimal {
                mantissa: expect,
                exponent,
            };
            assert_eq!(decimal(value).compare(expect), Ordering::Equal, "{value}");
        }
    }

    #[test]
    fn a_sum_is_exact() {
        let check = |numbers: &[f64], expect: &str| {
            let sum = |numbers: &mut dyn Iterator<Item = &f64>| {
                let decimals: Vec<Decimal> = numbers.map(|number| decimal(*number)).collect();
                Decimal::sum(decimals.iter().copied()).to_string()
            };
            assert_eq!(sum(&mut numbers.iter()), expect, "{numbers:?}");
            assert_eq!(
                sum(&mut numbers.iter().rev()),
                expect,
                "{numbers:?} the other way round"
            );
        };
        check(&[], "0");
        check(&[0.0, -0.0], "0");
        check(&[0.1; 10], "1");
        check(&[0.1, 0.2, -0.3], "0");
        check(&[1e9, 0.001, 0.002], "1000000000.003");
        // What is too fine to matter is left out, whatever comes first.
        check(&[1e300, 1e-300, 1e300], "2e300");
        check(&[123.0, 5e-324], "123");
    }

    #[test]
    fn a_floor_is_that_of_the_decimals() {
        let check = |numerator: f64, divisor: f64, expect: Option<i128>| {
            assert_eq!(
                decimal(numerator).floor_div(decimal(divisor)),
                expect,
                "floor({numerator} / {divisor})"
            );
        };
        check(0.0, 3.0, Some(0));
        check(299.9, 100.0, Some(2));
        check(0.3, 0.1, Some(3));
        check(1e-300, 1e300, Some(0));
        check(1e300, 1e-300, Some(i128::from(i64::MAX)));
        check(-1.0, 1.0, None);
        check(1.0, 0.0, None);
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
            (-0.05, "-0.05"),
            (0.000_001, "0.000001"),
            (1e14, "100000000000000"),
            (-1.25e15, "-1.25e15"),
            (1e-7, "1e-7"),
        ] {
            assert_eq!(plain(value), expect);
        }
    }
}

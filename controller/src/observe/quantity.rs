//! Quantities as Kubernetes writes them, exactly and in thousandths.

/// The decimal digits behind the point that are looked at one by one; of the rest only whether it is zero.
const FRACTION: usize = 12;
/// As many digits before the point fit into every calculation below.
const WHOLE: usize = 19;

/// A quantity such as `100m`, `1.5`, `129e6` or `123Mi` in thousandths. What is smaller than a
/// thousandth is rounded up, as everywhere in Kubernetes, and what is larger than 64 bits is the
/// largest number of 64 bits. `None` where it is no quantity, or negative.
pub fn milli(text: &str) -> Option<i64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let (times, tens) = scale(suffix)?;
    let whole = whole.trim_start_matches('0');
    let (kept, rest) = fraction.split_at(fraction.len().min(FRACTION));
    let inexact = rest.bytes().any(|digit| digit != b'0');
    if whole.len() > WHOLE {
        return Some(i64::MAX);
    }
    let digits: i128 = format!("0{whole}{kept}").parse().ok()?;
    // The value in thousandths is `digits * times * 10^exponent`.
    let exponent = tens + 3 - i32::try_from(kept.len()).ok()?;
    let product = digits.checked_mul(times);
    let exact = match (product, u32::try_from(exponent)) {
        (Some(0), _) => Some(0),
        (Some(product), Ok(up)) => 10_i128.checked_pow(up).and_then(|power| product.checked_mul(power)),
        (Some(product), Err(_)) => {
            let down = 10_i128.checked_pow(exponent.unsigned_abs());
            // Divided by more than there is: something is left, and it is rounded up.
            Some(down.map_or(1, |power| product / power + i128::from(product % power != 0)))
        }
        (None, _) => None,
    };
    let Some(exact) = exact else { return Some(i64::MAX) };
    // The digits that were cut off are less than one unit of the last one kept; they matter only where
    // the result would otherwise be exact.
    let cut = inexact && divides(digits, times, exponent);
    Some(i64::try_from(exact + i128::from(cut)).unwrap_or(i64::MAX))
}

/// Whether nothing was rounded up yet.
fn divides(digits: i128, times: i128, exponent: i32) -> bool {
    if exponent >= 0 {
        return true;
    }
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    match (digits.checked_mul(times), power) {
        (Some(product), Some(power)) => product % power == 0,
        (product, _) => product == Some(0),
    }
}

/// What a suffix stands for: a factor, and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    let binary = |power: u32| Some((1_i128 << (10 * power), 0));
    let decimal = |power: i32| Some((1, power));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            let beyond = if exponent.starts_with('-') { -99 } else { 99 };
            let power: i32 = exponent.parse().unwrap_or(beyond);
            decimal(power.clamp(-99, 99))
        }
    }
}

/// Thousandths as a person writes them: `1500` are `1.5` or `1500m`, bytes are in binary units where
/// that is exact to a tenth.
pub fn plain(resource: &str, milli: i64) -> String {
    if !resource.ends_with("memory") && !resource.ends_with("storage") {
        return if milli % 1000 == 0 {
            (milli / 1000).to_string()
        } else {
            format!("{milli}m")
        };
    }
    let bytes = milli / 1000;
    let units = [("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    for (unit, shift) in units {
        let one = 1_i64 << shift;
        if bytes >= one {
            let (whole, tenth) = (bytes / one, bytes % one * 10 / one);
            return if tenth == 0 {
                format!("{whole}{unit}")
            } else {
                format!("{whole}.{tenth}{unit}")
            };
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<i64>) {
        assert_eq!(milli(text), expect, "{text:?}");
    }

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        check("100m", Some(100));
        check("1", Some(1_000));
        check("1.5", Some(1_500));
        check("0.5", Some(500));
        check(".5", Some(500));
        check("5.", Some(5_000));
        check("+2", Some(2_000));
        check("0", Some(0));
        check("1Ki", Some(1_024_000));
        check("1Gi", Some(1_073_741_824_000));
        check("1.5Gi", Some(1_610_612_736_000));
        check("123Mi", Some(128_974_848_000));
        check("128974848", Some(128_974_848_000));
        check("129e6", Some(129_000_000_000));
        check("129E6", Some(129_000_000_000));
        check("129e+6", Some(129_000_000_000));
        check("129M", Some(129_000_000_000));
        check("1k", Some(1_000_000));
        check("1500e-3", Some(1_500));
        check("0.000001k", Some(1));
        check("128974848000m", Some(128_974_848_000));
    }

    #[test]
    fn what_is_less_than_a_thousandth_is_rounded_up() {
        check("1n", Some(1));
        check("1u", Some(1));
        check("1000u", Some(1));
        check("1001u", Some(2));
        check("250000000n", Some(250));
        check("250000001n", Some(251));
        check("0.0001", Some(1));
        check("0.0010", Some(1));
        check("0.0010000000001", Some(2));
        check("1.000000000000000000001", Some(1_001));
        check("1.0000000000000000", Some(1_000));
        check("1e-99", Some(1));
        check("0e-99", Some(0));
        check("0n", Some(0));
    }

    #[test]
    fn what_is_too_large_is_the_largest() {
        check("9007199254740991", Some(9_007_199_254_740_991_000));
        check("9223372036854775807", Some(i64::MAX));
        check("8Ei", Some(i64::MAX));
        check("1E", Some(i64::MAX));
        check("1P", Some(1_000_000_000_000_000_000));
        check("1e99", Some(i64::MAX));
        check("0e99", Some(0));
        check("123456789012345678901234567890", Some(i64::MAX));
        check("9999999999999999999.999999999999Ei", Some(i64::MAX));
        check("00000000000000000000000001", Some(1_000));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "", ".", "-1", "1.2.3", "1K", "1KI", "1mi", "1 Gi", "Gi", "1e", "1e+", "1e1.5", "1EE", "0x10", "१", "1,5",
            "1ei", "NaN", "--1", "++1",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn thousandths_are_written_plainly() {
        let check = |resource, milli, expect: &str| assert_eq!(plain(resource, milli), expect);
        check("cpu", 1_500, "1500m");
        check("requests.cpu", 2_000, "2");
        check("memory", 1_073_741_824_000, "1Gi");
        check("limits.memory", 1_610_612_736_000, "1.5Gi");
        check("memory", 128_974_848_000, "123Mi");
        check("memory", 1_000_000, "1000");
        check("pods", 110_000, "110");
    }
}

//! Numbers in lines that are calculated again by hand.

/// Bytes in a MiB.
pub(super) const MIB: f64 = 1_048_576.0;

/// Four significant digits, plain from a thousandth up to a million, else with an exponent.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // From 0 to 6.
    let decimals = (3.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A part as a percentage with one decimal.
pub(super) fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_are_kept() {
        for (value, expect) in [
            (0.0, "0"),
            (0.01, "0.01"),
            (0.012_345, "0.01235"),
            (1.0, "1"),
            (12.5, "12.5"),
            (123.456, "123.5"),
            (123_456.0, "123456"),
            (2.5e-9, "2.500e-9"),
            (1e9, "1.000e9"),
        ] {
            assert_eq!(number(value), expect);
        }
        assert_eq!(percent(0.593), "59.3 %");
    }
}

//! Quantities of Kubernetes as plain numbers.

/// What `100m`, `1.5`, `2e3` or `512Mi` stands for. `None` where it is no quantity.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    let end = text.find(|c| !plain(c)).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let factor: f64 = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "Pi" => 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "Ei" => 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0,
        // An exponent: the whole text is a number as it is.
        _ if suffix.starts_with(['e', 'E']) => return text.parse().ok().filter(|number: &f64| number.is_finite()),
        _ => return None,
    };
    let value: f64 = digits.parse().ok()?;
    // Thousandths are divided by: 0.1 is nearer to 100m than 100 times 0.001.
    let value = if factor < 1.0 {
        value / factor.recip().round()
    } else {
        value * factor
    };
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn quantities_are_numbers() {
        let check = |text: &str, expect: Option<f64>| assert_eq!(number(text), expect, "{text:?}");
        check("100m", Some(0.1));
        check("1500m", Some(1.5));
        check("10", Some(10.0));
        check("1.5", Some(1.5));
        check("2k", Some(2000.0));
        check("512Mi", Some(536_870_912.0));
        check("1G", Some(1e9));
        check("2e3", Some(2000.0));
        check("1E", Some(1e18));
        check("250000000n", Some(0.25));
        for text in ["", "m", "1x", "1.2.3", "x", "1 Gi", "e", "NaN"] {
            check(text, None);
        }
    }
}

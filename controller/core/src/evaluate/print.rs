//! Numbers as Go's `fmt` prints them and as Prometheus' template functions put them, so that an
//! annotation reads the same here and there.

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notation {
    /// `%f`: with so many decimals, 6 unless told.
    Fixed,
    /// `%e`: with an exponent and so many decimals, 6 unless told.
    Scientific,
    /// `%g`, also `%v`: at most so many significant digits, as many as needed unless told, and an
    /// exponent only for very large and very small numbers.
    General,
}

/// One verb of a `printf` format, without its letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// `-`: to the left of its width.
    pub left: bool,
    /// `+`: always with a sign.
    pub sign: bool,
    /// `0`: filled with zeros.
    pub zeros: bool,
    /// At least so many characters.
    pub width: usize,
    /// The number after the point.
    pub precision: Option<usize>,
}

/// A number, laid out.
pub(super) fn number(value: f64, notation: Notation, layout: Layout) -> String {
    let text = digits(value, notation, layout.precision);
    // Go always shows the sign of +Inf, and that of NaN where signs are asked for.
    let text = if layout.sign && !text.starts_with(['-', '+']) {
        format!("+{text}")
    } else {
        text
    };
    let missing = layout.width.saturating_sub(text.len());
    if !layout.zeros || layout.left || !value.is_finite() || missing == 0 {
        return pad(&text, layout);
    }
    let rest = text.trim_start_matches(['-', '+']);
    let sign = text.strip_suffix(rest).unwrap_or_default();
    format!("{sign}{}{rest}", "0".repeat(missing))
}

/// A text, cut to its precision and laid out.
pub(super) fn text(text: &str, layout: Layout) -> String {
    match layout.precision {
        Some(most) => pad(&text.chars().take(most).collect::<String>(), layout),
        None => pad(text, layout),
    }
}

fn pad(text: &str, layout: Layout) -> String {
    let blanks = " ".repeat(layout.width.saturating_sub(text.chars().count()));
    if layout.left {
        format!("{text}{blanks}")
    } else {
        format!("{blanks}{text}")
    }
}

/// A number as `%v` prints it: the fewest digits that read back as the same number, with an exponent
/// below 0.0001 and from 1000000 on, which is `1e+06`.
pub(super) fn shortest(value: f64) -> String {
    digits(value, Notation::General, None)
}

fn digits(value: f64, notation: Notation, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    match (notation, precision) {
        (Notation::Fixed, precision) => format!("{value:.*}", precision.unwrap_or(6)),
        (Notation::Scientific, precision) => exponent_form(&format!("{value:.*e}", precision.unwrap_or(6))),
        (Notation::General, None) => general(&format!("{value:e}"), SHORTEST_LIMIT),
        (Notation::General, Some(precision)) => {
            let significant = precision.max(1);
            general(
                &format!("{value:.*e}", significant - 1),
                i32::try_from(significant).unwrap_or(i32::MAX),
            )
        }
    }
}

/// From this exponent on the shortest form of a number is written with it (`strconv.FormatFloat`
/// with `'g', -1`, which is what `fmt` uses for `%v`).
const SHORTEST_LIMIT: i32 = 6;

/// `scientific` is `d.ddde-x`. Trailing zeros are dropped, and the exponent too if it is at least
/// -4 and less than `limit`.
fn general(scientific: &str, limit: i32) -> String {
    let (sign, mantissa, exponent) = split(scientific);
    let trimmed = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    if exponent < -4 || exponent >= limit {
        return exponent_form(&format!("{sign}{trimmed}e{exponent}"));
    }
    let digits = trimmed.replace('.', "");
    match usize::try_from(exponent) {
        Ok(exponent) if digits.len() <= exponent + 1 => format!("{sign}{digits:0<width$}", width = exponent + 1),
        Ok(exponent) => {
            let (whole, fraction) = digits.split_at(exponent + 1);
            format!("{sign}{whole}.{fraction}")
        }
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(zeros_after_point(exponent))),
    }
}

fn zeros_after_point(negative_exponent: i32) -> usize {
    usize::try_from(-1 - negative_exponent).unwrap_or(0)
}

/// `1.5e7` as Go writes it: `1.5e+07`.
fn exponent_form(scientific: &str) -> String {
    let (sign, mantissa, exponent) = split(scientific);
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.unsigned_abs())
}

fn split(scientific: &str) -> (&str, &str, i32) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let (sign, unsigned) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |unsigned| ("-", unsigned));
    (sign, unsigned, exponent.parse().unwrap_or(0))
}

fn four_digits(value: f64) -> String {
    digits(value, Notation::General, Some(4))
}

/// `1234567` as `1.235M`, `0.12` as `120m`.
pub(super) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        four_digits(value)
    } else if value.abs() >= 1.0 {
        let (value, prefix) = reduced(value, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]);
        four_digits(value) + prefix
    } else {
        let (value, prefix) = enlarged(value);
        four_digits(value) + prefix
    }
}

/// `1048576` as `1Mi`.
pub(super) fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return four_digits(value);
    }
    let (value, prefix) = reduced(value, 1024.0, &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]);
    four_digits(value) + prefix
}

/// `0.1234567` as `12.35%`.
pub(super) fn humanize_percentage(value: f64) -> String {
    four_digits(value * 100.0) + "%"
}

/// Seconds as `1d 1h 0m 0s`, fractions as `123.5ms`.
pub(super) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return four_digits(value);
    }
    if value.abs() < 1.0 {
        let (value, prefix) = if value == 0.0 { (value, "") } else { enlarged(value) };
        return format!("{}{prefix}s", four_digits(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let whole = value.abs().trunc();
    let (days, hours) = ((whole / 86_400.0).floor(), (whole / 3600.0).floor() % 24.0);
    let (minutes, seconds) = ((whole / 60.0).floor() % 60.0, whole % 60.0);
    if days > 0.0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours > 0.0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes > 0.0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", four_digits(value.abs()))
    }
}

fn reduced(mut value: f64, by: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut last = "";
    for prefix in prefixes {
        if value.abs() < by {
            break;
        }
        last = prefix;
        value /= by;
    }
    (value, last)
}

fn enlarged(mut value: f64) -> (f64, &'static str) {
    let mut last = "";
    for prefix in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        last = prefix;
        value *= 1000.0;
    }
    (value, last)
}

/// Every word's first letter in upper case, the rest as it was. A word goes on over digits,
/// underscores, and a single `'`, `.` or `:` after its first letter (`golang.org/x/text/cases`, exact
/// for ASCII).
pub(super) fn title(text: &str) -> String {
    let (mut inside, mut after_joint) = (false, false);
    let mut titled = String::with_capacity(text.len());
    for letter in text.chars() {
        let joint = matches!(letter, '\'' | '.' | ':');
        if letter.is_alphabetic() {
            if inside {
                titled.push(letter);
            } else {
                titled.extend(letter.to_uppercase());
            }
            inside = true;
        } else {
            let continues = letter.is_numeric() || letter == '_' || (joint && !after_joint);
            inside = inside && continues;
            titled.push(letter);
        }
        after_joint = joint;
    }
    titled
}

/// Upper case, one character for one as in Go.
pub(super) fn upper(text: &str) -> String {
    let one = |letter: char| {
        let mut upper = letter.to_uppercase();
        if upper.len() == 1 {
            upper.next().unwrap_or(letter)
        } else {
            letter
        }
    };
    text.chars().map(one).collect()
}

/// Lower case, one character for one as in Go.
pub(super) fn lower(text: &str) -> String {
    text.chars()
        .map(|letter| letter.to_lowercase().next().unwrap_or(letter))
        .collect()
}

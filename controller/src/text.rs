//! Texts of others, made safe to write.

use flyball_core::time::Span;
use std::fmt::Display;

/// How much of a text the schemas take.
const TEXT: usize = 500;
/// The end of a text that was longer.
const CUT: &str = "...";

/// A text that fits the schemas and forges no line of a log or a terminal: label values come from
/// whoever is scraped.
pub fn clean(text: impl Display) -> String {
    let text = text.to_string();
    let mut out = String::with_capacity(text.len().min(TEXT));
    for character in text.chars() {
        if out.len() >= TEXT {
            out.push_str(CUT);
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// Whether two texts say the same but for their numbers, durations and times. Those move with every
/// pass, and are no reason to write a sentence anew; other words are.
pub fn same_words(one: &str, other: &str) -> bool {
    let (one, other) = (masked(one), masked(other));
    // Where both were cut, their numbers decide how much of the same words is left.
    match (uncut(&one), uncut(&other)) {
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
        _ => one == other,
    }
}

/// What is whole of a text that was cut: all but its last word.
fn uncut(text: &str) -> Option<&str> {
    let text = text.strip_suffix(CUT)?;
    Some(text.rsplit_once(' ').map_or("", |(whole, _)| whole))
}

/// The text with `#` in place of its numbers. Digits within a name, such as those of `p99` or
/// `checkout-1`, are a part of that.
fn masked(text: &str) -> String {
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.' | '%');
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        let end = |inside: bool| rest.find(|c| in_word(c) != inside).unwrap_or(rest.len());
        let (part, more) = rest.split_at(end(in_word(first)));
        let word = part.trim_end_matches('.');
        if in_word(first) && is_number(word) {
            out.push('#');
            out.push_str(&part[word.len()..]);
        } else {
            out.push_str(part);
        }
        rest = more;
    }
    out
}

/// A number as Rust or Prometheus writes it, a duration, a part of a time of day, or the id of a trace or a
/// request, which is another one each time.
fn is_number(word: &str) -> bool {
    let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    if word.len() >= 16 && word.chars().all(hex) && word.contains(|c: char| c.is_ascii_digit()) {
        return true;
    }
    let word = word.trim_start_matches(['+', '-']);
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-' | 'T' | 'Z' | '%');
    let digit = word.starts_with(|c: char| c.is_ascii_digit());
    matches!(word, "NaN" | "Inf" | "inf") || digit && (word.chars().all(plain) || word.parse::<Span>().is_ok())
}

/// The name that was probably meant.
pub fn nearest<'a>(written: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A long word needs no comparison with names of at most some dozen letters.
    let written: String = written.chars().take(64).collect::<String>().to_lowercase();
    names
        .map(|name| (strsim::osa_distance(&written, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4 && *distance < name.len())
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_masked_and_names_are_not() {
        let check = |text: &str, expect: &str| assert_eq!(masked(text), expect);
        check("", "");
        check(
            "signal load is 0.91, with a target of 12",
            "signal load is #, with a target of #",
        );
        check("3 -> 4", "# -> #");
        check("it is -1.5e-7.", "it is #.");
        check("NaN, +Inf and -inf", "#, # and #");
        check("quiet for 2m15s of 10m", "quiet for # of #");
        check("until 2026-01-02T03:04:05.5Z", "until #:#:#");
        check("max(50 %) or 50%", "max(# %) or #");
        check("no connection to 10.0.0.1:9090", "no connection to #:#");
        check("p99 of checkout-1, by web_2", "p99 of checkout-1, by web_2");
        check("7d9f8-x and 3scale", "7d9f8-x and 3scale");
        check(
            "trace id: 4bf92f3577b34da6a3ce929d0e0e4736, of 7c0bd5a4-4e0d-4f7a-9d3b-2a5f1e1c9b77",
            "trace id: #, of #",
        );
        check("checkout-5d9c7b9f8d", "checkout-5d9c7b9f8d");
        check("é 1 ×2…", "é # ×#…");
        check("... and so on...", "... and so on...");
    }

    #[test]
    fn only_words_make_a_sentence_another() {
        let check = |one: &str, other: &str, expect| assert_eq!(same_words(one, other), expect, "{one:?} {other:?}");
        check("Slow is quiet for 45s of 10m", "Slow is quiet for 1m of 10m", true);
        check("Slow is quiet for 45s of 10m", "Slow is pending", false);
        check("p95 fires", "p99 fires", false);
        check("no rule fires", "", false);
        // Cut by `clean` in different places, since one number is longer than the other.
        let long = |number: &str| clean(format!("{number} {}", "so it goes on ".repeat(60)));
        check(&long("0.5"), &long("0.54321"), true);
        check(&long("0.5"), &long("other"), false);
    }
}

//! Texts, widths, numbers and times.

use crate::build::{NOW, ascii, now};
use flyball_controller::cli::screen::{
    Page, Style, Tone, columns, cut, instant, number, plain, quoted, relative, short, span, stored_number, wrap,
};
use flyball_core::time::{Span, Timestamp};
use rstest::rstest;

#[rstest]
#[case("latency is 0.5 \"now\" \\ é", "latency is 0.5 \"now\" \\ é")]
#[case("a\u{1b}[31mred", "a\\u{1b}[31mred")]
#[case("line\nforged\r\tx", "line\\nforged\\r\\tx")]
#[case("\u{202e}reversed\u{200b}", "\\u{202e}reversed\\u{200b}")]
#[case("\u{9b}31m", "\\u{9b}31m")]
fn a_text_obeys_and_forges_nothing(#[case] text: &str, #[case] expect: &str) {
    assert_eq!(plain(text), expect);
    assert_eq!(plain(expect), expect, "what is plain stays as it is");
}

#[rstest]
#[case("checkout", "checkout")]
#[case("deployment.apps", "deployment.apps")]
#[case("", "''")]
#[case("a; rm -rf ~", "'a; rm -rf ~'")]
#[case("it's", "'it'\\''s'")]
#[case("$(x)", "'$(x)'")]
#[case("a\nb", "'a\\nb'")]
#[case("-o", "'-o'")]
fn a_word_is_one_word_to_a_shell(#[case] word: &str, #[case] expect: &str) {
    assert_eq!(quoted(word), expect);
}

#[rstest]
#[case("one two three", Some(7), &["one two", "three"])]
#[case("one two three", None, &["one two three"])]
#[case("abcdefghij k", Some(4), &["abcd", "efgh", "ij k"])]
#[case("", Some(4), &[""])]
#[case("a  b", Some(9), &["a b"])]
fn a_text_is_broken_at_blanks(#[case] text: &str, #[case] width: Option<usize>, #[case] expect: &[&str]) {
    assert_eq!(wrap(text, width), expect);
}

#[rstest]
#[case(0.0, "0")]
#[case(0.812_345_678, "0.812346")]
#[case(20.645_689_583_333_336, "20.6457")]
#[case(123_456_789.0, "123456789")]
#[case(1.0, "1")]
#[case(-2.5, "-2.5")]
#[case(0.000_000_123, "1.23000e-7")]
#[case(f64::NAN, "NaN")]
#[case(f64::INFINITY, "inf")]
fn a_number_has_six_digits(#[case] value: f64, #[case] expect: &str) {
    assert_eq!(number(value), expect);
}

#[test]
fn a_stored_number_is_shortened_and_all_else_is_escaped() {
    assert_eq!(stored_number("25.50144911111111"), "25.5014");
    assert_eq!(stored_number("\u{1b}x"), "\\u{1b}x");
}

#[rstest]
#[case(0, "0s", "0s")]
#[case(59, "59s", "59s")]
#[case(90, "90s", "1m30s")]
#[case(120, "2m", "2m")]
#[case(3_900, "65m", "1h5m")]
#[case(7_200, "2h", "2h")]
#[case(90_061, "25h", "1d1h")]
#[case(864_000, "10d", "10d")]
fn ages_are_short(#[case] seconds: u64, #[case] one: &str, #[case] two: &str) {
    assert_eq!(
        (short(Span::from_secs(seconds)), span(Span::from_secs(seconds))),
        (one.to_owned(), two.to_owned())
    );
}

#[test]
fn an_instant_has_its_day_unless_that_is_today() {
    let at = |seconds: i64| Timestamp::from_millis(NOW + seconds * 1000);
    assert_eq!(instant(at(-40), now()), "03:03:25Z");
    assert_eq!(instant(at(-86_400), now()), "2026-01-01 03:04:05Z");
    assert_eq!(relative(at(-40), now()), "40s ago");
    assert_eq!(relative(at(70), now()), "in 1m10s");
}

#[test]
fn colours_take_no_columns_and_can_be_missing() {
    let coloured = Style {
        colour: true,
        ..ascii(None)
    };
    let text = coloured.paint(Tone::Bad, "FAIL");
    assert_eq!((columns(&text), text.as_str()), (4, "\u{1b}[1;31mFAIL\u{1b}[0m"));
    assert_eq!(ascii(None).paint(Tone::Bad, "FAIL"), "FAIL");
}

#[test]
fn rows_line_up_and_break_below_their_last_column() {
    let mut page = Page::new(ascii(Some(40)));
    page.row(
        "|- ",
        "|  ",
        &[(Tone::Plain, "2 -> 3"), (Tone::Good, "Committed")],
        &[8, 10],
        "the effect is verified",
    );
    page.row(
        "`- ",
        "   ",
        &[(Tone::Plain, "10 -> 12"), (Tone::Good, "Refused")],
        &[8, 10],
        "no",
    );
    assert_eq!(
        page.finish(),
        "|- 2 -> 3    Committed   the effect is verified\n`- 10 -> 12  Refused     no\n",
        "a column of sentences never gets too narrow to be read"
    );
    let mut page = Page::new(ascii(Some(60)));
    page.row(
        "|- ",
        "|  ",
        &[(Tone::Plain, "2 -> 3")],
        &[8],
        "the effect is verified: 0.1 <= 0.5 holds, and so on",
    );
    assert_eq!(
        page.finish(),
        "|- 2 -> 3    the effect is verified: 0.1 <= 0.5 holds, and\n|            so on\n"
    );
}

#[test]
fn a_screen_that_is_too_small_says_what_is_missing() {
    assert_eq!(cut("a\nb\n", 2), "a\nb\n");
    assert_eq!(
        cut("a\nb\nc\nd\n", 3),
        "a\nb\n... 2 more lines; name one policy to see less\n"
    );
}

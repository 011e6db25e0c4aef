//! Recurring times: what lies between a start and an end, by the clock of a zone. The instants were
//! taken from the zones' published changes: Berlin 2026-03-29 01:00 UTC and 2026-10-25 01:00 UTC, New York
//! 2026-03-08 07:00 UTC and 2026-11-01 06:00 UTC, Santiago 2026-04-05 03:00 UTC and 2026-09-06 04:00 UTC.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used)]

use flyball_controller::schedule::{Cron, Recurring, zone};
use flyball_core::{policy::Window, time::Timestamp};
use proptest::prelude::*;
use rstest::rstest;

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";
const SANTIAGO: &str = "America/Santiago";

fn window(start: &str, end: &str, name: &str) -> Recurring {
    let read = |text| Cron::read(text).unwrap();
    Recurring::new(read(start), read(end), zone(name).unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// Each window with instants and whether they lie within.
fn check(start: &str, end: &str, name: &str, expect: &[(&str, bool)]) {
    let window = window(start, end, name);
    for (text, inside) in expect {
        assert_eq!(window.contains(at(text)), *inside, "{text} in {window:?}");
    }
}

#[test]
fn a_window_holds_its_start_and_not_its_end() {
    check(
        "0 8 * * 1-5",
        "0 18 * * 1-5",
        BERLIN,
        &[
            // Friday, at UTC+1.
            ("2026-03-27T06:59:59.999Z", false),
            ("2026-03-27T07:00:00Z", true),
            ("2026-03-27T16:59:59.999Z", true),
            ("2026-03-27T17:00:00Z", false),
            // Saturday and Sunday.
            ("2026-03-28T12:00:00Z", false),
            ("2026-03-29T12:00:00Z", false),
            // Monday, at UTC+2.
            ("2026-03-30T05:59:59.999Z", false),
            ("2026-03-30T06:00:00Z", true),
            ("2026-03-30T16:00:00Z", false),
            // The Monday after the clock went back.
            ("2026-10-26T06:59:59.999Z", false),
            ("2026-10-26T07:00:00Z", true),
        ],
    );
}

#[rstest]
// Over the skipped hour and over the one that comes twice.
#[case("0 22 * * *", "0 6 * * *", BERLIN, &[
    ("2026-03-28T20:59:59Z", false), ("2026-03-28T21:00:00Z", true), ("2026-03-29T01:00:00Z", true),
    ("2026-03-29T03:59:59Z", true), ("2026-03-29T04:00:00Z", false),
    ("2026-10-24T20:00:00Z", true), ("2026-10-25T01:30:00Z", true), ("2026-10-25T04:59:59Z", true),
    ("2026-10-25T05:00:00Z", false),
])]
// A start that is skipped counts when the clock goes on.
#[case("30 2 * * *", "0 5 * * *", BERLIN, &[
    ("2026-03-28T01:30:00Z", true), ("2026-03-29T00:59:59Z", false), ("2026-03-29T01:00:00Z", true),
    ("2026-03-29T02:59:59Z", true), ("2026-03-29T03:00:00Z", false),
])]
// Also one of a list.
#[case("0 2,14 * * *", "0 4,16 * * *", BERLIN, &[
    ("2026-03-29T00:59:59Z", false), ("2026-03-29T01:00:00Z", true), ("2026-03-29T02:00:00Z", false),
    ("2026-03-29T12:00:00Z", true), ("2026-03-29T14:00:00Z", false),
])]
// An end that is skipped.
#[case("0 22 * * *", "30 2 * * *", BERLIN, &[
    ("2026-03-29T00:59:59Z", true), ("2026-03-29T01:00:00Z", false), ("2026-03-29T20:00:00Z", true),
])]
// A window within the skipped hour does not come on that day.
#[case("15 2 * * *", "45 2 * * *", BERLIN, &[
    ("2026-03-28T01:15:00Z", true), ("2026-03-28T01:45:00Z", false), ("2026-03-29T00:59:59Z", false),
    ("2026-03-29T01:00:00Z", false), ("2026-03-29T12:00:00Z", false), ("2026-03-30T00:15:00Z", true),
    ("2026-03-30T00:45:00Z", false),
])]
// All of the day but half an hour, which is skipped.
#[case("45 2 * * *", "15 2 * * *", BERLIN, &[
    ("2026-03-28T01:30:00Z", false), ("2026-03-29T00:59:59Z", true), ("2026-03-29T01:00:00Z", true),
    ("2026-03-30T00:30:00Z", false),
])]
// A time that comes twice counts the first time.
#[case("15 2 * * *", "45 2 * * *", BERLIN, &[
    ("2026-10-25T00:14:59Z", false), ("2026-10-25T00:15:00Z", true), ("2026-10-25T00:45:00Z", false),
    ("2026-10-25T01:15:00Z", false), ("2026-10-25T01:30:00Z", false), ("2026-10-26T01:15:00Z", true),
])]
#[case("0 22 * * *", "30 2 * * *", BERLIN, &[
    ("2026-10-25T00:29:59Z", true), ("2026-10-25T00:30:00Z", false), ("2026-10-25T01:15:00Z", false),
    ("2026-10-25T01:45:00Z", false),
])]
#[case("30 2 * * *", "0 5 * * *", BERLIN, &[
    ("2026-10-25T00:29:59Z", false), ("2026-10-25T00:30:00Z", true), ("2026-10-25T01:15:00Z", true),
    ("2026-10-25T03:59:59Z", true), ("2026-10-25T04:00:00Z", false),
])]
// Over midnight, once a week.
#[case("0 20 * * fri", "0 4 * * SAT", NEW_YORK, &[
    ("2026-07-03T23:59:59Z", false), ("2026-07-04T00:00:00Z", true), ("2026-07-04T04:00:00Z", true),
    ("2026-07-04T07:59:59Z", true), ("2026-07-04T08:00:00Z", false), ("2026-07-05T02:00:00Z", false),
])]
#[case("0 22 * * *", "30 1 * * *", NEW_YORK, &[
    ("2026-11-01T02:00:00Z", true), ("2026-11-01T05:29:59Z", true), ("2026-11-01T05:30:00Z", false),
    ("2026-11-01T06:15:00Z", false), ("2026-11-01T06:45:00Z", false), ("2026-11-02T03:00:00Z", true),
])]
#[case("0 2 * * *", "30 3 * * *", NEW_YORK, &[
    ("2026-03-08T06:59:59Z", false), ("2026-03-08T07:00:00Z", true), ("2026-03-08T07:29:59Z", true),
    ("2026-03-08T07:30:00Z", false),
])]
// A midnight that is skipped, and one that the clock goes back over.
#[case("0 0 * * *", "0 8 * * *", SANTIAGO, &[
    ("2026-09-05T04:00:00Z", true), ("2026-09-06T03:59:59Z", false), ("2026-09-06T04:00:00Z", true),
    ("2026-09-06T10:59:59Z", true), ("2026-09-06T11:00:00Z", false),
])]
#[case("30 23 * * *", "15 0 * * *", SANTIAGO, &[
    ("2026-04-05T02:29:59Z", false), ("2026-04-05T02:30:00Z", true), ("2026-04-05T03:15:00Z", true),
    ("2026-04-05T04:14:59Z", true), ("2026-04-05T04:15:00Z", false),
])]
fn a_clock_that_changes(#[case] start: &str, #[case] end: &str, #[case] name: &str, #[case] expect: &[(&str, bool)]) {
    check(start, end, name, expect);
}

#[rstest]
// Leap days, the eight years without one around 2100 among them.
#[case("0 0 29 2 *", "0 0 1 3 *", &[
    ("2027-02-28T12:00:00Z", false), ("2028-02-29T12:00:00Z", true), ("2028-03-01T00:00:00Z", false),
    ("2100-02-28T23:59:59Z", false), ("2104-02-29T00:00:00Z", true),
])]
#[case("0 0 1 1 *", "0 0 29 2 *", &[
    ("2096-02-28T00:00:00Z", true), ("2096-03-01T00:00:00Z", false), ("2097-01-01T00:00:00Z", true),
    ("2104-02-28T00:00:00Z", true), ("2104-02-29T00:00:00Z", false),
])]
// A day of month and a day of week: one of them is enough. 2026-11-13 is a Friday.
#[case("0 0 13 * 5", "0 1 * * *", &[
    ("2026-11-13T00:30:00Z", true), ("2026-12-11T00:30:00Z", true), ("2026-12-13T00:30:00Z", true),
    ("2026-12-12T00:30:00Z", false), ("2026-12-13T01:00:00Z", false),
])]
// A second start before the end changes nothing.
#[case("0 8,9 * * *", "0 18 * * *", &[
    ("2026-11-13T08:30:00Z", true), ("2026-11-13T09:30:00Z", true), ("2026-11-13T18:00:00Z", false),
])]
// A start at the very time of an end begins anew.
#[case("0 0,12 * * *", "0 6,12 * * *", &[
    ("2026-11-13T05:59:00Z", true), ("2026-11-13T06:00:00Z", false), ("2026-11-13T12:00:00Z", true),
    ("2026-11-13T23:00:00Z", true),
])]
// Names, steps, and both numbers of Sunday.
#[case("*/30 10-12/2 * jan,Dec Sun", "1-59/2 * * * 7", &[
    ("2026-12-06T10:00:00Z", true), ("2026-12-06T10:01:00Z", false), ("2026-12-06T10:30:59Z", true),
    ("2026-12-06T11:00:00Z", false), ("2026-12-06T12:00:00Z", true), ("2026-12-07T10:00:00Z", false),
    ("2026-11-29T10:00:00Z", false),
])]
fn what_cron_names(#[case] start: &str, #[case] end: &str, #[case] expect: &[(&str, bool)]) {
    check(start, end, "UTC", expect);
}

#[test]
fn outside_of_the_calendar_nothing_recurs() {
    let always = window("* * * * *", "0 0 1 1 *", BERLIN);
    for ms in [i64::MIN, i64::MAX] {
        assert!(!always.contains(Timestamp::from_millis(ms)));
    }
    // At its edges nothing fails.
    for edge in [jiff::Timestamp::MIN, jiff::Timestamp::MAX] {
        always.contains(Timestamp::from_millis(edge.as_millisecond()));
    }
}

#[test]
fn a_window_without_length_is_none() {
    let read = |text| Cron::read(text).unwrap();
    let utc = || zone("UTC").unwrap();
    assert!(Recurring::new(read("0 8 * * 1-5"), read("0  8 * * mon-fri"), utc()).is_none());
    assert!(Recurring::new(read("0 8 * * 1-5"), read("0 8 * * 1-6"), utc()).is_some());
}

#[rstest]
#[case("", "has 0 of the five fields", None)]
#[case(
    "@daily",
    "\"@daily\" has 1 of the five fields minute, hour, day of month, month and day of week",
    None
)]
#[case("0 8 * *", "has 4 of the five fields", None)]
#[case("0 0 8 * * *", "has 6 of the five fields", None)]
#[case(
    "60 8 * * *",
    "\"60\" is no minute; write 0 to 59, lists as in 0,30, ranges with -, steps as in */2, or *",
    Some(1)
)]
#[case("-1 8 * * *", "\"-1\" is no minute", Some(1))]
#[case("*/0 8 * * *", "\"*/0\" is no minute", Some(1))]
#[case("30-10 8 * * *", "\"30-10\" is no minute", Some(1))]
#[case("1,,2 8 * * *", "\"1,,2\" is no minute", Some(1))]
#[case("5/15 8 * * *", "\"5/15\" is no minute", Some(1))]
#[case("1.5 8 * * *", "\"1.5\" is no minute", Some(1))]
#[case("999999 8 * * *", "\"999999\" is no minute", Some(1))]
#[case("٣ 8 * * *", "is no minute", Some(1))]
#[case("0 24 * * *", "\"24\" is no hour; write 0 to 23", Some(3))]
#[case("0   8pm * * *", "\"8pm\" is no hour", Some(5))]
#[case("0 8 0 * *", "\"0\" is no day of month; write 1 to 31", Some(5))]
#[case("0 8 32 * *", "\"32\" is no day of month", Some(5))]
#[case("0 8 L * *", "\"L\" is no day of month", Some(5))]
#[case("0 8 15W * *", "\"15W\" is no day of month", Some(5))]
#[case("0 8 ? * *", "\"?\" is no day of month", Some(5))]
#[case("0 8 * 0 *", "\"0\" is no month; write 1 to 12 or jan to dec", Some(7))]
#[case("0 8 * 13 *", "\"13\" is no month", Some(7))]
#[case("0 8 * mon *", "\"mon\" is no month", Some(7))]
#[case("0 8 * jan0 *", "\"jan0\" is no month", Some(7))]
#[case("0 8 * * 8", "\"8\" is no day of week; write 0 to 7 or sun to sat", Some(9))]
#[case("0 8 * * monday", "\"monday\" is no day of week", Some(9))]
#[case("0 8 * * 5#2", "\"5#2\" is no day of week", Some(9))]
#[case("0 8 * * +5", "\"+5\" is no day of week", Some(9))]
#[case(
    "0 0 30 2 *",
    "\"0 0 30 2 *\" never comes: the months that it names have no such day",
    None
)]
#[case("0 0 31 4,6,9,11 *", "never comes", None)]
fn what_is_no_cron_is_named(#[case] text: &str, #[case] part: &str, #[case] column: Option<usize>) {
    let error = Cron::read(text).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
    assert_eq!(error.position().map(|at| at.column), column);
}

#[test]
fn a_long_cron_is_refused_and_an_unlikely_one_is_not() {
    let error = Cron::read(&format!("{} 8 * * *", "1,".repeat(70))).unwrap_err();
    assert!(error.to_string().contains("at most 128 are allowed"), "{error}");
    // The 30th of February never comes, but each Monday of February does.
    assert!(Cron::read("0 0 30 2 1").is_ok());
}

#[rstest]
#[case("Berlin", "\"Berlin\" is no IANA time zone; did you mean Europe/Berlin?")]
#[case("New York", "did you mean America/New_York?")]
#[case("Europe/Berln", "did you mean Europe/Berlin?")]
#[case("../../etc/passwd", "write for example Europe/Berlin, or leave it out for UTC")]
#[case("", "\"\" is no IANA time zone")]
fn what_is_no_zone_is_named(#[case] name: &str, #[case] part: &str) {
    let error = zone(name).unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
}

#[test]
fn a_zone_has_one_name() {
    let text = |name| window("0 8 * * *", "0 9 * * *", name).text().to_owned();
    assert_eq!(text("europe/berlin"), "0 8 * * * to 0 9 * * * Europe/Berlin");
    assert_eq!(text("UTC"), "0 8 * * * to 0 9 * * * UTC");
}

proptest! {
    /// Every day from one minute to another: arithmetic says what lies between.
    #[test]
    fn a_daily_window_is_arithmetic(start in 0..1440_i64, length in 1..1440_i64, day in -20_000..40_000_i64, second in 0..86_400_i64) {
        let end = (start + length) % 1440;
        let cron = |minute: i64| format!("{} {} * * *", minute % 60, minute / 60);
        let window = window(&cron(start), &cron(end), "UTC");
        let at = Timestamp::from_millis((day * 86_400 + second) * 1000);
        let since = (second - start * 60).rem_euclid(86_400);
        prop_assert_eq!(window.contains(at), since < length * 60);
    }

    /// No text can do harm, and what is read comes at some time.
    #[test]
    fn any_text_is_read_or_refused(text in "[0-9a-zA-Z*/,\\-?#@ \\u{0}-\\u{20ac}]{0,40}") {
        if let Ok(cron) = Cron::read(&text)
            && let Some(window) = Recurring::new(cron, Cron::read("59 23 31 12 *").unwrap(), zone(NEW_YORK).unwrap())
        {
            window.contains(at("2026-11-13T00:00:00Z"));
        }
    }

    #[test]
    fn any_fields_are_read_or_refused(fields in proptest::collection::vec("[0-9*]{1,2}([-/,][0-9]{1,2}){0,2}", 5)) {
        let text = fields.join(" ");
        if let Ok(cron) = Cron::read(&text) {
            prop_assert_eq!(cron.text(), text);
        }
    }
}

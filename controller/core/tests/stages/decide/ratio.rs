use super::check;
use crate::build::{Observed, average, facts, n, number, ratio, reading, unusable, value};
use flyball_core::{policy::TotalTarget, signal::Quality};
use rstest::rstest;

#[rstest]
#[case(average(100.0), 4, 450.0, "5", "ceil(450 / 100) = 5")]
#[case(average(100.0), 4, 500.0, "5", "ceil(500 / 100) = 5")]
#[case(average(100.0), 4, 500.1, "6", "ceil(500.1 / 100) = 6")]
#[case(average(100.0), 10, 300.0, "3", "300 / (100 x 10) is less than 1 - 0.1")]
#[case(value(30.0), 15, 46.0, "23", "ceil(15 x 46 / 30) = 23")]
#[case(value(0.5), 4, 0.75, "6", "0.75 / 0.5 is more than 1 + 0.1")]
#[case(value(0.5), 4, 0.25, "2", "ceil(4 x 0.25 / 0.5) = 2")]
// The tolerance's bounds are within, as in HPA 1.33: exactly 1.1 and exactly 0.9.
#[case(value(30.0), 10, 33.0, "-", "33 / 30 lies from 1 - 0.1 to 1 + 0.1")]
#[case(value(100.0), 10, 110.0, "-", "lies from")]
#[case(value(10.0), 10, 9.0, "-", "lies from")]
#[case(value(10.0), 10, 11.000_001, "12", "is more than 1 + 0.1")]
#[case(value(10.0), 10, 8.999_999, "9", "is less than 1 - 0.1")]
#[case(average(30.0), 10, 330.0, "-", "330 / (30 x 10) lies from")]
// The noise of a sum of floats is none of ours.
#[case(average(100.0), 2, 300.000_000_000_000_06, "3", "ceil(300 / 100) = 3")]
#[case(average(0.1), 2, 0.1 + 0.2, "3", "ceil(0.3 / 0.1) = 3")]
// Nothing to do at all.
#[case(average(100.0), 10, 0.0, "0", "ceil(0 / 100) = 0")]
#[case(average(1e-300), 10, 1e300, "10000", "ceil(1e300 / 1e-300) = 10000")]
fn a_ratio_asks_for_a_number(
    #[case] target: TotalTarget,
    #[case] current: i64,
    #[case] signal: f64,
    #[case] expect: &str,
    #[case] line: &str,
) {
    let mut action = ratio(target);
    (action.bounds.min, action.bounds.max) = (n(0), n(10_000));
    let observed = Observed::default().signal("load", number(3600, signal));
    check(&action, &observed, &facts(current), expect, &["signal load is", line]);
}

#[test]
fn forty_six_thirtieths_of_seventy_five_are_exact() {
    let mut action = ratio(value(30.0));
    action.bounds.max = n(1000);
    let observed = Observed::default().signal("load", number(3600, 46.0));
    // HPA's floats come to 116.
    check(&action, &observed, &facts(75), "115", &["ceil(75 x 46 / 30) = 115"]);
}

#[test]
fn from_zero_a_ratio_has_no_tolerance() {
    for (target, signal, expect) in [
        (average(100.0), 105.0, "2"),
        (value(100.0), 105.0, "2"),
        (value(100.0), 95.0, "1"),
        (value(100.0), 0.0, "-"),
    ] {
        let mut action = ratio(target);
        action.bounds.min = n(0);
        let observed = Observed::default().signal("load", number(3600, signal));
        check(&action, &observed, &facts(0), expect, &[]);
    }
}

#[test]
fn without_a_usable_number_a_ratio_stays() {
    let action = ratio(average(100.0));
    for unusable in unusable(3600) {
        let quality = unusable.quality().to_string();
        check(
            &action,
            &Observed::default().signal("load", unusable),
            &facts(10),
            "-",
            &["no usable number", &quality],
        );
    }
    check(
        &action,
        &Observed::default(),
        &facts(10),
        "-",
        &["signal load was not read"],
    );
    let two = reading(Quality::Fresh, 3600, &[("a", 1.0), ("b", 2.0)]);
    check(
        &action,
        &Observed::default().signal("load", two),
        &facts(10),
        "-",
        &["2 series"],
    );
    let negative = Observed::default().signal("load", number(3600, -1.0));
    check(&action, &negative, &facts(10), "-", &["signal load is -1", "clamp_min"]);
}

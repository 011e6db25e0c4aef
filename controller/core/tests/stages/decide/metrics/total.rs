use super::check;
use crate::{
    build::{Observed, average, facts, n, number, ratio, reading, secs, unusable, value},
    fleet::{Fleet, wide},
};
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

/// A level of 100 on pods of which not all are ready; `-` is to stay.
#[rstest]
// Where the pods are not known, spec.replicas: ceil(5 x 2).
#[case(None, 5, 200.0, "10", "ceil(5 x 200 / 100) = 10")]
// ceil(3 x 2) of 5.
#[case(Some(Fleet::default().ready(3, 0.0).unready(2, 0.0, 20)), 5, 200.0, "6", "ceil(3 x 200 / 100) = 6")]
// ceil(3 x 2) of 10; HPA comes to 6.
#[case(Some(Fleet::default().ready(3, 0.0).unready(7, 0.0, 20)), 10, 200.0, "-", "so 10 stay")]
// Terminating pods are ready pods here, in HPA as well: ceil(7 x 2).
#[case(Some(Fleet::default().ready(5, 0.0).terminating(2, None)), 5, 200.0, "14", "ceil(7 x 200")]
// ceil(7 x 0.8) of 5; HPA comes to 6.
#[case(Some(Fleet::default().ready(5, 0.0).terminating(2, None)), 5, 80.0, "-", "so 5 stay")]
// Neither pending nor ended pods are.
#[case(Some(Fleet::default().ready(4, 0.0).pending(1, None).failed(3, None)), 5, 200.0, "8", "ceil(4 x 200")]
// ceil(4 x 0.5).
#[case(Some(Fleet::default().ready(4, 0.0).unready(1, 0.0, 20)), 5, 50.0, "2", "ceil(4 x 50 / 100) = 2")]
// None is ready; HPA comes to 0, either way.
#[case(Some(Fleet::default().unready(5, 0.0, 20)), 5, 50.0, "-", "no pod is ready")]
#[case(Some(Fleet::default().unready(5, 0.0, 20)), 5, 200.0, "-", "no pod is ready")]
#[case(Some(Fleet::default()), 5, 200.0, "-", "the target has no pods")]
// Within the tolerance the pods don't matter.
#[case(Some(Fleet::default()), 5, 110.0, "-", "lies from")]
// From zero: ceil(2.5), without pods.
#[case(Some(Fleet::default()), 0, 250.0, "3", "ceil(250 / 100) = 3")]
fn a_level_is_applied_to_the_ready_pods(
    #[case] fleet: Option<Fleet>,
    #[case] current: i64,
    #[case] level: f64,
    #[case] expect: &str,
    #[case] line: &str,
) {
    let facts = fleet.map_or_else(|| facts(current), |fleet| fleet.facts(current));
    let observed = Observed::default().signal("load", number(3600, level));
    check(&wide(ratio(value(100.0))), &observed, &facts, expect, &[line]);
}

#[test]
fn a_level_counts_what_warms_up_on_the_way_down_only() {
    let mut action = wide(ratio(value(100.0)));
    action.warm_up = secs(180);
    let fleet = Fleet::default().since(3, 0.0, 3420).since(3, 0.0, 3421);
    let decide = |level: f64, expect: &str, part: &str| {
        let observed = Observed::default().signal("load", number(3600, level));
        check(&action, &observed, &fleet.facts(6), expect, &[part]);
    };
    decide(300.0, "9", "ceil(3 x 300 / 100) = 9");
    decide(50.0, "3", "ceil(6 x 50 / 100) = 3");
}

/// A total of 100 for each replica, with so many in `status.replicas`.
#[rstest]
// 450 / 400 is more than 1.1; ceil(4.5).
#[case(4, Some(4), 450.0, "5", "450 / (100 x 4) is more than 1 + 0.1")]
// 450 / 500 is within, and status.replicas is what is asked for.
#[case(4, Some(5), 450.0, "5", "450 / (100 x 5) lies from")]
#[case(10, Some(9), 980.0, "9", "980 / (100 x 9) lies from")]
#[case(10, Some(13), 1300.0, "13", "1300 / (100 x 13) lies from")]
// 1000 / 1300 is less than 0.9; ceil(10).
#[case(10, Some(13), 1000.0, "-", "ceil(1000 / 100) = 10")]
// Without replicas there is no ratio: ceil(1.05).
#[case(5, Some(0), 105.0, "2", "ceil(105 / 100) = 2")]
#[case(5, Some(0), 0.0, "0", "ceil(0 / 100) = 0")]
#[case(0, Some(0), 105.0, "2", "ceil(105 / 100) = 2")]
// Where the status is not known, spec.replicas.
#[case(5, None, 450.0, "-", "450 / (100 x 5) lies from")]
fn a_total_is_shared_by_the_replicas_of_the_status(
    #[case] current: i64,
    #[case] observed: Option<i64>,
    #[case] total: f64,
    #[case] expect: &str,
    #[case] line: &str,
) {
    let mut facts = facts(current);
    facts.observed = observed.map(n);
    let observed = Observed::default().signal("load", number(3600, total));
    check(&wide(ratio(average(100.0))), &observed, &facts, expect, &[line]);
}

use super::{on, with};
use crate::{
    build::{Observed, at, facts, finite, n, number, reading, secs, unusable},
    decide::check,
    fleet::{Fleet, by_signal, mean, per_pod_signal},
};
use flyball_core::{
    policy::{OnError, ReplicasAction},
    signal::{Quality, Reading, Sample},
};
use rstest::rstest;

fn fleet() -> Fleet {
    Fleet::default()
}

/// Against a mean of 100.
#[rstest]
// 450 / 3 = 150; ceil(1.5 x 3) = ceil(4.5).
#[case(fleet().ready(3, 150.0), 3, "5", &["450 / 3 pods = 150", "150 / 100 is more than 1 + 0.1", "ceil(3 x 150 / 100) = 5"])]
// 200 / 4 = 50; ceil(0.5 x 4).
#[case(fleet().ready(4, 50.0), 4, "2", &["50 / 100 is less than 1 - 0.1", "ceil(4 x 50 / 100) = 2"])]
// The bounds of the tolerance are within.
#[case(fleet().ready(3, 110.0), 3, "-", &["110 / 100 lies from 1 - 0.1 to 1 + 0.1"])]
#[case(fleet().ready(3, 90.0), 3, "-", &["lies from"])]
// 330.003 / 3 = 110.001; ceil(1.10001 x 3) = ceil(3.30003).
#[case(fleet().ready(3, 110.001), 3, "4", &["330.003 / 3 pods = 110.001"])]
// 330.001 / 3 = 110.00033.., cut to thousandths.
#[case(fleet().ready(2, 110.0).ready(1, 110.001), 3, "-", &["330.001 / 3 pods = 110, cut to thousandths"])]
// Missing on the way down: (4 x 50 + 100) / 5 = 60; ceil(0.6 x 5).
#[case(fleet().ready(4, 50.0).missing(1), 5, "3", &["of 5 pods 4 count, 1 measure nothing", "as the target of 100", "300 / 5 pods = 60", "ceil(5 x 60 / 100) = 3"])]
// Missing on the way up: 4 x 150 / 5 = 120; ceil(1.2 x 5).
#[case(fleet().ready(4, 150.0).missing(1), 5, "6", &["on the way up those 1 count as 0", "600 / 5 pods = 120"])]
// 4 x 130 / 5 = 104 is within, as is (50 + 9 x 100) / 10 = 95.
#[case(fleet().ready(4, 130.0).missing(1), 5, "-", &["104 / 100 lies from"])]
#[case(fleet().ready(1, 50.0).missing(9), 10, "-", &["95 / 100 lies from"])]
// 2 x 150 / 4 = 75 would go down.
#[case(fleet().ready(2, 150.0).missing(2), 4, "-", &["75 / 100 is less than", "the direction flips, so 4 stay"])]
// Exactly 1 says nothing either way, whatever the missing would measure.
#[case(fleet().ready(2, 100.0).missing(20), 30, "-", &["100 / 100 is 1"])]
// Pending pods count as 0 on the way up: 4 x 150 / 5 = 120; ceil(1.2 x 5); with a number or without.
#[case(fleet().ready(4, 150.0).pending(1, None), 5, "6", &["of 5 pods 4 count, 1 are starting", "600 / 5 pods"])]
#[case(fleet().ready(4, 150.0).pending(1, Some(900.0)), 5, "6", &["600 / 5 pods"])]
// And not at all on the way down: ceil(0.5 x 4).
#[case(fleet().ready(4, 50.0).pending(1, Some(900.0)), 5, "2", &["200 / 4 pods"])]
// 5 x 150 / 10 = 75 flips.
#[case(fleet().ready(5, 150.0).pending(5, None), 10, "-", &["the direction flips"])]
// Missing and pending: 6 x 200 / 8 = 150; ceil(1.5 x 8).
#[case(fleet().ready(6, 200.0).missing(1).pending(1, None), 8, "12", &["those 2 count as 0"])]
// Down: (6 x 50 + 100) / 7 = 57.142; ceil(0.57142 x 7) = ceil(3.99994).
#[case(fleet().ready(6, 50.0).missing(1).pending(1, None), 8, "4", &["400 / 7 pods = 57.142, cut"])]
// What terminates or failed is not there, neither measured nor missing: ceil(1.5 x 3).
#[case(fleet().ready(3, 150.0).terminating(2, Some(999.0)).failed(2, Some(999.0)), 3, "5", &["of 3 pods 3 count"])]
#[case(fleet().ready(3, 50.0).terminating(2, None).failed(2, None), 3, "2", &["of 3 pods 3 count"])]
// For a number that is no use of the CPU, a pod that is not Ready counts like any other.
#[case(fleet().ready(2, 150.0).unready(1, 150.0, 20), 3, "5", &["of 3 pods 3 count"])]
// ceil(1.2 x 8) = 10, while 12 are asked for of which 4 could not be created; HPA comes to 10.
#[case(fleet().ready(8, 120.0), 12, "-", &["ceil(8 x 120 / 100) = 10", "the other direction from 12, so 12 stay"])]
// ceil(0.85 x 12) = 11 with a surge of 2; HPA comes to 11.
#[case(fleet().ready(12, 85.0), 10, "-", &["ceil(12 x 85 / 100) = 11", "so 10 stay"])]
// With a missing pod HPA keeps to that, too: 8 x 150 / 9 = 133.333; ceil(1.33333 x 9) = 12.
#[case(fleet().ready(8, 150.0).missing(1), 20, "-", &["ceil(9 x 133.333 / 100) = 12", "so 20 stay"])]
#[case(fleet().ready(8, 150.0).missing(1), 9, "12", &[])]
// Nothing at all is something.
#[case(fleet().ready(3, 0.0), 3, "0", &["ceil(3 x 0 / 100) = 0"])]
#[case(fleet().ready(3, 0.0).missing(1), 4, "1", &["100 / 4 pods = 25"])]
fn pods_are_counted_as_in_hpa(
    #[case] fleet: Fleet,
    #[case] current: i64,
    #[case] expect: &str,
    #[case] lines: &[&str],
) {
    on(&fleet, current, &by_signal(mean(100.0)), expect, lines);
}

#[test]
fn a_mean_of_46_against_30_on_75_pods_is_exact() {
    let fleet = fleet().ready(75, 46.0);
    on(&fleet, 75, &by_signal(mean(30.0)), "115", &["ceil(75 x 46 / 30) = 115"]);
}

#[test]
fn a_fine_target_is_compared_as_it_is() {
    let check = |target: f64, number: f64, expect: &str, part: &str| {
        on(
            &fleet().ready(10, number),
            10,
            &by_signal(mean(target)),
            expect,
            &[part],
        );
    };
    // HPA cuts 0.0049 to 0.004 and comes to 8.
    check(0.005, 0.0049, "-", "0.049 / 0.05 lies from");
    check(0.005, 0.0056, "12", "ceil(10 x 0.056 / 0.05) = 12");
    check(0.000_01, 0.000_02, "20", "ceil(10 x 0.0002 / 0.0001) = 20");
    // From a tenth on it is HPA's: 0.1109 is cut to 0.11, and 0.0999 to 0.099.
    check(0.1, 0.1109, "-", "0.11 / 0.1 lies from");
    check(0.099_9, 0.1109, "12", "1.109 / 0.999");
    check(1e-300, 1e300, "10000", "");
}

#[test]
fn series_of_pods_that_the_target_does_not_own_are_none_of_ours() {
    let mut fleet = fleet().ready(3, 150.0);
    // HPA would count it in the mean.
    fleet.numbers.push(("other-1".to_owned(), 99_999.0));
    on(&fleet, 3, &by_signal(mean(100.0)), "5", &["450 / 3 pods = 150"]);
}

#[test]
fn without_pods_or_numbers_there_is_no_number() {
    let action = by_signal(mean(100.0));
    on(&fleet(), 3, &action, "-", &["load"]);
    let fleet = fleet().missing(3);
    let other = Fleet::default().ready(4, 150.0);
    with(
        &other.observed(3600, crate::fleet::cpu()),
        &Fleet::default(),
        3,
        &action,
        "-",
        &["the target has no pods"],
    );
    check(
        &action,
        &other.observed(3600, crate::fleet::cpu()),
        &facts(3),
        "-",
        &["the target's pods are not known"],
    );
    let mut strange = fleet.clone();
    strange.numbers.push(("other-1".to_owned(), 150.0));
    on(
        &strange,
        3,
        &action,
        "-",
        &["of 3 pods 0 count, 3 measure nothing, so there is nothing to measure"],
    );
    on(
        &Fleet::default().pending(3, Some(150.0)),
        3,
        &action,
        "-",
        &["3 are starting, so there is nothing to measure"],
    );
    on(
        &Fleet::default().ready(2, -150.0),
        2,
        &action,
        "-",
        &["the sum over the pods is -300", "clamp_min"],
    );
    on(
        &Fleet::default().ready(2, 0.0).ready(1, -0.001),
        3,
        &action,
        "-",
        &["clamp_min"],
    );
}

fn observed(reading: Reading, on_error: OnError) -> Observed {
    Observed::default()
        .define(per_pod_signal("load", on_error))
        .signal("load", reading)
}

#[test]
fn a_signal_for_each_pod_must_be_one_series_for_each() {
    let fleet = fleet().ready(2, 150.0);
    let action = by_signal(mean(100.0));
    let stays = |reading: Reading, part: &str| {
        with(&observed(reading, OnError::HoldDown), &fleet, 2, &action, "-", &[part]);
    };
    for unusable in unusable(3600) {
        let quality = unusable.quality().to_string();
        stays(unusable, &format!("signal load can't be used: {quality}"));
    }
    stays(
        number(3600, 1.0),
        "without the label pod; write for example sum by (pod)",
    );
    let twice = |name: &str| Sample {
        labels: crate::build::labels(&[("pod", "web-000"), ("container", name)]),
        value: 150.0,
    };
    let samples = vec![twice("app"), twice("sidecar")];
    let reading = Reading::answered(at(3600), samples, &[], None, secs(60));
    stays(reading, "several series for pod web-000");
    check(
        &action,
        &Observed::default(),
        &fleet.facts(2),
        "-",
        &["signal load was not read"],
    );
}

#[rstest]
#[case(OnError::HoldDown, "-", "")]
#[case(OnError::Hold, "-", "its onError is Hold, so nothing changes")]
#[case(OnError::Ignore, "-", "its onError is Ignore")]
// Each pod counts with the substitute: ceil(1.5 x 4); and nothing is taken away for it.
#[case(OnError::Substitute(finite(150.0)), "6", "onError substitutes 150")]
#[case(OnError::Substitute(finite(50.0)), "-", "nothing is taken away")]
#[case(OnError::Substitute(finite(-1.0)), "-", "substitutes -1, but a ratio needs 0 or more")]
fn what_is_missing_is_as_its_signal_says(#[case] on_error: OnError, #[case] expect: &str, #[case] part: &str) {
    let observed = observed(reading(Quality::Missing, 3600, &[]), on_error);
    with(
        &observed,
        &fleet().ready(4, 0.0),
        4,
        &by_signal(mean(100.0)),
        expect,
        &[part],
    );
}

/// Three minutes to warm up.
fn warming() -> ReplicasAction {
    ReplicasAction {
        warm_up: secs(180),
        ..by_signal(mean(100.0))
    }
}

#[rstest]
// Ready for 3 minutes is warm.
#[case(fleet().since(4, 150.0, 3420), 4, "6", &["of 4 pods 4 count"])]
// 2 x 200 / 4 = 100 on the way up, with those that are warming up as 0.
#[case(fleet().ready(2, 200.0).since(2, 900.0, 3421), 4, "-", &["of 4 pods 2 count, 2 are warming up", "400 / 4 pods = 100"])]
#[case(fleet().ready(2, 400.0).since(2, 900.0, 3421), 4, "8", &["800 / 4 pods = 200"])]
// Not Ready is not warm, since whenever.
#[case(fleet().ready(2, 400.0).unready(2, 900.0, 20), 4, "8", &["2 are warming up"])]
// On the way down they stay among those that share the load: ceil(0.6 x 4), not ceil(0.6 x 2).
#[case(fleet().ready(2, 60.0).since(2, 900.0, 3421), 4, "3", &["120 / 2 pods = 60", "ceil(4 x 60 / 100) = 3"])]
// And with a missing one: (2 x 50 + 100) / 3 = 66.666; ceil(0.66666 x (3 + 2)) = ceil(3.3333).
#[case(fleet().ready(2, 50.0).missing(1).since(2, 900.0, 3421), 5, "4", &["200 / 3 pods = 66.666", "ceil(5 x 66.666 / 100) = 4"])]
#[case(fleet().since(4, 900.0, 3421), 4, "-", &["4 are warming up, so there is nothing to measure"])]
fn what_warms_up_is_not_measured(
    #[case] fleet: Fleet,
    #[case] current: i64,
    #[case] expect: &str,
    #[case] lines: &[&str],
) {
    on(&fleet, current, &warming(), expect, lines);
}

#[test]
fn tolerances_have_a_direction() {
    let mut action = by_signal(mean(100.0));
    let flyball_core::policy::Law::Metrics(law) = &mut action.law else {
        panic!("no metrics")
    };
    (law.tolerance_down, law.tolerance_up) = (finite(0.3), finite(0.05));
    action.bounds.max = n(100);
    on(
        &fleet().ready(10, 70.0),
        10,
        &action,
        "-",
        &["70 / 100 lies from 1 - 0.3 to 1 + 0.05"],
    );
    on(&fleet().ready(10, 69.0), 10, &action, "7", &["is less than 1 - 0.3"]);
    on(&fleet().ready(10, 105.0), 10, &action, "-", &["lies from"]);
    on(&fleet().ready(10, 106.0), 10, &action, "11", &["is more than 1 + 0.05"]);
}

use crate::build::{at, comparison, finite, number, query, reading, secs, unusable, verification};
use flyball_core::{
    decide::Direction,
    policy::{Comparator, Verification},
    signal::{Quality, Reading},
    verify::{Baseline, Judgement, judge, least_settle, moved, worst},
};
use rstest::rstest;

const UP: Direction = Direction::Up;
const DOWN: Direction = Direction::Down;

/// `wait 360` is to wait until 360 s; the change was applied at 0 s, at a demand of 100.
fn show(judgement: &Judgement) -> String {
    match judgement {
        Judgement::Wait { until, .. } => format!("wait {}", until.as_millis() / 1000),
        Judgement::Achieved { value } => format!("achieved {value}"),
        Judgement::Broken { value } => format!("broken {value}"),
        Judgement::Ineffective { value } => format!("ineffective {value}"),
        Judgement::Overtaken { value, before, demand } => format!("overtaken {value} {before} {demand}"),
        Judgement::Inconclusive { .. } => "inconclusive".to_owned(),
    }
}

fn why(judgement: Judgement) -> String {
    match judgement {
        Judgement::Wait { why, .. } | Judgement::Inconclusive { why } => why,
        other => panic!("{other:?}"),
    }
}

fn judged(verification: &Verification, way: Direction, now: i64, reading: &Reading, demand: Option<f64>) -> Judgement {
    let baseline = Baseline {
        value: Some(0.9),
        demand: Some(finite(100.0)),
    };
    let demand = demand.map(|demand| number(now, demand));
    judge(verification, way, at(0), &baseline, reading, demand.as_ref(), at(now))
}

/// With the values of series, fresh, and the demand unmoved.
#[rstest]
// Before the settle time is over, nothing counts.
#[case(UP, 0, &[0.1], "wait 360")]
#[case(UP, 359, &[0.1], "wait 360")]
#[case(DOWN, 359, &[0.9], "wait 360")]
// An increase achieves its condition at any time until the deadline.
#[case(UP, 360, &[0.5], "achieved 0.5")]
#[case(UP, 599, &[0.4, 0.1], "achieved 0.4")]
#[case(UP, 600, &[0.4], "achieved 0.4")]
#[case(UP, 700, &[0.4], "achieved 0.4")]
#[case(UP, 360, &[0.6], "wait 600")]
#[case(UP, 599, &[0.4, 0.6], "wait 600")]
#[case(UP, 600, &[0.4, 0.6], "ineffective 0.6")]
// A decrease maintains it to the deadline, and fails fast.
#[case(DOWN, 360, &[0.5], "wait 600")]
#[case(DOWN, 599, &[0.5], "wait 600")]
#[case(DOWN, 600, &[0.5, 0.2], "achieved 0.5")]
#[case(DOWN, 360, &[0.1, 0.6], "broken 0.6")]
#[case(DOWN, 600, &[0.6], "broken 0.6")]
fn fresh_data_is_judged(#[case] way: Direction, #[case] now: i64, #[case] values: &[f64], #[case] expect: &str) {
    let names = ["a", "b"];
    let series: Vec<(&str, f64)> = names.into_iter().zip(values.iter().copied()).collect();
    let judgement = judged(
        &verification(),
        way,
        now,
        &reading(Quality::Fresh, now, &series),
        Some(100.0),
    );
    assert_eq!(show(&judgement), expect);
}

#[test]
fn without_fresh_data_nothing_is_proven() {
    for way in [UP, DOWN] {
        for (now, expect) in [
            (359, "wait 360"),
            (360, "wait 600"),
            (599, "wait 600"),
            (600, "inconclusive"),
            (9999, "inconclusive"),
        ] {
            for unusable in unusable(now) {
                let judgement = judged(&verification(), way, now, &unusable, Some(100.0));
                assert_eq!(show(&judgement), expect, "{way} at {now} with {}", unusable.quality());
                assert!(now < 360 || why(judgement).contains(&unusable.quality().to_string()));
            }
        }
    }
}

#[test]
fn a_reading_counts_only_if_it_was_taken_in_time() {
    let verification = verification();
    let good = |seconds: i64| reading(Quality::Fresh, seconds, &[("a", 0.1)]);
    // Taken before the settle time was over.
    assert_eq!(show(&judged(&verification, UP, 400, &good(359), None)), "wait 600");
    assert!(why(judged(&verification, UP, 400, &good(359), None)).contains("before settle 6m"));
    assert_eq!(
        show(&judged(&verification, DOWN, 600, &good(359), None)),
        "inconclusive"
    );
    // Fresh when it was taken, but that was more than maxAge ago.
    assert_eq!(show(&judged(&verification, UP, 460, &good(400), None)), "achieved 0.1");
    assert_eq!(show(&judged(&verification, UP, 461, &good(400), None)), "wait 600");
    assert!(why(judged(&verification, UP, 461, &good(400), None)).contains("1m1s ago, maxAge is 1m"));
    // From a clock that runs ahead.
    assert_eq!(show(&judged(&verification, UP, 400, &good(999), None)), "achieved 0.1");
}

#[rstest]
#[case(Some(100.0), "ineffective 0.9")]
#[case(Some(110.0), "ineffective 0.9")]
#[case(Some(90.0), "ineffective 0.9")]
#[case(Some(110.1), "overtaken 0.9 100 110.1")]
#[case(Some(89.9), "overtaken 0.9 100 89.9")]
#[case(None, "inconclusive")]
fn a_surge_is_not_an_ineffective_step(#[case] demand: Option<f64>, #[case] expect: &str) {
    let bad = reading(Quality::Fresh, 600, &[("a", 0.9)]);
    assert_eq!(show(&judged(&verification(), UP, 600, &bad, demand)), expect);
}

#[test]
fn a_surge_that_can_not_be_excluded_is_inconclusive() {
    let bad = reading(Quality::Fresh, 600, &[("a", 0.9)]);
    let check = |verification: &Verification, before: Option<f64>, demand: Option<Reading>, part: &str| {
        let baseline = Baseline {
            value: None,
            demand: before.map(finite),
        };
        let judgement = judge(verification, UP, at(0), &baseline, &bad, demand.as_ref(), at(600));
        assert_eq!(show(&judgement), "inconclusive", "{part}");
        let why = why(judgement);
        assert!(why.contains(part), "{why}");
    };
    let same = || Some(number(600, 100.0));
    check(
        &Verification {
            demand: None,
            ..verification()
        },
        Some(100.0),
        same(),
        "no demand signal is configured",
    );
    check(&verification(), None, same(), "requests was not known at the proposal");
    check(&verification(), Some(100.0), None, "requests was not read");
    check(&verification(), Some(100.0), Some(number(539, 100.0)), "1m1s ago");
    for unusable in unusable(600) {
        let part = unusable.quality().to_string();
        check(&verification(), Some(100.0), Some(unusable), &part);
    }
}

#[test]
fn waiting_says_what_is_known() {
    let bad = reading(Quality::Fresh, 400, &[("a", 0.75)]);
    let why = why(judged(&verification(), UP, 400, &bad, None));
    assert_eq!(why, "latency <= 0.5 does not hold yet: it is 0.75, 0.9 at the proposal");
}

#[rstest]
#[case(Comparator::LessOrEqual, Some(3.0))]
#[case(Comparator::Less, Some(3.0))]
#[case(Comparator::Greater, Some(-7.0))]
#[case(Comparator::GreaterOrEqual, Some(-7.0))]
// From 0.5, -7 is the furthest and 1 the nearest.
#[case(Comparator::Equal, Some(-7.0))]
#[case(Comparator::NotEqual, Some(1.0))]
fn the_worst_value_is_furthest_from_holding(#[case] comparator: Comparator, #[case] expect: Option<f64>) {
    let series = [("a", 1.0), ("b", f64::NAN), ("c", 3.0), ("d", -7.0)];
    assert_eq!(
        worst(&comparison(comparator, 0.5), &reading(Quality::NotFinite, 0, &series)),
        expect
    );
    assert_eq!(
        worst(&comparison(comparator, 0.5), &reading(Quality::Missing, 0, &[])),
        None
    );
    assert_eq!(
        worst(
            &comparison(comparator, 0.5),
            &reading(Quality::NotFinite, 0, &[("a", f64::NAN)])
        ),
        None
    );
}

#[rstest]
#[case(100.0, 110.0, 0.1, false)]
#[case(100.0, 110.1, 0.1, true)]
#[case(100.0, 90.0, 0.1, false)]
#[case(100.0, 89.9, 0.1, true)]
// 3.3 / 3 is 1.0999999999999999 in floats, and 1.1 * 3 is 3.3000000000000003.
#[case(3.0, 3.3, 0.1, false)]
#[case(30.0, 33.0, 0.1, false)]
#[case(-100.0, -110.0, 0.1, false)]
#[case(-100.0, -110.1, 0.1, true)]
#[case(-100.0, -89.9, 0.1, true)]
#[case(-100.0, 100.0, 0.1, true)]
#[case(0.0, 0.0, 0.1, false)]
#[case(0.0, 0.001, 0.1, true)]
#[case(5.0, 5.0, 0.0, false)]
#[case(5.0, 5.001, 0.0, true)]
#[case(5.0, 0.0, 1.0, false)]
#[case(5.0, -0.1, 1.0, true)]
fn a_number_moves_by_more_than_its_tolerance(
    #[case] before: f64,
    #[case] after: f64,
    #[case] tolerance: f64,
    #[case] expect: bool,
) {
    assert_eq!(moved(finite(before), finite(after), finite(tolerance)), expect);
}

#[test]
fn a_baseline_is_the_worst_value_and_the_demand() {
    let two = reading(Quality::Fresh, 0, &[("a", 0.7), ("b", 0.9)]);
    let measured =
        |reading: Option<&Reading>, demand: Option<&Reading>| Baseline::measured(&verification(), reading, demand);
    let expect = Baseline {
        value: Some(0.9),
        demand: Some(finite(80.0)),
    };
    assert_eq!(measured(Some(&two), Some(&number(0, 80.0))), expect);
    assert_eq!(measured(Some(&two), Some(&two)).demand, None);
    assert_eq!(measured(None, None), Baseline::default());
}

#[test]
fn settling_takes_readiness_and_the_longest_range() {
    assert_eq!(least_settle(secs(60), &query("rate(x[5m])")), secs(360));
}

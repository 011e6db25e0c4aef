use super::{Case, ONE, case, said};
use crate::build::{Observed, limit, with_events};
use flyball_core::{
    check::{Check, Verdict},
    policy::{Amount, SelectPolicy},
};
use rstest::rstest;

#[rstest]
#[case(5, 8, 60, true)]
#[case(5, 8, 59, false)]
#[case(5, 8, -10, false)] // A clock that stepped back.
#[case(8, 5, 300, true)]
#[case(8, 5, 299, false)]
fn each_direction_has_its_cooldown(#[case] from: i64, #[case] to: i64, #[case] ago: i64, #[case] passes: bool) {
    let mut case = case(from, to);
    (case.action.up.cooldown, case.action.down.cooldown) = (crate::build::secs(60), crate::build::secs(300));
    // The other direction's last change was just now, and one without a change counts for none.
    case.facts = with_events(
        case.facts,
        &[(3600 - ago, from, to), (3600, to, from), (3600, from, from)],
    );
    if passes {
        case.goes(to, Check::Cooldown, Verdict::Passed, &["cooldown"]);
    } else {
        case.refused(Check::Cooldown, &["cooldown is", "wait"]);
    }
}

/// From 10 replicas to `to` with these limits, and (seconds ago, from, to) behind us.
#[rstest]
#[case(&[(ONE, 60)], &[], 12, Some(11))]
#[case(&[(Amount::Pods(4), 60)], &[], 12, Some(12))]
#[case(&[(Amount::Percent(10), 60)], &[], 20, Some(11))]
// Rounded up: 15 % of 10 are 1.5.
#[case(&[(Amount::Percent(15), 60)], &[], 20, Some(12))]
// What was added in the period counts: 4 a minute from 8 are 12.
#[case(&[(Amount::Pods(4), 60)], &[(59, 8, 10)], 20, Some(12))]
#[case(&[(Amount::Pods(4), 60)], &[(60, 8, 10)], 20, Some(14))]
#[case(&[(Amount::Pods(4), 60)], &[(30, 6, 10)], 20, None)]
#[case(&[(Amount::Pods(4), 60)], &[(30, 4, 10)], 20, None)]
// What was taken away gives room.
#[case(&[(Amount::Pods(4), 60)], &[(30, 13, 10)], 20, Some(17))]
#[case(&[(Amount::Pods(4), 60)], &[(50, 6, 12), (30, 12, 10)], 20, None)]
// Max is the larger change.
#[case(&[(ONE, 60), (Amount::Percent(100), 60)], &[], 20, Some(20))]
#[case(&[(ONE, 600), (Amount::Pods(2), 60)], &[(300, 9, 10)], 20, Some(12))]
// Down, in the same way; rounded so as to reach no further than asked.
#[case(&[(ONE, 60)], &[], 5, Some(9))]
#[case(&[(Amount::Percent(15), 60)], &[], 5, Some(9))]
#[case(&[(Amount::Percent(90), 60)], &[], 2, Some(2))]
#[case(&[(Amount::Percent(50), 60)], &[], 2, Some(5))]
#[case(&[(Amount::Percent(1), 60)], &[], 2, Some(9))]
#[case(&[(Amount::Pods(4), 60)], &[(30, 12, 10)], 2, Some(8))]
#[case(&[(Amount::Pods(4), 60)], &[(30, 14, 10)], 2, None)]
#[case(&[(Amount::Pods(4), 60)], &[(30, 8, 10)], 2, Some(4))]
#[case(&[(ONE, 60), (Amount::Pods(3), 60)], &[], 2, Some(7))]
fn a_period_has_its_rate(
    #[case] limits: &[(Amount, u64)],
    #[case] events: &[(i64, i64, i64)],
    #[case] to: i64,
    #[case] expect: Option<i64>,
) {
    let mut case = case(10, to);
    let limits: Vec<_> = limits.iter().map(|(amount, period)| limit(*amount, *period)).collect();
    (case.action.up.limits, case.action.down.limits) = (limits.clone(), limits);
    let events: Vec<_> = events.iter().map(|(ago, from, to)| (3600 - ago, *from, *to)).collect();
    case.facts = with_events(case.facts, &events);
    match expect {
        Some(expect) if expect == to => case.goes(to, Check::Rate, Verdict::Passed, &["by no more than"]),
        Some(expect) => case.goes(
            expect,
            Check::Rate,
            Verdict::Clamped,
            &["by no more than", &format!("{expect} allowed")],
        ),
        None => {
            let refused = case.refused(Check::Rate, &["by no more than 4 pods in 1m", "wait"]);
            said(&refused.checks, Check::Bounds, Verdict::Skipped, &[]);
            said(&refused.checks, Check::OpenChange, Verdict::Skipped, &[]);
        }
    }
}

const FOUR: (Amount, u64) = (Amount::Pods(4), 15);
const DOUBLE: (Amount, u64) = (Amount::Percent(100), 15);

/// What the HorizontalPodAutoscaler does by default, and near that: from so many replicas to 500 or to
/// 2, with (seconds ago, from, to) behind us.
#[rstest]
// By default 4 pods or 100 % in 15 s, whichever is more.
#[case(&[FOUR, DOUBLE], SelectPolicy::Max, &[], 2, 500, Some(6))]
#[case(&[FOUR, DOUBLE], SelectPolicy::Max, &[], 4, 500, Some(8))]
#[case(&[FOUR, DOUBLE], SelectPolicy::Max, &[], 10, 500, Some(20))]
#[case(&[FOUR, DOUBLE], SelectPolicy::Max, &[(14, 2, 6)], 6, 500, None)]
#[case(&[FOUR, DOUBLE], SelectPolicy::Max, &[(15, 2, 6)], 6, 500, Some(12))]
#[case(&[FOUR, DOUBLE], SelectPolicy::Max, &[(10, 2, 4)], 4, 500, Some(6))]
#[case(&[FOUR, DOUBLE], SelectPolicy::Max, &[(14, 2, 6), (5, 6, 12)], 12, 500, None)]
// What went the other way within the period counts too.
#[case(&[FOUR, DOUBLE], SelectPolicy::Max, &[(5, 8, 4)], 4, 500, Some(16))]
#[case(&[FOUR, DOUBLE], SelectPolicy::Max, &[(10, 4, 8), (5, 8, 6)], 6, 500, Some(8))]
// The smaller of the two.
#[case(&[FOUR, DOUBLE], SelectPolicy::Min, &[], 2, 500, Some(4))]
#[case(&[FOUR, DOUBLE], SelectPolicy::Min, &[], 10, 500, Some(14))]
// Each limit has its own period.
#[case(&[(Amount::Pods(4), 60), DOUBLE], SelectPolicy::Max, &[(30, 6, 10)], 10, 500, Some(20))]
#[case(&[(Amount::Pods(4), 60), DOUBLE], SelectPolicy::Min, &[(30, 6, 10)], 10, 500, None)]
#[case(&[(Amount::Pods(4), 60), DOUBLE], SelectPolicy::Min, &[(30, 8, 10)], 10, 500, Some(12))]
// By default 100 % down in 15 s: to the smallest number, whatever was before.
#[case(&[DOUBLE], SelectPolicy::Max, &[], 10, 2, Some(2))]
#[case(&[DOUBLE], SelectPolicy::Max, &[(5, 14, 10)], 10, 2, Some(2))]
#[case(&[DOUBLE], SelectPolicy::Max, &[(5, 4, 10)], 10, 2, Some(2))]
// Down, Max is the larger change and so the smaller number.
#[case(&[(Amount::Pods(2), 60), (Amount::Percent(50), 60)], SelectPolicy::Max, &[], 10, 2, Some(5))]
#[case(&[(Amount::Pods(2), 60), (Amount::Percent(50), 60)], SelectPolicy::Min, &[], 10, 2, Some(8))]
#[case(&[(Amount::Percent(50), 60)], SelectPolicy::Max, &[(30, 12, 10)], 10, 2, Some(6))]
#[case(&[(Amount::Percent(50), 60)], SelectPolicy::Max, &[(30, 12, 8), (10, 8, 10)], 10, 2, Some(6))]
// In decimals, where HPA's floats come to 111 and 29.
#[case(&[(Amount::Percent(10), 60)], SelectPolicy::Max, &[], 100, 500, Some(110))]
#[case(&[(Amount::Percent(12), 60)], SelectPolicy::Max, &[], 25, 500, Some(28))]
#[case(&[(Amount::Percent(80), 60)], SelectPolicy::Max, &[], 10, 2, Some(2))]
#[case(&[(Amount::Percent(7), 60)], SelectPolicy::Max, &[], 100, 500, Some(107))]
fn the_rates_are_those_of_hpa(
    #[case] limits: &[(Amount, u64)],
    #[case] select: SelectPolicy,
    #[case] events: &[(i64, i64, i64)],
    #[case] from: i64,
    #[case] to: i64,
    #[case] expect: Option<i64>,
) {
    let mut case = case(from, to);
    case.action.bounds.max = crate::build::n(1000);
    let limits: Vec<_> = limits.iter().map(|(amount, period)| limit(*amount, *period)).collect();
    (case.action.up.limits, case.action.down.limits) = (limits.clone(), limits);
    (case.action.up.select, case.action.down.select) = (select, select);
    let events: Vec<_> = events.iter().map(|(ago, from, to)| (3600 - ago, *from, *to)).collect();
    case.facts = with_events(case.facts, &events);
    match expect {
        Some(expect) if expect == to => case.goes(to, Check::Rate, Verdict::Passed, &[]),
        Some(expect) => case.goes(expect, Check::Rate, Verdict::Clamped, &[]),
        None => {
            case.refused(Check::Rate, &["used up"]);
        }
    }
}

/// HPA's floats come to 111, 29, 0 and 1.
#[rstest]
#[case(100, Amount::Percent(10), 200, 110)]
#[case(25, Amount::Percent(12), 200, 28)]
#[case(10, Amount::Percent(90), 0, 1)]
#[case(10, Amount::Percent(80), 0, 2)]
fn a_percentage_is_exact(#[case] from: i64, #[case] amount: Amount, #[case] to: i64, #[case] expect: i64) {
    let mut case = case(from, to);
    (case.action.bounds.min, case.action.bounds.max) = (crate::build::n(0), crate::build::n(200));
    (case.action.up.limits, case.action.down.limits) = (vec![limit(amount, 60)], vec![limit(amount, 60)]);
    case.goes(expect, Check::Rate, Verdict::Clamped, &[&format!("{expect} allowed")]);
}

#[test]
fn a_select_policy_chooses_among_the_limits() {
    let limits = vec![limit(ONE, 60), limit(Amount::Pods(3), 60)];
    for (to, max, min) in [(20, 13, 11), (2, 7, 9)] {
        let mut case = case(10, to);
        (case.action.up.limits, case.action.down.limits) = (limits.clone(), limits.clone());
        case.goes(max, Check::Rate, Verdict::Clamped, &["3 pods"]);
        (case.action.up.select, case.action.down.select) = (SelectPolicy::Min, SelectPolicy::Min);
        case.goes(min, Check::Rate, Verdict::Clamped, &["1 pod"]);
        (case.action.up.select, case.action.down.select) = (SelectPolicy::Disabled, SelectPolicy::Disabled);
        case.refused(Check::Rate, &["selectPolicy is Disabled"]);
        case.action.up.limits.clear();
        case.action.down.limits.clear();
        case.refused(Check::Rate, &["selectPolicy is Disabled"]);
    }
}

#[rstest]
#[case(5, 8, Some(8))]
#[case(5, 30, Some(20))]
#[case(8, 1, Some(2))]
#[case(20, 25, None)]
#[case(2, 1, None)]
// Out of bounds and going further out.
#[case(25, 30, None)]
#[case(1, 0, None)]
fn the_bounds_are_kept(#[case] from: i64, #[case] to: i64, #[case] expect: Option<i64>) {
    let case = case(from, to);
    match expect {
        Some(expect) if expect == to => case.goes(to, Check::Bounds, Verdict::Passed, &["min 2", "max 20"]),
        Some(expect) => case.goes(expect, Check::Bounds, Verdict::Clamped, &["min is 2", "max is 20"]),
        None => {
            case.refused(Check::Bounds, if to > from { &["raise max"] } else { &["lower min"] });
        }
    }
}

#[test]
fn out_of_bounds_there_is_no_rate_and_no_cooldown() {
    for (from, to, expect) in [(1, 2, 2), (1, 9, 2), (30, 20, 20), (30, 5, 20)] {
        let mut case = case(from, to);
        for behavior in [&mut case.action.up, &mut case.action.down] {
            behavior.cooldown = crate::build::secs(600);
            behavior.select = SelectPolicy::Disabled;
        }
        case.facts = with_events(case.facts, &[(3599, from, to)]);
        case.goes(expect, Check::Rate, Verdict::Skipped, &["at once"]);
        case.goes(expect, Check::Cooldown, Verdict::Skipped, &[]);
        case.goes(expect, Check::Ineffective, Verdict::Skipped, &[]);
    }
    // But nothing is taken away without fresh data.
    Case {
        observed: Observed::default(),
        ..case(30, 20)
    }
    .refused(Check::DataQuality, &["Slow"]);
    Case {
        observed: Observed::default(),
        ..case(1, 2)
    }
    .goes(2, Check::DataQuality, Verdict::Passed, &[]);
}

//! `judge_share`: a change applied at 0 s, settled at 90 s, with a deadline at 300 s and a window of 60 s.

use super::{told, traffic, weights};
use crate::build::{at, secs};
use flyball_core::{
    policy::{ShareDeadline, Weights},
    signal::{Quality, Reading},
    verify::{ShareChange, ShareJudgement, judge_share},
};

fn judged(before: &Weights, intended: &Weights, reading: &Reading, now: i64) -> ShareJudgement {
    let deadline = ShareDeadline {
        settle: secs(90),
        within: secs(300),
    };
    let others = ["other".to_owned()];
    let change = ShareChange {
        before,
        intended,
        others: &others,
        applied_at: at(0),
    };
    judge_share(&deadline, &traffic(60), &change, reading, at(now))
}

fn show(judgement: &ShareJudgement) -> String {
    match judgement {
        ShareJudgement::Wait { until, .. } => format!("wait {}", until.as_millis() / 1000),
        ShareJudgement::Realised {
            worst,
            share,
            tolerance,
        } => format!("realised {worst} {share:.4} {tolerance:.4}"),
        ShareJudgement::Not {
            worst,
            intended,
            share,
            tolerance,
            requests,
            ..
        } => format!("not {worst} {intended:.4} {share:.4} {tolerance:.4} of {requests:.0}"),
        ShareJudgement::Inconclusive { .. } => "inconclusive".to_owned(),
    }
}

fn why(judgement: ShareJudgement) -> String {
    match judgement {
        ShareJudgement::Wait { why, .. } | ShareJudgement::Inconclusive { why } | ShareJudgement::Not { why, .. } => {
            why
        }
        ShareJudgement::Realised { .. } => String::new(),
    }
}

/// From half and half to 90 and 10.
fn check(rates: &[(&str, f64)], now: i64, expect: &str, part: &str) {
    let reading = told(Quality::Fresh, now, rates);
    let judgement = judged(
        &weights(&[("a", 50), ("b", 50)]),
        &weights(&[("a", 90), ("b", 10)]),
        &reading,
        now,
    );
    assert_eq!(show(&judgement), expect, "{rates:?} at {now}");
    let why = why(judgement);
    assert!(why.contains(part), "{part:?} is not in {why:?}");
}

#[test]
fn the_tolerance_is_that_of_so_many_requests() {
    // 1000 requests: 3.29 * sqrt(0.9 * 0.1 / 1000) = 0.0312.
    let of = |a: f64| [("a", a / 60.0), ("b", (1000.0 - a) / 60.0)];
    check(&of(900.0), 90, "realised a 0.9000 0.0312", "");
    check(&of(931.0), 90, "realised a 0.9310 0.0312", "");
    check(&of(869.0), 90, "realised a 0.8690 0.0312", "");
    check(
        &of(932.0),
        90,
        "wait 300",
        "a has 0.932 of 1000 requests instead of 0.900, and may be off by 0.031",
    );
    check(&of(932.0), 299, "wait 300", "");
    check(
        &of(932.0),
        300,
        "not a 0.9000 0.9320 0.0312 of 1000",
        "a has 0.932 of 1000 requests",
    );
    // Half and half is what it was before.
    check(&of(500.0), 300, "not a 0.9000 0.5000 0.0312 of 1000", "");
    // With a million the least tolerance counts: 0.005 and half a request.
    let many = |a: f64| [("a", a / 60.0), ("b", (1e6 - a) / 60.0)];
    check(&many(904_900.0), 90, "realised a 0.9049 0.0050", "");
    check(&many(905_100.0), 300, "not a 0.9000 0.9051 0.0050 of 1000000", "");
    // At the first pass behind the deadline, too.
    check(&of(900.0), 9000, "realised a 0.9000 0.0312", "");
}

#[test]
fn before_the_settle_time_nothing_counts() {
    check(
        &[("a", 90.0), ("b", 10.0)],
        89,
        "wait 90",
        "before settle 1m30s is from before the change",
    );
    let (before, intended) = (weights(&[("a", 50), ("b", 50)]), weights(&[("a", 90), ("b", 10)]));
    let early = told(Quality::Fresh, 89, &[("a", 90.0), ("b", 10.0)]);
    assert_eq!(show(&judged(&before, &intended, &early, 100)), "wait 300");
    assert_eq!(show(&judged(&before, &intended, &early, 300)), "inconclusive");
    assert!(why(judged(&before, &intended, &early, 100)).contains("before settle 1m30s was over"));
    // Fresh when it was read, but that was more than maxAge ago.
    let old = told(Quality::Fresh, 100, &[("a", 90.0), ("b", 10.0)]);
    assert_eq!(show(&judged(&before, &intended, &old, 160)), "realised a 0.9000 0.0127");
    assert_eq!(show(&judged(&before, &intended, &old, 161)), "wait 300");
}

#[test]
fn a_backend_without_weight_has_no_requests() {
    let (before, out) = (weights(&[("a", 50), ("b", 50)]), weights(&[("a", 1), ("b", 0)]));
    let of = |rates: &[(&str, f64)]| show(&judged(&before, &out, &told(Quality::Fresh, 300, rates), 300));
    // Of 1000 requests 0.5 and 5 are forgiven. Without a series there was none.
    assert_eq!(of(&[("a", 1000.0 / 60.0)]), "realised a 1.0000 0.0055");
    assert_eq!(
        of(&[("a", 995.0 / 60.0), ("b", 5.0 / 60.0)]),
        "realised a 0.9950 0.0055"
    );
    assert_eq!(
        of(&[("a", 994.0 / 60.0), ("b", 6.0 / 60.0)]),
        "not a 1.0000 0.9940 0.0055 of 1000"
    );
    // Others of the route count for nothing.
    assert_eq!(
        of(&[("a", 1000.0 / 60.0), ("other", 500.0)]),
        "realised a 1.0000 0.0055"
    );
}

#[test]
fn too_few_requests_can_not_tell() {
    // From 0.5 to 0.9, of 6 requests: 3.29 * sqrt(0.09 / 6) = 0.403; of 7: 0.373.
    check(&[("a", 0.1)], 90, "wait 300", "only 6 requests in 1m");
    check(
        &[("a", 0.09), ("b", 0.01)],
        300,
        "inconclusive",
        "widen within or the window",
    );
    check(
        &[("a", 6.3 / 60.0), ("b", 0.7 / 60.0)],
        300,
        "realised a 0.9000 0.3731",
        "",
    );
    check(&[("a", 0.0), ("b", 0.0)], 90, "wait 300", "no requests in 1m");
    check(&[("a", 0.0), ("b", 0.0)], 300, "inconclusive", "nothing to divide");
    // Where nothing was to move, any number of requests tells that nothing did.
    let same = weights(&[("a", 50), ("b", 50)]);
    let reading = told(Quality::Fresh, 90, &[("a", 0.1), ("b", 0.1)]);
    assert_eq!(show(&judged(&same, &same, &reading, 90)), "realised a 0.5000 0.4749");
}

#[test]
fn one_that_appears_or_vanishes_is_told_however_few_its_requests() {
    // c begins to come back with 2 of 1000, which no tolerance tells from none: it is never under 0.005.
    let (without, with) = (
        weights(&[("a", 500), ("b", 500), ("c", 0)]),
        weights(&[("a", 499), ("b", 499), ("c", 2)]),
    );
    let of = |before: &Weights, after: &Weights, c: f64| {
        let all = 3000.0 - c;
        let rates = [("a", all / 120.0), ("b", all / 120.0), ("c", c / 60.0)];
        let said = |now| show(&judged(before, after, &told(Quality::Fresh, now, &rates), now));
        (said(90), said(300))
    };
    let (first, _) = of(&without, &with, 6.0);
    assert!(first.starts_with("realised"), "{first}");
    assert_eq!(
        of(&without, &with, 0.0),
        ("wait 300".to_owned(), "inconclusive".to_owned())
    );
    // More than was meant for it, by more than may be: 0.5 / 3000 + 0.005 is 15.5 of them.
    let (first, last) = of(&without, &with, 30.0);
    assert_eq!(first, "wait 300");
    assert!(last.starts_with("not c 0.0020 0.0100"), "{last}");
    // Taken out again: of 3000 requests it would have had 6, and none may be chance; of 4000, 8.
    assert_eq!(
        of(&with, &without, 0.0),
        ("wait 300".to_owned(), "inconclusive".to_owned())
    );
    let rates = [("a", 2000.0 / 60.0), ("b", 2000.0 / 60.0)];
    let judgement = judged(&with, &without, &told(Quality::Fresh, 90, &rates), 90);
    assert!(show(&judgement).starts_with("realised"), "{judgement:?}");
}

#[test]
fn without_fresh_data_nothing_is_proven() {
    let (before, intended) = (weights(&[("a", 50), ("b", 50)]), weights(&[("a", 90), ("b", 10)]));
    let check = |reading: &dyn Fn(i64) -> Reading, part: &str| {
        for (now, expect) in [
            (89, "wait 90"),
            (90, "wait 300"),
            (299, "wait 300"),
            (300, "inconclusive"),
        ] {
            let judgement = judged(&before, &intended, &reading(now), now);
            assert_eq!(show(&judgement), expect, "{part} at {now}");
            let why = why(judgement);
            assert!(now < 90 || why.contains(part), "{part:?} is not in {why:?}");
        }
    };
    let good = [("a", 90.0), ("b", 10.0)];
    for quality in [Quality::Stale, Quality::Partial, Quality::Error] {
        check(
            &|now| told(quality, now, &good),
            &format!("traffic.requests is not known: {quality}"),
        );
    }
    check(&|now| told(Quality::Missing, now, &[]), "not known: missing");
    check(
        &|now| told(Quality::NotFinite, now, &[("a", 90.0), ("b", f64::NAN)]),
        "not known: not finite",
    );
    check(
        &|now| told(Quality::Fresh, now, &[("a", 90.0), ("foo", 1.0)]),
        "answers for backend \"foo\"",
    );
    check(
        &|now| told(Quality::Fresh, now, &[("a", 90.0), ("b", -1.0)]),
        "is -1 for b",
    );
}

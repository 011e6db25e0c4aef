//! A backend that begins to fail: what a window that is partly from before tells.

use super::{NOW, capacity, check, fresh, pass, remember, route};
use crate::build::{Observed, at, finite};
use flyball_core::{
    decide::{BackendHistory, Measurement, RouteFacts},
    policy::{WeightLaw, WeightsAction},
};

const CURRENT: [(&str, i64); 3] = [("a", 400), ("b", 400), ("c", 200)];

/// With a smoothing of 0.5, as is the default.
fn smoothing() -> WeightsAction {
    let mut action = capacity();
    if let WeightLaw::Capacity(law) = &mut action.law {
        law.smoothing = finite(0.5);
    }
    action
}

fn measured(ago: i64, errors: f64, utilisation: f64) -> Measurement {
    Measurement {
        at: at(NOW - ago),
        requests: 100.0,
        errors,
        utilisation,
    }
}

/// Backend `a` served 100 requests a second with a utilisation of 0.5 and a capacity of 200 so long ago; so many
/// fail now.
fn failing(ago: i64, first: Option<Measurement>, errors: f64) -> RouteFacts {
    let was = |memory: &mut BackendHistory| {
        (memory.capacity, memory.well, memory.worse) = (Some(200.0), Some(measured(ago, 0.0, 0.5)), first);
    };
    let mut facts = remember(route(&CURRENT), "a", was);
    facts.errors = fresh(&[("a", errors)]);
    facts
}

/// As busy as 200, 200 and 100 make 100, 100 and 50, but for `a`.
fn cpu(a: f64) -> Observed {
    Observed::default().signal("cpu", fresh(&[("a", a), ("b", 0.5), ("c", 0.5)]))
}

#[test]
fn what_is_since_is_told_apart_from_what_was_before() {
    // A quarter of a minute ago 10 of 100 failed at 0.6, now 20 do at 0.7; four times the increase is 40 at 0.9:
    // 100 / (0.9 + 0.4) = 76.9, beside 200 and 100. The cap of 20 % does not count, and nothing is smoothed.
    let first = Some(measured(15, 10.0, 0.6));
    let history = check(
        &smoothing(),
        &cpu(0.7),
        &failing(30, first, 20.0),
        "a 204, b 531, c 265",
        &["a: 100.0 rps / (0.90 + 0.40 * 1) = 76.9 since it began to fail 30s ago, smoothed 76.9, share 0.204"],
    );
    assert_eq!(history.backends["a"].well, Some(measured(30, 0.0, 0.5)));
    assert_eq!(history.backends["a"].worse, first);
    // Half a minute ago: twice the increase is 20 at 0.7, which is no more than there is; 100 / (0.7 + 0.2) = 111.1.
    let first = Some(measured(30, 10.0, 0.6));
    let facts = failing(45, first, 20.0);
    check(
        &smoothing(),
        &cpu(0.7),
        &facts,
        "a 270, b 487, c 243",
        &["= 111.1, smoothed 111.1, share 0.270"],
    );
    // Nobody fails more than all of its requests, and nobody is busier than all of the time: 100 / (1 + 1) = 50.
    let first = Some(measured(15, 10.0, 0.6));
    let facts = failing(30, first, 40.0);
    check(
        &smoothing(),
        &cpu(0.9),
        &facts,
        "a 143, b 571, c 286",
        &["a: 100.0 rps / (1.00 + 1.00 * 1) = 50.0"],
    );
    // A signal of another scale is taken as it is: 100 / (70 + 0.4) = 1.4, at the floor.
    let first = Some(measured(15, 10.0, 60.0));
    check(
        &smoothing(),
        &cpu(70.0),
        &failing(30, first, 20.0),
        "a 20, b 653, c 327",
        &["rps / (70.00 + 0.40 * 1)"],
    );
}

#[test]
fn until_then_the_law_waits() {
    let waits = "a fails or is busier since 15s ago, and the window tells of before that, too";
    let history = check(&smoothing(), &cpu(0.7), &failing(15, None, 20.0), "-", &[waits]);
    assert_eq!(history.backends["a"].worse, Some(measured(0, 20.0, 0.7)));
    let first = Some(measured(11, 10.0, 0.6));
    check(
        &smoothing(),
        &cpu(0.7),
        &failing(26, first, 20.0),
        "-",
        &["a fails or is busier since 26s ago"],
    );
    // With passes further apart than half of the window it does not: 100 / (0.7 + 0.2) = 111.1, beside 200 and 100.
    check(
        &smoothing(),
        &cpu(0.7),
        &failing(30, None, 20.0),
        "-",
        &["a fails or is busier since 30s ago"],
    );
    check(
        &smoothing(),
        &cpu(0.7),
        &failing(31, None, 20.0),
        "a 270, b 487, c 243",
        &["= 111.1, smoothed"],
    );
}

#[test]
fn a_backend_that_is_busier_may_be_about_to_fail() {
    // Of the same requests 0.55 is 1.1 of 0.5, and 0.56 more.
    let of = |well: i64, worse: Option<i64>, cpu_of_a: f64, expect: &str, part: &str| {
        let first = worse.map(|ago| measured(ago, 0.0, 0.56));
        check(
            &smoothing(),
            &cpu(cpu_of_a),
            &failing(well, first, 0.0),
            expect,
            &[part],
        )
    };
    let history = of(15, None, 0.55, "-", "the dead band");
    assert_eq!(history.backends["a"].well, Some(measured(0, 0.0, 0.55)));
    let waits = "a fails or is busier since 15s ago";
    let history = of(15, None, 0.56, "-", waits);
    assert_eq!(history.backends["a"].worse, Some(measured(0, 0.0, 0.56)));
    assert_eq!(history.backends["a"].well, Some(measured(15, 0.0, 0.5)));
    of(44, Some(29), 0.8, "-", "a fails or is busier since 44s ago");
    // After half of the window it is as it is: 100 / 0.8 = 125, and 162.5 with 200; beside 200 and 100.
    of(45, Some(30), 0.8, "a 351, b 433, c 216", "= 125.0, smoothed 162.5");
    // Once it is told that it fails, that is since it was busier: 2 x 10 of 100, and 0.5 + 2 x (0.8 - 0.56) = 0.98.
    let facts = failing(45, Some(measured(30, 0.0, 0.56)), 10.0);
    let part = "a: 100.0 rps / (0.98 + 0.20 * 1) = 84.7 since it began to fail 45s ago";
    check(&smoothing(), &cpu(0.8), &facts, "a 220, b 520, c 260", &[part]);
}

#[test]
fn a_window_is_taken_as_it_is_where_it_has_one_cause() {
    let first = Some(measured(15, 10.0, 0.6));
    let plain = |facts: &RouteFacts| {
        check(
            &smoothing(),
            &cpu(0.7),
            facts,
            "a 270, b 487, c 243",
            &["(0.70 + 0.20 * 1) = 111.1, smoothed 111.1"],
        )
    };
    // All of it is from after.
    plain(&failing(61, first, 20.0));
    // It was never seen well.
    plain(&remember(failing(30, first, 20.0), "a", |memory| memory.well = None));
    // The load is another: of 120 a second 20 fail, 120 / (0.7 + 0.1667) = 138.5, beside 200 and 100.
    let mut facts = failing(30, first, 20.0);
    facts.requests = fresh(&[("a", 120.0), ("b", 100.0), ("c", 50.0)]);
    check(
        &smoothing(),
        &cpu(0.7),
        &facts,
        "a 316, b 456, c 228",
        &["(0.70 + 0.17 * 1) = 138.5"],
    );
}

#[test]
fn a_few_failures_are_none() {
    // 1 of 100 a second is not more than a hundredth.
    let history = check(
        &smoothing(),
        &cpu(0.5),
        &failing(15, None, 1.0),
        "-",
        &["the dead band"],
    );
    assert_eq!(history.backends["a"].well, Some(measured(0, 1.0, 0.5)));
    // 3 of 20 are many, but 9 in a minute may be chance.
    let mut facts = failing(15, Some(measured(15, 10.0, 0.6)), 0.15);
    facts.requests = fresh(&[("a", 1.0), ("b", 1.0), ("c", 0.5)]);
    let history = pass(&smoothing(), &cpu(0.5), &facts, NOW).history;
    assert_eq!(history.backends["a"].worse, None);
    assert!(history.backends["a"].well.is_some_and(|well| well.requests < 2.0));
}

#[test]
fn the_cap_counts_where_the_others_have_no_room_or_fail_too() {
    let mut action = smoothing();
    action.limits.most_step = finite(0.1);
    // 40 of 100 fail at 0.9 and did so for long: 100 / 1.3 = 76.9, beside 200 and 100.
    let busy = |b: f64| Observed::default().signal("cpu", fresh(&[("a", 0.9), ("b", b), ("c", b)]));
    let facts = |errors: &[(&str, f64)]| {
        let mut facts = failing(61, None, 40.0);
        facts.errors = fresh(errors);
        facts
    };
    let alone = [("a", 40.0)];
    check(&action, &busy(0.5), &facts(&alone), "a 204, b 531, c 265", &[]);
    // 100 / (0.9 + 0.49) = 71.9, and at 1.1 the others can do 90.9 and 45.5: 208 in all, of 250 that are asked for.
    // a would have 0.345, and keeps 0.9 of what it has.
    check(&action, &busy(1.1), &facts(&[("a", 49.0)]), "a 360, b 427, c 213", &[]);
    // c would gain, and fails 6 of 50: 50 / (0.5 + 0.12) = 80.6. Of 1.1 of its weight b gets all.
    check(
        &action,
        &busy(0.5),
        &facts(&[("a", 40.0), ("c", 6.0)]),
        "a 360, b 440, c 200",
        &[],
    );
}

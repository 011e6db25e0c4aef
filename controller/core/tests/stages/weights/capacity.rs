use super::{NOW, capacity, check, cpu, fresh, pass, remember, route, told};
use crate::build::{Observed, at, finite};
use flyball_core::{
    policy::{WeightLaw, WeightsAction},
    signal::Quality,
};

const EQUAL: [(&str, i64); 3] = [("a", 333), ("b", 333), ("c", 334)];
const BY_CAPACITY: [(&str, i64); 3] = [("a", 400), ("b", 400), ("c", 200)];

/// With steps of any size.
fn free() -> WeightsAction {
    let mut action = capacity();
    action.limits.most_step = finite(10.0);
    action
}

fn smoothing(mut action: WeightsAction, smoothing: f64) -> WeightsAction {
    if let WeightLaw::Capacity(law) = &mut action.law {
        law.smoothing = finite(smoothing);
    }
    action
}

#[test]
fn the_share_is_that_of_the_capacity() {
    // 100 / 0.8 = 125, 125 and 62.5, of 312.5.
    check(
        &free(),
        &cpu(),
        &route(&EQUAL),
        "a 400, b 400, c 200",
        &[
            "a: 100.0 rps / (0.80 + 0.00 * 1) = 125.0, smoothed 125.0, share 0.400",
            "c: 50.0 rps / (0.80 + 0.00 * 1) = 62.5, smoothed 62.5, share 0.200",
            "by measured capacity c is to have a share of 0.200 and has 0.334",
            "weights, of 1000: a 400, b 400, c 200",
        ],
    );
    // Once there, it stays.
    check(&free(), &cpu(), &route(&BY_CAPACITY), "-", &["the dead band 0.05"]);
    // 20 of 100 fail: 100 / (0.8 + 0.2) = 100, 125 and 62.5, of 287.5: 0.3478, 0.4348, 0.2174.
    let mut facts = route(&BY_CAPACITY);
    facts.errors = fresh(&[("a", 20.0), ("b", 0.0), ("c", 0.0)]);
    let parts = ["a: 100.0 rps / (0.80 + 0.20 * 1) = 100.0"];
    check(&free(), &cpu(), &facts, "a 348, b 435, c 217", &parts);
    // No series of errors is none, of one and of all.
    facts.errors = fresh(&[("a", 20.0)]);
    check(&free(), &cpu(), &facts, "a 348, b 435, c 217", &parts);
    facts.errors = told(Quality::Missing, NOW, &[]);
    check(&free(), &cpu(), &facts, "-", &["the dead band"]);
}

#[test]
fn capacity_is_smoothed_over_passes() {
    let capacity_of = |facts, expect: f64, action: &WeightsAction| {
        let came = pass(action, &cpu(), &facts, NOW);
        assert_eq!(came.history.backends["a"].capacity, Some(expect));
        assert_eq!(came.history.backends["a"].known_at, Some(at(NOW)));
    };
    let was = |capacity: f64, known_at: i64| {
        remember(route(&EQUAL), "a", |memory| {
            (memory.capacity, memory.known_at) = (Some(capacity), Some(at(known_at)));
        })
    };
    capacity_of(route(&EQUAL), 125.0, &smoothing(capacity(), 0.5));
    // 0.5 * 125 + 0.5 * 100, and 0.2 * 125 + 0.8 * 100.
    capacity_of(was(100.0, NOW - 15), 112.5, &smoothing(capacity(), 0.5));
    capacity_of(was(100.0, NOW - 15), 105.0, &smoothing(capacity(), 0.2));
    // What was measured longer than expiry ago says nothing.
    capacity_of(was(100.0, NOW - 180), 112.5, &smoothing(capacity(), 0.5));
    capacity_of(was(100.0, NOW - 181), 125.0, &smoothing(capacity(), 0.5));
}

#[test]
fn a_step_is_capped_and_the_sum_stays() {
    // At most 333 * 1.2 = 399, and at least 334 * 0.8 = 268 for c; the rest is 366 for each.
    check(&capacity(), &cpu(), &route(&EQUAL), "a 366, b 366, c 268", &[]);
    // At least 268 * 0.8 = 215; of two equal remainders the first is rounded up.
    let next = [("a", 366), ("b", 366), ("c", 268)];
    check(&capacity(), &cpu(), &route(&next), "a 393, b 392, c 215", &[]);
}

#[test]
fn the_floor_holds() {
    let mut action = free();
    action.limits.floor = finite(0.05);
    // 125, 125 and 2.5 of 252.5: c would have 0.0099, and has 50; the rest is divided equally.
    let observed = Observed::default().signal("cpu", fresh(&[("a", 0.8), ("b", 0.8), ("c", 20.0)]));
    check(&action, &observed, &route(&BY_CAPACITY), "a 475, b 475, c 50", &[]);
    // Whoever is at the floor stays there.
    check(
        &action,
        &observed,
        &route(&[("a", 475), ("b", 475), ("c", 50)]),
        "-",
        &["the dead band"],
    );
    // Against the step cap the floor wins: c comes from 10 to 50, which is five times as much.
    action.limits.most_step = finite(0.2);
    check(
        &action,
        &observed,
        &route(&[("a", 495), ("b", 495), ("c", 10)]),
        "a 475, b 475, c 50",
        &[],
    );
}

#[test]
fn who_is_not_known_keeps_its_last_capacity_and_loses_nothing() {
    let nan = Observed::default().signal(
        "cpu",
        told(Quality::NotFinite, NOW, &[("a", 0.8), ("b", 0.8), ("c", f64::NAN)]),
    );
    let was = |capacity: Option<f64>, ago: i64, current: &[(&str, i64)]| {
        remember(route(current), "c", |memory| {
            (memory.capacity, memory.known_at) = (capacity, Some(at(NOW - ago)));
        })
    };
    // 125, 125 and 250: c gains.
    check(
        &free(),
        &nan,
        &was(Some(250.0), 180, &BY_CAPACITY),
        "a 250, b 250, c 500",
        &["c: not known (signal cpu is NaN), smoothed 250.0, share 0.500"],
    );
    // 125, 125 and 62.5 would be 400, 400, 200: c keeps its 334.
    check(
        &free(),
        &nan,
        &was(Some(62.5), 15, &EQUAL),
        "-",
        &["the weights are as wanted"],
    );
    // For longer than expiry: nothing moves.
    check(
        &free(),
        &nan,
        &was(Some(250.0), 181, &BY_CAPACITY),
        "-",
        &["the capacity of c has not been known for 3m1s, expiry is 3m: signal cpu is NaN"],
    );
    // Never known: the mean of the known, (125 + 75) / 2 = 100, so 125, 75 and 100 of 300.
    let never = remember(route(&BY_CAPACITY), "c", |memory| {
        (memory.capacity, memory.known_at, memory.appeared_at) = (None, None, None);
    });
    let nan = Observed::default().signal(
        "cpu",
        told(
            Quality::NotFinite,
            NOW,
            &[("a", 0.8), ("b", 100.0 / 75.0), ("c", f64::INFINITY)],
        ),
    );
    check(
        &free(),
        &nan,
        &never,
        "a 417, b 250, c 333",
        &["c: not known (signal cpu is inf), the mean of the others counts, share 0.333"],
    );
}

#[test]
fn no_requests_and_no_utilisation_are_not_known() {
    let check = |cpu: f64, requests: f64, errors: f64, part: &str| {
        let observed = Observed::default().signal("cpu", fresh(&[("a", 0.8), ("b", 0.8), ("c", cpu)]));
        let mut facts = remember(route(&BY_CAPACITY), "c", |memory| memory.capacity = Some(62.5));
        facts.requests = fresh(&[("a", 100.0), ("b", 100.0), ("c", requests)]);
        facts.errors = fresh(&[("c", errors)]);
        check(&free(), &observed, &facts, "-", &[part]);
    };
    check(0.0, 50.0, 0.0, "c: not known (signal cpu is 0), smoothed 62.5");
    check(-0.1, 50.0, 0.0, "c: not known (signal cpu is -0.1)");
    check(0.8, 0.0, 0.0, "c: not known (it has no requests)");
    check(
        0.8,
        -1.0,
        0.0,
        "c: not known (traffic.requests is -1, less than nothing)",
    );
    check(
        0.8,
        50.0,
        -1.0,
        "c: not known (traffic.errors is -1, less than nothing)",
    );
    // The number itself would be no number.
    check(1e-310, 50.0, 0.0, "c: not known (its capacity would be inf)");
}

#[test]
fn fewer_than_two_that_are_known_decide_nothing() {
    let one = Observed::default().signal("cpu", fresh(&[("a", 0.8)]));
    let parts = [
        "the capacity of 1 of 3 backends in service is known; at least 2 must be",
        "b: not known (signal cpu has no series for it)",
    ];
    check(&free(), &one, &route(&EQUAL), "-", &parts);
    // What nobody has seen for long may be there without weight.
    let two = Observed::default().signal("cpu", fresh(&[("a", 0.8), ("b", 0.8)]));
    let facts = remember(route(&[("a", 500), ("b", 500), ("c", 0)]), "c", |memory| {
        (memory.capacity, memory.known_at) = (Some(62.5), Some(at(0)));
    });
    check(&free(), &two, &facts, "a 400, b 400, c 200", &[]);
}

#[test]
fn a_reading_that_is_not_fresh_moves_nothing() {
    for quality in [Quality::Stale, Quality::Partial, Quality::Missing, Quality::Error] {
        let values: &[(&str, f64)] = if quality == Quality::Missing {
            &[]
        } else {
            &[("a", 0.8), ("b", 0.8), ("c", 0.8)]
        };
        let bad = told(quality, NOW, values);
        let mut parts = vec![quality.to_string()];
        parts.push("the capacity of 0 of 3 backends".to_owned());
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        check(
            &free(),
            &Observed::default().signal("cpu", bad.clone()),
            &route(&EQUAL),
            "-",
            &parts,
        );
        let mut facts = route(&EQUAL);
        facts.requests = bad.clone();
        check(&free(), &cpu(), &facts, "-", &parts);
        if quality != Quality::Missing {
            let mut facts = route(&EQUAL);
            facts.errors = bad;
            check(&free(), &cpu(), &facts, "-", &parts);
        }
    }
    check(
        &free(),
        &Observed::default(),
        &route(&EQUAL),
        "-",
        &["signal cpu was not read"],
    );
}

#[test]
fn nothing_but_an_ejection_moves_before_the_hold_is_over() {
    let moved = |ago: i64| {
        let mut facts = route(&EQUAL);
        facts.history.moved_at = Some(at(NOW - ago));
        facts
    };
    check(
        &free(),
        &cpu(),
        &moved(59),
        "-",
        &["the last change was 59s ago, hold is 1m", "share 0.400"],
    );
    check(&free(), &cpu(), &moved(60), "a 400, b 400, c 200", &[]);
    // A clock that stepped back: from now on.
    let history = check(&free(), &cpu(), &moved(-500), "-", &["the last change was 0s ago"]);
    assert_eq!(history.moved_at, Some(at(NOW)));
    let mut facts = route(&EQUAL);
    facts.history.observed_since = at(NOW - 59);
    check(&free(), &cpu(), &facts, "-", &["observed only for 59s of 1m"]);
    facts.history.observed_since = at(NOW - 60);
    check(&free(), &cpu(), &facts, "a 400, b 400, c 200", &[]);
    // One that appears now, and one that appeared a while ago.
    let new = remember(route(&EQUAL), "b", |memory| {
        (memory.known_at, memory.appeared_at) = (None, None);
    });
    let history = check(&free(), &cpu(), &new, "-", &["b appeared 0s ago, hold is 1m"]);
    assert_eq!(history.backends["b"].appeared_at, Some(at(NOW)));
    let young = |ago: i64| remember(route(&EQUAL), "b", |memory| memory.appeared_at = Some(at(NOW - ago)));
    check(&free(), &cpu(), &young(59), "-", &["b appeared 59s ago"]);
    check(&free(), &cpu(), &young(60), "a 400, b 400, c 200", &[]);
}

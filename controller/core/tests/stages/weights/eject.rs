use super::{NOW, capacity, check, cpu, ejecting, failover, fresh, pass, remember, route, step, told, weights};
use crate::build::{Observed, at, finite, quiet, secs};
use flyball_core::{
    decide::{BackendHistory, Move, RouteFacts},
    policy::WeightsAction,
    signal::Quality,
};

const BY_CAPACITY: [(&str, i64); 3] = [("a", 400), ("b", 400), ("c", 200)];

fn action() -> WeightsAction {
    ejecting(capacity())
}

/// So many requests and errors per second of a, b and c.
fn serving(current: &[(&str, i64)], served: [(f64, f64); 3]) -> RouteFacts {
    let names = ["a", "b", "c"];
    let of = |what: fn((f64, f64)) -> f64| -> Vec<(&str, f64)> {
        names.into_iter().zip(served.into_iter().map(what)).collect()
    };
    RouteFacts {
        requests: fresh(&of(|served| served.0)),
        errors: fresh(&of(|served| served.1)),
        ..route(current)
    }
}

/// `a` is out since so many seconds, for the `times`th time in a row; all at 80 %.
fn out(current: &[(&str, i64)], ago: i64, times: u32) -> RouteFacts {
    let mut facts = remember(
        serving(current, [(0.0, 0.0), (120.0, 0.0), (60.0, 0.0)]),
        "a",
        |memory| {
            (memory.out_since, memory.ejections, memory.capacity) = (Some(at(NOW - ago)), times, Some(125.0));
        },
    );
    facts.history.moved_at = Some(at(NOW - ago));
    facts
}

/// `a` comes back since so many seconds.
fn returning(current: &[(&str, i64)], ago: i64) -> RouteFacts {
    remember(
        serving(current, [(100.0, 0.0), (100.0, 0.0), (50.0, 0.0)]),
        "a",
        |memory| {
            (memory.returning_since, memory.ejections, memory.capacity) = (Some(at(NOW - ago)), 1, Some(125.0));
        },
    )
}

#[test]
fn a_backend_whose_requests_fail_is_out_at_once() {
    // 600 of 1000 stay: 400 / 600 and 200 / 600. Neither cap nor hold count.
    let mut facts = serving(&BY_CAPACITY, [(40.0, 30.0), (40.0, 0.0), (20.0, 1.0)]);
    facts.history.moved_at = Some(at(NOW));
    let parts = [
        "a fails 0.750 of its requests, more than 0.5: out for 30s",
        "a: 30.0 failed of 40.0 rps = 0.750",
    ];
    let history = check(&action(), &cpu(), &facts, "ejection a 0, b 667, c 333", &parts);
    assert_eq!(
        (history.backends["a"].out_since, history.backends["a"].ejections),
        (Some(at(NOW)), 1)
    );
    assert_eq!(history.backends["b"].out_since, None);
    // Whatever the law, and without its signal. Beside others the sum stays.
    facts.unmanaged = 10;
    facts.current = weights(&[("a", 4), ("b", 4), ("c", 2)]);
    check(
        &ejecting(step()),
        &Observed::default(),
        &facts,
        "ejection a 0, b 7, c 3",
        &parts,
    );
    check(
        &action(),
        &Observed::default(),
        &facts,
        "ejection a 0, b 7, c 3",
        &parts,
    );
    // Without the option nothing is taken out; and failover has rules of its own.
    check(&capacity(), &Observed::default(), &facts, "-", &[]);
    facts.history.moved_at = None;
    let history = check(
        &ejecting(failover()),
        &Observed::default(),
        &facts,
        "a 10, b 0, c 0",
        &[],
    );
    assert_eq!(history.backends["a"].ejections, 0);
}

#[test]
fn two_of_three_with_a_higher_threshold() {
    let mut action = action();
    if let Some(ejection) = &mut action.ejection {
        ejection.panic_above = finite(0.7);
    }
    let facts = serving(&BY_CAPACITY, [(40.0, 30.0), (40.0, 40.0), (20.0, 1.0)]);
    check(
        &action,
        &cpu(),
        &facts,
        "ejection a 0, b 0, c 1000",
        &["; b fails 1.000"],
    );
}

#[test]
fn what_is_not_fresh_not_enough_or_not_bad_takes_nobody_out() {
    let quiet = |served: (f64, f64)| serving(&BY_CAPACITY, [served, (100.0, 0.0), (50.0, 0.0)]);
    let none = |facts: &RouteFacts| {
        check(
            &action(),
            &Observed::default(),
            facts,
            "-",
            &["signal cpu was not read"],
        )
    };
    // At the threshold.
    none(&quiet((40.0, 20.0)));
    // 0.33 rps are 19.8 requests in a minute; 0.34 are 20.4.
    none(&quiet((0.33, 0.33)));
    let enough = quiet((0.34, 0.34));
    check(
        &action(),
        &Observed::default(),
        &enough,
        "ejection a 0, b 667, c 333",
        &[],
    );
    for quality in [Quality::Stale, Quality::Partial, Quality::Error] {
        let bad = told(quality, NOW, &[("a", 40.0), ("b", 1.0), ("c", 1.0)]);
        check(
            &action(),
            &cpu(),
            &RouteFacts {
                requests: bad.clone(),
                ..enough.clone()
            },
            "-",
            &[],
        );
        check(
            &action(),
            &cpu(),
            &RouteFacts {
                errors: bad,
                ..enough.clone()
            },
            "-",
            &[],
        );
    }
    // A NaN of another takes nothing from what is known of this one.
    let nan = told(Quality::NotFinite, NOW, &[("a", 40.0), ("b", f64::NAN)]);
    check(
        &action(),
        &Observed::default(),
        &RouteFacts {
            requests: nan.clone(),
            ..enough.clone()
        },
        "-",
        &[],
    );
    let facts = RouteFacts {
        requests: nan,
        errors: fresh(&[("a", 30.0)]),
        ..enough
    };
    check(
        &action(),
        &Observed::default(),
        &facts,
        "ejection a 0, b 667, c 333",
        &[],
    );
}

#[test]
fn while_too_many_look_bad_nothing_moves() {
    let bad = serving(
        &[("a", 333), ("b", 333), ("c", 334)],
        [(40.0, 30.0), (40.0, 30.0), (20.0, 0.0)],
    );
    let part = "2 of 3 look bad, more than the panic threshold 0.5: nobody is taken out";
    let history = check(
        &action(),
        &cpu(),
        &bad,
        "-",
        &[part, "b: 30.0 failed of 40.0 rps = 0.750"],
    );
    assert!(history.backends.values().all(|memory| memory.out_since.is_none()));
    // One that is out counts.
    let mut facts = out(&[("a", 0), ("b", 667), ("c", 333)], 10, 1);
    facts.errors = fresh(&[("b", 100.0)]);
    let part = "1 of 3 look bad and 1 are out, more than the panic threshold 0.5: nobody is taken out";
    check(&action(), &cpu(), &facts, "-", &[part]);
    // Never the last one with weight.
    let last = serving(
        &[("a", 1000), ("b", 0), ("c", 0)],
        [(40.0, 30.0), (0.0, 0.0), (0.0, 0.0)],
    );
    check(
        &action(),
        &cpu(),
        &last,
        "-",
        &["a looks bad, and no other backend has weight: nobody is taken out"],
    );
    // Of two, one is not more than half.
    let mut two = action();
    two.backends.truncate(2);
    let mut facts = serving(&[("a", 500), ("b", 500)], [(40.0, 30.0), (40.0, 0.0), (0.0, 0.0)]);
    facts.others = vec!["c".to_owned()];
    check(&two, &Observed::default(), &facts, "ejection a 0, b 1000", &[]);
}

#[test]
fn a_backend_without_endpoints_is_out_while_requests_reach_nobody() {
    // Its requests are in no backend's count.
    let absent = |ready: Option<bool>, unserved: Option<(Quality, f64)>| {
        let mut facts = serving(&BY_CAPACITY, [(0.0, 0.0), (40.0, 0.0), (20.0, 0.0)]);
        facts.ready.extend(ready.map(|ready| ("a".to_owned(), ready)));
        facts.unserved = unserved.map(|(quality, value)| told(quality, NOW, &[("", value)]));
        facts
    };
    let blind = Observed::default();
    let parts = [
        "a has no ready endpoint, and 40.0 requests a second reach no backend: out for 30s",
        "a: no ready endpoint; 40.0 rps reach no backend",
    ];
    let of =
        |ready, unserved, expect, parts: &[&str]| check(&action(), &blind, &absent(ready, unserved), expect, parts);
    let fresh = |value: f64| Some((Quality::Fresh, value));
    let history = of(Some(false), fresh(40.0), "ejection a 0, b 667, c 333", &parts);
    assert_eq!(history.backends["a"].ejections, 1);
    // Each of the two alone is none.
    of(Some(false), fresh(0.0), "-", &[]);
    of(Some(false), None, "-", &[]);
    of(Some(true), fresh(40.0), "-", &[]);
    of(None, fresh(40.0), "-", &[]);
    of(Some(false), Some((Quality::Stale, 40.0)), "-", &[]);
    of(Some(false), Some((Quality::Partial, 40.0)), "-", &[]);
}

#[test]
fn the_sum_that_one_can_not_have() {
    let mut facts = serving(
        &[("a", 1_000_000), ("b", 1_000_000), ("c", 0)],
        [(40.0, 30.0), (40.0, 0.0), (0.0, 0.0)],
    );
    facts.unmanaged = 1;
    check(&action(), &cpu(), &facts, "-", &["can't keep their sum of 2000000"]);
}

#[test]
fn it_stays_out_twice_as_long_each_time() {
    let out_of = [("a", 0), ("b", 667), ("c", 333)];
    for (times, seconds) in [(1, 30), (2, 60), (3, 120), (4, 240), (5, 300), (40, 300), (99, 300)] {
        let mut early = out(&out_of, seconds - 1, times);
        early.history.moved_at = Some(at(NOW - 3600));
        // Still out: moved_at must not be before, or it would never have been carried out.
        check(&action(), &cpu(), &early, "-", &["a: not known", ", out"]);
        let mut due = early;
        due.history.backends.entry("a".to_owned()).or_default().out_since = Some(at(NOW - seconds));
        check(
            &action(),
            &cpu(),
            &due,
            "return a 4, b 664, c 332",
            &["a comes back, with 1 % of its share"],
        );
    }
}

#[test]
fn it_comes_back_when_it_is_ready() {
    let mut facts = out(&[("a", 0), ("b", 667), ("c", 333)], 60, 1);
    // Not known counts as ready.
    let history = check(&action(), &cpu(), &facts, "return a 4, b 664, c 332", &[]);
    let memory = &history.backends["a"];
    assert_eq!(
        (memory.out_since, memory.returning_since, memory.ejections),
        (None, Some(at(NOW)), 1)
    );
    facts.ready.insert("a".to_owned(), false);
    let history = check(&action(), &cpu(), &facts, "-", &[]);
    assert_eq!(history.backends["a"].out_since, Some(at(NOW - 60)));
    facts.ready.insert("a".to_owned(), true);
    let history = check(&action(), &cpu(), &facts, "return a 4, b 664, c 332", &[]);
    assert_eq!(history.backends["a"].ready_since, None);
    // Not while nothing is known of its requests.
    facts.requests = told(Quality::Stale, NOW, &[("b", 1.0), ("c", 1.0)]);
    check(&action(), &cpu(), &facts, "-", &[]);
    check(
        &ejecting(step()),
        &Observed::default().rule("Failing", quiet(0)),
        &facts,
        "a 0, b 600, c 400",
        &[],
    );
}

#[test]
fn the_ramp_is_linear_and_keeps_to_the_hold() {
    // 150 of 300 s: half of 0.4. The others have the rest, as 2 to 1.
    let half = returning(&[("a", 100), ("b", 600), ("c", 300)], 150);
    let parts = ["a comes back, with 50 % of its share"];
    check(&action(), &cpu(), &half, "return a 200, b 533, c 267", &parts);
    let mut held = half.clone();
    held.history.moved_at = Some(at(NOW - 59));
    check(&action(), &cpu(), &held, "-", &["hold is 1m"]);
    // It loses nothing by the ramp.
    let more = returning(&[("a", 300), ("b", 467), ("c", 233)], 30);
    check(&action(), &cpu(), &more, "-", &["the dead band"]);
    // The others lose 20 % at most: 533 * 0.8 = 426.4 and 267 * 0.8 = 213.6.
    let whole = returning(&[("a", 200), ("b", 533), ("c", 267)], 300);
    let history = check(&action(), &cpu(), &whole, "return a 359, b 427, c 214", &["with 100 %"]);
    assert_eq!(history.backends["a"].returning_since, Some(at(NOW - 300)));
    // Within the dead band of 0.4 it is back.
    let whole = returning(&[("a", 380), ("b", 413), ("c", 207)], 300);
    let history = check(&action(), &cpu(), &whole, "a 400, b 400, c 200", &[]);
    let memory = &history.backends["a"];
    assert_eq!(
        (memory.returning_since, memory.returned_at, memory.ejections),
        (None, Some(at(NOW)), 1)
    );
}

#[test]
fn one_that_fails_again_on_its_way_back_is_out_for_longer() {
    let failing = |ago: i64| RouteFacts {
        errors: fresh(&[("a", 60.0)]),
        ..returning(&[("a", 100), ("b", 600), ("c", 300)], ago)
    };
    // In the first minute the window still has the requests for which it was taken out.
    check(&capacity_at_once(), &cpu(), &failing(59), "-", &[]);
    let parts = ["out for 1m"];
    let history = check(
        &capacity_at_once(),
        &cpu(),
        &failing(60),
        "ejection a 0, b 667, c 333",
        &parts,
    );
    assert_eq!(history.backends["a"].ejections, 2);
}

/// Held, so that only an ejection moves.
fn capacity_at_once() -> WeightsAction {
    let mut action = action();
    action.limits.hold = secs(100_000);
    action
}

#[test]
fn after_a_quiet_time_it_is_forgotten_how_often() {
    let back = |ago: i64| {
        remember(route(&BY_CAPACITY), "a", |memory| {
            (memory.ejections, memory.returned_at) = (3, Some(at(NOW - ago)));
        })
    };
    let times = |facts: &RouteFacts| check(&action(), &cpu(), facts, "-", &[]).backends["a"].clone();
    assert_eq!((times(&back(299)).ejections, times(&back(300)).ejections), (3, 0));
    assert_eq!(times(&back(300)).returned_at, None);
    // Where it is not known since when, from now on.
    let unknown = remember(back(0), "a", |memory| memory.returned_at = None);
    assert_eq!(
        (times(&unknown).ejections, times(&unknown).returned_at),
        (3, Some(at(NOW)))
    );
}

#[test]
fn what_was_not_carried_out_is_no_ejection() {
    let memory = |moved_at: Option<i64>, current: &[(&str, i64)], before: fn(&mut BackendHistory)| {
        let mut facts = remember(route(current), "a", |memory| {
            (memory.out_since, memory.ejections) = (Some(at(NOW - 15)), 1);
            before(memory);
        });
        facts.history.moved_at = moved_at.map(at);
        pass(&action(), &cpu(), &facts, NOW).history.backends["a"].clone()
    };
    let states = |memory: &BackendHistory| (memory.out_since, memory.returning_since, memory.ejections);
    let nothing: fn(&mut BackendHistory) = |_| {};
    // Nothing was written since, and it has weight.
    assert_eq!(states(&memory(None, &BY_CAPACITY, nothing)), (None, None, 0));
    assert_eq!(states(&memory(Some(NOW - 16), &BY_CAPACITY, nothing)), (None, None, 0));
    // It was written, and somebody gave it weight again.
    assert_eq!(
        states(&memory(Some(NOW - 15), &BY_CAPACITY, nothing)),
        (None, Some(at(NOW)), 1)
    );
    // It has none: it is out.
    let zero = [("a", 0), ("b", 667), ("c", 333)];
    assert_eq!(states(&memory(None, &zero, nothing)), (Some(at(NOW - 15)), None, 1));
    // On its way back it goes on as before, if it was not carried out.
    let back: fn(&mut BackendHistory) = |memory| memory.returning_since = Some(at(NOW - 100));
    assert_eq!(
        states(&memory(None, &BY_CAPACITY, back)),
        (None, Some(at(NOW - 100)), 0)
    );
    assert_eq!(states(&memory(None, &zero, back)), (Some(at(NOW - 15)), None, 1));
}

#[test]
fn a_return_that_was_not_carried_out_begins_anew() {
    // It is to come back since 200 s, and has no weight: 1 %, not 67 %.
    let facts = returning(&[("a", 0), ("b", 667), ("c", 333)], 200);
    let history = check(&action(), &cpu(), &facts, "return a 4, b 664, c 332", &[]);
    assert_eq!(history.backends["a"].returning_since, Some(at(NOW)));
    let mut unready = facts;
    unready.ready.insert("a".to_owned(), false);
    check(&action(), &cpu(), &unready, "-", &[]);
}

#[test]
fn of_two_the_one_that_is_out_comes_back_too() {
    let mut action = action();
    action.backends.truncate(2);
    let mut facts = out(&[("a", 0), ("b", 1000)], 60, 1);
    facts.others = vec!["c".to_owned()];
    let observed = Observed::default().signal("cpu", fresh(&[("b", 0.8)]));
    // 125 remembered and 150 measured: 1 % of 0.4545.
    check(&action, &observed, &facts, "return a 5, b 995", &[]);
    facts.ready.insert("a".to_owned(), false);
    check(&action, &observed, &facts, "-", &["only one backend is in service"]);
}

#[test]
fn without_the_option_nobody_is_out() {
    // From zero, as any weight; b and c lose 20 % at most.
    check(
        &capacity(),
        &cpu(),
        &out(&[("a", 0), ("b", 667), ("c", 333)], 60, 1),
        "a 199, b 534, c 267",
        &[],
    );
}

#[test]
fn from_out_to_back_again() {
    let mut action = action();
    action.limits.most_step = finite(1.0);
    let mut facts = serving(&BY_CAPACITY, [(40.0, 40.0), (40.0, 0.0), (20.0, 0.0)]);
    let mut seen = Vec::new();
    for seconds in (0..900).step_by(15) {
        let a = f64::from(facts.current.of("a").get()) / 1000.0;
        let [b, c] = ["b", "c"].map(|name| f64::from(facts.current.of(name).get()) / 1000.0);
        // It fails for the first minute; each has a capacity of 125, 125 and 62.5 rps, of 100 offered.
        let failed = if seconds < 60 { a * 100.0 } else { 0.0 };
        facts.requests = fresh(&[("a", a * 100.0), ("b", b * 100.0), ("c", c * 100.0)]);
        facts.errors = fresh(&[("a", failed)]);
        let cpu = [
            ("a", a * 100.0 / 125.0),
            ("b", b * 100.0 / 125.0),
            ("c", c * 100.0 / 62.5),
        ];
        let came = pass(
            &action,
            &Observed::default().signal("cpu", fresh(&cpu)),
            &facts,
            NOW + seconds,
        );
        facts.history = came.history;
        if let Some(proposal) = came.to {
            facts.current = proposal.to;
            facts.history.moved_at = Some(at(NOW + seconds));
            seen.push((seconds, proposal.why, facts.current.of("a").get()));
        }
    }
    let back = |seconds: i64, weight: u32| (seconds, Move::Return, weight);
    // Out for 30 s, held for 60 s; then 1 % of what it could while it failed, 40 / (0.32 + 1) = 30 of 218 rps.
    // From then on 60 s of 300 s more of 0.4 each time.
    assert_eq!(
        seen,
        [
            (0, Move::Ejection, 0),
            back(60, 1),
            back(120, 80),
            back(180, 160),
            back(240, 240),
            back(300, 320),
            back(360, 400)
        ]
    );
    assert_eq!(facts.history.backends["a"].ejections, 0);
}

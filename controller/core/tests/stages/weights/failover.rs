use super::{NOW, check, failover, fresh, pass, remember, route, told, with_base};
use crate::build::{Observed, at, secs};
use flyball_core::{
    decide::{Move, RouteFacts},
    policy::WeightLaw,
    signal::Quality,
};

const FIRST: [(&str, i64); 3] = [("a", 1000), ("b", 0), ("c", 0)];
const SECOND: [(&str, i64); 3] = [("a", 0), ("b", 1000), ("c", 0)];

/// Everything goes where the weight is; so much of it fails.
fn failing(current: &[(&str, i64)], part: f64) -> RouteFacts {
    let rates = |factor: f64| -> Vec<(&str, f64)> {
        let with_weight = current.iter().filter(|(_, weight)| *weight > 0);
        #[allow(clippy::cast_precision_loss)] // Small numbers.
        with_weight
            .map(|(name, weight)| (*name, *weight as f64 * factor / 10.0))
            .collect()
    };
    RouteFacts {
        requests: fresh(&rates(1.0)),
        errors: fresh(&rates(part)),
        ..route(current)
    }
}

fn bad_since(facts: RouteFacts, backend: &str, ago: i64) -> RouteFacts {
    remember(facts, backend, |memory| memory.bad_since = Some(at(NOW - ago)))
}

fn left(facts: RouteFacts, backend: &str, ago: i64) -> RouteFacts {
    let mut facts = remember(facts, backend, |memory| memory.out_since = Some(at(NOW - ago)));
    facts.history.moved_at = Some(at(NOW - ago));
    facts
}

fn ready(mut facts: RouteFacts, backend: &str, ready: bool) -> RouteFacts {
    facts.ready.insert(backend.to_owned(), ready);
    facts
}

fn none() -> Observed {
    Observed::default()
}

#[test]
fn a_backend_that_looks_bad_for_long_enough_is_left() {
    let history = check(
        &failover(),
        &none(),
        &bad_since(failing(&FIRST, 0.6), "a", 60),
        "a 0, b 1000, c 0",
        &[
            "b is the first that does not look bad",
            "a: 60.0 failed of 100.0 rps = 0.600, bad for 1m",
        ],
    );
    assert_eq!(
        (history.backends["a"].out_since, history.backends["a"].ejections),
        (Some(at(NOW)), 0)
    );
    check(
        &failover(),
        &none(),
        &bad_since(failing(&FIRST, 0.6), "a", 59),
        "-",
        &["a serves"],
    );
    // Since when is remembered, with hysteresis.
    let since = |part: f64, ago: Option<i64>| {
        let facts = ago.map_or_else(
            || failing(&FIRST, part),
            |ago| bad_since(failing(&FIRST, part), "a", ago),
        );
        pass(&failover(), &none(), &facts, NOW).history.backends["a"].bad_since
    };
    assert_eq!(since(0.51, None), Some(at(NOW)));
    assert_eq!(since(0.5, None), None);
    assert_eq!(since(0.11, Some(30)), Some(at(NOW - 30)));
    assert_eq!(since(0.1, Some(30)), None);
    // Between the two it looks bad as long as it did.
    check(
        &failover(),
        &none(),
        &bad_since(failing(&FIRST, 0.3), "a", 60),
        "a 0, b 1000, c 0",
        &[],
    );
    // 0.33 rps are 19.8 requests in a minute.
    let mut few = bad_since(failing(&FIRST, 0.0), "a", 60);
    (few.requests, few.errors) = (fresh(&[("a", 0.33)]), fresh(&[("a", 0.33)]));
    check(&failover(), &none(), &few, "-", &["a serves"]);
}

#[test]
fn a_backend_without_ready_endpoints_is_left() {
    let gone = |ago: i64| ready(bad_since(failing(&FIRST, 0.0), "a", ago), "a", false);
    check(
        &failover(),
        &none(),
        &gone(60),
        "a 0, b 1000, c 0",
        &["no ready endpoints"],
    );
    check(&failover(), &none(), &gone(59), "-", &["a serves"]);
    // It goes to one that has some, as far as that is known.
    check(
        &failover(),
        &none(),
        &ready(gone(60), "b", false),
        "a 0, b 0, c 1000",
        &[],
    );
    let none_left = ready(ready(gone(60), "b", false), "c", false);
    check(&failover(), &none(), &none_left, "-", &["all backends look bad"]);
}

#[test]
fn without_data_nothing_moves() {
    for quality in [Quality::Stale, Quality::Partial, Quality::Missing, Quality::Error] {
        let values: &[(&str, f64)] = if quality == Quality::Missing {
            &[]
        } else {
            &[("a", 60.0)]
        };
        let facts = ready(bad_since(failing(&FIRST, 0.6), "a", 600), "a", false);
        let requests = RouteFacts {
            requests: told(quality, NOW, values),
            ..facts.clone()
        };
        let part = format!("traffic.requests is {quality}");
        check(&failover(), &none(), &requests, "-", &[&part, "nothing is moved"]);
        let returning = left(failing(&SECOND, 0.0), "a", 600);
        check(
            &failover(),
            &none(),
            &RouteFacts {
                requests: requests.requests,
                ..returning
            },
            "-",
            &[&part],
        );
        if quality != Quality::Missing {
            let errors = RouteFacts {
                errors: told(quality, NOW, values),
                ..facts
            };
            check(&failover(), &none(), &errors, "-", &["traffic.errors is"]);
        }
    }
    // A gap is no time for which it looked bad.
    let mut gap = bad_since(failing(&FIRST, 0.6), "a", 600);
    gap.requests = told(Quality::Stale, NOW, &[("a", 100.0)]);
    assert_eq!(
        pass(&failover(), &none(), &gap, NOW).history.backends["a"].bad_since,
        None
    );
}

#[test]
fn traffic_comes_back_when_the_first_has_been_ready_for_long_enough() {
    let away = |ago: i64| left(failing(&SECOND, 0.0), "a", ago);
    let history = check(
        &failover(),
        &none(),
        &away(120),
        "return a 10, b 990, c 0",
        &["a comes back, with 1 % of the traffic", "left 2m ago"],
    );
    assert_eq!(
        (history.backends["a"].out_since, history.backends["a"].returning_since),
        (None, Some(at(NOW)))
    );
    check(&failover(), &none(), &away(119), "-", &["b serves"]);
    // Not without endpoints, and then counted from when it has some.
    let history = check(&failover(), &none(), &ready(away(999), "a", false), "-", &["b serves"]);
    assert_eq!(history.backends["a"].bad_at, Some(at(NOW)));
    let since = |ready_since: Option<i64>, bad_at: Option<i64>| {
        remember(away(999), "a", |memory| {
            (memory.ready_since, memory.bad_at) =
                (ready_since.map(|ago| at(NOW - ago)), bad_at.map(|ago| at(NOW - ago)));
        })
    };
    check(
        &failover(),
        &none(),
        &ready(since(Some(119), None), "a", true),
        "-",
        &["b serves"],
    );
    check(
        &failover(),
        &none(),
        &ready(since(Some(120), Some(121)), "a", true),
        "return a 10, b 990, c 0",
        &[],
    );
    let history = check(
        &failover(),
        &none(),
        &ready(since(None, None), "a", true),
        "-",
        &["b serves"],
    );
    assert_eq!(history.backends["a"].ready_since, Some(at(NOW)));
    // Where it is not known any more, counted from when it was known to have none.
    check(&failover(), &none(), &since(None, Some(119)), "-", &["b serves"]);
    check(
        &failover(),
        &none(),
        &since(None, Some(120)),
        "return a 10, b 990, c 0",
        &[],
    );
}

/// `a` comes back since so many seconds, from b.
fn returning(a: i64, ago: i64, part: f64) -> RouteFacts {
    remember(failing(&[("a", a), ("b", 1000 - a), ("c", 0)], part), "a", |memory| {
        memory.returning_since = Some(at(NOW - ago));
    })
}

#[test]
fn the_return_is_linear_and_keeps_to_the_hold() {
    check(
        &failover(),
        &none(),
        &returning(10, 150, 0.0),
        "return a 500, b 500, c 0",
        &["with 50 % of the traffic"],
    );
    check(
        &failover(),
        &none(),
        &returning(500, 300, 0.0),
        "return a 1000, b 0, c 0",
        &[],
    );
    let mut held = returning(10, 150, 0.0);
    held.history.moved_at = Some(at(NOW - 59));
    check(&failover(), &none(), &held, "-", &["the last change was 59s ago"]);
    let history = check(
        &failover(),
        &none(),
        &remember(failing(&FIRST, 0.0), "a", |memory| {
            memory.returning_since = Some(at(NOW - 300));
        }),
        "-",
        &["a serves"],
    );
    assert_eq!(history.backends["a"].returning_since, None);
}

#[test]
fn one_that_looks_bad_on_its_way_back_is_left_at_once() {
    let only_a = |mut facts: RouteFacts| {
        facts.errors = fresh(&[("a", 50.0)]);
        facts.history.moved_at = Some(at(NOW - 1));
        facts
    };
    let parts = ["a looks bad while it comes back: b serves again"];
    let history = check(
        &failover(),
        &none(),
        &only_a(returning(500, 150, 0.0)),
        "ejection a 0, b 1000, c 0",
        &parts,
    );
    assert_eq!(history.backends["a"].out_since, Some(at(NOW)));
    // In the first minute the window has requests from before.
    check(
        &failover(),
        &none(),
        &only_a(returning(10, 59, 0.0)),
        "-",
        &["hold is 1m"],
    );
    // Not carried out: it is left in the next pass.
    let mut again = only_a(returning(500, 165, 0.0));
    again = remember(again, "a", |memory| memory.out_since = Some(at(NOW)));
    check(&failover(), &none(), &again, "ejection a 0, b 1000, c 0", &[]);
    // If the one that serves meanwhile looks bad too, there is no better one but c.
    let both = bad_since(only_a(returning(500, 150, 0.0)), "b", 60);
    let both = RouteFacts {
        errors: fresh(&[("a", 50.0), ("b", 50.0)]),
        ..both
    };
    check(&failover(), &none(), &both, "ejection a 0, b 0, c 1000", &[]);
}

#[test]
fn who_was_passed_over_comes_back_slowly_too() {
    // a is bad, b has no endpoints: c serves, and both are left.
    let facts = ready(bad_since(failing(&FIRST, 0.9), "a", 60), "b", false);
    let history = check(&failover(), &none(), &facts, "a 0, b 0, c 1000", &[]);
    assert_eq!(
        (history.backends["a"].out_since, history.backends["b"].out_since),
        (Some(at(NOW)), Some(at(NOW)))
    );
    let third = [("a", 0), ("b", 0), ("c", 1000)];
    let mut facts = left(left(failing(&third, 0.0), "a", 119), "b", 120);
    check(&failover(), &none(), &facts, "return a 0, b 10, c 990", &[]);
    facts = left(facts, "a", 120);
    check(&failover(), &none(), &facts, "return a 10, b 0, c 990", &[]);
    // Weight that somebody gave to the last one goes back as slowly; nobody was left there.
    let mut given = failing(&third, 0.0);
    given.history.observed_since = at(NOW - 119);
    check(&failover(), &none(), &given, "-", &["c serves"]);
    given.history.observed_since = at(NOW - 120);
    check(&failover(), &none(), &given, "return a 10, b 0, c 990", &[]);
}

#[test]
fn all_bad_is_nowhere_to_go() {
    let facts = left(bad_since(failing(&SECOND, 0.9), "b", 600), "a", 60);
    let facts = left(facts, "c", 60);
    check(
        &failover(),
        &none(),
        &facts,
        "-",
        &["all backends look bad: there is nowhere to move to"],
    );
    // One whose time is over takes everything, because nobody could serve the rest.
    let facts = left(left(bad_since(failing(&SECOND, 0.9), "b", 600), "a", 120), "c", 60);
    check(&failover(), &none(), &facts, "return a 1000, b 0, c 0", &[]);
}

#[test]
fn the_weights_are_whole_whatever_the_sum() {
    let mut facts = bad_since(failing(&FIRST, 0.9), "a", 60);
    facts.fixed_total = Some(100);
    check(&failover(), &none(), &facts, "a 0, b 100, c 0", &[]);
    let spread = failing(&[("a", 1), ("b", 1), ("c", 1)], 0.0);
    check(
        &with_base(failover(), &[1, 1, 1]),
        &none(),
        &spread,
        "a 1000, b 0, c 0",
        &[],
    );
}

#[test]
fn from_bad_to_back_again() {
    let mut action = failover();
    action.limits.hold = secs(60);
    let WeightLaw::Failover(_) = &action.law else { return };
    let mut facts = failing(&FIRST, 0.0);
    let mut seen = Vec::new();
    for seconds in (0..900).step_by(15) {
        let current = ["a", "b", "c"].map(|name| (name, i64::from(facts.current.of(name).get())));
        let failed = if seconds < 100 { 0.9 } else { 0.0 };
        let next = failing(&current, 0.0);
        facts.requests = next.requests;
        facts.errors = fresh(&[("a", f64::from(facts.current.of("a").get()) / 10.0 * failed)]);
        let came = pass(&action, &none(), &facts, NOW + seconds);
        facts.history = came.history;
        if let Some(proposal) = came.to {
            facts.current = proposal.to;
            facts.history.moved_at = Some(at(NOW + seconds));
            seen.push((seconds, proposal.why, facts.current.of("a").get()));
        }
    }
    let back = |seconds: i64, weight: u32| (seconds, Move::Return, weight);
    // Bad from 0 to 60 s, left for 120 s, and every 60 s of 300 s a fifth more.
    assert_eq!(
        seen,
        [
            (60, Move::Law, 0),
            back(180, 10),
            back(240, 200),
            back(300, 400),
            back(360, 600),
            back(420, 800),
            back(480, 1000)
        ]
    );
}

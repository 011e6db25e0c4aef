use super::{NOW, check, ejecting, remember, route, step, told, with_base};
use crate::build::{Observed, at, labels, quiet, rule};
use flyball_core::{
    decide::RouteFacts,
    evaluate::{Alert, AlertPhase, RuleError, RuleState},
    policy::{Condition, Query, Rule, WeightLaw},
    signal::{Labels, Quality},
};

const BASE: [(&str, i64); 3] = [("a", 500), ("b", 300), ("c", 200)];

/// Firing alerts whose label `backend` has those values.
fn alerts(names: &[&str]) -> RuleState {
    let alert = |name: &&str| Alert {
        labels: labels(&[("backend", name)]),
        annotations: Labels::new(),
        phase: AlertPhase::Firing,
        active_at: at(0),
        keep_firing_since: None,
        value: 0.9,
    };
    RuleState {
        alerts: names.iter().map(alert).collect(),
        quiet_since: None,
        error: None,
    }
}

fn failing(names: &[&str]) -> Observed {
    Observed::default().rule("Failing", alerts(names))
}

fn opaque(alert: &str) -> Rule {
    Rule {
        condition: Condition::Opaque(Query {
            text: "x".to_owned(),
            age: None,
            longest_range: crate::build::secs(60),
        }),
        ..rule(alert, 0, 0)
    }
}

#[test]
fn an_alert_moves_points_away_from_its_backend() {
    // 50 - 20; 30 + 20 * 3/5; 20 + 20 * 2/5.
    let parts = [
        "Failing fires for a",
        "a: 0.500 - 0.200 = 0.300",
        "b: 0.300 + 0.600 * 0.200 = 0.420",
        "c: 0.200 + 0.400 * 0.200 = 0.280",
    ];
    let history = check(&step(), &failing(&["a"]), &route(&BASE), "a 300, b 420, c 280", &parts);
    assert_eq!(history.backends["a"].named_at, Some(at(NOW)));
    // Several for one backend count once, wherever it is now.
    let moved = [("a", 300), ("b", 420), ("c", 280)];
    check(
        &step(),
        &failing(&["a", "a"]),
        &route(&moved),
        "-",
        &["Failing fires for a; the weights are as wanted"],
    );
    check(
        &step(),
        &failing(&["a"]),
        &route(&[("a", 1), ("b", 1), ("c", 1)]),
        "a 300, b 420, c 280",
        &[],
    );
    // Never under zero: c has 20 points to give, b has 20 of 30; all 40 go to a.
    check(&step(), &failing(&["b", "c"]), &route(&BASE), "a 900, b 100, c 0", &[]);
    // To those without a base alike.
    let standby = with_base(step(), &[1, 0, 0]);
    check(
        &standby,
        &failing(&["a"]),
        &route(&[("a", 1), ("b", 0), ("c", 0)]),
        "a 800, b 100, c 100",
        &[],
    );
}

#[test]
fn an_alert_that_names_nobody_moves_nothing() {
    check(
        &step(),
        &failing(&["foo"]),
        &route(&BASE),
        "-",
        &["an alert of Failing names \"foo\" in its label backend, which the action does not manage"],
    );
    let mut without = step();
    if let WeightLaw::Step(law) = &mut without.law {
        law.label = "service".to_owned();
    }
    check(
        &without,
        &failing(&["a"]),
        &route(&BASE),
        "-",
        &["an alert of Failing has no label service"],
    );
    // Neither does it bring anything back.
    check(
        &step(),
        &failing(&["foo"]),
        &route(&[("a", 300), ("b", 420), ("c", 280)]),
        "-",
        &["\"foo\""],
    );
    // Beside one that names somebody it is told.
    check(
        &step(),
        &failing(&["a", "foo"]),
        &route(&BASE),
        "a 300, b 420, c 280",
        &["\"foo\""],
    );
    check(
        &step(),
        &failing(&["a", "b", "c"]),
        &route(&BASE),
        "-",
        &["Failing fires for every backend in service: there is nowhere to move to"],
    );
}

#[test]
fn an_alert_on_data_that_is_not_fresh_moves_nothing() {
    for quality in [Quality::Stale, Quality::Partial, Quality::Missing] {
        let values: &[(&str, f64)] = if quality == Quality::Missing {
            &[]
        } else {
            &[("a", 0.9)]
        };
        let observed = failing(&["a"]).reading("Failing", told(quality, NOW, values));
        let part = format!("Failing has no fresh data: {quality}");
        check(&step(), &observed, &route(&BASE), "-", &[&part]);
    }
    // A NaN is that of another series.
    let nan = failing(&["a"]).reading("Failing", told(Quality::NotFinite, NOW, &[("a", 0.9), ("b", f64::NAN)]));
    check(&step(), &nan, &route(&BASE), "a 300, b 420, c 280", &[]);
    let mut infinite = alerts(&["a"]);
    infinite.alerts[0].value = f64::INFINITY;
    check(
        &step(),
        &Observed::default().rule("Failing", infinite),
        &route(&BASE),
        "-",
        &[],
    );
    let mut failed = alerts(&["a"]);
    failed.error = Some(RuleError::Query {
        alert: "Failing".to_owned(),
        detail: "time-out".to_owned(),
    });
    check(
        &step(),
        &Observed::default().rule("Failing", failed),
        &route(&BASE),
        "-",
        &["the query failed: time-out"],
    );
    check(
        &step(),
        &Observed::default(),
        &route(&BASE),
        "-",
        &["Failing was not evaluated"],
    );
}

#[test]
fn after_a_quiet_it_goes_back_to_base() {
    let moved = || {
        remember(route(&[("a", 300), ("b", 420), ("c", 280)]), "a", |memory| {
            memory.named_at = Some(at(1));
        })
    };
    let since = |seconds: i64| Observed::default().rule("Failing", quiet(seconds));
    let history = check(
        &step(),
        &since(NOW - 300),
        &moved(),
        "a 500, b 300, c 200",
        &["Failing quiet for 5m: back to base"],
    );
    assert_eq!(history.backends["a"].named_at, None);
    check(
        &step(),
        &since(NOW - 299),
        &moved(),
        "-",
        &["Failing is quiet for 4m59s of 5m"],
    );
    let mut young = moved();
    young.history.observed_since = at(NOW - 299);
    check(
        &step(),
        &since(NOW - 999),
        &young,
        "-",
        &["observed only for 4m59s of 5m"],
    );
    // Its silence proves nothing where the data is not fresh, or where it compares with no number.
    let stale = since(NOW - 999).reading("Failing", told(Quality::Stale, NOW, &[("a", 0.1)]));
    check(&step(), &stale, &moved(), "-", &["Failing has no fresh data: stale"]);
    let mut silent = Observed::default().rule("Failing", RuleState::default());
    silent.definitions.insert("Failing".to_owned(), opaque("Failing"));
    let silent = silent.reading("Failing", told(Quality::Missing, NOW, &[]));
    check(&step(), &silent, &moved(), "-", &["compares with no number at its top"]);
    // Every rule has to be quiet.
    let mut two = step();
    two.when.push("Slow".to_owned());
    let pending = since(NOW - 999).rule("Slow", quiet(NOW - 10));
    check(&two, &pending, &moved(), "-", &["Slow is quiet for 10s of 5m"]);
}

#[test]
fn one_that_was_named_lately_does_not_come_back_early() {
    let lately = |ago: i64| remember(route(&BASE), "b", |memory| memory.named_at = Some(at(NOW - ago)));
    // a and b give 20 points each: a 300, b 100, c 600.
    check(
        &step(),
        &failing(&["a"]),
        &lately(299),
        "a 300, b 100, c 600",
        &["b: 0.300 - 0.200 = 0.100, named lately"],
    );
    check(&step(), &failing(&["a"]), &lately(300), "a 300, b 420, c 280", &[]);
    // While another rule has no data nobody comes back.
    let mut two = step();
    two.when.push("Slow".to_owned());
    let blind = failing(&["a"])
        .rule("Slow", quiet(0))
        .reading("Slow", told(Quality::Error, NOW, &[]));
    check(&two, &blind, &lately(9000), "a 300, b 100, c 600", &[]);
}

#[test]
fn those_that_are_out_count_as_if_they_were_not_there() {
    let out = |current: &[(&str, i64)]| -> RouteFacts {
        remember(route(current), "a", |memory| {
            (memory.out_since, memory.ejections) = (Some(at(NOW - 10)), 1);
        })
    };
    let moved = [("a", 0), ("b", 600), ("c", 400)];
    // b has 0.6 of what is left, and gives 20 points of it to c.
    check(
        &ejecting(step()),
        &failing(&["b"]),
        &out(&moved),
        "a 0, b 400, c 600",
        &[],
    );
    check(
        &ejecting(step()),
        &failing(&["a"]),
        &out(&moved),
        "-",
        &["the alerts name only backends that are out"],
    );
    check(
        &ejecting(step()),
        &failing(&["b", "c"]),
        &out(&moved),
        "-",
        &["there is nowhere to move to"],
    );
    // What comes back needs no quiet: 1 % of 50 %, and the others as they are.
    let due = remember(out(&moved), "a", |memory| memory.out_since = Some(at(NOW - 30)));
    check(
        &ejecting(step()),
        &failing(&["foo"]),
        &due,
        "return a 5, b 597, c 398",
        &[],
    );
}

#[test]
fn nothing_moves_before_the_hold_is_over() {
    let mut facts = route(&BASE);
    facts.history.moved_at = Some(at(NOW - 59));
    check(&step(), &failing(&["a"]), &facts, "-", &["the last change was 59s ago"]);
}

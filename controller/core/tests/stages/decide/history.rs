use super::{HALF, check};
use crate::build::{
    Observed, at, average, facts, finite, n, number, quiet, ratio, reading, secs, step, with_events,
    with_recommendations,
};
use flyball_core::{
    decide::{Decision, Facts, HISTORY_CAP, History, Latch, decide},
    decide::{Direction, Recommendation},
    policy::ReplicasAction,
    signal::Quality,
};

#[test]
fn windows_hold_back_what_changes_too_soon() {
    let mut action = ratio(average(100.0));
    (action.up.stabilization, action.down.stabilization) = (secs(180), secs(300));
    let check = |former: &[(i64, i64)], signal: f64, expect: &str, part: &str| {
        let facts = with_recommendations(facts(10), former);
        check(
            &action,
            &Observed::default().signal("load", number(3600, signal)),
            &facts,
            expect,
            &[part],
        );
    };
    // Up goes to the lowest of the last three minutes.
    check(&[], 1500.0, "15", "");
    check(
        &[(3500, 12)],
        1500.0,
        "12",
        "the lowest number asked for within 3m is 12",
    );
    check(&[(3500, 12), (3550, 18)], 1500.0, "12", "");
    check(&[(3500, 8)], 1500.0, "-", "the lowest number asked for within 3m is 8");
    check(&[(3421, 12)], 1500.0, "12", "");
    check(&[(3420, 12)], 1500.0, "15", "");
    // Down goes to the highest of the last five.
    check(&[], 500.0, "5", "");
    check(&[(3500, 7)], 500.0, "7", "the highest number asked for within 5m is 7");
    check(&[(3500, 7), (3400, 6)], 500.0, "7", "");
    check(
        &[(3301, 15)],
        500.0,
        "-",
        "the highest number asked for within 5m is 15",
    );
    check(&[(3300, 15)], 500.0, "5", "");
    // A time in the future counts as now.
    check(&[(9999, 7)], 500.0, "7", "");
    // Both windows at once.
    check(&[(3500, 7), (3510, 18)], 1000.0, "-", "");
    check(&[(3500, 11), (3510, 18)], 1500.0, "11", "");
}

/// As after a day in mode Observe.
#[test]
fn after_a_time_without_decisions_decreases_wait_one_window() {
    let mut action = ratio(average(100.0));
    action.down.stabilization = secs(300);
    action.fallback = Some(crate::options::fallback(600, 15));
    let decided_from = |seconds: i64| {
        let mut facts = facts(10);
        facts.history.no_data_since = Some(at(0));
        facts.history.unobserved(at(seconds));
        facts
    };
    let low = Observed::default().signal("load", number(3600, 500.0));
    check(&action, &low, &decided_from(3300), "5", &[]);
    check(
        &action,
        &low,
        &decided_from(3301),
        "-",
        &["fewer only after 5m of observing"],
    );
    let high = Observed::default().signal("load", number(3600, 1500.0));
    check(&action, &high, &decided_from(3600), "15", &[]);
    // Nor is it known since when there is no data.
    let none = Observed::default().signal("load", reading(Quality::Error, 3600, &[]));
    check(&action, &none, &decided_from(3600), "-", &["without data for 0s"]);
}

#[test]
fn after_a_restart_decreases_wait_one_window() {
    let mut action = ratio(average(100.0));
    action.down.stabilization = secs(300);
    let started = |seconds: i64| {
        let mut facts = facts(10);
        facts.history.observing_since = at(seconds);
        facts
    };
    let low = Observed::default().signal("load", number(3600, 500.0));
    check(&action, &low, &started(3300), "5", &[]);
    check(
        &action,
        &low,
        &started(3301),
        "-",
        &["fewer only after 5m of observing, which has lasted for 4m59s"],
    );
    check(&action, &low, &started(9999), "-", &["0s"]);
    let high = Observed::default().signal("load", number(3600, 1500.0));
    check(&action, &high, &started(3599), "15", &[]);
    // The step law waits for its quiet time, too.
    let quiet = Observed::default().rule("Slow", quiet(0));
    check(&step(HALF, HALF), &quiet, &started(3000), "5", &[]);
    check(
        &step(HALF, HALF),
        &quiet,
        &started(3001),
        "-",
        &["observed only for 9m59s of 10m"],
    );
    // A maximum that was lowered does not.
    check(
        &action,
        &low,
        &Facts {
            current: n(25),
            ..started(3599)
        },
        "20",
        &["max"],
    );
}

/// The recommendations after one more of `replicas` at 3600 s, with a down window of 300 s.
fn recorded(former: &[(i64, i64)], replicas: f64) -> Vec<(i64, u32)> {
    let mut action = ratio(average(1.0));
    action.down.stabilization = secs(300);
    (action.law, action.bounds.max) = (ratio(average(1.0)).law, n(10_000));
    let observed = Observed::default().signal("load", number(3600, replicas));
    let facts = with_recommendations(facts(1000), former);
    let (_, history) = decide(&action, &observed.inputs(), &facts, at(3600));
    let show = |former: &Recommendation| (former.at.as_millis() / 1000, former.replicas.get());
    history.recommendations.iter().map(show).collect()
}

#[test]
fn only_what_decides_a_window_is_remembered() {
    assert_eq!(recorded(&[], 5.0), [(3600, 5)]);
    // Older than the window.
    assert_eq!(recorded(&[(3300, 9), (3301, 8)], 5.0), [(3301, 8), (3600, 5)]);
    // 6 is lower than a later 7 and higher than the last 5: it is never lowest or highest again.
    assert_eq!(
        recorded(&[(3400, 9), (3410, 6), (3420, 7)], 5.0),
        [(3400, 9), (3420, 7), (3600, 5)]
    );
    assert_eq!(
        recorded(&[(3400, 3), (3410, 8), (3420, 4)], 5.0),
        [(3400, 3), (3410, 8), (3420, 4), (3600, 5)]
    );
    assert_eq!(recorded(&[(3400, 5), (3410, 5), (3420, 5)], 5.0), [(3600, 5)]);
    // Not in the order of time, and one in the future.
    assert_eq!(
        recorded(&[(3500, 7), (9999, 6), (3400, 9)], 5.0),
        [(3400, 9), (3500, 7), (3600, 6), (3600, 5)]
    );
}

#[test]
fn what_does_not_fit_is_merged_to_the_careful_side() {
    let falling: Vec<(i64, i64)> = (0..100).map(|i| (3400 + i, 1000 - i)).collect();
    let kept = recorded(&falling, 5.0);
    assert_eq!(kept.len(), HISTORY_CAP);
    // The highest number of all is remembered for longer than it was meant, not for shorter.
    assert_eq!(kept[0], (3437, 1000));
    assert_eq!(kept[HISTORY_CAP - 1], (3600, 5));
}

#[test]
fn staying_without_data_is_remembered_as_a_recommendation() {
    let mut action = ratio(average(100.0));
    action.down.stabilization = secs(300);
    let outage = Observed::default().signal("load", reading(Quality::Error, 3600, &[]));
    let (_, history) = decide(&action, &outage.inputs(), &facts(10), at(3600));
    let after = Facts { history, ..facts(10) };
    let low = Observed::default().signal("load", number(3700, 500.0));
    let Decision::Stay { reason, .. } = decide(&action, &low.inputs(), &after, at(3700)).0 else {
        panic!("too soon")
    };
    assert!(
        reason.contains("the highest number asked for within 5m is 10"),
        "{reason}"
    );
}

#[test]
fn old_events_and_an_expired_latch_are_forgotten() {
    let mut action = step(HALF, HALF);
    action.up.limits = vec![crate::build::limit(HALF, 60)];
    action.down.cooldown = secs(300);
    let mut facts = with_events(facts(10), &[(3500, 2, 3), (3300, 1, 2), (3301, 9, 8)]);
    let latch = Latch {
        direction: Direction::Up,
        demand: None,
        signal: None,
        until: at(3600),
    };
    facts.history.latch = Some(latch);
    facts.history.last_verified = Some(n(4));
    let inputs = Observed::default();
    let (_, history) = decide(&action, &inputs.inputs(), &facts, at(3600));
    let times: Vec<i64> = history.events.iter().map(|event| event.at.as_millis() / 1000).collect();
    assert_eq!(times, [3301, 3500]);
    assert_eq!((history.latch, history.last_verified), (None, Some(n(4))));
    facts.history.latch = Some(Latch {
        until: at(3601),
        ..latch
    });
    assert!(decide(&action, &inputs.inputs(), &facts, at(3600)).1.latch.is_some());
}

#[test]
fn a_latch_is_lifted_for_good_once_something_moves() {
    let action = ReplicasAction {
        verification: Some(crate::build::verification()),
        ..step(HALF, HALF)
    };
    let latch = Latch {
        direction: Direction::Up,
        demand: Some(finite(100.0)),
        signal: Some(0.9),
        until: at(9999),
    };
    let kept = |latch: Latch, demand: f64, signal: f64| {
        let mut facts = facts(10);
        facts.history.latch = Some(latch);
        let observed = Observed::default()
            .signal("requests", number(3600, demand))
            .verification(number(3600, signal));
        decide(&action, &observed.inputs(), &facts, at(3600)).1.latch.is_some()
    };
    assert!(kept(latch, 110.0, 0.9) && kept(latch, 100.0, 1.08));
    assert!(!kept(latch, 111.0, 0.9) && !kept(latch, 100.0, 0.7));
    assert!(kept(Latch { demand: None, ..latch }, 500.0, 5.0));
}

#[test]
fn too_many_events_are_merged_and_their_sum_stays() {
    let mut action = step(HALF, HALF);
    action.up.cooldown = secs(3600);
    let many: Vec<(i64, i64, i64)> = (0..100).map(|i| (1000 + i, i, i + 1)).collect();
    let (_, history) = decide(
        &action,
        &Observed::default().inputs(),
        &with_events(facts(10), &many),
        at(3600),
    );
    assert_eq!(history.events.len(), HISTORY_CAP);
    assert_eq!(
        history
            .events
            .iter()
            .map(flyball_core::decide::ScaleEvent::change)
            .sum::<i64>(),
        100
    );
    assert_eq!(history.events.last().map(|event| event.at), Some(at(1099)));
}

#[test]
fn the_last_event_is_that_of_its_direction() {
    let facts = with_events(facts(5), &[(10, 1, 3), (30, 3, 3), (20, 3, 2), (5, 0, 1)]);
    let when = |direction: Direction| facts.history.last_event(direction).map(|event| event.at);
    assert_eq!(
        (when(Direction::Up), when(Direction::Down)),
        (Some(at(10)), Some(at(20)))
    );
    assert_eq!(History::new(at(0)).last_event(Direction::Up), None);
}

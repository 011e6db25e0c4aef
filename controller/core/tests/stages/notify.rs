//! Which alerts Alertmanager is told of. Times are seconds; the rates are Prometheus': a repeat each minute, an end four repeats on.

use crate::build::{at, finite, labels, secs};
use flyball_core::{
    decide::notify::{Fire, Telling, Told, due, fires, forget, learn},
    evaluate::{Alert, AlertPhase, RuleState},
    policy::{Answer, AnswerKind, Comparator, Comparison, Condition, Mode, Notify, Policy, Query, Rule},
    signal::Labels,
    time::Span,
};
use std::collections::BTreeMap;

fn rule(alert: &str, hold: u64) -> (String, Rule) {
    let left = Query {
        text: "up".to_owned(),
        age: None,
        longest_range: secs(300),
    };
    let condition = Condition::Threshold(Comparison {
        left,
        comparator: Comparator::Greater,
        right: finite(0.0),
    });
    let rule = Rule {
        alert: alert.to_owned(),
        condition,
        hold: secs(hold),
        keep_firing_for: Span::ZERO,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
    };
    (alert.to_owned(), rule)
}

/// An answer that tells of rules with labels.
fn notify(when: &[&str], pairs: &[(&str, &str)]) -> Answer {
    Answer {
        name: "tell".to_owned(),
        when: when.iter().map(|name| (*name).to_owned()).collect(),
        kind: AnswerKind::Notify(Notify { labels: labels(pairs) }),
    }
}

fn alert(pairs: &[(&str, &str)], phase: AlertPhase, since: i64) -> Alert {
    Alert {
        labels: labels(pairs),
        annotations: labels(&[("summary", "slow")]),
        phase,
        active_at: at(since),
        keep_firing_since: None,
        value: 1.0,
    }
}

fn policy(answers: Vec<Answer>) -> Policy {
    Policy {
        mode: Mode::Recommend,
        suspended: false,
        pause_up: None,
        pause_down: None,
        interval: secs(15),
        max_age: secs(60),
        yield_for: secs(60),
        rules: [rule("Slow", 30), rule("Full", 0)].into_iter().collect(),
        watermarks: Vec::new(),
        signals: BTreeMap::new(),
        actions: Vec::new(),
        weights: Vec::new(),
        runtime: Vec::new(),
        answers,
    }
}

/// What is told of these alerts: the labels and since when.
#[track_caller]
fn told_of(answers: Vec<Answer>, states: &[(&str, Vec<Alert>)], expect: &[(&[(&str, &str)], i64)]) {
    let state = |alerts: &Vec<Alert>| RuleState {
        alerts: alerts.clone(),
        ..RuleState::default()
    };
    let rules = states
        .iter()
        .map(|(name, alerts)| ((*name).to_owned(), state(alerts)))
        .collect();
    let found: Vec<(Labels, _)> = fires(&policy(answers), &rules, ("shop", "web"))
        .into_iter()
        .map(|(labels, fire)| (labels, fire.starts_at))
        .collect();
    let mut expect: Vec<(Labels, _)> = expect
        .iter()
        .map(|(pairs, since)| (labels(pairs), at(*since)))
        .collect();
    expect.sort();
    assert_eq!(found, expect);
}

#[test]
fn what_fires_is_told_under_its_own_labels_and_those_of_the_answer() {
    use AlertPhase::{Firing, Pending};
    let slow = |phase| ("Slow", vec![alert(&[("alertname", "Slow"), ("pod", "a")], phase, 100)]);
    let own = [
        ("alertname", "Slow"),
        ("flyball_policy", "web"),
        ("namespace", "shop"),
        ("pod", "a"),
    ];
    told_of(vec![], &[slow(Firing)], &[]);
    told_of(vec![notify(&["Slow"], &[])], &[], &[]);
    told_of(vec![notify(&["Slow"], &[])], &[slow(Pending)], &[]);
    told_of(vec![notify(&["Full"], &[])], &[slow(Firing)], &[]);
    // It fires since its element was there for as long as `for`.
    told_of(vec![notify(&["Slow"], &[])], &[slow(Firing)], &[(&own, 130)]);
    // One whose definition can't be read just now goes on.
    let gone = (
        "Gone",
        vec![alert(&[("alertname", "Gone"), ("namespace", "db")], Firing, 100)],
    );
    let as_it_says = [("alertname", "Gone"), ("flyball_policy", "web"), ("namespace", "db")];
    told_of(vec![notify(&["Gone"], &[])], &[gone], &[(&as_it_says, 100)]);
    let paged = [
        ("alertname", "Slow"),
        ("flyball_policy", "web"),
        ("namespace", "shop"),
        ("pod", "all"),
        ("severity", "page"),
    ];
    let page = || notify(&["Slow"], &[("severity", "page"), ("pod", "all")]);
    told_of(vec![page()], &[slow(Firing)], &[(&paged, 130)]);
    // Two answers tell of it in their own words.
    told_of(
        vec![page(), notify(&["Slow"], &[])],
        &[slow(Firing)],
        &[(&paged, 130), (&own, 130)],
    );
    // In the same words it is one.
    told_of(
        vec![notify(&["Slow"], &[]), notify(&["Full", "Slow"], &[])],
        &[slow(Firing)],
        &[(&own, 130)],
    );
    let pods = vec![
        alert(&[("alertname", "Slow"), ("pod", "a")], Firing, 100),
        alert(&[("alertname", "Slow"), ("pod", "b")], Firing, 50),
    ];
    told_of(vec![page()], &[("Slow", pods)], &[(&paged, 80)]);
}

/// What is told at `now` of an alert that fires since `fires`, of which `told` was said: when, and until when it stands. Expected
/// are its beginning and its end.
#[track_caller]
fn check(interval: u64, firing: Option<i64>, told: Option<(i64, i64)>, now: i64, expect: Option<(i64, i64)>) {
    let name = labels(&[("alertname", "Slow")]);
    let fire = |since| Fire {
        annotations: labels(&[("summary", "slow")]),
        starts_at: at(since),
    };
    let fires = firing.map(|since| (name.clone(), fire(since))).into_iter().collect();
    let before = |(when, until)| Told {
        fire: fire(100),
        at: at(when),
        ends_at: at(until),
    };
    let told = told.map(|told| (name.clone(), before(told))).into_iter().collect();
    let expect = expect.map(|(starts, ends)| Telling {
        labels: name,
        annotations: labels(&[("summary", "slow")]),
        starts_at: at(starts),
        ends_at: at(ends),
    });
    assert_eq!(
        due(&fires, &told, secs(interval), at(now)),
        expect.into_iter().collect::<Vec<_>>()
    );
}

#[test]
fn an_alert_is_told_at_once_and_each_minute_and_when_it_is_over() {
    check(15, None, None, 100, None);
    check(15, Some(100), None, 100, Some((100, 340)));
    // After a restart nothing is known of what was told.
    check(15, Some(100), None, 900, Some((100, 1140)));
    for (now, expect) in [
        (115, None),
        (145, None),
        (153, Some((100, 393))),
        (160, Some((100, 400))),
    ] {
        check(15, Some(100), Some((100, 340)), now, expect);
    }
    // What is evaluated more rarely is told with each pass, and stands for longer.
    check(300, Some(100), Some((100, 1300)), 399, Some((100, 1599)));
    check(300, Some(100), Some((100, 1300)), 200, None);
    check(15, None, Some((100, 340)), 130, Some((100, 130)));
    // It ended on its own.
    check(15, None, Some((100, 340)), 340, None);
    // A clock that was set back: no beginning after the end, and no waiting for the time that was.
    check(15, Some(100), Some((100, 340)), 50, Some((50, 290)));
    check(15, None, Some((100, 340)), 50, Some((50, 50)));
}

#[test]
fn only_what_was_taken_is_known_to_be_told() {
    let name = labels(&[("alertname", "Slow")]);
    let fire = Fire {
        annotations: Labels::new(),
        starts_at: at(100),
    };
    let fires: BTreeMap<_, _> = [(name, fire)].into_iter().collect();
    let none = BTreeMap::new();
    let mut told = BTreeMap::new();
    let first = due(&fires, &told, secs(15), at(100));
    // It was not taken: the next pass tells it again.
    assert_eq!(due(&fires, &told, secs(15), at(115)).len(), 1);
    learn(&mut told, &first, at(100));
    assert_eq!(due(&fires, &told, secs(15), at(115)), []);
    let over = due(&none, &told, secs(15), at(130));
    assert_eq!(over.len(), 1);
    // Nor was its end.
    assert_eq!(due(&none, &told, secs(15), at(145)).len(), 1);
    forget(&mut told, &none, at(145));
    learn(&mut told, &over, at(130));
    assert_eq!(told, BTreeMap::new());
    learn(&mut told, &first, at(100));
    forget(&mut told, &fires, at(400));
    assert_eq!(told.len(), 1, "it fires");
    forget(&mut told, &none, at(340));
    assert_eq!(told, BTreeMap::new(), "it ended on its own");
}

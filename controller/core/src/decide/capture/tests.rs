//! When evidence is taken, and from which pod.

use super::*;
use crate::{
    evaluate::Alert,
    policy::{CaptureKind, CapturePort},
    signal::Labels,
};

const MINUTE: i64 = 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

/// Every half an hour, around Changes or not.
fn capture(at_changes: bool) -> Capture {
    Capture {
        port: CapturePort::Number(6060),
        path: "/debug/pprof".to_owned(),
        take: vec![CaptureKind::GoCpu],
        seconds: 10,
        every: Span::from_secs(1800),
        at_changes,
    }
}

fn alert(phase: AlertPhase, pod: &str, value: f64) -> Alert {
    let mut labels = Labels::from([("alertname".to_owned(), "Slow".to_owned())]);
    if !pod.is_empty() {
        labels.insert("pod".to_owned(), pod.to_owned());
    }
    Alert {
        labels,
        annotations: Labels::new(),
        phase,
        active_at: at(0),
        keep_firing_since: None,
        value,
    }
}

fn rule(alerts: Vec<Alert>) -> RuleState {
    RuleState {
        alerts,
        ..RuleState::default()
    }
}

fn pods(names: &[(&str, bool)]) -> Vec<CapturePod> {
    let pod = |(name, ready): &(&str, bool)| CapturePod {
        name: (*name).to_owned(),
        ready: *ready,
    };
    names.iter().map(pod).collect()
}

fn taken(moment: CaptureMoment, pod: &str, change: Option<&str>) -> CaptureDecision {
    CaptureDecision::Take(CaptureOrder {
        moment,
        pod: pod.to_owned(),
        change: change.map(ToOwned::to_owned),
    })
}

fn open(change: &str, proposed: i64) -> BeforeOf {
    BeforeOf {
        change: change.to_owned(),
        proposed_at: at(proposed),
    }
}

#[test]
fn the_pod_is_the_worst_that_an_alert_names() {
    let firing = |pod: &str, value: f64| alert(AlertPhase::Firing, pod, value);
    let check = |rules: &[(RuleState, Comparator)], there: &[(&str, bool)], expect: CaptureDecision| {
        let facts = CaptureFacts {
            rules: rules.iter().map(|(state, comparator)| (state, *comparator)).collect(),
            open: None,
            ended: false,
            pods: &pods(there),
        };
        let found = decide_capture(&capture(false), &CaptureHistory::default(), &facts, at(100));
        assert_eq!(found, expect);
    };
    let of = |pod| taken(CaptureMoment::Alert, pod, None);
    let three = [("a", false), ("b", true), ("c", true)];
    let above = |alerts| vec![(rule(alerts), Comparator::Greater)];
    check(&above(vec![]), &three, CaptureDecision::Nothing);
    check(&above(vec![firing("c", 0.9)]), &three, of("c"));
    // Ready or not.
    check(&above(vec![firing("a", 0.9)]), &three, of("a"));
    check(&above(vec![firing("b", 0.7), firing("c", 0.9)]), &three, of("c"));
    // Where less is worse.
    let below = vec![(rule(vec![firing("b", 0.1), firing("c", 0.2)]), Comparator::Less)];
    check(&below, &three, of("b"));
    // Somebody else's pod is none to take from: the next that is ours.
    check(&above(vec![firing("other", 9.0), firing("b", 0.7)]), &three, of("b"));
    // No pod, or none of ours: the first that is ready, else the first.
    check(&above(vec![firing("", 0.9)]), &three, of("b"));
    check(&above(vec![firing("other", 0.9)]), &three, of("b"));
    check(&above(vec![firing("", 0.9)]), &[("a", false), ("b", false)], of("a"));
    check(&above(vec![firing("", 0.9)]), &[], CaptureDecision::NoPod);
    // The first rule that names one comes first; pending alerts don't count.
    let two = vec![
        (rule(vec![alert(AlertPhase::Pending, "c", 9.0)]), Comparator::Greater),
        (rule(vec![firing("b", 0.7)]), Comparator::Greater),
    ];
    check(&two, &three, of("b"));
}

#[test]
fn nothing_is_taken_more_often_than_the_policy_says() {
    let firing = rule(vec![alert(AlertPhase::Firing, "a", 1.0)]);
    let check = |history: CaptureHistory, second: i64, expect: bool| {
        let facts = CaptureFacts {
            rules: vec![(&firing, Comparator::Greater)],
            open: None,
            ended: false,
            pods: &pods(&[("a", true)]),
        };
        let found = decide_capture(&capture(false), &history, &facts, at(second));
        let take = taken(CaptureMoment::Alert, "a", None);
        let expect = if expect { take } else { CaptureDecision::Nothing };
        assert_eq!(found, expect, "{history:?} at {second}");
    };
    let history = |failed| CaptureHistory {
        alert_at: Some(at(0)),
        tried_at: Some(at(0)),
        failed,
        ..CaptureHistory::default()
    };
    check(history(0), 29 * MINUTE, false);
    check(history(0), 30 * MINUTE, true);
    // One that failed is tried again after a minute, three times in all.
    check(history(1), 59, false);
    check(history(1), 60, true);
    check(history(2), 60, true);
    check(history(3), 29 * MINUTE, false);
    check(history(3), 30 * MINUTE, true);
    // A clock that stepped back takes nothing.
    let ahead = CaptureHistory {
        alert_at: Some(at(500)),
        ..CaptureHistory::default()
    };
    check(ahead, 100, false);
}

#[test]
fn a_pair_begins_with_what_was_there_before_the_change() {
    let quiet = rule(vec![]);
    let pending = rule(vec![alert(AlertPhase::Pending, "a", 1.0)]);
    let check = |rule: &RuleState, around: bool, history: &CaptureHistory, change, second: i64, expect| {
        let facts = CaptureFacts {
            rules: vec![(rule, Comparator::Greater)],
            open: change,
            ended: false,
            pods: &pods(&[("a", true), ("b", true)]),
        };
        let found = decide_capture(&capture(around), history, &facts, at(second));
        assert_eq!(found, expect, "{history:?} at {second}");
    };
    let none = CaptureHistory::default();
    // A rule that is pending is reason enough for a policy with pairs, and for no other.
    check(&pending, true, &none, None, 100, taken(CaptureMoment::Alert, "a", None));
    check(&pending, false, &none, None, 100, CaptureDecision::Nothing);
    // What it led to is the pair's first half.
    let had = |second: i64| CaptureHistory {
        alert_at: Some(at(second)),
        unpaired: Some(at(second)),
        ..CaptureHistory::default()
    };
    let pair = |change: &str| CaptureDecision::Pair(change.to_owned());
    check(&pending, true, &had(100), Some(open("c1", 200)), 205, pair("c1"));
    check(&pending, true, &had(100), Some(open("c1", 1000)), 1005, pair("c1"));
    // Too old, or from after the proposal: at once instead.
    let late = taken(CaptureMoment::Before, "b", Some("c1"));
    let named_b = rule(vec![alert(AlertPhase::Firing, "b", 1.0)]);
    check(&named_b, true, &had(100), Some(open("c1", 1001)), 1005, late.clone());
    check(&named_b, true, &had(201), Some(open("c1", 200)), 205, late);
    let first = taken(CaptureMoment::Before, "a", Some("c1"));
    check(&quiet, true, &none, Some(open("c1", 200)), 205, first);
    check(
        &quiet,
        false,
        &none,
        Some(open("c1", 200)),
        205,
        CaptureDecision::Nothing,
    );
    // One pair for a Change, and one in half an hour.
    let begun = CaptureHistory {
        pair_at: Some(at(200)),
        alert_at: Some(at(200)),
        change: Some("c1".to_owned()),
        ..CaptureHistory::default()
    };
    check(
        &quiet,
        true,
        &begun,
        Some(open("c1", 200)),
        9000,
        CaptureDecision::Nothing,
    );
    check(
        &quiet,
        true,
        &begun,
        Some(open("c2", 300)),
        305,
        CaptureDecision::Nothing,
    );
    let second = taken(CaptureMoment::Before, "a", Some("c2"));
    check(&quiet, true, &begun, Some(open("c2", 1990)), 2000, second);
    // What is taken for an alert while a Change is open belongs to it.
    let firing = rule(vec![alert(AlertPhase::Firing, "a", 1.0)]);
    let of_c1 = taken(CaptureMoment::Alert, "a", Some("c1"));
    check(&firing, false, &none, Some(open("c1", 200)), 205, of_c1);
}

#[test]
fn a_pair_ends_once_its_change_is_closed() {
    let quiet = rule(vec![]);
    let check = |history: &CaptureHistory, ended: bool, there: &[(&str, bool)], second: i64, expect| {
        let facts = CaptureFacts {
            rules: vec![(&quiet, Comparator::Greater)],
            open: None,
            ended,
            pods: &pods(there),
        };
        let found = decide_capture(&capture(true), history, &facts, at(second));
        assert_eq!(found, expect, "{history:?}");
    };
    let begun = |failed| CaptureHistory {
        pair_at: Some(at(0)),
        tried_at: Some(at(0)),
        change: Some("c1".to_owned()),
        pod: Some("b".to_owned()),
        after_due: true,
        failed,
        ..CaptureHistory::default()
    };
    let both = [("a", true), ("b", true)];
    let after = |pod| taken(CaptureMoment::After, pod, Some("c1"));
    check(&begun(0), false, &both, 30, CaptureDecision::Nothing);
    check(&begun(0), true, &both, 30, after("b"));
    check(&begun(0), true, &[("a", true)], 30, after("a"));
    check(&begun(0), true, &[], 30, CaptureDecision::NoPod);
    check(&begun(1), true, &both, 30, CaptureDecision::Nothing);
    check(&begun(1), true, &both, 60, after("b"));
    check(&begun(3), true, &both, 9000, CaptureDecision::GiveUp);
}

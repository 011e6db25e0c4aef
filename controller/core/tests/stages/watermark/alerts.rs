//! Levels as the alerts of rules, and back.

use super::{Run, container, plain, ratio};
use crate::build::at;
use flyball_core::{
    evaluate::{
        AlertPhase, RuleState,
        watermark::{Level, Observed, Subject, WatermarkState, alerts, evaluate, restored},
    },
    signal::{Reading, Sample},
    time::Span,
};
use std::collections::BTreeMap;

fn fresh(second: i64) -> Reading {
    let sample = Sample {
        labels: BTreeMap::new(),
        value: 0.5,
    };
    Reading::answered(at(second), vec![sample], &[], Some(Span::ZERO), Span::from_secs(60))
}

/// The rule of a level after these ratios of `web-1`, every ten seconds from 0.
fn rule(level: Level, ratios: &[f64]) -> RuleState {
    let run = Run::new(plain());
    let (mut state, mut rule) = (WatermarkState::default(), RuleState::default());
    for (second, value) in (0..).step_by(10).zip(ratios) {
        let observed = Observed {
            subjects: BTreeMap::from([(container("web-1"), Ok(ratio(second, *value)))]),
            ..Observed::default()
        };
        state = evaluate(&run.watermarks, &observed, &state, at(second)).0;
        let (before, now) = (rule, at(second));
        let none = BTreeMap::new();
        rule = alerts(
            ("MemoryX", level),
            &state,
            &observed,
            &fresh(second),
            &none,
            (&before, now),
        );
    }
    rule
}

/// 80, 90 and 95 %, held for 30 s (an emergency 10 s): at 0 it is pending, then fires, since when it was first above.
#[test]
fn a_level_is_pending_and_then_fires() {
    use AlertPhase::{Firing, Pending};
    let check = |level: Level, ratios: &[f64], expect: Option<(AlertPhase, i64, f64)>| {
        let rule = rule(level, ratios);
        let found = rule
            .alerts
            .first()
            .map(|alert| (alert.phase, alert.active_at.as_millis() / 1000, alert.value));
        assert_eq!(found, expect, "{level} {ratios:?}");
        assert_eq!(rule.quiet_since.is_some(), expect.is_none(), "{level} {ratios:?}");
    };
    check(Level::Warning, &[0.5], None);
    check(Level::Warning, &[0.5, 0.85], Some((Pending, 10, 0.85)));
    check(Level::Warning, &[0.5, 0.85, 0.86, 0.87, 0.88], Some((Firing, 10, 0.88)));
    check(Level::High, &[0.5, 0.85, 0.86, 0.87, 0.88], None);
    check(Level::Emergency, &[0.5, 0.96, 0.96], Some((Firing, 10, 0.96)));
    // An emergency raises what is below it.
    check(Level::Warning, &[0.5, 0.96, 0.96], Some((Firing, 10, 0.96)));
    // A peak of one sample is gone with the next.
    check(Level::Warning, &[0.5, 0.99, 0.5], None);
}

#[test]
fn an_alert_names_its_container_and_says_how_bad_it_is() {
    let rule = rule(Level::Emergency, &[0.96, 0.96, 0.96]);
    let labels: Vec<String> = rule.alerts[0]
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        labels,
        [
            "alertname=MemoryX",
            "container=app",
            "level=emergency",
            "pod=web-1",
            "severity=critical"
        ]
    );
    assert_eq!(
        rule.alerts[0].annotations["summary"],
        "memory of web-1/app is emergency, at 96.0 %"
    );
}

/// Of a node the pod is named that is furthest over its request, where one is known.
#[test]
fn an_alert_of_a_node_names_the_pod_that_it_concerns() {
    let run = Run::new(plain());
    let node = Subject::Node("a".to_owned());
    let mut state = WatermarkState::default();
    let seen = |second: i64| Observed {
        subjects: BTreeMap::from([(node.clone(), Ok(ratio(second, 0.97)))]),
        ..Observed::default()
    };
    for second in [0, 10, 20] {
        state = evaluate(&run.watermarks, &seen(second), &state, at(second)).0;
    }
    let told = |told: &[(&str, &str)]| {
        let told = told
            .iter()
            .map(|(node, pod)| ((*node).to_owned(), (*pod).to_owned()))
            .collect();
        let before = RuleState::default();
        let rule = alerts(
            ("NodeEmergency", Level::Emergency),
            &state,
            &seen(20),
            &fresh(20),
            &told,
            (&before, at(20)),
        );
        rule.alerts[0].labels.get("pod").cloned()
    };
    assert_eq!(told(&[("a", "web-2"), ("b", "web-1")]), Some("web-2".to_owned()));
    assert_eq!(told(&[("b", "web-1")]), None);
}

/// What the status kept of the rules is enough to go on: no level is lost by a restart, and none is raised anew.
#[test]
fn levels_survive_a_restart() {
    let run = Run::new(plain());
    let states = Level::RAISED.map(|level| rule(level, &[0.92, 0.92, 0.92, 0.92, 0.92]));
    let back = restored([&states[0], &states[1], &states[2]], false);
    assert_eq!(back.level(), Level::High);
    let after = |second: i64, value: f64| {
        let observed = Observed {
            subjects: BTreeMap::from([(container("web-1"), Ok(ratio(second, value)))]),
            ..Observed::default()
        };
        let (state, transitions) = evaluate(&run.watermarks, &observed, &back, at(second));
        (state.level(), transitions.len())
    };
    assert_eq!(after(50, 0.92), (Level::High, 0));
    assert_eq!(after(50, 0.50), (Level::High, 0), "it ends only after a while");
    // Without data it stays.
    let (state, transitions) = evaluate(&run.watermarks, &Observed::default(), &back, at(50));
    assert_eq!((state.level(), transitions.len()), (Level::High, 0));
}

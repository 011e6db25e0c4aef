use crate::build::{at, comparison, labels, query, reading, rule, templates};
use flyball_core::{
    evaluate::{Alert, AlertPhase, RuleError, RuleState, evaluate},
    policy::{Comparator, Condition, Rule},
    signal::{Labels, Quality, Reading, Sample},
    time::Span,
};
use rstest::rstest;

/// One answer: its quality and its series.
type Answer<'a> = (Quality, &'a [(&'a str, f64)]);

const OK: Quality = Quality::Fresh;

/// `a P0=0.7` is the alert of instance a, pending since 0; `F` fires, `k60` is kept firing since 60.
fn show(state: &RuleState) -> String {
    let alerts = state.alerts.iter().map(|alert| {
        let phase = if alert.phase == AlertPhase::Firing { "F" } else { "P" };
        let kept = alert
            .keep_firing_since
            .map_or_else(String::new, |since| format!(" k{}", since.as_millis() / 1000));
        let instance = alert.labels.get("instance").map_or("-", String::as_str);
        format!(
            "{instance} {phase}{}={}{kept}",
            alert.active_at.as_millis() / 1000,
            alert.value
        )
    });
    let quiet = state
        .quiet_since
        .map(|since| format!("quiet {}", since.as_millis() / 1000));
    let error = state.error.as_ref().map(|_| "error".to_owned());
    alerts.chain(quiet).chain(error).collect::<Vec<_>>().join(", ")
}

/// Evaluates at each time and compares each state.
fn check(rule: &Rule, steps: &[(i64, Answer<'_>, &str)]) {
    let mut state = RuleState::default();
    for (seconds, (quality, values), expect) in steps {
        state = evaluate(rule, &reading(*quality, *seconds, values), &state, at(*seconds));
        assert_eq!(show(&state), *expect, "at {seconds} s");
    }
}

#[test]
fn an_alert_is_pending_for_its_time_and_then_fires() {
    check(
        &rule("Slow", 120, 0),
        &[
            (0, (OK, &[("a", 0.7), ("b", 0.2)]), "a P0=0.7"),
            (60, (OK, &[("a", 0.8), ("b", 0.9)]), "a P0=0.8, b P60=0.9"),
            (119, (OK, &[("a", 0.6), ("b", 0.1)]), "a P0=0.6"),
            (120, (OK, &[("a", 0.6), ("b", 0.6)]), "a F0=0.6, b P120=0.6"),
            (180, (OK, &[("a", 0.5), ("b", 0.6)]), "b P120=0.6"),
            (240, (OK, &[("a", 0.6), ("b", 0.6)]), "a P240=0.6, b F120=0.6"),
        ],
    );
}

#[test]
fn with_no_time_to_wait_it_fires_at_once() {
    check(
        &rule("Slow", 0, 0),
        &[
            (0, (OK, &[("a", 0.7)]), "a F0=0.7"),
            (15, (OK, &[("a", 0.1)]), "quiet 15"),
        ],
    );
}

#[test]
fn a_firing_alert_is_kept_firing() {
    check(
        &rule("Slow", 60, 120),
        &[
            (0, (OK, &[("a", 0.7)]), "a P0=0.7"),
            (60, (OK, &[("a", 0.7)]), "a F0=0.7"),
            (120, (OK, &[("a", 0.1)]), "a F0=0.7 k120"),
            (180, (OK, &[("a", 0.1)]), "a F0=0.7 k120"),
            // It came back: nothing has happened.
            (210, (OK, &[("a", 0.9)]), "a F0=0.9"),
            (240, (OK, &[("a", 0.1)]), "a F0=0.9 k240"),
            (359, (OK, &[("a", 0.1)]), "a F0=0.9 k240"),
            (360, (OK, &[("a", 0.1)]), "quiet 360"),
        ],
    );
}

#[test]
fn a_pending_alert_is_not_kept() {
    check(
        &rule("Slow", 60, 120),
        &[
            (0, (OK, &[("a", 0.7)]), "a P0=0.7"),
            (15, (OK, &[("a", 0.1)]), "quiet 15"),
        ],
    );
}

#[test]
fn a_failed_query_changes_no_alert() {
    check(
        &rule("Slow", 60, 30),
        &[
            (0, (OK, &[("a", 0.7)]), "a P0=0.7"),
            (60, (Quality::Error, &[]), "a P0=0.7, error"),
            (600, (Quality::Error, &[]), "a P0=0.7, error"),
            (660, (OK, &[("a", 0.7)]), "a F0=0.7"),
            (720, (Quality::Error, &[]), "a F0=0.7, error"),
            // An answer without series is one all the same: the element is gone.
            (780, (Quality::Missing, &[]), "a F0=0.7 k780"),
            (810, (Quality::Missing, &[]), ""),
        ],
    );
}

#[test]
fn only_fresh_data_below_the_threshold_is_quiet() {
    let good: &[(&str, f64)] = &[("a", 0.1)];
    check(
        &rule("Slow", 60, 0),
        &[
            (0, (OK, good), "quiet 0"),
            (15, (OK, good), "quiet 0"),
            (30, (Quality::Missing, &[]), ""),
            (45, (OK, good), "quiet 45"),
            (60, (Quality::Stale, good), ""),
            (75, (OK, good), "quiet 75"),
            (90, (Quality::Partial, good), ""),
            (105, (OK, good), "quiet 105"),
            (120, (Quality::Error, &[]), "error"),
            (135, (OK, good), "quiet 135"),
            (150, (Quality::NotFinite, &[("a", f64::NAN)]), ""),
            (165, (OK, good), "quiet 165"),
            (180, (OK, &[("a", 0.6)]), "a P180=0.6"),
            (195, (OK, good), "quiet 195"),
        ],
    );
}

#[test]
fn data_of_any_quality_can_make_an_alert() {
    let bad: &[(&str, f64)] = &[("a", 0.7)];
    check(
        &rule("Slow", 30, 0),
        &[
            (0, (Quality::Stale, bad), "a P0=0.7"),
            (15, (Quality::Partial, bad), "a P0=0.7"),
            (
                30,
                (Quality::NotFinite, &[("a", f64::INFINITY), ("b", f64::NAN)]),
                "a F0=inf",
            ),
        ],
    );
}

#[test]
fn an_opaque_rule_has_an_alert_for_each_element_and_is_never_quiet() {
    let opaque = Rule {
        condition: Condition::Opaque(query("a and b")),
        ..rule("Odd", 0, 0)
    };
    check(
        &opaque,
        &[
            (0, (OK, &[("a", 0.0), ("b", -1.0)]), "a F0=0, b F0=-1"),
            (15, (Quality::NotFinite, &[("a", f64::NAN)]), "a F0=NaN"),
            (30, (Quality::Missing, &[]), ""),
        ],
    );
}

#[rstest]
#[case(Comparator::Greater, f64::NAN, false)]
#[case(Comparator::GreaterOrEqual, f64::NAN, false)]
#[case(Comparator::Less, f64::NAN, false)]
#[case(Comparator::LessOrEqual, f64::NAN, false)]
#[case(Comparator::Equal, f64::NAN, false)]
#[case(Comparator::NotEqual, f64::NAN, true)]
#[case(Comparator::Greater, f64::INFINITY, true)]
#[case(Comparator::Less, f64::NEG_INFINITY, true)]
#[case(Comparator::Less, f64::INFINITY, false)]
#[case(Comparator::Greater, 0.5, false)]
#[case(Comparator::GreaterOrEqual, 0.5, true)]
#[case(Comparator::LessOrEqual, 0.5, true)]
#[case(Comparator::Equal, 0.5, true)]
#[case(Comparator::NotEqual, 0.5, false)]
fn values_compare_as_in_promql(#[case] comparator: Comparator, #[case] value: f64, #[case] active: bool) {
    let rule = Rule {
        condition: Condition::Threshold(comparison(comparator, 0.5)),
        ..rule("Slow", 0, 0)
    };
    let quality = if value.is_finite() { OK } else { Quality::NotFinite };
    let state = evaluate(
        &rule,
        &reading(quality, 0, &[("a", value)]),
        &RuleState::default(),
        at(0),
    );
    assert_eq!(state.is_firing(), active, "{value} {comparator} 0.5");
}

/// What storage kept, at 100 s, continued at 160 s with the series `a` and `b` above the threshold.
fn resumed(rule: &Rule, kept: Vec<Alert>, quiet_since: Option<i64>) -> String {
    let previous = RuleState {
        alerts: kept,
        quiet_since: quiet_since.map(at),
        error: None,
    };
    show(&evaluate(
        rule,
        &reading(OK, 160, &[("a", 0.7), ("b", 0.7)]),
        &previous,
        at(160),
    ))
}

fn kept(instance: &str, phase: AlertPhase, active_at: i64) -> Alert {
    Alert {
        labels: labels(&[("alertname", "Slow"), ("instance", instance)]),
        annotations: Labels::new(),
        phase,
        active_at: at(active_at),
        keep_firing_since: None,
        value: 1.0,
    }
}

#[test]
fn a_pending_time_survives_a_restart() {
    let rule = rule("Slow", 60, 0);
    let (pending, firing) = (AlertPhase::Pending, AlertPhase::Firing);
    assert_eq!(
        resumed(&rule, vec![kept("a", pending, 100)], None),
        "a F100=0.7, b P160=0.7"
    );
    assert_eq!(
        resumed(&rule, vec![kept("a", pending, 101)], None),
        "a P101=0.7, b P160=0.7"
    );
    // Not in the order of labels, and one whose element is gone.
    let stored = vec![kept("c", firing, 0), kept("b", firing, 0), kept("a", pending, 150)];
    assert_eq!(resumed(&rule, stored, None), "a P150=0.7, b F0=0.7");
    // A time in the future counts as now.
    assert_eq!(
        resumed(&rule, vec![kept("a", pending, 999)], Some(999)),
        "a P160=0.7, b P160=0.7"
    );
}

#[test]
fn times_in_the_future_count_as_now() {
    let rule = rule("Slow", 0, 60);
    let previous = RuleState {
        alerts: vec![Alert {
            keep_firing_since: Some(at(999)),
            ..kept("a", AlertPhase::Firing, 0)
        }],
        ..RuleState::default()
    };
    let good = reading(OK, 100, &[("a", 0.1)]);
    assert_eq!(show(&evaluate(&rule, &good, &previous, at(100))), "a F0=1 k100");
    let previous = RuleState {
        quiet_since: Some(at(999)),
        ..RuleState::default()
    };
    assert_eq!(show(&evaluate(&rule, &good, &previous, at(100))), "quiet 100");
}

#[test]
fn a_longer_time_to_wait_makes_a_young_alert_pending_again() {
    let rule = rule("Slow", 300, 60);
    assert_eq!(
        resumed(&rule, vec![kept("a", AlertPhase::Firing, 100)], None),
        "a P100=0.7, b P160=0.7"
    );
    // Also one that is only kept firing.
    let previous = RuleState {
        alerts: vec![kept("a", AlertPhase::Firing, 100)],
        ..RuleState::default()
    };
    let good = reading(OK, 160, &[("a", 0.1)]);
    assert_eq!(show(&evaluate(&rule, &good, &previous, at(160))), "a P100=1");
}

/// Labels and annotations of the alert of one series.
fn expanded(rule: &Rule, series: &[(&str, &str)], value: f64) -> (Labels, Labels) {
    let sample = Sample {
        labels: labels(series),
        value,
    };
    let reading = Reading::answered(at(0), vec![sample], &[], None, Span::ZERO);
    let mut state = evaluate(rule, &reading, &RuleState::default(), at(0));
    let alert = state.alerts.remove(0);
    (alert.labels, alert.annotations)
}

#[test]
fn labels_are_those_of_series_and_rule() {
    let rule = Rule {
        labels: templates(&[
            ("severity", "warning"),
            ("team", "{{ $labels.owner }}"),
            ("metric", "{{ $labels.__name__ }}"),
            ("alertname", "Other"),
            ("zone", ""),
        ]),
        annotations: templates(&[
            ("summary", "{{ $labels.job }} takes {{ $value | humanizeDuration }}"),
            ("empty", ""),
        ]),
        ..rule("Slow", 0, 0)
    };
    let series = [
        ("__name__", "latency"),
        ("job", "web"),
        ("zone", "a"),
        ("severity", "info"),
        ("blank", ""),
    ];
    let (found, annotations) = expanded(&rule, &series, 0.7);
    let expect = [
        ("alertname", "Slow"),
        ("job", "web"),
        ("metric", "latency"),
        ("severity", "warning"),
    ];
    assert_eq!(found, labels(&expect));
    assert_eq!(annotations, labels(&[("summary", "web takes 700ms"), ("empty", "")]));
}

#[test]
fn two_alerts_with_equal_labels_are_an_error_that_keeps_the_former() {
    let rule = Rule {
        labels: templates(&[("instance", "all")]),
        ..rule("Slow", 0, 0)
    };
    let one = evaluate(
        &rule,
        &reading(OK, 0, &[("a", 0.7), ("b", 0.1)]),
        &RuleState::default(),
        at(0),
    );
    assert_eq!(show(&one), "all F0=0.7");
    let two = evaluate(&rule, &reading(OK, 15, &[("a", 0.8), ("b", 0.9)]), &one, at(15));
    assert_eq!(show(&two), "all F0=0.7, error");
    let Some(error @ RuleError::DuplicateLabels { .. }) = two.error else {
        panic!("{:?}", two.error)
    };
    let text = error.to_string();
    for part in [
        "Slow",
        "vector contains metrics with the same labelset after applying alert labels",
        "instance=\"all\"",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn annotations_follow_the_value() {
    let rule = Rule {
        annotations: templates(&[("summary", "{{ $value }}")]),
        ..rule("Slow", 60, 60)
    };
    let mut state = RuleState::default();
    for (seconds, value, expect) in [(0, 0.7, "0.7"), (30, 0.8, "0.8"), (60, 0.9, "0.9"), (90, 0.1, "0.9")] {
        state = evaluate(&rule, &reading(OK, seconds, &[("a", value)]), &state, at(seconds));
        assert_eq!(state.alerts[0].annotations["summary"], expect, "at {seconds}");
    }
}

fn worst(n: usize, comparator: Comparator) -> String {
    let alert = |(instance, phase, value): (&str, AlertPhase, f64)| Alert {
        value,
        ..kept(instance, phase, 0)
    };
    let alerts = [
        ("a", AlertPhase::Firing, 1.0),
        ("b", AlertPhase::Pending, 9.0),
        ("c", AlertPhase::Firing, f64::NAN),
        ("d", AlertPhase::Firing, 3.0),
        ("e", AlertPhase::Firing, 3.0),
    ];
    let state = RuleState {
        alerts: alerts.map(alert).into(),
        ..RuleState::default()
    };
    assert!(state.is_firing() && state.is_pending());
    state
        .worst(n, comparator)
        .iter()
        .map(|alert| alert.labels["instance"].as_str())
        .collect()
}

#[test]
fn the_worst_are_firing_and_far_over_the_threshold() {
    assert_eq!(worst(9, Comparator::Greater), "deacb");
    assert_eq!(worst(9, Comparator::LessOrEqual), "adecb");
    assert_eq!(worst(2, Comparator::Greater), "de");
    assert_eq!(worst(0, Comparator::Greater), "");
}

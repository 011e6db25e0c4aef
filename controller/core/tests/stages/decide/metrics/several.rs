use super::super::check;
use crate::{
    build::{Observed, average, facts, finite, metric, metrics, number, reading, signal, unusable},
    fleet::wide,
};
use flyball_core::{
    decide::{Decision, decide},
    policy::{Formula, Measure, Number, OnError, ReplicasAction},
    signal::Quality,
};
use rstest::rstest;

const HOLD: OnError = OnError::Hold;
const HOLD_DOWN: OnError = OnError::HoldDown;
const IGNORE: OnError = OnError::Ignore;

fn substitute(number: f64) -> OnError {
    OnError::Substitute(finite(number))
}

/// Each metric asks for as many replicas as its signal of the same name says.
fn action(names: &[&str]) -> ReplicasAction {
    let list = names.iter().map(|name| {
        let measure = Measure::Total {
            of: Number::Signal((*name).to_owned()),
            target: average(1.0),
        };
        metric(&format!("by-{name}"), measure)
    });
    wide(metrics(list.collect()))
}

type Signal = (&'static str, Option<f64>, OnError);

fn observed(signals: &[Signal]) -> Observed {
    signals
        .iter()
        .fold(Observed::default(), |observed, (name, value, on_error)| {
            let reading = value.map_or_else(|| reading(Quality::Error, 3600, &[]), |value| number(3600, value));
            observed.define(signal(name, *on_error)).signal(name, reading)
        })
}

/// From 10 replicas.
#[rstest]
#[case(&[("a", Some(12.0), HOLD_DOWN), ("b", Some(15.0), HOLD_DOWN)], "15", &["by-b asks for 15: signal b is 15", "max(12, 15)"])]
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", Some(3.0), HOLD_DOWN)], "5", &["by-a asks for 5"])]
// Of two that ask for the same the first is named.
#[case(&[("a", Some(15.0), HOLD_DOWN), ("b", Some(15.0), HOLD_DOWN)], "15", &["by-a asks for 15"])]
// An invalid one lets others go up, and not down.
#[case(&[("a", Some(12.0), HOLD_DOWN), ("b", None, HOLD_DOWN)], "12", &["by-b: invalid, signal b is no usable number"])]
#[case(&[("a", None, HOLD_DOWN), ("b", Some(12.0), HOLD_DOWN)], "12", &["by-a: invalid"])]
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", None, HOLD_DOWN)], "-", &["by-a asks for 5", "nothing is taken away: signal b is no usable number"])]
#[case(&[("a", Some(10.0), HOLD_DOWN), ("b", None, HOLD_DOWN)], "-", &[])]
#[case(&[("a", None, HOLD_DOWN), ("b", None, HOLD_DOWN)], "-", &["signal a is no usable number", "signal b is no usable number"])]
// One that is ignored is not there.
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", None, IGNORE)], "5", &["by-b: left out, signal b is no usable number", "its onError is Ignore"])]
#[case(&[("a", Some(12.0), HOLD_DOWN), ("b", None, IGNORE)], "12", &[])]
#[case(&[("a", None, IGNORE), ("b", None, IGNORE)], "-", &["signal a is no usable number", "signal b is no usable number"])]
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", None, IGNORE), ("c", None, HOLD_DOWN)], "-", &["nothing is taken away: signal c"])]
// One that holds holds everything.
#[case(&[("a", Some(12.0), HOLD_DOWN), ("b", None, HOLD)], "-", &["signal b is no usable number", "its onError is Hold, so nothing changes"])]
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", None, HOLD)], "-", &["so nothing changes"])]
#[case(&[("a", None, IGNORE), ("b", None, HOLD)], "-", &["so nothing changes"])]
#[case(&[("a", Some(5.0), HOLD), ("b", Some(6.0), HOLD)], "6", &[])]
// A substitute may raise, and takes nothing away, neither itself nor for others.
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", None, substitute(14.0))], "14", &["signal b is no usable number", "onError substitutes 14"])]
#[case(&[("a", Some(12.0), HOLD_DOWN), ("b", None, substitute(5.0))], "12", &[])]
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", None, substitute(4.0))], "-", &["nothing is taken away"])]
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", Some(4.0), substitute(14.0))], "5", &[])]
#[case(&[("b", None, substitute(14.0))], "14", &["onError substitutes 14"])]
#[case(&[("b", None, substitute(4.0))], "-", &["nothing is taken away"])]
#[case(&[("b", None, substitute(-4.0))], "-", &["substitutes -4, but a ratio needs 0 or more"])]
// A number below 0 is none, and its signal's onError counts.
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", Some(-1.0), HOLD_DOWN)], "-", &["signal b is -1"])]
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", Some(-1.0), IGNORE)], "5", &[])]
#[case(&[("a", Some(5.0), HOLD_DOWN), ("b", Some(-1.0), substitute(14.0))], "14", &[])]
fn the_largest_counts_and_what_is_invalid_takes_nothing(
    #[case] signals: &[Signal],
    #[case] expect: &str,
    #[case] parts: &[&str],
) {
    let names: Vec<&str> = signals.iter().map(|(name, ..)| *name).collect();
    check(&action(&names), &observed(signals), &facts(10), expect, parts);
}

#[test]
fn every_way_of_being_unusable_is_one() {
    for unusable in unusable(3600) {
        let quality = unusable.quality().to_string();
        let with = |a: f64| observed(&[("a", Some(a), HOLD_DOWN)]).signal("b", unusable.clone());
        check(
            &action(&["a", "b"]),
            &with(5.0),
            &facts(10),
            "-",
            &["signal b is no usable number", &quality],
        );
        check(&action(&["a", "b"]), &with(15.0), &facts(10), "15", &[&quality]);
    }
    // A signal that was not read, or is not defined, is held down by.
    check(
        &action(&["a", "b"]),
        &observed(&[("a", Some(5.0), HOLD_DOWN)]),
        &facts(10),
        "-",
        &["signal b was not read"],
    );
}

fn by_formula(text: &str) -> ReplicasAction {
    let known = ["a", "b", "c"].iter().map(|name| (*name).to_owned()).collect();
    let measure = Measure::Total {
        of: Number::Formula(Formula::parse(text, &known).unwrap()),
        target: average(1.0),
    };
    wide(metrics(vec![metric("sum", measure)]))
}

/// From 10 replicas.
#[rstest]
#[case("a + b", &[("a", Some(7.0), HOLD), ("b", Some(8.0), HOLD)], "15", &["formula a + b is 15, with a target of 1 for each replica", "sum: ceil(15 / 1) = 15"])]
#[case("max(a / 100, b / 30)", &[("a", Some(450.0), HOLD), ("b", Some(60.0), HOLD)], "5", &["is 4.5", "ceil(4.5 / 1) = 5"])]
// The strictest of its signals' onError counts.
#[case("a + b", &[("a", Some(7.0), HOLD), ("b", None, HOLD_DOWN)], "-", &["signal b is no usable number"])]
#[case("a + b", &[("a", Some(7.0), HOLD), ("b", None, IGNORE)], "-", &["its onError is Ignore"])]
#[case("a + b", &[("a", None, HOLD), ("b", None, IGNORE)], "-", &["signal a", "its onError is Hold"])]
#[case("a + b", &[("a", None, IGNORE), ("b", None, HOLD)], "-", &["signal b", "its onError is Hold"])]
#[case("a + b", &[("a", None, IGNORE), ("b", None, HOLD_DOWN)], "-", &["signal b is no usable number"])]
#[case("a + b", &[("a", None, substitute(7.0)), ("b", Some(8.0), HOLD)], "15", &["onError substitutes 7"])]
#[case("a + b", &[("a", None, substitute(7.0)), ("b", Some(1.0), HOLD)], "-", &["nothing is taken away", "onError substitutes 7"])]
#[case("a + b", &[("a", None, substitute(7.0)), ("b", None, HOLD_DOWN)], "-", &["signal b"])]
// A substitute may be below 0 where the formula is not.
#[case("a + b", &[("a", None, substitute(-7.0)), ("b", Some(20.0), HOLD)], "13", &[])]
// A signal that it does not use is none of its.
#[case("a", &[("a", Some(5.0), HOLD), ("b", None, HOLD)], "5", &[])]
#[case("a / b", &[("a", Some(5.0), HOLD), ("b", Some(0.0), HOLD)], "-", &["formula a / b gives inf, not a finite number"])]
#[case("a - b", &[("a", Some(5.0), HOLD), ("b", Some(6.0), HOLD)], "-", &["formula a - b is -1", "max(a - b, 0)"])]
#[case("clamp(a, 2, 4)", &[("a", Some(5.0), HOLD)], "4", &[])]
fn a_formula_is_a_number_like_any(
    #[case] text: &str,
    #[case] signals: &[Signal],
    #[case] expect: &str,
    #[case] parts: &[&str],
) {
    check(&by_formula(text), &observed(signals), &facts(10), expect, parts);
}

#[test]
fn every_metric_is_in_the_arithmetic() {
    let mut signals: Vec<Signal> = vec![("a", Some(12.0), HOLD_DOWN), ("b", None, HOLD_DOWN)];
    signals.extend([("c", None, IGNORE), ("d", Some(15.0), HOLD_DOWN)]);
    let action = action(&["a", "b", "c", "d"]);
    let decision = decide(
        &action,
        &observed(&signals).inputs(),
        &facts(10),
        crate::build::at(3600),
    )
    .0;
    let Decision::Propose(proposal) = decision else {
        panic!("stays")
    };
    let failed = |name: &str| format!("signal {name} is no usable number: error: time-out after 10s");
    assert_eq!(
        proposal.arithmetic,
        [
            "by-a: 12 / (1 x 10) is more than 1 + 0.1".to_owned(),
            "by-a: ceil(12 / 1) = 12".to_owned(),
            format!("by-b: invalid, {}", failed("b")),
            format!("by-c: left out, {}; its onError is Ignore", failed("c")),
            "by-d: 15 / (1 x 10) is more than 1 + 0.1".to_owned(),
            "by-d: ceil(15 / 1) = 15".to_owned(),
            "max(12, 15)".to_owned(),
        ]
    );
}

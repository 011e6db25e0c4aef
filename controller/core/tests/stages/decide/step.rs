use super::{HALF, check};
use crate::build::{Observed, facts, firing, n, query, quiet, rule, step, unusable};
use flyball_core::{
    evaluate::{Alert, AlertPhase, RuleError, RuleState},
    policy::{Amount, Condition, Law, Rule},
};
use rstest::rstest;

#[rstest]
#[case(Amount::Pods(1), 4, "5", "4 + 1 pod = 4 + 1 = 5")]
#[case(Amount::Pods(3), 4, "7", "4 + 3 pods = 4 + 3 = 7")]
#[case(Amount::Percent(50), 4, "6", "4 + 50 % = 4 + 2 = 6")]
// Rounded up, and never nothing.
#[case(Amount::Percent(50), 3, "5", "3 + 50 % = 3 + 2 = 5")]
#[case(Amount::Percent(1), 4, "5", "4 + 1 % = 4 + 1 = 5")]
#[case(Amount::Percent(0), 4, "5", "= 5")]
#[case(Amount::Pods(0), 4, "5", "= 5")]
fn a_firing_rule_adds(#[case] up: Amount, #[case] current: i64, #[case] expect: &str, #[case] line: &str) {
    let observed = Observed::default().rule("Slow", firing(&[("a", 0.7)]));
    check(
        &step(up, HALF),
        &observed,
        &facts(current),
        expect,
        &["Slow fires", line],
    );
}

#[rstest]
#[case(Amount::Pods(1), 10, "9", "10 - 1 pod = 10 - 1 = 9")]
#[case(Amount::Percent(50), 10, "5", "10 - 50 % = 10 - 5 = 5")]
// Rounded down, and never nothing.
#[case(Amount::Percent(15), 10, "9", "10 - 15 % = 10 - 1 = 9")]
#[case(Amount::Percent(1), 10, "9", "10 - 1 % = 10 - 1 = 9")]
#[case(Amount::Percent(0), 10, "9", "= 9")]
// HPA's floats come to 0.
#[case(Amount::Percent(90), 10, "1", "10 - 90 % = 10 - 9 = 1")]
#[case(Amount::Percent(80), 5, "1", "5 - 80 % = 5 - 4 = 1")]
#[case(Amount::Percent(300), 10, "0", "10 - 300 % = 10 - 10 = 0")]
fn a_long_quiet_takes_away(#[case] down: Amount, #[case] current: i64, #[case] expect: &str, #[case] line: &str) {
    let observed = Observed::default().rule("Slow", quiet(3000));
    check(
        &step(HALF, down),
        &observed,
        &facts(current),
        expect,
        &["Slow quiet for 10m", line],
    );
}

#[test]
fn hundred_and_ten_percent_are_exact() {
    let mut action = step(Amount::Percent(10), Amount::Percent(90));
    action.bounds.max = n(1000);
    let observed = Observed::default().rule("Slow", firing(&[("a", 0.7)]));
    // HPA's floats come to 111 and 29.
    check(&action, &observed, &facts(100), "110", &["100 + 10 % = 100 + 10 = 110"]);
    action.law = step(Amount::Percent(12), HALF).law;
    check(&action, &observed, &facts(25), "28", &["25 + 12 % = 25 + 3 = 28"]);
}

#[test]
fn quiet_must_be_long_and_known() {
    let action = step(HALF, HALF);
    let check = |state: Option<RuleState>, expect: &str, part: &str| {
        let observed = state.map_or_else(Observed::default, |state| Observed::default().rule("Slow", state));
        check(&action, &observed, &facts(10), expect, &[part]);
    };
    check(Some(quiet(3000)), "5", "");
    check(Some(quiet(3001)), "-", "Slow is quiet for 9m59s of 10m");
    check(Some(quiet(9999)), "-", "Slow is quiet for 0s of 10m");
    check(Some(RuleState::default()), "-", "Slow is not known to be quiet");
    check(None, "-", "Slow was not evaluated");
    let error = RuleError::Query {
        alert: "Slow".to_owned(),
        detail: "time-out".to_owned(),
    };
    check(
        Some(RuleState {
            error: Some(error),
            ..RuleState::default()
        }),
        "-",
        "the query failed: time-out",
    );
    // What it lacks is said.
    for unusable in unusable(3600) {
        let part = format!("Slow has no fresh data: {} (", unusable.quality());
        let observed = Observed::default()
            .rule("Slow", RuleState::default())
            .reading("Slow", unusable);
        crate::decide::check(&action, &observed, &facts(10), "-", &[&part]);
    }
    let mut observed = Observed::default().rule("Slow", RuleState::default());
    let opaque = Rule {
        condition: Condition::Opaque(query("a and b")),
        ..rule("Slow", 0, 0)
    };
    observed.definitions.insert("Slow".to_owned(), opaque);
    crate::decide::check(&action, &observed, &facts(10), "-", &["its silence proves nothing"]);
}

#[test]
fn every_rule_must_be_quiet_and_any_firing_one_adds() {
    let mut action = step(HALF, HALF);
    action.when.push("Full".to_owned());
    let observed = || Observed::default().rule("Slow", quiet(0));
    check(
        &action,
        &observed().rule("Full", quiet(0)),
        &facts(10),
        "5",
        &["Slow, Full quiet for 10m"],
    );
    check(
        &action,
        &observed().rule("Full", RuleState::default()),
        &facts(10),
        "-",
        &["Full is not known"],
    );
    check(&action, &observed(), &facts(10), "-", &["Full was not evaluated"]);
    check(
        &action,
        &observed().rule("Full", firing(&[("a", 9.0)])),
        &facts(10),
        "15",
        &["Full fires"],
    );
    let pending = RuleState {
        alerts: firing(&[("a", 9.0)])
            .alerts
            .into_iter()
            .map(|a| Alert {
                phase: AlertPhase::Pending,
                ..a
            })
            .collect(),
        ..RuleState::default()
    };
    check(
        &action,
        &observed().rule("Full", pending),
        &facts(10),
        "-",
        &["Full is pending"],
    );
    action.when.clear();
    check(&action, &observed(), &facts(10), "-", &["when names no rule"]);
}

#[test]
fn a_decrease_may_need_a_rule_of_its_own() {
    let mut action = step(HALF, HALF);
    let Law::Step(law) = &mut action.law else {
        panic!("no step")
    };
    law.down.as_mut().unwrap().when = vec!["Idle".to_owned(), "Night".to_owned()];
    let observed = || Observed::default().rule("Slow", quiet(0));
    check(
        &action,
        &observed(),
        &facts(10),
        "-",
        &["of down.when none fires: Idle, Night"],
    );
    check(
        &action,
        &observed().rule("Night", firing(&[("a", 1.0)])),
        &facts(10),
        "5",
        &["quiet for 10m, and Night fires"],
    );
    let Law::Step(law) = &mut action.law else {
        panic!("no step")
    };
    law.down = None;
    check(
        &action,
        &observed().rule("Night", firing(&[("a", 1.0)])),
        &facts(10),
        "-",
        &["no rule fires"],
    );
}

#[test]
fn a_rule_that_only_fires_because_its_query_fails_adds_nothing() {
    let error = RuleError::Query {
        alert: "Slow".to_owned(),
        detail: "time-out".to_owned(),
    };
    let unanswered = RuleState {
        error: Some(error),
        ..firing(&[("a", 0.7)])
    };
    let mut action = step(HALF, HALF);
    let observed = Observed::default().rule("Slow", unanswered);
    check(
        &action,
        &observed,
        &facts(4),
        "-",
        &["Slow fired when its query was last answered"],
    );
    action.when.push("Full".to_owned());
    check(
        &action,
        &observed.rule("Full", firing(&[("a", 0.7)])),
        &facts(4),
        "6",
        &["Full fires"],
    );
}

mod fallback;
mod floor;
mod history;
mod metrics;
mod rollout;
mod spike;
mod step;
mod zero;

use crate::build::{Observed, at, facts, finite, firing, number, quiet, ratio, reading, rule, step, value};
use flyball_core::{
    decide::Direction,
    decide::{Decision, Facts, Inputs, decide},
    policy::{Amount, Comparator, Condition, ReplicasAction},
    signal::Quality,
};

const HALF: Amount = Amount::Percent(50);

/// Decides at 3600 s; `5` is a proposal to go there, `-` is to stay.
fn decided(action: &ReplicasAction, observed: &Observed, facts: &Facts) -> (String, String) {
    match decide(action, &observed.inputs(), facts, at(3600)).0 {
        Decision::Propose(proposal) => {
            assert_eq!(proposal.from, facts.current);
            assert_eq!(Some(proposal.direction), Direction::between(proposal.from, proposal.to));
            assert_eq!(proposal.action, action.name);
            (
                proposal.to.to_string(),
                format!("{}: {}", proposal.reason, proposal.arithmetic.join(", ")),
            )
        }
        Decision::Stay { reason, arithmetic } => ("-".to_owned(), format!("{reason}: {}", arithmetic.join(", "))),
    }
}

fn check(action: &ReplicasAction, observed: &Observed, facts: &Facts, expect: &str, parts: &[&str]) {
    let (decision, why) = decided(action, observed, facts);
    assert_eq!(decision, expect, "{why}");
    for part in parts {
        assert!(why.contains(part), "{why:?} lacks {part:?}");
    }
}

#[test]
fn outside_of_the_bounds_no_law_is_asked() {
    // With neither a rule nor a signal.
    for action in [step(HALF, HALF), ratio(value(1.0))] {
        let none = Observed::default();
        check(&action, &none, &facts(25), "20", &["25 replicas are more than max 20"]);
        check(&action, &none, &facts(1), "2", &["1 replicas are fewer than min 2"]);
        check(
            &action,
            &none,
            &facts(0),
            "-",
            &["scaled to zero by hand; scale to 1 or more to hand it back"],
        );
    }
}

#[test]
fn at_a_bound_nothing_is_proposed_beyond_it() {
    let action = step(HALF, HALF);
    let up = Observed::default().rule("Slow", firing(&[("a", 0.7)]));
    check(
        &action,
        &up,
        &facts(20),
        "-",
        &[
            "Slow fires; but there are max 20",
            "raise max",
            "20 + 50 % = 20 + 10 = 30",
        ],
    );
    let down = Observed::default().rule("Slow", quiet(0));
    check(&action, &down, &facts(2), "-", &["only min 2", "lower min"]);
}

#[test]
fn the_evidence_is_the_worst_ten_in_turn() {
    let many: Vec<(String, f64)> = (0..30).map(|i| (format!("{i:02}"), f64::from(i))).collect();
    let many: Vec<(&str, f64)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let mut action = step(HALF, HALF);
    action.when.push("Low".to_owned());
    let mut observed = Observed::default()
        .rule("Slow", firing(&many))
        .rule("Low", firing(&[("x", 2.0), ("y", 1.0)]));
    let mut low = rule("Low", 0, 0);
    low.condition = Condition::Threshold(crate::build::comparison(Comparator::Less, 5.0));
    observed.definitions.insert("Low".to_owned(), low);
    let Decision::Propose(proposal) = decide(&action, &observed.inputs(), &facts(4), at(3600)).0 else {
        panic!("stays")
    };
    let values: Vec<f64> = proposal.alerts.iter().map(|alert| alert.value).collect();
    assert_eq!(values, [29.0, 1.0, 28.0, 2.0, 27.0, 26.0, 25.0, 24.0, 23.0, 22.0]);
}

#[test]
fn a_proposal_carries_the_demand() {
    let mut action = step(HALF, HALF);
    let observed = Observed::default()
        .rule("Slow", firing(&[("a", 0.7)]))
        .signal("requests", number(3600, 80.0));
    let demand = |action: &ReplicasAction, inputs: &Inputs<'_>| match decide(action, inputs, &facts(4), at(3600)).0 {
        Decision::Propose(proposal) => proposal.demand,
        Decision::Stay { reason, .. } => panic!("{reason}"),
    };
    assert_eq!(demand(&action, &observed.inputs()), None);
    action.verification = Some(crate::build::verification());
    assert_eq!(demand(&action, &observed.inputs()), Some(finite(80.0)));
    let stale = observed.signal("requests", reading(Quality::Stale, 3600, &[("", 80.0)]));
    assert_eq!(demand(&action, &stale.inputs()), None);
}

use super::{HALF, check};
use crate::{
    build::{Observed, at, average, facts, firing, n, number, quiet, ratio, step},
    options::{pass, with_history},
};
use flyball_core::{
    decide::{Facts, RolloutStart},
    policy::Amount,
};
use rstest::rstest;

/// So many replicas in the midst of a rollout that began with so many.
fn rolling(current: i64, start: i64) -> Facts {
    let facts = with_history(facts(current), |history| {
        history.rollout = Some(RolloutStart {
            at: at(3000),
            replicas: n(start),
        });
    });
    Facts {
        rollout: Some("3 of 8 updated".to_owned()),
        ..facts
    }
}

#[test]
fn a_rollout_is_remembered_from_first_sight_to_its_end() {
    let seen = Observed::default().signal("load", number(3600, 800.0));
    let after = |facts: &Facts| pass(&ratio(average(100.0)), &seen, facts, 3600).2.rollout;
    let first = Facts {
        rollout: Some("3 of 8 updated".to_owned()),
        ..facts(8)
    };
    let start = |seconds: i64, replicas: i64| RolloutStart {
        at: at(seconds),
        replicas: n(replicas),
    };
    assert_eq!(after(&first), Some(start(3600, 8)));
    assert_eq!(after(&rolling(9, 8)), Some(start(3000, 8)));
    let over = Facts {
        rollout: None,
        ..rolling(9, 8)
    };
    assert_eq!(after(&over), None);
}

#[test]
fn during_a_rollout_nothing_is_taken_away() {
    let part = "a rollout is under way (3 of 8 updated), and nothing is taken away until it is over";
    let low = Observed::default().signal("load", number(3600, 300.0));
    check(&ratio(average(100.0)), &low, &rolling(8, 8), "-", &[part]);
    check(
        &ratio(average(100.0)),
        &low,
        &rolling(25, 8),
        "-",
        &["more than max 20", part],
    );
    let still = Observed::default().rule("Slow", quiet(0));
    check(&step(HALF, HALF), &still, &rolling(8, 8), "-", &[part]);
    // The bounds are still reached from below.
    check(&step(HALF, HALF), &still, &rolling(1, 8), "2", &[]);
}

#[rstest]
// One step above the 8 of its start: 12.
#[case(HALF, 8, "12")]
#[case(HALF, 9, "12")]
#[case(HALF, 11, "12")]
#[case(HALF, 12, "-")]
#[case(HALF, 15, "-")]
#[case(Amount::Pods(3), 9, "11")]
#[case(Amount::Pods(3), 11, "-")]
// From below its start a step is a step.
#[case(Amount::Pods(3), 5, "8")]
fn during_a_rollout_steps_do_not_compound(#[case] up: Amount, #[case] current: i64, #[case] expect: &str) {
    let slow = Observed::default().rule("Slow", firing(&[("a", 0.7)]));
    check(&step(up, HALF), &slow, &rolling(current, 8), expect, &["Slow fires"]);
    if current > 8 {
        check(
            &step(up, HALF),
            &slow,
            &rolling(current, 8),
            expect,
            &["one step from 8 is the most", "a rollout began at 8"],
        );
    }
}

#[test]
fn a_rollout_that_is_over_or_began_at_none_limits_nothing() {
    let slow = Observed::default().rule("Slow", firing(&[("a", 0.7)]));
    check(&step(HALF, HALF), &slow, &rolling(4, 0), "6", &[]);
    let over = Facts {
        rollout: None,
        ..rolling(12, 8)
    };
    check(&step(HALF, HALF), &slow, &over, "18", &[]);
}

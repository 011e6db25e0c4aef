use super::{Case, case, observed};
use crate::build::{at, finite, number, unusable, verification};
use flyball_core::{
    check::{Check, Verdict},
    decide::{Direction, Latch},
};
use rstest::rstest;

/// An increase after one that was ineffective at a demand of 100 with a value of 0.9.
pub fn latched(demand: Option<f64>, signal: Option<f64>) -> Case {
    let mut case = case(5, 8);
    case.action.verification = Some(verification());
    case.facts.history.latch = Some(Latch {
        direction: Direction::Up,
        demand: demand.map(finite),
        signal,
        until: at(3700),
    });
    case
}

#[test]
fn what_did_not_help_is_not_repeated() {
    let same = latched(Some(100.0), Some(0.9));
    same.refused(Check::Ineffective, &["did not help", "100", "wait for 1m40s"]);
    // The other direction is free, and so is this one once the latch has expired.
    Case {
        from: 8,
        to: 5,
        ..latched(Some(100.0), Some(0.9))
    }
    .goes(5, Check::Ineffective, Verdict::Passed, &[]);
    let mut expired = latched(Some(100.0), Some(0.9));
    if let Some(latch) = &mut expired.facts.history.latch {
        latch.until = at(3600);
    }
    expired.goes(8, Check::Ineffective, Verdict::Passed, &[]);
    // A decrease that broke its condition is latched in the same way.
    let mut down = Case {
        from: 8,
        to: 5,
        ..latched(Some(100.0), Some(0.9))
    };
    if let Some(latch) = &mut down.facts.history.latch {
        latch.direction = Direction::Down;
    }
    down.refused(Check::Ineffective, &["the last change down"]);
}

#[rstest]
// The demand moved by more than its tolerance of 10 %, either way.
#[case(110.0, 0.9, false)]
#[case(110.1, 0.9, true)]
#[case(90.0, 0.9, false)]
#[case(89.9, 0.9, true)]
// The value moved by more than 20 %, either way.
#[case(100.0, 1.08, false)]
#[case(100.0, 1.09, true)]
#[case(100.0, 0.72, false)]
#[case(100.0, 0.71, true)]
fn a_move_lifts_the_latch(#[case] demand: f64, #[case] signal: f64, #[case] lifted: bool) {
    let mut case = latched(Some(100.0), Some(0.9));
    case.observed = observed()
        .signal("requests", number(3600, demand))
        .verification(number(3600, signal));
    if lifted {
        case.goes(8, Check::Ineffective, Verdict::Passed, &["moved from"]);
    } else {
        case.refused(Check::Ineffective, &["did not help"]);
    }
}

#[test]
fn what_is_not_known_does_not_lift_the_latch() {
    // Latched without a demand: only time lifts it, however far the value moved.
    let mut blind = latched(None, Some(0.9));
    blind.observed = observed().verification(number(3600, 9.0));
    blind.refused(Check::Ineffective, &["the demand was not known", "verify.demand"]);
    // A demand that is not known now has not moved; the value still can.
    for unusable in unusable(3600) {
        let mut case = latched(Some(100.0), Some(0.9));
        case.observed = observed().signal("requests", unusable.clone());
        case.refused(Check::Ineffective, &["unknown now"]);
        case.observed = observed()
            .signal("requests", unusable.clone())
            .verification(number(3600, 2.0));
        case.goes(8, Check::Ineffective, Verdict::Passed, &["0.9 to 2"]);
        case.observed = observed().verification(unusable);
        case.refused(Check::Ineffective, &[]);
    }
    // A latch without a value.
    let mut case = latched(Some(100.0), None);
    case.observed = observed().verification(number(3600, 9.0));
    case.refused(Check::Ineffective, &[]);
    // A latched value that was not finite.
    latched(Some(100.0), Some(f64::INFINITY)).goes(8, Check::Ineffective, Verdict::Passed, &["inf"]);
}

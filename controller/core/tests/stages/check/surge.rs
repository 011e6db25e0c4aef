use crate::build::{at, finite, n, secs};
use flyball_core::check::OpenStep;
use rstest::rstest;

/// The load jumps at each of `(seconds, to)` from `first`; what a rate over 300 s reads at `now`.
fn read(first: f64, jumps: &[(f64, f64)], now: f64) -> f64 {
    let mut before = first;
    let mut sum = first;
    for (when, to) in jumps {
        let filled = ((now - when) / 300.0).clamp(0.0, 1.0);
        sum += (to - before) * filled;
        before = *to;
    }
    sum
}

/// When the open step from 2 to 3, proposed at 1000 s, is superseded, if each pass of 15 s asks.
/// What was read first at or after 1300 s is remembered, unless the controller restarts then.
fn superseded(first: f64, jumps: &[(f64, f64)], to: i64, remembers: bool) -> Option<f64> {
    let mut open = OpenStep {
        proposed_at: at(1000),
        from: n(2),
        to: n(to),
        demand: finite(read(first, jumps, 1000.0)),
        filled: None,
        range: secs(300),
        tolerance: finite(0.2),
    };
    let passes = (1..100).map(|pass| 1000 + 15 * pass);
    for seconds in passes {
        #[allow(clippy::cast_precision_loss)] // Small numbers.
        let now = seconds as f64;
        let demand = finite(read(first, jumps, now));
        if remembers && open.filled.is_none() && at(seconds) >= open.filled_at() {
            open.filled = Some(demand);
        }
        match open.surge(demand, at(seconds)) {
            Ok(why) => {
                assert!(why.contains("grew from"), "{why}");
                return Some(now);
            }
            Err(why) => assert!(why.contains("the demand"), "{why}"),
        }
    }
    None
}

#[rstest]
// One jump is answered once, wherever in the range the proposal was made.
#[case(100.0, &[(880.0, 150.0)], None)]
#[case(100.0, &[(700.0, 150.0)], None)]
#[case(100.0, &[(1000.0, 190.0)], None)]
#[case(100.0, &[(880.0, 300.0)], None)] // 180 at the proposal, and 300 in the end.
#[case(100.0, &[(950.0, 220.0)], None)]
#[case(100.0, &[], None)]
// So is a load that goes away.
#[case(100.0, &[(880.0, 150.0), (1200.0, 50.0)], None)]
// A jump that was seen by a sixth, and is four times what it seemed: a second time, once it is whole.
#[case(10.0, &[(950.0, 300.0)], Some(1300.0))]
// Another jump, after the first has filled the range: as soon as it shows.
#[case(100.0, &[(880.0, 150.0), (1400.0, 300.0)], Some(1465.0))] // 150 + 150 * 65 / 300 = 182.5 > 180
#[case(100.0, &[(700.0, 150.0), (1400.0, 200.0)], Some(1585.0))] // 150 + 50 * 185 / 300 = 180.8
// Growth within the tolerance is none.
#[case(100.0, &[(700.0, 150.0), (1400.0, 180.0)], None)]
// A load that doubles within the range waits for no longer than the range, whenever it does.
#[case(100.0, &[(700.0, 150.0), (1015.0, 300.0)], Some(1315.0))]
#[case(100.0, &[(880.0, 150.0), (1015.0, 300.0)], Some(1300.0))] // 292.5, and 120 at the proposal.
#[case(100.0, &[(880.0, 150.0), (1100.0, 300.0)], Some(1300.0))] // 250, and twice 120 are 240.
#[case(100.0, &[(700.0, 150.0), (1250.0, 300.0)], Some(1375.0))] // From 175 at 1300 to 212.5.
fn one_jump_is_answered_once(#[case] first: f64, #[case] jumps: &[(f64, f64)], #[case] expect: Option<f64>) {
    assert_eq!(superseded(first, jumps, 3, true), expect, "{jumps:?}");
}

#[test]
fn a_load_that_doubles_waits_for_no_longer_than_the_range() {
    for first_jump in (705..=1000).step_by(35) {
        for second_jump in (1001..1700).step_by(23) {
            let (first_jump, second_jump) = (f64::from(first_jump), f64::from(second_jump));
            for level in [110.0, 150.0, 300.0] {
                let jumps = [(first_jump, level), (second_jump, 2.0 * level)];
                for remembers in [true, false] {
                    let when = superseded(100.0, &jumps, 3, remembers).unwrap();
                    // A pass later at the most, since there is one every 15 s.
                    assert!(when <= (second_jump + 300.0).max(1300.0) + 15.0, "{jumps:?} at {when}");
                }
            }
        }
    }
}

#[test]
fn a_jump_that_was_seen_by_half_is_never_answered_twice() {
    for first_jump in (600..=1000).step_by(20) {
        for level in (1..40).step_by(2) {
            let (jump, level) = (f64::from(first_jump), 100.0 * f64::from(level) / 2.0);
            let seen = read(100.0, &[(jump, level)], 1000.0);
            if seen * 2.0 > level {
                assert_eq!(superseded(100.0, &[(jump, level)], 3, true), None, "{jump} {level}");
            }
        }
    }
}

#[test]
fn a_step_that_was_large_enough_is_not_outgrown() {
    // 58.3 at the proposal and 300 in the end: five times as much. A step to 2 * 6 is more than that.
    let jump = [(950.0, 300.0)];
    assert_eq!(superseded(10.0, &jump, 11, true), None);
    assert_eq!(superseded(10.0, &jump, 10, true), Some(1300.0));
}

#[test]
fn without_a_range_the_demand_is_what_it_is() {
    let open = OpenStep {
        proposed_at: at(1000),
        from: n(2),
        to: n(3),
        demand: finite(100.0),
        filled: None,
        range: secs(0),
        tolerance: finite(0.2),
    };
    for (demand, expect) in [(120.0, false), (120.1, true), (50.0, false), (-5.0, false)] {
        assert_eq!(open.surge(finite(demand), at(1000)).is_ok(), expect, "{demand}");
    }
    // From nothing, anything is growth.
    let idle = OpenStep {
        demand: finite(0.0),
        ..open
    };
    assert!(idle.surge(finite(0.1), at(1000)).is_ok() && idle.surge(finite(0.0), at(1000)).is_err());
}

#[test]
fn what_keeps_a_step_waiting_is_said() {
    let open = OpenStep {
        proposed_at: at(1000),
        from: n(2),
        to: n(3),
        demand: finite(100.0),
        filled: None,
        range: secs(300),
        tolerance: finite(0.2),
    };
    let why = |demand: f64, seconds: i64| open.surge(finite(demand), at(seconds)).unwrap_err();
    assert!(why(110.0, 1300).contains("was 100 at the proposal and is 110"));
    assert!(why(900.0, 1299).contains("its range of 5m is filled in 1s"));
    assert!(why(150.0, 1300).contains("with its range filled it was not known"));
    // A clock that stepped back.
    assert!(why(900.0, 10).contains("filled in 21m30s"));
}

use super::NOW;
use crate::build::{Observed, at, average, facts, finite, n, number, ratio, secs};
use flyball_core::{
    decide::{Decision, Facts, History, decide},
    policy::Law,
    time::Timestamp,
};
use proptest::{collection::vec, prelude::*};

/// HPA's stabilisation over everything that was ever recommended.
fn naive(current: i64, desired: i64, past: &[(i64, i64)], now: i64, up: i64, down: i64) -> i64 {
    let within = |window: i64| {
        past.iter()
            .filter(move |(when, _)| now - when < window)
            .map(|(_, replicas)| *replicas)
    };
    let lowest = within(up).chain([desired]).min().unwrap();
    let highest = within(down).chain([desired]).max().unwrap();
    current.max(lowest).min(highest)
}

/// Decides for each `(pause, current, desired)` in turn, and gives what came of it and what was
/// naively expected.
fn stabilised(up: u64, down: u64, passes: &[(i64, i64, i64)]) -> Vec<(i64, i64, i64)> {
    let mut action = ratio(average(1.0));
    let Law::Metrics(law) = &mut action.law else {
        return Vec::new();
    };
    (law.tolerance_up, law.tolerance_down) = (finite(0.0), finite(0.0));
    (action.bounds.min, action.bounds.max) = (n(0), n(10_000));
    (action.up.stabilization, action.down.stabilization) = (secs(up), secs(down));
    let (mut history, mut now, mut past, mut results) =
        (History::new(Timestamp::default()), NOW, Vec::new(), Vec::new());
    for (pause, current, desired) in passes {
        now += pause;
        #[allow(clippy::cast_precision_loss)] // Small numbers.
        let observed = Observed::default().signal("load", number(now, *desired as f64));
        let facts = Facts {
            history,
            ..facts(*current)
        };
        let (decision, next) = decide(&action, &observed.inputs(), &facts, at(now));
        let to = match decision {
            Decision::Propose(proposal) => i64::from(proposal.to.get()),
            Decision::Stay { .. } => *current,
        };
        let (up, down) = (i64::try_from(up).unwrap(), i64::try_from(down).unwrap());
        results.push((*current, to, naive(*current, *desired, &past, now, up, down)));
        past.push((now, *desired));
        history = next;
    }
    results
}

proptest! {
    /// Dropping recommendations that decide nothing decides nothing.
    #[test]
    fn stabilisation_is_that_of_hpa(
        up in 0..400u64, down in 0..400u64, passes in vec((0..60i64, 1..12i64, 0..12i64), 1..60),
    ) {
        for (current, to, expect) in stabilised(up, down, &passes) {
            prop_assert_eq!(to, expect, "from {}", current);
        }
    }

    /// With more recommendations than fit, it errs on the side of staying.
    #[test]
    fn what_does_not_fit_is_never_forgotten_early(
        up in 3000..4000u64, down in 3000..4000u64, falling in any::<bool>(),
        noise in vec((1..20i64, 500..560i64, 0..25i64), 100..200),
    ) {
        let passes: Vec<_> = noise.iter().zip(0..).map(|((pause, current, noise), i)| {
            (*pause, *current, if falling { 900 - 4 * i + noise } else { 100 + 4 * i + noise })
        }).collect();
        for (current, to, expect) in stabilised(up, down, &passes) {
            if expect >= current {
                prop_assert!(current <= to && to <= expect, "{to} instead of {expect} from {current}");
            } else {
                prop_assert!(expect <= to && to <= current, "{to} instead of {expect} from {current}");
            }
        }
    }
}

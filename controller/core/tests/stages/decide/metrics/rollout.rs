use super::super::decided;
use crate::{
    build::{Observed, at, average, facts, n, number, ratio, value},
    fleet::{Fleet, by_signal, cpu, mean, wide},
};
use flyball_core::{
    decide::{Facts, RolloutStart},
    policy::ReplicasAction,
};
use rstest::rstest;

fn rolling(facts: Facts, start: i64) -> Facts {
    let mut facts = facts;
    facts.rollout = Some("258 of 383 replicas are updated".to_owned());
    facts.history.rollout = Some(RolloutStart {
        at: at(3000),
        replicas: n(start),
    });
    facts
}

/// What is asked for on these pods of both revisions; the present number where that is to stay.
fn asked(action: &ReplicasAction, fleet: &Fleet, facts: &Facts) -> (u32, String) {
    let (decision, why) = decided(action, &fleet.observed(3600, cpu()), facts);
    (decision.parse().unwrap_or_else(|_| facts.current.get()), why)
}

/// A ladder that HPA is known to climb during a rollout, at a surge of 25 %: 383, 479, 589, 664.
#[test]
fn a_rollout_is_no_ladder() {
    let action = by_signal(mean(100.0));
    // Each pass finds the pods of the surge on top of what the last one asked for, 1.25 times as busy
    // as they should be.
    let mut current = 383_i64;
    for expect in [479, 479, 479, 479] {
        let pods = current + (current + 3) / 4;
        let fleet = Fleet::default().ready(usize::try_from(pods).unwrap(), 125.0);
        let (to, why) = asked(&action, &fleet, &rolling(fleet.facts(current), 383));
        // ceil(1.25 x 383) = ceil(478.75)
        assert_eq!(to, expect, "from {current}: {why}");
        assert!(why.contains("the 383 at its start count"), "{why}");
        current = i64::from(to);
    }
    // The same pods without a rollout: 1.25 x 479 = 598.75.
    let fleet = Fleet::default().ready(479, 125.0);
    assert_eq!(asked(&action, &fleet, &fleet.facts(383)).0, 599);
    // And the numbers that were found there, whoever set them: none is climbed any further.
    for (spec, pods) in [(383, 479), (479, 589), (589, 664), (664, 830)] {
        let fleet = Fleet::default().ready(pods, 125.0);
        let (to, why) = asked(&action, &fleet, &rolling(fleet.facts(spec), 383));
        assert_eq!(i64::from(to), spec.max(479), "{why}");
    }
}

#[rstest]
// A level: ceil(1.25 x 383), whether there are 479 pods or fewer than at the start: ceil(1.25 x 300).
#[case(value(100.0), 125.0, 383, 479, 479)]
#[case(value(100.0), 125.0, 383, 300, 383)]
#[case(value(100.0), 125.0, 310, 300, 375)]
// A total knows what is needed, and the surge is no reason for more: 440 / 479 is within the tolerance,
// and ceil(44000 / 100) = 440 are needed.
#[case(average(100.0), 44_000.0, 383, 479, 440)]
#[case(average(100.0), 60_000.0, 383, 479, 600)]
#[case(average(100.0), 50_000.0, 383, 479, 479)]
fn a_total_does_not_climb(
    #[case] target: flyball_core::policy::TotalTarget,
    #[case] load: f64,
    #[case] current: i64,
    #[case] pods: u32,
    #[case] expect: u32,
) {
    let action = wide(ratio(target));
    let fleet = Fleet::default().ready(usize::try_from(pods).unwrap(), 0.0);
    let mut facts = rolling(fleet.facts(current), current.min(383));
    facts.observed = Some(n(i64::from(pods)));
    let observed = Observed::default().signal("load", number(3600, load));
    let (decision, why) = decided(&action, &observed, &facts);
    assert_eq!(
        decision.parse().unwrap_or_else(|_| facts.current.get()),
        expect,
        "{why}"
    );
}

#[test]
fn missing_and_starting_pods_climb_no_more() {
    let action = by_signal(mean(100.0));
    // 10 x 200 / 12 = 166.666; ceil(1.66666 x 10), not x 12.
    let fleet = Fleet::default().ready(10, 200.0).missing(1).pending(1, None);
    let (to, why) = asked(&action, &fleet, &rolling(fleet.facts(10), 10));
    assert_eq!(to, 17, "{why}");
    assert_eq!(asked(&action, &fleet, &fleet.facts(10)).0, 20);
}

#[test]
fn the_first_pass_of_a_rollout_is_its_start() {
    let fleet = Fleet::default().ready(13, 125.0);
    let mut facts = fleet.facts(10);
    facts.rollout = Some("just begun".to_owned());
    // ceil(1.25 x 10)
    assert_eq!(asked(&by_signal(mean(100.0)), &fleet, &facts).0, 13);
}

#[test]
fn a_rollout_that_is_over_bounds_nothing() {
    let fleet = Fleet::default().ready(13, 125.0);
    let facts = Facts {
        rollout: None,
        ..rolling(fleet.facts(13), 10)
    };
    // ceil(1.25 x 13)
    assert_eq!(asked(&by_signal(mean(100.0)), &fleet, &facts).0, 17);
}

#[test]
fn from_nothing_a_rollout_bounds_nothing() {
    let facts = rolling(facts(0), 0);
    let observed = Observed::default().signal("load", number(3600, 450.0));
    let (decision, why) = decided(&wide(ratio(value(100.0))), &observed, &facts);
    assert_eq!(decision, "5", "{why}");
}

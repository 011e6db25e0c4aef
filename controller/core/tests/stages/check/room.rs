//! How far a proposal may go: headroom, the budget over all policies, and the bounds of the pass.

use super::{Case, case, said};
use crate::{
    build::{Observed, at, facts, n, number, world},
    options::{headroom, schedule, to_zero, with_history},
};
use flyball_core::{
    check::{Budget, Check, Verdict, World},
    policy::ReplicasAction,
};
use rstest::rstest;

fn within(from: i64, to: i64, limits: &[(&str, Option<i64>)]) -> Case {
    Case {
        world: World {
            headroom: limits.iter().map(|(by, limit)| headroom(by, *limit)).collect(),
            ..world()
        },
        ..case(from, to)
    }
}

#[rstest]
// Up to the smallest that is known, which is named.
#[case(5, 12, &[], Some(12), &["no limit is known"])]
#[case(5, 12, &[("ResourceQuota team", Some(12))], Some(12), &["ResourceQuota team has room for 12 replicas (10 - 2 = 8)"])]
#[case(5, 12, &[("ResourceQuota team", Some(8))], Some(8), &["12 asked for, 8 allowed: ResourceQuota team"])]
#[case(5, 12, &[("ResourceQuota team", Some(9)), ("nodes", Some(7))], Some(7), &["nodes has room for 7"])]
#[case(5, 12, &[("ResourceQuota team", Some(5))], None, &["ResourceQuota team has room for 5", "there are 5", "make room"])]
#[case(5, 12, &[("ResourceQuota team", Some(3))], None, &["room for 3"])]
// What is not known keeps no increase back, and is said.
#[case(5, 12, &[("nodes", None)], Some(12), &["no limit is known", "what nodes allows is not known: it can't be listed"])]
#[case(5, 12, &[("nodes", None), ("ResourceQuota team", Some(8))], Some(8), &["ResourceQuota team", "nodes allows is not known"])]
#[case(5, 12, &[("nodes", None), ("ResourceQuota team", Some(5))], None, &["ResourceQuota team", "nodes allows is not known"])]
// Down to the largest.
#[case(12, 5, &[("PodDisruptionBudget web", Some(5))], Some(5), &["PodDisruptionBudget web needs 5 replicas"])]
#[case(12, 5, &[("PodDisruptionBudget web", Some(8))], Some(8), &["5 asked for, 8 allowed: PodDisruptionBudget web"])]
#[case(12, 5, &[("PodDisruptionBudget web", Some(6)), ("PodDisruptionBudget all", Some(9))], Some(9), &["PodDisruptionBudget all"])]
#[case(12, 5, &[("PodDisruptionBudget web", Some(12))], None, &["needs 12", "there are 12", "lower it"])]
#[case(12, 5, &[("PodDisruptionBudget web", Some(15))], None, &["needs 15"])]
// What is not known takes nothing away.
#[case(12, 5, &[("PodDisruptionBudget web", None)], None, &["PodDisruptionBudget web allows is not known", "nothing is taken away"])]
#[case(12, 5, &[("PodDisruptionBudget web", None), ("PodDisruptionBudget all", Some(6))], None, &["not known"])]
// From outside of its bounds it goes as far towards them as there is room, for a quota can't be wished away.
#[case(1, 2, &[("ResourceQuota team", Some(1))], None, &["room for 1"])]
#[case(30, 20, &[("PodDisruptionBudget web", Some(25))], Some(25), &["25 allowed"])]
#[case(30, 20, &[("PodDisruptionBudget web", Some(30))], None, &["needs 30"])]
fn there_must_be_room(
    #[case] from: i64,
    #[case] to: i64,
    #[case] limits: &[(&str, Option<i64>)],
    #[case] expect: Option<i64>,
    #[case] parts: &[&str],
) {
    let case = within(from, to, limits);
    match expect {
        Some(expect) if expect == to => case.goes(to, Check::Headroom, Verdict::Passed, parts),
        Some(expect) => case.goes(expect, Check::Headroom, Verdict::Clamped, parts),
        None => {
            let refused = case.refused(Check::Headroom, parts);
            for check in [Check::Budget, Check::Bounds, Check::OpenChange, Check::Approval] {
                said(&refused.checks, check, Verdict::Skipped, &["Headroom leaves nothing"]);
            }
        }
    }
}

#[test]
fn a_bound_that_there_is_no_room_for_is_not_forced() {
    let mut up = within(1, 5, &[("ResourceQuota team", Some(3))]);
    up.action.bounds.min = n(5);
    up.goes(3, Check::Headroom, Verdict::Clamped, &["ResourceQuota team"]);
    up.goes(3, Check::Bounds, Verdict::Passed, &["3 on the way to 5", "min is 5"]);
    // A proposal that does not reach the bound is taken there, as far as there is room.
    up.to = 2;
    up.goes(3, Check::Bounds, Verdict::Clamped, &["3 on the way to 5"]);
    up.world.headroom.clear();
    up.goes(5, Check::Bounds, Verdict::Clamped, &["2 asked for, 5 allowed"]);
    let down = within(30, 20, &[("PodDisruptionBudget web", Some(25))]);
    down.goes(
        25,
        Check::Bounds,
        Verdict::Passed,
        &["25 on the way to 20", "max is 20"],
    );
    // Within the bounds nothing leaves them, however much room there is.
    within(5, 30, &[("nodes", Some(100))]).goes(20, Check::Bounds, Verdict::Clamped, &["max is 20"]);
    within(5, 1, &[("PodDisruptionBudget web", Some(1))]).goes(2, Check::Bounds, Verdict::Clamped, &["min is 2"]);
}

#[rstest]
#[case(12, 5, None, 99, Some(5))]
#[case(12, 5, Some(10), 0, Some(5))]
#[case(12, 5, Some(10), 3, Some(5))]
#[case(12, 5, Some(10), 4, Some(6))]
#[case(12, 5, Some(10), 9, Some(11))]
#[case(12, 5, Some(10), 10, None)]
#[case(12, 5, Some(10), 50, None)]
#[case(12, 5, Some(0), 0, None)]
// A number above max is no exception.
#[case(30, 20, Some(10), 6, Some(26))]
#[case(30, 20, Some(10), 10, None)]
// An increase is.
#[case(5, 12, Some(0), 50, Some(12))]
fn all_policies_together_have_a_budget(
    #[case] from: i64,
    #[case] to: i64,
    #[case] per_minute: Option<u32>,
    #[case] taken: u32,
    #[case] expect: Option<i64>,
) {
    let case = Case {
        world: World {
            budget: Budget { per_minute, taken },
            ..world()
        },
        ..case(from, to)
    };
    let what = per_minute.map_or_else(String::new, |limit| {
        format!("all policies may take away {limit} replicas in a minute, and took {taken}")
    });
    let what = if to > from { "takes nothing away" } else { what.as_str() };
    match expect {
        Some(expect) if expect == to => case.goes(to, Check::Budget, Verdict::Passed, &[what]),
        Some(expect) => case.goes(
            expect,
            Check::Budget,
            Verdict::Clamped,
            &[what, &format!("{expect} allowed")],
        ),
        None => {
            case.refused(Check::Budget, &[what, "wait a minute"]);
        }
    }
}

#[test]
fn the_narrowest_of_all_counts() {
    let mut case = within(20, 3, &[("PodDisruptionBudget web", Some(8))]);
    case.world.budget = Budget {
        per_minute: Some(10),
        taken: 0,
    };
    case.action.down.limits = vec![
        crate::build::limit(super::ONE, 60),
        crate::build::limit(flyball_core::policy::Amount::Pods(15), 60),
    ];
    case.goes(10, Check::Rate, Verdict::Clamped, &["5 allowed"]);
    case.goes(10, Check::Headroom, Verdict::Clamped, &["8 allowed"]);
    case.goes(10, Check::Budget, Verdict::Clamped, &["10 allowed"]);
    case.goes(10, Check::Bounds, Verdict::Passed, &[]);
}

/// With a floor of 6 from 3000 s to 4000 s; it is 3600 s.
fn scheduled(from: i64, to: i64, floor: i64) -> Case {
    let mut case = case(from, to);
    case.action.schedules = vec![schedule("office", 3000, 4000, floor)];
    case
}

#[test]
fn a_schedule_raises_the_lower_bound() {
    scheduled(9, 3, 6).goes(
        6,
        Check::Bounds,
        Verdict::Clamped,
        &["3 asked for, 6 allowed", "6 by schedule office"],
    );
    scheduled(9, 7, 6).goes(
        7,
        Check::Bounds,
        Verdict::Passed,
        &["7 lies from 6 by schedule office to max 20"],
    );
    scheduled(6, 3, 6).refused(Check::Bounds, &["6 by schedule office", "only when it is over"]);
    // Never above max.
    scheduled(20, 3, 30).refused(
        Check::Bounds,
        &["20 by schedule office, which asks for 30 and ends at max"],
    );
    // Below it, at once and no further, without rate and cooldown.
    let mut below = scheduled(3, 15, 6);
    below.action.up.limits = vec![crate::build::limit(super::ONE, 60)];
    below.observed = Observed::default();
    below.goes(
        6,
        Check::Rate,
        Verdict::Skipped,
        &["3 replicas are out of bounds: to 6 at once"],
    );
    // Outside of its window it is none.
    let mut over = scheduled(9, 3, 6);
    over.action.schedules = vec![schedule("office", 3000, 3600, 6)];
    over.goes(3, Check::Bounds, Verdict::Passed, &["min 2"]);
}

/// Idle since then, with everything fresh.
fn idle(from: i64, to: i64, since: Option<i64>, jobs: f64) -> Case {
    Case {
        action: to_zero(),
        observed: super::observed().signal("jobs", number(3600, jobs)),
        facts: with_history(facts(from), |history| history.idle_since = since.map(at)),
        ..case(from, to)
    }
}

#[test]
fn the_last_replica_is_a_bound_until_the_cooldown_is_over() {
    idle(3, 0, Some(3300), 0.0).goes(0, Check::Bounds, Verdict::Passed, &["min 0"]);
    idle(1, 0, Some(3300), 0.0).goes(0, Check::Bounds, Verdict::Passed, &[]);
    idle(3, 0, Some(3301), 0.0).goes(1, Check::Bounds, Verdict::Clamped, &["1, the last replica"]);
    idle(1, 0, Some(3301), 0.0).refused(Check::Bounds, &["the last replica stays", "for 4m59s of 5m"]);
    idle(1, 0, None, 0.0).refused(Check::Bounds, &["for 0s of 5m"]);
    idle(1, 0, Some(0), 2.0).refused(Check::Bounds, &["signal jobs is 2, above the activation 0"]);
    let mut restarted = idle(1, 0, Some(0), 0.0);
    restarted.facts.history.observing_since = at(3301);
    restarted.refused(Check::Bounds, &["observed only for"]);
    // A floor counts more.
    let mut office = idle(3, 0, Some(0), 0.0);
    office.action.schedules = vec![schedule("office", 0, 9999, 2)];
    office.goes(2, Check::Bounds, Verdict::Clamped, &["2 by schedule office"]);
    // The rates stand.
    let mut slowly = idle(10, 0, Some(0), 0.0);
    slowly.action.down.limits = vec![crate::build::limit(flyball_core::policy::Amount::Pods(4), 60)];
    slowly.goes(6, Check::Rate, Verdict::Clamped, &["4 pods"]);
}

#[test]
fn from_zero_nothing_is_out_of_bounds() {
    let mut wake = idle(0, 5, None, 1.0);
    wake.goes(5, Check::Bounds, Verdict::Passed, &["5 lies from min 0 to max 20"]);
    wake.action.up.limits = vec![crate::build::limit(flyball_core::policy::Amount::Pods(4), 15)];
    wake.goes(4, Check::Rate, Verdict::Clamped, &["4 allowed"]);
    // But below a floor: there at once, and no further.
    wake.action.schedules = vec![schedule("office", 0, 9999, 3)];
    wake.goes(3, Check::Rate, Verdict::Skipped, &["to 3 at once, and no further"]);
    wake.action = ReplicasAction {
        up: crate::build::behavior(),
        ..wake.action
    };
    wake.goes(3, Check::Bounds, Verdict::Passed, &["3 by schedule office"]);
}

#[test]
fn to_leave_zero_waits_for_neither_cooldown_nor_latch() {
    let mut wake = idle(0, 5, None, 1.0);
    wake.action.up.cooldown = crate::build::secs(600);
    wake.facts.history.events = crate::build::with_events(facts(0), &[(3599, 0, 1)]).history.events;
    wake.facts.history.latch = Some(flyball_core::decide::Latch {
        direction: flyball_core::decide::Direction::Up,
        demand: None,
        signal: None,
        until: at(9999),
    });
    wake.action.verification = Some(crate::build::verification());
    wake.goes(
        5,
        Check::Cooldown,
        Verdict::Skipped,
        &["to leave zero waits for nothing"],
    );
    wake.goes(5, Check::Ineffective, Verdict::Skipped, &[]);
    // From 1 on they count.
    wake.from = 1;
    wake.facts.current = n(1);
    let Err(refused) = wake.run() else { panic!("passed") };
    said(&refused.checks, Check::Cooldown, Verdict::Refused, &[]);
    said(&refused.checks, Check::Ineffective, Verdict::Refused, &[]);
}

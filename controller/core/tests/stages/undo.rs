use crate::{
    build::{
        Observed, at, average, facts, finite, n, number, quiet, ratio, step, unusable, verification, with_events, world,
    },
    check::said,
    options::{headroom, schedule, to_zero, veto, with_history},
};
use flyball_core::{
    check::{
        Approval, Budget, Candidate, Check, Coverage, DryRun, OpenChange, Owner, Paused, Refused, Target, Undo,
        Verdict, World, undo_decrease, undo_increase, undo_requested,
    },
    decide::{Direction, Facts, Latch},
    policy::{Amount, Demand, ReplicasAction, SelectPolicy, Verification},
    time::Timestamp,
};
use rstest::rstest;

fn observed() -> Observed {
    Observed::default()
        .rule("Slow", quiet(0))
        .signal("load", number(3600, 100.0))
        .signal("requests", number(3600, 100.0))
        .verification(number(3600, 0.9))
}

fn action() -> ReplicasAction {
    ReplicasAction {
        verification: Some(verification()),
        ..step(Amount::Pods(1), Amount::Pods(1))
    }
}

fn undo(from: i64, to: i64) -> Undo {
    Undo {
        from: n(from),
        to: n(to),
        demand: Some(finite(100.0)),
    }
}

fn world_with(open: OpenChange) -> World {
    World { open, ..world() }
}

/// An increase from 4 to 8 is undone.
struct Case {
    undo: Undo,
    action: ReplicasAction,
    observed: Observed,
    facts: Facts,
    world: World,
}

fn case() -> Case {
    Case {
        undo: undo(8, 4),
        action: action(),
        observed: observed(),
        facts: facts(8),
        world: world(),
    }
}

impl Case {
    fn run(&self) -> Result<Candidate, Refused> {
        undo_increase(
            &self.action,
            self.undo,
            &self.observed.inputs(),
            &self.facts,
            &self.world,
            at(3600),
        )
    }

    fn goes(&self, to: i64, check: Check, verdict: Verdict, parts: &[&str]) {
        let candidate = self.run().unwrap_or_else(|refused| panic!("{refused}"));
        assert_eq!((candidate.to(), candidate.direction()), (n(to), Direction::Down));
        said(candidate.checks(), check, verdict, parts);
        assert_eq!(
            candidate.admit(DryRun::Accepted).unwrap().checks().len(),
            Check::ALL.len()
        );
    }

    fn refused(&self, check: Check, parts: &[&str]) {
        let Err(refused) = self.run() else {
            panic!("{check} did not refuse")
        };
        assert_eq!(refused.reason().map(|result| result.check), Some(check), "{refused}");
        said(&refused.checks, check, Verdict::Refused, parts);
        assert_eq!(
            refused.checks.iter().map(|result| result.check).collect::<Vec<_>>(),
            Check::ALL
        );
    }
}

#[test]
fn an_increase_is_undone_without_waiting() {
    let mut case = case();
    let hour = flyball_core::time::Span::from_secs(3600);
    (case.action.down.cooldown, case.action.down.stabilization) = (hour, hour);
    case.action.down.select = SelectPolicy::Disabled;
    case.facts = with_events(case.facts, &[(3599, 9, 8)]);
    case.facts.history.latch = Some(Latch {
        direction: Direction::Down,
        demand: None,
        signal: None,
        until: Timestamp::from_millis(i64::MAX),
    });
    case.goes(4, Check::Cooldown, Verdict::Skipped, &[]);
    case.goes(4, Check::Rate, Verdict::Skipped, &[]);
    case.goes(4, Check::Ineffective, Verdict::Passed, &["requests was 100 and is 100"]);
}

#[test]
fn what_is_for_going_forward_does_not_keep_an_undoing_back() {
    let mut case = case();
    case.world.paused = Paused {
        frozen: Some("by hand".to_owned()),
        up: Some("by hand".to_owned()),
        down: Some("by hand".to_owned()),
        ..Paused::default()
    };
    case.world.budget = Budget {
        per_minute: Some(0),
        taken: 9,
    };
    case.world.approval = Approval::Awaited(None);
    case.action.inhibit = vec![veto("database")];
    for (check, part) in [
        (Check::Pause, "goes on while everything else is frozen or paused"),
        (Check::Budget, "not counted against the budget"),
        (Check::Approval, "waits for no approval"),
    ] {
        case.goes(4, check, Verdict::Skipped, &[part]);
    }
    let back = undo_decrease(&case.action, undo(4, 8), &facts(4), &case.world).unwrap();
    for check in [Check::Pause, Check::Budget, Check::Approval] {
        said(back.checks(), check, Verdict::Skipped, &["waits for nothing"]);
    }
}

#[test]
fn what_keeps_decreases_back_keeps_an_undoing_of_an_increase_back() {
    let mut covered = case();
    covered.world.coverage = Coverage::Filled {
        query: "sum(rate(http_requests_total[5m]))".to_owned(),
        fraction: finite(0.5),
    };
    covered.refused(Check::Coverage, &["filled to 50 %"]);
    let mut rolling = case();
    rolling.facts.rollout = Some("3 of 8 updated".to_owned());
    rolling.refused(Check::Rollout, &["3 of 8 updated"]);
    let mut vetoed = case();
    vetoed.action.hold_down_while = vec![veto("upstream")];
    vetoed.observed = observed().veto("upstream", number(3600, 0.95));
    vetoed.refused(Check::Veto, &["holdDownWhile upstream holds"]);
    let mut spiking = case();
    spiking.facts.history.spike_until = Some(at(3601));
    spiking.refused(Check::Cooldown, &["a spike lasts for another 1s"]);
    // None of which matters to giving back.
    for case in [covered, rolling, vetoed, spiking] {
        let facts = Facts {
            current: n(4),
            ..case.facts
        };
        let back = undo_decrease(&case.action, undo(4, 8), &facts, &case.world).unwrap();
        for check in [
            Check::Coverage,
            Check::Rollout,
            Check::Veto,
            Check::Cooldown,
            Check::Headroom,
        ] {
            said(back.checks(), check, Verdict::Skipped, &["waits for nothing"]);
        }
    }
}

#[test]
fn an_undoing_leaves_what_a_disruption_budget_needs() {
    let needs = |fewest: i64| Case {
        world: World {
            headroom: vec![headroom("PodDisruptionBudget web", Some(fewest))],
            ..world()
        },
        ..case()
    };
    needs(4).goes(4, Check::Headroom, Verdict::Passed, &[]);
    needs(6).goes(6, Check::Headroom, Verdict::Clamped, &["PodDisruptionBudget web"]);
    needs(6).goes(6, Check::Bounds, Verdict::Passed, &[]);
    needs(8).refused(Check::Headroom, &["needs 8"]);
    // Nor does max force it: 25 are left from before max was lowered to 20.
    let left = Case {
        undo: undo(25, 4),
        facts: facts(25),
        ..needs(22)
    };
    left.goes(22, Check::Bounds, Verdict::Passed, &["22 on the way to 20"]);
}

#[test]
fn an_undoing_ends_at_the_floor_of_a_schedule() {
    let mut case = case();
    case.action.schedules = vec![schedule("office", 3000, 4000, 6)];
    case.goes(
        6,
        Check::Bounds,
        Verdict::Clamped,
        &["4 asked for, 6 allowed", "6 by schedule office"],
    );
    case.action.schedules = vec![schedule("office", 3000, 4000, 8)];
    case.refused(Check::Bounds, &["8 by schedule office"]);
    case.action.schedules = vec![schedule("office", 3000, 3600, 8)];
    case.goes(4, Check::Bounds, Verdict::Passed, &[]);
}

#[test]
fn an_undoing_leaves_the_last_replica_until_there_is_nothing_to_do() {
    let back_to_zero = |jobs: f64, since: i64| Case {
        undo: undo(3, 0),
        action: ReplicasAction {
            verification: Some(verification()),
            ..to_zero()
        },
        observed: observed()
            .signal("jobs", number(3600, jobs))
            .signal("load", number(3600, 0.0)),
        facts: with_history(facts(3), |history| history.idle_since = Some(at(since))),
        ..case()
    };
    back_to_zero(0.0, 3300).goes(0, Check::Bounds, Verdict::Passed, &[]);
    back_to_zero(0.0, 3301).goes(1, Check::Bounds, Verdict::Clamped, &["1, the last replica"]);
    back_to_zero(2.0, 0).goes(1, Check::Bounds, Verdict::Clamped, &[]);
}

#[test]
fn an_increase_is_held_if_what_the_metrics_ask_for_is_not_known() {
    let mut case = Case {
        action: ReplicasAction {
            verification: Some(verification()),
            ..ratio(average(100.0))
        },
        ..case()
    };
    // The number is fresh, but asks for nothing.
    case.observed = observed().signal("load", number(3600, -1.0));
    case.refused(
        Check::Bounds,
        &["what the metrics ask for is not known", "the 8 are held"],
    );
}

#[test]
fn an_increase_is_held_unless_all_data_is_fresh() {
    for unusable in unusable(3600) {
        let quality = unusable.quality().to_string();
        for observed in [
            observed().reading("Slow", unusable.clone()),
            observed().signal("requests", unusable.clone()),
            observed().verification(unusable.clone()),
        ] {
            Case { observed, ..case() }.refused(Check::DataQuality, &[&quality]);
        }
    }
}

#[rstest]
#[case(110.0, true)]
#[case(110.1, false)]
#[case(90.0, true)]
#[case(89.9, false)]
fn an_increase_is_held_if_the_demand_moved(#[case] demand: f64, #[case] undone: bool) {
    let case = Case {
        observed: observed().signal("requests", number(3600, demand)),
        ..case()
    };
    if undone {
        case.goes(4, Check::Ineffective, Verdict::Passed, &[]);
    } else {
        case.refused(Check::Ineffective, &["requests moved from 100", "held"]);
    }
}

#[test]
fn an_increase_is_held_if_the_demand_is_not_known() {
    let before = Case {
        undo: Undo {
            demand: None,
            ..undo(8, 4)
        },
        ..case()
    };
    before.refused(Check::Ineffective, &["requests was not known at the proposal"]);
    let mut never = case();
    never.action.verification = Some(Verification {
        demand: None,
        ..verification()
    });
    never.refused(Check::Ineffective, &["no demand signal is configured", "verify.demand"]);
    never.action.verification = None;
    never.refused(Check::Ineffective, &["no demand signal is configured"]);
}

#[rstest]
// At 100 for each replica, from 8.
#[case(300.0, 4, Some(4))]
#[case(500.0, 4, Some(5))]
#[case(640.0, 4, Some(7))]
#[case(720.0, 4, None)] // Within the tolerance of what there is.
#[case(900.0, 4, None)]
#[case(0.0, 1, Some(2))] // min
fn an_increase_is_not_undone_below_what_the_signals_ask_for(
    #[case] load: f64,
    #[case] to: i64,
    #[case] expect: Option<i64>,
) {
    let mut case = Case {
        undo: undo(8, to),
        observed: observed().signal("load", number(3600, load)),
        ..case()
    };
    let demand = Some(Demand {
        signal: "requests".to_owned(),
        tolerance: finite(0.1),
    });
    case.action = ratio(average(100.0));
    case.action.verification = Some(Verification {
        demand,
        ..verification()
    });
    match expect {
        Some(expect) if expect == to => case.goes(to, Check::Bounds, Verdict::Passed, &[]),
        Some(expect) => case.goes(expect, Check::Bounds, Verdict::Clamped, &[]),
        None => case.refused(Check::Bounds, &["signal load is", "which asks for", "held"]),
    }
}

#[test]
fn what_the_signals_ask_for_ends_at_max() {
    // 25 are left from before max was lowered to 20, and the signal asks for 22.
    let mut case = Case {
        undo: undo(25, 4),
        facts: facts(25),
        ..case()
    };
    case.observed = observed().signal("load", number(3600, 2200.0));
    case.action = ReplicasAction {
        verification: Some(verification()),
        ..ratio(average(100.0))
    };
    case.goes(20, Check::Bounds, Verdict::Clamped, &["asks for 22 now; max is 20"]);
}

#[test]
fn a_number_that_somebody_else_wrote_is_left_to_them() {
    let refused = Case {
        facts: facts(7),
        ..case()
    };
    refused.refused(Check::Ownership, &["spec.replicas is 7, not the 8"]);
    let owner = vec![Owner::FieldManager {
        manager: "kubectl".to_owned(),
        operation: "Update".to_owned(),
    }];
    Case {
        world: World {
            owners: owner,
            ..world()
        },
        ..case()
    }
    .refused(Check::Ownership, &["kubectl"]);
    let wrote = undo_decrease(&action(), undo(4, 8), &facts(5), &world()).unwrap_err();
    said(
        &wrote.checks,
        Check::Ownership,
        Verdict::Refused,
        &["spec.replicas is 5, not the 4"],
    );
}

#[test]
fn the_open_change_is_the_one_that_is_undone() {
    let ours = |direction: Direction| OpenChange::Ours {
        name: "web-17".to_owned(),
        direction,
        to: n(8),
        superseding_allowed: false,
    };
    Case {
        world: world_with(ours(Direction::Up)),
        ..case()
    }
    .goes(4, Check::OpenChange, Verdict::Passed, &["web-17"]);
    let others = OpenChange::Others {
        name: "web-9".to_owned(),
        policy: "shop/other".to_owned(),
    };
    Case {
        world: world_with(others.clone()),
        ..case()
    }
    .refused(Check::OpenChange, &["web-9"]);
    assert!(undo_decrease(&action(), undo(4, 8), &facts(4), &world_with(ours(Direction::Down))).is_ok());
    assert!(undo_decrease(&action(), undo(4, 8), &facts(4), &world_with(others)).is_err());
}

#[test]
fn there_must_be_a_target_to_undo_on() {
    for target in [
        Target::Missing,
        Target::NoScale("Job".to_owned()),
        Target::NotAllowed("Node".to_owned()),
    ] {
        let world = World { target, ..world() };
        Case {
            world: world.clone(),
            ..case()
        }
        .refused(Check::Target, &["targetRef"]);
        assert!(undo_decrease(&action(), undo(4, 8), &facts(4), &world).is_err());
    }
    // A pause keeps us from taking away, not from giving back.
    let paused = World {
        target: Target::Present {
            paused: Some("by hand".to_owned()),
        },
        ..world()
    };
    Case {
        world: paused.clone(),
        ..case()
    }
    .refused(Check::Target, &["by hand"]);
    let back = undo_decrease(&action(), undo(4, 8), &facts(4), &paused).unwrap();
    said(back.checks(), Check::Target, Verdict::Passed, &["by hand"]);
}

#[test]
fn a_decrease_is_undone_at_once() {
    let mut action = action();
    action.up.select = SelectPolicy::Disabled;
    action.up.cooldown = flyball_core::time::Span::from_secs(3600);
    let facts = with_events(facts(4), &[(3599, 3, 4)]);
    // No readings are asked for.
    let back = undo_decrease(&action, undo(4, 8), &facts, &world()).unwrap();
    assert_eq!((back.to(), back.direction()), (n(8), Direction::Up));
    for check in [Check::DataQuality, Check::Ineffective, Check::Cooldown, Check::Rate] {
        said(back.checks(), check, Verdict::Skipped, &[]);
    }
    // max was lowered since.
    let clamped = undo_decrease(&action, undo(4, 30), &facts, &world()).unwrap();
    assert_eq!(clamped.to(), n(20));
}

#[test]
fn what_is_no_undoing_is_refused() {
    for (from, to) in [(8, 8), (8, 9)] {
        Case {
            undo: undo(from, to),
            ..case()
        }
        .refused(Check::Bounds, &["no change down"]);
        let refused = undo_decrease(&action(), undo(to, from), &facts(to), &world()).unwrap_err();
        said(&refused.checks, Check::Bounds, Verdict::Refused, &["no change up"]);
    }
}

/// Whoever asks answers for data and demand: neither the signals nor a cooldown are looked at. What is not
/// theirs to give away is: the field, if somebody else sets it, and another Change's.
#[test]
fn a_roll_back_that_was_asked_for_is_held_to_ownership_and_bounds_only() {
    let back = |undo: Undo, direction: Direction, world: &World| {
        undo_requested(&action(), undo, direction, &facts(undo.from.get().into()), world)
    };
    let up = back(undo(8, 4), Direction::Up, &world()).unwrap();
    assert_eq!((up.to(), up.direction()), (n(4), Direction::Down));
    said(
        up.checks(),
        Check::DataQuality,
        Verdict::Skipped,
        &["somebody asked for this roll-back"],
    );
    let down = back(undo(4, 8), Direction::Down, &world()).unwrap();
    assert_eq!((down.to(), down.direction()), (n(8), Direction::Up));
    // The bounds are those of the policy now.
    let far = back(undo(4, 2_000), Direction::Down, &world()).unwrap();
    assert_eq!(far.to(), action().bounds.max);

    let foreign = World {
        owners: vec![Owner::HorizontalPodAutoscaler("web".to_owned())],
        ..world()
    };
    let others = world_with(OpenChange::Others {
        name: "web-9".to_owned(),
        policy: "shop/other".to_owned(),
    });
    for (world, check) in [(&foreign, Check::Ownership), (&others, Check::OpenChange)] {
        let refused = back(undo(8, 4), Direction::Up, world).unwrap_err();
        assert_eq!(refused.reason().map(|result| result.check), Some(check), "{refused}");
    }
    let frozen = World {
        paused: Paused {
            frozen: Some("by hand".to_owned()),
            ..Paused::default()
        },
        ..world()
    };
    assert!(
        back(undo(8, 4), Direction::Up, &frozen).is_ok(),
        "a freeze excepts roll-backs"
    );
}

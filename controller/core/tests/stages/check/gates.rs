//! Checks that let a proposal through or don't, whatever its number.

use super::{Case, case, observed, said};
use crate::{
    build::{at, finite, n, reading, unusable, with_events, world},
    options::{veto, with_history},
};
use flyball_core::{
    check::{Approval, Check, Coverage, Paused, Verdict, World},
    decide::Facts,
    policy::ReplicasAction,
    signal::{Quality, Reading},
};
use rstest::rstest;

fn with_world(from: i64, to: i64, change: impl FnOnce(&mut World)) -> Case {
    let mut world = world();
    change(&mut world);
    Case {
        world,
        ..case(from, to)
    }
}

#[rstest]
// Frozen, up paused, down paused; what an increase and a decrease come to.
#[case(false, false, false, true, true)]
#[case(true, false, false, false, false)]
#[case(false, true, false, false, true)]
#[case(false, false, true, true, false)]
#[case(true, true, true, false, false)]
fn frozen_and_paused_nothing_goes_forward(
    #[case] frozen: bool,
    #[case] up: bool,
    #[case] down: bool,
    #[case] increase: bool,
    #[case] decrease: bool,
) {
    let why = |set: bool, text: &str| set.then(|| text.to_owned());
    let paused = Paused {
        frozen: why(frozen, "incident 7, says ann"),
        up: why(up, "no budget"),
        down: why(down, "sale"),
        namespace: None,
    };
    for (to, passes, field, reason) in [
        (8, increase, "spec.pause.up", "no budget"),
        (2, decrease, "spec.pause.down", "sale"),
    ] {
        let case = with_world(5, to, |world| world.paused = paused.clone());
        if passes {
            case.goes(to, Check::Pause, Verdict::Passed, &["nothing is frozen"]);
            continue;
        }
        let refused = case.refused(Check::Pause, &[]);
        let mut parts = Vec::new();
        if frozen {
            parts.extend([
                "the installation is frozen: incident 7, says ann",
                "until the freeze is lifted",
            ]);
        }
        if if to > 5 { up } else { down } {
            parts.extend([reason, field]);
        }
        said(&refused.checks, Check::Pause, Verdict::Refused, &parts);
    }
    // Out of bounds is no way around it.
    if frozen {
        with_world(1, 2, |world| world.paused = paused.clone()).refused(Check::Pause, &["frozen"]);
        with_world(30, 20, |world| world.paused = paused).refused(Check::Pause, &["frozen"]);
    }
}

#[test]
fn a_decrease_needs_filled_ranges() {
    let filled = |fraction: f64| Coverage::Filled {
        query: "sum(rate(http_requests_total[5m]))".to_owned(),
        fraction: finite(fraction),
    };
    let unknown = Coverage::Unknown("count_over_time timed out".to_owned());
    for (coverage, passes, parts) in [
        (Coverage::NotNeeded, true, vec!["nothing looks back"]),
        (
            filled(1.0),
            true,
            vec!["sum(rate(http_requests_total[5m])) is filled to 100 %"],
        ),
        (filled(0.9), true, vec!["90 %"]),
        (filled(27.0 / 30.0), true, vec!["90 %"]),
        (
            filled(0.8996),
            false,
            vec!["filled to 89.9 %", "a decrease needs 90 %", "wait until"],
        ),
        (filled(0.0), false, vec!["filled to 0 %"]),
        (
            unknown,
            false,
            vec!["not known: count_over_time timed out", "nothing is taken away"],
        ),
    ] {
        for (from, to) in [(8, 5), (30, 20)] {
            let case = with_world(from, to, |world| world.coverage = coverage.clone());
            if passes {
                case.goes(to, Check::Coverage, Verdict::Passed, &parts);
            } else {
                case.refused(Check::Coverage, &parts);
            }
        }
        // An increase may come from what little is known.
        let up = with_world(5, 8, |world| world.coverage = coverage.clone());
        up.goes(
            8,
            Check::Coverage,
            Verdict::Passed,
            &["an increase needs no filled range"],
        );
    }
}

#[test]
fn during_a_rollout_decreases_are_refused() {
    let rolling = |from: i64, to: i64| Case {
        facts: Facts {
            rollout: Some("3 of 8 updated".to_owned()),
            ..crate::build::facts(from)
        },
        ..case(from, to)
    };
    rolling(8, 5).refused(Check::Rollout, &["3 of 8 updated", "wait until it is over"]);
    rolling(30, 20).refused(Check::Rollout, &["3 of 8 updated"]);
    rolling(5, 8).goes(
        8,
        Check::Rollout,
        Verdict::Passed,
        &["3 of 8 updated", "the number at its start"],
    );
    case(8, 5).goes(5, Check::Rollout, Verdict::Passed, &["no rollout"]);
}

#[test]
fn during_a_spike_decreases_are_refused() {
    let spiking = |from: i64, to: i64| {
        let case = case(from, to);
        Case {
            facts: with_history(case.facts, |history| history.spike_until = Some(at(3630))),
            ..case
        }
    };
    spiking(8, 5).refused(Check::Cooldown, &["a spike lasts for another 30s", "wait"]);
    spiking(30, 20).refused(Check::Cooldown, &["a spike"]);
    spiking(5, 8).goes(8, Check::Cooldown, Verdict::Passed, &[]);
    let mut over = spiking(8, 5);
    over.facts.history.spike_until = Some(at(3600));
    over.goes(5, Check::Cooldown, Verdict::Passed, &[]);
}

/// An action with two vetoes of each kind, and the readings of `first`; the others are fine.
fn vetoed(from: i64, to: i64, first: Option<Reading>) -> Case {
    let mut case = case(from, to);
    case.action.inhibit = vec![veto("database"), veto("cache")];
    case.action.hold_down_while = vec![veto("upstream"), veto("queue")];
    let fine = || reading(Quality::Fresh, 3600, &[("a", 0.1), ("b", 0.9)]);
    let mut observed = observed().veto("cache", fine()).veto("queue", fine());
    if let Some(first) = first {
        observed = observed.veto("database", first.clone()).veto("upstream", first);
    }
    case.observed = observed;
    case
}

#[test]
fn what_holds_forbids() {
    let holds = || Some(reading(Quality::Fresh, 3600, &[("a", 0.1), ("b", 0.95)]));
    vetoed(5, 8, holds()).refused(Check::Veto, &["inhibit database holds: latency is 0.95, > 0.9", "wait"]);
    vetoed(8, 5, holds()).refused(Check::Veto, &["holdDownWhile upstream holds: latency is 0.95, > 0.9"]);
    // Also what goes to a bound.
    vetoed(1, 2, holds()).refused(Check::Veto, &[]);
    vetoed(30, 20, holds()).refused(Check::Veto, &[]);
    let fine = || Some(reading(Quality::Fresh, 3600, &[("a", 0.9)]));
    vetoed(5, 8, fine()).goes(8, Check::Veto, Verdict::Passed, &["nothing in inhibit holds"]);
    vetoed(8, 5, fine()).goes(5, Check::Veto, Verdict::Passed, &["nothing in holdDownWhile holds"]);
    case(5, 8).goes(8, Check::Veto, Verdict::Passed, &["inhibit is empty"]);
    case(8, 5).goes(5, Check::Veto, Verdict::Passed, &["holdDownWhile is empty"]);
}

#[test]
fn what_is_not_known_forbids_a_decrease_alone() {
    // Readings that would hold, if they could be trusted.
    let mut bad: Vec<Option<Reading>> = unusable(3600).into_iter().map(Some).collect();
    bad.extend([
        Some(reading(Quality::Stale, 3600, &[("a", 0.95)])),
        Some(reading(Quality::Partial, 3600, &[("a", 0.95)])),
        None,
    ]);
    for reading in bad {
        let quality = reading
            .as_ref()
            .map_or_else(|| "not read".to_owned(), |reading| reading.quality().to_string());
        vetoed(5, 8, reading.clone()).goes(
            8,
            Check::Veto,
            Verdict::Passed,
            &["inhibit database is not known", &quality, "forbids no increase"],
        );
        let Err(refused) = vetoed(8, 5, reading).run() else {
            panic!("passed")
        };
        said(
            &refused.checks,
            Check::Veto,
            Verdict::Refused,
            &["holdDownWhile upstream is not known", &quality],
        );
        said(
            &refused.checks,
            Check::DataQuality,
            Verdict::Refused,
            &["holdDownWhile upstream", &quality],
        );
    }
}

#[test]
fn all_that_forbids_is_named() {
    let mut case = vetoed(8, 5, Some(reading(Quality::Fresh, 3600, &[("a", 0.95)])));
    case.observed = case
        .observed
        .veto("queue", reading(Quality::Fresh, 3600, &[("a", 7.0)]));
    case.refused(
        Check::Veto,
        &["upstream holds: latency is 0.95", "queue holds: latency is 7"],
    );
}

#[test]
fn one_step_is_approved() {
    let with = |approval: Approval| with_world(5, 8, |world| world.approval = approval);
    let granted = |from: i64, to: i64| Approval::Granted {
        from: n(from),
        to: n(to),
        by: "ann".to_owned(),
    };
    case(5, 8).goes(8, Check::Approval, Verdict::Passed, &["none is asked for"]);
    with(granted(5, 8)).goes(8, Check::Approval, Verdict::Passed, &["ann approved 5 -> 8"]);
    with(granted(5, 7)).refused(Check::Approval, &["ann approved 5 -> 7", "it would be 5 -> 8 now"]);
    with(granted(5, 9)).refused(Check::Approval, &["ann approved 5 -> 9", "approve that"]);
    with(Approval::Awaited(Some("web-17".to_owned())))
        .refused(Check::Approval, &["waits for approval; flyball approve web-17"]);
    with(Approval::Awaited(None)).refused(Check::Approval, &["the change to 8 waits for approval"]);
    // The same number from elsewhere is another change, above all where it goes the other way.
    with(granted(2, 8)).refused(Check::Approval, &["ann approved 2 -> 8", "it would be 5 -> 8 now"]);
    with_world(10, 8, |world| world.approval = granted(2, 8))
        .refused(Check::Approval, &["ann approved 2 -> 8", "it would be 10 -> 8 now"]);
    // What counts is the number that would be written.
    let mut clamped = Case {
        to: 30,
        ..with(granted(5, 20))
    };
    clamped.goes(20, Check::Approval, Verdict::Passed, &["ann approved 5 -> 20"]);
    clamped.world.approval = granted(5, 30);
    clamped.refused(Check::Approval, &["ann approved 5 -> 30", "it would be 5 -> 20 now"]);
}

#[test]
fn every_check_reports_whatever_the_others_say() {
    let mut case = vetoed(8, 5, Some(reading(Quality::Error, 3600, &[])));
    case.world.paused.frozen = Some("by hand".to_owned());
    case.world.coverage = Coverage::Unknown("no answer".to_owned());
    case.world.budget.per_minute = Some(0);
    case.world.approval = Approval::Awaited(None);
    case.facts.rollout = Some("under way".to_owned());
    case.action = ReplicasAction {
        down: flyball_core::policy::Behavior {
            cooldown: crate::build::secs(600),
            ..crate::build::behavior()
        },
        ..case.action
    };
    case.facts = with_events(case.facts, &[(3599, 9, 8)]);
    let Err(refused) = case.run() else { panic!("passed") };
    let verdicts: Vec<(Check, Verdict)> = refused
        .checks
        .iter()
        .map(|result| (result.check, result.verdict))
        .collect();
    let (refused, passed, skipped) = (Verdict::Refused, Verdict::Passed, Verdict::Skipped);
    assert_eq!(
        verdicts,
        [
            (Check::Target, passed),
            (Check::Ownership, passed),
            (Check::Pause, refused),
            (Check::DataQuality, refused),
            (Check::Coverage, refused),
            (Check::Rollout, refused),
            (Check::Veto, refused),
            (Check::Ineffective, passed),
            (Check::Cooldown, refused),
            (Check::Rate, passed),
            (Check::Headroom, passed),
            (Check::Budget, refused),
            (Check::Bounds, skipped),
            (Check::OpenChange, skipped),
            (Check::Approval, skipped),
            (Check::DryRun, skipped),
        ]
    );
}

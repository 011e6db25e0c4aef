mod gates;
mod how_far;
mod latch;
mod quality;
mod room;
mod surge;

use crate::build::{
    Observed, at, average, facts, n, number, quiet, ratio, reading, step, unusable, verification, with_events, world,
};
use flyball_core::{
    check::{
        Approved, Candidate, Check, CheckResult, DryRun, OpenChange, Owner, Refused, Target, Verdict, World, shape,
    },
    decide::{Direction, Facts, Proposal},
    policy::{Amount, ReplicasAction},
    signal::Quality,
};
use rstest::rstest;

const ONE: Amount = Amount::Pods(1);

pub fn proposal(from: i64, to: i64) -> Proposal {
    Proposal {
        action: "more-replicas".to_owned(),
        from: n(from),
        to: n(to),
        direction: Direction::between(n(from), n(to)).unwrap(),
        reason: "a test".to_owned(),
        arithmetic: Vec::new(),
        alerts: Vec::new(),
        demand: None,
    }
}

/// Fresh data for `step`, and for a verification with a demand of 100.
fn observed() -> Observed {
    Observed::default()
        .rule("Slow", quiet(0))
        .signal("load", number(3600, 500.0))
        .signal("requests", number(3600, 100.0))
        .verification(number(3600, 0.9))
}

/// A case with everything in order; each test changes what it is about.
struct Case {
    from: i64,
    to: i64,
    action: ReplicasAction,
    observed: Observed,
    facts: Facts,
    world: World,
}

fn case(from: i64, to: i64) -> Case {
    Case {
        from,
        to,
        action: step(ONE, ONE),
        observed: observed(),
        facts: facts(from),
        world: world(),
    }
}

impl Case {
    fn run(&self) -> Result<Candidate, Refused> {
        let proposal = proposal(self.from, self.to);
        let shaped = shape(
            proposal,
            &self.action,
            &self.observed.inputs(),
            &self.facts,
            &self.world,
            at(3600),
        );
        // Whatever comes of it, every check is on record once and in order, and only the dry run of a
        // candidate is still to come.
        let (checks, expect) = match &shaped {
            Ok(candidate) => (candidate.checks(), &Check::ALL[..Check::ALL.len() - 1]),
            Err(refused) => (refused.checks.as_slice(), &Check::ALL[..]),
        };
        assert_eq!(checks.iter().map(|result| result.check).collect::<Vec<_>>(), expect);
        assert!(checks.iter().all(|result| !result.message.is_empty()));
        shaped
    }

    /// The candidate goes to `to`, and the check has this verdict and these parts in its message.
    fn goes(&self, to: i64, check: Check, verdict: Verdict, parts: &[&str]) {
        let candidate = self.run().unwrap_or_else(|refused| panic!("{refused}"));
        assert_eq!(candidate.to(), n(to));
        assert_eq!((candidate.from(), candidate.proposal().to), (n(self.from), n(self.to)));
        said(candidate.checks(), check, verdict, parts);
    }

    /// It is refused by this check alone, with these parts in its message.
    fn refused(&self, check: Check, parts: &[&str]) -> Refused {
        let Err(refused) = self.run() else {
            panic!("{check} did not refuse")
        };
        let refusals: Vec<Check> = refused
            .checks
            .iter()
            .filter(|r| r.verdict == Verdict::Refused)
            .map(|result| result.check)
            .collect();
        assert_eq!(refusals, [check], "{refused}");
        assert_eq!(refused.reason().map(|result| result.check), Some(check));
        assert!(refused.to_string().starts_with(&format!("{check}: ")), "{refused}");
        said(&refused.checks, check, Verdict::Refused, parts);
        refused
    }
}

pub fn said(checks: &[CheckResult], check: Check, verdict: Verdict, parts: &[&str]) {
    let result = checks.iter().find(|result| result.check == check).unwrap();
    assert_eq!(result.verdict, verdict, "{check}: {}", result.message);
    for part in parts {
        assert!(result.message.contains(part), "{:?} lacks {part:?}", result.message);
    }
}

#[test]
fn with_everything_in_order_a_proposal_passes() {
    for (from, to) in [(5, 8), (8, 5)] {
        let candidate = case(from, to).run().unwrap();
        assert!(
            candidate
                .checks()
                .iter()
                .all(|result| result.verdict == Verdict::Passed)
        );
        let approved: Approved = candidate.admit(DryRun::Accepted).unwrap();
        assert_eq!(
            (approved.from(), approved.to(), approved.supersedes()),
            (n(from), n(to), None)
        );
        assert_eq!(Some(approved.direction()), Direction::between(n(from), n(to)));
        assert_eq!(approved.checks().len(), Check::ALL.len());
        assert_eq!(approved.proposal().reason, "a test");
    }
}

#[test]
fn the_api_server_has_the_last_word() {
    let admit = |answer: DryRun| case(5, 8).run().unwrap().admit(answer);
    let Err(refused) = admit(DryRun::Refused("exceeded quota: pods=8".to_owned())) else {
        panic!("accepted")
    };
    said(
        &refused.checks,
        Check::DryRun,
        Verdict::Refused,
        &["8 replicas", "exceeded quota"],
    );
    let approved = admit(DryRun::Skipped("mode is Recommend".to_owned())).unwrap();
    said(
        approved.checks(),
        Check::DryRun,
        Verdict::Skipped,
        &["mode is Recommend"],
    );
}

#[test]
fn there_must_be_a_target() {
    let with = |target: Target| Case {
        world: World { target, ..world() },
        ..case(5, 8)
    };
    for (target, part) in [
        (Target::Missing, "does not exist"),
        (Target::NoScale("ConfigMap".to_owned()), "ConfigMap, which has no scale"),
        (
            Target::NotAllowed("Node".to_owned()),
            "Node, which this installation may not scale",
        ),
    ] {
        let refused = with(target).refused(Check::Target, &["targetRef", part]);
        // Nothing else makes sense then.
        assert!(
            refused.checks[1..]
                .iter()
                .all(|result| result.verdict == Verdict::Skipped)
        );
    }
    let paused = with(Target::Present {
        paused: Some("spec.paused is true".to_owned()),
    });
    let refused = paused.refused(Check::Target, &["spec.paused is true", "resume"]);
    said(&refused.checks, Check::Bounds, Verdict::Passed, &[]);
}

#[test]
fn nobody_else_may_set_the_field() {
    let with = |owners: Vec<Owner>| Case {
        world: World { owners, ..world() },
        ..case(5, 8)
    };
    let text = |text: &str| text.to_owned();
    with(vec![Owner::HorizontalPodAutoscaler(text("web"))]).refused(
        Check::Ownership,
        &["HorizontalPodAutoscaler web", "spec.replicas", "delete"],
    );
    with(vec![Owner::ScaledObject(text("web"))]).refused(Check::Ownership, &["ScaledObject web"]);
    let policy = Owner::Policy {
        namespace: text("shop"),
        name: text("checkout"),
        action: text("more"),
    };
    with(vec![policy.clone()]).refused(
        Check::Ownership,
        &["action more of FeedbackPolicy shop/checkout", "older"],
    );
    let manager = Owner::FieldManager {
        manager: text("argocd-controller"),
        operation: text("Apply"),
    };
    with(vec![policy, manager]).refused(Check::Ownership, &["shop/checkout", "argocd-controller", "Apply"]);
}

#[test]
fn a_decrease_needs_every_reading_to_be_fresh() {
    let down = |observed: Observed| Case { observed, ..case(8, 5) };
    let up = |observed: Observed| Case { observed, ..case(5, 8) };
    for unusable in unusable(3600) {
        let quality = unusable.quality().to_string();
        let bad = || observed().reading("Slow", unusable.clone());
        down(bad()).refused(Check::DataQuality, &["rule Slow", &quality]);
        up(bad()).goes(
            8,
            Check::DataQuality,
            Verdict::Passed,
            &["an increase needs no more", "rule Slow", &quality],
        );
    }
    down(Observed::default()).refused(Check::DataQuality, &["rule Slow was not read"]);
}

#[test]
fn every_reading_that_an_action_uses_counts() {
    let mut by_ratio = Case {
        action: ratio(average(100.0)),
        ..case(8, 5)
    };
    by_ratio.action.verification = Some(verification());
    by_ratio.action.when = vec!["Slow".to_owned()];
    by_ratio.goes(5, Check::DataQuality, Verdict::Passed, &["4 readings are fresh"]);
    let stale = || reading(Quality::Stale, 3600, &[("", 1.0)]);
    let two = || reading(Quality::Fresh, 3600, &[("a", 1.0), ("b", 1.0)]);
    for (observed, part) in [
        (observed().reading("Slow", stale()), "rule Slow is stale"),
        (observed().signal("load", stale()), "signal load is stale"),
        (observed().signal("load", two()), "signal load is no number: 2 series"),
        (observed().signal("requests", stale()), "signal requests is stale"),
        (observed().verification(stale()), "the verification is stale"),
        (
            Observed {
                verification: None,
                ..observed()
            },
            "the verification was not read",
        ),
    ] {
        by_ratio.observed = observed;
        by_ratio.refused(Check::DataQuality, &[part]);
    }
    // A rule that the way down asks for.
    let mut by_step = case(8, 5);
    let flyball_core::policy::Law::Step(law) = &mut by_step.action.law else {
        panic!("no step")
    };
    law.down.as_mut().unwrap().when = vec!["Idle".to_owned()];
    by_step.refused(Check::DataQuality, &["rule Idle was not read"]);
}

fn ours(direction: Direction, to: i64, superseding_allowed: bool) -> OpenChange {
    OpenChange::Ours {
        name: "web-17".to_owned(),
        direction,
        to: n(to),
        superseding_allowed,
    }
}

#[rstest]
#[case(5, 8, Direction::Up, 5, true, true)] // A larger increase than the one that is verified.
#[case(5, 8, Direction::Up, 5, false, false)] // That one is not written yet.
#[case(5, 8, Direction::Up, 8, true, false)] // Not larger.
#[case(5, 8, Direction::Up, 9, true, false)]
#[case(5, 8, Direction::Down, 5, true, false)] // A decrease is verified.
#[case(5, 4, Direction::Up, 5, true, false)] // A decrease waits.
#[case(5, 4, Direction::Down, 5, true, false)]
// What wakes does not wait for the verification of going to zero, once that was written.
#[case(0, 2, Direction::Down, 0, true, true)]
#[case(0, 2, Direction::Down, 0, false, false)]
#[case(1, 2, Direction::Down, 1, true, false)]
fn one_change_is_open_at_a_time(
    #[case] from: i64,
    #[case] to: i64,
    #[case] open: Direction,
    #[case] open_to: i64,
    #[case] allowed: bool,
    #[case] passes: bool,
) {
    let case = Case {
        world: World {
            open: ours(open, open_to, allowed),
            ..world()
        },
        ..case(from, to)
    };
    if passes {
        assert_eq!(case.run().unwrap().supersedes(), Some("web-17"));
        case.goes(to, Check::OpenChange, Verdict::Passed, &["supersedes Change web-17"]);
    } else {
        case.refused(Check::OpenChange, &["Change web-17", "wait"]);
    }
}

#[test]
fn what_supersedes_must_be_larger_after_clamping() {
    // 30 is asked for, 20 allowed, and 20 is what is being verified.
    let case = Case {
        world: World {
            open: ours(Direction::Up, 20, true),
            ..world()
        },
        ..case(19, 30)
    };
    case.refused(Check::OpenChange, &["up to 20 is open"]);
}

#[test]
fn the_change_of_another_policy_is_named() {
    let open = OpenChange::Others {
        name: "web-9".to_owned(),
        policy: "shop/other".to_owned(),
    };
    let case = Case {
        world: World { open, ..world() },
        ..case(5, 8)
    };
    case.refused(Check::OpenChange, &["web-9", "shop/other", "only one action"]);
}

#[test]
fn every_refusal_is_on_record() {
    let mut case = latch::latched(Some(100.0), Some(0.9));
    case.world.owners = vec![Owner::ScaledObject("web".to_owned())];
    case.action.up.cooldown = crate::build::secs(60);
    case.facts.history.events = with_events(facts(5), &[(3599, 4, 5)]).history.events;
    case.world.open = ours(Direction::Down, 5, false);
    let Err(refused) = case.run() else { panic!("passed") };
    let refusals: Vec<Check> = refused
        .checks
        .iter()
        .filter(|r| r.verdict == Verdict::Refused)
        .map(|result| result.check)
        .collect();
    assert_eq!(
        refusals,
        [Check::Ownership, Check::Ineffective, Check::Cooldown, Check::OpenChange]
    );
    assert!(refused.to_string().starts_with("Ownership: ScaledObject web"));
    said(
        &refused.checks,
        Check::DryRun,
        Verdict::Skipped,
        &["an earlier check refused"],
    );
    assert_eq!(refused.proposal.to, n(8));
}

//! The pure parts, on worlds made by hand.

mod report;
mod screen;

use super::{
    frame::span,
    manifests,
    setting::{ALERT, LOW, Part, Setting},
    story::{Act, Outcome, Step, Story},
    world::{Measured, Sighting, World},
};
use flyball_crds::{Change, FeedbackPolicy};
use jiff::Timestamp;
use rstest::rstest;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_322_800 + seconds).unwrap()
}

fn world() -> World {
    World::new(at(0))
}

fn measured(latency: f64, load: f64) -> Sighting {
    Sighting::Measured(Measured {
        latency: Some(latency),
        recent: Some(latency),
        load: Some(load),
    })
}

fn policy(alert: &str, state: &str, since: i64) -> Sighting {
    let alerts = if state == "inactive" {
        serde_json::json!([])
    } else {
        serde_json::json!([{"labels": {"alertname": alert}, "state": state, "activeAt": at(since), "value": "0.63"}])
    };
    let policy = serde_json::json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy", "metadata": {"name": "checkout"},
        "spec": {"sourceRef": {"name": "s"}, "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"}},
        "status": {"doing": "Idle", "why": "no rule fires", "rules": [{"alert": alert, "state": state, "alerts": alerts}]},
    });
    Sighting::Policy(Box::new(serde_json::from_value::<FeedbackPolicy>(policy).unwrap()))
}

/// A Change: its sequence, values, phase, proposal, write and end.
fn change(
    sequence: i64,
    (before, after): (i32, i32),
    phase: &str,
    times: (i64, Option<i64>, Option<i64>),
    result: &str,
) -> Sighting {
    let (proposed, applied, closed) = times;
    let refused = phase == "Refused";
    let verdict = if result.is_empty() {
        serde_json::Value::Null
    } else {
        serde_json::json!({"result": result, "message": format!("said {result}"), "at": at(closed.unwrap_or(proposed))})
    };
    let change = serde_json::json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change", "metadata": {"name": format!("change-{sequence}-{proposed}")},
        "spec": {
            "policy": {"name": "p", "uid": "u", "generation": 1}, "action": "more-replicas", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "t", "uid": "u"}, "field": "replicas",
            "direction": if after > before { "Up" } else { "Down" }, "sequence": sequence, "before": before, "after": after,
            "verified": before, "proposedAt": at(proposed), "reason": "HighRequestLatency fires",
            "verification": {
                "expr": "x <= 0.5", "settle": "1m10s", "within": "100s", "source": "s", "maxAge": "15s",
                "demandTolerancePercent": 20, "onInconclusive": "Hold", "onIneffective": "RollBack", "latch": "30m",
            },
            "evidence": {
                "alerts": [{"labels": {"alertname": if after > before { ALERT } else { LOW }}, "state": "firing", "activeAt": at(40), "value": "1"}],
                "arithmetic": ["2 + 50 % = 3"],
                "checks": [{"name": "Ineffective", "verdict": if refused { "Refused" } else { "Passed" }}],
            },
        },
        "status": {"phase": phase, "appliedAt": applied.map(at), "closedAt": closed.map(at), "verdict": verdict},
    });
    Sighting::Change(Box::new(serde_json::from_value::<Change>(change).unwrap()))
}

/// Plays the first chapter up to and with a step.
fn play(world: &mut World, story: &mut Story, upto: Step) -> Vec<Act> {
    let mut acts = Vec::new();
    let mut go = |world: &mut World, seconds: i64, sightings: Vec<Sighting>| {
        for sighting in sightings {
            world.see(Part::Checkout, sighting, at(seconds));
        }
        acts.extend(story.advance(world, at(seconds)));
    };
    let steps: Vec<(Step, i64, Vec<Sighting>)> = vec![
        (Step::Calm, 0, vec![Sighting::Deployment(2, 2), measured(0.1, 40.0)]),
        (Step::Calm, 26, vec![measured(0.1, 40.0), policy(LOW, "firing", 10)]),
        (Step::Breach, 39, vec![measured(0.6, 95.0), policy(LOW, "inactive", 0)]),
        (Step::Pending, 40, vec![policy(ALERT, "pending", 40)]),
        (Step::Firing, 61, vec![policy(ALERT, "firing", 40)]),
        (
            Step::Applied,
            62,
            vec![change(1, (2, 3), "Verifying", (61, Some(62), None), "")],
        ),
        (Step::Applied, 64, vec![Sighting::Deployment(3, 3), measured(1.0, 95.0)]),
        (
            Step::Committed,
            135,
            vec![change(1, (2, 3), "Committed", (61, Some(62), Some(135)), "Achieved")],
        ),
        (
            Step::Recovered,
            136,
            vec![measured(0.11, 95.0), policy(ALERT, "inactive", 0)],
        ),
        (Step::Low, 165, vec![policy(LOW, "firing", 150)]),
        (
            Step::Lowered,
            170,
            vec![change(2, (3, 2), "Verifying", (170, Some(170), None), "")],
        ),
        (
            Step::Down,
            272,
            vec![change(2, (3, 2), "Committed", (170, Some(170), Some(272)), "Achieved")],
        ),
    ];
    let last = steps.iter().rposition(|(step, ..)| *step == upto).unwrap();
    for (_, seconds, sightings) in steps.into_iter().take(last + 1) {
        go(world, seconds, sightings);
    }
    acts
}

fn outcome(story: &Story, part: Part, step: Step) -> &Outcome {
    &story
        .items
        .iter()
        .find(|item| item.part == part && item.step == step)
        .unwrap()
        .outcome
}

#[test]
fn the_first_chapter_comes_step_by_step_and_steers_the_load() {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    assert_eq!(play(&mut world, &mut story, Step::Down), [Act::StepUp, Act::StepDown]);
    assert!(matches!(outcome(&story, Part::Checkout, Step::Down), Outcome::Came(..)));
    assert_eq!(
        (story.came(), story.ended()),
        (11, None),
        "the second chapter is still to come"
    );
}

#[test]
fn low_traffic_before_the_load_fell_does_not_count() {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    play(&mut world, &mut story, Step::Recovered);
    assert!(matches!(
        outcome(&story, Part::Checkout, Step::Low),
        Outcome::Waiting(_)
    ));
}

#[rstest]
#[case::too_late(Step::Pending, 40 + 66, "Verifying", "not within 65 s; instead: HighRequestLatency is pending")]
#[case::never(Step::Calm, 26 + 106, "Verifying", "not within 105 s; instead: latency is 0.10 s at 40 requests/s")]
#[case::something_else(Step::Applied, 100, "Inconclusive", "Change change-1-61 (2 -> 3) is Inconclusive")]
fn a_step_that_does_not_come_is_told_as_what_did(
    #[case] upto: Step,
    #[case] now: i64,
    #[case] phase: &str,
    #[case] text: &str,
) {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    play(&mut world, &mut story, upto);
    if phase == "Inconclusive" {
        world.see(
            Part::Checkout,
            change(1, (2, 3), phase, (61, Some(62), Some(99)), phase),
            at(now),
        );
    }
    story.advance(&world, at(now));
    let missing = story.items.iter().find_map(|item| {
        if let Outcome::Missing(text) = &item.outcome {
            Some(text)
        } else {
            None
        }
    });
    assert!(missing.is_some_and(|missing| missing.starts_with(text)), "{missing:?}");
    assert_eq!(story.ended(), Some(false));
}

/// Plays the second chapter to its roll-back at 240.
fn second(world: &mut World, story: &mut Story) {
    for seconds in 60..140 {
        world.see(Part::Orders, measured(1.6, 25.0), at(seconds));
    }
    assert_eq!(story.advance(world, at(140)), [Act::SecondPolicy]);
    world.see(Part::Orders, policy(ALERT, "firing", 141), at(162));
    world.see(
        Part::Orders,
        change(1, (2, 3), "Verifying", (162, Some(162), None), ""),
        at(162),
    );
    story.advance(world, at(163));
    world.see(
        Part::Orders,
        change(1, (2, 3), "RolledBack", (162, Some(162), Some(240)), "Ineffective"),
        at(240),
    );
    story.advance(world, at(240));
    assert!(matches!(
        outcome(story, Part::Orders, Step::RolledBack),
        Outcome::Came(..)
    ));
}

#[rstest]
#[case::refused_and_quiet(&[(0, 2, 3, "Refused", 245)], 301, Some(true))]
#[case::not_long_enough(&[(0, 2, 3, "Refused", 245)], 290, None)]
#[case::never_refused(&[], 301, None)]
#[case::repeated(&[(0, 2, 3, "Refused", 245), (2, 2, 3, "Verifying", 250)], 290, Some(false))]
fn the_roll_back_is_believed_only_if_it_is_not_repeated(
    #[case] then: &[(i64, i32, i32, &str, i64)],
    #[case] now: i64,
    #[case] expected: Option<bool>,
) {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    play(&mut world, &mut story, Step::Down);
    second(&mut world, &mut story);
    for (sequence, before, after, phase, proposed) in then {
        world.see(
            Part::Orders,
            change(*sequence, (*before, *after), phase, (*proposed, None, None), ""),
            at(*proposed),
        );
    }
    story.advance(&world, at(now));
    assert_eq!(story.ended(), expected);
}

#[test]
fn the_first_rule_is_word_for_word() {
    let policies = [Setting::VERBATIM, Setting::SHORT].map(|setting| manifests::policy(Part::Checkout, &setting));
    let rule = |window: &str, hold: &str| {
        format!(
            "expr: rate(http_request_duration_seconds_sum[{window}]) / rate(http_requests_total[{window}]) > 0.5\n    for: {hold}\n    \
             labels: {{severity: warning}}\n    annotations: {{summary: \"High latency detected\"}}"
        )
    };
    assert!(policies[0].contains(&rule("5m", "2m")), "{}", policies[0]);
    assert!(policies[1].contains(&rule("1m", "20s")), "{}", policies[1]);
}

#[rstest]
fn every_policy_of_the_demo_is_valid(
    #[values(Part::Checkout, Part::Orders)] part: Part,
    #[values(Setting::SHORT, Setting::VERBATIM)] setting: Setting,
) {
    let documents = manifests::documents("policy", &manifests::policy(part, &setting)).unwrap();
    let policy: FeedbackPolicy = serde_json::from_value(serde_json::to_value(&documents[0]).unwrap()).unwrap();
    flyball_controller::validate::policy(&policy.spec).unwrap();
    assert_eq!(span(setting.window), Some(setting.times.window.as_secs_f64()));
    assert_eq!(span(setting.hold), Some(setting.times.hold.as_secs_f64()));
    assert!(
        span(setting.settle) > span(setting.window),
        "samples from before the change must not be judged"
    );
    assert!(span(setting.within_of(part)).is_some_and(|within| within <= setting.times.within.as_secs_f64()));
}

#[test]
fn no_placeholder_is_left() {
    let image = manifests::Image {
        name: "i:1".to_owned(),
        pull: "Never",
    };
    for part in Part::ALL {
        let texts = [
            manifests::namespace(part.namespace()),
            manifests::services(part, &image),
            manifests::load(part, "l", 5, &image),
            manifests::source(part.namespace(), "http://127.0.0.1:1"),
            manifests::policy(part, &Setting::SHORT),
        ];
        for text in texts {
            assert!(!text.contains("${"), "{text}");
            assert!(!manifests::documents("text", &text).unwrap().is_empty());
        }
    }
}

//! The chapter's story on looks made by hand.

use super::{
    Chapter, NAMESPACE,
    known::{Known, Seen},
    picture::frame,
    stage,
    story::{Act, Step, Story},
};
use crate::demo::{
    frame::{HEIGHT, WIDTH},
    manifests::{Image, documents},
    report::weights::{csv, section, svg},
    story::Outcome,
    world::World,
};
use flyball_crds::{Change, FeedbackPolicy};
use jiff::Timestamp;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_322_800 + seconds).unwrap()
}

fn named(values: [i64; 3]) -> Vec<serde_json::Value> {
    let each = ["a", "b", "c"].into_iter().zip(values);
    each.map(|(backend, weight)| serde_json::json!({"backend": backend, "weight": weight}))
        .collect()
}

/// A Change: its sequence, why, weights after, phase, and when it was proposed and written.
fn change(sequence: i64, why: &str, after: [i64; 3], phase: &str, proposed: i64) -> Change {
    let closed = (phase == "Committed").then(|| at(proposed + 6));
    serde_json::from_value(serde_json::json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "Change", "metadata": {"name": format!("change-{sequence}")},
        "spec": {
            "policy": {"name": "p", "uid": "u", "generation": 1}, "action": "shift", "mode": "Enforce",
            "target": {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "weights", "uid": "u"},
            "field": "weights", "direction": "Up", "sequence": sequence, "before": 0, "after": 0, "verified": 0,
            "move": format!("to {after:?}"), "proposedAt": at(proposed), "reason": "so | so", "evidence": {},
            "weights": {
                "why": why,
                "lists": [{
                    "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "weights", "uid": "u",
                    "resourceVersion": "7", "before": named([400, 400, 200]),
                }],
                "after": named(after), "verified": named([400, 400, 200]),
                "share": {"requests": "r", "window": "5s", "maxAge": "10s", "settle": "5s", "within": "10s"},
            },
        },
        "status": {
            "phase": phase, "appliedAt": at(proposed), "closedAt": closed,
            "verdict": {"result": "Achieved", "message": "the traffic follows", "at": at(proposed)},
        },
    }))
    .unwrap()
}

/// A look: weights, the part that fails, and the Changes.
fn seen(weights: [i64; 3], failing: f64, changes: &[Change]) -> Seen {
    let names = ["a", "b", "c"].map(ToOwned::to_owned);
    #[allow(clippy::cast_precision_loss)] // Small weights.
    let served = weights.map(|weight| weight as f64);
    Seen {
        weights: names.clone().into_iter().zip(weights).collect(),
        accepted: true,
        served: names.into_iter().zip(served).collect(),
        failing: Some(failing),
        changes: changes.to_vec(),
        doing: "Steady at a 400, b 400, c 200".to_owned(),
    }
}

/// Plays everything, and returns what was to be done.
fn play(known: &mut Known, story: &mut Story) -> Vec<Act> {
    let slow = |phase| change(1, "Law", [250, 500, 250], phase, 12);
    let dead = |phase| change(2, "Ejection", [500, 500, 0], phase, 42);
    let first = change(3, "Return", [499, 499, 2], "Verifying", 52);
    let whole = change(3, "Return", [499, 499, 2], "Committed", 52);
    let looks = [
        (0, seen([400, 400, 200], 0.0, &[])),
        (9, seen([400, 400, 200], 0.0, &[])),
        (11, seen([400, 400, 200], 0.05, &[])),
        (13, seen([250, 500, 250], 0.05, &[slow("Verifying")])),
        (20, seen([250, 500, 250], 0.0, &[slow("Committed")])),
        (30, seen([400, 400, 200], 0.0, &[])),
        (41, seen([400, 400, 200], 0.03, &[])),
        (43, seen([500, 500, 0], 0.1, &[dead("Verifying")])),
        (49, seen([500, 500, 0], 0.0, &[dead("Committed")])),
        (53, seen([499, 499, 2], 0.0, &[first])),
        (80, seen([400, 400, 200], 0.0, &[whole])),
    ];
    let mut acts = Vec::new();
    for (second, look) in looks {
        known.see(look, at(second));
        let now = story.advance(known, at(second));
        known.marks.extend(now.iter().map(|act| (at(second), *act)));
        acts.extend(now);
    }
    acts
}

#[test]
fn the_chapter_comes_step_by_step_and_steers_the_backends() {
    let (mut known, mut story) = (Known::default(), Story::new());
    let acts = play(&mut known, &mut story);
    assert_eq!(acts, [Act::Slow, Act::Fast, Act::Kill, Act::Revive]);
    assert_eq!((story.came(), story.ended()), (10, Some(true)), "{:?}", story.items);
}

#[test]
fn a_step_that_does_not_come_is_told_as_what_did() {
    let (mut known, mut story) = (Known::default(), Story::new());
    for second in [0, 9, 20, 66] {
        known.see(seen([400, 400, 200], 0.0, &[]), at(second));
        story.advance(&known, at(second));
    }
    assert_eq!(story.ended(), Some(false));
    let missing = story.items.iter().find(|item| item.step == Step::Failing).unwrap();
    let told = "not within 45 s; instead: 0.0 % of the requests fail; the policy is Steady at a 400, b 400, c 200";
    assert_eq!(missing.outcome, Outcome::Missing(told.to_owned()));
}

#[test]
fn the_screen_and_the_report_hold_what_happened() {
    let (mut known, mut story) = (Known::default(), Story::new());
    play(&mut known, &mut story);
    let mut world = World::new(at(-10));
    world.say(at(9), Some("weights"), "a slows to half its speed ".repeat(9));
    let chapter = Chapter {
        began: at(0),
        ended: Some(at(81)),
        known,
        story,
        load: None,
    };
    let rows: Vec<String> = frame(&world, &chapter, at(80))
        .iter()
        .map(|row| row.print(false))
        .collect();
    assert_eq!(rows.len(), HEIGHT);
    assert!(rows.iter().all(|row| row.chars().count() <= WIDTH), "{rows:#?}");
    assert!(rows[2].starts_with(" a             40 %"), "{rows:#?}");
    assert!(rows[23].contains("10/10 the chapter is told"), "{rows:#?}");
    let mut text = String::new();
    section(&mut text, &world, &chapter);
    assert!(text.contains("| c is taken out | 0:52 | to [500, 500, 0] |"), "{text}");
    assert!(
        text.contains("| to [500, 500, 0] | 0:52 | so \\| so | 0.0 s |"),
        "{text}"
    );
    let csv = csv(&chapter);
    assert_eq!(
        csv.lines().nth(4).unwrap().split(',').skip(2).collect::<Vec<_>>(),
        ["0.2500", "0.5000", "0.2500", "0.2500", "0.5000", "0.2500", "0.0500"]
    );
    let svg = svg(&chapter).unwrap();
    for word in ["verified", "c loses its only pod", "share (%)", "errors (%)"] {
        assert!(svg.contains(word), "{word}");
    }
}

#[test]
fn the_chapter_s_manifests_are_valid() {
    let policy = documents("policy", &stage::policy()).unwrap();
    let policy: FeedbackPolicy = serde_json::from_value(serde_json::to_value(&policy[0]).unwrap()).unwrap();
    flyball_controller::validate::policy(&policy.spec).unwrap();
    let image = Image {
        name: "i:1".to_owned(),
        pull: "Never",
    };
    for text in stage::objects(&image).into_iter().chain([stage::policy()]) {
        assert!(!text.contains("${"), "{text}");
        let all = documents("text", &text).unwrap();
        assert!(
            all.iter()
                .all(|object| object.metadata.namespace.as_deref() == Some(NAMESPACE))
        );
    }
}

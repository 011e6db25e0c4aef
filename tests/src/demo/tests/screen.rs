use super::{at, play, world};
use crate::demo::{
    frame::{HEIGHT, WIDTH, clock, frame, span},
    setting::Setting,
    story::{Step, Story},
};
use jiff::SignedDuration;
use rstest::rstest;

#[test]
fn a_frame_fits_a_terminal_and_says_what_matters() {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    play(&mut world, &mut story, Step::Applied);
    world.say(
        at(64),
        Some("checkout"),
        "a line that is much too long for the screen ".repeat(5),
    );
    let rows = frame(&world, &story, &Setting::SHORT, at(74));
    let plain: Vec<String> = rows.iter().map(|row| row.print(false)).collect();
    assert_eq!(plain.len(), HEIGHT);
    assert!(
        plain
            .iter()
            .all(|row| row.chars().count() <= WIDTH && !row.contains('\x1b')),
        "{plain:#?}"
    );
    let text = plain.join("\n");
    for expected in [
        "for 20s",
        "1:14",
        "latency     1.00 s",
        "over 0.5 s",
        "load         95 /s",
        "replicas         3",
        "ready",
        "HighRequestLatency firing",
        "change   2 -> 3 Verifying   judged from 58 s on, deadline in 88 s",
        "no policy yet",
        "6/17 its effect is verified",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(rows.iter().any(|row| row.print(true).contains("\x1b[")));
}

#[test]
fn a_pending_alert_shows_how_far_it_is() {
    let (mut world, mut story) = (world(), Story::new(Setting::SHORT));
    play(&mut world, &mut story, Step::Pending);
    let rows = frame(&world, &story, &Setting::SHORT, at(50));
    let text: String = rows.iter().map(|row| row.print(false) + "\n").collect();
    assert!(
        text.contains("HighRequestLatency pending 10s/20s ██████████░░░░░░░░░░"),
        "{text}"
    );
}

#[rstest]
#[case("70s", Some(70.0))]
#[case("5m20s", Some(320.0))]
#[case("1h", Some(3600.0))]
#[case("100ms", Some(0.1))]
#[case("5", None)]
#[case("5x", None)]
fn durations_are_read_as_prometheus_spells_them(#[case] text: &str, #[case] expected: Option<f64>) {
    assert_eq!(span(text), expected);
}

#[test]
fn a_clock_counts_minutes() {
    assert_eq!(clock(SignedDuration::from_secs(605).as_secs_f64()), "10:05");
}

use super::{Run, container, observed, plain, ratio};
use crate::build::at;
use flyball_core::{
    evaluate::watermark::{Level, Observed, Options, Ratio, SUBJECTS_CAP, Subject, WatermarkState},
    time::Timestamp,
};

/// A sample every ten seconds.
fn check(options: Options, values: &[f64], expect: &str) -> Run {
    let mut run = Run::new(options);
    for (second, value) in (0..).step_by(10).zip(values) {
        run.one(second, *value);
    }
    assert_eq!(run.story(), expect, "{values:?}");
    run
}

#[test]
fn a_level_is_raised_once_it_was_held() {
    check(plain(), &[0.85; 4], "30:warning");
    check(plain(), &[0.85; 3], "");
    // At the threshold is above it.
    check(plain(), &[0.80; 4], "30:warning");
    check(plain(), &[0.7999; 9], "");
    check(plain(), &[0.90; 4], "30:high");
    // Emergency is held for 10 s alone, and takes the others with it.
    check(plain(), &[0.96; 2], "10:emergency");
    check(plain(), &[0.95, 0.94, 0.95, 0.94], "30:high");
    check(plain(), &[0.85, 0.85, 0.92, 0.92, 0.92, 0.92], "30:warning 50:high");
    // More than full is full.
    check(plain(), &[1.2; 2], "10:emergency");
}

#[test]
fn a_peak_raises_nothing() {
    check(plain(), &[0.5, 0.99, 0.5, 0.5], "");
    check(plain(), &[0.5, 0.99, 0.5, 0.99, 0.5, 0.99, 0.5], "");
    // One below, and it begins anew: at 30.
    check(plain(), &[0.85, 0.85, 0.79, 0.85, 0.85, 0.85, 0.85], "60:warning");
    // Two seconds at one look a second.
    let mut run = Run::new(plain());
    for (second, value) in (0..).zip([0.5, 0.5, 0.99, 0.99, 0.99, 0.5, 0.5, 0.5]) {
        run.one(second, value);
    }
    assert_eq!(run.story(), "");
}

#[test]
fn one_scrape_is_one_sample_however_often_it_is_read() {
    let mut run = Run::new(plain());
    for second in 0..60 {
        run.pass(second, &observed(&[("a", Ok(ratio(0, 0.99)))]));
    }
    assert_eq!(run.story(), "");
    // The time is that of the samples, not of the looks: 30 s between the first and the third.
    let mut run = Run::new(plain());
    for (second, sampled) in [(20, 0), (21, 15), (22, 20)] {
        run.pass(second, &observed(&[("a", Ok(ratio(sampled, 0.85)))]));
    }
    assert_eq!(run.story(), "");
    run.pass(32, &observed(&[("a", Ok(ratio(30, 0.85)))]));
    assert_eq!(run.story(), "32:warning");
    // Two samples 30 s apart are no third one when they are read again.
    let mut run = Run::new(plain());
    for (second, sampled) in [(0, 0), (30, 30), (31, 30), (45, 30)] {
        run.pass(second, &observed(&[("a", Ok(ratio(sampled, 0.85)))]));
    }
    assert_eq!(run.story(), "");
    run.pass(60, &observed(&[("a", Ok(ratio(60, 0.85)))]));
    assert_eq!(run.story(), "60:warning");
}

#[test]
fn a_level_ends_below_its_margin_after_a_time() {
    // Raised at 30; 0.78 is no end, 0.76 is, once it was there from 50 to 110.
    let mut values = vec![0.85; 4];
    values.extend([0.78; 20]);
    check(plain(), &values, "30:warning");
    let mut values = vec![0.85; 5];
    values.extend([0.76; 6]);
    check(plain(), &values, "30:warning");
    values.push(0.76);
    let run = check(plain(), &values, "30:warning 110:normal");
    let (_, up) = &run.log[0];
    assert_eq!(
        (up.from, up.to, up.value, up.threshold, up.since),
        (Level::Normal, Level::Warning, 0.85, 0.80, at(0))
    );
    assert_eq!(
        up.to_string(),
        "a/app: warning after normal, at 85.0 %, not below 80.0 %"
    );
    assert!(up.is_up());
    let (_, down) = &run.log[1];
    assert_eq!(
        (down.from, down.to, down.value, down.since),
        (Level::Warning, Level::Normal, 0.76, at(50))
    );
    assert!((down.threshold - 0.77).abs() < 1e-9 && !down.is_up());
    assert_eq!(down.to_string(), "a/app: normal after warning, at 76.0 %, below 77.0 %");
    // Once at 0.77 begins the end anew: from 90 on.
    let mut values = vec![0.85; 5];
    values.extend([0.76, 0.76, 0.76, 0.77]);
    values.extend([0.76; 7]);
    check(plain(), &values, "30:warning 150:normal");
}

#[test]
fn levels_end_as_far_as_memory_fell() {
    // From emergency below 92 % but not below 87: high.
    let mut values = vec![0.96; 2];
    values.extend([0.90; 7]);
    check(plain(), &values, "10:emergency 80:high");
    // Below 87 but not below 77: warning, at once. Below all: normal.
    let mut values = vec![0.96; 2];
    values.extend([0.85; 7]);
    check(plain(), &values, "10:emergency 80:warning");
    let mut values = vec![0.96; 2];
    values.extend([0.10; 7]);
    check(plain(), &values, "10:emergency 80:normal");
    // Not below 92: it stays.
    let mut values = vec![0.96; 2];
    values.extend([0.93; 20]);
    check(plain(), &values, "10:emergency");
}

/// A sample a minute, adapted by default.
fn minutes(run: &mut Run, from: i64, count: i64, value: f64) {
    for minute in from..from + count {
        run.one(60 * minute, value);
    }
}

fn adapted() -> Run {
    Run::new(Options {
        foresee: None,
        ..Options::default()
    })
}

#[test]
fn what_is_usual_is_no_warning_for_ever() {
    // Three samples at 120. Kept are those 150 s apart, so every 180: the twelfth at 1980. From 2040 on the warning
    // is at 82 + 5 and ends below 84, after a minute.
    let mut run = adapted();
    minutes(&mut run, 0, 600, 0.82);
    assert_eq!(run.story(), "120:warning 2100:normal");
    // What is unusual still is.
    minutes(&mut run, 600, 10, 0.88);
    assert_eq!(run.story(), "120:warning 2100:normal 36120:warning");
    assert!((run.log[2].1.threshold - 0.87).abs() < 1e-9);
}

#[test]
fn adapting_has_a_ceiling_and_a_floor() {
    // Usually at 90.5 %: no high for ever, but a warning; its ceiling is 88, and it ends below 85.
    let mut run = adapted();
    minutes(&mut run, 0, 600, 0.905);
    assert_eq!(run.story(), "120:high 2100:warning");
    // 92 % is not below where high ends at its ceiling, 91.
    let mut run = adapted();
    minutes(&mut run, 0, 600, 0.92);
    assert_eq!(run.story(), "120:high");
    // An emergency is never usual.
    let mut run = adapted();
    minutes(&mut run, 0, 600, 0.951);
    assert_eq!(run.story(), "60:emergency");
    // What is usually empty has its floor.
    let mut run = adapted();
    minutes(&mut run, 0, 600, 0.10);
    minutes(&mut run, 600, 3, 0.79);
    assert_eq!(run.story(), "");
    minutes(&mut run, 603, 3, 0.80);
    assert_eq!(run.story(), "36300:warning");
}

#[test]
fn a_rise_is_not_usual_before_half_of_the_window() {
    // Two hours at 60 %, then 83: the median of an hour's samples stays 60 % for the first half hour.
    let mut run = adapted();
    minutes(&mut run, 0, 120, 0.60);
    minutes(&mut run, 120, 30, 0.83);
    assert_eq!(run.story(), "7320:warning");
    assert_eq!(run.level(), Level::Warning);
    minutes(&mut run, 150, 60, 0.83);
    assert_eq!(run.level(), Level::Normal);
}

/// Raised to warning at 30.
fn warned() -> Run {
    let run = check(plain(), &[0.85; 4], "30:warning");
    assert_eq!(run.level(), Level::Warning);
    run
}

#[test]
fn absence_moves_nothing_and_says_so() {
    let nothing = Observed::default();
    let failed = Observed {
        absent: Some("the reading is error: time-out".to_owned()),
        ..Observed::default()
    };
    let not_finite = observed(&[("a", Err("its ratio is NaN".to_owned()))]);
    let stale = observed(&[("a", Ok(ratio(40, 0.10)))]);
    for (observed, first, why) in [
        (&nothing, 40, "no series is of it"),
        (&failed, 40, "the reading is error: time-out"),
        (&not_finite, 40, "its ratio is NaN"),
        (&stale, 200, "its newest sample is 2m40s old, more than 2m"),
    ] {
        let mut run = warned();
        run.pass(first, observed);
        let said = run.state.subjects[&container("a")].unknown.clone().unwrap();
        assert_eq!((said.since, said.why.as_str()), (at(first), why));
        for second in (first..7200).step_by(10) {
            run.pass(second, observed);
        }
        assert_eq!(
            (run.story().as_str(), run.level()),
            ("30:warning", Level::Warning),
            "{why}"
        );
        assert_eq!(
            run.state.subjects[&container("a")].unknown.as_ref().unwrap().since,
            at(first)
        );
        // It is known again, and below for a minute.
        run.one(7200, 0.10);
        assert_eq!(run.state.subjects[&container("a")].unknown, None);
        run.one(7250, 0.10);
        run.one(7260, 0.10);
        assert_eq!(run.story(), "30:warning 7260:normal", "{why}");
    }
}

#[test]
fn what_was_never_known_is_normal_and_says_so() {
    let mut run = Run::new(plain());
    run.pass(5, &observed(&[("a", Err("its ratio is NaN".to_owned()))]));
    let state = &run.state.subjects[&container("a")];
    assert_eq!((state.level, state.value), (Level::Normal, None));
    assert!(state.unknown.is_some());
}

#[test]
fn a_gap_holds_nothing() {
    let mut run = Run::new(plain());
    for second in [0, 10, 131, 141] {
        run.one(second, 0.85);
    }
    // 121 s without a sample: from 131 on.
    assert_eq!(run.story(), "");
    run.one(161, 0.85);
    assert_eq!(run.story(), "161:warning");
    // A gap of 120 s is none; and on the way down neither.
    let mut run = Run::new(plain());
    for second in [0, 10, 130] {
        run.one(second, 0.85);
    }
    assert_eq!(run.story(), "130:warning");
    run.one(140, 0.10);
    run.one(261, 0.10);
    assert_eq!(run.story(), "130:warning");
    run.one(321, 0.10);
    assert_eq!(run.story(), "130:warning 321:normal");
}

#[test]
fn a_reading_that_is_not_fresh_raises_and_never_lowers() {
    let doubtful = |second, value| {
        let ratio = Ratio {
            may_lower: false,
            ..ratio(second, value)
        };
        observed(&[("a", Ok(ratio))])
    };
    let mut run = Run::new(plain());
    for second in [0, 10, 20, 30] {
        run.pass(second, &doubtful(second, 0.85));
    }
    assert_eq!(run.story(), "30:warning");
    for second in (40..1000).step_by(10) {
        run.pass(second, &doubtful(second, 0.10));
    }
    assert_eq!(run.story(), "30:warning");
    for second in (1000..=1060).step_by(10) {
        run.one(second, 0.10);
    }
    assert_eq!(run.story(), "30:warning 1060:normal");
}

#[test]
fn the_worst_subject_counts() {
    let mut run = Run::new(plain());
    for second in [0, 10] {
        let mut all = vec![("full", Ok(ratio(second, 0.97)))];
        let rest: Vec<String> = (0..9).map(|i| format!("empty-{i}")).collect();
        all.extend(rest.iter().map(|name| (name.as_str(), Ok(ratio(second, 0.10)))));
        run.pass(second, &observed(&all));
    }
    assert_eq!(run.state.level(), Level::Emergency);
    assert_eq!(run.story(), "10:emergency");
    let worst: Vec<&Subject> = run.state.worst(1).into_iter().map(|(subject, _)| subject).collect();
    assert_eq!(worst, [&container("full")]);
    // It is deleted, which somebody knows.
    run.state.retain(|subject| *subject != container("full"));
    assert_eq!((run.state.level(), run.state.subjects.len()), (Level::Normal, 9));
    assert_eq!(WatermarkState::default().level(), Level::Normal);
}

#[test]
fn no_more_than_so_many_are_remembered_and_the_fullest_are() {
    let names: Vec<String> = (0..SUBJECTS_CAP + 2).map(|i| format!("pod-{i}")).collect();
    let mut all: Vec<_> = names.iter().map(|name| (name.as_str(), Ok(ratio(0, 0.5)))).collect();
    all[7].1 = Ok(ratio(0, 0.1));
    all[9].1 = Ok(ratio(0, 0.2));
    let mut run = Run::new(plain());
    run.pass(0, &observed(&all));
    assert_eq!((run.state.subjects.len(), run.state.crowded), (SUBJECTS_CAP, 2));
    assert!(!run.state.subjects.contains_key(&container("pod-7")));
    assert!(!run.state.subjects.contains_key(&container("pod-9")));
}

#[test]
fn a_clock_that_stepped_back_stops_nothing() {
    // Stored an hour ahead.
    let mut run = Run::new(plain());
    for second in [3600, 3610, 3620, 3630] {
        run.one(second, 0.85);
    }
    assert_eq!(run.level(), Level::Warning);
    for second in (0..=70).step_by(10) {
        run.one(second, 0.10);
    }
    // The first is as old as what is stored, so it ends from 10 on.
    assert_eq!(run.story(), "3630:warning 70:normal");
    // A sample from the future is one of now.
    let mut run = Run::new(plain());
    run.pass(0, &observed(&[("a", Ok(ratio(999, 0.5)))]));
    let state = &run.state.subjects[&container("a")];
    assert_eq!(state.sampled_at, Some(Timestamp::from_millis(0)));
}

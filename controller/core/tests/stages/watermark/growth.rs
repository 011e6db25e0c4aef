use super::{Run, container, plain};
use crate::build::{at, secs};
use flyball_core::{
    evaluate::watermark::{
        Foresee, Level, Options,
        leak::{Growth, KEPT, Point, growth},
    },
    time::Span,
};
use proptest::{collection::vec, prelude::*};

const FORESEE: Foresee = Foresee {
    window: Span::from_secs(300),
    pass: Span::from_secs(15),
};

/// A point every so many seconds.
fn points(apart: i64, values: &[f64]) -> Vec<Point> {
    (0..)
        .step_by(usize::try_from(apart).unwrap())
        .map(at)
        .zip(values.iter().copied())
        .collect()
}

fn line(count: u32, from: f64, step: f64) -> Vec<f64> {
    (0..count).map(|i| from + step * f64::from(i)).collect()
}

fn told(apart: i64, values: &[f64]) -> Option<Growth> {
    growth(&points(apart, values), FORESEE)
}

#[test]
fn a_leak_says_when_it_is_full() {
    // 4 points in 15 s is 16 a minute; from 0.93 the 7 that are left take 26.25 s, fewer than 30.
    let leak = told(15, &line(9, 0.61, 0.04)).unwrap();
    assert_eq!((leak.samples, leak.over, leak.rising_percent), (9, secs(120), 100));
    assert_eq!((leak.full_in, leak.soon), (secs(26), true));
    assert!((leak.per_second - 0.04 / 15.0).abs() < 1e-12);
    assert_eq!(
        leak.to_string(),
        "it grows by 16.00 points a minute (median slope of 9 samples over 2m, 100 % of pairs rise) and is full in 26s"
    );
    // From 0.89 it takes 41.25.
    let early = told(15, &line(8, 0.61, 0.04)).unwrap();
    assert_eq!((early.full_in, early.soon), (secs(41), false));
    // A slow one takes hours: 0.1 point in 15 s, 50.05 are left, so 7507.5 s.
    let slow = told(15, &line(11, 0.4895, 0.001)).unwrap();
    assert_eq!((slow.full_in, slow.soon), (secs(7507), false));
    // What is full is full.
    assert_eq!(told(15, &line(9, 0.80, 0.04)).unwrap().full_in, secs(0));
}

#[test]
fn one_that_is_off_moves_the_slope_little() {
    let mut values = line(12, 0.50, 0.04);
    values[5] = 0.20;
    let leak = told(15, &values).unwrap();
    assert!((leak.per_second * 15.0 - 0.04).abs() < 0.002, "{leak}");
}

#[test]
fn what_is_no_leak_has_no_growth() {
    // Too few, too short, flat, falling.
    assert_eq!(told(15, &line(7, 0.6, 0.04)), None);
    assert_eq!(told(10, &line(10, 0.6, 0.04)), None);
    assert_eq!(told(15, &[0.9; 12]), None);
    assert_eq!(told(15, &line(12, 0.9, -0.01)), None);
    assert_eq!(told(15, &[]), None);
    // A jump, as when a cache is loaded: half of the pairs are level.
    let mut jump = vec![0.30; 6];
    jump.extend([0.90; 6]);
    assert_eq!(told(15, &jump), None);
    // A saw-tooth.
    assert_eq!(
        told(15, &[0.6, 0.7, 0.8, 0.9, 0.6, 0.7, 0.8, 0.9, 0.6, 0.7, 0.8, 0.9]),
        None
    );
    // A peak at the end.
    let mut peak = vec![0.50; 11];
    peak.push(0.99);
    assert_eq!(told(15, &peak), None);
}

fn foreseeing() -> Options {
    Options {
        foresee: Some(FORESEE),
        ..plain()
    }
}

#[test]
fn a_leak_raises_an_emergency_before_the_threshold() {
    let mut run = Run::new(foreseeing());
    for (second, value) in (0..).step_by(15).zip(line(9, 0.61, 0.04)) {
        run.one(second, value);
    }
    // 0.81 at 75; 0.93 at 120 is below 95 %.
    assert_eq!(run.story(), "105:warning 120:emergency");
    let (_, early) = &run.log[1];
    assert_eq!((early.since, early.threshold), (at(120), 0.95));
    assert!(early.to_string().contains("and is full in 26s"), "{early}");
    // Without it the emergency is at 150, the second at or above 95 %.
    let mut blind = Run::new(plain());
    for (second, value) in (0..).step_by(15).zip(line(11, 0.61, 0.04)) {
        blind.one(second, value);
    }
    assert!(blind.story().ends_with("150:emergency"), "{}", blind.story());
    // It stops and falls: the emergency ends as any other, below 92 % for a minute.
    for (second, value) in (135..=210).step_by(15).zip([0.91; 6]) {
        run.one(second, value);
    }
    assert_eq!(run.story(), "105:warning 120:emergency 195:high");
}

#[test]
fn dense_samples_are_thinned_out_and_still_tell() {
    // Every second, at the same pace: 16 points a minute from 0.50, foreseen with 8 points left or fewer.
    let mut run = Run::new(foreseeing());
    for (second, value) in (0..).zip(line(181, 0.50, 0.16 / 60.0)) {
        run.one(second, value);
        assert!(run.state.subjects[&container("a")].recent.len() <= KEPT);
        if run.level() == Level::Emergency {
            break;
        }
    }
    let (when, last) = run.log.last().unwrap();
    assert!(last.foreseen.is_some() && (155..=160).contains(when), "{when}: {last}");
}

proptest! {
    /// Whatever the samples do between these two, it is no leak that is full soon: high - low < 1.75 (1 - high).
    #[test]
    fn noise_is_never_foreseen(
        high in 0.0..0.999f64, part in 0.0..0.999f64, apart in 7..60i64, values in vec(0.0..=1.0f64, 8..=16),
        order in 0..3u8,
    ) {
        let width = part * 1.75 * (1.0 - high);
        let mut values: Vec<f64> = values.iter().map(|value| high - width * value).collect();
        // The worst there can be: all the noise in one order.
        match order {
            0 => {}
            1 => values.sort_by(f64::total_cmp),
            _ => values = line(u32::try_from(values.len()).unwrap(), high - width, width / f64::from(u32::try_from(values.len() - 1).unwrap())),
        }
        let soon = told(apart, &values).is_some_and(|growth| growth.soon);
        prop_assert!(!soon, "{values:?}");
    }

    /// A leak that will be full within two passes is foreseen, with noise of a tenth of its step on it.
    #[test]
    fn a_leak_is_foreseen(step in 0.02..0.05f64, left in 0.1..1.5f64, noise in vec(-0.05..0.05f64, 9..=16)) {
        let count = u32::try_from(noise.len()).unwrap();
        let from = 1.0 - step * (left + f64::from(count - 1));
        let values: Vec<f64> = line(count, from, step).iter().zip(&noise).map(|(value, noise)| value + noise * step).collect();
        let leak = told(15, &values);
        prop_assert!(leak.is_some_and(|leak| leak.soon), "{leak:?} of {values:?}");
    }

    /// In a run too: noise around any level raises by its threshold or not at all.
    #[test]
    fn noise_raises_no_emergency(around in 0.3..0.90f64, noise in vec(-0.02..0.02f64, 200)) {
        let mut run = Run::new(foreseeing());
        for (second, noise) in (0..).step_by(15).zip(&noise) {
            run.one(second, around + noise);
        }
        prop_assert!(run.log.iter().all(|(_, transition)| transition.foreseen.is_none()), "{}", run.story());
        prop_assert!(run.level() < Level::Emergency);
    }
}

use crate::build::secs;
use flyball_core::evaluate::watermark::{Adapt, Band, Foresee, Hold, Level, Options, WatermarkError, Watermarks};
use proptest::prelude::*;

fn check(change: fn(&mut Options), expect: &str) {
    let mut options = Options::default();
    change(&mut options);
    let said = Watermarks::new(options).unwrap_err().to_string();
    assert!(said.contains(expect), "{said:?} instead of {expect:?}");
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(Watermarks::new(Options::default()), Ok(Watermarks::default()));
    check(
        |o| o.warning.level = f64::NAN,
        "warning.level is NaN; it has to be above 0 and at most 1",
    );
    check(|o| o.warning.floor = 0.0, "warning.floor is 0");
    check(
        |o| o.emergency = 95.0,
        "emergency is 95; it has to be above 0 and at most 1, as a ratio",
    );
    check(
        |o| o.warning.floor = 0.81,
        "warning.floor (0.81) has to be at most warning.level (0.8)",
    );
    check(
        |o| o.warning.ceiling = 0.90,
        "warning.ceiling (0.9) has to be below high.floor (0.9)",
    );
    check(
        |o| o.high.ceiling = 0.95,
        "high.ceiling (0.95) has to be below emergency (0.95)",
    );
    check(
        |o| o.high = Band::fixed(0.70),
        "warning.ceiling (0.88) has to be below high.floor (0.7)",
    );
    check(
        |o| o.margin = 0.0,
        "margin is 0; it has to be above 0 and below warning.floor",
    );
    check(|o| o.margin = 0.8, "margin is 0.8");
    check(
        |o| o.hold.time = secs(2),
        "hold.time is 2s; it has to be at least 3s, so that a peak of 2s raises",
    );
    check(|o| o.hold_emergency.time = secs(2), "holdEmergency.time is 2s");
    check(|o| o.end = secs(2), "end is 2s");
    check(|o| o.gap = secs(0), "gap is 0s");
    check(
        |o| adapt(o).quantile = 1.1,
        "adapt.quantile is 1.1; it has to be from 0 to 1",
    );
    check(
        |o| adapt(o).above = 0.03,
        "margin (0.03) has to be below adapt.above (0.03)",
    );
    check(|o| adapt(o).above = f64::NAN, "adapt.above");
    check(
        |o| adapt(o).window = secs(59),
        "adapt.window is 59s; it has to be at least 1m",
    );
    check(
        |o| foresee(o).window = secs(239),
        "foresee.window is 3m59s; it has to be at least 4m, 16 passes",
    );
    check(|o| foresee(o).pass = secs(0), "foresee.pass is 0s");
}

fn adapt(options: &mut Options) -> &mut Adapt {
    options.adapt.as_mut().unwrap()
}

fn foresee(options: &mut Options) -> &mut Foresee {
    options.foresee.as_mut().unwrap()
}

#[test]
fn the_thresholds_follow_what_is_usual_between_their_bounds() {
    let check = |usual, expect: [f64; 3]| {
        let watermarks = Watermarks::default();
        for (level, expect) in Level::RAISED.into_iter().zip(expect) {
            let threshold = watermarks.threshold(level, usual);
            assert!((threshold - expect).abs() < 1e-9, "{level} at {usual:?}: {threshold}");
        }
    };
    check(None, [0.80, 0.90, 0.95]);
    check(Some(0.10), [0.80, 0.90, 0.95]);
    check(Some(0.82), [0.87, 0.90, 0.95]);
    check(Some(0.86), [0.88, 0.91, 0.95]);
    check(Some(0.99), [0.88, 0.94, 0.95]);
}

proptest! {
    /// Whatever is taken for watermarks, the levels stay in order.
    #[test]
    fn levels_stay_in_order(
        numbers in proptest::collection::vec(0.01..1.0f64, 8), sorted in any::<bool>(), margin in -0.1..1.0f64,
        quantile in -0.1..1.1f64, seconds in 0..10u64, usual in 0.0..2.0f64,
    ) {
        let mut n = numbers;
        if sorted {
            n.sort_by(f64::total_cmp);
        }
        let options = Options {
            warning: Band { floor: n[0], level: n[1], ceiling: n[2] },
            high: Band { floor: n[3], level: n[4], ceiling: n[5] },
            emergency: n[6],
            hold: Hold { time: secs(seconds), samples: 1 },
            margin,
            adapt: Some(Adapt { window: secs(3600), quantile, above: n[7] }),
            ..Options::default()
        };
        match Watermarks::new(options) {
            Ok(watermarks) => {
                for usual in [None, Some(usual)] {
                    let [warning, high, emergency] = Level::RAISED.map(|level| watermarks.threshold(level, usual));
                    prop_assert!(0.0 < warning && warning < high && high < emergency && emergency <= 1.0);
                    prop_assert!(n[0] <= warning && warning <= n[2] && n[3] <= high && high <= n[5]);
                }
                prop_assert!(seconds >= 3 && margin > 0.0 && (0.0..=1.0).contains(&quantile));
            }
            Err(WatermarkError::Order { low, high, .. }) => prop_assert!(low >= high),
            Err(WatermarkError::Range { value, .. }) => prop_assert!(value <= 0.0 || value >= n[0]),
            Err(WatermarkError::Short { value, least, .. }) => prop_assert!(value < least),
        }
    }
}

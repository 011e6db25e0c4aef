//! What holds for every series.

use super::{Run, container, observed, plain, ratio};
use flyball_core::evaluate::watermark::{Level, Observed, Options, Ratio};
use proptest::{collection::vec, prelude::*};

/// What one pass is told.
#[derive(Clone, Debug)]
enum Told {
    Fresh(f64),
    Doubtful(f64),
    Again,
    Old(f64),
    NotFinite,
    NoSeries,
    Failed,
}

fn told() -> impl Strategy<Value = Told> {
    let value = || prop_oneof![0.0..1.1f64, 0.74..0.99f64];
    prop_oneof![
        12 => value().prop_map(Told::Fresh),
        1 => value().prop_map(Told::Doubtful),
        1 => Just(Told::Again),
        1 => value().prop_map(Told::Old),
        1 => Just(Told::NotFinite),
        1 => Just(Told::NoSeries),
        1 => Just(Told::Failed),
    ]
}

/// Stretches of the same, so that levels are held.
fn stretches() -> impl Strategy<Value = Vec<Told>> {
    vec((told(), 1..12usize), 1..25).prop_map(|list| {
        list.into_iter()
            .flat_map(|(told, times)| std::iter::repeat_n(told, times))
            .collect()
    })
}

fn see(told: &Told, second: i64, last: i64) -> Observed {
    let doubtful = |value| Ratio {
        may_lower: false,
        ..ratio(second, value)
    };
    match told {
        Told::Fresh(value) => observed(&[("a", Ok(ratio(second, *value)))]),
        Told::Doubtful(value) => observed(&[("a", Ok(doubtful(*value)))]),
        Told::Again => observed(&[("a", Ok(ratio(last, 0.0)))]),
        Told::Old(value) => observed(&[("a", Ok(ratio(second - 121, *value)))]),
        Told::NotFinite => observed(&[("a", Err("its ratio is NaN".to_owned()))]),
        Told::NoSeries => Observed::default(),
        Told::Failed => Observed {
            absent: Some("the reading is error: time-out".to_owned()),
            ..Observed::default()
        },
    }
}

proptest! {
    /// Only a new sample moves a level: up only where it is at the threshold or memory is foreseen to be full, down
    /// only on a fresh one below where the level ends.
    #[test]
    fn absence_moves_no_level(passes in stretches(), pause in 5..40i64) {
        let mut run = Run::new(Options::default());
        let (mut second, mut last) = (10_000, 10_000);
        for told in passes {
            second += pause;
            let before = run.level();
            let transitions = run.pass(second, &see(&told, second, last));
            prop_assert_eq!(transitions.is_empty(), run.level() == before);
            for moved in transitions {
                prop_assert_eq!((moved.from, moved.to), (before, run.level()));
                match told {
                    Told::Fresh(value) if !moved.is_up() => prop_assert!(value < moved.threshold),
                    Told::Fresh(value) | Told::Doubtful(value) => {
                        prop_assert!(moved.is_up());
                        prop_assert!(value >= moved.threshold || moved.foreseen.is_some());
                    }
                    _ => prop_assert!(false, "{told:?} moved it: {moved}"),
                }
            }
            match told {
                Told::Fresh(_) | Told::Doubtful(_) => last = second,
                Told::Again => {}
                _ => if let Some(state) = run.state.subjects.get(&container("a")) {
                    prop_assert!(state.unknown.is_some(), "{told:?}");
                },
            }
        }
    }

    /// A peak of two seconds raises nothing, wherever the samples fall, whatever there is around it.
    #[test]
    fn a_peak_of_two_seconds_raises_nothing(
        base in vec(0.0..0.7999f64, 60), apart in vec(100..20_000i64, 60), from in 0..300_000i64, peak in 0.8..2.0f64,
    ) {
        let mut run = Run::new(plain());
        let mut at = 0;
        for (base, apart) in base.iter().zip(&apart) {
            at += apart;
            let value = if (from..=from + 2000).contains(&at) { peak } else { *base };
            let now = flyball_core::time::Timestamp::from_millis(at);
            let ratio = Ratio { value, sampled_at: now, may_lower: true };
            let (state, moved) = flyball_core::evaluate::watermark::evaluate(
                &run.watermarks, &observed(&[("a", Ok(ratio))]), &run.state, now,
            );
            prop_assert!(moved.is_empty(), "{moved:?}");
            run.state = state;
        }
    }

    /// What was held for its time is raised, and what was below for its time is ended.
    #[test]
    fn what_is_held_is_raised(level in 0..3usize, over in 0.0..0.009f64, apart in 1..60i64, before in vec(0.0..1.1f64, 0..30)) {
        let mut run = Run::new(plain());
        let mut second = 10_000;
        for value in before {
            second += apart;
            run.one(second, value);
        }
        let (threshold, expect) = [(0.80, Level::Warning), (0.90, Level::High), (0.95, Level::Emergency)][level];
        for _ in 0..(30 / apart + 4) {
            second += apart;
            run.one(second, threshold + over);
        }
        prop_assert!(run.level() >= expect);
        for _ in 0..(60 / apart + 3) {
            second += apart;
            run.one(second, 0.2);
        }
        prop_assert_eq!(run.level(), Level::Normal);
    }

    /// One subject's memory is nobody else's.
    #[test]
    fn subjects_do_not_mix(a in vec(0.0..1.1f64, 40), b in vec(0.7..1.0f64, 40)) {
        let (mut both, mut alone) = (Run::new(Options::default()), Run::new(Options::default()));
        for (second, (a, b)) in (0..).step_by(10).zip(a.iter().zip(&b)) {
            both.pass(second, &observed(&[("a", Ok(ratio(second, *a))), ("b", Ok(ratio(second, *b)))]));
            alone.one(second, *a);
            prop_assert_eq!(&both.state.subjects[&container("a")], &alone.state.subjects[&container("a")]);
        }
    }

    /// What is remembered is bounded.
    #[test]
    fn memory_is_bounded(values in vec(0.0..1.1f64, 600), apart in 1..300i64) {
        let mut run = Run::new(Options::default());
        for (index, value) in (0..).zip(&values) {
            run.one(index * apart, *value);
            let state = &run.state.subjects[&container("a")];
            prop_assert!(state.usual.len() <= flyball_core::evaluate::watermark::USUAL_CAP);
            prop_assert!(state.recent.len() <= flyball_core::evaluate::watermark::leak::KEPT);
        }
    }
}

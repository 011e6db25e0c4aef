use super::{NOW, one_reading, quality};
use crate::build::{at, finite, reading, rule, verification};
use flyball_core::{
    decide::Direction,
    evaluate::{AlertPhase, RuleState, evaluate},
    signal::{Quality, Reading},
    verify::{Baseline, Judgement, judge},
};
use proptest::{collection::vec, option, prelude::*};
use std::collections::BTreeMap;

/// One evaluation: the pause before it, and the values of two series. `Some(None)`: the series is not
/// there; `None` for both: the query failed.
type Pass = (i64, Option<Option<f64>>, Option<Option<f64>>);

fn series() -> impl Strategy<Value = Option<Option<f64>>> {
    option::weighted(0.9, option::weighted(0.9, 0.0..1.0f64))
}

fn answer((_, a, b): &Pass, now: i64) -> Reading {
    if a.is_none() && b.is_none() {
        return reading(Quality::Error, now, &[]);
    }
    let values = [("a", a.flatten()), ("b", b.flatten())];
    let values: Vec<(&str, f64)> = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    reading(
        if values.is_empty() {
            Quality::Missing
        } else {
            Quality::Fresh
        },
        now,
        &values,
    )
}

proptest! {
    /// An alert fires if and only if its element was in every answer for at least `for`.
    #[test]
    fn an_alert_never_fires_early(hold in 0..200u64, passes in vec((1..60i64, series(), series()), 1..40)) {
        let rule = rule("Slow", hold, 0);
        let (mut state, mut now) = (RuleState::default(), NOW);
        let mut since: BTreeMap<String, i64> = BTreeMap::new();
        for pass in &passes {
            now += pass.0;
            let reading = answer(pass, now);
            state = evaluate(&rule, &reading, &state, at(now));
            if reading.quality() == Quality::Error {
                continue;
            }
            let above = reading.samples().iter().filter(|sample| sample.value > 0.5);
            let names: Vec<String> = above.map(|sample| sample.labels["instance"].clone()).collect();
            since.retain(|name, _| names.contains(name));
            for name in names {
                since.entry(name).or_insert(now);
            }
            let expect: Vec<(&str, AlertPhase)> = since.iter().map(|(name, since)| {
                let old = u64::try_from(now - since).unwrap() >= hold;
                (name.as_str(), if old { AlertPhase::Firing } else { AlertPhase::Pending })
            }).collect();
            let found: Vec<(&str, AlertPhase)> =
                state.alerts.iter().map(|alert| (alert.labels["instance"].as_str(), alert.phase)).collect();
            prop_assert_eq!(found, expect);
            prop_assert_eq!(state.quiet_since.is_some(), state.alerts.is_empty() && reading.is_fresh());
        }
    }

    /// A restart in between changes nothing, in whatever order storage returns the alerts.
    #[test]
    fn a_restart_changes_nothing(
        hold in 0..200u64, keep in 0..200u64, passes in vec((1..60i64, series(), series()), 1..40), split in any::<prop::sample::Index>(),
    ) {
        let rule = rule("Slow", hold, keep);
        let run = |restart: Option<usize>| {
            let (mut state, mut now) = (RuleState::default(), NOW);
            for (i, pass) in passes.iter().enumerate() {
                now += pass.0;
                if restart == Some(i) {
                    state.alerts.reverse();
                    state.error = None;
                }
                state = evaluate(&rule, &answer(pass, now), &state, at(now));
            }
            // A failed evaluation returns the alerts as they were given.
            state.alerts.sort_by(|a, b| a.labels.cmp(&b.labels));
            state
        };
        prop_assert_eq!(run(Some(split.index(passes.len()))), run(None));
    }

    /// Nothing is achieved before the settle time, or on data that is not fresh, lately read and true.
    #[test]
    fn nothing_is_achieved_without_proof(
        up in any::<bool>(), elapsed in 0..1000i64, age in 0..100i64, value in 0.0..1.0f64, quality in quality(),
        demand in option::of(one_reading()), before in option::of(50.0..150.0f64),
    ) {
        let now = NOW + elapsed;
        let reading = match quality {
            Quality::NotFinite => reading(quality, now - age, &[("a", f64::NAN)]),
            Quality::Missing | Quality::Error => reading(quality, now - age, &[]),
            _ => reading(quality, now - age, &[("a", value)]),
        };
        let way = if up { Direction::Up } else { Direction::Down };
        let baseline = Baseline { value: None, demand: before.map(finite) };
        let judgement = judge(&verification(), way, at(NOW), &baseline, &reading, demand.as_ref(), at(now));
        let proven = reading.is_fresh() && age <= 60 && elapsed - age >= 360;
        match judgement {
            Judgement::Achieved { .. } => prop_assert!(proven && value <= 0.5 && (up || elapsed >= 600)),
            Judgement::Broken { .. } => prop_assert!(proven && value > 0.5 && !up),
            Judgement::Ineffective { .. } | Judgement::Overtaken { .. } => {
                prop_assert!(proven && value > 0.5 && up && elapsed >= 600);
                prop_assert!(before.is_some() && demand.is_some_and(|reading| reading.is_fresh()));
            }
            Judgement::Inconclusive { .. } => prop_assert!(elapsed >= 600),
            Judgement::Wait { until, .. } => prop_assert!(until > at(now)),
        }
    }
}

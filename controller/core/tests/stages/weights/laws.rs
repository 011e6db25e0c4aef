//! What holds for every input.

use super::{NOW, action, aimd, capacity, ejecting, failover, step, told, with_base};
use crate::build::{Observed, at, finite, labels, quiet};
use flyball_core::{
    decide::{
        BackendHistory, Measurement, Move, RouteFacts, WeightDecision, WeightHistory, WeightProposal, decide_weights,
    },
    evaluate::{Alert, AlertPhase, RuleState},
    policy::{CapacityLaw, Weight, WeightLaw, Weights, WeightsAction},
    signal::{Labels, Quality, Reading},
};
use proptest::{collection::vec, option, prelude::*};
use std::collections::BTreeMap;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn law() -> impl Strategy<Value = WeightsAction> {
    let law = prop_oneof![Just(capacity()), Just(step()), Just(failover()), Just(aimd())];
    let base = vec(0..100i64, 3).prop_filter("not all zero", |base| base.iter().any(|weight| *weight > 0));
    (law, base, any::<bool>(), 0.01..0.05f64, 0.0..0.5f64).prop_map(|(action, base, ejects, floor, step)| {
        let mut action = with_base(action, &base);
        (action.limits.floor, action.limits.most_step) = (finite(floor), finite(step));
        if ejects { ejecting(action) } else { action }
    })
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![9 => 0.0..2.0f64, 1 => Just(f64::NAN), 1 => Just(0.0)], 3)
}

/// A reading of all three, of this quality unless a NaN is among them.
fn reading(quality: Quality, values: &[f64], factor: f64) -> Reading {
    let series: Vec<(&str, f64)> = NAMES
        .into_iter()
        .zip(values.iter().map(|value| value * factor))
        .collect();
    told(quality, NOW, if quality == Quality::Missing { &[] } else { &series })
}

fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        8 => Just(Quality::Fresh),
        1 => Just(Quality::Stale),
        1 => Just(Quality::Partial),
        1 => Just(Quality::Missing),
        1 => Just(Quality::Error),
    ]
}

/// A number, of this quality.
fn one(quality: Quality, value: f64) -> Reading {
    let series: &[(&str, f64)] = if quality == Quality::Missing {
        &[]
    } else {
        &[("", value)]
    };
    told(quality, NOW, series)
}

fn any_reading(factor: f64) -> impl Strategy<Value = Reading> {
    (quality(), values()).prop_map(move |(quality, values)| reading(quality, &values, factor))
}

fn some_time() -> impl Strategy<Value = Option<i64>> {
    option::of(prop_oneof![NOW - 700..NOW + 50, 0..NOW])
}

fn measured() -> impl Strategy<Value = Option<Measurement>> {
    let lately = NOW - 90..NOW + 10;
    let measured = (lately, 1.0..100.0f64, 0.0..50.0f64, 0.01..2.0f64);
    option::of(
        measured.prop_map(|(seconds, requests, errors, utilisation)| Measurement {
            at: at(seconds),
            requests,
            errors,
            utilisation,
        }),
    )
}

fn memory() -> impl Strategy<Value = BackendHistory> {
    let times = (
        some_time(),
        some_time(),
        some_time(),
        some_time(),
        some_time(),
        some_time(),
    );
    (
        option::of(1.0..200.0f64),
        times,
        0..4u32,
        some_time(),
        measured(),
        measured(),
    )
        .prop_map(
            |(capacity, (known, appeared, bad, out, returning, named), ejections, bad_at, well, worse)| {
                BackendHistory {
                    capacity,
                    known_at: known.map(at),
                    appeared_at: appeared.map(at),
                    bad_since: bad.map(at),
                    bad_at: bad_at.map(at),
                    ready_since: None,
                    out_since: out.map(at),
                    ejections,
                    returning_since: returning.map(at),
                    returned_at: None,
                    named_at: named.map(at),
                    well,
                    worse,
                }
            },
        )
}

fn history() -> impl Strategy<Value = WeightHistory> {
    (some_time(), option::weighted(0.7, vec(memory(), 3))).prop_map(|(moved, memories)| WeightHistory {
        observed_since: at(0),
        moved_at: moved.map(at),
        verified: None,
        backends: NAMES
            .into_iter()
            .map(str::to_owned)
            .zip(memories.unwrap_or_default())
            .collect(),
    })
}

fn facts() -> impl Strategy<Value = RouteFacts> {
    let weight = || prop_oneof![2 => 1..1000i64, 1 => Just(0), 1 => 1..10i64, 1 => 1..=i64::from(Weight::MAX)];
    let total = prop_oneof![3 => Just((None, 0)), 1 => Just((Some(100), 0)), 2 => Just((None, 7))];
    let unserved = option::of((quality(), 0.0..2.0f64).prop_map(|(quality, value)| one(quality, value)));
    let ready = vec(option::of(any::<bool>()), 3);
    (
        vec(weight(), 3),
        total,
        any_reading(50.0),
        any_reading(30.0),
        unserved,
        ready,
        history(),
    )
        .prop_map(
            |(current, (fixed_total, unmanaged), requests, errors, unserved, ready, history)| RouteFacts {
                current: of(&current),
                unmanaged,
                others: Vec::new(),
                fixed_total,
                requests,
                errors,
                unserved,
                ready: NAMES
                    .into_iter()
                    .zip(ready)
                    .filter_map(|(name, ready)| ready.map(|ready| (name.to_owned(), ready)))
                    .collect(),
                history,
            },
        )
}

fn of(current: &[i64]) -> Weights {
    let weights = NAMES.into_iter().zip(current);
    Weights::new(weights.map(|(name, weight)| (name.to_owned(), Weight::new(*weight).unwrap())))
}

fn observed() -> impl Strategy<Value = Observed> {
    let rule = prop_oneof![
        proptest::sample::subsequence(vec!["a", "b", "c", "foo"], 1..3).prop_map(|names| firing(&names)),
        (0..NOW).prop_map(quiet),
        Just(RuleState::default()),
    ];
    (any_reading(1.0), any_reading(1.0), rule, any_reading(1.0)).prop_map(|(cpu, p99, state, reading)| {
        let observed = Observed::default().signal("cpu", cpu).signal("p99", p99);
        observed.rule("Failing", state).reading("Failing", reading)
    })
}

fn firing(names: &[&str]) -> RuleState {
    let alert = |name: &&str| Alert {
        labels: labels(&[("backend", name)]),
        annotations: Labels::new(),
        phase: AlertPhase::Firing,
        active_at: at(0),
        keep_firing_since: None,
        value: 0.9,
    };
    RuleState {
        alerts: names.iter().map(alert).collect(),
        ..RuleState::default()
    }
}

fn decided(action: &WeightsAction, observed: &Observed, facts: &RouteFacts) -> Option<WeightProposal> {
    match decide_weights(action, &observed.inputs(), facts, at(NOW)).0 {
        WeightDecision::Propose(proposal) => Some(proposal),
        WeightDecision::Stay { .. } => None,
    }
}

/// The sum that the weights must have.
fn asked(facts: &RouteFacts) -> u64 {
    let sum = facts.current.total();
    match facts.fixed_total {
        Some(total) => u64::from(total),
        None if facts.unmanaged > 0 => sum,
        None => {
            if sum < 1000 {
                1000
            } else {
                sum.min(1_000_000)
            }
        }
    }
}

fn is_usable(reading: &Reading) -> bool {
    matches!(reading.quality(), Quality::Fresh | Quality::NotFinite)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever is read and remembered: the sum is as asked, so the share of the unmanaged stays; nothing is all
    /// zero, out of range, or what there is already; the same inputs give the same answer.
    #[test]
    fn what_is_proposed_can_be_written(action in law(), observed in observed(), facts in facts()) {
        let (first, history) = decide_weights(&action, &observed.inputs(), &facts, at(NOW));
        let (second, again) = decide_weights(&action, &observed.inputs(), &facts, at(NOW));
        prop_assert_eq!((&first, &history), (&second, &again));
        let WeightDecision::Propose(proposal) = first else { return Ok(()) };
        prop_assert!(proposal.to.total() > 0);
        prop_assert_ne!(&proposal.to, &proposal.from);
        prop_assert_eq!(&proposal.from, &facts.current);
        prop_assert!(!proposal.reason.is_empty() && proposal.arithmetic.len() <= 16);
        let names: Vec<&str> = proposal.to.iter().map(|(name, _)| name).collect();
        prop_assert_eq!(names, NAMES);
        if facts.current.total() == 0 && facts.fixed_total.is_none() {
            prop_assert_eq!(&proposal.to, &action.base());
        } else {
            prop_assert_eq!(proposal.to.total(), asked(&facts));
        }
        // Who is remembered as out has nothing, and who begins to come back has something.
        for (name, memory) in &history.backends {
            let weight = proposal.to.of(name);
            if memory.out_since.is_some() && facts.current.total() > 0 {
                prop_assert_eq!(weight, Weight::ZERO, "{}", name);
            }
        }
    }

    /// The floor holds for whoever is in service, by both laws that have one.
    #[test]
    fn the_floor_holds(
        capacity_law in any::<bool>(), floor in 0.01..0.05f64, current in vec(0..1000i64, 3), values in values(),
        requests in values(),
    ) {
        let mut action = if capacity_law { capacity() } else { aimd() };
        action.limits.floor = finite(floor);
        let mut facts = super::route(&[("a", current[0]), ("b", current[1]), ("c", current[2])]);
        facts.requests = reading(Quality::Fresh, &requests, 100.0);
        let signal = reading(Quality::Fresh, &values, 1.0);
        let observed = Observed::default().signal("cpu", signal.clone()).signal("p99", signal);
        let Some(proposal) = decided(&action, &observed, &facts) else { return Ok(()) };
        if facts.current.total() == 0 {
            return Ok(());
        }
        for (name, weight) in proposal.to.iter() {
            #[allow(clippy::cast_precision_loss)] // At most a million.
            let least = floor * proposal.to.total() as f64;
            prop_assert!(f64::from(weight.get()) >= least - 1e-6, "{name} has {weight}, the floor is {least}");
        }
    }

    /// Where nobody is at the floor, no weight moves by more than the step allows, or by a unit. What falls by AIMD
    /// may fall by its factor, 0.8 here.
    #[test]
    fn no_step_is_larger_than_allowed(
        capacity_law in any::<bool>(), step in 0.0..0.5f64, current in vec(100..1000i64, 3), values in values(),
        requests in values(),
    ) {
        let mut action = if capacity_law { capacity() } else { aimd() };
        action.limits.most_step = finite(step);
        let mut facts = super::route(&[("a", current[0]), ("b", current[1]), ("c", current[2])]);
        facts.requests = reading(Quality::Fresh, &requests, 100.0);
        let signal = reading(Quality::Fresh, &values, 1.0);
        let observed = Observed::default().signal("cpu", signal.clone()).signal("p99", signal);
        let Some(proposal) = decided(&action, &observed, &facts) else { return Ok(()) };
        #[allow(clippy::cast_precision_loss)] // At most a million.
        let total = proposal.to.total() as f64;
        for (name, weight) in proposal.to.iter() {
            let was = facts.current.share(name).unwrap() * total;
            let falls = f64::from(weight.get()) < was;
            let most = if falls && !capacity_law { step.max(0.2) } else { step };
            let moved = (f64::from(weight.get()) - was).abs();
            prop_assert!(moved <= (most * was).max(1.0) + 1e-6, "{name} moves from {was} by {moved}");
        }
    }

    /// Law 9: on a reading that is not fresh nothing moves.
    #[test]
    fn nothing_moves_on_what_is_not_fresh(action in law(), observed in observed(), facts in facts()) {
        prop_assume!(facts.current.total() > 0);
        let traffic = is_usable(&facts.requests)
            && (is_usable(&facts.errors) || facts.errors.quality() == Quality::Missing);
        let law = match &action.law {
            WeightLaw::Capacity(_) => traffic && is_usable(&observed.signals["cpu"]),
            WeightLaw::Aimd(_) => is_usable(&observed.signals["p99"]),
            WeightLaw::Step(_) => is_usable(&observed.readings["Failing"]),
            WeightLaw::Failover(_) => traffic,
        };
        if let Some(proposal) = decided(&action, &observed, &facts) {
            match proposal.why {
                Move::Law => prop_assert!(law),
                Move::Ejection => {
                    let absent = facts.unserved.as_ref().is_some_and(Reading::is_fresh);
                    prop_assert!(traffic || absent);
                }
                Move::Reapply => prop_assert!(false, "no pass of a law proposes it"),
                Move::Return => prop_assert!(law && traffic, "{}", proposal.reason),
            }
        }
    }

    /// Law 9 for one backend: whose own value is not known loses no share, unless it is taken out or has to make
    /// room for the floor of another.
    #[test]
    fn who_is_not_known_loses_nothing(
        current in vec(20..1000i64, 3), unknown in 0..3usize, values in vec(0.1..2.0f64, 3), of_capacity in any::<bool>(),
    ) {
        let action = if of_capacity { capacity() } else { aimd() };
        let mut values = values;
        values[unknown] = f64::NAN;
        let signal = reading(Quality::Fresh, &values, 1.0);
        let observed = Observed::default().signal("cpu", signal.clone()).signal("p99", signal);
        let facts = super::route(&[("a", current[0]), ("b", current[1]), ("c", current[2])]);
        let floored = current.iter().any(|weight| *weight * 50 < current.iter().sum());
        prop_assume!(!floored);
        let Some(proposal) = decided(&action, &observed, &facts) else { return Ok(()) };
        let name = NAMES[unknown];
        let (was, is) = (facts.current.share(name).unwrap(), proposal.to.share(name).unwrap());
        // By less than a unit, where the resolution is another.
        prop_assert!(is > was - 1.0 / 1000.0, "{name} goes from {was} to {is}");
    }

    /// From any weights the capacity law ends where each has the share of its capacity, within the dead band and
    /// a unit, and stays there.
    #[test]
    fn the_fixed_point_is_the_share_of_the_capacity(
        current in vec(1..1000i64, 3), capacities in vec(20.0..200.0f64, 3), smoothing in 0.1..1.0f64,
    ) {
        let action = action(WeightLaw::Capacity(CapacityLaw {
            utilisation: "cpu".to_owned(),
            penalty: finite(1.0),
            smoothing: finite(smoothing),
        }));
        let mut facts = super::route(&[("a", current[0]), ("b", current[1]), ("c", current[2])]);
        let sum: f64 = capacities.iter().sum();
        let mut moved = 0;
        for seconds in (0..100).map(|pass| NOW + pass * 60) {
            // As much as half of all capacity is offered, and each says how much of its own that is.
            let rates: Vec<(&str, f64)> =
                NAMES.into_iter().map(|name| (name, facts.current.share(name).unwrap() * sum / 2.0)).collect();
            let cpu: Vec<(&str, f64)> =
                rates.iter().zip(&capacities).map(|((name, rate), capacity)| (*name, rate / capacity)).collect();
            (facts.requests, facts.errors) = (super::fresh(&rates), told(Quality::Missing, seconds, &[]));
            let observed = Observed::default().signal("cpu", super::fresh(&cpu));
            let (decision, history) = decide_weights(&action, &observed.inputs(), &facts, at(seconds));
            facts.history = history;
            if let WeightDecision::Propose(proposal) = decision {
                (facts.current, facts.history.moved_at) = (proposal.to, Some(at(seconds)));
                moved = seconds;
            }
        }
        prop_assert!(moved < NOW + 90 * 60, "it still moves");
        for (name, capacity) in NAMES.into_iter().zip(&capacities) {
            let (is, expect) = (facts.current.share(name).unwrap(), capacity / sum);
            prop_assert!((is - expect).abs() <= 0.05 * is + 0.001, "{name} has {is} instead of {expect}");
        }
    }

    /// All weights are zero: the base, whatever else is read.
    #[test]
    fn from_zero_there_is_a_way_back(action in law(), observed in observed(), facts in facts()) {
        let facts = RouteFacts { current: of(&[0, 0, 0]), ready: BTreeMap::new(), fixed_total: None, ..facts };
        let proposal = decided(&action, &observed, &facts);
        prop_assert_eq!(proposal.map(|proposal| (proposal.to, proposal.why)), Some((action.base(), Move::Law)));
    }
}

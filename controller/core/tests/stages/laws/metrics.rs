//! The metrics law: HPA's rules once more, as plainly as can be and in whole numbers.

use super::NOW;
use crate::{
    build::{Observed, at, average, facts, finite, metric, metrics, n, number, ratio, reading, secs, signal, value},
    fleet::{Fleet, by_signal, by_usage, cpu, mean, percent, wide},
};
use flyball_core::{
    decide::{Decision, Facts, decide},
    policy::{Law, Measure, Metric, Number, OnError, PodNumbers, ReplicasAction},
    signal::Quality,
};
use proptest::{collection::vec, prelude::*};

/// The number that comes of a pass.
fn wanted(action: &ReplicasAction, observed: &Observed, facts: &Facts) -> i64 {
    match decide(action, &observed.inputs(), facts, at(NOW)).0 {
        Decision::Propose(proposal) => i64::from(proposal.to.get()),
        Decision::Stay { .. } => i64::from(facts.current.get()),
    }
}

/// What a pod may be for a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ready,
    Missing,
    Pending,
    Terminating,
    Failed,
}

/// A pod with what it measures, in thousandths, if it measures anything.
type OnePod = (Kind, u32);

fn one_pod() -> impl Strategy<Value = OnePod> {
    let kind = prop_oneof![
        8 => Just(Kind::Ready),
        2 => Just(Kind::Missing),
        1 => Just(Kind::Pending),
        1 => Just(Kind::Terminating),
        1 => Just(Kind::Failed),
    ];
    (kind, prop_oneof![4 => 0..3000u32, 1 => Just(0)])
}

fn fleet(pods: &[OnePod], unit: f64) -> Fleet {
    pods.iter().fold(Fleet::default(), |fleet, (kind, milli)| {
        let number = Some(f64::from(*milli) * unit);
        match kind {
            Kind::Ready => fleet.ready(1, f64::from(*milli) * unit),
            Kind::Missing => fleet.missing(1),
            Kind::Pending => fleet.pending(1, number),
            Kind::Terminating => fleet.terminating(1, number),
            Kind::Failed => fleet.failed(1, number),
        }
    })
}

/// As a signal against a mean, and as usage against a percentage of the one core that each requests.
fn both(pods: &[OnePod], target: u32) -> [(ReplicasAction, Fleet, Observed); 2] {
    // A signal counts in units, so its numbers are a thousandth of those of usage.
    let (by_numbers, usage) = (fleet(pods, 0.001), fleet(pods, 1.0));
    let numbers = by_numbers.observed(NOW, cpu());
    let used = usage.observed(NOW, cpu());
    [
        (by_signal(mean(f64::from(target) / 100.0)), by_numbers, numbers),
        (by_usage(cpu(), percent(target, cpu())), usage, used),
    ]
}

/// HPA's rules for numbers of each pod. `target` is in hundredths for a mean, and in percent for a
/// utilisation of requests of 1000 thousandths each. `None`: there is no number.
fn hpa(pods: &[OnePod], target: u32, current: i64, utilization: bool) -> Option<i64> {
    let of = |kind: Kind| pods.iter().filter(move |(other, _)| *other == kind);
    let (ready, missing, unready) = (
        i64::try_from(of(Kind::Ready).count()).unwrap(),
        i64::try_from(of(Kind::Missing).count()).unwrap(),
        i64::try_from(of(Kind::Pending).count()).unwrap(),
    );
    if ready == 0 {
        return None;
    }
    let sum: i64 = of(Kind::Ready).map(|(_, milli)| i64::from(*milli)).sum();
    let target = i64::from(target);
    // have / want, with both already cut off.
    let ratio = |sum: i64, count: i64| {
        if utilization {
            (sum * 100 / (count * 1000), target)
        } else {
            (sum / count, target * 10)
        }
    };
    let within = |(have, want): (i64, i64)| 9 * want <= 10 * have && 10 * have <= 11 * want;
    let ceil = |(have, want): (i64, i64), count: i64| (have * count + want - 1) / want;
    let first = ratio(sum, ready);
    let (up, down) = (first.0 > first.1, first.0 < first.1);
    let guard = |needed: i64| if up { needed.max(current) } else { needed.min(current) };
    if missing == 0 && !(unready > 0 && up) {
        return Some(if within(first) {
            current
        } else {
            guard(ceil(first, ready))
        });
    }
    let (filled, count) = match (up, down) {
        (true, _) => (sum, ready + missing + unready),
        (_, true) if utilization => (sum + missing * (1000 * target.max(100) / 100), ready + missing),
        (_, true) => (sum + missing * target * 10, ready + missing),
        _ => return Some(current),
    };
    let second = ratio(filled, count);
    let flips = (up && second.0 < second.1) || (down && second.0 > second.1);
    Some(if within(second) || flips {
        current
    } else {
        guard(ceil(second, count))
    })
}

proptest! {
    #[test]
    fn numbers_of_pods_are_those_of_hpa(
        pods in vec(one_pod(), 1..14), target in 1..200u32, current in 1..20i64,
    ) {
        for (utilization, (action, fleet, observed)) in [false, true].into_iter().zip(both(&pods, target)) {
            // A signal against a target below a tenth is compared as it is.
            if !utilization && target < 10 { continue }
            let expect = hpa(&pods, target, current, utilization).unwrap_or(current).min(10_000);
            let to = wanted(&action, &observed, &fleet.facts(current));
            prop_assert_eq!(to, expect, "utilization: {}", utilization);
        }
    }

    /// Totals, in thousandths and with any tolerance, against whole numbers.
    #[test]
    fn totals_are_those_of_whole_numbers(
        total in 0..10_000_000i64, target in 1..2_000_000i64, (up, down) in (0..1500i64, 0..1200i64),
        (current, observed, ready, others) in (0..40i64, 0..40i64, 0..30usize, 0..5usize),
    ) {
        #[allow(clippy::cast_precision_loss)] // Small numbers.
        let milli = |number: i64| number as f64 / 1000.0;
        let tolerances = |mut action: ReplicasAction| {
            let Law::Metrics(law) = &mut action.law else { return action };
            (law.tolerance_up, law.tolerance_down) = (finite(milli(up)), finite(milli(down)));
            wide(action)
        };
        let within = |have: i64, want: i64| (1000 - down) * want <= 1000 * have && 1000 * have <= (1000 + up) * want;
        let ceil = |have: i64, want: i64| ((have + want - 1) / want).min(10_000);
        let fleet = Fleet::default().ready(ready, 0.0).unready(others, 0.0, 20);
        let facts = Facts { observed: Some(n(observed)), ..fleet.facts(current) };
        let seen = Observed::default().signal("load", number(NOW, milli(total)));

        let expect = if observed > 0 && within(total, target * observed) { observed } else { ceil(total, target) };
        prop_assert_eq!(wanted(&tolerances(ratio(average(milli(target)))), &seen, &facts), expect);

        let ready = i64::try_from(ready).unwrap();
        let expect = if current == 0 {
            ceil(total, target)
        } else if within(total, target) || ready == 0 {
            current
        } else if total > target {
            ceil(total * ready, target).max(current)
        } else {
            ceil(total * ready, target).min(current)
        };
        prop_assert_eq!(wanted(&tolerances(ratio(value(milli(target)))), &seen, &facts), expect);
    }

    /// More of it never asks for fewer replicas.
    #[test]
    fn more_load_never_asks_for_less(
        pods in vec((one_pod(), 0..2000u32), 1..12), target in 1..200u32, current in 1..20i64, warm_up in any::<bool>(),
    ) {
        let (less, more): (Vec<OnePod>, Vec<OnePod>) =
            pods.iter().map(|((kind, milli), added)| ((*kind, *milli), (*kind, milli + added))).unzip();
        for ((mut action, fleet, less), (_, _, more)) in both(&less, target).into_iter().zip(both(&more, target)) {
            if warm_up {
                action.warm_up = secs(60);
            }
            let mut facts = fleet.facts(current);
            if let Some(pods) = &mut facts.pods {
                // Some have been ready for a moment only.
                pods.0.iter_mut().step_by(3).for_each(|pod| pod.ready = Some(crate::fleet::ready(true, NOW - 59)));
            }
            prop_assert!(wanted(&action, &less, &facts) <= wanted(&action, &more, &facts));
        }
    }

    #[test]
    fn a_larger_total_never_asks_for_less(
        less in 0.0..3000.0f64, added in 0.0..3000.0f64, target in 1.0..200.0f64, current in 0..50i64,
        observed in 0..50i64, (ready, starting) in (0..30usize, 0..10usize), rolling in any::<bool>(),
    ) {
        let fleet = Fleet::default().ready(ready, 0.0).since(starting, 0.0, NOW - 1);
        let mut facts = Facts { observed: Some(n(observed)), ..fleet.facts(current) };
        facts.rollout = rolling.then(|| "a test".to_owned());
        for target in [average(target), value(target)] {
            let action = ReplicasAction { warm_up: secs(60), ..wide(ratio(target)) };
            let to = |load: f64| wanted(&action, &Observed::default().signal("load", number(NOW, load)), &facts);
            prop_assert!(to(less) <= to(less + added));
        }
    }

    /// Whatever the others ask for, while one metric is invalid nothing is taken away.
    #[test]
    fn an_invalid_metric_takes_nothing_away(
        loads in vec(prop_oneof![3 => (0.0..40.0f64).prop_map(Some), 1 => Just(None)], 1..5), current in 0..40i64,
        pods in vec(one_pod(), 0..8), spoiled in 0..4usize,
    ) {
        let total = |name: &str| metric(name, Measure::Total {
            of: Number::Signal(name.to_owned()), target: average(1.0),
        });
        let names: Vec<String> = (0..loads.len()).map(|i| format!("s{i}")).collect();
        let mut list: Vec<Metric> = names.iter().map(|name| total(name)).collect();
        // And one that has no pods to be measured on, or that nobody reads.
        list.push(metric("pods", Measure::Pods { of: PodNumbers::Signal("load".to_owned()), target: mean(1.0) }));
        let fleet = fleet(&pods, 0.001);
        let seen = if spoiled == 0 { Observed::default() } else { fleet.observed(NOW, cpu()) };
        let seen = names.iter().zip(&loads).fold(seen, |seen, (name, load)| {
            let reading = load.map_or_else(|| reading(Quality::Stale, NOW, &[("", 0.0)]), |load| number(NOW, load));
            seen.define(signal(name, OnError::HoldDown)).signal(name, reading)
        });
        let facts = fleet.facts(current);
        let invalid = loads.contains(&None) || spoiled == 0 || pods.iter().all(|(kind, _)| *kind != Kind::Ready);
        let to = wanted(&wide(metrics(list)), &seen, &facts);
        prop_assert!(!invalid || to >= current, "{} from {}", to, current);
    }

    /// A pod that measures nothing may hold a change back. It turns none around.
    #[test]
    fn a_missing_pod_never_turns_a_change_around(
        pods in vec(one_pod(), 1..12), target in 1..200u32, current in 1..20i64, more in 1..6usize,
    ) {
        let mut with_missing = pods.clone();
        with_missing.extend((0..more).map(|_| (Kind::Missing, 0)));
        for ((action, fleet, seen), (_, missing, _)) in both(&pods, target).into_iter().zip(both(&with_missing, target)) {
            let before = wanted(&action, &seen, &fleet.facts(current)) - current;
            let after = wanted(&action, &seen, &missing.facts(current)) - current;
            prop_assert!(before.signum() * after.signum() >= 0, "{} became {}", before, after);
        }
    }

    /// In whatever order pods, series and metrics come.
    #[test]
    fn the_order_does_not_matter(
        pods in vec(one_pod(), 1..12).prop_flat_map(|pods| (Just(pods.clone()), Just(pods).prop_shuffle())),
        target in 1..200u32, current in 1..20i64, loads in vec(0.0..40.0f64, 1..6),
    ) {
        let (pods, shuffled) = pods;
        for ((action, fleet, seen), (_, other, others)) in both(&pods, target).into_iter().zip(both(&shuffled, target)) {
            prop_assert_eq!(
                wanted(&action, &seen, &fleet.facts(current)),
                wanted(&action, &others, &other.facts(current))
            );
        }
        let seen = loads.iter().enumerate().fold(Observed::default(), |seen, (i, load)| {
            seen.signal(&format!("s{i}"), number(NOW, *load))
        });
        let mut list: Vec<Metric> = (0..loads.len()).map(|i| {
            let of = Number::Signal(format!("s{i}"));
            metric(&format!("m{i}"), Measure::Total { of, target: average(1.0) })
        }).collect();
        let to = wanted(&wide(metrics(list.clone())), &seen, &facts(current));
        list.reverse();
        prop_assert_eq!(to, wanted(&wide(metrics(list)), &seen, &facts(current)));
    }

    /// During a rollout nothing asks for more than its ratio of the number at the start, whatever the
    /// number of pods; and nothing asks for fewer than there are while it is above its target.
    #[test]
    fn a_rollout_climbs_no_ladder(busy in 111..300u32, start in 1..60i64, passes in 1..8usize, surge in 0..100i64) {
        let action = by_signal(mean(1.0));
        let mut current = start;
        let most = (start * i64::from(busy) + 99) / 100;
        for _ in 0..passes {
            let pods = usize::try_from(current + current * surge / 100).unwrap();
            let fleet = Fleet::default().ready(pods, f64::from(busy) / 100.0);
            let mut facts = fleet.facts(current);
            facts.rollout = Some("a test".to_owned());
            facts.history.rollout = Some(flyball_core::decide::RolloutStart { at: at(NOW - 60), replicas: n(start) });
            let to = wanted(&action, &fleet.observed(NOW, cpu()), &facts);
            prop_assert!(current <= to && to <= most.max(current), "{} of at most {}", to, most);
            current = to;
        }
    }
}

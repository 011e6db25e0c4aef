//! Three backends that serve 100, 100 and 50 requests per second and shed what is more, as 5xx; 180 are
//! offered. From 600 to 1400 s one of the large two has half of its capacity. Counters are scraped every 15 s,
//! a weight takes effect a second after it was written, and what is measured has a noise of 3 %.
//!
//! `cargo test -p flyball-core --test stages simulation -- --nocapture` prints the table.

use super::{action, pass, told, weights};
use crate::build::{Observed, at, finite, secs};
use flyball_core::{
    decide::{RouteFacts, WeightHistory},
    policy::{CapacityLaw, WeightLaw, WeightsAction},
    signal::{Quality, Reading},
};
use std::{collections::BTreeMap, ops::Range};

const NAMES: [&str; 3] = ["a", "b", "c"];
const OFFERED: f64 = 180.0;
const FAULT: Range<usize> = 600..1400;
const END: usize = 6000;
/// By then the law has had more than ten times the longest hold.
const SETTLED: Range<usize> = 4500..END;
const SCRAPE: usize = 15;

/// A generator of its own (`SplitMix64`), so that each run is the same.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[allow(clippy::cast_precision_loss)] // 53 bits are what a float has.
        let unit = ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }

    /// About normal, of mean 1 and deviation 3 %.
    fn factor(&mut self) -> f64 {
        let sum: f64 = (0..12).map(|_| self.uniform()).sum();
        1.0 + 0.03 * (sum - 6.0)
    }
}

/// What the counters were at one scrape, or the rates between two: requests, errors, busy seconds,
/// seconds of latency.
type Counters = [[f64; 4]; 3];

fn capacities(fault: &Range<usize>, second: usize) -> [f64; 3] {
    let second_large = if fault.contains(&second) { 50.0 } else { 100.0 };
    [100.0, second_large, 50.0]
}

/// The mean latency of M/M/1 with a service time of 1/capacity, at most the 5 s of a time-out.
fn latency(rate: f64, capacity: f64) -> f64 {
    if rate < capacity {
        (1.0 / (capacity - rate)).min(5.0)
    } else {
        5.0
    }
}

/// Whatever sets shares from rates over a window.
trait Controller {
    /// New shares, if there are any.
    fn decide(&mut self, second: usize, shares: [f64; 3], rates: &Counters) -> Option<[f64; 3]>;
}

struct Run {
    shares: Vec<[f64; 3]>,
    shed: Vec<f64>,
    writes: usize,
}

impl Run {
    /// The part of all requests that was shed.
    fn shed_in(&self, range: Range<usize>) -> f64 {
        #[allow(clippy::cast_precision_loss)] // Thousands.
        let seconds = range.len() as f64;
        self.shed[range].iter().sum::<f64>() / (OFFERED * seconds)
    }

    /// The largest peak-to-peak swing of a share.
    fn swing_in(&self, range: Range<usize>) -> f64 {
        let of = |index: usize| {
            let shares = self.shares[range.clone()].iter().map(move |shares| shares[index]);
            shares.clone().fold(0.0, f64::max) - shares.fold(1.0, f64::min)
        };
        (0..3).map(of).fold(0.0, f64::max)
    }
}

/// What the 3 % are of.
#[derive(Clone, Copy, PartialEq)]
enum Noisy {
    /// Of what counts between two scrapes; a window of 60 s has four of them.
    Scrapes,
    /// Of each rate that is read, so that no window averages it out.
    Rates,
}

/// What differs between runs.
#[derive(Clone)]
struct Plant {
    noisy: Noisy,
    fault: Range<usize>,
}

const PLANT: Plant = Plant {
    noisy: Noisy::Scrapes,
    fault: FAULT,
};

fn run(controller: &mut dyn Controller, plant: &Plant, interval: usize, window: usize, seed: u64) -> Run {
    let (mut noise, mut factors) = (Noise(seed), [[1.0; 4]; 3]);
    let (mut shares, mut next) = ([1.0 / 3.0; 3], None);
    let mut counters: Counters = [[0.0; 4]; 3];
    let mut scrapes = vec![counters];
    let mut run = Run {
        shares: Vec::new(),
        shed: Vec::new(),
        writes: 0,
    };
    for second in 0..END {
        if second % SCRAPE == 0 && plant.noisy == Noisy::Scrapes {
            factors = factors.map(|factors| factors.map(|_| noise.factor()));
        }
        // What was written in the last second counts from this one on.
        shares = next.take().unwrap_or(shares);
        let mut lost = 0.0;
        for (index, capacity) in capacities(&plant.fault, second).into_iter().enumerate() {
            let rate = shares[index] * OFFERED;
            let served = rate.min(capacity);
            lost += rate - served;
            let added = [rate, rate - served, served / capacity, rate * latency(rate, capacity)];
            for (counter, (added, factor)) in counters[index].iter_mut().zip(added.into_iter().zip(factors[index])) {
                *counter += added * factor;
            }
        }
        run.shares.push(shares);
        run.shed.push(lost);
        if (second + 1) % SCRAPE == 0 {
            scrapes.push(counters);
        }
        if (second + 1) % interval == 0 && scrapes.len() > window / SCRAPE {
            let mut rates = rates(&scrapes, window);
            if plant.noisy == Noisy::Rates {
                rates = rates.map(|rates| rates.map(|rate| rate * noise.factor()));
            }
            next = controller.decide(second + 1, shares, &rates);
            run.writes += usize::from(next.is_some());
        }
    }
    run
}

/// Per second, from the first to the last scrape in the window.
fn rates(scrapes: &[Counters], window: usize) -> Counters {
    let (last, first) = (scrapes[scrapes.len() - 1], scrapes[scrapes.len() - 1 - window / SCRAPE]);
    #[allow(clippy::cast_precision_loss)] // Hundreds.
    let seconds = window as f64;
    let mut rates = last;
    for (index, rate) in rates.iter_mut().enumerate() {
        for (counter, value) in rate.iter_mut().enumerate() {
            *value = (*value - first[index][counter]) / seconds;
        }
    }
    rates
}

/// The law as it is shipped, with the defaults: smoothing 0.5, cap 20 %, dead band 5 %; hold is the window.
struct Capacity {
    action: WeightsAction,
    facts: RouteFacts,
}

impl Capacity {
    fn new(window: usize) -> Self {
        let mut action = action(WeightLaw::Capacity(CapacityLaw {
            utilisation: "cpu".to_owned(),
            penalty: finite(1.0),
            smoothing: finite(0.5),
        }));
        action.limits.hold = secs(window as u64);
        action.traffic.window = secs(window as u64);
        let facts = RouteFacts {
            current: weights(&[("a", 1), ("b", 1), ("c", 1)]),
            unmanaged: 0,
            others: Vec::new(),
            fixed_total: None,
            requests: Reading::failed(at(0), ""),
            errors: Reading::failed(at(0), ""),
            unserved: None,
            ready: BTreeMap::new(),
            history: WeightHistory::default(),
        };
        Self { action, facts }
    }
}

impl Controller for Capacity {
    fn decide(&mut self, second: usize, _: [f64; 3], rates: &Counters) -> Option<[f64; 3]> {
        let second = i64::try_from(second).unwrap();
        let reading = |counter: usize| {
            let values: Vec<(&str, f64)> = NAMES
                .into_iter()
                .zip(rates.iter().map(|rates| rates[counter]))
                .collect();
            told(Quality::Fresh, second, &values)
        };
        (self.facts.requests, self.facts.errors) = (reading(0), reading(1));
        let came = pass(
            &self.action,
            &Observed::default().signal("cpu", reading(2)),
            &self.facts,
            second,
        );
        self.facts.history = came.history;
        let proposal = came.to?;
        self.facts.current = proposal.to;
        self.facts.history.moved_at = Some(at(second));
        Some(NAMES.map(|name| self.facts.current.share(name).unwrap()))
    }
}

/// The weights stay as they were found.
struct Fixed;

impl Controller for Fixed {
    fn decide(&mut self, _: usize, _: [f64; 3], _: &Counters) -> Option<[f64; 3]> {
        None
    }
}

/// Weight is one over the mean latency, as is. For comparison only.
struct InverseLatency;

impl Controller for InverseLatency {
    fn decide(&mut self, _: usize, _: [f64; 3], rates: &Counters) -> Option<[f64; 3]> {
        let inverse = rates.map(|rates| rates[0] / rates[3]);
        let sum: f64 = inverse.iter().sum();
        Some(inverse.map(|inverse| inverse / sum))
    }
}

/// The worst of three seeds: swing before the fault and settled after it, shed settled and during the fault.
fn worst(new: &dyn Fn() -> Box<dyn Controller>, plant: &Plant, interval: usize, window: usize) -> [f64; 5] {
    let mut worst = [0.0_f64; 5];
    for seed in [1, 2, 3] {
        let run = run(new().as_mut(), plant, interval, window, seed);
        #[allow(clippy::cast_precision_loss)] // Hundreds.
        let writes = run.writes as f64;
        let of = [
            run.swing_in(300..FAULT.start),
            run.swing_in(SETTLED),
            run.shed_in(SETTLED),
            run.shed_in(FAULT),
            writes,
        ];
        for (worst, of) in worst.iter_mut().zip(of) {
            *worst = worst.max(of);
        }
    }
    worst
}

fn print(name: &str, interval: usize, window: usize, [before, after, settled, fault, writes]: [f64; 5]) {
    println!(
        "{name:17} {interval:3} s {window:3} s   {before:.3} -> {after:.3}   {:6.2} % {:6.2} %   {writes:4}",
        settled * 100.0,
        fault * 100.0
    );
}

/// Decided every 15, 30 and 60 s, by rates over 60 and 300 s.
const CASES: [(usize, usize); 6] = [(15, 60), (30, 60), (60, 60), (15, 300), (30, 300), (60, 300)];

#[test]
fn the_capacity_law_sheds_nothing_and_does_not_ring() {
    println!("law               every  window   swing before -> after   shed settled, in the fault   writes");
    for (interval, window) in CASES {
        let fixed = worst(&|| Box::new(Fixed), &PLANT, interval, window);
        print("fixed", interval, window, fixed);
        // 60 each: c sheds 10 of 180; in the fault b does so too.
        assert!((fixed[2] - 10.0 / 180.0).abs() < 1e-9, "{}", fixed[2]);
        assert!((fixed[3] - 20.0 / 180.0).abs() < 1e-9, "{}", fixed[3]);
    }
    for (interval, window) in CASES {
        let inverse = worst(&|| Box::new(InverseLatency), &PLANT, interval, window);
        print("1/latency, raw", interval, window, inverse);
    }
    for (interval, window) in CASES {
        let capacity = worst(&|| Box::new(Capacity::new(window)), &PLANT, interval, window);
        print("capacity", interval, window, capacity);
        is_steady(capacity, interval, window);
    }
    // The fault never ends: 200 rps are left, so the law has 10 % to find its place in.
    let lasting = Plant {
        fault: FAULT.start..END,
        ..PLANT
    };
    for (interval, window) in CASES {
        let fixed = worst(&|| Box::new(Fixed), &lasting, interval, window);
        assert!((fixed[2] - 20.0 / 180.0).abs() < 1e-9, "{}", fixed[2]);
        let capacity = worst(&|| Box::new(Capacity::new(window)), &lasting, interval, window);
        print("a lasting fault", interval, window, capacity);
        is_steady(capacity, interval, window);
    }
    // Without the averaging of a window the law still sheds nothing; how far it swings is only printed.
    let noisier = Plant {
        noisy: Noisy::Rates,
        ..PLANT
    };
    for (interval, window) in CASES {
        let capacity = worst(&|| Box::new(Capacity::new(window)), &noisier, interval, window);
        print("the same, noisier", interval, window, capacity);
        assert!(
            capacity[2] < 1e-9,
            "every {interval} s by {window} s: {} are shed",
            capacity[2]
        );
    }
}

fn is_steady([_, swing, settled, ..]: [f64; 5], interval: usize, window: usize) {
    assert!(settled < 1e-9, "every {interval} s by {window} s: {settled} are shed");
    assert!(
        swing <= 0.03,
        "every {interval} s by {window} s: a share swings by {swing}"
    );
}

//! Three backends that serve 100, 100 and 50 requests per second and shed what is more, as 5xx; 180 are
//! offered. From 600 to 1400 s one of the large two has half of its capacity. Counters are scraped every 15 s,
//! a weight takes effect a second after it was written, and what is measured has a noise of 3 %. A rate is what
//! Prometheus makes of a window: of the scrapes within it the last less the first, per second between them. A move is
//! a Change that is open until its effect is there or its deadline is over, and is superseded as in the controller.
//!
//! `cargo test -p flyball-core --test stages simulation -- --nocapture` prints the table.

use super::{action, pass, told, weights};
use crate::build::{Observed, at, finite, secs};
use flyball_core::{
    check::{OpenWeights, RouteWorld, Supersedable, shape_weights},
    decide::{RouteFacts, WeightHistory},
    policy::{CapacityLaw, WeightLaw, Weights, WeightsAction},
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
    /// The first scrape that told of a request that was shed since the fault.
    visible: Option<usize>,
}

impl Run {
    /// For how many seconds from the first scrape that told of it requests were shed.
    fn until_zero(&self) -> usize {
        let last = self.shed.iter().rposition(|shed| *shed > 0.0).unwrap_or(0);
        (last + 1).saturating_sub(self.visible.unwrap())
    }

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
    /// How long after a scrape a pass comes, in seconds; it is less than the interval.
    late: usize,
}

const PLANT: Plant = Plant {
    noisy: Noisy::Scrapes,
    fault: FAULT,
    late: 0,
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
        visible: None,
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
            let sheds = run.shed.iter().skip(plant.fault.start).any(|shed| *shed > 0.0);
            run.visible = run.visible.or_else(|| sheds.then_some(second + 1));
        }
        if (second + 1) % interval == plant.late && scrapes.len() > window / SCRAPE {
            let mut rates = rates(&scrapes, window, plant.late % SCRAPE);
            if plant.noisy == Noisy::Rates {
                rates = rates.map(|rates| rates.map(|rate| rate * noise.factor()));
            }
            next = controller.decide(second + 1, shares, &rates);
            run.writes += usize::from(next.is_some());
        }
    }
    run
}

/// Per second, from the first to the last scrape in the window. Its start does not belong to it, so four of a minute
/// are 45 s. A series of errors is there from the first error on: there is no rate of one scrape, and of a few it is
/// extrapolated by half of their distance to the front, or to where it was zero, and to the end.
fn rates(scrapes: &[Counters], window: usize, late: usize) -> Counters {
    let between = window / SCRAPE - 1;
    let (last, first) = (scrapes[scrapes.len() - 1], scrapes[scrapes.len() - 1 - between]);
    #[allow(clippy::cast_precision_loss)] // Hundreds.
    let seconds = (between * SCRAPE) as f64;
    let mut rates = last;
    for (index, rate) in rates.iter_mut().enumerate() {
        for (counter, value) in rate.iter_mut().enumerate() {
            *value = (*value - first[index][counter]) / seconds;
        }
        if first[index][1] == 0.0 {
            let all = scrapes[scrapes.len() - 1 - between..]
                .iter()
                .map(|scrape| scrape[index][1]);
            let there: Vec<f64> = all.filter(|errors| *errors > 0.0).collect();
            rate[1] = newborn(&there, window, late);
        }
    }
    rates
}

/// The rate of a counter that was first seen within the window.
#[allow(clippy::cast_precision_loss)] // Hundreds.
fn newborn(counts: &[f64], window: usize, late: usize) -> f64 {
    let [first, .., last] = counts else { return 0.0 };
    let (between, increase) = (((counts.len() - 1) * SCRAPE) as f64, last - first);
    if increase <= 0.0 {
        return 0.0;
    }
    let front = (between * first / increase).min(SCRAPE as f64 / 2.0);
    increase * (between + front + late as f64) / between / window as f64
}

/// The law as it is shipped, with the defaults: smoothing 0.5, cap 20 %, dead band 5 %; hold is the window.
struct Capacity {
    action: WeightsAction,
    facts: RouteFacts,
    open: Option<Open>,
}

/// A Change that is being verified.
struct Open {
    from: Weights,
    to: Weights,
    /// When it was written, in seconds.
    at: i64,
}

/// The effect: no more than this part of all requests is shed.
const EFFECT: f64 = 0.05;

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
        Self {
            action,
            facts,
            open: None,
        }
    }

    /// The traffic follows within a second, so once a window is over it is seen to. The effect is waited for from then
    /// on, for at most four windows more.
    fn carried(&mut self, second: i64, rates: &Counters) -> OpenWeights {
        let window = i64::try_from(self.action.traffic.window.as_millis() / 1000).unwrap();
        let of = |counter: usize| rates.iter().map(|rates| rates[counter]).sum::<f64>();
        let effect = of(1) <= EFFECT * of(0);
        self.open = self.open.take().filter(|open| {
            let since = second - open.at;
            since < window || (!effect && since < 5 * window)
        });
        self.open.as_ref().map_or(OpenWeights::None, |open| OpenWeights::Ours {
            name: "the-open-one".to_owned(),
            from: open.from.clone(),
            to: open.to.clone(),
            supersedable: if second - open.at < window {
                Supersedable::AtOnce
            } else {
                Supersedable::Further
            },
        })
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
        let open = self.carried(second, rates);
        let came = pass(
            &self.action,
            &Observed::default().signal("cpu", reading(2)),
            &self.facts,
            second,
        );
        self.facts.history = came.history;
        let world = RouteWorld {
            open,
            ..RouteWorld::default()
        };
        let candidate = shape_weights(came.to?, &self.action, &self.facts, &world, at(second)).ok()?;
        let to = candidate.to().clone();
        let from = std::mem::replace(&mut self.facts.current, to.clone());
        // By then it was accepted, so the hold is over with the pass after the one a window later.
        self.open = Some(Open {
            from,
            to,
            at: second + 1,
        });
        self.facts.history.moved_at = Some(at(second + 1));
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

/// When the large one slows to half for good. The law has come to rest by then.
const SLOWS: usize = 3000;

/// How long requests are shed from the first scrape that tells of it, wherever scrapes and passes fall: of three
/// seeds and four times each, the worst and the mean.
fn slows(interval: usize, window: usize) -> (usize, usize) {
    let mut all = Vec::new();
    for after in [1, 5, 9, 13] {
        for late in [0, 4, 8, 12] {
            for seed in [1, 2, 3] {
                let plant = Plant {
                    fault: SLOWS + after..END,
                    late,
                    ..PLANT
                };
                let run = run(&mut Capacity::new(window), &plant, interval, window, seed);
                all.push(run.until_zero());
            }
        }
    }
    (
        all.iter().copied().max().unwrap(),
        all.iter().sum::<usize>() / all.len(),
    )
}

#[test]
fn a_backend_that_slows_sheds_nothing_soon_after_that_is_seen() {
    println!("every  window   shed for, worst and mean");
    for (interval, window) in CASES {
        let (worst, mean) = slows(interval, window);
        println!("{interval:3} s {window:4} s   {worst:4} s {mean:4} s");
        // Until the second scrape that tells of failures (before that there is no rate of them) and a pass, for a fifth of
        // the window at least until what is since is told apart, and a second until the weights count.
        let told = (window / 5).div_ceil(interval) * interval;
        let most = SCRAPE + interval + told + 1;
        if 2 * interval <= window {
            assert!(
                worst <= most,
                "every {interval} s by {window} s: {worst} s instead of {most}"
            );
        }
    }
}

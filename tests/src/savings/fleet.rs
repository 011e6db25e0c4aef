//! Headroom divided among processes by one price, beside one GOGC for all: what is predicted, and what comes of it.

use super::{
    Bench,
    figures::{Spread, Uniform},
    hands::{Budget, PASS},
    heading, load, mb,
    plot::{Kind, Point, scatter},
    process::{Hand, Measured, Process, Work, observe},
};
use flyball_core::{
    bytes::Bytes,
    decide::runtime::{AllocationRate, Gogc, GogcBounds, Profile, Service, bc2_saving, opportunity},
};
use std::{collections::BTreeMap, time::Duration};

/// Live heap in MiB and KiB a second, a hundredth of it for each request.
type Member = (u32, u32);
/// Six that are unlike: what they allocate says nothing of what they keep.
const UNLIKE: [Member; 6] = [
    (8, 120_000),
    (8, 12_000),
    (24, 90_000),
    (60, 30_000),
    (120, 12_000),
    (160, 9_000),
];
/// Six replicas of one service.
const ALIKE: [Member; 6] = [(40, 30_000); 6];
const RATE: u32 = 100;
/// The two settings that tell what every other would cost, and Flyball.
const LOW: u32 = 100;
const HIGH: u32 = 200;
const ROUNDS: usize = 2;
const WINDOWS: usize = 3;
const WINDOW: u64 = 25;

/// Fleets in the order of their results.
const HANDS: [Hand; 3] = [Hand::Fixed(LOW), Hand::Fixed(HIGH), Hand::Agent];

struct Story {
    title: &'static str,
    name: &'static str,
    members: [Member; 6],
    /// How many passes it has to settle: the slowest process collects three times between two steps.
    passes: u64,
}

pub(super) fn run(bench: &Bench) {
    let unlike = Story {
        title: "Six unlike Go processes",
        name: "unlike",
        members: UNLIKE,
        passes: 10,
    };
    let alike = Story {
        title: "Six replicas of one service",
        name: "alike",
        members: ALIKE,
        passes: 6,
    };
    unlike.tell(bench);
    alike.tell(bench);
}

/// What a stretch of time gave, by fleet.
type Window = [Measured; 3];

#[derive(Default)]
struct Found {
    windows: Vec<Window>,
    loads: Vec<f64>,
    /// What `doctor` predicts: 1 - BC², and within the bounds of GOGC.
    predicted: Vec<(f64, f64)>,
    /// Each process by its name, as often as it was measured.
    members: BTreeMap<String, Vec<Measured>>,
    /// Each process' GOGC at the end.
    gogc: Vec<f64>,
    setting: String,
}

impl Story {
    fn tell(&self, bench: &Bench) {
        let mut found = Found::default();
        let mut headroom = None;
        for round in 0..ROUNDS {
            let folder = bench.part(self.name);
            headroom = Some(self.round(bench, round, &folder, headroom, &mut found));
        }
        self.print(&found, headroom.unwrap_or(Bytes::ZERO));
        self.draw(bench, &found);
    }

    fn round(
        &self,
        bench: &Bench,
        round: usize,
        folder: &std::path::Path,
        headroom: Option<Bytes>,
        found: &mut Found,
    ) -> Bytes {
        let mut order = [0, 1, 2];
        if round % 2 == 1 {
            order.reverse();
        }
        let start = |fleet: usize, nth: usize, (live, allocated): Member| {
            let work = Work {
                live,
                rate: RATE,
                garbage: allocated / RATE,
                compute: 0,
            };
            Process::start(&bench.program, folder, &format!("{fleet} {nth}"), work, HANDS[fleet])
        };
        let mut processes: Vec<Process> = Vec::new();
        for fleet in order {
            let members = self.members.into_iter().enumerate();
            processes.extend(members.map(|(nth, member)| start(fleet, nth, member)));
        }
        let mut budget = Budget::new(headroom.unwrap_or(Bytes::saturating(1 << 20)));
        for pass in 0..self.passes {
            let measured = observe(&mut processes, bench.lasts(PASS), f64::NAN, |_, _| ());
            let measured = by_fleet(&processes, &measured);
            budget.scrape(ours(&processes));
            if pass < 2 {
                continue; // rates need two scrapes, and each process a collection
            }
            if pass == 2 {
                let profiles = budget.profiles();
                found.predicted.push(predicted(&profiles));
                if headroom.is_none() {
                    // A first guess: what GOGC 100 for all allows.
                    let heaps = profiles.values().filter_map(|profile| profile.heap().ok());
                    let hundred = Gogc::new(100).expect("a GOGC");
                    budget.headroom(heaps.fold(Bytes::ZERO, |sum, heap| sum.plus(heap.headroom(hundred))));
                }
            } else if pass + 1 < self.passes && pass % 2 == 1 && pass > 4 {
                // Whoever writes the budget wants the memory of today, so it is found by what it comes to.
                let over = measured[2].resident - measured[0].resident;
                let next = Bytes::nearest((budget.has().real() - over).max(1e6));
                budget.headroom(next.unwrap_or(Bytes::ZERO));
            }
            budget.pass(ours(&processes));
        }
        for _ in 0..WINDOWS {
            let mut since = Duration::ZERO;
            let every = bench.lasts(PASS);
            let measured = observe(&mut processes, bench.lasts(WINDOW), f64::NAN, |processes, passed| {
                if passed >= since + every {
                    since = passed;
                    budget.scrape(ours(processes));
                    budget.pass(ours(processes));
                }
            });
            found.windows.push(by_fleet(&processes, &measured));
            for (process, measured) in processes.iter().zip(measured) {
                found.members.entry(process.name.clone()).or_default().push(measured);
            }
            found.loads.push(load());
        }
        let gogc = |process: &Process| process.page().get("knob/gogc").copied().unwrap_or(f64::NAN);
        found.gogc = ours(&processes).map(gogc).collect();
        found.setting = budget.setting();
        budget.has()
    }

    fn print(&self, found: &Found, headroom: Bytes) {
        heading(self.title, &found.loads);
        let of =
            |fleet: usize, of: fn(&Measured) -> f64| Spread::of(found.windows.iter().map(|window| of(&window[fleet])));
        println!(
            "{:<12} {:>26} {:>24}",
            "", "CPU ms a request of each", "resident MB, all"
        );
        for (fleet, name) in NAMES.into_iter().enumerate() {
            println!(
                "{name:<12} {:>26} {:>24}",
                format!("{:.3}", of(fleet, per_request)),
                format!("{:.0}", of(fleet, |run| mb(run.resident)))
            );
        }
        println!("\nheadroom {headroom}, {}", found.setting);
        println!(
            "{:<24} {:>6} {:>16} {:>16}",
            "medians of one, 100 / it", "GOGC", "CPU ms a request", "resident MB"
        );
        for (nth, ((live, allocated), gogc)) in self.members.iter().zip(&found.gogc).enumerate() {
            let pair = |of: fn(&Measured) -> f64, digits: usize| {
                let [fixed, ours] = [0, 2].map(|fleet| {
                    let runs = found.members.get(&format!("{fleet} {nth}"));
                    Spread::of(runs.into_iter().flatten().map(of)).median
                });
                format!("{fixed:.digits$} / {ours:.digits$}")
            };
            println!(
                "{:<24} {gogc:>6.0} {:>16} {:>16}",
                format!("{live} MiB, {} MB/s", allocated / 1000),
                pair(|run| 1000.0 * run.cpu / run.requests, 3),
                pair(|run| mb(run.resident), 0)
            );
        }
        let percent = |values: &mut dyn Iterator<Item = f64>| Spread::of(values).times(100.0);
        let windows = || found.windows.iter();
        println!(
            "\nagainst GOGC {LOW}: memory {:.3}, CPU {:.3}",
            Spread::of(windows().map(|w| w[2].resident / w[0].resident)),
            Spread::of(windows().map(|w| per_request(&w[2]) / per_request(&w[0])))
        );
        println!("saved against one GOGC for all at the same total memory, %:");
        let saved = |window: &Window| {
            let uniform = uniform(window);
            1.0 - per_request(&window[2]) / uniform.cpu(window[2].resident)
        };
        println!("  CPU of the processes       {:.1}", percent(&mut windows().map(saved)));
        let of_collections = |window: &Window| {
            let uniform = uniform(window);
            let same = uniform.cpu(window[2].resident);
            (same - per_request(&window[2])) / (same - uniform.work)
        };
        println!(
            "  CPU of collections         {:.1}",
            percent(&mut windows().map(of_collections))
        );
        let share = |window: &Window| {
            let uniform = uniform(window);
            uniform.collections / (uniform.collections + uniform.work)
        };
        println!(
            "  (collections are {:.0} % of the CPU at GOGC 100)",
            percent(&mut windows().map(share))
        );
        println!(
            "predicted by doctor, CPU of collections: {:.1}; with GOGC from 50 to 400: {:.1}",
            percent(&mut found.predicted.iter().map(|(ideal, _)| *ideal)),
            percent(&mut found.predicted.iter().map(|(_, bounded)| *bounded))
        );
    }

    fn draw(&self, bench: &Bench, found: &Found) {
        let points = NAMES.into_iter().enumerate().map(|(fleet, name)| {
            let of =
                |of: fn(&Measured) -> f64| Spread::of(found.windows.iter().map(|window| of(&window[fleet]))).median;
            Point {
                name: name.to_owned(),
                memory: mb(of(|run| run.resident)),
                cpu: of(per_request),
                kind: if fleet == 2 { Kind::Flyball } else { Kind::Fixed },
            }
        });
        let svg = scatter(
            self.title,
            "CPU milliseconds for a request of each",
            &points.collect::<Vec<_>>(),
        );
        bench.picture(&format!("{}.svg", self.name), &svg);
    }
}

const NAMES: [&str; 3] = ["GOGC 100", "GOGC 200", "Flyball"];

/// The processes with an agent.
fn ours(processes: &[Process]) -> impl Iterator<Item = &Process> {
    processes.iter().filter(|process| process.name.starts_with('2'))
}

/// Sums by fleet.
fn by_fleet(processes: &[Process], measured: &[Measured]) -> Window {
    let mut sums = Window::default();
    for (process, measured) in processes.iter().zip(measured) {
        let fleet = HANDS
            .iter()
            .enumerate()
            .position(|(fleet, _)| process.name.starts_with(&fleet.to_string()));
        if let Some(sum) = fleet.and_then(|fleet| sums.get_mut(fleet)) {
            sum.cpu += measured.cpu;
            sum.requests += measured.requests;
            sum.resident += measured.resident;
        }
    }
    sums
}

/// CPU milliseconds of one request of each of the six.
fn per_request(run: &Measured) -> f64 {
    6.0 * 1000.0 * run.cpu / run.requests
}

fn uniform(window: &Window) -> Uniform {
    let point = |gogc: u32, run: &Measured| (f64::from(gogc), per_request(run), run.resident);
    Uniform::of(point(LOW, &window[0]), point(HIGH, &window[1]))
}

/// As `flyball doctor` has it, and within the product's bounds.
fn predicted(profiles: &BTreeMap<String, Profile>) -> (f64, f64) {
    let known = || profiles.values().filter_map(|profile| Service::of(profile).ok());
    let pairs: Vec<(AllocationRate, Bytes)> = known().map(|one| (one.allocation, one.heap.live())).collect();
    let services: Vec<Service> = known().collect();
    let (bounds, hundred) = (
        GogcBounds::new(50, 400).expect("bounds"),
        Gogc::new(100).expect("a GOGC"),
    );
    let bounded = opportunity(&services, hundred, bounds)
        .answer
        .map_or(f64::NAN, |found| found.bounded);
    (bc2_saving(&pairs).unwrap_or(f64::NAN), bounded)
}

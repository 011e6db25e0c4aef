//! A service through peak and trough: fixed settings, two tuners, and Flyball by rules and by price.

use super::{
    Bench,
    figures::{Spread, at_memory},
    hands::{Lines, knobs},
    heading, load, mb,
    plot::{Kind, Point, scatter},
    process::{Hand, Measured, Process, Work, observe},
};
use flyball_core::{
    decide::runtime::Lambda,
    policy::{Knob, KnobValue, Knobs},
    signal::Finite,
};
use serde_json::json;

/// At the peak.
const WORK: Work = Work {
    live: 40,
    rate: 60,
    garbage: 512,
    compute: 512,
};
/// The container that the tuners are told of, in MB.
const LIMIT: u32 = 192;
const FIXED: [u32; 6] = [50, 75, 100, 150, 200, 300];
/// How much less the trough has.
const TROUGH: u32 = 5;
/// Seconds of each.
const PHASE: u64 = 40;
const ROUNDS: usize = 2;
const CYCLES: usize = 3;
/// After a change of load, a rule fires, a pass is made and the kubelet brings the line: so much later.
const LATER: u64 = 5;
/// Cores for a GiB: a core costs as much as four.
const PRICE: f64 = 0.25;

const SET: &str = "Flyball, set";
const LAMBDA: &str = "Flyball, price";

struct Variant {
    name: String,
    hand: Hand,
    runs: Vec<Measured>,
}

fn variants() -> Vec<Variant> {
    let fixed = FIXED.map(|gogc| (format!("GOGC {gogc}"), Hand::Fixed(gogc)));
    let others = [
        ("automemlimit", Hand::Tuner("automemlimit", LIMIT)),
        ("gctuner", Hand::Tuner("gctuner", LIMIT)),
        (SET, Hand::Agent),
        (LAMBDA, Hand::Agent),
    ];
    let others = others.map(|(name, hand)| (name.to_owned(), hand));
    let variant = |(name, hand)| Variant {
        name,
        hand,
        runs: Vec::new(),
    };
    fixed.into_iter().chain(others).map(variant).collect()
}

pub(super) fn run(bench: &Bench) {
    let mut variants = variants();
    let mut loads = Vec::new();
    let price = Lambda::per_gib(PRICE).expect("a price").get();
    let price = Knobs::new([
        (Knob::Lambda, KnobValue::Decimal(Finite::new(price).expect("a number"))),
        (Knob::GogcMin, KnobValue::Number(50)),
        (Knob::GogcMax, KnobValue::Number(400)),
    ])
    .expect("knobs");
    let phases = [
        (
            WORK.rate,
            knobs(&json!({"container": "app", "set": {"go": {"gogc": 200}}})),
        ),
        (
            WORK.rate / TROUGH,
            knobs(&json!({"container": "app", "set": {"go": {"gogc": 50}}})),
        ),
    ];
    for round in 0..ROUNDS {
        let folder = bench.part("tuners");
        let mut lines = Lines::default();
        let mut order: Vec<usize> = (0..variants.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let start = |index: &usize| {
            let variant = &variants[*index];
            Process::start(&bench.program, &folder, &variant.name, WORK, variant.hand)
        };
        let mut processes: Vec<Process> = order.iter().map(start).collect();
        lines.write(named(&processes, LAMBDA), &price);
        // The first cycle is there for all to settle.
        for cycle in 0..=CYCLES {
            let mut whole = vec![Measured::default(); processes.len()];
            for (rate, knobs) in &phases {
                for process in &mut processes {
                    process.rate(*rate);
                }
                let mut written = false;
                let later = bench.lasts(LATER);
                let measured = observe(&mut processes, bench.lasts(PHASE), f64::NAN, |processes, passed| {
                    if passed >= later && !written {
                        lines.write(named(processes, SET), knobs);
                        written = true;
                    }
                });
                loads.push(load());
                for (sum, phase) in whole.iter_mut().zip(measured) {
                    sum.cpu += phase.cpu;
                    sum.requests += phase.requests;
                    sum.resident += phase.resident / 2.0;
                    sum.peak = sum.peak.max(phase.peak);
                }
            }
            if cycle > 0 {
                for (index, measured) in order.iter().zip(whole) {
                    variants[*index].runs.push(measured);
                }
            }
        }
    }
    print(&variants, &loads);
    let points = variants.iter().map(|variant| Point {
        name: variant.name.clone(),
        memory: mb(Spread::of(variant.runs.iter().map(|run| run.resident)).median),
        cpu: Spread::of(variant.runs.iter().map(per_request)).median,
        kind: match variant.hand {
            Hand::Fixed(_) => Kind::Fixed,
            Hand::Tuner(..) => Kind::Tuner,
            Hand::Agent => Kind::Flyball,
        },
    });
    let svg = scatter(
        "A service through peak and trough",
        "CPU milliseconds per request",
        &points.collect::<Vec<_>>(),
    );
    bench.picture("tuners.svg", &svg);
}

fn named<'a>(processes: &'a [Process], name: &'a str) -> impl Iterator<Item = &'a Process> {
    processes.iter().filter(move |process| process.name == name)
}

/// CPU milliseconds.
fn per_request(run: &Measured) -> f64 {
    1000.0 * run.cpu / run.requests
}

fn product(run: &Measured) -> f64 {
    per_request(run) * run.resident
}

fn print(variants: &[Variant], loads: &[f64]) {
    let fixed: Vec<&Variant> = variants
        .iter()
        .filter(|variant| matches!(variant.hand, Hand::Fixed(_)))
        .collect();
    let rivals = |name: &str| variants.iter().find(|variant| variant.name == name);
    let title = format!(
        "A service of {} MiB live through peak and trough, {} and {} requests a second",
        WORK.live,
        WORK.rate,
        WORK.rate / TROUGH
    );
    heading(&title, loads);
    println!(
        "{:<16} {:>24} {:>24} {:>9}",
        "", "CPU ms a request", "resident MB, mean", "peak MB"
    );
    for variant in variants {
        let of = |of: fn(&Measured) -> f64| Spread::of(variant.runs.iter().map(of));
        println!(
            "{:<16} {:>24} {:>24} {:>9.0}",
            variant.name,
            format!("{:.2}", of(per_request)),
            format!("{:.0}", of(|run| mb(run.resident))),
            of(|run| mb(run.peak)).most,
        );
    }
    println!("\nratios, below 1: Flyball takes less");
    for name in [SET, LAMBDA] {
        let Some(ours) = rivals(name) else { continue };
        let ratio = |(nth, run): (usize, &Measured)| {
            let curve: Vec<(f64, f64)> = fixed
                .iter()
                .map(|variant| (variant.runs[nth].resident, per_request(&variant.runs[nth])))
                .collect();
            at_memory(&curve, run.resident).map(|cost| per_request(run) / cost)
        };
        let ratios: Vec<f64> = ours.runs.iter().enumerate().filter_map(ratio).collect();
        println!(
            "  {name}: CPU, to the fixed GOGC of the same mean memory  {:.3}   ({} of {} comparable)",
            Spread::of(ratios.iter().copied()),
            ratios.len(),
            ours.runs.len()
        );
        for rival in ["automemlimit", "gctuner", "GOGC 100", "GOGC 50", "GOGC 200"] {
            let Some(rival) = rivals(rival) else { continue };
            let against = |of: fn(&Measured) -> f64| {
                Spread::of(
                    ours.runs
                        .iter()
                        .zip(&rival.runs)
                        .map(|(our, their)| of(our) / of(their)),
                )
            };
            println!(
                "  {name}, to {:<13} CPU {:.3}   memory {:.3}   CPU x memory {:.3}",
                rival.name,
                against(per_request),
                against(|run| run.resident),
                against(product)
            );
        }
    }
}

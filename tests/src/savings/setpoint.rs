//! Resident memory held at 1.23 GB, while the live heap is anywhere between 300 and 700 MB.

use super::{
    Bench,
    figures::Spread,
    hands::{Lines, knobs},
    heading, load,
    process::{Hand, Measured, Process, Work, observe},
};
use serde_json::json;

const TARGET: f64 = 1.23e9;
const WORK: Work = Work {
    live: 286,
    rate: 50,
    garbage: 1024,
    compute: 0,
};
/// 300, 500 and 700 MB in MiB, in as many orders as there are.
const STANDS: [[u32; 3]; 5] = [
    [286, 477, 668],
    [668, 477, 286],
    [477, 286, 668],
    [286, 668, 477],
    [668, 286, 477],
];
/// Those that move, all the time from one end to the other and back.
const MOVES: usize = 2;
/// Seconds for each live heap to settle, and then to be measured.
const SETTLE: u64 = 60;
const LENGTH: u64 = 30;
/// Seconds of one way of those that move.
const WAY: f64 = 60.0;

pub(super) fn run(bench: &Bench) {
    let folder = bench.part("setpoint");
    let hold = knobs(&json!({
        "container": "app", "setPoint": {"resident": "1230M"}, "gogc": {"min": 50, "max": 1000},
    }));
    let start = |(nth, stands): (usize, [u32; 3])| {
        let name = format!("stands {nth}");
        let work = Work {
            live: stands[0],
            ..WORK
        };
        Process::start(&bench.program, &folder, &name, work, Hand::Agent)
    };
    let mut processes: Vec<Process> = STANDS.into_iter().enumerate().map(start).collect();
    let moving = |nth: usize| Process::start(&bench.program, &folder, &format!("moves {nth}"), WORK, Hand::Agent);
    processes.extend((0..MOVES).map(moving));
    Lines::default().write(&processes, &hold);
    let mut loads = Vec::new();
    let mut standing: Vec<(u32, Measured)> = Vec::new();
    let mut moved: Vec<Measured> = Vec::new();
    let mut seconds = 0.0;
    for place in 0..STANDS[0].len() {
        for (process, stands) in processes.iter_mut().zip(STANDS) {
            process.live(stands[place]);
        }
        let mut wander = |processes: &mut [Process], _| {
            seconds += 1.0;
            for (nth, process) in processes.iter_mut().skip(STANDS.len()).enumerate() {
                let at = (seconds / WAY + [0.0, 1.0][nth % 2]) % 2.0;
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // From 286 to 668.
                process.live((286.0 + (668.0 - 286.0) * at.min(2.0 - at)) as u32);
            }
        };
        observe(&mut processes, bench.lasts(SETTLE), TARGET, &mut wander);
        let measured = observe(&mut processes, bench.lasts(LENGTH), TARGET, &mut wander);
        loads.push(load());
        let (stood, wandered) = measured.split_at(STANDS.len());
        standing.extend(STANDS.iter().map(|stands| stands[place]).zip(stood.iter().copied()));
        moved.extend(wandered);
    }
    heading("Resident memory held at 1.23 GB, in shares of it", &loads);
    println!(
        "{:<28} {:>26} {:>10} {:>10} {:>14}",
        "live heap", "mean, %", "lowest, %", "highest, %", "within 2 %, %"
    );
    let row = |name: &str, runs: &[Measured]| {
        let percent = |of: fn(&Measured) -> f64| Spread::of(runs.iter().map(of)).times(100.0 / TARGET);
        println!(
            "{name:<28} {:>26} {:>10.2} {:>10.2} {:>14.0}",
            format!("{:.2}", percent(|run| run.resident)),
            percent(|run| run.least).least,
            percent(|run| run.peak).most,
            100.0 * Spread::of(runs.iter().map(|run| run.near)).median
        );
    };
    for (live, name) in [(286, "300 MB"), (477, "500 MB"), (668, "700 MB")] {
        let runs: Vec<Measured> = standing
            .iter()
            .filter(|(stood, _)| *stood == live)
            .map(|(_, run)| *run)
            .collect();
        row(name, &runs);
    }
    row("300 to 700 MB in a minute", &moved);
}

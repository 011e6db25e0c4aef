//! `make bench-runtime`: what the runtime lever saves, beside fixed settings and the tuners that there are.
//!
//! All that are compared run at the same time, side by side, so that whatever else the machine does falls on all of them
//! alike. Each is measured again and again over the same stretches of time, ratios are made within a stretch, and the
//! medians of those are printed; everything is started twice, the second time in the opposite order.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)] // What fails here ends the benchmark, and says so.

mod figures;
mod fleet;
mod hands;
mod plot;
mod process;
mod setpoint;
mod tuners;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// A service through peak and trough.
    Tuners,
    /// Six unlike processes, and six replicas.
    Fleet,
    /// Resident memory held at a number.
    #[value(name = "setpoint")]
    SetPoint,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tuners, Self::Fleet, Self::SetPoint];
}

/// Where things are, and how long they take.
pub struct Bench {
    /// The service.
    program: PathBuf,
    /// Where pictures go, and what processes read.
    folder: PathBuf,
    /// All times are divided by this: 1, unless somebody only tries whether it works.
    hurry: u32,
}

impl Bench {
    fn lasts(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds) / self.hurry
    }

    /// The folder of a part, empty.
    fn part(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn picture(&self, name: &str, svg: &str) {
        let file = self.folder.join(name);
        match fs::write(&file, svg) {
            Ok(()) => println!("\nthe picture: {}", file.display()),
            Err(error) => println!("\nno picture: {}: {error}", file.display()),
        }
    }
}

/// Measures, prints, and draws into `folder`.
pub fn run(program: &Path, folder: &Path, parts: &[Part], hurry: u32) -> ExitCode {
    let bench = Bench {
        program: program.to_owned(),
        folder: folder.to_owned(),
        hurry,
    };
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for part in parts {
        match part {
            Part::Tuners => tuners::run(&bench),
            Part::Fleet => fleet::run(&bench),
            Part::SetPoint => setpoint::run(&bench),
        }
    }
    ExitCode::SUCCESS
}

/// What stands above a table: what it is, and what else the machine had to do.
fn heading(title: &str, loads: &[f64]) {
    let others = figures::Spread::of(loads.iter().copied());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("\n{title}");
    println!("({cores} cores, load average {others:.1}, the benchmark's own included)\n");
}

/// Processes that run or wait to, over the last minute.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|first| first.parse().ok());
    first.unwrap_or(f64::NAN)
}

/// Bytes as MB, as everything here is printed.
fn mb(bytes: f64) -> f64 {
    bytes / 1e6
}

//! `make bench-runtime`: what the runtime lever saves. `make bench-runtime ONLY=tuners` (or `fleet`, or `setpoint`) measures
//! one part.

use clap::Parser;
use flyball_tests::savings::{Part, run};
use std::{path::PathBuf, process::ExitCode};

#[derive(Parser)]
struct Arguments {
    /// The service, built from tests/benches/runtime.
    service: PathBuf,
    /// Where the pictures go.
    folder: PathBuf,
    /// The one part to measure: tuners, fleet or setpoint.
    only: Option<String>,
    /// Divides all times, only to see whether it works.
    #[arg(long, default_value_t = 1)]
    hurry: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let parts = match arguments.only.as_deref() {
        None => Part::ALL.to_vec(),
        Some(name) => match Part::named(name) {
            Some(part) => vec![part],
            None => {
                eprintln!("{name} can't be measured alone: say tuners, fleet or setpoint, or nothing");
                return ExitCode::from(2);
            }
        },
    };
    run(&arguments.service, &arguments.folder, &parts, arguments.hurry.max(1))
}

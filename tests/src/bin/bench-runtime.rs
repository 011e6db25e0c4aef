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
    /// The one part to measure.
    only: Option<Part>,
    /// Divides all times, only to see whether it works.
    #[arg(long, default_value_t = 1)]
    hurry: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let parts = arguments.only.map_or_else(|| Part::ALL.to_vec(), |part| vec![part]);
    run(&arguments.service, &arguments.folder, &parts, arguments.hurry.max(1))
}

//! `make demo`: see `demo --help`.

use clap::Parser;
use flyball_tests::demo::{Args, run};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    run(Args::parse()).await
}

//! The `flyball` binary.

use clap::Parser;
use flyball_controller::cli::Cli;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}

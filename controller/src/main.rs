//! The `flyball` binary.

use flyball_controller::cli::Cli;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::of_process() {
        Some(cli) => cli.run().await,
        None => ExitCode::SUCCESS,
    }
}

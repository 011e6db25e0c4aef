//! `make bench-loop`: what the loop costs, and how fast it is beside the HorizontalPodAutoscaler of the same cluster.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    flyball_tests::bench::run().await
}

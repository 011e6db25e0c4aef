//! `make bench-weights`: what becomes of requests while backends slow down, die and come back, as Prometheus usually
//! scrapes.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    flyball_tests::traffic::story::bench().await
}

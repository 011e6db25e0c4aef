//! `make bench-weights`: what becomes of requests while backends slow down, die and come back, as Prometheus usually
//! scrapes. `make bench-weights ONLY=slow` measures only the first of these.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => flyball_tests::traffic::story::bench(false).await,
        Some("slow") => flyball_tests::traffic::story::bench(true).await,
        Some(other) => {
            eprintln!("{other} can't be measured alone: say slow, or nothing");
            ExitCode::from(2)
        }
    }
}

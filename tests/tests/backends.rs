//! The protocol against real servers: Prometheus, and VictoriaMetrics, which answers the same API in its own way. Needs no
//! cluster, but `FLYBALL_PROMETHEUS` and `FLYBALL_VICTORIA_METRICS`, the paths of the two programs. Alerts are posted to a real
//! Alertmanager, `FLYBALL_ALERTMANAGER`, and events to a receiver on the SDK of CloudEvents, `FLYBALL_RECEIVER`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "backends/access.rs"]
mod access;
#[path = "backends/ages.rs"]
mod ages;
#[path = "backends/answers.rs"]
mod answers;
#[path = "backends/coverage.rs"]
mod coverage;
#[path = "backends/events.rs"]
mod events;
#[path = "backends/nodes.rs"]
mod nodes;
#[path = "backends/notify.rs"]
mod notify;
#[path = "backends/samples.rs"]
mod samples;
#[path = "backends/server.rs"]
mod server;
#[path = "backends/tenants.rs"]
mod tenants;

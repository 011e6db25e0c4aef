//! The Flyball controller: reads the cluster and Prometheus, decides by [`flyball_core`], and carries out
//! what was approved.

pub mod client;
pub mod lease;
pub mod server;
pub mod metrics;
pub mod logging;
pub mod observe;
pub mod promql;
pub mod validate;
pub mod apply;
pub mod cli;
pub mod clock;
pub mod reconcile;
pub mod record;
pub mod text;

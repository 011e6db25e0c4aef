//! The Flyball controller: reads the cluster and Prometheus, decides by [`flyball_core`], and carries out
//! what was approved.

pub mod apply;
pub mod cli;
pub mod client;
pub mod clock;
pub mod evidence;
pub mod lease;
pub mod logging;
pub mod metrics;
pub mod observe;
pub mod prometheus_rule;
pub mod promql;
pub mod reconcile;
pub mod record;
pub mod schedule;
pub mod server;
pub mod signals;
pub mod text;
pub mod validate;

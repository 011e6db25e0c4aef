//! The pure stages, each by tables of cases, and together by laws.
//!
//! Expected values come from the semantics of Prometheus and HPA or are calculated by hand.

#![allow(clippy::unwrap_used, clippy::panic)] // A test says no by panicking.

mod breaker;
mod build;
mod check;
mod decide;
mod evaluate;
mod fleet;
mod formula;
mod knobs;
mod laws;
mod notify;
mod options;
mod relief;
mod runtime;
mod shared;
mod template;
mod tenants;
mod transaction;
mod undo;
mod verify;
mod watermark;
mod weights;

//! The election: its decisions as tables, its promise under arbitrary clocks and delays, and its
//! loop against a stand-in for the API server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod looping;
mod simulation;
mod table;

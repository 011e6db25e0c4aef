//! The writing commands, against an API server made by hand that keeps what it is given; and what is
//! imported.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod build;
mod freeze;
mod import;
mod pause;
mod release;
mod request;
mod takeover;

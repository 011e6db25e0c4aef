//! The writing commands, against an API server made by hand that keeps what it is given; and what is
//! imported.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// What is laid over an object is written where it is passed.
#![allow(clippy::needless_pass_by_value)]

mod api;
mod build;
mod freeze;
mod import;
mod init;
mod pause;
mod release;
mod request;
mod takeover;

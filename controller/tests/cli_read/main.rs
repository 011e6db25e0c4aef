//! The reading commands: what they say of objects that are made by hand.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod build;
mod capture;
mod doctor;
mod explain;
mod fetch;
mod get;
mod runtime;
mod screen;
mod weights;

//! The server behind TLS, and who may read its metrics.

#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod build;
mod door;
mod tls;

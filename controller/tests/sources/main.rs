//! How sources are asked: by how many at once, not while their server is out of order, with tokens that are fetched,
//! over TLS, and with Secrets that change. All servers are on loopback.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod addresses;
mod build;
mod gate;
mod rotation;
mod settings;
mod tenants;
mod tls;
mod token;

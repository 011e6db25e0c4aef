//! What the real API server says: to every rule of the definitions, to the examples, to the
//! controller's own account, and to people. Needs `FLYBALL_TESTBED_KUBECONFIG`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "admission/account.rs"]
mod account;
#[path = "admission/authors.rs"]
mod authors;
#[path = "admission/changes.rs"]
mod changes;
#[path = "admission/definitions.rs"]
mod definitions;
#[path = "admission/inject.rs"]
mod inject;
#[path = "admission/pods.rs"]
mod pods;
#[path = "admission/policies.rs"]
mod policies;
#[path = "admission/process.rs"]
mod process;
#[path = "admission/replicas.rs"]
mod replicas;
#[path = "admission/rights.rs"]
mod rights;
#[path = "admission/routes.rs"]
mod routes;
#[path = "admission/runtime.rs"]
mod runtime;
#[path = "admission/server.rs"]
mod server;
#[path = "admission/sources.rs"]
mod sources;
#[path = "admission/weights.rs"]
mod weights;

//! Every judgement of the doctor, by facts made by hand.

mod installation;
mod policies;
mod readings;
mod report;
mod routes;
mod runtime;
mod sources;
mod traffic;

use crate::build::merge;
use flyball_controller::cli::fetch::ReadError;
use serde_json::{Value, json};

/// Of any type, from JSON.
pub fn made<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

pub fn forbidden() -> ReadError {
    ReadError::Forbidden {
        what: "list secrets".to_owned(),
        verb: "list",
        resource: "secrets".to_owned(),
        flags: String::new(),
    }
}

pub fn deployment(more: Value) -> kube::api::DynamicObject {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "checkout", "uid": "t-1"},
        "spec": {"replicas": 1},
    });
    merge(&mut object, more);
    made(object)
}

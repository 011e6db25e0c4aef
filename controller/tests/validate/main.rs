//! From the API's types to the core's: everything that is wrong is said at once, with its path.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod autoscaler;
mod behavior;
mod change;
mod mistakes;
mod policy;
mod runtime;
mod taken;
mod warnings;
mod watermark;
mod weights;

use flyball_controller::validate::{self, FieldError};
use flyball_crds::FeedbackPolicySpec;
use serde_json::Value;

fn spec(value: Value) -> FeedbackPolicySpec {
    serde_json::from_value(value).unwrap()
}

/// A policy with the value at `pointer` replaced, or removed where it is null.
fn replaced(mut whole: Value, pointer: &str, value: Value) -> FeedbackPolicySpec {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = whole.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(map), Value::Null) => drop(map.remove(key)),
        (Value::Object(map), value) => drop(map.insert(key.to_owned(), value)),
        (parent, value) => parent[key.parse::<usize>().unwrap()] = value,
    }
    spec(whole)
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// A mistake leads to an error that holds `part`, and not to a heap of others.
fn refused(spec: &FeedbackPolicySpec, part: &str) {
    let errors = texts(&validate::policy(spec).unwrap_err());
    assert!(errors.iter().any(|error| error.contains(part)), "{errors:#?}");
    assert!(errors.len() <= 2, "one mistake, many errors: {errors:#?}");
}

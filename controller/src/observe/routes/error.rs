//! Why a list of weighted backends can't be read or written.

use super::table::{CANARY, Row, TABLE};

/// Why a list can't be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The kind is not in the table, or not in this version.
    #[error(
        "{api_version} {kind} is no kind of route that Flyball knows; take one of {}",
        known()
    )]
    Kind {
        /// What was written.
        api_version: String,
        /// What was written.
        kind: String,
    },
    /// No rule has this name.
    #[error("{object} has no rule named {name:?} in {field}, which holds {rules}; correct the name")]
    NoSuchRule {
        /// The object.
        object: String,
        /// Its rules' field.
        field: String,
        /// The name.
        name: String,
        /// What is there.
        rules: String,
    },
    /// More than one rule has this name.
    #[error("{object} has more than one rule named {name:?} in {field}; give each a name of its own")]
    AmbiguousRule {
        /// The object.
        object: String,
        /// Its rules' field.
        field: String,
        /// The name.
        name: String,
    },
    /// The rules of this kind have no names.
    #[error("rules of {object} have no names, so {name:?} finds none; say by its index in {field} which is meant")]
    NamelessRules {
        /// The object.
        object: String,
        /// Its rules' field.
        field: String,
        /// The name.
        name: String,
    },
    /// The kind has no rules.
    #[error("{object} has one list and no rules, so there is no {rule}; leave the rule away")]
    NoRules {
        /// The object.
        object: String,
        /// The rule that was asked for.
        rule: String,
    },
    /// There is no rule at this index.
    #[error("{object} has no rule {index} in {field}, which holds {count} counted from 0; correct the index")]
    RuleIndex {
        /// The object.
        object: String,
        /// Its rules' field.
        field: String,
        /// The index.
        index: u32,
        /// How many there are.
        count: usize,
    },
    /// Which of several rules is meant was not said.
    #[error("{object} has {count} rules in {field}: {rules}; say by name or index which is meant")]
    WhichRule {
        /// The object.
        object: String,
        /// Its rules' field.
        field: String,
        /// How many there are.
        count: usize,
        /// What is there.
        rules: String,
    },
    /// No list is there, or something that is none.
    #[error("{object} has no list in {field}; add the backends there, or name another rule")]
    NoList {
        /// The object.
        object: String,
        /// Where it should be.
        field: String,
    },
    /// More than we read.
    #[error("{object} has {count} entries in {field}; Flyball reads at most {most}, split it")]
    TooMany {
        /// The object.
        object: String,
        /// The list's field.
        field: String,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// An entry has no name.
    #[error("{object} has no name in {field}; give it one")]
    Nameless {
        /// The object.
        object: String,
        /// The name's field.
        field: String,
    },
    /// A managed backend is not in the list.
    #[error(
        "{object} has no backend {backend:?} in {field}, which holds {there}; add it there or take it off the action"
    )]
    NoBackend {
        /// The object.
        object: String,
        /// The list's field.
        field: String,
        /// The backend.
        backend: String,
        /// What is there.
        there: String,
    },
    /// A managed backend is in the list more than once.
    #[error("{object} has {backend:?} more than once in {field}; its weights can't be told apart, merge them into one")]
    Duplicate {
        /// The object.
        object: String,
        /// The list's field.
        field: String,
        /// The backend.
        backend: String,
    },
    /// A weight is no integer, or out of range.
    #[error("{field} of {object} is {value}; write a whole number from {least} to {most}")]
    Weight {
        /// The object.
        object: String,
        /// The weight's field.
        field: String,
        /// What is there.
        value: String,
        /// The smallest.
        least: u32,
        /// The largest.
        most: u32,
    },
    /// An Ingress is no canary.
    #[error("{object} is no canary: its annotation {CANARY} is {value}; set it to \"true\"")]
    NoCanary {
        /// The object.
        object: String,
        /// What is there.
        value: String,
    },
    /// A canary splits between two, one of which is its own.
    #[error("{object} splits between its own Service and one other, but the action manages {managed}; {way_out}")]
    CanaryBackends {
        /// The object.
        object: String,
        /// What the action manages.
        managed: String,
        /// What to do.
        way_out: String,
    },
    /// A canary has no Service of its own, or more than one.
    #[error("{object} leads to {services}; a canary needs exactly one Service, split it")]
    CanaryService {
        /// The object.
        object: String,
        /// What is there.
        services: String,
    },
    /// Between two readings the rule was moved or changed.
    #[error("{object} is not as it was read: {field} is another rule now; it is read again in the next pass")]
    Moved {
        /// The object.
        object: String,
        /// The rule's field.
        field: String,
    },
    /// Weights that do not fit the list.
    #[error("{object} can't be given the weights {weights} in {field}: {why}")]
    Unwritable {
        /// The object.
        object: String,
        /// The list's field.
        field: String,
        /// The weights.
        weights: String,
        /// Why, and what to do.
        why: String,
    },
}

fn known() -> String {
    let names: Vec<String> = TABLE.iter().map(Row::name).collect();
    names.join(", ")
}

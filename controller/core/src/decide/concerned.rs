//! Which pods an answer concerns.

use crate::evaluate::RuleState;
use std::collections::{BTreeMap, BTreeSet};

/// The label that names a pod.
const POD: &str = "pod";
/// The label that names a node.
const NODE: &str = "node";

/// Of a target's pods those that firing alerts of these rules concern: an alert with a label `pod` that pod, one without all
/// of them, but for one of a node, which concerns no pod until it names one. A name that is not among the pods is nobody's: a label is no proof of whose a pod is.
pub fn concerned<'p>(
    when: &[String],
    rules: &BTreeMap<String, RuleState>,
    pods: impl IntoIterator<Item = &'p str>,
) -> BTreeSet<&'p str> {
    let alerts = when
        .iter()
        .filter_map(|name| rules.get(name))
        .flat_map(RuleState::firing);
    let named = alerts.filter_map(|alert| match alert.labels.get(POD) {
        None if alert.labels.contains_key(NODE) => None,
        name => Some(name),
    });
    let named: Vec<Option<&String>> = named.collect();
    let is_meant = |pod: &&str| named.iter().any(|name| name.is_none_or(|name| name == *pod));
    pods.into_iter().filter(is_meant).collect()
}

//! PrometheusRules of the prometheus-operator, as far as they are read: their alerting rules.
//!
//! The definition is somebody else's and may be older or newer than what is known here, so an object is
//! read piece by piece: what is wrong in one rule is kept with that rule, and matters only if it is taken.

use crate::promql::shorten;
use flyball_crds::{AlertingRule, Duration};
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

/// The API group.
pub const GROUP: &str = "monitoring.coreos.com";
/// The kind.
pub const KIND: &str = "PrometheusRule";
/// The resource's plural name.
pub const PLURAL: &str = "prometheusrules";

/// How the kind is addressed.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, "v1", KIND), PLURAL)
}

/// A PrometheusRule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusRule {
    /// Its name.
    pub name: String,
    /// Its groups, or why there are none.
    pub groups: Result<Vec<Group>, Fault>,
}

/// A group of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The place in the object.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// The labels of all its rules; a rule's own come before them.
    pub labels: Result<BTreeMap<String, String>, Fault>,
    /// Its alerting rules.
    pub rules: Vec<Rule>,
}

/// An alerting rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The place in its group, recording rules counted.
    pub index: usize,
    /// The alert's name.
    pub alert: String,
    /// The rule, or what is wrong with its form.
    pub rule: Result<AlertingRule, Fault>,
}

/// A value of another form than it should have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Fault {
    /// Where in the object, such as `groups[0].rules[2].expr`.
    pub path: String,
    /// What is wrong, and the way out.
    pub message: String,
}

impl PrometheusRule {
    /// Reads the object of this name from its spec.
    pub fn read(name: &str, spec: Option<&Value>) -> Self {
        let groups = match spec.and_then(|spec| spec.get("groups")) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(groups)) => Ok(groups.iter().enumerate().map(group).collect()),
            Some(other) => Err(fault("groups", other, "a list")),
        };
        Self {
            name: name.to_owned(),
            groups,
        }
    }
}

impl fmt::Display for PrometheusRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND} {}", self.name.escape_debug())
    }
}

fn group((index, written): (usize, &Value)) -> Group {
    let path = format!("groups[{index}]");
    let rules = written.get("rules").and_then(Value::as_array);
    Group {
        index,
        name: written
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        labels: texts(&format!("{path}.labels"), written.get("labels")),
        rules: rules
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, written)| rule(&path, index, written.as_object()?))
            .collect(),
    }
}

/// A rule, if it is an alerting one.
fn rule(group: &str, index: usize, written: &Map<String, Value>) -> Option<Rule> {
    let alert = written.get("alert")?.as_str().filter(|alert| !alert.is_empty())?;
    Some(Rule {
        index,
        alert: alert.to_owned(),
        rule: alerting(&format!("{group}.rules[{index}]"), alert, written),
    })
}

fn alerting(path: &str, alert: &str, written: &Map<String, Value>) -> Result<AlertingRule, Fault> {
    let at = |field: &str| (format!("{path}.{field}"), written.get(field));
    if let (path, Some(Value::String(record))) = at("record")
        && !record.is_empty()
    {
        let message = "stands beside alert, and a rule is either of the two; remove one".to_owned();
        return Err(Fault { path, message });
    }
    let expr = match at("expr") {
        // The definition allows a number, which is an expression too.
        (_, Some(Value::Number(number))) => number.to_string(),
        (path, written) => text(&path, written)?.ok_or_else(|| Fault {
            path,
            message: "is missing; write the expression".to_owned(),
        })?,
    };
    let duration = |field| {
        let (path, written) = at(field);
        Ok(text(&path, written)?.map(Duration))
    };
    let map = |field| {
        let (path, written) = at(field);
        texts(&path, written)
    };
    Ok(AlertingRule {
        alert: alert.to_owned(),
        expr,
        hold: duration("for")?,
        keep_firing_for: duration("keep_firing_for")?,
        labels: map("labels")?,
        annotations: map("annotations")?,
    })
}

fn text(path: &str, written: Option<&Value>) -> Result<Option<String>, Fault> {
    match written {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(fault(path, other, "a text")),
    }
}

fn texts(path: &str, written: Option<&Value>) -> Result<BTreeMap<String, String>, Fault> {
    match written {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) => Ok((name.clone(), text.clone())),
                other => Err(fault(&format!("{path}.{}", name.escape_debug()), other, "a text")),
            })
            .collect(),
        Some(other) => Err(fault(path, other, "a map of texts")),
    }
}

fn fault(path: &str, value: &Value, wanted: &str) -> Fault {
    let value = shorten(&value.to_string());
    Fault {
        path: path.to_owned(),
        message: format!("{value} is not {wanted}; write {wanted}"),
    }
}

//! The PrometheusRules that stand in the same files as the policies that refer to them.

use super::yaml::{Kind, Node, Plain, documents};
use crate::{
    prometheus_rule::{self, PrometheusRule},
    validate::{self, FieldError},
};
use flyball_crds::FeedbackPolicySpec;
use serde_json::Value;

/// The PrometheusRules of all files.
#[derive(Default)]
pub(super) struct Beside(Vec<(Option<String>, PrometheusRule)>);

/// What is said of a policy.
#[derive(Default)]
pub(super) struct Said {
    pub errors: Vec<FieldError>,
    pub warnings: Vec<FieldError>,
    /// What could not be checked, or is only to be known.
    pub notes: Vec<FieldError>,
}

/// Whether a document is a PrometheusRule.
pub(super) fn is_one(node: &Node) -> bool {
    let text = |key| node.get(key).and_then(Node::text);
    let group = text("apiVersion").and_then(|version| version.split('/').next());
    text("kind") == Some(prometheus_rule::KIND) && group == Some(prometheus_rule::GROUP)
}

fn metadata(node: &Node, key: &str) -> Option<String> {
    let value = node.get("metadata")?.get(key)?.text()?;
    Some(value.to_owned())
}

impl Beside {
    /// Those of one more file. What is wrong with its YAML is said where it is checked.
    pub fn read(&mut self, text: &str) {
        for node in documents(text).0.iter().filter(|node| is_one(node)) {
            let Some(name) = metadata(node, "name") else { continue };
            let spec = node.get("spec").map(value);
            self.0
                .push((metadata(node, "namespace"), PrometheusRule::read(&name, spec.as_ref())));
        }
    }

    /// What is said of a policy. Where no namespace is written, that of the other is meant.
    pub fn judge(&self, node: &Node, spec: &FeedbackPolicySpec) -> Said {
        let errors = validate::policy(spec).err().unwrap_or_default();
        let Some(reference) = spec.prometheus_rule_ref.as_ref().filter(|_| errors.is_empty()) else {
            return Said {
                errors,
                warnings: validate::warnings(spec),
                notes: validate::notes(spec),
            };
        };
        let namespace = metadata(node, "namespace");
        let found = self.0.iter().find(|(of, object)| {
            let here = of.is_none() || namespace.is_none() || *of == namespace;
            here && object.name == reference.name
        });
        match found {
            Some((_, object)) => Said {
                errors: validate::policy_with(spec, object).err().unwrap_or_default(),
                warnings: validate::warnings_with(spec, object),
                notes: validate::notes(spec),
            },
            None => Said {
                warnings: validate::warnings(spec),
                notes: vec![FieldError {
                    path: "spec.prometheusRuleRef.name".to_owned(),
                    message: format!(
                        "the rules of PrometheusRule {} were not checked, as it is in none of these files; name its file too, \
                         or look at the cluster with: flyball doctor",
                        reference.name
                    ),
                    position: None,
                }]
                .into_iter()
                .chain(validate::notes(spec))
                .collect(),
                ..Said::default()
            },
        }
    }
}

/// A node as JSON, as the API server would read it.
fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::List(items) => items.iter().map(value).collect(),
        Kind::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), value(&entry.value)));
            Value::Object(entries.collect())
        }
        Kind::Scalar { text, .. } => match node.plain() {
            Some(Plain::Null) => Value::Null,
            Some(Plain::Bool(it)) => it.into(),
            Some(Plain::Integer(number)) => number.into(),
            Some(Plain::Float(number)) => number.into(),
            Some(Plain::Text) | None => text.clone().into(),
        },
    }
}

//! The PrometheusRules and receivers of events that stand in the same files as the policies that refer to them.

use super::yaml::{Kind, Node, Plain, documents};
use crate::{
    prometheus_rule::{self, PrometheusRule},
    record::cloudevents::ReceiverProblem,
    validate::{self, FieldError},
};
use flyball_crds::{EventReceiver, FeedbackPolicySpec, GROUP};
use kube::ResourceExt;
use serde_json::Value;

/// The PrometheusRules, by namespace, and the receivers of all files.
#[derive(Default)]
pub(super) struct Beside {
    rules: Vec<(Option<String>, PrometheusRule)>,
    receivers: Vec<EventReceiver>,
}

/// Whether a document declares a receiver of events.
fn is_receiver(node: &Node) -> bool {
    let text = |key| node.get(key).and_then(Node::text);
    let group = text("apiVersion").and_then(|version| version.split('/').next());
    text("kind") == Some("EventReceiver") && group == Some(GROUP)
}

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
        let (all, _) = documents(text);
        let receivers = all.iter().filter(|node| is_receiver(node));
        self.receivers
            .extend(receivers.filter_map(|node| serde_json::from_value(value(node)).ok()));
        for node in all.iter().filter(|node| is_one(node)) {
            let Some(name) = metadata(node, "name") else { continue };
            let spec = node.get("spec").map(value);
            self.rules
                .push((metadata(node, "namespace"), PrometheusRule::read(&name, spec.as_ref())));
        }
    }

    /// What is said of a policy.
    pub fn judge(&self, node: &Node, spec: &FeedbackPolicySpec) -> Said {
        let mut said = self.judge_rules(node, spec);
        if said.errors.is_empty() {
            self.judge_receivers(node, spec, &mut said);
        }
        said
    }

    /// A receiver that is not there, or not for the policy's namespace, stops nothing: it is worth a warning.
    fn judge_receivers(&self, node: &Node, spec: &FeedbackPolicySpec, said: &mut Said) {
        let add = |index: usize, message: String| FieldError {
            path: format!("spec.notifications[{index}].receiver"),
            message,
            position: None,
        };
        if self.receivers.is_empty() {
            let unknown = spec.notifications.first().map(|_| {
                let message =
                    "the receivers of its notifications were not looked for, as none of these files declares any; name that of --receivers-file too";
                add(0, message.to_owned())
            });
            said.notes.extend(unknown);
            return;
        }
        let namespace = metadata(node, "namespace");
        for (index, notification) in spec.notifications.iter().enumerate() {
            let declared = self.receivers.iter().find(|it| it.name_any() == notification.receiver);
            let allowed = declared.and_then(|it| it.spec.allowed_namespaces.as_ref());
            let problem = match (declared, allowed, &namespace) {
                (None, ..) => ReceiverProblem::NotFound(notification.receiver.clone()),
                (Some(_), Some(allowed), Some(namespace)) if !allowed.includes(namespace) => {
                    ReceiverProblem::NotAllowed {
                        receiver: notification.receiver.clone(),
                        namespace: namespace.clone(),
                    }
                }
                _ => continue,
            };
            said.warnings.push(add(index, problem.to_string()));
        }
    }

    /// What is said of it with its rules. Where no namespace is written, that of the other is meant.
    fn judge_rules(&self, node: &Node, spec: &FeedbackPolicySpec) -> Said {
        let errors = validate::policy(spec).err().unwrap_or_default();
        let Some(reference) = spec.prometheus_rule_ref.as_ref().filter(|_| errors.is_empty()) else {
            return Said {
                errors,
                warnings: validate::warnings(spec),
                notes: validate::notes(spec),
            };
        };
        let namespace = metadata(node, "namespace");
        let found = self.rules.iter().find(|(of, object)| {
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

//! The commands, as they are typed.

use super::Facts;
use crate::cli::screen::quoted;
use flyball_crds::TargetRef;
use kube::ResourceExt;

/// `kubectl edit` of the policy.
pub(super) fn edit(facts: &Facts) -> String {
    format!("kubectl edit feedbackpolicy {}", facts.on_command_line())
}

pub(super) fn patch(facts: &Facts, spec: &serde_json::Value) -> String {
    format!(
        "kubectl patch feedbackpolicy {} --type merge -p '{}'",
        facts.on_command_line(),
        serde_json::json!({"spec": spec})
    )
}

pub(super) fn doctor(facts: &Facts) -> String {
    format!("flyball doctor -n {}", facts.policy.namespace().unwrap_or_default())
}

/// The target as kubectl takes it. Its parts are the policy author's words, so they are quoted.
pub(super) fn target(facts: &Facts) -> String {
    let TargetRef {
        api_version,
        kind,
        name,
    } = &facts.policy.spec.target_ref;
    let group = api_version
        .rsplit_once('/')
        .map(|(group, _)| format!(".{group}"))
        .unwrap_or_default();
    let kind = quoted(&format!("{}{group}", kind.to_lowercase()));
    format!(
        "{kind} {} -n {}",
        quoted(name),
        facts.policy.namespace().unwrap_or_default()
    )
}

//! Rules that are taken from a PrometheusRule.

use super::{Errors, FieldError, is_subdomain, names::unique, rules};
use crate::{
    prometheus_rule::{Group, PrometheusRule, Rule as Written},
    promql::shorten,
    text::clean,
};
use flyball_core::policy::Rule;
use flyball_crds::{AlertingRule, FeedbackPolicySpec, PrometheusRuleRef};
use std::collections::{BTreeMap, BTreeSet};

/// The field that refers to the object.
const FIELD: &str = "spec.prometheusRuleRef";
/// The most rules of a policy, its own and taken ones together.
pub(super) const MAX_RULES: usize = 32;
const MAX_MATCH_LABELS: usize = 8;
/// How many names an error lists.
const LISTED: usize = 8;

/// What came of taking rules.
#[derive(Default)]
pub(super) struct Taken {
    /// The rules.
    pub rules: BTreeMap<String, Rule>,
    /// Where each is from.
    pub origins: BTreeMap<String, String>,
    /// The names that the object has, also of rules that are wrong: those are wrong once.
    pub known: BTreeSet<String>,
    /// The names that might be used.
    pub offered: BTreeSet<String>,
    /// Whether the object could be searched: else no name can be said to be missing.
    pub searched: bool,
    /// What is left as it is written, and what is left out.
    pub notes: Vec<FieldError>,
}

/// Checks a reference by itself.
pub(super) fn check(reference: &PrometheusRuleRef, errors: &mut Errors) {
    if !is_subdomain(&reference.name) {
        let name = shorten(&reference.name);
        errors.add(
            format!("{FIELD}.name"),
            format!("{name} is not the name of an object; list them with kubectl get prometheusrules"),
        );
    }
    if let Some(group) = reference
        .group
        .as_ref()
        .filter(|group| group.is_empty() || group.len() > 253)
    {
        let message = format!(
            "{} is not a name of 1 to 253 bytes; write the group's, or leave it out",
            shorten(group)
        );
        errors.add(format!("{FIELD}.group"), message);
    }
    errors.at_most(
        &format!("{FIELD}.matchLabels"),
        reference.match_labels.len(),
        MAX_MATCH_LABELS,
    );
    errors.at_most(&format!("{FIELD}.alerts"), reference.alerts.len(), MAX_RULES);
    for (index, name) in reference.alerts.iter().enumerate() {
        if !rules::is_alert(name) {
            errors.add(format!("{FIELD}.alerts[{index}]"), rules::no_alert(name));
        }
    }
    let names = reference.alerts.iter().map(String::as_str);
    unique(|index| format!("{FIELD}.alerts[{index}]"), "entries", names, errors);
}

/// The rules that the policy asks of the object, apart from those in `alerts`.
fn named(spec: &FeedbackPolicySpec) -> BTreeSet<&str> {
    let own: BTreeSet<&str> = spec.rules.iter().map(|rule| rule.alert.as_str()).collect();
    spec.actions
        .iter()
        .flat_map(|action| {
            let step = action.replicas.as_ref().and_then(|replicas| replicas.step.as_ref());
            let down = step.and_then(|step| step.down.as_ref());
            action.when.iter().chain(down.into_iter().flat_map(|down| &down.when))
        })
        .map(String::as_str)
        .filter(|name| !own.contains(name))
        .collect()
}

/// Whether the policy asks the object for a rule of this name.
pub(super) fn asks_for(spec: &FeedbackPolicySpec, name: &str) -> bool {
    spec.prometheus_rule_ref
        .as_ref()
        .is_some_and(|reference| reference.alerts.iter().any(|alert| alert == name) || named(spec).contains(name))
}

/// Takes the rules that are asked for.
pub(super) fn read(
    spec: &FeedbackPolicySpec,
    reference: &PrometheusRuleRef,
    object: &PrometheusRule,
    errors: &mut Errors,
) -> Taken {
    let mut taken = Taken::default();
    let groups = match chosen(reference, object) {
        Ok(groups) => groups,
        Err((field, message)) => {
            errors.add(field, message);
            return taken;
        }
    };
    taken.searched = true;
    let offered: Vec<(&Group, &Written)> = groups
        .iter()
        .flat_map(|group| group.rules.iter().map(move |rule| (*group, rule)))
        .filter(|(group, rule)| matches(reference, group, rule))
        .collect();
    taken.offered = offered.iter().map(|(_, rule)| rule.alert.clone()).collect();

    let mut wanted = named(spec);
    for (index, name) in reference.alerts.iter().enumerate() {
        let path = format!("{FIELD}.alerts[{index}]");
        if spec.rules.iter().any(|rule| rule.alert == *name) {
            let message = format!("{} is defined in spec.rules too; remove one of the two", shorten(name));
            errors.add(path, message);
        } else if !taken.offered.contains(name) {
            errors.add(path, no_such(name, reference, object, &taken.offered));
        } else {
            wanted.insert(name);
        }
    }
    for name in &wanted {
        let found: Vec<_> = offered.iter().filter(|(_, rule)| rule.alert == **name).collect();
        match found.as_slice() {
            // What names it says so, at its own place.
            [] => {}
            [(group, rule)] => take(group, rule, object, errors, &mut taken),
            [first, second, ..] => {
                let message = format!(
                    "{object}: {} and {} are both named {}; choose one with group or matchLabels",
                    place(first),
                    place(second),
                    shorten(name)
                );
                errors.add(FIELD, message);
                taken.known.insert((*name).to_owned());
            }
        }
    }
    let all = spec.rules.len() + taken.known.len();
    if all > MAX_RULES {
        let message = format!(
            "{} rules taken and {} of spec.rules are {all}, at most {MAX_RULES} are allowed; split the policy",
            taken.known.len(),
            spec.rules.len()
        );
        errors.add(FIELD, message);
    }
    if wanted.is_empty() && reference.alerts.is_empty() {
        let message = "takes no rule: no action names one that spec.rules does not define; name one in when or in alerts, or remove the reference";
        note(&mut taken.notes, message.to_owned());
    }
    taken
}

/// The groups that are looked at, or the field that is wrong and why.
fn chosen<'o>(reference: &PrometheusRuleRef, object: &'o PrometheusRule) -> Result<Vec<&'o Group>, (String, String)> {
    let groups = object
        .groups
        .as_ref()
        .map_err(|fault| (FIELD.to_owned(), format!("{object}: {fault}")))?;
    let Some(name) = &reference.group else {
        return Ok(groups.iter().collect());
    };
    let chosen: Vec<&Group> = groups.iter().filter(|group| group.name == *name).collect();
    if chosen.is_empty() {
        let names: BTreeSet<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let message = format!(
            "{object} has no group {}; {}",
            shorten(name),
            one_of(names.into_iter(), "write it there, or leave group out")
        );
        return Err((format!("{FIELD}.group"), message));
    }
    Ok(chosen)
}

/// Whether a rule has the labels that are asked for, as written. A rule whose form is wrong is matched by its
/// name alone, so that what is wrong with it is said.
fn matches(reference: &PrometheusRuleRef, group: &Group, rule: &Written) -> bool {
    let (Ok(rule), Ok(labels)) = (&rule.rule, &group.labels) else {
        return true;
    };
    let label = |name: &String| rule.labels.get(name).or_else(|| labels.get(name));
    reference
        .match_labels
        .iter()
        .all(|(name, value)| label(name) == Some(value))
}

fn take(group: &Group, written: &Written, object: &PrometheusRule, errors: &mut Errors, taken: &mut Taken) {
    let path = place(&(group, written));
    taken.known.insert(written.alert.clone());
    let form = written.rule.clone().and_then(|rule| {
        let mut labels = group.labels.clone()?;
        labels.extend(rule.labels);
        Ok(AlertingRule { labels, ..rule })
    });
    let (mut wrong, mut notes) = (Errors::default(), Errors::default());
    let rule = match form {
        Ok(rule) => rules::read_taken(&path, &rule, &mut wrong, &mut notes),
        Err(fault) => {
            errors.add(FIELD, format!("{object}: {fault}"));
            return;
        }
    };
    for error in wrong.0 {
        errors.add(FIELD, format!("{object}: {error}"));
    }
    for error in notes.0 {
        note(&mut taken.notes, format!("{object}: {error}"));
    }
    if let Some(rule) = rule {
        let origin = format!("{object}, group {}", clean(&group.name));
        taken.origins.insert(written.alert.clone(), origin);
        taken.rules.insert(written.alert.clone(), rule);
    }
}

fn place((group, rule): &(&Group, &Written)) -> String {
    format!("groups[{}].rules[{}]", group.index, rule.index)
}

fn note(notes: &mut Vec<FieldError>, message: String) {
    notes.push(FieldError {
        path: FIELD.to_owned(),
        message,
        position: None,
    });
}

/// That the object has no such rule.
pub(super) fn no_such(
    name: &str,
    reference: &PrometheusRuleRef,
    object: &PrometheusRule,
    offered: &BTreeSet<String>,
) -> String {
    let narrowed = match (&reference.group, reference.match_labels.is_empty()) {
        (None, true) => String::new(),
        (Some(group), true) => format!(" in group {}", shorten(group)),
        (None, false) => " with the labels of matchLabels".to_owned(),
        (Some(group), false) => format!(" in group {} with the labels of matchLabels", shorten(group)),
    };
    format!(
        "{object} has no alerting rule {}{narrowed}; {}",
        shorten(name),
        one_of(offered.iter().map(String::as_str), "write it there, or remove the name")
    )
}

fn one_of<'n>(names: impl Iterator<Item = &'n str>, else_do: &str) -> String {
    let names: Vec<String> = names.take(LISTED).map(shorten).collect();
    if names.is_empty() {
        else_do.to_owned()
    } else {
        format!("use one of {}", names.join(", "))
    }
}

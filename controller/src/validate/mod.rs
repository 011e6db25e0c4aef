//! Parse, don't validate: the one step from the API's types to the core's.
//!
//! Behind it nothing is a string that could be wrong. The API server has checked most of it before,
//! but an object may be older than its schema, and `flyball check` has no API server; so everything
//! is checked here again, and all errors are collected.

mod action;
mod change;
mod verification;
mod warnings;

pub use change::{FrozenVerification, comparison_of_change, freeze};
pub use warnings::warnings;

use crate::{
    observe::source,
    promql::{self, Position, PromqlError, shorten},
};
use flyball_core::{
    evaluate,
    policy::{self, Policy, Rule},
    time::Span,
};
use flyball_crds::{
    AlertingRule, Duration, FeedbackPolicySpec, MetricSourceSpec, Mode, NamespacesFrom, SourceRef, TargetRef,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// How often a policy is evaluated where it does not say.
pub const DEFAULT_INTERVAL: Span = Span::from_secs(15);
/// The oldest sample that still counts where a policy does not say.
pub const DEFAULT_MAX_AGE: Span = Span::from_secs(60);
/// How long a policy keeps its hands off after another writer where it does not say.
pub const DEFAULT_YIELD: Span = Span::from_secs(15 * 60);
const MIN_INTERVAL: Span = Span::from_secs(1);
const MAX_INTERVAL: Span = Span::from_secs(3600);

/// One field that is wrong, or worth a warning.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct FieldError {
    /// Where, such as `spec.actions[0].verify.expr`.
    pub path: String,
    /// What is wrong, with the value and the way out.
    pub message: String,
    /// Where within an expression.
    pub position: Option<Position>,
}

/// Turns a policy's spec into the core's policy, or says everything that is wrong with it.
pub fn policy(spec: &FeedbackPolicySpec) -> Result<Policy, Vec<FieldError>> {
    let mut errors = Errors::default();
    let policy = read(spec, &mut errors);
    match policy {
        Some(policy) if errors.0.is_empty() => Ok(policy),
        _ => Err(errors.0),
    }
}

/// Checks the shape of a reference to a target: `apps/v1`, a kind, and a name.
pub fn target(target: &TargetRef) -> Result<(), Vec<FieldError>> {
    let mut errors = Errors::default();
    check_target(target, &mut errors);
    if errors.0.is_empty() { Ok(()) } else { Err(errors.0) }
}

/// Checks a MetricSource as far as that goes without its Secrets.
pub fn metric_source(spec: &MetricSourceSpec) -> Result<(), Vec<FieldError>> {
    let mut errors = Errors::default();
    for error in source::check(spec) {
        // These errors begin with the field that they are about.
        let text = error.to_string();
        match text.split_once(": ") {
            Some((path, message)) if path.starts_with("spec.") => errors.add(path, message),
            _ => errors.add("spec", text),
        }
    }
    if let Some(mebibytes) = spec.max_response_mebibytes.filter(|m| !(1..=64).contains(m)) {
        errors.add(
            "spec.maxResponseMebibytes",
            format!("{mebibytes} is not between 1 and 64; write for example 8"),
        );
    }
    if spec
        .allowed_namespaces
        .as_ref()
        .is_some_and(|a| a.from == NamespacesFrom::Names && a.names.is_empty())
    {
        errors.add(
            "spec.allowedNamespaces.names",
            "is empty, so no policy could use the source; name a namespace or write from: All",
        );
    }
    if errors.0.is_empty() { Ok(()) } else { Err(errors.0) }
}

/// All errors so far.
#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn add(&mut self, path: impl Into<String>, message: impl fmt::Display) {
        self.0.push(FieldError {
            path: path.into(),
            message: message.to_string(),
            position: None,
        });
    }

    /// The value, or its error under `path`.
    fn take<T, E: fmt::Display>(&mut self, path: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(path, error)).ok()
    }

    fn expression<T>(&mut self, path: impl Into<String>, result: Result<T, PromqlError>) -> Option<T> {
        result
            .map_err(|error| {
                let position = error.position();
                self.0.push(FieldError {
                    path: path.into(),
                    message: error.to_string(),
                    position,
                });
            })
            .ok()
    }

    /// A duration, or `default` where it is absent.
    fn span(&mut self, path: impl Into<String>, text: Option<&Duration>, default: Span) -> Option<Span> {
        match text {
            Some(text) => self.take(path, text.0.parse()),
            None => Some(default),
        }
    }

    /// A duration above zero.
    fn positive(&mut self, path: &str, text: Option<&Duration>, default: Span) -> Option<Span> {
        let span = self.span(path, text, default)?;
        if span.is_zero() {
            self.add(path, "is zero; write for example 1m");
            return None;
        }
        Some(span)
    }

    fn at_most(&mut self, path: &str, number: usize, most: usize) {
        if number > most {
            self.add(
                path,
                format!("{number} entries, at most {most} are allowed; split the policy"),
            );
        }
    }
}

/// What a policy's actions may refer to.
struct Names<'a> {
    rules: BTreeSet<&'a str>,
    signals: BTreeSet<&'a str>,
}

impl Names<'_> {
    fn rule(&self, path: &str, name: &str, errors: &mut Errors) {
        known(path, "rule", name, &self.rules, errors);
    }

    fn signal(&self, path: &str, name: &str, errors: &mut Errors) {
        known(path, "signal", name, &self.signals, errors);
    }
}

fn known(path: &str, what: &str, name: &str, names: &BTreeSet<&str>, errors: &mut Errors) {
    if names.contains(name) {
        return;
    }
    let others: Vec<String> = names.iter().take(8).map(|name| shorten(name)).collect();
    let way_out = match others.as_slice() {
        [] => format!("define it under spec.{what}s"),
        _ => format!("define it under spec.{what}s or use one of {}", others.join(", ")),
    };
    errors.add(path, format!("there is no {what} {}; {way_out}", shorten(name)));
}

fn read(spec: &FeedbackPolicySpec, errors: &mut Errors) -> Option<Policy> {
    check_source(&spec.source_ref, errors);
    check_target(&spec.target_ref, errors);
    let interval = errors.span("spec.interval", spec.interval.as_ref(), DEFAULT_INTERVAL);
    if let Some(interval) = interval.filter(|i| !(MIN_INTERVAL..=MAX_INTERVAL).contains(i)) {
        errors.add(
            "spec.interval",
            format!("{interval} is not between {MIN_INTERVAL} and {MAX_INTERVAL}; write for example 15s"),
        );
    }
    let max_age = errors.positive("spec.maxAge", spec.max_age.as_ref(), DEFAULT_MAX_AGE);

    let yield_for = errors.span("spec.yieldFor", spec.yield_for.as_ref(), DEFAULT_YIELD);

    errors.at_most("spec.rules", spec.rules.len(), 32);
    let mut rules = BTreeMap::new();
    for (index, written) in spec.rules.iter().enumerate() {
        let path = format!("spec.rules[{index}]");
        if spec.rules[..index].iter().any(|other| other.alert == written.alert) {
            errors.add(
                format!("{path}.alert"),
                format!("{} is the name of two rules; rename one", shorten(&written.alert)),
            );
        }
        rules.extend(rule(&path, written, errors).map(|rule| (written.alert.clone(), rule)));
    }

    errors.at_most("spec.signals", spec.signals.len(), 32);
    let mut signals = BTreeMap::new();
    for (index, written) in spec.signals.iter().enumerate() {
        let path = format!("spec.signals[{index}]");
        if spec.signals[..index].iter().any(|other| other.name == written.name) {
            errors.add(
                format!("{path}.name"),
                format!("{} is the name of two signals; rename one", shorten(&written.name)),
            );
        }
        signals.extend(signal(&path, written, max_age, errors).map(|signal| (written.name.clone(), signal)));
    }

    errors.at_most("spec.actions", spec.actions.len(), 8);
    let names = Names {
        rules: spec.rules.iter().map(|rule| rule.alert.as_str()).collect(),
        signals: spec.signals.iter().map(|signal| signal.name.as_str()).collect(),
    };
    let mut actions = Vec::new();
    for (index, written) in spec.actions.iter().enumerate() {
        let path = format!("spec.actions[{index}]");
        if spec.actions[..index].iter().any(|other| other.name == written.name) {
            errors.add(
                format!("{path}.name"),
                format!("{} is the name of two actions; rename one", shorten(&written.name)),
            );
        }
        if spec.mode == Mode::Enforce && written.verify.is_none() {
            let message = "mode Enforce needs it: nothing is committed without a verification; add verify or set spec.mode to Recommend";
            errors.add(format!("{path}.verify"), message);
        }
        actions.extend(action::read(&path, written, &names, max_age, errors));
    }
    Some(Policy {
        mode: match spec.mode {
            Mode::Observe => policy::Mode::Observe,
            Mode::Recommend => policy::Mode::Recommend,
            Mode::Enforce => policy::Mode::Enforce,
        },
        suspended: spec.suspend,
        pause_up: None,
        pause_down: None,
        interval: interval?,
        max_age: max_age?,
        yield_for: yield_for?,
        rules,
        signals,
        actions,
    })
}

fn check_source(source: &SourceRef, errors: &mut Errors) {
    if !is_subdomain(&source.name) {
        errors.add(
            "spec.sourceRef.name",
            format!(
                "{} is not the name of a MetricSource; list them with kubectl get msrc",
                shorten(&source.name)
            ),
        );
    }
}

fn check_target(target: &TargetRef, errors: &mut Errors) {
    let version = |text: &str| {
        text.strip_prefix('v')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            && is_label(text)
    };
    let shaped = match target.api_version.split_once('/') {
        Some((group, rest)) => is_subdomain(group) && version(rest),
        None => version(&target.api_version),
    };
    if !shaped {
        errors.add(
            "spec.targetRef.apiVersion",
            format!(
                "{} is not group/version; write for example apps/v1",
                shorten(&target.api_version)
            ),
        );
    }
    let kind = &target.kind;
    if !kind.starts_with(|c: char| c.is_ascii_uppercase())
        || !kind.chars().all(|c| c.is_ascii_alphanumeric())
        || kind.len() > 63
    {
        errors.add(
            "spec.targetRef.kind",
            format!("{} is not a kind; write for example Deployment", shorten(kind)),
        );
    }
    if !is_subdomain(&target.name) {
        errors.add(
            "spec.targetRef.name",
            format!(
                "{} is not the name of an object; write lower-case letters, digits, dashes and dots",
                shorten(&target.name)
            ),
        );
    }
}

fn rule(path: &str, written: &AlertingRule, errors: &mut Errors) -> Option<Rule> {
    if written.alert.is_empty() || written.alert.len() > 253 || written.alert.contains(char::is_control) {
        errors.add(
            format!("{path}.alert"),
            format!(
                "{} is not a name; write for example HighRequestLatency",
                shorten(&written.alert)
            ),
        );
    }
    let condition = errors.expression(format!("{path}.expr"), promql::condition(&written.expr));
    let hold = errors.span(format!("{path}.for"), written.hold.as_ref(), Span::ZERO);
    let keep_firing_for = errors.span(
        format!("{path}.keep_firing_for"),
        written.keep_firing_for.as_ref(),
        Span::ZERO,
    );
    let labels = templates(
        &format!("{path}.labels"),
        &written.labels,
        &["__name__", "alertname"],
        errors,
    );
    let annotations = templates(&format!("{path}.annotations"), &written.annotations, &[], errors);
    Some(Rule {
        alert: written.alert.clone(),
        condition: condition?,
        hold: hold?,
        keep_firing_for: keep_firing_for?,
        labels,
        annotations,
    })
}

fn templates(
    path: &str,
    written: &BTreeMap<String, String>,
    reserved: &[&str],
    errors: &mut Errors,
) -> BTreeMap<String, evaluate::Template> {
    errors.at_most(path, written.len(), 32);
    let mut templates = BTreeMap::new();
    for (name, text) in written {
        let path = format!("{path}.{name}");
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.chars().all(word) || name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            errors.add(
                path.escape_debug().to_string(),
                "is not a name; write letters, digits and underscores",
            );
        } else if reserved.contains(&name.as_str()) {
            errors.add(path, "is set from the rule itself; rename it");
        } else if let Some(template) = errors.take(path, evaluate::parse(text)) {
            templates.insert(name.clone(), template);
        }
    }
    templates
}

fn signal(
    path: &str,
    written: &flyball_crds::Signal,
    max_age: Option<Span>,
    errors: &mut Errors,
) -> Option<policy::Signal> {
    if written.name.is_empty() || written.name.len() > 63 || written.name.contains(char::is_control) {
        errors.add(
            format!("{path}.name"),
            format!(
                "{} is not a name of 1 to 63 characters; write for example requests",
                shorten(&written.name)
            ),
        );
    }
    let query = errors.expression(format!("{path}.expr"), promql::query(&written.expr));
    let own = written.max_age.as_ref();
    let max_age = match own {
        Some(_) => errors.positive(&format!("{path}.maxAge"), own, Span::ZERO),
        None => max_age,
    };
    Some(policy::Signal {
        name: written.name.clone(),
        query: query?,
        shape: policy::Shape::Number,
        max_age: max_age?,
        on_error: policy::OnError::HoldDown,
    })
}

/// Whether `text` is a DNS label: lower-case letters, digits and dashes, 1 to 63 of them.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether `text` is a name as Kubernetes' objects have it: labels joined with dots.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text
            .split('.')
            .all(|part| !part.is_empty() && is_label_of_any_length(part))
}

fn is_label_of_any_length(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

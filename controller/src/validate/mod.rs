//! Parse, don't validate: the one step from the API's types to the core's.
//!
//! Behind it nothing is a string that could be wrong. The API server has checked most of it before,
//! but an object may be older than its schema, and `flyball check` has no API server; so everything
//! is checked here again, and all errors are collected.

mod action;
mod answers;
mod behavior;
mod change;
mod errors;
mod metrics;
mod names;
mod notifications;
mod replicas;
mod rules;
pub(crate) mod runtime;
mod schedule;
mod signal;
mod start_options;
mod taken;
mod verification;
mod veto;
mod warnings;
mod watermark;
mod weights;

pub(crate) use answers::capture_kind;
pub use change::{FrozenVerification, comparison_of_change, freeze};
pub use errors::FieldError;
pub(crate) use names::{is_label, is_subdomain};
pub use notifications::event_receiver;
pub use warnings::{notes, warnings, warnings_with};

use crate::{clock, observe::source, prometheus_rule::PrometheusRule, promql::shorten};
use errors::Errors;
use flyball_core::{
    policy::{self, Policy},
    time::Span,
};
use flyball_crds::{FeedbackPolicySpec, MetricSourceSpec, Mode, NamespacesFrom, PauseFor, SourceRef, TargetRef};
use names::{Names, unique};
use std::collections::BTreeMap;

/// How often a policy is evaluated where it does not say.
pub const DEFAULT_INTERVAL: Span = Span::from_secs(15);
/// The oldest sample that still counts where a policy does not say.
pub const DEFAULT_MAX_AGE: Span = Span::from_secs(60);
/// How long a policy keeps its hands off after another writer where it does not say.
pub const DEFAULT_YIELD: Span = Span::from_secs(15 * 60);
const MIN_INTERVAL: Span = Span::from_secs(1);
const MAX_INTERVAL: Span = Span::from_secs(3600);
/// The longest reason for a pause, in bytes.
const MAX_REASON: usize = 256;

/// A policy with the rules that it takes from a PrometheusRule.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The policy, taken rules and all.
    pub policy: Policy,
    /// Where each taken rule is from, by alert.
    pub origins: BTreeMap<String, String>,
    /// What of the taken rules is left as it is written, or left out.
    pub notes: Vec<FieldError>,
}

/// Turns a policy's spec into the core's policy, or says everything that is wrong with it. Where it refers to
/// a PrometheusRule, that is not looked at: the policy has its own rules only, and a name that is not among
/// them is taken on trust. Nothing may be decided on such a policy; [`policy_with`] makes the whole one.
pub fn policy(spec: &FeedbackPolicySpec) -> Result<Policy, Vec<FieldError>> {
    resolve(spec, None).map(|resolved| resolved.policy)
}

/// The same with the PrometheusRule that the spec refers to.
pub fn policy_with(spec: &FeedbackPolicySpec, object: &PrometheusRule) -> Result<Resolved, Vec<FieldError>> {
    resolve(spec, Some(object))
}

/// Whether a policy asks its PrometheusRule for the rule of this name.
pub fn asks_for(spec: &FeedbackPolicySpec, alert: &str) -> bool {
    taken::asks_for(spec, alert)
}

fn resolve(spec: &FeedbackPolicySpec, object: Option<&PrometheusRule>) -> Result<Resolved, Vec<FieldError>> {
    let mut errors = Errors::default();
    let resolved = read(spec, object, &mut errors);
    match resolved {
        Some(resolved) if errors.0.is_empty() => Ok(resolved),
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

fn read(spec: &FeedbackPolicySpec, object: Option<&PrometheusRule>, errors: &mut Errors) -> Option<Resolved> {
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

    errors.at_most("spec.rules", spec.rules.len(), taken::MAX_RULES);
    let all = spec.rules.iter().map(|rule| rule.alert.as_str());
    unique(|index| format!("spec.rules[{index}].alert"), "rules", all, errors);
    let mut rules = BTreeMap::new();
    for (index, written) in spec.rules.iter().enumerate() {
        let read = rules::read(&format!("spec.rules[{index}]"), written, errors);
        rules.extend(read.map(|rule| (written.alert.clone(), rule)));
    }
    let taken = take(spec, object, errors);
    if let Some((_, taken)) = &taken {
        rules.extend(taken.rules.clone());
    }

    let watermarks = watermark::read_all(&spec.watermarks, interval, &mut rules, errors);

    errors.at_most("spec.signals", spec.signals.len(), 32);
    let all = spec.signals.iter().map(|signal| signal.name.as_str());
    unique(|index| format!("spec.signals[{index}].name"), "signals", all, errors);
    let mut signals = BTreeMap::new();
    for (index, written) in spec.signals.iter().enumerate() {
        let read = signal::read(&format!("spec.signals[{index}]"), written, max_age, errors);
        signals.extend(read.map(|signal| (written.name.clone(), signal)));
    }

    errors.at_most("spec.actions", spec.actions.len(), 8);
    let all = spec.actions.iter().map(|action| action.name.as_str());
    unique(|index| format!("spec.actions[{index}].name"), "actions", all, errors);
    let (names, mut asked) = (
        Names::of(spec, taken.as_ref().map(|(object, taken)| (*object, taken))),
        veto::Asked::default(),
    );
    let (mut actions, mut weights, mut runtime, mut answered) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, written) in spec.actions.iter().enumerate() {
        let path = format!("spec.actions[{index}]");
        if spec.mode == Mode::Enforce && written.verify.is_none() && !answers::is_answer(written) {
            let message = "mode Enforce needs it: nothing is committed without a verification; add verify or set spec.mode to Recommend";
            errors.add(format!("{path}.verify"), message);
        }
        let known = (&names, &signals);
        match action::read(&path, written, &spec.target_ref, known, max_age, &mut asked, errors) {
            Some(action::Lever::Replicas(action)) => actions.push(*action),
            Some(action::Lever::Weights(action)) => weights.push(*action),
            Some(action::Lever::Runtime(action)) => runtime.push(*action),
            Some(action::Lever::Answer(answer)) => answered.push(*answer),
            None => {}
        }
    }
    let levers = spec.actions.iter().filter(|action| !answers::is_answer(action));
    if levers.clone().count() > 1 && levers.clone().any(|action| action.weights.is_some()) {
        let message = "has more than one action, and one moves weights: one list has one law; make a policy of each";
        errors.add("spec.actions", message);
    }
    one_container(spec, errors);
    notifications::check(&spec.notifications, errors);
    for action in &actions {
        if let Some(index) = spec.actions.iter().position(|written| written.name == action.name) {
            let path = format!("spec.actions[{index}].replicas.zero.signal");
            verification::of_zero(&path, action, &signals, errors);
        }
    }
    let pauses = spec.pause.as_ref();
    let pause_up = pause("spec.pause.up", pauses.and_then(|pause| pause.up.as_ref()), errors);
    let pause_down = pause("spec.pause.down", pauses.and_then(|pause| pause.down.as_ref()), errors);
    let policy = Policy {
        mode: match spec.mode {
            Mode::Observe => policy::Mode::Observe,
            Mode::Recommend => policy::Mode::Recommend,
            Mode::Enforce => policy::Mode::Enforce,
        },
        suspended: spec.suspend,
        pause_up,
        pause_down,
        interval: interval?,
        max_age: max_age?,
        yield_for: yield_for?,
        rules,
        watermarks,
        signals,
        actions,
        weights,
        runtime,
        answers: answered,
    };
    let (origins, notes) = taken.map(|(_, taken)| (taken.origins, taken.notes)).unwrap_or_default();
    Some(Resolved { policy, origins, notes })
}

/// A policy on a runtime's knobs moves those of one container, and nothing else.
fn one_container(spec: &FeedbackPolicySpec, errors: &mut Errors) {
    let written = spec.actions.iter().filter(|action| !answers::is_answer(action));
    let mut levers = written.map(|action| action.runtime.as_ref());
    let first = levers.clone().flatten().next();
    let Some(first) = first else { return };
    if levers.any(|lever| lever.is_none_or(|lever| lever.container != first.container)) {
        let message = "one moves the knobs of a container, and another something else: one container has one setting; make a policy of each";
        errors.add("spec.actions", message);
    }
    let written = spec.actions.iter().enumerate();
    let levers = written.filter_map(|(index, action)| Some((index, action.runtime.as_ref()?)));
    for (index, lever) in levers {
        for (field, differs) in [
            ("lease", lever.lease != first.lease),
            ("matchers", lever.matchers != first.matchers),
            ("env", lever.env.is_some() != first.env.is_some()),
        ] {
            if differs {
                let path = format!("spec.actions[{index}].runtime.{field}");
                errors.add(
                    path,
                    "differs from that of the first action; the container has one, write the same in each",
                );
            }
        }
    }
}

/// Takes rules from the object, where the spec refers to one and it is at hand.
fn take<'o>(
    spec: &FeedbackPolicySpec,
    object: Option<&'o PrometheusRule>,
    errors: &mut Errors,
) -> Option<(&'o PrometheusRule, taken::Taken)> {
    let reference = spec.prometheus_rule_ref.as_ref()?;
    taken::check(reference, errors);
    let object = object?;
    Some((object, taken::read(spec, reference, object, errors)))
}

/// Whether a direction is paused. A pause whose time is over stays written, and pauses nothing.
fn pause(path: &str, written: Option<&PauseFor>, errors: &mut Errors) -> Option<policy::Pause> {
    let written = written?;
    let length = written.reason.len();
    if length > MAX_REASON {
        errors.add(
            format!("{path}.reason"),
            format!("has {length} bytes, at most {MAX_REASON} are allowed; shorten it"),
        );
    }
    let Some(until) = &written.until else {
        return Some(policy::Pause::Open);
    };
    match clock::read(until) {
        Ok(until) => Some(policy::Pause::Until(until)),
        Err(error) => {
            errors.add(
                format!("{path}.until"),
                format!(
                    "{} is no time that can be waited for ({error}); write one such as 2026-12-01T08:00:00Z, or leave it out",
                    shorten(until)
                ),
            );
            None
        }
    }
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

//! What a decision rests on, as it is written into a Change and a status.

use super::{Pass, memory};
use crate::{clock::micro_time, text::clean, validate::FieldError};
use flyball_core::{
    check::{CheckResult, Verdict},
    policy::{Law, Metrics, ReplicasAction},
    signal::Reading,
};
use flyball_crds::{CheckStatus, CheckVerdict, DecisionOutcome, DecisionStatus, SignalStatus};

/// The checks' verdicts as they are written.
pub fn checks(results: &[CheckResult]) -> Vec<CheckStatus> {
    let written = results.iter().map(|result| CheckStatus {
        name: result.check.name().to_owned(),
        verdict: match result.verdict {
            Verdict::Passed => CheckVerdict::Passed,
            Verdict::Clamped => CheckVerdict::Clamped,
            Verdict::Refused => CheckVerdict::Refused,
            Verdict::Skipped => CheckVerdict::Skipped,
        },
        message: clean(&result.message),
    });
    written.collect()
}

/// The readings behind an action: the rules and signals it names, and its verification.
pub(crate) fn signals(pass: &Pass<'_>, action: &ReplicasAction) -> Vec<SignalStatus> {
    let (metrics, down) = match &action.law {
        Law::Metrics(metrics) => (Some(metrics), None),
        Law::Step(step) => (None, step.down.as_ref()),
    };
    let named = action.when.iter().chain(down.into_iter().flat_map(|down| &down.when));
    let rules = named.filter_map(|name| {
        let rule = pass.policy.rules.get(name)?;
        Some(signal(name, &rule.condition.query().text, pass.seen.rules.get(name)?))
    });
    let demand = action
        .verification
        .iter()
        .filter_map(|verification| verification.demand.as_ref());
    let named = metrics
        .into_iter()
        .flat_map(Metrics::signals)
        .chain(demand.map(|demand| demand.signal.as_str()));
    let signals = named.filter_map(|name| {
        Some(signal(
            name,
            &pass.policy.signals.get(name)?.query.text,
            pass.seen.signals.get(name)?,
        ))
    });
    let verification = action.verification.iter().filter_map(|verification| {
        let reading = pass.seen.verifications.get(&action.name)?;
        Some(signal("verify", &verification.condition.left.text, reading))
    });
    let mut all: Vec<SignalStatus> = rules.chain(signals).chain(verification).collect();
    all.dedup_by(|a, b| a.name == b.name);
    all.truncate(64);
    all
}

/// How one reading is written.
pub(super) fn signal(name: &str, query: &str, reading: &Reading) -> SignalStatus {
    let values = reading.samples().iter().map(|sample| sample.value);
    let largest = values.reduce(|a, b| if b > a || a.is_nan() { b } else { a });
    SignalStatus {
        name: name.to_owned(),
        query: query.to_owned(),
        quality: reading.quality().to_string(),
        value: largest.map(|value| value.to_string()).unwrap_or_default(),
        detail: clean(reading.detail()),
    }
}

/// A decision as `flyball explain` shows it.
pub(crate) fn decision(
    pass: &Pass<'_>,
    action: &ReplicasAction,
    outcome: DecisionOutcome,
    (current, desired): (flyball_core::policy::Replicas, flyball_core::policy::Replicas),
    reason: &str,
    arithmetic: &[String],
    results: &[CheckResult],
) -> DecisionStatus {
    DecisionStatus {
        at: Some(micro_time(pass.seen.now)),
        current: memory::stored_replicas(current),
        desired: memory::stored_replicas(desired),
        shift: String::new(),
        outcome: Some(outcome),
        reason: clean(reason),
        arithmetic: arithmetic.iter().take(16).map(clean).collect(),
        checks: checks(results),
        signals: short(signals(pass, action)),
        change: None,
    }
}

/// A status is written often and holds up to eight actions: the whole query is in the Change.
pub(super) fn short(mut signals: Vec<SignalStatus>) -> Vec<SignalStatus> {
    for signal in &mut signals {
        signal.query = clean(&signal.query);
    }
    signals
}

/// Several errors in one line.
pub fn joined(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

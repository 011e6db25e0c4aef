//! Nothing is taken away on data that is missing, stale or partial (law 9).

use super::Finding;
use crate::{
    decide::{Direction, Inputs},
    policy::{Law, ReplicasAction},
    signal::Reading,
};
use std::collections::BTreeSet;

/// A decrease needs every reading that the action uses to be fresh, its verification's included: what
/// can't be verified shouldn't be begun. An increase may come from what little is known.
pub(super) fn data(direction: Direction, action: &ReplicasAction, inputs: &Inputs<'_>) -> Finding {
    let (used, bad) = readings(action, inputs);
    match (direction, bad.is_empty()) {
        (_, true) => Finding::Pass(format!("{used} readings are fresh")),
        (Direction::Up, false) => Finding::Pass(format!("an increase needs no more, but {}", bad.join("; "))),
        (Direction::Down, false) => Finding::Refuse(format!(
            "nothing is taken away on data that is not fresh: {}; restore the data, or take it out of the action",
            bad.join("; ")
        )),
    }
}

/// How many readings the action uses, and what is wrong with those that are not fresh.
fn readings(action: &ReplicasAction, inputs: &Inputs<'_>) -> (usize, Vec<String>) {
    let verification = action.verification.as_ref();
    let mut rules: BTreeSet<&str> = action.when.iter().map(String::as_str).collect();
    let mut signals: BTreeSet<&str> = BTreeSet::new();
    match &action.law {
        Law::Step(step) => rules.extend(step.down.iter().flat_map(|down| down.when.iter().map(String::as_str))),
        Law::Metrics(law) => signals.extend(law.signals()),
    }
    signals.extend(
        verification
            .and_then(|v| v.demand.as_ref())
            .map(|demand| demand.signal.as_str()),
    );
    let mut bad = Vec::new();
    for name in &rules {
        bad.extend(trouble(&format!("rule {name}"), inputs.readings.get(*name)));
    }
    for name in &signals {
        let reading = inputs.signals.get(*name);
        bad.extend(trouble(&format!("signal {name}"), reading).or_else(|| {
            let error = reading?.number().err()?;
            Some(format!("signal {name} is no number: {error}"))
        }));
    }
    if verification.is_some() {
        bad.extend(trouble("the verification", inputs.verification));
    }
    (rules.len() + signals.len() + usize::from(verification.is_some()), bad)
}

fn trouble(what: &str, reading: Option<&Reading>) -> Option<String> {
    match reading {
        None => Some(format!("{what} was not read")),
        Some(reading) if reading.is_fresh() => None,
        Some(reading) => Some(format!("{what} is {} ({})", reading.quality(), reading.detail())),
    }
}

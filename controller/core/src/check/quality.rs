//! Nothing is taken away on data that is missing, stale or partial (law 9).

use super::Finding;
use crate::{
    decide::{Direction, Inputs},
    policy::{Law, Measure, Metrics, OnError, PodNumbers, ReplicasAction, ResourceOf, Shape},
    signal::Reading,
};
use std::collections::BTreeSet;

/// A decrease needs every reading that the action uses to be fresh, its verification's included: what
/// can't be verified shouldn't be begun. An increase may come from what little is known.
///
/// A metric whose signal has `onError: Ignore` is left out, as if it were not written, as long as
/// another one is left. A number in place of a signal (`onError: Substitute`) is no data.
pub(super) fn data(direction: Direction, action: &ReplicasAction, inputs: &Inputs<'_>) -> Finding {
    let Used { count, bad, left_out } = Used::of(action, inputs);
    match (direction, bad.is_empty()) {
        (_, true) if left_out.is_empty() => Finding::Pass(format!("{count} readings are fresh")),
        (_, true) => Finding::Pass(format!(
            "{} of {count} readings are fresh; left out: {}",
            count - left_out.len(),
            left_out.join("; ")
        )),
        (Direction::Up, false) => Finding::Pass(format!("an increase needs no more, but {}", bad.join("; "))),
        (Direction::Down, false) => Finding::Refuse(format!(
            "nothing is taken away on data that is not fresh: {}; restore the data, or take it out of the action",
            bad.join("; ")
        )),
    }
}

/// The readings that an action uses.
#[derive(Default)]
struct Used {
    /// How many there are.
    count: usize,
    /// What is wrong with those that are needed and not fresh.
    bad: Vec<String>,
    /// What is wrong with those that are left out.
    left_out: Vec<String>,
}

impl Used {
    fn of(action: &ReplicasAction, inputs: &Inputs<'_>) -> Self {
        let mut used = Self::default();
        let verification = action.verification.as_ref();
        let mut rules: BTreeSet<&str> = action.when.iter().map(String::as_str).collect();
        // These are needed whatever their onError: without them there is neither a verification nor a
        // way to tell that there is nothing to do.
        let demand = verification
            .and_then(|v| v.demand.as_ref())
            .map(|demand| &demand.signal);
        let zero = action.zero.as_ref().map(|zero| &zero.signal);
        let mut needed: BTreeSet<&str> = demand.into_iter().chain(zero).map(String::as_str).collect();
        let mut resources: BTreeSet<&ResourceOf> = BTreeSet::new();
        match &action.law {
            Law::Step(step) => rules.extend(step.down.iter().flat_map(|down| down.when.iter().map(String::as_str))),
            Law::Metrics(law) => {
                let (ignored, others): (BTreeSet<&str>, BTreeSet<&str>) =
                    law.signals().partition(|name| may_be_ignored(name, inputs));
                needed.extend(others);
                for name in ignored.difference(&needed) {
                    used.count += 1;
                    used.left_out.extend(signal_trouble(name, inputs));
                }
                if law.list.iter().all(|metric| is_left_out(&metric.signals(), inputs)) {
                    used.bad.push("every metric is left out by onError Ignore".to_owned());
                }
                resources.extend(usages(law));
            }
        }
        for name in rules {
            used.reading(&format!("rule {name}"), inputs.readings.get(name));
        }
        for name in needed {
            used.note(signal_trouble(name, inputs));
        }
        for resource in resources {
            used.note(usage_trouble(resource, inputs));
        }
        for veto in &action.hold_down_while {
            used.reading(&format!("holdDownWhile {}", veto.name), inputs.vetoes.get(&veto.name));
        }
        if verification.is_some() {
            used.reading("the verification", inputs.verification);
        }
        used
    }

    fn reading(&mut self, what: &str, reading: Option<&Reading>) {
        self.note(trouble(what, reading));
    }

    fn note(&mut self, trouble: Option<String>) {
        self.count += 1;
        self.bad.extend(trouble);
    }
}

fn may_be_ignored(name: &str, inputs: &Inputs<'_>) -> bool {
    let definition = inputs.signal_definitions.get(name);
    definition.is_some_and(|signal| signal.on_error == OnError::Ignore)
}

/// Whether a metric of these signals is left out.
fn is_left_out(signals: &[&str], inputs: &Inputs<'_>) -> bool {
    let out = |name: &&str| may_be_ignored(name, inputs) && signal_trouble(name, inputs).is_some();
    signals.iter().any(out)
}

fn usages(law: &Metrics) -> impl Iterator<Item = &ResourceOf> {
    law.list.iter().filter_map(|metric| match &metric.measure {
        Measure::Pods {
            of: PodNumbers::Usage(resource),
            ..
        } => Some(resource),
        _ => None,
    })
}

fn signal_trouble(name: &str, inputs: &Inputs<'_>) -> Option<String> {
    let reading = inputs.signals.get(name);
    trouble(&format!("signal {name}"), reading).or_else(|| {
        let definition = inputs.signal_definitions.get(name);
        if definition.is_some_and(|signal| signal.shape != Shape::Number) {
            return None;
        }
        let error = reading?.number().err()?;
        Some(format!("signal {name} is no number: {error}"))
    })
}

fn usage_trouble(of: &ResourceOf, inputs: &Inputs<'_>) -> Option<String> {
    let resource = of.resource;
    match inputs.usage.get(of) {
        None => Some(format!("the usage of {resource} was not read")),
        Some(Err(why)) => Some(format!("the usage of {resource} is not known: {why}")),
        Some(Ok(pods)) if pods.is_empty() => Some(format!("the usage of {resource} is known of no pod")),
        Some(Ok(_)) => None,
    }
}

fn trouble(what: &str, reading: Option<&Reading>) -> Option<String> {
    match reading {
        None => Some(format!("{what} was not read")),
        Some(reading) if reading.is_fresh() => None,
        Some(reading) => Some(format!("{what} is {} ({})", reading.quality(), reading.detail())),
    }
}

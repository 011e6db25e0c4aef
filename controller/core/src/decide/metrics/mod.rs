//! The metrics law, with the semantics of the HorizontalPodAutoscaler (`replica_calculator.go`).
//!
//! Each metric asks for a number of replicas, and the largest counts. What HPA does is done here, in
//! decimals and integers instead of floats, but for these differences:
//!
//! - A result that floats get wrong is right: a utilisation of 46 % against 30 % on 75 pods asks for 115.
//! - A level or a mean above its target never asks for fewer replicas than there are, and one below
//!   never for more. HPA keeps to that where it had to guess for missing pods, but elsewhere applies
//!   the ratio to the ready pods alone, so that a surge while pods are not created takes some away.
//! - A level below its target while no pod is ready asks for no fewer: HPA asks for 0.
//! - A number below 0 is none; HPA asks for a number below 0.
//! - Pods are those that the target owns. HPA goes by labels, and counts the series of pods that it
//!   does not know in the mean. What pods that are ignored request doesn't matter; in HPA a failed pod
//!   without a request spoils the metric.
//! - A usage older than [`read::USAGE_MAX_AGE`] is missing; HPA never looks at the age.
//! - A mean of a signal against a target below 0.1 is not cut to thousandths.
//! - While a rollout is under way increases don't compound, and a warm-up may be set for any metric.
//!
//! Where the pods are not known `spec.replicas` stands in for the ready ones of a level, and where the
//! status is not known for the replicas of a total; a number for each pod then asks for nothing.

mod group;
mod per_pod;
mod ratio;
mod read;
mod total;

use super::{
    Facts, Inputs, Wish,
    replicas::{evidence, state},
};
use crate::{
    evaluate::RuleState,
    policy::{Measure, Metric, Metrics, Replicas, ReplicasAction},
    time::{Span, Timestamp},
};
use ratio::Tolerances;
use read::{Read, Unusable};
use std::cmp::Ordering;

/// What the metrics ask for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// The number. Never less than the present one where `may_decrease` is false.
    pub desired: Replicas,
    /// Why, in one sentence.
    pub reason: String,
    /// The calculation, metric by metric.
    pub arithmetic: Vec<String>,
    /// Whether every metric that is not left out rests on data. Where one doesn't nothing is taken
    /// away (law 9).
    pub may_decrease: bool,
    /// Whether any metric rests on data, and not on a substitute.
    pub measured: bool,
}

/// Why the metrics ask for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoNumber {
    /// No metric can be used: the time without data goes on.
    #[error("{0}")]
    NoData(String),
    /// A metric can't be used, and its signal's `onError` is `Hold`: neither up nor down.
    #[error("{0}, so nothing changes")]
    Held(String),
}

/// What the metrics ask for. The action's rules play no part in the number.
pub(super) fn wish(
    action: &ReplicasAction,
    law: &Metrics,
    inputs: &Inputs<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Wish, NoNumber> {
    let Asked {
        desired,
        reason,
        arithmetic,
        may_decrease,
        measured,
    } = asked(action, law, inputs, facts, now)?;
    let firing: Vec<&String> = action
        .when
        .iter()
        .filter(|name| state(inputs, name).is_some_and(RuleState::is_firing))
        .collect();
    Ok(Wish {
        desired,
        reason,
        arithmetic,
        alerts: evidence(&firing, inputs),
        may_decrease,
        measured,
    })
}

/// What one metric asks for.
struct Ask {
    desired: Replicas,
    reason: String,
    lines: Vec<String>,
}

/// What all metrics of a pass are computed on.
struct Present<'a> {
    inputs: &'a Inputs<'a>,
    facts: &'a Facts,
    warm_up: Span,
    now: Timestamp,
    tolerances: Tolerances,
    /// The number at the start of the rollout under way.
    rollout_start: Option<Replicas>,
}

/// The number that the metrics ask for now, why, and the calculation.
///
/// As in HPA's `computeReplicasForMetrics`: the largest of the numbers counts, but while a metric has
/// none only if it is not less than the present one.
pub(crate) fn asked(
    action: &ReplicasAction,
    law: &Metrics,
    inputs: &Inputs<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Asked, NoNumber> {
    let present = Present::new(action, law, inputs, facts, now);
    let several = law.list.len() > 1;
    let (mut asks, mut arithmetic, mut unsure, mut useless) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut measured = false;
    for metric in &law.list {
        let name = &metric.name;
        match present.of_metric(metric) {
            Ok(Read {
                value: ask,
                substituted,
            }) => {
                measured |= substituted.is_none();
                let lines = substituted.iter().chain(&ask.lines);
                arithmetic.extend(lines.map(|line| format!("{name}: {line}")));
                unsure.extend(substituted);
                asks.push((name, ask));
            }
            Err(Unusable::Held(why)) => return Err(NoNumber::Held(why)),
            Err(Unusable::Invalid(why)) => {
                arithmetic.push(format!("{name}: invalid, {why}"));
                unsure.push(why.clone());
                useless.push(why);
            }
            Err(Unusable::LeftOut(why)) => {
                arithmetic.push(format!("{name}: left out, {why}"));
                useless.push(why);
            }
        }
    }
    if several {
        let numbers: Vec<String> = asks.iter().map(|(_, ask)| ask.desired.to_string()).collect();
        arithmetic.push(format!("max({})", numbers.join(", ")));
    }
    // Of several that ask for the same the first is named, as in HPA.
    let largest = asks
        .into_iter()
        .reduce(|best, next| if next.1.desired > best.1.desired { next } else { best });
    let Some((name, ask)) = largest else {
        return Err(NoNumber::NoData(if useless.is_empty() {
            "no metric is configured".to_owned()
        } else {
            useless.join("; ")
        }));
    };
    let Ask {
        mut desired,
        mut reason,
        ..
    } = ask;
    if several {
        reason = format!("{name} asks for {desired}: {reason}");
    }
    if let Some(why) = unsure.first()
        && desired < facts.current
    {
        reason = format!("{reason}; nothing is taken away: {why}");
        desired = facts.current;
    }
    Ok(Asked {
        desired,
        reason,
        arithmetic,
        may_decrease: unsure.is_empty(),
        measured,
    })
}

impl<'a> Present<'a> {
    fn new(action: &ReplicasAction, law: &Metrics, inputs: &'a Inputs<'a>, facts: &'a Facts, now: Timestamp) -> Self {
        // The first pass of a rollout is its start.
        let start = facts.history.rollout.map_or(facts.current, |start| start.replicas);
        Self {
            inputs,
            facts,
            warm_up: action.warm_up,
            now,
            tolerances: Tolerances::of(law),
            // From zero there is nothing that could compound.
            rollout_start: facts.rollout.as_ref().map(|_| start).filter(|start| start.get() > 0),
        }
    }

    fn of_metric(&self, metric: &Metric) -> Result<Read<Ask>, Unusable> {
        match &metric.measure {
            Measure::Total { of, target } => {
                let Read { value, substituted } = read::total(of, self.inputs)?;
                let value = total::ask(self, of, *target, value).map_err(Unusable::Invalid)?;
                Ok(Read { value, substituted })
            }
            Measure::Pods { of, target } => {
                let Read { value, substituted } = read::per_pod(of, self.inputs, self.now)?;
                let value = per_pod::ask(self, of, target, &value).map_err(Unusable::Invalid)?;
                Ok(Read { value, substituted })
            }
        }
    }

    /// What a ratio is multiplied by. While a rollout is under way the pods of both revisions carry
    /// load, and each increase would add pods to be replaced, and so pods to count: without a bound
    /// each pass climbs on the one before. So on the way up it is no more than at the start.
    fn base(&self, counted: usize, way: Ordering, lines: &mut Vec<String>) -> usize {
        let Some(start) = self.rollout_start.filter(|_| way == Ordering::Greater) else {
            return counted;
        };
        let most = usize::try_from(start.get()).unwrap_or(usize::MAX);
        if counted > most {
            lines.push(format!(
                "a rollout is under way: of {counted} pods the {most} at its start count"
            ));
        }
        counted.min(most)
    }

    /// A metric above its target takes nothing away, and one below adds nothing: where there are other
    /// pods than `spec.replicas` asks for, the ratio is applied to another number than it changes.
    fn same_way(&self, needed: Replicas, way: Ordering, lines: &mut Vec<String>) -> Replicas {
        let current = self.facts.current;
        let flips = match way {
            Ordering::Greater => needed < current,
            Ordering::Less => needed > current,
            Ordering::Equal => needed != current,
        };
        if flips {
            lines.push(format!("that is the other direction from {current}, so {current} stay"));
            return current;
        }
        needed
    }
}

/// A quotient that exists for every number from 0 and every target above 0, as a policy has them.
fn sure(needed: Option<Replicas>) -> Result<Replicas, String> {
    needed.ok_or_else(|| "its target is not above 0".to_owned())
}

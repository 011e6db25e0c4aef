//! Numbers out of readings, and what a signal's `onError` makes of one that has none.

use super::group::Sample;
use crate::{
    decide::{Inputs, Pod, PodUsage},
    decimal::{Decimal, plain},
    policy::{Formula, Number, OnError, PodNumbers, Resource, ResourceOf},
    signal::Finite,
    time::{Span, Timestamp},
};
use std::collections::BTreeMap;

/// A usage that was measured longer ago counts as none. HPA never looks at the age; metrics-server
/// drops a pod that it could not scrape twice, so what is older comes from a server that is stuck.
pub(super) const USAGE_MAX_AGE: Span = Span::from_secs(300);

/// Why a metric has no number, and what follows from that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The action changes nothing.
    Held(String),
    /// Others may ask for more; nothing is taken away.
    Invalid(String),
    /// As if the metric was not written.
    LeftOut(String),
}

impl Unusable {
    /// The stricter one.
    fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Held(_), _) | (Self::Invalid(_), Self::Invalid(_) | Self::LeftOut(_)) | (_, Self::LeftOut(_)) => {
                self
            }
            _ => other,
        }
    }
}

/// A number, or several, and why it is not what was measured, if it is not.
#[derive(Clone, Debug)]
pub(super) struct Read<T> {
    pub value: T,
    pub substituted: Option<String>,
}

/// What follows from a signal that can't be used.
fn on_error<T>(
    inputs: &Inputs<'_>,
    name: &str,
    problem: String,
    substitute: impl FnOnce(Finite) -> Option<T>,
) -> Result<Read<T>, Unusable> {
    match inputs
        .signal_definitions
        .get(name)
        .map_or(OnError::HoldDown, |signal| signal.on_error)
    {
        OnError::Hold => Err(Unusable::Held(format!("{problem}; its onError is Hold"))),
        OnError::HoldDown => Err(Unusable::Invalid(problem)),
        OnError::Ignore => Err(Unusable::LeftOut(format!("{problem}; its onError is Ignore"))),
        OnError::Substitute(number) => {
            let text = plain(number.get());
            let value = substitute(number).ok_or_else(|| {
                Unusable::Invalid(format!(
                    "{problem}; onError substitutes {text}, but a ratio needs 0 or more"
                ))
            })?;
            let why = format!("{problem}; onError substitutes {text}");
            Ok(Read {
                value,
                substituted: Some(why),
            })
        }
    }
}

/// One number, 0 or more.
pub(super) fn total(of: &Number, inputs: &Inputs<'_>) -> Result<Read<Decimal>, Unusable> {
    match of {
        Number::Signal(name) => match signal(inputs, name).and_then(|number| positive(name, number)) {
            Ok(value) => Ok(Read {
                value,
                substituted: None,
            }),
            Err(problem) => on_error(inputs, name, problem, |number| positive(name, number).ok()),
        },
        Number::Formula(formula) => by_formula(formula, inputs),
    }
}

fn signal(inputs: &Inputs<'_>, name: &str) -> Result<Finite, String> {
    let reading = inputs
        .signals
        .get(name)
        .ok_or_else(|| format!("signal {name} was not read"))?;
    reading
        .number()
        .map_err(|error| format!("signal {name} is no usable number: {error}"))
}

fn positive(name: &str, number: Finite) -> Result<Decimal, String> {
    let value = Decimal::of(number);
    if value.is_negative() {
        return Err(format!(
            "signal {name} is {value}, and a ratio needs 0 or more; write for example clamp_min(..., 0)"
        ));
    }
    Ok(value)
}

/// Where several of its signals can't be used, the strictest `onError` counts.
fn by_formula(formula: &Formula, inputs: &Inputs<'_>) -> Result<Read<Decimal>, Unusable> {
    let (mut numbers, mut substituted, mut unusable) = (BTreeMap::new(), None, None::<Unusable>);
    for name in formula.signals() {
        let read = signal(inputs, name).map_or_else(
            |problem| on_error(inputs, name, problem, Some),
            |value| {
                Ok(Read {
                    value,
                    substituted: None,
                })
            },
        );
        match read {
            Ok(read) => {
                numbers.insert(name.as_str(), read.value);
                substituted = substituted.or(read.substituted);
            }
            Err(error) => {
                unusable = Some(match unusable.take() {
                    Some(before) => before.or(error),
                    None => error,
                });
            }
        }
    }
    if let Some(unusable) = unusable {
        return Err(unusable);
    }
    let text = formula.text();
    let number = formula
        .value(&numbers)
        .map_err(|error| Unusable::Invalid(format!("formula {text} {error}")))?;
    let value = Decimal::of(number);
    if value.is_negative() {
        return Err(Unusable::Invalid(format!(
            "formula {text} is {value}, and a ratio needs 0 or more; write for example max({text}, 0)"
        )));
    }
    Ok(Read { value, substituted })
}

/// A number for each pod.
pub(super) enum PerPod<'a> {
    /// By name.
    Signal(BTreeMap<&'a str, Decimal>),
    /// The same for all.
    Same(Decimal),
    /// As metrics.k8s.io tells it.
    Usage {
        usage: &'a BTreeMap<String, PodUsage>,
        resource: Resource,
        now: Timestamp,
    },
}

impl PerPod<'_> {
    pub(super) fn sample(&self, pod: &Pod) -> Option<Sample> {
        let of_no_window = |number: Decimal| Sample {
            number,
            cpu_window: None,
        };
        match self {
            Self::Signal(numbers) => numbers.get(pod.name.as_str()).copied().map(of_no_window),
            Self::Same(number) => Some(of_no_window(*number)),
            Self::Usage { usage, resource, now } => {
                let usage = usage.get(&pod.name)?;
                (now.since(usage.at) <= USAGE_MAX_AGE).then(|| Sample {
                    number: Decimal::milli(i128::from(usage.milli)),
                    cpu_window: (*resource == Resource::Cpu).then_some((usage.at, usage.window)),
                })
            }
        }
    }
}

pub(super) fn per_pod<'a>(
    of: &'a PodNumbers,
    inputs: &'a Inputs<'_>,
    now: Timestamp,
) -> Result<Read<PerPod<'a>>, Unusable> {
    match of {
        PodNumbers::Signal(name) => match by_pod(inputs, name) {
            Ok(numbers) => Ok(Read {
                value: PerPod::Signal(numbers),
                substituted: None,
            }),
            Err(problem) => on_error(inputs, name, problem, |number| {
                positive(name, number).ok().map(PerPod::Same)
            }),
        },
        PodNumbers::Usage(of) => match inputs.usage.get(of) {
            Some(Ok(usage)) => Ok(Read {
                value: PerPod::Usage {
                    usage,
                    resource: of.resource,
                    now,
                },
                substituted: None,
            }),
            Some(Err(problem)) => Err(Unusable::Invalid(format!(
                "the {} is not known: {problem}",
                usage_of(of)
            ))),
            None => Err(Unusable::Invalid(format!("the {} was not read", usage_of(of)))),
        },
    }
}

pub(super) fn usage_of(of: &ResourceOf) -> String {
    match &of.container {
        Some(container) => format!("{} usage of container {container}", of.resource),
        None => format!("{} usage", of.resource),
    }
}

/// The series of a signal, by the label `pod`.
fn by_pod<'a>(inputs: &'a Inputs<'_>, name: &str) -> Result<BTreeMap<&'a str, Decimal>, String> {
    let reading = inputs
        .signals
        .get(name)
        .ok_or_else(|| format!("signal {name} was not read"))?;
    if !reading.is_fresh() {
        return Err(format!(
            "signal {name} can't be used: {} ({})",
            reading.quality(),
            reading.detail()
        ));
    }
    let mut numbers = BTreeMap::new();
    for sample in reading.samples() {
        let pod = sample.labels.get("pod").ok_or_else(|| {
            format!("signal {name} has a series without the label pod; write for example sum by (pod) (...)")
        })?;
        let number =
            Finite::new(sample.value).ok_or_else(|| format!("signal {name} is {} for pod {pod}", sample.value))?;
        if numbers.insert(pod.as_str(), Decimal::of(number)).is_some() {
            return Err(format!(
                "signal {name} has several series for pod {pod}; write for example sum by (pod) (...)"
            ));
        }
    }
    Ok(numbers)
}

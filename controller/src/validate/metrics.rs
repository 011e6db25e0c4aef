//! What the metrics law computes with: numbers and their targets.

use super::{
    Errors,
    names::{self, Names, is_label},
    replicas::fraction,
};
use crate::promql::{Position, shorten};
use flyball_core::{
    policy::{
        Formula, FormulaError, Measure, Metric, Metrics, Number, PodNumbers, PodTarget, Resource, ResourceOf, Shape,
        TotalTarget,
    },
    signal::Finite,
};
use flyball_crds::{self as crds, MetricTarget, RatioType, ResourceName};

const ABOVE_ZERO: &str = "a number above 0; write the value at which the number of replicas is right";
const MAX_PERCENT: i32 = 10_000;

/// A ratio is the list of one metric, in short.
pub(super) fn ratio(path: &str, written: &crds::Ratio, names: &Names, errors: &mut Errors) -> Option<Metrics> {
    let known = names.number(&format!("{path}.signal"), &written.signal, errors);
    let target = errors.number(
        format!("{path}.target"),
        written.target,
        |target| target > 0.0,
        ABOVE_ZERO,
    );
    let (up, down) = tolerance(path, written.tolerance.as_ref(), errors);
    known?;
    let target = match written.kind {
        RatioType::AverageValue => TotalTarget::AverageValue(target?),
        RatioType::Value => TotalTarget::Value(target?),
    };
    Some(Metrics {
        list: vec![Metric {
            name: written.signal.clone(),
            measure: Measure::Total {
                of: Number::Signal(written.signal.clone()),
                target,
            },
        }],
        tolerance_up: up?,
        tolerance_down: down?,
    })
}

pub(super) fn read(path: &str, written: &crds::Metrics, names: &Names, errors: &mut Errors) -> Option<Metrics> {
    let list = format!("{path}.list");
    if written.list.is_empty() {
        errors.add(
            &list,
            "is empty; add for example - {name: load, signal: rps, target: {averageValue: 100}}",
        );
    }
    errors.at_most(&list, written.list.len(), 16);
    let all_names = written.list.iter().map(|metric| metric.name.as_str());
    names::unique(|index| format!("{list}[{index}].name"), "metrics", all_names, errors);
    let each = written.list.iter().enumerate();
    let metrics: Vec<Option<Metric>> = each
        .map(|(index, written)| {
            let path = format!("{list}[{index}]");
            names::plain(format!("{path}.name"), &written.name, "load", errors);
            let measure = measure(&path, written, names, errors)?;
            Some(Metric {
                name: written.name.clone(),
                measure,
            })
        })
        .collect();
    let (up, down) = tolerance(path, written.tolerance.as_ref(), errors);
    Some(Metrics {
        list: metrics.into_iter().collect::<Option<_>>()?,
        tolerance_up: up?,
        tolerance_down: down?,
    })
}

fn tolerance(path: &str, written: Option<&crds::Tolerance>, errors: &mut Errors) -> (Option<Finite>, Option<Finite>) {
    let up = fraction(format!("{path}.tolerance.up"), written.and_then(|t| t.up), errors);
    let down = fraction(format!("{path}.tolerance.down"), written.and_then(|t| t.down), errors);
    (up, down)
}

fn measure(path: &str, written: &crds::Metric, names: &Names, errors: &mut Errors) -> Option<Measure> {
    let below = format!("{path}.target");
    let target = Target::read(&below, &written.target, errors);
    match (&written.signal, &written.formula, &written.resource) {
        (Some(signal), None, None) => {
            let what = format!("signal {}", shorten(signal));
            match names.signal(&format!("{path}.signal"), signal, errors)? {
                Shape::Number => Some(Measure::Total {
                    of: Number::Signal(signal.clone()),
                    target: target?.of_one_number(&what, ", or give it a number for each pod (perPod)", errors)?,
                }),
                Shape::PerPod => Some(Measure::Pods {
                    of: PodNumbers::Signal(signal.clone()),
                    target: target?.of_signal(&what, errors)?,
                }),
                Shape::PerBackend => {
                    errors.add(
                        format!("{path}.signal"),
                        format!("{what} has one number for each backend (perBackend), which moves weights; name another, or write perPod"),
                    );
                    None
                }
            }
        }
        (None, Some(text), None) => {
            let formula = formula(&format!("{path}.formula"), text, names, errors);
            let target = target.and_then(|target| target.of_one_number("a formula", "", errors));
            Some(Measure::Total {
                of: Number::Formula(formula?),
                target: target?,
            })
        }
        (None, None, Some(resource)) => {
            let of = resource_of(&format!("{path}.resource"), resource, errors);
            let target = target.and_then(|target| target.of_resource(of.as_ref()?, errors));
            Some(Measure::Pods {
                of: PodNumbers::Usage(of?),
                target: target?,
            })
        }
        (None, None, None) => {
            errors.add(
                path,
                "has none of signal, formula and resource; write for example signal: rps",
            );
            None
        }
        _ => {
            errors.add(
                path,
                "has more than one of signal, formula and resource; make a metric of each",
            );
            None
        }
    }
}

/// A CEL expression over the signals that are one number each.
fn formula(path: &str, text: &str, names: &Names, errors: &mut Errors) -> Option<Formula> {
    let numbers = names.numbers();
    let error = match Formula::parse(text, &numbers) {
        Ok(formula) => return Some(formula),
        Err(error) => error,
    };
    let FormulaError::Unknown(name) = &error else {
        errors.add(path, error);
        return None;
    };
    let position = word(text, name.trim_end_matches("()")).map(|offset| Position::of(text, offset));
    if names.is_per_pod(name) {
        let message = format!(
            "names {}, which has one number for each pod (perPod); name a signal that adds them up, such as sum(...)",
            shorten(name)
        );
        errors.placed(path, message, position);
    } else if let Some(dashed) = numbers.iter().find(|known| is_dashed(known, name)) {
        let message = format!(
            "reads {} as a subtraction; rename the signal, for example to {}",
            shorten(dashed),
            shorten(&dashed.replace('-', "_"))
        );
        errors.placed(path, message, position);
    } else {
        errors.placed(path, error, position);
    }
    None
}

/// Whether `part` is what CEL sees of a name with dashes.
fn is_dashed(name: &str, part: &str) -> bool {
    name.contains('-') && name.split('-').any(|piece| piece == part)
}

/// Where a name stands in an expression.
fn word(text: &str, name: &str) -> Option<usize> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(inner) && !after.is_some_and(inner)
    })
}

fn resource_of(path: &str, written: &crds::ResourceOf, errors: &mut Errors) -> Option<ResourceOf> {
    if let Some(container) = written.container.as_ref().filter(|container| !is_label(container)) {
        errors.add(
            format!("{path}.container"),
            format!(
                "{} is not the name of a container; write lower-case letters, digits and dashes, at most 63",
                shorten(container)
            ),
        );
        return None;
    }
    Some(ResourceOf {
        resource: match written.name {
            ResourceName::Cpu => Resource::Cpu,
            ResourceName::Memory => Resource::Memory,
        },
        container: written.container.clone(),
    })
}

/// A target before it is known what it belongs to.
struct Target<'a> {
    path: &'a str,
    goal: Goal,
    /// Which request the numbers are compared with.
    request: Option<ResourceOf>,
}

enum Goal {
    Value(Finite),
    AverageValue(Finite),
    Utilization(u32),
}

impl<'a> Target<'a> {
    fn read(path: &'a str, written: &MetricTarget, errors: &mut Errors) -> Option<Self> {
        let request = match &written.request {
            Some(request) => resource_of(&format!("{path}.request"), request, errors).map(Some),
            None => Some(None),
        };
        let above_zero = |target: f64| target > 0.0;
        let goal = match (written.value, written.average_value, written.utilization) {
            (Some(value), None, None) => errors
                .number(format!("{path}.value"), value, above_zero, ABOVE_ZERO)
                .map(Goal::Value),
            (None, Some(value), None) => errors
                .number(format!("{path}.averageValue"), value, above_zero, ABOVE_ZERO)
                .map(Goal::AverageValue),
            (None, None, Some(percent)) => errors
                .within(format!("{path}.utilization"), percent, 1, MAX_PERCENT)
                .map(Goal::Utilization),
            (None, None, None) => {
                errors.add(
                    path,
                    "has none of value, averageValue and utilization; write for example averageValue: 100",
                );
                None
            }
            _ => {
                errors.add(
                    path,
                    "has more than one of value, averageValue and utilization; keep one of them",
                );
                None
            }
        };
        Some(Self {
            path,
            goal: goal?,
            request: request?,
        })
    }

    /// The target of one number for the whole workload; `or` is another way out where that is wrong.
    fn of_one_number(&self, what: &str, or: &str, errors: &mut Errors) -> Option<TotalTarget> {
        let target = match self.goal {
            Goal::Value(value) => Some(TotalTarget::Value(value)),
            Goal::AverageValue(value) => Some(TotalTarget::AverageValue(value)),
            Goal::Utilization(percent) => {
                errors.add(
                    format!("{}.utilization", self.path),
                    format!("{percent} is a percentage of what each pod requests, and {what} is one number; write averageValue or value{or}"),
                );
                return None;
            }
        };
        self.no_request("it is for perPod signals with utilization", errors)?;
        target
    }

    /// The target of a signal with a number for each pod.
    fn of_signal(self, what: &str, errors: &mut Errors) -> Option<PodTarget> {
        let request = format!("{}.request", self.path);
        match (self.goal, self.request) {
            (Goal::AverageValue(value), None) => Some(PodTarget::AverageValue(value)),
            (Goal::AverageValue(_), Some(_)) => {
                errors.add(
                    request,
                    "is what utilization is a percentage of; remove it, or write utilization instead of averageValue",
                );
                None
            }
            (Goal::Utilization(percent), Some(of)) => Some(PodTarget::Utilization { percent, of }),
            (Goal::Utilization(percent), None) => {
                errors.add(
                    request,
                    format!("is missing, so {percent} % have no whole; write the request that the signal is compared with, for example request: {{name: cpu}}"),
                );
                None
            }
            (Goal::Value(value), _) => {
                let value = value.get();
                errors.add(
                    format!("{}.value", self.path),
                    format!("{value} is the level of one number, and {what} has one for each pod (perPod); write averageValue"),
                );
                None
            }
        }
    }

    /// The target of a resource's usage.
    fn of_resource(&self, of: &ResourceOf, errors: &mut Errors) -> Option<PodTarget> {
        let target = match self.goal {
            Goal::AverageValue(value) => PodTarget::AverageValue(value),
            Goal::Utilization(percent) => PodTarget::Utilization {
                percent,
                of: of.clone(),
            },
            Goal::Value(value) => {
                let (value, resource) = (value.get(), of.resource);
                errors.add(
                    format!("{}.value", self.path),
                    format!("{value} is the level of one number, and {resource} is used by each pod; write utilization or averageValue"),
                );
                return None;
            }
        };
        self.no_request("resource says it", errors)?;
        Some(target)
    }

    fn no_request(&self, why: &str, errors: &mut Errors) -> Option<()> {
        if self.request.is_some() {
            errors.add(
                format!("{}.request", self.path),
                format!("is not needed, {why}; remove it"),
            );
            return None;
        }
        Some(())
    }
}

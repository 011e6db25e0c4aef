//! What is read, and how good it must be before anything is taken away.

use super::{Case, case, observed};
use crate::{
    build::{average, metric, metrics, number, reading, signal, unusable},
    options::{to_zero, veto},
};
use flyball_core::{
    check::{Check, Verdict},
    decide::PodUsage,
    policy::{Measure, Number, OnError, PodNumbers, PodTarget, ReplicasAction, Resource, ResourceOf, Shape, Signal},
    signal::{Finite, Quality, Reading},
    time::Span,
};
use rstest::rstest;
use std::collections::BTreeMap;

/// By the signals `load` and `queue`, each with a target of 100 for each replica.
fn by_two() -> ReplicasAction {
    let of = |name: &str| {
        let of = Number::Signal(name.to_owned());
        metric(
            name,
            Measure::Total {
                of,
                target: average(100.0),
            },
        )
    };
    metrics(vec![of("load"), of("queue")])
}

/// A decrease on a `load` that is fresh and a `queue` as given.
fn down(on_error: OnError, queue: Option<Reading>) -> Case {
    let mut observed = observed().define(signal("queue", on_error));
    if let Some(queue) = queue {
        observed = observed.signal("queue", queue);
    }
    Case {
        action: by_two(),
        observed,
        ..case(8, 5)
    }
}

#[rstest]
#[case(OnError::Hold, false)]
#[case(OnError::HoldDown, false)]
#[case(OnError::Ignore, true)]
#[case(OnError::Substitute(Finite::new(1.0).unwrap()), false)]
fn only_what_is_ignored_may_be_missing(#[case] on_error: OnError, #[case] passes: bool) {
    let two = reading(Quality::Fresh, 3600, &[("a", 1.0), ("b", 1.0)]);
    let mut bad: Vec<Option<Reading>> = unusable(3600).into_iter().map(Some).collect();
    bad.extend([Some(two), None]);
    for queue in bad {
        let case = down(on_error, queue);
        if passes {
            case.goes(
                5,
                Check::DataQuality,
                Verdict::Passed,
                &["1 of 2 readings are fresh; left out: signal queue"],
            );
        } else {
            case.refused(Check::DataQuality, &["signal queue"]);
        }
    }
    down(on_error, Some(number(3600, 1.0))).goes(5, Check::DataQuality, Verdict::Passed, &["2"]);
}

#[test]
fn one_metric_at_least_must_be_left() {
    for bad in unusable(3600) {
        let mut case = down(OnError::Ignore, Some(bad.clone()));
        case.observed = case
            .observed
            .define(signal("load", OnError::Ignore))
            .signal("load", bad);
        case.refused(Check::DataQuality, &["every metric is left out"]);
    }
}

#[test]
fn what_is_ignored_as_a_metric_is_still_needed_as_demand_and_for_zero() {
    let stale = || reading(Quality::Stale, 3600, &[("", 1.0)]);
    let mut case = down(OnError::Ignore, Some(stale()));
    let mut verification = crate::build::verification();
    if let Some(demand) = &mut verification.demand {
        demand.signal = "queue".to_owned();
    }
    case.action.verification = Some(verification);
    case.refused(Check::DataQuality, &["signal queue is stale"]);
    let mut case = down(OnError::Ignore, Some(stale()));
    case.action.zero = to_zero().zero.map(|zero| flyball_core::policy::Zero {
        signal: "queue".to_owned(),
        ..zero
    });
    case.refused(Check::DataQuality, &["signal queue is stale"]);
}

#[test]
fn a_decrease_needs_the_signal_of_zero() {
    let with = |jobs: Reading| Case {
        action: to_zero(),
        observed: observed().signal("jobs", jobs),
        ..case(8, 5)
    };
    with(number(3600, 3.0)).goes(5, Check::DataQuality, Verdict::Passed, &["2 readings are fresh"]);
    for unusable in unusable(3600) {
        let quality = unusable.quality().to_string();
        with(unusable).refused(Check::DataQuality, &["signal jobs", &quality]);
    }
    with(reading(Quality::Fresh, 3600, &[("a", 1.0), ("b", 1.0)]))
        .refused(Check::DataQuality, &["signal jobs is no number"]);
}

#[test]
fn what_forbids_decreases_is_read_for_them() {
    let mut case = case(8, 5);
    case.action.hold_down_while = vec![veto("upstream")];
    case.action.inhibit = vec![veto("database")];
    case.observed = observed().veto("upstream", number(3600, 0.1));
    // What forbids increases is nothing to a decrease.
    case.goes(5, Check::DataQuality, Verdict::Passed, &["2 readings are fresh"]);
}

#[test]
fn a_number_for_each_pod_is_no_single_number() {
    let per_pod = Signal {
        shape: Shape::PerPod,
        ..signal("load", OnError::HoldDown)
    };
    let of = PodNumbers::Signal("load".to_owned());
    let target = PodTarget::AverageValue(crate::build::finite(10.0));
    let two = || reading(Quality::Fresh, 3600, &[("a", 1.0), ("b", 1.0)]);
    let mut case = Case {
        action: metrics(vec![metric("load", Measure::Pods { of, target })]),
        observed: observed().define(per_pod).signal("load", two()),
        ..case(8, 5)
    };
    case.goes(5, Check::DataQuality, Verdict::Passed, &["1 readings are fresh"]);
    for unusable in unusable(3600) {
        case.observed = case.observed.signal("load", unusable);
        case.refused(Check::DataQuality, &["signal load"]);
    }
}

#[test]
fn usage_must_be_known_too() {
    let cpu = ResourceOf {
        resource: Resource::Cpu,
        container: None,
    };
    let target = PodTarget::Utilization {
        percent: 60,
        of: cpu.clone(),
    };
    let of = PodNumbers::Usage(cpu.clone());
    let action = metrics(vec![metric("cpu", Measure::Pods { of, target })]);
    let used = PodUsage {
        milli: 100,
        at: crate::build::at(3600),
        window: Span::from_secs(15),
    };
    let with = |usage: Option<flyball_core::decide::Usage>| Case {
        action: action.clone(),
        observed: match usage {
            Some(usage) => observed().usage(cpu.clone(), usage),
            None => observed(),
        },
        ..case(8, 5)
    };
    with(Some(Ok(BTreeMap::from([("pod-0".to_owned(), used)])))).goes(
        5,
        Check::DataQuality,
        Verdict::Passed,
        &["1 readings are fresh"],
    );
    with(Some(Ok(BTreeMap::new()))).refused(Check::DataQuality, &["the usage of cpu is known of no pod"]);
    with(Some(Err("503".to_owned()))).refused(Check::DataQuality, &["the usage of cpu is not known: 503"]);
    with(None).refused(Check::DataQuality, &["the usage of cpu was not read"]);
}

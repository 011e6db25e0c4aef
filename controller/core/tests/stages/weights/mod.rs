//! Weights: the laws by tables, together by properties, and on a plant that sheds what it can't serve.

mod aimd;
mod capacity;
mod eject;
mod failover;
mod laws;
mod onset;
mod open;
mod read;
mod shape;
mod share;
mod simulation;
mod step;

use crate::build::{Observed, at, finite, labels, query, secs};
use flyball_core::{
    decide::{BackendHistory, Move, RouteFacts, WeightDecision, WeightHistory, WeightProposal, decide_weights},
    policy::{
        AimdLaw, Backend, CapacityLaw, Ejection, FailoverLaw, OnReset, RouteList, RuleRef, ShareDeadline, Traffic,
        Weight, WeightLaw, WeightLimits, WeightStep, Weights, WeightsAction,
    },
    signal::{Quality, Reading, Sample},
};
use std::collections::BTreeMap;

/// The pass of most tables is at 10,000 s, long after everything else.
pub const NOW: i64 = 10_000;

pub fn weight(number: i64) -> Weight {
    Weight::new(number).unwrap()
}

pub fn weights(list: &[(&str, i64)]) -> Weights {
    Weights::new(list.iter().map(|(name, number)| ((*name).to_owned(), weight(*number))))
}

/// A reading of many series, told apart by the label `backend`; NaN makes it not finite, nothing missing.
pub fn told(quality: Quality, seconds: i64, values: &[(&str, f64)]) -> Reading {
    let sample = |(backend, value): &(&str, f64)| Sample {
        labels: labels(&[("backend", backend)]),
        value: *value,
    };
    let samples: Vec<Sample> = values.iter().map(sample).collect();
    let (warnings, age) = match quality {
        Quality::Error => return Reading::failed(at(seconds), "time-out after 10s"),
        Quality::Partial => (vec!["a store did not answer".to_owned()], 0),
        Quality::Stale => (Vec::new(), 3600),
        _ => (Vec::new(), 0),
    };
    Reading::answered(at(seconds), samples, &warnings, Some(secs(age)), secs(60))
}

pub fn fresh(values: &[(&str, f64)]) -> Reading {
    told(Quality::Fresh, NOW, values)
}

/// Backends a, b, c with a base of 1 each; a floor of 2 %, a step of at most 20 %, a dead band of 5 %, a hold
/// and a window of 60 s, an expiry of 3 minutes.
pub fn action(law: WeightLaw) -> WeightsAction {
    let backend = |name: &str| Backend {
        name: name.to_owned(),
        base: weight(1),
    };
    WeightsAction {
        name: "weights".to_owned(),
        when: vec!["Failing".to_owned()],
        routes: vec![RouteList {
            api_version: "gateway.networking.k8s.io/v1".to_owned(),
            kind: "HTTPRoute".to_owned(),
            name: "checkout".to_owned(),
            rule: RuleRef::Only,
        }],
        backends: ["a", "b", "c"].into_iter().map(backend).collect(),
        law,
        limits: WeightLimits {
            floor: finite(0.02),
            most_step: finite(0.2),
            dead_band: finite(0.05),
            hold: secs(60),
            expiry: secs(180),
        },
        ejection: None,
        traffic: traffic(60),
        share: ShareDeadline {
            settle: secs(90),
            within: secs(300),
        },
        verification: None,
        on_reset: OnReset::Stop,
        approval: false,
    }
}

pub fn traffic(window: u64) -> Traffic {
    Traffic {
        requests: query("requests"),
        errors: query("errors"),
        unserved: None,
        window: secs(window),
        max_age: secs(60),
    }
}

/// Without smoothing, by the signal `cpu`.
pub fn capacity() -> WeightsAction {
    action(WeightLaw::Capacity(CapacityLaw {
        utilisation: "cpu".to_owned(),
        penalty: finite(1.0),
        smoothing: finite(1.0),
    }))
}

/// 20 points, back after 5 minutes, with a base of 50, 30 and 20.
pub fn step() -> WeightsAction {
    let law = WeightStep {
        ignores_silenced: false,
        points: 20,
        label: "backend".to_owned(),
        after: secs(300),
    };
    with_base(action(WeightLaw::Step(law)), &[50, 30, 20])
}

/// Bad above 50 % and good at 10 %; left after 60 s, back after 120 s, over 300 s.
pub fn failover() -> WeightsAction {
    let law = FailoverLaw {
        bad_above: finite(0.5),
        good_below: finite(0.1),
        leave_after: secs(60),
        return_after: secs(120),
        return_over: secs(300),
    };
    with_base(action(WeightLaw::Failover(law)), &[1, 0, 0])
}

/// By the signal `p99` above 0.5: weight * 0.8, or 2 points back.
pub fn aimd() -> WeightsAction {
    action(WeightLaw::Aimd(AimdLaw {
        signal: "p99".to_owned(),
        above: finite(0.5),
        factor: finite(0.8),
        points: 2,
    }))
}

pub fn with_base(mut action: WeightsAction, base: &[i64]) -> WeightsAction {
    for (backend, base) in action.backends.iter_mut().zip(base) {
        backend.base = weight(*base);
    }
    action
}

/// Out above 50 % errors of at least 20 requests, for 30 s and at most 5 minutes, back over 5 minutes.
pub fn ejecting(mut action: WeightsAction) -> WeightsAction {
    action.ejection = Some(Ejection {
        errors_above: finite(0.5),
        least_requests: 20,
        base: secs(30),
        longest: secs(300),
        return_over: secs(300),
        panic_above: finite(0.5),
    });
    action
}

/// Those weights, observed since the epoch; every backend was known the whole time; no request fails.
pub fn route(current: &[(&str, i64)]) -> RouteFacts {
    let known = || BackendHistory {
        known_at: Some(at(NOW - 15)),
        appeared_at: Some(at(0)),
        ..BackendHistory::default()
    };
    RouteFacts {
        current: weights(current),
        unmanaged: 0,
        others: Vec::new(),
        fixed_total: None,
        requests: fresh(&[("a", 100.0), ("b", 100.0), ("c", 50.0)]),
        errors: fresh(&[("a", 0.0), ("b", 0.0), ("c", 0.0)]),
        unserved: None,
        ready: BTreeMap::new(),
        history: WeightHistory {
            observed_since: at(0),
            moved_at: None,
            verified: None,
            backends: current.iter().map(|(name, _)| ((*name).to_owned(), known())).collect(),
        },
    }
}

/// Changes what is remembered of a backend.
pub fn remember(mut facts: RouteFacts, backend: &str, change: impl FnOnce(&mut BackendHistory)) -> RouteFacts {
    change(facts.history.backends.entry(backend.to_owned()).or_default());
    facts
}

/// Everything at 80 %: by capacity 0.4, 0.4 and 0.2.
pub fn cpu() -> Observed {
    Observed::default().signal("cpu", fresh(&[("a", 0.8), ("b", 0.8), ("c", 0.8)]))
}

/// What came of a pass, in short.
pub struct Came {
    pub to: Option<WeightProposal>,
    pub why: String,
    pub history: WeightHistory,
}

pub fn pass(action: &WeightsAction, observed: &Observed, facts: &RouteFacts, seconds: i64) -> Came {
    let (decision, history) = decide_weights(action, &observed.inputs(), facts, at(seconds));
    let (to, why) = match decision {
        WeightDecision::Propose(proposal) => {
            let why = format!("{}: {}", proposal.reason, proposal.arithmetic.join("; "));
            assert!(proposal.arithmetic.len() <= 16, "{why}");
            (Some(proposal), why)
        }
        WeightDecision::Stay { reason, arithmetic } => (None, format!("{reason}: {}", arithmetic.join("; "))),
    };
    Came { to, why, history }
}

/// `expect` is `a 366, b 366, c 268`, with `ejection` or `return` before it where it is one; `-` is none.
/// Each of `parts` is in the reason or the arithmetic. Gives what is remembered.
pub fn check(
    action: &WeightsAction,
    observed: &Observed,
    facts: &RouteFacts,
    expect: &str,
    parts: &[&str],
) -> WeightHistory {
    let came = pass(action, observed, facts, NOW);
    let shown = came.to.as_ref().map_or_else(
        || "-".to_owned(),
        |proposal| {
            let kind = match proposal.why {
                Move::Law => "",
                Move::Ejection => "ejection ",
                Move::Return => "return ",
                Move::Reapply => "reapply ",
            };
            assert_eq!(proposal.from, facts.current);
            format!("{kind}{}", proposal.to)
        },
    );
    assert_eq!(shown, expect, "{}", came.why);
    for part in parts {
        assert!(came.why.contains(part), "{part:?} is not in {:?}", came.why);
    }
    came.history
}

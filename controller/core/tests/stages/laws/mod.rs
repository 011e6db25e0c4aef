//! What holds for every input. The references are as naive as possible: they keep everything, and
//! calculate in integers.

mod change;
mod metrics;
mod options;
mod stabilise;
mod text;
mod time;

use crate::build::{Observed, at, average, facts, limit, n, quiet, ratio, reading, secs, step, value, verification};
use flyball_core::{
    decide::{Facts, Proposal, Recommendation, ScaleEvent},
    evaluate::RuleState,
    policy::{Amount, RateLimit, ReplicasAction, SelectPolicy},
    signal::{Quality, Reading},
};
use proptest::{collection::vec, prelude::*};

const NOW: i64 = 10_000;

pub fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![(0..30u32).prop_map(Amount::Pods), (0..300u32).prop_map(Amount::Percent)]
}

pub fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        6 => Just(Quality::Fresh),
        1 => Just(Quality::Stale),
        1 => Just(Quality::Partial),
        1 => Just(Quality::NotFinite),
        1 => Just(Quality::Missing),
        1 => Just(Quality::Error),
    ]
}

pub fn one_reading() -> impl Strategy<Value = Reading> {
    (quality(), 0.0..3000.0f64).prop_map(|(quality, value)| match quality {
        Quality::NotFinite => reading(quality, NOW, &[("", f64::NAN)]),
        Quality::Missing | Quality::Error => reading(quality, NOW, &[]),
        _ => reading(quality, NOW, &[("", value)]),
    })
}

pub fn limits() -> impl Strategy<Value = Vec<RateLimit>> {
    vec(
        (amount(), 1..600u64).prop_map(|(amount, period)| limit(amount, period)),
        0..3,
    )
}

pub fn select() -> impl Strategy<Value = SelectPolicy> {
    prop_oneof![
        Just(SelectPolicy::Max),
        Just(SelectPolicy::Min),
        Just(SelectPolicy::Disabled)
    ]
}

/// Any action, always with a verification.
pub fn action() -> impl Strategy<Value = ReplicasAction> {
    let law = prop_oneof![
        (amount(), amount()).prop_map(|(up, down)| step(up, down)),
        (1.0..200.0f64).prop_map(|target| ratio(average(target))),
        (1.0..200.0f64).prop_map(|target| ratio(value(target))),
    ];
    (
        law,
        0..10i64,
        0..30i64,
        (limits(), limits()),
        (select(), select()),
        0..600u64,
    )
        .prop_map(
            |(mut action, min, more, (up, down), (select_up, select_down), seconds)| {
                (action.bounds.min, action.bounds.max) = (n(min), n(min + more));
                (action.up.limits, action.down.limits) = (up, down);
                (action.up.select, action.down.select) = (select_up, select_down);
                (action.down.stabilization, action.down.cooldown) = (secs(seconds), secs(seconds / 2));
                action.verification = Some(verification());
                action
            },
        )
}

pub fn rule_state() -> impl Strategy<Value = RuleState> {
    prop_oneof![
        Just(crate::build::firing(&[("a", 0.7)])),
        (0..NOW).prop_map(quiet),
        Just(RuleState::default())
    ]
}

pub fn observed() -> impl Strategy<Value = Observed> {
    (rule_state(), one_reading(), one_reading(), one_reading(), one_reading()).prop_map(
        |(state, rule, load, requests, verification)| {
            Observed::default()
                .rule("Slow", state)
                .reading("Slow", rule)
                .signal("load", load)
                .signal("requests", requests)
                .verification(verification)
        },
    )
}

pub fn events() -> impl Strategy<Value = Vec<ScaleEvent>> {
    vec((NOW - 700..NOW + 10, 0..40i64, 0..40i64), 0..6).prop_map(|events| {
        events
            .iter()
            .map(|(when, from, to)| ScaleEvent {
                at: at(*when),
                from: n(*from),
                to: n(*to),
            })
            .collect()
    })
}

pub fn some_facts() -> impl Strategy<Value = Facts> {
    (0..50i64, events(), vec((NOW - 700..NOW, 0..50i64), 0..6)).prop_map(|(current, events, recommendations)| {
        let mut facts = facts(current);
        facts.history.events = events;
        facts.history.recommendations = recommendations
            .iter()
            .map(|(when, replicas)| Recommendation {
                at: at(*when),
                replicas: n(*replicas),
            })
            .collect();
        facts
    })
}

pub fn proposal(from: i64, to: i64) -> Option<Proposal> {
    (from != to).then(|| crate::check::proposal(from, to))
}

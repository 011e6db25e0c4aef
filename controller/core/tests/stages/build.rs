//! Short words for the types that the tests need.

use flyball_core::{
    check::{Approval, Budget, Coverage, OpenChange, Paused, Target, World},
    decide::{Facts, History, Inputs, Recommendation, ScaleEvent, Usage},
    evaluate::{Alert, AlertPhase, RuleState, parse},
    policy::{
        Amount, Behavior, Bounds, Comparator, Comparison, Condition, Demand, Law, Measure, Metric, Metrics, Number,
        OnError, OnInconclusive, OnIneffective, Query, RateLimit, Replicas, ReplicasAction, ResourceOf, Rule,
        SelectPolicy, Shape, Signal, Step, StepDown, TotalTarget, Verification,
    },
    signal::{Finite, Labels, Quality, Reading, Sample},
    time::{Span, Timestamp},
};
use std::collections::BTreeMap;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub fn secs(seconds: u64) -> Span {
    Span::from_secs(seconds)
}

pub fn n(count: i64) -> Replicas {
    Replicas::new(count).unwrap()
}

pub fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub fn query(text: &str) -> Query {
    Query {
        text: text.to_owned(),
        age: None,
        longest_range: secs(300),
    }
}

/// A reading at `seconds` of the given quality; `values` are series told apart by `instance`.
pub fn reading(quality: Quality, seconds: i64, values: &[(&str, f64)]) -> Reading {
    let sample = |(instance, value): &(&str, f64)| Sample {
        labels: labels(&[("instance", instance)]),
        value: *value,
    };
    let samples: Vec<Sample> = values.iter().map(sample).collect();
    let (warnings, age) = match quality {
        Quality::Error => return Reading::failed(at(seconds), "time-out after 10s"),
        Quality::Partial => (vec!["a store did not answer".to_owned()], 0),
        Quality::Stale => (Vec::new(), 3600),
        _ => (Vec::new(), 0),
    };
    let reading = Reading::answered(at(seconds), samples, &warnings, Some(secs(age)), secs(60));
    assert_eq!(
        reading.quality(),
        quality,
        "a reading of these values can't be {quality}"
    );
    reading
}

/// A fresh number.
pub fn number(seconds: i64, value: f64) -> Reading {
    reading(Quality::Fresh, seconds, &[("", value)])
}

/// A reading that can't be used, for each reason there is.
pub fn unusable(seconds: i64) -> Vec<Reading> {
    vec![
        reading(Quality::Stale, seconds, &[("a", 0.1)]),
        reading(Quality::Partial, seconds, &[("a", 0.1)]),
        reading(Quality::NotFinite, seconds, &[("a", f64::NAN)]),
        reading(Quality::Missing, seconds, &[]),
        reading(Quality::Error, seconds, &[]),
    ]
}

pub fn comparison(comparator: Comparator, right: f64) -> Comparison {
    Comparison {
        left: query("latency"),
        comparator,
        right: finite(right),
    }
}

/// `latency > 0.5` for so many seconds.
pub fn rule(alert: &str, hold: u64, keep_firing_for: u64) -> Rule {
    Rule {
        alert: alert.to_owned(),
        condition: Condition::Threshold(comparison(Comparator::Greater, 0.5)),
        hold: secs(hold),
        keep_firing_for: secs(keep_firing_for),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
    }
}

pub fn templates(pairs: &[(&str, &str)]) -> BTreeMap<String, flyball_core::evaluate::Template> {
    pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), parse(text).unwrap()))
        .collect()
}

pub fn firing(values: &[(&str, f64)]) -> RuleState {
    let alert = |(instance, value): &(&str, f64)| Alert {
        labels: labels(&[("instance", instance)]),
        annotations: Labels::new(),
        phase: AlertPhase::Firing,
        active_at: at(0),
        keep_firing_since: None,
        value: *value,
    };
    RuleState {
        alerts: values.iter().map(alert).collect(),
        quiet_since: None,
        error: None,
    }
}

pub fn quiet(since: i64) -> RuleState {
    RuleState {
        quiet_since: Some(at(since)),
        ..RuleState::default()
    }
}

/// No rates, no windows, no cooldown.
pub fn behavior() -> Behavior {
    Behavior {
        limits: Vec::new(),
        select: SelectPolicy::Max,
        stabilization: Span::ZERO,
        cooldown: Span::ZERO,
    }
}

pub fn limit(amount: Amount, period: u64) -> RateLimit {
    RateLimit {
        amount,
        period: secs(period),
    }
}

/// Up while `Slow` fires, down after ten minutes of quiet; from 2 to 20 replicas.
pub fn step(up: Amount, down: Amount) -> ReplicasAction {
    let down = StepDown {
        by: down,
        after: secs(600),
        when: Vec::new(),
    };
    action(Law::Step(Step { up, down: Some(down) }), &["Slow"])
}

/// The target of a total.
pub fn average(target: f64) -> TotalTarget {
    TotalTarget::AverageValue(finite(target))
}

/// The target of a level.
pub fn value(target: f64) -> TotalTarget {
    TotalTarget::Value(finite(target))
}

/// By the signal `load`, with HPA's tolerance of 0.1; from 2 to 20 replicas.
pub fn ratio(target: TotalTarget) -> ReplicasAction {
    let measure = Measure::Total {
        of: Number::Signal("load".to_owned()),
        target,
    };
    metrics(vec![metric("load", measure)])
}

pub fn metric(name: &str, measure: Measure) -> Metric {
    Metric {
        name: name.to_owned(),
        measure,
    }
}

/// By these metrics, with HPA's tolerance of 0.1; from 2 to 20 replicas.
pub fn metrics(list: Vec<Metric>) -> ReplicasAction {
    let tolerance = finite(0.1);
    let law = Law::Metrics(Metrics {
        list,
        tolerance_up: tolerance,
        tolerance_down: tolerance,
    });
    action(law, &[])
}

fn action(law: Law, when: &[&str]) -> ReplicasAction {
    ReplicasAction {
        name: "more-replicas".to_owned(),
        when: when.iter().map(ToString::to_string).collect(),
        bounds: Bounds { min: n(2), max: n(20) },
        law,
        up: behavior(),
        down: behavior(),
        verification: None,
        zero: None,
        warm_up: Span::ZERO,
        spike: None,
        schedules: Vec::new(),
        fallback: None,
        inhibit: Vec::new(),
        hold_down_while: Vec::new(),
        approval: false,
    }
}

/// A signal that is one number.
pub fn signal(name: &str, on_error: OnError) -> Signal {
    Signal {
        name: name.to_owned(),
        query: query(name),
        shape: Shape::Number,
        max_age: secs(60),
        on_error,
    }
}

/// `latency <= 0.5`, judged from 360 s to 600 s, for a demand `requests` with a tolerance of 10 %.
pub fn verification() -> Verification {
    Verification {
        settle: secs(360),
        within: secs(600),
        condition: comparison(Comparator::LessOrEqual, 0.5),
        max_age: secs(60),
        demand: Some(Demand {
            signal: "requests".to_owned(),
            tolerance: finite(0.1),
        }),
        on_inconclusive: OnInconclusive::Hold,
        on_ineffective: OnIneffective::RollBack,
        latch: secs(1800),
    }
}

/// What was observed, owned.
#[derive(Debug, Default)]
pub struct Observed {
    pub definitions: BTreeMap<String, Rule>,
    pub rules: BTreeMap<String, RuleState>,
    pub readings: BTreeMap<String, Reading>,
    pub signals: BTreeMap<String, Reading>,
    pub verification: Option<Reading>,
    pub signal_definitions: BTreeMap<String, Signal>,
    pub usage: BTreeMap<ResourceOf, Usage>,
    pub vetoes: BTreeMap<String, Reading>,
}

impl Observed {
    /// A rule's state, with a fresh reading behind it.
    pub fn rule(mut self, name: &str, state: RuleState) -> Self {
        self.definitions.insert(name.to_owned(), rule(name, 0, 0));
        self.rules.insert(name.to_owned(), state);
        self.readings.insert(name.to_owned(), number(0, 0.1));
        self
    }

    pub fn reading(mut self, name: &str, reading: Reading) -> Self {
        self.readings.insert(name.to_owned(), reading);
        self
    }

    /// A signal that is one number, with the default `onError`, unless it was defined otherwise.
    pub fn signal(mut self, name: &str, reading: Reading) -> Self {
        self.signal_definitions
            .entry(name.to_owned())
            .or_insert_with(|| signal(name, OnError::HoldDown));
        self.signals.insert(name.to_owned(), reading);
        self
    }

    pub fn verification(mut self, reading: Reading) -> Self {
        self.verification = Some(reading);
        self
    }

    pub fn define(mut self, signal: Signal) -> Self {
        self.signal_definitions.insert(signal.name.clone(), signal);
        self
    }

    pub fn usage(mut self, of: ResourceOf, usage: Usage) -> Self {
        self.usage.insert(of, usage);
        self
    }

    pub fn veto(mut self, name: &str, reading: Reading) -> Self {
        self.vetoes.insert(name.to_owned(), reading);
        self
    }

    pub fn inputs(&self) -> Inputs<'_> {
        Inputs {
            definitions: &self.definitions,
            rules: &self.rules,
            readings: &self.readings,
            signals: &self.signals,
            verification: self.verification.as_ref(),
            signal_definitions: &self.signal_definitions,
            usage: &self.usage,
            vetoes: &self.vetoes,
        }
    }
}

/// So many replicas, observed since the epoch, with nothing remembered.
pub fn facts(current: i64) -> Facts {
    Facts {
        current: n(current),
        observed: None,
        pods: None,
        rollout: None,
        history: History::new(at(0)),
    }
}

pub fn with_events(mut facts: Facts, events: &[(i64, i64, i64)]) -> Facts {
    let event = |(when, from, to): &(i64, i64, i64)| ScaleEvent {
        at: at(*when),
        from: n(*from),
        to: n(*to),
    };
    facts.history.events = events.iter().map(event).collect();
    facts
}

pub fn with_recommendations(mut facts: Facts, recommendations: &[(i64, i64)]) -> Facts {
    let former = |(when, replicas): &(i64, i64)| Recommendation {
        at: at(*when),
        replicas: n(*replicas),
    };
    facts.history.recommendations = recommendations.iter().map(former).collect();
    facts
}

/// A target that is there, with nobody else around.
pub fn world() -> World {
    World {
        target: Target::Present { paused: None },
        owners: Vec::new(),
        open: OpenChange::None,
        paused: Paused::default(),
        coverage: Coverage::NotNeeded,
        headroom: Vec::new(),
        budget: Budget::default(),
        approval: Approval::NotNeeded,
    }
}

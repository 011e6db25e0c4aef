//! Whether a change had the effect that it was made for.
//!
//! An increase must *achieve* its condition, a decrease must *maintain* it. Neither is judged before
//! the settle time, and nothing is achieved without fresh data (law 6).

mod relief;
mod share;

pub use relief::{Given, PodAlert, Relief, Resized, Told, judge_eviction, judge_resize, pod_alert};
pub use share::{ShareChange, ShareJudgement, judge_share, tolerance as share_tolerance};

use crate::{
    decide::Direction,
    decimal::{Decimal, plain},
    policy::{Comparator, Comparison, Query, Verification},
    signal::{Finite, Reading},
    time::{Span, Timestamp},
};
use std::cmp::Ordering;

/// What was measured when the change was proposed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Baseline {
    /// The worst value of the verification's left side.
    pub value: Option<f64>,
    /// The demand.
    pub demand: Option<Finite>,
}

impl Baseline {
    /// The baseline of a change that is verified by `verification`, from the readings of its proposal.
    pub fn measured(verification: &Verification, reading: Option<&Reading>, demand: Option<&Reading>) -> Self {
        Self {
            value: reading.and_then(|reading| worst(&verification.condition, reading)),
            demand: demand.and_then(|reading| reading.number().ok()),
        }
    }
}

/// What is known of a change's effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// It is too early.
    Wait {
        /// When the settle time, or else the deadline, is over.
        until: Timestamp,
        /// What is known so far.
        why: String,
    },
    /// The condition was achieved, or maintained to the deadline.
    Achieved {
        /// The worst value.
        value: f64,
    },
    /// A decrease did not maintain its condition.
    Broken {
        /// The worst value.
        value: f64,
    },
    /// An increase did not achieve its condition, and the demand stayed as it was.
    Ineffective {
        /// The worst value.
        value: f64,
    },
    /// An increase did not achieve its condition, but the demand moved: it says nothing of the step.
    Overtaken {
        /// The worst value.
        value: f64,
        /// The demand at the proposal.
        before: Finite,
        /// The demand now.
        demand: Finite,
    },
    /// The deadline is over and there is no answer that can be trusted.
    Inconclusive {
        /// Why not, and what would help.
        why: String,
    },
}

/// Judges a change at `now`. `reading` is that of the verification's left side, `demand` that of the
/// signal it names; `applied_at` is when the write was accepted.
///
/// - Until `applied_at + settle`, and with a reading from before that: nothing but waiting.
/// - An increase is [`Judgement::Achieved`] as soon as every series holds, with fresh data. At the
///   first pass behind the deadline, too: undoing what has just come to hold would help nobody.
/// - A decrease is [`Judgement::Broken`] at the first fresh violation, and achieved only at the
///   deadline, with fresh data.
/// - Without fresh data at the deadline it is [`Judgement::Inconclusive`]. So is an increase that fell
///   short if the demand is unknown, then or now: it can't be told from a surge.
pub fn judge(
    verification: &Verification,
    direction: Direction,
    applied_at: Timestamp,
    baseline: &Baseline,
    reading: &Reading,
    demand: Option<&Reading>,
    now: Timestamp,
) -> Judgement {
    let settled = applied_at + verification.settle;
    if now < settled {
        let why = format!(
            "what is measured before settle {} is from before the change",
            verification.settle
        );
        return Judgement::Wait { until: settled, why };
    }
    let deadline = applied_at + verification.within.max(verification.settle);
    let answer = answer(verification, reading, settled, now);
    match (direction, answer) {
        (Direction::Up, Ok(Answer { holds: true, value })) => Judgement::Achieved { value },
        (Direction::Down, Ok(Answer { holds: false, value })) => Judgement::Broken { value },
        (_, answer) if now < deadline => Judgement::Wait {
            until: deadline,
            why: so_far(verification, baseline, answer),
        },
        (Direction::Down, Ok(Answer { holds: true, value })) => Judgement::Achieved { value },
        (Direction::Up, Ok(Answer { holds: false, value })) => match surge(verification, baseline, demand, now) {
            Ok(None) => Judgement::Ineffective { value },
            Ok(Some((before, demand))) => Judgement::Overtaken { value, before, demand },
            Err(why) => Judgement::Inconclusive {
                why: format!("not achieved, and a surge can't be excluded: {why}"),
            },
        },
        (_, Err(why)) => Judgement::Inconclusive { why },
    }
}

/// What is known of a condition that a change of weights must achieve.
#[derive(Clone, Debug, PartialEq)]
pub enum Achievement {
    /// It is too early.
    Wait {
        /// When the settle time, or else the deadline, is over.
        until: Timestamp,
        /// What is known so far.
        why: String,
    },
    /// The condition holds.
    Achieved {
        /// The worst value.
        value: f64,
    },
    /// The deadline is over, and it does not hold.
    Not {
        /// The worst value.
        value: f64,
    },
    /// The deadline is over and there is no answer that can be trusted.
    Inconclusive {
        /// Why not, and what would help.
        why: String,
    },
}

/// Judges a condition that is to be achieved, whatever the demand does: weights only divide it, so a surge is no
/// reason to keep a division that did not help. Settle, deadline and freshness count as in [`judge`].
pub fn achieve(
    verification: &Verification,
    applied_at: Timestamp,
    baseline: &Baseline,
    reading: &Reading,
    now: Timestamp,
) -> Achievement {
    match judge(verification, Direction::Up, applied_at, baseline, reading, None, now) {
        Judgement::Wait { until, why } => Achievement::Wait { until, why },
        Judgement::Achieved { value } => Achievement::Achieved { value },
        _ => match answer(verification, reading, applied_at + verification.settle, now) {
            Ok(Answer { value, .. }) => Achievement::Not { value },
            Err(why) => Achievement::Inconclusive { why },
        },
    }
}

/// The least settle time that judges no sample from before the change: the time a replica takes to be
/// ready, plus the longest range in the query.
pub fn least_settle(readiness: Span, query: &Query) -> Span {
    readiness + query.longest_range
}

/// The worst value of a condition's left side: the one furthest from holding. `None` where there is
/// none but NaN.
pub fn worst(condition: &Comparison, reading: &Reading) -> Option<f64> {
    let right = condition.right.get();
    let badness = |value: f64| match condition.comparator {
        Comparator::Greater | Comparator::GreaterOrEqual => -value,
        Comparator::Less | Comparator::LessOrEqual => value,
        Comparator::Equal => (value - right).abs(),
        Comparator::NotEqual => -(value - right).abs(),
    };
    let values = reading
        .samples()
        .iter()
        .map(|sample| sample.value)
        .filter(|value| !value.is_nan());
    values.max_by(|a, b| badness(*a).total_cmp(&badness(*b)))
}

/// Whether a number moved by more than `tolerance`, a fraction of what it was. From zero, any other
/// number is a move.
pub fn moved(before: Finite, after: Finite, tolerance: Finite) -> bool {
    let (was, is) = (Decimal::of(before), Decimal::of(after));
    let (less, more) = (
        was.times(Decimal::below_one(tolerance)),
        was.times(Decimal::above_one(tolerance)),
    );
    let (low, high) = if before.get() < 0.0 { (more, less) } else { (less, more) };
    is.compare(low) == Ordering::Less || is.compare(high) == Ordering::Greater
}

/// A fresh reading, compared.
struct Answer {
    holds: bool,
    value: f64,
}

/// The reading as an answer, or why it is none.
fn answer(
    verification: &Verification,
    reading: &Reading,
    settled: Timestamp,
    now: Timestamp,
) -> Result<Answer, String> {
    let condition = &verification.condition;
    let text = &condition.left.text;
    if reading.at < settled {
        return Err(format!(
            "{text} was read before settle {} was over",
            verification.settle
        ));
    }
    let value = fresh(reading, verification.max_age, now)
        .and_then(|()| worst(condition, reading).ok_or_else(|| "no series".to_owned()));
    let value = value.map_err(|why| format!("{text} is not known: {why}"))?;
    let holds = |value: f64| condition.comparator.holds(value, condition.right.get());
    Ok(Answer {
        holds: reading.samples().iter().all(|sample| holds(sample.value)),
        value,
    })
}

/// Whether a reading is fresh, and was taken lately too.
fn fresh(reading: &Reading, max_age: Span, now: Timestamp) -> Result<(), String> {
    let age = now.since(reading.at);
    if !reading.is_fresh() {
        Err(format!("{} ({})", reading.quality(), reading.detail()))
    } else if age > max_age {
        Err(format!("read {age} ago, maxAge is {max_age}"))
    } else {
        Ok(())
    }
}

fn so_far(verification: &Verification, baseline: &Baseline, answer: Result<Answer, String>) -> String {
    let Comparison {
        left,
        comparator,
        right,
    } = &verification.condition;
    match answer {
        Ok(Answer { holds, value }) => {
            let before = baseline
                .value
                .map_or_else(String::new, |before| format!(", {} at the proposal", plain(before)));
            let holds = if holds { "holds" } else { "does not hold yet" };
            format!(
                "{} {comparator} {} {holds}: it is {}{before}",
                left.text,
                plain(right.get()),
                plain(value)
            )
        }
        Err(why) => why,
    }
}

/// The demand before and now, if it moved. `Err` says why that is not known.
fn surge(
    verification: &Verification,
    baseline: &Baseline,
    reading: Option<&Reading>,
    now: Timestamp,
) -> Result<Option<(Finite, Finite)>, String> {
    let Some(demand) = &verification.demand else {
        return Err("no demand signal is configured; set verify.demand".to_owned());
    };
    let name = &demand.signal;
    let before = baseline
        .demand
        .ok_or_else(|| format!("demand signal {name} was not known at the proposal"))?;
    let reading = reading.ok_or_else(|| format!("demand signal {name} was not read"))?;
    let after = fresh(reading, verification.max_age, now)
        .and_then(|()| reading.number().map_err(|error| error.to_string()))
        .map_err(|why| format!("demand signal {name} is not known: {why}"))?;
    Ok(moved(before, after, demand.tolerance).then_some((before, after)))
}

//! How far the ranges are filled that a decrease rests on.
//!
//! Right after an outage of Prometheus its ranges are half empty, and what is computed over them reads
//! low. So before something is taken away it is asked how many samples the fullest series of each
//! selector has, and how many it would have without a hole. The fullest, because a pod that was just
//! started has few samples and is no hole.

use super::{envelope::Answer, source::Source};
use crate::promql::{self, Reach};
use flyball_core::{
    check::Coverage,
    policy::{Law, Policy, Query, ReplicasAction},
    signal::{Finite, Labels},
    time::{Span, Timestamp},
};
use futures::{StreamExt, stream};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a measured distance of samples is used again.
const KEPT: Duration = Duration::from_secs(600);
/// How many selectors are asked about at once.
const AT_ONCE: usize = 4;

/// The distances of samples that were measured, in seconds, by source and selector. One for the whole
/// process.
#[derive(Debug, Default)]
pub struct Distances(Mutex<HashMap<(String, String), (Instant, f64)>>);

impl Distances {
    fn known(&self, source: &str, selector: &str) -> Option<f64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, distance) = known.get(&(source.to_owned(), selector.to_owned()))?;
        (at.elapsed() < KEPT).then_some(*distance)
    }

    fn learn(&self, source: &str, selector: &str, distance: f64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < KEPT);
        known.insert((source.to_owned(), selector.to_owned()), (Instant::now(), distance));
    }
}

/// The queries that a decrease of an action rests on: what it computes with, and what would forbid it.
pub fn behind<'p>(policy: &'p Policy, action: &'p ReplicasAction) -> Vec<&'p Query> {
    let (rules, signals): (Vec<&str>, Vec<&str>) = match &action.law {
        Law::Step(step) => {
            let quiet = action.when.iter().map(String::as_str);
            let asking = step.down.iter().flat_map(|down| &down.when).map(String::as_str);
            (quiet.chain(asking).collect(), Vec::new())
        }
        Law::Metrics(metrics) => (Vec::new(), metrics.signals().collect()),
    };
    let zero = action.zero.iter().map(|zero| zero.signal.as_str());
    let rules = rules.into_iter().filter_map(|name| policy.rules.get(name));
    let signals = signals.into_iter().chain(zero);
    let signals = signals.filter_map(|name| policy.signals.get(name));
    let vetoes = action.hold_down_while.iter().map(|veto| &veto.condition.left);
    rules
        .map(|rule| rule.condition.query())
        .chain(signals.map(|signal| &signal.query))
        .chain(vetoes)
        .collect()
}

/// How far the ranges of these queries are filled at `now`: of the query whose ranges are filled least.
/// `interval` is the distance of samples that the source is known for; without it, it is measured.
pub async fn of(
    source: &Source,
    distances: &Distances,
    queries: &[&Query],
    interval: Option<Span>,
    now: Timestamp,
) -> Coverage {
    // Queries by their place: a reference in the closure below would tie the pass to one thread.
    let mut reaches: BTreeMap<Reach, Vec<usize>> = BTreeMap::new();
    let mut looking_back = BTreeMap::new();
    for (place, query) in queries.iter().enumerate() {
        match promql::reaches(&query.text) {
            Ok(found) => {
                if !found.is_empty() {
                    looking_back.insert(place, false);
                }
                for reach in found {
                    reaches.entry(reach).or_default().push(place);
                }
            }
            Err(error) => return Coverage::Unknown(format!("{}: {error}", query.text)),
        }
    }
    if reaches.is_empty() {
        return Coverage::NotNeeded;
    }
    let ask = |(reach, asking)| async move { (asking, filled(source, distances, &reach, interval, now).await) };
    let asked: Vec<_> = stream::iter(reaches).map(ask).buffered(AT_ONCE).collect().await;
    let text = |place: usize| queries.get(place).map_or("", |query| query.text.as_str());
    let mut least: Option<(&str, Finite)> = None;
    for (asking, answer) in asked {
        let query = text(asking.first().copied().unwrap_or_default());
        match answer {
            Ok(Some(fraction)) => {
                looking_back.extend(asking.into_iter().map(|query| (query, true)));
                if least.is_none_or(|(_, least)| fraction < least) {
                    least = Some((query, fraction));
                }
            }
            // A selector without any sample takes no part: `... or vector(0)` is written for that.
            Ok(None) => {}
            Err(why) => return Coverage::Unknown(format!("{query}: {why}")),
        }
    }
    if let Some((place, _)) = looking_back.iter().find(|(_, found)| !**found) {
        return Coverage::Unknown(format!("{}: there is no sample in its range", text(*place)));
    }
    least.map_or(Coverage::NotNeeded, |(query, fraction)| Coverage::Filled {
        query: query.to_owned(),
        fraction,
    })
}

/// How far one stretch is filled; `None` where nothing is in it.
async fn filled(
    source: &Source,
    distances: &Distances,
    reach: &Reach,
    interval: Option<Span>,
    now: Timestamp,
) -> Result<Option<Finite>, String> {
    let Some((labels, count)) = one(ask(source, &reach.fullest(), now).await?)? else {
        return Ok(None);
    };
    let known = interval
        .map(seconds)
        .or_else(|| distances.known(source.name(), &reach.selector));
    let distance = if let Some(distance) = known {
        distance
    } else {
        let measured = one(ask(source, &reach.distance(&labels), now).await?)?;
        let Some((_, measured)) = measured.filter(|(_, distance)| *distance > 0.0) else {
            return Err(format!(
                "{} has too few samples to tell how far apart they are; wait, or set spec.scrapeInterval of the MetricSource",
                reach.selector
            ));
        };
        distances.learn(source.name(), &reach.selector, measured);
        measured
    };
    Ok(Finite::new(fraction(count, seconds(reach.range), distance)))
}

/// The part that `count` samples are of those that a range has without holes.
///
/// One is not missed: the newest may be on its way, and the oldest has just left.
fn fraction(count: f64, range: f64, distance: f64) -> f64 {
    let expected = ((range / distance).floor() - 1.0).max(1.0);
    (count / expected).clamp(0.0, 1.0)
}

#[allow(clippy::cast_precision_loss)] // Spans end long before 2^52 ms.
fn seconds(span: Span) -> f64 {
    span.as_millis() as f64 / 1000.0
}

async fn ask(source: &Source, query: &str, now: Timestamp) -> Result<Answer, String> {
    let answer = source.instant(query, now).await.map_err(|error| error.to_string())?;
    match answer.warnings.first() {
        // What was counted of a part says nothing of the whole.
        Some(warning) => Err(format!("the server warned: {warning}")),
        None => Ok(answer),
    }
}

/// The one element of an answer, or none.
fn one(answer: Answer) -> Result<Option<(Labels, f64)>, String> {
    let mut samples = answer.samples.into_iter();
    match (samples.next(), samples.next()) {
        (None, _) => Ok(None),
        (Some(sample), None) if sample.value.is_finite() => Ok(Some((sample.labels, sample.value))),
        (Some(_), None) => Err("the server counted no finite number of samples".to_owned()),
        (Some(_), Some(_)) => Err("the server answered several series where one was asked for".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_core::policy::{Step, Veto, Zero};

    #[test]
    fn one_sample_is_not_missed() {
        let check = |count: f64, range: f64, distance: f64, expect: f64| {
            let seen = fraction(count, range, distance);
            assert!((seen - expect).abs() < 1e-9, "{count} in {range} by {distance}: {seen}");
        };
        // 20 in five minutes of 15 s, or 21 where both ends count.
        check(21.0, 300.0, 15.0, 1.0);
        check(20.0, 300.0, 15.0, 1.0);
        check(19.0, 300.0, 15.0, 1.0);
        check(17.0, 300.0, 15.0, 17.0 / 19.0);
        check(6.0, 300.0, 15.0, 6.0 / 19.0);
        check(0.0, 300.0, 15.0, 0.0);
        // A minute of 15 s: four, three are enough, two are not.
        check(3.0, 60.0, 15.0, 1.0);
        check(2.0, 60.0, 15.0, 2.0 / 3.0);
        // A range of two samples, and one that is shorter than their distance.
        check(1.0, 60.0, 30.0, 1.0);
        check(1.0, 15.0, 60.0, 1.0);
        // Measured a little short.
        check(19.0, 300.0, 14.3, 1.0);
    }

    #[test]
    fn a_decrease_rests_on_what_it_computes_with_and_what_would_forbid_it() {
        let check = |replicas: &str, change: &dyn Fn(&mut ReplicasAction), expect: &[&str]| {
            let spec = format!(
                r#"{{
                    "sourceRef": {{"name": "p"}},
                    "targetRef": {{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
                    "rules": [
                        {{"alert": "Slow", "expr": "rate(slow[5m]) > 1"}},
                        {{"alert": "Idle", "expr": "rate(idle[5m]) < 1"}},
                        {{"alert": "Other", "expr": "rate(other[5m]) > 1"}}
                    ],
                    "signals": [
                        {{"name": "demand", "expr": "sum(rate(demand[5m]))"}},
                        {{"name": "queue", "expr": "sum(queue)"}}
                    ],
                    "actions": [{{"name": "scale", "when": ["Slow"], "replicas": {replicas}}}]
                }}"#
            );
            let spec = serde_json::from_str(&spec).expect("a spec");
            let mut policy = crate::validate::policy(&spec).expect("a valid policy");
            change(&mut policy.actions[0]);
            let queries = behind(&policy, &policy.actions[0]);
            let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
            assert_eq!(texts, expect, "{replicas}");
        };
        let step = r#"{"min": 1, "max": 9, "step": {"pods": 1, "down": {"pods": 1, "after": "10m"}}}"#;
        check(step, &|_| {}, &["rate(slow[5m])"]);
        let idle = |action: &mut ReplicasAction| {
            if let Law::Step(Step { down: Some(down), .. }) = &mut action.law {
                down.when = vec!["Idle".to_owned()];
            }
        };
        check(step, &idle, &["rate(slow[5m])", "rate(idle[5m])"]);
        let veto = |action: &mut ReplicasAction| {
            action.hold_down_while = vec![Veto {
                name: "upstream".to_owned(),
                condition: promql::comparison("sum(rate(errors[1m])) > 1").expect("a comparison"),
                max_age: Span::from_secs(60),
            }];
        };
        check(step, &veto, &["rate(slow[5m])", "sum(rate(errors[1m]))"]);
        let ratio = r#"{"min": 1, "max": 9, "ratio": {"signal": "demand", "target": 10}}"#;
        check(ratio, &|_| {}, &["sum(rate(demand[5m]))"]);
        let zero = |action: &mut ReplicasAction| {
            action.zero = Some(Zero {
                signal: "queue".to_owned(),
                activation: Finite::new(0.0).expect("finite"),
                cooldown: Span::from_secs(300),
            });
        };
        check(ratio, &zero, &["sum(rate(demand[5m]))", "sum(queue)"]);
    }
}

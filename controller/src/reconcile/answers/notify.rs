//! Posts alerts to Alertmanager, as Prometheus does: again and again while they fire, with an end that lies ahead, so that
//! those of a controller that is gone end by themselves; and once more with their end when it has come.

use crate::{
    observe::source::Posted,
    reconcile::{Pass, memory::Memory},
};
use flyball_core::{
    evaluate::{Alert, RuleState},
    policy::{Answer, Notify},
    signal::Labels,
    time::{Span, Timestamp},
};
use std::collections::BTreeMap;

/// While nothing changes alerts are posted again after so long, as Prometheus does; also after a post that failed.
const AGAIN: Span = Span::from_secs(60);
/// They end so many times that after the last post.
const LASTS: u64 = 4;
/// How many alerts of an answer are posted.
const MOST: usize = 100;

/// What was posted of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// When, or when it was tried last.
    pub at: Timestamp,
    /// Whether it was taken.
    pub taken: bool,
    /// What fired then: since when, by labels.
    pub firing: BTreeMap<Labels, (Timestamp, Labels)>,
}

pub(super) async fn run(pass: &Pass<'_>, answer: &Answer, notify: &Notify, memory: &mut Memory) {
    let now = pass.seen.now;
    let known = memory.sent.get(&answer.name).cloned().unwrap_or_default();
    let firing = firing(answer, notify, &memory.rules, (&pass.namespace, &pass.name));
    let Some(posted) = due(&known, &firing, pass.policy.interval, now) else {
        return;
    };
    let sent = match &pass.seen.source {
        Ok(source) => source.post(&posted).await.map_err(|error| error.to_string()),
        Err(problem) => Err(problem.to_string()),
    };
    pass.ctx.recorder.posted(pass.object, posted.len(), sent.as_ref().err());
    let taken = sent.is_ok();
    let sent = Sent {
        at: now,
        taken,
        // What ended is posted until it is taken.
        firing: if taken {
            firing
        } else {
            known.firing.into_iter().chain(firing).collect()
        },
    };
    if sent.firing.is_empty() {
        memory.sent.remove(&answer.name);
    } else {
        memory.sent.insert(answer.name.clone(), sent);
    }
}

/// The alerts that fire, as Alertmanager is to know them.
fn firing(
    answer: &Answer,
    notify: &Notify,
    rules: &BTreeMap<String, RuleState>,
    (namespace, policy): (&str, &str),
) -> BTreeMap<Labels, (Timestamp, Labels)> {
    let alerts = answer
        .when
        .iter()
        .filter_map(|name| rules.get(name))
        .flat_map(RuleState::firing);
    let of = |alert: &Alert| {
        let mut labels = Labels::from([
            ("namespace".to_owned(), namespace.to_owned()),
            ("flyball_policy".to_owned(), policy.to_owned()),
        ]);
        labels.extend(alert.labels.clone());
        labels.extend(notify.labels.clone());
        (labels, (alert.active_at, alert.annotations.clone()))
    };
    alerts.take(MOST).map(of).collect()
}

/// What is to be posted now; `None`: nothing.
fn due(
    known: &Sent,
    firing: &BTreeMap<Labels, (Timestamp, Labels)>,
    interval: Span,
    now: Timestamp,
) -> Option<Vec<Posted>> {
    let same = known.firing.keys().eq(firing.keys());
    if firing.is_empty() && known.firing.is_empty() {
        return None;
    }
    let rested = now.since(known.at) >= AGAIN;
    // A change is told at once, unless the last try failed just now.
    if !rested && (same || !known.taken && known.at != Timestamp::default()) {
        return None;
    }
    let lasts = Span::from_millis(AGAIN.max(interval).as_millis() * LASTS);
    let time = |at: Timestamp| jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
    let alert = |labels: &Labels, (since, annotations): &(Timestamp, Labels), end: Timestamp| Posted {
        labels: labels.clone(),
        annotations: annotations.clone(),
        starts_at: time(*since),
        ends_at: time(end),
    };
    let now_firing = firing
        .iter()
        .map(|(labels, alert_of)| alert(labels, alert_of, now + lasts));
    let ended = known.firing.iter().filter(|(labels, _)| !firing.contains_key(*labels));
    let ended = ended.map(|(labels, alert_of)| alert(labels, alert_of, now));
    Some(now_firing.chain(ended).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn alerts(names: &[&str]) -> BTreeMap<Labels, (Timestamp, Labels)> {
        let of = |name: &&str| {
            let labels = Labels::from([("alertname".to_owned(), (*name).to_owned())]);
            (labels, (at(50), Labels::new()))
        };
        names.iter().map(of).collect()
    }

    /// The names with how long after `now` each ends.
    fn check(known: Option<(i64, bool, &[&str])>, firing: &[&str], now: i64, expect: Option<&[(&str, i64)]>) {
        let known = known.map_or_else(Sent::default, |(sent, taken, firing)| Sent {
            at: at(sent),
            taken,
            firing: alerts(firing),
        });
        let found = due(&known, &alerts(firing), Span::from_secs(15), at(now));
        let found = found.map(|posted| -> Vec<(String, i64)> {
            let of = |alert: &Posted| {
                assert_eq!(alert.starts_at.as_second(), 50);
                (alert.labels["alertname"].clone(), alert.ends_at.as_second() - now)
            };
            posted.iter().map(of).collect()
        });
        let expect = expect
            .map(|all| -> Vec<(String, i64)> { all.iter().map(|(name, ends)| ((*name).to_owned(), *ends)).collect() });
        assert_eq!(found, expect);
    }

    #[test]
    fn alerts_are_posted_while_they_fire_and_when_they_end() {
        check(None, &[], 100, None);
        check(None, &["a"], 100, Some(&[("a", 240)]));
        check(Some((100, true, &["a"])), &["a"], 159, None);
        check(Some((100, true, &["a"])), &["a"], 160, Some(&[("a", 240)]));
        check(
            Some((100, true, &["a"])),
            &["a", "b"],
            101,
            Some(&[("a", 240), ("b", 240)]),
        );
        check(Some((100, true, &["a"])), &[], 101, Some(&[("a", 0)]));
        check(
            Some((100, true, &["a", "b"])),
            &["b"],
            101,
            Some(&[("b", 240), ("a", 0)]),
        );
    }

    #[test]
    fn a_post_that_failed_is_tried_again_after_a_while() {
        check(Some((100, false, &["a"])), &["a", "b"], 130, None);
        check(Some((100, false, &["a"])), &[], 130, None);
        check(Some((100, false, &["a"])), &[], 160, Some(&[("a", 0)]));
    }
}

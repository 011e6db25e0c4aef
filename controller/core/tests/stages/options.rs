//! Short words for the options of an action: zero, spikes, schedules, fallbacks, vetoes, pods.

use crate::build::{Observed, at, average, comparison, finite, n, ratio, secs};
use flyball_core::{
    check::Headroom,
    decide::{Decision, Facts, History, Pod, PodPhase, PodReady, Pods, decide},
    policy::{Comparator, Fallback, ReplicasAction, Schedule, Spike, Veto, Window, Zero},
    time::Timestamp,
};
use std::{collections::BTreeMap, sync::Arc};

/// From the first second to before the last.
#[derive(Debug)]
struct Between(i64, i64, String);

impl Window for Between {
    fn contains(&self, now: Timestamp) -> bool {
        at(self.0) <= now && now < at(self.1)
    }

    fn text(&self) -> &str {
        &self.2
    }
}

pub fn schedule(name: &str, from: i64, to: i64, replicas: i64) -> Schedule {
    Schedule {
        name: name.to_owned(),
        window: Arc::new(Between(from, to, format!("{from} to {to}"))),
        replicas: n(replicas),
    }
}

/// At 100 of `load` for each replica, from 0 to 20, by `jobs` above 0 and with a cooldown of 5m.
pub fn to_zero() -> ReplicasAction {
    let mut action = ratio(average(100.0));
    action.bounds.min = n(0);
    action.zero = Some(Zero {
        signal: "jobs".to_owned(),
        activation: finite(0.0),
        cooldown: secs(300),
    });
    action
}

/// From twice the present number on, for a minute.
pub fn spike() -> Spike {
    Spike {
        factor: finite(2.0),
        hold: secs(60),
    }
}

pub fn fallback(after: u64, replicas: i64) -> Fallback {
    Fallback {
        after: secs(after),
        replicas: n(replicas),
    }
}

/// `latency > 0.9`, under a name.
pub fn veto(name: &str) -> Veto {
    Veto {
        name: name.to_owned(),
        condition: comparison(Comparator::Greater, 0.9),
        max_age: secs(60),
    }
}

/// So many pods that are ready, and so many that are not.
pub fn pods(ready: usize, unready: usize) -> Pods {
    let pod = |index: usize, ready: bool| Pod {
        name: format!("pod-{index}"),
        phase: PodPhase::Running,
        terminating: false,
        ready: Some(PodReady { ready, since: at(0) }),
        started_at: Some(at(0)),
        requests: BTreeMap::new(),
    };
    Pods((0..ready + unready).map(|index| pod(index, index < ready)).collect())
}

/// Somebody who allows so many replicas, or does not say.
pub fn headroom(by: &str, limit: Option<i64>) -> Headroom {
    Headroom {
        by: by.to_owned(),
        limit: limit.map(n).ok_or_else(|| "it can't be listed".to_owned()),
        arithmetic: "10 - 2 = 8".to_owned(),
    }
}

pub fn with_history(mut facts: Facts, change: impl FnOnce(&mut History)) -> Facts {
    change(&mut facts.history);
    facts
}

/// One pass: where it goes, and why.
pub fn pass(
    action: &ReplicasAction,
    observed: &Observed,
    facts: &Facts,
    seconds: i64,
) -> (Option<i64>, String, History) {
    let (decision, history) = decide(action, &observed.inputs(), facts, at(seconds));
    match decision {
        Decision::Propose(proposal) => {
            let why = format!("{}: {}", proposal.reason, proposal.arithmetic.join(", "));
            (Some(i64::from(proposal.to.get())), why, history)
        }
        Decision::Stay { reason, arithmetic } => (None, format!("{reason}: {}", arithmetic.join(", ")), history),
    }
}

/// Passes one after the other, each of `(seconds, observed)`, with whatever is proposed carried out.
/// Gives the number after each pass.
pub fn run(action: &ReplicasAction, mut facts: Facts, passes: Vec<(i64, Observed)>) -> Vec<i64> {
    let mut numbers = Vec::new();
    for (seconds, observed) in passes {
        let (to, _, history) = pass(action, &observed, &facts, seconds);
        facts.history = history;
        if let Some(to) = to {
            facts.current = n(to);
        }
        numbers.push(i64::from(facts.current.get()));
    }
    numbers
}

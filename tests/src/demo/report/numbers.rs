//! The numbers of the report, from what was seen. Pure.

use super::audit::{Count, Request};
use crate::demo::{
    setting::{ALERT, Part, Setting},
    world::{Chapter, World, phase, seconds},
};
use flyball_crds::{Change, Phase};
use jiff::Timestamp;
use kube::ResourceExt;

/// How fast the loop was, from a rule that is due to fire to the accepted write.
#[derive(Clone, Debug, PartialEq)]
pub struct Reaction {
    /// In which chapter.
    pub part: Part,
    /// The Change.
    pub change: String,
    /// When the breach was first seen, and `for` over.
    pub due: Timestamp,
    /// Seconds from there to the proposal.
    pub to_proposal: f64,
    /// Seconds from the proposal to the accepted write.
    pub to_write: f64,
}

/// The reactions to the rule: one for each increase that was written.
pub fn reactions(world: &World, setting: &Setting) -> Vec<Reaction> {
    let all = Part::ALL
        .into_iter()
        .flat_map(|part| world.chapter(part).changes.values().map(move |change| (part, change)));
    let mut found: Vec<Reaction> = all
        .filter_map(|(part, change)| reaction(part, change, setting))
        .collect();
    found.sort_by_key(|reaction| reaction.due);
    found
}

fn reaction(part: Part, change: &Change, setting: &Setting) -> Option<Reaction> {
    let alerts = change.spec.evidence.alerts.iter();
    let ours = alerts.filter(|alert| alert.labels.get("alertname").is_some_and(|name| name == ALERT));
    let active = ours.filter_map(|alert| Some(alert.active_at.as_ref()?.0)).min()?;
    let applied = change.status.as_ref()?.applied_at.as_ref()?.0;
    let due = active.checked_add(setting.times.hold).ok()?;
    let proposed = change.spec.proposed_at.0;
    Some(Reaction {
        part,
        change: change.name_any(),
        due,
        to_proposal: seconds(due, proposed),
        to_write: seconds(proposed, applied),
    })
}

/// What one committed change cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// The Change.
    pub change: String,
    /// From the proposal to its end, in seconds.
    pub lasted: f64,
    /// The requests about its namespace in that time.
    pub count: Count,
}

/// The cost of each committed change.
pub fn costs(world: &World, requests: &[Request]) -> Vec<Cost> {
    let mut found = Vec::new();
    for part in Part::ALL {
        let committed = world
            .chapter(part)
            .changes
            .values()
            .filter(|change| phase(change) == Phase::Committed);
        for change in committed {
            let Some(closed) = closed_at(change) else { continue };
            let proposed = change.spec.proposed_at.0;
            let slack = jiff::SignedDuration::from_secs(1);
            let (from, to) = (proposed - slack, closed + slack);
            let its = requests
                .iter()
                .filter(|r| r.namespace == part.namespace() && r.at >= from && r.at <= to);
            found.push(Cost {
                change: change.name_any(),
                lasted: seconds(proposed, closed),
                count: Count::of(its),
            });
        }
    }
    found
}

/// When a Change was closed.
pub fn closed_at(change: &Change) -> Option<Timestamp> {
    Some(change.status.as_ref()?.closed_at.as_ref()?.0)
}

/// The longest stretch in which nothing moved and no Change was open.
pub fn quiet(world: &World, end: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let mut busy: Vec<(Timestamp, Timestamp)> = vec![(end, end)];
    for chapter in &world.chapters {
        busy.extend(chapter.moves.iter().map(|moved| (moved.at, moved.at)));
        busy.extend(chapter.changes.values().map(|change| {
            let open = change.spec.sequence > 0;
            let proposed = change.spec.proposed_at.0;
            (
                proposed,
                if open {
                    closed_at(change).unwrap_or(end)
                } else {
                    proposed
                },
            )
        }));
        busy.extend(replicas_moved(chapter));
    }
    busy.sort_unstable();
    let (mut free, mut longest) = (world.began, None);
    for (from, to) in busy {
        if longest.is_none_or(|(a, b)| seconds(a, b) < seconds(free, from)) {
            longest = Some((free, from));
        }
        free = free.max(to);
    }
    longest.filter(|(from, to)| seconds(*from, *to) >= 10.0)
}

fn replicas_moved(chapter: &Chapter) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let pairs = chapter.samples.windows(2);
    pairs.filter_map(|pair| {
        if let [a, b] = pair {
            ((a.spec, a.ready) != (b.spec, b.ready)).then_some((b.at, b.at))
        } else {
            None
        }
    })
}

/// The requests of the quiet stretch, and how many a minute that is.
pub fn in_quiet(world: &World, requests: &[Request], end: Timestamp) -> Option<(f64, Count)> {
    let (from, to) = quiet(world, end)?;
    let its = requests.iter().filter(|request| request.at >= from && request.at < to);
    Some((seconds(from, to), Count::of(its)))
}

/// The worst and the last value of the rule's left side.
pub fn latencies(chapter: &Chapter) -> Option<(f64, f64)> {
    let values = || chapter.samples.iter().filter_map(|sample| sample.measured.latency);
    Some((values().reduce(f64::max)?, values().next_back()?))
}

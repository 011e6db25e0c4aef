//! Room: quota and nodes on the way up, disruption budgets on the way down.

use super::{Finding, Headroom};
use crate::{decide::Direction, policy::Replicas};

/// Up to the smallest of the known limits, down to the largest.
///
/// A limit that is not known does not keep an increase back: it takes nothing away, and the API server
/// and the scheduler have their say anyway. It does keep a decrease back (law 9).
///
/// A number outside of its bounds has to pass here, too: the quota is not larger because `min` is. It
/// then goes as far towards the bound as there is room, and stops short of it.
pub(super) fn headroom(from: Replicas, to: Replicas, direction: Direction, limits: &[Headroom]) -> Finding {
    let unknown: Vec<String> = limits
        .iter()
        .filter_map(|limit| {
            let why = limit.limit.as_ref().err()?;
            Some(format!("what {} allows is not known: {why}", limit.by))
        })
        .collect();
    let unknown = unknown.join("; ");
    if direction == Direction::Down && !unknown.is_empty() {
        return Finding::Refuse(format!("{unknown}; nothing is taken away until it is"));
    }
    let noted = |what: String| {
        if unknown.is_empty() {
            what
        } else {
            format!("{what}; {unknown}")
        }
    };
    let Some((most, limit)) = narrowest(direction, limits) else {
        return Finding::Pass(noted("no limit is known".to_owned()));
    };
    let Headroom { by, arithmetic, .. } = limit;
    let (allowed, what, way_out) = match direction {
        Direction::Up => (
            to.min(most),
            format!("{by} has room for {most} replicas ({arithmetic})"),
            "make room to allow more",
        ),
        Direction::Down => (
            to.max(most),
            format!("{by} needs {most} replicas ({arithmetic})"),
            "lower it to allow fewer",
        ),
    };
    if Direction::between(from, allowed) != Some(direction) {
        Finding::Refuse(noted(format!("{what}, and there are {from}; {way_out}")))
    } else if allowed == to {
        Finding::Pass(noted(what))
    } else {
        Finding::Clamp(allowed, noted(format!("{to} asked for, {allowed} allowed: {what}")))
    }
}

/// The limit that counts of those that are known.
pub(super) fn narrowest(direction: Direction, limits: &[Headroom]) -> Option<(Replicas, &Headroom)> {
    let known = limits
        .iter()
        .filter_map(|limit| limit.limit.as_ref().ok().map(|replicas| (*replicas, limit)));
    match direction {
        Direction::Up => known.min_by_key(|(replicas, _)| *replicas),
        Direction::Down => known.max_by_key(|(replicas, _)| *replicas),
    }
}

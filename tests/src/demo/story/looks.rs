//! How a step is looked for in a chapter, and what there is where it has not come.

use super::{Seen, state_name};
use crate::demo::world::{Chapter, phase};
use flyball_crds::{AlertState, Change, CheckVerdict, Phase};
use kube::ResourceExt;

pub(super) fn reached(chapter: &Chapter, alert: &str, states: &[AlertState]) -> Seen {
    let found = chapter
        .moves
        .iter()
        .find(|moved| moved.alert == alert && states.contains(&moved.state));
    found.map_or_else(
        || {
            Seen::NotYet(format!(
                "{alert} is {}; {}",
                state_name(chapter.alert(alert).0),
                measured(chapter)
            ))
        },
        |moved| {
            let pending = moved.state == AlertState::Pending;
            Seen::Came(moved.since.filter(|_| pending).unwrap_or(moved.at), String::new())
        },
    )
}

pub(super) fn applied(chapter: &Chapter, change: Option<&Change>) -> Seen {
    let at = change.and_then(|change| Some((change, change.status.as_ref()?.applied_at.as_ref()?.0)));
    match (at, change) {
        (Some((change, at)), _) => Seen::Came(at, arrow(change)),
        (None, Some(change)) if !phase(change).is_open() => Seen::Wrong(stands(change)),
        _ => Seen::NotYet(doing(chapter)),
    }
}

/// Superseded is no end: a larger step took over and is the one to look at.
pub(super) fn closed(chapter: &Chapter, change: Option<&Change>, wanted: Phase) -> Seen {
    let Some(change) = change else {
        return Seen::NotYet(doing(chapter));
    };
    let phase = phase(change);
    if phase == wanted {
        let at = change.status.as_ref().and_then(|status| status.closed_at.as_ref());
        return Seen::Came(at.map_or(change.spec.proposed_at.0, |at| at.0), arrow(change));
    }
    if phase.is_open() || phase == Phase::Superseded {
        Seen::NotYet(stands(change))
    } else {
        Seen::Wrong(stands(change))
    }
}

pub(super) fn ineffective(chapter: &Chapter, change: Option<&Change>) -> Seen {
    let Some(change) = change else {
        return Seen::NotYet(doing(chapter));
    };
    let verdict = change.status.as_ref().and_then(|status| status.verdict.as_ref());
    match verdict {
        Some(verdict) if verdict.result == "Ineffective" => {
            let at = verdict.at.as_ref().map_or(change.spec.proposed_at.0, |at| at.0);
            Seen::Came(at, verdict.message.clone())
        }
        _ if phase(change).is_open() => Seen::NotYet(stands(change)),
        _ => Seen::Wrong(stands(change)),
    }
}

pub(super) fn decision_refused_by(chapter: &Chapter, name: &str) -> bool {
    let actions = chapter
        .policy
        .iter()
        .filter_map(|policy| policy.status.as_ref())
        .flat_map(|status| &status.actions);
    let mut checks = actions
        .filter_map(|action| action.last_decision.as_ref())
        .flat_map(|decision| &decision.checks);
    checks.any(|check| check.name == name && check.verdict == CheckVerdict::Refused)
}

pub(super) fn arrow(change: &Change) -> String {
    format!("{} -> {}", change.spec.before, change.spec.after)
}

pub(super) fn stands(change: &Change) -> String {
    let message = change
        .status
        .as_ref()
        .map(|status| status.message.as_str())
        .unwrap_or_default();
    format!(
        "Change {} ({}) is {:?} {message}",
        change.name_any(),
        arrow(change),
        phase(change)
    )
    .trim_end()
    .to_owned()
}

pub(super) fn load(chapter: &Chapter) -> String {
    let load = chapter.last().and_then(|sample| sample.measured.load);
    load.map_or_else(|| "an unknown load".to_owned(), |load| format!("{load:.0} requests/s"))
}

pub(super) fn measured(chapter: &Chapter) -> String {
    let latency = chapter
        .latency()
        .map_or_else(|| "unknown".to_owned(), |value| format!("{value:.2} s"));
    format!("latency is {latency} at {}", load(chapter))
}

pub(super) fn doing(chapter: &Chapter) -> String {
    let Some(status) = chapter.policy.as_ref().and_then(|policy| policy.status.as_ref()) else {
        return "the policy has no status: the controller has not taken it up".to_owned();
    };
    format!("the policy is {} ({})", status.doing, status.why)
}

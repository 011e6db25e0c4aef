//! One line for each transition, for logs and pipes.

use crate::{
    cli::{
        get::tree::phase_of,
        moves,
        screen::{instant, plain},
    },
    clock::from_micro_time,
};
use flyball_core::time::Timestamp;
use flyball_crds::{Change, ConditionType, FeedbackPolicy};
use kube::ResourceExt;

/// What changed about a policy; `None` where there was, or is, none.
pub fn of_policy(before: Option<&FeedbackPolicy>, after: Option<&FeedbackPolicy>, now: Timestamp) -> Vec<String> {
    let Some(policy) = after.or(before) else {
        return Vec::new();
    };
    let head = format!(
        "{} policy {}/{}",
        instant_of_day(now),
        policy.namespace().unwrap_or_default(),
        policy.name_any()
    );
    let told = match (before, after) {
        (Some(_), None) => vec!["deleted".to_owned()],
        (None, Some(policy)) => vec![format!(
            "{:?} {}/{}: {}",
            policy.spec.mode,
            plain(&policy.spec.target_ref.kind),
            plain(&policy.spec.target_ref.name),
            doing(policy)
        )],
        (Some(before), Some(after)) => differences(before, after),
        (None, None) => Vec::new(),
    };
    told.into_iter().map(|told| format!("{head}  {told}")).collect()
}

fn differences(before: &FeedbackPolicy, after: &FeedbackPolicy) -> Vec<String> {
    let mut told = Vec::new();
    if before.spec != after.spec {
        let suspended = if after.spec.suspend { ", suspended" } else { "" };
        let generation = after.metadata.generation.unwrap_or_default();
        told.push(format!(
            "edited: generation {generation}, {:?}{suspended}",
            after.spec.mode
        ));
    }
    let (old, new) = (
        before.status.clone().unwrap_or_default(),
        after.status.clone().unwrap_or_default(),
    );
    if old.alerts != new.alerts {
        let or_none = |text: &str| {
            if text.is_empty() {
                "none".to_owned()
            } else {
                plain(text)
            }
        };
        told.push(format!(
            "alerts: {} (was {})",
            or_none(&new.alerts),
            or_none(&old.alerts)
        ));
    }
    if ready(before) != ready(after) {
        told.push(format!(
            "ready: {}",
            ready(after).unwrap_or_else(|| "unknown".to_owned())
        ));
    }
    if old.doing != new.doing {
        let was = if old.doing.is_empty() {
            String::new()
        } else {
            format!(" (was {})", plain(&old.doing))
        };
        let why = if new.why.is_empty() {
            String::new()
        } else {
            format!(": {}", plain(&new.why))
        };
        told.push(format!("{}{was}{why}", plain(&new.doing)));
    }
    told
}

fn doing(policy: &FeedbackPolicy) -> String {
    match &policy.status {
        Some(status) if !status.doing.is_empty() => format!("{}: {}", plain(&status.doing), plain(&status.why)),
        _ => "not seen by a controller yet".to_owned(),
    }
}

fn ready(policy: &FeedbackPolicy) -> Option<String> {
    let conditions = &policy.status.as_ref()?.conditions;
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str())?;
    let why = if ready.status == "True" {
        String::new()
    } else {
        format!(": {}", plain(&ready.message))
    };
    Some(format!("{}, {}{why}", ready.status, plain(&ready.reason)))
}

/// What changed about a Change; `None` where there was, or is, none.
pub fn of_change(before: Option<&Change>, after: Option<&Change>, now: Timestamp) -> Vec<String> {
    let Some(change) = after.or(before) else {
        return Vec::new();
    };
    let moved = change.spec.weights.as_ref();
    let head = format!(
        "{} change {}/{}  {}{}",
        instant_of_day(now),
        change.namespace().unwrap_or_default(),
        change.name_any(),
        moves::of_change(change),
        moved.map_or_else(String::new, |moved| format!(" ({:?})", moved.why))
    );
    let why = |change: &Change| {
        let said = change
            .status
            .as_ref()
            .map(|status| status.message.clone())
            .filter(|said| !said.is_empty());
        plain(&said.unwrap_or_else(|| change.spec.reason.clone()))
    };
    // A record without a status is not finished yet, and says nothing.
    match (before.and_then(phase_of), after.map(phase_of)) {
        (_, None) => vec![format!("{head}  deleted")],
        (Some(was), Some(Some(now))) if was == now && realised(before) != realised(after) => {
            vec![format!("{head}  the traffic follows: every backend has its share")]
        }
        (None, Some(Some(now))) => vec![format!("{head}  {now:?}: {}", why(change))],
        (Some(was), Some(Some(now))) if was != now => vec![format!("{head}  {now:?} (was {was:?}): {}", why(change))],
        _ => Vec::new(),
    }
}

/// Since when the traffic is shared as it was meant, where weights are moved.
fn realised(change: Option<&Change>) -> Option<Timestamp> {
    let realised = change?.status.as_ref()?.realised_at.as_ref();
    realised.map(from_micro_time)
}

/// Whether a Change belongs into the first look: an open one, or one that ended within the last minutes.
pub fn is_recent(change: &Change, now: Timestamp) -> bool {
    let ended = change
        .status
        .as_ref()
        .and_then(|status| status.closed_at.as_ref())
        .map(from_micro_time);
    ended.is_none_or(|at| now.since(at).as_millis() < 5 * 60_000)
}

/// With the day always: a log outlives it.
fn instant_of_day(now: Timestamp) -> String {
    instant(now, Timestamp::from_millis(i64::MIN)).replacen(' ', "T", 1)
}

//! Whether evidence is taken now, and from which pod.
//!
//! What happened before is what matters: so a pair's first half is what an alert led to before the Change was proposed,
//! pending alerts included. A capture at the time of the Change would be too late (the write is not held up for it), and one of
//! each pass would cost the pods all day.

use crate::{
    evaluate::{AlertPhase, RuleState},
    policy::{Capture, Comparator},
    time::{Span, Timestamp},
};

/// How long before a Change evidence may be from and count as what was before it.
const STILL_BEFORE: Span = Span::from_secs(15 * 60);
/// The pause after a failure, and how often it is tried in all.
const RETRY: Span = Span::from_secs(60);
/// How often it is tried before the next alert has to wait its turn.
pub const CAPTURE_TRIES: u32 = 3;

/// In regard to what evidence is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureMoment {
    /// An alert.
    Alert,
    /// The first half of a pair.
    Before,
    /// The second half of a pair.
    After,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureHistory {
    /// When something was last begun for an alert.
    pub alert_at: Option<Timestamp>,
    /// When a pair was last begun.
    pub pair_at: Option<Timestamp>,
    /// When anything was last begun.
    pub tried_at: Option<Timestamp>,
    /// How often it was begun without success since it last succeeded. One that nobody saw end counts.
    pub failed: u32,
    /// The last evidence for an alert that there is and belongs to no Change: when it was begun.
    pub unpaired: Option<Timestamp>,
    /// The Change of the last pair.
    pub change: Option<String>,
    /// From which pod its first half is.
    pub pod: Option<String>,
    /// Whether its second half is still to be taken.
    pub after_due: bool,
}

/// A running pod of the target from which evidence can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturePod {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
}

/// A Change of the policy that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeforeOf {
    /// Its name.
    pub change: String,
    /// When it was proposed.
    pub proposed_at: Timestamp,
}

/// What a decision rests on.
#[derive(Clone, Debug)]
pub struct CaptureFacts<'a> {
    /// The rules that drive it, in the order written, with what they look for.
    pub rules: Vec<(&'a RuleState, Comparator)>,
    /// The newest open Change of the policy.
    pub open: Option<BeforeOf>,
    /// Whether the Change of the last pair is closed.
    pub ended: bool,
    /// The pods, by name.
    pub pods: &'a [CapturePod],
}

/// What is to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureOrder {
    /// In regard to what.
    pub moment: CaptureMoment,
    /// From which pod.
    pub pod: String,
    /// The Change that it belongs to.
    pub change: Option<String>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureDecision {
    /// Nothing.
    Nothing,
    /// Something would be taken, but there is no pod to take it from.
    NoPod,
    /// This is taken.
    Take(CaptureOrder),
    /// What there is already, unpaired, is the first half of this Change's pair.
    Pair(String),
    /// The second half of the pair is given up.
    GiveUp,
}

/// Decides on one action, while nothing of the policy is being taken.
pub fn decide_capture(
    capture: &Capture,
    history: &CaptureHistory,
    facts: &CaptureFacts<'_>,
    now: Timestamp,
) -> CaptureDecision {
    let rested = history.tried_at.is_none_or(|at| now.since(at) >= RETRY);
    if history.after_due && facts.ended {
        if history.failed >= CAPTURE_TRIES {
            return CaptureDecision::GiveUp;
        }
        if history.failed > 0 && !rested {
            return CaptureDecision::Nothing;
        }
        return take(CaptureMoment::After, history.change.clone(), pod_after(history, facts));
    }
    let is_due = |last: Option<Timestamp>| last.is_none_or(|last| now.since(last) >= capture.every);
    if let Some(open) = facts.open.as_ref().filter(|_| capture.at_changes && !history.after_due)
        && history.change.as_ref() != Some(&open.change)
        && is_due(history.pair_at)
    {
        let is_before = |at: Timestamp| at <= open.proposed_at && open.proposed_at.since(at) <= STILL_BEFORE;
        if history.unpaired.is_some_and(is_before) {
            return CaptureDecision::Pair(open.change.clone());
        }
        return take(
            CaptureMoment::Before,
            Some(open.change.clone()),
            pod_of_alert(capture, facts),
        );
    }
    let again = (1..CAPTURE_TRIES).contains(&history.failed) && rested;
    if alerts(capture, facts).next().is_some() && (is_due(history.alert_at) || again) {
        let change = facts.open.as_ref().map(|open| open.change.clone());
        return take(CaptureMoment::Alert, change, pod_of_alert(capture, facts));
    }
    CaptureDecision::Nothing
}

fn take(moment: CaptureMoment, change: Option<String>, pod: Option<String>) -> CaptureDecision {
    pod.map_or(CaptureDecision::NoPod, |pod| {
        CaptureDecision::Take(CaptureOrder { moment, pod, change })
    })
}

/// The pods that alerts name, the worst of each rule first; `None` where an alert names none.
fn alerts<'f>(capture: &Capture, facts: &'f CaptureFacts<'_>) -> impl Iterator<Item = Option<&'f str>> {
    let pending = capture.at_changes;
    let all = facts
        .rules
        .iter()
        .flat_map(|(state, comparator)| state.worst(usize::MAX, *comparator));
    all.filter(move |alert| pending || alert.phase == AlertPhase::Firing)
        .map(|alert| alert.labels.get("pod").map(String::as_str))
}

/// The worst pod that an alert names, if it is the target's own; ready or not, for a pod in trouble seldom is. Else the
/// first that is ready, else the first.
fn pod_of_alert(capture: &Capture, facts: &CaptureFacts<'_>) -> Option<String> {
    let own = |name: &&str| facts.pods.iter().any(|pod| pod.name == *name);
    let named = alerts(capture, facts).flatten().find(own);
    named.map(ToOwned::to_owned).or_else(|| first(facts))
}

/// The pod of the first half, if it is still there: two profiles of one process can be compared.
fn pod_after(history: &CaptureHistory, facts: &CaptureFacts<'_>) -> Option<String> {
    let same = history
        .pod
        .as_ref()
        .filter(|name| facts.pods.iter().any(|pod| pod.name == **name));
    same.cloned().or_else(|| first(facts))
}

fn first(facts: &CaptureFacts<'_>) -> Option<String> {
    let ready = facts.pods.iter().find(|pod| pod.ready);
    ready.or_else(|| facts.pods.first()).map(|pod| pod.name.clone())
}

#[cfg(test)]
mod tests;

//! What a pass came to: in a status, and in metrics.

use super::{
    Pass,
    memory::{Memory, stored_replicas},
    open::Carried,
    propose::Proposed,
};
use crate::{
    apply::JournalError,
    metrics::Evaluation,
    record::{
        self,
        status::{condition, stalled},
    },
    text::{clean, same_words},
    validate::FieldError,
};
use flyball_core::{
    evaluate::AlertPhase,
    policy::{Comparator, Condition},
    time::Timestamp,
    transaction::Phase as Step,
};
use flyball_crds::{ConditionType, FeedbackPolicy, FeedbackPolicyStatus, Reason};
use kube::ResourceExt;
use std::time::Duration;

/// A pass in a few words.
pub struct Summary {
    ready: (bool, Reason, String),
    progressing: (bool, Reason, String),
    doing: String,
    why: String,
    change: Option<String>,
    /// Whether the containers have room for a memory limit that would hold, and why not; `None`: nobody asks.
    room: Option<Result<(), String>>,
}

impl Summary {
    /// The same with what the limit law says.
    #[must_use]
    pub(super) fn with_room(self, room: Option<Result<(), String>>) -> Self {
        Self { room, ..self }
    }

    /// The same while its namespace is paused: that is said before whatever else is not ready.
    #[must_use]
    pub(super) fn held_by(self, why: String) -> Self {
        Self {
            ready: (false, Reason::Suspended, why),
            ..self
        }
    }

    /// These words.
    pub(super) fn new(
        ready: (bool, Reason, String),
        progressing: (bool, Reason, String),
        doing: String,
        why: String,
        change: Option<String>,
    ) -> Self {
        Self {
            ready,
            progressing,
            doing,
            why,
            change,
            room: None,
        }
    }

    /// The policy can't be read.
    pub(super) fn invalid(errors: &[FieldError]) -> Self {
        let message = super::evidence::joined(errors);
        Self {
            ready: (false, Reason::Invalid, message.clone()),
            progressing: (false, Reason::Idle, "no change is under way".to_owned()),
            doing: "Nothing: the policy is invalid".to_owned(),
            why: message,
            change: None,
            room: None,
        }
    }

    /// An open Change can't be read.
    pub(crate) fn blocked(pass: &Pass<'_>, memory: &Memory, damage: &JournalError) -> Self {
        let summary = Self::of(pass, memory, None, None);
        let why = format!("{damage}; delete the Change to go on");
        let progressing = (true, Reason::Invalid, why.clone());
        Self {
            progressing,
            doing: "Blocked by a damaged Change".to_owned(),
            why,
            ..summary
        }
    }

    /// What came of a pass.
    pub(crate) fn of(pass: &Pass<'_>, memory: &Memory, carried: Option<&Carried>, proposed: Option<&Proposed>) -> Self {
        let carried = match proposed {
            Some(Proposed::Begun(begun)) => Some(begun.as_ref()),
            _ => carried,
        };
        let ready = match pass.trouble(memory) {
            Some((reason, message)) => (false, reason, message),
            None if pass.policy.suspended => (
                true,
                Reason::Suspended,
                "the policy is suspended: nothing is written".to_owned(),
            ),
            None => (true, Reason::Evaluating, pass.evaluated()),
        };
        let idle = (false, Reason::Idle, "no change is under way".to_owned());
        if let Some(carried) = carried.filter(|carried| carried.is_open()) {
            let journal = &carried.tx.journal;
            let (reason, verb) = match journal.phase {
                Step::Applying => (Reason::Applying, "Applying"),
                Step::RollingBack => (Reason::RollingBack, "Rolling back"),
                Step::Verifying | Step::Closed(_) => (Reason::Verifying, "Verifying"),
            };
            let doing = format!("{verb} {} -> {}", journal.before, journal.after);
            let name = carried.change.name_any();
            let so_far = carried
                .waiting
                .as_ref()
                .map_or_else(String::new, |why| format!(": {why}"));
            return Self {
                ready,
                progressing: (true, reason, format!("{doing} by Change {name}{so_far}")),
                doing,
                why: carried.change.spec.reason.clone(),
                change: Some(name),
                room: None,
            };
        }
        let (doing, why) = match proposed {
            None if memory.held.is_some() => ("Nothing: rules can't be taken".to_owned(), ready.2.clone()),
            None => ("Observing".to_owned(), ready.2.clone()),
            Some(Proposed::Steady { current, reason }) => (format!("Steady at {current}"), reason.clone()),
            Some(Proposed::Refused { from, to, message }) => (format!("Refused {from} -> {to}"), message.clone()),
            Some(Proposed::Awaiting { from, to, message, .. }) => (format!("Awaits {from} -> {to}"), message.clone()),
            Some(Proposed::Recommended { from, to, reason }) => (format!("Recommends {from} -> {to}"), reason.clone()),
            Some(Proposed::Failed { from, to, message }) => (format!("Failed {from} -> {to}"), message.clone()),
            Some(Proposed::Begun(begun)) => (
                format!("Ended {} -> {}", begun.tx.journal.before, begun.tx.journal.after),
                begun
                    .change
                    .status
                    .as_ref()
                    .map(|status| status.message.clone())
                    .unwrap_or_default(),
            ),
        };
        Self {
            ready,
            progressing: idle,
            doing,
            why,
            change: None,
            room: None,
        }
    }
}

/// The status as it should be now.
pub(super) fn status(
    object: &FeedbackPolicy,
    memory: &Memory,
    summary: Summary,
    receivers: Option<(bool, Reason, String)>,
    now: Timestamp,
) -> FeedbackPolicyStatus {
    let before = &memory.written;
    let generation = object.metadata.generation;
    let mut status = FeedbackPolicyStatus {
        observed_generation: generation,
        change: summary.change,
        ..Default::default()
    };
    memory.store(&mut status);
    // Numbers in a sentence move with every pass, and are written along with the next words.
    let why = clean(&summary.why);
    let kept =
        summary.doing == before.doing && before.observed_generation == generation && same_words(&before.why, &why);
    status.why = if kept { before.why.clone() } else { why };
    status.doing = summary.doing;
    let stalled = stalled(&before.conditions, &summary.ready, generation, now);
    status.conditions = vec![
        condition(
            &before.conditions,
            ConditionType::Ready,
            summary.ready,
            same_words,
            generation,
            now,
        ),
        condition(
            &before.conditions,
            ConditionType::Progressing,
            summary.progressing,
            same_progress,
            generation,
            now,
        ),
    ];
    status.conditions.extend(stalled);
    if let Some(room) = summary.room {
        let said = match room {
            Err(why) => (true, Reason::NeedsMemory, why),
            Ok(()) => (
                false,
                Reason::HasRoom,
                "every container has room for a memory limit that would hold".to_owned(),
            ),
        };
        let condition = condition(
            &before.conditions,
            ConditionType::NeedsMemory,
            said,
            same_words,
            generation,
            now,
        );
        status.conditions.push(condition);
    }
    if let Some(outcome) = &memory.notify.outcome {
        let said = match outcome {
            Err((reason, why)) => (false, *reason, why.clone()),
            Ok(()) => (
                true,
                Reason::Notified,
                "Alertmanager knows of every alert that fires".to_owned(),
            ),
        };
        let condition = condition(
            &before.conditions,
            ConditionType::Notified,
            said,
            same_words,
            generation,
            now,
        );
        status.conditions.push(condition);
    }
    if let Some(said) = &memory.relief.outcome {
        let condition = condition(
            &before.conditions,
            ConditionType::Relieved,
            said.clone(),
            same_words,
            generation,
            now,
        );
        status.conditions.push(condition);
    }
    if let Some(said) = receivers {
        let kind = ConditionType::ReceiversResolved;
        let condition = condition(&before.conditions, kind, said, same_words, generation, now);
        status.conditions.push(condition);
    }
    status
}

/// Which Change is under way, and between which numbers, stands before the colon; how far it is,
/// which moves on and on, behind it.
fn same_progress(before: &str, now: &str) -> bool {
    let what = |text: &str| text.split_once(": ").map_or(text, |(what, _)| what).to_owned();
    what(before) == what(now)
}

/// Counts a pass.
pub(super) fn count(pass: &Pass<'_>, memory: &Memory, proposed: Option<&Proposed>, took: Duration) {
    let recorder = &pass.ctx.recorder;
    let policy = record::name(&pass.namespace, &pass.name);
    recorder.metrics.counted(policy);
    let readings = || pass.seen.rules.iter().chain(&pass.seen.signals);
    for (signal, reading) in readings() {
        recorder.metrics.signal(policy, signal, reading.quality());
        let comparison = match pass.policy.rules.get(signal).map(|rule| &rule.condition) {
            Some(Condition::Threshold(comparison)) => Some(comparison),
            Some(Condition::Opaque(_)) | None => None,
        };
        let falls = comparison.is_some_and(|it| matches!(it.comparator, Comparator::Less | Comparator::LessOrEqual));
        let finite = reading
            .samples()
            .iter()
            .map(|sample| sample.value)
            .filter(|value| value.is_finite());
        let worst = finite.reduce(if falls { f64::min } else { f64::max });
        recorder.metrics.value(policy, signal, worst);
        if let Some(comparison) = comparison {
            recorder.metrics.threshold(policy, signal, comparison.right.get());
        }
    }
    for (alert, rule) in &memory.rules {
        let pending = rule
            .alerts
            .iter()
            .filter(|alert| alert.phase == AlertPhase::Pending)
            .count();
        recorder
            .metrics
            .alerts(policy, alert, pending, rule.alerts.len() - pending);
    }
    if let Some(snapshot) = &pass.seen.found.snapshot {
        let current = snapshot.target.value;
        let desired = proposed.and_then(Proposed::wanted).unwrap_or(current);
        for action in &pass.policy.actions {
            recorder
                .metrics
                .replicas(policy, &action.name, stored_replicas(current), stored_replicas(desired));
        }
    }
    let complete = readings().all(|(_, reading)| reading.is_fresh());
    let outcome = if complete {
        Evaluation::Complete
    } else {
        Evaluation::Incomplete
    };
    let reason = pass.trouble(memory).map_or(Reason::Evaluating, |(reason, _)| reason);
    recorder.passed(pass.object, outcome, reason, memory.written.change.clone(), took);
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_core::time::Span;

    const SECOND: Span = Span::from_secs(1);

    /// What is written pass by pass, a second each, of what each pass says: its doing, its reason, the
    /// message of Ready and that of Progressing.
    fn written(passes: &[[&str; 4]]) -> Vec<[String; 4]> {
        let mut now = Timestamp::from_millis(0);
        let object = FeedbackPolicy::new("web", flyball_crds::FeedbackPolicySpec::default());
        let mut memory = Memory::restore(&object, now);
        let mut all = Vec::new();
        for [doing, why, ready, progressing] in passes {
            now = now + SECOND;
            let summary = Summary {
                ready: (true, Reason::Evaluating, (*ready).to_owned()),
                progressing: (true, Reason::Verifying, (*progressing).to_owned()),
                doing: (*doing).to_owned(),
                why: (*why).to_owned(),
                change: None,
                room: None,
            };
            let status = status(&object, &memory, summary, None, now);
            if status != memory.written {
                let message = |index: usize| status.conditions[index].message.clone();
                all.push([status.doing.clone(), status.why.clone(), message(0), message(1)]);
                memory.written = status;
            }
        }
        all
    }

    #[test]
    fn stalled_is_there_only_while_only_an_edit_helps() {
        let mut object = FeedbackPolicy::new("web", flyball_crds::FeedbackPolicySpec::default());
        object.metadata.generation = Some(4);
        let now = Timestamp::from_millis(0);
        let check = |ready: (bool, Reason), expect: Option<&str>| {
            let summary = Summary {
                ready: (ready.0, ready.1, "spec.rules[0].for: no duration".to_owned()),
                progressing: (false, Reason::Idle, String::new()),
                doing: String::new(),
                why: String::new(),
                change: None,
                room: None,
            };
            let status = status(&object, &Memory::restore(&object, now), summary, None, now);
            let found = status.conditions.iter().find(|condition| condition.type_ == "Stalled");
            assert_eq!(found.map(|condition| condition.status.as_str()), expect, "{ready:?}");
            // Both are about what was looked at.
            assert!(
                status
                    .conditions
                    .iter()
                    .all(|condition| condition.observed_generation == Some(4))
            );
            assert_eq!(status.observed_generation, Some(4));
        };
        check((false, Reason::Invalid), Some("True"));
        check((true, Reason::Evaluating), None);
        check((false, Reason::Suspended), None);
        check((false, Reason::SourceNotFound), None);
    }

    #[test]
    fn a_receiver_that_is_missing_is_a_condition_of_its_own() {
        let object = FeedbackPolicy::new("web", flyball_crds::FeedbackPolicySpec::default());
        let now = Timestamp::from_millis(0);
        let check = |receivers: Option<(bool, Reason, String)>, expect: Option<(&str, &str)>| {
            let summary = Summary {
                ready: (true, Reason::Evaluating, String::new()),
                progressing: (false, Reason::Idle, String::new()),
                doing: String::new(),
                why: String::new(),
                change: None,
                room: None,
            };
            let status = status(&object, &Memory::restore(&object, now), summary, receivers, now);
            let of = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
            let found = of("ReceiversResolved").map(|it| (it.status.as_str(), it.reason.as_str()));
            assert_eq!(found, expect);
            // It stops nothing.
            assert_eq!(of("Ready").map(|it| it.status.as_str()), Some("True"));
        };
        check(None, None);
        check(
            Some((true, Reason::Accepted, String::new())),
            Some(("True", "Accepted")),
        );
        check(
            Some((false, Reason::ReceiverNotFound, "no receiver nobody".to_owned())),
            Some(("False", "ReceiverNotFound")),
        );
    }

    #[test]
    fn a_reason_is_written_with_its_words_and_not_with_its_numbers() {
        let pass = |why| ["Steady at 2", why, "", ""];
        let found = written(&[
            pass("Slow is quiet for 45s of 10m"),
            pass("Slow is quiet for 1m of 10m"),
            pass("Slow is quiet for 1m15s of 10m"),
            pass("Slow is pending"),
            pass("Slow is pending"),
        ]);
        let whys: Vec<&str> = found.iter().map(|[_, why, ..]| why.as_str()).collect();
        assert_eq!(whys, ["Slow is quiet for 45s of 10m", "Slow is pending"]);
    }

    #[test]
    fn a_reason_is_written_with_what_is_done() {
        let found = written(&[
            ["Steady at 2", "load is 4", "", ""],
            ["Steady at 3", "load is 6", "", ""],
            ["Steady at 3", "load is 5", "", ""],
        ]);
        let whys: Vec<&str> = found.iter().map(|[_, why, ..]| why.as_str()).collect();
        assert_eq!(whys, ["load is 4", "load is 6"]);
    }

    #[test]
    fn so_are_the_conditions_messages() {
        let found = written(&[
            ["", "", "no answer within 10s", "2 -> 3 by Change web-1: it is 0.9"],
            [
                "",
                "",
                "no answer within 5s",
                "2 -> 3 by Change web-1: the deadline is near",
            ],
            ["", "", "no connection", "2 -> 3 by Change web-1: it is 0.8"],
            ["", "", "no connection", "2 -> 5 by Change web-2: it is 0.8"],
        ]);
        let messages: Vec<[&str; 2]> = found.iter().map(|[.., ready, more]| [&**ready, &**more]).collect();
        assert_eq!(
            messages,
            [
                ["no answer within 10s", "2 -> 3 by Change web-1: it is 0.9"],
                ["no connection", "2 -> 3 by Change web-1: it is 0.9"],
                ["no connection", "2 -> 5 by Change web-2: it is 0.8"],
            ]
        );
    }
}

//! The journal: a Change's immutable spec is the intent, its status the progress.

use super::{
    Authority,
    field::{Field, Moved},
};
use crate::{
    client::CallKind,
    clock::{from_micro_time, micro_time},
    metrics::Verb,
    record::status::condition,
};
use flyball_core::{
    time::Timestamp,
    transaction::{Abort, Cause, Event, Journal, Outcome, Phase as Step, Verdict},
};
use flyball_crds::{
    Cause as RecordedCause, Change, ChangeSpec, ChangeStatus, ConditionType, Phase, Reason, Verdict as RecordedVerdict,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client, ResourceExt, api::PostParams};
use tracing::warn;

/// The intent of a Change, with its name.
#[derive(Clone, Debug)]
pub struct Intent {
    /// The Change's name.
    pub name: String,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
    /// Its spec.
    pub spec: ChangeSpec,
}

/// What is to be recorded beside the journal's own fields.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// The numbers of the verification.
    pub verdict: Option<RecordedVerdict>,
    /// Who else wrote the field.
    pub manager: Option<String>,
    /// What the API server said when it refused a write.
    pub refusal: Option<String>,
    /// Since when the intended shares are there.
    pub realised_at: Option<Timestamp>,
}

/// Why a journal could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Somebody has opened a Change of this name: another leader, or an older view of the cluster.
    #[error("a Change {0} exists already; the next pass reads it")]
    Exists(String),
    /// The API server did not take it.
    #[error("the Change {name} could not be created: {message}")]
    NotCreated {
        /// Its name.
        name: String,
        /// What the API server said.
        message: String,
    },
    /// It holds a number that no Change of ours has.
    #[error("the Change {name} holds {field} = {value}; it was not written by Flyball")]
    Damaged {
        /// Its name.
        name: String,
        /// The field.
        field: &'static str,
        /// The value.
        value: i64,
    },
    /// It holds a text that no Change of ours has.
    #[error("the Change {name} holds a {field} that can't be read: {why}; it was not written by Flyball")]
    Unreadable {
        /// Its name.
        name: String,
        /// The field.
        field: &'static str,
        /// Why not.
        why: String,
    },
    /// A field is missing that every Change of its kind has.
    #[error("the Change {name} has no {field}; it was not written by Flyball")]
    Incomplete {
        /// Its name.
        name: String,
        /// The field.
        field: &'static str,
    },
}

/// The journal of one transaction, held with the version it was last read or written at.
pub struct Journals<'a> {
    api: Api<Change>,
    authority: &'a Authority,
    /// The Change as last persisted.
    pub change: Change,
    /// What to record beside the journal.
    pub note: Note,
    on_record: &'a (dyn Fn(&Change) + Send + Sync),
}

impl<'a> Journals<'a> {
    /// Creates a Change. From here on a crash can only find it at its beginning.
    pub async fn create(
        client: &Client,
        namespace: &str,
        intent: Intent,
        authority: &'a Authority,
        on_record: &'a (dyn Fn(&Change) + Send + Sync),
    ) -> Result<Self, JournalError> {
        let api: Api<Change> = Api::namespaced(client.clone(), namespace);
        let mut change = Change::new(&intent.name, intent.spec);
        change.metadata.namespace = Some(namespace.to_owned());
        change.metadata.labels = Some(intent.labels);
        let parameters = parameters();
        match authority.within(Verb::Create, api.create(&parameters, &change)).await {
            Ok(change) => Ok(Self {
                api,
                authority,
                change,
                note: Note::default(),
                on_record,
            }),
            Err(error) if error.kind() == CallKind::Conflict => Err(JournalError::Exists(intent.name)),
            Err(error) => Err(JournalError::NotCreated {
                name: intent.name,
                message: error.to_string(),
            }),
        }
    }

    /// Takes up a Change that was read.
    pub fn open(
        client: &Client,
        change: Change,
        authority: &'a Authority,
        on_record: &'a (dyn Fn(&Change) + Send + Sync),
    ) -> Self {
        let namespace = change.namespace().unwrap_or_default();
        let api = Api::namespaced(client.clone(), &namespace);
        Self {
            api,
            authority,
            change,
            note: Note::default(),
            on_record,
        }
    }

    /// Persists the journal, if nobody did since it was read.
    pub(super) async fn record<V: Field, R>(&mut self, journal: &Journal<V>, now: Timestamp) -> Event<V, R> {
        let mut change = self.change.clone();
        change.status = Some(status_of(
            journal,
            change.status.take().unwrap_or_default(),
            &self.note,
            now,
        ));
        if self.put(change, now).await {
            Event::Recorded
        } else {
            Event::NotRecorded
        }
    }

    /// Persists a record that was never a transaction: a recommendation or a refusal.
    pub async fn close_record(&mut self, phase: Phase, message: String, now: Timestamp) -> bool {
        let mut change = self.change.clone();
        change.status = Some(ChangeStatus {
            phase,
            message: limited(message),
            closed_at: Some(micro_time(now)),
            conditions: change.status.map(|status| status.conditions).unwrap_or_default(),
            ..ChangeStatus::default()
        });
        self.put(change, now).await
    }

    /// Writes the status, with the resourceVersion that was read as its precondition.
    async fn put(&mut self, mut change: Change, now: Timestamp) -> bool {
        let complete = complete(&change, now);
        if let Some(status) = &mut change.status {
            status.conditions = complete.into_iter().collect();
        }
        let name = change.name_any();
        let parameters = parameters();
        let request = self.api.replace_status(&name, &parameters, &change);
        match self.authority.within(Verb::Update, request).await {
            Ok(written) => {
                self.change = written;
                (self.on_record)(&self.change);
                true
            }
            Err(error) => {
                warn!(change = name, %error, "the journal was not written; the next pass reads it again");
                false
            }
        }
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(flyball_crds::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// The transaction that a Change records.
pub fn journal_of<V: Field>(change: &Change) -> Result<Journal<V>, JournalError> {
    let sequence = u64::try_from(change.spec.sequence).map_err(|_| JournalError::Damaged {
        name: change.name_any(),
        field: "spec.sequence",
        value: change.spec.sequence,
    })?;
    let Moved {
        before,
        after,
        trial,
        rollback_to,
    } = V::moved(change)?;
    let mut journal = Journal::open(sequence, before, after, from_micro_time(&change.spec.proposed_at));
    journal.trial = trial;
    if let Some(status) = &change.status {
        journal.tried_at = status.tried_at.as_ref().map(from_micro_time);
        journal.attempt = u64::try_from(status.attempt).unwrap_or_default();
        journal.phase = step_of(status.phase, status.cause);
        journal.applied_at = status.applied_at.as_ref().map(from_micro_time);
        journal.rollback_to = rollback_to;
        journal.verdict = status.verdict.as_ref().and_then(|verdict| verdict_of(&verdict.result));
    }
    Ok(journal)
}

/// How a phase of the transaction is written.
pub fn phase_of(step: Step) -> Phase {
    match step {
        Step::Applying => Phase::Applying,
        Step::Verifying => Phase::Verifying,
        Step::RollingBack => Phase::RollingBack,
        Step::Closed(Outcome::Committed) => Phase::Committed,
        Step::Closed(Outcome::RolledBack) => Phase::RolledBack,
        Step::Closed(Outcome::Ineffective) => Phase::Ineffective,
        Step::Closed(Outcome::Inconclusive) => Phase::Inconclusive,
        Step::Closed(Outcome::Superseded(_)) => Phase::Superseded,
    }
}

/// Nothing is decided any more from a closed phase without a cause: a record was never a transaction.
fn step_of(phase: Phase, cause: Option<RecordedCause>) -> Step {
    match phase {
        Phase::Applying => Step::Applying,
        Phase::Verifying => Step::Verifying,
        Phase::RollingBack => Step::RollingBack,
        Phase::Committed => Step::Closed(Outcome::Committed),
        Phase::RolledBack => Step::Closed(Outcome::RolledBack),
        Phase::Ineffective => Step::Closed(Outcome::Ineffective),
        Phase::Inconclusive => Step::Closed(Outcome::Inconclusive),
        Phase::Superseded | Phase::Refused | Phase::Recommended | Phase::AwaitingApproval => {
            Step::Closed(Outcome::Superseded(cause.map_or(Cause::Newer, cause_of)))
        }
    }
}

/// How a cause is written.
fn recorded_cause(cause: Cause) -> RecordedCause {
    match cause {
        Cause::Foreign => RecordedCause::ForeignWrite,
        Cause::Newer => RecordedCause::NewerChange,
        Cause::TargetGone => RecordedCause::TargetGone,
        Cause::Expired => RecordedCause::Expired,
        Cause::Refused => RecordedCause::WriteRefused,
        Cause::Aborted(Abort::PolicyDeleted) => RecordedCause::PolicyDeleted,
        Cause::Aborted(Abort::NotEnforced) => RecordedCause::NotEnforced,
        Cause::Aborted(Abort::TargetWithdrawn) => RecordedCause::TargetWithdrawn,
        Cause::Aborted(Abort::LargerIncrease) => RecordedCause::LargerIncrease,
        Cause::Aborted(Abort::Ejection) => RecordedCause::Ejection,
        Cause::Aborted(Abort::Requested) => RecordedCause::Requested,
        Cause::Aborted(Abort::Frozen) => RecordedCause::Frozen,
    }
}

fn cause_of(recorded: RecordedCause) -> Cause {
    match recorded {
        RecordedCause::ForeignWrite => Cause::Foreign,
        RecordedCause::NewerChange => Cause::Newer,
        RecordedCause::TargetGone => Cause::TargetGone,
        RecordedCause::Expired => Cause::Expired,
        RecordedCause::WriteRefused => Cause::Refused,
        RecordedCause::PolicyDeleted => Cause::Aborted(Abort::PolicyDeleted),
        RecordedCause::NotEnforced => Cause::Aborted(Abort::NotEnforced),
        RecordedCause::TargetWithdrawn => Cause::Aborted(Abort::TargetWithdrawn),
        RecordedCause::LargerIncrease => Cause::Aborted(Abort::LargerIncrease),
        RecordedCause::Ejection => Cause::Aborted(Abort::Ejection),
        RecordedCause::Requested => Cause::Aborted(Abort::Requested),
        RecordedCause::Frozen => Cause::Aborted(Abort::Frozen),
    }
}

pub(super) fn verdict_of(text: &str) -> Option<Verdict> {
    Some(match text {
        "Achieved" => Verdict::Achieved,
        "Broken" => Verdict::Broken,
        "Ineffective" => Verdict::Ineffective,
        "Overtaken" => Verdict::Overtaken,
        "Inconclusive" => Verdict::Inconclusive,
        "Requested" => Verdict::Requested,
        "Torn" => Verdict::Torn,
        "Unrealised" => Verdict::Unrealised,
        _ => return None,
    })
}

fn status_of<V: Field>(journal: &Journal<V>, before: ChangeStatus, note: &Note, now: Timestamp) -> ChangeStatus {
    let closed = !journal.is_open();
    let verdict = journal.verdict.map(|verdict| {
        let recorded = note.verdict.clone().or(before.verdict).unwrap_or_default();
        RecordedVerdict {
            result: format!("{verdict:?}"),
            message: limited(recorded.message),
            ..recorded
        }
    });
    let cause = match journal.phase {
        Step::Closed(Outcome::Superseded(cause)) => Some(recorded_cause(cause)),
        _ => None,
    };
    let just_tried = journal.tried_at.is_some() && before.tried_at.is_none();
    let trial = if just_tried {
        note.verdict.clone().map(|verdict| RecordedVerdict {
            result: format!("{:?}", Verdict::Achieved),
            message: limited(verdict.message),
            ..verdict
        })
    } else {
        before.trial.clone()
    };
    let mut status = ChangeStatus {
        tried_at: journal.tried_at.map(micro_time),
        trial,
        phase: phase_of(journal.phase),
        cause,
        attempt: i64::try_from(journal.attempt).unwrap_or(i64::MAX),
        message: limited(message_of(journal, verdict.as_ref(), note)),
        applied_at: journal.applied_at.map(micro_time),
        realised_at: note.realised_at.map(micro_time).or(before.realised_at),
        verdict,
        closed_at: closed.then(|| micro_time(now)),
        conditions: before.conditions,
        ..ChangeStatus::default()
    };
    if let Some(to) = &journal.rollback_to {
        V::record_way_back(to, &mut status);
    }
    status
}

/// The condition `Complete`, for `kubectl wait`: whether the Change is over. A proposal that waits for approval
/// is not.
fn complete(change: &Change, now: Timestamp) -> Option<Condition> {
    let status = change.status.as_ref()?;
    let (over, reason) = match status.phase {
        Phase::Applying => (false, Reason::Applying),
        Phase::Verifying => (false, Reason::Verifying),
        Phase::RollingBack => (false, Reason::RollingBack),
        Phase::AwaitingApproval => (false, Reason::Proposed),
        Phase::Committed => (true, Reason::Committed),
        Phase::RolledBack => (true, Reason::RolledBack),
        Phase::Ineffective => (true, Reason::Ineffective),
        Phase::Inconclusive => (true, Reason::Inconclusive),
        Phase::Superseded => (true, Reason::Superseded),
        Phase::Refused => (true, Reason::Refused),
        Phase::Recommended => (true, Reason::Recommended),
    };
    Some(condition(
        &status.conditions,
        ConditionType::Complete,
        (over, reason, status.message.clone()),
        |old, new| old == new,
        change.metadata.generation,
        now,
    ))
}

fn message_of<V: Field>(journal: &Journal<V>, verdict: Option<&RecordedVerdict>, note: &Note) -> String {
    let said = verdict
        .map(|verdict| verdict.message.as_str())
        .filter(|message| !message.is_empty());
    let with = |text: String| said.map_or_else(|| text.clone(), |said| format!("{text}: {said}"));
    match journal.phase {
        Step::Applying => format!("writing {}", journal.goal()),
        Step::Verifying if journal.is_trying() => format!("{} is written; verifying the trial", journal.goal()),
        Step::Verifying => format!("{} is written; verifying its effect", journal.after),
        Step::RollingBack if journal.verdict == Some(Verdict::Torn) => {
            with("it could not be written everywhere, or was cut short; taking back what was".to_owned())
        }
        Step::RollingBack => with("taking the change back".to_owned()),
        Step::Closed(Outcome::Committed) => with("the effect is verified".to_owned()),
        Step::Closed(Outcome::RolledBack) => {
            let to = journal.rollback_to.as_ref().unwrap_or(&journal.before);
            with(format!("back at {to}"))
        }
        Step::Closed(Outcome::Ineffective) => with(format!("did not help; {} is held", journal.after)),
        Step::Closed(Outcome::Inconclusive) => with(format!("not verified; {} is held", journal.after)),
        Step::Closed(Outcome::Superseded(cause)) => match cause {
            Cause::Foreign => format!(
                "{} wrote the field while this Change held it; its value stays",
                note.manager.as_deref().unwrap_or("somebody else")
            ),
            Cause::Newer => "a later Change took over".to_owned(),
            Cause::TargetGone => "the target is gone".to_owned(),
            Cause::Refused => format!(
                "the API server refused the write; nothing was written: {}",
                note.refusal.as_deref().unwrap_or("see the controller's log")
            ),
            Cause::Expired => "the decision was too old to be written; nothing was written".to_owned(),
            Cause::Aborted(Abort::PolicyDeleted) => "the policy was deleted; nothing was written".to_owned(),
            Cause::Aborted(Abort::NotEnforced) => {
                "the policy may not write any more (mode or suspend); nothing was written".to_owned()
            }
            Cause::Aborted(Abort::TargetWithdrawn) => {
                "the target was paused, or the policy moves another one; nothing was written".to_owned()
            }
            Cause::Aborted(Abort::Requested) => "aborted on request; nothing was written".to_owned(),
            Cause::Aborted(Abort::Frozen) => {
                "the installation is frozen, or the namespace paused; nothing was written".to_owned()
            }
            Cause::Aborted(Abort::LargerIncrease) => "a larger increase took over".to_owned(),
            Cause::Aborted(Abort::Ejection) => "a backend had to be taken out at once".to_owned(),
        },
    }
}

/// As much of a text as the schema allows.
fn limited(text: String) -> String {
    if text.len() <= 1024 {
        text
    } else {
        text.chars().take(1000).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_core::policy::Replicas;

    fn record(phase: Step) -> (Change, Journal<Replicas>) {
        let replicas = |number| Replicas::new(number).expect("a number");
        let at = Timestamp::from_millis(1_000);
        let mut journal = Journal::open(4, replicas(2), replicas(3), at);
        journal.phase = phase;
        let spec = serde_json::json!({
            "policy": {"name": "web", "uid": "p", "generation": 1}, "action": "more", "mode": "Enforce",
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "t"},
            "field": "replicas", "direction": "Up", "sequence": 4, "before": 2, "after": 3, "verified": 2,
            "proposedAt": micro_time(at), "reason": "Slow fires", "evidence": {},
        });
        let mut change = Change::new("web-4", serde_json::from_value(spec).expect("a spec"));
        change.status = Some(status_of(&journal, ChangeStatus::default(), &Note::default(), at));
        (change, journal)
    }

    #[test]
    fn what_took_over_is_recorded_and_read_again() {
        let check = |cause, expect: &str| {
            let (change, journal) = record(Step::Closed(Outcome::Superseded(cause)));
            let status = serde_json::to_value(&change.status).expect("JSON");
            assert_eq!(
                (&status["phase"], &status["cause"]),
                (&"Superseded".into(), &expect.into())
            );
            assert_eq!(journal_of::<Replicas>(&change).expect("a journal"), journal);
        };
        check(Cause::Foreign, "ForeignWrite");
        check(Cause::Newer, "NewerChange");
        check(Cause::TargetGone, "TargetGone");
        check(Cause::Expired, "Expired");
        check(Cause::Refused, "WriteRefused");
        check(Cause::Aborted(Abort::PolicyDeleted), "PolicyDeleted");
        check(Cause::Aborted(Abort::NotEnforced), "NotEnforced");
        check(Cause::Aborted(Abort::TargetWithdrawn), "TargetWithdrawn");
        check(Cause::Aborted(Abort::LargerIncrease), "LargerIncrease");
    }

    /// The API server refuses a journal with a longer text, and then its Change would never end.
    #[test]
    fn no_text_is_longer_than_the_schema_allows() {
        let (change, mut journal) = record(Step::Closed(Outcome::Inconclusive));
        journal.verdict = Some(Verdict::Inconclusive);
        journal.tried_at = Some(Timestamp::from_millis(2_000));
        let note = Note {
            verdict: Some(RecordedVerdict {
                message: "the demand was not answered; ü ".repeat(100),
                ..RecordedVerdict::default()
            }),
            ..Note::default()
        };
        let before = change.status.expect("a status");
        let status = status_of(&journal, before, &note, Timestamp::from_millis(3_000));
        let (verdict, trial) = (status.verdict.expect("a verdict"), status.trial.expect("a trial"));
        for text in [status.message, verdict.message, trial.message] {
            assert!((900..=1024).contains(&text.chars().count()), "{text}");
        }
    }

    #[test]
    fn nothing_took_over_from_what_ended_otherwise() {
        for phase in [Step::Applying, Step::Verifying, Step::Closed(Outcome::Committed)] {
            let (change, _) = record(phase);
            assert_eq!(change.status.and_then(|status| status.cause), None);
        }
    }
}

//! A policy's status: what it is doing and why, written only when it says something new.

use crate::{
    apply::{Authority, JournalError},
    clock::time,
    metrics::Verb,
    reconcile::{Context, Pass, evidence, memory::Memory, open::Carried, propose::Proposed},
    validate::FieldError,
};
use flyball_core::{time::Timestamp, transaction::Phase as Step};
use flyball_crds::{ConditionType, FIELD_MANAGER, FeedbackPolicy, FeedbackPolicyStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, ResourceExt, api::{Patch, PatchParams}};
use tracing::warn;

/// A pass in a few words.
pub struct Summary {
    ready: (bool, Reason, String),
    progressing: (bool, Reason, String),
    doing: String,
    why: String,
    change: Option<String>,
}

impl Summary {
    /// The policy can't be read.
    pub fn invalid(errors: &[FieldError]) -> Self {
        let message = evidence::joined(errors);
        Self {
            ready: (false, Reason::Invalid, message.clone()),
            progressing: (false, Reason::Idle, "no change is under way".to_owned()),
            doing: "Nothing: the policy is invalid".to_owned(),
            why: message,
            change: None,
        }
    }

    /// An open Change can't be read.
    pub(crate) fn blocked(pass: &Pass<'_>, memory: &Memory, damage: &JournalError) -> Self {
        let summary = Self::of(pass, memory, None, None);
        let why = format!("{damage}; delete the Change to go on");
        let progressing = (true, Reason::Invalid, why.clone());
        Self { progressing, doing: "Blocked by a damaged Change".to_owned(), why, ..summary }
    }

    /// What came of a pass.
    pub(crate) fn of(pass: &Pass<'_>, memory: &Memory, carried: Option<&Carried>, proposed: Option<&Proposed>) -> Self {
        let carried = match proposed {
            Some(Proposed::Begun(begun)) => Some(begun.as_ref()),
            _ => carried,
        };
        let ready = match pass.trouble(memory) {
            Some((reason, message)) => (false, reason, message),
            None if pass.policy.suspended => (true, Reason::Suspended, "the policy is suspended: nothing is written".to_owned()),
            None => (true, Reason::Evaluating, format!("evaluated every {}", pass.policy.interval)),
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
            let so_far = carried.waiting.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            return Self {
                ready,
                progressing: (true, reason, format!("{doing} by Change {name}{so_far}")),
                doing,
                why: carried.change.spec.reason.clone(),
                change: Some(name),
            };
        }
        let (doing, why) = match proposed {
            None => ("Observing".to_owned(), ready.2.clone()),
            Some(Proposed::Steady { current, reason }) => (format!("Steady at {current}"), reason.clone()),
            Some(Proposed::Refused { from, to, message }) => (format!("Refused {from} -> {to}"), message.clone()),
            Some(Proposed::Recommended { from, to, reason }) => (format!("Recommends {from} -> {to}"), reason.clone()),
            Some(Proposed::Failed { from, to, message }) => (format!("Failed {from} -> {to}"), message.clone()),
            Some(Proposed::Begun(begun)) => (
                format!("Ended {} -> {}", begun.tx.journal.before, begun.tx.journal.after),
                begun.change.status.as_ref().map(|status| status.message.clone()).unwrap_or_default(),
            ),
        };
        Self { ready, progressing: idle, doing, why, change: None }
    }
}

/// Writes the status, if it says something that the last one did not.
pub async fn write(
    ctx: &Context,
    object: &FeedbackPolicy,
    memory: &mut Memory,
    summary: Summary,
    now: Timestamp,
    authority: &Authority,
) {
    let status = status(object, memory, summary, now);
    if status == memory.written {
        return;
    }
    let api: Api<FeedbackPolicy> = Api::namespaced(ctx.clients.write.clone(), &object.namespace().unwrap_or_default());
    // Without a precondition: only the leader writes the status, the store may be older than our own
    // last write, and it is the journal, not the status, that guards the target.
    let operation = serde_json::json!([{"op": "add", "path": "/status", "value": status}]);
    let Ok(patch) = serde_json::from_value::<json_patch::Patch>(operation) else { return };
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let name = object.name_any();
    let patch = Patch::Json::<()>(patch);
    let request = api.patch_status(&name, &parameters, &patch);
    match authority.within(Verb::Patch, request).await {
        Ok(_) => memory.written = status,
        Err(error) => warn!(policy = name, %error, "the status was not written; the next pass writes it"),
    }
}

fn status(object: &FeedbackPolicy, memory: &Memory, summary: Summary, now: Timestamp) -> FeedbackPolicyStatus {
    let before = &memory.written;
    let generation = object.metadata.generation;
    let mut status = FeedbackPolicyStatus { observed_generation: generation, change: summary.change, ..Default::default() };
    memory.store(&mut status);
    // Numbers in a sentence move with every pass. The sentence is written when its subject moves.
    status.why = if summary.doing == before.doing && !before.why.is_empty() {
        before.why.clone()
    } else {
        evidence::clean(&summary.why)
    };
    status.doing = summary.doing;
    status.conditions = vec![
        condition(before, ConditionType::Ready, summary.ready, generation, now),
        condition(before, ConditionType::Progressing, summary.progressing, generation, now),
    ];
    status
}

/// The transition time moves only when the status does, and the message only with the reason.
fn condition(
    before: &FeedbackPolicyStatus,
    kind: ConditionType,
    (holds, reason, message): (bool, Reason, String),
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let status = if holds { "True" } else { "False" };
    let known = before.conditions.iter().find(|condition| condition.type_ == kind.as_str());
    let since = known.filter(|known| known.status == status).map_or_else(|| time(now), |known| known.last_transition_time.clone());
    let kept = known.filter(|known| {
        known.status == status && known.reason == reason.as_str() && known.observed_generation == generation
    });
    Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message: kept.map_or_else(|| evidence::clean(&message), |known| known.message.clone()),
        observed_generation: generation,
        last_transition_time: since,
    }
}

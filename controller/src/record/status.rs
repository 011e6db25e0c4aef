//! Writing the status of a policy, and what its conditions have in common.

use crate::{
    apply::Authority,
    metrics::Verb,
    text::{clean, same_words},
};
use flyball_core::time::Timestamp;
use flyball_crds::{ConditionType, FIELD_MANAGER, FeedbackPolicy, FeedbackPolicyStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use tracing::warn;

/// Writes the status, and says whether the API server took it.
///
/// Without a precondition but the object's identity: only the leader writes the status, the store may be older than our own last
/// write, and it is the journal, not the status, that guards the target.
pub async fn write(
    client: &Client,
    object: &FeedbackPolicy,
    status: &FeedbackPolicyStatus,
    authority: &Authority,
) -> bool {
    let api: Api<FeedbackPolicy> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    // A policy that was made anew under the same name has nothing to do with what this one remembers.
    let operations = serde_json::json!([
        {"op": "test", "path": "/metadata/uid", "value": object.uid().unwrap_or_default()},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let Ok(patch) = serde_json::from_value::<json_patch::Patch>(operations) else {
        return false;
    };
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let (name, patch) = (object.name_any(), Patch::Json::<()>(patch));
    match authority
        .within(Verb::Patch, api.patch_status(&name, &parameters, &patch))
        .await
    {
        Ok(_) => true,
        Err(error) => {
            warn!(policy = name, %error, "the status was not written; the next pass writes it");
            false
        }
    }
}

/// `Stalled`, where what is wrong is in the object itself: no pass mends it, so nobody need wait for that. Absent
/// otherwise, as kstatus expects of a condition that tells of something abnormal.
pub fn stalled(
    before: &[Condition],
    (ready, reason, message): &(bool, Reason, String),
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Condition> {
    let is = !*ready && *reason == Reason::Invalid;
    is.then(|| {
        let said = (true, *reason, message.clone());
        condition(before, ConditionType::Stalled, said, same_words, generation, now)
    })
}

/// The transition time moves only when the status does, and the message only with the reason or where
/// `same` says that it says something else than before.
pub fn condition(
    before: &[Condition],
    kind: ConditionType,
    (holds, reason, message): (bool, Reason, String),
    same: fn(&str, &str) -> bool,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let message = clean(&message);
    let status = if holds { "True" } else { "False" };
    let known = before.iter().find(|condition| condition.type_ == kind.as_str());
    let since = known
        .filter(|known| known.status == status)
        .map_or_else(|| crate::clock::time(now), |known| known.last_transition_time.clone());
    let kept = known.filter(|known| {
        known.status == status
            && known.reason == reason.as_str()
            && known.observed_generation == generation
            && same(&known.message, &message)
    });
    Condition {
        type_: kind.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message: kept.map_or(message, |known| known.message.clone()),
        observed_generation: generation,
        last_transition_time: since,
    }
}

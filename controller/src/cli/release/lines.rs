//! The lines of a workload's pods are taken out, so that their processes go back to boot values at once.
//!
//! The setting is gone from the workload by now, and no pass of a controller writes lines for this policy any more.
//! What one that died may still have under way carries the version of a pod that this write moves on.

use crate::cli::{
    fetch::{self, Connection, Scope},
    write::{self, ActError, Place},
};
use futures::{StreamExt, stream};
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::json;
use std::collections::BTreeSet;

/// How often pods are read anew that somebody else wrote in between.
const ROUNDS: usize = 10;
const AT_A_TIME: usize = 8;

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Out {
    /// How many pods have no line any more.
    pub taken: usize,
    /// Why others still have one.
    pub left: Option<ActError>,
}

/// The UID of an object's controller.
fn owner(object: &DynamicObject) -> Option<&str> {
    let owners = object.metadata.owner_references.iter().flatten();
    let owner = owners.into_iter().find(|owner| owner.controller == Some(true))?;
    Some(&owner.uid)
}

/// The pods of a workload that have a line: its own, and those of its ReplicaSets, whatever their labels.
async fn with_line(
    connection: &Connection,
    namespace: &str,
    workload: &DynamicObject,
    key: &str,
) -> Result<Vec<DynamicObject>, ActError> {
    let (client, scope) = (&connection.clients.read, Scope::Namespace(namespace));
    let (pods, sets) = (fetch::resource::<Pod>(), fetch::resource::<ReplicaSet>());
    let (pods, sets) = tokio::join!(
        fetch::list(client, scope, &pods, ListParams::default()),
        fetch::list(client, scope, &sets, ListParams::default()),
    );
    let (mut pods, sets) = (pods?, sets?);
    let uid = workload.uid().unwrap_or_default();
    let owned = sets.iter().filter(|set| owner(set) == Some(uid.as_str()));
    let mut owners: BTreeSet<String> = owned.filter_map(ResourceExt::uid).collect();
    owners.insert(uid);
    pods.retain(|pod| pod.annotations().contains_key(key) && owner(pod).is_some_and(|owner| owners.contains(owner)));
    Ok(pods)
}

/// Takes them out, as far as that may be done.
pub(super) async fn take_out(connection: &Connection, namespace: &str, workload: &DynamicObject, key: &str) -> Out {
    let mut out = Out::default();
    let place = Place::of::<Pod>(namespace);
    let changes = json!({"metadata": {"annotations": {key: null}}});
    for _ in 0..ROUNDS {
        let pods = match with_line(connection, namespace, workload, key).await {
            Ok(pods) if pods.is_empty() => {
                out.left = None;
                return out;
            }
            Ok(pods) => pods,
            Err(error) => {
                out.left = Some(error);
                return out;
            }
        };
        let write = |pod: DynamicObject| {
            let (place, changes) = (&place, &changes);
            async move { write::patch(connection, place, &pod, changes).await }
        };
        let mut written = stream::iter(pods).map(write).buffer_unordered(AT_A_TIME);
        let mut refused = None;
        while let Some(done) = written.next().await {
            match done {
                Ok(_) => out.taken += 1,
                Err(ActError::Conflict(pod)) => out.left = Some(ActError::Conflict(pod)),
                // One that is gone meanwhile is not there in the next round.
                Err(ActError::Rejected { reason, .. }) if reason.contains("not found") => {}
                Err(error) => refused = Some(error),
            }
        }
        if refused.is_some() {
            out.left = refused;
            return out;
        }
    }
    out
}

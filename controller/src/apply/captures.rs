//! The places of evidence, in the status of a Change that is closed.

use super::Authority;
use crate::metrics::Verb;
use flyball_crds::{CaptureFile, Change};
use kube::{Api, Client, ResourceExt, api::PostParams};
use tracing::warn;

/// How many a Change names.
const MOST: usize = 16;

/// Adds those that the Change does not name yet, and says whether it names them all now, or as many as fit. The version that was read is the
/// precondition: where it has moved, the next pass reads it again.
pub async fn add(client: &Client, change: &Change, files: &[CaptureFile], authority: &Authority) -> bool {
    let mut written = change.clone();
    let status = written.status.get_or_insert_default();
    let before = status.captures.len();
    for file in files {
        let known = status.captures.iter().any(|known| known.location == file.location);
        if !known && status.captures.len() < MOST {
            status.captures.push(file.clone());
        }
    }
    if status.captures.len() == before {
        return true;
    }
    let api: Api<Change> = Api::namespaced(client.clone(), &change.namespace().unwrap_or_default());
    let (name, parameters) = (
        change.name_any(),
        PostParams {
            field_manager: Some(flyball_crds::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        },
    );
    let request = api.replace_status(&name, &parameters, &written);
    match authority.within(Verb::Update, request).await {
        Ok(_) => true,
        Err(error) => {
            warn!(change = name, %error, "the places of evidence were not added; the next pass tries again");
            false
        }
    }
}

//! A Change names the evidence from around it.
//!
//! While a Change is open its status is the journal, written with its resourceVersion by whoever carries it: a line of
//! ours in between would cost that pass its write. So it is added once the Change is closed; until then the policy's status has it.

use super::{change, memory::CaptureMemory};
use crate::{apply, observe::is_open, reconcile::Pass};
use flyball_crds::CaptureFile;
use std::collections::BTreeSet;

/// Adds what the closed Changes don't name yet.
pub(super) async fn link(pass: &Pass<'_>, known: &mut CaptureMemory) {
    let missing = |known: &CaptureMemory| -> BTreeSet<String> {
        let open = known
            .files
            .iter()
            .filter(|file| !known.linked.contains(&file.file.location));
        open.filter_map(|file| file.change.clone()).collect()
    };
    for name in missing(known) {
        let Some(change) = change(pass, &name).filter(|change| !is_open(change)) else {
            continue;
        };
        // The oldest first, as they were taken.
        let of_change = known
            .files
            .iter()
            .rev()
            .filter(|file| file.change.as_deref() == Some(name.as_str()));
        let files: Vec<CaptureFile> = of_change.map(|file| file.file.clone()).collect();
        if apply::captures::add(&pass.ctx.clients.write, &change, &files, pass.authority).await {
            known.linked.extend(files.into_iter().map(|file| file.location));
        }
    }
    known
        .linked
        .retain(|location| known.files.iter().any(|file| file.file.location == *location));
}

//! Somebody's approval, where an action asks for it.

use super::{Approval, Finding};
use crate::policy::Replicas;

/// What was approved is one number, and only that number is written.
pub(super) fn approval(approval: &Approval, to: Replicas) -> Finding {
    match approval {
        Approval::NotNeeded => Finding::Pass("none is asked for".to_owned()),
        Approval::Awaited(Some(change)) => Finding::Refuse(format!(
            "the change to {to} waits for approval; flyball approve {change}"
        )),
        Approval::Awaited(None) => Finding::Refuse(format!(
            "the change to {to} waits for approval; flyball approve the Change that records it"
        )),
        Approval::Granted { to: granted, by } if *granted == to => Finding::Pass(format!("{by} approved {granted}")),
        Approval::Granted { to: granted, by } => Finding::Refuse(format!(
            "{by} approved {granted} replicas, and it would be {to} now; approve {to}, or wait until it is {granted} again"
        )),
    }
}

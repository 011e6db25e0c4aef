//! Somebody's approval, where an action asks for it.

use super::{Approval, Finding};
use crate::policy::Replicas;

/// What was approved is one step, from one number to another, and only that is written: who agrees to 2 -> 5
/// has not agreed to 10 -> 5.
pub(super) fn approval(approval: &Approval, from: Replicas, to: Replicas) -> Finding {
    match approval {
        Approval::NotNeeded => Finding::Pass("none is asked for".to_owned()),
        Approval::Awaited(Some(change)) => Finding::Refuse(format!(
            "the change to {to} waits for approval; flyball approve {change}"
        )),
        Approval::Awaited(None) => Finding::Refuse(format!(
            "the change to {to} waits for approval; flyball approve the Change that records it"
        )),
        Approval::Granted {
            from: before,
            to: granted,
            by,
        } if (*before, *granted) == (from, to) => Finding::Pass(format!("{by} approved {before} -> {granted}")),
        Approval::Granted {
            from: before,
            to: granted,
            by,
        } => Finding::Refuse(format!(
            "{by} approved {before} -> {granted}, and it would be {from} -> {to} now; approve that, or wait until it is \
             {before} -> {granted} again"
        )),
    }
}

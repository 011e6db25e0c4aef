//! At most one open Change for one field of one target (law 3).

use super::{Finding, OpenChange};
use crate::{decide::Direction, policy::Replicas};

/// The finding, and the Change that is superseded.
///
/// A larger increase supersedes an increase that is being verified, or a surge would have to wait for
/// a verification. An increase from zero supersedes the decrease to zero that is being verified: what
/// has to be done waits meanwhile, and nothing is left that could be measured. Everything else waits.
pub(super) fn supersede(
    from: Replicas,
    direction: Direction,
    to: Replicas,
    open: &OpenChange,
) -> (Finding, Option<String>) {
    match open {
        OpenChange::None => (Finding::Pass("no Change is open".to_owned()), None),
        OpenChange::Others { name, policy } => (others(name, policy), None),
        OpenChange::Unknown(why) => (unknown(why), None),
        OpenChange::Ours {
            name,
            direction: way,
            to: open,
            superseding_allowed: true,
        } if direction == Direction::Up
            && to > *open
            && (*way == Direction::Up || (from == *open && open.get() == 0)) =>
        {
            (
                Finding::Pass(format!("supersedes Change {name}, which went to {open}")),
                Some(name.clone()),
            )
        }
        OpenChange::Ours {
            name,
            direction: way,
            to: open,
            ..
        } => {
            let refusal = format!("Change {name} {way} to {open} is open; wait until it is closed");
            (Finding::Refuse(refusal), None)
        }
    }
}

/// For an undoing: the Change that is undone is open, and that is as it should be.
pub(super) fn own(open: &OpenChange) -> Finding {
    match open {
        OpenChange::None => Finding::Pass("no other Change is open".to_owned()),
        OpenChange::Ours { name, .. } => Finding::Pass(format!("undoes Change {name}")),
        OpenChange::Others { name, policy } => others(name, policy),
        OpenChange::Unknown(why) => unknown(why),
    }
}

fn unknown(why: &str) -> Finding {
    Finding::Refuse(format!(
        "whether another Change is open for the field is not known: {why}"
    ))
}

fn others(name: &str, policy: &str) -> Finding {
    Finding::Refuse(format!(
        "Change {name} of {policy} is open for the same field; wait until it is closed, and let only one action set the field"
    ))
}

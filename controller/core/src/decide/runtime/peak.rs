//! When no process may be given more headroom.

use super::{
    Worked,
    profile::{NotKnown, Profile, Quantity, needed},
    show,
};
use crate::bytes::Bytes;

/// Within so many percent of the container's limit nothing is raised.
pub const NEAR_PERCENT: u32 = 10;
/// With less of the node's memory available nothing is raised.
pub const NODE_AVAILABLE: f64 = 0.20;

/// Why nothing may be raised.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NoRaise {
    /// Something is not known.
    #[error("{0}; nothing is raised until it is")]
    NotKnown(#[from] NotKnown),
    /// The container is nearly full.
    #[error(
        "the container uses {used} of {limit}, within {NEAR_PERCENT} %; raise its limit, or wait until it uses less than {}",
        limit.minus(limit.percent(NEAR_PERCENT))
    )]
    Near {
        /// Its memory in use.
        used: Bytes,
        /// Its limit.
        limit: Bytes,
    },
    /// The node is nearly full.
    #[error(
        "{} of the node's memory is available, less than {}; move pods away, or wait",
        show::percent(*available),
        show::percent(NODE_AVAILABLE)
    )]
    Node {
        /// The part that is available, from 0 to 1.
        available: f64,
    },
}

/// Whether more headroom may be given. A container without a limit has the node's memory alone.
pub fn may_raise(profile: &Profile) -> Worked<Result<(), NoRaise>> {
    Worked::of(|lines| {
        let available = needed(Quantity::NodeAvailable, &profile.node_available)?.get();
        lines.push(format!(
            "the node has {} available, not below {}",
            show::percent(available),
            show::percent(NODE_AVAILABLE)
        ));
        if available < NODE_AVAILABLE {
            return Err(NoRaise::Node { available });
        }
        let Some(limit) = needed(Quantity::Limit, &profile.limit)? else {
            return Ok(());
        };
        let used = needed(Quantity::Used, &profile.used)?;
        let near = limit.minus(limit.percent(NEAR_PERCENT));
        lines.push(format!("the container uses {used}, below 0.90 * {limit} = {near}"));
        if used >= near {
            return Err(NoRaise::Near { used, limit });
        }
        Ok(())
    })
}

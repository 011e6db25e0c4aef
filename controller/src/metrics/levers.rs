//! What policies move, and how it stands.

use super::{Metrics, PolicyName, Share, series::Series, whole};
use flyball_crds::WeightMove;

/// The shares of a backend among those that are managed, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares<'a> {
    /// The backend.
    pub backend: &'a str,
    /// What the action asks for.
    pub desired: f64,
    /// By the weights of the route.
    pub current: f64,
    /// By the base weights.
    pub base: f64,
}

impl Metrics {
    /// How many replicas an action's target has, and how many the action asks for.
    pub fn replicas(&self, policy: PolicyName<'_>, action: &str, current: i32, desired: i32) {
        let labels = policy.and([("action", action)]);
        self.replicas_current.of(&labels).set(i64::from(current));
        self.replicas_desired.of(&labels).set(i64::from(desired));
    }

    /// The shares of an action's backends. One that is not among them any more is told of no more; none at all
    /// where the route can't be read.
    pub fn weights(&self, policy: PolicyName<'_>, action: &str, shares: &[Shares<'_>]) {
        let labels = policy.and([("action", action)]);
        let backends: Vec<&str> = shares.iter().map(|one| one.backend).collect();
        let tell = |gauge: &Series<Share>, share: fn(&Shares<'_>) -> f64| {
            gauge.keep_among(&labels, &backends);
            for one in shares {
                let labels = policy.and([("action", action), ("backend", one.backend)]);
                gauge.of(&labels).set(share(one));
            }
        };
        tell(&self.weight_desired, |one| one.desired);
        tell(&self.weight_current, |one| one.current);
        tell(&self.weight_base, |one| one.base);
    }

    /// How many backends of an action are out.
    pub fn backends_out(&self, policy: PolicyName<'_>, action: &str, count: usize) {
        self.backends_out
            .of(&policy.and([("action", action)]))
            .set(whole(count));
    }

    /// A Change of weights was begun.
    pub fn weights_moved(&self, policy: PolicyName<'_>, action: &str, why: WeightMove) {
        let why = match why {
            WeightMove::Law => "Law",
            WeightMove::Ejection => "Ejection",
            WeightMove::Return => "Return",
            WeightMove::Reapply => "Reapply",
        };
        self.weight_changes
            .of(&policy.and([("action", action), ("why", why)]))
            .inc();
    }

    /// What became of the lines of a policy's pods in one pass: ready pods and those that have theirs; lines that were
    /// changed, renewed, or could not be written.
    pub fn lines(
        &self,
        policy: PolicyName<'_>,
        (ready, given): (usize, usize),
        (changed, renewed, failed): (usize, usize, usize),
    ) {
        for (state, count) in [("ready", ready), ("given", given)] {
            self.runtime_pods.of(&policy.and([("state", state)])).set(whole(count));
        }
        for (what, count) in [("changed", changed), ("renewed", renewed), ("failed", failed)] {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.runtime_lines.of(&policy.and([("what", what)])).inc_by(count);
        }
    }
}

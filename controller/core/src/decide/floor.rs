//! The bounds of one pass: the action's, with the floor of its schedules.

use super::{History, Inputs, zero};
use crate::{
    policy::{Bounds, Replicas, ReplicasAction, floor},
    time::Timestamp,
};
use std::fmt;

/// The bounds that count now. `decide` and `check` both take them from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits<'a> {
    /// The smallest and the largest number.
    pub bounds: Bounds,
    /// Where the smallest number comes from.
    pub lowest: Lowest<'a>,
}

/// Where the smallest number comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lowest<'a> {
    /// From `min`.
    Min,
    /// From a schedule that counts now; it never goes above `max`.
    Schedule {
        /// The schedule's name.
        name: &'a str,
        /// What it asks for.
        replicas: Replicas,
    },
    /// It is the last replica, which stays for this reason.
    Last(String),
}

impl<'a> Limits<'a> {
    /// The action's bounds, raised by the schedules that count now.
    pub(crate) fn of(action: &'a ReplicasAction, now: Timestamp) -> Self {
        let Bounds { min, max } = action.bounds;
        match floor(&action.schedules, now).filter(|(_, replicas)| (*replicas).min(max) > min) {
            Some((name, replicas)) => Self {
                bounds: Bounds {
                    min: replicas.min(max),
                    max,
                },
                lowest: Lowest::Schedule { name, replicas },
            },
            None => Self::unraised(action),
        }
    }

    /// The action's bounds, whatever its schedules say.
    pub(crate) fn unraised(action: &'a ReplicasAction) -> Self {
        Self {
            bounds: action.bounds,
            lowest: Lowest::Min,
        }
    }

    /// The same for a decrease: the last replica goes only once there has been nothing to do for long
    /// enough.
    pub(crate) fn downwards(
        action: &'a ReplicasAction,
        inputs: &Inputs<'_>,
        history: &History,
        now: Timestamp,
    ) -> Self {
        let limits = Self::of(action, now);
        match &action.zero {
            Some(zero) if limits.bounds.min.get() == 0 => match zero::may_go(zero, inputs, history, now) {
                Ok(_) => limits,
                Err(why) => limits.keeping_the_last(why),
            },
            _ => limits,
        }
    }

    fn keeping_the_last(mut self, why: String) -> Self {
        self.bounds.min = Replicas::nearest(1).min(self.bounds.max);
        self.lowest = Lowest::Last(why);
        self
    }

    /// Why there are no fewer, after a comma or a "but", with the way out.
    pub(crate) fn no_fewer(&self) -> String {
        let min = self.bounds.min;
        match &self.lowest {
            Lowest::Min => format!("min is {min}; lower min to allow fewer"),
            Lowest::Schedule { .. } => format!("the smallest is {self}; fewer only when it is over"),
            Lowest::Last(why) => format!("the last replica stays: {why}"),
        }
    }
}

impl fmt::Display for Limits<'_> {
    /// The smallest number and where it comes from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let min = self.bounds.min;
        match &self.lowest {
            Lowest::Min => write!(f, "min {min}"),
            Lowest::Schedule { name, replicas } if *replicas > min => {
                write!(f, "{min} by schedule {name}, which asks for {replicas} and ends at max")
            }
            Lowest::Schedule { name, .. } => write!(f, "{min} by schedule {name}"),
            Lowest::Last(_) => write!(f, "{min}, the last replica"),
        }
    }
}

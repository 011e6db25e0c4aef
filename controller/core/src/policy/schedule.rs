//! Times at which the smallest number of replicas is higher.

use super::Replicas;
use crate::time::Timestamp;
use std::{fmt, sync::Arc};

/// A recurring span of time. Time zones need a database, which the core does not have, so `validate`
/// makes these; a window is pure all the same: the answer depends on the argument alone.
pub trait Window: fmt::Debug + Send + Sync {
    /// Whether `at` lies within.
    fn contains(&self, at: Timestamp) -> bool;
    /// As it was written: two windows of one text are the same.
    fn text(&self) -> &str;
}

/// A floor that counts at certain times.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Its name within the action.
    pub name: String,
    /// When.
    pub window: Arc<dyn Window>,
    /// The smallest number meanwhile.
    pub replicas: Replicas,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.window.text(), self.replicas) == (&other.name, other.window.text(), other.replicas)
    }
}

/// The highest floor that counts at `now`, with the name of its schedule.
pub fn floor(schedules: &[Schedule], now: Timestamp) -> Option<(&str, Replicas)> {
    schedules
        .iter()
        .filter(|schedule| schedule.window.contains(now))
        .max_by_key(|schedule| schedule.replicas)
        .map(|schedule| (schedule.name.as_str(), schedule.replicas))
}

//! Memory watermarks, past validation.

use super::Query;
use crate::evaluate::watermark::{By, Level, Watermarks};

/// A memory watermark: three rules.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryWatermark {
    /// What the names of its rules begin with.
    pub name: String,
    /// Whose memory.
    pub by: By,
    /// This container alone.
    pub container: Option<String>,
    /// How full each is, from 0 to 1.
    pub ratio: Query,
    /// When that was sampled, in seconds since 1970; `None`: it is not known.
    pub sampled: Option<Query>,
    /// The working set of each pod in bytes, where a node's pod has to be found.
    pub used: Option<Query>,
    /// Its levels.
    pub marks: Watermarks,
}

impl MemoryWatermark {
    /// The name of the rule of a level.
    pub fn alert(&self, level: Level) -> String {
        let word = match level {
            Level::Normal => "Normal",
            Level::Warning => "Warning",
            Level::High => "High",
            Level::Emergency => "Emergency",
        };
        format!("{}{word}", self.name)
    }
}

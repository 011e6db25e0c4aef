//! What pods are told for the application's sake.

use crate::evaluate::watermark::Level;

/// What pods are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Annotate {
    /// A level of memory pressure, by the line of an agent.
    Pressure {
        /// The container whose process has the agent.
        container: String,
        /// The level, never [`Level::Normal`].
        level: Level,
    },
    /// An annotation of the application's own.
    App {
        /// What follows the prefix in its key.
        name: String,
        /// What it says.
        value: String,
    },
}

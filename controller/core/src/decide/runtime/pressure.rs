//! What a node's memory watermark means for the price of memory on it.

use super::Lambda;
use crate::evaluate::watermark::Level;

/// What follows from a level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressure {
    /// By how much memory is dearer for pods above their request.
    pub factor: f64,
    /// Whether no knob may be tightened any more: a collection costs CPU, and what is left to do is to evict or shed.
    pub frozen: bool,
}

impl Pressure {
    /// Warning doubles the price, high is eightfold; in an emergency nothing is tightened.
    pub const fn of(level: Level) -> Self {
        let (factor, frozen) = match level {
            Level::Normal => (1.0, false),
            Level::Warning => (2.0, false),
            Level::High => (8.0, false),
            Level::Emergency => (8.0, true),
        };
        Self { factor, frozen }
    }

    /// The price for a pod. One within its request has paid for what it uses.
    pub fn price(self, lambda: Lambda, above_request: bool) -> Lambda {
        if above_request {
            lambda.times(self.factor)
        } else {
            lambda
        }
    }
}

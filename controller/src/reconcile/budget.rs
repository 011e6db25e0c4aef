//! What all policies together may take away within a minute.
//!
//! A mistake in one policy costs one workload; a mistake in what all of them read, such as a label that
//! went missing, would cost every workload at once. The budget turns the latter into something that an
//! operator has the time to stop.

use flyball_core::{check, time::Span, time::Timestamp};
use flyball_crds::{Change, Direction};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::from_micro_time;

/// The length of the window.
const WINDOW: Span = Span::from_secs(60);

/// The budget of one controller.
#[derive(Debug, Default)]
pub struct Budget {
    /// The most replicas that may be taken away within a minute; `None`: no limit.
    per_minute: Option<u32>,
    /// What this process has begun to take away: when, and how many.
    begun: Mutex<Vec<(Timestamp, u32)>>,
}

impl Budget {
    /// A budget of so many replicas a minute.
    pub fn new(per_minute: Option<u32>) -> Self {
        Self {
            per_minute,
            begun: Mutex::default(),
        }
    }

    /// The budget as the check reads it. What an earlier process took away is known from its Changes.
    pub fn seen(&self, changes: &[Arc<Change>], now: Timestamp) -> check::Budget {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        check::Budget {
            per_minute: self.per_minute,
            taken: within(&begun, now).max(recorded(changes, now)),
        }
    }

    /// Takes `count` out of the budget, unless another policy was faster. Passes run side by side, so what
    /// the check saw may be gone by the time its Change begins.
    pub fn take(&self, count: u32, now: Timestamp) -> bool {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|(at, _)| now.since(*at) < WINDOW);
        let fits = self
            .per_minute
            .is_none_or(|most| within(&begun, now).saturating_add(count) <= most);
        if fits {
            begun.push((now, count));
        }
        fits
    }
}

fn within(begun: &[(Timestamp, u32)], now: Timestamp) -> u32 {
    let recent = begun.iter().filter(|(at, _)| now.since(*at) < WINDOW);
    recent.fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// What the Changes of the last minute took away. A roll-back gives up what was just added and is no loss
/// to anybody, so it does not count.
fn recorded(changes: &[Arc<Change>], now: Timestamp) -> u32 {
    let taken = changes.iter().filter_map(|change| {
        let at = from_micro_time(change.status.as_ref()?.applied_at.as_ref()?);
        let down = change.spec.direction == Direction::Down && at <= now && now.since(at) < WINDOW;
        down.then(|| u32::try_from(change.spec.before - change.spec.after).unwrap_or(0))
    });
    taken.fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn what_is_taken_comes_back_after_a_minute() {
        let budget = Budget::new(Some(5));
        assert!(budget.take(3, at(0)));
        assert!(!budget.take(3, at(59)), "2 are left");
        assert!(budget.take(2, at(59)));
        assert_eq!(budget.seen(&[], at(59)).taken, 5);
        assert!(!budget.take(4, at(60)), "2 are still out");
        assert!(budget.take(3, at(60)));
        assert_eq!(budget.seen(&[], at(119)).taken, 3);
    }

    #[test]
    fn without_a_limit_everything_fits() {
        let budget = Budget::default();
        assert!(budget.take(u32::MAX, at(0)) && budget.take(u32::MAX, at(0)));
        assert_eq!(budget.seen(&[], at(0)).per_minute, None);
    }
}

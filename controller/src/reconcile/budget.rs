//! What all policies together may take away within a minute.
//!
//! A mistake in one policy costs one workload; a mistake in what all of them read, such as a label that
//! went missing, would cost every workload at once. The budget turns the latter into something that an
//! operator has the time to stop.

use flyball_core::{check, time::Span, time::Timestamp};
use flyball_crds::{Change, Direction};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::from_micro_time;

/// The length of the window.
const WINDOW: Span = Span::from_secs(60);

/// The budget of one controller.
#[derive(Debug, Default)]
pub struct Budget {
    /// The most replicas that may be taken away within a minute; `None`: no limit.
    per_minute: Option<u32>,
    begun: Mutex<Begun>,
}

/// What this process has begun to take away.
#[derive(Debug, Default)]
struct Begun {
    /// The number of the next share.
    next: u64,
    shares: Vec<Share>,
}

#[derive(Debug)]
struct Share {
    number: u64,
    at: Timestamp,
    count: u32,
}

/// A part of the budget that was taken. It goes back when this is dropped, unless a Change came of it: a policy
/// whose Changes can't be created must not keep all others from what they may take away.
#[derive(Debug)]
#[must_use = "what is not kept goes back"]
pub struct Taken<'a> {
    budget: &'a Budget,
    number: u64,
}

impl Taken<'_> {
    /// Its Change was created.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut begun = self.budget.begun();
        begun.shares.retain(|share| share.number != self.number);
    }
}

impl Budget {
    /// A budget of so many replicas a minute.
    pub fn new(per_minute: Option<u32>) -> Self {
        Self {
            per_minute,
            begun: Mutex::default(),
        }
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The budget as the check reads it. What an earlier process took away is known from its Changes.
    pub fn seen(&self, changes: &[Arc<Change>], now: Timestamp) -> check::Budget {
        check::Budget {
            per_minute: self.per_minute,
            taken: within(&self.begun().shares, now).max(recorded(changes, now)),
        }
    }

    /// Takes `count` out of the budget, unless another policy was faster. Passes run side by side, so what
    /// the check saw may be gone by the time its Change begins.
    pub fn take(&self, count: u32, now: Timestamp) -> Option<Taken<'_>> {
        let mut begun = self.begun();
        begun.shares.retain(|share| now.since(share.at) < WINDOW);
        let fits = self
            .per_minute
            .is_none_or(|most| within(&begun.shares, now).saturating_add(count) <= most);
        if !fits {
            return None;
        }
        let number = begun.next;
        begun.next += 1;
        begun.shares.push(Share { number, at: now, count });
        Some(Taken { budget: self, number })
    }
}

fn within(shares: &[Share], now: Timestamp) -> u32 {
    let recent = shares.iter().filter(|share| now.since(share.at) < WINDOW);
    recent.fold(0, |sum, share| sum.saturating_add(share.count))
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

    /// Takes it for a Change that is created.
    fn took(budget: &Budget, count: u32, second: i64) -> bool {
        let taken = budget.take(count, at(second));
        taken.map(Taken::keep).is_some()
    }

    #[test]
    fn what_is_taken_comes_back_after_a_minute() {
        let budget = Budget::new(Some(5));
        assert!(took(&budget, 3, 0));
        assert!(!took(&budget, 3, 59), "2 are left");
        assert!(took(&budget, 2, 59));
        assert_eq!(budget.seen(&[], at(59)).taken, 5);
        assert!(!took(&budget, 4, 60), "2 are still out");
        assert!(took(&budget, 3, 60));
        assert_eq!(budget.seen(&[], at(119)).taken, 3);
    }

    /// A policy whose Changes are never created tries with every pass.
    #[test]
    fn what_no_change_came_of_goes_back() {
        let budget = Budget::new(Some(5));
        assert!(took(&budget, 1, 0));
        for second in 1..30 {
            let taken = budget.take(4, at(second)).expect("4 are left");
            assert_eq!(budget.seen(&[], at(second)).taken, 5, "it is out while it is tried");
            assert!(budget.take(1, at(second)).is_none());
            drop(taken);
            assert_eq!(budget.seen(&[], at(second)).taken, 1);
        }
        // One of two that took at the same time.
        let (one, other) = (budget.take(1, at(30)), budget.take(3, at(30)));
        drop(one);
        other.expect("3 are left").keep();
        assert_eq!(budget.seen(&[], at(30)).taken, 4);
        assert!(took(&budget, 1, 30));
    }

    #[test]
    fn without_a_limit_everything_fits() {
        let budget = Budget::default();
        assert!(took(&budget, u32::MAX, 0) && took(&budget, u32::MAX, 0));
        assert_eq!(budget.seen(&[], at(0)).per_minute, None);
    }
}

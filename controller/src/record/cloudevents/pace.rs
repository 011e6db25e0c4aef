//! How fast a receiver is asked: at most so often within a minute, with growing pauses after failures, and not before the time that it
//! asked for itself.

use std::{collections::VecDeque, time::Duration};
use tokio::time::{Instant, sleep_until};

/// The pause before the second try; each one after is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a receiver is left alone at most because it asked for that.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
const MINUTE: Duration = Duration::from_secs(60);

/// When the next request may go out.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    /// When those of the last minute went out.
    lately: VecDeque<Instant>,
    not_before: Option<Instant>,
}

impl Pace {
    /// At most so many requests within a minute.
    pub fn new(most: u32) -> Self {
        Self {
            most: usize::try_from(most).unwrap_or(usize::MAX).max(1),
            lately: VecDeque::new(),
            not_before: None,
        }
    }

    /// Waits until a request may go out, which then counts as one.
    pub async fn turn(&mut self) {
        if let Some(at) = self.not_before.take() {
            sleep_until(at).await;
        }
        let begun = Instant::now();
        self.lately.retain(|at| begun.duration_since(*at) < MINUTE);
        if self.lately.len() >= self.most
            && let Some(first) = self.lately.pop_front()
        {
            sleep_until(first + MINUTE).await;
        }
        self.lately.push_back(Instant::now());
    }

    /// The last request was the `attempt`th of one event and was not taken; the receiver asked to be left alone for so long.
    pub fn failed(&mut self, attempt: u32, asked: Option<Duration>) {
        self.not_before = Some(Instant::now() + pause(attempt, asked));
    }

    /// An event was given up: the next one has pauses of its own, but what the receiver asked for counts for all.
    pub fn gave_up(&mut self, asked: Option<Duration>) {
        self.not_before = asked.map(|asked| Instant::now() + asked.min(LONGEST_PAUSE));
    }
}

fn pause(attempt: u32, asked: Option<Duration>) -> Duration {
    let own = PAUSE * 2_u32.saturating_pow(attempt.saturating_sub(1));
    own.max(asked.unwrap_or_default()).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_no_shorter_than_the_receiver_asks_for() {
        let check = |attempt, asked: Option<u64>, expect| {
            let found = pause(attempt, asked.map(Duration::from_secs));
            assert_eq!(found, Duration::from_secs(expect), "{attempt} {asked:?}");
        };
        check(1, None, 1);
        check(2, None, 2);
        check(5, None, 16);
        check(1, Some(30), 30);
        check(5, Some(3), 16);
        check(1, Some(86_400), 900);
        check(u32::MAX, None, 900);
    }

    /// When each of so many requests goes out, in seconds.
    async fn turns(pace: &mut Pace, count: usize, began: Instant) -> Vec<u64> {
        let mut all = Vec::new();
        for _ in 0..count {
            pace.turn().await;
            all.push(began.elapsed().as_secs());
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_go_out_within_a_minute() {
        let (mut pace, began) = (Pace::new(3), Instant::now());
        assert_eq!(turns(&mut pace, 2, began).await, [0, 0]);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(turns(&mut pace, 5, began).await, [20, 60, 60, 80, 120]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_receiver_asks_for_counts_for_the_next_event_too() {
        let (mut pace, began) = (Pace::new(100), Instant::now());
        pace.failed(1, None);
        assert_eq!(turns(&mut pace, 2, began).await, [1, 1]);
        pace.failed(2, Some(Duration::from_secs(10)));
        assert_eq!(turns(&mut pace, 1, began).await, [11]);
        pace.gave_up(None);
        assert_eq!(turns(&mut pace, 1, began).await, [11]);
        pace.gave_up(Some(Duration::from_secs(30)));
        assert_eq!(turns(&mut pace, 2, began).await, [41, 41]);
    }
}

//! A token bucket: so many at once, and one more after each while.

use std::time::Duration;
use tokio::time::Instant;

/// What may be taken, and how much of it is used up.
#[derive(Debug)]
pub(super) struct Bucket {
    most: u32,
    each: Duration,
    /// How many are used up, as of then. They come back with time.
    used: Option<(f64, Instant)>,
}

impl Bucket {
    /// `most` at once, of which one comes back after `each`.
    pub(super) const fn new(most: u32, each: Duration) -> Self {
        Self { most, each, used: None }
    }

    fn used(&self, now: Instant) -> f64 {
        self.used.map_or(0.0, |(used, at)| {
            let back = now.saturating_duration_since(at).as_secs_f64() / self.each.as_secs_f64();
            (used - back).max(0.0)
        })
    }

    /// Takes one; else how long until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let (used, most) = (self.used(now) + 1.0, f64::from(self.most));
        if used > most {
            return Err(self.each.mul_f64(used - most));
        }
        self.used = Some((used, now));
        Ok(())
    }

    /// Whether all that was taken came back.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.used(now) <= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_comes_back_and_no_more_than_that_is_saved_up() {
        let mut bucket = Bucket::new(2, Duration::from_secs(10));
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        assert!(bucket.is_full(began));
        assert_eq!((bucket.take(began), bucket.take(began)), (Ok(()), Ok(())));
        assert_eq!(bucket.take(after(4)), Err(Duration::from_secs(6)));
        assert_eq!(bucket.take(after(10)), Ok(()));
        assert_eq!(bucket.take(after(10)), Err(Duration::from_secs(10)));
        assert!(!bucket.is_full(after(29)) && bucket.is_full(after(30)));
        let later = after(3600);
        assert_eq!((bucket.take(later), bucket.take(later)), (Ok(()), Ok(())));
        assert!(bucket.take(later).is_err());
    }
}

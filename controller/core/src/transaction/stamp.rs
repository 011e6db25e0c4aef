//! The stamp: an annotation on the target that says which attempt of which Change may write it now.

use std::{fmt, str::FromStr};

/// Which attempt of which Change may write the target. Written as `sequence=7,attempt=0`.
///
/// Writing it changes the object, so its resourceVersion moves, and every write that is still under
/// way with an older one is dead. The stamp is the fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp {
    /// The Change's number on this target; grows by one with each Change.
    pub sequence: u64,
    /// The Change's attempt; grows with each pass that takes the Change up.
    pub attempt: u64,
}

impl Stamp {
    /// One stamp for a target in several places, as transaction `sequence` has to see it: a later one's, if any
    /// place has one; else the least, so that it counts as stamped only once every place is.
    pub fn joined(stamps: impl IntoIterator<Item = Option<Self>>, sequence: u64) -> Option<Self> {
        let stamps: Vec<Option<Self>> = stamps.into_iter().collect();
        let newest = stamps.iter().flatten().max().copied();
        newest
            .filter(|newest| newest.sequence > sequence)
            .or_else(|| stamps.into_iter().min().flatten())
    }
}

/// Why a text is not a stamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a stamp; remove the annotation and the next Change starts a new one")]
pub struct StampError(String);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sequence={},attempt={}", self.sequence, self.attempt)
    }
}

impl FromStr for Stamp {
    type Err = StampError;

    fn from_str(text: &str) -> Result<Self, StampError> {
        text.split_once(',')
            .and_then(|(sequence, attempt)| {
                Some(Self {
                    sequence: sequence.strip_prefix("sequence=")?.parse().ok()?,
                    attempt: attempt.strip_prefix("attempt=")?.parse().ok()?,
                })
            })
            .ok_or_else(|| StampError(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_as_it_was_written() {
        for stamp in [
            Stamp {
                sequence: 1,
                attempt: 0,
            },
            Stamp {
                sequence: u64::MAX,
                attempt: 9,
            },
        ] {
            assert_eq!(stamp.to_string().parse(), Ok(stamp));
        }
    }

    #[test]
    fn several_places_count_as_stamped_once_all_are() {
        let stamp = |(sequence, attempt)| Stamp { sequence, attempt };
        let check = |stamps: &[Option<(u64, u64)>], expect: Option<(u64, u64)>| {
            let stamps = stamps.iter().map(|found| found.map(stamp));
            assert_eq!(Stamp::joined(stamps.clone(), 7), expect.map(stamp), "{stamps:?}");
        };
        check(&[Some((7, 1)), Some((7, 1))], Some((7, 1)));
        check(&[Some((7, 1)), Some((7, 0))], Some((7, 0)));
        check(&[Some((7, 1)), Some((4, 3))], Some((4, 3)));
        check(&[Some((7, 1)), None], None);
        check(&[None, None], None);
        // Whoever has a later number took over, wherever it stands.
        check(&[Some((8, 0)), Some((7, 1))], Some((8, 0)));
        check(&[None, Some((9, 2))], Some((9, 2)));
    }

    #[test]
    fn what_is_not_a_stamp_is_refused() {
        for text in [
            "",
            "sequence=1",
            "sequence=-1,attempt=2",
            "sequence=1,attempt=2,x",
            "1,2",
        ] {
            assert!(text.parse::<Stamp>().is_err(), "{text:?}");
        }
    }
}

//! What a transaction moves: the value of one field, or of one field in several places at once.

use crate::policy::{PodState, Replicas, Setting, Weights};
use std::fmt;

/// A field's value. One that stands in several places is written place by place, and can be found half-way.
pub trait Value: Clone + PartialEq {
    /// Whether every place holds either what it held before or what is written, some the one and some the
    /// other. A value in one place is never half-way.
    fn is_between(&self, _before: &Self, _after: &Self) -> bool {
        false
    }

    /// Whether somewhere what was written is in place.
    fn has_some(&self, _before: &Self, after: &Self) -> bool {
        self == after
    }

    /// What is there once everything that the transaction wrote went back to `to`, and nothing else moved: what
    /// somebody else wrote is theirs.
    #[must_use]
    fn taken_back(&self, after: &Self, to: &Self) -> Self {
        if self == after { to.clone() } else { self.clone() }
    }
}

impl Value for Replicas {}

impl Value for Setting {}

impl Value for PodState {}

/// The values in several places, always in the same order, and always as many.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Places<V>(pub Vec<V>);

impl<V: Clone + PartialEq> Value for Places<V> {
    fn is_between(&self, before: &Self, after: &Self) -> bool {
        self.0.len() == before.0.len()
            && self.0.len() == after.0.len()
            && self != before
            && self != after
            && self
                .zip(before, after)
                .all(|(value, before, after)| value == before || value == after)
    }

    fn has_some(&self, before: &Self, after: &Self) -> bool {
        self.zip(before, after)
            .any(|(value, before, after)| value == after && before != after)
    }

    fn taken_back(&self, after: &Self, to: &Self) -> Self {
        let places = self.zip(after, to);
        Self(
            places
                .map(|(value, after, to)| if value == after { to } else { value }.clone())
                .collect(),
        )
    }
}

impl<V> Places<V> {
    fn zip<'a>(&'a self, first: &'a Self, second: &'a Self) -> impl Iterator<Item = (&'a V, &'a V, &'a V)> {
        let others = first.0.iter().zip(&second.0);
        self.0
            .iter()
            .zip(others)
            .map(|(value, (first, second))| (value, first, second))
    }
}

/// The same weights everywhere are said once.
impl fmt::Display for Places<Weights> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_first() {
            Some((first, others)) if others.iter().all(|other| other == first) => first.fmt(f),
            _ => {
                for (index, weights) in self.0.iter().enumerate() {
                    let between = if index == 0 { "" } else { " | " };
                    write!(f, "{between}{weights}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Places<char> {
        Places(text.chars().collect())
    }

    #[test]
    fn what_is_half_way_is_told_from_what_is_somebody_elses() {
        // found, before, after: half-way, some of ours
        let check = |found: &str, before: &str, after: &str, between: bool, some: bool| {
            let (found, before, after) = (places(found), places(before), places(after));
            assert_eq!(
                found.is_between(&before, &after),
                between,
                "{found:?} {before:?} {after:?}"
            );
            assert_eq!(found.has_some(&before, &after), some, "{found:?} {before:?} {after:?}");
        };
        check("aa", "aa", "bb", false, false);
        check("ba", "aa", "bb", true, true);
        check("ab", "aa", "bb", true, true);
        check("bb", "aa", "bb", false, true);
        check("bx", "aa", "bb", false, true);
        check("ax", "aa", "bb", false, false);
        // A place that has what is written already was not written by us.
        check("ba", "ba", "bb", false, false);
        check("bx", "ba", "bb", false, false);
        check("aba", "aaa", "bbb", true, true);
    }

    #[test]
    fn what_goes_back_is_only_what_was_written() {
        let check = |found: &str, after: &str, to: &str, expect: &str| {
            assert_eq!(places(found).taken_back(&places(after), &places(to)), places(expect));
        };
        check("bb", "bb", "aa", "aa");
        check("ba", "bb", "aa", "aa");
        check("bx", "bb", "aa", "ax");
        check("xy", "bb", "aa", "xy");
        check("bb", "bb", "cd", "cd");
    }

    #[test]
    fn a_value_in_one_place_goes_back_only_if_it_is_ours() {
        let replicas = |count| Replicas::new(count).expect("a number");
        let check = |found, expect| {
            assert_eq!(replicas(found).taken_back(&replicas(3), &replicas(2)), replicas(expect));
        };
        check(3, 2);
        check(2, 2);
        check(7, 7);
    }
}

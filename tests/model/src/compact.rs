//! The core's types as small numbers. A state of the model is copied and hashed a hundred million times, so it
//! holds what the protocol tells apart and nothing else; the core's own types are made for each step.

use flyball_core::{
    time::Timestamp,
    transaction::{self, Abort, Cause, Journal, Outcome, Phase, Places, Stamp, Target, Tx, Verdict},
};
use std::hash::{Hash, Hasher};

/// When the decision was made.
pub(super) const PROPOSED: Timestamp = Timestamp::from_millis(0);
/// The number of the only transaction.
const SEQUENCE: u64 = 1;

/// The values that the field takes in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Before the change.
    Old,
    /// After the change.
    New,
    /// What a person wrote.
    Human,
}

impl transaction::Value for Value {}

/// The field's value in each object. In one object it is a value in one place, as replicas are; in several it is
/// the core's [`Places`], as weights are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Values<const N: usize>(pub [Value; N]);

impl<const N: usize> Values<N> {
    pub const OLD: Self = Self([Value::Old; N]);
    pub const NEW: Self = Self([Value::New; N]);

    fn places(self) -> Places<Value> {
        Places(self.0.to_vec())
    }
}

impl<const N: usize> transaction::Value for Values<N> {
    fn is_between(&self, before: &Self, after: &Self) -> bool {
        match (self.0.as_slice(), before.0.as_slice(), after.0.as_slice()) {
            ([found], [before], [after]) => found.is_between(before, after),
            _ => self.places().is_between(&before.places(), &after.places()),
        }
    }

    fn has_some(&self, before: &Self, after: &Self) -> bool {
        match (self.0.as_slice(), before.0.as_slice(), after.0.as_slice()) {
            ([found], [before], [after]) => found.has_some(before, after),
            _ => self.places().has_some(&before.places(), &after.places()),
        }
    }

    fn taken_back(&self, after: &Self, to: &Self) -> Self {
        let mut back = *self;
        match (self.0.as_slice(), after.0.as_slice(), to.0.as_slice()) {
            ([found], [after], [to]) => back.0.fill(found.taken_back(after, to)),
            _ => {
                let places = self.places().taken_back(&after.places(), &to.places());
                for (value, place) in back.0.iter_mut().zip(places.0) {
                    *value = place;
                }
            }
        }
        back
    }
}

/// A resourceVersion only ever matters as "still the current one or not", so that is all the model
/// keeps of it: when an object changes, every copy of its version grows stale. Two histories that
/// differ in nothing but counters are then one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Version {
    /// Nothing changed since it was read.
    Current,
    /// Something did.
    Stale,
}

/// An object in the API server. Of its stamp only the attempt matters: there is one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    pub value: Value,
    pub stamp: Option<u8>,
}

impl Object {
    /// All of it in a number: there are fewer than fifteen attempts at a time.
    fn packed(self) -> u8 {
        (self.value as u8) << 4 | self.stamp.map_or(0, |attempt| attempt + 1)
    }
}

impl Hash for Object {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.packed());
    }
}

/// An object as somebody read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known {
    pub object: Object,
    pub version: Version,
}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8((self.version as u8) << 7 | self.object.packed());
    }
}

pub(super) const fn stamp(attempt: u8) -> Stamp {
    Stamp {
        sequence: SEQUENCE,
        attempt: attempt as u64,
    }
}

/// The attempts are renumbered after each action, so there are never many.
pub(super) fn attempt_of(attempt: u64) -> u8 {
    u8::try_from(attempt).unwrap_or(u8::MAX)
}

/// What the objects are to a transaction. With `first_only` the stamps of the others are not looked at.
pub(super) fn joined<const N: usize>(known: &[Known; N], first_only: bool) -> Target<Values<N>, [Version; N]> {
    let stamps = known.iter().map(|known| known.object.stamp.map(stamp));
    let looked_at = if first_only { 1 } else { N };
    Target {
        value: Values(known.map(|known| known.object.value)),
        version: known.map(|known| known.version),
        stamp: Stamp::joined(stamps.take(looked_at), SEQUENCE),
    }
}

/// Where a transaction is. What superseded it makes no difference to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Stage {
    Applying,
    Verifying,
    RollingBack,
    Committed,
    RolledBack,
    Ineffective,
    Inconclusive,
    Superseded,
}

impl Stage {
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Applying | Self::Verifying | Self::RollingBack)
    }

    const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Applying => Self::Applying,
            Phase::Verifying => Self::Verifying,
            Phase::RollingBack => Self::RollingBack,
            Phase::Closed(Outcome::Committed) => Self::Committed,
            Phase::Closed(Outcome::RolledBack) => Self::RolledBack,
            Phase::Closed(Outcome::Ineffective) => Self::Ineffective,
            Phase::Closed(Outcome::Inconclusive) => Self::Inconclusive,
            Phase::Closed(Outcome::Superseded(_)) => Self::Superseded,
        }
    }

    const fn phase(self) -> Phase {
        match self {
            Self::Applying => Phase::Applying,
            Self::Verifying => Phase::Verifying,
            Self::RollingBack => Phase::RollingBack,
            Self::Committed => Phase::Closed(Outcome::Committed),
            Self::RolledBack => Phase::Closed(Outcome::RolledBack),
            Self::Ineffective => Phase::Closed(Outcome::Ineffective),
            Self::Inconclusive => Phase::Closed(Outcome::Inconclusive),
            Self::Superseded => Phase::Closed(Outcome::Superseded(Cause::Foreign)),
        }
    }
}

/// A journal: what the step function reads of one, and whether the verification said yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record<const N: usize> {
    pub stage: Stage,
    pub attempt: u8,
    pub rollback_to: Option<Values<N>>,
    pub achieved: bool,
}

impl<const N: usize> Hash for Record<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8((self.stage as u8) << 4 | u8::from(self.achieved) << 1 | u8::from(self.rollback_to.is_some()));
        state.write_u8(self.attempt);
        let to = self.rollback_to.iter().flat_map(|to| to.0);
        to.for_each(|value| state.write_u8(value as u8));
    }
}

impl<const N: usize> Record<N> {
    /// The intent as it was created.
    pub const OPEN: Self = Self {
        stage: Stage::Applying,
        attempt: 0,
        rollback_to: None,
        achieved: false,
    };

    pub fn of(journal: &Journal<Values<N>>) -> Self {
        Self {
            stage: Stage::of(journal.phase),
            attempt: attempt_of(journal.attempt),
            rollback_to: journal.rollback_to,
            achieved: journal.verdict == Some(Verdict::Achieved),
        }
    }

    fn journal(&self) -> Journal<Values<N>> {
        let mut journal = Journal::open(SEQUENCE, Values::OLD, Values::NEW, PROPOSED);
        journal.phase = self.stage.phase();
        journal.attempt = self.attempt.into();
        journal.rollback_to = self.rollback_to;
        journal.verdict = self.achieved.then_some(Verdict::Achieved);
        journal
    }
}

/// A pass of a controller: its transaction, and the objects as its hands know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pass<const N: usize> {
    pub journal: Record<N>,
    /// The journal's version that it read.
    pub version: Version,
    pub owned: bool,
    pub aborts: bool,
    pub hands_over: bool,
    pub known: [Known; N],
    pub recording: Option<Record<N>>,
}

impl<const N: usize> Hash for Pass<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let flags = [self.owned, self.aborts, self.hands_over, self.recording.is_some()];
        let flags = flags
            .iter()
            .fold(self.version as u8, |all, flag| all << 1 | u8::from(*flag));
        state.write_u8(flags);
        self.journal.hash(state);
        self.known.iter().for_each(|known| known.hash(state));
        if let Some(recording) = &self.recording {
            recording.hash(state);
        }
    }
}

impl<const N: usize> Pass<N> {
    /// The pass that created the journal.
    pub const fn begin(journal: Record<N>, known: [Known; N]) -> Self {
        Self {
            journal,
            version: Version::Current,
            owned: true,
            aborts: false,
            hands_over: false,
            known,
            recording: None,
        }
    }

    /// One over a journal that was read.
    pub const fn resume(journal: Record<N>, known: [Known; N], aborts: bool) -> Self {
        Self {
            owned: false,
            aborts,
            ..Self::begin(journal, known)
        }
    }

    /// One that hands the field over.
    pub const fn hand_over(journal: Record<N>, known: [Known; N]) -> Self {
        Self {
            hands_over: true,
            ..Self::resume(journal, known, true)
        }
    }

    /// The transaction as the step function takes it.
    pub fn tx(&self, first_only: bool) -> Tx<Values<N>, [Version; N]> {
        let journal = self.journal.journal();
        let tx = match (self.owned, self.hands_over) {
            (true, false) => Tx::begin(journal),
            (false, false) => Tx::resume(journal, None),
            (_, true) => Tx::hand_over(journal),
        };
        Tx {
            owned: self.owned,
            abort: tx.abort.or(self.aborts.then_some(Abort::PolicyDeleted)),
            target: Some(joined(&self.known, first_only)),
            recording: self.recording.as_ref().map(Record::journal),
            ..tx
        }
    }

    /// The pass after a step. What the hands know changes by answers only.
    pub fn after(self, tx: &Tx<Values<N>, [Version; N]>) -> Self {
        Self {
            journal: Record::of(&tx.journal),
            owned: tx.owned,
            recording: tx.recording.as_ref().map(Record::of),
            ..self
        }
    }
}

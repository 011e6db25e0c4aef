//! The core's types as small numbers. A state of the model is copied and hashed a hundred million times, so it
//! holds what the protocol tells apart and nothing else; the core's own types are made for each step.

use super::Without;
use flyball_core::{
    time::Timestamp,
    transaction::{self, Abort, Cause, Journal, Outcome, Phase, Places, Stamp, Target, Tx, VALID_FOR, Verdict},
};
use std::hash::{Hash, Hasher};

/// When the decision was made.
const PROPOSED: Timestamp = Timestamp::from_millis(0);
/// The number of the only transaction.
const SEQUENCE: u64 = 1;

/// The values that the field takes in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Before the change.
    Old,
    /// What is written and verified before the whole, where the change is tried first.
    Trial,
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
    const TRIAL: Self = Self([Value::Trial; N]);
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
        if let ([found], [after], [to]) = (self.0.as_slice(), after.0.as_slice(), to.0.as_slice()) {
            back.0.fill(found.taken_back(after, to));
            return back;
        }
        let places = self.places().taken_back(&after.places(), &to.places());
        for (value, place) in back.0.iter_mut().zip(places.0) {
            *value = place;
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

/// What the objects are to a transaction.
pub(super) fn joined<const N: usize>(known: &[Known; N], without: Without) -> Target<Values<N>, [Version; N]> {
    let mut stamps = known.iter().map(|known| known.object.stamp.map(stamp));
    Target {
        value: Values(known.map(|known| known.object.value)),
        version: known.map(|known| known.version),
        stamp: match without {
            Without::OtherStamps => stamps.next().flatten(),
            Without::EachStamp => stamps.flatten().max(),
            _ => Stamp::joined(stamps, SEQUENCE),
        },
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

/// How often so much time passed that a decision made before is void.
pub(super) type Clock = u8;

pub(super) fn time(clock: Clock) -> Timestamp {
    (0..clock).fold(PROPOSED, |time, _| time + VALID_FOR + VALID_FOR)
}

fn clock(at: Timestamp) -> Clock {
    (0..Clock::MAX).find(|clock| time(*clock) >= at).unwrap_or_default()
}

/// How far the trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trial {
    /// The change is written whole at once.
    Unneeded,
    /// The trial comes first, and is not verified yet.
    Open,
    /// It was verified then.
    Verified(Clock),
}

impl Trial {
    /// All of it in three bits. There is time for two decisions to grow old, not more; and a pass that is too late may
    /// still judge the trial after both.
    const fn packed(self) -> u8 {
        match self {
            Self::Unneeded => 0,
            Self::Open => 1,
            Self::Verified(at) => 2 + at,
        }
    }
}

/// A journal: what the step function reads of one, and whether the verification said yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record<const N: usize> {
    pub stage: Stage,
    pub attempt: u8,
    pub trial: Trial,
    pub rollback_to: Option<Values<N>>,
    pub achieved: bool,
}

impl<const N: usize> Hash for Record<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let flags = u8::from(self.achieved) << 1 | u8::from(self.rollback_to.is_some());
        state.write_u8((self.stage as u8) << 5 | self.trial.packed() << 2 | flags);
        state.write_u8(self.attempt);
        let to = self.rollback_to.iter().flat_map(|to| to.0);
        to.for_each(|value| state.write_u8(value as u8));
    }
}

impl<const N: usize> Record<N> {
    /// When what is to be written was decided.
    pub const fn decided_at(&self) -> Clock {
        match self.trial {
            Trial::Unneeded | Trial::Open => 0,
            Trial::Verified(at) => at,
        }
    }

    /// The intent as it was created.
    pub const fn open(trial: Trial) -> Self {
        Self {
            stage: Stage::Applying,
            attempt: 0,
            trial,
            rollback_to: None,
            achieved: false,
        }
    }

    /// What a forward write finds, and what it writes.
    pub const fn forward(&self) -> (Value, Value) {
        match self.trial {
            Trial::Unneeded => (Value::Old, Value::New),
            Trial::Open => (Value::Old, Value::Trial),
            Trial::Verified(_) => (Value::Trial, Value::New),
        }
    }

    /// Whether a forward write of this journal, or of what it was before, wrote this value.
    pub fn may_have_written(&self, value: Value) -> bool {
        value == self.forward().1 || value == Value::Trial && self.trial != Trial::Unneeded
    }

    pub fn of(journal: &Journal<Values<N>>) -> Self {
        Self {
            stage: Stage::of(journal.phase),
            attempt: attempt_of(journal.attempt),
            trial: match (journal.trial, journal.tried_at) {
                (None, _) => Trial::Unneeded,
                (Some(_), None) => Trial::Open,
                (Some(_), Some(at)) => Trial::Verified(clock(at)),
            },
            rollback_to: journal.rollback_to,
            achieved: journal.verdict == Some(Verdict::Achieved),
        }
    }

    fn journal(&self) -> Journal<Values<N>> {
        let mut journal = Journal::open(SEQUENCE, Values::OLD, Values::NEW, PROPOSED);
        if self.trial != Trial::Unneeded {
            journal = journal.trying(Values::TRIAL);
        }
        if let Trial::Verified(at) = self.trial {
            journal.tried_at = Some(time(at));
        }
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
    pub fn tx(&self, without: Without) -> Tx<Values<N>, [Version; N]> {
        let journal = self.journal.journal();
        let tx = match (self.owned, self.hands_over) {
            (true, false) => Tx::begin(journal),
            (false, false) => Tx::resume(journal, None),
            (_, true) => Tx::hand_over(journal),
        };
        Tx {
            owned: self.owned,
            abort: tx.abort.or_else(|| self.aborts.then_some(Abort::PolicyDeleted)),
            target: Some(joined(&self.known, without)),
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

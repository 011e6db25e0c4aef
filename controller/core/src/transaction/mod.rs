//! The transaction: one change of one field of one target, from intent to verdict.
//!
//! [`step`] is the only state machine. It is a pure function of what is known and what happened;
//! the controller carries out the [`Effect`]s it returns and feeds the results back as [`Event`]s.
//! The same function is driven exhaustively by a model with two controllers, delayed and lost
//! writes, crashes, lease flips, human edits and deletion.
//!
//! How the laws are held:
//! - The journal exists before the target is written (law 1): a transaction starts from a
//!   [`Journal`] that was persisted.
//! - Every write to a target carries the resourceVersion `R` it was decided on (law 2).
//! - Whoever wants to write the field, or to cut the transaction short, first *takes it up*: the
//!   journal's attempt is raised (which kills every record of the journal still under way), and
//!   then the target is stamped with that attempt (which kills every write of the target still
//!   under way). An attempt belongs to one pass of one controller, and that pass sends at most one
//!   write of the field at a time and ends when it does not hear of it. So once the stamp of an
//!   attempt is seen, no older write can land, and a journal is never closed over one (law 4).
//! - Each step derives what to do from journal and target alone (law 5): nothing that a crash
//!   would lose decides anything.
//!
//! The one who creates a journal owns its attempt 0, so the usual case costs nothing extra.
//!
//! A [`Value`] that stands in several places (the same list in several routes) is stamped and written one place
//! after the other, each a step of its own. Found half-way it is written on; where that can't be, what was
//! written goes back, so all places move or none. [`Stamp::joined`] makes one fence of several.
//!
//! A change may be tried first: [`Journal::trial`] is written and verified before [`Journal::after`], each with a
//! verification of its own. A trial is no state to stay in: whatever ends the transaction before `after` is
//! written takes the trial back.

mod stamp;
mod step;
mod value;

pub use stamp::{Stamp, StampError};
pub use step::step;
pub use value::{Places, Value};

use crate::time::{Span, Timestamp};

/// A decision that is older than this and still not written is not carried out: it was made on a
/// world that is gone (a crash in between, or a request that was under way for too long).
pub const VALID_FOR: Span = Span::from_secs(60);

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The intent is recorded; the target is about to be written.
    Applying,
    /// The target was written; the effect is being verified.
    Verifying,
    /// The change is being undone.
    RollingBack,
    /// It ended.
    Closed(Outcome),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The effect was verified.
    Committed,
    /// The change was undone.
    RolledBack,
    /// The change did not help; its value is held.
    Ineffective,
    /// The verification could not be answered, or was cut short; the value is held.
    Inconclusive,
    /// Something else took over.
    Superseded(Cause),
}

/// What took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Another writer changed the field while we held it; the value is theirs (law 8).
    Foreign,
    /// A later Change holds the target.
    Newer,
    /// The target is gone, or is another object under the same name.
    TargetGone,
    /// The decision was too old to be written.
    Expired,
    /// It was aborted before the target was written.
    Aborted(Abort),
    /// The API server refused to write the target.
    Refused,
}

/// Why a transaction is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abort {
    /// The policy was deleted.
    PolicyDeleted,
    /// The policy may not write any more: suspended, or no longer in mode Enforce.
    NotEnforced,
    /// The target was paused, or the policy moves another target now.
    TargetWithdrawn,
    /// A larger increase takes over, or a move of weights that goes further.
    LargerIncrease,
    /// A backend has to be taken out at once.
    Ejection,
    /// Somebody asked for it.
    Requested,
    /// The installation was frozen before the target was written.
    Frozen,
}

/// What a verification said, without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The condition was achieved, or maintained.
    Achieved,
    /// A decrease broke its condition.
    Broken,
    /// An increase did not help although the demand did not move.
    Ineffective,
    /// An increase did not suffice, but the demand moved.
    Overtaken,
    /// There was no answer that could be trusted.
    Inconclusive,
    /// Nobody waited for it: somebody asked for the roll-back.
    Requested,
    /// The traffic did not go where the weights say.
    Unrealised,
    /// Nobody waited for it: it could be written in some of its places, but not in all, or it was cut short between its
    /// trial and the whole.
    Torn,
}

/// What is persisted of a transaction. `V` is the field's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Journal<V> {
    /// The number in the target's stamp that this transaction takes.
    pub sequence: u64,
    /// The value before.
    pub before: V,
    /// The value after.
    pub after: V,
    /// What is written and verified before `after`, where the change is tried first.
    pub trial: Option<V>,
    /// When the trial was verified: `after` is what is written from then on.
    pub tried_at: Option<Timestamp>,
    /// Grows each time the transaction is taken up.
    pub attempt: u64,
    /// When the change was proposed.
    pub proposed_at: Timestamp,
    /// Where it is.
    pub phase: Phase,
    /// When the write of [`Journal::goal`] was accepted, or first seen to have been.
    pub applied_at: Option<Timestamp>,
    /// Where a roll-back goes, once it was decided.
    pub rollback_to: Option<V>,
    /// The recorded verification.
    pub verdict: Option<Verdict>,
}

impl<V> Journal<V> {
    /// A new transaction's intent.
    pub fn open(sequence: u64, before: V, after: V, proposed_at: Timestamp) -> Self {
        Self {
            sequence,
            before,
            after,
            trial: None,
            tried_at: None,
            attempt: 0,
            proposed_at,
            phase: Phase::Applying,
            applied_at: None,
            rollback_to: None,
            verdict: None,
        }
    }

    /// The same, tried first.
    #[must_use]
    pub fn trying(self, trial: V) -> Self {
        Self {
            trial: Some(trial),
            ..self
        }
    }

    /// Whether the transaction may still write its target.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Closed(_))
    }

    /// Whether what is written now is the trial.
    pub fn is_trying(&self) -> bool {
        self.trial.is_some() && self.tried_at.is_none()
    }

    /// What is written and verified now.
    pub fn goal(&self) -> &V {
        self.trial.as_ref().filter(|_| self.is_trying()).unwrap_or(&self.after)
    }

    /// What is there until then.
    fn origin(&self) -> &V {
        self.trial
            .as_ref()
            .filter(|_| !self.is_trying())
            .unwrap_or(&self.before)
    }

    /// When it was decided to write [`Journal::goal`].
    fn decided_at(&self) -> Timestamp {
        self.tried_at.unwrap_or(self.proposed_at)
    }
}

/// The target as it was read. `R` is its resourceVersion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target<V, R> {
    /// The field's value.
    pub value: V,
    /// The resourceVersion of this reading: the precondition of what is decided on it.
    pub version: R,
    /// The stamp, if there is one.
    pub stamp: Option<Stamp>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event<V, R> {
    /// The target as it was read at the pass's start; `None`: it is gone, or another object has its name.
    Seen(Option<Target<V, R>>),
    /// The stamp or the value was accepted; this is the target as the server returned it.
    Accepted(Target<V, R>),
    /// The write was refused because its precondition did not hold.
    Conflict,
    /// The write was refused for good: it did not happen and never will.
    Refused,
    /// The write's outcome is unknown: time-out, lost connection, server error.
    Lost,
    /// The journal was persisted.
    Recorded,
    /// The journal was not persisted: somebody else wrote it, or the outcome is unknown.
    NotRecorded,
    /// The verification's deadline has not come; nothing is known yet.
    Undecided,
    /// The verification said yes.
    Achieved,
    /// The verification said no, and undoing was checked against the present.
    RollBack {
        /// Where to.
        to: V,
        /// What the verification said.
        verdict: Verdict,
    },
    /// The verification did not say yes, and the value is kept.
    Keep {
        /// What the verification said.
        verdict: Verdict,
    },
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect<V, R> {
    /// Write the stamp on the target, if it still has this resourceVersion.
    Stamp {
        /// The new stamp.
        stamp: Stamp,
        /// The precondition.
        at: R,
    },
    /// Write the field, if the target still has this resourceVersion.
    Write {
        /// The new value.
        value: V,
        /// The precondition.
        at: R,
    },
    /// Persist the journal, if nobody else did since it was read.
    Record(Journal<V>),
    /// Judge the effect; answer with what the verification said.
    Verify,
}

/// A transaction in the hands of one pass of one controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tx<V, R> {
    /// What is persisted.
    pub journal: Journal<V>,
    /// Whether the journal's attempt is this pass's own.
    pub owned: bool,
    /// Why it is to be cut short, if it is.
    pub abort: Option<Abort>,
    /// Whether the field is being handed to another writer: a roll-back under way is cut short too.
    pub hands_over: bool,
    /// What is known of the target.
    pub target: Option<Target<V, R>>,
    /// The journal that is being persisted.
    pub recording: Option<Journal<V>>,
}

impl<V, R> Tx<V, R> {
    /// Starts the pass that created the journal.
    pub fn begin(journal: Journal<V>) -> Self {
        Self {
            journal,
            owned: true,
            abort: None,
            hands_over: false,
            target: None,
            recording: None,
        }
    }

    /// Starts a pass over a journal that was read. `abort`: it is to be cut short; a roll-back under
    /// way is finished all the same.
    ///
    /// The target must be read **before** the journal. Then a write that lands proves that the target
    /// did not change since before the journal was read. The other way round the journal may have
    /// moved on before the target was read, and a forward write of an old pass would pass its
    /// precondition.
    pub fn resume(journal: Journal<V>, abort: Option<Abort>) -> Self {
        Self {
            journal,
            owned: false,
            abort,
            hands_over: false,
            target: None,
            recording: None,
        }
    }

    /// Starts a pass that hands the field to another writer: nothing is written any more, and the value
    /// stays as it is found. A roll-back under way is not finished, because it was checked against a
    /// present that is gone; only what is found half-way in several places goes back in all of them.
    /// As with [`Tx::resume`], the target must be read before the journal.
    pub fn hand_over(journal: Journal<V>) -> Self {
        Self {
            hands_over: true,
            ..Self::resume(journal, Some(Abort::NotEnforced))
        }
    }
}

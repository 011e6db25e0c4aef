use super::{Abort, Cause, Effect, Event, Journal, Outcome, Phase, Stamp, Target, Tx, VALID_FOR, Value, Verdict};
use crate::time::Timestamp;

/// One step of a transaction: `(state, event, now) -> (state, effects)`.
///
/// At most one effect is returned, because each depends on the result of the one before. No effect:
/// the pass is over (closed, or waiting for time or data), and the next pass starts from what is
/// persisted.
pub fn step<V, R>(mut tx: Tx<V, R>, event: Event<V, R>, now: Timestamp) -> (Tx<V, R>, Vec<Effect<V, R>>)
where
    V: Value,
    R: Clone,
{
    let effect = match event {
        Event::Seen(None) => Some(close(&mut tx, Outcome::Superseded(Cause::TargetGone))),
        Event::Seen(Some(target)) | Event::Accepted(target) => {
            tx.target = Some(target);
            advance(&mut tx, now)
        }
        Event::Refused => refused(&mut tx),
        Event::Recorded => tx.recording.take().and_then(|journal| {
            tx.owned |= journal.attempt != tx.journal.attempt;
            tx.journal = journal;
            advance(&mut tx, now)
        }),
        // Somebody else may have moved the journal on: only what is persisted counts, next pass.
        Event::NotRecorded => {
            tx.recording = None;
            None
        }
        // The precondition failed, or we can't know. Reading the target again is not enough: the
        // journal may have moved on as well, so only a new pass may go on.
        Event::Conflict | Event::Lost | Event::Undecided => None,
        Event::Achieved => judged(&mut tx, Verdict::Achieved, |journal| {
            journal.phase = Phase::Closed(Outcome::Committed);
        }),
        Event::RollBack { to, verdict } => judged(&mut tx, verdict, |journal| {
            journal.phase = Phase::RollingBack;
            journal.rollback_to = Some(to);
            journal.attempt += 1;
        }),
        Event::Keep { verdict } => judged(&mut tx, verdict, |journal| {
            journal.phase = Phase::Closed(match verdict {
                Verdict::Ineffective => Outcome::Ineffective,
                _ => Outcome::Inconclusive,
            });
        }),
    };
    (tx, effect.into_iter().collect())
}

/// What to do next, from journal and target alone.
fn advance<V, R>(tx: &mut Tx<V, R>, now: Timestamp) -> Option<Effect<V, R>>
where
    V: Value,
    R: Clone,
{
    let target = tx.target.clone()?;
    if !tx.journal.is_open() {
        return None;
    }
    if target.stamp.is_some_and(|stamp| stamp.sequence > tx.journal.sequence) {
        return Some(close(tx, Outcome::Superseded(Cause::Newer)));
    }
    let foreign = target.value != tx.journal.after;
    if tx.journal.phase == Phase::Verifying && !foreign && tx.abort.is_none() {
        return Some(Effect::Verify);
    }
    // From here on the field is written or the journal is cut short: both only by its owner.
    if !tx.owned {
        return Some(record(tx, |journal| journal.attempt += 1));
    }
    let stamp = Stamp {
        sequence: tx.journal.sequence,
        attempt: tx.journal.attempt,
    };
    if target.stamp != Some(stamp) {
        return Some(Effect::Stamp {
            stamp,
            at: target.version,
        });
    }
    Some(match tx.journal.phase {
        Phase::Applying => applying(tx, target, now),
        Phase::RollingBack => rolling_back(tx, target),
        Phase::Verifying | Phase::Closed(_) => close(
            tx,
            match tx.abort {
                _ if foreign => Outcome::Superseded(Cause::Foreign),
                Some(Abort::LargerIncrease | Abort::Ejection) => Outcome::Superseded(Cause::Newer),
                // The value stays, unverified.
                _ => Outcome::Inconclusive,
            },
        ),
    })
}

fn applying<V, R>(tx: &mut Tx<V, R>, target: Target<V, R>, now: Timestamp) -> Effect<V, R>
where
    V: Value,
{
    let expired = now.since(tx.journal.proposed_at) > VALID_FOR;
    let (before, after) = (&tx.journal.before, &tx.journal.after);
    if target.value == *after {
        return match tx.abort {
            // The write had landed: the value stays, unverified.
            Some(_) => close(tx, Outcome::Inconclusive),
            None => record(tx, |journal| {
                journal.phase = Phase::Verifying;
                journal.applied_at = Some(now);
            }),
        };
    }
    let untouched = target.value == *before;
    let half_way = target.value.is_between(before, after);
    let foreign = !untouched && !half_way;
    if (half_way && (tx.abort.is_some() || expired)) || (foreign && target.value.has_some(before, after)) {
        return take_back(tx);
    }
    match tx.abort {
        _ if foreign => close(tx, Outcome::Superseded(Cause::Foreign)),
        Some(why) => close(tx, Outcome::Superseded(Cause::Aborted(why))),
        None if expired => close(tx, Outcome::Superseded(Cause::Expired)),
        None => Effect::Write {
            value: after.clone(),
            at: target.version,
        },
    }
}

/// All places move or none: what was written goes back to what was there, under an attempt of its own.
fn take_back<V, R>(tx: &mut Tx<V, R>) -> Effect<V, R>
where
    V: Value,
{
    record(tx, |journal| {
        journal.phase = Phase::RollingBack;
        journal.rollback_to = Some(journal.before.clone());
        journal.verdict = Some(Verdict::Torn);
        journal.attempt += 1;
    })
}

fn rolling_back<V, R>(tx: &mut Tx<V, R>, target: Target<V, R>) -> Effect<V, R>
where
    V: Value,
{
    let to = tx
        .journal
        .rollback_to
        .clone()
        .unwrap_or_else(|| tx.journal.before.clone());
    let back = target.value.taken_back(&tx.journal.after, &to);
    if target.value == to {
        close(tx, Outcome::RolledBack)
    } else if back == target.value {
        // Nothing of what is there is ours.
        close(tx, Outcome::Superseded(Cause::Foreign))
    } else if tx.hands_over && !target.value.has_some(&tx.journal.after, &to) {
        // The value stays, unverified. Once one of several places is back, the others follow: all or none.
        close(tx, Outcome::Inconclusive)
    } else {
        Effect::Write {
            value: back,
            at: target.version,
        }
    }
}

/// A forward write that was refused ends the transaction, where it is certain that no write of it is
/// or ever was under way: the field is still `before` under our own stamp, or this is the pass that
/// created the journal and it has not even stamped the target. Refused half-way, what was written goes back.
/// Everything else is tried again.
fn refused<V, R>(tx: &mut Tx<V, R>) -> Option<Effect<V, R>>
where
    V: Value,
{
    let stamp = Stamp {
        sequence: tx.journal.sequence,
        attempt: tx.journal.attempt,
    };
    let target = tx.target.as_ref()?;
    let nothing_sent = target.stamp == Some(stamp) || tx.journal.attempt == 0;
    if tx.journal.phase != Phase::Applying || !tx.owned || !nothing_sent {
        return None;
    }
    if target.value == tx.journal.before {
        return Some(close(tx, Outcome::Superseded(Cause::Refused)));
    }
    let half_way = target.value.is_between(&tx.journal.before, &tx.journal.after);
    half_way.then(|| take_back(tx))
}

fn record<V: Value, R>(tx: &mut Tx<V, R>, change: impl FnOnce(&mut Journal<V>)) -> Effect<V, R> {
    let mut journal = tx.journal.clone();
    change(&mut journal);
    tx.recording = Some(journal.clone());
    Effect::Record(journal)
}

fn close<V: Value, R>(tx: &mut Tx<V, R>, outcome: Outcome) -> Effect<V, R> {
    record(tx, |journal| journal.phase = Phase::Closed(outcome))
}

/// A verdict counts only for the value it was asked of: in Verifying, with that value in place.
fn judged<V, R>(tx: &mut Tx<V, R>, verdict: Verdict, change: impl FnOnce(&mut Journal<V>)) -> Option<Effect<V, R>>
where
    V: Value,
{
    let in_place = tx
        .target
        .as_ref()
        .is_some_and(|target| target.value == tx.journal.after);
    (tx.journal.phase == Phase::Verifying && in_place).then(|| {
        record(tx, |journal| {
            journal.verdict = Some(verdict);
            change(journal);
        })
    })
}

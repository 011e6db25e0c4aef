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
        Event::Achieved if tx.journal.is_trying() => judged(&mut tx, None, |journal| {
            journal.phase = Phase::Applying;
            journal.tried_at = Some(now);
            journal.applied_at = None;
        }),
        Event::Achieved => judged(&mut tx, Some(Verdict::Achieved), |journal| {
            journal.phase = Phase::Closed(Outcome::Committed);
        }),
        Event::RollBack { to, verdict } => judged(&mut tx, Some(verdict), |journal| go_back(journal, to)),
        // A trial is no state to stay in.
        Event::Keep { verdict } if tx.journal.is_trying() => judged(&mut tx, Some(verdict), |journal| {
            let to = journal.before.clone();
            go_back(journal, to);
        }),
        Event::Keep { verdict } => judged(&mut tx, Some(verdict), |journal| {
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
    let foreign = target.value != *tx.journal.goal();
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
        Phase::Verifying if tx.journal.is_trying() && !foreign => take_back(tx),
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
    let expired = now.since(tx.journal.decided_at()) > VALID_FOR;
    let (origin, goal) = (tx.journal.origin(), tx.journal.goal());
    if target.value == *goal {
        return match tx.abort {
            Some(_) if tx.journal.is_trying() => take_back(tx),
            // The write had landed: the value stays, unverified.
            Some(_) => close(tx, Outcome::Inconclusive),
            None => record(tx, |journal| {
                journal.phase = Phase::Verifying;
                journal.applied_at = Some(now);
            }),
        };
    }
    let untouched = target.value == *origin;
    let half_way = target.value.is_between(origin, goal);
    let foreign = !untouched && !half_way;
    let some_is_ours = half_way || tx.journal.tried_at.is_some();
    let cut_short = tx.abort.is_some() || expired;
    if (cut_short && !foreign && some_is_ours) || (foreign && target.value.has_some(origin, goal)) {
        return take_back(tx);
    }
    match tx.abort {
        _ if foreign => close(tx, Outcome::Superseded(Cause::Foreign)),
        Some(why) => close(tx, Outcome::Superseded(Cause::Aborted(why))),
        None if expired => close(tx, Outcome::Superseded(Cause::Expired)),
        None => Effect::Write {
            value: goal.clone(),
            at: target.version,
        },
    }
}

/// All or none: what was written goes back to what was there, under an attempt of its own.
fn take_back<V, R>(tx: &mut Tx<V, R>) -> Effect<V, R>
where
    V: Value,
{
    record(tx, |journal| {
        journal.verdict = Some(Verdict::Torn);
        let to = journal.before.clone();
        go_back(journal, to);
    })
}

fn go_back<V>(journal: &mut Journal<V>, to: V) {
    journal.phase = Phase::RollingBack;
    journal.rollback_to = Some(to);
    journal.attempt += 1;
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
    let trial = tx.journal.trial.as_ref();
    let tries = trial == Some(&target.value);
    // Both are ours, but before it was tried `after` is somebody else's.
    let back = target.value.taken_back(tx.journal.goal(), &to);
    let back = match trial {
        Some(trial) => back.taken_back(trial, &to),
        None => back,
    };
    if target.value == to {
        close(tx, Outcome::RolledBack)
    } else if back == target.value {
        // Nothing of what is there is ours.
        close(tx, Outcome::Superseded(Cause::Foreign))
    } else if tx.hands_over && !tries && !target.value.has_some(&tx.journal.after, &to) {
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
    let (origin, goal) = (tx.journal.origin(), tx.journal.goal());
    let untouched = target.value == *origin;
    if untouched && tx.journal.tried_at.is_none() {
        return Some(close(tx, Outcome::Superseded(Cause::Refused)));
    }
    let some_is_ours = untouched || target.value.is_between(origin, goal);
    some_is_ours.then(|| take_back(tx))
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
fn judged<V, R>(
    tx: &mut Tx<V, R>,
    verdict: Option<Verdict>,
    change: impl FnOnce(&mut Journal<V>),
) -> Option<Effect<V, R>>
where
    V: Value,
{
    let in_place = tx
        .target
        .as_ref()
        .is_some_and(|target| target.value == *tx.journal.goal());
    (tx.journal.phase == Phase::Verifying && in_place).then(|| {
        record(tx, |journal| {
            journal.verdict = verdict;
            change(journal);
        })
    })
}

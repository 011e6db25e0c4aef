//! What a pass does first with a value in two places, half-way or somebody else's, and with a trial. The model drives the same step
//! function through every state; here are the cases by hand.

use flyball_core::{
    time::Timestamp,
    transaction::{Abort, Cause, Effect, Event, Journal, Outcome, Phase, Places, Stamp, Target, Tx, Verdict, step},
};

/// How the pass takes the transaction up.
#[derive(Clone, Copy, Debug)]
enum Pass {
    Resumes,
    Aborts,
    HandsOver,
}

/// What comes of it.
#[derive(Debug, PartialEq)]
enum Then {
    /// These values are written.
    Write(&'static str),
    /// What was written is recorded as applied.
    Applied,
    /// What was written is to be judged.
    Verify,
    /// What was written is to go back, as a change that is torn.
    TakeBack,
    /// The journal is closed.
    Close(Outcome),
}

type Stepped = (Tx<Places<char>, Version>, Vec<Effect<Places<char>, Version>>);
type Version = [&'static str; 2];

fn places(text: &str) -> Places<char> {
    Places(text.chars().collect())
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn stamped(value: &str, sequence: u64, attempt: u64) -> Target<Places<char>, Version> {
    Target {
        value: places(value),
        version: ["1", "1"],
        stamp: Some(Stamp { sequence, attempt }),
    }
}

/// A pass that owns the journal's attempt 1 and finds the target stamped with it, and the value as it is given.
fn sees(journal: Journal<Places<char>>, found: &str, pass: Pass, now: Timestamp, expect: &Then) -> Then {
    let before = journal.before.clone();
    let tx = match pass {
        Pass::Resumes => Tx::resume(journal, None),
        Pass::Aborts => Tx::resume(journal, Some(Abort::PolicyDeleted)),
        Pass::HandsOver => Tx::hand_over(journal),
    };
    let target = stamped(found, 7, 1);
    let (_, effects) = step(Tx { owned: true, ..tx }, Event::Seen(Some(target)), now);
    match effects.as_slice() {
        [Effect::Verify] => Then::Verify,
        [Effect::Write { value, .. }] => match expect {
            Then::Write(expected) if *value == places(expected) => Then::Write(expected),
            _ => panic!("{value:?} is written over {found:?}"),
        },
        [Effect::Record(journal)] => match journal.phase {
            Phase::Closed(outcome) => Then::Close(outcome),
            Phase::Verifying => {
                assert_eq!((journal.applied_at, journal.attempt), (Some(now), 1));
                Then::Applied
            }
            Phase::RollingBack if journal.verdict == Some(Verdict::Torn) => {
                assert_eq!((&journal.rollback_to, journal.attempt), (&Some(before), 2));
                Then::TakeBack
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Before the change both places hold `a`, after it `b`.
fn check(phase: Phase, found: &str, pass: Pass, expect: &Then) {
    let journal = Journal {
        phase,
        attempt: 1,
        ..Journal::open(7, places("aa"), places("bb"), at(0))
    };
    let then = sees(journal, found, pass, at(0), expect);
    assert_eq!(then, *expect, "{phase:?} {found:?} {pass:?}");
}

#[test]
fn in_two_places_all_move_or_none() {
    let foreign = Then::Close(Outcome::Superseded(Cause::Foreign));
    let kept = Then::Close(Outcome::Inconclusive);

    check(Phase::Applying, "aa", Pass::Resumes, &Then::Write("bb"));
    check(Phase::Applying, "ba", Pass::Resumes, &Then::Write("bb"));
    check(Phase::Applying, "ba", Pass::Aborts, &Then::TakeBack);
    check(Phase::Applying, "ba", Pass::HandsOver, &Then::TakeBack);
    check(Phase::Applying, "bb", Pass::Aborts, &kept);
    // Somebody else wrote the second: what was written of the first goes back.
    check(Phase::Applying, "bx", Pass::Resumes, &Then::TakeBack);
    check(Phase::Applying, "ax", Pass::Resumes, &foreign);

    check(Phase::RollingBack, "bb", Pass::Resumes, &Then::Write("aa"));
    check(Phase::RollingBack, "ab", Pass::Resumes, &Then::Write("aa"));
    check(Phase::RollingBack, "xb", Pass::Resumes, &Then::Write("xa"));
    check(Phase::RollingBack, "xa", Pass::Resumes, &foreign);
    check(
        Phase::RollingBack,
        "aa",
        Pass::Resumes,
        &Then::Close(Outcome::RolledBack),
    );
}

/// Found by the model: a pass that handed the field over left one place back and the other not.
#[test]
fn a_hand_over_leaves_nothing_half_way() {
    let kept = Then::Close(Outcome::Inconclusive);
    check(Phase::RollingBack, "ba", Pass::HandsOver, &Then::Write("aa"));
    check(Phase::RollingBack, "ab", Pass::HandsOver, &Then::Write("aa"));
    check(
        Phase::RollingBack,
        "aa",
        Pass::HandsOver,
        &Then::Close(Outcome::RolledBack),
    );
    // A roll-back that has not begun to write is not begun.
    check(Phase::RollingBack, "bb", Pass::HandsOver, &kept);
    check(Phase::RollingBack, "xb", Pass::HandsOver, &kept);
}

/// What a pass does with a change that is tried first: before it `a`, its trial `t`, after it `b`; `x` is nobody's of
/// the transaction. Each row: the phase, whether it was tried, what is found, and what comes of a pass that resumes, one
/// that aborts and one that hands over.
#[test]
fn a_trial_is_written_verified_and_never_kept() {
    let foreign = || [(); 3].map(|()| Then::Close(Outcome::Superseded(Cause::Foreign)));
    let aborted = |why| Then::Close(Outcome::Superseded(Cause::Aborted(why)));
    let kept = || Then::Close(Outcome::Inconclusive);
    let back = || Then::Close(Outcome::RolledBack);
    let rows = [
        (
            (Phase::Applying, false, "a"),
            [
                Then::Write("t"),
                aborted(Abort::PolicyDeleted),
                aborted(Abort::NotEnforced),
            ],
        ),
        (
            (Phase::Applying, false, "t"),
            [Then::Applied, Then::TakeBack, Then::TakeBack],
        ),
        // Before it was tried nobody but somebody else wrote it.
        ((Phase::Applying, false, "b"), foreign()),
        ((Phase::Applying, false, "x"), foreign()),
        // Somebody else took the trial back.
        ((Phase::Applying, true, "a"), foreign()),
        (
            (Phase::Applying, true, "t"),
            [Then::Write("b"), Then::TakeBack, Then::TakeBack],
        ),
        ((Phase::Applying, true, "b"), [Then::Applied, kept(), kept()]),
        ((Phase::Applying, true, "x"), foreign()),
        ((Phase::Verifying, false, "a"), foreign()),
        (
            (Phase::Verifying, false, "t"),
            [Then::Verify, Then::TakeBack, Then::TakeBack],
        ),
        ((Phase::Verifying, false, "b"), foreign()),
        ((Phase::Verifying, false, "x"), foreign()),
        ((Phase::Verifying, true, "a"), foreign()),
        // The whole was written over it, so it is not ours any more.
        ((Phase::Verifying, true, "t"), foreign()),
        ((Phase::Verifying, true, "b"), [Then::Verify, kept(), kept()]),
        ((Phase::Verifying, true, "x"), foreign()),
        ((Phase::RollingBack, false, "a"), [back(), back(), back()]),
        // A hand-over leaves no trial either.
        (
            (Phase::RollingBack, false, "t"),
            [Then::Write("a"), Then::Write("a"), Then::Write("a")],
        ),
        ((Phase::RollingBack, false, "b"), foreign()),
        ((Phase::RollingBack, false, "x"), foreign()),
        ((Phase::RollingBack, true, "a"), [back(), back(), back()]),
        (
            (Phase::RollingBack, true, "t"),
            [Then::Write("a"), Then::Write("a"), Then::Write("a")],
        ),
        (
            (Phase::RollingBack, true, "b"),
            [Then::Write("a"), Then::Write("a"), kept()],
        ),
        ((Phase::RollingBack, true, "x"), foreign()),
    ];
    for ((phase, tried, found), expect) in rows {
        for (pass, expect) in [Pass::Resumes, Pass::Aborts, Pass::HandsOver].into_iter().zip(expect) {
            let then = sees(taken_up(phase, tried), found, pass, at(0), &expect);
            assert_eq!(then, expect, "{phase:?}, tried: {tried}, {found:?} {pass:?}");
        }
    }
}

#[test]
fn a_trial_under_a_later_change_is_the_later_changes() {
    for phase in [Phase::Applying, Phase::Verifying, Phase::RollingBack] {
        for (tried, found) in [(false, "t"), (false, "a"), (true, "t"), (true, "b")] {
            let tx = Tx::resume(taken_up(phase, tried), None);
            let (_, effects) = step(tx, Event::Seen(Some(stamped(found, 8, 0))), at(0));
            let closed = closed(&effects);
            assert_eq!(closed, Outcome::Superseded(Cause::Newer), "{phase:?} {tried} {found:?}");
        }
    }
}

/// The trial was decided with the change, at 0 s; the whole when the trial was verified, at 300 s. Each holds for 60 s.
#[test]
fn each_write_has_its_own_time_to_expire() {
    let expired = Then::Close(Outcome::Superseded(Cause::Expired));
    let check = |tried, found, now, expect: &Then| {
        let mut journal = taken_up(Phase::Applying, tried);
        journal.tried_at = tried.then(|| at(300_000));
        let then = sees(journal, found, Pass::Resumes, at(now), expect);
        assert_eq!(then, *expect, "tried: {tried}, {found:?} at {now} ms");
    };
    check(false, "a", 60_000, &Then::Write("t"));
    check(false, "a", 60_001, &expired);
    // The write had landed in time.
    check(false, "t", 60_001, &Then::Applied);
    check(true, "t", 300_000, &Then::Write("b"));
    check(true, "t", 360_000, &Then::Write("b"));
    check(true, "t", 360_001, &Then::TakeBack);
    check(true, "b", 360_001, &Then::Applied);
    check(true, "x", 360_001, &Then::Close(Outcome::Superseded(Cause::Foreign)));
}

#[test]
fn a_write_that_is_refused_leaves_no_trial() {
    let refused = |journal, found, sequence, attempt, owned| {
        let tx = Tx {
            owned,
            target: Some(stamped(found, sequence, attempt)),
            ..Tx::resume(journal, None)
        };
        step(tx, Event::Refused, at(0)).1
    };
    // The first write: nothing is there to be taken back.
    let effects = refused(taken_up(Phase::Applying, false), "a", 7, 1, true);
    assert_eq!(closed(&effects), Outcome::Superseded(Cause::Refused));
    // The second: the trial is.
    let effects = refused(taken_up(Phase::Applying, true), "t", 7, 1, true);
    let journal = recorded(&effects);
    assert_eq!(
        (journal.phase, journal.verdict, &journal.rollback_to, journal.attempt),
        (Phase::RollingBack, Some(Verdict::Torn), &Some(places("a")), 2)
    );
    // What an older attempt sent may still land; a way back is tried until it is written.
    assert_eq!(refused(taken_up(Phase::Applying, true), "t", 7, 0, true), []);
    assert_eq!(refused(taken_up(Phase::Applying, true), "t", 7, 1, false), []);
    assert_eq!(refused(taken_up(Phase::Applying, true), "x", 7, 1, true), []);
    assert_eq!(refused(taken_up(Phase::RollingBack, true), "t", 7, 1, true), []);
}

/// The pass that created the journal goes all the way: each write has a verification of its own, and no verdict but the
/// last is recorded.
#[test]
fn a_change_is_committed_after_its_trial_and_the_whole_were_verified() {
    let journal = Journal::open(7, places("a"), places("b"), at(0)).trying(places("t"));
    let (tx, effects) = step(Tx::begin(journal.clone()), Event::Seen(Some(stamped("a", 7, 0))), at(1));
    assert_eq!(effects, [writes("t")]);
    let (tx, effects) = step(tx, Event::Accepted(stamped("t", 7, 0)), at(2));
    let verifying = Journal {
        phase: Phase::Verifying,
        applied_at: Some(at(2)),
        ..journal.clone()
    };
    assert_eq!(effects, [Effect::Record(verifying)]);
    let (tx, effects) = step(tx, Event::Recorded, at(3));
    assert_eq!(effects, [Effect::Verify]);

    let (tx, effects) = step(tx, Event::Achieved, at(300_000));
    let tried = Journal {
        phase: Phase::Applying,
        tried_at: Some(at(300_000)),
        applied_at: None,
        verdict: None,
        ..journal
    };
    assert_eq!(effects, [Effect::Record(tried.clone())]);
    let (tx, effects) = step(tx, Event::Recorded, at(300_001));
    assert_eq!(effects, [writes("b")]);
    let (tx, effects) = step(tx, Event::Accepted(stamped("b", 7, 0)), at(300_002));
    let verifying = Journal {
        phase: Phase::Verifying,
        applied_at: Some(at(300_002)),
        ..tried
    };
    assert_eq!(effects, [Effect::Record(verifying.clone())]);
    let (tx, effects) = step(tx, Event::Recorded, at(300_003));
    assert_eq!(effects, [Effect::Verify]);
    let (_, effects) = step(tx, Event::Achieved, at(600_000));
    let committed = Journal {
        phase: Phase::Closed(Outcome::Committed),
        verdict: Some(Verdict::Achieved),
        ..verifying
    };
    assert_eq!(effects, [Effect::Record(committed)]);
}

/// A pass that only judges a trial owns no attempt, and takes the journal up before it writes the whole.
#[test]
fn whoever_verified_a_trial_takes_it_up_before_the_whole_is_written() {
    let (tx, _) = judging(false, "t");
    let (tx, effects) = step(tx, Event::Achieved, at(300_000));
    let journal = recorded(&effects);
    assert_eq!((journal.attempt, journal.tried_at), (1, Some(at(300_000))));
    let (tx, effects) = step(tx, Event::Recorded, at(300_001));
    assert_eq!(recorded(&effects).attempt, 2);
    let (tx, effects) = step(tx, Event::Recorded, at(300_002));
    let stamp = Stamp {
        sequence: 7,
        attempt: 2,
    };
    assert_eq!(effects, [Effect::Stamp { stamp, at: ["1", "1"] }]);
    let (_, effects) = step(tx, Event::Accepted(stamped("t", 7, 2)), at(300_003));
    assert_eq!(effects, [writes("b")]);
}

/// From the trial and from the whole: the verdict is kept, and the value before is written under an attempt of its own.
#[test]
fn a_verdict_takes_back_the_trial_or_the_whole() {
    let to = || places("a");
    let roll_back = |verdict| Event::RollBack { to: to(), verdict };
    let keep = |verdict| Event::Keep { verdict };
    let back = |tried, found, event, verdict| {
        let (tx, _) = judging(tried, found);
        let (tx, effects) = step(tx, event, at(0));
        let journal = recorded(&effects);
        assert_eq!(
            (journal.phase, journal.verdict, &journal.rollback_to, journal.attempt),
            (Phase::RollingBack, Some(verdict), &Some(to()), 2),
            "{found:?} {verdict:?}"
        );
        let (tx, effects) = step(tx, Event::Recorded, at(1));
        assert!(matches!(effects.as_slice(), [Effect::Stamp { stamp, .. }] if stamp.attempt == 2));
        let (tx, effects) = step(tx, Event::Accepted(stamped(found, 7, 2)), at(2));
        assert_eq!(effects, [writes("a")]);
        let (_, effects) = step(tx, Event::Accepted(stamped("a", 7, 2)), at(3));
        assert_eq!(closed(&effects), Outcome::RolledBack);
        assert_eq!(recorded(&effects).verdict, Some(verdict));
    };
    for verdict in [Verdict::Broken, Verdict::Requested] {
        back(false, "t", roll_back(verdict), verdict);
        back(true, "b", roll_back(verdict), verdict);
    }
    // A trial is not kept: where the whole would be, it goes back.
    for (verdict, outcome) in [
        (Verdict::Ineffective, Outcome::Ineffective),
        (Verdict::Overtaken, Outcome::Inconclusive),
        (Verdict::Inconclusive, Outcome::Inconclusive),
    ] {
        back(false, "t", keep(verdict), verdict);
        let (tx, _) = judging(true, "b");
        assert_eq!(closed(&step(tx, keep(verdict), at(0)).1), outcome);
    }
}

#[test]
fn a_verdict_counts_only_for_what_was_to_be_verified() {
    for (tried, found) in [(false, "a"), (false, "b"), (false, "x"), (true, "t"), (true, "x")] {
        let (tx, _) = judging(tried, found);
        assert_eq!(step(tx, Event::Achieved, at(0)).1, [], "tried: {tried}, {found:?}");
    }
}

/// A journal of a change that is tried first, under attempt 1.
fn taken_up(phase: Phase, tried: bool) -> Journal<Places<char>> {
    let journal = Journal::open(7, places("a"), places("b"), at(0)).trying(places("t"));
    Journal {
        phase,
        attempt: 1,
        tried_at: tried.then(|| at(0)),
        rollback_to: (phase == Phase::RollingBack).then(|| places("a")),
        ..journal
    }
}

/// A pass that judges what it found, and owns no attempt.
fn judging(tried: bool, found: &str) -> Stepped {
    let tx = Tx::resume(taken_up(Phase::Verifying, tried), None);
    step(tx, Event::Seen(Some(stamped(found, 7, 1))), at(0))
}

fn writes(value: &str) -> Effect<Places<char>, Version> {
    Effect::Write {
        value: places(value),
        at: ["1", "1"],
    }
}

fn recorded(effects: &[Effect<Places<char>, Version>]) -> &Journal<Places<char>> {
    match effects {
        [Effect::Record(journal)] => journal,
        other => panic!("{other:?}"),
    }
}

fn closed(effects: &[Effect<Places<char>, Version>]) -> Outcome {
    match recorded(effects).phase {
        Phase::Closed(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

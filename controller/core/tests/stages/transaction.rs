//! What a pass does first with a value in two places, half-way or somebody else's. The model drives the same step
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
    /// What was written is to go back, as a change that is torn.
    TakeBack,
    /// The journal is closed.
    Close(Outcome),
}

fn places(text: &str) -> Places<char> {
    Places(text.chars().collect())
}

/// A pass that owns the journal's attempt and finds both places stamped with it. Before the change both hold `a`,
/// after it `b`.
fn check(phase: Phase, found: &str, pass: Pass, expect: &Then) {
    let now = Timestamp::from_millis(0);
    let journal = Journal {
        phase,
        attempt: 1,
        ..Journal::open(7, places("aa"), places("bb"), now)
    };
    let tx = match pass {
        Pass::Resumes => Tx::resume(journal, None),
        Pass::Aborts => Tx::resume(journal, Some(Abort::PolicyDeleted)),
        Pass::HandsOver => Tx::hand_over(journal),
    };
    let target = Target {
        value: places(found),
        version: ["1", "1"],
        stamp: Some(Stamp {
            sequence: 7,
            attempt: 1,
        }),
    };
    let (_, effects) = step(Tx { owned: true, ..tx }, Event::Seen(Some(target)), now);
    let then = match effects.as_slice() {
        [Effect::Write { value, .. }] => match expect {
            Then::Write(expected) if *value == places(expected) => Then::Write(expected),
            _ => panic!("{value:?} is written over {found:?}"),
        },
        [Effect::Record(journal)] => match journal.phase {
            Phase::Closed(outcome) => Then::Close(outcome),
            Phase::RollingBack if journal.verdict == Some(Verdict::Torn) => {
                assert_eq!((&journal.rollback_to, journal.attempt), (&Some(places("aa")), 2));
                Then::TakeBack
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
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

//! The circuit breaker, as sequences of what happens to a server's queries.

use crate::build::at;
use flyball_core::{
    breaker::{Breaker, FAILURES, LONGEST_PAUSE, LONGEST_RETRY_AFTER, Outcome, Permit, Stage},
    time::Span,
};
use proptest::{collection::vec, prelude::*};
use rstest::rstest;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Do {
    /// So many queries are asked, one after the other, and all fail.
    Fail(u32),
    /// One is asked, and the server wants to be left alone for so many seconds.
    Later(u64),
    /// One is asked and answered.
    Answer,
    /// One is asked and not waited for.
    Leave,
    /// One is asked and stays under way.
    Ask,
    /// The oldest that is under way is answered.
    AnswerLate,
    /// The oldest that is under way fails.
    FailLate,
    /// One is asked in vain.
    Refused,
}
use Do::{Answer, AnswerLate, Ask, Fail, FailLate, Later, Leave, Refused};

fn failed(seconds: Option<u64>) -> Outcome {
    Outcome::Failed {
        why: "no answer".to_owned(),
        retry_after: seconds.map(Span::from_secs),
    }
}

/// Each step: the second, what is done then, and the stage after it.
#[rstest]
#[case::fewer_than_five_leave_it_closed(&[(0, Fail(4), Stage::Closed), (0, Answer, Stage::Closed), (1, Fail(4), Stage::Closed)])]
#[case::five_in_a_row_open_it(&[(0, Fail(5), Stage::Open), (0, Refused, Stage::Open), (4, Refused, Stage::Open)])]
#[case::an_answer_starts_the_count_anew(&[(0, Fail(4), Stage::Closed), (1, Answer, Stage::Closed), (2, Fail(1), Stage::Closed)])]
#[case::after_5_s_one_passes(&[(0, Fail(5), Stage::Open), (5, Ask, Stage::HalfOpen), (5, Refused, Stage::HalfOpen), (6, AnswerLate, Stage::Closed), (6, Fail(4), Stage::Closed)])]
#[case::pauses_double(&[
    (0, Fail(5), Stage::Open),
    (5, Fail(1), Stage::Open), (14, Refused, Stage::Open),      // 10 s
    (15, Fail(1), Stage::Open), (34, Refused, Stage::Open),     // 20 s
    (35, Fail(1), Stage::Open), (74, Refused, Stage::Open),     // 40 s
    (75, Fail(1), Stage::Open), (134, Refused, Stage::Open),    // 60 s, not 80
    (135, Fail(1), Stage::Open), (194, Refused, Stage::Open),
])]
#[case::an_answer_after_the_probes_ends_the_outage(&[
    (0, Fail(5), Stage::Open), (5, Answer, Stage::Closed), (5, Answer, Stage::Closed),
    (6, Fail(5), Stage::Open), (10, Refused, Stage::Open), (11, Answer, Stage::Closed),
])]
#[case::pauses_go_on_growing_while_only_probes_are_answered(&[
    (0, Fail(5), Stage::Open), (5, Answer, Stage::Closed),
    (6, Fail(4), Stage::Closed), (6, Fail(1), Stage::Open), (15, Refused, Stage::Open), // 10 s
    (16, Answer, Stage::Closed), (17, Fail(5), Stage::Open), (36, Refused, Stage::Open), (37, Answer, Stage::Closed),
])]
#[case::a_lost_probe_lets_the_next_go(&[(0, Fail(5), Stage::Open), (5, Leave, Stage::Open), (5, Ask, Stage::HalfOpen)])]
#[case::what_is_left_counts_nothing(&[(0, Fail(4), Stage::Closed), (0, Leave, Stage::Closed), (0, Fail(1), Stage::Open)])]
#[case::a_late_failure_lengthens_nothing(&[(0, Ask, Stage::Closed), (1, Fail(5), Stage::Open), (4, FailLate, Stage::Open), (6, Answer, Stage::Closed)])]
#[case::a_late_answer_does_not_close(&[(0, Ask, Stage::Closed), (1, Fail(5), Stage::Open), (4, AnswerLate, Stage::Open), (5, Refused, Stage::Open)])]
#[case::a_late_failure_is_not_the_probes(&[(0, Ask, Stage::Closed), (0, Fail(5), Stage::Open), (5, Ask, Stage::HalfOpen), (6, FailLate, Stage::HalfOpen), (7, AnswerLate, Stage::Closed)])]
#[case::a_late_failure_after_it_closed_counts_nothing(&[(0, Ask, Stage::Closed), (0, Fail(5), Stage::Open), (5, Answer, Stage::Closed), (6, Fail(4), Stage::Closed), (6, FailLate, Stage::Closed)])]
#[case::retry_after_opens_at_once(&[(0, Later(30), Stage::Open), (29, Refused, Stage::Open), (30, Answer, Stage::Closed)])]
#[case::a_short_retry_after_is_no_shorter_pause(&[(0, Later(1), Stage::Open), (4, Refused, Stage::Open), (5, Answer, Stage::Closed)])]
#[case::retry_after_is_bounded(&[(0, Later(86_400), Stage::Open), (119, Refused, Stage::Open), (120, Answer, Stage::Closed)])]
#[case::retry_after_0_is_none(&[(0, Later(0), Stage::Closed)])]
#[case::a_clock_that_stands_still_opens_nothing(&[(9, Fail(5), Stage::Open), (9, Refused, Stage::Open)])]
fn a_breaker_goes(#[case] steps: &[(i64, Do, Stage)]) {
    let mut breaker = Breaker::new(0);
    let mut under_way: Vec<Permit> = Vec::new();
    for (step, (second, what, expect)) in steps.iter().enumerate() {
        let now = at(*second);
        let context = format!("step {step}: {what:?} at {second} s");
        let mut once = |outcome| {
            let permit = breaker
                .ask(now)
                .unwrap_or_else(|outage| panic!("{context}: {outage:?}"));
            breaker.report(permit, outcome, now);
        };
        match *what {
            Fail(count) => (0..count).for_each(|_| once(failed(None))),
            Later(seconds) => once(failed(Some(seconds))),
            Answer => once(Outcome::Answered),
            Leave => once(Outcome::Abandoned),
            Ask => under_way.push(breaker.ask(now).unwrap()),
            AnswerLate => breaker.report(under_way.remove(0), Outcome::Answered, now),
            FailLate => breaker.report(under_way.remove(0), failed(None), now),
            Refused => {
                assert!(breaker.refusal(now).is_some(), "{context}");
                assert!(breaker.ask(now).is_err(), "{context}");
            }
        }
        assert_eq!(breaker.stage(), *expect, "{context}");
        assert_eq!(breaker.outage().is_some(), *expect != Stage::Closed, "{context}");
    }
}

#[test]
fn an_outage_tells_since_when_and_the_last_reason() {
    let mut breaker = Breaker::new(0);
    let mut fail = |second, why: &str| {
        let permit = breaker.ask(at(second)).unwrap();
        let why = why.to_owned();
        breaker.report(permit, Outcome::Failed { why, retry_after: None }, at(second));
        breaker.outage().map(|outage| (outage.since, outage.why.clone()))
    };
    for second in 0..4 {
        assert_eq!(fail(second, "refused"), None);
    }
    assert_eq!(fail(4, "reset"), Some((at(4), "reset".to_owned())));
    assert_eq!(fail(9, "no answer"), Some((at(4), "no answer".to_owned())));
    let permit = breaker.ask(at(19)).unwrap();
    assert!(permit.is_probe());
    breaker.report(permit, Outcome::Answered, at(19));
    let permit = breaker.ask(at(19)).unwrap();
    assert!(!permit.is_probe());
    breaker.report(permit, failed(Some(9)), at(20));
    assert_eq!(breaker.outage().unwrap().since, at(4), "it is the same outage");
}

proptest! {
    /// Whatever happens: no more than one query at a time while it is not closed, never one within the shortest
    /// pause of an opening, and none is held back longer than the longest.
    #[test]
    fn a_server_that_failed_is_spared_but_not_forgotten(
        spread in any::<u64>(),
        steps in vec((0..20_000u64, 0..4u8, any::<bool>()), 1..200),
    ) {
        let mut breaker = Breaker::new(spread);
        let mut now = at(0);
        let mut opened = None;
        let mut probe: Option<Permit> = None;
        for (wait, outcome, hold) in steps {
            now = now + Span::from_millis(wait);
            if let Some(permit) = probe.take() {
                prop_assert!(breaker.ask(now).is_err(), "one at a time");
                breaker.report(permit, if outcome == 0 { Outcome::Answered } else { failed(None) }, now);
                opened = (breaker.stage() == Stage::Open).then_some(now);
                continue;
            }
            let before = breaker.stage();
            let Ok(permit) = breaker.ask(now) else {
                let since = now.since(opened.unwrap());
                prop_assert!(since < LONGEST_PAUSE.max(LONGEST_RETRY_AFTER), "{since} is longer than any pause");
                continue;
            };
            if before == Stage::Open {
                // Five seconds, less an eighth.
                prop_assert!(now.since(opened.unwrap()) >= Span::from_millis(4375));
                if hold {
                    probe = Some(permit);
                    continue;
                }
            }
            let outcome = match outcome {
                0 => Outcome::Answered,
                1 => failed(Some(7)),
                _ => failed(None),
            };
            breaker.report(permit, outcome, now);
            opened = (breaker.stage() == Stage::Open).then_some(now);
        }
    }

    /// The spread shortens a pause by less than an eighth, and is the same each time.
    #[test]
    fn pauses_are_spread(spread in any::<u64>()) {
        let pause = || {
            let mut breaker = Breaker::new(spread);
            for _ in 0..FAILURES {
                let permit = breaker.ask(at(0)).unwrap();
                breaker.report(permit, failed(None), at(0));
            }
            (0..=5000).find(|ms| breaker.refusal(at(0) + Span::from_millis(*ms)).is_none()).unwrap()
        };
        prop_assert!((4376..=5000).contains(&pause()), "{}", pause());
        prop_assert_eq!(pause(), pause());
    }
}

#[test]
fn two_sources_pause_for_different_times() {
    let pause = |spread| {
        let mut breaker = Breaker::new(spread);
        let permit = breaker.ask(at(0)).unwrap();
        breaker.report(permit, failed(Some(1)), at(0));
        (0..=5000).find(|ms| breaker.refusal(at(0) + Span::from_millis(*ms)).is_none())
    };
    let pauses: std::collections::BTreeSet<_> = (1..=32).map(pause).collect();
    assert!(pauses.len() > 16, "{pauses:?}");
}

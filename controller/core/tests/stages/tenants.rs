//! How a server is shared by tenants: places, rates, and queries that cost too much.

use crate::build::at;
use flyball_core::{
    breaker::{Outcome, Stage},
    costly::{Costly, MOST},
    places::{Places, Ticket},
    rate::{Bucket, Rate},
    time::{Span, Timestamp},
};
use proptest::{collection::vec, prelude::*};
use rstest::rstest;
use std::collections::{BTreeMap, VecDeque};

/// Who asks: `a` has asked for so many, and so on. In which order they get `limit` places one after the other, each given back at once.
#[rstest]
#[case::alone("aaa", 1, "aaa")]
#[case::one_with_many_does_not_hold_up_another("aaaab", 1, "abaaa")]
#[case::round_by_round("aaabbbccc", 1, "abcabcabc")]
#[case::who_comes_has_its_turn_after_those_that_wait("aabbc", 1, "abcab")]
fn turns(#[case] asked: &str, #[case] limit: usize, #[case] expect: &str) {
    let mut places = Places::new(limit, limit);
    let mut names = BTreeMap::new();
    for tenant in asked.chars() {
        names.insert(places.wait(tenant), tenant);
    }
    let mut found = String::new();
    while let Some(ticket) = places.give() {
        found.push(names[&ticket]);
        places.leave(&names[&ticket], ticket);
    }
    assert_eq!(found, expect);
    assert!(places.is_idle());
}

#[test]
fn a_free_place_goes_to_who_has_the_fewest() {
    let mut places = Places::new(3, 3);
    let of_a: Vec<Ticket> = (0..4).map(|_| places.wait('a')).collect();
    assert_eq!(
        [places.give(), places.give(), places.give()].map(Option::unwrap),
        of_a[..3]
    );
    let of_b = [places.wait('b'), places.wait('b')];
    assert_eq!(places.give(), None, "all are taken");
    places.leave(&'a', of_a[0]);
    assert_eq!(places.give(), Some(of_b[0]));
    // Now both have one: it is the turn of the one that had its last turn before.
    places.leave(&'a', of_a[1]);
    assert_eq!(places.give(), Some(of_a[3]));
    places.leave(&'a', of_a[2]);
    assert_eq!(places.give(), Some(of_b[1]));
}

#[test]
fn no_tenant_has_more_than_its_most() {
    let mut places = Places::new(5, 2);
    let first = [places.wait('a'), places.wait('a'), places.wait('a')];
    assert_eq!(
        [places.give(), places.give(), places.give()],
        [Some(first[0]), Some(first[1]), None]
    );
    let other = places.wait('b');
    assert_eq!(places.give(), Some(other), "the one at its limit holds nobody up");
    places.leave(&'a', first[0]);
    assert_eq!(places.give(), Some(first[2]));
}

/// What happens next, by tenant.
#[derive(Clone, Copy, Debug)]
enum Do {
    Wait(u8),
    /// The one of all its tickets, waiting or not.
    Leave(u8, prop::sample::Index),
}

fn doings() -> impl Strategy<Value = Vec<Do>> {
    let one = prop_oneof![
        3 => (0..5_u8).prop_map(Do::Wait),
        2 => (0..5_u8, any::<prop::sample::Index>()).prop_map(|(tenant, which)| Do::Leave(tenant, which)),
    ];
    vec(one, 0..200)
}

proptest! {
    #[test]
    fn places_are_never_too_many_never_idle_and_starve_nobody(limit in 1..6_usize, most in 1..6_usize, doings in doings()) {
        let mut places = Places::new(limit, most);
        // What waits and what has a place, by tenant, in the order of asking.
        let mut waiting: BTreeMap<u8, VecDeque<Ticket>> = BTreeMap::new();
        let mut taken: BTreeMap<u8, Vec<Ticket>> = BTreeMap::new();
        // To how many places that went to others each was passed over while it had none and waited.
        let mut passed: BTreeMap<u8, usize> = BTreeMap::new();
        for doing in doings {
            match doing {
                Do::Wait(tenant) => waiting.entry(tenant).or_default().push_back(places.wait(tenant)),
                Do::Leave(tenant, which) => {
                    let (line, own) = (waiting.entry(tenant).or_default(), taken.entry(tenant).or_default());
                    let all = line.len() + own.len();
                    if all == 0 { continue; }
                    let which = which.index(all);
                    let ticket = if which < line.len() { line.remove(which).unwrap() } else { own.remove(which - line.len()) };
                    places.leave(&tenant, ticket);
                }
            }
            while let Some(ticket) = places.give() {
                let tenant = *waiting.iter().find(|(_, line)| line.contains(&ticket)).unwrap().0;
                prop_assert_eq!(waiting.get_mut(&tenant).unwrap().pop_front(), Some(ticket), "first come, first served within one");
                taken.entry(tenant).or_default().push(ticket);
                passed.insert(tenant, 0);
                for (other, line) in &waiting {
                    if *other != tenant && !line.is_empty() && taken.get(other).is_none_or(Vec::is_empty) {
                        *passed.entry(*other).or_default() += 1;
                    }
                }
            }
            let count: usize = taken.values().map(Vec::len).sum();
            prop_assert_eq!(places.taken(), count);
            prop_assert!(count <= limit);
            prop_assert!(taken.values().all(|own| own.len() <= most));
            let could = waiting.iter().any(|(tenant, line)| {
                !line.is_empty() && taken.get(tenant).map_or(0, Vec::len) < most
            });
            prop_assert!(count == limit || !could, "a place is free while somebody waits who may have it");
            for (tenant, line) in &waiting {
                if line.is_empty() { passed.insert(*tenant, 0); }
            }
            // Five tenants: one that waits with nothing is passed over by each of the other four once at most.
            prop_assert!(passed.values().all(|count| *count <= 4), "{:?}", passed);
        }
        for (tenant, tickets) in waiting.into_iter().map(|(tenant, line)| (tenant, Vec::from(line))).chain(taken) {
            for ticket in tickets { places.leave(&tenant, ticket); }
        }
        prop_assert!(places.is_idle());
        prop_assert_eq!(places.taken(), 0);
    }

    #[test]
    fn a_tenant_alone_gets_all_places(limit in 1..20_usize, asks in 0..40_usize) {
        let mut places = Places::new(limit, limit);
        for _ in 0..asks { places.wait("shop"); }
        while places.give().is_some() {}
        prop_assert_eq!(places.taken_by(&"shop"), asks.min(limit));
        prop_assert_eq!(places.waiting_of(&"shop"), asks.saturating_sub(limit));
    }

    /// In no span of time more are let go than the burst and what the rate gives in it.
    #[test]
    fn no_more_go_than_the_rate(per_second in 1..50_u32, burst in 1..20_u32, pauses in vec(0..400_u64, 1..120)) {
        let mut bucket = Bucket::new(Rate { per_second, burst });
        let (mut now, mut went) = (at(0), Vec::new());
        for pause in pauses {
            now = now + Span::from_millis(pause);
            if let Ok(wait) = bucket.take(now, Span::from_secs(5)) {
                went.push(now + wait);
            }
        }
        went.sort_unstable();
        for (first, start) in went.iter().enumerate() {
            for (last, end) in went.iter().enumerate().skip(first) {
                let count = u64::try_from(last - first + 1).unwrap();
                let millis = end.since(*start).as_millis();
                // A millisecond more, by which waits are rounded.
                prop_assert!(count * 1000 <= u64::from(burst) * 1000 + u64::from(per_second) * (millis + 1));
            }
        }
    }
}

/// Two in a second, three at once. Each: when, how patient, what comes of it (waits for so long, or would have to).
#[test]
fn a_bucket_is_a_burst_and_then_a_rate() {
    let mut bucket = Bucket::new(Rate {
        per_second: 2,
        burst: 3,
    });
    let millis = Span::from_millis;
    let second = |tenths: i64| at(0) + millis(u64::try_from(tenths).unwrap() * 100);
    let mut take = |tenths, patience| bucket.take(second(tenths), millis(patience));
    assert_eq!([take(0, 0), take(0, 0), take(0, 0)], [Ok(millis(0)); 3]);
    assert_eq!(take(0, 499), Err(millis(500)));
    assert_eq!(take(0, 499), Err(millis(500)), "what is not let go takes nothing");
    assert_eq!(take(0, 1000), Ok(millis(500)));
    assert_eq!(take(0, 1000), Ok(millis(1000)));
    assert_eq!(take(1, 1000), Err(millis(1400)));
    // After 2.5 s five halves have come back: it is full again, and no fuller however long it waits.
    assert_eq!([take(25, 0), take(25, 0), take(25, 0)], [Ok(millis(0)); 3]);
    assert_eq!(take(25, 0), Err(millis(500)));
    assert_eq!([take(9000, 0), take(9000, 0), take(9000, 0)], [Ok(millis(0)); 3]);
    assert_eq!(take(9000, 0), Err(millis(500)));
}

fn failed() -> Outcome {
    Outcome::Failed {
        why: "too expensive".to_owned(),
        retry_after: None,
    }
}

fn ask(costly: &mut Costly, query: u64, outcome: Outcome, now: Timestamp) -> bool {
    match costly.ask(query, now) {
        Ok(asked) => {
            costly.report(asked, outcome, now);
            true
        }
        Err(_) => false,
    }
}

const DEAR: u64 = 1;
const CHEAP: u64 = 2;

#[test]
fn five_failures_open_it_for_the_queries_that_failed_alone() {
    let mut costly = Costly::new(0);
    for _ in 0..5 {
        assert_eq!(costly.stage(), Stage::Closed);
        assert!(ask(&mut costly, DEAR, failed(), at(0)));
        // The age of its samples is asked beside it, and answered.
        assert!(ask(&mut costly, CHEAP, Outcome::Answered, at(0)));
    }
    assert_eq!(costly.stage(), Stage::Open);
    assert!(!ask(&mut costly, DEAR, failed(), at(4)));
    assert!(
        costly
            .refusal(DEAR, at(4))
            .is_some_and(|outage| outage.why == "too expensive" && outage.since == at(0))
    );
    assert!(costly.refusal(CHEAP, at(4)).is_none());
    assert!(ask(&mut costly, CHEAP, Outcome::Answered, at(4)));
    assert_eq!(costly.stage(), Stage::Open, "who is not meant closes nothing");
    // After 5 s one is tried, and alone; it fails, so that the next pause has 10 s.
    let probe = costly.ask(DEAR, at(5)).unwrap();
    assert!(costly.ask(DEAR, at(5)).is_err());
    costly.report(probe, failed(), at(5));
    assert!(!ask(&mut costly, DEAR, failed(), at(14)));
    assert!(ask(&mut costly, DEAR, Outcome::Answered, at(15)));
    assert_eq!(costly.stage(), Stage::Closed);
    // It is over: a new row of failures begins with the shortest pause.
    for _ in 0..5 {
        assert!(ask(&mut costly, DEAR, failed(), at(20)));
    }
    assert!(!ask(&mut costly, DEAR, failed(), at(24)));
    assert!(ask(&mut costly, DEAR, failed(), at(25)));
}

#[test]
fn a_costly_query_that_is_answered_ends_the_row() {
    let mut costly = Costly::new(0);
    for _ in 0..4 {
        assert!(ask(&mut costly, DEAR, failed(), at(0)));
    }
    assert!(ask(&mut costly, DEAR, Outcome::Answered, at(0)));
    for _ in 0..4 {
        assert!(ask(&mut costly, DEAR, failed(), at(0)));
    }
    assert_eq!(costly.stage(), Stage::Closed);
    assert!(ask(&mut costly, DEAR, Outcome::Abandoned, at(0)));
    assert!(ask(&mut costly, DEAR, failed(), at(0)));
    assert_eq!(costly.stage(), Stage::Open);
}

#[test]
fn another_query_that_turns_out_to_be_costly_while_it_is_open_is_left_alone_too() {
    let mut costly = Costly::new(0);
    for _ in 0..5 {
        assert!(ask(&mut costly, DEAR, failed(), at(0)));
    }
    assert!(ask(&mut costly, 3, failed(), at(1)));
    assert!(!ask(&mut costly, 3, failed(), at(2)));
    // It probes as well as the first; while that one is costly still, the pauses go on growing.
    assert!(ask(&mut costly, 3, Outcome::Answered, at(5)));
    assert_eq!(costly.stage(), Stage::Closed);
    for _ in 0..5 {
        assert!(ask(&mut costly, DEAR, failed(), at(6)));
    }
    assert!(!ask(&mut costly, DEAR, failed(), at(15)));
    assert!(ask(&mut costly, DEAR, failed(), at(16)));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut costly = Costly::new(0);
    for query in 0..=u64::try_from(MOST).unwrap() {
        assert!(ask(&mut costly, query, failed(), at(0)));
    }
    assert_eq!(costly.stage(), Stage::Open);
    assert!(costly.refusal(0, at(1)).is_none(), "the oldest is forgotten");
    assert!(costly.refusal(1, at(1)).is_some());
}

//! Each decision of the election, one by one.

use flyball_controller::lease::{
    Leadership, Timing, TimingError,
    elector::{Action, Local, Record, decide},
};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use rstest::rstest;
use std::time::Duration;
use tokio::time::Instant;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn record(holder: &str, transitions: u64, renewed: i64) -> Record {
    Record {
        holder: holder.to_owned(),
        transitions,
        duration: s(15),
        renewed: jiff::Timestamp::from_second(renewed).ok(),
    }
}

fn us() -> Local {
    Local::new("us", Timing::default())
}

#[test]
fn who_knows_nothing_reads() {
    assert_eq!(decide(&us(), Instant::now()), Action::Read);
}

#[rstest]
#[case::free(Some(record("", 7, 1)), 0, Action::Replace { transitions: 8 })]
#[case::ours_from_a_term_that_lapsed(Some(record("us", 7, 1)), 0, Action::Replace { transitions: 8 })]
#[case::held_for_a_whole_duration(Some(record("other", 7, 1)), 15, Action::Replace { transitions: 8 })]
#[case::absent_for_a_whole_duration(None, 15, Action::Create { transitions: 0 })]
fn what_is_free_is_taken(#[case] lease: Option<Record>, #[case] after: u64, #[case] expect: Action) {
    let (mut local, start) = (us(), Instant::now());
    local.read(lease, start);
    assert_eq!(decide(&local, start + s(after)), expect);
}

#[rstest]
#[case::held_since_now(record("other", 7, 1), 0, 2)]
#[case::held_since_14_s(record("other", 7, 1), 14, 15)]
#[case::held_for_a_longer_duration_than_ours(Record { duration: s(60), ..record("other", 7, 1) }, 15, 17)]
#[case::a_shorter_duration_than_ours_does_not_count(Record { duration: s(1), ..record("other", 7, 1) }, 14, 15)]
fn what_is_held_is_awaited(#[case] lease: Record, #[case] after: u64, #[case] until: u64) {
    let (mut local, start) = (us(), Instant::now());
    local.read(Some(lease), start);
    assert_eq!(decide(&local, start + s(after)), Action::Wait(start + s(until)));
}

#[test]
fn an_absent_lease_is_not_created_before_its_last_holder_must_have_stopped() {
    let (mut local, start) = (us(), Instant::now());
    local.read(Some(record("other", 7, 1)), start);
    local.read(None, start + s(14));
    assert_eq!(decide(&local, start + s(28)), Action::Wait(start + s(29)));
    assert_eq!(
        decide(&local, start + s(29)),
        Action::Create { transitions: 8 },
        "the count goes on"
    );
}

#[test]
fn only_a_change_of_the_record_counts_and_no_time_of_day() {
    let (mut local, start) = (us(), Instant::now());
    // The other's clock is forty years behind ours.
    local.read(Some(record("other", 7, 1)), start);
    local.read(Some(record("other", 7, 1)), start + s(10));
    assert_eq!(decide(&local, start + s(15)), Action::Replace { transitions: 8 });
    local.read(Some(record("other", 7, 2)), start + s(15));
    assert_eq!(decide(&local, start + s(29)), Action::Wait(start + s(30)));
}

#[test]
fn a_standby_looks_again_before_it_acts() {
    let (mut local, start) = (us(), Instant::now());
    local.read(Some(record("other", 7, 1)), start);
    local.waited(start + s(15));
    assert_eq!(decide(&local, start + s(15)), Action::Read);
}

#[test]
fn a_leader_renews_what_it_wrote_and_each_renewal_moves_its_end() {
    let (mut local, start) = (us(), Instant::now());
    local.written(record("us", 8, 1), start, start + s(1));
    assert_eq!(
        local.leadership(start + s(1)),
        Leadership::Leader {
            transitions: 8,
            until: start + s(10)
        }
    );
    assert_eq!(decide(&local, start + s(1)), Action::Wait(start + s(5)));
    local.waited(start + s(5));
    assert_eq!(decide(&local, start + s(5)), Action::Replace { transitions: 8 });
    local.written(record("us", 8, 6), start + s(5), start + s(6));
    assert_eq!(
        local.leadership(start + s(6)),
        Leadership::Leader {
            transitions: 8,
            until: start + s(15)
        }
    );
}

#[test]
fn a_leader_without_a_renewal_is_none_after_its_deadline() {
    let (mut local, start) = (us(), Instant::now());
    local.written(record("us", 8, 1), start, start);
    for second in [5, 7, 9] {
        local.waited(start + s(second));
        local.failed(start + s(second));
        assert!(local.leadership(start + s(second)).is_leader(start + s(second)));
    }
    assert_eq!(
        decide(&local, start + s(9)),
        Action::Wait(start + s(10)),
        "it wakes up when it ends"
    );
    assert_eq!(local.leadership(start + s(10)), Leadership::Standby);
    local.waited(start + s(10));
    assert_eq!(decide(&local, start + s(10)), Action::Read);
}

#[test]
fn an_answer_that_comes_after_the_deadline_makes_nobody_a_leader() {
    let (mut local, start) = (us(), Instant::now());
    local.written(record("us", 8, 1), start, start + s(60));
    assert_eq!(local.leadership(start + s(60)), Leadership::Standby);
    assert_eq!(decide(&local, start + s(60)), Action::Read);
}

#[test]
fn a_leader_that_sees_another_holder_stops_at_once() {
    let (mut local, start) = (us(), Instant::now());
    local.written(record("us", 8, 1), start, start);
    local.read(Some(record("other", 9, 2)), start + s(1));
    assert_eq!(local.leadership(start + s(1)), Leadership::Standby);
}

#[test]
fn a_leader_whose_lease_was_deleted_makes_it_again_in_the_same_term() {
    let (mut local, start) = (us(), Instant::now());
    local.written(record("us", 8, 1), start, start);
    local.read(None, start + s(5));
    assert_eq!(decide(&local, start + s(5)), Action::Create { transitions: 8 });
}

#[test]
fn a_conflict_is_looked_into_soon_but_not_in_a_tight_loop() {
    let (mut local, start) = (us(), Instant::now());
    local.read(Some(record("", 0, 1)), start);
    local.conflicted(start);
    assert_eq!(decide(&local, start), Action::Wait(start + Duration::from_millis(250)));
    local.waited(start + Duration::from_millis(250));
    assert_eq!(decide(&local, start + Duration::from_millis(250)), Action::Read);
}

#[test]
fn a_write_ends_with_its_own_limit_or_with_the_leadership() {
    let now = Instant::now();
    let leader = Leadership::Leader {
        transitions: 1,
        until: now + s(4),
    };
    assert_eq!(leader.deadline(now, s(5)), Some(now + s(4)));
    assert_eq!(leader.deadline(now, s(1)), Some(now + s(1)));
    assert_eq!(leader.deadline(now + s(4), s(1)), None);
    assert_eq!(Leadership::Standby.deadline(now, s(1)), None);
}

#[test]
fn a_strange_lease_is_read_without_harm() {
    let spec = LeaseSpec {
        lease_transitions: Some(-3),
        lease_duration_seconds: Some(-1),
        ..LeaseSpec::default()
    };
    let read = Record::from(&Lease {
        spec: Some(spec),
        ..Lease::default()
    });
    assert_eq!(
        read,
        Record {
            holder: String::new(),
            transitions: 0,
            duration: s(0),
            renewed: None
        }
    );
    assert_eq!(Record::from(&Lease::default()), read);
}

#[rstest]
#[case::the_default(Timing::default(), Ok(()))]
#[case::deadline_too_close(
    Timing { duration: s(14), ..Timing::default() },
    Err(TimingError::Duration { duration: s(14), deadline: s(10) })
)]
#[case::renewed_too_seldom(
    Timing { renew: s(6), ..Timing::default() },
    Err(TimingError::Renew { renew: s(6), deadline: s(10) })
)]
#[case::never_renewed(
    Timing { renew: s(0), ..Timing::default() },
    Err(TimingError::Renew { renew: s(0), deadline: s(10) })
)]
#[case::half_a_second(
    Timing { duration: Duration::from_millis(15_500), ..Timing::default() },
    Err(TimingError::Seconds(Duration::from_millis(15_500)))
)]
#[case::a_request_as_long_as_the_deadline(
    Timing { request: s(10), ..Timing::default() },
    Err(TimingError::Request(s(10)))
)]
fn times_that_could_make_two_leaders_are_refused(#[case] timing: Timing, #[case] expect: Result<(), TimingError>) {
    assert_eq!(timing.check(), expect);
}

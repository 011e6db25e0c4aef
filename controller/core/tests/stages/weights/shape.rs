use super::{aimd, capacity, check, cpu, failover, fresh, route, step, weights, with_base};
use crate::build::{Observed, finite};
use flyball_core::{decide::RouteFacts, policy::WeightsAction};

fn free() -> WeightsAction {
    let mut action = capacity();
    action.limits.most_step = finite(10.0);
    action
}

fn fixed(mut facts: RouteFacts, total: u32) -> RouteFacts {
    facts.fixed_total = Some(total);
    facts
}

fn beside(mut facts: RouteFacts, unmanaged: u64) -> RouteFacts {
    facts.unmanaged = unmanaged;
    facts
}

#[test]
fn the_sum_is_as_it_must_be() {
    let of = |current: &[(&str, i64)], expect: &str| check(&free(), &cpu(), &route(current), expect, &[]);
    // Below 1000 it is 1000, above it stays, at most a million.
    of(&[("a", 1), ("b", 1), ("c", 1)], "a 400, b 400, c 200");
    of(&[("a", 333), ("b", 333), ("c", 333)], "a 400, b 400, c 200");
    of(&[("a", 1000), ("b", 1000), ("c", 1000)], "a 1200, b 1200, c 600");
    of(
        &[("a", 1_000_000), ("b", 1_000_000), ("c", 1_000_000)],
        "a 400000, b 400000, c 200000",
    );
    let equal = [("a", 33), ("b", 33), ("c", 34)];
    check(&free(), &cpu(), &fixed(route(&equal), 100), "a 40, b 40, c 20", &[]);
    // While others have weight it stays as it is, small or large.
    check(&free(), &cpu(), &beside(route(&equal), 50), "a 40, b 40, c 20", &[]);
    check(
        &free(),
        &cpu(),
        &beside(route(&[("a", 3), ("b", 3), ("c", 4)]), 50),
        "a 4, b 4, c 2",
        &[],
    );
    let large = [("a", 1_000_000), ("b", 500_000), ("c", 1_000_000)];
    check(
        &free(),
        &cpu(),
        &beside(route(&large), 50),
        "a 1000000, b 1000000, c 500000",
        &[],
    );
}

#[test]
fn the_largest_remainder_gets_the_unit() {
    // 125, 125 and 125 * 0.9 = 112.5 of 362.5, of 1000: 344.83, 344.83, 310.34.
    let mut facts = route(&[("a", 200), ("b", 500), ("c", 300)]);
    facts.requests = fresh(&[("a", 100.0), ("b", 100.0), ("c", 90.0)]);
    check(&free(), &cpu(), &facts, "a 345, b 345, c 310", &[]);
    // Of 10: 3.45, 3.45, 3.10, so one of the first two gets the tenth.
    let facts = RouteFacts {
        current: weights(&[("a", 1), ("b", 6), ("c", 3)]),
        ..beside(facts, 1)
    };
    check(&free(), &cpu(), &facts, "a 4, b 3, c 3", &[]);
}

#[test]
fn a_small_weight_moves_by_one_at_least() {
    // Of 10, at 20 %, 4 could move by 0.8 only, and 2 by 0.4.
    let facts = beside(route(&[("a", 4), ("b", 2), ("c", 4)]), 1);
    check(&capacity(), &cpu(), &facts, "a 4, b 3, c 3", &[]);
}

#[test]
fn from_zero_the_cap_does_not_count() {
    let facts = route(&[("a", 800), ("b", 0), ("c", 200)]);
    // b goes to what it should have; a and c lose 20 % at most: 640 and 160, so b gets 200.
    check(&capacity(), &cpu(), &facts, "a 640, b 200, c 160", &[]);
}

#[test]
fn within_the_dead_band_nothing_moves() {
    // 0.4 of 1000; 5 % of 381 is 19.05, and of 380 it is 19.
    let c_at_200 = |a: i64| route(&[("a", a), ("b", 800 - a), ("c", 200)]);
    check(&free(), &cpu(), &c_at_200(381), "-", &["the dead band 0.05"]);
    check(&free(), &cpu(), &c_at_200(380), "a 400, b 400, c 200", &[]);
    let mut wide = free();
    wide.limits.dead_band = finite(0.2);
    check(&wide, &cpu(), &c_at_200(350), "-", &["the dead band 0.2"]);
}

#[test]
fn the_resolution_alone_is_no_reason_to_write() {
    let observed = Observed::default()
        .signal("p99", fresh(&[("a", 0.1), ("b", 0.1), ("c", 0.1)]))
        .rule("Failing", crate::build::quiet(0));
    for current in [[1, 1, 1], [333, 333, 334], [10, 10, 10]] {
        let facts = route(&[("a", current[0]), ("b", current[1]), ("c", current[2])]);
        check(&aimd(), &observed, &facts, "-", &["the dead band"]);
        check(
            &with_base(step(), &[1, 1, 1]),
            &observed,
            &facts,
            "-",
            &["the weights are as wanted"],
        );
    }
    for first in [1, 1000] {
        check(
            &failover(),
            &observed,
            &route(&[("a", first), ("b", 0), ("c", 0)]),
            "-",
            &["a serves"],
        );
    }
}

#[test]
fn what_can_not_be_divided_is_left() {
    // Each needs 1 at least.
    let facts = beside(route(&[("a", 2), ("b", 0), ("c", 0)]), 5);
    check(
        &free(),
        &cpu(),
        &facts,
        "-",
        &["a sum of 2 can't be divided as wanted", "larger weights"],
    );
}

#[test]
fn weights_that_are_all_zero_go_back_to_base() {
    let zero = [("a", 0), ("b", 0), ("c", 0)];
    for action in [
        with_base(capacity(), &[50, 30, 20]),
        step(),
        with_base(failover(), &[50, 30, 20]),
        with_base(aimd(), &[50, 30, 20]),
    ] {
        let mut facts = route(&zero);
        // At once, and without data.
        facts.history.moved_at = Some(crate::build::at(super::NOW));
        facts.requests = super::told(flyball_core::signal::Quality::Error, 0, &[]);
        let part = ["all weights are zero: back to base"];
        check(&action, &Observed::default(), &facts, "a 50, b 30, c 20", &part);
        check(&action, &Observed::default(), &fixed(facts, 10), "a 5, b 3, c 2", &part);
    }
}

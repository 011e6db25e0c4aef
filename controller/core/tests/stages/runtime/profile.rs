use crate::build::reading;
use flyball_core::{
    bytes::Bytes,
    decide::runtime::{
        AllocationRate, CycleCost, Fact, FactError, Gogc, Part, allocation, bytes, cycle_cost, part, read_gogc,
        read_limit,
    },
    signal::{Quality, Reading},
};
use std::fmt::Debug;

const NOW: i64 = 1000;

fn one(value: f64) -> Reading {
    reading(Quality::Fresh, NOW, &[("", value)])
}

fn check<T: Debug + PartialEq>(fact: Fact<T>, expect: Result<T, &str>) {
    match (fact, expect) {
        (Ok(value), Ok(expect)) => assert_eq!(value, expect),
        (Err(why), Err(expect)) => assert!(why.to_string().contains(expect), "{why}"),
        (fact, expect) => panic!("{fact:?} instead of {expect:?}"),
    }
}

#[test]
fn numbers_become_quantities_or_say_why_not() {
    check(bytes(&one(1024.4)), Ok(Bytes::new(1024).unwrap()));
    check(bytes(&one(0.0)), Ok(Bytes::ZERO));
    check(bytes(&one(-1.0)), Err("it is -1; an amount of memory is not negative"));
    check(allocation(&one(2.5)).map(AllocationRate::get), Ok(2.5));
    check(allocation(&one(-0.1)).map(AllocationRate::get), Err("it is -0.1"));
    check(part(&one(0.25)).map(Part::get), Ok(0.25));
    check(part(&one(25.0)).map(Part::get), Err("it is 25; a part is from 0 to 1"));
    check(read_gogc(&one(100.0)).map(Gogc::get), Ok(100));
    for wrong in [-1.0, 0.0, 1001.0] {
        check(read_gogc(&one(wrong)).map(Gogc::get), Err("from 1 to 1000"));
    }
}

#[test]
fn the_largest_number_is_no_limit() {
    check(read_limit(&one(536_870_912.0)), Ok(Some(Bytes::from_mib(512))));
    // MaxInt64, as Go tells it.
    check(read_limit(&one(9_223_372_036_854_775_807.0)), Ok(None));
    check(read_limit(&one(0.0)), Err("a limit is above 0"));
    let infinite = reading(Quality::NotFinite, NOW, &[("", f64::INFINITY)]);
    check(read_limit(&infinite), Err("not finite"));
}

#[test]
fn a_cycle_costs_what_all_cost_by_their_number() {
    let of = |cpu, cycles| cycle_cost(&one(cpu), &one(cycles)).map(CycleCost::get);
    check(of(0.5, 20.0), Ok(0.025));
    check(of(0.0, 1.0), Ok(0.0));
    check(of(0.5, 0.0), Err("no collection ended"));
    check(of(-0.5, 1.0), Err("both rates are not negative"));
    check(of(-0.5, -1.0), Err("both rates are not negative"));
    check(of(1e300, 1e-300), Err("finite"));
}

#[test]
fn what_is_not_one_fresh_number_is_not_known() {
    for quality in [Quality::Stale, Quality::Partial, Quality::Missing, Quality::Error] {
        let values: &[(&str, f64)] = if quality == Quality::Missing { &[] } else { &[("", 1.0)] };
        let bad = reading(quality, NOW, values);
        let word = quality.to_string();
        check(bytes(&bad), Err(&word));
        check(read_limit(&bad), Err(&word));
        check(allocation(&bad).map(AllocationRate::get), Err(&word));
        check(part(&bad).map(Part::get), Err(&word));
        check(read_gogc(&bad).map(Gogc::get), Err(&word));
        check(cycle_cost(&bad, &one(1.0)).map(CycleCost::get), Err(&word));
        check(cycle_cost(&one(1.0), &bad).map(CycleCost::get), Err(&word));
    }
    let two = reading(Quality::Fresh, NOW, &[("a", 1.0), ("b", 2.0)]);
    assert!(matches!(bytes(&two), Err(FactError::Signal(_))));
}

use super::check;
use crate::{
    build::{Observed, average, facts, n, number, ratio, reading, unusable},
    options::{schedule, with_history},
};
use flyball_core::{policy::ReplicasAction, signal::Quality};

/// From 2 to 20 replicas, at least 5 in the office and 8 at noon; at 3600 s both count.
fn action() -> ReplicasAction {
    let mut action = ratio(average(100.0));
    action.schedules = vec![schedule("office", 3000, 4000, 5), schedule("noon", 3600, 3700, 8)];
    action
}

fn at_load(load: f64) -> Observed {
    Observed::default().signal("load", number(3600, load))
}

#[test]
fn below_the_floor_it_goes_up_to_it_at_once_without_data() {
    let part = "7 replicas are fewer than 8 by schedule noon, which needs no data";
    check(&action(), &Observed::default(), &facts(7), "8", &[part]);
    for unusable in unusable(3600) {
        let observed = Observed::default().signal("load", unusable);
        check(&action(), &observed, &facts(2), "8", &["by schedule noon"]);
    }
    // Before the law, as with min: the law's 15 come with the next pass.
    check(&action(), &at_load(1500.0), &facts(7), "8", &[part]);
    check(&action(), &at_load(1500.0), &facts(8), "15", &[]);
    // By hand stays by hand.
    check(&action(), &at_load(1500.0), &facts(0), "-", &["scaled to zero by hand"]);
}

#[test]
fn the_highest_floor_that_counts_now_is_the_smallest_number() {
    // 3 are asked for; the check says how far it may go.
    check(
        &action(),
        &at_load(300.0),
        &facts(9),
        "3",
        &["no fewer than 8 by schedule noon"],
    );
    check(
        &action(),
        &at_load(300.0),
        &facts(8),
        "-",
        &["there are only 8 by schedule noon: fewer only when it is over"],
    );
    let mut action = action();
    action.schedules.pop();
    check(
        &action,
        &at_load(300.0),
        &facts(8),
        "3",
        &["no fewer than 5 by schedule office"],
    );
    // It ends where its window ends, and one below min is none.
    action.schedules = vec![schedule("office", 3000, 3600, 5), schedule("low", 0, 9999, 1)];
    check(&action, &at_load(300.0), &facts(4), "3", &[]);
    check(&action, &at_load(100.0), &facts(2), "-", &["only min 2"]);
}

#[test]
fn a_floor_ends_at_max_and_says_so() {
    let mut action = action();
    action.schedules = vec![schedule("sale", 0, 9999, 30)];
    let part = "fewer than 20 by schedule sale, which asks for 30 and ends at max";
    check(&action, &Observed::default(), &facts(7), "20", &[part]);
    check(&action, &at_load(300.0), &facts(20), "-", &["only 20 by schedule sale"]);
    check(
        &action,
        &at_load(300.0),
        &facts(25),
        "20",
        &["25 replicas are more than max 20"],
    );
}

#[test]
fn a_floor_is_none_of_a_fallback_s_business() {
    // Without data the floor holds and the fallback raises above it.
    let mut action = action();
    action.fallback = Some(crate::options::fallback(600, 12));
    let outage = Observed::default().signal("load", reading(Quality::Error, 3600, &[]));
    let since = |seconds: i64| {
        with_history(facts(8), |history| {
            history.no_data_since = Some(crate::build::at(seconds));
        })
    };
    check(&action, &outage, &since(3001), "-", &["without data for 9m59s"]);
    check(&action, &outage, &since(3000), "12", &["fallback 12 counts"]);
    assert_eq!(facts(8).current, n(8));
}

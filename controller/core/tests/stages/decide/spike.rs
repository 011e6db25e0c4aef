use super::{HALF, check};
use crate::{
    build::{Observed, at, average, facts, firing, number, quiet, ratio, reading, step, with_recommendations},
    options::{pass, pods, run, spike, with_history},
};
use flyball_core::{
    decide::{Facts, PodPhase, Pods},
    policy::{Amount, ReplicasAction},
    signal::Quality,
};
use rstest::rstest;

fn action() -> ReplicasAction {
    ReplicasAction {
        spike: Some(spike()),
        ..ratio(average(100.0))
    }
}

fn at_load(load: f64) -> Observed {
    Observed::default().signal("load", number(3600, load))
}

fn lasting(current: i64, until: i64) -> Facts {
    with_history(facts(current), |history| history.spike_until = Some(at(until)))
}

#[rstest]
// Twice 4 are 8.
#[case(4, None, 800.0, Some(3660))]
#[case(4, None, 701.0, Some(3660))]
#[case(4, None, 700.0, None)]
// Of the pods that are ready, where they are known.
#[case(4, Some((2, 2)), 400.1, Some(3660))]
#[case(4, Some((3, 1)), 500.0, None)]
#[case(4, Some((0, 4)), 500.0, Some(3660))] // At least one.
// What is asked for counts, not what max allows.
#[case(20, None, 4000.0, Some(3660))]
fn a_spike_begins_at_so_many_times_the_present(
    #[case] current: i64,
    #[case] known: Option<(usize, usize)>,
    #[case] load: f64,
    #[case] until: Option<i64>,
) {
    let facts = Facts {
        pods: known.map(|(ready, unready)| pods(ready, unready)),
        ..facts(current)
    };
    let (_, why, history) = pass(&action(), &at_load(load), &facts, 3600);
    assert_eq!(history.spike_until, until.map(at), "{why}");
}

#[test]
fn only_pods_that_serve_are_counted() {
    let mut three = pods(3, 0);
    let Pods(list) = &mut three;
    list[0].phase = PodPhase::Failed;
    list[1].terminating = true;
    // One of three serves, so 2 would be a spike of it.
    let facts = Facts {
        pods: Some(three),
        ..facts(3)
    };
    assert_eq!(
        pass(&action(), &at_load(200.0), &facts, 3600).2.spike_until,
        Some(at(3660))
    );
}

#[test]
fn while_a_spike_lasts_nothing_is_taken_away() {
    let part = "a spike lasts for another 30s, and nothing is taken away until it is over";
    check(&action(), &at_load(300.0), &lasting(8, 3630), "-", &[part]);
    check(&action(), &at_load(300.0), &lasting(8, 3600), "3", &[]);
    // More is still added.
    check(&action(), &at_load(900.0), &lasting(8, 3630), "9", &[]);
    // Not even a number above max is taken back.
    check(
        &action(),
        &at_load(300.0),
        &lasting(25, 3630),
        "-",
        &["more than max 20", part],
    );
    check(&action(), &at_load(300.0), &lasting(25, 3600), "20", &[]);
    // Nor by the step law.
    let by_step = ReplicasAction {
        spike: Some(spike()),
        ..step(HALF, HALF)
    };
    let still = Observed::default().rule("Slow", quiet(0));
    check(&by_step, &still, &lasting(8, 3630), "-", &[part]);
    check(&by_step, &still, &lasting(8, 3600), "4", &[]);
}

#[test]
fn a_spike_is_renewed_while_it_lasts_and_forgotten_after() {
    let until = |facts: &Facts, observed: &Observed| pass(&action(), observed, facts, 3600).2.spike_until;
    assert_eq!(until(&lasting(4, 3601), &at_load(800.0)), Some(at(3660)));
    assert_eq!(until(&lasting(4, 3650), &at_load(400.0)), Some(at(3650)));
    assert_eq!(until(&lasting(4, 3600), &at_load(400.0)), None);
    // It outlives an outage, but no longer than it was meant to.
    let outage = Observed::default().signal("load", reading(Quality::Error, 3600, &[]));
    assert_eq!(until(&lasting(4, 3650), &outage), Some(at(3650)));
    // A clock that stepped back makes no long spike.
    assert_eq!(until(&lasting(4, 9999), &at_load(400.0)), Some(at(3660)));
    // Without the option there is none.
    let plain = ratio(average(100.0));
    assert_eq!(
        pass(&plain, &at_load(800.0), &lasting(4, 3650), 3600).2.spike_until,
        None
    );
}

#[test]
fn a_step_of_twice_the_number_is_a_spike_too() {
    let by_step = ReplicasAction {
        spike: Some(spike()),
        ..step(Amount::Percent(100), HALF)
    };
    let slow = Observed::default().rule("Slow", firing(&[("a", 0.7)]));
    assert_eq!(pass(&by_step, &slow, &facts(4), 3600).2.spike_until, Some(at(3660)));
}

#[test]
fn the_window_remembers_what_was_asked_for_meanwhile() {
    let mut windowed = action();
    windowed.down.stabilization = crate::build::secs(300);
    let facts = with_recommendations(lasting(8, 3601), &[]);
    let seen = |seconds: i64, load: f64| (seconds, Observed::default().signal("load", number(seconds, load)));
    let numbers = run(
        &windowed,
        facts,
        vec![
            seen(3600, 500.0),
            seen(3700, 300.0),
            seen(3899, 300.0),
            seen(3900, 300.0),
        ],
    );
    assert_eq!(numbers, [8, 5, 5, 3]);
}

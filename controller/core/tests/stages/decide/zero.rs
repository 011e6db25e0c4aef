use super::check;
use crate::{
    build::{Observed, at, facts, finite, limit, n, number, reading, secs, signal, unusable, with_recommendations},
    options::{fallback, pass, run, schedule, spike, to_zero, with_history},
};
use flyball_core::{
    decide::Facts,
    policy::{Amount, OnError, ReplicasAction},
    signal::Quality,
};
use rstest::rstest;

fn seen(jobs: f64, load: f64) -> Observed {
    Observed::default()
        .signal("jobs", number(3600, jobs))
        .signal("load", number(3600, load))
}

/// Idle since then, by what is remembered.
fn idle(current: i64, since: i64) -> Facts {
    with_history(facts(current), |history| history.idle_since = Some(at(since)))
}

#[rstest]
// As many as the metrics ask for, at least 1, at most max.
#[case(1.0, 0.0, 450.0, "5")]
#[case(1.0, 0.0, 0.0, "1")]
#[case(1.0, 0.0, 99_999.0, "20")]
// Strictly above.
#[case(0.0, 0.0, 450.0, "-")]
#[case(5.0, 5.0, 450.0, "-")]
#[case(5.1, 5.0, 450.0, "5")]
#[case(0.1 + 0.2, 0.3, 450.0, "-")] // The noise of floats is none of ours.
#[case(-1.0, 0.0, 450.0, "-")]
fn an_activity_wakes(#[case] jobs: f64, #[case] activation: f64, #[case] load: f64, #[case] expect: &str) {
    let mut action = to_zero();
    action.zero.as_mut().unwrap().activation = finite(activation);
    let part = if expect == "-" {
        "not above the activation"
    } else {
        ", above the activation"
    };
    check(&action, &seen(jobs, load), &facts(0), expect, &["signal jobs is", part]);
}

#[test]
fn it_wakes_by_one_where_the_metrics_say_nothing() {
    let action = to_zero();
    for unusable in unusable(3600) {
        let observed = seen(3.0, 0.0).signal("load", unusable);
        check(&action, &observed, &facts(0), "1", &["to 1, since", "load"]);
    }
}

#[test]
fn at_zero_without_the_signal_it_stays_and_says_so() {
    for unusable in unusable(3600) {
        let quality = unusable.quality().to_string();
        let observed = seen(0.0, 450.0).signal("jobs", unusable);
        check(
            &to_zero(),
            &observed,
            &facts(0),
            "-",
            &["not known: signal jobs", &quality],
        );
    }
    check(
        &to_zero(),
        &Observed::default(),
        &facts(0),
        "-",
        &["signal jobs was not read"],
    );
    let two = reading(Quality::Fresh, 3600, &[("a", 1.0), ("b", 1.0)]);
    check(
        &to_zero(),
        &seen(0.0, 0.0).signal("jobs", two),
        &facts(0),
        "-",
        &["2 series"],
    );
}

#[test]
fn at_zero_a_schedule_raises_with_and_without_the_signal() {
    let mut action = to_zero();
    action.schedules = vec![schedule("office", 3000, 4000, 3)];
    for jobs in [number(3600, 0.0), reading(Quality::Missing, 3600, &[])] {
        let observed = Observed::default().signal("jobs", jobs);
        check(
            &action,
            &observed,
            &facts(0),
            "3",
            &["0 replicas are fewer than 3 by schedule office"],
        );
    }
    check(&action, &seen(1.0, 450.0), &facts(0), "5", &[]);
    check(&action, &seen(1.0, 0.0), &facts(0), "3", &[]);
    // And it keeps them, whatever there is to do.
    check(
        &action,
        &seen(0.0, 0.0),
        &idle(3, 0),
        "-",
        &["only 3 by schedule office"],
    );
    check(
        &action,
        &seen(0.0, 0.0),
        &idle(6, 0),
        "0",
        &["no fewer than 3 by schedule office"],
    );
}

#[rstest]
// Idle since, observed since, load, from, to.
#[case(3300, 0, 0.0, 1, "0")]
#[case(3301, 0, 0.0, 1, "-")]
#[case(9999, 0, 0.0, 1, "-")] // A clock that stepped back.
#[case(3300, 3300, 0.0, 1, "0")]
#[case(0, 3301, 0.0, 1, "-")] // Stored idleness proves nothing of the time nobody looked.
#[case(3300, 0, 0.0, 10, "0")] // From the present number to none at once, as KEDA does.
#[case(3301, 0, 0.0, 10, "1")] // Otherwise the law works from 1 on.
#[case(3300, 0, 100.0, 10, "0")] // The metrics ask for the last replica alone.
#[case(3300, 0, 150.0, 10, "2")] // They ask for more.
#[case(3300, 0, 150.0, 1, "2")]
fn after_the_cooldown_the_last_replica_goes(
    #[case] since: i64,
    #[case] observed_since: i64,
    #[case] load: f64,
    #[case] from: i64,
    #[case] expect: &str,
) {
    let facts = with_history(idle(from, since), |history| {
        history.observing_since = at(observed_since);
    });
    check(&to_zero(), &seen(0.0, load), &facts, expect, &[]);
}

#[test]
fn what_keeps_the_last_replica_is_said() {
    let action = to_zero();
    check(
        &action,
        &seen(0.0, 0.0),
        &idle(1, 3301),
        "-",
        &["the last replica stays", "for 4m59s of 5m"],
    );
    check(
        &action,
        &seen(2.0, 0.0),
        &idle(1, 0),
        "-",
        &["signal jobs is 2, above the activation 0"],
    );
    let restarted = with_history(idle(1, 0), |history| history.observing_since = at(3301));
    check(
        &action,
        &seen(0.0, 0.0),
        &restarted,
        "-",
        &["observed only for 4m59s of 5m"],
    );
    check(
        &action,
        &seen(0.0, 0.0),
        &idle(1, 0),
        "0",
        &["signal jobs is 0, not above the activation 0, for 5m"],
    );
}

#[test]
fn no_value_is_read_as_zero() {
    for unusable in unusable(3600) {
        // Neither for the signal nor for the metrics.
        for (jobs, load) in [
            (unusable.clone(), number(3600, 0.0)),
            (number(3600, 0.0), unusable.clone()),
        ] {
            let observed = Observed::default().signal("jobs", jobs.clone()).signal("load", load);
            let (to, why, history) = pass(&to_zero(), &observed, &idle(1, 0), 3600);
            assert_eq!(to, None, "{why}");
            assert_eq!(history.idle_since, jobs.is_fresh().then(|| at(0)));
        }
    }
}

#[test]
fn the_last_replica_does_not_go_on_a_substitute() {
    for number in [0.0, 50.0, 100.0] {
        let observed = seen(0.0, 0.0)
            .signal("load", reading(Quality::Error, 3600, &[]))
            .define(signal("load", OnError::Substitute(finite(number))));
        let (to, why, _) = pass(&to_zero(), &observed, &idle(1, 0), 3600);
        assert_eq!(to, None, "{why}");
    }
}

#[test]
fn idleness_is_remembered_while_it_is_known() {
    let since =
        |action: &ReplicasAction, facts: &Facts, observed: &Observed| pass(action, observed, facts, 3600).2.idle_since;
    assert_eq!(since(&to_zero(), &facts(3), &seen(0.0, 300.0)), Some(at(3600)));
    assert_eq!(since(&to_zero(), &idle(3, 3000), &seen(0.0, 300.0)), Some(at(3000)));
    assert_eq!(since(&to_zero(), &idle(3, 9999), &seen(0.0, 300.0)), Some(at(3600)));
    assert_eq!(since(&to_zero(), &idle(3, 3000), &seen(0.1, 300.0)), None);
    // Whoever scales up from zero has the whole cooldown.
    assert_eq!(since(&to_zero(), &idle(0, 3000), &seen(0.0, 0.0)), None);
    // Also while a schedule or a bound is what decides.
    assert_eq!(since(&to_zero(), &idle(30, 3000), &seen(0.0, 0.0)), Some(at(3000)));
    let mut without = to_zero();
    without.zero = None;
    assert_eq!(since(&without, &idle(3, 3000), &seen(0.0, 300.0)), None);
}

#[test]
fn the_cooldown_takes_the_place_of_the_window_and_nothing_else() {
    let mut action = to_zero();
    action.down.stabilization = secs(600);
    let busy = |from: i64, since: i64| with_recommendations(idle(from, since), &[(3200, from)]);
    check(&action, &seen(0.0, 0.0), &busy(10, 3300), "0", &["for 5m"]);
    check(
        &action,
        &seen(0.0, 0.0),
        &busy(10, 3301),
        "-",
        &["the highest number asked for within 10m is 10"],
    );
    // A spike holds, as it holds every decrease.
    let spiking = with_history(idle(1, 0), |history| history.spike_until = Some(at(3610)));
    action.spike = Some(spike());
    check(
        &action,
        &seen(0.0, 0.0),
        &spiking,
        "-",
        &["a spike lasts for another 10s"],
    );
    // So does a rollout.
    let mut rolling = idle(1, 0);
    rolling.rollout = Some("1 of 1 updated".to_owned());
    check(
        &action,
        &seen(0.0, 0.0),
        &rolling,
        "-",
        &["a rollout is under way (1 of 1 updated)"],
    );
}

#[test]
fn waking_goes_past_the_up_window_by_one() {
    let mut action = to_zero();
    action.up.stabilization = secs(60);
    let asleep = with_recommendations(facts(0), &[(3590, 0)]);
    check(
        &action,
        &seen(4.0, 450.0),
        &asleep,
        "1",
        &["the lowest number asked for within 1m is 0"],
    );
    let old = with_recommendations(facts(0), &[(3540, 0)]);
    check(&action, &seen(4.0, 450.0), &old, "5", &[]);
}

#[test]
fn without_zero_a_workload_at_zero_is_somebody_s_wish() {
    let mut action = to_zero();
    (action.zero, action.bounds.min) = (None, n(1));
    check(
        &action,
        &seen(9.0, 900.0),
        &facts(0),
        "-",
        &["scaled to zero by hand; scale to 1 or more"],
    );
}

#[test]
fn a_fallback_raises_from_zero_only_if_nothing_is_known() {
    let mut action = to_zero();
    action.fallback = Some(fallback(600, 4));
    let since = |seconds: i64| with_history(facts(0), |history| history.no_data_since = Some(at(seconds)));
    let blind = Observed::default().signal("jobs", reading(Quality::Error, 3600, &[]));
    check(
        &action,
        &blind,
        &since(3000),
        "4",
        &["without data for 10m, so fallback 4 counts"],
    );
    check(&action, &blind, &since(3001), "-", &["without data for 9m59s"]);
    // There is nothing to do: that metrics are missing without pods is in order.
    let idle = blind.signal("jobs", number(3600, 0.0));
    let (to, why, history) = pass(&action, &idle, &since(0), 3600);
    assert_eq!((to, history.no_data_since), (None, None), "{why}");
    // The metrics answer, so there is data; but whether to wake is not known.
    let half = Observed::default()
        .signal("jobs", reading(Quality::Error, 3600, &[]))
        .signal("load", number(3600, 500.0));
    let (to, why, history) = pass(&action, &half, &since(0), 3600);
    assert_eq!((to, history.no_data_since), (None, None), "{why}");
}

#[test]
fn down_to_zero_and_back_again() {
    let mut action = to_zero();
    action.up.limits = vec![limit(Amount::Pods(4), 15)];
    let work = |seconds: i64, jobs: Option<f64>, load: f64| {
        let reading = jobs.map_or_else(|| reading(Quality::Missing, seconds, &[]), |jobs| number(seconds, jobs));
        let observed = Observed::default()
            .signal("jobs", reading)
            .signal("load", number(seconds, load));
        (seconds, observed)
    };
    let numbers = run(
        &action,
        facts(3),
        vec![
            work(1000, Some(5.0), 300.0), // busy
            work(1100, Some(0.0), 0.0),   // idle: the law goes to 1
            work(1300, Some(0.0), 0.0),
            work(1350, None, 0.0),      // a gap
            work(1400, Some(0.0), 0.0), // so the cooldown begins anew
            work(1699, Some(0.0), 0.0),
            work(1700, Some(0.0), 0.0), // 300 s later the last one goes
            work(1800, None, 900.0),    // at zero nothing is known: stay
            work(1900, Some(0.0), 900.0),
            work(2000, Some(1.0), 250.0), // and back
        ],
    );
    assert_eq!(numbers, [3, 1, 1, 1, 1, 1, 0, 0, 0, 3]);
}

use super::{HALF, check};
use crate::{
    build::{
        Observed, at, average, facts, finite, firing, metric, metrics, number, query, quiet, ratio, reading, rule,
        secs, signal, step, unusable,
    },
    options::{fallback, pass, run, with_history},
};
use flyball_core::{
    decide::Facts,
    evaluate::RuleState,
    policy::{Condition, Measure, Number, OnError, ReplicasAction, Rule},
    signal::Quality,
};
use rstest::rstest;

fn action() -> ReplicasAction {
    ReplicasAction {
        fallback: Some(fallback(600, 6)),
        ..ratio(average(100.0))
    }
}

fn outage() -> Observed {
    Observed::default().signal("load", reading(Quality::Error, 3600, &[]))
}

fn since(current: i64, seconds: i64) -> Facts {
    with_history(facts(current), |history| history.no_data_since = Some(at(seconds)))
}

#[rstest]
#[case(3000, 4, "6", "without data for 10m, so fallback 6 counts")]
#[case(0, 4, "6", "without data for 1h")]
#[case(3001, 4, "-", "without data for 9m59s; fallback 6 counts after 10m")]
#[case(9999, 4, "-", "without data for 0s")] // A clock that stepped back.
// It only ever raises.
#[case(0, 6, "-", "fallback 6 only raises")]
#[case(0, 15, "-", "fallback 6 only raises")]
fn after_a_time_without_data_it_raises(
    #[case] began: i64,
    #[case] from: i64,
    #[case] expect: &str,
    #[case] part: &str,
) {
    check(&action(), &outage(), &since(from, began), expect, &["time-out", part]);
}

#[test]
fn every_kind_of_unusable_data_is_none() {
    for unusable in unusable(3600) {
        let observed = Observed::default().signal("load", unusable);
        check(&action(), &observed, &since(4, 3000), "6", &["fallback 6 counts"]);
    }
}

#[test]
fn a_fallback_ends_at_max_and_says_so() {
    let mut action = action();
    action.fallback = Some(fallback(600, 50));
    check(
        &action,
        &outage(),
        &since(4, 0),
        "20",
        &["so fallback 50 counts, up to max 20"],
    );
    check(&action, &outage(), &since(20, 0), "-", &["only raises"]);
}

#[test]
fn the_time_without_data_is_remembered() {
    let after = |facts: &Facts, observed: &Observed| pass(&action(), observed, facts, 3600).2.no_data_since;
    assert_eq!(after(&facts(4), &outage()), Some(at(3600)));
    assert_eq!(after(&since(4, 3000), &outage()), Some(at(3000)));
    assert_eq!(after(&since(4, 9999), &outage()), Some(at(3600)));
    // The first number ends it, whatever it says.
    let seen = outage().signal("load", number(3600, 400.0));
    assert_eq!(after(&since(4, 0), &seen), None);
    // Also without a fallback, for whoever looks.
    let without = ratio(average(100.0));
    let (to, why, history) = pass(&without, &outage(), &since(4, 0), 3600);
    assert_eq!((to, history.no_data_since), (None, Some(at(0))), "{why}");
    assert!(!why.contains("without data"), "{why}");
    // Scaled to zero by hand there is none to miss.
    assert_eq!(after(&since(0, 0), &outage()), None);
    // Out of bounds the law is not asked, so nothing is learned.
    assert_eq!(after(&since(1, 3000), &outage()), Some(at(3000)));
}

#[test]
fn it_is_a_duration_and_no_count_of_failures() {
    let blind = |seconds: i64| {
        (
            seconds,
            Observed::default().signal("load", reading(Quality::Error, seconds, &[])),
        )
    };
    let seen = |seconds: i64, load: f64| (seconds, Observed::default().signal("load", number(seconds, load)));
    // Many passes are no longer than the time between the first and the last.
    let many: Vec<_> = (0..100).map(|second| blind(1000 + second)).collect();
    assert!(run(&action(), facts(4), many).iter().all(|number| *number == 4));
    // Two passes are enough if they are far enough apart; one answer begins anew.
    assert_eq!(run(&action(), facts(4), vec![blind(1000), blind(1600)]), [4, 6]);
    assert_eq!(
        run(
            &action(),
            facts(4),
            vec![blind(1000), seen(1500, 400.0), blind(1600), blind(2200)]
        ),
        [4, 4, 4, 6]
    );
}

#[test]
fn what_a_fallback_raised_stays_for_a_window() {
    let mut action = action();
    action.down.stabilization = secs(300);
    let blind = |seconds: i64| {
        (
            seconds,
            Observed::default().signal("load", reading(Quality::Error, seconds, &[])),
        )
    };
    let seen = |seconds: i64| (seconds, Observed::default().signal("load", number(seconds, 300.0)));
    let numbers = run(
        &action,
        facts(4),
        vec![blind(1000), blind(1600), seen(1700), seen(1899), seen(1900)],
    );
    assert_eq!(numbers, [4, 6, 6, 6, 3]);
}

#[test]
fn a_substitute_is_no_data_and_counts_beside_the_fallback() {
    let with = |number: f64| outage().define(signal("load", OnError::Substitute(finite(number))));
    // 500 of 100 for each replica are 5, and the fallback is 6.
    check(
        &action(),
        &with(500.0),
        &since(4, 3001),
        "5",
        &["onError substitutes 500"],
    );
    check(&action(), &with(500.0), &since(4, 3000), "6", &["fallback 6 counts"]);
    check(
        &action(),
        &with(900.0),
        &since(4, 3000),
        "9",
        &["onError substitutes 900"],
    );
    let after = |facts: &Facts| pass(&action(), &with(400.0), facts, 3600).2.no_data_since;
    assert_eq!(
        (after(&facts(4)), after(&since(4, 3000))),
        (Some(at(3600)), Some(at(3000)))
    );
    // Neither takes anything away.
    check(
        &action(),
        &with(100.0),
        &since(9, 3000),
        "-",
        &["nothing is taken away"],
    );
}

#[test]
fn what_holds_everything_holds_the_fallback_too() {
    let held = outage().define(signal("load", OnError::Hold));
    check(
        &action(),
        &held,
        &since(4, 0),
        "-",
        &["its onError is Hold", "so nothing changes"],
    );
    let after = |facts: &Facts| pass(&action(), &held, facts, 3600).2.no_data_since;
    assert_eq!((after(&facts(4)), after(&since(4, 3000))), (None, Some(at(3000))));
}

#[test]
fn one_metric_that_can_be_used_is_data() {
    let of = |name: &str| {
        let of = Number::Signal(name.to_owned());
        metric(
            name,
            Measure::Total {
                of,
                target: average(100.0),
            },
        )
    };
    let action = ReplicasAction {
        fallback: Some(fallback(600, 6)),
        ..metrics(vec![of("load"), of("queue")])
    };
    for on_error in [OnError::HoldDown, OnError::Ignore] {
        let observed = outage()
            .define(signal("load", on_error))
            .signal("queue", number(3600, 450.0));
        check(&action, &observed, &since(4, 0), "5", &[]);
        assert_eq!(pass(&action, &observed, &since(4, 0), 3600).2.no_data_since, None);
        // Left out, the other alone decides; missed, it keeps what there is.
        let low = observed.signal("queue", number(3600, 100.0));
        let expect = if on_error == OnError::Ignore { "1" } else { "-" };
        check(&action, &low, &since(4, 0), expect, &[]);
    }
}

#[test]
fn for_a_step_the_rules_are_the_data() {
    let action = ReplicasAction {
        fallback: Some(fallback(600, 6)),
        ..step(HALF, HALF)
    };
    let blind = || reading(Quality::Error, 3600, &[]);
    let unanswered = Observed::default()
        .rule("Slow", RuleState::default())
        .reading("Slow", blind());
    check(&action, &unanswered, &since(4, 3000), "6", &["fallback 6 counts"]);
    check(
        &action,
        &Observed::default(),
        &since(4, 3000),
        "6",
        &["Slow was not evaluated"],
    );
    // One rule that answers is enough.
    let mut two = action.clone();
    two.when.push("Full".to_owned());
    let one = unanswered.rule("Full", quiet(0));
    check(&two, &one, &since(4, 3000), "-", &[]);
    assert_eq!(pass(&two, &one, &since(4, 3000), 3600).2.no_data_since, None);
    // A rule that fires on what little there is drives as before.
    let partial = Observed::default()
        .rule("Slow", firing(&[("a", 0.7)]))
        .reading("Slow", reading(Quality::Partial, 3600, &[("a", 0.7)]));
    check(&action, &partial, &since(4, 3000), "6", &["Slow fires"]);
    // To an expression without a number at its top, silence is an answer.
    let mut opaque = Observed::default()
        .rule("Slow", RuleState::default())
        .reading("Slow", reading(Quality::Missing, 3600, &[]));
    check(&action, &opaque, &since(4, 3000), "6", &[]);
    let definition = Rule {
        condition: Condition::Opaque(query("a and b")),
        ..rule("Slow", 0, 0)
    };
    opaque.definitions.insert("Slow".to_owned(), definition);
    check(&action, &opaque, &since(4, 3000), "-", &["its silence proves nothing"]);
}

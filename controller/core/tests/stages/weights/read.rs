use super::{NOW, aimd, capacity, check, cpu, fresh, remember, route};
use crate::build::{Observed, at, labels};
use flyball_core::signal::{Quality, Reading, Sample};

const EQUAL: [(&str, i64); 3] = [("a", 333), ("b", 333), ("c", 334)];

fn unlabelled() -> Reading {
    let sample = |backend: Option<&str>| Sample {
        labels: backend.map_or_else(|| labels(&[]), |backend| labels(&[("backend", backend)])),
        value: 1.0,
    };
    let reading = Reading::answered(
        at(NOW),
        vec![sample(Some("a")), sample(None)],
        &[],
        None,
        crate::build::secs(60),
    );
    assert_eq!(reading.quality(), Quality::Fresh);
    reading
}

#[test]
fn a_reading_that_can_not_be_told_apart_holds_everything() {
    let stranger = || fresh(&[("a", 0.8), ("foo", 0.8)]);
    let twice = || fresh(&[("a", 0.8), ("b", 0.8), ("a", 0.9)]);
    let cases = [
        (
            stranger(),
            "answers for backend \"foo\", which the action does not manage",
        ),
        (unlabelled(), "answers with a series without the label backend"),
        (fresh(&[("", 0.8)]), "answers with a series without the label backend"),
        (twice(), "answers with two series for backend \"a\""),
    ];
    for (reading, part) in cases {
        for (action, signal) in [(capacity(), "cpu"), (aimd(), "p99")] {
            let parts = [&format!("signal {signal} {part}"), "nothing is moved"];
            let observed = Observed::default().signal(signal, reading.clone());
            check(
                &super::ejecting(action),
                &observed,
                &route(&EQUAL),
                "-",
                &parts.map(|part| part as &str),
            );
        }
        let mut facts = route(&EQUAL);
        facts.requests = reading.clone();
        check(&capacity(), &cpu(), &facts, "-", &[&format!("traffic.requests {part}")]);
        let mut facts = route(&EQUAL);
        facts.errors = reading.clone();
        check(&capacity(), &cpu(), &facts, "-", &[&format!("traffic.errors {part}")]);
        // Not even an ejection.
        facts.requests = fresh(&[("a", 100.0), ("b", 100.0), ("c", 100.0)]);
        check(
            &super::ejecting(super::step()),
            &Observed::default(),
            &facts,
            "-",
            &[part],
        );
    }
}

#[test]
fn the_route_s_other_backends_may_be_told_of() {
    let observed = Observed::default().signal("cpu", fresh(&[("a", 0.8), ("b", 0.8), ("c", 0.8), ("foo", 99.0)]));
    let mut facts = route(&EQUAL);
    facts.requests = fresh(&[("a", 100.0), ("b", 100.0), ("c", 50.0), ("foo", 1.0)]);
    facts.errors = fresh(&[("foo", 1.0)]);
    check(&capacity(), &observed, &facts, "-", &["\"foo\""]);
    facts.others = vec!["foo".to_owned()];
    check(&capacity(), &observed, &facts, "a 366, b 366, c 268", &[]);
}

#[test]
fn what_is_no_longer_managed_is_forgotten() {
    let facts = remember(route(&EQUAL), "gone", |memory| memory.ejections = 3);
    let history = check(&capacity(), &cpu(), &facts, "a 366, b 366, c 268", &[]);
    assert_eq!(history.backends.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
}

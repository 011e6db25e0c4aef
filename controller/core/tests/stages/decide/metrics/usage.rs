use super::{on, with};
use crate::{
    build::{Observed, at, secs},
    fleet::{Fleet, by_usage, container, cpu, mean, memory, percent, pod, ready, requests},
};
use flyball_core::{
    decide::{Pod, PodUsage},
    policy::{ReplicasAction, Resource},
};
use rstest::rstest;
use std::collections::BTreeMap;

fn fleet() -> Fleet {
    Fleet::default()
}

/// Thousandths of the core that each pod requests, against so many percent.
#[rstest]
// (300 + 500 + 700) of 3000 = 50 %; ceil(50 / 30 x 3).
#[case(fleet().ready(1, 300.0).ready(1, 500.0).ready(1, 700.0), 3, 30, "5", &["floor(100 x 1.5 used / 3 requested) = 50 %", "50 / 30 is more than 1 + 0.1", "ceil(3 x 50 / 30) = 5"])]
// 55.9 % is 55 %, and 1.1 times 50 % is within.
#[case(fleet().ready(10, 559.0), 10, 50, "-", &["= 55 %", "55 / 50 lies from"])]
#[case(fleet().ready(10, 560.0), 10, 50, "12", &["ceil(10 x 56 / 50) = 12"])]
// 81.9 % is 81 %: ceil(81 / 90 x 10) is 9 of 10, within.
#[case(fleet().ready(10, 819.0), 10, 90, "-", &["81 / 90 lies from"])]
// HPA's floats come to 116.
#[case(fleet().ready(75, 460.0), 75, 30, "115", &["ceil(75 x 46 / 30) = 115"])]
// Missing on the way down: (4 x 200 + 1000) of 5000 = 36 %; ceil(36 / 50 x 5) = ceil(3.6).
#[case(fleet().ready(4, 200.0).missing(1), 5, 50, "4", &["count as 100 % of their request", "floor(100 x 1.8 used / 5 requested) = 36 %"])]
// With a target above 100 %, as the target: (4 x 500 + 1500) of 5000 = 70 %; ceil(70 / 150 x 5) = ceil(2.33).
#[case(fleet().ready(4, 500.0).missing(1), 5, 150, "3", &["count as 150 % of their request", "= 70 %"])]
// On the way up: 4 x 900 of 5000 = 72 %; ceil(72 / 50 x 5) = ceil(7.2).
#[case(fleet().ready(4, 900.0).missing(1), 5, 50, "8", &["those 1 count as 0", "= 72 %"])]
// 900 of 3000 = 30 % flips.
#[case(fleet().ready(1, 900.0).missing(2), 3, 50, "-", &["the direction flips"])]
// Pending: 4 x 900 of 5000, as above; and on the way down not at all: ceil(20 / 50 x 4).
#[case(fleet().ready(4, 900.0).pending(1, None), 5, 50, "8", &["= 72 %"])]
#[case(fleet().ready(4, 200.0).pending(1, None), 5, 50, "2", &["= 20 %"])]
// Terminating and failed pods are not there.
#[case(fleet().ready(2, 900.0).terminating(3, Some(0.0)).failed(3, None), 2, 50, "4", &["of 2 pods 2 count"])]
#[case(fleet().ready(3, 0.0), 3, 50, "0", &["= 0 %"])]
fn a_utilization_is_that_of_hpa(
    #[case] fleet: Fleet,
    #[case] current: i64,
    #[case] target: u32,
    #[case] expect: &str,
    #[case] lines: &[&str],
) {
    on(&fleet, current, &by_usage(cpu(), percent(target, cpu())), expect, lines);
}

#[test]
fn the_pods_are_weighed_by_what_they_request() {
    // (900 + 100) of (1000 + 3000) = 25 %, where the mean of 90 % and 3 % would be 46 %.
    let fleet = fleet().ready(1, 900.0).with(1, Some(100.0), |pod| {
        pod.requests = BTreeMap::from([("app".to_owned(), requests(3000, 0))]);
    });
    on(
        &fleet,
        2,
        &by_usage(cpu(), percent(50, cpu())),
        "1",
        &["floor(100 x 1 used / 4 requested) = 25 %"],
    );
}

fn with_sidecar(pod: &mut Pod) {
    pod.requests.insert("sidecar".to_owned(), requests(500, 0));
}

#[test]
fn a_container_may_be_looked_at_alone() {
    let fleet = fleet().with(2, Some(400.0), with_sidecar);
    // 800 of 1000 = 80 %; ceil(80 / 50 x 2) = ceil(3.2).
    let sidecar = by_usage(container("sidecar"), percent(50, container("sidecar")));
    let observed = fleet.observed(3600, container("sidecar"));
    with(
        &observed,
        &fleet,
        2,
        &sidecar,
        "4",
        &["cpu usage of container sidecar", "0.8 used / 1 requested) = 80 %"],
    );
    // 800 of 3000 = 26 %; ceil(26 / 50 x 2) = ceil(1.04).
    on(
        &fleet,
        2,
        &by_usage(cpu(), percent(50, cpu())),
        "-",
        &["0.8 used / 3 requested) = 26 %", "ceil(2 x 26 / 50) = 2"],
    );
    let other = by_usage(container("sidecar"), percent(50, container("proxy")));
    with(
        &observed,
        &fleet,
        2,
        &other,
        "-",
        &["pod web-000 has no container proxy"],
    );
}

#[test]
fn a_pod_without_a_request_is_named() {
    let action = by_usage(cpu(), percent(50, cpu()));
    let without = |pod: &mut Pod| {
        with_sidecar(pod);
        pod.requests
            .insert("sidecar".to_owned(), BTreeMap::from([(Resource::Memory, 1)]));
    };
    let message = [
        "container sidecar of pod web-002 requests no cpu",
        "set resources.requests.cpu",
    ];
    on(
        &fleet().ready(2, 900.0).with(1, Some(900.0), without),
        3,
        &action,
        "-",
        &message,
    );
    // Also where it does not count yet.
    on(
        &fleet().ready(2, 900.0).with(1, None, without),
        3,
        &action,
        "-",
        &message,
    );
    let pending = |pod: &mut Pod| {
        without(pod);
        pod.phase = flyball_core::decide::PodPhase::Pending;
    };
    on(
        &fleet().ready(2, 100.0).with(1, None, pending),
        3,
        &action,
        "-",
        &message,
    );
    // But not where it never will; HPA refuses that, too.
    let terminating = |pod: &mut Pod| {
        without(pod);
        pod.terminating = true;
    };
    on(
        &fleet().ready(2, 900.0).with(1, None, terminating),
        2,
        &action,
        "4",
        &[],
    );
    let nothing = |pod: &mut Pod| pod.requests = BTreeMap::from([("app".to_owned(), requests(0, 0))]);
    on(
        &fleet().with(2, Some(900.0), nothing),
        2,
        &action,
        "-",
        &["the pods request 0 in all"],
    );
}

#[test]
fn a_signal_may_be_measured_against_a_request() {
    // Cores: 0.3 + 0.9 of 2 = 60 %; ceil(60 / 40 x 2).
    let fleet = fleet().ready(1, 0.3).ready(1, 0.9);
    on(
        &fleet,
        2,
        &crate::fleet::by_signal(percent(40, cpu())),
        "3",
        &["signal load is 60 % of the requested cpu", "1.2 used / 2"],
    );
}

#[test]
fn a_mean_of_usage_is_cut_to_thousandths() {
    let action = |target: f64| by_usage(cpu(), mean(target));
    // (300 + 500 + 701) / 3 = 500.33 thousandths of a core.
    let fleet = fleet().ready(1, 300.0).ready(1, 500.0).ready(1, 701.0);
    on(
        &fleet,
        3,
        &action(0.5),
        "-",
        &["1.501 / 3 pods = 0.5, cut to thousandths", "0.5 / 0.5 lies from"],
    );
    // ceil(2 x 3)
    on(
        &fleet,
        3,
        &action(0.25),
        "6",
        &["cpu usage is 0.5 in the mean, with a target of 0.25"],
    );
    // However fine the target, as metrics.k8s.io counts no finer: 5.9 / 5 is 5 / 5 here.
    let fine = Fleet::default().ready(1, 5.0).ready(9, 6.0);
    on(&fine, 10, &action(0.005), "-", &["0.059 / 10 pods = 0.005"]);
    // Memory: (2 x 600 MB + the target of 1000 MB) / 3 = 733.333 MB; ceil(0.73333 x 3).
    let fleet = Fleet::default().ready(2, 600e9).missing(1);
    let observed = fleet.observed(3600, memory());
    with(
        &observed,
        &fleet,
        3,
        &by_usage(memory(), mean(1e9)),
        "-",
        &["2200000000 / 3 pods = 733333333.333", "= 3"],
    );
}

#[test]
fn usage_that_is_not_known_has_no_number() {
    let action = by_usage(cpu(), percent(50, cpu()));
    let fleet = fleet().ready(2, 900.0);
    with(
        &Observed::default(),
        &fleet,
        2,
        &action,
        "-",
        &["the cpu usage was not read"],
    );
    let failed = Observed::default().usage(cpu(), Err("metrics.k8s.io is not served".to_owned()));
    with(
        &failed,
        &fleet,
        2,
        &action,
        "-",
        &["the cpu usage is not known: metrics.k8s.io is not served"],
    );
    with(
        &fleet.observed(3600, memory()),
        &fleet,
        2,
        &action,
        "-",
        &["the cpu usage was not read"],
    );
}

#[test]
fn usage_that_is_old_is_missing() {
    let action = by_usage(cpu(), percent(50, cpu()));
    let fleet = fleet().ready(2, 900.0);
    with(&fleet.observed(3300, cpu()), &fleet, 2, &action, "4", &[]);
    with(
        &fleet.observed(3299, cpu()),
        &fleet,
        2,
        &action,
        "-",
        &["2 measure nothing"],
    );
    // One of two: 900 of 2000 = 45 %, which is within.
    let mut usage = fleet.usage(3600);
    usage.insert(
        "web-000".to_owned(),
        PodUsage {
            milli: 900,
            at: at(3299),
            window: secs(30),
        },
    );
    let observed = Observed::default().usage(cpu(), Ok(usage));
    with(
        &observed,
        &fleet,
        2,
        &action,
        "-",
        &["of 2 pods 1 count, 1 measure nothing", "45 / 50 lies from"],
    );
}

/// Whether a pod counts whose use of the CPU was measured over the 30 s up to 3600 s.
fn counts(action: &ReplicasAction, change: impl Fn(&mut Pod)) -> bool {
    let fleet = Fleet::default().ready(1, 900.0).with(1, Some(900.0), change);
    let (_, why) = crate::decide::decided(action, &fleet.observed(3600, cpu()), &fleet.facts(2));
    assert!(why.contains("of 2 pods"), "{why}");
    !why.contains("1 are starting")
}

#[rstest]
// Within the 5 minutes after its start: Ready, and for all of the 30 s.
#[case(Some(3400), Some((true, 3570)), true)]
#[case(Some(3400), Some((true, 3571)), false)]
#[case(Some(3400), Some((false, 3410)), false)]
#[case(Some(3301), Some((true, 3571)), false)]
// After them: only what has never been Ready, which it would have been within 30 s, does not count.
#[case(Some(3300), Some((true, 3571)), true)]
#[case(Some(3300), Some((false, 3329)), false)]
#[case(Some(3300), Some((false, 3330)), true)]
#[case(Some(3300), Some((false, 3599)), true)]
#[case(Some(0), Some((false, 29)), false)]
// Without a condition or a start nothing is known.
#[case(Some(0), None, false)]
#[case(None, Some((true, 0)), false)]
fn a_pod_that_starts_does_not_count(
    #[case] started: Option<i64>,
    #[case] condition: Option<(bool, i64)>,
    #[case] expect: bool,
) {
    let change = |pod: &mut Pod| {
        pod.started_at = started.map(at);
        pod.ready = condition.map(|(is_ready, since)| ready(is_ready, since));
    };
    assert_eq!(counts(&by_usage(cpu(), percent(50, cpu())), change), expect);
    assert_eq!(counts(&by_usage(cpu(), mean(0.5)), change), expect);
    // Memory has no such rules.
    let fleet = Fleet::default().with(2, Some(900_000.0), change);
    let action = by_usage(memory(), percent(50, memory()));
    with(
        &fleet.observed(3600, memory()),
        &fleet,
        2,
        &action,
        "4",
        &["of 2 pods 2 count"],
    );
}

#[test]
fn a_request_is_that_of_the_containers_that_count() {
    let mut pod = pod("web");
    with_sidecar(&mut pod);
    assert_eq!(pod.request(&cpu()), Ok(1500));
    assert_eq!(pod.request(&container("app")), Ok(1000));
    assert_eq!(pod.request(&memory()), Ok(1_000_000));
}

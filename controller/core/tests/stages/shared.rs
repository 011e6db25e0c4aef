//! What processes share: headroom at a price, by namespace and by node, and a limit that fits the container.

use crate::{
    build::{Observed, query},
    knobs::{MIB, action, agent, decided, facts, setting},
};
use flyball_core::{
    bytes::Bytes,
    decide::{
        needs_memory, node_prices,
        runtime::{AllocationRate, CycleCost, Profile},
    },
    policy::{BudgetScope, FleetQueries, HeadroomBudget, LimitFit, RuntimeAction, RuntimeAim},
    signal::Finite,
};
use std::collections::BTreeMap;

/// A process with this much live heap, so many bytes a second and GC CPU seconds a cycle, and no limit.
fn profile(live: f64, rate: f64, cycle: f64) -> Profile {
    Profile {
        allocation: Ok(AllocationRate::new(rate * MIB).unwrap()),
        cycle: Ok(CycleCost::new(cycle).unwrap()),
        live: Ok(Bytes::nearest(live * MIB).unwrap()),
        roots: Ok(Bytes::ZERO),
        other: Ok(Bytes::ZERO),
        unmanaged: Ok(Bytes::ZERO),
        limit: Ok(None),
        ..Profile::default()
    }
}

fn asked_of_all() -> FleetQueries {
    FleetQueries {
        allocation: query("g"),
        gc_cpu: query("c"),
        cycles: query("n"),
        live: query("l"),
        roots: query("r"),
        limit: query("m"),
        unmanaged: query("u"),
    }
}

fn budget(headroom: u64) -> Vec<RuntimeAction> {
    vec![action(
        "share",
        &[],
        RuntimeAim::Budget(Box::new(HeadroomBudget {
            headroom: Bytes::from_mib(headroom),
            scope: BudgetScope::Namespace,
            queries: asked_of_all(),
        })),
    )]
}

/// `memoryLimit: auto` with pods of so many MiB live, unmanaged and allowed. The limit is min(0.90 M, M - N - reserve),
/// of whole MiB and of the pod that has least room.
#[test]
fn a_limit_is_as_much_as_the_container_leaves() {
    let fit = vec![action(
        "fit",
        &[],
        RuntimeAim::Fit(Box::new(LimitFit {
            knobs: "gogc=400".parse().unwrap(),
            queries: asked_of_all(),
        })),
    )];
    let check = |current: &str, pods: &[(f64, f64, Option<f64>)], expect: Result<&str, &str>| {
        let mut facts = facts(current);
        facts.pods.clear();
        for (index, (live, unmanaged, limit)) in pods.iter().enumerate() {
            let name = format!("web-{index}");
            let bytes = |mib: f64| Bytes::nearest(mib * MIB).unwrap();
            let known = Profile {
                live: Ok(bytes(*live)),
                roots: Ok(Bytes::ZERO),
                other: Ok(Bytes::ZERO),
                unmanaged: Ok(bytes(*unmanaged)),
                limit: Ok(limit.map(bytes)),
                ..Profile::default()
            };
            facts.pods.insert(name.clone(), agent(*live, *unmanaged, *limit));
            facts.fleet.insert(name, known);
        }
        let found = decided(&fit, &Observed::default(), &facts);
        match (&found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(*found, format!("fit: gogc=400 memlimit={expect}")),
            (Err(found), Err(words)) => assert!(found.contains(words), "{found}"),
            (found, expect) => panic!("{found:?}, not {expect:?}"),
        }
        needs_memory(&facts.pods, &facts.fleet).map(|(pod, _)| pod)
    };
    let mib = |mib: u64| (mib << 20).to_string();
    let roomy = (200.0, 40.0, Some(1024.0));
    // 0.9 x 1024 = 921.6; 1024 - 40 - 32 = 952.
    check("boot", &[roomy], Ok(&mib(921)));
    // 1024 - 300 - 32 = 692 is less than either.
    check("boot", &[roomy, (200.0, 300.0, Some(1024.0))], Ok(&mib(692)));
    // Within 10 % it stays.
    let near = format!("gogc=400 memlimit={}", mib(950));
    check(&near, &[roomy], Err("no other action applies"));
    check(&format!("gogc=400 memlimit={}", mib(600)), &[roomy], Ok(&mib(921)));
    // 1.5 x 700 = 1050 is more than 921: one such pod, and there is no limit for any.
    let short = check("boot", &[roomy, (700.0, 40.0, Some(1024.0))], Ok("none"));
    assert_eq!(short.as_deref(), Some("web-1"));
    assert_eq!(check(&near, &[roomy], Err("no other action applies")), None);
    check("boot", &[(200.0, 40.0, None)], Err("the container has no memory limit"));
    check("boot", &[], Err("no agent of the workload answers"));
}

#[test]
fn no_limit_is_set_by_what_is_not_known() {
    let fit = LimitFit {
        knobs: "gogc=400".parse().unwrap(),
        queries: asked_of_all(),
    };
    let fit = vec![action("fit", &[], RuntimeAim::Fit(Box::new(fit)))];
    let mut facts = facts("boot");
    let nothing = Observed::default();
    let found = decided(&fit, &nothing, &facts).unwrap_err();
    assert!(
        found.contains("of web-1 it is not known what its process holds"),
        "{found}"
    );
    facts.fleet.insert("web-1".to_owned(), Profile::default());
    let found = decided(&fit, &nothing, &facts).unwrap_err();
    assert!(found.contains("the soft limit stays as it is"), "{found}");
}

/// Two processes of 100 MiB, one with four times the work of the other: sqrt makes it two to one, so of 150 MiB
/// 100 and 50. E = sqrt(g t / λ), so λ = g t / E² = (40 MiB/s x 0.1 s) / (100 MiB)².
#[test]
fn a_budget_is_a_price() {
    let lambda = 40.0 * MIB * 0.1 / (100.0 * MIB * 100.0 * MIB);
    let price = |found: Result<String, String>| -> f64 {
        let found = found.unwrap();
        let text = found
            .strip_prefix("share: lambda=")
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .to_owned();
        text.parse().unwrap()
    };
    let nothing = Observed::default();
    let mut facts = facts("boot");
    facts.fleet = BTreeMap::from([
        ("busy".to_owned(), profile(100.0, 40.0, 0.1)),
        ("calm".to_owned(), profile(100.0, 10.0, 0.1)),
    ]);
    let found = decided(&budget(150), &nothing, &facts);
    assert!(
        found.as_ref().unwrap().ends_with("gogc-min=50 gogc-max=400"),
        "{found:?}"
    );
    let found = price(found);
    assert!((found / lambda - 1.0).abs() < 0.01, "{found:e} {lambda:e}");

    // Within 10 % of headroom, 21 % of the price, nothing moves.
    let current = |price: f64| setting(&format!("lambda={price:e} gogc-min=50 gogc-max=400"));
    for (factor, moves) in [(1.0, false), (1.19, false), (0.84, false), (1.25, true), (0.8, true)] {
        facts.current = current(lambda * factor);
        let found = decided(&budget(150), &nothing, &facts);
        assert_eq!(found.is_ok(), moves, "{factor}: {found:?}");
    }
    // At once by 1.5 times the headroom, 2.25 times the price, at most.
    facts.current = current(lambda * 100.0);
    let found = price(decided(&budget(150), &nothing, &facts));
    assert!((found / (lambda * 100.0 / 2.25) - 1.0).abs() < 0.01, "{found:e}");
}

#[test]
fn what_is_not_known_of_too_many_sets_no_price() {
    let nothing = Observed::default();
    let mut facts = facts("boot");
    let unknown = Profile::default;
    facts.fleet = (0..3)
        .map(|index| (format!("web-{index}"), profile(100.0, 10.0, 0.1)))
        .collect();
    facts.fleet.insert("web-3".to_owned(), unknown());
    assert!(
        decided(&budget(150), &nothing, &facts).is_ok(),
        "one of four is left out"
    );
    facts.fleet.insert("web-4".to_owned(), unknown());
    let why = decided(&budget(150), &nothing, &facts).unwrap_err();
    assert!(why.starts_with("2 of 5 processes are not known"), "{why}");
    facts.fleet.clear();
    let why = decided(&budget(150), &nothing, &facts).unwrap_err();
    assert!(why.contains("no agent of the namespace answers"), "{why}");
}

/// On each node a price of its own: the one with four times the work has four times the price of the same headroom. λ = g t
/// / E².
#[test]
fn each_node_has_its_price() {
    let fleet = BTreeMap::from([
        ("busy".to_owned(), profile(100.0, 40.0, 0.1)),
        ("calm".to_owned(), profile(100.0, 10.0, 0.1)),
        ("nowhere".to_owned(), profile(100.0, 10.0, 0.1)),
        ("unknown".to_owned(), Profile::default()),
    ]);
    let places: BTreeMap<String, String> = [("busy", "a"), ("calm", "b"), ("unknown", "c")]
        .map(|(pod, node)| (pod.to_owned(), node.to_owned()))
        .into();
    let prices = |before: &[(&str, f64)]| {
        let before = before
            .iter()
            .map(|(node, price)| ((*node).to_owned(), Finite::new(*price).unwrap()));
        node_prices(Bytes::from_mib(100), (50, 400), &fleet, &places, &before.collect())
    };
    let near = |found: &Result<Finite, String>, expect: f64| {
        let found = found.clone().unwrap().get();
        assert!((found / expect - 1.0).abs() < 0.01, "{found:e}, not {expect:e}");
    };
    let lambda = 10.0 * MIB * 0.1 / (100.0 * MIB * 100.0 * MIB);
    let found = prices(&[]);
    near(&found["a"], 4.0 * lambda);
    near(&found["b"], lambda);
    assert!(
        found["c"]
            .as_ref()
            .unwrap_err()
            .contains("1 of 1 processes are not known"),
        "{found:?}"
    );
    assert_eq!(found.len(), 3);
    // Within 10 % of headroom it stays as it is, to the last digit; else it moves by 1.5 times the headroom at most.
    let found = prices(&[("a", 4.0 * lambda * 1.19), ("b", lambda * 100.0)]);
    assert_eq!(found["a"], Ok(Finite::new(4.0 * lambda * 1.19).unwrap()));
    near(&found["b"], lambda * 100.0 / 2.25);
}

/// What is proposed is the headroom, which no agent is told: a line has the price in its place.
#[test]
fn a_share_of_a_nodes_headroom_stands_in_the_setting_and_its_price_in_the_line() {
    let mut actions = budget(150);
    let RuntimeAim::Budget(shared) = &mut actions[0].aim else {
        panic!("a budget")
    };
    shared.scope = BudgetScope::Node;
    let wanted = "node-headroom=157286400 gogc-min=50 gogc-max=400";
    let nothing = Observed::default();
    let found = decided(&actions, &nothing, &facts("boot"));
    assert_eq!(found, Ok(format!("share: {wanted}")));
    assert!(decided(&actions, &nothing, &facts(wanted)).is_err(), "it stays");

    let knobs = setting(wanted).knobs;
    let line = knobs.priced(Finite::new(2.5e-9).unwrap());
    assert_eq!(line.to_string(), "lambda=2.5e-9 gogc-min=50 gogc-max=400");
    let check = |line: &str, expect: bool| assert_eq!(knobs.stand_in(&setting(line).knobs), expect, "{line}");
    check("lambda=2.5e-9 gogc-min=50 gogc-max=400", true);
    check("lambda=7e-10 gogc-min=50 gogc-max=400", true);
    check("lambda=7e-10 gogc-min=50 gogc-max=300", false);
    check("gogc=100", false);
    check("boot", false);
}

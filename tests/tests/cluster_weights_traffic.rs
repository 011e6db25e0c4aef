//! The weights lever under real traffic: the real proxy, a real Prometheus, pods, an open-loop load and the controller.
//! What is measured is printed; `make bench-weights` prints the same with a scrape each 15 s and windows of a minute.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_crds::{Change, Phase, WeightMove};
use flyball_tests::{
    bed::{bed, eventually},
    proxy::Fault,
    traffic::{
        OFFERED, Pace, ROUTE, Traffic, figures,
        story::{is_ejection, is_verified, share_after},
    },
    world::{message_of, phase_of},
};
use serde_json::json;
use std::collections::BTreeMap;

/// A load that nobody is short of capacity by.
const LIGHT: u32 = 120;

fn why(change: &Change) -> WeightMove {
    change.spec.weights.as_ref().expect("weights").why
}

fn told(changes: &[Change]) -> String {
    let each = changes
        .iter()
        .map(|change| format!("{} {:?}: {}", change.spec.shift, phase_of(change), message_of(change)));
    each.collect::<Vec<_>>().join("\n")
}

fn weights(a: i64, b: i64, c: i64) -> BTreeMap<String, i64> {
    [("a", a), ("b", b), ("c", c)]
        .map(|(name, weight)| (name.to_owned(), weight))
        .into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_slows_one_that_dies_and_one_that_comes_back() {
    let Some(bed) = bed().await else { return };
    let Some(traffic) = Traffic::start(&bed, "traffic", Pace::SHORT, OFFERED).await else {
        return;
    };
    traffic.world.apply(&traffic.by_capacity()).await;
    let _controller = traffic.world.controller("one");
    traffic.steady().await;

    let slow = traffic.slows().await;
    let first = slow.changes.first().expect("a Change");
    assert_eq!(why(first), WeightMove::Law);
    assert!(
        share_after(first, "a") < 0.4 && share_after(first, "b") > 0.4,
        "{}",
        first.spec.shift
    );
    let last = slow.changes.last().unwrap();
    assert!((share_after(last, "a") - 0.25).abs() < 0.03, "{}", last.spec.shift);
    assert!(slow.changes.iter().any(is_verified), "{}", told(&slow.changes));
    assert!(
        slow.changes.iter().all(|change| phase_of(change) != Phase::RolledBack),
        "{}",
        told(&slow.changes)
    );
    assert!(slow.lost().1 > 0, "by fixed weights requests are lost");

    let well = traffic.recovers().await;
    assert!(
        well.changes.iter().all(|change| why(change) == WeightMove::Law),
        "{}",
        told(&well.changes)
    );

    let (dead, seen) = traffic.dies().await;
    for kind in ["Accepted", "ResolvedRefs"] {
        assert_eq!(
            traffic.condition(kind).await.as_deref(),
            Some("True"),
            "the route's status tells nothing"
        );
    }
    let out = dead
        .changes
        .iter()
        .find(|change| is_ejection(change))
        .expect("an ejection");
    assert!(
        out.spec.reason.contains("c has no ready endpoint"),
        "{}",
        out.spec.reason
    );
    assert!(share_after(out, "c").abs() < f64::EPSILON, "{}", out.spec.shift);
    assert!(is_verified(out), "{}", told(&dead.changes));
    assert_eq!(
        seen.sent.0, seen.sent.1,
        "a dead backend is sent nothing after the write"
    );
    assert_eq!(
        seen.unserved.0, seen.unserved.1,
        "no request is without a backend after the write"
    );
    assert!(dead.lost().1 > 0, "its share was lost before");

    let back = traffic.returns().await;
    let returns: Vec<&Change> = back
        .changes
        .iter()
        .filter(|change| why(change) == WeightMove::Return)
        .collect();
    let shares: Vec<f64> = returns.iter().map(|change| share_after(change, "c")).collect();
    println!("c comes back by {shares:.3?}");
    assert!(
        shares[0] > 0.0 && shares[0] <= 0.005,
        "it begins with a hundredth of its share: {shares:?}"
    );
    assert!(shares.is_sorted() && shares.len() > 2, "and gains slowly: {shares:?}");
    // Of 1800 requests a share of 0.2 may be off by 3.29 * sqrt(0.2 * 0.8 / 1800) = 0.031, so a last small step
    // can't be told.
    let steps = returns
        .iter()
        .zip(std::iter::once(0.0).chain(shares.iter().copied()).zip(&shares));
    for (change, (before, after)) in steps {
        let small = after - before < 0.035 && phase_of(change) == Phase::Inconclusive;
        assert!(is_verified(change) || small, "{}", told(&back.changes));
    }
    assert_eq!(traffic.failing().await, Some(0.0));
    figures::print("A scrape each second and windows of 5 s", &[slow, well, dead, back]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_names_a_backend_moves_weight_away_until_it_resolves() {
    let Some(bed) = bed().await else { return };
    let Some(traffic) = Traffic::start(&bed, "alert", Pace::SHORT, LIGHT).await else {
        return;
    };
    traffic.world.apply(&traffic.by_alert(0.15)).await;
    let _controller = traffic.world.controller("one");
    traffic.steady().await;

    // 80 ms become 267 ms, and what it is sent is still less than it can do.
    traffic.speed("b", 0.3).await;
    let away = traffic.world.closed(1).await;
    assert!(is_verified(&away), "{}", message_of(&away));
    // 20 points less than its base of 40, shared out 2 to 1.
    assert_eq!(traffic.weights().await, weights(533, 200, 267));
    let alert = away.spec.evidence.alerts.first().expect("an alert");
    assert_eq!(
        (alert.labels["alertname"].as_str(), alert.labels["backend"].as_str()),
        ("Slow", "b")
    );

    traffic.speed("b", 1.0).await;
    let back = traffic.world.closed(2).await;
    assert!(is_verified(&back), "{}", message_of(&back));
    assert_eq!(traffic.weights().await, weights(400, 400, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_killed_in_the_middle_of_an_ejection_is_finished_by_the_next() {
    let Some(bed) = bed().await else { return };
    let Some(traffic) = Traffic::start(&bed, "killed", Pace::SHORT, LIGHT).await else {
        return;
    };
    let world = &traffic.world;
    // Nothing is slow, so nothing but the ejection moves.
    world.apply(&traffic.by_alert(10.0)).await;
    let first = world.controller("one");
    traffic.steady().await;
    // The first write of the route is the stamp, the second the weights.
    world.proxy.plan("PATCH httproutes", 2, Fault::KillBefore);
    traffic.scale("c", 0).await;
    eventually("the controller is killed", async || (!first.runs()).then_some(())).await;
    let stamp = |route: &serde_json::Value| route["metadata"]["annotations"]["flyball.dev/stamp"].clone();
    let half_way = traffic.route().await;
    assert_eq!(stamp(&half_way), json!("sequence=1,attempt=0"));
    assert_eq!(traffic.weights().await, weights(400, 400, 200), "not written yet");
    assert_eq!(world.phase(1, Phase::Applying).await.spec.sequence, 1);

    let _second = world.controller("one");
    let out = world.closed(1).await;
    assert!(is_ejection(&out) && is_verified(&out), "{}", message_of(&out));
    assert_eq!(traffic.weights().await, weights(500, 500, 0));
    assert_eq!(stamp(&traffic.route().await), json!("sequence=1,attempt=1"));
    let (sent, unserved) = (traffic.sent("c").await, traffic.unserved().await);
    traffic
        .until("nothing fails", async || {
            (traffic.failing().await == Some(0.0)).then_some(())
        })
        .await;
    // It is known as out by who finished it: it is given nothing while it has no pod.
    let known = world
        .policy(ROUTE, "c is out", |policy| {
            let weights = policy.status.as_ref()?.actions.first()?.weights.clone()?;
            weights
                .out
                .into_iter()
                .find(|out| out.backend == "c" && out.out_since.is_some())
        })
        .await;
    assert_eq!(known.ejections, 1);
    assert_eq!((traffic.sent("c").await, traffic.unserved().await), (sent, unserved));
    assert_eq!(traffic.sequence().await, 1, "{}", told(&traffic.changes_after(0).await));
}

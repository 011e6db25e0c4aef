//! A real HorizontalPodAutoscaler decides on made-up pods and metrics, and comes to the numbers that its
//! documentation gives. Every number here is worked out by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use flyball_tests::{
    bed::bed,
    hpa::{Fleet, Fleets, Outcome, Pod, Series, unlimited},
};
use futures::future::join_all;
use serde_json::{Value, json};

fn external(metric: &str, target: &Value) -> Value {
    json!({"type": "External", "external": {"metric": {"name": metric}, "target": target}})
}

fn average(value: &str) -> Value {
    json!({"type": "AverageValue", "averageValue": value})
}

fn cpu(percent: i32) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!({"type": "Resource", "resource": {"name": "cpu", "target": target}})
}

/// What is expected of a case: the replicas, and whether a limit was in the way.
fn check(name: &str, outcome: &Outcome, desired: Option<i32>, limited: Option<&str>) {
    assert_eq!(outcome.desired, desired, "{name}: {outcome:#?}");
    let reason = outcome
        .limited
        .as_ref()
        .filter(|it| it.holds)
        .map(|it| it.reason.as_str());
    assert_eq!(reason, limited, "{name}: {outcome:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_external_average_is_shared_out_among_the_replicas() {
    let Some(bed) = bed().await else { return };
    let fleets = Fleets::new(&bed, "hpa").await;
    let queue = |name: &str| {
        let series = vec![
            Series::of("30").label("shard", "a"),
            Series::of("12500m").label("shard", "b"),
        ];
        Fleet::new(name, 4, vec![Pod::ready(); 4]).external(&format!("{name}-depth"), series)
    };
    fleets
        .place(&[
            queue("free"),
            queue("bounded"),
            queue("one-shard"),
            queue("enough"),
            queue("unknown"),
        ])
        .await;
    let spec = |metric: Value, behavior: Option<Value>| {
        let mut spec = json!({"minReplicas": 1, "maxReplicas": 20, "metrics": [metric]});
        if let Some(behavior) = behavior {
            spec["behavior"] = behavior;
        }
        spec
    };
    let one_shard = json!({"type": "External", "external": {
        "metric": {"name": "one-shard-depth", "selector": {"matchLabels": {"shard": "b"}}}, "target": average("5")}});
    let (free, bounded, one_shard, enough, unknown) = futures::join!(
        // 30 + 12.5 = 42.5; 42.5 / 5 = 8.5, so 9.
        fleets.decide("free", spec(external("free-depth", &average("5")), Some(unlimited()))),
        // At most twice as many at once, if nothing else is said.
        fleets.decide("bounded", spec(external("bounded-depth", &average("5")), None)),
        // 12.5 / 5 = 2.5, so 3.
        fleets.decide("one-shard", spec(one_shard, Some(unlimited()))),
        // 42.5 / (10 * 4) = 1.0625, within a tenth of 1.
        fleets.decide(
            "enough",
            spec(external("enough-depth", &average("10")), Some(unlimited()))
        ),
        fleets.decide("unknown", spec(external("nothing", &average("5")), None)),
    );
    check("free", &free, Some(9), None);
    check("bounded", &bounded, Some(8), Some("ScaleUpLimit"));
    check("one-shard", &one_shard, Some(3), None);
    check("enough", &enough, Some(4), None);
    check("unknown", &unknown, None, None);

    let size = (
        "SuccessfulRescale".to_owned(),
        "New size: 9; reason: external metric free-depth(nil) above target".to_owned(),
    );
    assert_eq!(free.events, [size]);
    assert!(enough.events.is_empty(), "{enough:#?}");
    let active = unknown.active.as_ref().unwrap();
    assert_eq!(
        (active.holds, active.reason.as_str()),
        (false, "FailedGetExternalMetric")
    );
    assert!(
        active.message.contains("could not find the metric nothing"),
        "{}",
        active.message
    );
    assert!(unknown.has_event("FailedGetExternalMetric"), "{unknown:#?}");

    // It writes what it wants through the scale. (The bounded one may have gone on by now.)
    let written = join_all(["free", "one-shard", "enough", "unknown"].map(|name| fleets.replicas(name))).await;
    assert_eq!(written, [9, 3, 4, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_utilization_is_of_what_ready_pods_request() {
    let Some(bed) = bed().await else { return };
    let fleets = Fleets::new(&bed, "hpa").await;
    // Half a processor each, the second in two containers.
    let one = |used: &str| Pod::ready().requests("main", "cpu", "500m").uses("main", "cpu", used);
    let two = |main: &str, aside: &str| {
        let pod = Pod::ready()
            .requests("main", "cpu", "300m")
            .requests("aside", "cpu", "200m");
        pod.uses("main", "cpu", main).uses("aside", "cpu", aside)
    };
    let busy = || vec![one("600m"), two("300m", "150m"), one("480m")];
    let mut unmeasured = busy();
    unmeasured[2].used = None;
    let mut pending = busy();
    pending[2].phase = "Pending";
    fleets
        .place(&[
            Fleet::new("busy", 3, busy()),
            Fleet::new("unmeasured", 3, unmeasured),
            Fleet::new("pending", 3, pending),
        ])
        .await;
    let spec = || json!({"minReplicas": 1, "maxReplicas": 20, "behavior": unlimited(), "metrics": [cpu(60)]});
    let (busy, unmeasured, pending) = futures::join!(
        // 600 + 450 + 480 = 1530 of 1500, 102 %; 102 / 60 = 1.7; 1.7 * 3 = 5.1, so 6.
        fleets.decide("busy", spec()),
        // 600 + 450 = 1050 of 1000, 105 %: too much. With nothing for the third, 1050 of 1500 are 70 %;
        // 70 / 60 = 1.1666...; times 3 is 3.5, so 4.
        fleets.decide("unmeasured", spec()),
        // A pod that has not started counts like one that uses nothing, too.
        fleets.decide("pending", spec()),
    );
    check("busy", &busy, Some(6), None);
    check("unmeasured", &unmeasured, Some(4), None);
    check("pending", &pending, Some(4), None);
    let read = busy
        .metrics
        .first()
        .and_then(|metric| metric.resource.as_ref())
        .unwrap();
    assert_eq!(read.current.average_utilization, Some(102));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_metrics_of_pods_and_of_objects_are_read() {
    let Some(bed) = bed().await else { return };
    let fleets = Fleets::new(&bed, "hpa").await;
    let pods = || vec![Pod::ready().metric("rps", "12"), Pod::ready().metric("rps", "7")];
    fleets
        .place(&[
            Fleet::new("pods", 2, pods()),
            Fleet::new("object", 2, pods()).object("depth", "13"),
            Fleet::new("worst", 2, pods()).object("depth", "13"),
            Fleet::new("above", 9, Vec::new()),
        ])
        .await;
    let of_pods = || json!({"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": average("5")}});
    let of_object = |name: &str| {
        let described = json!({"apiVersion": flyball_tests::hpa::VERSION, "kind": "Fleet", "name": name});
        let target = json!({"type": "Value", "value": "10"});
        json!({"type": "Object", "object": {"describedObject": described, "metric": {"name": "depth"}, "target": target}})
    };
    let spec = |metrics: Value| json!({"maxReplicas": 8, "behavior": unlimited(), "metrics": metrics});
    let (pods, object, worst, above) = futures::join!(
        // (12 + 7) / 2 = 9.5; 9.5 / 5 = 1.9; 1.9 * 2 = 3.8, so 4.
        fleets.decide("pods", spec(json!([of_pods()]))),
        // 13 / 10 = 1.3; 1.3 * 2 ready pods = 2.6, so 3.
        fleets.decide("object", spec(json!([of_object("object")]))),
        // The larger of the two, with one more that is not there.
        fleets.decide(
            "worst",
            spec(json!([of_object("worst"), of_pods(), external("none", &average("1"))]))
        ),
        // There without a look at any metric.
        fleets.decide("above", spec(json!([of_pods()]))),
    );
    check("pods", &pods, Some(4), None);
    check("object", &object, Some(3), None);
    check("worst", &worst, Some(4), None);
    check("above", &above, Some(8), None);
    assert!(worst.has_event("FailedGetExternalMetric"), "{worst:#?}");
    assert!(above.active.is_none(), "{above:#?}");
}

//! Pods by owner, and what is kept of them.

use super::*;
use crate::{clock, observe::wire::key};
use flyball_core::{
    decide::{PodPhase, PodReady},
    policy::{Resource, ResourceOf},
    time::Timestamp,
};
use kube::runtime::watcher::Event;
use serde_json::json;

fn uid(n: u128) -> String {
    let hex = format!("{n:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn owned_by(owner: u128) -> Value {
    json!([
        // Somebody who cares for it, too, without being its controller.
        {"apiVersion": "example.org/v1", "kind": "Guard", "name": "g", "uid": uid(999)},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": uid(owner), "controller": true},
    ])
}

fn pod(n: u128, owner: u128, more: &Value) -> PodWire {
    let mut whole = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("web-{n}"), "namespace": "shop", "uid": uid(n), "resourceVersion": "5",
            "labels": {"app": "web"}, "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {}}}],
            "ownerReferences": owned_by(owner),
        },
        "spec": {"nodeName": "one", "containers": [
            {"name": "web", "image": "web:1", "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}},
        ]},
        "status": {"phase": "Running", "startTime": "2026-01-01T00:00:01Z", "podIP": "10.0.0.1", "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:09Z"},
        ]},
    });
    merge(&mut whole, more);
    serde_json::from_value(whole).expect("a pod")
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

fn set(n: u128, owner: u128, replicas: i64) -> SetWire {
    serde_json::from_value(json!({
        "metadata": {"name": format!("web-{n}"), "uid": uid(n), "ownerReferences": owned_by(owner)},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"v": n.to_string()}}}},
        "status": {"replicas": replicas},
    }))
    .expect("a ReplicaSet")
}

fn names(pods: &Pods, owner: u128) -> Vec<String> {
    let pods = pods.of(&uid(owner)).expect("known");
    pods.0.into_iter().map(|pod| pod.name).collect()
}

const NOTHING: &Value = &Value::Null;

fn plain(n: u128, owner: u128) -> PodWire {
    pod(n, owner, &json!({}))
}

#[test]
fn pods_belong_to_their_controller_whatever_their_labels() {
    let sets = [set(10, 1, 2), set(11, 1, 1), set(12, 2, 1)];
    let pods = [
        plain(100, 10),
        plain(101, 10),
        plain(102, 11),
        plain(103, 12),
        plain(104, 3),
    ];
    let pods = Pods::fixed(&pods, &sets);
    assert_eq!(
        names(&pods, 1),
        ["web-100", "web-101", "web-102"],
        "a Deployment's, of both ReplicaSets"
    );
    assert_eq!(names(&pods, 2), ["web-103"], "another's with the same labels");
    assert_eq!(names(&pods, 3), ["web-104"], "a StatefulSet's own");
    assert_eq!(names(&pods, 10), ["web-100", "web-101"], "a ReplicaSet's own");
    assert!(names(&pods, 999).is_empty(), "who is no controller owns nothing");
    assert_eq!(pods.templates(&uid(1)).map(|all| all.len()), Some(2));
}

#[test]
fn pods_that_may_not_be_read_are_not_known() {
    assert_eq!(Pods::none().of(&uid(1)), None);
    assert_eq!(Pods::none().templates(&uid(1)), None);
    assert_eq!(Pods::fixed(&[], &[]).of(&uid(1)), Some(decide::Pods::default()));
    assert_eq!(Pods::fixed(&[], &[]).of(""), None, "an object without a UID");
}

#[test]
fn a_pod_is_told_as_the_kubelet_reports_it() {
    let check = |more: Value, expect: (PodPhase, bool, Option<PodReady>, Option<Timestamp>)| {
        let pods = Pods::fixed(&[pod(100, 3, &more)], &[]).of(&uid(3)).expect("known");
        let [pod] = pods.0.as_slice() else { panic!("one pod") };
        assert_eq!(
            (pod.phase, pod.terminating, pod.ready, pod.started_at),
            expect,
            "{more}"
        );
    };
    let at = |text: &str| Timestamp::from_millis(text.parse::<jiff::Timestamp>().expect("a time").as_millisecond());
    let (made, started) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:01Z"));
    let since = |ready, since| Some(PodReady { ready, since });
    let ready = since(true, at("2026-01-01T00:00:09Z"));
    check(json!({}), (PodPhase::Running, false, ready, Some(started)));
    check(
        json!({"metadata": {"deletionTimestamp": "2026-01-01T01:00:00Z"}}),
        (PodPhase::Running, true, ready, Some(started)),
    );
    check(
        json!({"status": {"phase": "Pending", "startTime": null, "conditions": []}}),
        (PodPhase::Pending, false, None, None),
    );
    check(
        json!({"status": {"phase": "Failed", "conditions": [{"type": "Ready", "status": "False"}]}}),
        (PodPhase::Failed, false, since(false, made), Some(started)),
    );
    check(
        json!({"status": {"phase": "Unknown", "conditions": [{"type": "Ready", "status": "Unknown",
               "lastTransitionTime": "2026-01-01T02:00:00Z"}]}}),
        (
            PodPhase::Unknown,
            false,
            since(false, at("2026-01-01T02:00:00Z")),
            Some(started),
        ),
    );
}

/// What HPA counts as the request of a pod, and what the scheduler takes of a node: cores and MiB.
fn check(case: &str, spec: &Value, cpu: Option<i64>, memory: Option<i64>, held: (i64, i64)) {
    let pod = pod(100, 3, &json!({"spec": spec}));
    let of = |resource| ResourceOf {
        resource,
        container: None,
    };
    let counted = Pods::fixed(std::slice::from_ref(&pod), &[]).of(&uid(3)).expect("known");
    assert_eq!(counted.0[0].request(&of(Resource::Cpu)).ok(), cpu, "{case}");
    let mebi = |milli: i64| milli / 1000 / 1024 / 1024;
    assert_eq!(
        counted.0[0].request(&of(Resource::Memory)).ok().map(mebi),
        memory,
        "{case}"
    );
    let takes = (pod.held(Resource::Cpu), mebi(pod.held(Resource::Memory)));
    assert_eq!(takes, held, "{case}");
}

#[test]
fn requests_are_counted_as_hpa_and_the_scheduler_count_them() {
    let container = |name: &str, cpu: &str, memory: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu, "memory": memory}}});
    let web = container("web", "250m", "64Mi");
    check("one", &json!({"containers": [web]}), Some(250), Some(64), (250, 64));
    check(
        "two",
        &json!({"containers": [web, container("log", "0.1", "32Mi")]}),
        Some(350),
        Some(96),
        (350, 96),
    );
    check(
        "one of two without a request",
        &json!({"containers": [web, {"name": "log"}]}),
        None,
        None,
        (250, 64),
    );
    check(
        "one of two without memory",
        &json!({"containers": [web, {"name": "log", "resources": {"requests": {"cpu": "1"}}}]}),
        Some(1250),
        None,
        (1250, 64),
    );
    check(
        "an init container that needs more",
        &json!({"containers": [web], "initContainers": [container("load", "2", "16Mi")]}),
        Some(250),
        Some(64),
        (2000, 64),
    );
    let mut sidecar = container("mesh", "100m", "128Mi");
    sidecar["restartPolicy"] = json!("Always");
    check(
        "a sidecar goes on running",
        &json!({"containers": [web], "initContainers": [sidecar]}),
        Some(350),
        Some(192),
        (350, 192),
    );
    check(
        "an init container behind a sidecar runs beside it",
        &json!({"containers": [web], "initContainers": [sidecar, container("load", "300m", "8Mi")]}),
        Some(350),
        Some(192),
        (400, 192),
    );
    check(
        "an init container before the sidecar does not",
        &json!({"containers": [web], "initContainers": [container("load", "300m", "8Mi"), sidecar]}),
        Some(350),
        Some(192),
        (350, 192),
    );
    check(
        "the runtime's overhead",
        &json!({"containers": [web], "overhead": {"cpu": "50m", "memory": "10Mi"}}),
        Some(250),
        Some(64),
        (300, 74),
    );
    check(
        "requests of the pod as a whole",
        &json!({"containers": [{"name": "web"}], "resources": {"requests": {"cpu": "1"}}}),
        None,
        None,
        (1000, 0),
    );
    check(
        "a request that is none",
        &json!({"containers": [container("web", "lots", "64Mi")]}),
        None,
        Some(64),
        (0, 64),
    );
    assert_eq!((key(Resource::Cpu), key(Resource::Memory)), ("cpu", "memory"));
}

#[test]
fn what_pods_take_of_a_node_follows_every_event() {
    let index = RwLock::default();
    let held = || read(&index).held("one");
    let check = |pods, cpu, case: &str| {
        let mebi = held().memory / 1000 / 1024 / 1024;
        assert_eq!(
            (held().pods, held().cpu, mebi),
            (pods, cpu, i64::from(pods) * 64),
            "{case}"
        );
    };
    let on = |event: Event<PodWire>| apply(&index, &event);
    check(0, 0, "nothing");
    on(Event::Apply(plain(100, 10)));
    on(Event::Apply(plain(101, 11)));
    check(2, 500, "two pods");
    on(Event::Apply(plain(100, 10)));
    check(2, 500, "the same again");
    on(Event::Apply(pod(
        101,
        11,
        &json!({"spec": {"containers": [
            {"name": "web", "resources": {"requests": {"cpu": "1", "memory": "64Mi"}}},
        ]}}),
    )));
    check(2, 1250, "resized in place");
    on(Event::Apply(pod(
        100,
        10,
        &json!({"metadata": {"deletionTimestamp": "2026-01-01T01:00:00Z"}}),
    )));
    check(2, 1250, "one that ends still takes its part");
    on(Event::Apply(pod(100, 10, &json!({"status": {"phase": "Succeeded"}}))));
    check(1, 1000, "one that has ended does not");
    on(Event::Delete(plain(100, 10)));
    on(Event::Delete(plain(100, 10)));
    check(1, 1000, "gone, and said twice");
    on(Event::Apply(pod(102, 10, &json!({"spec": {"nodeName": null}}))));
    check(1, 1000, "one without a place");
    on(Event::Apply(plain(102, 10)));
    check(2, 1250, "placed");
    on(Event::Init);
    on(Event::InitApply(plain(102, 10)));
    on(Event::InitApply(plain(103, 10)));
    check(3, 1500, "while a list comes in, nothing is gone");
    on(Event::InitDone);
    check(2, 500, "what the list did not name is gone");
    assert_eq!(read(&index).len(), 2);
}

#[test]
fn replica_sets_come_and_go() {
    let index = RwLock::default();
    let of = || read(&index).of(Uid::of(&uid(1)).expect("a UID")).len();
    let on = |event: Event<SetWire>| apply_set(&index, &event);
    apply(&index, &Event::Apply(plain(100, 10)));
    assert_eq!(of(), 0, "its ReplicaSet is not known yet");
    on(Event::Apply(set(10, 1, 1)));
    assert_eq!(of(), 1);
    on(Event::Apply(set(10, 1, 0)));
    assert_eq!(of(), 0, "it has no pods any more");
    on(Event::Init);
    on(Event::InitApply(set(11, 1, 1)));
    on(Event::InitApply(set(10, 1, 1)));
    on(Event::InitDone);
    assert_eq!(of(), 1);
    on(Event::Init);
    on(Event::InitDone);
    assert_eq!(of(), 0);
}

#[test]
fn uids_are_told_apart() {
    let text = "7f9a2c1e-0b7d-4c58-9a55-1f0e3d2c4b6a";
    assert_eq!(Uid::of(text), Uid::of(&text.to_uppercase()));
    assert_eq!(Uid::of(""), None);
    assert_eq!(Uid::of("00000000-0000-0000-0000-000000000000"), None);
    let others = [
        "u-1",
        "u-2",
        "7f9a2c1e0b7d4c589a551f0e3d2c4b6a",
        "7f9a2c1e-0b7d-4c58-9a55-1f0e3d2c4b6b",
    ];
    let mut seen: Vec<_> = others.iter().map(|text| Uid::of(text)).collect();
    seen.push(Uid::of(text));
    for (n, uid) in seen.iter().enumerate() {
        assert!(uid.is_some() && !seen[..n].contains(uid), "{n}");
    }
}

#[test]
fn a_templates_hash_ignores_a_replica_sets_mark() {
    let plain =
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "args": ["a", "b"]}]}});
    let same = |other: Value| template_hash(&plain) == template_hash(&other);
    let mut marked = plain.clone();
    marked["metadata"]["labels"]["pod-template-hash"] = json!("6d4b75cb6d");
    marked["metadata"]["creationTimestamp"] = NOTHING.clone();
    assert!(same(marked));
    let mut swapped = plain.clone();
    swapped["spec"]["containers"][0]["args"] = json!(["b", "a"]);
    assert!(!same(swapped));
    let mut more = plain.clone();
    more["spec"]["hostNetwork"] = json!(true);
    assert!(!same(more));
}

/// All of them are kept. What they cost is printed by `make bench-pods`, and not asserted.
#[test]
fn ten_thousand_pods_are_kept() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages: usize = status.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
        pages * 4096
    };
    let (before, began) = (resident(), clock::now());
    let index = RwLock::default();
    apply(&index, &Event::Init);
    for n in 0..10_000 {
        apply(&index, &Event::InitApply(plain(1_000_000 + n, 10 + n % 200)));
    }
    apply(&index, &Event::InitDone);
    let took = clock::now().since(began);
    let bytes = resident().saturating_sub(before) / 10_000;
    println!("{bytes} bytes a pod, 10,000 pods in {took}, parsing included");
    assert_eq!(read(&index).len(), 10_000);
}

#[test]
fn a_pod_is_asked_for_evidence_at_its_own_address_only() {
    use flyball_core::policy::CapturePort;
    let named = |name: &str, container: Option<&str>| CapturePort::Named {
        name: name.to_owned(),
        container: container.map(ToOwned::to_owned),
    };
    let number = CapturePort::Number(6060);
    let check = |more: &Value, port: &CapturePort, expect: Result<&str, &str>| {
        let pods = Pods::fixed(&[pod(100, 10, more)], &[]);
        let found = pods.served(&uid(10), port).expect("known");
        let found = found
            .into_iter()
            .next()
            .map(|pod| pod.at.map_err(|why| why.to_string()));
        let found = found.map(|at| at.map(|at| at.to_string()));
        match (found, expect) {
            (Some(Ok(found)), Ok(expect)) => assert_eq!(found, expect, "{more}"),
            (Some(Err(found)), Err(expect)) => assert!(found.contains(expect), "{more}: {found}"),
            (found, expect) => panic!("{more}: {found:?}, {expect:?}"),
        }
    };
    check(&json!({}), &number, Ok("10.0.0.1:6060"));
    let two = json!({"spec": {"containers": [
        {"name": "side", "ports": [{"name": "debug", "containerPort": 7000}]},
        {"name": "web", "ports": [
            {"containerPort": 80},
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "debug", "containerPort": 6061, "protocol": "TCP"},
        ]},
    ]}});
    check(&two, &named("debug", None), Ok("10.0.0.1:7000"));
    check(&two, &named("debug", Some("web")), Ok("10.0.0.1:6061"));
    check(
        &two,
        &named("dns", None),
        Err("no container of it has a TCP port named dns"),
    );
    check(&two, &named("debug", Some("other")), Err("named debug"));
    check(&json!({"status": {"podIP": "fd00::7"}}), &number, Ok("[fd00::7]:6060"));
    check(&json!({"spec": {"hostNetwork": true}}), &number, Err("hostNetwork"));
    for none in [
        "",
        "web",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ] {
        check(&json!({"status": {"podIP": none}}), &number, Err("no address"));
    }
}

#[test]
fn pods_that_are_left_alone_are_not_asked_for_evidence() {
    let port = flyball_core::policy::CapturePort::Number(6060);
    let all = [
        plain(100, 10),
        pod(101, 10, &json!({"status": {"phase": "Pending"}})),
        pod(
            102,
            10,
            &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:01:00Z"}}),
        ),
        pod(
            103,
            10,
            &json!({"metadata": {"annotations": {"flyball.dev/paused": "true"}}}),
        ),
        pod(
            104,
            10,
            &json!({"metadata": {"annotations": {"flyball.dev/paused": "false"}}, "status": {"conditions": [
                {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:09Z"},
            ]}}),
        ),
        plain(105, 11),
    ];
    let pods = Pods::fixed(&all, &[]);
    let served = pods.served(&uid(10), &port).expect("known");
    let found: Vec<_> = served.iter().map(|pod| (pod.name.as_str(), pod.ready)).collect();
    assert_eq!(found, [("web-100", true), ("web-104", false)]);
    assert_eq!(Pods::none().served(&uid(10), &port), None);
}

//! Whether agents hear of a policy and answer, and what dividing headroom would save.

use super::made;
use crate::build::{NOW, merge, now, runtime_policy};
use flyball_controller::{
    cli::doctor::{
        finding::{Finding, Mark},
        rights::of_the_controllers_agents,
        runtime::{AgentPod, Fleet, Told, judge, opportunity},
    },
    validate,
};
use flyball_core::{
    policy::Policy,
    signal::{Labels, Reading, Sample},
    time::Span,
};
use k8s_openapi::api::core::v1::Pod;
use rstest::rstest;
use serde_json::{Value, json};

const FILE: &str = "metadata.annotations['runtime.flyball.dev/app']";

fn pod(name: &str, more: Value) -> Pod {
    let item = json!({"path": "runtime", "fieldRef": {"fieldPath": FILE}});
    let mut object = json!({
        "metadata": {"name": name},
        "spec": {
            "containers": [{"name": "app", "volumeMounts": [{"name": "f", "mountPath": "/etc/flyball"}]}],
            "volumes": [{"name": "f", "downwardAPI": {"items": [item]}}],
        },
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    merge(&mut object, more);
    made(object)
}

#[rstest]
#[case::whole(json!({}), true)]
#[case::projected(json!({"spec": {"volumes": [{"name": "f", "projected": {"sources": [
    {"downwardAPI": {"items": [{"path": "runtime", "fieldRef": {"fieldPath": FILE}}]}},
]}}]}}), true)]
#[case::of_another_container(json!({"spec": {"volumes": [{"name": "f", "downwardAPI": {"items": [
    {"path": "runtime", "fieldRef": {"fieldPath": "metadata.annotations['runtime.flyball.dev/web']"}},
]}}]}}), false)]
#[case::in_one_file(json!({"spec": {"containers": [
    {"name": "app", "volumeMounts": [{"name": "f", "mountPath": "/etc/flyball/runtime", "subPath": "runtime"}]},
]}}), false)]
#[case::elsewhere(json!({"spec": {"containers": [
    {"name": "app"}, {"name": "side", "volumeMounts": [{"name": "f", "mountPath": "/etc/flyball"}]},
]}}), false)]
fn a_file_is_mounted_or_not(#[case] more: Value, #[case] mounts: bool) {
    let pods = AgentPod::all(&[pod("web-1", more)], "app");
    assert_eq!(pods.iter().map(|pod| pod.mounts).collect::<Vec<_>>(), [mounts]);
}

#[test]
fn a_pod_that_is_not_ready_does_not_count() {
    let unready = pod(
        "web-1",
        json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
    );
    let going = pod(
        "web-2",
        json!({"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}}),
    );
    assert_eq!(AgentPod::all(&[unready, going], "app"), []);
}

fn reading(values: &[(&str, f64)]) -> Reading {
    let samples = values.iter().map(|(pod, value)| {
        let mut labels = Labels::new();
        let (pod, reason) = pod.split_once(' ').unwrap_or((pod, ""));
        labels.insert("pod".to_owned(), pod.to_owned());
        if !reason.is_empty() {
            labels.insert("reason".to_owned(), reason.to_owned());
        }
        Sample { labels, value: *value }
    });
    let second = Span::from_secs(1);
    Reading::answered(now(), samples.collect(), &[], Some(second), Span::from_secs(60))
}

fn pods() -> Vec<AgentPod> {
    let pod = |name: &str| AgentPod {
        name: name.to_owned(),
        mounts: true,
        line: None,
    };
    vec![pod("web-1"), pod("web-2")]
}

/// All well: a lease of 20m of which 15m are left.
fn told() -> Told {
    Told {
        applied: reading(&[("web-1", 7.0), ("web-2", 7.0), ("other-1", 1.0)]),
        breaker: reading(&[("web-1", 0.0), ("web-2", 0.0)]),
        lease: reading(&[("web-1", 900.0), ("web-2", 900.0)]),
        rejected: reading(&[("web-1 off", 0.0), ("web-2 off", 0.0)]),
    }
}

fn policy() -> Policy {
    validate::policy(&runtime_policy(json!({})).spec).unwrap()
}

fn judged(pods: &[AgentPod], told: &Told) -> Vec<Finding> {
    judge(
        &runtime_policy(json!({})),
        &policy().runtime[0],
        Some(pods),
        Some(told),
        now(),
    )
}

fn said(findings: &[Finding]) -> Vec<(Mark, &str, &str)> {
    let said = findings
        .iter()
        .map(|found| (found.mark, found.subject.as_str(), found.said.as_str()));
    said.collect()
}

#[test]
fn agents_that_answer_are_well() {
    assert_eq!(
        said(&judged(&pods(), &told())),
        [
            (Mark::Ok, "agents' file", "all 2 ready pods mount it"),
            (
                Mark::Ok,
                "agents",
                "all 2 ready pods answer, 2 with a generation in force"
            ),
        ]
    );
}

#[test]
fn a_pod_without_the_file_is_named_with_the_way_to_it() {
    let mut some = pods();
    some[1].mounts = false;
    let found = judged(&some, &told());
    assert_eq!(
        said(&found)[0],
        (
            Mark::Warn,
            "agents' file",
            "1 of 2 ready pods do not mount it: web-2. Their agents hear of nothing, and they keep their boot values"
        )
    );
    assert_eq!(
        found[0].way_out,
        "add it to the template, one rollout follows: kubectl get deployment web -n shop -o yaml | flyball inject -f - \
         --container app --patch"
    );
    some[0].mounts = false;
    assert_eq!(judged(&some, &told())[0].mark, Mark::Fail);
}

#[test]
fn agents_that_are_silent_refuse_or_trip_are_named() {
    let silent = Told {
        applied: reading(&[("web-1", 0.0)]),
        ..told()
    };
    assert_eq!(
        said(&judged(&pods(), &silent))[1],
        (
            Mark::Warn,
            "agents",
            "1 of 2 ready pods answer, not web-2: a change is not acknowledged before all do, and is taken back"
        )
    );
    let none = Told {
        applied: reading(&[]),
        ..told()
    };
    assert_eq!(
        said(&judged(&pods(), &none))[1],
        (Mark::Fail, "agents", "none of 2 ready pods answers, so no knob moves")
    );
    let bad = Told {
        breaker: reading(&[("web-1", 0.0), ("web-2", 2.0)]),
        rejected: reading(&[
            ("web-1 unsupported", 1.0),
            ("web-2 unsupported", 3.0),
            ("other-1 off", 9.0),
        ]),
        ..told()
    };
    let found = judged(&pods(), &bad);
    assert_eq!(
        said(&found)[2..],
        [
            (
                Mark::Warn,
                "refused lines",
                "the agents of web-1, web-2 refused a line since they started: unsupported"
            ),
            (
                Mark::Warn,
                "breakers",
                "tripped in web-2: memory was nearly full, or collections followed each other, and the agent took its knobs back"
            ),
        ]
    );
    assert!(found[2].way_out.contains("collector"), "{found:?}");
}

/// A quarter of 20m is 300 s.
#[rstest]
#[case(300.0, 7.0, false)]
#[case(299.0, 7.0, true)]
#[case(0.0, 0.0, false)]
fn a_lease_that_was_not_renewed_at_half_is_told(#[case] left: f64, #[case] applied: f64, #[case] warned: bool) {
    let told = Told {
        applied: reading(&[("web-1", applied), ("web-2", 7.0)]),
        lease: reading(&[("web-1", left), ("web-2", 900.0)]),
        ..told()
    };
    let found = judged(&pods(), &told);
    let leases: Vec<&Finding> = found.iter().filter(|found| found.subject == "leases").collect();
    assert_eq!(!leases.is_empty(), warned, "{found:?}");
    for found in leases {
        assert_eq!(
            found.said,
            "the lease of web-1 ends in 299 s and was not renewed at half of 20m: boot values follow"
        );
    }
}

#[test]
fn a_line_that_is_over_is_told_without_any_metric() {
    let mut some = pods();
    some[0].line = Some(format!("v1 gen=5 ttl=1200 exp={} gogc=200", NOW / 1000 - 1));
    some[1].line = Some(format!("v1 gen=5 ttl=1200 exp={} gogc=200", NOW / 1000 + 60));
    let found = judge(
        &runtime_policy(json!({})),
        &policy().runtime[0],
        Some(&some),
        None,
        now(),
    );
    assert_eq!(
        said(&found)[1],
        (
            Mark::Warn,
            "leases",
            "the lines of web-1 are over: their processes have boot values"
        )
    );
}

#[test]
fn what_can_not_be_read_is_skipped() {
    let found = judge(&runtime_policy(json!({})), &policy().runtime[0], None, None, now());
    assert_eq!((found.len(), found[0].mark), (1, Mark::Skip));
    let found = judged(&[], &told());
    assert_eq!((found.len(), found[0].mark), (1, Mark::Warn));
}

fn fleet(agents: [&[(&str, f64)]; 2], go: [&[(&str, f64)]; 2]) -> Finding {
    opportunity(&Fleet {
        agents: (reading(agents[0]), reading(agents[1])),
        go: (reading(go[0]), reading(go[1])),
    })
}

/// G = 90, 10 and L = 10, 90: sum of sqrt(G L) = 30 + 30, so 1 - 3600 / (100 x 100) = 64 %.
#[test]
fn unlike_processes_have_something_to_divide() {
    let found = fleet([&[("a", 90.0), ("b", 10.0)], &[("a", 10.0), ("b", 90.0)]], [&[], &[]]);
    assert!(
        found.said.contains("among 2 unlike processes would save up to 64 %"),
        "{found:?}"
    );
    assert!(found.way_out.contains("runtime.budget"), "{found:?}");
    // Go's own metrics count where an agent does not tell, and only there.
    let mixed = fleet(
        [&[("a", 90.0)], &[("a", 10.0)]],
        [&[("a", 1.0), ("b", 10.0)], &[("a", 1.0), ("b", 90.0)]],
    );
    assert_eq!(mixed.said, found.said);
}

#[test]
fn replicas_of_one_service_have_nothing() {
    let found = fleet([&[("a", 50.0), ("b", 100.0)], &[("a", 10.0), ("b", 20.0)]], [&[], &[]]);
    assert_eq!(found.mark, Mark::Ok);
    assert!(
        found.said.contains("about nothing, 0 %") && found.said.contains("as replicas of one service do"),
        "{found:?}"
    );
    assert_eq!(found.way_out, "");
    assert_eq!(fleet([&[("a", 50.0)], &[("a", 10.0)]], [&[], &[]]).mark, Mark::Skip);
    let idle = fleet([&[("a", 0.0), ("b", 0.0)], &[("a", 10.0), ("b", 20.0)]], [&[], &[]]);
    assert_eq!(idle.said, "nothing to save: none of 2 processes allocates");
}

#[test]
fn the_controller_may_patch_pods_where_a_policy_needs_it() {
    assert_eq!(of_the_controllers_agents(None, false), []);
    let rights = of_the_controllers_agents(Some("shop"), true);
    let asked: Vec<_> = rights
        .iter()
        .map(|right| (right.verb, &*right.group, &*right.resource))
        .collect();
    assert_eq!(asked, [("patch", "", "pods")]);
}

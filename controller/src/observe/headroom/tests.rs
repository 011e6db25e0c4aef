//! Room, calculated by hand.

use super::*;
use crate::observe::{nodes::Node, pods::Held, wire::TaintWire};
use kube::core::Status;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

/// A pod with the containers' resources as they are written.
fn pod(spec: Value) -> Prospect {
    Prospect {
        labels: [("app".to_owned(), "web".to_owned())].into(),
        spec: read(spec),
    }
}

fn container(name: &str, resources: Value) -> Value {
    let mut container = json!({"name": name});
    container["resources"] = resources;
    container
}

/// 500m and 256Mi, at most 1 and 512Mi.
fn usual() -> Prospect {
    pod(json!({"containers": [container("web", json!({
        "requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"},
    }))]}))
}

fn limit(room: &Headroom) -> Result<u32, &str> {
    room.limit.as_ref().map(|n| n.get()).map_err(String::as_str)
}

/// What a quota with these hard limits and uses leaves to a target of 5 pods.
fn quota(prospect: &Prospect, spec: &Value, used: &Value) -> Option<Headroom> {
    let quota = read(json!({
        "metadata": {"name": "team"}, "spec": spec, "status": {"hard": spec["hard"], "used": used},
    }));
    quota::room(&quota, prospect, 5)
}

#[test]
fn a_quota_leaves_what_is_not_used_to_the_pods_that_fit() {
    let check = |hard: Value, used: Value, expect: Option<(u32, &str)>| {
        let room = quota(&usual(), &json!({"hard": hard}), &used);
        let seen = room
            .as_ref()
            .map(|room| (limit(room).expect("known"), room.arithmetic.as_str()));
        assert_eq!(seen, expect, "{hard}");
        assert!(room.is_none_or(|room| room.by == "ResourceQuota team"));
    };
    check(
        json!({"requests.cpu": "10"}),
        json!({"requests.cpu": "7500m"}),
        Some((
            10,
            "requests.cpu: (10 - 7500m used) / 500m = room for 5 more than the 5 pods there are",
        )),
    );
    check(
        json!({"cpu": "4200m"}),
        json!({"cpu": "2500m"}),
        Some((
            8,
            "cpu: (4200m - 2500m used) / 500m = room for 3 more than the 5 pods there are",
        )),
    );
    check(
        json!({"limits.memory": "4Gi"}),
        json!({"limits.memory": "2560Mi"}),
        Some((
            8,
            "limits.memory: (4Gi - 2.5Gi used) / 512Mi = room for 3 more than the 5 pods there are",
        )),
    );
    check(
        json!({"pods": "6"}),
        json!({"pods": "5"}),
        Some((6, "pods: (6 - 5 used) / 1 = room for 1 more than the 5 pods there are")),
    );
    check(
        json!({"count/pods": "20", "pods": "7", "requests.cpu": "100"}),
        json!({"count/pods": "5", "pods": "5", "requests.cpu": "2500m"}),
        Some((7, "pods: (7 - 5 used) / 1 = room for 2 more than the 5 pods there are")),
    );
    check(
        json!({"pods": "3"}),
        json!({"pods": "5"}),
        Some((5, "pods: (3 - 5 used) / 1 = room for 0 more than the 5 pods there are")),
    );
    // What pods take nothing of, and what no pod takes.
    check(json!({"requests.ephemeral-storage": "1Gi"}), json!({}), None);
    check(json!({"requests.nvidia.com/gpu": "0"}), json!({}), None);
    check(
        json!({"requests.storage": "1Gi"}),
        json!({"requests.storage": "1Gi"}),
        None,
    );
    check(
        json!({"services": "0", "count/deployments.apps": "0", "persistentvolumeclaims": "0"}),
        json!({}),
        None,
    );
}

#[test]
fn a_quota_counts_what_its_kind_of_pod_asks_for() {
    let check = |prospect: &Prospect, hard: Value, expect: u32| {
        let room = quota(prospect, &json!({"hard": hard}), &json!({})).expect("a limit");
        assert_eq!(limit(&room), Ok(expect), "{hard}: {}", room.arithmetic);
    };
    let gpu = pod(json!({"containers": [container("web", json!({
        "requests": {"nvidia.com/gpu": "2"}, "limits": {"nvidia.com/gpu": "2"},
    }))]}));
    check(&gpu, json!({"requests.nvidia.com/gpu": "5"}), 7);
    let huge = pod(json!({"containers": [container("web", json!({"requests": {"hugepages-2Mi": "4Mi"}}))]}));
    check(&huge, json!({"hugepages-2Mi": "12Mi"}), 8);
    let mut overhead = usual();
    overhead.spec.overhead = Some(read(json!({"cpu": "500m"})));
    check(&overhead, json!({"requests.cpu": "3"}), 8);
    let whole = pod(json!({"containers": [{"name": "web"}], "resources": {"requests": {"cpu": "2"}}}));
    check(&whole, json!({"requests.cpu": "5"}), 7);
    let init = pod(json!({
        "containers": [container("web", json!({"requests": {"cpu": "1"}}))],
        "initContainers": [container("load", json!({"requests": {"cpu": "2"}}))],
    }));
    check(&init, json!({"requests.cpu": "5"}), 7);
}

#[test]
fn a_quota_admits_no_pod_that_leaves_out_what_it_limits() {
    let check = |prospect: &Prospect, hard: Value, expect: Option<&str>| {
        let room = quota(prospect, &json!({"hard": hard}), &json!({}));
        let seen = room
            .as_ref()
            .map(|room| (limit(room).expect("known"), room.arithmetic.as_str()));
        assert_eq!(seen, expect.map(|text| (5, text)), "{hard}");
    };
    let silent = pod(json!({"containers": [
        container("web", json!({"requests": {"cpu": "1", "memory": "1Gi"}})), {"name": "log"},
    ]}));
    check(
        &silent,
        json!({"requests.cpu": "100"}),
        Some("requests.cpu is limited, and container log has no request of cpu: no pod is admitted"),
    );
    check(
        &silent,
        json!({"limits.memory": "100Gi"}),
        Some("limits.memory is limited, and container web has no limit of memory: no pod is admitted"),
    );
    check(&silent, json!({"ephemeral-storage": "1Gi"}), None);
    // The defaults of a LimitRange are written before the quota counts.
    let range: LimitRange = read(json!({"metadata": {"name": "usual"}, "spec": {"limits": [
        {"type": "Container", "default": {"memory": "512Mi"}, "defaultRequest": {"cpu": "250m"}},
    ]}}));
    let filled = silent.clone().defaulted(&[range]);
    let room = quota(
        &filled,
        &json!({"hard": {"requests.cpu": "2500m", "limits.memory": "100Gi"}}),
        &json!({}),
    );
    let room = room.expect("a limit");
    assert_eq!(limit(&room), Ok(7), "2500m hold two pods of 1250m: {}", room.arithmetic);
}

#[test]
fn a_limit_that_stands_alone_is_the_request() {
    let alone = pod(json!({"containers": [container("web", json!({"limits": {"cpu": "2"}}))]})).defaulted(&[]);
    assert_eq!(alone.whole(prospect::Side::Requests)["cpu"], 2000);
}

#[test]
fn a_quota_counts_by_scope() {
    let best_effort = pod(json!({"containers": [{"name": "web"}]}));
    let deadline = pod(json!({"activeDeadlineSeconds": 60, "containers": [{"name": "web"}]}));
    let important = pod(json!({"priorityClassName": "high", "containers": [{"name": "web"}]}));
    let near = pod(json!({"containers": [], "affinity": {"podAntiAffinity": {}}}));
    let check = |prospect: &Prospect, scopes: Value, expect: Result<bool, &str>| {
        let mut spec = json!({"hard": {"pods": "8"}});
        let key = if scopes.is_array() { "scopes" } else { "scopeSelector" };
        spec[key] = scopes.clone();
        let room = quota(prospect, &spec, &json!({"pods": "5"}));
        let seen = match room.as_ref().map(limit) {
            None => Ok(false),
            Some(Ok(limit)) => {
                assert_eq!(limit, 8, "{scopes}");
                Ok(true)
            }
            Some(Err(why)) => Err(why),
        };
        assert_eq!(seen, expect, "{scopes}");
    };
    let class = |operator: &str, values: Value| {
        json!({"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": operator, "values": values},
        ]})
    };
    check(&usual(), json!([]), Ok(true));
    check(&usual(), json!(["BestEffort"]), Ok(false));
    check(&usual(), json!(["NotBestEffort"]), Ok(true));
    check(&best_effort, json!(["BestEffort"]), Ok(true));
    check(&best_effort, json!(["NotBestEffort"]), Ok(false));
    check(&usual(), json!(["NotTerminating"]), Ok(true));
    check(&usual(), json!(["Terminating"]), Ok(false));
    check(&deadline, json!(["Terminating"]), Ok(true));
    check(&best_effort, json!(["BestEffort", "Terminating"]), Ok(false));
    check(&important, class("In", json!(["high", "low"])), Ok(true));
    check(&important, class("NotIn", json!(["high"])), Ok(false));
    check(&important, class("Exists", json!([])), Ok(true));
    check(&important, class("DoesNotExist", json!([])), Ok(false));
    check(&usual(), class("In", json!(["high"])), Ok(false));
    check(&usual(), class("NotIn", json!(["high"])), Ok(true));
    check(&usual(), class("DoesNotExist", json!([])), Ok(true));
    check(&usual(), json!(["CrossNamespacePodAffinity"]), Ok(false));
    check(
        &near,
        json!(["CrossNamespacePodAffinity"]),
        Err("its scope CrossNamespacePodAffinity is not judged here"),
    );
    check(
        &usual(),
        json!(["Brightness"]),
        Err("its scope Brightness is not judged here"),
    );
}

#[test]
fn a_limit_range_may_admit_no_such_pod() {
    let check = |prospect: &Prospect, item: Value, expect: Option<&str>| {
        let range = read(json!({"metadata": {"name": "usual"}, "spec": {"limits": [item]}}));
        let room = ranges::room(&range, prospect, 5);
        let text = expect.map(|why| format!("{why}: no pod is admitted beside the 5 there are"));
        assert_eq!(room.as_ref().map(|room| room.arithmetic.clone()), text, "{item}");
        assert!(room.is_none_or(|room| limit(&room) == Ok(5) && room.by == "LimitRange usual"));
    };
    let web = |kind: &str, bound: &str, list: Value| {
        let mut item = json!({"type": kind});
        item[bound] = list;
        item
    };
    check(
        &usual(),
        web("Container", "max", json!({"cpu": "1", "memory": "512Mi"})),
        None,
    );
    check(
        &usual(),
        web("Container", "max", json!({"memory": "500Mi"})),
        Some("container web: its limit of memory, 512Mi, is more than max 500Mi"),
    );
    check(
        &usual(),
        web("Container", "max", json!({"ephemeral-storage": "1Gi"})),
        Some("container web: it has no limit of ephemeral-storage, and max is 1Gi"),
    );
    check(&usual(), web("Container", "min", json!({"cpu": "500m"})), None);
    check(
        &usual(),
        web("Container", "min", json!({"cpu": "600m"})),
        Some("container web: its request of cpu, 500m, is less than min 600m"),
    );
    check(
        &usual(),
        web("Container", "maxLimitRequestRatio", json!({"cpu": "2"})),
        None,
    );
    check(
        &usual(),
        web("Container", "maxLimitRequestRatio", json!({"memory": "1500m"})),
        Some("container web: limit 512Mi of memory to request 256Mi is more than the ratio 1500m"),
    );
    let two = pod(json!({"containers": [
        container("web", json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}})),
        container("log", json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}})),
    ]}));
    check(&two, web("Container", "max", json!({"cpu": "1"})), None);
    check(
        &two,
        web("Pod", "max", json!({"cpu": "1500m"})),
        Some("the pod: its limit of cpu, 2, is more than max 1500m"),
    );
    check(
        &two,
        web("PersistentVolumeClaim", "max", json!({"storage": "1Gi"})),
        None,
    );
}

fn node(cpu: i64, mebibytes: i64, pods: i64) -> Node {
    Node {
        cpu,
        memory: (mebibytes << 20) * 1000,
        pods,
        open: true,
        ..Node::default()
    }
}

fn held(pods: u32, cpu: i64, mebibytes: i64) -> Held {
    Held {
        pods,
        cpu,
        memory: (mebibytes << 20) * 1000,
    }
}

/// The places that these nodes have for pods of 500m and 256Mi, of which 5 are placed.
fn places(nodes: &[(Node, Held)], prospect: &Prospect) -> Headroom {
    let nodes: Vec<_> = nodes
        .iter()
        .map(|(node, held)| (Arc::new(node.clone()), *held))
        .collect();
    places::room(&nodes, prospect, 5)
}

#[test]
fn nodes_have_as_many_places_as_fit_into_each() {
    let check = |nodes: &[(Node, Held)], expect: u32| {
        let room = places(nodes, &usual());
        assert_eq!(limit(&room), Ok(expect), "{}", room.arithmetic);
    };
    // 2000 - 700 = 1300m hold two.
    check(&[(node(2000, 8192, 110), held(3, 700, 1024))], 7);
    // Two halves hold none, although together they would.
    check(
        &[
            (node(1000, 8192, 110), held(2, 700, 0)),
            (node(1000, 8192, 110), held(2, 700, 0)),
        ],
        5,
    );
    // 1024 - 700 = 324Mi hold one.
    check(&[(node(64_000, 1024, 110), held(2, 0, 700))], 6);
    // 12 - 10 pods.
    check(&[(node(64_000, 65_536, 12), held(10, 0, 0))], 7);
    check(
        &[
            (node(2000, 8192, 110), held(3, 700, 1024)),
            (node(64_000, 65_536, 12), held(10, 0, 0)),
        ],
        9,
    );
    // More is requested than there is.
    check(&[(node(1000, 8192, 110), held(2, 3000, 0))], 5);
    check(&[], 5);
    let room = places(&[(node(2000, 8192, 110), held(3, 700, 1024))], &usual());
    assert_eq!(
        (room.by.as_str(), room.arithmetic.as_str()),
        (
            "node allocatable",
            "1 of 1 nodes take such pods and have places for 2 more of 500m cpu and 256Mi memory beside the 5 placed ones"
        )
    );
    let nothing = pod(json!({"containers": [{"name": "web"}]}));
    let room = places(&[(node(1000, 1024, 30), held(10, 1000, 1024))], &nothing);
    assert_eq!(
        limit(&room),
        Ok(25),
        "pods that request nothing are limited by their number"
    );
}

#[test]
fn only_nodes_that_take_such_pods_have_places() {
    let taint = |key: &str, value: &str, effect: &str| TaintWire {
        key: key.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
    };
    let check = |change: &dyn Fn(&mut Node), spec: Value, expect: u32| {
        let mut prospect = usual();
        prospect.spec.node_selector = serde_json::from_value(spec["nodeSelector"].clone()).expect("a selector");
        prospect.spec.tolerations = serde_json::from_value(spec["tolerations"].clone()).expect("tolerations");
        let mut node = node(1000, 8192, 110);
        change(&mut node);
        assert_eq!(
            limit(&places(&[(node, held(0, 0, 0))], &prospect)),
            Ok(expect),
            "{spec}"
        );
    };
    let labelled = |node: &mut Node| {
        node.labels.insert("disk".to_owned(), "ssd".to_owned());
    };
    let tainted = move |node: &mut Node| node.taints = vec![taint("gpu", "yes", "NoSchedule")];
    check(&|_| {}, json!({}), 7);
    check(&|node| node.open = false, json!({}), 5);
    check(&|_| {}, json!({"nodeSelector": {"disk": "ssd"}}), 5);
    check(&labelled, json!({"nodeSelector": {"disk": "ssd"}}), 7);
    check(&labelled, json!({"nodeSelector": {"disk": "ssd", "zone": "a"}}), 5);
    check(&tainted, json!({}), 5);
    check(&tainted, json!({"tolerations": [{"operator": "Exists"}]}), 7);
    check(
        &tainted,
        json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]}),
        7,
    );
    check(
        &tainted,
        json!({"tolerations": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]}),
        7,
    );
    check(&tainted, json!({"tolerations": [{"key": "gpu", "value": "no"}]}), 5);
    check(
        &tainted,
        json!({"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute"}]}),
        5,
    );
    check(
        &|node| node.taints = vec![taint("old", "", "PreferNoSchedule")],
        json!({}),
        7,
    );
    check(&|node| node.taints = vec![taint("down", "", "NoExecute")], json!({}), 5);
    let mut grown = node(1000, 8192, 110);
    grown
        .labels
        .insert("karpenter.sh/nodepool".to_owned(), "general".to_owned());
    let room = places(&[(grown, held(2, 1000, 0))], &usual());
    assert!(limit(&room).is_err(), "a pod that waits is what makes another node");
}

#[test]
fn a_budget_demands_a_number_of_pods_or_nothing() {
    let check = |spec: Value, status: Value, ready: Option<u32>, expect: Option<(u32, &str)>| {
        let budget = read(json!({"metadata": {"name": "web", "generation": 2}, "spec": spec, "status": status}));
        let floor = budget::floor(&budget, &usual().labels, ready);
        let seen = floor
            .as_ref()
            .map(|floor| (limit(floor).expect("known"), floor.arithmetic.as_str()));
        assert_eq!(seen, expect, "{spec} {status} {ready:?}");
        assert!(floor.is_none_or(|floor| floor.by == "PodDisruptionBudget web"));
    };
    let selector = json!({"matchLabels": {"app": "web"}});
    let status = |healthy: i64, generation: i64| {
        json!({
            "observedGeneration": generation, "currentHealthy": healthy, "desiredHealthy": 3,
            "expectedPods": 9, "disruptionsAllowed": 1,
        })
    };
    let three = json!({"minAvailable": 3, "selector": selector});
    check(three.clone(), Value::Null, Some(5), Some((3, "minAvailable 3")));
    check(three.clone(), status(5, 2), Some(5), Some((3, "minAvailable 3")));
    check(
        three.clone(),
        status(7, 2),
        Some(5),
        Some((1, "minAvailable 3 - 2 healthy pods of others = 1")),
    );
    check(
        three.clone(),
        status(9, 2),
        Some(5),
        Some((0, "minAvailable 3 - 4 healthy pods of others = 0")),
    );
    check(three.clone(), status(7, 1), Some(5), Some((3, "minAvailable 3")));
    check(three.clone(), status(7, 2), None, Some((3, "minAvailable 3")));
    check(
        json!({"minAvailable": 1, "selector": {}}),
        status(5, 2),
        Some(5),
        Some((1, "minAvailable 1")),
    );
    // A share, and a number that may be missing, follow the number of replicas.
    check(
        json!({"minAvailable": "50%", "selector": selector}),
        status(5, 2),
        Some(5),
        None,
    );
    check(
        json!({"maxUnavailable": 1, "selector": selector}),
        status(5, 2),
        Some(5),
        None,
    );
    check(
        json!({"minAvailable": 3, "selector": {"matchLabels": {"app": "db"}}}),
        status(5, 2),
        Some(5),
        None,
    );
    check(json!({"minAvailable": 3}), status(5, 2), Some(5), None);
    check(
        json!({"minAvailable": 3, "selector": {"matchExpressions": [
            {"key": "app", "operator": "In", "values": ["web", "api"]},
            {"key": "canary", "operator": "DoesNotExist"},
        ]}}),
        status(5, 2),
        Some(5),
        Some((3, "minAvailable 3")),
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_again_for_a_while() {
    let (kept, asked) = (Kept::<&str, usize>::default(), AtomicUsize::new(0));
    let ask = |key| {
        kept.get(key, async {
            let n = asked.fetch_add(1, Ordering::Relaxed);
            if n == 3 { Err("no".to_owned()) } else { Ok(n) }
        })
    };
    let answer = |n| Ok(Arc::new(n));
    assert_eq!(
        (ask("a").await, ask("a").await, ask("b").await),
        (answer(0), answer(0), answer(1))
    );
    tokio::time::advance(KEPT).await;
    assert_eq!((ask("a").await, ask("b").await), (answer(2), Err("no".to_owned())));
    assert_eq!(
        ask("b").await,
        Err("no".to_owned()),
        "a refusal is not asked for again either"
    );
    tokio::time::advance(KEPT).await;
    assert_eq!(ask("b").await, answer(4));
}

#[test]
fn what_can_not_be_read_is_said_with_a_way_out() {
    let status = |code| {
        let status: Status = read(json!({"status": "Failure", "message": "m", "reason": "r", "code": code}));
        CallError::Api(kube::Error::Api(Box::new(status)))
    };
    let check = |error: CallError, expect: &str| assert_eq!(failed("list", "resourcequotas", &error), expect);
    check(status(403), "no right to list resourcequotas; see flyball doctor");
    check(
        CallError::TimedOut(LIMIT),
        "no answer to list resourcequotas within 5 s",
    );
    assert!(failed("list", "limitranges", &status(500)).starts_with("list limitranges failed: "));
}

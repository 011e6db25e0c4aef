//! The runtime lever: what each form becomes, its defaults, and every mistake with its path.

use super::{refused, replaced, spec};
use flyball_controller::validate;
use flyball_core::{
    policy::{RuntimeAction, RuntimeAim, TrialSize},
    time::Span,
};
use serde_json::{Value, json};

const LEVER: &str = "/actions/0/runtime";

/// A careful policy whose one action does this to the container `app`.
fn does(form: &str, of: &Value) -> Value {
    json!({
        "mode": "Enforce",
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "rules": [{"alert": "Peak", "expr": "sum(rate(x{job=\"c\"}[5m])) > 100"}],
        "actions": [{
            "name": "tune",
            "when": ["Peak"],
            "runtime": {"container": "app", form: of},
            "verify": {"settle": "6m", "within": "10m", "expr": "max(rate(y{job=\"c\"}[5m])) <= 0.5"},
        }],
    })
}

fn set() -> Value {
    does("set", &json!({"go": {"gogc": 200}}))
}

fn action(policy: Value) -> RuntimeAction {
    validate::policy(&spec(policy)).unwrap().runtime.remove(0)
}

#[test]
fn each_form_becomes_the_words_of_a_line() {
    let check = |form: &str, of: Value, expect: &str| {
        let found = action(does(form, &of));
        let said = match &found.aim {
            RuntimeAim::Set(knobs) => knobs.to_string(),
            RuntimeAim::Fit(fit) => format!("{} and a limit that fits", fit.knobs),
            RuntimeAim::Budget(budget) => format!("budget of {} by {:?}", budget.headroom, budget.scope),
            RuntimeAim::Reclaim { every } => format!("reclaim every {every}"),
            RuntimeAim::Env(options) => format!("{options:?}"),
        };
        assert_eq!(said, expect, "{form} {of}");
    };
    check("set", json!({"go": {"gogc": 200}}), "gogc=200");
    check(
        "set",
        json!({"go": {"gogc": 200, "memoryLimit": "900Mi"}}),
        "gogc=200 memlimit=943718400",
    );
    check("set", json!({"go": {"memoryLimit": "none"}}), "memlimit=none");
    check("set", json!({"go": {"memoryLimit": "auto"}}), " and a limit that fits");
    check(
        "set",
        json!({"go": {"gogc": 400, "memoryLimit": "auto"}}),
        "gogc=400 and a limit that fits",
    );
    check(
        "set",
        json!({"java": {"softMaxHeapSize": "512Mi", "g1PeriodicGCInterval": "3s"}}),
        "soft-max-heap=536870912 g1-periodic-interval=3000",
    );
    check(
        "set",
        json!({"java": {"minHeapFreeRatio": 5, "maxHeapFreeRatio": 20}}),
        "min-heap-free=5 max-heap-free=20",
    );
    check(
        "set",
        json!({"node": {"heapGrowingPercent": 20}}),
        "heap-growing-percent=20",
    );
    check(
        "set",
        json!({"python": {"thresholds": [5000, 20, 20]}}),
        "gc-thresholds=5000,20,20",
    );
    check(
        "setPoint",
        json!({"resident": "1230M"}),
        "rss=1230000000 gogc-min=50 gogc-max=400",
    );
    check("budget", json!({"headroom": "2Gi"}), "budget of 2048 MiB by Namespace");
    check(
        "budget",
        json!({"headroom": "2Gi", "scope": "Node"}),
        "budget of 2048 MiB by Node",
    );
    check("reclaim", json!({"every": "30m"}), "reclaim every 30m");
    check("reclaim", json!({}), "reclaim every 10m");
}

#[test]
fn a_lever_is_read_with_its_defaults() {
    let found = action(set());
    let seconds = Span::from_secs;
    assert_eq!(
        (found.acknowledge, found.lease, found.hold),
        (seconds(90), seconds(3600), seconds(300))
    );
    assert_eq!((found.gogc, found.approval), ((50, 400), false));
    let trial = found.trial.unwrap();
    // The times of a trial are those of the verification.
    assert_eq!(
        (trial.size, trial.settle, trial.within),
        (TrialSize::Pods(1), seconds(360), seconds(600))
    );
    let all = replaced(set(), &format!("{LEVER}/trial"), json!({"disabled": true}));
    assert_eq!(validate::policy(&all).unwrap().runtime[0].trial, None);
}

/// Where the limit law looks back, it takes nearly the most that is unmanaged, and the most that lives.
#[test]
fn a_limit_that_fits_is_asked_over_an_hour() {
    let found = action(does("set", &json!({"go": {"memoryLimit": "auto"}})));
    let RuntimeAim::Fit(fit) = found.aim else {
        panic!("a fit")
    };
    let queries = fit.queries.within("shop");
    assert_eq!(
        queries.live.text,
        r#"max by (pod) (max_over_time(flyball_agent_heap_live_bytes{namespace="shop"}[1h]))"#
    );
    assert_eq!(
        queries.unmanaged.text,
        r#"max by (pod) (quantile_over_time(0.99, flyball_agent_unmanaged_bytes{namespace="shop"}[1h]))"#
    );
}

#[test]
fn every_mistake_is_said_at_its_place() {
    let check = |at: &str, value: Value, said: &str| {
        refused(
            &replaced(set(), &format!("{LEVER}{at}"), value),
            &format!("spec.actions[0].runtime{said}"),
        );
    };
    check(
        "/container",
        json!("App"),
        ".container: \"App\" is not the name of a container",
    );
    check("/set", Value::Null, ": takes exactly one of");
    check("/set/go/gogc", json!(1001), ".set.go.gogc: 1001");
    check(
        "/set/go/gogc",
        json!(401),
        ".set.go.gogc: 401 is not between gogc.min, 50, and gogc.max, 400",
    );
    check(
        "/set/go/memoryLimit",
        json!("much"),
        ".set.go.memoryLimit: \"much\" is no amount of memory",
    );
    check(
        "/set/go/memoryLimit",
        json!("0"),
        ".set.go.memoryLimit: \"0\" is no amount of memory",
    );
    check(
        "/gogc",
        json!({"min": 300, "max": 200}),
        ".gogc.min: 300 is above gogc.max",
    );
    check("/lease", json!("59s"), ".lease: 59s is not between 1m and");
    check("/acknowledge", json!("0s"), ".acknowledge");
    check(
        "/trial",
        json!({"pods": 1, "percent": 10}),
        ".trial: takes pods or percent",
    );
    check(
        "/trial",
        json!({"settle": "5m", "within": "5m"}),
        ".trial.within: 5m is not longer than settle",
    );
    check("/trial", json!({"expr": "up > 0"}), ".trial.expr: has no $moved");
    check("/trial", json!({"expr": "up{pod=~\"$moved\"}"}), ".trial.expr");
    check(
        "/trial",
        json!({"expr": "up{pod=~\"$moved\"} == 1"}),
        ".trial.expr: compares for equality",
    );
    check(
        "/trial",
        json!({"expr": "rate(x{pod=~\"$moved\"}[7m]) > 1"}),
        ".trial.expr: has a range of 7m, and settle is 6m",
    );
    check("/matchers", json!("container="), ".matchers");
}

#[test]
fn a_policy_moves_the_knobs_of_one_container() {
    let mut two = set();
    let mut second = two["actions"][0].clone();
    second["name"] = json!("other");
    two["actions"].as_array_mut().unwrap().push(second);
    assert!(validate::policy(&spec(two.clone())).is_ok());
    let change = |at: &str, value: Value, said: &str| {
        let mut policy = two.clone();
        policy["actions"][1]["runtime"][at] = value;
        refused(&spec(policy), said);
    };
    change("container", json!("sidecar"), "one container has one setting");
    change(
        "lease",
        json!("2h"),
        "spec.actions[1].runtime.lease: differs from that of the first",
    );
    change(
        "matchers",
        json!("job=\"x\""),
        "spec.actions[1].runtime.matchers: differs",
    );
}

#[test]
fn start_options_are_written_as_each_runtime_reads_them() {
    let check = |of: Value, expect: &str| {
        let found = action(does("env", &of));
        let RuntimeAim::Env(options) = &found.aim else {
            panic!("{:?}", found.aim)
        };
        let env = flyball_core::policy::Env::default().with(options).unwrap();
        assert_eq!(env.to_string(), format!("env {expect}"), "{of}");
        assert_eq!((found.hold, found.trial), (Span::from_secs(1800), None));
    };
    check(
        json!({"dotnet": {"gcServer": false, "gcConcurrent": true, "heapHardLimit": "200Mi", "conserveMemory": 7}}),
        "DOTNET_GCConserveMemory=\"0x7\" DOTNET_GCHeapHardLimit=\"0xC800000\" DOTNET_gcConcurrent=\"1\" DOTNET_gcServer=\"0\"",
    );
    check(
        json!({"dotnet": {"heapHardLimitPercent": 75}}),
        "DOTNET_GCHeapHardLimitPercent=\"0x4B\"",
    );
    check(
        json!({"go": {"gogc": 200, "memoryLimit": "900Mi"}}),
        "GOGC=\"200\" GOMEMLIMIT=\"943718400\"",
    );
    check(
        json!({"java": {"maxHeap": "512Mi", "initialHeap": "512Mi"}}),
        "JAVA_TOOL_OPTIONS=\"-Xms512m -Xmx512m\"",
    );
    check(
        json!({"java": {"maxHeap": "1000000000", "through": "JDK_JAVA_OPTIONS"}}),
        "JDK_JAVA_OPTIONS=\"-Xmx976563k\"",
    );
    check(
        json!({"node": {"maxOldSpaceSize": "1Gi"}}),
        "NODE_OPTIONS=\"--max-old-space-size=1024\"",
    );
}

#[test]
fn every_mistake_of_start_options_is_said_at_its_place() {
    let check = |of: Value, said: &str| {
        refused(&spec(does("env", &of)), &format!("spec.actions[0].runtime.env{said}"));
    };
    check(json!({}), ": takes the options of exactly one");
    check(json!({"go": {}}), ": names no option");
    check(json!({"go": {"gogc": 0}}), ".go.gogc: 0");
    check(
        json!({"go": {"memoryLimit": "much"}}),
        ".go.memoryLimit: \"much\" is no amount of memory",
    );
    check(
        json!({"dotnet": {"heapHardLimit": "1Gi", "heapHardLimitPercent": 50}}),
        ".dotnet: takes heapHardLimit or heapHardLimitPercent",
    );
    check(json!({"dotnet": {"conserveMemory": 10}}), ".dotnet.conserveMemory: 10");
    check(json!({"java": {"maxHeap": "1Mi"}}), ".java.maxHeap: 1Mi is less than");
    check(
        json!({"java": {"maxHeap": "64Mi", "initialHeap": "65Mi"}}),
        ".java.initialHeap: is above maxHeap",
    );
    check(
        json!({"node": {"maxOldSpaceSize": "1k"}}),
        ".node.maxOldSpaceSize: 1k is less than 1Mi",
    );
    let starts = || does("env", &json!({"go": {"gogc": 50}}));
    let with = |at: &str, value: Value, said: &str| {
        refused(&replaced(starts(), &format!("{LEVER}{at}"), value), said);
    };
    with("/trial", json!({"pods": 1}), "runtime.trial: is for processes that run");
    with(
        "/reclaim",
        json!({}),
        "runtime: takes exactly one of set, setPoint, budget, reclaim and env",
    );
    let mut mixed = starts();
    let mut second = set()["actions"][0].clone();
    second["name"] = json!("other");
    mixed["actions"].as_array_mut().unwrap().push(second);
    refused(&spec(mixed), "runtime.env: differs from that of the first action");
}

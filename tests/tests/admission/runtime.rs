//! The rules of the runtime lever.

use super::definitions::Case;
use serde_json::{Value, json};

/// A policy that moves knobs.
pub fn runtime_policy() -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "FeedbackPolicy",
        "metadata": {"name": "runtime"},
        "spec": {
            "mode": "Enforce",
            "sourceRef": {"name": "prometheus"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "rules": [{"alert": "Peak", "expr": "x > 1"}],
            "actions": [
                {
                    "name": "peak",
                    "when": ["Peak"],
                    "runtime": {
                        "container": "app",
                        "set": {"go": {"gogc": 200, "memoryLimit": "900Mi"}},
                        "gogc": {"min": 50, "max": 400},
                        "trial": {"pods": 2, "expr": "a{pod=~\"$moved\"} < 1", "settle": "1m", "within": "2m"},
                        "acknowledge": "90s", "lease": "1h", "hold": "5m", "matchers": "container=\"app\"",
                    },
                    "verify": {"settle": "2m", "within": "5m", "expr": "z <= 1"},
                },
                {
                    "name": "usual",
                    "runtime": {"container": "app", "setPoint": {"resident": "1230M"}},
                    "verify": {"settle": "2m", "within": "5m", "expr": "z <= 1"},
                },
            ],
        },
    })
}

const ONE_CONTAINER: &str = "a policy that moves a runtime's knobs moves those of one container and nothing else";
const ONE_AIM: &str = "runtime takes exactly one of set, setPoint";

/// What is said to a policy that differs in this from [`runtime_policy`].
pub const RUNTIME: &[Case] = &[
    ("everything of it", &[], None),
    (
        "Java",
        &[("/spec/actions/0/runtime/set", || {
            json!({"java": {
                "softMaxHeapSize": "512Mi", "g1PeriodicGCInterval": "3s", "minHeapFreeRatio": 5, "maxHeapFreeRatio": 20,
            }})
        })],
        None,
    ),
    (
        "Node",
        &[(
            "/spec/actions/0/runtime/set",
            || json!({"node": {"heapGrowingPercent": 20}}),
        )],
        None,
    ),
    (
        "Python",
        &[(
            "/spec/actions/0/runtime/set",
            || json!({"python": {"thresholds": [5000, 20, 20]}}),
        )],
        None,
    ),
    (
        "a budget",
        &[
            ("/spec/actions/0/runtime/set", || json!(null)),
            ("/spec/actions/0/runtime/budget", || json!({"headroom": "2Gi"})),
        ],
        None,
    ),
    (
        "a reclaim",
        &[
            ("/spec/actions/0/runtime/set", || json!(null)),
            ("/spec/actions/0/runtime/reclaim", || json!({"every": "10m"})),
        ],
        None,
    ),
    (
        "start-up options",
        &[
            ("/spec/actions/0/runtime/set", || json!(null)),
            (
                "/spec/actions/0/runtime/env",
                || json!({"dotnet": {"gcServer": false, "heapHardLimitPercent": 60}}),
            ),
        ],
        None,
    ),
    (
        "start-up options of two runtimes",
        &[
            ("/spec/actions/0/runtime/set", || json!(null)),
            (
                "/spec/actions/0/runtime/env",
                || json!({"go": {"gogc": 50}, "java": {"maxHeap": "64Mi", "through": "JDK_JAVA_OPTIONS"}}),
            ),
        ],
        Some("env takes the options of exactly one of dotnet, go, java and node"),
    ),
    (
        "two limits of .NET",
        &[
            ("/spec/actions/0/runtime/set", || json!(null)),
            (
                "/spec/actions/0/runtime/env",
                || json!({"dotnet": {"heapHardLimit": "1Gi", "heapHardLimitPercent": 60}}),
            ),
        ],
        Some("not both"),
    ),
    (
        "two aims",
        &[("/spec/actions/0/runtime/reclaim", || json!({}))],
        Some(ONE_AIM),
    ),
    (
        "no aim",
        &[("/spec/actions/0/runtime/set", || json!(null))],
        Some(ONE_AIM),
    ),
    (
        "two runtimes",
        &[("/spec/actions/0/runtime/set/node", || json!({"heapGrowingPercent": 20}))],
        Some("set takes the knobs of exactly one of go, java, node and python"),
    ),
    (
        "Go without a knob",
        &[("/spec/actions/0/runtime/set/go", || json!({}))],
        Some("go takes gogc, memoryLimit or both"),
    ),
    (
        "Java without a knob",
        &[("/spec/actions/0/runtime/set", || json!({"java": {}}))],
        Some("java takes at least one of its knobs"),
    ),
    (
        "GOGC off",
        &[("/spec/actions/0/runtime/set/go/gogc", || json!(-1))],
        Some("should be greater than or equal to 1"),
    ),
    (
        "two thresholds",
        &[(
            "/spec/actions/0/runtime/set",
            || json!({"python": {"thresholds": [5000, 20]}}),
        )],
        Some("should have at least 3 items"),
    ),
    (
        "bounds that cross",
        &[("/spec/actions/0/runtime/gogc/min", || json!(500))],
        Some("gogc.min is above gogc.max"),
    ),
    (
        "a trial by number and by part",
        &[("/spec/actions/0/runtime/trial/percent", || json!(10))],
        Some("trial takes pods or percent, not both"),
    ),
    (
        "a trial that is none",
        &[("/spec/actions/0/runtime/trial/disabled", || json!(true))],
        Some("a trial that is disabled takes nothing else"),
    ),
    (
        "another container",
        &[("/spec/actions/1/runtime/container", || json!("sidecar"))],
        Some(ONE_CONTAINER),
    ),
    (
        "another lever beside it",
        &[
            ("/spec/actions/1/runtime", || json!(null)),
            ("/spec/actions/1/when", || json!(["Peak"])),
            (
                "/spec/actions/1/replicas",
                || json!({"min": 1, "max": 2, "step": {"pods": 1}}),
            ),
        ],
        Some(ONE_CONTAINER),
    ),
    (
        "a veto",
        &[("/spec/actions/0/inhibit", || json!([{"name": "full", "expr": "x > 1"}]))],
        Some("inhibit and holdDownWhile go with replicas"),
    ),
];

//! The rules of what an autoscaler's policy has beyond a step and a ratio.

use super::definitions::Case;
use serde_json::{Value, json};

/// What is said to a policy that differs in this from [`policy`](super::policies::policy).
pub const REPLICAS: &[Case] = &[
    ("everything of it", &[("/spec/actions", || json!([everything()]))], None),
    (
        "metrics of each kind",
        &[("/spec/signals", signals), ("/spec/actions/1/replicas", metrics)],
        None,
    ),
    (
        "ratio and metrics",
        &[(METRICS, || json!({"list": [metric("a", json!({"averageValue": 1}))]}))],
        Some("replicas takes exactly one of step, ratio and metrics"),
    ),
    (
        "no metrics",
        &[(REPLICAS_OF, || with_metrics(json!([])))],
        Some("metrics.list in body should have at least 1 items"),
    ),
    ("16 metrics", &[(REPLICAS_OF, || with_metrics(many_metrics(16)))], None),
    (
        "17 metrics",
        &[(REPLICAS_OF, || with_metrics(many_metrics(17)))],
        Some("metrics.list: Too many: 17: must have at most 16 items"),
    ),
    (
        "two metrics of one name",
        &[(REPLICAS_OF, || {
            with_metrics(json!([
                metric("a", json!({"averageValue": 1})),
                metric("a", json!({"value": 1})),
            ]))
        })],
        Some("the names in metrics.list[].name must be unique"),
    ),
    (
        "a metric of nothing",
        &[(REPLICAS_OF, || {
            with_metrics(json!([{"name": "a", "target": {"value": 1}}]))
        })],
        Some("a metric takes exactly one of signal, formula and resource"),
    ),
    (
        "a metric of a signal and a formula",
        &[(REPLICAS_OF, || {
            with_metrics(json!([{"name": "a", "signal": "rps", "formula": "rps", "target": {"value": 1}}]))
        })],
        Some("a metric takes exactly one of signal, formula and resource"),
    ),
    (
        "a metric without a target",
        &[(REPLICAS_OF, || with_metrics(json!([{"name": "a", "signal": "rps"}])))],
        Some("metrics.list[0].target: Required value"),
    ),
    (
        "an empty target",
        &[(REPLICAS_OF, || with_metrics(json!([metric("a", json!({}))])))],
        Some("a target takes exactly one of value, averageValue and utilization"),
    ),
    (
        "two targets",
        &[(REPLICAS_OF, || {
            with_metrics(json!([metric("a", json!({"value": 1, "averageValue": 1}))]))
        })],
        Some("a target takes exactly one of value, averageValue and utilization"),
    ),
    (
        "a target of 0",
        &[(REPLICAS_OF, || with_metrics(json!([metric("a", json!({"value": 0}))])))],
        Some("target.value in body should be greater than 0"),
    ),
    (
        "a utilization of 0",
        &[(REPLICAS_OF, || {
            with_metrics(json!([metric(
                "a",
                json!({"utilization": 0, "request": {"name": "cpu"}})
            )]))
        })],
        Some("target.utilization in body should be greater than or equal to 1"),
    ),
    (
        "a request without utilization",
        &[(REPLICAS_OF, || {
            with_metrics(json!([metric(
                "a",
                json!({"averageValue": 1, "request": {"name": "cpu"}})
            )]))
        })],
        Some("request is what utilization is a percentage of, and goes with it"),
    ),
    (
        "utilization of a formula",
        &[(REPLICAS_OF, || {
            with_metrics(json!([{"name": "a", "formula": "rps", "target": {"utilization": 50}}]))
        })],
        Some("a formula is one number and takes value or averageValue"),
    ),
    (
        "a formula of 1,025 characters",
        &[(REPLICAS_OF, || {
            with_metrics(json!([{"name": "a", "formula": "x".repeat(1025), "target": {"value": 1}}]))
        })],
        Some("metrics.list[0].formula: Too long: may not be more than 1024"),
    ),
    (
        "the value of a resource",
        &[(REPLICAS_OF, || {
            with_metrics(json!([{"name": "a", "resource": {"name": "cpu"}, "target": {"value": 1}}]))
        })],
        Some("a resource takes utilization or averageValue, and no request: it names it already"),
    ),
    (
        "another resource",
        &[(REPLICAS_OF, || {
            with_metrics(json!([{"name": "a", "resource": {"name": "gpu"}, "target": {"utilization": 50}}]))
        })],
        Some(r#"resource.name: Unsupported value: "gpu": supported values: "cpu", "memory""#),
    ),
    (
        "zero without min 0",
        &[("/spec/actions/1/replicas/zero", || json!({"signal": "rps"}))],
        Some(
            "replicas.min 0 needs replicas.zero, which says when there is anything to do, and replicas.zero needs min 0",
        ),
    ),
    (
        "zero with a step",
        &[
            ("/spec/actions/0/replicas/min", || json!(0)),
            ("/spec/actions/0/replicas/zero", || json!({"signal": "rps"})),
        ],
        Some("replicas.zero goes with ratio or metrics; a step knows no load to come back by"),
    ),
    (
        "zero without a signal",
        &[
            ("/spec/actions/1/replicas/min", || json!(0)),
            ("/spec/actions/1/replicas/zero", || json!({})),
        ],
        Some("replicas.zero.signal: Required value"),
    ),
    (
        "an activation below 0",
        &[
            ("/spec/actions/1/replicas/min", || json!(0)),
            (
                "/spec/actions/1/replicas/zero",
                || json!({"signal": "rps", "activation": -1}),
            ),
        ],
        Some("zero.activation in body should be greater than or equal to 0"),
    ),
    (
        "a warm-up with a step",
        &[("/spec/actions/0/replicas/warmUp", || json!("1m"))],
        Some("replicas.warmUp goes with ratio or metrics; a step counts no pods"),
    ),
    (
        "a spike of less than that",
        &[("/spec/actions/1/replicas/spike", || json!({"factor": 1.005}))],
        Some("spike.factor in body should be greater than or equal to 1.01"),
    ),
    (
        "a fallback above max",
        &[(
            "/spec/actions/1/replicas/fallback",
            || json!({"after": "5m", "replicas": 21}),
        )],
        Some("fallback.replicas must not be above replicas.max"),
    ),
    (
        "a fallback without a time",
        &[("/spec/actions/1/replicas/fallback", || json!({"replicas": 5}))],
        Some("replicas.fallback.after: Required value"),
    ),
    (
        "a schedule with a step",
        &[("/spec/actions/0/replicas/schedules", || json!([schedule("a")]))],
        None,
    ),
    (
        "two schedules of one name",
        &[(SCHEDULES, || json!([schedule("a"), schedule("a")]))],
        Some("the names in schedules[].name must be unique"),
    ),
    (
        "a schedule that ends when it starts",
        &[(
            SCHEDULES,
            || json!([{"name": "a", "start": "0 8 * * *", "end": "0 8 * * *", "replicas": 5}]),
        )],
        Some("start and end must not be the same time"),
    ),
    (
        "a schedule above max",
        &[(
            SCHEDULES,
            || json!([{"name": "a", "start": "0 8 * * *", "end": "0 9 * * *", "replicas": 21}]),
        )],
        Some("schedules[].replicas must not be above replicas.max"),
    ),
    (
        "a schedule without an end",
        &[(
            SCHEDULES,
            || json!([{"name": "a", "start": "0 8 * * *", "replicas": 5}]),
        )],
        Some("schedules[0].end: Required value"),
    ),
    (
        "17 schedules",
        &[(SCHEDULES, || (0..17).map(|n| schedule(&format!("s{n}"))).collect())],
        Some("schedules: Too many: 17: must have at most 16 items"),
    ),
    (
        "two conditions of one name",
        &[(
            "/spec/actions/1/inhibit",
            || json!([{"name": "a", "expr": "x > 1"}, {"name": "a", "expr": "y > 1"}]),
        )],
        Some("the names in inhibit[].name must be unique"),
    ),
    (
        "9 conditions",
        &[("/spec/actions/1/holdDownWhile", || {
            (0..9)
                .map(|n| json!({"name": format!("v{n}"), "expr": "x > 1"}))
                .collect()
        })],
        Some("holdDownWhile: Too many: 9: must have at most 8 items"),
    ),
    (
        "another approval",
        &[("/spec/actions/1/approval", || json!("Sometimes"))],
        Some(r#"approval: Unsupported value: "Sometimes": supported values: "None", "Required""#),
    ),
    (
        "a substitute that nothing asks for",
        &[("/spec/signals/0/substitute", || json!(1))],
        Some("substitute goes with onError: Substitute, and onError: Substitute needs it"),
    ),
    (
        "onError without its substitute",
        &[("/spec/signals/0/onError", || json!("Substitute"))],
        Some("substitute goes with onError: Substitute, and onError: Substitute needs it"),
    ),
    (
        "one substitute for all pods",
        &[
            ("/spec/signals/0/perPod", || json!(true)),
            ("/spec/signals/0/onError", || json!("Substitute")),
            ("/spec/signals/0/substitute", || json!(1)),
        ],
        Some("a substitute is one number; a perPod signal has one for each pod"),
    ),
    (
        "pauses",
        &[(
            "/spec/pause",
            || json!({"up": {}, "down": {"until": "2026-12-01T08:00:00Z", "reason": "a sale"}}),
        )],
        None,
    ),
    (
        "a pause until some day",
        &[("/spec/pause", || json!({"up": {"until": "tomorrow"}}))],
        Some("spec.pause.up.until in body must be of type date-time"),
    ),
];

const REPLICAS_OF: &str = "/spec/actions/1/replicas";
const METRICS: &str = "/spec/actions/1/replicas/metrics";
const SCHEDULES: &str = "/spec/actions/1/replicas/schedules";

#[allow(clippy::needless_pass_by_value, reason = "a call with json!(...) reads better")]
fn metric(name: &str, target: Value) -> Value {
    json!({"name": name, "signal": "rps", "target": target})
}

fn many_metrics(count: usize) -> Value {
    (0..count)
        .map(|n| metric(&format!("m{n}"), json!({"averageValue": 1})))
        .collect()
}

#[allow(clippy::needless_pass_by_value, reason = "a call with json!(...) reads better")]
fn with_metrics(list: Value) -> Value {
    json!({"min": 2, "max": 20, "metrics": {"list": list}})
}

fn schedule(name: &str) -> Value {
    json!({"name": name, "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "timeZone": "Europe/Berlin", "replicas": 5})
}

fn signals() -> Value {
    json!([
        {"name": "rps", "expr": "sum(x)", "onError": "Hold"},
        {"name": "queue", "expr": "sum(y)", "onError": "Substitute", "substitute": 0},
        {"name": "busy", "expr": "sum by (pod) (z)", "perPod": true, "onError": "Ignore"},
    ])
}

fn metrics() -> Value {
    with_metrics(json!([
        {"name": "level", "signal": "rps", "target": {"value": 0.5}},
        {"name": "total", "signal": "queue", "target": {"averageValue": 30}},
        {"name": "pods", "signal": "busy", "target": {"averageValue": 10}},
        {"name": "share", "signal": "busy", "target": {"utilization": 70, "request": {"name": "cpu", "container": "app"}}},
        {"name": "formula", "formula": "max(rps / 100.0, queue / 30.0)", "target": {"averageValue": 1}},
        {"name": "cpu", "resource": {"name": "cpu"}, "target": {"utilization": 80}},
        {"name": "memory", "resource": {"name": "memory", "container": "app"}, "target": {"averageValue": 5e8}},
    ]))
}

fn everything() -> Value {
    json!({
        "name": "ratio",
        "replicas": {
            "min": 0,
            "max": 20,
            "ratio": {"signal": "rps", "target": 100.0},
            "zero": {"signal": "errors", "activation": 0.5, "cooldown": "10m"},
            "warmUp": "30s",
            "spike": {"factor": 2.5, "hold": "2m"},
            "schedules": [schedule("working-hours"), {"name": "night", "start": "0 2 * * *", "end": "0 3 * * *", "replicas": 1}],
            "fallback": {"after": "5m", "replicas": 5},
        },
        "verify": {"settle": "6m", "within": "10m", "expr": "x <= 1"},
        "inhibit": [{"name": "database", "expr": "x > 0.9", "maxAge": "30s"}],
        "holdDownWhile": [{"name": "upstream", "expr": "y < 1"}],
        "approval": "Required",
    })
}

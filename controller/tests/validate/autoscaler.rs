//! What an autoscaler's policy has beyond a step and a ratio.

use super::spec;
use flyball_controller::validate;
use flyball_core::{
    policy::{
        Comparator, Fallback, Law, Measure, Number, OnError, Pause, PodNumbers, PodTarget, Resource, ResourceOf, Shape,
        TotalTarget, Zero,
    },
    signal::Finite,
    time::{Span, Timestamp},
};
use serde_json::{Value, json};

/// A policy with everything of it.
pub fn whole() -> Value {
    json!({
        "mode": "Enforce",
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "pause": {"up": {"reason": "the shop is closed"}, "down": {"until": "2026-12-01T08:00:00Z"}},
        "rules": [
            {"alert": "SlowCheckout", "expr": "sum(x{job=\"c\"}) > 2"},
            {"alert": "SlowCart", "expr": "sum(x{job=\"c\"}) > 3"},
            {"alert": "High", "expr": "sum(rate(x_count{job=\"c\"}[5m])) > 1"},
        ],
        "signals": [
            {"name": "rps", "expr": "sum(rate(x_count{job=\"c\"}[5m]))", "onError": "Hold"},
            {"name": "queue", "expr": "sum(queue{job=\"c\"})", "onError": "Substitute", "substitute": 5},
            {"name": "busy", "expr": "sum by (pod) (rate(busy{job=\"c\"}[5m]))", "perPod": true, "onError": "Ignore"},
            {"name": "queue-length", "expr": "sum(queue{job=\"c\"})"},
        ],
        "actions": [
            {
                "name": "follow-load",
                "replicas": {
                    "min": 0,
                    "max": 40,
                    "metrics": {
                        "list": [
                            {"name": "level", "signal": "rps", "target": {"value": 0.5}},
                            {"name": "total", "signal": "queue", "target": {"averageValue": 30}},
                            {"name": "pods", "signal": "busy", "target": {"averageValue": 10}},
                            {"name": "share", "signal": "busy", "target": {"utilization": 70, "request": {"name": "cpu", "container": "app"}}},
                            {"name": "formula", "formula": "max(rps / 100.0, queue / 30.0)", "target": {"averageValue": 1}},
                            {"name": "cpu", "resource": {"name": "cpu"}, "target": {"utilization": 80}},
                            {"name": "memory", "resource": {"name": "memory", "container": "app"}, "target": {"averageValue": 5e8}},
                        ],
                        "tolerance": {"up": 0.05},
                    },
                    "zero": {"signal": "queue", "activation": 0.5, "cooldown": "10m"},
                    "warmUp": "30s",
                    "spike": {"factor": 2.5, "hold": "2m"},
                    "schedules": [
                        {"name": "working-hours", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "timeZone": "Europe/Berlin", "replicas": 5},
                        {"name": "night", "start": "0 2 * * *", "end": "0 3 * * *", "replicas": 1},
                    ],
                    "fallback": {"after": "5m", "replicas": 10},
                },
                "verify": {
                    "settle": "6m",
                    "within": "10m",
                    "expr": "sum(rate(x_errors{job=\"c\"}[5m])) <= 1",
                    "demand": {"signal": "rps"},
                },
                "inhibit": [{"name": "database", "expr": "db_connections{job=\"d\"} / db_connections_max{job=\"d\"} > 0.9", "maxAge": "30s"}],
                "holdDownWhile": [{"name": "upstream", "expr": "1 > sum(rate(y_count{job=\"u\"}[5m]))"}],
                "approval": "Required",
            },
            {
                "name": "step",
                "when": ["High", "SlowCheckout", "SlowCart"],
                "replicas": {
                    "min": 2,
                    "max": 40,
                    "step": {"pods": 2},
                    "spike": {},
                    "schedules": [{"name": "night", "start": "0 2 * * *", "end": "0 3 * * *", "replicas": 4}],
                },
                "verify": {"settle": "6m", "within": "10m", "expr": "sum(rate(x_errors{job=\"c\"}[5m])) <= 1", "demand": {"signal": "rps"}},
                "inhibit": [{"name": "database", "expr": "db_connections{job=\"d\"} / db_connections_max{job=\"d\"} > 0.95", "maxAge": "30s"}],
            },
        ],
    })
}

fn number(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

#[test]
fn everything_is_read() {
    let policy = validate::policy(&spec(whole())).unwrap();
    let until = Pause::Until(at("2026-12-01T08:00:00Z"));
    assert_eq!((policy.pause_up, policy.pause_down), (Some(Pause::Open), Some(until)));
    let signals = ["rps", "queue", "busy", "queue-length"]
        .map(|name| (policy.signals[name].shape, policy.signals[name].on_error));
    assert_eq!(
        signals,
        [
            (Shape::Number, OnError::Hold),
            (Shape::Number, OnError::Substitute(number(5.0))),
            (Shape::PerPod, OnError::Ignore),
            (Shape::Number, OnError::HoldDown),
        ]
    );

    let follow = &policy.actions[0];
    assert_eq!((follow.bounds.min.get(), follow.bounds.max.get()), (0, 40));
    let zero = Zero {
        signal: "queue".to_owned(),
        activation: number(0.5),
        cooldown: Span::from_secs(600),
    };
    assert_eq!(follow.zero, Some(zero));
    assert_eq!((follow.warm_up, follow.approval), (Span::from_secs(30), true));
    let spike = follow.spike.unwrap();
    assert_eq!((spike.factor, spike.hold), (number(2.5), Span::from_secs(120)));
    let Fallback { after, replicas } = follow.fallback.unwrap();
    assert_eq!((after, replicas.get()), (Span::from_secs(300), 10));
    let windows: Vec<_> = follow
        .schedules
        .iter()
        .map(|it| (it.name.as_str(), it.window.text(), it.replicas.get()))
        .collect();
    assert_eq!(
        windows,
        [
            ("working-hours", "0 8 * * 1-5 to 0 18 * * 1-5 Europe/Berlin", 5),
            ("night", "0 2 * * * to 0 3 * * * UTC", 1),
        ]
    );
    // A Monday at 9 o'clock in Berlin.
    assert!(follow.schedules[0].window.contains(at("2026-11-30T08:00:00Z")));
    assert!(!follow.schedules[0].window.contains(at("2026-11-30T17:00:00Z")));

    let [database] = follow.inhibit.as_slice() else {
        panic!("one condition")
    };
    assert_eq!(
        (database.name.as_str(), database.max_age),
        ("database", Span::from_secs(30))
    );
    assert_eq!(database.condition.comparator, Comparator::Greater);
    let upstream = &follow.hold_down_while[0];
    assert_eq!(
        (upstream.name.as_str(), upstream.max_age),
        ("upstream", Span::from_secs(60))
    );
    // The number stands on the left, so the comparison is turned around.
    assert_eq!(
        (upstream.condition.comparator, upstream.condition.right),
        (Comparator::Less, number(1.0))
    );
}

#[test]
fn each_metric_has_its_target() {
    let policy = validate::policy(&spec(whole())).unwrap();
    let Law::Metrics(law) = &policy.actions[0].law else {
        panic!("metrics")
    };
    assert_eq!((law.tolerance_up, law.tolerance_down), (number(0.05), number(0.1)));
    let cpu = |container: Option<&str>| ResourceOf {
        resource: Resource::Cpu,
        container: container.map(str::to_owned),
    };
    let memory = ResourceOf {
        resource: Resource::Memory,
        container: Some("app".to_owned()),
    };
    let total = |signal: &str, target| Measure::Total {
        of: Number::Signal(signal.to_owned()),
        target,
    };
    let pods = |of, target| Measure::Pods { of, target };
    let busy = || PodNumbers::Signal("busy".to_owned());
    let expect = [
        ("level", total("rps", TotalTarget::Value(number(0.5)))),
        ("total", total("queue", TotalTarget::AverageValue(number(30.0)))),
        ("pods", pods(busy(), PodTarget::AverageValue(number(10.0)))),
        (
            "share",
            pods(
                busy(),
                PodTarget::Utilization {
                    percent: 70,
                    of: cpu(Some("app")),
                },
            ),
        ),
        (
            "cpu",
            pods(
                PodNumbers::Usage(cpu(None)),
                PodTarget::Utilization {
                    percent: 80,
                    of: cpu(None),
                },
            ),
        ),
        (
            "memory",
            pods(PodNumbers::Usage(memory), PodTarget::AverageValue(number(5e8))),
        ),
    ];
    let found: Vec<_> = law
        .list
        .iter()
        .filter(|metric| metric.name != "formula")
        .map(|metric| (metric.name.as_str(), metric.measure.clone()))
        .collect();
    assert_eq!(found, expect);
    let Measure::Total {
        of: Number::Formula(formula),
        target,
    } = &law.list[4].measure
    else {
        panic!("a formula")
    };
    assert_eq!(*target, TotalTarget::AverageValue(number(1.0)));
    let names: Vec<_> = formula.signals().iter().map(String::as_str).collect();
    assert_eq!(
        (formula.text(), names),
        ("max(rps / 100.0, queue / 30.0)", vec!["queue", "rps"])
    );
}

#[test]
fn what_is_left_out_has_its_default() {
    let mut value = whole();
    value.as_object_mut().unwrap().remove("pause");
    value["actions"][0]["replicas"]["zero"] = json!({"signal": "queue"});
    let policy = validate::policy(&spec(value)).unwrap();
    assert_eq!((policy.pause_up, policy.pause_down), (None, None));
    let zero = policy.actions[0].zero.as_ref().unwrap();
    assert_eq!((zero.activation, zero.cooldown), (number(0.0), Span::from_secs(300)));
    let step = &policy.actions[1];
    let spike = step.spike.unwrap();
    assert_eq!((spike.factor, spike.hold), (number(2.0), Span::from_secs(60)));
    assert_eq!((step.warm_up, step.approval), (Span::ZERO, false));
    assert!(step.zero.is_none() && step.fallback.is_none() && step.hold_down_while.is_empty());
}

//! Rates and stabilisation, filled up as the HorizontalPodAutoscaler does it.

use super::{policy, spec};
use flyball_controller::validate;
use flyball_core::{
    policy::{Amount, Behavior, RateLimit, SelectPolicy},
    time::Span,
};
use serde_json::{Value, json};

fn limit(amount: Amount, seconds: u64) -> RateLimit {
    RateLimit {
        amount,
        period: Span::from_secs(seconds),
    }
}

/// What the documentation of the HorizontalPodAutoscaler calls the default behavior.
fn defaults() -> (Behavior, Behavior) {
    let up = Behavior {
        limits: vec![limit(Amount::Pods(4), 15), limit(Amount::Percent(100), 15)],
        select: SelectPolicy::Max,
        stabilization: Span::ZERO,
        cooldown: Span::ZERO,
    };
    let down = Behavior {
        limits: vec![limit(Amount::Percent(100), 15)],
        select: SelectPolicy::Max,
        stabilization: Span::from_secs(300),
        cooldown: Span::from_secs(60),
    };
    (up, down)
}

/// Both directions of an action with this law and behavior.
fn read(law: (&str, Value), behavior: &Value) -> (Behavior, Behavior) {
    let mut whole = policy::whole();
    let mut replicas = json!({"min": 1, "max": 100, "behavior": behavior});
    replicas[law.0] = law.1;
    whole["actions"][0]["replicas"] = replicas;
    let action = validate::policy(&spec(whole)).unwrap().actions.remove(0);
    (action.up, action.down)
}

fn ratio() -> (&'static str, Value) {
    ("ratio", json!({"signal": "requests", "target": 1}))
}

fn metrics() -> (&'static str, Value) {
    (
        "metrics",
        json!({"list": [{"name": "a", "signal": "requests", "target": {"value": 1}}]}),
    )
}

/// What is written changes this of the defaults, for both laws.
fn filled(behavior: &Value, change: impl Fn(&mut Behavior, &mut Behavior)) {
    let (mut up, mut down) = defaults();
    change(&mut up, &mut down);
    for law in [ratio(), metrics()] {
        assert_eq!(read(law, behavior), (up.clone(), down.clone()), "{behavior}");
    }
}

#[test]
fn what_is_absent_is_filled_up() {
    filled(&Value::Null, |_, _| {});
    filled(&json!({}), |_, _| {});
    filled(&json!({"scaleUp": {}, "scaleDown": {}}), |_, _| {});
    filled(&json!({"scaleUp": {"policies": []}}), |_, _| {});
    // One field of one direction: the rest of it and the other direction stay.
    filled(&json!({"scaleUp": {"stabilizationWindowSeconds": 60}}), |up, _| {
        up.stabilization = Span::from_secs(60);
    });
    filled(&json!({"scaleDown": {"stabilizationWindowSeconds": 0}}), |_, down| {
        down.stabilization = Span::ZERO;
    });
    filled(&json!({"scaleUp": {"selectPolicy": "Min"}}), |up, _| {
        up.select = SelectPolicy::Min;
    });
    filled(&json!({"scaleDown": {"selectPolicy": "Disabled"}}), |_, down| {
        down.select = SelectPolicy::Disabled;
    });
    filled(
        &json!({"scaleUp": {"selectPolicy": "Disabled", "policies": []}}),
        |up, _| {
            up.select = SelectPolicy::Disabled;
        },
    );
    let two_a_minute = json!({"scaleDown": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}});
    filled(&two_a_minute, |_, down| down.limits = vec![limit(Amount::Pods(2), 60)]);
    let two_policies = json!({"scaleUp": {"selectPolicy": "Max", "policies": [
        {"type": "Percent", "value": 900, "periodSeconds": 1800},
        {"type": "Pods", "value": 1, "periodSeconds": 1},
    ]}});
    filled(&two_policies, |up, _| {
        up.limits = vec![limit(Amount::Percent(900), 1800), limit(Amount::Pods(1), 1)];
    });
}

#[test]
fn a_step_is_limited_by_its_bounds_alone() {
    let none = |cooldown| Behavior {
        limits: Vec::new(),
        select: SelectPolicy::Max,
        stabilization: Span::ZERO,
        cooldown,
    };
    let step = || ("step", json!({"pods": 1}));
    let (up, down) = (none(Span::ZERO), none(Span::from_secs(60)));
    assert_eq!(read(step(), &Value::Null), (up.clone(), down.clone()));
    let written = json!({"scaleUp": {"selectPolicy": "Min"}, "scaleDown": {"stabilizationWindowSeconds": 10}});
    let up = Behavior {
        select: SelectPolicy::Min,
        ..up
    };
    let down = Behavior {
        stabilization: Span::from_secs(10),
        ..down
    };
    assert_eq!(read(step(), &written), (up, down));
}

//! One mistake at a time in an autoscaler's policy: its field is named, with the value and the way out.

use super::{autoscaler::whole, refused, replaced, spec, texts};
use flyball_controller::validate;
use rstest::rstest;
use serde_json::{Value, json};

fn check(pointer: &str, value: Value, part: &str) {
    refused(&replaced(whole(), pointer, value), part);
}

#[rstest]
#[case("/signals/0/onError", json!("Substitute"), "spec.signals[0].substitute: is missing, and onError: Substitute needs it; write the number to take")]
#[case("/signals/0/substitute", json!(1), "spec.signals[0].substitute: 1 is used only with onError: Substitute")]
#[case(
    "/signals/1/onError",
    Value::Null,
    "spec.signals[1].substitute: 5 is used only with onError: Substitute"
)]
#[case("/signals/2/onError", json!("Substitute"), "spec.signals[2].onError: Substitute puts one number in place of one, and a perPod or perBackend signal has one for each; write HoldDown, Hold or Ignore")]
#[case("/signals/3/name", json!(""), "spec.signals[3].name: \"\" is not a name of 1 to 63 characters")]
#[case("/pause/up/reason", json!("x".repeat(257)), "spec.pause.up.reason: has 257 bytes, at most 256 are allowed")]
#[case("/pause/down/until", json!("9999-12-31T23:59:59Z"), "spec.pause.down.until: \"9999-12-31T23:59:59Z\" is no time that can be waited for")]
#[case("/pause/down/until", json!("tomorrow"), "write one such as 2026-12-01T08:00:00Z, or leave it out")]
fn around_the_actions(#[case] pointer: &str, #[case] value: Value, #[case] part: &str) {
    check(pointer, value, part);
}

/// It becomes the condition of the Change that takes the last replica, which has a little less room for it.
#[test]
fn an_expression_that_no_change_can_hold() {
    let mut value = whole();
    let queue = value["signals"]
        .as_array()
        .unwrap()
        .iter()
        .position(|it| it["name"] == "queue")
        .unwrap();
    value["signals"][queue]["expr"] = json!(format!("sum(x{{a=\"{}\"}})", "y".repeat(4096 - 12)));
    refused(
        &spec(value),
        "spec.actions[0].replicas.zero.signal: the expression is too long by a few characters; keep it below 4096 bytes",
    );
}

const LIST: &str = "/actions/0/replicas/metrics/list";

/// A metric in place of all others.
#[rstest]
#[case(json!({"name": "", "signal": "rps", "target": {"value": 1}}), ".name: \"\" is not a name of 1 to 63 characters")]
#[case(json!({"name": "a", "target": {"value": 1}}), ": has none of signal, formula and resource; write for example signal: rps")]
#[case(json!({"name": "a", "signal": "rps", "formula": "rps", "target": {"value": 1}}), ": has more than one of signal, formula and resource")]
#[case(json!({"name": "a", "signal": "rsp", "target": {"value": 1}}), ".signal: there is no signal \"rsp\"; define it under spec.signals or use one of \"busy\", \"queue\"")]
#[case(json!({"name": "a", "signal": "rps", "target": {}}), ".target: has none of value, averageValue and utilization; write for example averageValue: 100")]
#[case(json!({"name": "a", "signal": "rps", "target": {"value": 1, "averageValue": 1}}), ".target: has more than one of value, averageValue and utilization")]
#[case(json!({"name": "a", "signal": "rps", "target": {"value": 0}}), ".target.value: 0 is not a number above 0")]
#[case(json!({"name": "a", "signal": "rps", "target": {"averageValue": -2.5}}), ".target.averageValue: -2.5 is not a number above 0")]
#[case(json!({"name": "a", "signal": "rps", "target": {"utilization": 50}}), ".target.utilization: 50 is a percentage of what each pod requests, and signal \"rps\" is one number; write averageValue or value, or give it a number for each pod (perPod)")]
#[case(json!({"name": "a", "signal": "rps", "target": {"value": 1, "request": {"name": "cpu"}}}), ".target.request: is not needed, it is for perPod signals with utilization; remove it")]
#[case(json!({"name": "a", "signal": "busy", "target": {"value": 10}}), ".target.value: 10 is the level of one number, and signal \"busy\" has one for each pod (perPod); write averageValue")]
#[case(json!({"name": "a", "signal": "busy", "target": {"utilization": 50}}), ".target.request: is missing, so 50 % have no whole; write the request that the signal is compared with, for example request: {name: cpu}")]
#[case(json!({"name": "a", "signal": "busy", "target": {"averageValue": 1, "request": {"name": "cpu"}}}), ".target.request: is what utilization is a percentage of; remove it")]
#[case(json!({"name": "a", "signal": "busy", "target": {"utilization": 50, "request": {"name": "cpu", "container": "App"}}}), ".target.request.container: \"App\" is not the name of a container")]
#[case(json!({"name": "a", "resource": {"name": "cpu"}, "target": {"value": 1}}), ".target.value: 1 is the level of one number, and cpu is used by each pod; write utilization or averageValue")]
#[case(json!({"name": "a", "resource": {"name": "cpu"}, "target": {"utilization": 50, "request": {"name": "cpu"}}}), ".target.request: is not needed, resource says it; remove it")]
#[case(json!({"name": "a", "resource": {"name": "memory", "container": "a b"}, "target": {"utilization": 50}}), ".resource.container: \"a b\" is not the name of a container")]
#[case(json!({"name": "a", "resource": {"name": "cpu"}, "target": {"utilization": 0}}), ".target.utilization: 0 is not between 1 and 10000")]
#[case(json!({"name": "a", "resource": {"name": "cpu"}, "target": {"utilization": 10_001}}), ".target.utilization: 10001 is not between 1 and 10000")]
#[case(json!({"name": "a", "formula": "rps", "target": {"utilization": 50}}), ".target.utilization: 50 is a percentage of what each pod requests, and a formula is one number; write averageValue or value")]
#[case(json!({"name": "a", "formula": "rps +", "target": {"value": 1}}), ".formula: is no formula: ")]
#[case(json!({"name": "a", "formula": "", "target": {"value": 1}}), ".formula: is no formula: ")]
#[case(json!({"name": "a", "formula": "[rps].map(x, x)", "target": {"value": 1}}), ".formula: is no formula: ")]
#[case(json!({"name": "a", "formula": "\"rps\"", "target": {"value": 1}}), ".formula: is no formula: ")]
#[case(json!({"name": "a", "formula": "rps > 1", "target": {"value": 1}}), ".formula: gives false, which is no number")]
#[case(json!({"name": "a", "formula": "rps / 100 + load", "target": {"value": 1}}), ".formula: names load, which is neither a signal of spec.signals nor one of min, max")]
#[case(json!({"name": "a", "formula": "sqrt(rps)", "target": {"value": 1}}), ".formula: names sqrt(), which is neither")]
#[case(json!({"name": "a", "formula": "busy / 2", "target": {"value": 1}}), ".formula: names \"busy\", which has one number for each pod (perPod); name a signal that adds them up")]
#[case(json!({"name": "a", "formula": "1 + queue-length", "target": {"value": 1}}), ".formula: reads \"queue-length\" as a subtraction; rename the signal, for example to \"queue_length\"")]
#[case(json!({"name": "a", "formula": "(".repeat(1025), "target": {"value": 1}}), ".formula: is too long or nested too deeply")]
#[case(json!({"name": "a", "formula": "-".repeat(1000), "target": {"value": 1}}), ".formula: is too long or nested too deeply")]
fn of_a_metric(#[case] metric: Value, #[case] part: &str) {
    check(
        LIST,
        json!([metric]),
        &format!("spec.actions[0].replicas.metrics.list[0]{part}"),
    );
}

#[rstest]
#[case("/metrics/list", json!([]), "metrics.list: is empty; add for example")]
#[case("/metrics/list/1/name", json!("level"), "metrics.list[1].name: \"level\" is the name of two metrics; rename one")]
#[case("/metrics/tolerance/down", json!(1.5), "metrics.tolerance.down: 1.5 is not between 0 and 1")]
#[case("/step", json!({"pods": 1}), ": has more than one of step, ratio and metrics; keep one of them")]
#[case("/ratio", json!({"signal": "rps", "target": 1}), ": has more than one of step, ratio and metrics")]
#[case("/metrics", Value::Null, ": has none of step, ratio and metrics")]
#[case("/min", json!(1), "zero: goes with min 0, and min is 1; write min: 0 or remove zero")]
#[case(
    "/zero",
    Value::Null,
    "min: 0 would leave nothing that serves, and no signal to come back by; write at least 1, or add zero with a signal"
)]
#[case("/zero/signal", json!("work"), "zero.signal: there is no signal \"work\"")]
#[case("/zero/signal", json!("busy"), "zero.signal: signal \"busy\" has one number for each pod (perPod), and one number is needed here; name a signal that adds them up")]
#[case("/zero/activation", json!(-1), "zero.activation: -1 is not a number of 0 or more")]
#[case("/zero/cooldown", json!("0s"), "zero.cooldown: is zero; write for example 1m")]
#[case("/zero/cooldown", json!("5 min"), "zero.cooldown: \"5 min\" is not a duration")]
#[case("/warmUp", json!("-1m"), "warmUp: \"-1m\" is not a duration")]
#[case("/spike/factor", json!(1), "spike.factor: 1 is not a number from 1.01 to 1000; write for example 2")]
#[case("/spike/hold", json!("0"), "spike.hold: is zero")]
#[case("/fallback/after", json!("0s"), "fallback.after: is zero")]
#[case("/fallback/replicas", json!(41), "fallback.replicas: 41 is above max, which is 40; lower it or raise max")]
#[case("/fallback/replicas", json!(0), "fallback.replicas: 0 is not between 1 and 10000")]
#[case("/schedules/1/name", json!("working-hours"), "schedules[1].name: \"working-hours\" is the name of two schedules")]
#[case("/schedules/0/start", json!("0 25 * * *"), "schedules[0].start: \"25\" is no hour; write 0 to 23")]
#[case("/schedules/0/start", json!("@daily"), "schedules[0].start: \"@daily\" has 1 of the five fields")]
#[case("/schedules/0/end", json!("0 0 30 2 *"), "schedules[0].end: \"0 0 30 2 *\" never comes")]
#[case("/schedules/0/end", json!("0 8 * * mon-fri"), "schedules[0].end: \"0 8 * * mon-fri\" comes whenever start does, so nothing lies between them")]
#[case("/schedules/0/timeZone", json!("Berlin"), "schedules[0].timeZone: \"Berlin\" is no IANA time zone; did you mean Europe/Berlin?")]
#[case("/schedules/0/timeZone", json!("+02:00"), "schedules[0].timeZone: \"+02:00\" is no IANA time zone; write for example Europe/Berlin")]
#[case("/schedules/0/replicas", json!(41), "schedules[0].replicas: 41 is above max, which is 40")]
#[case("/schedules/0/replicas", json!(0), "schedules[0].replicas: 0 is not between 1 and 10000")]
fn of_the_lever(#[case] pointer: &str, #[case] value: Value, #[case] part: &str) {
    let dot = if part.starts_with(':') { "" } else { "." };
    check(
        &format!("/actions/0/replicas{pointer}"),
        value,
        &format!("spec.actions[0].replicas{dot}{part}"),
    );
}

#[rstest]
#[case("/actions/1/replicas/warmUp", json!("1m"), "spec.actions[1].replicas.warmUp: tells metrics which pods count, and a step counts none")]
#[case("/actions/1/replicas/zero", json!({"signal": "rps"}), "spec.actions[1].replicas.zero: goes with ratio or metrics, a step knows no load to come back by")]
#[case("/actions/0/verify/demand/signal", json!("busy"), "spec.actions[0].verify.demand.signal: signal \"busy\" has one number for each pod (perPod)")]
#[case("/actions/0/inhibit/0/expr", json!("up"), "spec.actions[0].inhibit[0].expr: a comparison with a number is needed")]
#[case("/actions/0/inhibit/0/expr", json!("up > bool 0"), "spec.actions[0].inhibit[0].expr: the comparison has the modifier bool")]
#[case("/actions/0/holdDownWhile/0/maxAge", json!("0s"), "spec.actions[0].holdDownWhile[0].maxAge: is zero")]
#[case("/actions/0/holdDownWhile/0/name", json!(""), "spec.actions[0].holdDownWhile[0].name: \"\" is not a name")]
#[case("/actions/0/holdDownWhile/0/name", json!("database"), "spec.actions[0].holdDownWhile[0].name: \"database\" is the name of two conditions; rename one")]
#[case("/actions/1/inhibit/0/expr", json!("x{a=\"b\"} > 0.95"), "spec.actions[1].inhibit[0].name: \"database\" asks for something else in spec.actions[0].inhibit[0]; rename one of them")]
#[case("/actions/1/inhibit/0/maxAge", json!("31s"), "spec.actions[1].inhibit[0].name: \"database\" asks for something else")]
fn beside_the_lever(#[case] pointer: &str, #[case] value: Value, #[case] part: &str) {
    check(pointer, value, part);
}

#[test]
fn a_ratio_takes_one_number() {
    let value = json!({"min": 1, "max": 2, "ratio": {"signal": "busy", "target": 1}});
    check(
        "/actions/0/replicas",
        value,
        "spec.actions[0].replicas.ratio.signal: signal \"busy\" has one number for each pod (perPod)",
    );
}

#[rstest]
#[case("/actions/0/replicas/metrics/list", 17, json!({"name": "a", "signal": "rps", "target": {"value": 1}}), "replicas.metrics.list: 17 entries, at most 16")]
#[case("/actions/0/replicas/schedules", 17, json!({"name": "a", "start": "0 8 * * *", "end": "0 9 * * *", "replicas": 1}), "replicas.schedules: 17 entries, at most 16")]
#[case("/actions/0/inhibit", 9, json!({"name": "a", "expr": "x > 1"}), "inhibit: 9 entries, at most 8")]
fn lists_are_bounded(#[case] pointer: &str, #[case] many: usize, #[case] entry: Value, #[case] part: &str) {
    let spec = replaced(whole(), pointer, Value::Array(vec![entry; many]));
    let errors = texts(&validate::policy(&spec).unwrap_err());
    assert!(errors.iter().any(|error| error.contains(part)), "{errors:#?}");
}

/// Within an expression the place is told, so that it can be shown.
#[rstest]
#[case("/actions/0/replicas/schedules/0/start", json!("0 8 * * 1-8"), 9)]
#[case("/actions/0/replicas/metrics/list/4/formula", json!("rps / 100 + load"), 13)]
#[case("/actions/0/replicas/metrics/list/4/formula", json!("rps / 100 + sqrt(rps)"), 13)]
#[case("/actions/0/replicas/metrics/list/4/formula", json!("busyness + busy"), 1)]
#[case("/actions/0/replicas/metrics/list/4/formula", json!("rps + busy"), 7)]
#[case("/actions/0/inhibit/0/expr", json!("up + > 1"), 6)]
fn places_are_told(#[case] pointer: &str, #[case] value: Value, #[case] column: usize) {
    let errors = validate::policy(&replaced(whole(), pointer, value)).unwrap_err();
    let columns: Vec<_> = errors
        .iter()
        .filter_map(|error| error.position)
        .map(|at| at.column)
        .collect();
    assert_eq!(columns, [column], "{errors:#?}");
}

#[test]
fn numbers_that_json_can_not_hold_are_refused_too() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut spec = spec(whole());
        spec.signals[1].substitute = Some(odd);
        let replicas = spec.actions[0].replicas.as_mut().unwrap();
        replicas.zero.as_mut().unwrap().activation = odd;
        replicas.spike.as_mut().unwrap().factor = Some(odd);
        let list = &mut replicas.metrics.as_mut().unwrap().list;
        list[0].target.value = Some(odd);
        list[1].target.average_value = Some(odd);
        let errors = validate::policy(&spec).unwrap_err();
        let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "spec.signals[1].substitute",
                "spec.actions[0].replicas.metrics.list[0].target.value",
                "spec.actions[0].replicas.metrics.list[1].target.averageValue",
                "spec.actions[0].replicas.zero.activation",
                "spec.actions[0].replicas.spike.factor",
            ]
        );
    }
}

#[test]
fn control_characters_do_not_reach_a_message() {
    let odd = json!("a\u{1b}[31m\n\u{202e}".repeat(40));
    for pointer in [
        "/actions/0/replicas/schedules/0/start",
        "/actions/0/replicas/schedules/0/timeZone",
        "/actions/0/replicas/schedules/0/name",
        "/actions/0/replicas/zero/signal",
        "/actions/0/replicas/metrics/list/0/signal",
        "/actions/0/replicas/metrics/list/0/name",
        "/actions/0/replicas/metrics/list/4/formula",
        "/actions/0/replicas/metrics/list/6/resource/container",
        "/actions/0/inhibit/0/name",
        "/actions/0/inhibit/0/expr",
    ] {
        let errors = texts(&validate::policy(&replaced(whole(), pointer, odd.clone())).unwrap_err());
        for error in errors {
            assert!(
                error.chars().all(|c| !c.is_control() && c != '\u{202e}'),
                "{pointer}: {error:?}"
            );
            assert!(error.len() < 700, "{pointer}: {error}");
        }
    }
}

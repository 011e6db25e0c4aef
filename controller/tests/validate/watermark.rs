//! Memory watermarks: the rules that they become, what they ask, and every mistake with its path.

use super::{refused, spec};
use flyball_controller::validate;
use flyball_core::policy::{Condition, Policy};
use rstest::rstest;
use serde_json::{Value, json};

/// A policy with this watermark, to which an action answers.
fn with(watermark: &Value) -> Value {
    json!({
        "mode": "Enforce",
        "sourceRef": {"name": "prometheus"},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "watermarks": [watermark],
        "actions": [{"name": "tell", "when": ["MemoryHigh"], "notify": {}}],
    })
}

fn policy(watermark: &Value) -> Policy {
    validate::policy(&spec(with(watermark))).unwrap().within("shop")
}

#[test]
fn a_watermark_is_three_rules_and_has_its_defaults() {
    let policy = policy(&json!({"name": "Memory"}));
    let rules: Vec<(String, String)> = policy
        .rules
        .iter()
        .map(|(name, rule)| {
            let Condition::Threshold(comparison) = &rule.condition else {
                panic!("a threshold")
            };
            (
                name.clone(),
                format!("{} {} for {}", comparison.comparator, comparison.right, rule.hold),
            )
        })
        .collect();
    let expect = [
        ("MemoryEmergency", ">= 0.95 for 10s"),
        ("MemoryHigh", ">= 0.9 for 30s"),
        ("MemoryWarning", ">= 0.8 for 30s"),
    ];
    assert_eq!(rules, expect.map(|(name, said)| (name.to_owned(), said.to_owned())));
    let options = policy.watermarks[0].marks.options();
    assert_eq!((options.warning.ceiling, options.high.ceiling), (0.88, 0.94));
    assert!(options.adapt.is_some() && options.foresee.is_some());
    assert_eq!(
        policy.watermarks[0].ratio.text,
        "max by (pod, container) (container_memory_working_set_bytes{namespace=\"shop\",container!=\"\"}) / \
         max by (pod, container) (container_spec_memory_limit_bytes{namespace=\"shop\",container!=\"\"} > 0)"
    );
}

#[test]
fn levels_that_are_written_are_never_adapted_below_nor_into_the_next() {
    let bands = |watermark: Value| {
        let policy = policy(&watermark);
        let options = *policy.watermarks[0].marks.options();
        let hundredth = |ratio: f64| (ratio * 1000.0).round() / 10.0;
        [options.warning, options.high].map(|band| (hundredth(band.floor), hundredth(band.ceiling)))
    };
    let close = json!({"name": "Memory", "warning": 85, "high": 90, "emergency": 92});
    assert_eq!(bands(close), [(85.0, 89.0), (90.0, 91.0)]);
    let fixed = json!({"name": "Memory", "adaptive": false});
    assert_eq!(bands(fixed), [(80.0, 80.0), (90.0, 90.0)]);
}

/// Of time that is lost a tenth is much, and no trend fills it.
#[test]
fn pressure_has_levels_of_its_own() {
    let policy = policy(&json!({"name": "Memory", "source": "Pressure", "emergency": 50}));
    let options = *policy.watermarks[0].marks.options();
    let levels = [options.warning.level, options.high.level, options.emergency];
    assert_eq!(format!("{levels:?}"), "[0.1, 0.2, 0.5]");
    assert_eq!(options.foresee, None);
}

#[rstest]
#[case(json!({"source": "Agent", "container": "app"}), "flyball_agent_working_set_bytes{namespace=\"shop\"}")]
#[case(json!({"container": "app"}), "container_memory_working_set_bytes{namespace=\"shop\",container=\"app\"}")]
#[case(json!({"matchers": "job=\"kubelet\""}), "container_memory_working_set_bytes{namespace=\"shop\",job=\"kubelet\",container!=\"\"}")]
#[case(json!({"of": "Nodes"}), "(1 - node_memory_MemAvailable_bytes{node!=\"\"} / node_memory_MemTotal_bytes{node!=\"\"})")]
#[case(json!({"of": "Nodes", "source": "Kubelet"}), "container_memory_working_set_bytes{id=\"/\"}")]
#[case(json!({"of": "Nodes", "source": "WindowsExporter"}), "windows_cs_physical_memory_bytes")]
#[case(json!({"source": "Pressure"}), "rate(container_pressure_memory_waiting_seconds_total{namespace=\"shop\",container!=\"\"}[1m])")]
#[case(json!({"of": "Nodes", "source": "Pressure"}), "rate(node_pressure_memory_waiting_seconds_total{node!=\"\"}[1m])")]
#[case(json!({"expr": "mine"}), "mine")]
fn each_source_is_asked_in_its_own_words(#[case] mut watermark: Value, #[case] part: &str) {
    watermark["name"] = json!("Memory");
    let policy = policy(&watermark);
    let mark = &policy.watermarks[0];
    assert!(mark.ratio.text.contains(part), "{}", mark.ratio.text);
    let of_nodes = watermark["of"] == json!("Nodes");
    assert_eq!(mark.used.is_some(), of_nodes, "a node's pod has to be found");
}

#[rstest]
#[case(json!({"name": "memory"}), "spec.watermarks[0].name: \"memory\" is not of letters and digits")]
#[case(json!({"name": "Memory", "container": "App"}), "spec.watermarks[0].container: \"App\" is not the name")]
#[case(json!({"name": "Memory", "of": "Nodes", "container": "app"}), "spec.watermarks[0].container: goes with of: Containers")]
#[case(json!({"name": "Memory", "source": "NodeExporter"}), "spec.watermarks[0].source: NodeExporter tells nothing of containers")]
#[case(json!({"name": "Memory", "source": "Agent"}), "spec.watermarks[0].container: is missing")]
#[case(json!({"name": "Memory", "source": "Kubelet", "expr": "mine"}), "spec.watermarks[0]: has source and expr")]
#[case(json!({"name": "Memory", "expr": "sum("}), "spec.watermarks[0].expr")]
#[case(json!({"name": "Memory", "matchers": "job="}), "spec.watermarks[0].matchers")]
#[case(json!({"name": "Memory", "warning": 101}), "spec.watermarks[0].warning: 101")]
#[case(json!({"name": "Memory", "warning": 95}), "spec.watermarks[0]: warning.")]
#[case(json!({"name": "Memory", "hold": "2s"}), "spec.watermarks[0]: hold.time is 2s")]
fn every_mistake_is_said_at_its_place(#[case] watermark: Value, #[case] said: &str) {
    let mut whole = with(&watermark);
    // What it would have been called is not the mistake.
    whole["actions"] = json!([]);
    refused(&spec(whole), said);
}

#[test]
fn a_rule_of_a_watermark_is_nobody_elses() {
    let mut twice = with(&json!({"name": "Memory"}));
    twice["rules"] = json!([{"alert": "MemoryHigh", "expr": "up == 0"}]);
    refused(
        &spec(twice),
        "spec.watermarks[0].name: makes a rule MemoryHigh, and there is one",
    );
    let mut unknown = with(&json!({"name": "Memory"}));
    unknown["actions"][0]["when"] = json!(["MemoryCritical"]);
    refused(&spec(unknown), "spec.actions[0].when[0]");
}

#[rstest]
#[case(json!({"pressure": {"container": "App", "level": "High"}}), "annotate.pressure.container: \"App\"")]
#[case(json!({"annotation": {"name": "Cache", "value": "half"}}), "annotate.annotation.name: \"Cache\"")]
#[case(json!({"annotation": {"name": "cache", "value": "é"}}), "annotate.annotation.value")]
#[case(json!({}), "annotate: takes exactly one of")]
fn what_pods_are_told_is_checked(#[case] annotate: Value, #[case] said: &str) {
    let mut policy = with(&json!({"name": "Memory"}));
    policy["actions"][0] = json!({"name": "tell", "when": ["MemoryHigh"], "annotate": annotate});
    refused(&spec(policy), said);
}

#[test]
fn labels_of_a_notification_are_names_of_labels() {
    let with_label = |name: &str, value: &str| {
        let mut policy = with(&json!({"name": "Memory"}));
        policy["actions"][0]["notify"] = json!({"labels": {name: value}});
        spec(policy)
    };
    assert!(validate::policy(&with_label("team", "shop")).is_ok());
    refused(
        &with_label("alertname", "x"),
        "notify.labels: \"alertname\" is not the name of a label that may be added",
    );
    refused(&with_label("a-b", "x"), "notify.labels: \"a-b\"");
    refused(&with_label("team", ""), "notify.labels: team has a value of 0 bytes");
}

//! Parts of YAML on a page, completed to whole objects, so that what is checked is what people write.
//!
//! A page shows what matters and leaves out the rest. The rule by which a part is completed:
//! 1. What has an `apiVersion` and a `kind` is whole, and taken as it stands.
//! 2. Anything else belongs where all of its fields are: the shallowest place in the definition of a
//!    FeedbackPolicy, or else of a MetricSource, that has them all. A list belongs to the field that it is under.
//! 3. What such a place needs and the page leaves out gets a plain value: a source, a target of the action's kind, a lever, an
//!    expression for each rule and signal that is named.
//! 4. An expression with `...` in it stands for one that people know, and is replaced.

use flyball_crds::{FeedbackPolicy, GROUP, MetricSource};
use kube::CustomResourceExt;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};

/// What a document of a block is.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// An object of ours, whole or completed.
    Ours(Value),
    /// An object of another kind.
    Others(Value),
    /// Neither: no place of ours has these fields.
    Unknown(Vec<String>),
}

/// A document of a page as an object.
pub fn object(document: &Value) -> Document {
    if let (Some(version), Some(_)) = (document["apiVersion"].as_str(), document["kind"].as_str()) {
        return if version.starts_with(&format!("{GROUP}/")) {
            Document::Ours(document.clone())
        } else {
            Document::Others(document.clone())
        };
    }
    let keys: Vec<String> = document
        .as_object()
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default();
    if keys.is_empty() {
        return Document::Unknown(keys);
    }
    for (kind, definition) in [
        ("FeedbackPolicy", FeedbackPolicy::crd()),
        ("MetricSource", MetricSource::crd()),
    ] {
        let schema = serde_json::to_value(definition).expect("a definition is JSON");
        let schema = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        if let Some(path) = place(&json!({"properties": {"spec": schema["spec"]}}), &keys) {
            let mut object =
                json!({"apiVersion": "flyball.dev/v1alpha1", "kind": kind, "metadata": {"name": "example"}});
            put(&mut object, &path, document.clone());
            if kind == "FeedbackPolicy" {
                object["metadata"]["namespace"] = json!("shop");
                complete(&mut object["spec"]);
            } else if object["spec"]["url"].is_null() {
                object["spec"]["url"] = json!("http://prometheus.monitoring:9090");
            }
            return Document::Ours(object);
        }
    }
    Document::Unknown(keys)
}

/// The shallowest place in a schema that has all of these fields. `[]` is an entry of a list.
fn place(schema: &Value, keys: &[String]) -> Option<Vec<String>> {
    let mut waiting = VecDeque::from([(Vec::new(), schema)]);
    while let Some((path, schema)) = waiting.pop_front() {
        let (path, schema): (Vec<String>, &Value) = if schema["items"].is_object() {
            ([path, vec!["[]".to_owned()]].concat(), &schema["items"])
        } else {
            (path, schema)
        };
        let Some(fields) = schema["properties"].as_object() else {
            continue;
        };
        if keys.iter().all(|key| fields.contains_key(key)) {
            return Some(path);
        }
        for (name, field) in fields {
            waiting.push_back(([path.clone(), vec![name.clone()]].concat(), field));
        }
    }
    None
}

fn put(object: &mut Value, path: &[String], value: Value) {
    match path.split_first() {
        None => {
            for (key, value) in value.as_object().cloned().unwrap_or_default() {
                object[key] = value;
            }
        }
        Some((part, rest)) if part == "[]" => {
            let mut entry = json!({});
            put(&mut entry, rest, value);
            *object = json!([entry]);
        }
        Some((part, rest)) => {
            if object[part].is_null() {
                object[part] = json!({});
            }
            put(&mut object[part], rest, value);
        }
    }
}

/// What is asked where a page leaves the expression to its readers.
const PLAIN: &str = "sum(up{namespace=\"shop\"}) < 2";
/// And what must hold afterwards.
const WELL: &str = "sum(up{namespace=\"shop\"}) >= 2";

/// Fills in what a policy needs.
fn complete(spec: &mut Value) {
    expressions(spec);
    let mut actions = spec["actions"].as_array().cloned().unwrap_or_default();
    for (n, action) in actions.iter_mut().enumerate() {
        if action["name"].is_null() {
            action["name"] = json!(format!("action-{n}"));
        }
        lever(action);
    }
    let has = |lever: &str| actions.iter().any(|action| !action[lever].is_null());
    let target = if has("weights") {
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "checkout"})
    } else {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"})
    };
    let named = |key: &str| names(&json!(actions), key);
    let (rules, mut signals) = (named("when"), named("signal"));
    for action in &actions {
        signals.extend(
            action["weights"]["capacity"]["utilisation"]
                .as_str()
                .map(ToOwned::to_owned),
        );
    }
    let known: BTreeSet<String> = names(&spec["rules"], "alert")
        .into_iter()
        .chain(
            names(&spec["watermarks"], "name")
                .into_iter()
                .flat_map(|name| ["Warning", "High", "Emergency"].map(|level| format!("{name}{level}"))),
        )
        .collect();
    let mut all_rules = spec["rules"].as_array().cloned().unwrap_or_default();
    if spec["prometheusRuleRef"].is_null() {
        all_rules.extend(
            rules
                .difference(&known)
                .map(|alert| json!({"alert": alert, "expr": PLAIN})),
        );
    }
    let known = names(&spec["signals"], "name");
    let mut all_signals = spec["signals"].as_array().cloned().unwrap_or_default();
    for name in signals.difference(&known) {
        let rate = format!("(rate({name}_total{{namespace=\"shop\"}}[5m]))");
        all_signals.push(if has("weights") {
            json!({"name": name, "expr": format!("sum by (backend) {rate}"), "perBackend": true})
        } else {
            json!({"name": name, "expr": format!("sum{rate}")})
        });
    }
    for (field, value) in [("sourceRef", json!({"name": "prometheus"})), ("targetRef", target)] {
        if spec[field].is_null() {
            spec[field] = value;
        }
    }
    for (field, list) in [("actions", actions), ("rules", all_rules), ("signals", all_signals)] {
        if !list.is_empty() {
            spec[field] = json!(list);
        }
    }
}

/// One lever or answer, with its verification.
fn lever(action: &mut Value) {
    const ANSWERS: [&str; 4] = ["notify", "annotate", "capture", "relieve"];
    if ANSWERS.iter().any(|answer| !action[answer].is_null()) {
        if action["when"].is_null() {
            action["when"] = json!(["Example"]);
        }
        return;
    }
    if ["replicas", "weights", "runtime"]
        .iter()
        .all(|lever| action[lever].is_null())
    {
        action["replicas"] = json!({"min": 2, "max": 20, "step": {"pods": 1}});
    }
    if !action["replicas"].is_null() {
        let replicas = &mut action["replicas"];
        if ["step", "ratio", "metrics"].iter().all(|law| replicas[law].is_null()) {
            replicas["step"] = json!({"pods": 1});
        }
        for (field, number) in [("min", 2), ("max", 20)] {
            if replicas[field].is_null() {
                replicas[field] = json!(number);
            }
        }
        let steps = !replicas["step"].is_null();
        if steps && action["when"].is_null() {
            action["when"] = json!(["Example"]);
        }
    }
    if !action["runtime"].is_null() {
        let runtime = &mut action["runtime"];
        if runtime["container"].is_null() {
            runtime["container"] = json!("app");
        }
        if ["set", "setPoint", "budget", "env", "reclaim"]
            .iter()
            .all(|law| runtime[law].is_null())
        {
            runtime["set"] = json!({"go": {"gogc": 150}});
        }
        if !runtime["reclaim"].is_null() && action["when"].is_null() {
            action["when"] = json!(["Example"]);
        }
    }
    if action["verify"].is_null() {
        action["verify"] = json!({"settle": "6m", "within": "15m", "expr": WELL});
    }
}

/// The texts of every field of this name, one or a list of them.
fn names(value: &Value, key: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    match value {
        Value::Array(all) => all.iter().for_each(|it| found.extend(names(it, key))),
        Value::Object(map) => {
            for (name, it) in map {
                if name == key {
                    let many = it.as_array().cloned().unwrap_or_else(|| vec![it.clone()]);
                    found.extend(many.iter().filter_map(Value::as_str).map(ToOwned::to_owned));
                }
                found.extend(names(it, key));
            }
        }
        _ => {}
    }
    found
}

fn expressions(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(expressions),
        Value::Object(map) => {
            for (name, it) in map {
                match it.as_str() {
                    Some(text) if name == "expr" && text.contains("...") => *it = json!(PLAIN),
                    _ => expressions(it),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Value {
        serde_yaml::from_str(text).expect("YAML")
    }

    fn ours(text: &str) -> Value {
        match object(&yaml(text)) {
            Document::Ours(object) => object,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_part_goes_where_its_fields_are() {
        for (text, pointer, expect) in [
            ("spec: {mode: Observe}", "/spec/mode", json!("Observe")),
            ("actions: [{name: a, notify: {}}]", "/spec/actions/0/name", json!("a")),
            (
                "runtime: {container: c}",
                "/spec/actions/0/runtime/container",
                json!("c"),
            ),
            ("trial: {pods: 2}", "/spec/actions/0/runtime/trial/pods", json!(2)),
            ("when: [A]", "/spec/rules/0/alert", json!("A")),
            ("alertmanager: {url: u}", "/spec/alertmanager/url", json!("u")),
        ] {
            assert_eq!(ours(text).pointer(pointer), Some(&expect), "{text}");
        }
        assert_eq!(
            object(&yaml("receivers: []")),
            Document::Unknown(vec!["receivers".to_owned()])
        );
    }

    #[test]
    fn what_is_whole_is_left_as_it_is() {
        let whole = yaml("{apiVersion: flyball.dev/v1alpha1, kind: FeedbackPolicy, spec: {wrong: 1}}");
        assert_eq!(object(&whole), Document::Ours(whole));
        let service = yaml("{apiVersion: v1, kind: Service}");
        assert_eq!(object(&service), Document::Others(service));
    }

    #[test]
    fn an_expression_that_is_left_to_the_reader_is_replaced_and_no_other() {
        let text = "rules: [{alert: A, expr: '...p99... < 0.3'}, {alert: B, expr: up == 0}]";
        let object = ours(text);
        assert_eq!(object["spec"]["rules"][0]["expr"], PLAIN);
        assert_eq!(object["spec"]["rules"][1]["expr"], "up == 0");
    }
}

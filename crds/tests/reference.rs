//! docs/reference says of every field what its definition says. `UPDATE=1 cargo test -p flyball-crds` rewrites it.

#![allow(clippy::expect_used)]

mod committed;

use flyball_crds::{EventReceiver, Reason, definitions};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};
use std::{fmt::Write, path::Path};

const NOTE: &str = "<!-- Written by `make generate` from the types in crds/src; edit those. -->";

/// A page for each definition and for what stands in a file, and one for the reasons.
fn pages() -> Vec<(String, String)> {
    let kinds = definitions().into_iter().chain([EventReceiver::crd()]);
    let kinds = kinds.map(|definition| {
        let name = definition.spec.names.singular.clone().unwrap_or_default();
        (format!("{name}.md"), page(&definition))
    });
    kinds.chain([("reasons.md".to_owned(), reasons())]).collect()
}

#[test]
fn the_reference_is_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference");
    for (name, expect) in pages() {
        committed::holds(&folder.join(name), &expect);
    }
}

fn page(definition: &CustomResourceDefinition) -> String {
    let spec = &definition.spec;
    let kind = &spec.names.kind;
    let mut text = format!("{NOTE}\n\n# {kind}\n");
    for version in &spec.versions {
        let schema = version.schema.as_ref().and_then(|it| it.open_api_v3_schema.as_ref());
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        let short = spec.names.short_names.clone().unwrap_or_default().join("`, `");
        let found = if short.is_empty() {
            "in a file: there is no definition of it, and `kubectl` knows none".to_owned()
        } else {
            format!("{}, short name `{short}`", spec.scope)
        };
        _ = write!(
            text,
            "\n{}\n\n`apiVersion: {}/{}`, `kind: {kind}`, {found}.\n",
            prose(&schema),
            spec.group,
            version.name,
        );
        for part in ["spec", "status"] {
            section(&mut text, part, &schema["properties"][part]);
        }
    }
    if spec.names.short_names.as_ref().is_none_or(Vec::is_empty) {
        // Whoever reads the file checks it.
        return text.replace("The API server refuses", "`flyball run` refuses");
    }
    text
}

/// An object's fields, its rules, then the objects within it.
fn section(text: &mut String, path: &str, schema: &Value) {
    let none = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&none);
    if fields.is_empty() {
        return;
    }
    _ = write!(
        text,
        "\n## {path}\n\n| field | type | default | bounds | |\n|---|---|---|---|---|\n"
    );
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in fields {
        let default = if required.contains(&json!(name)) && field["default"].is_null() {
            "required".to_owned()
        } else {
            default_of(field).unwrap_or_default()
        };
        let bounds = bounds(field).join(", ");
        _ = writeln!(
            text,
            "| `{name}` | {} | {default} | {bounds} | {} |",
            type_of(field),
            prose(field)
        );
    }
    let rules = messages(schema);
    if !rules.is_empty() {
        _ = writeln!(text, "\nThe API server refuses what breaks one of these:\n");
        for rule in rules {
            _ = writeln!(text, "- {rule}");
        }
    }
    for (name, field) in fields {
        let (below, inner) = inner(field);
        section(text, &format!("{path}.{name}{below}"), inner);
    }
}

/// What is within lists and maps, and how that is written in a path.
fn inner(field: &Value) -> (String, &Value) {
    let (mark, within) = match field["type"].as_str() {
        Some("array") => ("[]", &field["items"]),
        Some("object") if field["additionalProperties"].is_object() => (".*", &field["additionalProperties"]),
        _ => return (String::new(), field),
    };
    let (below, deepest) = inner(within);
    (format!("{mark}{below}"), deepest)
}

fn type_of(field: &Value) -> String {
    match field["type"].as_str().unwrap_or("any") {
        "array" => format!("list of {}", type_of(&field["items"])),
        "object" if field["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&field["additionalProperties"]))
        }
        "string" if is_duration(field) => "duration".to_owned(),
        "string" if field["format"] == "date-time" => "time".to_owned(),
        plain => plain.to_owned(),
    }
}

/// Durations are the only texts with a pattern of units.
fn is_duration(field: &Value) -> bool {
    let pattern = field["pattern"].as_str();
    pattern.is_some_and(|pattern| pattern.contains("ms)?"))
}

/// Of the field itself, then of what is in a list or map.
fn bounds(field: &Value) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(choices) = field["enum"].as_array() {
        let choices = choices.iter().filter_map(Value::as_str);
        all.push(choices.map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" "));
    }
    all.extend(range(&field["minimum"], &field["maximum"], ""));
    if !field["exclusiveMinimum"].is_null() {
        all.push(format!(
            "more than {}",
            field["exclusiveMinimum"].as_f64().unwrap_or_default()
        ));
    }
    all.extend(range(&field["minItems"], &field["maxItems"], " entries"));
    all.extend(range(&Value::Null, &field["maxProperties"], " keys"));
    // The length of a duration says nothing that its pattern does not.
    if !is_duration(field) {
        all.extend(range(&field["minLength"], &field["maxLength"], " characters"));
    }
    if let Some(pattern) = field["pattern"].as_str().filter(|_| !is_duration(field)) {
        all.push(format!("`{}`", cell(pattern)));
    }
    // Those of an object stand under its fields.
    if !field["properties"].is_object() {
        all.extend(messages(field));
    }
    for within in [&field["items"], &field["additionalProperties"]] {
        if within.is_object() && !within["properties"].is_object() {
            all.extend(bounds(within).into_iter().map(|bound| format!("each: {bound}")));
        }
    }
    all
}

fn range(least: &Value, most: &Value, of: &str) -> Option<String> {
    // The bounds of whole numbers are written as 1.0, too.
    match (least.as_f64(), most.as_f64()) {
        (None, None) => None,
        (None, Some(most)) => Some(format!("at most {most}{of}")),
        (Some(least), None) => Some(format!("at least {least}{of}")),
        (Some(least), Some(most)) => Some(format!("{least} to {most}{of}")),
    }
}

/// The schema's own, or else the one that the controller takes and the description names.
fn default_of(field: &Value) -> Option<String> {
    if !field["default"].is_null() {
        return Some(format!("`{}`", cell(&field["default"].to_string())));
    }
    let text = prose(field);
    let (_, named) = text.split_once("Default ").or_else(|| text.split_once("Default: "))?;
    let end = [". ", ", ", "; ", ": "].iter().filter_map(|end| named.find(end)).min();
    let named = end.map_or_else(|| named.trim_end_matches('.'), |end| &named[..end]);
    Some(named.to_owned())
}

fn messages(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let messages = rules.filter_map(|rule| rule["message"].as_str());
    messages.map(escaped).collect()
}

fn prose(schema: &Value) -> String {
    escaped(schema["description"].as_str().unwrap_or_default())
}

/// As one line of a table that shows what the text says: neither a column nor a tag of HTML comes of it.
fn escaped(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = line.split('`').enumerate().map(|(n, part)| {
        if n % 2 == 1 {
            cell(part)
        } else {
            cell(part).replace('<', "&lt;").replace('[', "\\[").replace('*', "\\*")
        }
    });
    parts.collect::<Vec<_>>().join("`")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn reasons() -> String {
    let mut text = format!(
        "{NOTE}\n\n# Reasons\n\nThe `reason` of conditions and Events. What a refused Change says begins with the name of a [check](../checks.md).\n\n\
         | reason | meaning |\n|---|---|\n"
    );
    for reason in Reason::ALL {
        _ = writeln!(text, "| `{}` | {} |", reason.as_str(), escaped(reason.meaning().trim()));
    }
    text
}

#[test]
fn a_text_stays_one_cell_and_no_tag() {
    for (text, expect) in [
        ("one\ntwo", "one two"),
        ("a | b", "a \\| b"),
        ("`a|b` <c>", "`a\\|b` &lt;c>"),
        ("`<name>` x[0]", "`<name>` x\\[0]"),
    ] {
        assert_eq!(escaped(text), expect);
    }
}

/// By hand: each form of a field that the definitions have.
#[test]
fn types_and_bounds_are_in_words() {
    let duration = json!({"type": "string", "maxLength": 32, "pattern": "^(0|([0-9]+ms)?)$"});
    for (field, kind, limits) in [
        (json!({"type": "string", "enum": ["A", "B"]}), "string", "`A` `B`"),
        (duration, "duration", ""),
        (
            json!({"type": "integer", "minimum": 0.0, "maximum": 9.0}),
            "integer",
            "0 to 9",
        ),
        (
            json!({"type": "array", "maxItems": 4, "items": {"type": "string", "maxLength": 8}}),
            "list of string",
            "at most 4 entries, each: at most 8 characters",
        ),
        (
            json!({"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string"}}),
            "map of string",
            "at most 2 keys",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "r", "message": "no <x>"}]}),
            "string",
            "no &lt;x>",
        ),
    ] {
        assert_eq!(
            (type_of(&field).as_str(), bounds(&field).join(", ").as_str()),
            (kind, limits)
        );
    }
}

#[test]
fn a_default_is_the_schemas_or_the_one_that_is_described() {
    for (field, expect) in [
        (json!({"default": "Fail"}), Some("`\"Fail\"`")),
        (
            json!({"description": "How often. Default 30m, at least 1m."}),
            Some("30m"),
        ),
        (json!({"description": "A factor. Default 0.5."}), Some("0.5")),
        (json!({"description": "The container. Default: any."}), Some("any")),
        (json!({"description": "Recommend (the default) or Enforce."}), None),
    ] {
        assert_eq!(default_of(&field).as_deref(), expect, "{field}");
    }
}

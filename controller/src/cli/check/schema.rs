//! A document against the schema of its kind: unknown fields, types, what is required, and enums.
//! Bounds and references are left to `validate`, whose messages say more.

use super::yaml::{Entry, Kind, Node, Plain};
pub(super) use crate::text::nearest;

use crate::promql::shorten;
use serde_json::{Map, Value};

/// One mistake and where it stands.
pub(super) struct Mistake {
    pub path: String,
    pub at: std::ops::Range<usize>,
    pub message: String,
}

/// Turns `node` into JSON as far as it fits `schema`.
pub(super) fn read(node: &Node, schema: &Value, path: &str, mistakes: &mut Vec<Mistake>) -> Option<Value> {
    let mut wrong = |message: String| {
        mistakes.push(Mistake {
            path: path.to_owned(),
            at: node.range.clone(),
            message,
        });
        None
    };
    if node.plain() == Some(Plain::Null) {
        if schema["nullable"] == Value::Bool(true) {
            return Some(Value::Null);
        }
        return wrong("is empty; write a value or remove the line".to_owned());
    }
    match (schema["type"].as_str().unwrap_or_default(), &node.kind) {
        ("object", Kind::Map(entries)) => Some(object(entries, node, schema, path, mistakes)),
        ("array", Kind::List(items)) => {
            let each = items.iter().enumerate();
            Some(
                each.filter_map(|(n, item)| read(item, &schema["items"], &format!("{path}[{n}]"), mistakes))
                    .collect(),
            )
        }
        ("string", Kind::Scalar { text, .. }) if node.plain() == Some(Plain::Text) => {
            let choices: Vec<&str> = schema["enum"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            if schema["format"] == "date-time" && text.parse::<jiff::Timestamp>().is_err() {
                return wrong(format!(
                    "{} is not a time with its offset; write for example 2026-12-01T08:00:00Z",
                    shorten(text)
                ));
            }
            if choices.is_empty() || choices.contains(&text.as_str()) {
                return Some(Value::String(text.clone()));
            }
            let nearest = nearest(text, choices.iter().copied());
            wrong(format!(
                "{} is not one of {}{}",
                shorten(text),
                choices.join(", "),
                did_you_mean(nearest)
            ))
        }
        ("string", Kind::Scalar { text, .. }) => {
            let what = if matches!(node.plain(), Some(Plain::Bool(_))) {
                "a truth value"
            } else {
                "a number"
            };
            let unit = if matches!(node.plain(), Some(Plain::Integer(_))) && is_duration(schema) {
                format!("; a duration has a unit, for example {}s", text.trim_start_matches('+'))
            } else {
                "; put it into quotes".to_owned()
            };
            wrong(format!("{} is {what} in YAML, a text is needed{unit}", shorten(text)))
        }
        ("boolean", Kind::Scalar { text, .. }) => match node.plain() {
            Some(Plain::Bool(value)) => Some(Value::Bool(value)),
            _ => wrong(format!(
                "{} is neither true nor false; write one of them without quotes",
                shorten(text)
            )),
        },
        ("integer", Kind::Scalar { text, .. }) => match node.plain() {
            Some(Plain::Integer(value)) if i32::try_from(value).is_ok() => Some(value.into()),
            _ => wrong(format!(
                "{} is not a whole number; write digits without quotes",
                shorten(text)
            )),
        },
        ("number", Kind::Scalar { text, .. }) => {
            let value = match node.plain() {
                // A double holds every whole number that is written here.
                Some(Plain::Integer(_)) => text.parse::<f64>().ok(),
                Some(Plain::Float(value)) => Some(value),
                _ => None,
            };
            match value.and_then(serde_json::Number::from_f64) {
                Some(value) => Some(Value::Number(value)),
                None => wrong(format!(
                    "{} is not a finite number; write digits without quotes",
                    shorten(text)
                )),
            }
        }
        (expected, _) => wrong(format!("{} is needed here; {}", name(expected), indent(expected))),
    }
}

fn object(entries: &[Entry], map: &Node, schema: &Value, path: &str, mistakes: &mut Vec<Mistake>) -> Value {
    let mut object = Map::new();
    let none = Map::new();
    let fields = schema["properties"].as_object().unwrap_or(&none);
    for Entry { key, range, value } in entries {
        let below = format!("{path}.{}", key.escape_debug());
        let free = &schema["additionalProperties"];
        let Some(field) = fields.get(key).or_else(|| free.is_object().then_some(free)) else {
            let nearest = nearest(key, fields.keys().map(String::as_str));
            let hint = if nearest.is_some() {
                did_you_mean(nearest)
            } else {
                let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                format!("; remove it, or write one of {}", names.join(", "))
            };
            mistakes.push(Mistake {
                path: below,
                at: range.clone(),
                message: format!("unknown field{hint}"),
            });
            continue;
        };
        object.extend(read(value, field, &below, mistakes).map(|value| (key.clone(), value)));
    }
    for required in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !entries.iter().any(|entry| entry.key == required) {
            let at = map.range.start..map.range.start;
            mistakes.push(Mistake {
                path: format!("{path}.{required}"),
                at,
                message: "is missing; add it".to_owned(),
            });
        }
    }
    Value::Object(object)
}

/// Durations are the only texts with a pattern of units.
fn is_duration(schema: &Value) -> bool {
    schema["pattern"]
        .as_str()
        .is_some_and(|pattern| pattern.contains("ms)?"))
}

fn name(kind: &str) -> &'static str {
    match kind {
        "object" => "a map of fields",
        "array" => "a list",
        _ => "a single value",
    }
}

fn indent(kind: &str) -> &'static str {
    match kind {
        "object" => "indent its fields below it",
        "array" => "begin each entry with a dash",
        _ => "write it behind the colon",
    }
}

pub(super) fn did_you_mean(nearest: Option<&str>) -> String {
    nearest
        .map(|nearest| format!("; did you mean {nearest}?"))
        .unwrap_or_default()
}

//! How an installed definition differs from the one that this program brings.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

/// One difference of two schemas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A field that is not installed: the API server would drop it.
    Missing(String),
    /// A field that only the installed definition has.
    Unknown(String),
    /// A rule or a type that is another one there.
    Other(String),
    /// Only the documentation is another one.
    Words(String),
}

/// All differences, by the path of the field.
pub fn differences(ours: &CustomResourceDefinition, theirs: &CustomResourceDefinition) -> Vec<Difference> {
    let mut found = Vec::new();
    for version in &ours.spec.versions {
        let Some(installed) = theirs.spec.versions.iter().find(|other| other.name == version.name) else {
            found.push(Difference::Missing(format!("version {}", version.name)));
            continue;
        };
        if !installed.served {
            found.push(Difference::Other(format!("version {} is not served", version.name)));
        }
        let schema = |version: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion| {
            let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
            schema.and_then(|schema| serde_json::to_value(schema).ok()).unwrap_or_default()
        };
        compare("", &schema(version), &schema(installed), &mut found);
        let status = |version: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion| {
            version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some())
        };
        if status(version) != status(installed) {
            found.push(Difference::Missing("the status subresource".to_owned()));
        }
    }
    found
}

/// Compares two schemas of one field.
fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<Difference>) {
    let empty = Map::new();
    let (ours, theirs) = (ours.as_object().unwrap_or(&empty), theirs.as_object().unwrap_or(&empty));
    let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
    for key in keys {
        let (one, other) = (
            ours.get(key).unwrap_or(&Value::Null),
            theirs.get(key).unwrap_or(&Value::Null),
        );
        match key.as_str() {
            "properties" => fields(path, one, other, found),
            "items" | "additionalProperties" if one.is_object() || other.is_object() => {
                compare(&format!("{path}[]"), one, other, found);
            }
            // The API server gives 0.0 back as 0.
            _ if one.as_f64().is_some() && one.as_f64() == other.as_f64() => {}
            "description" if one != other => found.push(Difference::Words(named(path))),
            _ if one != other => found.push(Difference::Other(format!("{} of {}", told(key), named(path)))),
            _ => {}
        }
    }
}

fn fields(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<Difference>) {
    let empty = Map::new();
    let (ours, theirs) = (ours.as_object().unwrap_or(&empty), theirs.as_object().unwrap_or(&empty));
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    for (name, schema) in ours {
        match theirs.get(name) {
            Some(installed) => compare(&below(name), schema, installed, found),
            None => found.push(Difference::Missing(below(name))),
        }
    }
    for name in theirs.keys().filter(|name| !ours.contains_key(*name)) {
        found.push(Difference::Unknown(below(name)));
    }
}

fn named(path: &str) -> String {
    if path.is_empty() {
        "the object".to_owned()
    } else {
        path.to_owned()
    }
}

/// A keyword of the schema in words, where that is easier to read.
fn told(key: &str) -> String {
    match key {
        "x-kubernetes-validations" => "the rules".to_owned(),
        "required" => "what is required".to_owned(),
        "enum" => "the allowed values".to_owned(),
        key => format!("the {key}"),
    }
}

/// All differences in one line; empty where there is none that matters.
pub fn in_one_line(differences: &[Difference]) -> String {
    let told = |difference: &Difference| match difference {
        Difference::Missing(path) => Some(format!("{path} is missing there")),
        Difference::Unknown(path) => Some(format!("{path} is known only there")),
        Difference::Other(what) => Some(format!("{what} differs")),
        Difference::Words(_) => None,
    };
    let told: Vec<String> = differences.iter().filter_map(told).collect();
    let shown = told.iter().take(2).cloned().collect::<Vec<_>>().join(", ");
    match told.len() {
        0..=2 => shown,
        many => format!("{shown}, and {} more differences", many - 2),
    }
}

//! Manifests: the one object of a file that is meant.

use super::Autoscaler;
use crate::cli::check::MAX_BYTES;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{fs::File, io::Read, path::Path};

/// Why a file holds nothing to import.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read.
    #[error("{file} can't be read: {reason}; name a file of YAML or JSON, or - for standard input")]
    Read {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// It holds no such object.
    #[error("{file} holds no {kind}{name}; look for it with: grep -n kind: {file}")]
    None {
        /// The file.
        file: String,
        /// The kind.
        kind: &'static str,
        /// The name that was asked for, if any.
        name: String,
    },
    /// It holds several.
    #[error("{file} holds {count} objects of kind {kind}; name one of them: {names}")]
    Several {
        /// The file.
        file: String,
        /// How many.
        count: usize,
        /// The kind.
        kind: &'static str,
        /// Some of their names.
        names: String,
    },
}

/// The object of this kind and name in a file. It gets `namespace` where it names none.
pub fn find(
    path: &Path,
    autoscaler: Autoscaler,
    name: Option<&str>,
    namespace: Option<&str>,
) -> Result<Value, FileError> {
    let file = path.to_string_lossy().escape_debug().to_string();
    let failed = |reason: String| FileError::Read {
        file: file.clone(),
        reason,
    };
    let mut text = String::new();
    let limit = MAX_BYTES + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|opened| opened.take(limit).read_to_string(&mut text))
    };
    read.map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(failed(format!("it is larger than {MAX_BYTES} bytes")));
    }
    let found = objects(&text, autoscaler).map_err(failed)?;
    select(found, &file, autoscaler, name, namespace)
}

/// All objects of a kind in a manifest, those within lists too.
fn objects(text: &str, autoscaler: Autoscaler) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let document = Value::deserialize(document).map_err(|error| error.to_string())?;
        let items = document.get("items").and_then(Value::as_array).cloned();
        for object in items.unwrap_or_else(|| vec![document]) {
            if is(&object, autoscaler) {
                found.push(modern(object));
            }
        }
    }
    Ok(found)
}

fn is(object: &Value, autoscaler: Autoscaler) -> bool {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let group = match autoscaler {
        Autoscaler::Hpa => "autoscaling/",
        Autoscaler::ScaledObject => "keda.sh/",
    };
    text("kind") == autoscaler.kind() && text("apiVersion").starts_with(group)
}

/// `autoscaling/v1` knows the utilization of the CPU alone, in a field of its own.
fn modern(mut object: Value) -> Value {
    let percent = object.pointer("/spec/targetCPUUtilizationPercentage").cloned();
    if let (Some(percent), Some(spec)) = (percent, object.get_mut("spec").and_then(Value::as_object_mut)) {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
        spec.entry("metrics").or_insert(metrics);
    }
    if object.get("kind").and_then(Value::as_str) == Some(Autoscaler::Hpa.kind()) {
        object["apiVersion"] = json!("autoscaling/v2");
    }
    object
}

fn select(
    mut found: Vec<Value>,
    file: &str,
    autoscaler: Autoscaler,
    name: Option<&str>,
    namespace: Option<&str>,
) -> Result<Value, FileError> {
    fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
        object.pointer(path).and_then(Value::as_str)
    }
    found.retain(|object| {
        let place = text(object, "/metadata/namespace");
        name.is_none_or(|name| text(object, "/metadata/name") == Some(name))
            && namespace.is_none_or(|asked| place.is_none_or(|place| place == asked))
    });
    let kind = autoscaler.kind();
    if found.len() > 1 {
        let names = found.iter().take(5).filter_map(|object| text(object, "/metadata/name"));
        return Err(FileError::Several {
            file: file.to_owned(),
            count: found.len(),
            kind,
            names: names.collect::<Vec<_>>().join(", "),
        });
    }
    let mut object = found.pop().ok_or_else(|| FileError::None {
        file: file.to_owned(),
        kind,
        name: name.map_or_else(String::new, |name| format!(" {name:?}")),
    })?;
    if let (Some(namespace), None) = (namespace, text(&object, "/metadata/namespace")) {
        object["metadata"]["namespace"] = json!(namespace);
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "
kind: HorizontalPodAutoscaler
apiVersion: autoscaling/v1
metadata: {name: web, namespace: shop}
spec: {targetCPUUtilizationPercentage: 70}
---
kind: List
apiVersion: v1
items:
- {kind: HorizontalPodAutoscaler, apiVersion: autoscaling/v2, metadata: {name: api}, spec: {}}
- {kind: ScaledObject, apiVersion: keda.sh/v1alpha1, metadata: {name: queue}}
- {kind: ScaledObject, apiVersion: example.com/v1, metadata: {name: another}}
---
";

    fn found(autoscaler: Autoscaler, name: Option<&str>, namespace: Option<&str>) -> Result<Value, String> {
        let all = objects(BOTH, autoscaler)?;
        select(all, "f.yaml", autoscaler, name, namespace).map_err(|error| error.to_string())
    }

    #[test]
    fn the_one_that_is_meant_is_found() {
        let web = found(Autoscaler::Hpa, Some("web"), None).unwrap_or_default();
        assert_eq!(
            (
                &web["apiVersion"],
                &web["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"]
            ),
            (&json!("autoscaling/v2"), &json!(70))
        );
        let api = found(Autoscaler::Hpa, Some("api"), Some("cart")).unwrap_or_default();
        assert_eq!(api["metadata"]["namespace"], "cart");
        let queue = found(Autoscaler::ScaledObject, None, None).unwrap_or_default();
        assert_eq!(queue["metadata"]["name"], "queue");
    }

    #[test]
    fn what_is_not_clear_is_said() {
        let error = |result: Result<Value, String>| result.err().unwrap_or_default();
        assert_eq!(
            error(found(Autoscaler::Hpa, None, None)),
            "f.yaml holds 2 objects of kind HorizontalPodAutoscaler; name one of them: web, api"
        );
        assert_eq!(
            error(found(Autoscaler::Hpa, Some("web"), Some("cart"))),
            "f.yaml holds no HorizontalPodAutoscaler \"web\"; look for it with: grep -n kind: f.yaml"
        );
        assert!(objects("a: [", Autoscaler::Hpa).is_err());
    }
}

//! Start-up options in a workload's pod template: read from the object, and written as a patch of just these entries.

use flyball_core::policy::{Env, VARIABLES};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

/// Where the pod template has its containers.
const CONTAINERS: &str = "/spec/template/spec/containers";
/// Where an object in memory has what is kept of them.
pub(crate) const KEPT: &str = "/kept/containers";
/// What no variable of a container can be: somebody else's doing, whatever was there before.
const ELSEWHERE: &str = "\0elsewhere";

/// Why variables of a container are not ours to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvProblem {
    /// The template has no such container.
    #[error("the pod template has no container {0}; correct runtime.container")]
    NoContainer(String),
    /// It takes its value from somewhere else.
    #[error("{variable} of container {container} comes from {from}; write its value into env, or leave the option out")]
    Elsewhere {
        /// The container.
        container: String,
        /// The variable.
        variable: String,
        /// From where.
        from: String,
    },
    /// It is there twice, and the last one counts.
    #[error("{variable} stands twice in env of container {container}; remove one")]
    Twice {
        /// The container.
        container: String,
        /// The variable.
        variable: String,
    },
}

fn containers(object: &DynamicObject) -> &[Value] {
    let found = object.data.pointer(CONTAINERS).or_else(|| object.data.pointer(KEPT));
    found.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, field: &str) -> Option<&'v str> {
    value.get(field).and_then(Value::as_str)
}

fn list<'v>(container: &'v Value, field: &str) -> &'v [Value] {
    container
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// What is kept in memory of a pod template's containers: their names, the variables that can be ours, and from where
/// others may come.
pub(crate) fn condensed(object: &DynamicObject) -> Option<Value> {
    let containers = object.data.pointer(CONTAINERS)?.as_array()?;
    let one = |container: &Value| {
        let mut kept = json!({"name": container.get("name")});
        let ours = |entry: &&Value| text(entry, "name").is_some_and(|name| VARIABLES.contains(&name));
        let env: Vec<Value> = list(container, "env").iter().filter(ours).cloned().collect();
        let from: Vec<Value> = list(container, "envFrom").to_vec();
        for (field, list) in [("env", env), ("envFrom", from)] {
            if !list.is_empty() {
                kept[field] = Value::Array(list);
            }
        }
        kept
    };
    Some(containers.iter().map(one).collect())
}

fn source_of(entry: &Value) -> String {
    let kinds = [
        ("configMapKeyRef", "ConfigMap"),
        ("secretKeyRef", "Secret"),
        ("configMapRef", "ConfigMap"),
        ("secretRef", "Secret"),
    ];
    let from = entry.get("valueFrom").unwrap_or(entry);
    let named = kinds.iter().find_map(|(field, kind)| {
        let name = from.get(*field)?.get("name")?.as_str()?;
        Some(format!("{kind} {name}"))
    });
    named.unwrap_or_else(|| "a field of the pod (valueFrom)".to_owned())
}

/// The value of a variable in a container's template.
fn value(container: &Value, name: &str, variable: &str) -> Result<Option<String>, EnvProblem> {
    let mut entries = list(container, "env")
        .iter()
        .filter(|entry| text(entry, "name") == Some(variable));
    let (first, second) = (entries.next(), entries.next());
    let elsewhere = |from: String| EnvProblem::Elsewhere {
        container: name.to_owned(),
        variable: variable.to_owned(),
        from,
    };
    match (first, second) {
        (_, Some(_)) => Err(EnvProblem::Twice {
            container: name.to_owned(),
            variable: variable.to_owned(),
        }),
        (Some(entry), None) if entry.get("valueFrom").is_some_and(|from| !from.is_null()) => {
            Err(elsewhere(source_of(entry)))
        }
        (Some(entry), None) => Ok(Some(text(entry, "value").unwrap_or_default().to_owned())),
        // Whether it has this variable is not known without reading it.
        (None, None) => match list(container, "envFrom").first() {
            Some(from) => Err(elsewhere(format!("{}, as far as is known (envFrom)", source_of(from)))),
            None => Ok(None),
        },
    }
}

/// What a container's template has of these variables.
pub fn env_of(object: &DynamicObject, container: &str, names: &[String]) -> Result<Env, EnvProblem> {
    let found = containers(object)
        .iter()
        .find(|found| text(found, "name") == Some(container));
    let found = found.ok_or_else(|| EnvProblem::NoContainer(container.to_owned()))?;
    let each = names
        .iter()
        .map(|name| Ok((name.clone(), value(found, container, name)?)));
    Ok(Env::of(each.collect::<Result<Vec<_>, EnvProblem>>()?))
}

/// The same for a Change that is open: what can't be ours any more is somebody else's value.
pub fn env_as_found(object: &DynamicObject, container: &str, names: &[String]) -> Env {
    let found = containers(object)
        .iter()
        .find(|found| text(found, "name") == Some(container));
    let elsewhere = || Some(ELSEWHERE.to_owned());
    let each = names.iter().map(|name| {
        let value = found.map_or_else(elsewhere, |found| {
            value(found, container, name).unwrap_or_else(|_| elsewhere())
        });
        (name.clone(), value)
    });
    Env::of(each)
}

/// The patch that writes these variables into a whole object: it holds for this version only, and tests every entry
/// that it touches.
pub fn env_patch(object: &DynamicObject, container: &str, to: &Env) -> Result<json_patch::Patch, EnvProblem> {
    let missing = || EnvProblem::NoContainer(container.to_owned());
    let all = object
        .data
        .pointer(CONTAINERS)
        .and_then(Value::as_array)
        .ok_or_else(missing)?;
    let place = all.iter().position(|found| text(found, "name") == Some(container));
    let place = place.ok_or_else(missing)?;
    let env = all.get(place).map_or(&[][..], |found| list(found, "env"));
    let at = format!("{CONTAINERS}/{place}");
    let mut ops = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": object.uid()}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": object.resource_version()}),
        json!({"op": "test", "path": format!("{at}/name"), "value": container}),
    ];
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    for (name, value) in to.variables() {
        let index = env.iter().position(|entry| text(entry, "name") == Some(name));
        let Some((index, entry)) = index.and_then(|index| Some((index, env.get(index)?))) else {
            added.extend(value.map(|value| json!({"name": name, "value": value})));
            continue;
        };
        if value == Some(text(entry, "value").unwrap_or_default()) {
            continue;
        }
        ops.push(json!({"op": "test", "path": format!("{at}/env/{index}"), "value": entry}));
        match value {
            Some(value) => {
                let entry = json!({"name": name, "value": value});
                ops.push(json!({"op": "replace", "path": format!("{at}/env/{index}"), "value": entry}));
            }
            None => removed.push(index),
        }
    }
    // The last first: what goes out moves those behind it.
    removed.sort_unstable();
    for index in removed.iter().rev() {
        ops.push(json!({"op": "remove", "path": format!("{at}/env/{index}")}));
    }
    if env.is_empty() && !added.is_empty() {
        ops.push(json!({"op": "add", "path": format!("{at}/env"), "value": added}));
    } else {
        let added = added
            .iter()
            .map(|entry| json!({"op": "add", "path": format!("{at}/env/-"), "value": entry}));
        ops.extend(added);
    }
    // What was built here is a patch.
    Ok(serde_json::from_value(Value::Array(ops)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::from_value;

    fn object(env: &Value, from: &Value) -> DynamicObject {
        from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "uid": "u-1", "resourceVersion": "7"},
            "spec": {"template": {"spec": {"containers": [
                {"name": "side", "image": "a"},
                {"name": "app", "image": "b", "env": env, "envFrom": from},
            ]}}},
        }))
        .expect("an object")
    }

    fn names() -> Vec<String> {
        ["GOGC", "GOMEMLIMIT"].map(ToOwned::to_owned).to_vec()
    }

    fn stripped(object: &DynamicObject) -> DynamicObject {
        let mut kept = object.clone();
        kept.data = json!({"kept": {"containers": condensed(object)}});
        kept
    }

    #[test]
    fn variables_are_read_alike_from_an_object_and_from_what_is_kept_of_it() {
        let check = |env: Value, from: Value, expect: &str| {
            let object = object(&env, &from);
            for object in [&object, &stripped(&object)] {
                let found = env_of(object, "app", &names());
                let said = found.map_or_else(|problem| problem.to_string(), |env| env.to_string());
                assert_eq!(said, expect, "{env}");
            }
        };
        check(json!([]), json!([]), "env -GOGC -GOMEMLIMIT");
        check(
            json!([{"name": "A", "value": "1"}, {"name": "GOGC", "value": "off"}]),
            json!([]),
            "env GOGC=\"off\" -GOMEMLIMIT",
        );
        check(json!([{"name": "GOGC"}]), json!([]), "env GOGC=\"\" -GOMEMLIMIT");
        check(
            json!([{"name": "GOGC", "valueFrom": {"configMapKeyRef": {"name": "tuning", "key": "gogc"}}}]),
            json!([]),
            "GOGC of container app comes from ConfigMap tuning; write its value into env, or leave the option out",
        );
        check(
            json!([{"name": "GOGC", "value": "1"}]),
            json!([{"configMapRef": {"name": "all"}}]),
            "GOMEMLIMIT of container app comes from ConfigMap all, as far as is known (envFrom); write its value into env, or leave the option out",
        );
        check(
            json!([{"name": "GOGC", "value": "1"}, {"name": "GOGC", "value": "2"}]),
            json!([]),
            "GOGC stands twice in env of container app; remove one",
        );
        let none = env_of(&object(&json!([]), &json!([])), "other", &names()).expect_err("no container");
        assert_eq!(
            none.to_string(),
            "the pod template has no container other; correct runtime.container"
        );
    }

    #[test]
    fn what_was_taken_elsewhere_is_nobodys_value_of_ours() {
        let from = json!([{"name": "GOGC", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
        let found = env_as_found(&object(&from, &json!([])), "app", &names());
        assert!(
            found
                .variables()
                .next()
                .is_some_and(|(_, value)| value == Some(ELSEWHERE))
        );
    }

    /// A patch there and back leaves the object as it was, whatever stands beside our entries.
    #[test]
    fn a_patch_touches_its_entries_only_and_leads_back() {
        let check = |env: Value, to: &str, expect: Value| {
            let before = object(&env, &json!([]));
            let mut whole = serde_json::to_value(&before).expect("JSON");
            let was = env_of(&before, "app", &names()).expect("variables");
            let patch = env_patch(&before, "app", &to.parse().expect(to)).expect("a patch");
            json_patch::patch(&mut whole, &patch).expect("it applies");
            let place = "/spec/template/spec/containers/1/env";
            assert_eq!(whole.pointer(place), Some(&expect), "{env} {to}");
            let after: DynamicObject = from_value(whole.clone()).expect("an object");
            let back = env_patch(&after, "app", &was).expect("a patch");
            json_patch::patch(&mut whole, &back).expect("it applies");
            assert_eq!(whole.pointer(place), Some(&env), "{env} {to}");
        };
        let (a, b) = (
            json!({"name": "A", "value": "1"}),
            json!({"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        );
        let of = |name: &str, value: &str| json!({"name": name, "value": value});
        check(json!([]), "env GOGC=\"50\" -GOMEMLIMIT", json!([of("GOGC", "50")]));
        check(
            json!([a, b]),
            "env GOGC=\"50\" GOMEMLIMIT=\"9\"",
            json!([a, b, of("GOGC", "50"), of("GOMEMLIMIT", "9")]),
        );
        check(
            json!([of("GOMEMLIMIT", "1GiB"), a, of("GOGC", "100"), b]),
            "env GOGC=\"50\" GOMEMLIMIT=\"2GiB\"",
            json!([of("GOMEMLIMIT", "2GiB"), a, of("GOGC", "50"), b]),
        );
        check(
            json!([a, of("GOGC", "100"), b]),
            "env GOGC=\"100\" -GOMEMLIMIT",
            json!([a, of("GOGC", "100"), b]),
        );
    }

    #[test]
    fn a_patch_holds_for_one_version_of_each_entry() {
        let seen = object(&json!([{"name": "GOGC", "value": "100"}]), &json!([]));
        let patch = env_patch(&seen, "app", &"env GOGC=\"50\"".parse().expect("variables")).expect("a patch");
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut whole = serde_json::to_value(&seen).expect("JSON");
            change(&mut whole);
            json_patch::patch(&mut whole, &patch).is_err()
        };
        assert!(!refused(&|_| {}));
        assert!(refused(&|whole| whole["metadata"]["resourceVersion"] = json!("8")));
        assert!(refused(&|whole| whole["metadata"]["uid"] = json!("u-2")));
        let place = "/spec/template/spec/containers/1";
        assert!(refused(&|whole| *whole
            .pointer_mut(&format!("{place}/name"))
            .unwrap() = json!("new")));
        assert!(refused(&|whole| *whole
            .pointer_mut(&format!("{place}/env/0/value"))
            .unwrap() = json!("101")));
    }
}

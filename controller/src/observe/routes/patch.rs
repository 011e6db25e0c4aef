//! The patch that writes weights: JSON Patch (RFC 6902), which touches nothing else.

use super::{
    error::RouteError,
    list::{Located, at, locate},
    table::{CANARY, CANARY_WEIGHT, CANARY_WEIGHT_TOTAL, Form, ListForm, Path},
};
use flyball_core::policy::{Backend, Weight, Weights};
use json_patch::{
    AddOperation, Patch, PatchOperation, ReplaceOperation, TestOperation,
    jsonptr::{PointerBuf, Token},
};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

/// The patch that gives the managed backends these weights, all of them, also those that stay.
///
/// Its preconditions: the resourceVersion, which the API server compares (a stale one is answered with 409), and
/// tests (one that fails is answered with 422) of the UID, of the rule's name or, where it has none, of what
/// it matches, and of each managed backend's name with what else identifies it. The places are those in `object`,
/// which must still have the rule that `located` was read from. RFC 6902 can't test that a field is absent; the
/// resourceVersion holds those.
pub fn weights_patch(
    object: &DynamicObject,
    located: &Located,
    uid: &str,
    resource_version: &str,
    to: &Weights,
) -> Result<Patch, RouteError> {
    let managed: Vec<Backend> = located.weights().iter().map(backend).collect();
    let now = locate(object, &located.list, &managed)?;
    let same = now.rule_name == located.rule_name && (now.rule_name.is_some() || now.matches == located.matches);
    if !same {
        return Err(RouteError::Moved {
            object: name(object, &now),
            field: field(&now),
        });
    }
    fits(object, &now, to)?;
    let mut operations = vec![
        replace(&["metadata", "resourceVersion"], resource_version.into()),
        test(&["metadata", "uid"], uid.into()),
    ];
    match &now.row.form {
        Form::List(form) => operations.extend(list(object, &now, form, to)),
        Form::CanaryAnnotations => operations.extend(canary(object, &now, to)),
    }
    Ok(Patch(operations))
}

fn backend((name, base): (&str, Weight)) -> Backend {
    Backend {
        name: name.to_owned(),
        base,
    }
}

fn name(object: &DynamicObject, located: &Located) -> String {
    format!("{} {}", located.row.kind, object.name_any())
}

/// The field of the rule, or of all lists.
fn field(located: &Located) -> String {
    let owned = located.row.owned().join(".");
    located
        .rule
        .map_or_else(|| owned.clone(), |rule| format!("{owned}[{rule}]"))
}

/// A backend that `to` leaves out would silently get nothing, and all at zero is an outage.
fn fits(object: &DynamicObject, now: &Located, to: &Weights) -> Result<(), RouteError> {
    let unwritable = |why: String| RouteError::Unwritable {
        object: name(object, now),
        field: field(now),
        weights: to.to_string(),
        why,
    };
    let found = now.weights();
    if !found.iter().map(|(name, _)| name).eq(to.iter().map(|(name, _)| name)) {
        return Err(unwritable(format!(
            "it has {found}; name each of these backends and no other"
        )));
    }
    if to.total() == 0 {
        return Err(unwritable(
            "nobody would get a request; give one of them a weight".to_owned(),
        ));
    }
    match now.total {
        Some(total) if to.total() != u64::from(total) => {
            Err(unwritable(format!("they add up to {}; make it {total}", to.total())))
        }
        _ => Ok(()),
    }
}

fn list(object: &DynamicObject, now: &Located, form: &ListForm, to: &Weights) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    let mut place: Vec<Token<'static>> = Vec::new();
    let mut within = &object.data;
    if let (Some(rules), Some(index)) = (&form.rules, now.rule) {
        place.extend(rules.path.iter().copied().map(Token::from));
        place.push(index.into());
        within = at(within, rules.path)
            .and_then(|all| all.get(index))
            .unwrap_or(&Value::Null);
        let name = rules.name.filter(|_| now.rule_name.is_some());
        let key = name.unwrap_or(rules.matches);
        operations.extend(tests(&place, within, &[&[key]]));
    }
    place.extend(form.list.iter().copied().map(Token::from));
    let entries = at(within, form.list).unwrap_or(&Value::Null);
    let mut writes = Vec::new();
    for entry in now.entries.iter().filter(|entry| entry.managed) {
        let mut place = place.clone();
        place.push(entry.index.into());
        let value = entries.get(entry.index).unwrap_or(&Value::Null);
        let identity = [form.name]
            .into_iter()
            .chain(form.subset)
            .chain(form.identity.iter().copied());
        let identity: Vec<Path> = identity.collect();
        operations.extend(tests(&place, value, &identity));
        place.push(form.weight.into());
        let weight = to.of(&entry.name).get().into();
        writes.push(match value.get(form.weight) {
            Some(_) => replace_at(place, weight),
            None => add_at(place, weight),
        });
    }
    operations.extend(writes);
    operations
}

/// Tests of those fields below a place that are there.
fn tests(place: &[Token<'static>], value: &Value, paths: &[&[&'static str]]) -> Vec<PatchOperation> {
    let one = |path: &&[&'static str]| {
        let value = at(value, path)?.clone();
        let path = place.iter().cloned().chain(path.iter().copied().map(Token::from));
        let path = PointerBuf::from_tokens(path);
        Some(PatchOperation::Test(TestOperation { path, value }))
    };
    paths.iter().filter_map(one).collect()
}

fn canary(object: &DynamicObject, now: &Located, to: &Weights) -> Vec<PatchOperation> {
    // The canary's own backend is the first.
    let weight = now.entries.first().map_or(0, |own| to.of(&own.name).get());
    let weight = Value::from(weight.to_string());
    let annotation = |key| ["metadata", "annotations", key];
    let mut operations: Vec<PatchOperation> = [CANARY, CANARY_WEIGHT_TOTAL]
        .into_iter()
        .filter_map(|key| Some(test(&annotation(key), object.annotations().get(key)?.as_str().into())))
        .collect();
    let place = annotation(CANARY_WEIGHT);
    match object.annotations().get(CANARY_WEIGHT) {
        Some(old) => operations.extend([test(&place, old.as_str().into()), replace(&place, weight)]),
        None => operations.push(add_at(place.iter().copied().map(Token::from).collect(), weight)),
    }
    operations
}

fn test(path: &[&str], value: Value) -> PatchOperation {
    let path = PointerBuf::from_tokens(path.iter().copied());
    PatchOperation::Test(TestOperation { path, value })
}

fn replace(path: &[&str], value: Value) -> PatchOperation {
    let path = PointerBuf::from_tokens(path.iter().copied());
    PatchOperation::Replace(ReplaceOperation { path, value })
}

fn replace_at(path: Vec<Token<'static>>, value: Value) -> PatchOperation {
    let path = PointerBuf::from_tokens(path);
    PatchOperation::Replace(ReplaceOperation { path, value })
}

fn add_at(path: Vec<Token<'static>>, value: Value) -> PatchOperation {
    let path = PointerBuf::from_tokens(path);
    PatchOperation::Add(AddOperation { path, value })
}

#[cfg(test)]
mod tests;

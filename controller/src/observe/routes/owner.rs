//! Who wrote a list of backends, by the object's managedFields.

use super::{super::target, table::Row};
use flyball_crds::FIELD_MANAGER;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{ResourceExt, api::DynamicObject};

/// Who wrote the lists of the object last, ourselves left out: manager and operation. `None` where the object
/// does not say its kind, or nobody else owns them.
///
/// The rules of a route are atomic: whoever writes one weight owns all of them, and takes them from the others.
/// So this tells who wrote any of the object's lists, and nothing of which.
pub fn manager_of(object: &DynamicObject) -> Option<(String, String)> {
    target::newest(others(object)?)
}

/// A manager that owns the lists of the object and would write them again from its repository: the newest.
pub fn gitops_owner_of(object: &DynamicObject) -> Option<(String, String)> {
    target::newest(others(object)?.filter(|entry| target::is_gitops(entry)))
}

fn others(object: &DynamicObject) -> Option<impl Iterator<Item = &ManagedFieldsEntry>> {
    let types = object.types.as_ref()?;
    let row = Row::of(&types.api_version, &types.kind)?;
    let entries = object.managed_fields().iter();
    Some(entries.filter(|entry| owns(entry, row.owned()) && entry.manager.as_deref() != Some(FIELD_MANAGER)))
}

/// Whether the entry owns the field, or one around it as a whole: an atomic one has nothing below it.
fn owns(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    let Some(fields) = &entry.fields_v1 else { return false };
    let mut node = &fields.0;
    for key in path {
        match node.get(format!("f:{key}")) {
            Some(below) => node = below,
            None => return std::ptr::from_ref(node) != std::ptr::from_ref(&fields.0) && is_leaf(node),
        }
    }
    true
}

fn is_leaf(node: &serde_json::Value) -> bool {
    node.as_object().is_some_and(serde_json::Map::is_empty)
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures, *};
    use serde_json::{Value, json};

    /// `entries`: manager, operation, second, fields.
    fn check(object: &Value, entries: &[(&str, &str, u8, Value)], manager: Option<&str>, gitops: Option<&str>) {
        let mut object = object.clone();
        let entry = |(manager, operation, second, fields): &(&str, &str, u8, Value)| json!({"manager": manager, "operation": operation, "time": format!("2026-01-01T00:00:{second:02}Z"), "fieldsV1": fields});
        object["metadata"]["managedFields"] = entries.iter().map(entry).collect();
        let object = fixtures::object(&object);
        let name = |found: Option<(String, String)>| found.map(|(name, operation)| format!("{name} {operation}"));
        assert_eq!(name(manager_of(&object)).as_deref(), manager, "{entries:?}");
        assert_eq!(name(gitops_owner_of(&object)).as_deref(), gitops, "{entries:?}");
    }

    #[test]
    fn whoever_owns_the_rules_wrote_them() {
        let rules = || json!({"f:spec": {"f:rules": {}}});
        let route = fixtures::http_route();
        check(&route, &[], None, None);
        check(&route, &[("flyball", "Update", 9, rules())], None, None);
        check(
            &route,
            &[("flyball", "Update", 9, rules()), ("kubectl", "Apply", 1, rules())],
            Some("kubectl Apply"),
            None,
        );
        check(
            &route,
            &[
                ("argocd-controller", "Apply", 1, rules()),
                ("kubectl-edit", "Update", 2, rules()),
            ],
            Some("kubectl-edit Update"),
            Some("argocd-controller Apply"),
        );
        // Neither the labels, nor another part of the spec, nor the status make an owner of the rules.
        check(
            &route,
            &[("helm", "Update", 1, json!({"f:metadata": {"f:labels": {"f:a": {}}}}))],
            None,
            None,
        );
        check(
            &route,
            &[("helm", "Update", 1, json!({"f:spec": {"f:hostnames": {}}}))],
            None,
            None,
        );
        check(
            &route,
            &[("traefik", "Update", 1, json!({"f:status": {"f:parents": {}}}))],
            None,
            None,
        );
        check(&route, &[("odd", "Update", 1, json!({}))], None, None);
        // An ancestor that is owned as a whole.
        check(
            &route,
            &[("flux", "Apply", 1, json!({"f:spec": {}}))],
            Some("flux Apply"),
            Some("flux Apply"),
        );
    }

    #[test]
    fn every_kind_has_its_own_place() {
        for fixture in fixtures::all() {
            let found = Row::of(&fixture.list().api_version, &fixture.list().kind).expect("a row");
            let nested = |keys: &[&str]| {
                keys.iter()
                    .rev()
                    .fold(json!({}), |inner, key| json!({(format!("f:{key}")): inner}))
            };
            check(
                &fixture.object,
                &[("kubectl", "Apply", 1, nested(found.owned()))],
                Some("kubectl Apply"),
                None,
            );
            let beside = [&found.owned()[..found.owned().len() - 1], &["beside"]].concat();
            check(&fixture.object, &[("kubectl", "Apply", 1, nested(&beside))], None, None);
        }
        let weighted = json!({"f:spec": {"f:weighted": {".": {}, "f:sticky": {}}}});
        let service = fixtures::all()
            .into_iter()
            .find(|fixture| fixture.list().kind == "TraefikService")
            .expect("one");
        check(&service.object, &[("kubectl", "Apply", 1, weighted)], None, None);
    }

    #[test]
    fn a_kind_that_is_not_known_has_no_owner() {
        let mut route = fixtures::http_route();
        route["kind"] = "TCPRoute".into();
        check(
            &route,
            &[("kubectl", "Apply", 1, json!({"f:spec": {"f:rules": {}}}))],
            None,
            None,
        );
    }
}

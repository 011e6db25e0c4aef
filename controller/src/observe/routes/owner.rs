//! Who wrote a list of backends, by the object's managedFields.

use super::{
    super::target,
    table::{Row, TABLE},
};
use flyball_crds::FIELD_MANAGER;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::{ResourceExt, api::DynamicObject};

/// Who wrote the lists of the object last, ourselves left out: manager and operation. `None` where nobody else
/// owns them.
///
/// The rules of a route are atomic: whoever writes one weight owns all of them, and takes them from the others.
/// So this tells who wrote any of the object's lists, and nothing of which.
pub fn manager_of(object: &DynamicObject) -> Option<(String, String)> {
    target::newest(others(object))
}

/// A manager that owns the lists of the object and would write them again from its repository: the newest.
pub fn gitops_owner_of(object: &DynamicObject) -> Option<(String, String)> {
    target::newest(others(object).filter(|entry| target::is_gitops(entry)))
}

fn others(object: &DynamicObject) -> impl Iterator<Item = &ManagedFieldsEntry> {
    let own = |entry: &ManagedFieldsEntry| entry.manager.as_deref() == Some(FIELD_MANAGER);
    let entries = object.managed_fields().iter().filter(move |entry| !own(entry));
    entries.filter(|entry| rows(object, entry).any(|row| owns(entry, row.owned())))
}

/// The rows that an object may be of. The items of a list need not say their kind; an entry names its group, and
/// the kinds of one group have their lists in the same place.
fn rows<'a>(object: &'a DynamicObject, entry: &'a ManagedFieldsEntry) -> impl Iterator<Item = &'static Row> + 'a {
    let kind = object.types.as_ref().map(|types| types.kind.as_str());
    let version = object.types.as_ref().map(|types| types.api_version.as_str());
    let group = version
        .or(entry.api_version.as_deref())
        .and_then(|version| version.split('/').next());
    TABLE
        .iter()
        .filter(move |row| Some(row.group) == group && kind.is_none_or(|kind| kind == row.kind))
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
    fn an_item_of_a_list_need_not_say_its_kind() {
        let mut ingress = fixtures::canary();
        for key in ["apiVersion", "kind"] {
            ingress.as_object_mut().expect("an object").remove(key);
        }
        let annotation = json!({"f:metadata": {"f:annotations": {"f:nginx.ingress.kubernetes.io/canary-weight": {}}}});
        let check = |api_version: &str, expect: Option<&str>| {
            let entry =
                json!({"manager": "helm", "operation": "Update", "apiVersion": api_version, "fieldsV1": annotation});
            let mut object = ingress.clone();
            object["metadata"]["managedFields"] = json!([entry]);
            let found = manager_of(&fixtures::object(&object));
            assert_eq!(found.map(|(manager, _)| manager).as_deref(), expect, "{api_version}");
        };
        check("networking.k8s.io/v1", Some("helm"));
        check("networking.istio.io/v1", None);
        check("v1", None);
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

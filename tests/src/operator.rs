//! What a cluster has of the prometheus-operator: the definition of PrometheusRule.

#![allow(clippy::expect_used, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

use crate::bed::{Bed, eventually, served};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

/// The name of its definition.
pub const NAME: &str = "prometheusrules.monitoring.coreos.com";
/// The version of a PrometheusRule.
pub const API: &str = "monitoring.coreos.com/v1";

/// As much of the prometheus-operator's definition as is read: its names, its scope and the types of
/// the fields. The operator itself is not needed: nothing but the objects is asked of it.
fn definition() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let text = json!({"type": "string"});
    let rule = json!({
        "type": "object", "required": ["expr"],
        "properties": {
            "alert": text, "record": text, "for": text, "keep_firing_for": text,
            "expr": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true},
            "labels": texts, "annotations": texts,
        },
    });
    let group = json!({
        "type": "object", "required": ["name"],
        "properties": {
            "name": text, "interval": text, "query_offset": text, "limit": {"type": "integer"}, "labels": texts,
            "rules": {"type": "array", "items": rule},
        },
    });
    let groups = json!({
        "type": "array", "items": group,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    });
    let spec = json!({"type": "object", "properties": {"groups": groups}});
    let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": spec}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": NAME},
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": {
                "kind": "PrometheusRule", "listKind": "PrometheusRuleList", "plural": "prometheusrules",
                "singular": "prometheusrule",
            },
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

fn definitions(bed: &Bed) -> Api<CustomResourceDefinition> {
    Api::all(bed.client.clone())
}

/// Takes the definition away, and with it all such objects.
pub async fn uninstall(bed: &Bed) {
    let api = definitions(bed);
    let deleted = api.delete(NAME, &DeleteParams::default()).await;
    assert!(deleted.is_ok() || matches!(&deleted, Err(kube::Error::Api(status)) if status.code == 404));
    eventually("the definition is gone", async || {
        api.get_opt(NAME).await.ok()?.is_none().then_some(())
    })
    .await;
}

/// Installs the definition.
pub async fn install(bed: &Bed) {
    let api = definitions(bed);
    api.patch(
        NAME,
        &PatchParams::apply("flyball-tests").force(),
        &Patch::Apply(definition()),
    )
    .await
    .expect("the definition");
    served(&bed.client, NAME).await;
}

//! Routes whose weights are moved, and who would reset them.

use super::made;
use crate::build::{merge, weights_policy};
use flyball_controller::{
    cli::doctor::{
        finding::Mark,
        policies::{gitops, routes},
    },
    observe::{
        cluster::KindError,
        routes::{Route, RouteError, RouteProblem, locate},
    },
    validate,
};
use flyball_core::policy::{OnReset, RouteList, RuleRef, WeightsAction};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use rstest::rstest;
use serde_json::{Value, json};
use std::sync::Arc;

const STOP: OnReset = OnReset::Stop;

fn action(more: Value) -> WeightsAction {
    let policy = weights_policy(json!({}));
    let mut spec = serde_json::to_value(&policy.spec).unwrap();
    merge(&mut spec["actions"][0], more);
    let spec = serde_json::from_value(spec).unwrap();
    validate::policy(&spec).unwrap().weights.remove(0)
}

/// The HTTPRoute of the policy, with a backend that is not managed between the others.
fn route(more: Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"rules": [{"name": "split", "backendRefs": [
            {"name": "web-a", "port": 80, "weight": 400}, {"name": "legacy", "port": 80, "weight": 100},
            {"name": "web-b", "port": 80, "weight": 600},
        ]}]},
    });
    merge(&mut object, more);
    made(object)
}

fn list(kind: &str, name: &str) -> RouteList {
    RouteList {
        api_version: "gateway.networking.k8s.io/v1".to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        rule: RuleRef::Only,
    }
}

fn found(object: DynamicObject, list: RouteList) -> Route {
    let located = locate(&object, &list, &action(json!({})).backends).unwrap();
    let (group, version) = list.api_version.split_once('/').unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &list.kind));
    Route {
        list,
        resource,
        object: Arc::new(object),
        located,
    }
}

#[test]
fn a_route_that_is_there_tells_its_weights() {
    let route = found(route(json!({})), list("HTTPRoute", "web"));
    let judged = routes::there(&route, &action(json!({})).backends);
    assert_eq!(
        (judged.mark, judged.said.as_str()),
        (
            Mark::Ok,
            "HTTPRoute/web (its only rule) has web-a 400, web-b 600 of 2 managed; beside them legacy, which are left alone"
        )
    );
}

#[rstest]
#[case::missing(
    RouteProblem::Missing { list: list("HTTPRoute", "web").into(), namespace: "shop".to_owned() },
    Mark::Fail, "HTTPRoute web (its only rule) does not exist in namespace shop", "create it, or correct the name"
)]
#[case::not_served(
    RouteProblem::Kind { list: list("HTTPRoute", "web").into(), error: KindError::NotServed("HTTPRoute".to_owned()).into() },
    Mark::Fail, "the API server does not serve gateway.networking.k8s.io/v1 HTTPRoute",
    "install its definition; the controller looks for it every minute"
)]
#[case::paused(
    RouteProblem::Paused(list("HTTPRoute", "web").into()),
    Mark::Warn,
    "HTTPRoute web (its only rule) carries the annotation flyball.dev/paused",
    "remove it to go on"
)]
#[case::no_backend(
    RouteProblem::Invalid(RouteError::NoBackend {
        object: "HTTPRoute web".to_owned(), field: "spec.rules[0].backendRefs".to_owned(), backend: "web-c".to_owned(),
        there: "web-a, web-b".to_owned(),
    }.into()),
    Mark::Fail, "HTTPRoute web has no backend \"web-c\" in spec.rules[0].backendRefs, which holds web-a, web-b",
    "add it there or take it off the action"
)]
fn a_route_that_can_not_be_moved_is_named(
    #[case] problem: RouteProblem,
    #[case] mark: Mark,
    #[case] said: &str,
    #[case] way_out: &str,
) {
    let judged = routes::problem_of(&list("HTTPRoute", "web"), &problem);
    assert_eq!(
        (judged.mark, judged.said.as_str(), judged.way_out.as_str()),
        (mark, said, way_out)
    );
}

#[test]
fn routes_of_one_policy_are_alike() {
    let web = found(route(json!({})), list("HTTPRoute", "web"));
    let mut other = route(json!({"kind": "GRPCRoute", "metadata": {"name": "api"}}));
    let same = found(other.clone(), list("GRPCRoute", "api"));
    assert_eq!(routes::alike(&[web.clone(), same]), None);
    other.data["spec"]["rules"][0]["backendRefs"][0]["weight"] = json!(500);
    let judged = routes::alike(&[web, found(other, list("GRPCRoute", "api"))]).unwrap();
    assert_eq!(judged.mark, Mark::Fail);
    assert_eq!(
        judged.said,
        "HTTPRoute/web (its only rule) has web-a 400, web-b 600 and GRPCRoute/api (its only rule) has web-a 500, web-b 600, so nothing is moved"
    );
}

#[test]
fn two_policies_on_one_route_are_named() {
    let policy = |name: &str, second: u32, kind: &str| {
        weights_policy(json!({
            "metadata": {"name": name, "uid": name, "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")},
            "spec": {"targetRef": {"kind": kind}},
        }))
    };
    let (own, older, younger) = (
        policy("b", 2, "HTTPRoute"),
        policy("a", 1, "HTTPRoute"),
        policy("c", 3, "HTTPRoute"),
    );
    let elsewhere = policy("d", 0, "GRPCRoute");
    let judged = routes::rivals(&own, &action(json!({})), &[older, own.clone(), younger, elsewhere]);
    let judged: Vec<_> = judged.iter().map(|found| (found.mark, found.said.as_str())).collect();
    assert_eq!(
        judged,
        [
            (
                Mark::Fail,
                "FeedbackPolicy a moves a list of the same route, and comes first, so this one moves nothing"
            ),
            (
                Mark::Warn,
                "FeedbackPolicy c moves a list of the same route, and comes behind this one"
            ),
        ]
    );
}

fn entry(manager: &str, operation: &str) -> Value {
    json!({
        "manager": manager, "operation": operation, "apiVersion": "gateway.networking.k8s.io/v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:rules": {}}},
    })
}

#[rstest]
#[case(json!([]), "nobody owns the lists of web by its managedFields")]
#[case(json!([entry("flyball", "Update")]), "the lists of web were written by Flyball last")]
#[case(json!([entry("kubectl-edit", "Update")]), "the lists of web are owned by kubectl-edit (Update)")]
#[case(json!([entry("flyball", "Update"), entry("argocd-controller", "Apply")]), "the lists of web are owned by argocd-controller (Apply), beside Flyball")]
fn who_owns_the_lists_is_said(#[case] managers: Value, #[case] said: &str) {
    let judged = routes::owner(&route(json!({"metadata": {"managedFields": managers}})));
    assert_eq!((judged.mark, judged.said.as_str()), (Mark::Ok, said));
}

/// What is found of a route of this metadata: mark, words and lines.
fn judged(metadata: &Value, on_reset: OnReset) -> Vec<(Mark, String, String)> {
    let route = found(route(json!({"metadata": metadata})), list("HTTPRoute", "web"));
    let judged = gitops::judge(&route.object, &route.located, on_reset);
    judged
        .into_iter()
        .map(|found| {
            (
                found.mark,
                format!("{} -> {}", found.said, found.way_out),
                found.snippet.join("\n"),
            )
        })
        .collect()
}

#[test]
fn a_route_that_nobody_applies_has_nothing_to_say() {
    assert_eq!(judged(&json!({}), STOP), []);
    assert_eq!(
        judged(&json!({"managedFields": [entry("flyball", "Update")]}), STOP),
        []
    );
}

#[rstest]
#[case::by_its_entry(json!({"managedFields": [entry("argocd-controller", "Apply")]}))]
#[case::by_its_mark(json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:gateway.networking.k8s.io/HTTPRoute:shop/web"}}))]
fn argo_cd_is_told_to_ignore_the_weights_and_what_that_costs(#[case] metadata: Value) {
    let judged = judged(&metadata, OnReset::Reapply { per_hour: 3 });
    let [(mark, said, lines)] = judged.as_slice() else {
        panic!("{judged:?}")
    };
    assert_eq!(*mark, Mark::Warn);
    for part in [
        "at most 3 times an hour",
        "argo-cd#17694, #9678",
        "later edits in Git inside of spec.rules are then silently not applied",
        "keep spec.rules out of Git, or put the weighted rule into a route of its own",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(
        lines,
        "\
spec:
  ignoreDifferences:
  - group: gateway.networking.k8s.io
    kind: HTTPRoute
    name: web
    jqPathExpressions:
    - '.spec.rules[].backendRefs[].weight'
  syncPolicy:
    syncOptions:
    - RespectIgnoreDifferences=true"
    );
}

#[test]
fn flux_is_told_to_ignore_the_weights() {
    let judged = judged(&json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}), STOP);
    let [(mark, said, lines)] = judged.as_slice() else {
        panic!("{judged:?}")
    };
    assert_eq!(*mark, Mark::Warn);
    assert!(
        said.contains("(onReset: Stop)") && said.contains("kustomize-controller 1.9"),
        "{said}"
    );
    assert_eq!(
        lines,
        "\
# In the Kustomization; the numbers are the places in the lists:
spec:
  ignore:
  - paths:
    - /spec/rules/0/backendRefs/0/weight
    - /spec/rules/0/backendRefs/2/weight
    target: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}
# Or on the route in Git, which is then only created and never edited from there:
metadata:
  annotations: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}
# Or in the cluster, for a time:
kubectl annotate httproute.gateway.networking.k8s.io web -n shop kustomize.toolkit.fluxcd.io/reconcile=disabled"
    );
}

#[rstest]
#[case(json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}), Mark::Ok)]
#[case(json!({"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}), Mark::Ok)]
#[case(json!({"kustomize.toolkit.fluxcd.io/ssa": "Ignore"}), Mark::Ok)]
// It keeps what others add, and a list is one value.
#[case(json!({"kustomize.toolkit.fluxcd.io/ssa": "Merge"}), Mark::Warn)]
#[case(json!({"kustomize.toolkit.fluxcd.io/reconcile": "enabled"}), Mark::Warn)]
fn flux_says_on_the_route_whether_it_leaves_it(#[case] annotations: Value, #[case] mark: Mark) {
    let managers = json!([entry("kustomize-controller", "Apply")]);
    let judged = judged(&json!({"annotations": annotations, "managedFields": managers}), STOP);
    assert_eq!(judged.iter().map(|found| found.0).collect::<Vec<_>>(), [mark]);
}

#[test]
fn helm_is_told_to_ignore_the_weights() {
    let labels = json!({"helm.toolkit.fluxcd.io/name": "shop"});
    let release = json!({"meta.helm.sh/release-name": "shop"});
    let found = judged(&json!({"labels": labels, "annotations": release}), STOP);
    let [(Mark::Warn, said, lines)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(said.contains("with each upgrade it does"), "{said}");
    assert!(
        lines.contains("  driftDetection:\n    ignore:\n    - paths:\n      - /spec/rules/0/backendRefs/0/weight\n"),
        "{lines}"
    );
    let off = json!({"helm.toolkit.fluxcd.io/driftDetection": "disabled"});
    let found = judged(&json!({"labels": labels, "annotations": off}), STOP);
    assert_eq!(found.iter().map(|found| found.0).collect::<Vec<_>>(), [Mark::Ok]);
    let found = judged(&json!({"annotations": release}), STOP);
    let [(Mark::Warn, said, _)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(said.contains("belongs to a release of Helm"), "{said}");
}

#[test]
fn a_file_that_is_applied_again_resets_the_weights() {
    let applied = json!({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}});
    let found = judged(&applied, STOP);
    let [(Mark::Warn, said, _)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(
        said.contains("applying its file again writes the file's weights"),
        "{said}"
    );
    // Argo CD leaves it too, and is named alone.
    let mut both = applied;
    merge(
        &mut both,
        json!({"managedFields": [entry("argocd-controller", "Update")]}),
    );
    assert_eq!(judged(&both, STOP).len(), 1);
}

/// The paths of the other kinds, by hand from their definitions.
#[rstest]
#[case(
    json!({"apiVersion": "traefik.io/v1alpha1", "kind": "TraefikService", "spec": {"weighted": {"services": [
        {"name": "web-a", "weight": 1}, {"name": "web-b", "weight": 1},
    ]}}}),
    ".spec.weighted.services[].weight", "/spec/weighted/services/1/weight"
)]
#[case(
    json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": {"http": [{"route": [
        {"destination": {"host": "web-a"}, "weight": 50}, {"destination": {"host": "web-b"}, "weight": 50},
    ]}]}}),
    ".spec.http[].route[].weight", "/spec/http/0/route/1/weight"
)]
#[case(
    json!({"apiVersion": "projectcontour.io/v1", "kind": "HTTPProxy", "spec": {"routes": [{"services": [
        {"name": "web-a", "weight": 1}, {"name": "web-b", "weight": 1},
    ]}]}}),
    ".spec.routes[].services[].weight", "/spec/routes/0/services/1/weight"
)]
#[case(
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "10"}},
        "spec": {"defaultBackend": {"service": {"name": "web-b"}}},
    }),
    ".metadata.annotations[\"nginx.ingress.kubernetes.io/canary-weight\"]",
    "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight"
)]
fn each_kind_has_its_paths(#[case] mut object: Value, #[case] jq: &str, #[case] pointer: &str) {
    let text = |key: &str| object[key].as_str().unwrap().to_owned();
    let list = RouteList {
        api_version: text("apiVersion"),
        kind: text("kind"),
        name: "web".to_owned(),
        rule: RuleRef::Only,
    };
    merge(
        &mut object,
        json!({"metadata": {
            "name": "web", "namespace": "shop", "labels": {"kustomize.toolkit.fluxcd.io/name": "shop"},
            "annotations": {"argocd.argoproj.io/tracking-id": "x"},
        }}),
    );
    let route = found(made(object), list);
    let judged = gitops::judge(&route.object, &route.located, STOP);
    let lines: Vec<&String> = judged.iter().flat_map(|found| &found.snippet).collect();
    assert!(
        lines.iter().any(|line| line.trim_start() == format!("- '{jq}'")),
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(|line| line.trim_start() == format!("- {pointer}")),
        "{lines:#?}"
    );
}

//! Objects of every kind as a cluster holds them, with fields that nobody here knows.

use flyball_core::policy::{Backend, RouteList, RuleRef, Weight, Weights};
use kube::api::DynamicObject;
use serde_json::{Value, json};

/// An object, a list in it, and what is in that list.
pub struct Fixture {
    pub object: Value,
    pub rule: RuleRef,
    /// The managed backends and their weights as found, by hand.
    pub managed: Vec<(&'static str, u32)>,
    pub unmanaged: u64,
    pub others: Vec<&'static str>,
    pub fixed_total: Option<u32>,
    /// Where the weight of each managed backend is, in the same order.
    pub places: Vec<&'static str>,
}

impl Fixture {
    pub fn object(&self) -> DynamicObject {
        object(&self.object)
    }

    pub fn list(&self) -> RouteList {
        list(&self.object, self.rule.clone())
    }

    pub fn backends(&self) -> Vec<Backend> {
        backends(self.managed.iter().map(|(name, _)| *name))
    }
}

pub fn object(value: &Value) -> DynamicObject {
    serde_json::from_value(value.clone()).expect("an object")
}

pub fn list(object: &Value, rule: RuleRef) -> RouteList {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).expect("a text").to_owned();
    RouteList {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        name: text("/metadata/name"),
        rule,
    }
}

pub fn backends<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Backend> {
    let backend = |name: &str| Backend {
        name: name.to_owned(),
        base: weight(1),
    };
    names.into_iter().map(backend).collect()
}

pub fn weight(weight: u32) -> Weight {
    Weight::new(weight.into()).expect("a weight")
}

pub fn weights<'a>(of: impl IntoIterator<Item = (&'a str, u32)>) -> Weights {
    Weights::new(of.into_iter().map(|(name, n)| (name.to_owned(), weight(n))))
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name, "namespace": "shop", "uid": "u-1", "resourceVersion": "41", "generation": 3,
        "labels": {"app.kubernetes.io/part-of": "shop"}, "annotations": {"example.com/owner": "team/a~b"},
    })
}

/// Two rules, of which the second is meant, with filters, an unmanaged backend and a weight that is left out.
pub fn http_route() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata("shop"),
        "spec": {
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public"}],
            "hostnames": ["shop.example.com"],
            "rules": [
                {"name": "static", "matches": [{"path": {"type": "PathPrefix", "value": "/static"}}],
                 "backendRefs": [{"group": "", "kind": "Service", "name": "a", "port": 80, "weight": 5}]},
                {"name": "main", "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
                 "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x", "value": "1"}]}}],
                 "timeouts": {"request": "10s"}, "fromTheFuture": {"weight": 3},
                 "backendRefs": [
                    {"group": "", "kind": "Service", "name": "other", "port": 80, "weight": 10},
                    {"group": "", "kind": "Service", "name": "b", "namespace": "far", "port": 8080, "weight": 20,
                     "filters": [{"type": "ExtensionRef", "extensionRef": {"group": "x.io", "kind": "F", "name": "f"}}]},
                    {"group": "", "kind": "Service", "name": "a", "port": 80},
                 ]},
            ],
        },
        "status": {"parents": [{"controllerName": "traefik.io/gateway-controller"}]},
    })
}

pub fn virtual_service() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata("shop"),
        "spec": {"hosts": ["shop"], "gateways": ["mesh"], "http": [
            {"name": "api", "match": [{"uri": {"prefix": "/api"}}], "route": [{"destination": {"host": "api"}}]},
            {"match": [{"uri": {"prefix": "/"}}], "retries": {"attempts": 2}, "route": [
                {"destination": {"host": "shop", "subset": "v1", "port": {"number": 80}}, "weight": 100,
                 "headers": {"response": {"remove": ["x-a"]}}},
                {"destination": {"host": "shop", "subset": "v2", "port": {"number": 80}}},
            ]},
        ]},
    })
}

pub fn canary() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "shop-canary", "namespace": "shop", "uid": "u-1", "resourceVersion": "41", "annotations": {
            "nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "30",
            "nginx.ingress.kubernetes.io/canary-weight-total": "200", "nginx.ingress.kubernetes.io/ssl-redirect": "false",
        }},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": "shop.example.com", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "new", "port": {"number": 80}}}},
            {"path": "/x", "pathType": "Prefix", "backend": {"service": {"name": "new", "port": {"number": 80}}}},
        ]}}]},
    })
}

fn grpc_route() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": metadata("rpc"),
        "spec": {"rules": [{
            "matches": [{"method": {"service": "shop.Cart", "type": "Exact"}}],
            "backendRefs": [
                {"group": "", "kind": "Service", "name": "a", "port": 9090, "weight": 1_000_000},
                {"group": "", "kind": "Service", "name": "b", "port": 9090, "weight": 0},
            ],
        }]},
    })
}

fn linkerd_route() -> Value {
    json!({
        "apiVersion": "policy.linkerd.io/v1beta3", "kind": "HTTPRoute", "metadata": metadata("shop"),
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": "shop", "port": 80}],
            "rules": [
                {"backendRefs": [{"name": "a", "port": 80}]},
                // Without matches: the names of the list alone tell it.
                {"timeouts": {"request": "1s"}, "backendRefs": [{"name": "a", "port": 80}, {"name": "b", "port": 80, "weight": 3}]},
            ],
        },
    })
}

fn traefik_service() -> Value {
    json!({
        "apiVersion": "traefik.io/v1alpha1", "kind": "TraefikService", "metadata": metadata("shop"),
        "spec": {"weighted": {
            "services": [
                {"name": "a", "port": 80},
                {"name": "b", "kind": "TraefikService", "namespace": "far", "weight": 3, "passHostHeader": true},
                {"name": "old", "port": "http", "weight": 1},
            ],
            "sticky": {"cookie": {"name": "lvl"}},
        }},
    })
}

fn http_proxy() -> Value {
    json!({
        "apiVersion": "projectcontour.io/v1", "kind": "HTTPProxy", "metadata": metadata("shop"),
        "spec": {"virtualhost": {"fqdn": "shop.example.com"}, "routes": [{
            "conditions": [{"prefix": "/"}], "enableWebsockets": true,
            "services": [
                {"name": "a", "port": 80, "mirror": true, "weight": 50},
                {"name": "a", "port": 80, "protocol": "h2c", "weight": 90},
                {"name": "b", "port": 80},
            ],
        }]},
    })
}

/// One of every row, two of the first.
pub fn all() -> Vec<Fixture> {
    let fixture = |object, rule, managed: &[(&'static str, u32)], places: &[&'static str]| Fixture {
        object,
        rule,
        managed: managed.to_vec(),
        unmanaged: 0,
        others: Vec::new(),
        fixed_total: None,
        places: places.to_vec(),
    };
    let mut beta = http_route();
    beta["apiVersion"] = "gateway.networking.k8s.io/v1beta1".into();
    let refs = [
        "/spec/rules/1/backendRefs/2/weight",
        "/spec/rules/1/backendRefs/1/weight",
    ];
    let in_route = |object, rule| Fixture {
        unmanaged: 10,
        others: vec!["other"],
        ..fixture(object, rule, &[("a", 1), ("b", 20)], &refs)
    };
    vec![
        in_route(http_route(), RuleRef::Name("main".to_owned())),
        in_route(beta, RuleRef::Index(1)),
        fixture(
            grpc_route(),
            RuleRef::Only,
            &[("a", 1_000_000), ("b", 0)],
            &[
                "/spec/rules/0/backendRefs/0/weight",
                "/spec/rules/0/backendRefs/1/weight",
            ],
        ),
        fixture(
            linkerd_route(),
            RuleRef::Index(1),
            &[("a", 1), ("b", 3)],
            &[
                "/spec/rules/1/backendRefs/0/weight",
                "/spec/rules/1/backendRefs/1/weight",
            ],
        ),
        Fixture {
            unmanaged: 1,
            others: vec!["old"],
            ..fixture(
                traefik_service(),
                RuleRef::Only,
                &[("a", 1), ("b", 3)],
                &["/spec/weighted/services/0/weight", "/spec/weighted/services/1/weight"],
            )
        },
        Fixture {
            fixed_total: Some(100),
            ..fixture(
                virtual_service(),
                RuleRef::Index(1),
                &[("shop/v1", 100), ("shop/v2", 0)],
                &["/spec/http/1/route/0/weight", "/spec/http/1/route/1/weight"],
            )
        },
        fixture(
            http_proxy(),
            RuleRef::Only,
            &[("a", 90), ("b", 0)],
            &["/spec/routes/0/services/1/weight", "/spec/routes/0/services/2/weight"],
        ),
        Fixture {
            fixed_total: Some(200),
            // Of the main Ingress' Service nothing is written here.
            ..fixture(
                canary(),
                RuleRef::Only,
                &[("new", 30), ("old", 170)],
                &["/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight"],
            )
        },
    ]
}

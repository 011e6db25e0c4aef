use super::{super::fixtures::backends, *};
use crate::promql;
use regex::Regex;

/// What may stand for the namespace until it is known.
const PLACEHOLDER: &str = "__namespace__";
const MINUTE: Span = Span::from_secs(60);

fn route(api_version: &str, kind: &str, name: &str, rule: RuleRef) -> RouteList {
    RouteList {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        rule,
    }
}

fn http(name: &str, rule: RuleRef) -> RouteList {
    route("gateway.networking.k8s.io/v1", "HTTPRoute", name, rule)
}

fn grpc(name: &str) -> RouteList {
    route("gateway.networking.k8s.io/v1", "GRPCRoute", name, RuleRef::Only)
}

fn crd(name: &str) -> RouteList {
    route("traefik.io/v1alpha1", "TraefikService", name, RuleRef::Only)
}

fn asked(proxy: Proxy, routes: &[RouteList], names: &[&str]) -> (String, String) {
    queries(proxy, "shop", routes, &backends(names.iter().copied()), MINUTE)
}

#[test]
fn a_proxy_reads_as_it_is_written() {
    for proxy in ALL {
        assert_eq!(proxy.to_string().parse(), Ok(proxy));
    }
    let error = "nginx".parse::<Proxy>().expect_err("an error").to_string();
    for part in [
        "\"nginx\"",
        "Traefik, Envoy, Istio, Linkerd, IngressNginx, Haproxy",
        "requests and errors",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn queries_are_these() {
    let check = |proxy, routes: &[RouteList], names: &[&str], requests: &str, errors: &str| {
        let found = asked(proxy, routes, names);
        assert_eq!((found.0.as_str(), found.1.as_str()), (requests, errors));
    };
    let web = [http("web", RuleRef::Index(1))];
    check(
        Proxy::Traefik,
        &web,
        &["a", "b"],
        r#"sum by (backend) (label_replace(rate(traefik_service_requests_total{service=~"(?:httproute-shop-web-gw-.+-ep-.+-1)-[0-9a-f]{20}-svc-shop-(?:a|b)-[0-9]+@kubernetesgateway"}[1m]), "backend", "$1", "service", ".+?-[0-9a-f]{20}-svc-shop-(.+)-[0-9]+@kubernetesgateway"))"#,
        r#"sum by (backend) (label_replace(rate(traefik_service_requests_total{service=~"(?:httproute-shop-web-gw-.+-ep-.+-1)-[0-9a-f]{20}-svc-shop-(?:a|b)-[0-9]+@kubernetesgateway",code=~"5.."}[1m]), "backend", "$1", "service", ".+?-[0-9a-f]{20}-svc-shop-(.+)-[0-9]+@kubernetesgateway"))"#,
    );
    check(
        Proxy::Istio,
        &[],
        &["a", "b.shop.svc.cluster.local", "c/v1", "c/v2"],
        r#"sum by (backend) (label_replace(rate(istio_requests_total{reporter="source",destination_service_namespace="shop",destination_service_name=~"(?:a)"}[1m]), "backend", "$1", "destination_service_name", "(.+)") or label_replace(rate(istio_requests_total{reporter="source",destination_service=~"(?:b\\.shop\\.svc\\.cluster\\.local)"}[1m]), "backend", "$1", "destination_service", "(.+)") or label_join(rate(istio_requests_total{reporter="source",destination_service_namespace="shop",destination_service_name=~"(?:c)",destination_version=~"(?:v1|v2)"}[1m]), "backend", "/", "destination_service_name", "destination_version"))"#,
        r#"sum by (backend) (label_replace(rate(istio_requests_total{reporter="source",destination_service_namespace="shop",destination_service_name=~"(?:a)",response_code=~"5.."}[1m]), "backend", "$1", "destination_service_name", "(.+)") or label_replace(rate(istio_requests_total{reporter="source",destination_service=~"(?:b\\.shop\\.svc\\.cluster\\.local)",response_code=~"5.."}[1m]), "backend", "$1", "destination_service", "(.+)") or label_join(rate(istio_requests_total{reporter="source",destination_service_namespace="shop",destination_service_name=~"(?:c)",destination_version=~"(?:v1|v2)",response_code=~"5.."}[1m]), "backend", "/", "destination_service_name", "destination_version"))"#,
    );
    check(
        Proxy::Linkerd,
        &web,
        &["a", "b"],
        r#"sum by (backend) (label_replace(rate(outbound_http_route_backend_response_statuses_total{route_group=~"(?:gateway\\.networking\\.k8s\\.io)",route_namespace="shop",route_name=~"(?:web)",backend_name=~"(?:a|b)"}[1m]), "backend", "$1", "backend_name", "(.+)"))"#,
        r#"sum by (backend) (label_replace(rate(outbound_http_route_backend_response_statuses_total{route_group=~"(?:gateway\\.networking\\.k8s\\.io)",route_namespace="shop",route_name=~"(?:web)",backend_name=~"(?:a|b)",http_status=~"5..|"}[1m]), "backend", "$1", "backend_name", "(.+)"))"#,
    );
}

#[test]
fn what_reaches_no_backend_is_asked_of_traefik() {
    let web = [http("web", RuleRef::Index(1)), crd("x")];
    let expect = r#"clamp_min(sum(rate(traefik_router_requests_total{router=~"(?:httproute-shop-web-gw-.+-ep-.+-1)-[0-9a-f]{20}@kubernetesgateway"}[1m])) - (sum(rate(traefik_service_requests_total{service=~"(?:httproute-shop-web-gw-.+-ep-.+-1)-[0-9a-f]{20}-svc-.+@kubernetesgateway"}[1m])) or vector(0)), 0)"#;
    assert_eq!(unserved(Proxy::Traefik, "shop", &web, MINUTE).as_deref(), Some(expect));
    assert_eq!(unserved(Proxy::Traefik, "shop", &[crd("x")], MINUTE), None);
    for proxy in ALL.into_iter().filter(|proxy| *proxy != Proxy::Traefik) {
        assert_eq!(unserved(proxy, "shop", &web, MINUTE), None, "{proxy}");
    }
}

#[test]
fn queries_of_the_others_are_these() {
    let check = |proxy, query: &str, failed: &str| {
        let found = asked(proxy, &[], &["a", "b"]);
        let of = |failed| query.replace("FAILED", failed);
        assert_eq!(found, (of(""), of(failed)));
    };
    check(
        Proxy::Envoy,
        r#"sum by (backend) (label_replace(rate(envoy_cluster_upstream_rq_xx{envoy_cluster_name=~"service/shop/(?:a|b)/[0-9]+(?:/.+)?|shop_(?:a|b)_[0-9]+"FAILED}[1m]), "backend", "$1", "envoy_cluster_name", "(?:service/shop/|shop_)([^/_]+)[/_].+"))"#,
        r#",envoy_response_code_class="5""#,
    );
    check(
        Proxy::IngressNginx,
        r#"sum by (backend) (label_replace(rate(nginx_ingress_controller_requests{namespace="shop",canary="",service=~"(?:a|b)"FAILED}[1m]), "backend", "$1", "service", "(.+)") or label_replace(rate(nginx_ingress_controller_requests{namespace="shop",canary=~"shop-(?:a|b)-[a-z0-9]+"FAILED}[1m]), "backend", "$1", "canary", "shop-(.+)-[a-z0-9]+"))"#,
        r#",status=~"5..""#,
    );
    check(
        Proxy::Haproxy,
        r#"sum by (backend) (label_replace(rate(haproxy_backend_http_responses_total{proxy=~"shop_(?:(?:[^_]+_)?svc_)?(?:a|b)_[^_]+"FAILED}[1m]), "backend", "$1", "proxy", "shop_(?:(?:[^_]+_)?svc_)?([^_]+)_[^_]+"))"#,
        r#",code="5xx""#,
    );
}

/// What Prometheus would do with a series, label by label: both patterns are anchored at both ends.
fn backend_of(series: &[Series], metric: &str, labels: &[(&str, &str)]) -> Option<String> {
    let whole = |pattern: &str| Regex::new(&format!("^(?s:{pattern})$")).expect("a pattern");
    let value = |label: &str| {
        labels
            .iter()
            .find(|(name, _)| *name == label)
            .map_or("", |(_, value)| *value)
    };
    let one = series.iter().filter(|one| one.metric == metric).find(|one| {
        one.matchers.iter().all(|(label, operator, wanted)| match *operator {
            "=" => value(label) == wanted,
            "!=" => value(label) != wanted,
            _ => whole(wanted).is_match(value(label)),
        })
    })?;
    match &one.backend {
        Naming::Joined(first, second) => Some(format!("{}/{}", value(first), value(second))),
        Naming::Group(label, patterns) => {
            let found = patterns
                .iter()
                .find_map(|pattern| whole(pattern).captures(value(label)).map(|it| it[1].to_owned()));
            Some(found.unwrap_or_else(|| panic!("{} has no backend", value(label))))
        }
    }
}

const HASH: &str = "0123456789abcdef0123";

#[test]
fn traefik_names_services_by_route_and_rule() {
    let backends = ["a", "a-0", "shop-a", "shop"];
    let check = |routes: &[RouteList], service: &str, expect: Option<&str>| {
        let service = service.replace("HASH", HASH);
        let found = backend_of(
            &traefik("shop", routes, &backends),
            "traefik_service_requests_total",
            &[("service", &service)],
        );
        assert_eq!(found.as_deref(), expect, "{service}");
    };
    let web = [http("web", RuleRef::Index(1))];
    check(
        &web,
        "httproute-shop-web-gw-edge-public-ep-web-1-HASH-svc-shop-a-0@kubernetesgateway",
        Some("a"),
    );
    check(
        &web,
        "httproute-shop-web-gw-edge-public-ep-web-1-HASH-svc-shop-a-0-12@kubernetesgateway",
        Some("a-0"),
    );
    check(
        &web,
        "httproute-shop-web-gw-edge-public-ep-web-1-HASH-svc-shop-shop-a-3@kubernetesgateway",
        Some("shop-a"),
    );
    check(
        &web,
        "httproute-shop-web-gw-edge-public-ep-web-secure-1-HASH-svc-shop-shop-3@kubernetesgateway",
        Some("shop"),
    );
    // Another rule, another route, another namespace, another kind, another backend, no backend.
    check(
        &web,
        "httproute-shop-web-gw-edge-public-ep-web-0-HASH-svc-shop-a-0@kubernetesgateway",
        None,
    );
    check(
        &web,
        "httproute-shop-web-gw-edge-public-ep-web-11-HASH-svc-shop-a-0@kubernetesgateway",
        None,
    );
    check(
        &web,
        "httproute-shop-web2-gw-edge-public-ep-web-1-HASH-svc-shop-a-0@kubernetesgateway",
        None,
    );
    check(
        &web,
        "httproute-shop-x-web-gw-edge-public-ep-web-1-HASH-svc-shop-a-0@kubernetesgateway",
        None,
    );
    check(
        &web,
        "httproute-shop-web-gw-edge-public-ep-web-1-HASH-svc-other-a-0@kubernetesgateway",
        None,
    );
    check(
        &web,
        "grpcroute-shop-web-gw-edge-public-ep-web-1-HASH-svc-shop-a-0@kubernetesgateway",
        None,
    );
    check(
        &web,
        "httproute-shop-web-gw-edge-public-ep-web-1-HASH-svc-shop-a-canary-0@kubernetesgateway",
        None,
    );
    check(
        &web,
        "httproute-shop-web-gw-edge-public-ep-web-1-HASH-wrr@kubernetesgateway",
        None,
    );
    check(&web, "shop-a-80@kubernetescrd", None);
    // A backend that is named like a part of a service.
    let odd = format!("{HASH}-svc-shop-a");
    let service = format!("httproute-shop-web-gw-edge-public-ep-web-1-{HASH}-svc-shop-{odd}-0@kubernetesgateway");
    let found = backend_of(
        &traefik("shop", &web, &["a", &odd]),
        "traefik_service_requests_total",
        &[("service", &service)],
    );
    assert_eq!(found, Some(odd));
    // By name any rule counts, without either the first is the only one. Dots are dashes in a route's name.
    let named = [
        http("my.route", RuleRef::Name("main".to_owned())),
        grpc("rpc"),
        crd("weighted"),
    ];
    check(
        &named,
        "httproute-shop-my-route-gw-e-p-ep-web-11-HASH-svc-shop-a-0@kubernetesgateway",
        Some("a"),
    );
    check(
        &named,
        "grpcroute-shop-rpc-gw-e-p-ep-web-0-HASH-svc-shop-a-0@kubernetesgateway",
        Some("a"),
    );
    check(
        &named,
        "grpcroute-shop-rpc-gw-e-p-ep-web-1-HASH-svc-shop-a-0@kubernetesgateway",
        None,
    );
    check(&named, "shop-a-80@kubernetescrd", Some("a"));
    check(&named, "shop-a-0-80@kubernetescrd", Some("a-0"));
    check(&named, "shop-a-b-80@kubernetescrd", None);
    check(&named, "shop-a-http@kubernetescrd", None);
}

#[test]
fn the_others_name_services_each_in_their_way() {
    let names = ["a", "a-b"];
    let check = |series: Vec<Series>, metric, labels: &[(&str, &str)], expect: Option<&str>| {
        assert_eq!(backend_of(&series, metric, labels).as_deref(), expect, "{labels:?}");
    };
    let cluster = |name, expect| {
        check(
            envoy("shop", &names),
            "envoy_cluster_upstream_rq_xx",
            &[("envoy_cluster_name", name)],
            expect,
        );
    };
    cluster("service/shop/a/80", Some("a"));
    cluster("service/shop/a-b/80/grpc", Some("a-b"));
    cluster("shop_a-b_8080", Some("a-b"));
    cluster("service/shop/b/80", None);
    cluster("service/other/a/80", None);
    cluster("shop_a-b-c_80", None);
    cluster("httproute/shop/web/rule/0", None);
    cluster("httproute/shop/web/rule/0/backend/1", None);

    let request = |labels: &[(&str, &str)], expect| {
        let labels = [&[("reporter", "source")], labels].concat();
        check(
            istio("shop", &["a", "a.far.svc.cluster.local", "b/v2"]),
            "istio_requests_total",
            &labels,
            expect,
        );
    };
    let of = |name, namespace, version| {
        [
            ("destination_service_name", name),
            ("destination_service_namespace", namespace),
            ("destination_version", version),
        ]
    };
    request(&of("a", "shop", "v9"), Some("a"));
    request(&of("b", "shop", "v2"), Some("b/v2"));
    request(&of("b", "shop", "v1"), None);
    request(&of("a", "far", "v1"), None);
    request(
        &[("destination_service", "a.far.svc.cluster.local")],
        Some("a.far.svc.cluster.local"),
    );
    request(&[("destination_service", "axfar.svc.cluster.local")], None);

    let served = |metric, group, route, backend, expect| {
        let linkerd_own = route_of_linkerd("own");
        let labels = [
            ("route_group", group),
            ("route_namespace", "shop"),
            ("route_name", route),
            ("backend_name", backend),
        ];
        check(
            linkerd(
                "shop",
                &[http("web", RuleRef::Index(3)), grpc("rpc"), linkerd_own],
                &names,
            ),
            metric,
            &labels,
            expect,
        );
    };
    let (of_http, of_grpc) = (
        "outbound_http_route_backend_response_statuses_total",
        "outbound_grpc_route_backend_response_statuses_total",
    );
    served(of_http, "gateway.networking.k8s.io", "web", "a-b", Some("a-b"));
    served(of_http, "policy.linkerd.io", "own", "a", Some("a"));
    served(of_grpc, "gateway.networking.k8s.io", "rpc", "a", Some("a"));
    served(of_http, "gateway.networking.k8s.io", "rpc", "a", None);
    served(of_grpc, "policy.linkerd.io", "rpc", "a", None);
    served(of_http, "gateway.networking.k8s.io", "web", "b", None);

    let counted = |service, canary, expect| {
        let labels = [("namespace", "shop"), ("service", service), ("canary", canary)];
        check(
            nginx("shop", &names),
            "nginx_ingress_controller_requests",
            &labels,
            expect,
        );
    };
    counted("a", "", Some("a"));
    counted("a", "shop-a-b-80", Some("a-b"));
    counted("a", "shop-a-b-http", Some("a-b"));
    counted("main", "shop-a-80", Some("a"));
    counted("main", "", None);
    counted("a", "shop-a-b-c-80", None);
    counted("a", "other-a-b-80", None);

    let answered = |proxy, expect| {
        check(
            haproxy("shop", &names),
            "haproxy_backend_http_responses_total",
            &[("proxy", proxy)],
            expect,
        );
    };
    answered("shop_svc_a_http", Some("a"));
    answered("shop_front_svc_a-b_8080", Some("a-b"));
    answered("shop_a-b_80", Some("a-b"));
    answered("shop_svc_b_http", None);
    answered("other_svc_a_http", None);
    answered("shop_web__rule0", None);
}

fn route_of_linkerd(name: &str) -> RouteList {
    route("policy.linkerd.io/v1beta3", "HTTPRoute", name, RuleRef::Index(0))
}

#[test]
fn every_query_passes_the_gate() {
    let long = |n: usize| format!("{}-{n:02}", "s".repeat(60));
    let longest: Vec<String> = (0..16).map(long).collect();
    let longest: Vec<&str> = longest.iter().map(String::as_str).collect();
    let many: Vec<RouteList> = (0..8)
        .map(|n| http(&long(n), RuleRef::Name("main".to_owned())))
        .collect();
    let mixed = [
        http("a.b.c", RuleRef::Only),
        grpc("a-b"),
        crd("x"),
        route_of_linkerd("1.2"),
    ];
    let hostile = ["a.b", "a-", "a\"} or vector(1) #", "a\\", "a|b(", "x/y/z", "ä\n"];
    let sixteen: Vec<String> = (0..16).map(|n| format!("host{n}/v1")).collect();
    let sixteen: Vec<&str> = sixteen.iter().map(String::as_str).collect();
    let long_namespace = "n".repeat(63);
    let check = |proxy, namespace: &str, routes: &[RouteList], names: &[&str], expect: Span| {
        let (requests, errors) = queries(proxy, namespace, routes, &backends(names.iter().copied()), expect);
        let unserved = unserved(proxy, namespace, routes, expect);
        for text in [requests, errors].into_iter().chain(unserved) {
            let query = promql::query(&text);
            let range = query.as_ref().map(|query| query.longest_range);
            assert_eq!(range, Ok(expect), "{proxy}: {text}");
        }
    };
    for proxy in ALL {
        for namespace in [PLACEHOLDER, long_namespace.as_str()] {
            for (routes, names) in [(&many[..], &longest[..]), (&mixed, &hostile), (&mixed, &sixteen)] {
                check(proxy, namespace, routes, names, Span::from_secs(90));
            }
        }
    }
}

#[test]
fn without_a_backend_or_a_route_nothing_answers() {
    let check = |proxy, routes: &[RouteList], names: &[&str]| {
        let (requests, errors) = asked(proxy, routes, names);
        assert_eq!((requests.as_str(), errors.as_str()), (NOTHING, NOTHING), "{proxy}");
    };
    for proxy in ALL {
        check(proxy, &[http("web", RuleRef::Only)], &[]);
    }
    check(Proxy::Traefik, &[], &["a"]);
    check(Proxy::Linkerd, &[], &["a"]);
    assert!(promql::query(NOTHING).is_ok());
}

#[test]
fn a_namespace_may_be_filled_in_later() {
    let routes = [http("web", RuleRef::Only), crd("x"), grpc("rpc")];
    for proxy in ALL {
        let of = |namespace| queries(proxy, namespace, &routes, &backends(["a", "b"]), MINUTE);
        let (requests, errors) = of(PLACEHOLDER);
        let filled = |text: String| text.replace(PLACEHOLDER, "my-shop");
        assert_eq!((filled(requests), filled(errors)), of("my-shop"), "{proxy}");
    }
}

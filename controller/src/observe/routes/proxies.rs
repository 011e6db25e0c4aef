//! What the proxies tell of each backend: PromQL for requests per second, and for those of them that failed, with
//! the label `backend`.
//!
//! Each query selects the series of the action's own backends and no others, by whole names: a Service `shop`
//! is not `shop-canary`. Where a label can't be taken apart without a doubt, nothing is selected: a backend
//! without data holds the law, one with somebody else's data would lead it astray.

mod series;

use crate::promql;
use flyball_core::{
    policy::{Backend, RouteList, RuleRef},
    time::Span,
};
use series::{Matcher, Naming, Series, any, literal, normalised};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// A proxy whose metrics are known.
///
/// Traefik's and Linkerd's metrics name the route. The others tell what reached a Service, by whatever way: where
/// the same Service also serves something else through the same proxy, its part is not its share of the list,
/// and one's own queries are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proxy {
    /// Traefik with services' labels: `traefik_service_requests_total{code,service}`.
    ///
    /// For a route of Gateway API the service is, seen on 3.7.15, `httproute-<namespace>-<route>-gw-<gateway's
    /// namespace>-<gateway>-ep-<entrypoint>-<rule's index>-<hash>-svc-<namespace>-<service>-<index>@kubernetesgateway`.
    /// The rule's name is not in it: of a rule that is known by name, all rules of the route count that have the
    /// backend. Backends in another namespace than the route are not found. A route whose name goes on with
    /// `-gw-` behind that of another can't be told from it. A backend without ready endpoints is no service: its
    /// share fails at the router and counts for no backend.
    ///
    /// For a `TraefikService` it is `<namespace>-<service>-<port>@kubernetescrd`, whoever routes to it, with the port
    /// as a number. One that is written by its name, or not at all, is not found, nor are the names of
    /// `providers.kubernetesCRD.safeNaming`.
    Traefik,
    /// Gateways built on Envoy: `envoy_cluster_upstream_rq_xx{envoy_cluster_name,envoy_response_code_class}`.
    ///
    /// Envoy counts by cluster. Envoy Gateway (read at 1.9.1) makes one of a whole rule,
    /// `httproute/<namespace>/<route>/rule/<index>`, with the backends as weighted localities in it, and at times
    /// one for each backend, `.../backend/<index>`. Neither tells a Service's name, so by default nothing is
    /// found there. With `mergeBackends` in its `EnvoyProxy` each backend has a cluster of its own,
    /// `service/<namespace>/<service>/<port>`: that is asked for, and must not be renamed by `clusterStatName`.
    /// Contour (read at 1.33.8) names them `<namespace>_<service>_<port>`. Other gateways need one's own queries.
    Envoy,
    /// Istio: `istio_requests_total{reporter="source"}`, by `destination_service_name` in the routes' namespace, or by
    /// `destination_service` for a host with dots.
    ///
    /// A subset is taken for the value of `destination_version`, the pods' label `version`; one that selects by
    /// another label is not found. Waypoints of the ambient mode report as `waypoint` and are not counted. A gRPC
    /// request that failed has the code 200 and counts as none that failed.
    Istio,
    /// Linkerd: `outbound_http_route_backend_response_statuses_total` and `outbound_grpc_route_...`, by `route_name`
    /// and `backend_name`.
    ///
    /// They tell neither the name nor the place of a rule: all rules of the route count. What ended without a
    /// status counts as failed, and of gRPC the codes that stand for 5xx.
    Linkerd,
    /// ingress-nginx: `nginx_ingress_controller_requests{service,canary,status}`.
    ///
    /// A request to a canary has the main Service in `service`, and in `canary` the canary's upstream,
    /// `<namespace>-<service>-<port>`. A port whose name has a dash is not found.
    IngressNginx,
    /// HAProxy's own exporter: `haproxy_backend_http_responses_total{proxy,code}`.
    ///
    /// The backends are `<namespace>_svc_<service>_<port>`, as its vendor's ingress controller names them, or
    /// `<namespace>_<service>_<port>`. A controller that makes one backend of a whole rule, with the weights at its
    /// servers, tells no Service's name there, and nothing is found.
    Haproxy,
}

/// Why a text names no proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It is not one of them.
    #[error(
        "{0:?} is no proxy whose metrics are known; take one of {known}, or write requests and errors",
        known = known()
    )]
    Unknown(String),
}

const ALL: [Proxy; 6] = [
    Proxy::Traefik,
    Proxy::Envoy,
    Proxy::Istio,
    Proxy::Linkerd,
    Proxy::IngressNginx,
    Proxy::Haproxy,
];

fn known() -> String {
    ALL.map(|proxy| proxy.to_string()).join(", ")
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Traefik => "Traefik",
            Self::Envoy => "Envoy",
            Self::Istio => "Istio",
            Self::Linkerd => "Linkerd",
            Self::IngressNginx => "IngressNginx",
            Self::Haproxy => "Haproxy",
        })
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;
    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let found = ALL.into_iter().find(|proxy| proxy.to_string() == text);
        found.ok_or_else(|| ProxyError::Unknown(text.to_owned()))
    }
}

/// The queries for requests per second and for failed requests per second, by `backend`, averaged over `window`.
///
/// A backend without a series had no requests, or no failed ones. `namespace` is that of the routes, or what
/// stands for it until it is known.
pub fn queries(
    proxy: Proxy,
    namespace: &str,
    routes: &[RouteList],
    backends: &[Backend],
    window: Span,
) -> (String, String) {
    let names: Vec<&str> = backends.iter().map(|backend| backend.name.as_str()).collect();
    let series = match proxy {
        _ if names.is_empty() => Vec::new(),
        Proxy::Traefik => traefik(namespace, routes, &names),
        Proxy::Envoy => envoy(namespace, &names),
        Proxy::Istio => istio(namespace, &names),
        Proxy::Linkerd => linkerd(namespace, routes, &names),
        Proxy::IngressNginx => nginx(namespace, &names),
        Proxy::Haproxy => haproxy(namespace, &names),
    };
    let sum = |failed| {
        let series: Vec<String> = series.iter().map(|one| one.rate(window, failed)).collect();
        if series.is_empty() {
            return NOTHING.to_owned();
        }
        format!("sum by (backend) ({})", series.join(" or "))
    };
    (sum(false), sum(true))
}

/// The query for requests per second that a rule of these routes got and no backend took: one number. `None`: the
/// proxy's metrics don't tell.
///
/// Traefik counts what a rule was answered (`traefik_router_requests_total`) beside what its services were; a request
/// for a backend without ready endpoints is in the former only. Both are of one scrape.
pub fn unserved(proxy: Proxy, namespace: &str, routes: &[RouteList], window: Span) -> Option<String> {
    let of_gateway = of_gateway(namespace, routes);
    if proxy != Proxy::Traefik || of_gateway.is_empty() {
        return None;
    }
    let routes = of_gateway.join("|");
    let rate = |metric: &str, label: &str, behind: &str| {
        let labels = promql::quote(&format!("(?:{routes})-[0-9a-f]{{20}}{behind}@kubernetesgateway"));
        format!("sum(rate({metric}{{{label}=~{labels}}}[{window}]))")
    };
    let answered = rate("traefik_router_requests_total", "router", "");
    let served = rate("traefik_service_requests_total", "service", "-svc-.+");
    Some(format!("clamp_min({answered} - ({served} or vector(0)), 0)"))
}

/// Answers nothing: there is no backend, or no route, of which anything could be told.
const NOTHING: &str = "vector(0) unless vector(0)";

fn is_crd(route: &RouteList) -> bool {
    route.kind == "TraefikService"
}

/// How the labels of Traefik begin that are about rules of Gateway API.
fn of_gateway(namespace: &str, routes: &[RouteList]) -> Vec<String> {
    let of_gateway = routes.iter().filter(|route| !is_crd(route)).map(|route| {
        let rule = match route.rule {
            RuleRef::Name(_) => "[0-9]+".to_owned(),
            RuleRef::Index(index) => index.to_string(),
            RuleRef::Only => "0".to_owned(),
        };
        let (kind, name) = (literal(&route.kind.to_lowercase()), literal(&normalised(&route.name)));
        format!("{kind}-{namespace}-{name}-gw-.+-ep-.+-{rule}")
    });
    of_gateway.collect()
}

fn traefik(namespace: &str, routes: &[RouteList], names: &[&str]) -> Vec<Series> {
    let (namespace, names) = (literal(namespace), any(names));
    let mut services = Vec::new();
    let mut patterns = Vec::new();
    let of_gateway = of_gateway(&namespace, routes);
    if !of_gateway.is_empty() {
        let routes = of_gateway.join("|");
        services.push(format!(
            "(?:{routes})-[0-9a-f]{{20}}-svc-{namespace}-{names}-[0-9]+@kubernetesgateway"
        ));
        patterns.push(format!(
            ".+?-[0-9a-f]{{20}}-svc-{namespace}-(.+)-[0-9]+@kubernetesgateway"
        ));
    }
    if routes.iter().any(is_crd) {
        services.push(format!("{namespace}-{names}-[0-9]+@kubernetescrd"));
        patterns.push(format!("{namespace}-(.+)-[0-9]+@kubernetescrd"));
    }
    if services.is_empty() {
        return Vec::new();
    }
    vec![Series {
        metric: "traefik_service_requests_total",
        matchers: vec![("service", "=~", services.join("|"))],
        failed: ("code", "=~", "5..".to_owned()),
        backend: Naming::Group("service", patterns),
    }]
}

fn envoy(namespace: &str, names: &[&str]) -> Vec<Series> {
    let (namespace, names) = (literal(namespace), any(names));
    let clusters = format!("service/{namespace}/{names}/[0-9]+(?:/.+)?|{namespace}_{names}_[0-9]+");
    let pattern = format!("(?:service/{namespace}/|{namespace}_)([^/_]+)[/_].+");
    vec![Series {
        metric: "envoy_cluster_upstream_rq_xx",
        matchers: vec![("envoy_cluster_name", "=~", clusters)],
        failed: ("envoy_response_code_class", "=", "5".to_owned()),
        backend: Naming::Group("envoy_cluster_name", vec![pattern]),
    }]
}

fn istio(namespace: &str, names: &[&str]) -> Vec<Series> {
    // A host with dots is one of the whole mesh.
    let service = |host: &str| {
        if host.contains('.') {
            "destination_service"
        } else {
            "destination_service_name"
        }
    };
    let series = |label, hosts: &[&str], backend: Naming, more: Option<Matcher>| {
        let mut matchers: Vec<Matcher> = vec![("reporter", "=", "source".to_owned())];
        if label == "destination_service_name" {
            matchers.push(("destination_service_namespace", "=", namespace.to_owned()));
        }
        matchers.push((label, "=~", any(hosts)));
        matchers.extend(more);
        Series {
            metric: "istio_requests_total",
            matchers,
            failed: ("response_code", "=~", "5..".to_owned()),
            backend,
        }
    };
    let (subsets, whole): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains('/'));
    let (meshed, local): (Vec<&str>, Vec<&str>) = whole.into_iter().partition(|name| name.contains('.'));
    let mut found = Vec::new();
    for hosts in [local, meshed] {
        if let Some(first) = hosts.first() {
            let label = service(first);
            let backend = Naming::Group(label, vec!["(.+)".to_owned()]);
            found.push(series(label, &hosts, backend, None));
        }
    }
    let mut of_host: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (host, subset) in subsets.iter().filter_map(|name| name.split_once('/')) {
        of_host.entry(host).or_default().insert(subset);
    }
    // Hosts with the same subsets go together: each of them with each of these is one of the names.
    let mut alike: BTreeMap<(&str, BTreeSet<&str>), Vec<&str>> = BTreeMap::new();
    for (host, subsets) in of_host {
        alike.entry((service(host), subsets)).or_default().push(host);
    }
    for ((label, subsets), hosts) in alike {
        let versions: Vec<&str> = subsets.into_iter().collect();
        let backend = Naming::Joined(label, "destination_version");
        let more = ("destination_version", "=~", any(&versions));
        found.push(series(label, &hosts, backend, Some(more)));
    }
    found
}

fn linkerd(namespace: &str, routes: &[RouteList], names: &[&str]) -> Vec<Series> {
    // An empty status is that of a request that got no answer.
    let grpc = "UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS|";
    let families = [
        (
            "HTTPRoute",
            "outbound_http_route_backend_response_statuses_total",
            "http_status",
            "5..|",
        ),
        (
            "GRPCRoute",
            "outbound_grpc_route_backend_response_statuses_total",
            "grpc_status",
            grpc,
        ),
    ];
    let mut found = Vec::new();
    for (kind, metric, status, failed) in families {
        let routes = || {
            routes
                .iter()
                .filter(|route| (route.kind == "GRPCRoute") == (kind == "GRPCRoute"))
        };
        let groups: BTreeSet<&str> = routes()
            .filter_map(|route| route.api_version.split('/').next())
            .collect();
        let groups: Vec<&str> = groups.into_iter().collect();
        let routes: Vec<&str> = routes().map(|route| route.name.as_str()).collect();
        if routes.is_empty() {
            continue;
        }
        found.push(Series {
            metric,
            matchers: vec![
                ("route_group", "=~", any(&groups)),
                ("route_namespace", "=", namespace.to_owned()),
                ("route_name", "=~", any(&routes)),
                ("backend_name", "=~", any(names)),
            ],
            failed: (status, "=~", failed.to_owned()),
            backend: Naming::Group("backend_name", vec!["(.+)".to_owned()]),
        });
    }
    found
}

fn nginx(namespace: &str, names: &[&str]) -> Vec<Series> {
    let (within, all) = (literal(namespace), any(names));
    let series = |matchers: Vec<Matcher>, label, pattern: String| {
        let within = ("namespace", "=", namespace.to_owned());
        Series {
            metric: "nginx_ingress_controller_requests",
            matchers: [vec![within], matchers].concat(),
            failed: ("status", "=~", "5..".to_owned()),
            backend: Naming::Group(label, vec![pattern]),
        }
    };
    let main = vec![("canary", "=", String::new()), ("service", "=~", all.clone())];
    let canary = vec![("canary", "=~", format!("{within}-{all}-[a-z0-9]+"))];
    vec![
        series(main, "service", "(.+)".to_owned()),
        series(canary, "canary", format!("{within}-(.+)-[a-z0-9]+")),
    ]
}

fn haproxy(namespace: &str, names: &[&str]) -> Vec<Series> {
    let before = format!("{}_(?:(?:[^_]+_)?svc_)?", literal(namespace));
    vec![Series {
        metric: "haproxy_backend_http_responses_total",
        matchers: vec![("proxy", "=~", format!("{before}{}_[^_]+", any(names)))],
        failed: ("code", "=", "5xx".to_owned()),
        backend: Naming::Group("proxy", vec![format!("{before}([^_]+)_[^_]+")]),
    }]
}

#[cfg(test)]
mod tests;

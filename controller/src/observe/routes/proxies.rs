//! What the proxies tell of each backend.

use flyball_core::{policy::RouteList, time::Span};

/// The proxies whose metrics are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    Traefik,
    Envoy,
    Istio,
    Linkerd,
    IngressNginx,
    Haproxy,
}

pub fn queries(_proxy: Proxy, _namespace: &str, _routes: &[RouteList], _window: Span) -> (String, String) {
    ("vector(1)".to_owned(), "vector(1)".to_owned())
}

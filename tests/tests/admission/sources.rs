//! The rules of a MetricSource.

use super::definitions::Case;
use serde_json::{Value, json};

/// A source with everything in it that a rule looks at.
pub fn source() -> Value {
    json!({
        "apiVersion": "flyball.dev/v1alpha1",
        "kind": "MetricSource",
        "metadata": {"name": "admission-test"},
        "spec": {
            "url": "https://mimir.example/prometheus",
            "auth": {"bearer": {"name": "mimir", "key": "token"}},
            "headers": [{"name": "X-Scope-OrgID", "value": "shop"}],
            "allowedNamespaces": {"from": "Names", "names": ["shop"]},
        },
    })
}

const URL: &str = "url must begin with http:// or https:// and carry no user, password, query or fragment; put credentials into spec.auth";
const HEADER: &str = "a header's name consists of letters, digits and dashes, and is none of Authorization, Cookie, Host, Proxy-Authorization; put credentials into spec.auth";

/// What is said to it, and to what differs from it.
pub const SOURCES: &[Case] = &[
    ("everything", &[], None),
    (
        "a URL alone",
        &[
            ("/spec/auth", || json!(null)),
            ("/spec/headers", || json!(null)),
            ("/spec/allowedNamespaces", || json!(null)),
        ],
        None,
    ),
    (
        "http and a port",
        &[("/spec/url", || json!("http://prometheus.monitoring:9090"))],
        None,
    ),
    ("a file", &[("/spec/url", || json!("file:///etc/passwd"))], Some(URL)),
    (
        "a user",
        &[("/spec/url", || json!("https://user:pass@mimir.example"))],
        Some(URL),
    ),
    (
        "a query",
        &[("/spec/url", || json!("https://mimir.example/?a=b"))],
        Some(URL),
    ),
    (
        "a fragment",
        &[("/spec/url", || json!("https://mimir.example/#a"))],
        Some(URL),
    ),
    (
        "a space",
        &[("/spec/url", || json!("https://mimir.example/ a"))],
        Some(URL),
    ),
    (
        "a newline",
        &[("/spec/url", || json!("https://mimir.example/\nHost: x"))],
        Some(URL),
    ),
    (
        "a URL that is too long",
        &[("/spec/url", || json!(format!("https://{}", "x".repeat(2048))))],
        Some("spec.url: Too long: may not be more than 2048"),
    ),
    (
        "two kinds of credentials",
        &[(
            "/spec/auth/basic",
            || json!({"username": "u", "password": {"name": "n", "key": "k"}}),
        )],
        Some("auth takes exactly one of bearer and basic"),
    ),
    (
        "no kind of credentials",
        &[("/spec/auth/bearer", || json!(null))],
        Some("auth takes exactly one of bearer and basic"),
    ),
    (
        "a header of credentials",
        &[("/spec/headers/0/name", || json!("AUTHORIZATION"))],
        Some(HEADER),
    ),
    (
        "a cookie",
        &[("/spec/headers/0/name", || json!("Cookie"))],
        Some(HEADER),
    ),
    (
        "another host",
        &[("/spec/headers/0/name", || json!("host"))],
        Some(HEADER),
    ),
    (
        "two headers in one",
        &[("/spec/headers/0/name", || json!("a\r\nb"))],
        Some(HEADER),
    ),
    (
        "names that are missing",
        &[("/spec/allowedNamespaces/names", || json!([]))],
        Some("allowedNamespaces.names must not be empty when from is Names"),
    ),
    (
        "all namespaces",
        &[("/spec/allowedNamespaces", || json!({"from": "All"}))],
        None,
    ),
    (
        "65 mebibytes",
        &[("/spec/maxResponseMebibytes", || json!(65))],
        Some("spec.maxResponseMebibytes in body should be less than or equal to 64"),
    ),
];

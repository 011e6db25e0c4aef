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

const PER_NAMESPACE: &str =
    "perNamespace.maxConcurrentQueries can't be more than maxConcurrentQueries, which is 16 where it is not set";

const TOKEN_URL: &str = "tokenUrl must begin with http:// or https:// and carry no user, password or fragment";

/// The client credentials grant with everything in it, in the place of the bearer's token.
const OAUTH2: (&str, fn() -> Value) = ("/spec/auth", || {
    json!({"oauth2": {
        "tokenUrl": "https://login.example/oauth2/token?tenant=7", "clientId": "flyball",
        "clientSecret": {"name": "mimir", "key": "secret"}, "clientAuthentication": "Form",
        "scopes": ["metrics:read", "api://mimir/.default"], "audience": "https://mimir.example",
        "endpointParams": {"resource": "https://mimir.example"}, "tls": {},
    }})
});

fn two_certificates() -> Value {
    let key = |key: &str| json!({"name": "client", "key": key});
    json!({"identity": key("both"), "keyPair": {"certificate": key("tls.crt"), "key": key("tls.key")}})
}

/// What is said to it, and to what differs from it.
pub const SOURCES: &[Case] = &[
    ("everything", &[], None),
    (
        "an Alertmanager",
        &[(
            "/spec/alertmanager",
            || json!({"url": "http://alertmanager.monitoring:9093"}),
        )],
        None,
    ),
    (
        "an Alertmanager with a password",
        &[(
            "/spec/alertmanager",
            || json!({"url": "http://me:secret@alertmanager:9093"}),
        )],
        Some("alertmanager.url must begin with http:// or https:// and carry no user, password, query or fragment"),
    ),
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
        Some("auth takes exactly one of bearer, basic and oauth2"),
    ),
    (
        "no kind of credentials",
        &[("/spec/auth/bearer", || json!(null))],
        Some("auth takes exactly one of bearer, basic and oauth2"),
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
        "limits of each namespace",
        &[(
            "/spec/perNamespace",
            || json!({"maxConcurrentQueries": 16, "queriesPerSecond": 5, "burst": 40}),
        )],
        None,
    ),
    (
        "more for each namespace than there is",
        &[("/spec/perNamespace", || json!({"maxConcurrentQueries": 17}))],
        Some(PER_NAMESPACE),
    ),
    (
        "more for each namespace than is written",
        &[
            ("/spec/maxConcurrentQueries", || json!(4)),
            ("/spec/perNamespace", || json!({"maxConcurrentQueries": 5})),
        ],
        Some(PER_NAMESPACE),
    ),
    (
        "a burst without a rate",
        &[("/spec/perNamespace", || json!({"maxConcurrentQueries": 4, "burst": 40}))],
        Some("perNamespace.burst goes with perNamespace.queriesPerSecond; set that, or remove burst"),
    ),
    (
        "no limit of each namespace",
        &[("/spec/perNamespace", || json!({}))],
        Some("perNamespace needs maxConcurrentQueries or queriesPerSecond; set one, or remove perNamespace"),
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
    ("tokens that are fetched", &[OAUTH2], None),
    (
        "tokens that are fetched, and one that is not",
        &[(
            "/spec/auth/oauth2",
            || json!({"tokenUrl": "https://login.example", "clientId": "c", "clientSecret": {"name": "n", "key": "k"}}),
        )],
        Some("auth takes exactly one of bearer, basic and oauth2"),
    ),
    (
        "a token endpoint with a user",
        &[
            OAUTH2,
            ("/spec/auth/oauth2/tokenUrl", || {
                json!("https://user:pass@login.example")
            }),
        ],
        Some(TOKEN_URL),
    ),
    (
        "a token endpoint with a fragment",
        &[
            OAUTH2,
            ("/spec/auth/oauth2/tokenUrl", || json!("https://login.example/#a")),
        ],
        Some(TOKEN_URL),
    ),
    (
        "a scope of two words",
        &[OAUTH2, ("/spec/auth/oauth2/scopes", || json!(["a b"]))],
        Some("spec.auth.oauth2.scopes[0] in body should match"),
    ),
    (
        "a secret among the parameters",
        &[
            OAUTH2,
            ("/spec/auth/oauth2/endpointParams", || json!({"client_secret": "x"})),
        ],
        Some("endpointParams can't hold grant_type, client_id, client_secret, scope or audience"),
    ),
    (
        "a client that shows itself otherwise",
        &[
            OAUTH2,
            ("/spec/auth/oauth2/clientAuthentication", || json!("PrivateKeyJwt")),
        ],
        Some("supported values: \"Basic\", \"Form\""),
    ),
    (
        "a token endpoint with two certificates of ours",
        &[OAUTH2, ("/spec/auth/oauth2/tls", two_certificates)],
        Some("tls takes at most one of identity and keyPair"),
    ),
    (
        "a certificate and its key",
        &[("/spec/tls", || {
            let mut tls = two_certificates();
            tls.as_object_mut().unwrap().remove("identity");
            tls
        })],
        None,
    ),
    (
        "two certificates of ours",
        &[("/spec/tls", two_certificates)],
        Some("tls takes at most one of identity and keyPair"),
    ),
    (
        "half a pair",
        &[(
            "/spec/tls",
            || json!({"keyPair": {"certificate": {"name": "client", "key": "tls.crt"}}}),
        )],
        Some("spec.tls.keyPair.key: Required value"),
    ),
    (
        "parameters of a query",
        &[(
            "/spec/queryParams",
            || json!({"dedup": "true", "extra_filters[]": "{team=\"shop\"}"}),
        )],
        None,
    ),
    (
        "a query among its parameters",
        &[("/spec/queryParams", || json!({"query": "up"}))],
        Some("queryParams can hold neither query nor time; the controller sets them"),
    ),
    (
        "257 queries at once",
        &[("/spec/maxConcurrentQueries", || json!(257))],
        Some("spec.maxConcurrentQueries in body should be less than or equal to 256"),
    ),
    (
        "no query at once",
        &[("/spec/maxConcurrentQueries", || json!(0))],
        Some("spec.maxConcurrentQueries in body should be greater than or equal to 1"),
    ),
    (
        "a scrape interval",
        &[("/spec/scrapeInterval", || json!("1m30s"))],
        None,
    ),
    (
        "a scrape interval that is none",
        &[("/spec/scrapeInterval", || json!("often"))],
        Some("spec.scrapeInterval in body should match"),
    ),
];

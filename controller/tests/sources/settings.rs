//! What a MetricSource may say, checked offline as the controller checks it.

use crate::build::secrets;
use flyball_controller::{observe::source::Source, validate};
use flyball_core::time::Span;
use flyball_crds::MetricSourceSpec;
use rstest::rstest;
use serde_json::{Value, json};

fn read(more: Value) -> MetricSourceSpec {
    let mut spec = json!({"url": "https://prometheus:9090"});
    let Value::Object(more) = more else { panic!("an object") };
    spec.as_object_mut().unwrap().extend(more);
    serde_json::from_value(spec).unwrap()
}

fn key(name: &str) -> Value {
    json!({"name": "prometheus", "key": name})
}

fn grant(more: Value) -> Value {
    let mut oauth2 = json!({"tokenUrl": "https://login/token", "clientId": "flyball", "clientSecret": key("secret")});
    let Value::Object(more) = more else { panic!("an object") };
    oauth2.as_object_mut().unwrap().extend(more);
    json!({"auth": {"oauth2": oauth2}})
}

#[rstest]
#[case(json!({"url": "prometheus:9090"}), "spec.url", "the scheme must be http or https")]
#[case(json!({"timeout": "0s"}), "spec.timeout", "0s is not between 1ms and 2m")]
#[case(json!({"timeout": "soon"}), "spec.timeout", "\"soon\" is not a duration")]
#[case(json!({"maxResponseMebibytes": 65}), "spec.maxResponseMebibytes", "65 is not between 1 and 64")]
#[case(json!({"maxConcurrentQueries": 0}), "spec.maxConcurrentQueries", "0 is not between 1 and 256; write for example 16")]
#[case(json!({"maxConcurrentQueries": 257}), "spec.maxConcurrentQueries", "257 is not between 1 and 256")]
#[case(json!({"maxConcurrentQueries": -1}), "spec.maxConcurrentQueries", "-1 is not between 1 and 256")]
#[case(json!({"perNamespace": {"maxConcurrentQueries": 0}}), "spec.perNamespace.maxConcurrentQueries", "0 is not between 1 and 16; write a number of these")]
#[case(json!({"perNamespace": {"maxConcurrentQueries": 17}}), "spec.perNamespace.maxConcurrentQueries", "17 is not between 1 and 16")]
#[case(json!({"maxConcurrentQueries": 4, "perNamespace": {"maxConcurrentQueries": 5}}), "spec.perNamespace.maxConcurrentQueries", "5 is not between 1 and 4")]
#[case(json!({"perNamespace": {"queriesPerSecond": 0}}), "spec.perNamespace.queriesPerSecond", "0 is not between 1 and 1000")]
#[case(json!({"perNamespace": {"queriesPerSecond": 1001}}), "spec.perNamespace.queriesPerSecond", "1001 is not between 1 and 1000")]
#[case(json!({"perNamespace": {"queriesPerSecond": 1, "burst": 0}}), "spec.perNamespace.burst", "0 is not between 1 and 10000")]
#[case(json!({"perNamespace": {"queriesPerSecond": 1, "burst": 10001}}), "spec.perNamespace.burst", "10001 is not between 1 and 10000")]
#[case(json!({"perNamespace": {"maxConcurrentQueries": 1, "burst": 5}}), "spec.perNamespace.burst", "it goes with spec.perNamespace.queriesPerSecond")]
#[case(json!({"perNamespace": {}}), "spec.perNamespace", "it needs maxConcurrentQueries or queriesPerSecond")]
#[case(json!({"scrapeInterval": "500ms"}), "spec.scrapeInterval", "500ms is not between 1s and 1h")]
#[case(json!({"scrapeInterval": "61m"}), "spec.scrapeInterval", "1h1m is not between 1s and 1h")]
#[case(json!({"scrapeInterval": "0"}), "spec.scrapeInterval", "0s is not between 1s and 1h")]
#[case(json!({"scrapeInterval": "often"}), "spec.scrapeInterval", "\"often\" is not a duration")]
#[case(json!({"queryParams": {"query": "up"}}), "spec.queryParams.\"query\"", "the controller sets this parameter itself; remove it")]
#[case(json!({"queryParams": {"time": "0"}}), "spec.queryParams.\"time\"", "the controller sets this parameter itself")]
#[case(json!({"queryParams": {"": "0"}}), "spec.queryParams.\"\"", "a name has 1 to 128 letters")]
#[case(json!({"queryParams": {"a&b": "0"}}), "spec.queryParams.\"a&b\"", "a name has 1 to 128 letters")]
#[case(json!({"queryParams": {"a": "x".repeat(1025)}}), "spec.queryParams.\"a\"", "a value has at most 1024 bytes")]
#[case(json!({"queryParams": {"a": "x\n"}}), "spec.queryParams.\"a\"", "no control characters")]
#[case(json!({"queryParams": (0..17).map(|n| (format!("p{n}"), json!("1"))).collect::<serde_json::Map<_, _>>()}), "spec.queryParams", "17 entries, at most 16 are allowed")]
#[case(json!({"auth": {}}), "spec.auth", "exactly one of bearer, basic and oauth2 is needed")]
#[case(json!({"auth": {"bearer": key("token"), "oauth2": grant(json!({}))["auth"]["oauth2"]}}), "spec.auth", "exactly one of bearer, basic and oauth2")]
#[case(json!({"tls": {"identity": key("both"), "keyPair": {"certificate": key("tls.crt"), "key": key("tls.key")}}}), "spec.tls", "at most one of identity and keyPair")]
#[case(grant(json!({"tokenUrl": "login"})), "spec.auth.oauth2.tokenUrl", "this is not a URL")]
#[case(grant(json!({"clientId": ""})), "spec.auth.oauth2.clientId", "can't be sent")]
#[case(grant(json!({"scopes": ["a\"b"]})), "spec.auth.oauth2.scopes[0]", "is not a scope")]
#[case(grant(json!({"endpointParams": {"scope": "a"}})), "spec.auth.oauth2.endpointParams.\"scope\"", "the controller sets this parameter itself")]
#[case(grant(json!({"tls": {"identity": key("both"), "keyPair": {"certificate": key("tls.crt"), "key": key("tls.key")}}})), "spec.auth.oauth2.tls", "at most one of identity and keyPair")]
#[case(json!({"headers": [{"name": "Cookie", "value": "x"}]}), "spec.headers[0]", "this header is not allowed here")]
fn each_mistake_names_its_field(#[case] spec: Value, #[case] path: &str, #[case] part: &str) {
    let spec = read(spec);
    let errors = validate::metric_source(&spec).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].path, path);
    assert!(errors[0].message.contains(part), "{errors:?}");
    // The API server takes care of the size of answers; all else the controller refuses as well.
    if path != "spec.maxResponseMebibytes" {
        let built = Source::new("test", &spec, &secrets(&[("secret", "s"), ("token", "t")]));
        let message = built.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.starts_with(path) && message.contains(part), "{message}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let spec = read(json!({
        "url": "x", "timeout": "1h", "maxConcurrentQueries": 0, "scrapeInterval": "1d", "queryParams": {"time": "0"},
        "auth": {"oauth2": {"tokenUrl": "y", "clientId": "\n", "clientSecret": key("secret")}},
        "headers": [{"name": "Host", "value": "x"}],
    }));
    let errors = validate::metric_source(&spec).unwrap_err();
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "spec.url",
            "spec.queryParams.\"time\"",
            "spec.timeout",
            "spec.maxConcurrentQueries",
            "spec.scrapeInterval",
            "spec.auth.oauth2.tokenUrl",
            "spec.headers[0]",
            "spec.auth.oauth2.clientId",
        ]
    );
}

#[rstest]
#[case(json!({}), None)]
#[case(json!({"scrapeInterval": "1s"}), Some(1))]
#[case(json!({"scrapeInterval": "1h"}), Some(3600))]
#[case(json!({"scrapeInterval": "1m30s"}), Some(90))]
fn a_source_tells_how_often_its_server_scrapes(#[case] more: Value, #[case] seconds: Option<u64>) {
    let spec = read(more);
    assert_eq!(validate::metric_source(&spec), Ok(()));
    let source = Source::new("test", &spec, &secrets(&[])).unwrap();
    assert_eq!(source.scrape_interval(), seconds.map(Span::from_secs));
}

#[test]
fn everything_at_once_is_right() {
    let spec = read(json!({
        "queryParams": {"dedup": "true", "extra_filters[]": "{team=\"shop\"}", "nocache": "0"},
        "timeout": "2m", "maxConcurrentQueries": 256, "maxResponseMebibytes": 64, "scrapeInterval": "15s",
        "perNamespace": {"maxConcurrentQueries": 256, "queriesPerSecond": 1000, "burst": 10000},
        "headers": [{"name": "X-Scope-OrgID", "value": "shop|search"}],
        "auth": {"oauth2": {
            "tokenUrl": "https://login/token?tenant=7", "clientId": "fly ball", "clientSecret": key("secret"),
            "clientAuthentication": "Form", "scopes": ["api://mimir/.default"], "audience": "https://mimir",
            "endpointParams": {"resource": "https://mimir"}, "tls": {},
        }},
    }));
    assert_eq!(validate::metric_source(&spec), Ok(()));
    assert!(Source::new("test", &spec, &secrets(&[("secret", "s")])).is_ok());
}

//! Sources and their Secrets.

use super::forbidden;
use crate::build::{condition, source};
use flyball_controller::{
    cli::doctor::{
        finding::Mark,
        sources::{self, Asked, Keys, is_inside},
    },
    observe::{
        credentials,
        source::{SourceError, TokenError},
    },
};
use flyball_crds::{MetricSource, SecretKey};
use rstest::rstest;
use serde_json::json;

#[rstest]
#[case("http://prometheus:9090", true)]
#[case("http://prometheus.monitoring:9090/x", true)]
#[case("https://prometheus.monitoring.svc:9090", true)]
#[case("http://prometheus.monitoring.svc.cluster.local.", true)]
#[case("https://mimir.example.com/prometheus", false)]
#[case("http://127.0.0.1:9090", false)]
#[case("http://10.0.0.1", false)]
#[case("http://localhost:9090", false)]
#[case("http://[::1]:9090", false)]
fn names_within_the_cluster_are_known(#[case] url: &str, #[case] expect: bool) {
    assert_eq!(is_inside(url), expect);
}

fn judged(source: &MetricSource, keys: &Keys, asked: &Asked) -> Vec<(Mark, String)> {
    let findings = sources::judge(source, keys, "flyball-system", asked);
    assert!(
        findings
            .iter()
            .all(|found| found.mark == Mark::Ok || !found.way_out.is_empty()),
        "{findings:?}"
    );
    findings.into_iter().map(|found| (found.mark, found.said)).collect()
}

fn refused() -> Asked {
    Asked::Fails(SourceError::Connect {
        host: "h:1".to_owned(),
        reason: "refused".to_owned(),
    })
}

#[test]
fn a_source_that_answers_is_well() {
    let source = source("prometheus", "https://mimir.example.com", json!({}));
    let asked = Asked::Answers(Some("Mimir 2.14\u{1b}".to_owned()));
    assert_eq!(
        judged(&source, &Keys::new(), &asked),
        [(Mark::Ok, "answers from here, version Mimir 2.14\\u{1b}".to_owned())]
    );
}

#[rstest]
#[case::outside(
    "https://mimir.example.com",
    None,
    Mark::Fail,
    "asked from here: no connection to h:1"
)]
#[case::inside(
    "http://prometheus.monitoring:9090",
    None,
    Mark::Skip,
    "its address is one within the cluster"
)]
#[case::the_controller_reaches_it("http://10.0.0.9", Some("True"), Mark::Skip, "only the controller reaches it")]
fn a_source_that_does_not_answer_from_here_may_yet_work(
    #[case] url: &str,
    #[case] ready: Option<&str>,
    #[case] mark: Mark,
    #[case] said: &str,
) {
    let status = ready
        .map(|ready| json!({"status": {"conditions": [condition("Ready", ready, "Accepted", "its server answers")]}}));
    let source = source("prometheus", url, status.unwrap_or_else(|| json!({})));
    let found = judged(&source, &Keys::new(), &refused());
    let last = found.last().expect("a finding");
    assert!(last.0 == mark && last.1.contains(said), "{found:?}");
}

#[test]
fn one_trouble_of_a_source_is_told_once() {
    let error = SourceError::Connect {
        host: "h:1".to_owned(),
        reason: "refused".to_owned(),
    };
    let status =
        json!({"status": {"conditions": [condition("Ready", "False", "SourceUnavailable", &error.to_string())]}});
    let source = source("prometheus", "https://mimir.example.com", status);
    let found = judged(&source, &Keys::new(), &Asked::Fails(error));
    assert_eq!(
        found,
        [(
            Mark::Fail,
            "asked from here: no connection to h:1: refused; the controller says the same".to_owned()
        )]
    );
}

#[test]
fn secrets_are_missing_or_hidden() {
    let key = |name: &str| SecretKey {
        name: name.to_owned(),
        key: "token".to_owned(),
    };
    let auth = json!({"spec": {"auth": {"bearer": {"name": "a", "key": "token"}}}});
    let source = source("prometheus", "http://p.example.com", auth);
    let keys = Keys::from([
        (key("a"), Ok(None)),
        (key("b"), Err(forbidden())),
        (key("c"), Ok(Some(b"geheim".to_vec()))),
    ]);
    let found = judged(&source, &keys, &Asked::Not);
    let marks: Vec<Mark> = found.iter().map(|(mark, _)| *mark).collect();
    assert_eq!(marks, [Mark::Warn, Mark::Fail, Mark::Skip, Mark::Skip], "{found:?}");
    assert!(found[0].1.contains("in clear"), "{found:?}");
    assert!(!format!("{found:?}").contains("geheim"), "no secret is shown");
}

fn oauth2(more: &serde_json::Value) -> serde_json::Value {
    let mut oauth2 = json!({
        "tokenUrl": "https://login.example/token", "clientId": "flyball", "clientSecret": {"name": "a", "key": "secret"},
    });
    let pairs = more.as_object().expect("an object").clone();
    oauth2.as_object_mut().expect("an object").extend(pairs);
    json!({"spec": {"auth": {"oauth2": oauth2}}})
}

#[test]
fn a_secret_that_is_sent_in_clear_is_worth_a_warning() {
    let source = source(
        "mimir",
        "https://mimir.example.com",
        oauth2(&json!({"tokenUrl": "http://login.example/token"})),
    );
    let found = judged(&source, &Keys::new(), &Asked::Answers(None));
    assert_eq!(found[0].0, Mark::Warn);
    assert!(found[0].1.contains("spec.auth.oauth2.tokenUrl is http"), "{found:?}");
}

#[rstest]
#[case::outside(
    "https://login.example.com/token",
    None,
    Mark::Fail,
    "no connection to the token endpoint h:1"
)]
#[case::inside(
    "http://dex.auth:5556/token",
    None,
    Mark::Skip,
    "its address is one within the cluster"
)]
#[case::the_controller_reaches_it(
    "https://login.example.com/token",
    Some("True"),
    Mark::Skip,
    "only the controller reaches it"
)]
fn a_token_endpoint_that_does_not_answer_from_here_may_yet_work(
    #[case] url: &str,
    #[case] ready: Option<&str>,
    #[case] mark: Mark,
    #[case] said: &str,
) {
    let mut more = oauth2(&json!({"tokenUrl": url}));
    if let Some(ready) = ready {
        more["status"] = json!({"conditions": [condition("Ready", ready, "Accepted", "its server answers")]});
    }
    let source = source("mimir", "https://mimir.example.com", more);
    let refused = TokenError::Connect {
        host: "h:1".to_owned(),
        reason: "refused".to_owned(),
    };
    let found = judged(&source, &Keys::new(), &Asked::Fails(refused.into()));
    let last = found.last().expect("a finding");
    assert!(last.0 == mark && last.1.contains(said), "{found:?}");
}

#[test]
fn a_refused_client_is_a_failure_with_its_way_out() {
    let source = source("mimir", "https://mimir.example.com", oauth2(&json!({})));
    let refused = TokenError::Refused {
        host: "login.example:443".to_owned(),
        status: 401,
        code: "invalid_client",
    };
    let findings = sources::judge(&source, &Keys::new(), "flyball-system", &Asked::Fails(refused.into()));
    let [found] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    assert_eq!(found.mark, Mark::Fail);
    assert!(found.said.contains("HTTP 401, invalid_client"), "{found:?}");
    assert!(found.way_out.starts_with("check clientId, clientSecret"), "{found:?}");
}

#[test]
fn each_missing_key_has_the_command_that_makes_it() {
    let key = |name: &str, key: &str| SecretKey {
        name: name.to_owned(),
        key: key.to_owned(),
    };
    let mut more = oauth2(&json!({}));
    more["spec"]["tls"] = json!({"keyPair": {
        "certificate": {"name": "client", "key": "tls.crt"}, "key": {"name": "client", "key": "tls.key"},
    }});
    let source = source("mimir", "https://mimir.example.com", more);
    let keys: Keys = credentials::needed(&source.spec)
        .into_iter()
        .map(|key| (key, Ok(None)))
        .collect();
    assert_eq!(
        keys.keys().cloned().collect::<Vec<_>>(),
        [key("a", "secret"), key("client", "tls.crt"), key("client", "tls.key")]
    );
    let ways: Vec<String> = sources::judge(&source, &keys, "flyball-system", &Asked::Not)
        .into_iter()
        .map(|finding| finding.way_out)
        .collect();
    let tls = "create it: kubectl create secret tls client -n flyball-system --cert FILE --key FILE";
    assert_eq!(
        ways[..3],
        [
            "create it: kubectl create secret generic a -n flyball-system --from-file secret=FILE",
            tls,
            tls
        ]
    );
}

#[test]
fn an_open_circuit_of_the_controller_is_told() {
    let message = "not asked, the circuit breaker is open since 2026-01-01T00:00:00Z after repeated failures, the last: \
                   no answer within 10s; check the server's load, or raise spec.timeout of the MetricSource";
    let status = json!({"status": {"conditions": [condition("Ready", "False", "CircuitOpen", message)]}});
    let source = source("prometheus", "https://mimir.example.com", status);
    let found = judged(&source, &Keys::new(), &Asked::Answers(None));
    assert!(
        found[0].0 == Mark::Fail && found[0].1.contains("the controller says: CircuitOpen: not asked"),
        "{found:?}"
    );
}

/// The command does not know what the installation allows; the controller does.
#[test]
fn an_address_that_the_installation_does_not_allow_is_told_as_the_controller_says_it() {
    let message = "address 10.1.2.3 of prometheus.x is not in --allow-addresses of the installation; name another server, or add its \
                   network there (controller.allowAddresses of the chart)";
    let status = json!({"status": {"conditions": [condition("Ready", "False", "SourceUnavailable", message)]}});
    let source = source("prometheus", "https://mimir.example.com", status);
    let found = sources::judge(&source, &Keys::new(), "flyball-system", &Asked::Answers(None));
    assert_eq!(found[0].mark, Mark::Fail);
    assert_eq!(
        found[0].said,
        "the controller says: SourceUnavailable: address 10.1.2.3 of prometheus.x is not in --allow-addresses of the installation"
    );
    assert_eq!(
        found[0].way_out,
        "name another server, or add its network there (controller.allowAddresses of the chart)"
    );
}

//! Sources and their Secrets.

use super::forbidden;
use crate::build::{condition, source};
use flyball_controller::{
    cli::doctor::{
        finding::Mark,
        sources::{self, Asked, Keys, is_inside},
    },
    observe::source::SourceError,
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

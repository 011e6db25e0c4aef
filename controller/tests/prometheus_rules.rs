//! PrometheusRules are watched when a policy refers to one, and what keeps them out of reach is told apart.

#![allow(clippy::unwrap_used)]

use flyball_controller::observe::{
    prometheus_rules::{PrometheusRules, Referred, RulesProblem},
    source::install_crypto_provider,
};
use flyball_crds::{FeedbackPolicy, Reason};
use kube::{Client, Config};
use rstest::rstest;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param, query_param_is_missing},
};

const PATH: &str = "/apis/monitoring.coreos.com/v1/namespaces/shop/prometheusrules";

fn client(server: &MockServer) -> Client {
    install_crypto_provider();
    let mut config = Config::new(server.uri().parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn object(name: &str, version: &str, expr: &str) -> Value {
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version},
        "spec": {"groups": [{"name": "g", "rules": [{"alert": "Slow", "expr": expr}]}]},
    })
}

fn policy(rules: Option<&str>) -> FeedbackPolicy {
    let mut policy = json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "sourceRef": {"name": "p"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        },
    });
    if let Some(name) = rules {
        policy["spec"]["prometheusRuleRef"] = json!({"name": name});
    }
    serde_json::from_value(policy).unwrap()
}

/// The expression of the one rule of an object.
fn expr(referred: &Referred) -> Option<String> {
    let Referred::Found(object) = referred else { return None };
    let groups = object.groups.as_ref().unwrap();
    Some(groups[0].rules[0].rule.as_ref().unwrap().expr.clone())
}

fn not_found(name: &str) -> Referred {
    Referred::Problem(RulesProblem::NotFound {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    })
}

type Changes = Arc<Mutex<Vec<Option<String>>>>;

fn watch(server: &MockServer) -> (PrometheusRules, Changes) {
    let changes = Changes::default();
    let rules = PrometheusRules::watch(&client(server), Some("shop"), {
        let changes = Arc::clone(&changes);
        move |changed| changes.lock().unwrap().push(changed.map(|(_, name)| name.to_owned()))
    });
    (rules, changes)
}

/// Waits for what comes a moment later.
async fn until(ready: impl Fn() -> bool) {
    for _ in 0..1000 {
        if ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_is_edited_is_told_and_what_is_the_same_is_not() {
    let server = MockServer::start().await;
    let get = || Mock::given(method("GET")).and(path(PATH));
    let items = json!([
        object("same", "1", "a > 1"),
        object("edited", "2", "a > 1"),
        object("gone", "3", "a > 1")
    ]);
    get()
        .and(query_param_is_missing("watch"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRuleList",
            "metadata": {"resourceVersion": "5"}, "items": items,
        })))
        .mount(&server)
        .await;
    let events = [
        // Such as a status that somebody writes.
        json!({"type": "MODIFIED", "object": object("same", "6", "a > 1")}),
        json!({"type": "MODIFIED", "object": object("edited", "7", "a > 2")}),
        json!({"type": "DELETED", "object": object("gone", "8", "a > 1")}),
    ];
    let body = events.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n") + "\n";
    get()
        .and(query_param("watch", "true"))
        .and(query_param("resourceVersion", "5"))
        .respond_with(ResponseTemplate::new(200).set_body_string(body))
        .mount(&server)
        .await;
    get()
        .and(query_param("watch", "true"))
        .and(query_param("resourceVersion", "8"))
        .respond_with(ResponseTemplate::new(200).set_delay(Duration::from_secs(600)))
        .mount(&server)
        .await;

    let (rules, changes) = watch(&server);
    assert_eq!(rules.of(&policy(None)).await, Referred::Nothing);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        server.received_requests().await.unwrap().is_empty(),
        "no policy refers to one"
    );

    assert_eq!(expr(&rules.of(&policy(Some("same"))).await).as_deref(), Some("a > 1"));
    until(|| changes.lock().unwrap().len() >= 3).await;
    let told = changes.lock().unwrap().clone();
    assert_eq!(told, [None, Some("edited".to_owned()), Some("gone".to_owned())]);
    assert_eq!(expr(&rules.of(&policy(Some("edited"))).await).as_deref(), Some("a > 2"));
    assert_eq!(rules.of(&policy(Some("gone"))).await, not_found("gone"));
    assert_eq!(rules.of(&policy(Some("never"))).await, not_found("never"));

    // Without a policy that refers to one nothing is kept.
    rules.want(false);
    until(|| {
        matches!(
            rules.known_of(&policy(Some("same"))),
            Referred::Problem(RulesProblem::Unread(_))
        )
    })
    .await;
    assert_eq!(expr(&rules.known_of(&policy(Some("same")))), None);
}

#[rstest]
#[case::no_definition(
    404,
    "NotFound",
    Reason::RulesNotFound,
    "the API server does not serve PrometheusRule of monitoring.coreos.com/v1; install"
)]
#[case::no_right(
    403,
    "Forbidden",
    Reason::RulesUnavailable,
    "no right to list and watch prometheusrules of monitoring.coreos.com; give it"
)]
#[case::no_answer(
    500,
    "InternalError",
    Reason::RulesUnavailable,
    "PrometheusRule objects could not be read yet: "
)]
#[tokio::test]
async fn what_keeps_them_out_of_reach_is_said(
    #[case] code: u16,
    #[case] why: &str,
    #[case] reason: Reason,
    #[case] said: &str,
) {
    let server = MockServer::start().await;
    let status =
        json!({"kind": "Status", "status": "Failure", "reason": why, "code": code, "message": "no", "metadata": {}});
    Mock::given(path(PATH))
        .respond_with(ResponseTemplate::new(code).set_body_json(status))
        .mount(&server)
        .await;
    let (rules, changes) = watch(&server);
    let Referred::Problem(problem) = rules.of(&policy(Some("alerts"))).await else {
        panic!("nothing can be read")
    };
    assert_eq!(problem.reason(), reason);
    let text = problem.to_string();
    assert!(text.starts_with(&format!("spec.prometheusRuleRef: {said}")), "{text}");
    assert_eq!(*changes.lock().unwrap(), [None], "those that refer to one are woken");
    assert_eq!(
        server.received_requests().await.unwrap().len(),
        1,
        "not asked again at once"
    );
}

//! What is asked of an API server and of a source, by servers made by hand.

use crate::build::source;
use flyball_controller::{
    cli::fetch::{self, Connection, ReadError, Scope},
    clock,
    observe::source::Source,
};
use flyball_crds::{Change, FeedbackPolicy};
use kube::api::ListParams;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::PathBuf};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path, query_param, query_param_is_missing},
};

/// An API server whose clock is `behind` seconds behind ours, and a connection to it.
async fn connected(test: &str, behind: i64) -> (MockServer, Connection) {
    let server = MockServer::start().await;
    let theirs = jiff::Timestamp::from_millisecond(clock::now().as_millis() - behind * 1000).unwrap();
    let version = json!({
        "major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "",
    });
    let date = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let answer = ResponseTemplate::new(200)
        .set_body_json(version)
        .insert_header("Date", date.as_str());
    Mock::given(method("GET"))
        .and(path("/version"))
        .respond_with(answer)
        .mount(&server)
        .await;
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.kubeconfig"));
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server.uri()}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
    });
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    let connection = fetch::connect(Some(&file), None).await.unwrap();
    (server, connection)
}

const CHANGES: &str = "/apis/flyball.dev/v1alpha1/namespaces/shop/changes";
const POLICY: &str = "/apis/flyball.dev/v1alpha1/namespaces/shop/feedbackpolicies/checkout";

fn page(items: &[Value], next: &str) -> ResponseTemplate {
    let list = json!({"apiVersion": "flyball.dev/v1alpha1", "kind": "ChangeList", "metadata": {"continue": next}, "items": items});
    ResponseTemplate::new(200).set_body_json(list)
}

fn status(code: u16, reason: &str, details: bool) -> ResponseTemplate {
    let mut body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "because",
    });
    if details {
        body["details"] = json!({"name": "checkout", "kind": "feedbackpolicies"});
    }
    ResponseTemplate::new(code).set_body_json(body)
}

async fn listed(connection: &Connection) -> Result<Vec<kube::api::DynamicObject>, ReadError> {
    let kind = fetch::resource::<Change>();
    fetch::list(
        &connection.clients.read,
        Scope::Namespace("shop"),
        &kind,
        ListParams::default(),
    )
    .await
}

#[tokio::test]
async fn ages_go_by_the_servers_clock() {
    let (_server, connection) = connected("behind", 90).await;
    let ahead = connection.ahead.expect("the server tells its time");
    assert!((88_000..92_000).contains(&ahead), "{ahead}");
    let difference = clock::now().as_millis() - connection.now().as_millis();
    assert!((88_000..92_000).contains(&difference), "{difference}");
    assert_eq!(
        (connection.namespace.as_str(), connection.version.git_version.as_str()),
        ("shop", "v1.36.0")
    );
    let (_server, connection) = connected("equal", 0).await;
    let difference = clock::now().as_millis() - connection.now().as_millis();
    assert!(
        difference.abs() < 100,
        "a second more or less is the way of the answer: {difference}"
    );
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_one_bad_object_hides_no_other() {
    let (server, connection) = connected("pages", 0).await;
    let good = serde_json::to_value(crate::build::change(1, 2, 3, json!({}))).unwrap();
    let newer = json!({"metadata": {"name": "newer", "namespace": "shop"}, "spec": {"unlike": "ours"}});
    let first = Mock::given(method("GET"))
        .and(path(CHANGES))
        .and(query_param_is_missing("continue"));
    first
        .respond_with(page(std::slice::from_ref(&good), "token"))
        .expect(1)
        .mount(&server)
        .await;
    let second = Mock::given(method("GET"))
        .and(path(CHANGES))
        .and(query_param("continue", "token"));
    second
        .respond_with(page(&[newer, good], ""))
        .expect(1)
        .mount(&server)
        .await;
    let (changes, unreadable): (Vec<Change>, _) = fetch::parse(&listed(&connection).await.unwrap());
    assert_eq!((changes.len(), unreadable), (2, vec!["Change shop/newer".to_owned()]));
}

#[tokio::test]
async fn a_missing_right_and_a_missing_definition_are_told_apart() {
    let (server, connection) = connected("refused", 0).await;
    let text = |error: ReadError| error.to_string();
    let refused = Mock::given(method("GET"))
        .and(path(CHANGES))
        .respond_with(status(403, "Forbidden", true));
    let guard = refused.mount_as_scoped(&server).await;
    assert_eq!(
        text(listed(&connection).await.unwrap_err()),
        "no right to list changes in namespace shop; ask for it, and try it with: \
         kubectl auth can-i list changes.flyball.dev --namespace shop"
    );
    drop(guard);
    let missing = text(listed(&connection).await.unwrap_err());
    assert!(
        missing.starts_with("the API server does not serve Change; install"),
        "{missing}"
    );
}

#[tokio::test]
async fn a_policy_that_is_not_there_is_named() {
    let (server, connection) = connected("nothing", 0).await;
    Mock::given(method("GET"))
        .and(path(POLICY))
        .respond_with(status(404, "NotFound", true))
        .mount(&server)
        .await;
    for name in ["checkout", "../x", "No Name"] {
        let error = fetch::policy(&connection, "shop", name).await.unwrap_err();
        assert!(matches!(error, ReadError::NoPolicy { .. }), "{error}");
    }
    let asked = server.received_requests().await.unwrap();
    let asked: Vec<&str> = asked
        .iter()
        .map(|request| request.url.path())
        .filter(|path| path.contains("feedback"))
        .collect();
    assert_eq!(asked, [POLICY], "what can't be a name is not asked for");
}

#[tokio::test]
async fn a_policy_comes_with_its_own_changes() {
    let (server, connection) = connected("policy", 0).await;
    let policy = serde_json::to_value(crate::build::policy(json!({}))).unwrap();
    Mock::given(method("GET"))
        .and(path(POLICY))
        .respond_with(ResponseTemplate::new(200).set_body_json(policy))
        .mount(&server)
        .await;
    let own = serde_json::to_value(crate::build::change(1, 2, 3, json!({}))).unwrap();
    let other = crate::build::change(
        2,
        2,
        3,
        json!({"spec": {"policy": {"name": "checkout-with-a-longer-name"}}}),
    );
    let other = serde_json::to_value(other).unwrap();
    let labelled = Mock::given(method("GET"))
        .and(path(CHANGES))
        .and(query_param("labelSelector", "flyball.dev/policy=checkout"));
    labelled.respond_with(page(&[own, other], "")).mount(&server).await;
    let (policy, changes): (FeedbackPolicy, Vec<Change>) =
        fetch::policy(&connection, "shop", "checkout").await.unwrap();
    assert_eq!((policy.metadata.generation, changes.len()), (Some(1), 1));
}

#[test]
fn a_label_holds_the_start_of_a_long_name() {
    assert_eq!(fetch::label("checkout"), "checkout");
    let long = format!("{}-{}", "a".repeat(62), "b".repeat(20));
    assert_eq!(fetch::label(&long), "a".repeat(62));
}

#[tokio::test]
async fn a_source_tells_its_version_if_it_can() {
    let server = MockServer::start().await;
    let source = source("p", &format!("{}/prometheus", server.uri()), json!({}));
    let source = Source::new("p", &source.spec, &BTreeMap::new()).unwrap();
    let build = |body: Value| {
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(method("GET"))
            .and(path("/prometheus/api/v1/status/buildinfo"))
            .respond_with(answer)
    };
    assert_eq!(source.version().await, None, "not every server has it");
    let guard = build(json!({"status": "success", "data": {"version": "3.4.1", "revision": "x"}}))
        .mount_as_scoped(&server)
        .await;
    assert_eq!(source.version().await.as_deref(), Some("3.4.1"));
    drop(guard);
    let mimir = json!({"status": "success", "data": {"application": "Grafana Mimir", "version": "2.14\u{1b}[2J"}});
    let guard = build(mimir).mount_as_scoped(&server).await;
    assert_eq!(source.version().await.as_deref(), Some("Grafana Mimir 2.14[2J"));
    drop(guard);
    let _guard = build(json!({"status": "success", "data": {"version": "9".repeat(100)}}))
        .mount_as_scoped(&server)
        .await;
    assert_eq!(source.version().await.map(|version| version.len()), Some(60));
}

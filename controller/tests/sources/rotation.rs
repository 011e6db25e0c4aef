//! Secrets, and the MetricSource itself, that change while the process runs.

use crate::{
    build::{AT, one},
    tls::{Authority, ONE, Server},
};
use flyball_controller::observe::{
    cluster::{Cluster, KindError, Late},
    freeze::{Freeze, State},
    nodes::Nodes,
    pods::Pods,
    prometheus_rules::PrometheusRules,
    readable::AllUnreadable,
    source::{Source, SourceError},
    sources::{SourceProblem, Sources},
};
use flyball_core::breaker::Stage;
use flyball_crds::MetricSource;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::runtime::{
    reflector::{self, store::Writer},
    watcher::Event,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method},
};

/// What is watched, as if the API server had said so.
struct Watched {
    cluster: Cluster,
    objects: Writer<MetricSource>,
    secrets: Writer<Secret>,
    sources: Sources,
}

impl Watched {
    fn new() -> Self {
        let (sources, objects) = reflector::store();
        let (stored, secrets) = reflector::store();
        let cluster = Cluster {
            policies: reflector::store().0,
            sources,
            changes: reflector::store().0,
            autoscalers: reflector::store().0,
            scaled_objects: Late::known(Err(KindError::NotServed("keda.sh/v1alpha1/ScaledObject".to_owned()))),
            unreadable_policies: AllUnreadable::default(),
            unreadable_changes: AllUnreadable::default(),
            secrets: stored,
            pods: Pods::none(),
            nodes: Nodes::none(),
            prometheus_rules: PrometheusRules::none(),
            routes: flyball_controller::observe::routes::kinds::RouteKinds::none(),
            freeze: Freeze::known(State::Free),
            targets: Arc::default(),
        };
        Self {
            cluster,
            objects,
            secrets,
            sources: Sources::default(),
        }
    }

    /// The MetricSource as it is now; `generation` counts the edits of its spec.
    fn object(&mut self, uid: &str, generation: i64, spec: &Value) {
        let object = json!({
            "apiVersion": "flyball.dev/v1alpha1", "kind": "MetricSource",
            "metadata": {"name": "prometheus", "uid": uid, "generation": generation}, "spec": spec,
        });
        let object = serde_json::from_value(object).unwrap();
        self.objects.apply_watcher_event(&Event::Apply(object));
    }

    /// The Secret as it is now.
    fn secret(&mut self, keys: &[(&str, &str)]) {
        let mut secret = Secret::default();
        secret.metadata.name = Some("credentials".to_owned());
        secret.metadata.namespace = Some("flyball-system".to_owned());
        let data: BTreeMap<_, _> = keys
            .iter()
            .map(|(key, content)| ((*key).to_owned(), ByteString(content.as_bytes().to_vec())))
            .collect();
        secret.data = Some(data);
        self.secrets.apply_watcher_event(&Event::Apply(secret));
    }

    fn get(&self) -> Result<Arc<Source>, SourceProblem> {
        self.sources.get(&self.cluster, "prometheus", "shop")
    }

    async fn ask(&self) -> Result<(), SourceError> {
        self.get().unwrap().instant("x", AT).await.map(drop)
    }
}

fn named(key: &str) -> Value {
    json!({"name": "credentials", "key": key})
}

fn bearer(url: &str) -> Value {
    json!({"url": url, "auth": {"bearer": named("token")}})
}

/// A server that takes one token and answers `otherwise` to all others.
async fn takes(token: &str, otherwise: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(header("authorization", format!("Bearer {token}").as_str()))
        .respond_with(one())
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(otherwise))
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_new_token_is_used_at_once_and_the_old_one_never_again() {
    let server = takes("new", 401).await;
    let mut watched = Watched::new();
    watched.object("1", 1, &bearer(&server.uri()));
    assert!(matches!(
        watched.get().err(),
        Some(SourceProblem::SecretNotFound { .. })
    ));
    watched.secret(&[("token", "old")]);
    assert_eq!(watched.ask().await, Err(SourceError::Unauthorized(401)));
    watched.secret(&[("token", "new")]);
    assert_eq!(watched.ask().await, Ok(()));
    let sent: Vec<String> = server
        .received_requests()
        .await
        .unwrap()
        .iter()
        .map(|request| request.headers["authorization"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(sent, ["Bearer old", "Bearer new"]);
}

#[tokio::test]
async fn what_did_not_change_keeps_its_connections_and_its_breaker() {
    let server = takes("new", 500).await;
    let mut watched = Watched::new();
    watched.object("1", 1, &bearer(&server.uri()));
    watched.secret(&[("token", "old"), ("other", "1")]);
    for _ in 0..5 {
        assert!(watched.ask().await.is_err());
    }
    let before = watched.get().unwrap();
    assert_eq!(before.stage(), Stage::Open);
    // Neither the Secret's other keys nor the object's status are what it was built from.
    watched.secret(&[("token", "old"), ("other", "2")]);
    watched.object("1", 1, &bearer(&server.uri()));
    assert!(Arc::ptr_eq(&before, &watched.get().unwrap()));
    assert!(matches!(watched.ask().await, Err(SourceError::Open { .. })));
    // A new credential resets the breaker: what failed may be what was changed.
    watched.secret(&[("token", "new"), ("other", "2")]);
    assert_eq!(watched.get().unwrap().stage(), Stage::Closed);
    assert_eq!(watched.ask().await, Ok(()));
    assert_eq!(
        before.stage(),
        Stage::Open,
        "who still holds the old one is not let through"
    );
}

#[tokio::test]
async fn an_edit_and_an_object_of_the_same_name_are_seen() {
    let (first, second) = (takes("old", 500).await, takes("new", 500).await);
    let mut watched = Watched::new();
    watched.secret(&[("token", "new")]);
    watched.object("1", 1, &bearer(&first.uri()));
    assert!(watched.ask().await.is_err());
    watched.object("1", 2, &bearer(&second.uri()));
    assert_eq!(watched.ask().await, Ok(()));
    // Deleted and made anew: the generation begins again at the same number.
    watched.object("2", 2, &bearer(&first.uri()));
    assert!(watched.ask().await.is_err());
}

#[tokio::test]
async fn a_secret_that_becomes_bad_is_told_and_one_that_comes_back_is_used() {
    let server = takes("good", 401).await;
    let mut watched = Watched::new();
    watched.object("1", 1, &bearer(&server.uri()));
    watched.secret(&[("token", "good")]);
    assert_eq!(watched.ask().await, Ok(()));
    watched.secret(&[("token", "two\nlines")]);
    let problem = watched.get().err().unwrap().to_string();
    assert!(
        problem.contains("spec.auth.bearer") && !problem.contains("two"),
        "{problem}"
    );
    watched.secret(&[]);
    assert!(matches!(
        watched.get().err(),
        Some(SourceProblem::SecretNotFound { .. })
    ));
    watched.secret(&[("token", "good")]);
    assert_eq!(watched.ask().await, Ok(()));
}

#[tokio::test]
async fn a_new_authority_and_a_new_certificate_are_used_at_once() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = Server::start(&new.issue(), Some(&new), ONE).await;
    let mut watched = Watched::new();
    let pair = json!({"certificate": named("tls.crt"), "key": named("tls.key")});
    let spec = json!({"url": format!("https://{}", server.address), "tls": {"ca": named("ca.crt"), "keyPair": pair}});
    watched.object("1", 1, &spec);
    let (before, after) = (old.issue(), new.issue());
    let keys = |authority: &str, own: &crate::tls::Issued| {
        [
            ("ca.crt", authority.to_owned()),
            ("tls.crt", own.certificate.clone()),
            ("tls.key", own.key.clone()),
        ]
    };
    for (authority, own, welcome) in [
        (&old, &before, false),
        (&new, &before, false),
        (&new, &after, true),
        (&old, &after, false),
    ] {
        let keys = keys(&authority.pem(), own);
        let keys: Vec<(&str, &str)> = keys.iter().map(|(key, content)| (*key, content.as_str())).collect();
        watched.secret(&keys);
        let answer = watched.ask().await;
        assert_eq!(answer.is_ok(), welcome, "{answer:?}");
    }
}

#[tokio::test]
async fn a_client_that_was_refused_may_come_back_with_a_new_secret() {
    let server = MockServer::start().await;
    let token = r#"{"access_token":"abc","token_type":"Bearer","expires_in":60}"#;
    // Basic of `flyball:new`.
    Mock::given(header("authorization", "Basic Zmx5YmFsbDpuZXc="))
        .respond_with(ResponseTemplate::new(200).set_body_raw(token, "application/json"))
        .mount(&server)
        .await;
    Mock::given(header("authorization", "Bearer abc"))
        .respond_with(one())
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(401))
        .mount(&server)
        .await;
    let oauth2 = json!({
        "tokenUrl": format!("{}/token", server.uri()), "clientId": "flyball", "clientSecret": named("secret"),
    });
    let mut watched = Watched::new();
    watched.object("1", 1, &json!({"url": server.uri(), "auth": {"oauth2": oauth2}}));
    watched.secret(&[("secret", "old")]);
    for _ in 0..5 {
        assert!(matches!(watched.ask().await, Err(SourceError::Token(_))));
    }
    assert!(matches!(watched.ask().await, Err(SourceError::Open { .. })));
    watched.secret(&[("secret", "new")]);
    assert_eq!(watched.ask().await, Ok(()));
}

#[tokio::test]
async fn a_source_that_is_gone_is_forgotten() {
    let server = takes("good", 401).await;
    let mut watched = Watched::new();
    watched.object("1", 1, &bearer(&server.uri()));
    watched.secret(&[("token", "good")]);
    let before = watched.get().unwrap();
    watched.sources.keep(&BTreeSet::from([before.name().to_owned()]));
    assert!(Arc::ptr_eq(&before, &watched.get().unwrap()));
    watched.sources.keep(&BTreeSet::new());
    assert!(!Arc::ptr_eq(&before, &watched.get().unwrap()));
}

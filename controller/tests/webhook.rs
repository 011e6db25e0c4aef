//! Alertmanager's webhook, over a real socket.

#![allow(clippy::unwrap_used)]

use flyball_controller::{
    lease::Leadership,
    metrics::Metrics,
    observe::cluster::Wake,
    server::{
        Health, Policies, Told, bind, serve,
        webhook::{TokenFile, Webhook},
    },
};
use flyball_crds::FeedbackPolicy;
use kube::runtime::{
    reflector::{self, ObjectRef},
    watcher::Event,
};
use rstest::rstest;
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "a-token-of-some-length";

struct Served {
    address: SocketAddr,
    leadership: watch::Sender<Leadership>,
    woken: mpsc::Receiver<Wake>,
    token: PathBuf,
    stop: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = fs::remove_file(&self.token);
    }
}

fn policy(namespace: &str, name: &str) -> FeedbackPolicy {
    serde_json::from_value(json!({
        "apiVersion": "flyball.dev/v1alpha1", "kind": "FeedbackPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "sourceRef": {"name": "prometheus"}, "rules": [{"alert": "HighRequestLatency", "expr": "x > 1"}], "actions": [],
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        },
    }))
    .unwrap()
}

/// A receiver that leads, with the policies `checkout` in the namespaces `shop` and `bank`.
async fn served(name: &str) -> Served {
    let token = std::env::temp_dir().join(format!("flyball-webhook-{name}-{}", std::process::id()));
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let (policies, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for namespace in ["shop", "bank"] {
        writer.apply_watcher_event(&Event::InitApply(policy(namespace, "checkout")));
    }
    writer.apply_watcher_event(&Event::InitDone);
    let (wake, woken) = mpsc::channel(8);
    let leader = Leadership::Leader {
        transitions: 1,
        until: Instant::now() + Duration::from_secs(3600),
    };
    let (leadership, seen) = watch::channel(leader);
    let told = Told {
        metrics: Arc::new(Metrics::new()),
        health: Arc::new(Health::default()),
        policies: Arc::new(Policies::default()),
        leadership: seen.clone(),
        identity: "us".to_owned(),
        logs: None,
        webhook: Some(Webhook {
            token: TokenFile::new(token.clone()).unwrap(),
            policies,
            wake,
            leadership: seen,
            limits: Arc::default(),
        }),
        access: None,
    };
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(serve(listener, None, told, stop.clone()));
    Served {
        address,
        leadership,
        woken,
        token,
        stop,
    }
}

/// A body as Alertmanager sends it.
fn body(labels: &Value) -> String {
    json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "flyball",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager",
        "alerts": [{
            "status": "firing", "labels": labels, "annotations": {}, "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "0",
        }],
    })
    .to_string()
}

impl Served {
    async fn post(&self, path: &str, token: &str, body: String) -> (u16, String) {
        flyball_controller::observe::source::install_crypto_provider();
        let client = reqwest::Client::builder().build().unwrap();
        let answer = client
            .post(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {token}"))
            .body(body)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Who was woken so far.
    fn woken(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(ObjectRef { namespace, name, .. }) = self.woken.try_recv() {
            all.push(format!("{}/{name}", namespace.unwrap_or_default()));
        }
        all.sort();
        all
    }
}

const ALL: &str = "/api/v1/alertmanager";

#[rstest]
#[case::of_a_name("name", ALL, &json!({"alertname": "HighRequestLatency"}), &["bank/checkout", "shop/checkout"])]
#[case::of_a_namespace("namespace", ALL, &json!({"alertname": "HighRequestLatency", "namespace": "shop"}), &["shop/checkout"])]
#[case::nobody("nobody", ALL, &json!({"alertname": "Watchdog"}), &[])]
#[case::one("one", "/api/v1/alertmanager/bank/checkout", &json!({"alertname": "Whatever"}), &["bank/checkout"])]
#[tokio::test]
async fn an_alert_wakes(#[case] name: &str, #[case] path: &str, #[case] labels: &Value, #[case] expect: &[&str]) {
    let mut served = served(name).await;
    let (status, said) = served.post(path, TOKEN, body(labels)).await;
    assert_eq!(status, 202, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!({"alerts": 1, "woken": expect.len(), "resting": 0}));
    assert_eq!(served.woken(), expect);
    // A moment later it is still awake.
    let (_, said) = served.post(path, TOKEN, body(labels)).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said, json!({"alerts": 1, "woken": 0, "resting": expect.len()}));
}

#[rstest]
#[case::another_token("other", ALL, "b-token-of-some-length", body(&json!({})), 401, "credentials_file")]
#[case::no_token("none", ALL, "", body(&json!({})), 401, "credentials_file")]
#[case::html("html", ALL, TOKEN, "<html>".to_owned(), 400, "version 4")]
#[case::no_alerts("empty", ALL, TOKEN, "{}".to_owned(), 400, "missing field `alerts`")]
#[case::too_large("large", ALL, TOKEN, " ".repeat((1 << 20) + 1), 413, "limit")]
#[case::no_policy("missing", "/api/v1/alertmanager/shop/nobody", TOKEN, body(&json!({})), 404, "no such policy")]
#[tokio::test]
async fn what_is_wrong_wakes_nobody_and_is_told(
    #[case] name: &str,
    #[case] path: &str,
    #[case] token: &str,
    #[case] body: String,
    #[case] expect: u16,
    #[case] why: &str,
) {
    let mut served = served(name).await;
    let (status, said) = served.post(path, token, body).await;
    assert_eq!(status, expect, "{said}");
    assert!(said.contains(why), "{said}");
    assert_eq!(served.woken(), Vec::<String>::new());
}

#[tokio::test]
async fn a_standby_sends_the_alert_on_its_way() {
    let served = served("standby").await;
    served.leadership.send_replace(Leadership::Standby);
    let (status, said) = served.post(ALL, TOKEN, body(&json!({}))).await;
    assert_eq!(
        (status, said.as_str()),
        (503, "this replica does not lead; try again\n")
    );
}

#[tokio::test]
async fn a_flood_is_held_off() {
    let served = served("flood").await;
    // One comes back each second, so this ends unless each request takes that long.
    while served.post(ALL, TOKEN, body(&json!({}))).await.0 != 429 {}
}

#[tokio::test]
async fn a_rotated_token_counts_at_once() {
    let served = served("rotated").await;
    fs::write(&served.token, "another-token-entirely").unwrap();
    assert_eq!(served.post(ALL, TOKEN, body(&json!({}))).await.0, 401);
    assert_eq!(
        served.post(ALL, "another-token-entirely", body(&json!({}))).await.0,
        202
    );
    fs::write(&served.token, "").unwrap();
    assert_eq!(
        served.post(ALL, "", body(&json!({}))).await.0,
        503,
        "an empty token opens nothing"
    );
}

#[rstest]
#[case::empty("", "0 bytes")]
#[case::short("secret", "6 bytes")]
#[case::of_two_words("a token of some length", "others")]
fn a_bad_token_is_told_at_the_start(#[case] token: &str, #[case] why: &str) {
    let path = std::env::temp_dir().join(format!("flyball-token-{}-{}", token.len(), std::process::id()));
    fs::write(&path, token).unwrap();
    let error = TokenFile::new(path.clone()).unwrap_err().to_string();
    fs::remove_file(&path).unwrap();
    assert!(error.contains(why) && error.contains("openssl rand -hex 32"), "{error}");
    let missing = TokenFile::new(path).unwrap_err().to_string();
    assert!(missing.contains("mount the Secret"), "{missing}");
}

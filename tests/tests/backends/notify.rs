//! Alerts posted to a real Alertmanager.

use crate::server::{Folder, Kind, Server, source};
use flyball_controller::{
    clock,
    observe::source::{NotifyError, Source},
};
use flyball_core::{
    decide::notify::{Fire, due, learn},
    signal::Labels,
    time::{Span, Timestamp},
};
use flyball_crds::{Alertmanager, MetricSourceSpec};
use serde_json::Value;
use std::collections::BTreeMap;

const INTERVAL: Span = Span::from_secs(15);

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    pairs.collect()
}

fn alertmanager() -> Option<(Server, Source)> {
    let folder = Folder::new();
    folder.write(
        "alertmanager.yml",
        "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n",
    );
    let server = Server::start(Kind::Alertmanager, folder, &[])?;
    let source = source(&MetricSourceSpec {
        url: "http://prometheus.invalid".to_owned(),
        alertmanager: Some(Alertmanager { url: server.url() }),
        ..MetricSourceSpec::default()
    });
    Some((server, source))
}

/// The alerts that it has: labels, annotations, beginning and end, by the pod.
async fn present(server: &Server) -> BTreeMap<String, Value> {
    let text = reqwest::get(format!("{}/api/v2/alerts", server.url()))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let alerts: Vec<Value> = serde_json::from_str(&text).unwrap();
    let pod = |alert: &Value| alert["labels"]["pod"].as_str().unwrap().to_owned();
    alerts.into_iter().map(|alert| (pod(&alert), alert)).collect()
}

fn time(alert: &Value, field: &str) -> Timestamp {
    clock::read(alert[field].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn what_fires_is_there_until_it_is_over() {
    let Some((server, source)) = alertmanager() else { return };
    let now = clock::now();
    let began = Timestamp::from_millis(now.as_millis() - 60_000);
    let fire = |pod: &str| {
        let fire = Fire {
            annotations: labels(&[("summary", "slow")]),
            starts_at: began,
        };
        (
            labels(&[("alertname", "Slow"), ("pod", pod), ("severity", "page")]),
            fire,
        )
    };
    let both: BTreeMap<_, _> = [fire("a"), fire("b")].into_iter().collect();
    let mut told = BTreeMap::new();
    let first = due(&both, &told, INTERVAL, now);
    source.notify(&first).await.unwrap();
    learn(&mut told, &first, now);
    let found = present(&server).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
    let a = &found["a"];
    assert_eq!(
        a["labels"],
        serde_json::json!({"alertname": "Slow", "pod": "a", "severity": "page"})
    );
    assert_eq!(a["annotations"], serde_json::json!({"summary": "slow"}));
    assert_eq!(time(a, "startsAt"), began);
    assert_eq!(time(a, "endsAt"), now + Span::from_secs(240));

    // Told again, by somebody who knows nothing of the first time: the same two alerts, and they end later.
    let later = now + Span::from_secs(60);
    source
        .notify(&due(&both, &BTreeMap::new(), INTERVAL, later))
        .await
        .unwrap();
    let found = present(&server).await;
    assert_eq!(found.len(), 2);
    assert_eq!(time(&found["a"], "startsAt"), began);
    assert_eq!(time(&found["a"], "endsAt"), later + Span::from_secs(240));

    // One is over, at a time that the server's clock has passed.
    let one: BTreeMap<_, _> = [fire("b")].into_iter().collect();
    let over = due(&one, &told, INTERVAL, clock::now());
    source.notify(&over).await.unwrap();
    assert_eq!(present(&server).await.keys().collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn what_it_does_not_take_has_its_words() {
    let Some((server, source)) = alertmanager() else { return };
    let now = clock::now();
    let fire = |labels: Labels| {
        let fire = Fire {
            annotations: Labels::new(),
            starts_at: now,
        };
        (labels, fire)
    };
    let fires: BTreeMap<_, _> = [fire(labels(&[("pod", "a")])), fire(Labels::new())]
        .into_iter()
        .collect();
    let error = source
        .notify(&due(&fires, &BTreeMap::new(), INTERVAL, now))
        .await
        .unwrap_err();
    let NotifyError::Refused { status, reason, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(*status, 400, "{error}");
    assert!(reason.contains("at least one label pair required"), "{error}");
    // What was well in the same post it took.
    assert_eq!(present(&server).await.keys().collect::<Vec<_>>(), ["a"]);
}

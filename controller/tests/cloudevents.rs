//! Events as other systems take them.

#![allow(clippy::unwrap_used)]

use flyball_controller::{
    metrics::Metrics,
    observe::source::addresses::Addresses,
    record::{
        cloudevents::{CloudEvents, Sink},
        events::{Events, Told, target_reference},
    },
};
use flyball_crds::{Reason, TargetRef};
use http::{Request, Response};
use kube::{Client, client::Body};
use rstest::rstest;
use serde_json::{Value, json};
use std::{env, fs, pin::pin, sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower_test::mock;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

/// An API server that takes every Event.
fn server() -> Client {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    tokio::spawn(async move {
        let mut handle = pin!(handle);
        while let Some((request, respond)) = handle.next_request().await {
            let body = request.into_body().collect_bytes().await.unwrap();
            respond.send_response(Response::builder().status(201).body(Body::from(body)).unwrap());
        }
    });
    Client::new(service, "default")
}

fn about(name: &str, note: &str) -> Told {
    let target = TargetRef {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        name: name.into(),
    };
    Told {
        regarding: target_reference("shop", &target, Some("uid-1".to_owned())),
        related: None,
        reason: Reason::RolledBack,
        note: note.to_owned(),
    }
}

fn count(metrics: &Metrics, result: &str) -> u64 {
    let line = format!("flyball_cloudevents_total{{result=\"{result}\"}} ");
    let text = metrics.encode();
    let found = text.lines().find_map(|found| found.strip_prefix(&line));
    found.map_or(0, |number| number.parse().unwrap())
}

/// Publishes these notes of one object, and waits until so many were taken, or not.
async fn published(sink: Sink, notes: &[&str], results: u64) -> Arc<Metrics> {
    let metrics = Arc::new(Metrics::new());
    let (events, publisher) = Events::new(server(), "us", Arc::clone(&metrics));
    let (cloud, sender) = CloudEvents::new(sink, Arc::clone(&metrics));
    let stop = CancellationToken::new();
    let sending = tokio::spawn(sender.run(stop.clone()));
    for note in notes {
        events.publish(about("web", note));
    }
    drop(events);
    publisher.and(Some(cloud)).run(stop.clone()).await;
    for _ in 0..600 {
        if count(&metrics, "ok") + count(&metrics, "error") >= results {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    sending.await.unwrap();
    metrics
}

async fn receiver(answers: &[u16]) -> MockServer {
    let receiver = MockServer::start().await;
    for (index, status) in answers.iter().enumerate() {
        let mock = Mock::given(method("POST")).respond_with(ResponseTemplate::new(*status));
        let last = index + 1 == answers.len();
        let mock = if last { mock } else { mock.up_to_n_times(1) };
        mock.with_priority(u8::try_from(index + 1).unwrap())
            .mount(&receiver)
            .await;
    }
    receiver
}

#[tokio::test]
async fn an_event_is_a_cloud_event_in_structured_mode() {
    let receiver = receiver(&[202]).await;
    let token = env::temp_dir().join(format!("flyball-sink-token-{}", std::process::id()));
    fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    let sink = Sink::new(
        &format!("{}/events?key=k", receiver.uri()),
        Some(&token),
        "/clusters/one",
    )
    .unwrap();
    let metrics = published(sink, &["back at 2", "back at 2"], 1).await;
    assert_eq!(count(&metrics, "ok"), 1, "the same thing is said once");
    let requests = receiver.received_requests().await.unwrap();
    let request = &requests[0];
    assert_eq!(
        request.headers["content-type"],
        "application/cloudevents+json; charset=utf-8"
    );
    assert_eq!(
        request.headers["authorization"],
        "Bearer 0123456789abcdef0123456789abcdef"
    );
    let mut event: Value = serde_json::from_slice(&request.body).unwrap();
    let id = event["id"].take();
    assert!(id.as_str().unwrap().starts_with("web."), "{id}");
    let time = event["time"].take();
    assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(
        event,
        json!({
            "specversion": "1.0",
            "id": null,
            "time": null,
            "type": "dev.flyball.RolledBack",
            "source": "/clusters/one",
            "subject": "shop/Deployment/web",
            "datacontenttype": "application/json",
            "data": {
                "reason": "RolledBack",
                "severity": "Warning",
                "action": "RollBack",
                "note": "back at 2",
                "regarding": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web", "uid": "uid-1",
                },
                "related": null,
                "instance": "us",
            },
        })
    );
    fs::remove_file(&token).unwrap();
}

#[tokio::test]
async fn one_that_is_not_taken_is_sent_again_as_the_same() {
    let receiver = receiver(&[503, 429, 200]).await;
    let sink = Sink::new(&receiver.uri(), None, "/flyball").unwrap();
    let metrics = published(sink, &["once"], 1).await;
    assert_eq!((count(&metrics, "ok"), count(&metrics, "error")), (1, 0));
    let requests = receiver.received_requests().await.unwrap();
    let ids: Vec<Value> = requests
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn one_that_is_refused_is_not_sent_again_and_holds_no_other_up() {
    let receiver = receiver(&[400, 200]).await;
    let sink = Sink::new(&receiver.uri(), None, "/flyball").unwrap();
    let metrics = published(sink, &["first", "second"], 2).await;
    assert_eq!((count(&metrics, "ok"), count(&metrics, "error")), (1, 1));
    assert_eq!(receiver.received_requests().await.unwrap().len(), 2);
}

/// A redirect would take the token to another host.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = receiver(&[200]).await;
    let receiver = MockServer::start().await;
    let moved = ResponseTemplate::new(307).insert_header("location", elsewhere.uri());
    Mock::given(method("POST")).respond_with(moved).mount(&receiver).await;
    let sink = Sink::new(&receiver.uri(), None, "/flyball").unwrap();
    let metrics = published(sink, &["once"], 1).await;
    assert_eq!(count(&metrics, "error"), 1);
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

/// By its name when it is sent, written out when the process starts.
#[tokio::test]
async fn an_address_that_is_not_allowed_takes_nothing() {
    let receiver = receiver(&[400]).await;
    let port = receiver.address().port();
    let allowed = |network: &str| Addresses::new(vec![network.parse().unwrap()], Vec::new());
    let at =
        |host: &str, addresses: &Addresses| Sink::among(&format!("http://{host}:{port}"), None, "/flyball", addresses);
    let error = at("127.0.0.1", &allowed("10.0.0.0/8")).unwrap_err().to_string();
    assert!(
        error.starts_with("--cloudevents-url: address 127.0.0.1 is not in --allow-addresses"),
        "{error}"
    );
    let error = at("169.254.169.254", &Addresses::default()).unwrap_err().to_string();
    assert!(error.contains("link-local"), "{error}");
    let metrics = published(at("localhost", &Addresses::default()).unwrap(), &["once"], 1).await;
    assert_eq!(count(&metrics, "error"), 1);
    assert_eq!(receiver.received_requests().await.unwrap().len(), 1);
    let sink = at("localhost", &allowed("10.0.0.0/8")).unwrap();
    let metrics = published(sink, &["once"], 1).await;
    assert_eq!(count(&metrics, "error"), 1);
    assert_eq!(receiver.received_requests().await.unwrap().len(), 1);
}

#[rstest]
#[case("ftp://events", "/flyball", "--cloudevents-url ftp://events: write http://")]
#[case("http://user:secret@events", "/flyball", "without user, password")]
#[case("events", "/flyball", "--cloudevents-url events")]
#[case("http://events", "a b", "--cloudevents-source \"a b\"")]
#[case("http://events", "", "--cloudevents-source \"\"")]
fn what_can_be_no_sink_is_refused_at_the_start(#[case] url: &str, #[case] source: &str, #[case] words: &str) {
    let error = Sink::new(url, None, source).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

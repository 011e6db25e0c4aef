//! Events as the API server is asked to keep them.

#![allow(clippy::unwrap_used)]

use flyball_controller::{
    metrics::Metrics,
    record::events::{Events, MOST_PER_OBJECT, Publisher, QUEUE, Told, is_warning, note, target_reference},
};
use flyball_crds::{Reason, TargetRef};
use http::{Request, Response};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, client::Body};
use rstest::rstest;
use serde_json::{Value, json};
use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::advance};
use tokio_util::sync::CancellationToken;
use tower_test::mock;

/// A client, and what it is asked; each request is answered with `status`.
fn server(status: u16) -> (Client, mpsc::UnboundedReceiver<(String, Value)>) {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let (sent, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut handle = pin!(handle);
        while let Some((request, respond)) = handle.next_request().await {
            let path = format!("{} {}", request.method(), request.uri());
            let body = request.into_body().collect_bytes().await.unwrap();
            let event: Value = serde_json::from_slice(&body).unwrap();
            let answer = if status == 201 {
                event.clone()
            } else {
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status})
            };
            sent.send((path, event)).unwrap();
            let body = Body::from(serde_json::to_vec(&answer).unwrap());
            respond.send_response(Response::builder().status(status).body(body).unwrap());
        }
    });
    (Client::new(service, "default"), heard)
}

fn events(
    status: u16,
) -> (
    Events,
    Publisher,
    Arc<Metrics>,
    mpsc::UnboundedReceiver<(String, Value)>,
) {
    let (client, heard) = server(status);
    let metrics = Arc::new(Metrics::new());
    let (events, publisher) = Events::new(client, "us", Arc::clone(&metrics));
    (events, publisher, metrics, heard)
}

fn about(name: &str, reason: Reason, note: &str) -> Told {
    let target = TargetRef {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        name: name.into(),
    };
    Told {
        regarding: target_reference("shop", &target, Some(format!("uid-of-{name}"))),
        related: None,
        reason,
        note: note.to_owned(),
    }
}

fn dropped(metrics: &Metrics) -> u64 {
    let text = metrics.encode();
    text.lines()
        .find_map(|line| line.strip_prefix("flyball_events_dropped_total "))
        .unwrap()
        .parse()
        .unwrap()
}

/// Publishes all that was handed over, and returns it.
async fn all(
    events: Events,
    publisher: Publisher,
    mut heard: mpsc::UnboundedReceiver<(String, Value)>,
) -> Vec<(String, Value)> {
    drop(events);
    publisher.run(CancellationToken::new()).await;
    let mut all = vec![];
    while let Ok(one) = heard.try_recv() {
        all.push(one);
    }
    all
}

#[tokio::test]
async fn an_event_says_what_of_what_and_why() {
    let (events, publisher, _, heard) = events(201);
    let related = ObjectReference {
        kind: Some("Change".into()),
        name: Some("c-1".into()),
        ..Default::default()
    };
    events.publish(Told {
        related: Some(related),
        ..about("checkout", Reason::RolledBack, "3 -> 2: \u{1b}[2Jnot\nachieved")
    });
    let all = all(events, publisher, heard).await;
    let (path, event) = &all[0];
    assert_eq!(
        path,
        "POST /apis/events.k8s.io/v1/namespaces/shop/events?&fieldManager=flyball"
    );
    let mut event = event.clone();
    let (name, time) = (event["metadata"]["name"].take(), event["eventTime"].take());
    assert!(name.as_str().unwrap().starts_with("checkout."), "{name}");
    assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(
        event,
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": null, "namespace": "shop"},
            "eventTime": null,
            "action": "RollBack",
            "reason": "RolledBack",
            "type": "Warning",
            "note": r"3 -> 2: \u001b[2Jnot\nachieved",
            "regarding": {
                "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "checkout",
                "uid": "uid-of-checkout",
            },
            "related": {"kind": "Change", "name": "c-1"},
            "reportingController": "flyball.dev/controller",
            "reportingInstance": "us",
        })
    );
}

#[tokio::test]
async fn an_object_without_a_namespace_has_its_events_where_they_are_accepted() {
    let (events, publisher, _, heard) = events(201);
    let mut told = about("prometheus", Reason::SourceUnavailable, "it does not answer");
    told.regarding.namespace = None;
    events.publish(told);
    let all = all(events, publisher, heard).await;
    assert!(all[0].0.contains("/namespaces/default/events"), "{}", all[0].0);
}

#[tokio::test]
async fn no_two_events_have_the_same_name_and_no_name_is_too_long() {
    let (events, publisher, _, heard) = events(201);
    let (long, dotted) = ("x".repeat(253), format!("{}.{}", "x".repeat(235), "-".repeat(17)));
    for n in 0..20 {
        events.publish(about("checkout", Reason::Committed, &n.to_string()));
        events.publish(about(&long, Reason::Committed, &n.to_string()));
        events.publish(about(&dotted, Reason::Committed, &n.to_string()));
    }
    let all = all(events, publisher, heard).await;
    let names: BTreeSet<_> = all
        .iter()
        .map(|(_, event)| event["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 60);
    for name in names {
        assert!(
            name.len() <= 253 && !name.contains("-.") && !name.contains(".."),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_is_said_once_in_ten_minutes() {
    let (events, publisher, metrics, mut heard) = events(201);
    let stop = CancellationToken::new();
    let worker = tokio::spawn(publisher.run(stop.clone()));
    for _ in 0..3 {
        events.publish(about("checkout", Reason::Refused, "Cooldown: wait"));
        events.publish(about("search", Reason::Refused, "Cooldown: wait"));
        events.publish(about("checkout", Reason::Refused, "Rate: wait"));
    }
    for _ in 0..3 {
        heard.recv().await.unwrap();
    }
    advance(Duration::from_secs(599)).await;
    events.publish(about("checkout", Reason::Refused, "Cooldown: wait"));
    advance(Duration::from_secs(2)).await;
    events.publish(about("checkout", Reason::Refused, "Cooldown: wait"));
    assert_eq!(heard.recv().await.unwrap().1["note"], "Cooldown: wait");
    stop.cancel();
    worker.await.unwrap();
    assert!(heard.try_recv().is_err());
    assert_eq!(dropped(&metrics), 0, "what was said already is not lost");
}

#[tokio::test]
async fn lively_numbers_flood_nobody() {
    let (events, publisher, metrics, heard) = events(201);
    for n in 0..100 {
        events.publish(about("checkout", Reason::Refused, &format!("p99 is {n}")));
    }
    assert_eq!(all(events, publisher, heard).await.len(), MOST_PER_OBJECT);
    assert_eq!(dropped(&metrics), 100 - MOST_PER_OBJECT as u64);
}

#[tokio::test]
async fn a_full_queue_drops_counts_and_never_waits() {
    let (events, _publisher, metrics, _heard) = events(201);
    for n in 0..QUEUE + 7 {
        events.publish(about("checkout", Reason::Refused, &n.to_string()));
    }
    assert_eq!(dropped(&metrics), 7);
}

#[tokio::test]
async fn what_the_server_refuses_is_counted_and_not_repeated() {
    let (events, publisher, metrics, heard) = events(403);
    events.publish(about("checkout", Reason::Committed, "done"));
    assert_eq!(all(events, publisher, heard).await.len(), 1);
    assert_eq!(dropped(&metrics), 1);
    assert!(
        metrics
            .encode()
            .contains(r#"flyball_api_requests_total{verb="create",result="forbidden"} 1"#)
    );
}

#[tokio::test]
async fn at_the_end_the_rest_is_published() {
    let (events, publisher, _, mut heard) = events(201);
    events.publish(about("checkout", Reason::Committed, "one"));
    events.publish(about("checkout", Reason::Committed, "two"));
    let stop = CancellationToken::new();
    stop.cancel();
    publisher.run(stop).await;
    assert!(heard.try_recv().is_ok() && heard.try_recv().is_ok());
    events.publish(about("checkout", Reason::Committed, "too late"));
}

#[rstest]
#[case("short", "short".to_owned())]
#[case(&"ä".repeat(512), "ä".repeat(512))]
#[case(&"ä".repeat(513), format!("{}…", "ä".repeat(510)))]
#[case(&"\n".repeat(1000), format!("{}\\…", "\\n".repeat(510)))]
fn a_note_has_at_most_a_thousand_bytes(#[case] text: &str, #[case] expect: String) {
    assert_eq!(note(text), expect);
    assert!(note(text).len() <= 1024);
}

#[test]
fn what_somebody_should_look_at_is_a_warning() {
    let warnings: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| is_warning(**reason))
        .map(|it| it.as_str())
        .collect();
    assert!(warnings.contains(&"OwnershipConflict") && warnings.contains(&"RolledBack"));
    assert!(!warnings.contains(&"Committed") && !warnings.contains(&"Refused"));
}
